//! `docs/audit.md` tells an auditor how to verify a log without Stockade; this does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stockade_audit::{Decision, Layer, Log, Options, Record, SegmentPolicy};

/// The Python block of the documentation, so that what is documented is what is tested.
fn script() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit.md");
    let docs = fs::read_to_string(docs).unwrap();
    let block = docs.split("```python\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

fn run(script: &str, files: &[PathBuf], test: &str) -> Option<Output> {
    match Command::new("python3").args(["-c", script]).args(files).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("SKIPPED: {test}: python3: {error}");
            None
        }
    }
}

/// The root that the log's last checkpoint signed.
fn signed_root(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("checkpoints")).unwrap();
    let notes: Vec<&str> = text.split("\n\n").collect();
    // Text, signatures, text, signatures, and the nothing after the last.
    notes[notes.len() - 3].lines().nth(2).unwrap().to_owned()
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).unwrap()
}

#[test]
fn f1_the_documented_script_agrees_and_finds_a_changed_byte() {
    let test = "f1_the_documented_script_agrees_and_finds_a_changed_byte";
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    let log = Log::open(&dir).unwrap();
    for text in ["/etc/passwd", "\u{202e}\n\u{1b}[2J", "=1+1", "漢字"] {
        log.append(&Record::new(Layer::Host, "refused", Decision::Denied).resource(text)).unwrap();
    }
    let head = log.close().unwrap();
    let file = dir.join("audit.jsonl");
    let script = script();
    let Some(output) = run(&script, std::slice::from_ref(&file), test) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let expected = format!("sound: head {head}\nroot of {} records: {}\n", head.seq + 1, signed_root(&dir));
    assert_eq!(said(&output), expected);

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("/etc/passwd", "/etc/Passwd")).unwrap();
    let output = run(&script, &[file], test).unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("audit.jsonl line 2: changed"), "{output:?}");
}

#[test]
fn f1_the_documented_script_reads_segments_compressed_or_not() {
    let test = "f1_the_documented_script_reads_segments_compressed_or_not";
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    let segments = SegmentPolicy { records: 7, ..SegmentPolicy::default() };
    let log = Log::open_with(&dir, Options { segments, ..Options::default() }).unwrap();
    for call in 0..30 {
        log.append(&Record::new(Layer::Host, "refused", Decision::Denied).call(call)).unwrap();
        if call == 20 {
            log.tidy().unwrap();
        }
    }
    let head = log.close().unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("audit-"))
        .collect();
    files.sort();
    assert!(files.len() >= 3 && files[0].extension().is_some_and(|ending| ending == "gz"), "{files:?}");
    files.push(dir.join("audit.jsonl"));
    let Some(output) = run(&script(), &files, test) else { return };
    let expected = format!("sound: head {head}\nroot of {} records: {}\n", head.seq + 1, signed_root(&dir));
    assert_eq!(said(&output), expected);
    files.remove(1);
    let output = run(&script(), &files, test).unwrap();
    assert!(!output.status.success() && said(&output).contains(" line 1: "), "{}", said(&output));
}
