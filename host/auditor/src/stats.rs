//! How much of what there is: counted from the log itself, floods included.

use std::collections::BTreeMap;
use std::io::Write;

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use stockade_audit::{Decision, Entry};

use crate::error::AuditorError;
use crate::filter::Filter;
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
    /// Of floods that may or may not be what was asked for.
    unattributed: u64,
    first: Option<String>,
    last: Option<String>,
}

impl Stats {
    /// Counts in buckets of time, or all in one.
    pub fn by(by: Option<By>) -> Self {
        Self { by, ..Self::default() }
    }

    /// Counts a record as one.
    pub fn count(&mut self, entry: &Entry) {
        self.records += 1;
        self.first.get_or_insert_with(|| entry.time.clone());
        self.last = Some(entry.time.clone());
        let decision = entry.record.decision;
        self.groups.entry(self.group(entry, entry.record.layer.as_str(), decision)).or_default().written += 1;
    }

    /// Counts the records that a flood record stands for, as far as they fit the filter. Plugin, layer, operation and
    /// decision of a flood are exact; its time is that of the flood record, at most ten seconds later. What else a
    /// filter asks for a count does not have: then it is only said that there were so many.
    pub fn flood(&mut self, entry: &Entry, filter: &Filter) {
        let detail = &entry.record.detail;
        let layer = detail.text("layer").unwrap_or("several");
        let fits =
            |layer: &str| filter.layers.is_empty() || filter.layers.iter().any(|one| one.as_str() == layer);
        for decision in Decision::ALL {
            let count =
                detail.number(decision.as_str()).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
            if count == 0 || !(filter.decisions.is_empty() || filter.decisions.contains(&decision)) {
                continue;
            }
            // Of floods of several layers nobody knows which.
            if (layer == "several" && !filter.layers.is_empty())
                || (fits(layer) && filter.is_of_single_records())
            {
                self.unattributed = self.unattributed.saturating_add(count);
            } else if fits(layer) {
                let to = self.groups.entry(self.group(entry, layer, decision)).or_default();
                to.folded = to.folded.saturating_add(count);
                self.folded = self.folded.saturating_add(count);
            }
        }
    }

    fn group(&self, entry: &Entry, layer: &str, decision: Decision) -> Group {
        let record = &entry.record;
        Group {
            bucket: self.by.map_or("", |by| by.bucket(&entry.time)).to_owned(),
            plugin: record.plugin.as_ref().map_or_else(String::new, |plugin| plugin.name.clone()),
            layer: layer.to_owned(),
            operation: record.operation.to_string(),
            decision: decision.as_str(),
        }
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
        if self.unattributed > 0 {
            lines.push(format!(
                "{} more in floods may be of these: a count does not say by event, resource, rule, call or trace",
                self.unattributed
            ));
        }
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
            "schema": SCHEMA, "records": self.records, "folded": self.folded,
            "unattributed": self.unattributed, "first": self.first,
            "last": self.last, "groups": groups.collect::<Vec<_>>(),
        })
    }
}

/// A time without the part of it that only order needs.
fn short(time: &str) -> String {
    format!("{}Z", safe(time.get(..19).unwrap_or(time)))
}
