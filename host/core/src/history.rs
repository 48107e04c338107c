//! How plugins did, kept for a month: in steps of ten seconds for an hour, of a minute for a day, of an hour for 30
//! days. Nothing is written for a plugin to which nothing happened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::database::{self, Keeps, Unusable};
use crate::error::HostError;
use crate::host::Host;
use crate::plugin::PluginStatus;

/// The steps, and for how long each is kept, in seconds.
pub const STEPS: [(u32, u32); 3] = [(10, 3600), (60, 24 * 3600), (3600, 30 * 24 * 3600)];

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS history (
        step INTEGER NOT NULL, plugin TEXT NOT NULL, at INTEGER NOT NULL, calls INTEGER NOT NULL,
        errors INTEGER NOT NULL, denials INTEGER NOT NULL, starts INTEGER NOT NULL, cpu_ms INTEGER NOT NULL,
        memory_bytes INTEGER NOT NULL, PRIMARY KEY (step, plugin, at)) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS history_age ON history (step, at);";

/// What happened to a plugin in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The beginning of the step, in seconds since 1970.
    pub at: u64,
    /// Calls that ended in it.
    pub calls: u64,
    /// Those without a result.
    pub errors: u64,
    /// Refusals and ends.
    pub denials: u64,
    /// Workers that were started.
    pub starts: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory that was seen, in bytes.
    pub memory_bytes: u64,
}

/// The book of what happened.
#[derive(Debug)]
pub(crate) struct History {
    connection: Mutex<Connection>,
    /// What the counts were the last time.
    last: Mutex<BTreeMap<String, [u64; 5]>>,
}

impl History {
    pub(crate) fn open(state: &Path) -> Result<History, Unusable> {
        let connection = database::open(&state.join("history.sqlite"), Keeps::Killed, TABLES)?;
        Ok(History { connection: Mutex::new(connection), last: Mutex::default() })
    }

    fn write(&self, plugins: &[PluginStatus], now: u64) -> rusqlite::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let book = connection.transaction()?;
        let mut insert = book.prepare_cached(
            "INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, errors = errors + excluded.errors,
                 denials = denials + excluded.denials, starts = starts + excluded.starts,
                 cpu_ms = cpu_ms + excluded.cpu_ms, memory_bytes = max(memory_bytes, excluded.memory_bytes)",
        )?;
        for plugin in plugins {
            let counts = [plugin.calls, plugin.errors, plugin.denials, plugin.starts, plugin.cpu_ms];
            let before = last.insert(plugin.name.clone(), counts).unwrap_or_default();
            // Loaded anew, it counts from nothing.
            let since = |n: usize| counts[n].checked_sub(before[n]).unwrap_or(counts[n]);
            let more: [u64; 5] = std::array::from_fn(since);
            if more == [0; 5] {
                continue;
            }
            for (step, _) in STEPS {
                let at = now - now % u64::from(step);
                let [calls, errors, denials, starts, cpu_ms] = more;
                insert.execute(params![
                    step,
                    plugin.name,
                    at,
                    calls,
                    errors,
                    denials,
                    starts,
                    cpu_ms,
                    plugin.memory_bytes
                ])?;
            }
        }
        drop(insert);
        for (step, kept) in STEPS {
            let oldest = now.saturating_sub(u64::from(kept));
            book.prepare_cached("DELETE FROM history WHERE step = ?1 AND at < ?2")?
                .execute(params![step, oldest])?;
        }
        last.retain(|name, _| plugins.iter().any(|plugin| plugin.name == *name));
        book.commit()
    }

    fn read(&self, plugin: &str, step: u32, since: u64) -> rusqlite::Result<Vec<Moment>> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut select = connection.prepare_cached(
            "SELECT at, calls, errors, denials, starts, cpu_ms, memory_bytes FROM history
             WHERE step = ?1 AND plugin = ?2 AND at >= ?3 ORDER BY at",
        )?;
        let moments = select.query_map(params![step, plugin, since], |row| {
            Ok(Moment {
                at: row.get(0)?,
                calls: row.get(1)?,
                errors: row.get(2)?,
                denials: row.get(3)?,
                starts: row.get(4)?,
                cpu_ms: row.get(5)?,
                memory_bytes: row.get(6)?,
            })
        })?;
        moments.collect()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Host {
    /// Writes down what has happened since the last time; to be called every ten seconds, on a thread that may wait
    /// for a disk.
    pub fn keep_history(&self) -> Result<(), HostError> {
        let plugins: Vec<PluginStatus> = self.plugins().iter().map(crate::plugin::Plugin::status).collect();
        self.0.history()?.write(&plugins, now()).map_err(|error| HostError::History(error.into()))
    }

    /// What happened to a plugin in the last so many seconds, in the finest steps that are kept for so long.
    pub fn history(&self, plugin: &str, seconds: u32) -> Result<(u32, Vec<Moment>), HostError> {
        let finest = STEPS.iter().find(|(_, kept)| seconds <= *kept).unwrap_or(&STEPS[STEPS.len() - 1]);
        let since = now().saturating_sub(u64::from(seconds.min(finest.1)));
        let moments = self.0.history()?.read(plugin, finest.0, since);
        Ok((finest.0, moments.map_err(|error| HostError::History(error.into()))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(calls: u64, memory_bytes: u64) -> PluginStatus {
        PluginStatus { name: "a/b".to_owned(), calls, memory_bytes, ..PluginStatus::default() }
    }

    #[test]
    fn steps_grow_coarser_with_age_and_no_call_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        let began = 1_800_000_000;
        // Ten calls every ten seconds for two hours; loaded anew in the middle.
        for tick in 0..720 {
            let loaded_at = if tick < 360 { 0 } else { 360 };
            history.write(&[status((tick - loaded_at + 1) * 10, tick)], began + tick * 10).unwrap();
        }
        let sum = |step| history.read("a/b", step, 0).unwrap().iter().map(|moment| moment.calls).sum::<u64>();
        assert_eq!((sum(60), sum(3600)), (7200, 7200));
        let fine = history.read("a/b", 10, 0).unwrap();
        assert!((360..=361).contains(&fine.len()), "{}", fine.len());
        assert_eq!(fine.last().unwrap().memory_bytes, 719);
        assert_eq!(history.read("a/b", 60, 0).unwrap()[0].memory_bytes, 5);
        // A month later only coarse steps are left, and later nothing.
        history.write(&[], began + 29 * 24 * 3600).unwrap();
        assert_eq!((sum(10), sum(60), sum(3600)), (0, 0, 7200));
        history.write(&[], began + 31 * 24 * 3600).unwrap();
        assert_eq!(sum(3600), 0);
    }

    #[test]
    fn nothing_is_written_where_nothing_happened() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        for tick in 0..100 {
            history.write(&[status(5, 1)], 1_800_000_000 + tick * 10).unwrap();
        }
        assert_eq!(history.read("a/b", 10, 0).unwrap().len(), 1);
        assert_eq!(history.read("a/c", 10, 0).unwrap(), []);
    }
}
