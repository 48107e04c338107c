//! A way to records that does not read all of the log. It is never believed: what it finds is read from the log and
//! compared again, so that an index which somebody changed can hide a record and invent none.

mod build;
mod check;
mod place;
mod schema;
mod search;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

pub use check::Disagreement;
pub use place::usual;

use crate::error::AuditorError;
use crate::source::{Damage, Source};
use build::Trouble;
use schema::Meta;

/// How long another auditor's building may keep this one waiting.
const BUSY: Duration = Duration::from_secs(60);

/// An index of the log that it was opened with, as far as the log went then.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    db: Connection,
    meta: Meta,
}

/// What had to be done to an index before it could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing.
    Current,
    /// It was behind by so many records.
    Behind(u64),
    /// There was none.
    New,
    /// It was built anew, because it was not an index of this log.
    Rebuilt(&'static str),
}

/// What an index says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The random name of its log.
    pub log: String,
    /// Records in it.
    pub records: u64,
    /// Number and hash of the last of them; none where there are no records.
    pub last: Option<(u64, String)>,
    /// Bytes of the log that it does not have yet.
    pub behind: u64,
    /// Why it is not an index of this log, where it is not.
    pub foreign: Option<&'static str>,
}

impl Index {
    /// Opens the index at `path` and brings it up to where the log is; builds it where there is none, or where what
    /// is there is not an index of this log.
    ///
    /// # Errors
    ///
    /// It cannot be written or read, or the log cannot be read.
    pub fn open(path: &Path, source: &Source) -> Result<(Self, Freshness), AuditorError> {
        let why = match connect(path) {
            Ok(None) => None,
            // What is no database at all, or is damaged.
            Err(error) if is_broken(&error) => Some("it is not an index, or it is damaged"),
            Err(source) => return Err(AuditorError::Index { path: path.to_owned(), source }),
            Ok(Some(db)) => match fits(&db, source) {
                Ok(Ok(meta)) => match Self::catch_up(path, db, meta, source) {
                    Err(Trouble::Index(error)) if is_broken(&error) => Some("it is damaged"),
                    other => return other.map_err(|trouble| told(path, trouble)),
                },
                Ok(Err(why)) => Some(why),
                Err(error) if is_broken(&error) => Some("it is damaged"),
                Err(source) => return Err(AuditorError::Index { path: path.to_owned(), source }),
            },
        };
        let index = Self::build(path, source)?;
        Ok((index, why.map_or(Freshness::New, Freshness::Rebuilt)))
    }

    /// Builds the index anew, in a file of its own that takes the place at the end.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn build(path: &Path, source: &Source) -> Result<Self, AuditorError> {
        let unfinished = path.with_extension(format!("building-{}", std::process::id()));
        let result = Self::build_in(&unfinished, source).and_then(|meta| {
            std::fs::rename(&unfinished, path).map_err(|source| AuditorError::IndexFile {
                step: "put in place",
                path: path.to_owned(),
                source,
            })?;
            let failed = |source| AuditorError::Index { path: path.to_owned(), source };
            let db = connect(path).map_err(failed)?.ok_or(rusqlite::Error::InvalidQuery).map_err(failed)?;
            Ok(Self { path: path.to_owned(), db, meta })
        });
        if result.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        result
    }

    fn build_in(path: &Path, source: &Source) -> Result<Meta, AuditorError> {
        let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
        made.map_err(|source| AuditorError::IndexFile { step: "make", path: path.to_owned(), source })?;
        let fill = || -> Result<Meta, Trouble> {
            let db = Connection::open_with_flags(path, flags())?;
            // If it does not come to its end, the file is thrown away.
            db.pragma_update(None, "journal_mode", "off")?;
            db.pragma_update(None, "synchronous", "off")?;
            db.pragma_update(None, "locking_mode", "exclusive")?;
            db.pragma_update(None, "application_id", schema::APPLICATION)?;
            db.pragma_update(None, "user_version", schema::VERSION)?;
            db.execute_batch("BEGIN")?;
            db.execute_batch(schema::TABLES)?;
            let meta = build::fill(&db, source, Meta::default())?;
            db.execute_batch(schema::TREES)?;
            db.execute_batch("COMMIT")?;
            drop(db);
            Ok(meta)
        };
        fill().map_err(|trouble| told(path, trouble))
    }

    fn catch_up(
        path: &Path,
        mut db: Connection,
        mut meta: Meta,
        source: &Source,
    ) -> Result<(Self, Freshness), Trouble> {
        let mut freshness = Freshness::Current;
        let (file, offset) = meta.next();
        if source.bytes_from(file, offset) > 0 {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another auditor may have been faster.
            let gone = meta.gone;
            meta = Meta::load(&transaction)?.map_or(meta, |loaded| Meta { gone, ..loaded });
            let before = meta.records;
            meta = build::fill(&transaction, source, meta)?;
            transaction.commit()?;
            if meta.records > before {
                freshness = Freshness::Behind((meta.records - before).cast_unsigned());
            }
        }
        Ok((Self { path: path.to_owned(), db, meta }, freshness))
    }

    /// What the index at `path` says of itself; none where there is none. Changes nothing.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn status(path: &Path, source: &Source) -> Result<Option<Status>, AuditorError> {
        let foreign =
            |why| Status { log: String::new(), records: 0, last: None, behind: 0, foreign: Some(why) };
        let look = || -> rusqlite::Result<Option<Status>> {
            let Some(db) = connect(path)? else { return Ok(None) };
            let fits = fits(&db, source)?;
            let meta = match &fits {
                Ok(meta) => Some(meta.clone()),
                Err(_) if schema::is_ours(&db)? => Meta::load(&db)?,
                Err(_) => None,
            };
            let Some(meta) = meta else { return Ok(fits.err().map(foreign)) };
            let (file, offset) = meta.next();
            Ok(Some(Status {
                records: meta.left(&db)?.cast_unsigned(),
                log: meta.log,
                last: (meta.records > 0).then_some((meta.last_seq.cast_unsigned(), meta.last_hash)),
                behind: if fits.is_ok() { source.bytes_from(file, offset) } else { 0 },
                foreign: fits.err(),
            }))
        };
        match look() {
            Err(error) if is_broken(&error) => Ok(Some(foreign("it is not an index, or it is damaged"))),
            other => other.map_err(|source| AuditorError::Index { path: path.to_owned(), source }),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records in it.
    pub const fn records(&self) -> u64 {
        self.meta.records.cast_unsigned()
    }

    /// Lines of the log that were no records when they were read.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn damages(&self, source: &Source) -> Result<Vec<Damage>, AuditorError> {
        let read = || -> rusqlite::Result<Vec<Damage>> {
            let mut all = self.db.prepare(
                "SELECT file, offset, problem FROM damages WHERE file >= ?1 ORDER BY file, offset",
            )?;
            let rows = all.query_map([self.meta.gone], |row| {
                let file = self.meta.file(row.get(0)?);
                let name = file.and_then(|file| source.files.get(file)).map(|file| file.name.clone());
                let offset: i64 = row.get(1)?;
                Ok(Damage {
                    file: name.unwrap_or_default(),
                    offset: offset.cast_unsigned(),
                    problem: row.get(2)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(|source| AuditorError::Index { path: self.path.clone(), source })
    }

    /// Removes the file, so that the next question builds it anew.
    pub(crate) fn discard(&self, problem: String) -> AuditorError {
        let _ = std::fs::remove_file(&self.path);
        AuditorError::IndexUnsound { path: self.path.clone(), problem }
    }
}

/// Never follows a link; never runs what stands in a schema.
fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

/// Opens the file, where there is one.
fn connect(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    // The place may be named by way of links; the file itself may be none.
    let real = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    let real = real.zip(path.file_name()).map_or_else(|| path.to_owned(), |(parent, name)| parent.join(name));
    let db = Connection::open_with_flags(real, flags())?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(Some(db))
}

/// Whether it is an index of this log, and how far; or why it is none.
fn fits(db: &Connection, source: &Source) -> rusqlite::Result<Result<Meta, &'static str>> {
    if !schema::is_ours(db)? {
        return Ok(Err("it was made by another version, or by something else"));
    }
    let Some(mut meta) = Meta::load(db)? else { return Ok(Err("it was never finished")) };
    let hash = |number: usize| source.files.get(number).and_then(|file| file.first);
    if let Some((_, first)) = hash(0) {
        let known = "SELECT min(id) FROM files WHERE first = ?1";
        meta.gone =
            db.query_row(known, [first.to_string()], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0);
    }
    let mut files = db.prepare("SELECT id, first FROM files WHERE id >= ?1 ORDER BY id")?;
    let mut rows = files.query([meta.gone])?;
    while let Some(row) = rows.next()? {
        let (id, first): (i64, String) = (row.get(0)?, row.get(1)?);
        let number = meta.file(id).filter(|number| *number < source.files.len());
        let same = match number.map(hash) {
            Some(Some((_, hash))) => first.is_empty() || hash.to_string() == first,
            Some(None) => first.is_empty(),
            None => false,
        };
        if !same {
            return Ok(Err("the log has other files"));
        }
    }
    if meta.records == 0 {
        return Ok(Ok(meta));
    }
    let first = source.first().ok().flatten();
    let log = first.as_ref().and_then(|first| first.entry.record.detail.text("log")).unwrap_or_default();
    if log != meta.log {
        return Ok(Err("it is of another log"));
    }
    if meta.gone > 0 && meta.left(db)? < meta.records / 2 {
        return Ok(Err("most of what it has was removed from the log"));
    }
    let (file, offset) = meta.last_place;
    let last = meta.file(file).and_then(|file| source.at(file, offset.cast_unsigned()).ok().flatten());
    match last {
        Some(last)
            if last.entry.seq == meta.last_seq.cast_unsigned()
                && last.entry.hash.to_string() == meta.last_hash =>
        {
            Ok(Ok(meta))
        }
        _ => Ok(Err("the record that it came to last is not there any more")),
    }
}

/// Whether building it anew helps.
fn is_broken(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::SqliteFailure(error, _) => matches!(error.code, DatabaseCorrupt | NotADatabase),
        // A value of another type than this program writes.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

fn told(path: &Path, trouble: Trouble) -> AuditorError {
    match trouble {
        Trouble::Index(source) => AuditorError::Index { path: path.to_owned(), source },
        Trouble::Log(error) => error,
    }
}
