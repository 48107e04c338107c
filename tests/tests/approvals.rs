//! Approvals as people give them: by commands, with a running host and without one; what they are bound to; and each way
//! to get more without one.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockade_audit::{Reader, verify};
use stockade_tests::served::{Served, Site, until};
use stockade_tests::{cycles, dist, document, example, skipped, text};

/// Where a plugin's folder is.
fn folder(site: &Site, name: &str) -> std::path::PathBuf {
    site.path(&name.replace('/', "-"))
}

/// Writes a plugin that asks for hosts. Its component is one of two.
fn plugin(site: &Site, name: &str, version: &str, plugin_type: &str, (hosts, second): (&[&str], bool)) {
    let folder = folder(site, name);
    fs::create_dir_all(&folder).unwrap();
    let wasm = match second {
        true => example("secret-scan").join("secret_scan.wasm"),
        false => example("text-stats").join("text_stats.wasm"),
    };
    fs::copy(wasm, folder.join("plugin.wasm")).unwrap();
    let mut manifest = format!(
        "manifest = 1\nname = \"{name}\"\nversion = \"{version}\"\ntype = \"{plugin_type}\"\ncontract = \"0.1\"\n\
         description = \"Asks.\"\ncomponent = \"plugin.wasm\"\n\
         [[tools]]\nname = \"stats\"\ndescription = \"Counts.\"\ninput = '{{}}'\n"
    );
    for host in hosts {
        manifest.push_str(&format!(
            "[[permissions]]\ncapability = \"http\"\nresource = \"{host}\"\nreason = \"it asks {host}\"\n"
        ));
    }
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
}

fn path(site: &Site, name: &str) -> String {
    folder(site, name).to_str().unwrap().to_owned()
}

fn approve(site: &Site, name: &str, more: &[&str]) -> Output {
    let path = path(site, name);
    site.run(
        &[&["approvals", "approve", &path, "--why", "reviewed", "--yes", "--format", "json"], more].concat(),
    )
}

/// The scopes that a plugin may use besides what all have, and those that wait.
fn grants(site: &Site, name: &str) -> (Vec<String>, Vec<String>) {
    let path = path(site, name);
    let shown = document(&site.run(&["grants", "show", &path, "--format", "json"]));
    scopes(&shown["grants"])
}

fn scopes(report: &Value) -> (Vec<String>, Vec<String>) {
    let of = |list: &Value, wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let list = list.as_array().unwrap_or_else(|| panic!("{report}"));
        list.iter().filter(|one| wanted(one)).map(|one| one["scope"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["log", "clock", "random"];
    (
        of(&report["granted"], &|one| !all.contains(&one["scope"].as_str().unwrap())),
        of(&report["lacking"], &|one| one["approvable"] == true),
    )
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn an_approval_is_given_shown_and_taken_back() {
    let site = Site::new();
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org", "b.example.org"], false));
    assert_eq!(
        grants(&site, "acme/deps"),
        (vec![], strings(&["http:api.example.org", "http:b.example.org"]))
    );
    let given = document(&approve(&site, "acme/deps", &["--scope", "http:api.example.org"]));
    assert_eq!((&given["approval"]["number"], &given["approval"]["state"]), (&json!(1), &json!("given")));
    assert_eq!(
        grants(&site, "acme/deps"),
        (strings(&["http:api.example.org"]), strings(&["http:b.example.org"]))
    );
    let shown = text(&site.run(&["grants", "show", &path(&site, "acme/deps")]).stdout);
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().map(|user| user.name);
    let user = user.unwrap_or_else(|| nix::unistd::getuid().to_string());
    assert!(shown.contains(&format!("may    http:api.example.org  approval 1 by {user}")), "{shown}");
    assert!(shown.contains("waits  http:b.example.org    profile integration v3"), "{shown}");
    let path = path(&site, "acme/deps");
    let explained = site.run(&["policy", "explain", &path, "http", "GET https://api.example.org/v1"]);
    assert_eq!(explained.status.code(), Some(0), "{}", text(&explained.stderr));
    assert!(text(&explained.stdout).starts_with(&format!("allowed: allowed by approval 1 by {user}")));
    let explained = site.run(&["policy", "explain", &path, "http", "GET https://b.example.org/"]);
    assert_eq!(explained.status.code(), Some(3));
    assert!(text(&explained.stdout).contains("it needs an approval"), "{}", text(&explained.stdout));
    // It is there when the plugin runs.
    let run = site.run(&["run", &path, "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("asks for http:b.example.org and was not granted it"));
    assert!(!text(&run.stderr).contains("http:api.example.org"), "{}", text(&run.stderr));
    let revoked = site.run(&["approvals", "revoke", "1", "--why", "no longer"]);
    assert_eq!(revoked.status.code(), Some(0), "{}", text(&revoked.stderr));
    assert_eq!(grants(&site, "acme/deps").0, Vec::<String>::new());
    let again = site.run(&["approvals", "revoke", "1", "--why", "no longer"]);
    assert!(text(&again.stderr).starts_with("error[unknown-approval]"), "{}", text(&again.stderr));
    assert!(text(&site.run(&["approvals", "list"]).stdout).lines().count() == 1);
    let all = text(&site.run(&["approvals", "list", "--all"]).stdout);
    assert!(all.contains("revoked"), "{all}");
    assert!(verify(site.state().join("audit"), None).unwrap().is_sound());
}

#[test]
fn nobody_is_asked_without_a_terminal_and_what_was_looked_at_is_what_is_approved() {
    let site = Site::new();
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org"], false));
    let path = path(&site, "acme/deps");
    let silent = site.run(&["approvals", "approve", &path, "--why", "w"]);
    assert_eq!(silent.status.code(), Some(2));
    assert!(text(&silent.stderr).starts_with("error[not-confirmed]"), "{}", text(&silent.stderr));
    let shown = document(&site.run(&["grants", "show", &path, "--format", "json"]));
    let digest = shown["asked_sha256"].as_str().unwrap();
    // Meanwhile it asks for more.
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org", "*.example"], false));
    let changed = site.run(&["approvals", "approve", &path, "--why", "w", "--expect", digest]);
    assert!(text(&changed.stderr).starts_with("error[grants-changed]"), "{}", text(&changed.stderr));
    let other =
        site.run(&["approvals", "approve", &path, "--why", "w", "--yes", "--scope", "http:evil.example"]);
    assert!(text(&other.stderr).starts_with("error[not-asked-for]"), "{}", text(&other.stderr));
    assert_eq!(grants(&site, "acme/deps").0, Vec::<String>::new());
}

/// On a terminal: hostile text of the manifest does not reach it as it is.
#[test]
fn d16_a_prompt_shows_hostile_words_escaped_and_takes_yes_alone() {
    if Command::new("script").arg("--version").output().is_err() {
        return skipped(
            "d16_a_prompt_shows_hostile_words_escaped_and_takes_yes_alone",
            "there is no script(1)",
        );
    }
    let site = Site::new();
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org"], false));
    let manifest = folder(&site, "acme/deps").join("plugin.toml");
    let hostile = fs::read_to_string(&manifest).unwrap().replace(
        "it asks api.example.org",
        "ok\\u001b[2K\\r  + nothing at all\\u202e\\nApprove exactly this? Type yes: yes",
    );
    fs::write(&manifest, hostile).unwrap();
    let answered = |answer: &str| {
        let command = format!(
            "{} approvals approve {} --why w --state {}",
            dist().join("stockade").display(),
            path(&site, "acme/deps"),
            site.state().display()
        );
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), text(&output.stdout))
    };
    for answer in ["y\n", "\n", "no\n", "yes please\n"] {
        let (code, said) = answered(answer);
        assert_eq!(code, Some(2), "{answer:?}: {said}");
    }
    let (code, said) = answered("yes\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("its author says: ok\\u{1b}[2K\\u{d}  + nothing at all\\u{202e}\\u{a}Approve"),
        "{said}"
    );
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said}");
    assert_eq!(grants(&site, "acme/deps").0, strings(&["http:api.example.org"]));
}

/// Each way to have an approval count for something else.
#[test]
fn an_approval_is_for_these_grants_of_this_plugin_and_these_bytes() {
    let site = Site::new();
    let asks = &["api.example.org/v1"][..];
    plugin(&site, "acme/deps", "1.2.0", "integration", (asks, false));
    assert_eq!(approve(&site, "acme/deps", &[]).status.code(), Some(0));
    let granted = |name: &str| grants(&site, name).0.len();
    assert_eq!(granted("acme/deps"), 1);
    // An update, or another signature of it: other bytes.
    plugin(&site, "acme/deps", "1.2.0", "integration", (asks, true));
    assert_eq!(granted("acme/deps"), 0, "other bytes");
    // A rename, in both directions.
    plugin(&site, "acme/other", "1.2.0", "integration", (asks, false));
    assert_eq!(granted("acme/other"), 0, "another name");
    // More than was approved, by each part of it.
    for wider in
        ["api.example.org", "*.example.org/v1", "http://api.example.org/v1", "api.example.org:8443/v1"]
    {
        plugin(&site, "acme/deps", "1.2.0", "integration", (&[wider], false));
        assert_eq!(granted("acme/deps"), 0, "{wider}");
    }
    // Less is within it.
    plugin(&site, "acme/deps", "1.3.0", "integration", (&["GET api.example.org/v1/x"], false));
    assert_eq!(granted("acme/deps"), 1);
    // Another type: what it asks for is above that one's ceiling.
    plugin(&site, "acme/deps", "1.2.0", "node", (asks, false));
    let path = path(&site, "acme/deps");
    let run = site.run(&["run", &path, "--tool", "stats", "--args", r#"{"text":""}"#]);
    assert!(text(&run.stderr).contains("error[above-ceiling]"), "{}", text(&run.stderr));
    // A range of versions: not an older one, and not the next.
    plugin(&site, "acme/ranged", "1.2.0", "integration", (asks, false));
    assert_eq!(approve(&site, "acme/ranged", &["--versions", ">=1.2, <2"]).status.code(), Some(0));
    for (version, second, expected) in [("1.9.0", true, 1), ("1.1.9", false, 0), ("2.0.0", false, 0)] {
        plugin(&site, "acme/ranged", version, "integration", (asks, second));
        assert_eq!(granted("acme/ranged"), expected, "{version}");
    }
}

#[test]
fn an_approval_ends_by_itself() {
    let site = Site::new();
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org"], false));
    assert_eq!(approve(&site, "acme/deps", &["--for", "4s"]).status.code(), Some(0));
    assert_eq!(grants(&site, "acme/deps").0.len(), 1);
    std::thread::sleep(Duration::from_millis(4100));
    assert_eq!(grants(&site, "acme/deps").0.len(), 0);
    // Loading a plugin writes it down, for good.
    let path = path(&site, "acme/deps");
    let run = site.run(&["run", &path, "--tool", "stats", "--args", r#"{"text":""}"#]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let all = document(&site.run(&["approvals", "list", "--all", "--format", "json"]));
    assert_eq!(all["approvals"][0]["words"][1]["did"], "expire");
}

#[test]
fn the_policy_says_who_approves_and_how_many() {
    let site = Site::new();
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org"], false));
    fs::create_dir_all(site.state()).unwrap();
    let policy = |text: &str| {
        fs::write(
            site.state().join("policy.toml"),
            format!("format = 1\nversion = 1\n[approvals]\n{text}\n"),
        )
        .unwrap();
    };
    policy("people = [\"4294967294\"]");
    let refused = approve(&site, "acme/deps", &[]);
    assert_eq!(document(&refused)["error"]["code"], "not-an-approver");
    // Nor does a grant by hand.
    let path = path(&site, "acme/deps");
    let by_hand =
        ["run", &path, "--grant", "http=api.example.org", "--tool", "stats", "--args", r#"{"text":""}"#];
    let run = site.run(&by_hand);
    assert!(
        text(&run.stderr).contains("asks for http:api.example.org and was not granted it"),
        "{}",
        text(&run.stderr)
    );
    let own = nix::unistd::getuid();
    policy(&format!("people = [\"{own}\", \"4294967294\"]\nneeded = 2"));
    let first = document(&approve(&site, "acme/deps", &[]));
    assert_eq!((&first["approval"]["state"], &first["approval"]["lacking"]), (&json!("waiting"), &json!(1)));
    assert_eq!(grants(&site, "acme/deps").0.len(), 0);
    assert_eq!(document(&approve(&site, "acme/deps", &[]))["error"]["code"], "approved-already");
    let denied = site.run(&["approvals", "deny", &path, "--why", "no"]);
    assert!(text(&denied.stdout).starts_with("approval 1 of acme/deps: denied"), "{}", text(&denied.stdout));
}

fn enabled<'a>(site: &'a Site, names: &[&str]) -> Served<'a> {
    for name in names {
        site.file(name, "enabled = true\n");
    }
    site.serve()
}

fn running(served: &Served<'_>, name: &str) -> (Vec<String>, Vec<String>) {
    scopes(&served.ask(&["grants", "show", name])["grants"])
}

#[test]
fn approvals_and_revocations_reach_a_running_host() {
    let site = Site::new();
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org"], false));
    plugin(&site, "acme/quiet", "1.0.0", "integration", (&[], false));
    let served = enabled(&site, &["acme/deps", "acme/quiet"]);
    let quiet = served.status("acme/quiet").workers;
    assert_eq!(running(&served, "acme/deps").0, Vec::<String>::new());
    // By its name: what the running host has is what is approved.
    let given = served.ask(&["approvals", "approve", "acme/deps", "--why", "w", "--yes"]);
    assert_eq!(given["approval"]["state"], "given");
    assert_eq!(running(&served, "acme/deps").0, strings(&["http:api.example.org"]));
    let explained = |operation: &str, resource: &str| {
        text(&site.run(&["policy", "explain", "acme/deps", operation, resource]).stdout)
    };
    assert!(
        explained("http", "GET https://api.example.org/").starts_with("allowed: allowed by approval 1 by ")
    );
    assert!(
        explained("http", "GET https://b.example/").starts_with("refused: no grant covers this resource")
    );
    let worker = served.status("acme/deps").workers;
    assert_eq!(worker.len(), 1);
    let began = Instant::now();
    let revoked = served.ask(&["approvals", "revoke", "1", "--why", "no longer"]);
    assert_eq!(revoked["approval"]["state"], "revoked");
    assert!(worker.iter().all(|worker| !stockade_tests::served::lives(*worker)), "its worker lives on");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(running(&served, "acme/deps").0, Vec::<String>::new());
    let called = served.ask(&["call", "acme/deps", "stats", "--args", r#"{"text":"a"}"#]);
    assert_eq!(called["status"], "ok");
    // One that ends by itself does so while it runs, and nobody else is touched.
    served.ask(&["approvals", "approve", "acme/deps", "--why", "w", "--yes", "--for", "4s"]);
    assert_eq!(running(&served, "acme/deps").0.len(), 1);
    until("its end", || running(&served, "acme/deps").0.is_empty());
    assert_eq!(served.status("acme/quiet").workers, quiet);
    let records = Reader::open(site.state().join("audit")).unwrap().map(Result::unwrap);
    let events: Vec<String> = records
        .filter(|entry| entry.record.operation == "approval")
        .map(|entry| entry.record.event.to_string())
        .collect();
    assert_eq!(events, ["approved", "revoked", "approved", "expired"]);
}

#[test]
fn an_update_that_asks_for_more_waits_and_the_old_version_runs_on() {
    let site = Site::new();
    let asks = &["api.example.org"][..];
    plugin(&site, "acme/deps", "1.0.0", "integration", (asks, false));
    assert_eq!(approve(&site, "acme/deps", &["--versions", "1"]).status.code(), Some(0));
    let served = enabled(&site, &["acme/deps"]);
    let version = || served.status("acme/deps").version;
    let worker = served.status("acme/deps").workers;
    // The same, in other bytes: it goes through.
    plugin(&site, "acme/deps", "1.1.0", "integration", (asks, true));
    assert_eq!(served.ask(&["reload"])["reloaded"]["changed"], json!(["acme/deps"]));
    assert_eq!(version(), "1.1.0");
    assert_ne!(served.status("acme/deps").workers, worker);
    // More: it waits.
    plugin(&site, "acme/deps", "1.2.0", "integration", (&["api.example.org", "evil.example"], false));
    let worker = served.status("acme/deps").workers;
    let reloaded = served.ask(&["reload"]);
    let waiting = &reloaded["reloaded"]["waiting"][0];
    assert_eq!(waiting["version"], "1.2.0", "{reloaded}");
    assert_eq!(waiting["asks"][0]["scope"], "http:evil.example");
    assert_eq!(waiting["asks"][0]["reason"], "it asks evil.example");
    assert_eq!((version().as_str(), served.status("acme/deps").workers), ("1.1.0", worker));
    served.wait_for("version 1.2.0 waits, and 1.1.0 runs on: it asks for http:evil.example besides");
    let listed = text(&site.run(&["approvals", "list"]).stdout);
    assert!(
        listed.contains("acme/deps 1.2.0 waits, and 1.1.0 runs on. It asks for:\n  + http:evil.example"),
        "{listed}"
    );
    // Less than what waits goes through, and so does what was approved.
    plugin(&site, "acme/deps", "1.3.0", "integration", (&["GET api.example.org"], false));
    served.ask(&["reload"]);
    assert_eq!(version(), "1.3.0");
    plugin(&site, "acme/deps", "1.4.0", "integration", (&["api.example.org", "good.example"], true));
    assert_eq!(served.ask(&["reload"])["reloaded"]["waiting"][0]["version"], "1.4.0");
    let path = path(&site, "acme/deps");
    let given = served.ask(&["approvals", "approve", &path, "--why", "w", "--yes", "--versions", "1"]);
    assert_eq!(given["approval"]["state"], "given");
    assert_eq!(version(), "1.4.0");
    assert_eq!(running(&served, "acme/deps").0.len(), 2);
}

/// A host that is killed at any moment of an approval: what was answered is there, and what is there was recorded.
#[test]
fn an_approval_that_was_answered_survives_kill_9() {
    let site = Site::new();
    plugin(&site, "acme/deps", "1.0.0", "integration", (&["api.example.org"], false));
    let mut answered = 0;
    for cycle in 0..cycles(10, 60) {
        let path = path(&site, "acme/deps");
        let arguments = ["approvals", "approve", &path, "--why", "w", "--yes", "--format", "json"];
        let mut child =
            site.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(1000 + 400 * cycle as u64));
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        if let Ok(given) = serde_json::from_slice::<Value>(&output.stdout)
            && given["approval"]["state"] == "given"
        {
            answered += 1;
        }
        let listed = document(&site.run(&["approvals", "list", "--all", "--format", "json"]));
        let there = listed["approvals"].as_array().unwrap_or_else(|| panic!("{listed}")).len();
        assert!(there >= answered, "{there} of {answered}");
    }
}
