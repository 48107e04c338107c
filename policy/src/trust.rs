//! Whom an organisation believes, of those who sign plugins: which keys for which publishers, how many of them, until when,
//! and what counts no more.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::{Spanned, Value};

use crate::organisation::Places;
use crate::{
    Policy, PolicyError, PolicyFault, PublicKey, Source, is_index_name, is_plugin_part, is_sha256, stands,
};

/// Publishers, or indexes, whose keys are named; keys of one of them; and what is revoked.
const MAX_SIGNED: usize = 10_000;
const MAX_KEYS: usize = 64;
const MAX_REVOKED: usize = 10_000;
const DAY: i64 = 24 * 60 * 60;

/// Whom the organisation believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Publishers whose plugins have to be signed, by name.
    pub publishers: BTreeMap<String, Signers>,
    /// Indexes of plugins that have to be signed by these, by name.
    pub indexes: BTreeMap<String, Signers>,
    /// Whether plugins of publishers that are not named are kept out.
    pub refuse_others: bool,
    /// Keys that count for nobody.
    pub revoked_keys: Vec<PublicKey>,
    /// Components and packages that are never loaded: their SHA-256, in hexadecimal.
    pub revoked_digests: Vec<String>,
    /// Where it stands, from 1; 0 where it says nothing.
    pub line: u32,
}

/// Who has to have signed: each plugin of a publisher, or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers {
    /// Whose signatures count.
    pub keys: Vec<TrustedKey>,
    /// How many of them it takes.
    pub needed: u32,
    /// Where it stands, from 1.
    pub line: u32,
}

/// A key of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// Whose it is.
    pub key: PublicKey,
    /// The second since 1970 from which on it counts no more.
    pub until: Option<u64>,
}

/// A plugin, and who has signed it.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `publisher/name`.
    pub plugin: &'a str,
    /// SHA-256 of the component, in hexadecimal.
    pub component: &'a str,
    /// The digest of its package, `sha256:` and 64 digits, where it came as one.
    pub package: Option<&'a str>,
    /// Whose signatures it has, each checked.
    pub by: &'a [PublicKey],
}

/// Why a plugin is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Too few keys of those who are named for it have signed it, of those that count now.
    Unsigned {
        /// How many it takes.
        needed: u32,
        /// How many have.
        have: u32,
        /// Which part of the policy says so.
        by: Source,
    },
    /// Nobody has named its publisher.
    UnknownPublisher {
        /// Which part of the policy says so.
        by: Source,
    },
    /// It was revoked itself.
    Revoked {
        /// Which part of the policy says so.
        by: Source,
    },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned { needed: 1, by, .. } => {
                write!(f, "is not signed by a key of its publisher ({by})")
            }
            Self::Unsigned { needed, have, by } => {
                write!(f, "is signed by {have} keys of its publisher, and it takes {needed} ({by})")
            }
            Self::UnknownPublisher { by } => {
                write!(f, "is of a publisher whom the policy does not name ({by})")
            }
            Self::Revoked { by } => write!(f, "was revoked ({by})"),
        }
    }
}

/// What is to be said of a plugin's signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The signatures that count: those of its publisher's keys, where the policy names them.
    pub counted: Vec<PublicKey>,
    /// Why it is not believed.
    pub distrust: Option<Distrust>,
    /// The second since 1970 from which on it will not be, because keys end.
    pub until: Option<u64>,
}

impl Policy {
    /// Judges a plugin's signatures, at a time in seconds since 1970.
    pub fn judge(&self, signed: &Signed<'_>, now: u64) -> Judgement {
        let Trust { publishers, refuse_others, revoked_digests, line, .. } = &self.trust;
        let source = |id: String, line| Source::Policy { version: self.version, id, line };
        let of_trust = || source("trust".to_owned(), *line);
        let good = self.unrevoked(signed.by);
        let digests =
            [Some(signed.component), signed.package.and_then(|digest| digest.strip_prefix("sha256:"))];
        let mut digests = digests.into_iter().flatten();
        if digests.any(|digest| revoked_digests.iter().any(|revoked| revoked == digest))
            && stands("trust.revoked")
        {
            return Judgement {
                counted: good,
                distrust: Some(Distrust::Revoked { by: of_trust() }),
                until: None,
            };
        }
        let name = signed.plugin.split_once('/').map_or("", |(publisher, _)| publisher);
        let Some(signers) = publishers.get(name) else {
            let distrust = (*refuse_others && stands("trust.others"))
                .then(|| Distrust::UnknownPublisher { by: of_trust() });
            return Judgement { counted: good, distrust, until: None };
        };
        signers.judge(&good, now, || source(format!("publishers.{name}"), signers.line))
    }

    /// Judges an index's signatures, at a time in seconds since 1970. Where the policy does not name those who sign it,
    /// every signature counts that was not revoked.
    pub fn judge_index(&self, name: &str, by: &[PublicKey], now: u64) -> Judgement {
        let good = self.unrevoked(by);
        match self.trust.indexes.get(name) {
            Some(signers) => signers.judge(&good, now, || Source::Policy {
                version: self.version,
                id: format!("indexes.{name}"),
                line: signers.line,
            }),
            None => Judgement { counted: good, distrust: None, until: None },
        }
    }

    /// Those keys that count still.
    pub fn unrevoked(&self, keys: &[PublicKey]) -> Vec<PublicKey> {
        let is_revoked = |key: &PublicKey| self.trust.revoked_keys.contains(key) && stands("trust.revoked");
        keys.iter().filter(|key| !is_revoked(key)).copied().collect()
    }
}

impl Signers {
    fn judge(&self, good: &[PublicKey], now: u64, by: impl FnOnce() -> Source) -> Judgement {
        let Signers { keys, needed, .. } = self;
        // By key, and each once: two signatures of one key are one (CVE-2020-15093).
        let counts = |trusted: &&TrustedKey| {
            good.contains(&trusted.key)
                && (trusted.until.is_none_or(|until| now < until) || !stands("trust.until"))
        };
        let counting: Vec<&TrustedKey> = keys.iter().filter(counts).collect();
        let counted: Vec<PublicKey> = counting.iter().map(|trusted| trusted.key).collect();
        let have = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        if have < *needed && stands("policy.publisher-key") {
            let distrust = Some(Distrust::Unsigned { needed: *needed, have, by: by() });
            return Judgement { counted, distrust, until: None };
        }
        // Of those that count, all but as many as are needed may end.
        let mut ends: Vec<u64> = counting.iter().filter_map(|trusted| trusted.until).collect();
        ends.sort_unstable();
        let spare = have.saturating_sub(*needed) as usize;
        Judgement { counted, distrust: None, until: ends.get(spare).copied() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustTable {
    others: Option<Spanned<String>>,
    #[serde(default)]
    revoked: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignersTable {
    keys: Vec<Spanned<Value>>,
    needed: Option<Spanned<u32>>,
}

/// Those who sign, by the name of what they sign.
pub(crate) type Tables = BTreeMap<Spanned<String>, SignersTable>;

/// Reads the parts of a document that say whom to believe.
pub(crate) fn read(
    trust: Option<Spanned<TrustTable>>,
    (publishers, indexes): (Tables, Tables),
    places: &mut Places<'_>,
) -> Result<Trust, PolicyError> {
    let mut read = Trust {
        publishers: signers(publishers, is_plugin_part, PolicyFault::Publisher, places)?,
        indexes: signers(indexes, is_index_name, PolicyFault::Index, places)?,
        ..Trust::default()
    };
    let Some(trust) = trust else { return Ok(read) };
    read.line = line(places, trust.span().start);
    let TrustTable { others, revoked } = trust.into_inner();
    read.refuse_others = match others.as_ref().map(|others| others.get_ref().as_str()) {
        None | Some("allow") => false,
        Some("refuse") => true,
        Some(other) => {
            let at = others.as_ref().map_or(0, |others| others.span().start);
            return Err(places.error(at, PolicyFault::Others(other.to_owned())));
        }
    };
    if let Some(one_too_many) = revoked.get(MAX_REVOKED) {
        return Err(
            places.error(one_too_many.span().start, PolicyFault::TooLarge("10000 revoked keys and digests"))
        );
    }
    for text in revoked {
        let at = text.span().start;
        let text = text.into_inner();
        match (text.parse(), text.strip_prefix("sha256:")) {
            (Ok(key), _) => read.revoked_keys.push(key),
            (Err(_), Some(digest)) if is_sha256(digest) => read.revoked_digests.push(digest.to_owned()),
            _ => return Err(places.error(at, PolicyFault::Revoked(text))),
        }
    }
    Ok(read)
}

fn line(places: &mut Places<'_>, at: usize) -> u32 {
    u32::try_from(places.line(at)).unwrap_or(u32::MAX)
}

fn signers(
    tables: Tables,
    can_be: fn(&str) -> bool,
    is_none: fn(String) -> PolicyFault,
    places: &mut Places<'_>,
) -> Result<BTreeMap<String, Signers>, PolicyError> {
    if tables.len() > MAX_SIGNED {
        return Err(places.error(0, PolicyFault::TooLarge("10000 publishers or indexes")));
    }
    let mut signers = BTreeMap::new();
    for (name, table) in tables {
        let at = name.span().start;
        if !can_be(name.get_ref()) {
            return Err(places.error(at, is_none(name.into_inner())));
        }
        if table.keys.is_empty() {
            return Err(places.error(at, PolicyFault::NoKeys(name.into_inner())));
        }
        if table.keys.len() > MAX_KEYS {
            return Err(places.error(at, PolicyFault::TooLarge("64 keys for one name")));
        }
        let mut keys: Vec<TrustedKey> = Vec::new();
        for written in table.keys {
            let at = written.span().start;
            let read = key(written.into_inner()).map_err(|fault| places.error(at, fault))?;
            // Twice is once, and until the day that comes first.
            match keys.iter_mut().find(|known| known.key == read.key) {
                Some(known) => known.until = [known.until, read.until].into_iter().flatten().min(),
                None => keys.push(read),
            }
        }
        let needed = table.needed.as_ref().map_or(1, |needed| *needed.get_ref());
        if needed == 0 || needed as usize > keys.len() {
            let at = table.needed.map_or(at, |needed| needed.span().start);
            return Err(places.error(at, PolicyFault::Signers { needed, keys: keys.len() }));
        }
        let line = line(places, at);
        signers.insert(name.into_inner(), Signers { keys, needed, line });
    }
    Ok(signers)
}

/// `"ed25519:..."`, or `{ key = "ed25519:...", until = 2027-06-30 }`.
fn key(written: Value) -> Result<TrustedKey, PolicyFault> {
    let parse = |text: String| match text.parse() {
        Ok(key) => Ok(key),
        Err(why) => Err(PolicyFault::Key { text, why }),
    };
    match written {
        Value::String(text) => Ok(TrustedKey { key: parse(text)?, until: None }),
        Value::Table(mut table) => match (table.remove("key"), table.remove("until"), table.is_empty()) {
            (Some(Value::String(text)), Some(Value::Datetime(day)), true) => {
                let until = end_of(&day).ok_or(PolicyFault::Until)?;
                Ok(TrustedKey { key: parse(text)?, until: Some(until) })
            }
            _ => Err(PolicyFault::Until),
        },
        _ => Err(PolicyFault::Until),
    }
}

/// The end of a day in UTC, in seconds since 1970.
fn end_of(day: &toml::value::Datetime) -> Option<u64> {
    let (Some(date), None, None) = (day.date, day.time, day.offset) else { return None };
    // Years that begin in March, so that the leap day is the last: what a crate for dates would be the only use of in the
    // confined program.
    let (year, month) = (i64::from(date.year), i64::from(date.month));
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + i64::from(date.day) - 1;
    // From the first of March of the year 0 to 1970.
    u64::try_from((days - 719_468 + 1) * DAY).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight() {
        let end = |text: &str| end_of(&text.parse().expect("a date"));
        assert_eq!(end("1970-01-01"), Some(86_400));
        assert_eq!(end("2000-02-29"), Some(951_868_800));
        assert_eq!(end("2026-11-28"), Some(1_795_910_400));
        assert_eq!(end("2100-03-01"), Some(4_107_628_800));
        assert_eq!(end("1969-12-30"), None);
        assert_eq!(end("2026-11-28T10:00:00Z"), None);
    }
}
