//! Whatever stands in a record, it stays one line, one cell, one event, and moves no terminal.

mod sample;

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;
use stockade_audit::{Decision, Layer, Log, Plugin, Record};
use stockade_auditor::{Auditor, Exporter, Filter, Lookup, Question, Stats, Target, explain};

/// Records in one log: opening one costs more than writing to it.
const BATCH: usize = 64;

/// Cases, in all: ten thousand, unless somebody wants more.
fn batches() -> u32 {
    let cases =
        if std::env::var("STOCKADE_CYCLES").is_ok_and(|cycles| cycles == "full") { 100_000 } else { 10_000 };
    cases / u32::try_from(BATCH).unwrap() + 1
}

/// What has broken some program's output before.
const NASTY: &[&str] = &[
    "\n",
    "\r\n",
    "\r",
    "\0",
    "\t",
    "\u{1b}[2J",
    "\u{1b}]8;;http://x\u{7}",
    "\u{9b}31m",
    "\u{202e}",
    "\u{2066}",
    "\u{2028}",
    "\u{2029}",
    "\u{85}",
    "\u{feff}",
    "\u{200b}",
    "\u{e0041}",
    "\"",
    "\\",
    "'",
    "]",
    "[",
    "}",
    "{",
    ",",
    ";",
    "|",
    "=",
    "+",
    "-",
    "@",
    "＝",
    "\u{fffd}",
    "<165>1 ",
    "__REALTIME_TIMESTAMP=",
    "\n\n",
    "%s%n",
    "${jndi:ldap://x}",
    "\\u001b",
    "\\n",
    "\u{7f}",
    "\u{c}",
    "\u{b}",
    "\u{10ffff}",
    "\"}\n{\"v\":1",
    "\",\"decision\":\"allowed",
    "\n  It was allowed.",
    "=cmd|' /C calc'!A0",
    "漢",
    "é",
    "🦀",
    "\u{301}",
];

fn hostile(most: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(NASTY).prop_map(str::to_owned),
        2 => any::<char>().prop_map(String::from),
        1 => "[a-z/.]{0,12}",
        1 => any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    proptest::collection::vec(piece, 0..=most).prop_map(|pieces| pieces.concat())
}

prop_compose! {
    fn record()(
        layer in proptest::sample::select(&Layer::ALL[..9]),
        decision in proptest::sample::select(&Decision::ALL[..]),
        event in prop_oneof![hostile(3), Just("refused".to_owned()), Just("ended".to_owned()), Just("approved".to_owned())],
        plugin in proptest::option::of((hostile(4), hostile(2), hostile(2), hostile(2))),
        launch in proptest::option::of(hostile(2)),
        call in any::<Option<u64>>(),
        operation in prop_oneof![hostile(3), Just("http".to_owned()), Just("fs.read".to_owned()), Just("approval".to_owned())],
        resource in prop_oneof![hostile(12), hostile(3).prop_map(|rest| format!("GET https://{rest}/{rest}"))],
        rule in proptest::option::of((hostile(4), hostile(4))),
        (reason, next_step) in (hostile(6), hostile(4)),
        details in proptest::collection::vec((hostile(2), hostile(4)), 0..4),
        trace in proptest::option::of(hostile(2)),
        long in proptest::bool::weighted(0.01),
    ) -> Record {
        let mut record = Record::new(layer, event, decision).operation(operation).reason(reason).next_step(next_step);
        record.resource = if long { resource.repeat(1_000_000 / resource.len().max(1)) } else { resource }.into();
        record.plugin = plugin.map(|(name, version, digest, kind)| Plugin::new(name, version, digest, kind).shared());
        record.launch = launch.map(Into::into);
        record.call = call;
        if let Some((id, source)) = rule {
            record = record.rule(id, source);
        }
        for (key, value) in details {
            record.detail.insert(key, value);
        }
        if let Some(trace) = trace {
            record.detail.insert("trace", trace);
        }
        record
    }
}

/// A log with these records. Killed ones are never counted away, and floods of so few are none.
fn log(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
    let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let dir = state.path().join("audit");
    let log = Log::open(&dir).unwrap();
    for record in records {
        assert!(log.append(record).unwrap().verbatim);
    }
    log.close().unwrap();
    (state, dir)
}

/// Everything that is exported, as one text.
fn export(auditor: &Auditor, target: Target) -> String {
    let exporter = Exporter::new(target, None);
    let mut out = Vec::new();
    exporter.begin(&mut out).unwrap();
    auditor.find(&Question::default(), &mut |located| exporter.record(&located, &mut out)).unwrap();
    String::from_utf8(out).unwrap()
}

/// Whether a text only stands there: `ends` are the characters that end its lines.
#[track_caller]
fn is_still(text: &str, ends: &[char]) {
    for c in text.chars() {
        let moves = c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        assert!(!moves || ends.contains(&c), "{c:?} in {:?}", &text[..text.len().min(2000)]);
    }
}

/// Splits RFC 4180 by its rules alone.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quoted, c) {
            (true, '"') if chars.peek() == Some(&'"') => {
                cell.push('"');
                chars.next();
            }
            (_, '"') => quoted = !quoted,
            (false, ',') => row.push(std::mem::take(&mut cell)),
            (false, '\r') => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (_, c) => cell.push(c),
        }
    }
    assert!(!quoted && cell.is_empty() && row.is_empty(), "the text ends within a row");
    rows
}

/// Reads a message of RFC 5424: says its parameters, and what is left.
fn syslog(line: &str) -> (Vec<(String, String)>, String) {
    let mut parts = line.splitn(7, ' ');
    let head: Vec<&str> = parts.by_ref().take(6).collect();
    assert!(head[0].starts_with('<') && head[0].ends_with(">1"), "{line}");
    assert!(
        head[1..].iter().all(|field| !field.is_empty() && field.chars().all(|c| c.is_ascii_graphic())),
        "{line}"
    );
    let rest = parts.next().unwrap();
    let mut rest = rest.strip_prefix("[stockade@32473").unwrap();
    let mut params = Vec::new();
    while let Some(param) = rest.strip_prefix(' ') {
        let (name, value) = param.split_once("=\"").unwrap();
        assert!(name.len() <= 32 && name.chars().all(|c| c.is_ascii_alphanumeric()), "{name:?}");
        let (mut text, mut escaped, mut end) = (String::new(), false, None);
        for (at, c) in value.char_indices() {
            match (escaped, c) {
                (true, c) => {
                    text.push(c);
                    escaped = false;
                }
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = Some(at);
                    break;
                }
                (false, c) => {
                    assert_ne!(c, ']', "{line}");
                    text.push(c);
                }
            }
        }
        params.push((name.to_owned(), text));
        rest = &value[end.unwrap() + 1..];
    }
    (params, rest.strip_prefix("] ").unwrap().to_owned())
}

fn check(records: &[Record]) {
    let (_state, dir) = log(records);
    let auditor = Auditor::open(&dir, &Lookup::Scan).unwrap();
    let count = records.len() + 2;
    let raw = std::fs::read_to_string(dir.join("audit.jsonl")).unwrap();

    let jsonl = export(&auditor, Target::Jsonl);
    assert_eq!(jsonl, raw, "lines of the log go out as they stand there");
    is_still(&jsonl, &['\n']);

    for target in [Target::Ocsf, Target::OtlpJson] {
        let text = export(&auditor, target);
        is_still(&text, &['\n']);
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), count, "{target:?}");
        for (event, record) in events[1..].iter().zip(records) {
            let resource = match target {
                Target::Ocsf => event["unmapped"]["resource"].clone(),
                _ => {
                    let attributes = &event["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"];
                    let attributes = attributes.as_array().unwrap();
                    let found = attributes.iter().find(|attribute| attribute["key"] == "stockade.resource");
                    found.map_or_else(|| "".into(), |found| found["value"]["stringValue"].clone())
                }
            };
            // The same value, up to the log's bound.
            assert!(record.resource.starts_with(resource.as_str().unwrap()), "{target:?}");
        }
    }

    let text = export(&auditor, Target::Csv);
    is_still(&text, &['\r', '\n']);
    let rows = cells(&text);
    assert_eq!(rows.len(), count + 1);
    assert_eq!(text.matches('\n').count(), count + 1, "a row is a line");
    for cell in rows.iter().flatten() {
        let first = cell.trim_start().chars().next();
        assert!(!first.is_some_and(|c| "=+-@\t\r＝＋－＠".contains(c)), "{cell:?}");
    }
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));

    let text = export(&auditor, Target::Syslog);
    is_still(&text, &['\n']);
    assert_eq!(text.lines().count(), count);
    for (number, line) in text.lines().enumerate() {
        let (params, _) = syslog(line);
        assert_eq!(params[0], ("seq".to_owned(), number.to_string()));
        assert_eq!(params.iter().filter(|(name, _)| name == "decision").count(), 1);
    }

    let text = export(&auditor, Target::Journald);
    is_still(&text, &['\n']);
    let entries: Vec<&str> = text.strip_suffix("\n\n").unwrap().split("\n\n").collect();
    assert_eq!(entries.len(), count);
    for entry in entries {
        for line in entry.lines() {
            let (name, _) = line.split_once('=').unwrap();
            assert!(
                name.len() <= 64
                    && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            );
        }
        let begins = |name: &str| entry.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!((begins("STOCKADE_DECISION="), begins("__REALTIME_TIMESTAMP=")), (1, 1), "{entry}");
    }

    let mut stats = Stats::by(None);
    auditor
        .find(&Question::default(), &mut |located| {
            stats.count(&located.entry);
            stats.flood(&located.entry, &Filter::default());
            Ok(())
        })
        .unwrap();
    assert!(format!("{stats:?}").contains("records"));
    // One story of each batch: it asks the log for much.
    let story = explain(&auditor, 1).unwrap();
    for (_, sentences) in &story.parts {
        sentences.iter().for_each(|sentence| is_still(sentence, &[]));
    }
}

#[test]
fn f2_no_text_leaves_its_place_in_any_export() {
    let config = ProptestConfig {
        cases: batches(),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    proptest!(config, |(records in proptest::collection::vec(record(), BATCH))| check(&records));
}

#[test]
fn f2_every_nasty_piece_in_every_field_alone() {
    let records: Vec<Record> = NASTY
        .iter()
        .map(|nasty| {
            let nasty = (*nasty).to_owned();
            Record::new(Layer::Host, nasty.clone(), Decision::Killed)
                .plugin(&Plugin::new(nasty.clone(), nasty.clone(), nasty.clone(), nasty.clone()).shared())
                .launch(nasty.clone())
                .operation(nasty.clone())
                .resource(nasty.clone())
                .rule(nasty.clone(), nasty.clone())
                .reason(nasty.clone())
                .next_step(nasty.clone())
                .detail(nasty.clone(), nasty)
        })
        .collect();
    check(&records);
}

#[test]
fn f2_a_host_of_every_event_is_exported_whole() {
    let sample = sample::sample();
    let auditor = Auditor::open(&sample.dir, &Lookup::Scan).unwrap();
    let lines = usize::try_from(sample.at["close"]).unwrap() + 1;
    for target in [Target::Ocsf, Target::OtlpJson, Target::Syslog, Target::Jsonl] {
        assert_eq!(export(&auditor, target).lines().count(), lines, "{target:?}");
    }
}
