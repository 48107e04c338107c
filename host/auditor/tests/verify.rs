//! The program as an auditor runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stockade_audit::{Decision, Layer, Log, Options, Record, SegmentPolicy};

struct Scene {
    _folder: tempfile::TempDir,
    dir: PathBuf,
    key: String,
    head: String,
    kept: PathBuf,
}

/// A log of three files, its key, a checkpoint and its head, the last three copied elsewhere.
fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    let segments = SegmentPolicy { records: 10, ..SegmentPolicy::default() };
    let log = Log::open_with(&dir, Options { segments, ..Options::default() }).unwrap();
    let kept = folder.path().join("kept");
    for call in 0..25 {
        log.append(&Record::new(Layer::Host, "refused", Decision::Denied).call(call).resource("/etc/x"))
            .unwrap();
        if call == 15 {
            fs::write(&kept, log.checkpoint().unwrap()).unwrap();
        }
    }
    log.tidy().unwrap();
    let head = log.close().unwrap().to_string();
    let key = fs::read_to_string(dir.join("audit.vkey")).unwrap().trim().to_owned();
    Scene { _folder: folder, dir, key, head, kept }
}

fn run(arguments: &[&str], log: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_stockade-audit"))
        .arg("verify")
        .arg(log)
        .args(arguments)
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn a_sound_log_is_0_and_says_what_was_not_checked() {
    let scene = scene();
    let (code, text) = run(&[], &scene.dir);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("sound: ") && text.contains(", 3 files"), "{text}");
    assert!(text.contains("not checked against a key from elsewhere"), "{text}");
    assert!(text.contains(&format!("head: {}", scene.head)), "{text}");

    let kept = scene.kept.to_str().unwrap();
    let file = scene.dir.join("audit.vkey");
    for key in [&scene.key, file.to_str().unwrap()] {
        let (code, text) = run(&["--key", key, "--checkpoint", kept, "--head", &scene.head], &scene.dir);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("continues 1 checkpoints") && !text.contains("from elsewhere: give"), "{text}");
    }
    let (code, text) = run(&["--key", &scene.key, "--format", "json"], &scene.dir);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &document["sound"], &document["files"]), (0, &true.into(), &3.into()));
    assert_eq!(document["signatures"]["signed"], document["records"]);
}

#[test]
fn f1_a_log_that_was_changed_or_set_back_is_1_with_the_file_and_line() {
    let scene = scene();
    let file = scene.dir.join("audit.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("/etc/x", "/etc/y", 1)).unwrap();
    let (code, said) = run(&["--key", &scene.key], &scene.dir);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("NOT SOUND") && said.contains("was changed") && said.starts_with("line "),
        "{said}"
    );
    let first: Vec<&str> = text.split_inclusive('\n').take(1).collect();
    fs::write(&file, first.concat()).unwrap();
    let (code, said) = run(&["--head", &scene.head], &scene.dir);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cut off"), "{said}");
}

#[test]
fn what_cannot_be_used_is_2_and_names_the_argument() {
    let scene = scene();
    for (arguments, field) in [
        (vec!["--key", "no-key"], "--key"),
        (vec!["--head", "7"], "--head"),
        (vec!["--checkpoint", "/nowhere"], "--checkpoint"),
        (vec!["--checkpoint", scene.dir.join("audit.vkey").to_str().unwrap()], "--checkpoint"),
    ] {
        let (code, text) = run(&arguments, &scene.dir);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(field) && text.contains("next step"), "{text}");
    }
    assert_eq!(run(&[], Path::new("/nowhere")).0, 2);
    assert_eq!(run(&["--unknown"], &scene.dir).0, 2);
}
