//! `stockade audit`: what the log says, and whether it can be believed.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use stockade_audit::{AuditError, Entry, Evidence, Head, Log, Reader, Report, verify};
use stockade_control::{Reply, Request};
use stockade_package::Problem;

use crate::args::{Asking, Audit, AuditCommand, Places};
use crate::control;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};

/// How much of the log `tail` reads at first, for each record asked for. Most are shorter.
const BYTES_A_RECORD: u64 = 1024;

pub(crate) fn run(arguments: Audit) -> Result<Exit, Failure> {
    match arguments.command {
        AuditCommand::Tail { records, places, output } => tail(&places, records, output.format),
        AuditCommand::Show { seq, places, output } => show(&places, seq, output.format),
        AuditCommand::ChangeKey { asking, output } => change_key(&asking, output.format),
        AuditCommand::Verify { head, places, output } => check(&places, head.as_deref(), output.format),
    }
}

pub(crate) fn failed(error: &AuditError) -> Failure {
    let mut message = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        message.push_str(&format!(": {cause}"));
    }
    let (code, exit) = match error {
        AuditError::Head(_) => ("bad-head", Exit::Usage),
        AuditError::Unsound { .. } => ("audit-unsound", Exit::Audit),
        _ => ("audit-log", Exit::Audit),
    };
    let problem =
        Problem { code, field: "--audit".to_owned(), message, next_step: error.next_step().to_owned() };
    Failure::new(exit, problem)
}

fn tail(places: &Places, records: usize, format: Format) -> Result<Exit, Failure> {
    let path = Home::find(places)?.audit;
    let mut bytes = BYTES_A_RECORD.saturating_mul(records as u64);
    let last = loop {
        let mut last = VecDeque::new();
        let mut first = None;
        for entry in Reader::open_at_end(&path, bytes).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            first.get_or_insert(entry.seq);
            if last.len() == records {
                last.pop_front();
            }
            if records > 0 {
                last.push_back(entry);
            }
        }
        if last.len() == records || first == Some(0) || bytes > u64::MAX / 8 {
            break last;
        }
        bytes = bytes.saturating_mul(8).max(BYTES_A_RECORD);
    };
    for entry in last {
        match format {
            Format::Text => output::line(&summary(&entry)),
            Format::Json => output::document(&document(&entry)),
        }
    }
    Ok(Exit::Ok)
}

fn show(places: &Places, seq: u64, format: Format) -> Result<Exit, Failure> {
    let path = Home::find(places)?.audit;
    let Some(entry) = Reader::find(&path, seq).map_err(|error| failed(&error))? else {
        return Err(Failure::usage(
            "no-such-record",
            "SEQ",
            format!("the log has no record {seq}"),
            "stockade audit tail shows the last numbers",
        ));
    };
    match format {
        Format::Text => details(&entry).iter().for_each(|line| output::line(line)),
        Format::Json => output::document(&document(&entry)),
    }
    Ok(Exit::Ok)
}

fn change_key(asking: &Asking, format: Format) -> Result<Exit, Failure> {
    let home = Home::find(&asking.places)?;
    let key = if control::host_runs(asking, &home) {
        match control::ask(asking, &Request::ChangeAuditKey)? {
            Reply::AuditKey(key) => key,
            _ => return Err(control::unexpected()),
        }
    } else {
        let log = Log::open(&home.audit).map_err(|error| failed(&error))?;
        log.change_key().map_err(|error| failed(&error))?.to_string()
    };
    match format {
        Format::Json => output::document(&json!({ "schema": SCHEMA, "key": key })),
        Format::Text => {
            output::line(&key);
            output::note(
                "note: the log has it as a record, and the key before it has signed it; give auditors this one too",
            );
        }
    }
    Ok(Exit::Ok)
}

fn check(places: &Places, head: Option<&str>, format: Format) -> Result<Exit, Failure> {
    let head: Option<Head> = head.map(str::parse).transpose().map_err(|error: AuditError| {
        let mut failure = failed(&error);
        failure.problem.field = "--head".to_owned();
        failure
    })?;
    let path = Home::find(places)?.audit;
    let report = verify(&path, head.as_ref()).map_err(|error| failed(&error))?;
    match format {
        Format::Text => verdict(&report, head.is_some()).iter().for_each(|line| output::line(line)),
        Format::Json => output::document(&verdict_document(&report)),
    }
    Ok(if report.is_sound() { Exit::Ok } else { Exit::Audit })
}

/// One record in one line.
fn summary(entry: &Entry) -> String {
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
fn details(entry: &Entry) -> Vec<String> {
    let record = &entry.record;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<10} {}", safe(value)));
        }
    };
    field("record", &entry.seq.to_string());
    field("time", &entry.time);
    field("layer", record.layer.as_str());
    field(
        "evidence",
        match record.layer.evidence() {
            Evidence::KernelAttested => "the kernel reported it",
            Evidence::HostObserved => "the host saw or did it",
            Evidence::WorkerClaimed => "the worker says so",
        },
    );
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
            stockade_audit::Value::Text(text) => field(&safe(key), text),
            stockade_audit::Value::Number(number) => field(&safe(key), &number.to_string()),
        }
    }
    for (name, bytes) in &entry.cut {
        field("cut", &format!("{bytes} bytes of {name}"));
    }
    field("previous", &entry.prev.to_string());
    field("hash", &entry.hash.to_string());
    lines
}

/// One record for programs.
fn document(entry: &Entry) -> Value {
    let record = &entry.record;
    let detail: BTreeMap<&str, &stockade_audit::Value> = record.detail.iter().collect();
    json!({
        "schema": SCHEMA, "seq": entry.seq, "time": entry.time, "monotonic": entry.monotonic, "boot": entry.boot,
        "plugin": record.plugin.as_deref(), "launch": record.launch.as_deref(), "call": record.call,
        "layer": record.layer, "event": record.event, "operation": record.operation,
        "resource": record.resource, "decision": record.decision, "rule": record.rule,
        "reason": record.reason, "next_step": record.next_step, "detail": detail,
        "cut": entry.cut, "prev": entry.prev.to_string(), "hash": entry.hash.to_string(),
    })
}

fn verdict(report: &Report, with_head: bool) -> Vec<String> {
    let summary = &report.summary;
    let mut lines: Vec<String> = report.findings.iter().map(|finding| safe(&finding.to_string())).collect();
    let unlisted = report.found - report.findings.len() as u64;
    if unlisted > 0 {
        lines.push(format!("and {unlisted} more"));
    }
    let count =
        |what: &str, number: u64| if number == 0 { String::new() } else { format!(", {number} {what}") };
    lines.push(format!(
        "{}: {} records, {} bytes{}{}{}{}",
        if report.is_sound() { "sound" } else { "NOT SOUND" },
        summary.records,
        summary.bytes,
        count("folded into flood counts", summary.folded),
        count("torn ends set aside", summary.recoveries),
        count("gaps", summary.gaps),
        count("times the clock was set back", summary.clock_set_back),
    ));
    if let Some(head) = &summary.head {
        lines.push(format!("head: {head}"));
    }
    if report.is_sound() && !with_head {
        lines.push(
            "keep the head elsewhere and give it back with --head: only that shows a log that was cut off"
                .to_owned(),
        );
    }
    lines
}

fn verdict_document(report: &Report) -> Value {
    let summary = &report.summary;
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let place =
        |at: &Option<(u64, String)>| at.as_ref().map(|(seq, time)| json!({ "seq": seq, "time": time }));
    json!({
        "schema": SCHEMA, "sound": report.is_sound(), "found": report.found, "findings": findings,
        "log": summary.log.map(|id| id.to_string()), "records": summary.records, "bytes": summary.bytes,
        "first": place(&summary.first), "last": place(&summary.last),
        "head": summary.head.map(|head| head.to_string()),
        "layers": summary.layers, "decisions": summary.decisions, "folded": summary.folded,
        "recoveries": summary.recoveries, "gaps": summary.gaps, "clock_set_back": summary.clock_set_back,
        "closed": summary.closed,
    })
}

#[cfg(test)]
mod tests {
    use stockade_audit::{Decision, Layer, Log, Plugin, Record};

    use super::*;

    fn log() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places { state: Some(folder.path().to_owned()), audit: None };
        let log = Log::open(folder.path().join("audit")).expect("a log");
        let plugin = Plugin::new("local/a\u{1b}[2J", "1.0.0", "00", "node").shared();
        let record = Record::new(Layer::Host, "refused", Decision::Denied).plugin(&plugin);
        let record = record.operation("fs.read").resource("/etc/\u{202e}x").reason("no grant");
        log.append(&record.rule("default-deny:fs.read", "built-in").detail("count", 3_u64))
            .expect("appended");
        log.close().expect("closed");
        (folder, places)
    }

    fn entry(places: &Places) -> Entry {
        let path = Home::find(places).expect("a home").audit;
        let mut entries = Reader::open(path).expect("a log").map(|entry| entry.expect("a record"));
        entries.find(|entry| entry.record.layer == Layer::Host).expect("the record")
    }

    #[test]
    fn records_are_shown_without_what_drives_a_terminal() {
        let (_folder, places) = log();
        let entry = entry(&places);
        let lines = [vec![summary(&entry)], details(&entry)].concat().join("\n");
        assert!(
            lines.chars().all(|c| c == '\n' || !c.is_control()) && !lines.contains('\u{202e}'),
            "{lines}"
        );
        assert!(lines.contains("default-deny:fs.read (built-in)") && lines.contains("no grant"), "{lines}");
        assert_eq!(document(&entry)["resource"], "/etc/\u{202e}x");
    }

    #[test]
    fn tail_show_and_verify_end_well_on_a_sound_log() {
        let (_folder, places) = log();
        for records in [0, 1, 1000] {
            assert_eq!(tail(&places, records, Format::Json).expect("shown"), Exit::Ok);
        }
        assert_eq!(show(&places, 1, Format::Text).expect("shown"), Exit::Ok);
        assert_eq!(check(&places, None, Format::Text).expect("checked"), Exit::Ok);
    }

    #[test]
    fn a_record_that_is_not_there_and_a_head_that_is_none_are_usage() {
        let (_folder, places) = log();
        assert_eq!(show(&places, 999, Format::Text).expect_err("none").problem.code, "no-such-record");
        let failure = check(&places, Some("7:x"), Format::Text).expect_err("none");
        assert_eq!((failure.problem.code, failure.exit), ("bad-head", Exit::Usage));
    }

    #[test]
    fn a_changed_byte_and_a_foreign_head_end_as_audit_problems() {
        let (folder, places) = log();
        let foreign = format!("1:{}", "0".repeat(64));
        assert_eq!(check(&places, Some(&foreign), Format::Json).expect("checked"), Exit::Audit);
        let file = folder.path().join("audit/audit.jsonl");
        let text = std::fs::read_to_string(&file).expect("text").replace("no grant", "no grunt");
        std::fs::write(&file, text).expect("written");
        assert_eq!(check(&places, None, Format::Text).expect("checked"), Exit::Audit);
    }

    #[test]
    fn no_log_at_all_is_an_audit_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places { state: Some(folder.path().to_owned()), audit: None };
        assert_eq!(check(&places, None, Format::Text).expect_err("none").exit, Exit::Audit);
    }
}
