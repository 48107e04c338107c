//! `docs/audit.md` tells an auditor how to verify a log without Stockade; this does it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use stockade_audit::{Decision, Layer, Log, Record};

/// The Python block of the documentation, so that what is documented is what is tested.
fn script() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit.md");
    let docs = fs::read_to_string(docs).unwrap();
    let block = docs.split("```python\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

fn run(script: &str, file: &Path) -> Option<Output> {
    match Command::new("python3").args(["-c", script]).arg(file).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: python3: {error}");
            None
        }
    }
}

#[test]
fn f1_the_documented_script_agrees_and_finds_a_changed_byte() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    let log = Log::open(&dir).unwrap();
    for text in ["/etc/passwd", "\u{202e}\n\u{1b}[2J", "=1+1", "漢字"] {
        log.append(&Record::new(Layer::Host, "refused", Decision::Denied).resource(text)).unwrap();
    }
    let head = log.close().unwrap();
    let file = dir.join("audit.jsonl");
    let script = script();
    let Some(output) = run(&script, &file) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), format!("sound: head {head}"));

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("/etc/passwd", "/etc/Passwd")).unwrap();
    let output = run(&script, &file).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2"), "{output:?}");
}
