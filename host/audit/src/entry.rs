use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::chain::Hash;
use crate::line::{HASH_KEY, HASH_SUFFIX, VERSION};
use crate::{Decision, Detail, Layer, Plugin, Record, Rule, Value};

/// A record as it stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 0.
    pub seq: u64,
    /// Wall time, RFC 3339 in UTC with nine digits of second.
    pub time: String,
    /// Nanoseconds since boot.
    pub monotonic: u64,
    /// Which boot: the kernel's `boot_id`.
    pub boot: String,
    /// What was recorded.
    pub record: Record,
    /// Bytes cut from fields that were too long, by field.
    pub cut: BTreeMap<String, u64>,
    /// The hash of the record before, or the genesis.
    pub prev: Hash,
    /// Its hash, as the line states it; whether it is so is for [`verify`](crate::verify()).
    pub hash: Hash,
}

impl Entry {
    /// Reads one line of a log, without its newline. Also says whether the hash that the line states is the hash
    /// of it; whether it follows the line before is for [`verify`](crate::verify()).
    ///
    /// # Errors
    ///
    /// What the line is not, in words.
    pub fn from_line(line: &[u8]) -> Result<(Self, bool), String> {
        let parsed = Parsed::read(line)?;
        let intact = parsed.intact;
        Ok((parsed.into_entry(), intact))
    }
}

/// A line of this version, field by field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire<'a> {
    v: u32,
    pub(crate) seq: u64,
    #[serde(borrow)]
    pub(crate) time: Cow<'a, str>,
    mono: u64,
    #[serde(borrow)]
    boot: Cow<'a, str>,
    plugin: Option<Plugin>,
    launch: Option<String>,
    call: Option<u64>,
    pub(crate) layer: Layer,
    #[serde(borrow)]
    pub(crate) event: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow)]
    resource: Cow<'a, str>,
    pub(crate) decision: Decision,
    rule: Option<Rule>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    next_step: Cow<'a, str>,
    pub(crate) detail: BTreeMap<String, Value>,
    cut: BTreeMap<String, u64>,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
}

/// A line that was read: what it says, and whether its hash is the hash of it.
pub(crate) struct Parsed<'a> {
    pub(crate) wire: Wire<'a>,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
    /// Whether `hash` is the hash of the line.
    pub(crate) intact: bool,
}

impl<'a> Parsed<'a> {
    /// Reads a line without its newline; the error says what it is not.
    pub(crate) fn read(line: &'a [u8]) -> Result<Self, String> {
        let wire: Wire<'a> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if wire.v != VERSION {
            return Err(format!("it is of version {}, this program reads version {VERSION}", wire.v));
        }
        let prev = Hash::from_hex(wire.prev.as_bytes()).ok_or("its prev is not 64 lowercase hex digits")?;
        let hash = Hash::from_hex(wire.hash.as_bytes()).ok_or("its hash is not 64 lowercase hex digits")?;
        let body = line.len().saturating_sub(HASH_SUFFIX);
        // The suffix is compared as bytes: the hash does not cover it, so it may have one spelling only.
        let intact = line[body..].strip_prefix(HASH_KEY).and_then(|rest| rest.strip_suffix(b"\"}"))
            == Some(hash.hex().as_slice())
            && Hash::of_record(&prev, &line[..body]) == hash;
        Ok(Self { wire, prev, hash, intact })
    }

    pub(crate) fn into_entry(self) -> Entry {
        let wire = self.wire;
        let mut detail = Detail::default();
        for (key, value) in wire.detail {
            detail.insert(key, value);
        }
        Entry {
            seq: wire.seq,
            time: wire.time.into_owned(),
            monotonic: wire.mono,
            boot: wire.boot.into_owned(),
            record: Record {
                plugin: wire.plugin.map(Plugin::shared),
                launch: wire.launch.map(Into::into),
                call: wire.call,
                layer: wire.layer,
                event: owned(wire.event),
                operation: owned(wire.operation),
                resource: owned(wire.resource),
                decision: wire.decision,
                rule: wire.rule,
                reason: owned(wire.reason),
                next_step: owned(wire.next_step),
                detail,
            },
            cut: wire.cut,
            prev: self.prev,
            hash: self.hash,
        }
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}
