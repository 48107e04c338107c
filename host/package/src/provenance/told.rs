//! The parts of a provenance that can hold anything, read so that they have one reading.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A value that a builder was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Parameter {
    /// Where it stands, as a JSON pointer: `/workflow/ref`.
    pub at: String,
    /// A string as it is, everything else as its JSON.
    pub value: String,
}

/// An object with anything in it, as the values at its ends.
pub(super) struct Parameters(pub(super) Vec<Parameter>);

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Vec::new();
        deserializer.deserialize_map(Below { at: String::new(), found: &mut found })?;
        Ok(Parameters(found))
    }
}

/// What stands at a place of the object, and below it. serde_json ends at 128 levels.
struct Below<'a> {
    at: String,
    found: &'a mut Vec<Parameter>,
}

impl Below<'_> {
    fn is(self, value: impl Into<String>) {
        self.found.push(Parameter { at: self.at, value: value.into() });
    }
}

impl<'de> DeserializeSeed<'de> for Below<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without a key twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let at = format!("{}/{}", self.at, key.replace('~', "~0").replace('/', "~1"));
            map.next_value_seed(Below { at, found: &mut *self.found })?;
            once(&mut seen, key, ())?;
        }
        if seen.is_empty() && !self.at.is_empty() {
            self.is("{}");
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut count = 0_usize;
        while items
            .next_element_seed(Below { at: format!("{}/{count}", self.at), found: &mut *self.found })?
            .is_some()
        {
            count += 1;
        }
        if count == 0 {
            self.is("[]");
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.is(text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.is(value.to_string());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.is(value.to_string());
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.is(value.to_string());
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.is(value.to_string());
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.is("null");
        Ok(())
    }
}

/// Takes a key that was not there yet. A reader that takes the first of two, and one that takes the last, would see two
/// things.
fn once<T, E: Error>(into: &mut BTreeMap<String, T>, key: String, value: T) -> Result<(), E> {
    match into.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(value);
            Ok(())
        }
        Entry::Occupied(entry) => Err(E::custom(format_args!("duplicate key {:?}", entry.key()))),
    }
}

/// Digests by their names, each once.
pub(super) struct Digests;

impl Digests {
    pub(super) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        deserializer.deserialize_map(Digests)
    }
}

impl<'de> Visitor<'de> for Digests {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("digests by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut digests = BTreeMap::new();
        while let Some((name, digest)) = map.next_entry::<String, String>()? {
            once(&mut digests, name, digest)?;
        }
        Ok(digests)
    }
}
