use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::fcntl::Flock;

use crate::chain::{Hash, Head};
use crate::line::{Stamp, write_line};
use crate::place::Place;
use crate::tree::{self, Frontier};
use crate::{AuditError, Decision, Layer, Moment, Record, disk};

/// Appends after which the file is looked at again, and the time after which it is.
const LOOK_APPENDS: u32 = 256;
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// Puts whole records at the end of the file, or nothing.
pub(crate) struct Writer {
    pub(crate) place: Place,
    boot: String,
    /// How long the file is, by what this process knows.
    pub(crate) length: u64,
    /// The number of the file's first record.
    pub(crate) first: u64,
    /// The number of the next record, and the hash of the last.
    pub(crate) next: u64,
    last: Hash,
    /// The tree over all records so far, those of earlier files included.
    pub(crate) frontier: Frontier,
    batch: Vec<u8>,
    /// The leaves of the batch.
    leaves: Vec<Hash>,
    appends: u32,
    looked: u64,
    /// Set while nothing can be written.
    pub(crate) refusing: Option<Refusing>,
}

/// What a log is continued from.
pub(crate) struct Start {
    pub(crate) length: u64,
    pub(crate) first: u64,
    pub(crate) last: Hash,
    pub(crate) frontier: Frontier,
}

/// Why nothing can be written, and what the gap record will say about it.
pub(crate) struct Refusing {
    cause: String,
    since: Moment,
    /// Appends refused.
    count: u64,
    /// Part of a record may stand after `length` and could not be cut off yet.
    torn: bool,
    /// A flush failed: the next write counts only once a flush has succeeded. These records may be lost.
    doubtful: Option<Range<u64>>,
}

impl Writer {
    pub(crate) fn new(place: Place, boot: String, from: Start) -> Self {
        let Start { length, first, last, frontier } = from;
        Self {
            place,
            boot,
            length,
            first,
            next: frontier.size(),
            last,
            frontier,
            batch: Vec::with_capacity(4096),
            leaves: Vec::with_capacity(2),
            appends: 0,
            looked: 0,
            refusing: None,
        }
    }

    /// The last record.
    pub(crate) fn head(&self) -> Head {
        Head { seq: self.next.saturating_sub(1), hash: self.last }
    }

    /// Writes `records` at once, after a gap record where there was a gap.
    pub(crate) fn write(&mut self, records: &[&Record], now: Moment) -> Result<Head, AuditError> {
        self.ready(now)?;
        self.begin();
        let mut head = Head { seq: self.next.wrapping_sub(1), hash: self.last };
        if let Some(refusing) = &self.refusing {
            let gap = refusing.record();
            head = self.line(head, &gap, now);
        }
        for record in records {
            head = self.line(head, record, now);
        }
        self.put(head, now)?;
        Ok(head)
    }

    fn begin(&mut self) {
        self.batch.clear();
        self.leaves.clear();
    }

    fn line(&mut self, prev: Head, record: &Record, moment: Moment) -> Head {
        let seq = prev.seq.wrapping_add(1);
        let stamp = Stamp { seq, moment, boot: &self.boot, prev: prev.hash };
        let hash = write_line(&mut self.batch, &stamp, record);
        self.leaves.push(tree::leaf(hash.as_bytes()));
        Head { seq, hash }
    }

    fn took(&mut self, head: Head) {
        self.length += self.batch.len() as u64;
        self.next = head.seq + 1;
        self.last = head.hash;
        self.leaves.drain(..).for_each(|leaf| self.frontier.push(leaf));
    }

    /// Puts `record` into `file`, which will be the next one, as its first, and brings it to the disk. Nothing
    /// has changed before [`follow`](Self::follow).
    pub(crate) fn write_ahead(&mut self, file: &File, record: &Record, now: Moment) -> io::Result<Head> {
        self.begin();
        let head = self.line(self.head(), record, now);
        disk::write_all(file, &self.batch)?;
        disk::sync(file)?;
        Ok(head)
    }

    /// Goes on in the file that [`write_ahead`](Self::write_ahead) began and that now has the log's name.
    pub(crate) fn follow(&mut self, file: Flock<File>, head: Head) -> io::Result<()> {
        self.place.follow(file)?;
        self.first = head.seq;
        self.length = 0;
        self.took(head);
        Ok(())
    }

    /// Checks that the file is still ours, and in a refused state that it is whole.
    fn ready(&mut self, now: Moment) -> Result<(), AuditError> {
        self.appends += 1;
        let waited = now.monotonic.wrapping_sub(self.looked);
        let due = self.appends >= LOOK_APPENDS || u128::from(waited) >= LOOK_AFTER.as_nanos();
        if due || self.refusing.is_some() {
            self.look(now)?;
        }
        Ok(())
    }

    /// Looks whether the path still leads to the file and nobody else changed its length.
    pub(crate) fn look(&mut self, now: Moment) -> Result<(), AuditError> {
        self.appends = 0;
        self.looked = now.monotonic;
        if let Err(error) = self.cut_off().and_then(|()| self.place.still(Some(self.length))) {
            return Err(self.refuse(error, now));
        }
        Ok(())
    }

    /// Puts the batch at the end of the file with one write(2): after it, the record survives this process.
    fn put(&mut self, head: Head, now: Moment) -> Result<(), AuditError> {
        let result = self.write_batch().and_then(|()| match &self.refusing {
            Some(refusing) if refusing.doubtful.is_some() => {
                disk::sync(&self.place.file).map_err(AuditError::Sync)
            }
            _ => Ok(()),
        });
        if let Err(error) = result {
            // Whatever of the batch is there is not a record; it must be gone before the next one.
            let error = self.refuse(error, now);
            if let Some(refusing) = &mut self.refusing {
                refusing.torn = true;
            }
            // Tried again before the next append.
            let _ = self.cut_off();
            return Err(error);
        }
        self.took(head);
        self.refusing = None;
        Ok(())
    }

    fn write_batch(&self) -> Result<(), AuditError> {
        match disk::write(&self.place.file, &self.batch) {
            Ok(written) if written == self.batch.len() => Ok(()),
            // The rest is not tried: a record in two parts is not there at once, and the reason for a
            // short write on a regular file is that the disk or the size limit is reached.
            Ok(written) => Err(AuditError::Write(io::Error::new(
                io::ErrorKind::WriteZero,
                format!("{written} of {} bytes were written", self.batch.len()),
            ))),
            Err(error) => Err(AuditError::Write(error)),
        }
    }

    /// Cuts off what a failed write left behind.
    fn cut_off(&mut self) -> Result<(), AuditError> {
        let Some(refusing) = self.refusing.as_mut().filter(|refusing| refusing.torn) else { return Ok(()) };
        let size = self.place.file.metadata().map_err(AuditError::Write)?.size();
        if size > self.length {
            disk::cut(&self.place.file, self.length).map_err(AuditError::Write)?;
        }
        refusing.torn = false;
        Ok(())
    }

    /// Goes into the refused state, or stays in it.
    pub(crate) fn refuse(&mut self, error: AuditError, now: Moment) -> AuditError {
        self.refusing.get_or_insert_with(|| Refusing {
            cause: describe(&error),
            since: now,
            count: 0,
            torn: false,
            doubtful: None,
        });
        error
    }

    /// Goes into the refused state because these records may not be on the disk.
    pub(crate) fn flush_failed(
        &mut self,
        error: AuditError,
        doubtful: Range<u64>,
        now: Moment,
    ) -> AuditError {
        let error = self.refuse(error, now);
        if let Some(refusing) = &mut self.refusing {
            refusing.doubtful = Some(doubtful);
        }
        error
    }

    /// So many actions were refused for want of a record.
    pub(crate) fn count_refused(&mut self, count: usize) {
        if let Some(refusing) = &mut self.refusing {
            refusing.count += count as u64;
        }
    }
}

impl Refusing {
    fn record(&self) -> Record {
        let mut record = Record::new(Layer::Log, "gap", Decision::Noted)
            .operation("append")
            .reason("records could not be written for a time; the actions they were about were refused")
            .detail("cause", self.cause.clone())
            .detail("since", self.since.to_string())
            .detail("refused", self.count);
        if let Some(doubtful) = &self.doubtful {
            record = record
                .detail("not_flushed_from", doubtful.start)
                .detail("not_flushed_to", doubtful.end.saturating_sub(1));
        }
        record
    }
}

/// An error with its causes, on one line.
pub(crate) fn describe(error: &AuditError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
