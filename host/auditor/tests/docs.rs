//! Every example of `docs/auditing.md` is run, against the log that its output is from.

mod sample;

use std::path::Path;
use std::process::Command;

use stockade_auditor::words;

/// A command, and the lines that it is documented to print. A line `...` stands for any lines.
struct Example {
    command: String,
    lines: Vec<String>,
}

fn examples() -> Vec<Example> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/auditing.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let mut examples: Vec<Example> = Vec::new();
    for block in docs.split("```console\n").skip(1) {
        for line in block.split("\n```").next().unwrap().lines() {
            match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => {
                    examples.push(Example { command: command.to_owned(), lines: Vec::new() })
                }
                (None, Some(example)) => example.lines.push(line.to_owned()),
                (None, None) => panic!("output without a command: {line}"),
            }
        }
    }
    examples
}

#[test]
fn every_documented_example_prints_what_is_documented() {
    let sample = sample::sample();
    let examples = examples();
    assert!(sample.at["close"] > 100);
    assert!(examples.len() > 15, "{}", examples.len());
    for Example { command, lines } in examples {
        let words = words(&command).unwrap();
        assert_eq!(words[0], "stockade-audit");
        let output = Command::new(env!("CARGO_BIN_EXE_stockade-audit"))
            .args(&words[1..])
            .arg("--audit")
            .arg(&sample.dir)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<String> = said.lines().map(lasting).collect();
        let lines: Vec<String> = lines.iter().map(|line| lasting(line)).collect();
        assert!(
            fits(&lines, &said),
            "{command} prints\n{}\ninstead of\n{}",
            said.join("\n"),
            lines.join("\n")
        );
    }
}

/// A line without what differs from log to log: hashes, and the start of the machine.
fn lasting(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain([' ']) {
        if c.is_ascii_hexdigit() || c == '-' {
            word.push(c);
            continue;
        }
        match word.len() {
            64 => out.push_str("HASH"),
            36 if word.matches('-').count() == 4 => out.push_str("BOOT"),
            _ => out.push_str(&word),
        }
        word.clear();
        out.push(c);
    }
    out.trim_end().to_owned()
}

fn fits(documented: &[String], said: &[String]) -> bool {
    match documented.split_first() {
        None => said.is_empty(),
        Some((line, rest)) if line == "..." => (0..=said.len()).any(|skipped| fits(rest, &said[skipped..])),
        Some((line, rest)) => {
            said.split_first().is_some_and(|(first, others)| first == line && fits(rest, others))
        }
    }
}

#[test]
fn every_filter_and_target_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/auditing.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let help = |command: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_stockade-audit")).args([command, "--help"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for option in help("query").split_whitespace().filter(|word| word.starts_with("--")) {
        let option = option.trim_end_matches([',', ']']);
        assert!(docs.contains(option) || ["--audit", "--help"].contains(&option), "{option}");
    }
    for target in ["jsonl", "ocsf", "csv", "syslog", "journald", "otlp-json"] {
        assert!(docs.contains(&format!("| `{target}` |")) && help("export").contains(target), "{target}");
    }
}
