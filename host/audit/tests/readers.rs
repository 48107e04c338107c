//! A group of auditors reads the log and nothing else; it changes nothing, and has no way to the key.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use stockade_audit::{Decision, Layer, Log, Options, Record, SegmentPolicy, verify};

/// The group of `nobody`: root may give it, and no test's user is in it by chance. Others may only give their own.
fn group() -> u32 {
    if nix::unistd::geteuid().is_root() { 65_534 } else { nix::unistd::getegid().as_raw() }
}

fn options(readers: Option<u32>) -> Options {
    let segments = SegmentPolicy { records: 6, ..SegmentPolicy::default() };
    Options { segments, readers, ..Options::default() }
}

fn append(log: &Log, count: u64) {
    for call in 0..count {
        let record = Record::new(Layer::Host, "refused", Decision::Denied).call(call);
        log.append(&record).unwrap();
    }
}

/// Names, modes and groups.
fn listed(dir: &Path) -> Vec<(String, u32, u32)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let stat = entry.metadata().unwrap();
            (entry.file_name().into_string().unwrap(), stat.mode() & 0o7777, stat.gid())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn f9_a_group_reads_everything_but_the_key_and_what_is_made_later_too() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    // First for nobody, so that what is there already is opened as well.
    let log = Log::open_with(&dir, options(None)).unwrap();
    append(&log, 20);
    log.close().unwrap();
    assert!(listed(&dir).iter().all(|(_, mode, _)| *mode == 0o600), "{:?}", listed(&dir));
    drop(log);

    let log = Log::open_with(&dir, options(Some(group()))).unwrap();
    append(&log, 20);
    log.tidy().unwrap();
    log.change_key().unwrap();
    append(&log, 20);
    log.close().unwrap();
    drop(log);
    let stat = fs::metadata(&dir).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.gid()), (0o2750, group()));
    let files = listed(&dir);
    assert!(files.iter().any(|(name, ..)| name.ends_with(".gz")) && files.len() > 8, "{files:?}");
    for (name, mode, gid) in &files {
        if name == "audit.key" {
            assert_eq!(*mode, 0o600, "{name}");
        } else {
            assert_eq!((*mode, *gid), (0o640, group()), "{name}");
        }
    }
    // It goes on for the same group without being told, and is as sound as before.
    let log = Log::open_with(&dir, options(None)).unwrap();
    append(&log, 20);
    log.close().unwrap();
    let open = listed(&dir).iter().filter(|(_, mode, _)| *mode == 0o640).count();
    assert_eq!(open + 1, listed(&dir).len(), "{:?}", listed(&dir));
    assert!(verify(&dir, None).unwrap().is_sound());
}

#[test]
fn f9_an_auditor_reads_and_cannot_write() {
    const TEST: &str = "f9_an_auditor_reads_and_cannot_write";
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: {TEST}: only root can be an auditor, too");
        return;
    }
    let state = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let dir = state.path().join("audit");
    let log = Log::open_with(&dir, options(Some(group()))).unwrap();
    append(&log, 20);
    log.close().unwrap();
    // A user of its own who is in that group and in no other.
    let as_auditor = |script: &str| {
        let done =
            Command::new("/bin/sh").args(["-c", script]).current_dir(&dir).uid(64_999).gid(group()).output();
        let done = done.unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let (read, text) = as_auditor("cat audit.jsonl checkpoints audit.vkey");
    assert!(read && text.contains("\"event\":\"close\"") && text.contains("stockade/"), "{text}");
    for forbidden in ["cat audit.key", "echo >> audit.jsonl", "rm audit.jsonl", "touch x", "mv audit.vkey y"]
    {
        assert!(!as_auditor(forbidden).0, "{forbidden}");
    }
}
