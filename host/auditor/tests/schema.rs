//! `docs/schema/audit-record.v1.json` is what a record is: everything that the writer writes fits it, and what is
//! changed does not.

mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use stockade_audit::{Decision, Layer, Log, Plugin, Record};

fn schema() -> Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/audit-record.v1.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn lines(dir: &Path) -> Vec<String> {
    fs::read_to_string(dir.join("audit.jsonl")).unwrap().lines().map(str::to_owned).collect()
}

#[track_caller]
fn fits(schema: &Validator, line: &str) {
    let value: Value = serde_json::from_str(line).unwrap();
    let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}\n{line}");
}

#[test]
fn every_record_of_a_host_fits() {
    let sample = sample::sample();
    let (schema, lines) = (schema(), lines(&sample.dir));
    assert!(lines.len() > 100);
    lines.iter().for_each(|line| fits(&schema, line));
}

#[test]
fn fields_stand_in_the_documented_order() {
    let sample = sample::sample();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit.md");
    let docs = fs::read_to_string(path).unwrap();
    let table = docs.split("| field | what it is |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let fields: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert_eq!(fields.first(), Some(&"v"));
    for line in lines(&sample.dir) {
        let mut at = 0;
        for field in &fields {
            let key = format!("\"{field}\":");
            at += line[at..].find(&key).unwrap_or_else(|| panic!("{field} after byte {at} of {line}"));
        }
    }
}

/// What is done to a record, and that the schema then refuses it.
#[test]
fn a_changed_record_is_refused() {
    let sample = sample::sample();
    let schema = schema();
    let line = &lines(&sample.dir)[usize::try_from(sample.at["forbidden"]).unwrap()];
    let record: Value = serde_json::from_str(line).unwrap();
    let changed = |path: &str, value: Value| {
        let mut record = record.clone();
        *record.pointer_mut(path).unwrap() = value;
        assert!(!schema.is_valid(&record), "{path} = {}", record.pointer(path).unwrap());
    };
    changed("/v", json!(2));
    changed("/seq", json!(-1));
    changed("/seq", json!("1"));
    changed("/seq", json!(1.5));
    changed("/time", json!("2026-11-28T10:00:00Z"));
    changed("/time", json!("yesterday"));
    changed("/mono", json!(null));
    changed("/plugin", json!("name"));
    changed("/plugin/type", json!(7));
    changed("/launch", json!(7));
    changed("/call", json!("3"));
    changed("/layer", json!("kernel"));
    changed("/event", json!(null));
    changed("/operation", json!("x".repeat(129)));
    changed("/resource", json!("x".repeat(4097)));
    changed("/decision", json!("refused"));
    changed("/rule/id", json!(null));
    changed("/detail/args", json!(1.5));
    changed("/detail/args", json!(["a"]));
    changed("/detail/args", json!("x".repeat(513)));
    changed("/cut", json!([]));
    changed("/prev", json!("F".repeat(64)));
    changed("/hash", json!("0".repeat(63)));
    let fields: Vec<String> = record.as_object().unwrap().keys().cloned().collect();
    for field in fields {
        let mut record = record.clone();
        record.as_object_mut().unwrap().remove(&field);
        assert!(!schema.is_valid(&record), "without {field}");
    }
    for path in ["", "/plugin", "/rule"] {
        let mut record = record.clone();
        record.pointer_mut(path).unwrap().as_object_mut().unwrap().insert("more".into(), json!(1));
        assert!(!schema.is_valid(&record), "more in {path:?}");
    }
    let mut full = record;
    let detail = full["detail"].as_object_mut().unwrap();
    (0..40).for_each(|number| drop(detail.insert(format!("k{number}"), json!(1))));
    assert!(!schema.is_valid(&full), "more details than a record has");
}

fn text(most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..=most).prop_map(|chars| chars.into_iter().collect())
}

fn log() -> (tempfile::TempDir, PathBuf, Log) {
    let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let dir = state.path().join("audit");
    let log = Log::open(&dir).unwrap();
    (state, dir, log)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_fits(
        texts in proptest::collection::vec((text(5000), text(1200), text(140), text(140), text(70)), 1..4),
        details in proptest::collection::vec((text(80), text(600), any::<i64>()), 0..40),
        call in any::<Option<u64>>(),
    ) {
        let (_state, dir, log) = log();
        for (resource, reason, operation, name, event) in texts {
            let plugin = Plugin::new(name.clone(), name.clone(), name.clone(), name).shared();
            let mut record = Record::new(Layer::Host, event.clone(), Decision::Denied)
                .plugin(&plugin)
                .launch(event)
                .operation(operation.clone())
                .resource(resource)
                .rule(operation, reason.clone())
                .reason(reason.clone())
                .next_step(reason);
            record.call = call;
            for (key, text, number) in &details {
                record.detail.insert(key.clone(), text.clone());
                record.detail.insert(format!("n{key}"), *number);
            }
            log.append(&record).unwrap();
        }
        log.close().unwrap();
        let schema = schema();
        lines(&dir).iter().for_each(|line| fits(&schema, line));
    }
}
