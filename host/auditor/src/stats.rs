//! How much of what there is: counted from the log itself, floods included.

use std::collections::BTreeMap;
use std::io::Write;

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use stockade_audit::{Decision, Entry, Layer};

use crate::error::AuditorError;
use crate::output::{self, Format, SCHEMA, safe};

/// Buckets of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By the hour, UTC.
    Hour,
    /// By the day, UTC.
    Day,
}

impl By {
    /// What a time has in common with all of its bucket: RFC 3339 up to the hour or the day.
    fn bucket(self, time: &str) -> &str {
        time.get(
            ..match self {
                Self::Hour => 13,
                Self::Day => 10,
            },
        )
        .unwrap_or(time)
    }
}

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    bucket: String,
    plugin: String,
    layer: String,
    operation: String,
    decision: &'static str,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    written: u64,
    /// Of floods: counted by the log instead of written.
    folded: u64,
}

/// Counts records.
#[derive(Debug, Default)]
pub struct Stats {
    by: Option<By>,
    groups: BTreeMap<Group, Count>,
    records: u64,
    folded: u64,
    first: Option<String>,
    last: Option<String>,
}

impl Stats {
    /// Counts in buckets of time, or all in one.
    pub fn by(by: Option<By>) -> Self {
        Self { by, ..Self::default() }
    }

    /// Counts a record. A flood's count goes where its records would have gone: layer, operation and decision are
    /// exact; the time is that of the flood record, at most ten seconds later.
    pub fn count(&mut self, entry: &Entry) {
        let record = &entry.record;
        self.records += 1;
        self.first.get_or_insert_with(|| entry.time.clone());
        self.last = Some(entry.time.clone());
        let mut group = Group {
            bucket: self.by.map_or("", |by| by.bucket(&entry.time)).to_owned(),
            plugin: record.plugin.as_ref().map_or_else(String::new, |plugin| plugin.name.clone()),
            layer: record.layer.as_str().to_owned(),
            operation: record.operation.to_string(),
            decision: record.decision.as_str(),
        };
        if record.layer == Layer::Log && record.event == "flood" {
            group.layer = record.detail.text("layer").unwrap_or("several").to_owned();
            for decision in Decision::ALL {
                let count =
                    record.detail.number(decision.as_str()).and_then(|count| u64::try_from(count).ok());
                let Some(count) = count.filter(|count| *count > 0) else { continue };
                group.decision = decision.as_str();
                let to = self.groups.entry(group.clone()).or_default();
                to.folded = to.folded.saturating_add(count);
                self.folded = self.folded.saturating_add(count);
            }
            group.layer = Layer::Log.as_str().to_owned();
            group.decision = record.decision.as_str();
        }
        self.groups.entry(group).or_default().written += 1;
    }

    /// Prints what was counted.
    pub(crate) fn show(&self, out: &mut dyn Write, format: Format) -> Result<(), AuditorError> {
        match format {
            Format::Text => self.text().iter().try_for_each(|line| output::line(out, line)),
            Format::Json => output::document(out, &self.document()),
        }
    }

    fn text(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} records{}{}",
            self.records,
            if self.folded > 0 { format!(", and {} more in floods", self.folded) } else { String::new() },
            match self.first.as_deref().zip(self.last.as_deref()) {
                Some((first, last)) => format!(", from {} to {}", short(first), short(last)),
                None => String::new(),
            }
        )];
        if self.groups.is_empty() {
            return lines;
        }
        let mut rows =
            vec![["total", "written", "plugin", "layer", "decision", "operation"].map(str::to_owned)];
        let mut bucket = "";
        let mut breaks = Vec::new();
        for (group, count) in &self.groups {
            if group.bucket != bucket {
                bucket = &group.bucket;
                breaks.push((rows.len(), bucket));
            }
            let plugin = if group.plugin.is_empty() { "-" } else { &group.plugin };
            rows.push([
                count.written.saturating_add(count.folded).to_string(),
                count.written.to_string(),
                safe(plugin).into_owned(),
                safe(&group.layer).into_owned(),
                group.decision.to_owned(),
                safe(&group.operation).into_owned(),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            if let Some((_, bucket)) = breaks.iter().find(|(at, _)| *at == number) {
                lines.push(safe(bucket).into_owned());
            }
            let [total, written, plugin, layer, decision, operation] = row;
            let line = format!(
                "{total:>0$}  {written:>1$}  {plugin:<2$}  {layer:<3$}  {decision:<4$}  {operation}",
                widths[0], widths[1], widths[2], widths[3], widths[4]
            );
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    fn document(&self) -> Value {
        let groups = self.groups.iter().map(|(group, count)| {
            let mut of = Map::new();
            if self.by.is_some() {
                of.insert("bucket".into(), json!(group.bucket));
            }
            let plugin = (!group.plugin.is_empty()).then_some(&group.plugin);
            of.extend([
                ("plugin".into(), json!(plugin)),
                ("layer".into(), json!(group.layer)),
                ("decision".into(), json!(group.decision)),
                ("operation".into(), json!(group.operation)),
                ("written".into(), json!(count.written)),
                ("folded".into(), json!(count.folded)),
                ("total".into(), json!(count.written.saturating_add(count.folded))),
            ]);
            Value::Object(of)
        });
        json!({
            "schema": SCHEMA, "records": self.records, "folded": self.folded, "first": self.first,
            "last": self.last, "groups": groups.collect::<Vec<_>>(),
        })
    }
}

/// A time without the part of it that only order needs.
fn short(time: &str) -> String {
    format!("{}Z", safe(time.get(..19).unwrap_or(time)))
}
