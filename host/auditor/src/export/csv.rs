//! RFC 4180, for spreadsheets that run what they read.

use stockade_audit::Entry;

use super::detail_text;
use crate::output::safe;

const COLUMNS: [&str; 22] = [
    "seq",
    "time",
    "monotonic",
    "boot",
    "plugin",
    "version",
    "digest",
    "type",
    "launch",
    "call",
    "layer",
    "evidence",
    "event",
    "operation",
    "resource",
    "decision",
    "rule",
    "rule_source",
    "reason",
    "next_step",
    "detail",
    "hash",
];

/// What makes a cell a formula in some spreadsheet: ASCII, and the wide forms of the same signs.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

pub(super) fn header() -> String {
    line(COLUMNS.iter().map(|column| (*column).to_owned()))
}

pub(super) fn row(entry: &Entry) -> String {
    let record = &entry.record;
    let plugin = record.plugin.as_deref();
    let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let rule = record.rule.as_ref();
    let cells: [String; COLUMNS.len()] = [
        entry.seq.to_string(),
        entry.time.clone(),
        entry.monotonic.to_string(),
        entry.boot.clone(),
        of(plugin.map(|plugin| plugin.name.as_str())),
        of(plugin.map(|plugin| plugin.version.as_str())),
        of(plugin.map(|plugin| plugin.digest.as_str())),
        of(plugin.map(|plugin| plugin.kind.as_str())),
        of(record.launch.as_deref()),
        record.call.map(|call| call.to_string()).unwrap_or_default(),
        record.layer.as_str().to_owned(),
        record.layer.evidence().as_str().to_owned(),
        record.event.to_string(),
        record.operation.to_string(),
        record.resource.to_string(),
        record.decision.as_str().to_owned(),
        of(rule.map(|rule| rule.id.as_ref())),
        of(rule.map(|rule| rule.source.as_ref())),
        record.reason.to_string(),
        record.next_step.to_string(),
        detail_text(entry),
        entry.hash.to_string(),
    ];
    line(cells.into_iter())
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| self::cell(&cell)).collect();
    format!("{}\r\n", cells.join(","))
}

/// A text as one cell: what ends a line or drives a terminal escaped, what begins a formula made text, quoted where
/// RFC 4180 asks for it, and where another separator than the comma would split it.
fn cell(text: &str) -> String {
    let mut safe = safe(text).into_owned();
    // Some spreadsheets skip spaces before they look.
    if safe.trim_start().starts_with(FORMULA) {
        safe.insert(0, '\'');
    }
    if safe.contains([',', '"', ';', '|', '\'', ' ']) {
        return format!("\"{}\"", safe.replace('"', "\"\""));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_no_cell_begins_a_formula_or_ends_a_line() {
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
        assert_eq!(cell("  @SUM(A1)"), "\"'  @SUM(A1)\"");
        assert_eq!(cell("＝1"), "\"'＝1\"");
        assert_eq!(cell("\t=1"), "\\u{9}=1");
        assert_eq!(cell("a\r\n,\"b"), "\"a\\u{d}\\u{a},\"\"b\"");
        assert_eq!(cell("/src/lib.rs"), "/src/lib.rs");
    }
}
