//! Headings, tables and records for a person.

use serde_json::Value;

/// The widest that one cell gets; longer ones end in an ellipsis.
const WIDEST: usize = 44;

pub(super) fn heading(text: &str) {
    println!("\n{text}\n");
}

/// A value as a person reads it. What a plugin chose is shown without control characters.
pub(super) fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A table with as much room for each column as it needs.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let cut = |text: &str| -> String {
        match text.char_indices().nth(WIDEST) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text.to_owned(),
        }
    };
    let rows: Vec<[String; N]> = rows.iter().map(|row| std::array::from_fn(|i| cut(&row[i]))).collect();
    let widths: [usize; N] = std::array::from_fn(|i| {
        let cells = rows.iter().map(|row| row[i].chars().count());
        cells.max().unwrap_or(0).max(head[i].len())
    });
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("   {}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(head);
    let rules = widths.map(|width| "─".repeat(width));
    line(std::array::from_fn(|i| rules[i].as_str()));
    for row in &rows {
        line(std::array::from_fn(|i| row[i].as_str()));
    }
}

/// The rule that a record names, and where it stands.
pub(super) fn rule(record: &Value) -> String {
    match (plain(&record["rule"]["id"]), plain(&record["rule"]["source"])) {
        (id, source) if source.is_empty() => id,
        (id, source) => format!("{id} ({source})"),
    }
}

/// One record in full sentences.
pub(super) fn record(record: &Value) {
    println!("   record {}", record["seq"]);
    for (name, text) in [
        ("tried", format!("{} {}", plain(&record["operation"]), plain(&record["resource"]))),
        ("layer", plain(&record["layer"])),
        ("rule", rule(record)),
        ("why", plain(&record["reason"])),
        ("next", plain(&record["next_step"])),
    ] {
        if !text.trim().is_empty() {
            println!("      {name:<6} {}", text.trim());
        }
    }
}
