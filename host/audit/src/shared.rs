//! What the log's callers and its own thread share.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::chain::{Head, LogId};
use crate::commit::Commit;
use crate::floods::{Floods, Which};
use crate::notary::{Notary, Snapshot};
use crate::note::NoteSigner;
use crate::post::{Notices, Post};
use crate::writer::Writer;
use crate::{
    AuditError, CheckpointPolicy, Clock, Layer, Moment, Receipt, Record, Retention, SegmentPolicy, bounds,
};

/// Locks are taken in the order of the fields, and the one of `inner` is not held over a flush but by a rotation.
pub(crate) struct Shared {
    /// Held by whoever compresses and removes files.
    pub(crate) tidying: Mutex<()>,
    pub(crate) inner: Mutex<Inner>,
    pub(crate) notary: Mutex<Notary>,
    pub(crate) post: Mutex<Post>,
    /// What the log's own thread is to do.
    pub(crate) work: Mutex<Work>,
    pub(crate) wake: Condvar,
    /// A second handle of the current file, so that a flush does not hold up appends.
    pub(crate) flush: Mutex<Arc<File>>,
    pub(crate) commit: Commit,
    /// How many records there are; written under the lock, read by whoever flushes.
    pub(crate) written: AtomicU64,
    pub(crate) notices: Notices,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) checkpoints: CheckpointPolicy,
    pub(crate) segments: SegmentPolicy,
    pub(crate) retention: Retention,
    pub(crate) log: LogId,
}

pub(crate) struct Inner {
    pub(crate) writer: Writer,
    pub(crate) floods: Floods,
    pub(crate) closed: bool,
    /// When a checkpoint is due: by the number of records, and by the monotonic time.
    pub(crate) due: (u64, u64),
    /// A rotation failed: it is not tried before this record.
    pub(crate) rotate_from: u64,
}

/// What the log's own thread is to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) checkpoint: bool,
    pub(crate) tidy: bool,
    pub(crate) stop: bool,
}

impl Shared {
    pub(crate) fn inner(&self) -> Result<MutexGuard<'_, Inner>, AuditError> {
        self.inner.lock().map_err(|_| AuditError::Poisoned)
    }

    pub(crate) fn open_inner(&self) -> Result<MutexGuard<'_, Inner>, AuditError> {
        let inner = self.inner()?;
        if inner.closed { Err(AuditError::Closed) } else { Ok(inner) }
    }

    pub(crate) fn inner_for(&self, record: &Record) -> Result<MutexGuard<'_, Inner>, AuditError> {
        if record.layer == Layer::Log {
            return Err(AuditError::Reserved);
        }
        self.open_inner()
    }

    pub(crate) fn notary(&self) -> Result<MutexGuard<'_, Notary>, AuditError> {
        self.notary.lock().map_err(|_| AuditError::Poisoned)
    }

    pub(crate) fn append(&self, record: &Record) -> Result<Receipt, AuditError> {
        self.append_all(std::slice::from_ref(record))
    }

    pub(crate) fn append_all(&self, records: &[Record]) -> Result<Receipt, AuditError> {
        if records.iter().any(|record| record.layer == Layer::Log) {
            return Err(AuditError::Reserved);
        }
        let mut inner = self.open_inner()?;
        let head = inner.writer.head();
        let mut receipt = Receipt { seq: head.seq, hash: head.hash, verbatim: false };
        let mut left = records.len();
        let mut admitted = Vec::with_capacity(left.min(bounds::AT_ONCE));
        for records in records.chunks(bounds::AT_ONCE) {
            let now = self.clock.now();
            let settled = match inner.floods.is_due(now.monotonic) {
                true => self.settle_floods(&mut inner, Which::Due(now.monotonic)),
                false => Ok(()),
            };
            // A count is a promise to write it: in the refused state nothing is promised.
            let Inner { writer, floods, .. } = &mut *inner;
            admitted.clear();
            let refusing = writer.refusing.is_some();
            admitted.extend(records.iter().filter(|record| refusing || floods.admits(record, now)));
            // What is counted is after what was written last, and that may be the count that was due.
            let written = settled.and_then(|()| match admitted.is_empty() {
                true => Ok(inner.writer.head()),
                false => self.write(&mut inner, &admitted, now),
            });
            let head = written.inspect_err(|_| inner.writer.count_refused(left))?;
            let verbatim = receipt.verbatim || !admitted.is_empty();
            receipt = Receipt { seq: head.seq, hash: head.hash, verbatim };
            left -= records.len();
        }
        Ok(receipt)
    }

    pub(crate) fn append_durable(&self, record: &Record) -> Result<Receipt, AuditError> {
        let mut inner = self.inner_for(record)?;
        let head = match self.write(&mut inner, &[record], self.clock.now()) {
            Ok(head) => head,
            Err(error) => {
                inner.writer.count_refused(1);
                return Err(error);
            }
        };
        drop(inner);
        self.sync_to(head.seq)?;
        Ok(Receipt { seq: head.seq, hash: head.hash, verbatim: true })
    }

    /// Writes records at once, after a rotation where one is due and after what else the log has to say.
    pub(crate) fn write(
        &self,
        inner: &mut Inner,
        records: &[&Record],
        now: Moment,
    ) -> Result<Head, AuditError> {
        if inner.writer.refusing.is_none() {
            if self.rotation_is_due(inner) {
                self.try_rotate(inner, now);
            }
            self.write_notices(inner, now)?;
        }
        let head = self.put(inner, records, now)?;
        if head.seq >= inner.due.0 || now.monotonic >= inner.due.1 {
            self.next_due(inner, now);
            self.work().checkpoint = true;
            self.wake.notify_all();
        }
        Ok(head)
    }

    /// Writes records and nothing else.
    pub(crate) fn put(
        &self,
        inner: &mut Inner,
        records: &[&Record],
        now: Moment,
    ) -> Result<Head, AuditError> {
        let head = inner.writer.write(records, now)?;
        self.written.store(head.seq + 1, Ordering::Release);
        Ok(head)
    }

    fn write_notices(&self, inner: &mut Inner, now: Moment) -> Result<(), AuditError> {
        let notices = self.notices.take();
        for (done, notice) in notices.iter().enumerate() {
            if let Err(error) = self.put(inner, &[notice], now) {
                self.notices.put_back(notices[done..].to_vec());
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn next_due(&self, inner: &mut Inner, now: Moment) {
        let interval = u64::try_from(self.checkpoints.interval.as_nanos()).unwrap_or(u64::MAX);
        inner.due = (
            inner.writer.next.saturating_add(self.checkpoints.records.max(1) - 1),
            now.monotonic.saturating_add(interval),
        );
    }

    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settle_floods(&self, inner: &mut Inner, which: Which<'_>) -> Result<(), AuditError> {
        let now = self.clock.now();
        let Inner { writer, floods, .. } = inner;
        floods.settle(which, |summary| {
            let head = writer.write(&[summary], now)?;
            self.written.store(head.seq + 1, Ordering::Release);
            Ok(())
        })
    }

    /// Returns once record `seq` is on the disk.
    pub(crate) fn sync_to(&self, seq: u64) -> Result<(), AuditError> {
        match self.flush_to(seq) {
            Err(error @ AuditError::Sync(_)) => Err(self.flush_failed(&mut *self.inner()?, error)),
            other => other,
        }
    }

    pub(crate) fn flush_to(&self, seq: u64) -> Result<(), AuditError> {
        let file = || Arc::clone(&self.flush.lock().unwrap_or_else(PoisonError::into_inner));
        self.commit.flush(seq, file, || self.written.load(Ordering::Acquire))
    }

    pub(crate) fn flush_failed(&self, inner: &mut Inner, error: AuditError) -> AuditError {
        inner.writer.flush_failed(error, self.commit.doubtful(), self.clock.now())
    }

    /// Writes the flood counts and notices that are due, looks whether the file is still there, and returns once
    /// all of it is on the disk.
    pub(crate) fn sync(&self) -> Result<Head, AuditError> {
        let mut inner = self.open_inner()?;
        let now = self.clock.now();
        inner.writer.look(now)?;
        self.settle_floods(&mut inner, Which::Due(now.monotonic))?;
        if inner.writer.refusing.is_none() {
            self.write_notices(&mut inner, now)?;
        }
        if now.monotonic >= inner.due.1 {
            self.next_due(&mut inner, now);
            self.work().checkpoint = true;
            self.wake.notify_all();
        }
        let head = inner.writer.head();
        drop(inner);
        self.sync_to(head.seq)?;
        Ok(head)
    }

    pub(crate) fn snapshot(inner: &Inner) -> Snapshot {
        let writer = &inner.writer;
        Snapshot { frontier: writer.frontier.clone(), head: writer.head(), at: writer.length }
    }

    /// Brings everything to the disk, signs it, and gives the note to the sinks.
    pub(crate) fn checkpoint(&self, also: Option<&NoteSigner>) -> Result<(), AuditError> {
        let snapshot = Self::snapshot(&*self.inner()?);
        // What is signed must be there after a power cut.
        self.sync_to(snapshot.head.seq)?;
        if let Some(note) = self.notary()?.certify(&snapshot, also)? {
            self.post.lock().unwrap_or_else(PoisonError::into_inner).offer(&note);
        }
        Ok(())
    }

    /// The same in the log's own thread: a failure is recorded, and the next checkpoint speaks for this one.
    pub(crate) fn checkpoint_or_notice(&self) {
        if let Err(error) = self.checkpoint(None) {
            self.notices.failed("checkpoint-failed", "checkpoint", &error);
        }
    }
}
