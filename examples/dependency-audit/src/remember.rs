use serde::{Deserialize, Serialize};
use stockade_sdk::kv::{self, KvError};

use crate::Locked;

/// What the database said about a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// When, in seconds since 1970.
    pub at: u64,
    /// The vulnerabilities, by their ids.
    pub ids: Vec<String>,
}

fn key(package: &Locked) -> String {
    format!("crates.io/{}@{}", package.name, package.version)
}

/// What is remembered of a package, and not older than that.
///
/// # Errors
/// As [`kv::get`].
pub fn known(package: &Locked, now: u64, max_age: u64) -> Result<Option<Known>, KvError> {
    let known = kv::get::<Known>(&key(package))?;
    Ok(known.filter(|known| now.saturating_sub(known.at) < max_age))
}

/// Remembers it.
///
/// # Errors
/// As [`kv::set`].
pub fn remember(package: &Locked, known: &Known) -> Result<(), KvError> {
    kv::set(&key(package), known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_grows_old() {
        let text = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n";
        let package = crate::packages(text).unwrap().remove(0);
        assert_eq!(known(&package, 1_000, 100).unwrap(), None);
        let said = Known { at: 1_000, ids: vec!["X-1".to_owned()] };
        remember(&package, &said).unwrap();
        assert_eq!(known(&package, 1_099, 100).unwrap(), Some(said));
        assert_eq!(known(&package, 1_100, 100).unwrap(), None);
    }
}
