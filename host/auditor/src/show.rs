//! Records for people and for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stockade_audit::{Entry, Value as Detail};

use crate::output::{SCHEMA, safe};
use crate::source::Damage;

/// One record in one line.
pub(crate) fn summary(entry: &Entry) -> String {
    let record = &entry.record;
    let time = entry.time.get(..19).unwrap_or(&entry.time);
    let plugin = record.plugin.as_ref().map_or("-", |plugin| plugin.name.as_str());
    let mut text = format!(
        "{:>6}  {}Z  {:<8} {:<8} {:<12} {} {}",
        entry.seq,
        safe(time),
        record.layer.as_str(),
        record.decision.as_str(),
        safe(&record.event),
        safe(plugin),
        safe(&record.operation),
    );
    if !record.resource.is_empty() {
        text.push_str(&format!(" {}", safe(&record.resource)));
    }
    if !record.reason.is_empty() {
        text.push_str(&format!(": {}", safe(&record.reason)));
    }
    text.truncate(text.trim_end().len());
    text
}

/// One record with everything that it says, a line for each field.
pub(crate) fn details(entry: &Entry, intact: bool) -> Vec<String> {
    let record = &entry.record;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<10} {}", safe(value)));
        }
    };
    field("record", &entry.seq.to_string());
    field("time", &entry.time);
    field("monotonic", &entry.monotonic.to_string());
    field("boot", &entry.boot);
    field("layer", record.layer.as_str());
    field("evidence", record.layer.evidence().as_str());
    field("event", &record.event);
    field("decision", record.decision.as_str());
    if let Some(plugin) = &record.plugin {
        field("plugin", &format!("{} {} ({})", plugin.name, plugin.version, plugin.kind));
        field("digest", &plugin.digest);
    }
    field("launch", record.launch.as_deref().unwrap_or_default());
    field("call", &record.call.map(|call| call.to_string()).unwrap_or_default());
    field("operation", &record.operation);
    field("resource", &record.resource);
    if let Some(rule) = &record.rule {
        field("rule", &format!("{} ({})", rule.id, rule.source));
    }
    field("reason", &record.reason);
    field("next step", &record.next_step);
    for (key, value) in record.detail.iter() {
        match value {
            Detail::Text(text) => field(&safe(key), text),
            Detail::Number(number) => field(&safe(key), &number.to_string()),
        }
    }
    for (name, bytes) in &entry.cut {
        field("cut", &format!("{bytes} bytes of {name}"));
    }
    field("previous", &entry.prev.to_string());
    field("hash", &entry.hash.to_string());
    if !intact {
        lines.push(CHANGED.to_owned());
    }
    lines
}

/// What is said of a record whose hash is not that of its line.
pub(crate) const CHANGED: &str =
    "WARNING    the hash is not that of the line: this record was changed; run stockade-audit verify";

/// One record for programs.
pub(crate) fn document(entry: &Entry, intact: bool) -> Value {
    let record = &entry.record;
    json!({
        "schema": SCHEMA, "seq": entry.seq, "time": entry.time, "monotonic": entry.monotonic, "boot": entry.boot,
        "plugin": record.plugin.as_deref(), "launch": record.launch.as_deref(), "call": record.call,
        "layer": record.layer, "evidence": record.layer.evidence().as_str(), "event": record.event,
        "operation": record.operation, "resource": record.resource, "decision": record.decision,
        "rule": record.rule, "reason": record.reason, "next_step": record.next_step, "detail": detail(entry),
        "cut": entry.cut, "prev": entry.prev.to_string(), "hash": entry.hash.to_string(), "intact": intact,
    })
}

/// The details of a record as JSON has them.
pub(crate) fn detail(entry: &Entry) -> BTreeMap<&str, &Detail> {
    entry.record.detail.iter().collect()
}

/// A line that is no record, for people.
pub(crate) fn damage(damage: &Damage) -> String {
    format!(
        "byte {} of {} is not a record: {}; run stockade-audit verify",
        damage.offset,
        safe(&damage.file),
        safe(&damage.problem)
    )
}
