use std::borrow::Cow;

use crate::chain::Hash;
use crate::escape::write_json;
use crate::{Moment, Record, Value, bounds};

/// The version of the line's shape, in its `v`.
pub(crate) const VERSION: u32 = 1;

/// Bytes from `,"hash":"` to the closing brace: what the hash does not cover.
pub(crate) const HASH_SUFFIX: usize = HASH_KEY.len() + 64 + 2;
pub(crate) const HASH_KEY: &[u8] = b",\"hash\":\"";

/// What the log adds to a record.
pub(crate) struct Stamp<'a> {
    pub(crate) seq: u64,
    pub(crate) moment: Moment,
    pub(crate) boot: &'a str,
    pub(crate) prev: Hash,
}

/// Appends the one line of a record to `out`, in the canonical form, and says its hash.
pub(crate) fn write_line(out: &mut Vec<u8>, stamp: &Stamp<'_>, record: &Record) -> Hash {
    let start = out.len();
    let mut line = Line { out, cut: Vec::new() };
    line.raw(b"{\"v\":");
    line.number(VERSION);
    line.raw(b",\"seq\":");
    line.number(stamp.seq);
    line.raw(b",\"time\":\"");
    stamp.moment.write_rfc3339(line.out);
    line.raw(b"\",\"mono\":");
    line.number(stamp.moment.monotonic);
    line.raw(b",\"boot\":");
    line.text("boot", stamp.boot, bounds::NAME);
    line.raw(b",\"plugin\":");
    match &record.plugin {
        None => line.raw(b"null"),
        Some(plugin) => {
            line.raw(b"{\"name\":");
            line.text("plugin.name", &plugin.name, bounds::PLUGIN_NAME);
            line.raw(b",\"version\":");
            line.text("plugin.version", &plugin.version, bounds::VERSION);
            line.raw(b",\"digest\":");
            line.text("plugin.digest", &plugin.digest, bounds::DIGEST);
            line.raw(b",\"type\":");
            line.text("plugin.type", &plugin.kind, bounds::NAME);
            line.raw(b"}");
        }
    }
    line.raw(b",\"launch\":");
    match &record.launch {
        None => line.raw(b"null"),
        Some(launch) => line.text("launch", launch, bounds::NAME),
    }
    line.raw(b",\"call\":");
    match record.call {
        None => line.raw(b"null"),
        Some(call) => line.number(call),
    }
    line.raw(b",\"layer\":\"");
    line.raw(record.layer.as_str().as_bytes());
    line.raw(b"\",\"event\":");
    line.text("event", &record.event, bounds::NAME);
    line.raw(b",\"operation\":");
    line.text("operation", &record.operation, bounds::OPERATION);
    line.raw(b",\"resource\":");
    line.text("resource", &record.resource, bounds::RESOURCE);
    line.raw(b",\"decision\":\"");
    line.raw(record.decision.as_str().as_bytes());
    line.raw(b"\",\"rule\":");
    match &record.rule {
        None => line.raw(b"null"),
        Some(rule) => {
            line.raw(b"{\"id\":");
            line.text("rule.id", &rule.id, bounds::RULE);
            line.raw(b",\"source\":");
            line.text("rule.source", &rule.source, bounds::RULE);
            line.raw(b"}");
        }
    }
    line.raw(b",\"reason\":");
    line.text("reason", &record.reason, bounds::SENTENCE);
    line.raw(b",\"next_step\":");
    line.text("next_step", &record.next_step, bounds::SENTENCE);
    line.detail(record);
    line.cuts();
    line.raw(b",\"prev\":\"");
    line.raw(&stamp.prev.hex());
    line.raw(b"\"");
    let hash = Hash::of_record(&stamp.prev, &out[start..]);
    out.extend_from_slice(HASH_KEY);
    out.extend_from_slice(&hash.hex());
    out.extend_from_slice(b"\"}\n");
    debug_assert!(out.len() - start <= bounds::LINE);
    hash
}

struct Line<'o, 'f> {
    out: &'o mut Vec<u8>,
    /// Field, and bytes cut from it; for `detail` itself, entries left out. Almost always empty, and then it takes no memory.
    cut: Vec<(Cow<'f, str>, u64)>,
}

impl<'f> Line<'_, 'f> {
    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.raw(itoa::Buffer::new().format(number).as_bytes());
    }

    fn text(&mut self, field: &'f str, text: &str, most: usize) {
        let kept = text.floor_char_boundary(most);
        write_json(self.out, &text[..kept]);
        if kept < text.len() {
            self.cut.push((field.into(), (text.len() - kept) as u64));
        }
    }

    fn detail(&mut self, record: &'f Record) {
        self.raw(b",\"detail\":{");
        for (index, (key, value)) in record.detail.iter().take(bounds::DETAIL_ENTRIES).enumerate() {
            if index > 0 {
                self.raw(b",");
            }
            write_json(self.out, key);
            self.raw(b":");
            match value {
                Value::Number(number) => self.number(*number),
                Value::Text(text) => {
                    let kept = text.floor_char_boundary(bounds::DETAIL_VALUE);
                    write_json(self.out, &text[..kept]);
                    if kept < text.len() {
                        self.cut.push((format!("detail.{key}").into(), (text.len() - kept) as u64));
                    }
                }
            }
        }
        self.raw(b"}");
        let dropped = record.detail.iter().len().saturating_sub(bounds::DETAIL_ENTRIES);
        if dropped > 0 {
            self.cut.push(("detail".into(), dropped as u64));
        }
    }

    fn cuts(&mut self) {
        self.raw(b",\"cut\":{");
        let cut = std::mem::take(&mut self.cut);
        for (index, (field, bytes)) in cut.iter().enumerate() {
            if index > 0 {
                self.raw(b",");
            }
            write_json(self.out, field);
            self.raw(b":");
            self.number(*bytes);
        }
        self.raw(b"}");
    }
}
