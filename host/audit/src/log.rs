use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::chain::{Hash, Head, LogId};
use crate::checkpoint::origin;
use crate::commit::Commit;
use crate::floods::{Floods, Which};
use crate::notary::Notary;
use crate::note::VerifierKey;
use crate::place::Place;
use crate::post::{Notices, Post};
use crate::restore;
use crate::shared::{Inner, Shared, Work};
use crate::tail::{self, Tail};
use crate::tree::Frontier;
use crate::writer::{Start, Writer};
use crate::{AuditError, Decision, Layer, Options, Record, disk, keeper, key, segments};

/// A log that is open for writing, by this process alone.
///
/// Every method can be called from any thread.
pub struct Log {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
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

impl Receipt {
    /// As a head, to verify against later.
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// How long the end of a log waits for its sinks to take the last checkpoint.
const LAST_DELIVERY: Duration = Duration::from_secs(5);

impl Log {
    /// Opens the log in `dir`, or begins one; the directory is made where it is missing.
    ///
    /// A torn end is set aside in a file `audit.torn-N`, with a record of it. The end of the chain is
    /// checked, and all that came after the last checkpoint.
    ///
    /// # Errors
    ///
    /// The directory or the file belongs to someone else or can be changed by others; another process
    /// writes it; what is there does not verify; it cannot be written.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, AuditError> {
        Self::open_with(dir, Options::default())
    }

    /// As [`open`](Self::open), with limits, clock, and what else there is to choose.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Self, AuditError> {
        let Options { floods, clock, checkpoints, sinks, segments: segment_policy, retention, readers } =
            options;
        let place = Place::open(dir.as_ref())?;
        let failed = |source| AuditError::Directory { path: place.dir.clone(), source };
        if let Some(group) = readers {
            disk::readable_by(&place.dir, group, key::is_secret).map_err(failed)?;
        }
        let names = segments::names(&place.dir).map_err(failed)?;
        let tail = tail::read(&place, names.is_empty())?;
        let boot = boot_id();
        let flush = place.file.try_clone().map_err(|source| AuditError::File {
            step: "open",
            path: place.path.clone(),
            source,
        })?;
        let now = clock.now();
        let mut opening = Record::new(Layer::Log, "open", Decision::Noted)
            .operation("open")
            .detail("program", concat!("stockade-audit ", env!("CARGO_PKG_VERSION")))
            .detail("pid", std::process::id())
            .detail("uid", nix::unistd::getuid().as_raw());
        let (log, start, recovery, signing, certified) = match tail {
            Tail::Empty { recovery } => {
                let log = LogId::random()?;
                opening = opening.detail("log", log.to_string());
                let signing = restore::signing(&place.dir, log)?;
                if !signing.entries.noted.is_empty() {
                    let problem = "the file is empty, and there are checkpoints of its records".into();
                    return Err(AuditError::Unsound { path: place.path, seq: 0, problem });
                }
                let frontier = Frontier::default();
                (log, Start { length: 0, first: 0, last: log.genesis(), frontier }, recovery, signing, 0)
            }
            Tail::Sound { length, head, first, checked_from, recovery } => {
                opening = opening.detail("checked_from", checked_from);
                let signing = restore::signing(&place.dir, first.log)?;
                let (frontier, certified) = restore::frontier(&place, first, length, head, &signing)?;
                let start = Start { length, first: first.seq, last: head.hash, frontier };
                (first.log, start, recovery, signing, certified)
            }
        };
        let key_lost = signing.key_lost;
        opening = opening.detail("key", signing.signer.verifier().to_string());
        if let Some(group) = readers {
            opening = opening.detail("readers_gid", group);
        }
        key::publish(&place.dir, &signing.signer)?;
        let notices = Notices::default();
        let post = Post::start(sinks, &notices)?;
        let writer = Writer::new(place, boot, start);
        let next = writer.next;
        let shared = Arc::new(Shared {
            tidying: Mutex::new(()),
            inner: Mutex::new(Inner {
                writer,
                floods: Floods::new(floods),
                closed: false,
                due: (u64::MAX, u64::MAX),
                rotate_from: 0,
            }),
            notary: Mutex::new(Notary::new(origin(log), signing, certified)),
            post: Mutex::new(post),
            work: Mutex::new(Work { tidy: !names.is_empty(), ..Work::default() }),
            wake: Condvar::new(),
            flush: Mutex::new(Arc::new(flush)),
            commit: Commit::starting_at(next),
            written: AtomicU64::new(next),
            notices,
            clock,
            checkpoints,
            segments: segment_policy,
            retention,
            log,
        });
        let log = Self { shared, keeper: Mutex::new(None) };
        log.begin(&opening, recovery.as_ref(), key_lost, now)?;
        *log.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper::start(&log.shared)?);
        Ok(log)
    }

    fn begin(
        &self,
        opening: &Record,
        recovery: Option<&Record>,
        key_lost: bool,
        now: crate::Moment,
    ) -> Result<(), AuditError> {
        let shared = &self.shared;
        let mut inner = shared.inner()?;
        shared.put(&mut inner, &[opening], now)?;
        if let Some(recovery) = recovery {
            shared.put(&mut inner, &[recovery], now)?;
        }
        if key_lost {
            let lost = Record::new(Layer::Log, "key-lost", Decision::Noted)
                .operation("open")
                .reason("the key that signed the checkpoints so far is not there any more; another one signs from here")
                .next_step("find out where the key went, and give auditors the new one by hand");
            shared.put(&mut inner, &[&lost], now)?;
        }
        shared.next_due(&mut inner, now);
        inner.writer.place.sync_names().map_err(AuditError::Sync)?;
        drop(inner);
        shared.checkpoint(None)
    }

    /// Appends a record. When this returns, the kernel has it: it survives the end of this process, kill −9
    /// included, though not yet the end of the machine.
    ///
    /// # Errors
    ///
    /// The record is not in the log, and what it is about must not happen. Every append is refused until
    /// one can be written again; a `gap` record then says how many were.
    pub fn append(&self, record: &Record) -> Result<Receipt, AuditError> {
        self.shared.append(record)
    }

    /// Appends records that come together, with one write(2) for [`bounds::AT_ONCE`](crate::bounds::AT_ONCE) of them. Says
    /// where the last is, or where the log ends if there are none.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), for all of them: the first of them may be in the log.
    pub fn append_all(&self, records: &[Record]) -> Result<Receipt, AuditError> {
        self.shared.append_all(records)
    }

    /// Appends a record and returns once it is on the disk. Such a record is never counted away.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append). After [`AuditError::Sync`] the record may be in the file, and what it is
    /// about must not happen all the same.
    pub fn append_durable(&self, record: &Record) -> Result<Receipt, AuditError> {
        self.shared.append_durable(record)
    }

    /// Returns once record `seq` is on the disk. Callers that wait at the same time share one flush.
    ///
    /// # Errors
    ///
    /// It may not be on the disk, now or ever.
    pub fn sync_to(&self, seq: u64) -> Result<(), AuditError> {
        self.shared.sync_to(seq)
    }

    /// Writes the flood counts that are due, looks whether the file is still there, and returns once all
    /// that was written is on the disk. For the host's timer: it bounds how much a power cut can take, and how
    /// late a checkpoint is on a log that nobody writes to.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append) and [`sync_to`](Self::sync_to).
    pub fn sync(&self) -> Result<Head, AuditError> {
        self.shared.sync()
    }

    /// Writes the flood counts of a launch that has ended.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); the counts are kept and written later.
    pub fn settle(&self, launch: &str) -> Result<(), AuditError> {
        let mut inner = self.shared.inner()?;
        self.shared.settle_floods(&mut inner, Which::OfLaunch(launch))
    }

    /// The last record. Kept elsewhere, it lets [`verify`](crate::verify()) see truncation and rollback.
    ///
    /// # Errors
    ///
    /// A thread panicked while it wrote.
    pub fn head(&self) -> Result<Head, AuditError> {
        Ok(self.shared.inner()?.writer.head())
    }

    /// The public key of the checkpoints that are signed now.
    ///
    /// # Errors
    ///
    /// A thread panicked while it signed.
    pub fn verifier_key(&self) -> Result<VerifierKey, AuditError> {
        Ok(self.shared.notary()?.signer.verifier().clone())
    }

    /// Signs how far the log has come, now, and gives the note.
    ///
    /// # Errors
    ///
    /// The log or the checkpoint cannot be brought to the disk.
    pub fn checkpoint(&self) -> Result<String, AuditError> {
        self.shared.checkpoint(None)?;
        let last = self.shared.notary()?.last();
        last.map(|note| note.to_string()).ok_or(AuditError::Closed)
    }

    /// Ends the current file as a segment and goes on in a new one, whatever its size.
    ///
    /// # Errors
    ///
    /// The log goes on in the file that it has.
    pub fn rotate(&self) -> Result<Head, AuditError> {
        let mut inner = self.shared.open_inner()?;
        self.shared.rotate(&mut inner, self.shared.clock.now())
    }

    /// Compresses closed segments and removes those that are not to be kept. The log's own thread does it
    /// after every rotation; this is for whoever wants it done when the call returns.
    ///
    /// # Errors
    ///
    /// What could not be done is done the next time.
    pub fn tidy(&self) -> Result<(), AuditError> {
        self.shared.open_inner().map(drop)?;
        self.shared.tidy()
    }

    /// Draws a new key and signs with it from here on. A record names both, and a checkpoint over that record is
    /// signed by both: whoever trusts the old key is led to the new one.
    ///
    /// # Errors
    ///
    /// The old key goes on signing.
    pub fn change_key(&self) -> Result<VerifierKey, AuditError> {
        let shared = &self.shared;
        // One change at a time, and no rotation in between.
        let mut inner = shared.open_inner()?;
        let dir = inner.writer.place.dir.clone();
        let next = key::make(&dir, key::NEXT_SECRET, &origin(shared.log))?;
        let new = next.verifier().clone();
        let record = Record::new(Layer::Log, "key-change", Decision::Noted)
            .operation("sign")
            .detail("old", shared.notary()?.signer.verifier().to_string())
            .detail("new", new.to_string());
        let head = shared.put(&mut inner, &[&record], shared.clock.now())?;
        if let Err(error) = shared.flush_to(head.seq) {
            return Err(shared.flush_failed(&mut inner, error));
        }
        let snapshot = Shared::snapshot(&inner);
        let mut notary = shared.notary()?;
        let note = notary.certify(&snapshot, Some(&next))?;
        // From here on the change is made: what is left is done by the next writer if need be.
        let path = dir.join(key::SECRET);
        notary.follow(next);
        let renamed = disk::rename(&dir.join(key::NEXT_SECRET), &path).and_then(|()| disk::sync_names(&dir));
        renamed.map_err(|source| AuditError::Key { path, source })?;
        key::publish(&dir, &notary.signer)?;
        if let Some(note) = note {
            shared.post.lock().unwrap_or_else(PoisonError::into_inner).offer(&note);
        }
        Ok(new)
    }

    /// Whether an append would be tried now, or is being refused because the last one failed.
    pub fn is_refusing(&self) -> bool {
        self.shared.inner().map_or(true, |inner| inner.writer.refusing.is_some() || inner.closed)
    }

    /// Writes all flood counts and a `close` record, and returns once everything is on the disk, signed, and
    /// handed to the sinks, which have a few seconds for it. Dropping the log does the same and says nothing
    /// where it fails.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append) and [`sync_to`](Self::sync_to).
    pub fn close(&self) -> Result<Head, AuditError> {
        let shared = &self.shared;
        let mut inner = shared.open_inner()?;
        let close = |inner: &mut Inner| {
            shared.settle_floods(inner, Which::All)?;
            let now = shared.clock.now();
            let close = Record::new(Layer::Log, "close", Decision::Noted).operation("close");
            let head = shared.write(inner, &[&close], now)?;
            inner.closed = true;
            Ok(head)
        };
        let head = close(&mut inner)?;
        drop(inner);
        let certified = shared.checkpoint(None);
        self.stop();
        certified?;
        Ok(head)
    }

    /// Ends the log's threads. In a process that was forked off there are none.
    fn stop(&self) {
        if !self.shared.inner().is_ok_and(|inner| inner.writer.place.is_ours()) {
            return;
        }
        self.shared.work().stop = true;
        self.shared.wake.notify_all();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            let _ = keeper.join();
        }
        self.shared.post.lock().unwrap_or_else(PoisonError::into_inner).stop(LAST_DELIVERY);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("written", &self.shared.written).finish_non_exhaustive()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Nobody is left to tell; a log without `close` says so itself.
        let _ = self.close();
        self.stop();
    }
}

/// Which boot this is, so that monotonic times of different ones are not compared.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::from("unknown"), |id| id.trim().to_owned())
}
