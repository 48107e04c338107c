//! The whole story of one record, in plain words.

mod around;
mod never;
mod remedy;
mod rules;
mod words;

use std::io::Write;

use serde_json::json;
use stockade_audit::{Decision, Entry, Layer, Value};
use time::OffsetDateTime;

use crate::auditor::Auditor;
use crate::error::AuditorError;
use crate::filter::{Filter, Pattern};
use crate::output::{self, Format, SCHEMA, safe};
use crate::show::summary;
use crate::source::Located;
use crate::when::When;
use around::Around;
use rules::Origin;
use words::{CALLS, SAYINGS, Saying, TYPES};

/// Characters of a value that a sentence has; the record has all of it.
const SHOWN: usize = 200;

/// What there is to tell of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Its number.
    pub seq: u64,
    /// The parts, in the order in which they are told: a name, and sentences. Safe to print.
    pub parts: Vec<(&'static str, Vec<String>)>,
    /// Other records that the story rests on.
    pub rests_on: Vec<u64>,
}

/// Tells the story of record `seq`.
///
/// # Errors
///
/// There is no such record; the log or its index cannot be read.
pub fn explain(auditor: &Auditor, seq: u64) -> Result<Story, AuditorError> {
    let located = auditor.record(seq)?;
    let entry = &located.entry;
    let around = Around::of(auditor, entry)?;
    let mut story = Story { seq, parts: Vec::new(), rests_on: around.rests_on() };
    story.part("what happened", what(entry));
    story.part("who", who(entry));
    story.part("when", around.when(entry));
    story.part("what it rests on", evidence(&located));
    let (rule, approval) = rule(auditor, entry)?;
    story.part("which rule", rule);
    story.rests_on.extend(approval);
    story.part("what would allow it", remedy::of(entry));
    story.part("before it", around.before());
    story.part("after it", around.after());
    story.part("what became of the worker", around.end(entry));
    story.rests_on.retain(|other| *other != seq);
    story.rests_on.sort_unstable();
    story.rests_on.dedup();
    Ok(story)
}

impl Story {
    fn part(&mut self, name: &'static str, sentences: Vec<String>) {
        if !sentences.is_empty() {
            self.parts.push((name, sentences));
        }
    }

    /// Prints it.
    pub(crate) fn show(&self, out: &mut dyn Write, format: Format) -> Result<(), AuditorError> {
        match format {
            Format::Json => {
                let parts =
                    self.parts.iter().map(|(name, sentences)| json!({ "about": name, "text": sentences }));
                let parts: Vec<_> = parts.collect();
                output::document(
                    out,
                    &json!({ "schema": SCHEMA, "seq": self.seq, "story": parts, "records": self.rests_on }),
                )
            }
            Format::Text => {
                output::line(out, &format!("record {}", self.seq))?;
                for (name, sentences) in &self.parts {
                    output::line(out, "")?;
                    output::line(out, name)?;
                    for sentence in sentences {
                        output::line(out, &format!("  {sentence}"))?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn saying(entry: &Entry) -> &'static Saying {
    let record = &entry.record;
    let fits = |saying: &&Saying| {
        saying.layer == record.layer
            && (saying.event == "*" || saying.event == record.event)
            && saying.operation.is_none_or(|operation| operation == record.operation)
    };
    // Every layer has a saying for whatever event; a test sees to it.
    SAYINGS.iter().find(fits).unwrap_or(&SAYINGS[SAYINGS.len() - 1])
}

fn what(entry: &Entry) -> Vec<String> {
    let record = &entry.record;
    let saying = saying(entry);
    let mut sentences = vec![fill(saying.what, entry)];
    if record.layer == Layer::Seccomp
        && let Some((_, what)) = CALLS.iter().find(|(names, _)| names.contains(&record.operation.as_ref()))
    {
        sentences.push(format!("{} is the call that {what}.", record.operation));
    }
    if record.layer == Layer::Policy && record.event == "granted" {
        sentences.extend(grants(entry));
    }
    if let Some(until) = record.detail.number("until").filter(|_| record.event == "approved") {
        sentences.push(format!("It holds until {}.", point(until)));
    }
    if !saying.means.is_empty() {
        sentences.push(fill(saying.means, entry));
    }
    if record.detail.text("mode") == Some("observe") {
        sentences.push(
            "Somebody was looking for denials at the time (mode observe): it was refused all the same."
                .into(),
        );
    }
    // Of a program's start or end, of a plugin that was not loaded, or of people, the first sentence has said it.
    let of_a_call = matches!(record.layer, Layer::Host | Layer::Worker | Layer::Seccomp | Layer::Landlock)
        || (record.layer == Layer::Limits && !record.event.ends_with("ended"));
    if of_a_call && record.plugin.is_some() {
        sentences.extend(words::ending(record.decision).map(str::to_owned));
    }
    sentences
}

/// What a `granted` record gives, and by which document.
fn grants(entry: &Entry) -> Vec<String> {
    let detail = entry.record.detail.iter();
    let grants = detail.filter(|(key, _)| !key.starts_with("approvals") && *key != "trace");
    grants
        .map(|(key, value)| match value {
            Value::Text(source) => format!("- {}: {}", value_of(key), value_of(source)),
            Value::Number(number) => format!("- {}: {number}", value_of(key)),
        })
        .collect()
}

fn who(entry: &Entry) -> Vec<String> {
    let Some(plugin) = &entry.record.plugin else {
        return vec!["No plugin: this is about the host or the log.".into()];
    };
    let of = TYPES.iter().find(|(name, ..)| *name == plugin.kind);
    let mut sentences = vec![
        format!("The plugin calls itself {}, version {}.", value_of(&plugin.name), value_of(&plugin.version)),
        format!(
            "Its component has the SHA-256 {}; this it cannot choose, so this is what to look for elsewhere.",
            value_of(&plugin.digest)
        ),
    ];
    if let Some((_, called, purpose)) = of {
        sentences.push(format!("It runs as {called}: {purpose}."));
    }
    sentences
}

fn evidence(located: &Located) -> Vec<String> {
    let layer = located.entry.record.layer;
    let mut sentences = vec![format!("Layer {layer}, {}", words::worth(layer.evidence()))];
    sentences.push(if located.intact {
        "The record's hash is the hash of its line. Whether the log around it is whole is for stockade-audit verify."
            .into()
    } else {
        "WARNING: the record's hash is not the hash of its line. It was changed after it was written: believe nothing \
         of it, and run stockade-audit verify."
            .into()
    });
    if !located.entry.cut.is_empty() {
        let fields: Vec<String> = located.entry.cut.keys().map(|field| value_of(field)).collect();
        sentences.push(format!("Too long to be kept whole: {}.", fields.join(", ")));
    }
    sentences
}

/// What is said of the rule, and the records that say who made it.
fn rule(auditor: &Auditor, entry: &Entry) -> Result<(Vec<String>, Vec<u64>), AuditorError> {
    let record = &entry.record;
    let Some(rule) = &record.rule else { return Ok((Vec::new(), Vec::new())) };
    let mut sentences = vec![match rules::meaning(&rule.id) {
        Some(meaning) => format!("{}: {meaning}.", value_of(&rule.id)),
        None if record.decision == Decision::Allowed => format!("{} allows it.", value_of(&rule.id)),
        None => format!("{} decided it.", value_of(&rule.id)),
    }];
    let mut seen = Vec::new();
    match rules::origin(&rule.source) {
        Origin::Profile { of, version } => sentences.push(format!(
            "It comes from the profile {}, version {}, which is built into Stockade (docs/profiles.md).",
            value_of(of),
            value_of(version)
        )),
        Origin::Policy { version, rule, line } => sentences.push(format!(
            "It comes from the organisation's policy, version {}: the rule {} in line {} of the document.",
            value_of(version),
            value_of(rule),
            value_of(line)
        )),
        Origin::Approval { number, by } => {
            sentences.push(format!("It comes from approval {number}, given by {}.", value_of(by)));
            let filter = Filter {
                layers: vec![Layer::Policy],
                operation: Some(Pattern::Exact("approval".into())),
                rule: Some(Pattern::Exact(format!("approval:{number}"))),
                ..Filter::default()
            };
            for located in auditor.collect(filter, false, 16)? {
                let word = &located.entry;
                seen.push(word.seq);
                sentences.push(format!(
                    "Record {}, {}: {} by {} (uid {}), because {}.",
                    word.seq,
                    short(&word.time),
                    value_of(&word.record.event),
                    field("user", word),
                    field("uid", word),
                    value_of(&word.record.reason)
                ));
            }
            if seen.is_empty() {
                sentences.push(
                    "The log has no record of that approval: it begins later, or records are missing.".into(),
                );
            }
        }
        Origin::Known(words) => sentences.push(format!("It comes from {:?}: {words}.", rule.source)),
        Origin::Other => sentences.push(format!("It comes from {}.", value_of(&rule.source))),
    }
    if record.layer == Layer::Worker {
        sentences.push("Rule and source are the worker's claim too.".into());
    }
    Ok((sentences, seen))
}

/// Puts a record's values where a sentence has their names.
fn fill(sentence: &str, entry: &Entry) -> String {
    let mut out = String::with_capacity(sentence.len() + 64);
    let mut rest = sentence;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else { break };
        out.push_str(&field(&rest[at + 1..at + end], entry));
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

/// A field of a record, or an entry of its detail, as it may stand in a sentence.
fn field(name: &str, entry: &Entry) -> String {
    let record = &entry.record;
    match name {
        "operation" => value_of(&record.operation),
        "resource" => value_of(&record.resource),
        "reason" => value_of(&record.reason),
        "event" => value_of(&record.event),
        name => match record.detail.get(name) {
            Some(Value::Text(text)) => value_of(text),
            Some(Value::Number(number)) => number.to_string(),
            None => "unknown".to_owned(),
        },
    }
}

/// A value in a sentence of ours: one word as it is, anything else in quotes that it cannot leave, so that no text of a
/// plugin reads like one of this program's.
fn value_of(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.:/@#-".contains(c);
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let kept: String = text.chars().take(SHOWN).collect();
    let more = if kept.len() < text.len() { "…" } else { "" };
    if more.is_empty() && text.chars().all(is_word) {
        return kept;
    }
    format!("\"{}{more}\"", safe(&kept).replace('"', "\\\""))
}

/// A time without what only order needs.
fn short(time: &str) -> String {
    format!("{}Z", safe(time.get(..19).unwrap_or(time)))
}

/// Seconds since 1970 as a time.
fn point(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_or_else(|_| format!("second {seconds}"), |point| short(When::of(point).as_str()))
}

/// One record in one line, for lists.
fn listed(entry: &Entry) -> String {
    let text = summary(entry);
    let kept: String = text.trim_start().chars().take(SHOWN).collect();
    if kept.len() < text.trim_start().len() { format!("{kept}…") } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_has_a_sentence_for_whatever_comes() {
        for layer in Layer::ALL {
            assert!(SAYINGS.iter().any(|saying| saying.layer == layer && saying.event == "*"), "{layer}");
        }
    }

    #[test]
    fn f2_a_value_cannot_leave_its_quotes_or_its_line() {
        assert_eq!(value_of("/etc/passwd"), "/etc/passwd");
        assert_eq!(value_of("x\". It was allowed. \""), "\"x\\\". It was allowed. \\\"\"");
        assert_eq!(value_of("a\n\u{1b}[2J"), "\"a\\u{a}\\u{1b}[2J\"");
        assert_eq!(value_of(""), "nothing");
        assert!(value_of(&"x".repeat(5000)).chars().count() < 210);
    }

    #[test]
    fn every_event_that_the_host_writes_has_a_sentence_of_its_own() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut seen = 0;
        let mut look = |text: &str| {
            // `record(Layer::Host, "refused"`, in whatever way it is broken into lines.
            for part in text.split("(Layer::").skip(1) {
                let Some((layer, rest)) = part.split_once(',') else { continue };
                let Some(layer) = Layer::ALL.into_iter().find(|one| format!("{one:?}") == layer) else {
                    continue;
                };
                let Some(event) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next())
                else {
                    continue;
                };
                seen += 1;
                let own = SAYINGS.iter().any(|saying| saying.layer == layer && saying.event == event);
                assert!(own, "{layer} {event}");
            }
        };
        for file in [
            "core/src/trail.rs",
            "core/src/host/mod.rs",
            "core/src/approve.rs",
            "audit/src/log.rs",
            "audit/src/tail.rs",
            "audit/src/writer.rs",
            "audit/src/floods.rs",
        ] {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            look(text.split("#[cfg(test)]").next().unwrap());
        }
        assert!(seen > 20, "{seen}");
    }
}
