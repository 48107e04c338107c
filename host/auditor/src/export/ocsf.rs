//! OCSF 1.8.0 (schema.ocsf.io) with the profiles `security_control` and `host`.

use serde_json::{Map, Value, json};
use stockade_audit::{Decision, Entry, Layer};

use super::headline;
use super::severity::Severity;
use crate::filter::TRACE;
use crate::show::detail;
use crate::when::nanos_of;

/// The version of the schema.
const VERSION: &str = "1.8.0";

/// A class of events with the activity in it.
struct Class {
    uid: u32,
    name: &'static str,
    category: (u32, &'static str),
    activity: (u32, String),
    /// What the class has beyond what all have.
    of: Vec<(&'static str, Value)>,
}

const SYSTEM: (u32, &str) = (1, "System Activity");
const IDENTITY: (u32, &str) = (3, "Identity & Access Management");
const NETWORK: (u32, &str) = (4, "Network Activity");
const APPLICATION: (u32, &str) = (6, "Application Activity");

/// Methods that HTTP Activity has an activity for.
const METHODS: [(&str, u32, &str); 9] = [
    ("CONNECT", 1, "Connect"),
    ("DELETE", 2, "Delete"),
    ("GET", 3, "Get"),
    ("HEAD", 4, "Head"),
    ("OPTIONS", 5, "Options"),
    ("POST", 6, "Post"),
    ("PUT", 7, "Put"),
    ("TRACE", 8, "Trace"),
    ("PATCH", 9, "Patch"),
];

/// Operations on files, as activities of File System Activity.
const FILES: [(&str, u32, &str); 4] = [
    ("fs.create", 1, "Create"),
    ("fs.read", 2, "Read"),
    ("fs.write", 3, "Update"),
    ("fs.delete", 4, "Delete"),
];

/// What the policy's events are in Entity Management.
const ENTITIES: [(&str, u32, &str); 5] = [
    ("approved", 10, "Activate"),
    ("granted", 10, "Activate"),
    ("policy", 3, "Update"),
    ("revoked", 11, "Deactivate"),
    ("expired", 11, "Deactivate"),
];

/// One event.
pub(super) fn event(entry: &Entry, host: Option<&str>) -> Value {
    let record = &entry.record;
    let class = class(entry);
    let time = i64::try_from(nanos_of(&entry.time).unwrap_or_default() / 1_000_000).unwrap_or_default();
    let severity = Severity::of(entry);
    let (severity_id, severity_name) = severity.ocsf();
    let mut event = Map::new();
    let mut set = |key: &str, value: Value| {
        event.insert(key.to_owned(), value);
    };
    set("category_uid", json!(class.category.0));
    set("category_name", json!(class.category.1));
    set("class_uid", json!(class.uid));
    set("class_name", json!(class.name));
    set("activity_id", json!(class.activity.0));
    set("activity_name", json!(class.activity.1));
    set("type_uid", json!(class.uid * 100 + class.activity.0));
    set("type_name", json!(format!("{}: {}", class.name, class.activity.1)));
    set("time", json!(time));
    set("severity_id", json!(severity_id));
    set("severity", json!(severity_name));
    set("is_alert", json!(severity >= Severity::High));
    set("message", json!(headline(entry)));
    let (action, disposition) = outcome(entry);
    set("action_id", json!(action.0));
    set("action", json!(action.1));
    set("disposition_id", json!(disposition.0));
    set("disposition", json!(disposition.1));
    match record.decision {
        Decision::Allowed => {
            set("status_id", json!(1));
            set("status", json!("Success"));
        }
        Decision::Denied | Decision::Killed => {
            set("status_id", json!(2));
            set("status", json!("Failure"));
            set("status_detail", json!(record.reason));
        }
        Decision::Noted => {}
    }
    if let Some(rule) = &record.rule {
        set("policy", json!({ "uid": rule.id, "name": rule.source }));
    }
    set("actor", actor(entry));
    set("device", device(entry, host));
    set("metadata", metadata(entry));
    if record.layer == Layer::Log && record.event == "flood" {
        set("count", json!(record.detail.number("count")));
        for (key, of) in [("start_time", "first"), ("end_time", "last")] {
            if let Some(nanos) = record.detail.text(of).and_then(nanos_of) {
                set(key, json!(i64::try_from(nanos / 1_000_000).unwrap_or_default()));
            }
        }
    }
    for (key, value) in class.of {
        set(key, value);
    }
    set("unmapped", unmapped(entry));
    Value::Object(event)
}

type Named = (u32, &'static str);

/// `action_id` and `disposition_id`. A flood's are those of what it counts.
fn outcome(entry: &Entry) -> (Named, Named) {
    let record = &entry.record;
    let counted = |decision: Decision| record.detail.number(decision.as_str()).unwrap_or(0) > 0;
    let decision = match record.layer {
        Layer::Log if record.event == "flood" && (counted(Decision::Denied) || counted(Decision::Killed)) => {
            Decision::Denied
        }
        Layer::Log if record.event == "flood" && counted(Decision::Allowed) => Decision::Allowed,
        _ => record.decision,
    };
    match decision {
        Decision::Allowed => ((1, "Allowed"), (1, "Allowed")),
        Decision::Denied | Decision::Killed => ((2, "Denied"), (2, "Blocked")),
        Decision::Noted => ((3, "Observed"), (17, "Logged")),
    }
}

fn class(entry: &Entry) -> Class {
    let record = &entry.record;
    let resource = record.resource.as_ref();
    let known = |table: &[(&str, u32, &'static str)], name: &str| {
        let found = table.iter().find(|(key, ..)| *key == name);
        found.map_or_else(|| (99, name.to_owned()), |(_, id, caption)| (*id, (*caption).to_owned()))
    };
    let counted = record.detail.text("layer").filter(|_| record.layer == Layer::Log);
    let is_call = record.layer == Layer::Seccomp || counted == Some(Layer::Seccomp.as_str());
    if record.operation.starts_with("fs.") && !resource.is_empty() {
        let name = resource.rsplit('/').find(|part| !part.is_empty()).unwrap_or(resource);
        let file = json!({ "name": name, "path": resource, "type_id": 0, "type": "Unknown" });
        return Class {
            uid: 1001,
            name: "File System Activity",
            category: SYSTEM,
            activity: known(&FILES, &record.operation),
            of: vec![("file", file)],
        };
    }
    if is_call {
        let call = record.operation.as_ref();
        let kernel = json!({ "name": call, "type_id": 2, "type": "System Call", "system_call": call });
        return Class {
            uid: 1003,
            name: "Kernel Activity",
            category: SYSTEM,
            activity: (4, "Invoke".into()),
            of: vec![("kernel", kernel)],
        };
    }
    if record.operation == "http" && !resource.is_empty() {
        return http(resource, |method| known(&METHODS, method));
    }
    match (record.layer, record.event.as_ref(), record.operation.as_ref()) {
        (_, "attested", _) => process(entry, (1, "Launch")),
        (_, "ended" | "not-ended" | "compile-ended" | "deadline" | "not-attested", _) => {
            process(entry, (2, "Terminate"))
        }
        (Layer::Policy, event, "approval" | "policy" | "load") => {
            let name = match (resource, &record.plugin) {
                ("", Some(plugin)) => plugin.name.as_str(),
                ("", None) => "policy",
                (resource, _) => resource,
            };
            let mut entity = json!({ "name": name, "type": record.operation });
            if let Some(number) = record.detail.number("approval") {
                entity["uid"] = json!(number.to_string());
            }
            Class {
                uid: 3004,
                name: "Entity Management",
                category: IDENTITY,
                activity: known(&ENTITIES, event),
                of: vec![("entity", entity)],
            }
        }
        (Layer::Log, event, _) if counted.is_none() => Class {
            uid: 6002,
            name: "Application Lifecycle",
            category: APPLICATION,
            activity: match event {
                "open" => (3, "Start".into()),
                "close" => (4, "Stop".into()),
                other => (99, other.to_owned()),
            },
            of: vec![("app", product())],
        },
        _ => {
            let operation =
                if record.operation.is_empty() { record.event.as_ref() } else { record.operation.as_ref() };
            let mut of = vec![
                ("api", json!({ "operation": operation, "service": { "name": "stockade" } })),
                ("src_endpoint", source(entry)),
            ];
            if !resource.is_empty() {
                of.push(("resources", json!([{ "name": resource }])));
            }
            Class {
                uid: 6003,
                name: "API Activity",
                category: APPLICATION,
                activity: (99, operation.to_owned()),
                of,
            }
        }
    }
}

/// A request: `GET https://host:8443/path`, or whatever a hostile worker sent in its place.
fn http(resource: &str, activity: impl Fn(&str) -> (u32, String)) -> Class {
    let (method, url) = resource.split_once(' ').unwrap_or(("", resource));
    let mut of_url = json!({ "url_string": url });
    let mut of = Vec::new();
    if let Some((scheme, rest)) = url.split_once("://") {
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        // The last colon, unless it is within the brackets of an IPv6 address.
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let (name, port) = port.map_or((authority, None), |(name, port)| (name, port.parse::<u16>().ok()));
        of_url["scheme"] = json!(scheme);
        of_url["hostname"] = json!(name);
        of_url["path"] = json!(path);
        let mut endpoint = json!({ "hostname": name });
        if let Some(port) = port.or(match scheme {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        }) {
            of_url["port"] = json!(port);
            endpoint["port"] = json!(port);
        }
        of.push(("dst_endpoint", endpoint));
    }
    let mut request = json!({ "url": of_url });
    if !method.is_empty() {
        request["http_method"] = json!(method);
    }
    of.push(("http_request", request));
    Class {
        uid: 4002,
        name: "HTTP Activity",
        category: NETWORK,
        activity: activity(if method.is_empty() { "request" } else { method }),
        of,
    }
}

fn process(entry: &Entry, activity: Named) -> Class {
    let record = &entry.record;
    let compiler = record.operation == "compile"
        || record.detail.text("filter").is_some_and(|filter| filter == "compiler");
    let mut process = json!({
        "name": if compiler { "stockade-compiler" } else { "stockade-worker" },
        "uid": record.launch.as_deref().unwrap_or("unknown"),
    });
    if let Some(pid) = record.detail.number("pid") {
        process["pid"] = json!(pid);
    }
    let mut of = vec![("process", process)];
    if let Some(code) = record.detail.number("exit_code") {
        of.push(("exit_code", json!(code)));
    }
    Class {
        uid: 1007,
        name: "Process Activity",
        category: SYSTEM,
        activity: (activity.0, activity.1.into()),
        of,
    }
}

fn product() -> Value {
    json!({ "name": "Stockade", "uid": "stockade", "vendor_name": "Stockade", "version": env!("CARGO_PKG_VERSION") })
}

/// Who did it: the plugin, or the host.
fn actor(entry: &Entry) -> Value {
    match entry.record.plugin.as_deref() {
        Some(plugin) => json!({ "app_name": plugin.name, "app_uid": plugin.digest }),
        None => json!({ "app_name": "stockade" }),
    }
}

/// Where an API call comes from: the plugin's worker.
fn source(entry: &Entry) -> Value {
    let mut source =
        json!({ "svc_name": entry.record.plugin.as_deref().map_or("stockade", |plugin| &plugin.name) });
    if let Some(launch) = &entry.record.launch {
        source["instance_uid"] = json!(launch.as_ref());
    }
    source
}

/// The machine. Its name is not in the log; which start of it is.
fn device(entry: &Entry, host: Option<&str>) -> Value {
    let mut device = json!({ "type_id": 0, "type": "Unknown", "boot_uid": entry.boot, "uid": entry.boot });
    if let Some(host) = host {
        device["hostname"] = json!(host);
    }
    device
}

fn metadata(entry: &Entry) -> Value {
    let record = &entry.record;
    let mut metadata = json!({
        "version": VERSION, "product": product(), "profiles": ["host", "security_control"],
        "uid": entry.hash.to_string(), "sequence": entry.seq.cast_signed(), "event_code": record.event,
        "log_name": "audit", "log_provider": "stockade", "log_version": "1", "original_time": entry.time,
    });
    if let Some(id) = record.detail.text(TRACE).or(record.launch.as_deref()) {
        metadata["correlation_uid"] = json!(id);
    }
    metadata
}

/// What OCSF has no place for, and what the places above were taken from.
fn unmapped(entry: &Entry) -> Value {
    let record = &entry.record;
    json!({
        "layer": record.layer, "evidence": record.layer.evidence().as_str(), "operation": record.operation,
        "resource": record.resource, "decision": record.decision, "next_step": record.next_step,
        "plugin_version": record.plugin.as_deref().map(|plugin| &plugin.version),
        "plugin_type": record.plugin.as_deref().map(|plugin| &plugin.kind),
        "launch": record.launch.as_deref(), "call": record.call.map(|call| call.to_string()),
        "monotonic": entry.monotonic.to_string(), "detail": detail(entry), "cut": entry.cut,
        "prev": entry.prev.to_string(),
    })
}
