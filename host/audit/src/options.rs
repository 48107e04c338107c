use std::time::Duration;

use crate::{Clock, FloodLimits, Sink, SystemClock};

/// How to open a [`Log`](crate::Log).
pub struct Options {
    /// When records are counted instead of written.
    pub floods: FloodLimits,
    /// Where the time comes from.
    pub clock: Box<dyn Clock>,
    /// When the log signs how far it has come.
    pub checkpoints: CheckpointPolicy,
    /// Who is handed every checkpoint, to keep it where whoever can write the log cannot.
    pub sinks: Vec<Box<dyn Sink>>,
    /// When the log goes on in a new file.
    pub segments: SegmentPolicy,
    /// Which old files are removed. By default none.
    pub retention: Retention,
    /// The group of auditors, by its number: it may read everything but the private key. By default nobody may.
    pub readers: Option<u32>,
}

/// When the log signs how far it has come: after so many records or so much time, whichever is first. It does so
/// too when it is opened and closed, and at the end of every segment.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointPolicy {
    /// After so many records.
    pub records: u64,
    /// After so much time in which there was a record.
    pub interval: Duration,
}

/// When the log goes on in a new file.
#[derive(Clone, Copy, Debug)]
pub struct SegmentPolicy {
    /// Once it has so many bytes.
    pub bytes: u64,
    /// Once it has so many records.
    pub records: u64,
    /// Whether closed segments are compressed.
    pub compress: bool,
}

/// Which closed segments are kept; the oldest go first. What was removed stays proven by a signed statement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// At most so many.
    pub segments: Option<u64>,
    /// At most so many bytes of them, as they are on the disk.
    pub bytes: Option<u64>,
    /// At most so old, by the wall clock at their last record.
    pub age: Option<Duration>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sinks: Vec<_> = self.sinks.iter().map(|sink| sink.name()).collect();
        f.debug_struct("Options")
            .field("checkpoints", &self.checkpoints)
            .field("sinks", &sinks)
            .field("segments", &self.segments)
            .field("retention", &self.retention)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            floods: FloodLimits::default(),
            clock: Box::new(SystemClock),
            checkpoints: CheckpointPolicy::default(),
            sinks: Vec::new(),
            segments: SegmentPolicy::default(),
            retention: Retention::default(),
            readers: None,
        }
    }
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        // What nobody else has yet is at most this; a busy year's checkpoints come to some 100 MB.
        Self { records: 10_000, interval: Duration::from_secs(300) }
    }
}

impl Default for SegmentPolicy {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, records: u64::MAX, compress: true }
    }
}

impl Retention {
    /// Whether there is nothing to do.
    pub(crate) const fn keeps_all(&self) -> bool {
        self.segments.is_none() && self.bytes.is_none() && self.age.is_none()
    }
}
