use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::chain::{Hash, Head, LogId};
use crate::commit::Commit;
use crate::floods::{Floods, Which};
use crate::place::Place;
use crate::tail::{self, Tail};
use crate::writer::Writer;
use crate::{AuditError, Clock, Decision, FloodLimits, Layer, Record, SystemClock};

/// A log that is open for writing, by this process alone.
///
/// Every method can be called from any thread.
pub struct Log {
    inner: Mutex<Inner>,
    commit: Commit,
    /// How many records are in the file; written under the lock, read by whoever flushes.
    written: AtomicU64,
    /// A second handle of the same open file, so that a flush does not hold up appends.
    flush: std::fs::File,
    clock: Box<dyn Clock>,
}

struct Inner {
    writer: Writer,
    floods: Floods,
    closed: bool,
}

/// How to open a [`Log`].
pub struct Options {
    /// When records are counted instead of written.
    pub floods: FloodLimits,
    /// Where the time comes from.
    pub clock: Box<dyn Clock>,
}

/// Says where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the record; for one that was counted, of the record before it.
    pub seq: u64,
    /// The hash of that record.
    pub hash: Hash,
    /// Whether the record itself was written. Otherwise it is one of a flood: it was counted, and the
    /// count will be in a `flood` record.
    pub verbatim: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { floods: FloodLimits::default(), clock: Box::new(SystemClock) }
    }
}

impl Receipt {
    /// As a head, to verify against later.
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

impl Log {
    /// Opens the log in `dir`, or begins one; the directory is made where it is missing.
    ///
    /// A torn end is set aside in a file `audit.torn-N`, with a record of it. The end of the chain is
    /// checked.
    ///
    /// # Errors
    ///
    /// The directory or the file belongs to someone else or can be changed by others; another process
    /// writes it; what is there does not verify; it cannot be written.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, AuditError> {
        Self::open_with(dir, Options::default())
    }

    /// As [`open`](Self::open), with limits and clock of the caller's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Self, AuditError> {
        let place = Place::open(dir.as_ref())?;
        let tail = tail::read(&place)?;
        let boot = boot_id();
        let flush = place.file.try_clone().map_err(|source| AuditError::File {
            step: "open",
            path: place.path.clone(),
            source,
        })?;
        let now = options.clock.now();
        let mut opening = Record::new(Layer::Log, "open", Decision::Noted)
            .operation("open")
            .detail("program", concat!("stockade-audit ", env!("CARGO_PKG_VERSION")))
            .detail("pid", std::process::id())
            .detail("uid", nix::unistd::getuid().as_raw());
        let (writer, recovery) = match tail {
            Tail::Empty { recovery } => {
                let id = LogId::random()?;
                opening = opening.detail("log", id.to_string());
                (Writer::new(place, boot, 0, 0, id.genesis()), recovery)
            }
            Tail::Sound { length, head, checked_from, recovery } => {
                opening = opening.detail("checked_from", checked_from);
                (Writer::new(place, boot, length, head.seq + 1, head.hash), recovery)
            }
        };
        let log = Self {
            commit: Commit::starting_at(writer.next),
            written: AtomicU64::new(writer.next),
            inner: Mutex::new(Inner { writer, floods: Floods::new(options.floods), closed: false }),
            flush,
            clock: options.clock,
        };
        let mut inner = log.inner()?;
        log.write(&mut inner, &opening, now)?;
        if let Some(recovery) = recovery {
            log.write(&mut inner, &recovery, now)?;
        }
        let head = inner.writer.head();
        inner.writer.place.sync_names().map_err(AuditError::Sync)?;
        drop(inner);
        log.sync_to(head.seq)?;
        Ok(log)
    }

    /// Appends a record. When this returns, the kernel has it: it survives the end of this process, kill −9
    /// included, though not yet the end of the machine.
    ///
    /// # Errors
    ///
    /// The record is not in the log, and what it is about must not happen. Every append is refused until
    /// one can be written again; a `gap` record then says how many were.
    pub fn append(&self, record: &Record) -> Result<Receipt, AuditError> {
        let mut inner = self.inner_for(record)?;
        let receipt = self.append_or_count(&mut inner, record);
        if receipt.is_err() {
            inner.writer.count_refused();
        }
        receipt
    }

    fn append_or_count(&self, inner: &mut Inner, record: &Record) -> Result<Receipt, AuditError> {
        let now = self.clock.now();
        if inner.floods.is_due(now.monotonic) {
            self.settle_floods(inner, Which::Due(now.monotonic))?;
        }
        // A count is a promise to write it: in the refused state nothing is promised.
        let refusing = inner.writer.refusing.is_some();
        if !refusing && !inner.floods.admits(record, now) {
            let head = inner.writer.head();
            return Ok(Receipt { seq: head.seq, hash: head.hash, verbatim: false });
        }
        let head = self.write(inner, record, now)?;
        Ok(Receipt { seq: head.seq, hash: head.hash, verbatim: true })
    }

    /// Appends a record and returns once it is on the disk. Such a record is never counted away.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append). After [`AuditError::Sync`] the record may be in the file, and what it is
    /// about must not happen all the same.
    pub fn append_durable(&self, record: &Record) -> Result<Receipt, AuditError> {
        let mut inner = self.inner_for(record)?;
        let now = self.clock.now();
        let head = match self.write(&mut inner, record, now) {
            Ok(head) => head,
            Err(error) => {
                inner.writer.count_refused();
                return Err(error);
            }
        };
        drop(inner);
        self.sync_to(head.seq)?;
        Ok(Receipt { seq: head.seq, hash: head.hash, verbatim: true })
    }

    /// Returns once record `seq` is on the disk. Callers that wait at the same time share one flush.
    ///
    /// # Errors
    ///
    /// It may not be on the disk, now or ever.
    pub fn sync_to(&self, seq: u64) -> Result<(), AuditError> {
        let flushed = self.commit.flush(seq, &self.flush, || self.written.load(Ordering::Acquire));
        match flushed {
            Err(error @ AuditError::Sync(_)) => {
                let now = self.clock.now();
                Err(self.inner()?.writer.flush_failed(error, self.commit.doubtful(), now))
            }
            other => other,
        }
    }

    /// Writes the flood counts that are due, looks whether the file is still there, and returns once all
    /// that was written is on the disk. For the host's timer: it bounds how much a power cut can take.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append) and [`sync_to`](Self::sync_to).
    pub fn sync(&self) -> Result<Head, AuditError> {
        let mut inner = self.inner()?;
        if inner.closed {
            return Err(AuditError::Closed);
        }
        let now = self.clock.now();
        inner.writer.look(now)?;
        self.settle_floods(&mut inner, Which::Due(now.monotonic))?;
        let head = inner.writer.head();
        drop(inner);
        self.sync_to(head.seq)?;
        Ok(head)
    }

    /// Writes the flood counts of a launch that has ended.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); the counts are kept and written later.
    pub fn settle(&self, launch: &str) -> Result<(), AuditError> {
        let mut inner = self.inner()?;
        self.settle_floods(&mut inner, Which::OfLaunch(launch))
    }

    /// The last record. Kept elsewhere, it lets [`verify`](crate::verify()) see truncation and rollback.
    ///
    /// # Errors
    ///
    /// A thread panicked while it wrote.
    pub fn head(&self) -> Result<Head, AuditError> {
        Ok(self.inner()?.writer.head())
    }

    /// Whether an append would be tried now, or is being refused because the last one failed.
    pub fn is_refusing(&self) -> bool {
        self.inner().map_or(true, |inner| inner.writer.refusing.is_some() || inner.closed)
    }

    /// Writes all flood counts and a `close` record, and returns once everything is on the disk. Dropping
    /// the log does the same and says nothing where it fails.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append) and [`sync_to`](Self::sync_to).
    pub fn close(&self) -> Result<Head, AuditError> {
        let mut inner = self.inner()?;
        if inner.closed {
            return Err(AuditError::Closed);
        }
        self.settle_floods(&mut inner, Which::All)?;
        let now = self.clock.now();
        let close = Record::new(Layer::Log, "close", Decision::Noted).operation("close");
        let head = self.write(&mut inner, &close, now)?;
        inner.closed = true;
        drop(inner);
        self.sync_to(head.seq)?;
        Ok(head)
    }

    fn inner(&self) -> Result<MutexGuard<'_, Inner>, AuditError> {
        self.inner.lock().map_err(|_| AuditError::Poisoned)
    }

    fn inner_for(&self, record: &Record) -> Result<MutexGuard<'_, Inner>, AuditError> {
        if record.layer == Layer::Log {
            return Err(AuditError::Reserved);
        }
        let inner = self.inner()?;
        if inner.closed {
            return Err(AuditError::Closed);
        }
        Ok(inner)
    }

    fn write(&self, inner: &mut Inner, record: &Record, now: crate::Moment) -> Result<Head, AuditError> {
        let head = inner.writer.write(record, now)?;
        self.written.store(head.seq + 1, Ordering::Release);
        Ok(head)
    }

    fn settle_floods(&self, inner: &mut Inner, which: Which<'_>) -> Result<(), AuditError> {
        let now = self.clock.now();
        let Inner { writer, floods, .. } = inner;
        floods.settle(which, |summary| {
            let head = writer.write(summary, now)?;
            self.written.store(head.seq + 1, Ordering::Release);
            Ok(())
        })
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("written", &self.written).finish_non_exhaustive()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Nobody is left to tell; a log without `close` says so itself.
        let _ = self.close();
    }
}

/// Which boot this is, so that monotonic times of different ones are not compared.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::from("unknown"), |id| id.trim().to_owned())
}
