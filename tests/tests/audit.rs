//! The log of a running host: its checkpoints reach whoever is to keep them, its key changes, its files are closed, and
//! what was kept elsewhere convicts whoever changes it.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use stockade_audit::{Trust, VerifierKey, verify_with};
use stockade_control::Request;
use stockade_tests::served::{Served, Site, until};
use stockade_tests::site::Site as Server;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A host whose checkpoints go to a file, to a command and to an address.
struct Kept {
    site: Site,
    server: Server,
}

impl Kept {
    fn new(more: &str) -> Kept {
        let (site, server) = (Site::new(), Server::plain());
        let by_command = site.path("by-command");
        site.configure(&format!(
            "[audit]\nfiles = [\"by-file\"]\ncommands = [[\"/bin/sh\", \"-c\", \"cat >> {}\"]]\n\
             urls = [\"http://{}/checkpoints?token=5e1f\"]\ncheckpoint_records = 5\ncheckpoint_every = \"1s\"\n{more}",
            by_command.display(),
            server.authority()
        ));
        site.enable("local/one", "");
        Kept { site, server }
    }

    fn folder(&self) -> PathBuf {
        self.site.state().join("audit")
    }

    fn key(&self) -> VerifierKey {
        let text =
            fs::read_to_string(self.folder().join("audit.vkey")).expect("the public key is beside the log");
        text.trim().parse().expect("a key")
    }

    fn by_file(&self) -> String {
        fs::read_to_string(self.site.path("by-file")).unwrap_or_default()
    }

    fn calls(&self, served: &Served<'_>, count: usize) {
        for _ in 0..count {
            let done = served.ask(&["call", "local/one", "stats", "--args", r#"{"text":"a b"}"#]);
            assert_eq!(done["status"], "ok", "{done}");
        }
    }

    /// What an auditor finds who kept a key and the checkpoints.
    fn findings(&self, key: &VerifierKey, kept: &str) -> Vec<String> {
        let trust = Trust { keys: vec![key.clone()], checkpoints: vec![kept.to_owned()], head: None };
        let report = verify_with(self.folder(), &trust).expect("the log can be read");
        report.findings.iter().map(ToString::to_string).collect()
    }
}

fn end(mut served: Served<'_>) {
    served.signal(Signal::SIGTERM);
    assert_eq!(served.ended().code(), Some(0));
}

#[test]
fn checkpoints_reach_whoever_keeps_them_and_convict_whoever_changes_the_log() {
    let kept = Kept::new("");
    let served = kept.site.serve();
    kept.calls(&served, 20);
    let (first, posted) = (kept.key(), || kept.server.seen());
    until("a checkpoint everywhere", || {
        let by_command = fs::read_to_string(kept.site.path("by-command")).unwrap_or_default();
        !kept.by_file().is_empty() && !by_command.is_empty() && !posted().is_empty()
    });
    assert!(posted()[0].starts_with("POST /checkpoints?token=5e1f"), "{:?}", posted());
    let by_file = kept.by_file();
    assert!(by_file.starts_with("stockade/") && by_file.contains("\n\n\u{2014} "), "{by_file}");

    // A new key, which the one before vouches for.
    let changed = kept.site.run(&["audit", "change-key"]);
    assert_eq!(changed.status.code(), Some(0), "{}", text(&changed.stderr));
    let second = kept.key();
    assert_eq!(text(&changed.stdout).trim(), second.to_string());
    assert_ne!(first, second);
    kept.calls(&served, 5);
    end(served);
    let checkpoints = kept.by_file();
    assert_eq!(
        kept.findings(&first, &checkpoints),
        Vec::<String>::new(),
        "the first key leads to the second"
    );
    let verified = kept.site.run(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));

    // Somebody who can write to the folder removes what came last, and every trace of it there.
    let log = kept.folder().join("audit.jsonl");
    let whole = fs::read(&log).unwrap();
    let cut = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    fs::write(&log, &whole[..cut]).unwrap();
    assert!(!kept.findings(&first, &checkpoints).is_empty(), "cut off");
    fs::write(&log, &whole).unwrap();
    // Or begins a new one in its place, with a key of its own.
    let away = kept.site.path("away");
    fs::rename(kept.folder(), &away).unwrap();
    end(kept.site.serve());
    assert!(!kept.findings(&first, &checkpoints).is_empty(), "another log");
}

#[test]
fn a_keeper_that_fails_is_recorded_and_holds_up_nothing() {
    let site = Site::new();
    site.configure(
        "[audit]\nfiles = [\"/nonexistent/folder/file\"]\ncommands = [[\"/bin/false\"]]\nurls = [\"http://127.0.0.1:9\"]\n\
         checkpoint_records = 5\ncheckpoint_every = \"1s\"\n",
    );
    site.enable("local/one", "");
    let served = site.serve();
    for _ in 0..10 {
        let done = served.ask(&["call", "local/one", "stats", "--args", r#"{"text":"a b"}"#]);
        assert_eq!(done["status"], "ok", "{done}");
    }
    let log = site.state().join("audit/audit.jsonl");
    until("the failures in the log", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        ["file /nonexistent", "command /bin/false", "url http://127.0.0.1:9/"]
            .iter()
            .all(|name| text.contains(name))
    });
    end(served);
    assert!(stockade_audit::verify(site.state().join("audit"), None).unwrap().is_sound());
}

#[test]
fn closed_files_are_compressed_and_old_ones_removed_and_what_is_left_verifies() {
    let kept = Kept::new("segment_size = \"16KiB\"\nkeep_segments = 2\n");
    let served = kept.site.serve();
    let first = kept.key();
    let closed = || closed_files(&kept.folder());
    until("three files were closed, and one of them removed", || {
        // Each leaves the records of a worker's end and of another's start.
        served.client().ask(&Request::Restart { plugin: "local/one".to_owned(), grace_ms: 100 }).unwrap();
        closed().len() == 2 && !closed().iter().any(|name| name.contains(&"0".repeat(20)))
    });
    assert!(closed().iter().all(|name| name.ends_with(".gz")), "{:?}", closed());
    end(served);
    let left = kept.findings(&first, &kept.by_file());
    assert_eq!(left, Vec::<String>::new());
    let verified = kept.site.run(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));
    // What was removed without being allowed to is missed.
    let name = closed().pop().unwrap();
    fs::remove_file(kept.folder().join(name)).unwrap();
    assert!(!kept.findings(&first, &kept.by_file()).is_empty());
}

fn closed_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let mut closed: Vec<_> = names.filter(|name| name.starts_with("audit-")).collect();
    closed.sort();
    closed
}
