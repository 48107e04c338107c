//! The document as it is written: what is the same in reading and in writing.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{MAX_PLUGINS, MAX_VERSIONS};
use crate::dependency::MAX_DEPENDENCIES;

/// The form that this version reads and writes.
pub(super) const SCHEMA: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) schema: u64,
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) expires: String,
    pub(super) plugins: List<Plugin, MAX_PLUGINS>,
}

/// Of which form it is, whatever else may be in it by then.
#[derive(Deserialize)]
pub(super) struct Versioned {
    pub(super) schema: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) versions: List<OneVersion, MAX_VERSIONS>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneVersion {
    pub(super) version: String,
    #[serde(rename = "type")]
    pub(super) plugin_type: String,
    pub(super) digest: String,
    pub(super) bytes: u64,
    pub(super) source: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    pub(super) contract: String,
    #[serde(default, skip_serializing_if = "List::is_empty")]
    pub(super) dependencies: List<Dependency, MAX_DEPENDENCIES>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) yanked: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dependency {
    pub(super) plugin: String,
    pub(super) version: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) optional: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Absent or there: `null` would be a second spelling of absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// At most so many of them. More are counted and not kept.
pub(super) struct List<T, const MAX: usize> {
    pub(super) items: Vec<T>,
    pub(super) too_many: bool,
}

impl<T, const MAX: usize> List<T, MAX> {
    pub(super) const fn of(items: Vec<T>) -> List<T, MAX> {
        List { items, too_many: false }
    }

    const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        List::of(Vec::new())
    }
}

impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
    type Value = List<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = List::default();
        while list.items.len() < MAX {
            let Some(item) = items.next_element()? else { return Ok(list) };
            list.items.push(item);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            list.too_many = true;
        }
        Ok(list)
    }
}
