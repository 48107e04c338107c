//! The program as a user meets it: results on stdout, everything else on stderr, documented exit codes,
//! errors that say what is wrong, where, and what to do.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};
use stockade_tests::{dist, example, guest, skipped};
use tempfile::TempDir;

struct Cli {
    state: TempDir,
}

impl Cli {
    fn new() -> Cli {
        Cli { state: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(dist().join("stockade"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs `stockade run` with a state folder of its own.
    fn run(&self, arguments: &[&str]) -> Output {
        let state = self.state.path().join("state");
        let state = state.to_str().unwrap();
        self.command(&[&["run"], arguments, &["--state", state]].concat()).output().expect("it starts")
    }

    fn log(&self) -> String {
        self.state.path().join("state/audit").to_str().unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn document(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", text(&output.stdout), text(&output.stderr)))
}

fn greeter() -> String {
    guest("greet-rust.wasm").to_str().unwrap().to_owned()
}

#[test]
fn a_result_is_on_stdout_alone_and_the_exit_code_is_zero() {
    let cli = Cli::new();
    let output = cli.run(&[&greeter(), "--type", "node", "--tool", "greet", "--args", r#"{"name":"Ada"}"#]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let value: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value.as_str().unwrap().contains("Ada"));
}

#[test]
fn secret_scan_reports_json_and_audit_verifies() {
    let cli = Cli::new();
    let tree = tempfile::tempdir().unwrap();
    let key = format!("{}{}", "AKIA", "QYLPMN5HHHFPZAM2");
    fs::write(tree.path().join("env"), format!("aws_access_key_id = {key}\n")).unwrap();
    let plugin = example("secret-scan");
    let grant = format!("fs.read={}:/src", tree.path().display());
    let scan = |tool: &str, arguments: &str| {
        cli.run(&[
            plugin.to_str().unwrap(),
            "--grant",
            &grant,
            "--tool",
            tool,
            "--args",
            arguments,
            "--format",
            "json",
        ])
    };
    let found = scan("scan", r#"{"path":"/src"}"#);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    let report = document(&found);
    assert_eq!(report["status"], "ok");
    assert_eq!(report["value"]["findings"].as_array().unwrap().len(), 1, "{report}");

    // The report as a file, where that is granted too, and nowhere else.
    let reports = tempfile::tempdir().unwrap();
    let create = format!("fs.create={}:/report", reports.path().display());
    let write = |report: &str| {
        let arguments = format!(r#"{{"path":"/src","report":"{report}"}}"#);
        let plugin = plugin.to_str().unwrap();
        cli.run(&[plugin, "--grant", &grant, "--grant", &create, "--tool", "scan", "--args", &arguments])
    };
    let written = write("/report/today.json");
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    let file: Json = serde_json::from_slice(&fs::read(reports.path().join("today.json")).unwrap()).unwrap();
    assert_eq!(file["findings"], report["value"]["findings"]);
    for report in ["/report/today.json", "/src/planted", "/elsewhere"] {
        assert_ne!(write(report).status.code(), Some(0), "{report}");
    }
    assert!(!tree.path().join("planted").exists());

    let outside = scan("read", r#"{"path":"/etc/passwd"}"#);
    assert_ne!(outside.status.code(), Some(0));
    let denied = document(&outside);
    let seq = denied["denials"][0].as_u64().expect("a record's number").to_string();

    let log = cli.log();
    let shown = cli.command(&["audit", "show", &seq, "--audit", &log, "--format", "json"]).output().unwrap();
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("/etc/passwd"));
    assert!(cli.command(&["audit", "tail", "--audit", &log]).status().unwrap().success());
    let verified = cli.command(&["audit", "verify", "--audit", &log]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));

    // One byte, anywhere in the middle.
    let file = Path::new(&log).join("audit.jsonl");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let changed = cli.command(&["audit", "verify", "--audit", &log]).output().unwrap();
    assert_eq!(changed.status.code(), Some(6), "{}", text(&changed.stdout));
}

#[test]
fn a_scratch_directory_holds_what_the_write_limit_allows() {
    let cli = Cli::new();
    let plugin = guest("wasi-tour.wasm");
    let fill = |options: &[&str]| {
        let bare = [plugin.to_str().unwrap(), "--type", "agent"];
        let tool = ["--tool", "fill-file", "--args", r#"{"path":"/scratch/file","blocks":1}"#];
        cli.run(&[&bare[..], options, &tool[..]].concat()).status.code()
    };
    assert_eq!(fill(&["--scratch"]), Some(0));
    assert_eq!(fill(&["--scratch", "--write-limit", "64KiB"]), Some(0));
    assert_eq!(fill(&["--scratch", "--write-limit", "63KiB"]), Some(1));
    assert_eq!(fill(&[]), Some(1));
}

#[test]
fn every_bad_input_has_a_code_a_field_a_next_step_and_its_exit_code() {
    let cli = Cli::new();
    let folder = cli.state.path();
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let garbage = file("garbage.wasm", b"GIF89a");
    let manifest = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("plugin.toml"), content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let base = "manifest = 1\nname = \"a/b\"\nversion = \"1.0.0\"\ntype = \"node\"\ncontract = \"0.1\"\n\
                description = \"d\"\ncomponent = \"c.wasm\"\n";
    let unknown_key = manifest("unknown-key", &format!("colour = \"red\"\n{base}"));
    let duplicate = manifest("duplicate", &format!("{base}name = \"a/c\"\n"));
    let bad_version = manifest("bad-version", &base.replace("1.0.0", "one"));
    let bad_type = manifest("bad-type", &base.replace("\"node\"", "\"daemon\""));
    let missing_key = manifest("missing-key", &base.replace("contract = \"0.1\"\n", ""));
    let greet = greeter();
    let core = guest("core-module.wasm").to_str().unwrap().to_owned();
    let unknown_import = guest("unknown-import.wasm").to_str().unwrap().to_owned();
    let gc = guest("proposal-gc.wasm").to_str().unwrap().to_owned();
    let not_a_directory = format!("fs.read={garbage}:/src");
    let missing_directory = format!("fs.read={}:/src", folder.join("nowhere").display());
    let tree = format!("fs.read={}:/src", folder.display());
    let call = ["--tool", "greet", "--args", r#"{"name":"Ada"}"#];
    let node = ["--type", "node"];
    let gate = ["--type", "quality_gate"];
    // What is given, the exit code, what the message or field must name.
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        ([&["/nowhere/x.wasm"][..], &node, &call].concat(), 2, "/nowhere/x.wasm"),
        ([&[garbage.as_str()][..], &node, &call].concat(), 4, "garbage.wasm"),
        ([&[core.as_str()][..], &node, &call].concat(), 4, "core"),
        ([&[unknown_import.as_str()][..], &node, &call].concat(), 4, "acme:telemetry/upload@1.0.0"),
        ([&[gc.as_str()][..], &node, &call].concat(), 4, "gc"),
        ([&[unknown_key.as_str()][..], &call].concat(), 4, "colour"),
        ([&[duplicate.as_str()][..], &call].concat(), 4, "plugin.toml:8:1"),
        ([&[bad_version.as_str()][..], &call].concat(), 4, "version"),
        ([&[bad_type.as_str()][..], &call].concat(), 4, "daemon"),
        ([&[missing_key.as_str()][..], &call].concat(), 4, "contract"),
        ([&[greet.as_str()][..], &call].concat(), 2, "type"),
        ([&[greet.as_str()][..], &node, &["--tool", "dance", "--args", "{}"]].concat(), 2, "dance"),
        ([&[greet.as_str()][..], &node, &["--tool", "greet", "--args", "{"]].concat(), 2, "arguments:1:1"),
        ([&[greet.as_str()][..], &node, &["--tool", "greet", "--args", r#"{"name":1}"#]].concat(), 2, "name"),
        ([&[greet.as_str()][..], &gate, &call, &["--grant", &not_a_directory]].concat(), 2, "garbage.wasm"),
        ([&[greet.as_str()][..], &gate, &call, &["--grant", &missing_directory]].concat(), 2, "nowhere"),
        ([&[greet.as_str()][..], &node, &call, &["--grant", &tree]].concat(), 3, "fs.read:/src"),
        ([&[greet.as_str()][..], &node, &call, &["--deadline", "soon"]].concat(), 2, "deadline"),
        ([&[greet.as_str()][..], &node, &call, &["--memory", "9000GiB"]].concat(), 2, "memory"),
    ];
    for (arguments, exit, named) in cases {
        let output = cli.run(&[&arguments[..], &["--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}\n{}", text(&output.stdout));
        let error = &document(&output)["error"];
        for part in ["code", "message", "next_step"] {
            assert!(error[part].as_str().is_some_and(|said| !said.is_empty()), "{arguments:?}: no {part}");
        }
        let said = format!("{} {}", error["field"], error["message"]);
        assert!(said.contains(named), "{arguments:?}: {said} does not name {named}");

        let output = cli.run(&arguments);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: errors do not belong on stdout");
        let said = text(&output.stderr);
        assert!(said.starts_with(&format!("error[{}]", error["code"].as_str().unwrap())), "{said}");
    }
}

#[test]
fn a_full_disk_under_the_log_refuses_to_run() {
    // A file system of 64 KiB in a mount namespace of its own: needs root.
    if !nix::unistd::geteuid().is_root() {
        skipped("a_full_disk_under_the_log_refuses_to_run", "mounting a small file system needs root");
        return;
    }
    let cli = Cli::new();
    let small = cli.state.path().join("small");
    fs::create_dir(&small).unwrap();
    let script = format!(
        "set -e; mount -t tmpfs -o size=64k,mode=700 tmpfs '{small}'; \
         dd if=/dev/zero of='{small}/filler' bs=1k 2>/dev/null || true; \
         exec '{program}' run '{greet}' --type node --tool greet --args '{{\"name\":\"Ada\"}}' \
         --state '{state}' --audit '{small}/audit' --format json",
        small = small.display(),
        program = dist().join("stockade").display(),
        greet = greeter(),
        state = cli.state.path().join("state").display(),
    );
    let output =
        Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().expect("util-linux is there");
    assert_eq!(output.status.code(), Some(6), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(document(&output)["error"]["code"], "audit-log");
}

#[test]
fn hostile_names_reach_a_terminal_escaped() {
    let cli = Cli::new();
    let folder = cli.state.path().join("spoof");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("plugin.toml"), "manifest = 1\n\"\\u001b[2J\\u202e\" = 1\n").unwrap();
    let output = cli.run(&[folder.to_str().unwrap(), "--tool", "x", "--args", "{}"]);
    let said = text(&output.stderr);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
}

#[test]
fn doctor_says_what_is_there_and_ends_well_on_this_machine() {
    let cli = Cli::new();
    let state = cli.state.path().join("state");
    let output = cli
        .command(&["doctor", "--state", state.to_str().unwrap(), "--format", "json"])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    for what in ["landlock", "seccomp", "stockade-worker"] {
        assert!(said.to_lowercase().contains(what), "doctor does not speak of {what}: {said}");
    }
}

#[test]
fn arguments_may_come_from_stdin() {
    let cli = Cli::new();
    let state = cli.state.path().join("state");
    let greet = greeter();
    let mut child = cli
        .command(&["run", &greet, "--type", "node", "--tool", "greet", "--args", "-"])
        .args(["--state", state.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!({ "name": "Ada" }).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Ada"));
}
