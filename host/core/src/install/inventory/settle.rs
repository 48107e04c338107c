//! How the list is changed.

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use semver::Version;
use stockade_audit::{Log, Record};
use stockade_package::{Package, Problem};
use stockade_policy::{Person, PublicKey};

use super::{Dependency, Inventory, Loaded, MOST_LOADS, broken, digest, random, stamped};
use crate::HostError;
use crate::install::{Change, InstallError, Phase, now};
use crate::memfd::hex;

/// A generation that is not in the list yet.
pub(in crate::install) struct New {
    pub(in crate::install) version: Version,
    pub(in crate::install) component: String,
    pub(in crate::install) digest: String,
    pub(in crate::install) offers: Vec<(&'static str, String, String)>,
    pub(in crate::install) plugin_type: &'static str,
    bytes: u64,
    origin: String,
    setup: String,
    signed_by: Vec<PublicKey>,
    needs: Vec<Dependency>,
}

impl New {
    pub(in crate::install) fn of(
        package: &Package,
        (digest, bytes): (String, u64),
        origin: &str,
        setup: &str,
    ) -> New {
        New {
            version: package.identity.version.clone(),
            component: stockade_package::sha256(&package.component),
            digest,
            offers: Vec::new(),
            plugin_type: package.identity.plugin_type.as_str(),
            bytes,
            origin: origin.to_owned(),
            setup: setup.to_owned(),
            signed_by: package.signed_by.clone(),
            needs: package.dependencies.iter().map(Dependency::of).collect(),
        }
    }
}

/// What a commit makes of a plugin.
pub(in crate::install) enum Becomes {
    /// This is installed.
    New(New),
    /// This is there, and waits for an approval.
    Waits(New),
    /// A generation that is in the list, and what it offers.
    Again(i64, Vec<(&'static str, String, String)>),
    /// Nothing is.
    Nothing,
    /// It stays, and runs or does not.
    Enabled(bool),
}

/// One change of those that take hold together.
pub(in crate::install) struct Settling<'a> {
    pub(in crate::install) id: &'a str,
    pub(in crate::install) plugin: &'a str,
    pub(in crate::install) becomes: Becomes,
    pub(in crate::install) record: Record,
}

impl Inventory {
    /// Writes down that plugins were loaded, or not.
    pub(in crate::install) fn note_loads(&mut self, loads: &[Loaded]) -> Result<(), InstallError> {
        let noting = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Loaded { at, plugin, version, package, state, code, reason } in loads {
            noting
                .prepare_cached(
                    "INSERT INTO load (at, plugin, version, package, state, code, reason) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![at, plugin, version, package, state, code, reason])?;
        }
        let last = noting.last_insert_rowid();
        noting.execute("DELETE FROM load WHERE number <= ?1", [last - MOST_LOADS])?;
        Ok(noting.commit()?)
    }

    /// A change begins.
    pub(in crate::install) fn begin(
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
    pub(in crate::install) fn reach(
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

    /// It failed: nothing of what is installed has changed.
    pub(in crate::install) fn fail(&mut self, id: &str, why: &Problem) -> Result<(), InstallError> {
        let Problem { code, message, next_step, .. } = why;
        let failing = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        failing.execute(
            "UPDATE history SET state = 'failed', ended = ?2, code = ?3, message = ?4, next_step = ?5 WHERE id = ?1",
            params![id, now(), code, message, next_step],
        )?;
        Ok(failing.commit()?)
    }

    /// Whether there is a change that nobody has ended: somebody is at it, or was.
    pub(in crate::install) fn is_open(&self) -> Result<bool, InstallError> {
        const OPEN: &str = "SELECT EXISTS (SELECT 1 FROM history WHERE state = 'open')";
        Ok(self.connection.query_row(OPEN, [], |row| row.get(0))?)
    }

    /// Ends the changes that nobody goes on with: whoever began them has ended. How many there were.
    pub(in crate::install) fn end_interrupted(&mut self) -> Result<usize, InstallError> {
        // Most of the time there is none, and nothing is to be written.
        if !self.is_open()? {
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

    /// Makes of plugins what they become, and ends the changes: in the audit log first, then in the list, all at once.
    pub(in crate::install) fn settle(
        &mut self,
        changes: Vec<Settling<'_>>,
        log: &Log,
    ) -> Result<(), InstallError> {
        let settling = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut records = Vec::new();
        for Settling { id, plugin, becomes, record } in changes {
            settle(&settling, (id, plugin), becomes)?;
            records.push(record.detail("change", id.to_owned()));
        }
        let (list, made): (String, i64) =
            settling.query_row("SELECT id, changes FROM site", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let head = digest(&settling, made + 1)?;
        settling.execute("UPDATE site SET changes = ?1, head = ?2", params![made + 1, head])?;
        // The last of them speaks of the list as all of them have made it; it is on the disk no earlier than the others.
        let last = records.pop();
        for record in records {
            log.append(&record).map_err(HostError::Audit)?;
        }
        if let Some(record) = last {
            let record = stamped(record, &list, made + 1, &head);
            log.append_durable(&record).map_err(HostError::Audit)?;
        }
        Ok(settling.commit()?)
    }
}

fn settle(
    settling: &Transaction<'_>,
    (id, plugin): (&str, &str),
    becomes: Becomes,
) -> Result<(), InstallError> {
    let current: Option<(Option<i64>, Option<i64>, bool, String)> = settling
        .query_row("SELECT generation, next, enabled, highest FROM plugin WHERE name = ?1", [plugin], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let version = |number: Option<i64>| -> Result<Option<String>, InstallError> {
        const OF: &str = "SELECT version FROM generation WHERE number = ?1";
        let row = number.map(|number| settling.query_row(OF, [number], |row| row.get(0)));
        Ok(row.transpose()?)
    };
    let before = version(current.as_ref().and_then(|(number, ..)| *number))?;
    let (generation, waiting, was_enabled, highest) =
        current.unwrap_or((None, None, false, "0.0.0-0".to_owned()));
    let mut state = "done";
    let (generation, next, enabled, reached) = match becomes {
        Becomes::New(new) => {
            let number = insert(settling, (plugin, &new), generation)?;
            (Some(number), None, was_enabled && generation.is_some(), Some(new.version))
        }
        Becomes::Waits(new) => {
            state = "waits";
            (generation, Some(insert(settling, (plugin, &new), generation)?), was_enabled, None)
        }
        Becomes::Again(number, offers) => {
            offer(settling, number, &offers)?;
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
    let after = version(if state == "waits" { next } else { generation })?;
    settling.execute(
        "UPDATE history SET state = ?2, ended = ?3, plugin = ?4, before = ?5, after = ?6 WHERE id = ?1",
        params![id, state, now(), plugin, before, after],
    )?;
    Ok(())
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
            version.to_string(),
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
