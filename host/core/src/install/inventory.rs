//! The list of what is installed: one SQLite file. A change of it is one commit, so whoever looks sees what was before or
//! what is after; and the audit log has each change, with a digest of all that is installed then, before the commit.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stockade_audit::{Log, Reader, Record};
use stockade_package::Package;
use stockade_policy::{Person, PublicKey, stands};

use super::{Change, InstallError, Phase};
use crate::database::{self, Keeps, Unusable};
use crate::memfd::hex;
use crate::weigh::Lacking;

/// The file in the state folder.
pub(super) const FILE: &str = "installed.sqlite";
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
    CREATE INDEX load_of ON load (plugin);"];

/// Loads that are kept: those of a thousand plugins over some ten starts. Without a bound a plugin that is loaded again and
/// again would fill the disk.
const MOST_LOADS: i64 = 10_000;
/// Generations of a plugin that can be gone back to: their packages are kept.
pub(super) const KEPT_BACK: usize = 3;
/// How far back in the audit log its last word about the list is looked for, at first and at last.
const LOOKED_BACK: [u64; 2] = [256 * 1024, 4 * 1024 * 1024];

/// The details of a record that say how far which list is.
const LIST: &str = "installed_list";
const CHANGES: &str = "installed_changes";
const HEAD: &str = "installed_sha256";

/// A package that was installed, and what an operator gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Counts all generations of all plugins.
    pub number: i64,
    /// `publisher/name`.
    pub plugin: String,
    /// Its version.
    pub version: Version,
    /// Its type, and so its profile.
    pub plugin_type: String,
    /// The digest of its package, `sha256:` and 64 digits.
    pub package: String,
    /// SHA-256 of its component, in hexadecimal.
    pub component: String,
    /// The size of its package.
    pub bytes: u64,
    /// Where it came from, in the operator's words.
    pub origin: String,
    /// What the operator gives it, as whoever installs wrote it down.
    #[serde(skip)]
    pub setup: String,
    /// The keys that have signed it.
    pub signed_by: Vec<PublicKey>,
    /// The plugins that it needs, and in which versions.
    pub dependencies: Vec<(String, String)>,
    /// When it was installed, in seconds since 1970.
    pub made: u64,
    /// The generation that it took the place of.
    pub replaces: Option<i64>,
}

/// A plugin that is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// What is installed of it.
    #[serde(flatten)]
    pub generation: Generation,
    /// Whether a host that runs for long runs it.
    pub enabled: bool,
    /// A version that waits for an approval.
    pub next: Option<Box<Generation>>,
    /// The latest version that was ever installed.
    pub highest: Version,
}

/// A change that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Its number, which records have too.
    pub id: String,
    /// `publisher/name`, where that was known.
    pub plugin: Option<String>,
    /// What was to be done.
    pub change: String,
    /// `open`, `done`, `failed`, `waits`, or `interrupted`: the process ended, and nothing was changed.
    pub state: String,
    /// How far it came.
    pub phase: String,
    /// When, in seconds since 1970.
    pub began: u64,
    /// Likewise.
    pub ended: Option<u64>,
    /// Whose process did it.
    pub uid: u32,
    /// What that user was called then.
    pub user: Option<String>,
    /// Where the package came from.
    pub origin: String,
    /// The version before.
    pub before: Option<String>,
    /// The version after.
    pub after: Option<String>,
    /// Why it failed.
    pub code: Option<String>,
    /// Likewise, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub next_step: Option<String>,
}

/// That a plugin was loaded, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// When, in seconds since 1970.
    pub at: u64,
    /// `publisher/name`.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The digest of its package, where it came as one.
    pub package: Option<String>,
    /// `loaded`, `skipped`, or `error`.
    pub state: String,
    /// Why not.
    pub code: Option<String>,
    /// Likewise, in words.
    pub reason: Option<String>,
}

/// Something that an installed plugin offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// `publisher/name`.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Whether a host runs it.
    pub enabled: bool,
    /// `tool` or `hook`.
    pub kind: String,
    /// What it is called by; the event, for a hook.
    pub name: String,
    /// What it does, or the tool that is called. Hostile text.
    pub what: String,
}

/// A generation that is not in the list yet.
pub(super) struct New {
    pub(super) version: String,
    pub(super) component: String,
    pub(super) digest: String,
    pub(super) offers: Vec<(&'static str, String, String)>,
    pub(super) plugin_type: &'static str,
    bytes: u64,
    origin: String,
    setup: String,
    signed_by: Vec<PublicKey>,
    needs: Vec<(String, String)>,
}

impl New {
    pub(super) fn of(package: &Package, (digest, bytes): (String, u64), origin: &str, setup: &str) -> New {
        let needed = package.dependencies.iter().filter(|dependency| !dependency.optional);
        New {
            version: package.identity.version.to_string(),
            component: stockade_package::sha256(&package.component),
            digest,
            offers: Vec::new(),
            plugin_type: package.identity.plugin_type.as_str(),
            bytes,
            origin: origin.to_owned(),
            setup: setup.to_owned(),
            signed_by: package.signed_by.clone(),
            needs: needed.map(|needed| (needed.plugin.clone(), needed.versions.to_string())).collect(),
        }
    }
}

impl New {
    /// What records call it: version, component, type, package.
    pub(super) fn names(&self) -> [&str; 4] {
        [&self.version, &self.component, self.plugin_type, &self.digest]
    }
}

/// What a commit makes of a plugin.
pub(super) enum Becomes {
    /// This is installed.
    New(New),
    /// This is there, and waits until so much is approved.
    Waits(New, Vec<Lacking>),
    /// A generation that is in the list, and what it offers.
    Again(i64, Vec<(&'static str, String, String)>),
    /// Nothing is.
    Nothing,
    /// It stays, and runs or does not.
    Enabled(bool),
}

/// The list, opened.
#[derive(Debug)]
pub struct Inventory {
    connection: Connection,
}

fn broken(error: impl Into<Unusable>) -> InstallError {
    InstallError::Inventory(error.into())
}

impl From<rusqlite::Error> for InstallError {
    fn from(error: rusqlite::Error) -> Self {
        broken(error)
    }
}

pub(super) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn generation(row: &Row<'_>) -> rusqlite::Result<Generation> {
    let version: String = row.get(2)?;
    let no_version =
        |error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error));
    let list = |column: usize| -> rusqlite::Result<String> { row.get(column) };
    let unreadable = |column, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    };
    Ok(Generation {
        number: row.get(0)?,
        plugin: row.get(1)?,
        version: Version::parse(&version).map_err(no_version)?,
        plugin_type: row.get(3)?,
        package: row.get(4)?,
        component: row.get(5)?,
        bytes: row.get(6)?,
        origin: row.get(7)?,
        setup: row.get(8)?,
        signed_by: serde_json::from_str(&list(9)?).map_err(|error| unreadable(9, error))?,
        dependencies: serde_json::from_str(&list(10)?).map_err(|error| unreadable(10, error))?,
        made: row.get(11)?,
        replaces: row.get(12)?,
    })
}

const GENERATION: &str = "number, plugin, version, type, package, component, bytes, origin, setup, signed_by, \
     dependencies, made, replaces";

impl Inventory {
    /// Whether there is a list in this state folder.
    pub fn is_there(state: &Path) -> bool {
        state.join(FILE).exists()
    }

    /// Where a package lies, by its digest.
    pub fn package_path(state: &Path, digest: &str) -> PathBuf {
        super::packages::path(state, digest)
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
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(state.join(FILE), flags)?;
        connection.busy_timeout(database::PATIENCE)?;
        let known: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match known {
            // Killed before its first tables were there.
            0 => Ok(None),
            known if known > MIGRATIONS.len() => Err(later(known)),
            _ => Ok(Some(Inventory { connection })),
        }
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

    /// Every plugin that is installed, by name.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn all(&self) -> Result<Vec<Installed>, InstallError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT generation, next, enabled, highest FROM plugin WHERE generation IS NOT NULL ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?, row.get::<_, String>(3)?))
        })?;
        rows.map(|row| self.installed(row?)).collect()
    }

    /// A plugin, if it is installed.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn find(&self, plugin: &str) -> Result<Option<Installed>, InstallError> {
        let row = self
            .connection
            .prepare_cached(
                "SELECT generation, next, enabled, highest FROM plugin WHERE name = ?1 AND generation IS NOT NULL",
            )?
            .query_row([plugin], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        row.map(|row| self.installed(row)).transpose()
    }

    fn installed(
        &self,
        (generation, next, enabled, highest): (i64, Option<i64>, bool, String),
    ) -> Result<Installed, InstallError> {
        Ok(Installed {
            generation: self.generation(generation)?,
            enabled,
            next: next.map(|number| self.generation(number)).transpose()?.map(Box::new),
            highest: Version::parse(&highest).map_err(broken)?,
        })
    }

    /// A generation, by its number.
    pub(super) fn generation(&self, number: i64) -> Result<Generation, InstallError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {GENERATION} FROM generation WHERE number = ?1"))?;
        Ok(statement.query_row([number], generation)?)
    }

    /// The latest version of a plugin that was ever installed here.
    pub(super) fn highest(&self, plugin: &str) -> Result<Option<Version>, InstallError> {
        let text: Option<String> = self
            .connection
            .query_row("SELECT highest FROM plugin WHERE name = ?1", [plugin], |row| row.get(0))
            .optional()?;
        text.map(|text| Version::parse(&text).map_err(broken)).transpose()
    }

    /// The digest of the package that a version of a plugin was when it was installed here.
    pub(super) fn known_as(&self, plugin: &str, version: &Version) -> Result<Option<String>, InstallError> {
        const OF: &str =
            "SELECT package FROM generation WHERE plugin = ?1 AND version = ?2 ORDER BY number DESC LIMIT 1";
        let row = self.connection.query_row(OF, params![plugin, version.to_string()], |row| row.get(0));
        Ok(row.optional()?)
    }

    /// The generations that an installed one took the place of, the latest first: those that can be gone back to.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn before(&self, installed: &Installed) -> Result<Vec<Generation>, InstallError> {
        let mut before = Vec::new();
        let mut replaces = installed.generation.replaces;
        while let Some(number) = replaces
            && before.len() < KEPT_BACK
        {
            let generation = self.generation(number)?;
            replaces = generation.replaces;
            before.push(generation);
        }
        Ok(before)
    }

    /// Installed plugins that need another one, with the versions of it that will do.
    pub(super) fn dependents(&self, plugin: &str) -> Result<Vec<(String, VersionReq)>, InstallError> {
        let mut found = Vec::new();
        for installed in self.all()? {
            for (name, versions) in &installed.generation.dependencies {
                if name == plugin {
                    let versions = VersionReq::parse(versions).map_err(broken)?;
                    found.push((installed.generation.plugin.clone(), versions));
                }
            }
        }
        Ok(found)
    }

    /// The last changes that were tried, the latest first: of one plugin, or of all.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn history(&self, plugin: Option<&str>, most: u32) -> Result<Vec<Happened>, InstallError> {
        let mut statement = self.connection.prepare(
            "SELECT id, plugin, change, state, phase, began, ended, uid, user, origin, before, after, code, message, \
             next_step FROM history WHERE ?1 IS NULL OR plugin = ?1 ORDER BY rowid DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![plugin, most], |row| {
            Ok(Happened {
                id: row.get(0)?,
                plugin: row.get(1)?,
                change: row.get(2)?,
                state: row.get(3)?,
                phase: row.get(4)?,
                began: row.get(5)?,
                ended: row.get(6)?,
                uid: row.get(7)?,
                user: row.get(8)?,
                origin: row.get(9)?,
                before: row.get(10)?,
                after: row.get(11)?,
                code: row.get(12)?,
                message: row.get(13)?,
                next_step: row.get(14)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The phases of a change, and when each began, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn phases(&self, id: &str) -> Result<Vec<(String, u64)>, InstallError> {
        let mut statement =
            self.connection.prepare("SELECT phase, at FROM phase WHERE id = ?1 ORDER BY number")?;
        let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The last loads, the latest first: of one plugin, or of all.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn loads(&self, plugin: Option<&str>, most: u32) -> Result<Vec<Loaded>, InstallError> {
        let mut statement = self.connection.prepare(
            "SELECT at, plugin, version, package, state, code, reason FROM load \
             WHERE ?1 IS NULL OR plugin = ?1 ORDER BY number DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![plugin, most], |row| {
            Ok(Loaded {
                at: row.get(0)?,
                plugin: row.get(1)?,
                version: row.get(2)?,
                package: row.get(3)?,
                state: row.get(4)?,
                code: row.get(5)?,
                reason: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What installed plugins offer, by kind and name.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn offers(&self) -> Result<Vec<Offer>, InstallError> {
        let mut statement = self.connection.prepare(
            "SELECT plugin.name, version, enabled, kind, offer.name, what FROM plugin \
             JOIN generation ON generation.number = plugin.generation \
             JOIN offer ON offer.generation = plugin.generation ORDER BY kind, offer.name, plugin.name",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Offer {
                plugin: row.get(0)?,
                version: row.get(1)?,
                enabled: row.get(2)?,
                kind: row.get(3)?,
                name: row.get(4)?,
                what: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
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
        let synced = std::fs::File::open(to).and_then(|file| {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            file.sync_all()
        });
        synced.map_err(|source| InstallError::File { path: to.to_owned(), what: "written", source })
    }

    /// Writes down that a plugin was loaded, or not.
    pub(super) fn note_load(&mut self, loaded: &Loaded) -> Result<(), InstallError> {
        let Loaded { at, plugin, version, package, state, code, reason } = loaded;
        let noting = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        noting.execute(
            "INSERT INTO load (at, plugin, version, package, state, code, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![at, plugin, version, package, state, code, reason],
        )?;
        let last = noting.last_insert_rowid();
        noting.execute("DELETE FROM load WHERE number <= ?1", [last - MOST_LOADS])?;
        Ok(noting.commit()?)
    }

    /// A change begins.
    pub(super) fn begin(
        &mut self,
        change: Change,
        plugin: Option<&str>,
        origin: &str,
        by: &Person,
    ) -> Result<String, InstallError> {
        let id = hex(&random()?[..8]);
        let beginning = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        beginning.execute(
            "INSERT INTO history (id, plugin, change, state, phase, began, uid, user, origin) \
             VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8)",
            params![id, plugin, change.as_str(), change.phases()[0].as_str(), now(), by.uid, by.name, origin],
        )?;
        beginning.commit()?;
        Ok(id)
    }

    /// A phase of it begins: written down before anything of it is done.
    pub(super) fn reach(
        &mut self,
        id: &str,
        number: usize,
        phase: Phase,
        plugin: Option<&str>,
    ) -> Result<(), InstallError> {
        let reaching = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        reaching.execute(
            "INSERT INTO phase VALUES (?1, ?2, ?3, ?4)",
            params![id, number, phase.as_str(), now()],
        )?;
        reaching.execute(
            "UPDATE history SET phase = ?2, plugin = coalesce(?3, plugin) WHERE id = ?1",
            params![id, phase.as_str(), plugin],
        )?;
        Ok(reaching.commit()?)
    }

    /// It failed, or waits: nothing of what is installed has changed.
    pub(super) fn end(
        &mut self,
        id: &str,
        state: &str,
        why: Option<&stockade_package::Problem>,
    ) -> Result<(), InstallError> {
        let ending = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (code, message, next_step) = match why {
            Some(why) => (Some(why.code), Some(&why.message), Some(&why.next_step)),
            None => (None, None, None),
        };
        ending.execute(
            "UPDATE history SET state = ?2, ended = ?3, code = ?4, message = ?5, next_step = ?6 WHERE id = ?1",
            params![id, state, now(), code, message, next_step],
        )?;
        Ok(ending.commit()?)
    }

    /// Ends the changes that nobody goes on with: whoever began them has ended. How many there were.
    pub(super) fn end_interrupted(&mut self) -> Result<usize, InstallError> {
        // Most of the time there is none, and nothing is to be written.
        let open: bool = self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM history WHERE state = 'open')",
            [],
            |row| row.get(0),
        )?;
        if !open {
            return Ok(0);
        }
        let ending = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let ended = ending.execute(
            "UPDATE history SET state = 'interrupted', ended = ?1, code = 'interrupted', \
             message = 'the process ended in the phase ' || phase || ': nothing was changed', \
             next_step = 'do it again' WHERE state = 'open'",
            [now()],
        )?;
        ending.commit()?;
        Ok(ended)
    }

    /// Makes of a plugin what it becomes, and ends the change: in the audit log first, then in the list, at once.
    pub(super) fn settle(
        &mut self,
        (id, plugin): (&str, &str),
        becomes: Becomes,
        (log, record): (&Log, Record),
    ) -> Result<(), InstallError> {
        let settling = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let current: Option<(Option<i64>, Option<i64>, bool, String)> = settling
            .query_row(
                "SELECT generation, next, enabled, highest FROM plugin WHERE name = ?1",
                [plugin],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .optional()?;
        let version = |number: Option<i64>| -> Result<Option<String>, InstallError> {
            let row = number.map(|number| {
                settling
                    .query_row("SELECT version FROM generation WHERE number = ?1", [number], |row| row.get(0))
            });
            Ok(row.transpose()?)
        };
        let before = version(current.as_ref().and_then(|(number, ..)| *number))?;
        let (generation, waiting, was_enabled, highest) =
            current.unwrap_or((None, None, false, "0.0.0-0".to_owned()));
        let mut state = "done";
        let (generation, next, enabled, reached) = match becomes {
            Becomes::New(new) => {
                let number = insert(&settling, (plugin, &new), generation)?;
                (Some(number), None, was_enabled && generation.is_some(), Version::parse(&new.version).ok())
            }
            Becomes::Waits(new, _) => {
                state = "waits";
                (generation, Some(insert(&settling, (plugin, &new), generation)?), was_enabled, None)
            }
            Becomes::Again(number, offers) => {
                offer(&settling, number, &offers)?;
                let text = version(Some(number))?.unwrap_or_default();
                (Some(number), None, was_enabled && generation.is_some(), Version::parse(&text).ok())
            }
            Becomes::Nothing => (None, None, false, None),
            Becomes::Enabled(enabled) => (generation, waiting, enabled, None),
        };
        let highest = Version::parse(&highest).map_err(broken)?;
        let highest = reached.into_iter().fold(highest, Ord::max).to_string();
        settling.execute(
            "INSERT INTO plugin VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (name) DO UPDATE SET generation = ?2, next = ?3, enabled = ?4, highest = ?5",
            params![plugin, generation, next, enabled, highest],
        )?;
        settling.execute(
            "UPDATE history SET state = ?2, ended = ?3, plugin = ?4, before = ?5, after = ?6 WHERE id = ?1",
            params![
                id,
                state,
                now(),
                plugin,
                before,
                version(if state == "waits" { next } else { generation })?
            ],
        )?;
        let (list, changes): (String, i64) =
            settling.query_row("SELECT id, changes FROM site", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let head = digest(&settling, changes + 1)?;
        settling.execute("UPDATE site SET changes = ?1, head = ?2", params![changes + 1, head])?;
        let record = stamped(record.detail("change", id.to_owned()), &list, changes + 1, &head);
        log.append_durable(&record).map_err(crate::HostError::Audit)?;
        Ok(settling.commit()?)
    }

    /// The digests of all packages that are needed still.
    pub(super) fn needed(&self) -> Result<Vec<String>, InstallError> {
        let mut needed = Vec::new();
        for installed in self.all()? {
            needed.extend(self.before(&installed)?.into_iter().map(|generation| generation.package));
            needed.extend(installed.next.map(|next| next.package));
            needed.push(installed.generation.package);
        }
        Ok(needed)
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

fn insert(
    settling: &Transaction<'_>,
    (plugin, new): (&str, &New),
    replaces: Option<i64>,
) -> Result<i64, InstallError> {
    let New { version, component, digest, offers, plugin_type, bytes, origin, setup, signed_by, needs } = new;
    let (signed_by, needs) = (serde_json::to_string(signed_by), serde_json::to_string(needs));
    settling.execute(
        "INSERT INTO generation (plugin, version, type, package, component, bytes, origin, setup, signed_by, \
         dependencies, made, replaces) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            plugin,
            version,
            plugin_type,
            digest,
            component,
            bytes,
            origin,
            setup,
            signed_by.map_err(broken)?,
            needs.map_err(broken)?,
            now(),
            replaces
        ],
    )?;
    let number = settling.last_insert_rowid();
    offer(settling, number, offers)?;
    Ok(number)
}

fn offer(
    settling: &Transaction<'_>,
    generation: i64,
    offers: &[(&'static str, String, String)],
) -> Result<(), InstallError> {
    for (kind, name, what) in offers {
        settling.execute(
            "INSERT OR IGNORE INTO offer VALUES (?1, ?2, ?3, ?4)",
            params![generation, kind, name, what],
        )?;
    }
    Ok(())
}

/// A digest of all that is installed, after so many changes: what somebody would edit to have another package run.
fn digest(connection: &Connection, changes: i64) -> Result<String, InstallError> {
    let mut statement = connection.prepare(
        "SELECT name, enabled, highest, g.version, g.package, g.component, g.setup, g.signed_by, n.package, n.setup \
         FROM plugin LEFT JOIN generation g ON g.number = plugin.generation \
         LEFT JOIN generation n ON n.number = plugin.next ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    let mut hash = Sha256::new();
    hash.update(changes.to_le_bytes());
    while let Some(row) = rows.next()? {
        for column in 0..10 {
            // Each with its length, so that none can be taken for a piece of another.
            let text = match row.get_ref(column)? {
                rusqlite::types::ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
                rusqlite::types::ValueRef::Text(text) => Some(text.to_vec()),
                _ => None,
            };
            let length = text.as_ref().map_or(u64::MAX, |text| text.len() as u64);
            hash.update(length.to_le_bytes());
            hash.update(text.unwrap_or_default());
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
