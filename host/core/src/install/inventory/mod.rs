//! The list of what is installed: one SQLite file. A change of it is one commit, so whoever looks sees what was before or
//! what is after; and the audit log has each change, with a digest of all that is installed then, before the commit.

mod entries;
mod look;
mod seen;
mod settle;

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use stockade_audit::{Reader, Record};
use stockade_policy::stands;

use super::InstallError;
use crate::database::{self, Keeps, Unusable};
use crate::memfd::hex;

pub use entries::{Began, Dependency, Generation, Happened, Installed, Loaded, Offer};
pub(super) use seen::SeenIndex;
pub(super) use settle::{Becomes, New, Settling};

/// The file in the state folder.
const FILE: &str = "installed.sqlite";
/// Each brings a file that knows those before it to the next form; a file says how many it knows. None is ever changed.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE site (
        one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, changes INTEGER NOT NULL, head TEXT NOT NULL) STRICT;
    CREATE TABLE generation (
        number INTEGER PRIMARY KEY AUTOINCREMENT, plugin TEXT NOT NULL, version TEXT NOT NULL, type TEXT NOT NULL,
        package TEXT NOT NULL, component TEXT NOT NULL, bytes INTEGER NOT NULL, origin TEXT NOT NULL,
        setup TEXT NOT NULL, signed_by TEXT NOT NULL, dependencies TEXT NOT NULL, made INTEGER NOT NULL,
        replaces INTEGER REFERENCES generation (number)) STRICT;
    CREATE INDEX generation_of ON generation (plugin);
    CREATE TABLE plugin (
        name TEXT PRIMARY KEY, generation INTEGER REFERENCES generation (number),
        next INTEGER REFERENCES generation (number), enabled INTEGER NOT NULL, highest TEXT NOT NULL) STRICT;
    CREATE TABLE offer (
        generation INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, what TEXT NOT NULL,
        PRIMARY KEY (generation, kind, name)) STRICT;
    CREATE TABLE history (
        id TEXT PRIMARY KEY, plugin TEXT, change TEXT NOT NULL, state TEXT NOT NULL, phase TEXT NOT NULL,
        began INTEGER NOT NULL, ended INTEGER, uid INTEGER NOT NULL, user TEXT, origin TEXT NOT NULL,
        before TEXT, after TEXT, code TEXT, message TEXT, next_step TEXT) STRICT;
    CREATE INDEX history_of ON history (plugin);
    CREATE TABLE phase (id TEXT NOT NULL, number INTEGER NOT NULL, phase TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (id, number)) STRICT;
    CREATE TABLE load (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, plugin TEXT NOT NULL, version TEXT NOT NULL,
        package TEXT, state TEXT NOT NULL, code TEXT, reason TEXT) STRICT;
    CREATE INDEX load_of ON load (plugin);
    CREATE TABLE seen (
        name TEXT PRIMARY KEY, version INTEGER NOT NULL, sha256 TEXT NOT NULL, at INTEGER NOT NULL,
        keys TEXT NOT NULL) STRICT;
    CREATE TABLE place (place TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;"];

/// Loads that are kept: those of a thousand plugins over some ten starts. Without a bound a plugin that is loaded again and
/// again would fill the disk.
const MOST_LOADS: i64 = 10_000;
/// Generations of a plugin that can be gone back to: their packages are kept.
const KEPT_BACK: usize = 3;
/// How far back in the audit log its last word about the list is looked for, at first and at last.
const LOOKED_BACK: [u64; 2] = [256 * 1024, 4 * 1024 * 1024];

/// The details of a record that say how far which list is.
const LIST: &str = "installed_list";
const CHANGES: &str = "installed_changes";
const HEAD: &str = "installed_sha256";

/// The list, opened.
#[derive(Debug)]
pub struct Inventory {
    connection: Connection,
}

pub(super) fn broken(error: impl Into<Unusable>) -> InstallError {
    InstallError::Inventory(error.into())
}

impl From<rusqlite::Error> for InstallError {
    fn from(error: rusqlite::Error) -> Self {
        broken(error)
    }
}

impl Inventory {
    /// Whether there is a list in this state folder.
    pub fn is_there(state: &Path) -> bool {
        state.join(FILE).exists()
    }

    /// Opens the list to look at. None where nothing was ever installed.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn look(state: &Path) -> Result<Option<Inventory>, InstallError> {
        if !Self::is_there(state) {
            return Ok(None);
        }
        let opened = match Self::opened(state, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            // Whoever was killed while the file was made has left what only a writer can take back.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
                Self::opened(state, OpenFlags::SQLITE_OPEN_READ_WRITE)
            }
            opened => opened,
        };
        let (connection, known) = opened?;
        match known {
            // Killed before its first tables were there.
            0 => Ok(None),
            known if known > MIGRATIONS.len() => Err(later(known)),
            _ => Ok(Some(Inventory { connection })),
        }
    }

    /// The file, and how many migrations it knows.
    fn opened(state: &Path, access: OpenFlags) -> rusqlite::Result<(Connection, usize)> {
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(state.join(FILE), flags)?;
        connection.busy_timeout(database::PATIENCE)?;
        let known = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((connection, known))
    }

    /// Opens the list to run what is in it: as [`look`](Self::look), where it is the list of which the audit log speaks.
    ///
    /// # Errors
    ///
    /// It cannot be read, or was exchanged or edited.
    pub fn trusted(state: &Path, audit: &Path) -> Result<Option<Inventory>, InstallError> {
        let found = Self::look(state)?;
        if let Some(inventory) = &found {
            inventory.hold_against(audit)?;
        }
        Ok(found)
    }

    /// Opens the list to change it, or begins it, and holds it against what the audit log last said of it.
    pub(super) fn open(state: &Path, audit: &Path) -> Result<Inventory, InstallError> {
        let inventory = Self::open_unheld(state)?;
        inventory.hold_against(audit)?;
        Ok(inventory)
    }

    /// For what changes nothing that is installed.
    pub(super) fn open_unheld(state: &Path) -> Result<Inventory, InstallError> {
        let mut connection = database::open(&state.join(FILE), Keeps::Always, "").map_err(broken)?;
        let migrating = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known: usize = migrating.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if known > MIGRATIONS.len() {
            return Err(later(known));
        }
        for migration in &MIGRATIONS[known..] {
            migrating.execute_batch(migration)?;
        }
        if known == 0 {
            let id = hex(&random()?);
            migrating
                .execute("INSERT INTO site VALUES (1, ?1, 0, ?2)", params![id, digest(&migrating, 0)?])?;
        }
        migrating.pragma_update(None, "user_version", MIGRATIONS.len())?;
        migrating.commit()?;
        Ok(Inventory { connection })
    }

    /// An older copy of the list is a sound list too, but for what the log has seen since; and one that was edited is no
    /// longer the one of which the log speaks.
    fn hold_against(&self, audit: &Path) -> Result<(), InstallError> {
        let (id, changes, head) = self.site()?;
        if !stands("install.list") {
            return Ok(());
        }
        if digest(&self.connection, changes)? != head {
            return Err(InstallError::Exchanged { why: "somebody has edited it".to_owned() });
        }
        let Some((seen, seen_head)) = last_word(audit, &id) else { return Ok(()) };
        // The log has a change before the list does: one that was cut off in between has not happened.
        if seen > changes + 1 {
            let why = format!("it knows {changes} changes, and the log {seen}: this is an older copy");
            return Err(InstallError::Exchanged { why });
        }
        if seen == changes && seen_head != head {
            return Err(InstallError::Exchanged { why: "its last change is another one".to_owned() });
        }
        Ok(())
    }

    fn site(&self) -> Result<(String, i64, String), InstallError> {
        let row = self.connection.query_row("SELECT id, changes, head FROM site", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        });
        Ok(row?)
    }

    /// What SQLite finds wrong with the file; nothing where it is sound.
    ///
    /// # Errors
    ///
    /// It cannot be read at all.
    pub fn check(&self) -> Result<Vec<String>, InstallError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut found = rows.collect::<Result<Vec<_>, _>>()?;
        found.retain(|line| line != "ok");
        let (_, changes, head) = self.site()?;
        if found.is_empty() && digest(&self.connection, changes)? != head {
            found.push("somebody has edited it".to_owned());
        }
        Ok(found)
    }

    /// Writes a copy of the list, as it is now, into a new file.
    ///
    /// # Errors
    ///
    /// The file is there, or cannot be written.
    pub fn back_up(&self, to: &Path) -> Result<(), InstallError> {
        let place = to.to_str().ok_or_else(|| broken("its name is not UTF-8"))?;
        self.connection.execute("VACUUM INTO ?1", [place])?;
        let synced = File::open(to).and_then(|file| {
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.sync_all()
        });
        synced.map_err(|source| InstallError::File { path: to.to_owned(), what: "written", source })
    }
}

fn later(known: usize) -> InstallError {
    broken(format!("its form is {known}, and this version knows {}", MIGRATIONS.len()))
}

fn random() -> Result<[u8; 16], InstallError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| broken(std::io::Error::other(error)))?;
    Ok(bytes)
}

/// All that somebody would edit to have another package run, or to have one gone back to: what is installed, and every
/// generation, since those before say what was a version's package.
const DIGESTED: [&str; 3] = [
    "SELECT name, generation, next, enabled, highest FROM plugin ORDER BY name",
    "SELECT number, plugin, version, type, package, component, bytes, origin, setup, signed_by, dependencies, made, \
     replaces FROM generation ORDER BY number",
    "SELECT generation, kind, name, what FROM offer ORDER BY generation, kind, name",
];

/// A digest of all that is installed and was, after so many changes.
fn digest(connection: &Connection, changes: i64) -> Result<String, InstallError> {
    let mut hash = Sha256::new();
    hash.update(changes.to_le_bytes());
    for (table, query) in DIGESTED.iter().enumerate() {
        let mut statement = connection.prepare_cached(query)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // No row can be taken for one of another table.
            hash.update([u8::try_from(table).expect("three tables")]);
            for column in 0..columns {
                // Each with its length, so that none can be taken for a piece of another.
                let number;
                let text = match row.get_ref(column)? {
                    ValueRef::Integer(value) => {
                        number = value.to_le_bytes();
                        Some(&number[..])
                    }
                    ValueRef::Text(text) => Some(text),
                    _ => None,
                };
                hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
                hash.update(text.unwrap_or_default());
            }
        }
    }
    Ok(hex(&hash.finalize()))
}

fn stamped(record: Record, list: &str, changes: i64, head: &str) -> Record {
    record.detail(LIST, list.to_owned()).detail(CHANGES, changes).detail(HEAD, head.to_owned())
}

/// What the audit log last said of a list.
fn last_word(audit: &Path, id: &str) -> Option<(i64, String)> {
    for bytes in LOOKED_BACK {
        let records = Reader::open_at_end(audit, bytes).ok()?;
        let of_it = records.map_while(Result::ok).filter_map(|entry| {
            let detail = &entry.record.detail;
            let is_it = detail.text(LIST) == Some(id);
            let said = detail.number(CHANGES).zip(detail.text(HEAD));
            said.filter(|_| is_it).map(|(changes, head)| (changes, head.to_owned()))
        });
        if let Some(last) = of_it.last() {
            return Some(last);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_host_wrote_of_what_a_plugin_needs_is_read() {
        let read = |text| serde_json::from_str::<Vec<Dependency>>(text).unwrap();
        let base =
            [Dependency { plugin: "acme/base".to_owned(), versions: "^1".to_owned(), optional: false }];
        assert_eq!(read(r#"[["acme/base", "^1"]]"#), base);
        assert_eq!(read(&serde_json::to_string(&base).unwrap()), base);
        assert!(serde_json::from_str::<Dependency>(r#"["acme/base", "^1", true]"#).is_err());
    }

    #[test]
    fn a_list_whose_writer_was_killed_is_looked_at() {
        let (state, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let list = Inventory::open_unheld(state.path()).unwrap().connection;
        // As before it is in its usual mode: with a journal beside it, and pages that are written before the commit.
        list.pragma_update(None, "journal_mode", "DELETE").unwrap();
        list.pragma_update(None, "cache_size", 1).unwrap();
        list.execute_batch("BEGIN IMMEDIATE").unwrap();
        for number in 0..2000 {
            list.execute(
                "INSERT INTO place VALUES (?1, 'a place that was never taken')",
                [number.to_string()],
            )
            .unwrap();
        }
        for name in [FILE.to_owned(), format!("{FILE}-journal")] {
            std::fs::copy(state.path().join(&name), killed.path().join(&name)).unwrap();
        }
        let file = killed.path().join(FILE);
        let read_only = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let error =
            read_only.query_row("SELECT count(*) FROM place", [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert_eq!(
            error.sqlite_error_code(),
            Some(ErrorCode::ReadOnly),
            "nothing had to be taken back: {error}"
        );
        drop(read_only);
        let found = Inventory::look(killed.path()).unwrap().unwrap();
        assert_eq!((found.all().unwrap().len(), found.index_at("1").unwrap()), (0, None));
        assert_eq!(found.check().unwrap(), Vec::<String>::new());
    }
}
