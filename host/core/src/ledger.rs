//! What plugins have used up of their day, in one SQLite file. An amount is on the disk before what it is for is
//! done, so neither a crash nor a power cut gives anything back.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::time::{ClockId, clock_gettime};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use stockade_policy::{Budget, Unit, stands};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::database::{self, Keeps, Unusable};

/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS ledger (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL) STRICT;
    INSERT OR IGNORE INTO ledger VALUES (1, 1);
    CREATE TABLE IF NOT EXISTS day (
        plugin TEXT PRIMARY KEY, number INTEGER NOT NULL, boot TEXT NOT NULL, began_boot INTEGER NOT NULL,
        began_wall INTEGER NOT NULL, tool_calls INTEGER NOT NULL, model_calls INTEGER NOT NULL,
        tokens INTEGER NOT NULL, cost INTEGER NOT NULL, http_bytes INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS open (
        id INTEGER PRIMARY KEY AUTOINCREMENT, plugin TEXT NOT NULL, day INTEGER NOT NULL,
        tokens INTEGER NOT NULL, cost INTEGER NOT NULL) STRICT;";

/// The books.
#[derive(Debug)]
pub(crate) struct Ledger {
    connection: Mutex<Connection>,
    boot: String,
}

/// An amount that was taken. What was taken before it was known how much it would come to, and is never settled, stays
/// taken.
#[derive(Debug)]
#[must_use]
pub(crate) struct Held {
    id: i64,
    day: i64,
    amount: Budget,
}

/// One plugin's page of the books. What the books cannot do comes back as none: nothing is done that could not be
/// counted.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    ledger: Arc<Ledger>,
    plugin: Arc<str>,
    pub(crate) per_call: Budget,
    per_day: Budget,
}

impl Page {
    /// A plugin's page, and what it may use in a call and in a day.
    pub(crate) fn new(ledger: Arc<Ledger>, plugin: &str, [per_call, per_day]: [Budget; 2]) -> Page {
        Page { ledger, plugin: plugin.into(), per_call, per_day }
    }

    /// What is left of the day.
    pub(crate) fn left(&self) -> Option<Budget> {
        self.of_the_books(|ledger| ledger.used(&self.plugin)).map(|used| self.per_day.less(used))
    }

    /// Takes an amount for good; the unit that there is too little of, where there is.
    pub(crate) fn take(&self, amount: Budget) -> Option<Result<Held, Unit>> {
        self.of_the_books(|ledger| ledger.take(&self.plugin, amount, self.per_day))
    }

    /// Takes an amount until it is known what it came to.
    pub(crate) fn hold(&self, amount: Budget) -> Option<Result<Held, Unit>> {
        self.of_the_books(|ledger| ledger.hold(&self.plugin, amount, self.per_day))
    }

    /// What was held came to this. Where the books do not work, all of it stays taken.
    pub(crate) fn settle(&self, held: &Held, came_to: Budget) {
        self.of_the_books(|ledger| ledger.settle(&self.plugin, held, came_to));
    }

    /// So much of what was taken for good was not needed.
    pub(crate) fn give_back(&self, held: &Held, amount: Budget) {
        self.of_the_books(|ledger| ledger.give_back(&self.plugin, held, amount));
    }

    /// Apart from the other tasks of a runtime: it takes a disk.
    fn of_the_books<T>(&self, act: impl FnOnce(&Ledger) -> rusqlite::Result<T>) -> Option<T> {
        let apart = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
        let ledger = &*self.ledger;
        let done = if apart { tokio::task::block_in_place(|| act(ledger)) } else { act(ledger) };
        done.inspect_err(|error| {
            tracing::error!(target: "stockade::host", plugin = %self.plugin, %error, "the ledger failed");
        })
        .ok()
    }
}

/// Where the clocks stand, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    /// Since the machine was started; nobody turns it back.
    boot: i64,
    /// Since 1970.
    wall: i64,
}

impl Clocks {
    fn now() -> rusqlite::Result<Clocks> {
        let read = |clock| {
            clock_gettime(clock)
                .map(|time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
        };
        Ok(Clocks { boot: read(ClockId::CLOCK_BOOTTIME)?, wall: read(ClockId::CLOCK_REALTIME)? })
    }
}

impl Ledger {
    /// Opens the books of a state folder, or begins them.
    pub(crate) fn open(state: &Path) -> Result<Ledger, Unusable> {
        let connection = database::open(&state.join("ledger.sqlite"), Keeps::Always, TABLES)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let format: u32 = connection.query_row("SELECT format FROM ledger", [], |row| row.get(0))?;
        if format != 1 {
            return Err(format!("format {format} is not known here").into());
        }
        Ok(Ledger { connection: Mutex::new(connection), boot })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a plugin has used of its day.
    fn used(&self, plugin: &str) -> rusqlite::Result<Budget> {
        self.used_at(plugin, Clocks::now()?)
    }

    fn used_at(&self, plugin: &str, now: Clocks) -> rusqlite::Result<Budget> {
        let mut connection = self.connection();
        let books = connection.transaction()?;
        Ok(day(&books, plugin, &self.boot, now)?.map_or(Budget::default(), |day| day.used))
    }

    /// Takes an amount for good; the unit that there is too little of, where there is.
    fn take(&self, plugin: &str, amount: Budget, most: Budget) -> rusqlite::Result<Result<Held, Unit>> {
        self.hold_at(plugin, amount, most, false, Clocks::now()?)
    }

    /// Takes an amount until it is known what it came to.
    fn hold(&self, plugin: &str, amount: Budget, most: Budget) -> rusqlite::Result<Result<Held, Unit>> {
        self.hold_at(plugin, amount, most, true, Clocks::now()?)
    }

    fn hold_at(
        &self,
        plugin: &str,
        amount: Budget,
        most: Budget,
        settles: bool,
        now: Clocks,
    ) -> rusqlite::Result<Result<Held, Unit>> {
        let mut connection = self.connection();
        let books = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (number, used) = match day(&books, plugin, &self.boot, now)? {
            Some(Day { number, used }) => (number, used),
            None => (begin(&books, plugin, &self.boot, now)?, Budget::default()),
        };
        if let Some(unit) = most.less(used).lacks(amount)
            && stands("ledger.day")
        {
            return Ok(Err(unit));
        }
        add(&books, plugin, used.and(amount))?;
        let mut id = 0;
        if settles {
            books
                .prepare_cached("INSERT INTO open (plugin, day, tokens, cost) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![plugin, number, number_of(amount.tokens), number_of(amount.cost)])?;
            id = books.last_insert_rowid();
        }
        books.commit()?;
        Ok(Ok(Held { id, day: number, amount }))
    }

    /// So much of what was taken for good was not needed.
    fn give_back(&self, plugin: &str, held: &Held, amount: Budget) -> rusqlite::Result<()> {
        let mut connection = self.connection();
        let books = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.correct(&books, plugin, held.day, |used| used.less(amount))?;
        books.commit()
    }

    /// What was held came to this: the rest is given back, or more is taken.
    fn settle(&self, plugin: &str, held: &Held, came_to: Budget) -> rusqlite::Result<()> {
        let mut connection = self.connection();
        let books = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Once.
        if books.prepare_cached("DELETE FROM open WHERE id = ?1")?.execute([held.id])? > 0 {
            self.correct(&books, plugin, held.day, |used| used.less(held.amount).and(came_to))?;
        }
        books.commit()
    }

    /// Puts right what is used of a day. Of one that is over nothing is given back.
    fn correct(
        &self,
        books: &Transaction<'_>,
        plugin: &str,
        of: i64,
        right: impl FnOnce(Budget) -> Budget,
    ) -> rusqlite::Result<()> {
        match day(books, plugin, &self.boot, Clocks::now()?)? {
            Some(Day { number, used }) if number == of => add(books, plugin, right(used)),
            _ => Ok(()),
        }
    }
}

/// A plugin's day and what is used of it.
struct Day {
    number: i64,
    used: Budget,
}

/// The day that a plugin is in; none before its first, and after one is over.
fn day(books: &Transaction<'_>, plugin: &str, boot: &str, now: Clocks) -> rusqlite::Result<Option<Day>> {
    let found = books
        .prepare_cached(
            "SELECT boot, began_boot, began_wall, number, tool_calls, model_calls, tokens, cost, http_bytes \
             FROM day WHERE plugin = ?1",
        )?
        .query_row([plugin], |row| {
            let same = row.get::<_, String>(0)? == boot && stands("ledger.clock");
            // Only the wall clock goes on while the machine is off.
            let lasted =
                if same { now.boot - row.get::<_, i64>(1)? } else { now.wall - row.get::<_, i64>(2)? };
            Ok((lasted, Day { number: row.get(3)?, used: amounts(row, 4)? }))
        })
        .optional()?;
    Ok(found.filter(|(lasted, _)| *lasted < DAY).map(|(_, day)| day))
}

/// Begins a plugin's next day; its number.
fn begin(books: &Transaction<'_>, plugin: &str, boot: &str, now: Clocks) -> rusqlite::Result<i64> {
    books.prepare_cached("DELETE FROM open WHERE plugin = ?1")?.execute([plugin])?;
    books
        .prepare_cached(
            "INSERT INTO day VALUES (?1, 1, ?2, ?3, ?4, 0, 0, 0, 0, 0) ON CONFLICT (plugin) DO UPDATE SET \
             number = number + 1, boot = ?2, began_boot = ?3, began_wall = ?4, tool_calls = 0, model_calls = 0, \
             tokens = 0, cost = 0, http_bytes = 0 RETURNING number",
        )?
        .query_row(params![plugin, boot, now.boot, now.wall], |row| row.get(0))
}

fn add(books: &Transaction<'_>, plugin: &str, used: Budget) -> rusqlite::Result<()> {
    let [tool_calls, model_calls, tokens, cost, http_bytes] = Unit::ALL.map(|unit| number_of(used.get(unit)));
    books
        .prepare_cached(
            "UPDATE day SET tool_calls = ?2, model_calls = ?3, tokens = ?4, cost = ?5, http_bytes = ?6 \
             WHERE plugin = ?1",
        )?
        .execute(params![plugin, tool_calls, model_calls, tokens, cost, http_bytes])
        .map(drop)
}

fn amounts(row: &Row<'_>, from: usize) -> rusqlite::Result<Budget> {
    let mut amounts = Budget::default();
    for (column, unit) in Unit::ALL.into_iter().enumerate() {
        amounts.set(unit, row.get(from + column)?);
    }
    Ok(amounts)
}

/// SQLite counts up to 2^63; more than that is as good as that.
fn number_of(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Budget = Budget { tool_calls: 3, model_calls: 3, tokens: 100, cost: 1_000, http_bytes: 100 };
    const CALL: Budget = Budget { tool_calls: 1, model_calls: 0, tokens: 0, cost: 0, http_bytes: 0 };

    fn ledger() -> (Ledger, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        (Ledger::open(state.path()).unwrap(), state)
    }

    fn question(tokens: u64, cost: u64) -> Budget {
        Budget { model_calls: 1, tokens, cost, ..Budget::default() }
    }

    fn calls(ledger: &Ledger, now: Clocks) -> u64 {
        (0..5).filter(|_| ledger.hold_at("p", CALL, MOST, false, now).unwrap().is_ok()).count() as u64
    }

    #[test]
    fn d14_a_day_is_a_day_of_the_clock_that_nobody_turns() {
        let (mut ledger, _state) = ledger();
        let at = |boot, wall| Clocks { boot, wall };
        assert_eq!(calls(&ledger, at(1_000, 1_000)), 3);
        // The wall clock jumps a year ahead, and back; a day less a millisecond goes by.
        for wall in [365 * DAY, -365 * DAY, 1_000] {
            assert_eq!(calls(&ledger, at(2_000, wall)), 0);
            assert_eq!(calls(&ledger, at(1_000 + DAY - 1, wall)), 0);
        }
        assert_eq!(ledger.used_at("p", at(1_000 + DAY, 1_000)).unwrap(), Budget::default());
        assert_eq!(calls(&ledger, at(1_000 + DAY, 1_000)), 3);
        // After a start of the machine the wall clock is all there is; turned back, it makes the day longer.
        ledger.boot = "another".to_owned();
        assert_eq!(calls(&ledger, at(5, 1_000 + DAY - 1)), 0);
        assert_eq!(calls(&ledger, at(5, -DAY)), 0);
        assert_eq!(calls(&ledger, at(5, 1_000 + DAY)), 3);
        assert_eq!(calls(&ledger, at(6, 1_000 + 3 * DAY)), 0);
    }

    #[test]
    fn d14_what_is_held_comes_to_what_it_comes_to_once() {
        let (ledger, state) = ledger();
        let held = ledger.hold("p", question(60, 600), MOST).unwrap().unwrap();
        assert_eq!(ledger.hold("p", question(50, 1), MOST).unwrap().unwrap_err(), Unit::Tokens);
        assert_eq!(ledger.hold("p", question(1, 500), MOST).unwrap().unwrap_err(), Unit::Cost);
        // Another plugin has its own day.
        drop(ledger.hold("q", question(100, 1_000), MOST).unwrap().unwrap());
        for _ in 0..2 {
            ledger.settle("p", &held, question(10, 100)).unwrap();
            assert_eq!(ledger.used("p").unwrap(), question(10, 100));
        }
        // More than was held is more than was held, and what is never settled stays.
        let held = ledger.hold("p", question(1, 1), MOST).unwrap().unwrap();
        ledger.settle("p", &held, question(200, 2)).unwrap();
        assert_eq!(ledger.used("p").unwrap(), Budget { model_calls: 2, ..question(210, 102) });
        drop(ledger);
        let ledger = Ledger::open(state.path()).unwrap();
        assert_eq!(ledger.used("q").unwrap(), question(100, 1_000));
        assert!(ledger.take("q", CALL, MOST).unwrap().is_ok());
    }

    #[test]
    fn d14_nothing_of_a_day_that_is_over_is_given_back() {
        let (ledger, _state) = ledger();
        let at = |boot| Clocks { boot, wall: boot };
        let held = ledger.hold_at("p", question(60, 600), MOST, true, at(0)).unwrap().unwrap();
        drop(ledger.hold_at("p", question(10, 10), MOST, true, at(DAY)).unwrap().unwrap());
        ledger.settle("p", &held, question(0, 0)).unwrap();
        assert_eq!(ledger.used_at("p", at(DAY)).unwrap(), question(10, 10));
        let ahead = ledger.hold_at("q", CALL, MOST, false, at(0)).unwrap().unwrap();
        drop(ledger.hold_at("q", CALL, MOST, false, at(DAY)).unwrap().unwrap());
        ledger.give_back("q", &ahead, CALL).unwrap();
        assert_eq!(ledger.used_at("q", at(DAY)).unwrap(), CALL);
    }
}
