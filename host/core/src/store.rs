//! A store of keys and values: one SQLite file, which an auditor can look into. What it holds is counted in the
//! same transaction that changes it, so the count is right after any crash.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use stockade_policy::stands;

use crate::database::{self, Keeps, Unusable};

/// What an entry costs besides its key and its value.
const ENTRY: u64 = 64;
/// Longest name of a store.
const NAME: usize = 64;

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Mutex<Connection>,
    most: u64,
}

/// Why a store is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It becomes a file's name.
    #[error("{0:?} is no name of a store: 1 to {NAME} letters, digits, -, _ and ., not starting with a dot")]
    Name(String),
    /// It was made for another plugin.
    #[error("the store {name:?} belongs to the plugin {owner}")]
    Taken {
        /// The store.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// It cannot be made, opened, or read.
    #[error("the store {} is not usable", path.display())]
    Broken {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Done,
    /// The store would hold more than it may.
    Full,
    /// Somebody else changed it first.
    Lost,
}

/// A value and which one it is: no two values of a store ever have the same number.
pub(crate) type Versioned = Option<(Vec<u8>, u64)>;

impl Store {
    /// Opens the store of this name below the state folder, or makes it, for this plugin.
    pub(crate) fn open(state: &Path, name: &str, owner: &str, most: u64) -> Result<Store, StoreError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=NAME).contains(&name.len()) || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(StoreError::Name(name.to_owned()));
        }
        let path = state.join("kv").join(format!("{name}.sqlite"));
        let opened = database::open(&path, Keeps::Killed, TABLES).and_then(|mut connection| {
            let owner = claim(&mut connection, owner)?;
            Ok((connection, owner))
        });
        match opened {
            Ok((connection, found)) if found == owner || !stands("kv.owner") => {
                Ok(Store { connection: Mutex::new(connection), most })
            }
            Ok((_, owner)) => Err(StoreError::Taken { name: name.to_owned(), owner }),
            Err(source) => Err(StoreError::Broken { path, source }),
        }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &str) -> rusqlite::Result<Versioned> {
        let connection = self.connection();
        let mut select = connection.prepare_cached("SELECT value, version FROM entry WHERE key = ?1")?;
        select.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    /// Up to `most` keys behind a position, and the position of the last.
    pub(crate) fn keys(&self, after: u64, most: usize) -> rusqlite::Result<Vec<(u64, String)>> {
        let connection = self.connection();
        let mut select =
            connection.prepare_cached("SELECT id, key FROM entry WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        select.query_map(params![after, most], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    pub(crate) fn set(&self, entries: &[(&str, &[u8])]) -> rusqlite::Result<Changed> {
        self.change(|change| {
            entries.iter().try_for_each(|(key, value)| put(change, key, value)).map(|()| Changed::Done)
        })
    }

    pub(crate) fn delete(&self, keys: &[&str]) -> rusqlite::Result<Changed> {
        self.change(|change| keys.iter().try_for_each(|key| remove(change, key)).map(|()| Changed::Done))
    }

    /// Sets a value where the one that is there is still the one with this number, or still none.
    pub(crate) fn swap(&self, key: &str, seen: Option<u64>, value: &[u8]) -> rusqlite::Result<Changed> {
        self.change(|change| {
            let mut select = change.prepare_cached("SELECT version FROM entry WHERE key = ?1")?;
            let now: Option<u64> = select.query_row([key], |row| row.get(0)).optional()?;
            if now != seen && stands("kv.swap") {
                return Ok(Changed::Lost);
            }
            put(change, key, value).map(|()| Changed::Done)
        })
    }

    /// Adds to a number, which is kept as its decimal digits; none where something else is there, or where the sum
    /// is none.
    pub(crate) fn add(&self, key: &str, delta: u64) -> rusqlite::Result<(Changed, Option<u64>)> {
        let mut sum = None;
        let changed = self.change(|change| {
            let mut select = change.prepare_cached("SELECT value FROM entry WHERE key = ?1")?;
            let now: Option<Vec<u8>> = select.query_row([key], |row| row.get(0)).optional()?;
            let now = match &now {
                Some(digits) => {
                    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok())
                }
                None => Some(0),
            };
            sum = now.and_then(|now| now.checked_add(delta));
            let Some(sum) = sum else { return Ok(Changed::Done) };
            put(change, key, sum.to_string().as_bytes()).map(|()| Changed::Done)
        })?;
        Ok((changed, sum))
    }

    /// Does all of it or nothing; and nothing where the store would hold too much.
    fn change(
        &self,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Changed>,
    ) -> rusqlite::Result<Changed> {
        let mut connection = self.connection();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = held(&change)?;
        let changed = act(&change)?;
        let after = held(&change)?;
        // What makes it smaller is always done: an operator may have lowered the limit.
        if after > self.most && after > before && stands("kv.quota") {
            return Ok(Changed::Full);
        }
        if changed == Changed::Done {
            change.commit()?;
        }
        Ok(changed)
    }
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS store (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL,
        owner TEXT NOT NULL, held INTEGER NOT NULL, version INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
        value BLOB NOT NULL, version INTEGER NOT NULL) STRICT;";

/// Whose store it is; this plugin's, if it was nobody's.
fn claim(connection: &mut Connection, owner: &str) -> Result<String, Unusable> {
    let claim = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    claim.execute("INSERT OR IGNORE INTO store VALUES (1, 1, ?1, 0, 0)", [owner])?;
    let (format, owner): (u32, String) =
        claim.query_row("SELECT format, owner FROM store", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    claim.commit()?;
    if format == 1 { Ok(owner) } else { Err(format!("format {format} is not known here").into()) }
}

/// Bytes that the store holds.
fn held(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT held FROM store")?.query_row([], |row| row.get(0))
}

fn put(change: &Transaction<'_>, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    remove_size(change, key)?;
    let version: u64 = change
        .prepare_cached("UPDATE store SET version = version + 1, held = held + ?1 RETURNING version")?
        .query_row([key.len() as u64 + value.len() as u64 + ENTRY], |row| row.get(0))?;
    change
        .prepare_cached(
            "INSERT INTO entry (key, value, version) VALUES (?1, ?2, ?3) \
             ON CONFLICT (key) DO UPDATE SET value = ?2, version = ?3",
        )?
        .execute(params![key, value, version])?;
    Ok(())
}

fn remove(change: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
    remove_size(change, key)?;
    change.prepare_cached("DELETE FROM entry WHERE key = ?1")?.execute([key])?;
    Ok(())
}

/// Takes what an entry costs off the count.
fn remove_size(change: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "UPDATE store SET held = held - coalesce((SELECT length(CAST(key AS BLOB)) + length(value) + ?2 \
             FROM entry WHERE key = ?1), 0)",
        )?
        .execute(params![key, ENTRY])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(most: u64) -> (Store, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        (Store::open(state.path(), "s", "p", most).unwrap(), state)
    }

    fn held_now(store: &Store) -> u64 {
        held(&store.connection()).unwrap()
    }

    #[test]
    fn d13_what_is_held_is_counted_exactly() {
        let (store, state) = store(1_000);
        let cost = |key: &str, value: &[u8]| (key.len() + value.len()) as u64 + ENTRY;
        store.set(&[("a", b"123"), ("\u{e4}", b"")]).unwrap();
        assert_eq!(held_now(&store), cost("a", b"123") + cost("\u{e4}", b""));
        store.set(&[("a", b"1")]).unwrap();
        assert_eq!(held_now(&store), cost("a", b"1") + cost("\u{e4}", b""));
        store.delete(&["a", "a", "not there"]).unwrap();
        assert_eq!(held_now(&store), cost("\u{e4}", b""));
        // Nothing of a change that is too large is done.
        assert_eq!(store.set(&[("b", b"x"), ("c", &[0; 900])]).unwrap(), Changed::Full);
        assert_eq!(store.get("b").unwrap(), None);
        assert_eq!(held_now(&store), cost("\u{e4}", b""));
        // A limit that was lowered stops growth, and nothing that makes room.
        drop(store);
        let store = Store::open(state.path(), "s", "p", 10).unwrap();
        assert_eq!(store.set(&[("\u{e4}", b"1")]).unwrap(), Changed::Full);
        assert_eq!(store.delete(&["\u{e4}"]).unwrap(), Changed::Done);
        assert_eq!(held_now(&store), 0);
    }

    #[test]
    fn a_value_is_swapped_only_for_the_one_that_was_seen() {
        let (store, _state) = store(1_000);
        assert_eq!(store.swap("k", Some(1), b"x").unwrap(), Changed::Lost);
        assert_eq!(store.swap("k", None, b"1").unwrap(), Changed::Done);
        assert_eq!(store.swap("k", None, b"2").unwrap(), Changed::Lost);
        let (value, seen) = store.get("k").unwrap().unwrap();
        assert_eq!(value, b"1");
        // The same value again is another one: whoever saw the first has lost.
        store.set(&[("k", b"1")]).unwrap();
        assert_eq!(store.swap("k", Some(seen), b"2").unwrap(), Changed::Lost);
        store.delete(&["k"]).unwrap();
        store.set(&[("k", b"1")]).unwrap();
        assert_eq!(store.swap("k", Some(seen), b"2").unwrap(), Changed::Lost);
    }

    #[test]
    fn numbers_are_added_up_and_never_wrap() {
        let (store, _state) = store(1_000);
        assert_eq!(store.add("n", 5).unwrap(), (Changed::Done, Some(5)));
        assert_eq!(store.add("n", u64::MAX - 5).unwrap(), (Changed::Done, Some(u64::MAX)));
        assert_eq!(store.add("n", 1).unwrap(), (Changed::Done, None));
        assert_eq!(store.get("n").unwrap().unwrap().0, u64::MAX.to_string().as_bytes());
        store.set(&[("n", b"five")]).unwrap();
        assert_eq!(store.add("n", 1).unwrap(), (Changed::Done, None));
    }

    #[test]
    fn d13_a_store_is_one_plugins() {
        let (_store, state) = store(1_000);
        assert!(matches!(Store::open(state.path(), "s", "other", 1), Err(StoreError::Taken { .. })));
        for name in ["", ".", "..", "a/b", "../s", ".s", "a\0", "a b", &"a".repeat(65)] {
            assert!(matches!(Store::open(state.path(), name, "p", 1), Err(StoreError::Name(_))), "{name:?}");
        }
    }
}
