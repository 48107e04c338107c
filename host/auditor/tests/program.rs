//! The program: its commands, its exit codes, and following a log that is being written and exchanged.

mod sample;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use stockade_audit::{Decision, Layer, Log, Plugin, Record};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade-audit"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    program().args(arguments).arg("--audit").arg(dir).output().unwrap()
}

#[track_caller]
fn ok(dir: &Path, arguments: &[&str]) -> String {
    let output = run(dir, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(documents.iter().all(|document| document["schema"] == 1));
    documents
}

fn refused(resource: &str) -> Record {
    Record::new(Layer::Host, "refused", Decision::Denied)
        .plugin(&Plugin::new("a", "1.0.0", "00", "node").shared())
        .operation("fs.read")
        .resource(resource.to_owned())
}

struct Scratch {
    _state: tempfile::TempDir,
    dir: PathBuf,
}

fn scratch() -> Scratch {
    let state = tempfile::tempdir().unwrap();
    Scratch { dir: state.path().join("audit"), _state: state }
}

#[test]
fn what_is_printed_moves_no_terminal() {
    let sample = sample::sample();
    let all = [
        vec!["tail", "-n", "2000"],
        vec!["query", "--plugin", "mallory/*"],
        vec!["stats"],
        vec!["stats", "--by", "hour"],
        vec!["query", "--format", "json"],
        vec!["stats", "--format", "json"],
        vec!["export", "--to", "jsonl"],
    ];
    for arguments in all {
        let text = ok(&sample.dir, &arguments);
        assert!(text.lines().count() > 0, "{arguments:?}");
        assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{arguments:?}");
    }
    for command in ["show", "explain"] {
        let text = ok(&sample.dir, &[command, &sample.at["claimed"].to_string()]);
        assert!(text.contains("\\u{1b}[2J") && text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }
}

#[test]
fn documents_have_a_schema_and_are_one_a_line() {
    let sample = sample::sample();
    let seq = sample.at["forbidden"].to_string();
    let shown = json(&ok(&sample.dir, &["show", &seq, "--format", "json"]));
    assert_eq!(
        (shown.len(), &shown[0]["operation"], &shown[0]["intact"]),
        (1, &"execve".into(), &true.into())
    );
    assert_eq!(shown[0]["evidence"], "kernel-attested");
    let story = json(&ok(&sample.dir, &["explain", &seq, "--format", "json"]));
    assert_eq!(story[0]["story"][0]["about"], "what happened");
    let count = json(&ok(&sample.dir, &["query", "--decision", "killed", "--count", "--format", "json"]));
    let killed = json(&ok(&sample.dir, &["query", "--decision", "killed", "--format", "json"]));
    assert_eq!(count[0]["count"], killed.len());
    assert!(killed.iter().all(|record| record["decision"] == "killed"));
    let index = json(&ok(&sample.dir, &["index", "--format", "json"]));
    assert_eq!((&index[0]["foreign"], &index[0]["bytes_behind"]), (&Value::Null, &0.into()));
}

#[test]
fn floods_are_counted_exactly_whatever_is_asked_for() {
    let sample = sample::sample();
    let denied = |arguments: &[&str]| {
        let arguments = [&["stats", "--plugin", "acme/scan", "--format", "json"], arguments].concat();
        let stats = json(&ok(&sample.dir, &arguments)).remove(0);
        let groups = stats["groups"].as_array().unwrap();
        let denied = groups.iter().find(|group| group["decision"] == "denied").cloned().unwrap_or_default();
        (
            denied["total"].as_u64().unwrap_or(0),
            denied["written"].as_u64().unwrap_or(0),
            stats["unattributed"].clone(),
        )
    };
    let (total, written, unattributed) = denied(&[]);
    assert_eq!((total, unattributed), (1000, 0.into()));
    assert!((100..200).contains(&written), "{written}");
    for arguments in [
        &["--decision", "denied"][..],
        &["--layer", "host"],
        &["--operation", "fs.*", "--decision", "denied,killed", "--layer", "host,worker"],
        &["--no-index"],
        &["--no-index", "--decision", "denied"],
    ] {
        assert_eq!(denied(arguments).0, 1000, "{arguments:?}");
    }
    assert_eq!(denied(&["--layer", "worker"]), (0, 0, 0.into()));
    // A count does not say which resources: then it is told apart.
    let (total, written, unattributed) = denied(&["--resource", "/etc/*", "--no-index"]);
    assert_eq!((total, unattributed), (written, (1000 - written).into()));
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let sample = sample::sample();
    let code = |arguments: &[&str]| run(&sample.dir, arguments).status.code().unwrap();
    assert_eq!(code(&["query", "--plugin", "nobody"]), 0);
    assert_eq!(code(&["show", "99999"]), 1);
    assert_eq!(code(&["query", "--since", "yesterday"]), 2);
    assert_eq!(code(&["query", "--layer", "kernel"]), 2);
    assert_eq!(code(&["frobnicate"]), 2);
    assert_eq!(run(Path::new("/nonexistent"), &["tail"]).status.code(), Some(2));
    assert_eq!(code(&["export", "--to", "csv", "-o", "/nonexistent/x"]), 2);
    let failed = run(&sample.dir, &["show", "99999", "--format", "json"]);
    let document = json(&String::from_utf8(failed.stdout).unwrap());
    assert_eq!(document[0]["error"]["code"], "no-such-record");
    let file = sample.dir.join("audit.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"seq\":3", "nonsense", 1)).unwrap();
    let output = run(&sample.dir, &["query", "--no-index"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not a record"));
}

#[test]
fn a_hidden_record_is_found_by_check_and_the_index_is_removed() {
    let sample = sample::sample();
    let state = tempfile::tempdir().unwrap();
    let index = state.path().join("i");
    let path = index.to_str().unwrap();
    let query = ["query", "--decision", "denied", "--count", "--check", "--index", path];
    let count = ok(&sample.dir, &query);
    let db = rusqlite::Connection::open(&index).unwrap();
    db.execute("DELETE FROM records WHERE seq = ?1", [sample.at["metadata"].cast_signed()]).unwrap();
    drop(db);
    assert_ne!(ok(&sample.dir, &query[..4].iter().chain(&query[5..]).copied().collect::<Vec<_>>()), count);
    let checked = run(&sample.dir, &["index", "--check", "--index", path]);
    assert_eq!(checked.status.code(), Some(1));
    let output = run(&sample.dir, &query);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!index.exists());
    assert_eq!(ok(&sample.dir, &query), count);
}

#[test]
fn an_export_goes_to_a_new_file_and_its_lines_are_the_logs() {
    let sample = sample::sample();
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("copy.jsonl");
    let path = file.to_str().unwrap();
    ok(&sample.dir, &["export", "--to", "jsonl", "-o", path]);
    assert_eq!(fs::read(&file).unwrap(), fs::read(sample.dir.join("audit.jsonl")).unwrap());
    let report = stockade_audit::verify(&file, None).unwrap();
    assert!(report.is_sound());
    // What is there stays.
    assert_eq!(run(&sample.dir, &["export", "--to", "csv", "-o", path]).status.code(), Some(2));
    // A copy is a log, too.
    assert_eq!(ok(&file, &["query", "--count"]), ok(&sample.dir, &["query", "--count"]));
}

#[test]
fn records_go_to_a_journals_socket_one_a_datagram() {
    let sample = sample::sample();
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("journal");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let dir = sample.dir.clone();
    let address = path.to_str().unwrap().to_owned();
    let sender = std::thread::spawn(move || {
        run(&dir, &["export", "--to", "journald", "--socket", &address, "--layer", "seccomp,sigsys"])
    });
    let mut received = Vec::new();
    for _ in 0..2 {
        let mut buffer = vec![0; 1 << 16];
        let length = socket.recv(&mut buffer).unwrap();
        received.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    assert!(sender.join().unwrap().status.success());
    assert!(received[0].contains("\nSTOCKADE_OPERATION=execve\n") && received[0].ends_with('\n'));
    assert!(received[1].contains("\nSTOCKADE_LAYER=sigsys\n"));
    let missing = run(&sample.dir, &["export", "--to", "journald", "--socket", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(2));
}

/// A follower, and its lines.
struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Following {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child =
            program().args(arguments).arg("--audit").arg(dir).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_comes_is_followed_across_the_exchange_of_the_file() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refused("/old")).unwrap();
    let mut following = Following::start(&at.dir, &["tail", "-n", "1", "-f"]);
    assert!(following.next().contains("/old"));
    log.append(&refused("/one")).unwrap();
    assert!(following.next().contains("/one"));
    log.append(&refused("/two")).unwrap();
    log.append(&refused("/three")).unwrap();
    drop(log);
    // As a writer that goes on in another file leaves it.
    let file = at.dir.join("audit.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let next = at.dir.join("next");
    fs::write(&next, lines[5]).unwrap();
    fs::rename(&file, at.dir.join("audit-0.jsonl")).unwrap();
    fs::rename(&next, &file).unwrap();
    assert!(following.next().contains("/two"));
    assert!(following.next().contains("/three"));
    assert!(following.next().contains("close"));
}

#[test]
fn a_filter_holds_for_what_is_followed() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refused("/a/old")).unwrap();
    log.append(&refused("/b/old")).unwrap();
    let mut following = Following::start(&at.dir, &["tail", "-f", "--resource", "/a/*", "--no-index"]);
    assert!(following.next().contains("/a/old"));
    log.append(&refused("/b/new")).unwrap();
    log.append(&refused("/a/new")).unwrap();
    assert!(following.next().contains("/a/new"));
}

#[test]
fn a_log_that_is_cut_off_while_it_is_followed_ends_the_following() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refused("/old")).unwrap();
    let mut following = Following::start(&at.dir, &["tail", "-n", "1", "-f"]);
    assert!(following.next().contains("/old"));
    let file = fs::File::options().write(true).open(at.dir.join("audit.jsonl")).unwrap();
    file.set_len(10).unwrap();
    assert_eq!(following.child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_command_reads_along_and_its_end_is_the_programs() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refused("/old")).unwrap();
    let mut child = program()
        .args([
            "tail",
            "-n",
            "1",
            "-f",
            "--to",
            "jsonl",
            "--command",
            "sh -c 'read a; echo \"$a\"; read b; echo \"$b\"; exit 7'",
            "--audit",
        ])
        .arg(&at.dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("/old"));
    log.append(&refused("/new")).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("/new") && rest.lines().count() == 1, "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let missing = run(&at.dir, &["tail", "-f", "--to", "jsonl", "--command", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn an_auditor_who_may_only_read_is_served() {
    use std::os::unix::fs::PermissionsExt;
    let sample = sample::sample();
    let cache = tempfile::tempdir().unwrap();
    fs::set_permissions(&sample.dir, fs::Permissions::from_mode(0o500)).unwrap();
    let mut command = program();
    command.env("XDG_CACHE_HOME", cache.path());
    let output = command
        .args(["query", "--decision", "killed", "--count", "--audit"])
        .arg(&sample.dir)
        .output()
        .unwrap();
    fs::set_permissions(&sample.dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(output.status.success(), "{output:?}");
    if sample.dir.join("audit.index").exists() {
        println!("SKIPPED: an_auditor_who_may_only_read_is_served: this user may write everywhere");
        return;
    }
    assert_eq!(fs::read_dir(cache.path().join("stockade")).unwrap().count(), 1);
}

#[test]
fn whoever_closes_the_output_early_causes_no_error() {
    let sample = sample::sample();
    let mut child = program()
        .args(["export", "--to", "ocsf", "--audit"])
        .arg(&sample.dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}
