//! The log goes on in a new file.
//!
//! The order makes every moment of it one that the next writer can take up: until the new file has the log's
//! name, the old one has it, and with it everything. In between the old file has two names, and the writer that
//! finds it so takes the second away again ([`Place`](crate::place::Place)).

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use nix::fcntl::{Flock, FlockArg};

use crate::chain::Head;
use crate::notary::Snapshot;
use crate::segments::{NEXT, Name};
use crate::shared::{Inner, Shared};
use crate::{AuditError, Decision, Layer, Moment, Record, bounds, disk};

/// Records after which a rotation that failed is tried again.
const TRY_AGAIN: u64 = 1000;

impl Shared {
    pub(crate) fn rotation_is_due(&self, inner: &Inner) -> bool {
        let writer = &inner.writer;
        let full = writer.length >= self.segments.bytes.min(bounds::SEGMENT_BYTES_MOST)
            || writer.next - writer.first >= self.segments.records.max(1);
        full && writer.next >= inner.rotate_from
    }

    /// Rotates. Where that fails the log goes on in the file that it has: whether it can be written is what
    /// the next record shows.
    pub(crate) fn try_rotate(&self, inner: &mut Inner, now: Moment) {
        if let Err(error) = self.rotate(inner, now) {
            inner.rotate_from = inner.writer.next.saturating_add(TRY_AGAIN);
            self.notices.failed("rotation-failed", "rotate", &error);
        }
    }

    /// Ends the file and begins the next one.
    pub(crate) fn rotate(&self, inner: &mut Inner, now: Moment) -> Result<Head, AuditError> {
        let name = Name::new(inner.writer.first, false);
        inner.writer.look(now)?;
        let ending = Record::new(Layer::Log, "rotation", Decision::Noted)
            .operation("rotate")
            .resource(name.file.clone())
            .detail("first", inner.writer.first)
            .detail("records", inner.writer.next + 1 - inner.writer.first);
        let last = self.put(inner, &[&ending], now)?;
        // Everything of the old file is on the disk before anything is in the new one.
        self.flush_to(last.seq).map_err(|error| match error {
            AuditError::Sync(_) => self.flush_failed(inner, error),
            other => other,
        })?;
        let snapshot: Snapshot = Self::snapshot(inner);
        let note = self.notary()?.certify(&snapshot, None)?;
        if let Some(note) = note {
            self.post.lock().unwrap_or_else(PoisonError::into_inner).offer(&note);
        }
        let beginning = Record::new(Layer::Log, "segment", Decision::Noted)
            .operation("rotate")
            .resource(name.file.clone())
            .detail("log", self.log.to_string())
            .detail("after", last.to_string());
        let segment = inner.writer.place.dir.join(&name.file);
        let failed = |source| AuditError::Segment { step: "rotate to", path: segment.clone(), source };
        let head = self.begin(inner, &beginning, &segment, now).map_err(failed)?;
        self.next_due(inner, now);
        self.work().tidy = true;
        self.wake.notify_all();
        Ok(head)
    }

    fn begin(&self, inner: &mut Inner, beginning: &Record, segment: &Path, now: Moment) -> io::Result<Head> {
        let dir = inner.writer.place.dir.clone();
        let current = inner.writer.place.path.clone();
        let next = dir.join(NEXT);
        disk::remove_if_there(&next)?;
        let file = disk::create(&next)?;
        // Locked before it has the name under which another writer would look for it.
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        let handle = Arc::new(file.try_clone()?);
        let head = inner.writer.write_ahead(&file, beginning, now)?;
        disk::sync_names(&dir)?;
        disk::link(&current, segment)?;
        if let Err(error) = disk::rename(&next, &current) {
            disk::remove(segment)?;
            return Err(error);
        }
        // From here on the new file is the log.
        inner.writer.follow(file, head)?;
        *self.flush.lock().unwrap_or_else(PoisonError::into_inner) = handle;
        self.written.store(head.seq + 1, std::sync::atomic::Ordering::Release);
        disk::sync_names(&dir)?;
        Ok(head)
    }
}
