//! The plugin's own store: values by key, which outlive calls, workers and updates. They are kept as JSON.
//!
//! It takes the permission `kv`, and an operator who gives the plugin a store. In a test on the author's machine
//! every thread has one of its own, in memory.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ToolError;

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvError {
    /// The plugin has no store.
    Denied,
    /// The value that is there is no value of the asked type, or this one has no form in JSON.
    Invalid {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is full, the key or the value is too long, or the store failed.
    Failed(String),
}

impl fmt::Display for KvError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => out.write_str("the plugin has no store"),
            Self::Invalid { key, why } => write!(out, "the value of `{key}`: {why}"),
            Self::Failed(why) => write!(out, "the store: {why}"),
        }
    }
}

impl std::error::Error for KvError {}

impl From<KvError> for ToolError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Denied => Self::Denied(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The value of `key`, if there is one.
///
/// # Errors
/// [`KvError::Denied`] without a store; [`KvError::Invalid`] where the value is no `T`.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, KvError> {
    back::get(key)?.map(|bytes| read(key, &bytes)).transpose()
}

/// Sets the value of `key`.
///
/// # Errors
/// [`KvError::Denied`] without a store; [`KvError::Failed`] where it is full, or key or value are too long.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), KvError> {
    back::set(key, &written(key, value)?)
}

/// Removes `key`, whether it is there or not.
///
/// # Errors
/// [`KvError::Denied`] without a store.
pub fn delete(key: &str) -> Result<(), KvError> {
    back::delete(key)
}

/// Adds to a number and returns the sum. Where there is none yet, it counts from 0.
///
/// # Errors
/// [`KvError::Failed`] where something else is there, or the sum does not fit.
pub fn increment(key: &str, delta: u64) -> Result<u64, KvError> {
    back::increment(key, delta)
}

/// Sets the value of `key` to what `change` makes of it, and returns that. `change` runs again where somebody
/// else was faster.
///
/// # Errors
/// As [`get`] and [`set`].
pub fn update<T: DeserializeOwned + Serialize>(
    key: &str,
    mut change: impl FnMut(Option<T>) -> T,
) -> Result<T, KvError> {
    back::update(key, |now| {
        let now = now.map(|bytes| read(key, &bytes)).transpose()?;
        let next = change(now);
        Ok((written(key, &next)?, next))
    })
}

fn read<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, KvError> {
    serde_json::from_slice(bytes)
        .map_err(|error| KvError::Invalid { key: key.to_owned(), why: error.to_string() })
}

fn written<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Vec<u8>, KvError> {
    serde_json::to_vec(value)
        .map_err(|error| KvError::Invalid { key: key.to_owned(), why: error.to_string() })
}

#[cfg(target_family = "wasm")]
mod back {
    use super::KvError;

    mod bindings {
        #![allow(missing_docs, reason = "generated")]
        wit_bindgen::generate!({ path: "wit", world: "store", generate_all });
    }

    use bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
    use bindings::wasi::keyvalue::store::{self, Bucket, Error};

    impl From<Error> for KvError {
        fn from(error: Error) -> Self {
            match error {
                Error::AccessDenied => Self::Denied,
                Error::NoSuchStore => Self::Failed("there is none".to_owned()),
                Error::Other(why) => Self::Failed(why),
            }
        }
    }

    fn bucket() -> Result<Bucket, KvError> {
        Ok(store::open("default")?)
    }

    pub(super) fn get(key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(bucket()?.get(key)?)
    }

    pub(super) fn set(key: &str, value: &[u8]) -> Result<(), KvError> {
        Ok(bucket()?.set(key, value)?)
    }

    pub(super) fn delete(key: &str) -> Result<(), KvError> {
        Ok(bucket()?.delete(key)?)
    }

    pub(super) fn increment(key: &str, delta: u64) -> Result<u64, KvError> {
        Ok(atomics::increment(&bucket()?, key, delta)?)
    }

    pub(super) fn update<T>(
        key: &str,
        mut change: impl FnMut(Option<Vec<u8>>) -> Result<(Vec<u8>, T), KvError>,
    ) -> Result<T, KvError> {
        let bucket = bucket()?;
        let mut cas = Cas::new(&bucket, key)?;
        loop {
            let (bytes, next) = change(cas.current()?)?;
            match atomics::swap(cas, &bytes) {
                Ok(()) => return Ok(next),
                Err(CasError::CasFailed(now)) => cas = now,
                Err(CasError::StoreError(error)) => return Err(error.into()),
            }
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod back {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::KvError;

    thread_local! {
        static STORE: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) fn get(key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(STORE.with_borrow(|store| store.get(key).cloned()))
    }

    pub(super) fn set(key: &str, value: &[u8]) -> Result<(), KvError> {
        STORE.with_borrow_mut(|store| store.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(super) fn delete(key: &str) -> Result<(), KvError> {
        STORE.with_borrow_mut(|store| store.remove(key));
        Ok(())
    }

    pub(super) fn increment(key: &str, delta: u64) -> Result<u64, KvError> {
        let now = match get(key)? {
            Some(digits) => std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse::<u64>().ok()),
            None => Some(0),
        };
        let sum = now.and_then(|now| now.checked_add(delta));
        let sum = sum.ok_or_else(|| KvError::Failed("no number, or none after that".to_owned()))?;
        set(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }

    pub(super) fn update<T>(
        key: &str,
        mut change: impl FnMut(Option<Vec<u8>>) -> Result<(Vec<u8>, T), KvError>,
    ) -> Result<T, KvError> {
        let (bytes, next) = change(get(key)?)?;
        set(key, &bytes)?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_changed_and_counted() {
        assert_eq!(get::<u32>("n").unwrap(), None);
        assert_eq!(update("n", |now: Option<u32>| now.unwrap_or(40) + 1).unwrap(), 41);
        assert_eq!(update("n", |now: Option<u32>| now.unwrap_or(40) + 1).unwrap(), 42);
        assert_eq!(get::<u32>("n").unwrap(), Some(42));
        assert!(matches!(get::<String>("n"), Err(KvError::Invalid { .. })));
        assert_eq!(increment("n", 8).unwrap(), 50);
        delete("n").unwrap();
        assert_eq!(get::<u32>("n").unwrap(), None);
        set("text", "five").unwrap();
        assert!(matches!(increment("text", 1), Err(KvError::Failed(_))));
    }
}
