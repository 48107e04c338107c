//! What is counted of one plugin, from its load on. Labels come from fixed sets: no plugin chooses a name here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use stockade_audit::{Decision, Layer, Record};

use crate::outcome::{Outcome, Status};

/// Upper bounds of the buckets of durations, in microseconds: from a warm call to the longest deadline.
pub(crate) const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 60_000_000,
];

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// One for each bound, and one for what is longer.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// What [`Durations`] held at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) buckets: [u64; BOUNDS_US.len() + 1],
    pub(crate) sum_ns: u64,
}

impl Durations {
    pub(crate) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|&bound| bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Spread {
        let buckets = std::array::from_fn(|n| self.buckets[n].load(Ordering::Relaxed));
        Spread { buckets, sum_ns: self.sum_ns.load(Ordering::Relaxed) }
    }
}

impl Spread {
    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Spread) -> Spread {
        for (mine, others) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += others;
        }
        self.sum_ns += other.sum_ns;
        self
    }

    /// The bound below which so many of a hundred lie; none where there is nothing, and the largest bound for
    /// what is beyond it.
    pub(crate) fn percentile(&self, percent: u64) -> Option<Duration> {
        let count = self.count();
        let wanted = (count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, number) in self.buckets.iter().enumerate() {
            seen += number;
            if seen >= wanted && count > 0 {
                let bound = BOUNDS_US.get(bucket).or(BOUNDS_US.last())?;
                return Some(Duration::from_micros(*bound));
            }
        }
        None
    }
}

/// One tool's calls.
#[derive(Debug)]
pub(crate) struct ToolMeter {
    pub(crate) name: String,
    by_status: [AtomicU64; Status::ALL.len()],
    pub(crate) took: Durations,
}

impl ToolMeter {
    /// How many calls ended so.
    pub(crate) fn calls(&self, status: Status) -> u64 {
        self.by_status[status as usize].load(Ordering::Relaxed)
    }
}

/// Everything of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    tools: OnceLock<Vec<ToolMeter>>,
    /// Calls that came to nothing, by the code of the reason.
    errors: Mutex<BTreeMap<&'static str, u64>>,
    /// Refusals and ends, by layer and operation.
    denials: Mutex<BTreeMap<(Layer, &'static str), u64>>,
    /// How workers ended.
    ends: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) waited: Durations,
    starts: AtomicU64,
    /// Of workers that have ended.
    cpu_ms: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// Whether somebody looks for what the plugin needs: its denials say so.
    observed: AtomicBool,
}

/// A count of each of a few things that have fixed names.
type Tally<K> = Mutex<BTreeMap<K, u64>>;

fn add<K: Ord>(tally: &Tally<K>, key: K) {
    *tally.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
}

fn read<K: Ord + Clone>(tally: &Tally<K>) -> BTreeMap<K, u64> {
    tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The operations of records. What is not among them is the worker's own word, or a system call.
const OPERATIONS: &[&str] = &[
    "call",
    "clock",
    "compile",
    "config",
    "fs.create",
    "fs.delete",
    "fs.read",
    "fs.write",
    "grant",
    "http",
    "import",
    "ipc",
    "kv",
    "launch",
    "load",
    "log",
    "model",
    "random",
    "secret",
    "tool",
];

fn operation(record: &Record) -> &'static str {
    if matches!(record.layer, Layer::Seccomp | Layer::Sigsys) {
        return "syscall";
    }
    OPERATIONS.iter().find(|known| **known == record.operation).copied().unwrap_or("other")
}

impl Meter {
    /// The tools that are counted from here on.
    pub(crate) fn has_tools<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.tools.get_or_init(|| {
            names
                .map(|name| ToolMeter {
                    name: name.to_owned(),
                    by_status: Default::default(),
                    took: Durations::default(),
                })
                .collect()
        });
    }

    pub(crate) fn tools(&self) -> &[ToolMeter] {
        self.tools.get().map_or(&[], Vec::as_slice)
    }

    /// A call is over. Tools that the plugin does not have are counted among the errors alone.
    pub(crate) fn called(&self, tool: &str, outcome: &Outcome) {
        if let Some(meter) = self.tools().iter().find(|meter| meter.name == tool) {
            meter.by_status[outcome.status as usize].fetch_add(1, Ordering::Relaxed);
            meter.took.add(outcome.elapsed);
        }
        if let Some(reason) = &outcome.reason {
            add(&self.errors, reason.code);
        }
    }

    /// From here on its denials say that they were looked for.
    pub(crate) fn observe(&self) {
        self.observed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.observed.load(Ordering::Relaxed)
    }

    /// Something was written to the audit log.
    pub(crate) fn recorded(&self, record: &Record) {
        if matches!(record.decision, Decision::Denied | Decision::Killed) {
            add(&self.denials, (record.layer, operation(record)));
        }
    }

    pub(crate) fn worker_started(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn worker_ended(&self, how: &'static str, cpu_ms: u64) {
        add(&self.ends, how);
        self.cpu_ms.fetch_add(cpu_ms, Ordering::Relaxed);
    }

    /// Bytes that went over a worker's socket.
    pub(crate) fn moved(&self, received: u64, sent: u64) {
        self.received.fetch_add(received, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
    }

    pub(crate) fn errors(&self) -> BTreeMap<&'static str, u64> {
        read(&self.errors)
    }

    pub(crate) fn denials(&self) -> BTreeMap<(Layer, &'static str), u64> {
        read(&self.denials)
    }

    pub(crate) fn ends(&self) -> BTreeMap<&'static str, u64> {
        read(&self.ends)
    }

    pub(crate) fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    pub(crate) fn cpu_ms(&self) -> u64 {
        self.cpu_ms.load(Ordering::Relaxed)
    }

    /// Received from workers, sent to them.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_pass() {
        let durations = Durations::default();
        for micros in [50, 51, 100, 70_000_000] {
            durations.add(Duration::from_micros(micros));
        }
        let spread = durations.now();
        assert_eq!((spread.buckets[0], spread.buckets[1], spread.buckets[BOUNDS_US.len()]), (1, 2, 1));
        assert_eq!(spread.count(), 4);
        assert_eq!(spread.percentile(50), Some(Duration::from_micros(100)));
        assert_eq!(spread.percentile(100), Some(Duration::from_secs(60)));
        assert_eq!(Spread::default().percentile(50), None);
    }

    #[test]
    fn no_record_makes_a_label_of_its_own() {
        let meter = Meter::default();
        for (layer, operation) in
            [(Layer::Host, "fs.read"), (Layer::Worker, "\u{1b}[2J"), (Layer::Seccomp, "openat")]
        {
            meter.recorded(&Record::new(layer, "refused", Decision::Denied).operation(operation));
        }
        meter.recorded(&Record::new(Layer::Launch, "attested", Decision::Allowed).operation("launch"));
        let denials: Vec<_> = meter.denials().into_iter().collect();
        assert_eq!(
            denials,
            [((Layer::Host, "fs.read"), 1), ((Layer::Worker, "other"), 1), ((Layer::Seccomp, "syscall"), 1)]
        );
    }
}
