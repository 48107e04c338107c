//! The tables, and what decides whether a file is an index of this log.

use rusqlite::{Connection, OptionalExtension, params};

/// `PRAGMA user_version`: another shape of the tables has another number, and is built anew.
pub(super) const VERSION: i64 = 1;
/// `PRAGMA application_id`: `StAi`.
pub(super) const APPLICATION: i64 = 0x5374_4169;

/// Records with the same `kind` differ in place, time, resource and numbers alone: a question about plugin, layer,
/// event, operation, decision and rule in any combination is a few kinds, and so one way through one tree.
///
/// `launch` and `trace` are hashes, `heads` the first bytes of resources: what a row says is a reason to look at the
/// record, which then decides.
pub(super) const TABLES: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE files(id INTEGER PRIMARY KEY, name TEXT NOT NULL, first TEXT NOT NULL);
CREATE TABLE kinds(
    id INTEGER PRIMARY KEY, plugin TEXT, digest TEXT, layer TEXT NOT NULL, event TEXT NOT NULL,
    operation TEXT NOT NULL, decision TEXT NOT NULL, rule TEXT, count INTEGER NOT NULL);
CREATE TABLE heads(id INTEGER PRIMARY KEY, head TEXT NOT NULL UNIQUE);
CREATE TABLE records(
    n INTEGER PRIMARY KEY, seq INTEGER NOT NULL, file INTEGER NOT NULL, offset INTEGER NOT NULL, second INTEGER,
    kind INTEGER NOT NULL, head INTEGER, launch INTEGER, call INTEGER, trace INTEGER);
CREATE TABLE spans(first INTEGER PRIMARY KEY, last INTEGER NOT NULL, early INTEGER, late INTEGER);
CREATE TABLE damages(file INTEGER NOT NULL, offset INTEGER NOT NULL, problem TEXT NOT NULL);
";

/// Made after the first filling: sorting once is faster than keeping in order.
pub(super) const TREES: &str = "
CREATE INDEX records_by_kind ON records(kind);
CREATE INDEX records_by_head ON records(head) WHERE head IS NOT NULL;
CREATE INDEX records_by_launch ON records(launch) WHERE launch IS NOT NULL;
CREATE INDEX records_by_trace ON records(trace) WHERE trace IS NOT NULL;
";

/// Bytes of a resource that the index has.
pub(super) const HEAD: usize = 64;
/// Records in one span of time.
pub(super) const SPAN: i64 = 4096;

/// How far an index has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// The log's random name, from its first record; empty where that has none.
    pub(super) log: String,
    /// Records in it.
    pub(super) records: i64,
    /// Number and hash of the last of them, and its place.
    pub(super) last_seq: i64,
    pub(super) last_hash: String,
    pub(super) last_place: (i64, i64),
    /// The place after it.
    pub(super) next_place: (i64, i64),
    /// How many files the log has lost at its beginning since they were put in: retention removes them. Not stored;
    /// places are of files as the index numbers them.
    pub(super) gone: i64,
}

impl Meta {
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut get = db.prepare("SELECT value FROM meta WHERE key = ?1")?;
        let mut number = |key: &str| get.query_row([key], |row| row.get::<_, i64>(0)).optional();
        let (Some(records), Some(last_seq)) = (number("records")?, number("last_seq")?) else {
            return Ok(None);
        };
        let mut place = |file: &str, offset: &str| -> rusqlite::Result<Option<(i64, i64)>> {
            Ok(number(file)?.zip(number(offset)?))
        };
        let (Some(last_place), Some(next_place)) =
            (place("last_file", "last_offset")?, place("next_file", "next_offset")?)
        else {
            return Ok(None);
        };
        let mut text = |key: &str| get.query_row([key], |row| row.get::<_, String>(0)).optional();
        let (Some(log), Some(last_hash)) = (text("log")?, text("last_hash")?) else { return Ok(None) };
        Ok(Some(Self { log, records, last_seq, last_hash, last_place, next_place, gone: 0 }))
    }

    /// Which of the log's files the index means by `file`; none where that is gone.
    pub(super) fn file(&self, file: i64) -> Option<usize> {
        usize::try_from(file.checked_sub(self.gone)?).ok()
    }

    /// What the index calls the log's file number `file`.
    pub(super) fn id(&self, file: usize) -> i64 {
        i64::try_from(file).unwrap_or(i64::MAX).saturating_add(self.gone)
    }

    /// Records of files that are there.
    pub(super) fn left(&self, db: &Connection) -> rusqlite::Result<i64> {
        // Rows are in the log's order, so the first that is there is found by halving.
        let mut file_of = db.prepare("SELECT file FROM records WHERE n = ?1")?;
        let (mut gone, mut there) = (0, self.records);
        while self.gone > 0 && gone < there {
            let middle = gone + (there - gone) / 2;
            match file_of.query_row([middle], |row| row.get::<_, i64>(0))? < self.gone {
                true => gone = middle + 1,
                false => there = middle,
            }
        }
        Ok(self.records - gone)
    }

    /// Where the log goes on after what the index has.
    pub(super) fn next(&self) -> (usize, u64) {
        (self.file(self.next_place.0).unwrap_or(usize::MAX), self.next_place.1.cast_unsigned())
    }

    pub(super) fn store(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut set = db.prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
        set.execute(params!["log", self.log])?;
        set.execute(params!["last_hash", self.last_hash])?;
        for (key, value) in [
            ("records", self.records),
            ("last_seq", self.last_seq),
            ("last_file", self.last_place.0),
            ("last_offset", self.last_place.1),
            ("next_file", self.next_place.0),
            ("next_offset", self.next_place.1),
        ] {
            set.execute(params![key, value])?;
        }
        Ok(())
    }
}

/// Whether the file has these tables, and nothing that would run by itself.
pub(super) fn is_ours(db: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("application_id")? != APPLICATION || pragma("user_version")? != VERSION {
        return Ok(false);
    }
    let expected = Connection::open_in_memory()?;
    expected.execute_batch(TABLES)?;
    expected.execute_batch(TREES)?;
    Ok(shape(db)? == shape(&expected)?)
}

fn shape(db: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut all = db.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name")?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// A 64-bit FNV-1a hash: collisions cost a look at a record more, and hide nothing.
pub(super) fn hash(text: &str) -> i64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    hash.cast_signed()
}

/// The first bytes of a resource.
pub(super) fn head(resource: &str) -> &str {
    &resource[..resource.floor_char_boundary(HEAD)]
}
