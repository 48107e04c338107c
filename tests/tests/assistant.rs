//! An example agent as its users meet it: on the command line, with a model, and with a tool of another plugin.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};
use stockade_tests::site::Site;
use stockade_tests::{dist, example};
use tempfile::TempDir;

const SCAN: &str = "stockade/secret-scan#scan";

/// An operator's folder: the models, and the plugin whose tool the agent may call.
struct Desk {
    folder: TempDir,
    site: Site,
}

impl Desk {
    fn new() -> Desk {
        let (folder, site) = (tempfile::tempdir().unwrap(), Site::plain());
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/a.txt"), "nothing").unwrap();
        fs::write(folder.path().join("key"), "key-0123456789").unwrap();
        let models = format!(
            "[assistant]\nendpoint = \"http://{}/v1\"\nmodel = \"test-model\"\nkey = \"file:key\"\n\
             input_price = 1_000_000\noutput_price = 2_000_000\n",
            site.authority()
        );
        fs::write(folder.path().join("models.toml"), models).unwrap();
        let scan = format!("plugin = {:?}\ngrants = [\"fs.read=src:/src\"]\n", example("secret-scan"));
        fs::write(folder.path().join("scan.toml"), scan).unwrap();
        Desk { folder, site }
    }

    fn ask(&self, question: &str, options: &[&str]) -> Output {
        let place = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(dist().join("stockade"));
        command
            .args(["run", "--tool", "ask", "--args", &json!({ "question": question }).to_string()])
            .args(options)
            .arg("--models")
            .arg(place("models.toml"))
            .arg("--with")
            .arg(place("scan.toml"))
            .arg("--state")
            .arg(place("state"))
            .arg(example("assistant"));
        command.output().unwrap()
    }
}

const WANTS: &str = r#"call secret-scan_scan {"path":"/src"}"#;

#[test]
fn it_answers_with_what_a_granted_tool_found() {
    let desk = Desk::new();
    let tool = format!("tool={SCAN}");
    let output = desk.ask(WANTS, &["--grant", "model=assistant", "--grant", &tool]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("calling stockade/secret-scan#scan"), "{output:?}");
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["answer"].as_str().unwrap().contains("\"files_scanned\":1"), "{report}");
    assert_eq!(
        (&report["complete"], &report["calls"]),
        (&json!(true), &json!([{ "tool": SCAN, "worked": true }]))
    );
    assert!(report["cost"].as_u64().unwrap() >= report["tokens"].as_u64().unwrap());
    assert!(desk.site.seen()[0].contains("authorization: Bearer key-0123456789"));
}

#[test]
fn without_a_grant_or_a_budget_it_says_what_it_lacks() {
    let desk = Desk::new();
    let refused = desk.ask(WANTS, &[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("asks for model:assistant and was not granted it"), "{said}");
    assert!(desk.site.seen().is_empty());
    // The model wants a function that it was not told of.
    let output = desk.ask(WANTS, &["--grant", "model=assistant"]);
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["calls"], json!([]));
    assert_eq!(report["answer"], "it says there is no such function");
    // One question is not enough for an answer; the next command has the same day.
    let tool = format!("tool={SCAN}");
    let options = ["--grant", "model=assistant", "--grant", &tool, "--per-day", "model_calls=3"];
    let output = desk.ask(WANTS, &options);
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(report["stopped_by"], "the budget has not enough left: model_calls of the day");
    let spent = desk.ask(WANTS, &options);
    assert_eq!(spent.status.code(), Some(1), "{spent:?}");
    assert!(String::from_utf8_lossy(&spent.stderr).contains("model_calls of the day"), "{spent:?}");
}

/// The templates of grants are what they say: each plugin loads with its own.
#[test]
fn every_template_of_grants_is_sound() {
    for name in ["secret-scan", "dependency-audit", "assistant"] {
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(dist().join("stockade"));
        command
            .arg("tools")
            .arg(example(name).join("setup.toml"))
            .arg("--state")
            .arg(state.path().join("state"));
        command
            .arg("--models")
            .arg(example("assistant").join("models.toml"))
            .env("OPENAI_API_KEY", "0123456789");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        // What a template leaves out is a comment in it, not a mistake in a name.
        let said = String::from_utf8_lossy(&output.stderr);
        let left_out = ["fs.create:/report", "secret:osv-token"];
        let missing: Vec<_> = said.lines().filter(|line| line.contains("was not granted")).collect();
        assert!(missing.iter().all(|line| left_out.iter().any(|name| line.contains(name))), "{name}: {said}");
    }
}

/// What the command line says comes on top of what the file says.
#[test]
fn a_file_names_the_plugin_and_the_command_line_has_the_last_word() {
    let desk = Desk::new();
    let file = desk.folder.path().join("assistant.toml");
    let setup = format!(
        "plugin = {:?}\ngrants = [\"model=assistant\"]\nper_day = [\"model_calls=0\", \"cost=5000000\"]\n",
        example("assistant")
    );
    fs::write(&file, setup).unwrap();
    let run = |options: &[&str]| {
        let mut command = Command::new(dist().join("stockade"));
        command.args(["run", "--tool", "ask", "--args", r#"{"question":"say so"}"#]).args(options);
        command.arg("--models").arg(desk.folder.path().join("models.toml"));
        command.arg("--state").arg(desk.folder.path().join("state")).arg(&file);
        command.output().unwrap()
    };
    let none = run(&[]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("model_calls of the day"), "{none:?}");
    let one = run(&["--per-day", "model_calls=1"]);
    let report: Json = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(report["answer"], "so");
}

#[test]
fn files_that_are_wrong_are_told_by_line_and_column() {
    let desk = Desk::new();
    fs::write(desk.folder.path().join("scan.toml"), "plugin = \"x\"\ngrant = []\n").unwrap();
    let output = desk.ask("x", &["--format", "json"]);
    let problem: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{problem}");
    let text = problem.to_string();
    assert!(text.contains("bad-file") && text.contains("line 2, column 1: unknown field `grant`"), "{text}");
}
