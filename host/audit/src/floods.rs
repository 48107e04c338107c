use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{Decision, Layer, Moment, Plugin, Record, bounds};

/// When records of one plugin, layer and operation are counted instead of written.
#[derive(Clone, Copy, Debug)]
pub struct FloodLimits {
    /// How many are written in full before counting begins. A hundred shows an auditor the pattern.
    pub burst: u32,
    /// How many a second are written in full in the long run.
    pub per_second: u32,
    /// How long a count may stay unwritten.
    pub interval: Duration,
}

impl Default for FloodLimits {
    fn default() -> Self {
        Self { burst: 100, per_second: 1, interval: Duration::from_secs(10) }
    }
}

/// Counts what plugins do too often, each on its own.
///
/// Nothing is lost in it: every record is either written or is in a count that will be, and a plugin's
/// counts are its own.
pub(crate) struct Floods {
    limits: FloodLimits,
    plugins: HashMap<Arc<Plugin>, Vec<Bucket>>,
    /// For plugins past [`bounds::FLOOD_PLUGINS`].
    rest: Vec<Bucket>,
    /// The earliest monotonic time at which a count is due.
    due: u64,
}

/// The counter of one operation at one layer.
pub(crate) struct Bucket {
    /// `None` counts every layer and operation that has no bucket of its own.
    what: Option<(Layer, String)>,
    tokens: u32,
    refilled: u64,
    /// Records counted since the last summary.
    folded: u64,
    by_decision: [u64; Decision::ALL.len()],
    first: Moment,
    last: Moment,
    plugin: Option<Arc<Plugin>>,
    launch: Launches,
    sample: String,
}

/// Whose records are in a count.
#[derive(Clone, PartialEq)]
enum Launches {
    One(Option<Arc<str>>),
    Several,
}

/// Which counts to write.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    /// Those that are due now.
    Due(u64),
    /// Those in which this launch has records.
    OfLaunch(&'a str),
    /// All.
    All,
}

impl Floods {
    pub(crate) fn new(limits: FloodLimits) -> Self {
        Self { limits, plugins: HashMap::new(), rest: Vec::new(), due: u64::MAX }
    }

    /// Whether the record is to be written. If not, it has been counted.
    ///
    /// What is never counted away: what the host does (launches, policy, packages), the end of a worker,
    /// and what no plugin is behind.
    pub(crate) fn admits(&mut self, record: &Record, now: Moment) -> bool {
        let Some(plugin) = record.plugin.as_ref() else { return true };
        if record.decision == Decision::Killed || !record.layer.can_flood() {
            return true;
        }
        let limits = self.limits;
        let bucket = self.bucket(plugin, record, now);
        if bucket.take_token(limits, now.monotonic) {
            return true;
        }
        bucket.count(record, now);
        let interval = u64::try_from(limits.interval.as_nanos()).unwrap_or(u64::MAX);
        self.due = self.due.min(now.monotonic.saturating_add(interval));
        false
    }

    fn bucket(&mut self, plugin: &Arc<Plugin>, record: &Record, now: Moment) -> &mut Bucket {
        let limits = self.limits;
        if self.plugins.len() >= bounds::FLOOD_PLUGINS && !self.plugins.contains_key(plugin) {
            self.plugins.retain(|_, buckets| buckets.iter().any(|bucket| !bucket.idle(limits, now)));
        }
        let full = self.plugins.len() >= bounds::FLOOD_PLUGINS && !self.plugins.contains_key(plugin);
        let buckets = if full { &mut self.rest } else { self.plugins.entry(Arc::clone(plugin)).or_default() };
        let known = buckets.iter().position(|bucket| bucket.is_for(record));
        let index = known.unwrap_or_else(|| {
            let what = (buckets.len() + 1 < bounds::FLOOD_BUCKETS).then(|| {
                let operation = &record.operation;
                let kept = operation.floor_char_boundary(bounds::OPERATION);
                (record.layer, operation[..kept].to_owned())
            });
            buckets.push(Bucket::new(what, limits.burst, now));
            buckets.len() - 1
        });
        &mut buckets[index]
    }

    /// Whether a count is due.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.due <= now
    }

    /// Has `write` write every count of `which`, and forgets those that it wrote. The first failure ends
    /// it; what was not written stays counted.
    pub(crate) fn settle<E>(
        &mut self,
        which: Which<'_>,
        mut write: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let interval = u64::try_from(self.limits.interval.as_nanos()).unwrap_or(u64::MAX);
        let mut due = u64::MAX;
        let mut result = Ok(());
        for bucket in self.plugins.values_mut().flatten().chain(&mut self.rest) {
            if bucket.folded == 0 {
                continue;
            }
            let bucket_due = bucket.first.monotonic.saturating_add(interval);
            let wanted = match which {
                // A clock set back must not keep a count from being written for ever.
                Which::Due(now) => bucket_due <= now || bucket.first.monotonic > now,
                Which::OfLaunch(launch) => match &bucket.launch {
                    Launches::One(one) => one.as_deref() == Some(launch),
                    Launches::Several => true,
                },
                Which::All => true,
            };
            if wanted && result.is_ok() {
                result = write(&bucket.summary());
                if result.is_ok() {
                    bucket.forget();
                    continue;
                }
            }
            due = due.min(bucket_due);
        }
        self.due = due;
        result
    }
}

impl Bucket {
    fn new(what: Option<(Layer, String)>, burst: u32, now: Moment) -> Self {
        Self {
            what,
            tokens: burst,
            refilled: now.monotonic,
            folded: 0,
            by_decision: [0; Decision::ALL.len()],
            first: now,
            last: now,
            plugin: None,
            launch: Launches::One(None),
            sample: String::new(),
        }
    }

    fn is_for(&self, record: &Record) -> bool {
        match &self.what {
            None => true,
            Some((layer, operation)) => {
                let kept = record.operation.floor_char_boundary(bounds::OPERATION);
                *layer == record.layer && *operation == record.operation[..kept]
            }
        }
    }

    fn take_token(&mut self, limits: FloodLimits, now: u64) -> bool {
        let each = 1_000_000_000 / u64::from(limits.per_second.max(1));
        if limits.per_second > 0 {
            let earned = now.saturating_sub(self.refilled) / each;
            if earned > 0 {
                let room = u64::from(limits.burst.saturating_sub(self.tokens));
                self.tokens += u32::try_from(earned.min(room)).unwrap_or(0);
                self.refilled += earned * each;
            }
        }
        if self.refilled > now {
            self.refilled = now;
        }
        match self.tokens.checked_sub(1) {
            Some(left) => self.tokens = left,
            None => return false,
        }
        true
    }

    fn count(&mut self, record: &Record, now: Moment) {
        if self.folded == 0 {
            self.first = now;
            self.launch = Launches::One(record.launch.clone());
            self.plugin.clone_from(&record.plugin);
        } else {
            let same = matches!(&self.launch, Launches::One(one) if *one == record.launch);
            if !same {
                self.launch = Launches::Several;
            }
            if self.plugin != record.plugin {
                self.plugin = None;
            }
        }
        self.folded += 1;
        self.by_decision[record.decision as usize] += 1;
        self.last = now;
        let kept = record.resource.floor_char_boundary(bounds::FLOOD_SAMPLE);
        self.sample.clear();
        self.sample.push_str(&record.resource[..kept]);
    }

    fn summary(&self) -> Record {
        let (layer, operation) = match &self.what {
            Some((layer, operation)) => (layer.as_str(), operation.clone()),
            None => ("several", String::from("(several)")),
        };
        let mut record = Record::new(Layer::Log, "flood", Decision::Noted)
            .operation(operation)
            .resource(self.sample.clone())
            .reason("too many of these to write each; they are counted here, with the latest resource")
            .detail("layer", layer)
            .detail("count", self.folded)
            .detail("first", self.first.to_string())
            .detail("last", self.last.to_string());
        for decision in Decision::ALL {
            let count = self.by_decision[decision as usize];
            if count > 0 {
                record = record.detail(decision.as_str(), count);
            }
        }
        match &self.launch {
            Launches::One(launch) => record.launch.clone_from(launch),
            Launches::Several => record = record.detail("launches", "several"),
        }
        record.plugin.clone_from(&self.plugin);
        record
    }

    fn forget(&mut self) {
        self.folded = 0;
        self.by_decision = [0; Decision::ALL.len()];
        self.sample.clear();
    }

    /// Whether nothing would be different without it.
    fn idle(&self, limits: FloodLimits, now: Moment) -> bool {
        let each = 1_000_000_000 / u64::from(limits.per_second.max(1));
        let missing = u64::from(limits.burst.saturating_sub(self.tokens));
        let full = missing == 0
            || (limits.per_second > 0 && now.monotonic.saturating_sub(self.refilled) >= missing * each);
        self.folded == 0 && full
    }
}
