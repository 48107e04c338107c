//! OpenTelemetry's log data model, as OTLP has it in JSON: numbers of 64 bits are texts, enums are numbers.

use serde_json::{Value, json};
use stockade_audit::{Entry, Value as Detail};

use super::headline;
use super::severity::Severity;
use crate::when::nanos_of;

/// A `LogsData` with one record.
pub(super) fn logs(entry: &Entry, host: Option<&str>) -> Value {
    let record = &entry.record;
    let time = nanos_of(&entry.time).unwrap_or_default().to_string();
    let (number, name) = Severity::of(entry).otel();
    let mut attributes = Vec::new();
    let mut text = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            attributes.push(attribute(key, json!({ "stringValue": value })));
        }
    };
    let plugin = record.plugin.as_deref();
    text("stockade.plugin.name", plugin.map(|plugin| plugin.name.as_str()));
    text("stockade.plugin.version", plugin.map(|plugin| plugin.version.as_str()));
    text("stockade.plugin.digest", plugin.map(|plugin| plugin.digest.as_str()));
    text("stockade.plugin.type", plugin.map(|plugin| plugin.kind.as_str()));
    text("stockade.launch", record.launch.as_deref());
    text("stockade.layer", Some(record.layer.as_str()));
    text("stockade.evidence", Some(record.layer.evidence().as_str()));
    text("stockade.operation", Some(&record.operation));
    text("stockade.resource", Some(&record.resource));
    text("stockade.decision", Some(record.decision.as_str()));
    text("stockade.rule.id", record.rule.as_ref().map(|rule| rule.id.as_ref()));
    text("stockade.rule.source", record.rule.as_ref().map(|rule| rule.source.as_ref()));
    text("stockade.reason", Some(&record.reason));
    text("stockade.next_step", Some(&record.next_step));
    text("stockade.boot", Some(&entry.boot));
    text("log.record.uid", Some(&entry.hash.to_string()));
    let mut whole =
        |key: &str, number: String| attributes.push(attribute(key, json!({ "intValue": number })));
    whole("stockade.seq", entry.seq.cast_signed().to_string());
    whole("stockade.monotonic", entry.monotonic.cast_signed().to_string());
    if let Some(call) = record.call {
        whole("stockade.call", call.cast_signed().to_string());
    }
    // One attribute: its keys may be a plugin's words.
    let detail = record.detail.iter().map(|(key, value)| {
        attribute(
            key,
            match value {
                Detail::Text(text) => json!({ "stringValue": text }),
                Detail::Number(number) => json!({ "intValue": number.to_string() }),
            },
        )
    });
    let detail: Vec<Value> = detail.collect();
    if !detail.is_empty() {
        attributes.push(attribute("stockade.detail", json!({ "kvlistValue": { "values": detail } })));
    }
    let mut resource = vec![attribute("service.name", json!({ "stringValue": "stockade" }))];
    if let Some(host) = host {
        resource.push(attribute("host.name", json!({ "stringValue": host })));
    }
    json!({ "resourceLogs": [{
        "resource": { "attributes": resource },
        "scopeLogs": [{
            "scope": { "name": "stockade.audit", "version": env!("CARGO_PKG_VERSION") },
            "logRecords": [{
                "timeUnixNano": time, "observedTimeUnixNano": time, "severityNumber": number,
                "severityText": name, "eventName": format!("stockade.{}.{}", record.layer, record.event),
                "body": { "stringValue": headline(entry) }, "attributes": attributes,
            }],
        }],
    }]})
}

fn attribute(key: &str, value: Value) -> Value {
    json!({ "key": key, "value": value })
}
