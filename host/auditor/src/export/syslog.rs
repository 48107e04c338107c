//! RFC 5424, one message a line.

use stockade_audit::Entry;

use super::severity::Severity;
use super::{detail_text, headline};
use crate::output::{json, safe};

/// `log audit` (RFC 5424, 6.2.1).
const FACILITY: u8 = 13;
/// The name of the structured data. 32473 is the number that IANA has for examples (RFC 5612): Stockade has none.
const SD_ID: &str = "stockade@32473";

pub(super) fn message(entry: &Entry, host: Option<&str>) -> String {
    let record = &entry.record;
    let mut data = format!("[{SD_ID}");
    let mut param = |name: &str, value: &str| {
        if !value.is_empty() {
            data.push_str(&format!(" {name}=\"{}\"", escaped(&safe(value))));
        }
    };
    param("seq", &entry.seq.to_string());
    if let Some(plugin) = &record.plugin {
        param("plugin", &plugin.name);
        param("version", &plugin.version);
        param("digest", &plugin.digest);
        param("type", &plugin.kind);
    }
    param("launch", record.launch.as_deref().unwrap_or_default());
    param("call", &record.call.map(|call| call.to_string()).unwrap_or_default());
    param("layer", record.layer.as_str());
    param("evidence", record.layer.evidence().as_str());
    param("event", &record.event);
    param("operation", &record.operation);
    param("resource", &record.resource);
    param("decision", record.decision.as_str());
    if let Some(rule) = &record.rule {
        param("rule", &rule.id);
        param("ruleSource", &rule.source);
    }
    param("nextStep", &record.next_step);
    if !record.detail.is_empty() {
        // JSON already: its own escapes stay readable as JSON.
        data.push_str(&format!(" detail=\"{}\"", escaped(&json(&detail_text(entry)))));
    }
    data.push_str(&format!(" hash=\"{}\"]", entry.hash));
    format!(
        "<{}>1 {} {} stockade - {} {data} {}\n",
        FACILITY * 8 + Severity::of(entry).syslog(),
        time(&entry.time),
        name(host.unwrap_or_default(), 255),
        name(&record.event, 32),
        safe(&headline(entry)),
    )
}

/// Within a value `"`, `\` and `]` are escaped (6.3.3).
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A field of the header: printable ASCII without spaces, at most so long; `-` where nothing is left.
fn name(text: &str, most: usize) -> String {
    let name: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// At most six digits of second (6.2.3); the nil value where the log has no readable time.
fn time(time: &str) -> String {
    match crate::when::second_of(time) {
        Some(_) => format!("{}Z", &time[..26]),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_values_and_header_fields_keep_to_their_places() {
        assert_eq!(escaped(r#"a"] b\"#), r#"a\"\] b\\"#);
        assert_eq!(name("a b\nc\u{1b}é", 32), "abc");
        assert_eq!(name("\u{202e} ", 32), "-");
        assert_eq!(time("2026-11-28T10:00:00.123456789Z"), "2026-11-28T10:00:00.123456Z");
        assert_eq!(time("\u{1b}"), "-");
    }
}
