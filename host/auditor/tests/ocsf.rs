//! What is exported as OCSF is OCSF: held against the schema of version 1.8.0, where a package has it here.
//!
//! `pip install ocsf-json-schema==1.2.0` for the python3 of the path, or of `STOCKADE_OCSF_PYTHON`.

mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use stockade_auditor::{Auditor, Exporter, Lookup, Question, Target};

/// Prints the schema of each class that is exported, with everything that it refers to.
const SCRIPT: &str = "
import json, sys
from ocsf_json_schema import get_ocsf_schema, OcsfJsonSchemaEmbedded
schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version='1.8.0'))
names = {uid: schema.lookup_class_name_from_uid(class_uid=uid) for uid in map(int, sys.argv[1:])}
of = lambda name: schema.get_class_schema(class_name=name, profiles=['host', 'security_control'])
print(json.dumps({uid: of(name) for uid, name in names.items()}))
";

fn events() -> Vec<Value> {
    let sample = sample::sample();
    let auditor = Auditor::open(&sample.dir, &Lookup::Scan).unwrap();
    let mut out = Vec::new();
    for host in [None, Some("worker-7.example".to_owned())] {
        let exporter = Exporter::new(Target::Ocsf, host);
        auditor.find(&Question::default(), &mut |located| exporter.record(&located, &mut out)).unwrap();
    }
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_event_fits_the_schema_of_its_class() {
    let events = events();
    let classes: BTreeSet<String> = events.iter().map(|event| event["class_uid"].to_string()).collect();
    let python = std::env::var("STOCKADE_OCSF_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(&python).args(["-c", SCRIPT]).args(&classes).output();
    let schemas = match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            let why = why.lines().last().unwrap_or_default();
            println!("SKIPPED: every_event_fits_the_schema_of_its_class: {python}: {why}");
            return;
        }
        Err(error) => {
            println!("SKIPPED: every_event_fits_the_schema_of_its_class: {python}: {error}");
            return;
        }
    };
    let schemas: BTreeMap<String, Value> = serde_json::from_slice(&schemas).unwrap();
    assert_eq!(schemas.keys().collect::<Vec<_>>(), classes.iter().collect::<Vec<_>>());
    let validators: BTreeMap<&String, _> =
        schemas.iter().map(|(uid, schema)| (uid, jsonschema::draft202012::new(schema).unwrap())).collect();
    for event in &events {
        let validator = &validators[&event["class_uid"].to_string()];
        let errors: Vec<String> =
            validator.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{event:#}");
    }
    // A field that the schema does not have is an error: the schema looks.
    let mut wrong = events[0].clone();
    wrong["not_ocsf"] = 1.into();
    assert!(!validators[&wrong["class_uid"].to_string()].is_valid(&wrong));
}

#[test]
fn denials_are_denied_and_blocked_in_the_class_of_their_resource() {
    let sample = sample::sample();
    let events = events();
    let at = |name: &str| &events[usize::try_from(sample.at[name]).unwrap()];
    for (name, class, activity) in [
        ("metadata", 4002, 3),
        ("tracker", 4002, 6),
        ("agent-read", 1001, 2),
        ("quota", 1001, 3),
        ("forbidden", 1003, 4),
        ("budget", 6003, 99),
        ("foreign", 1007, 2),
        ("fault", 6003, 99),
        ("flood", 1001, 2),
    ] {
        let event = at(name);
        assert_eq!((&event["class_uid"], &event["activity_id"]), (&class.into(), &activity.into()), "{name}");
        assert_eq!(event["type_uid"], class * 100 + activity, "{name}");
        assert_eq!((&event["action_id"], &event["disposition_id"]), (&2.into(), &2.into()), "{name}");
    }
    for (name, class, activity) in [
        ("attested", 1007, 1),
        ("ended", 1007, 2),
        ("granted", 3004, 10),
        ("approved", 3004, 10),
        ("open", 6002, 3),
    ] {
        let event = at(name);
        assert_eq!((&event["class_uid"], &event["activity_id"]), (&class.into(), &activity.into()), "{name}");
        assert_ne!(event["action_id"], 2, "{name}");
    }
    assert_eq!(at("metadata")["dst_endpoint"]["hostname"], "169.254.169.254");
    assert_eq!(at("metadata")["dst_endpoint"]["port"], 80);
    assert_eq!(at("forbidden")["severity_id"], 5);
    let count = at("flood")["count"].as_u64().unwrap();
    assert!((800..1000).contains(&count), "{count}");
}
