//! What else the log has of a record's launch and call.

use stockade_audit::{Entry, Layer};

use super::{listed, short, value_of};
use crate::auditor::{Auditor, Question};
use crate::error::AuditorError;
use crate::filter::{Filter, Pattern, TRACE};

/// Records that are shown before and after.
const SHOWN: usize = 5;
/// Loads of one component that are looked through for the one that a launch belongs to.
const LOADS: usize = 1000;

/// What is around a record.
pub(super) struct Around {
    attested: Option<Entry>,
    ended: Option<Entry>,
    /// The load that it runs by.
    granted: Option<Entry>,
    /// The next worker of the same component.
    next: Option<Entry>,
    /// Records of the same call, or of the same launch where there is no call: the last before, the first after.
    before: Vec<Entry>,
    after: Vec<Entry>,
    /// How many there are of them in all, before and after.
    counts: (u64, u64),
    /// The first of them.
    first: Option<Entry>,
    /// Of the call, or of the launch.
    of_call: bool,
    /// The writer's own end, after it.
    closed: Option<Entry>,
    /// Counts of more of the same, in the same launch and after it.
    floods: Vec<Entry>,
}

impl Around {
    pub(super) fn of(auditor: &Auditor, entry: &Entry) -> Result<Self, AuditorError> {
        let record = &entry.record;
        let mut around = Self {
            attested: None,
            ended: None,
            granted: None,
            next: None,
            before: Vec::new(),
            after: Vec::new(),
            counts: (0, 0),
            first: None,
            of_call: record.detail.text(TRACE).is_some(),
            closed: None,
            floods: Vec::new(),
        };
        let trace = record.detail.text(TRACE);
        if let Some(launch) = record.launch.as_deref() {
            let of_launch = |event: &str| Filter {
                launch: Some(launch.to_owned()),
                event: Some(Pattern::Exact(event.to_owned())),
                ..Filter::default()
            };
            around.attested =
                auditor.collect(of_launch("attested"), false, 1)?.pop().map(|found| found.entry);
            around.ended = auditor.collect(of_launch("ended"), true, 1)?.pop().map(|found| found.entry);
            let floods = Filter {
                operation: Some(Pattern::Exact(record.operation.to_string())),
                layers: vec![Layer::Log],
                ..of_launch("flood")
            };
            let floods = auditor.collect(floods, false, LOADS)?.into_iter().map(|found| found.entry);
            around.floods = floods
                .filter(|flood| {
                    flood.seq > entry.seq && flood.record.detail.text("layer") == Some(record.layer.as_str())
                })
                .collect();
        }
        let filter = match (trace, record.launch.as_deref()) {
            (Some(trace), _) => Some(Filter { trace: Some(trace.to_owned()), ..Filter::default() }),
            (None, Some(launch)) => Some(Filter { launch: Some(launch.to_owned()), ..Filter::default() }),
            (None, None) => None,
        };
        if let Some(filter) = filter {
            around.neighbours(auditor, entry.seq, filter)?;
        }
        if let Some(plugin) = &record.plugin {
            let of = |event: &str| Filter {
                digest: Some(Pattern::Exact(plugin.digest.clone())),
                event: Some(Pattern::Exact(event.to_owned())),
                ..Filter::default()
            };
            let loads = auditor.collect(of("granted"), true, LOADS)?;
            around.granted = loads.into_iter().map(|found| found.entry).find(|load| load.seq < entry.seq);
            let end = around.ended.as_ref().map_or(entry.seq, |ended| ended.seq);
            let launches = auditor.collect(of("attested"), true, LOADS)?;
            around.next = launches.into_iter().map(|found| found.entry).filter(|next| next.seq > end).last();
        }
        if around.ended.is_none() && record.launch.is_some() {
            let filter = Filter {
                layers: vec![Layer::Log],
                event: Some(Pattern::Exact("close".into())),
                ..Filter::default()
            };
            let closes = auditor.collect(filter, true, LOADS)?;
            around.closed =
                closes.into_iter().map(|found| found.entry).filter(|close| close.seq > entry.seq).last();
        }
        Ok(around)
    }

    fn neighbours(&mut self, auditor: &Auditor, seq: u64, filter: Filter) -> Result<(), AuditorError> {
        let question = Question { filter, ..Question::default() };
        auditor.find(&question, &mut |located| {
            let other = located.entry;
            match other.seq.cmp(&seq) {
                std::cmp::Ordering::Less => {
                    self.first.get_or_insert_with(|| other.clone());
                    self.counts.0 += 1;
                    if self.before.len() == SHOWN {
                        self.before.remove(0);
                    }
                    self.before.push(other);
                }
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => {
                    self.counts.1 += 1;
                    if self.after.len() < SHOWN {
                        self.after.push(other);
                    }
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    pub(super) fn rests_on(&self) -> Vec<u64> {
        let single = [&self.attested, &self.ended, &self.granted, &self.next, &self.closed];
        let single = single.into_iter().flatten();
        single.chain(&self.before).chain(&self.after).chain(&self.floods).map(|entry| entry.seq).collect()
    }

    pub(super) fn when(&self, entry: &Entry) -> Vec<String> {
        let record = &entry.record;
        let mut sentences = vec![format!("{}, by a clock that the operator can set.", short(&entry.time))];
        if let Some(attested) = self.attested.as_ref().filter(|attested| attested.seq != entry.seq) {
            sentences.push(format!(
                "Launch {}, whose confinement record {} proves{}.",
                value_of(record.launch.as_deref().unwrap_or_default()),
                attested.seq,
                between(attested, entry).map_or_else(String::new, |time| format!("; {time} after that"))
            ));
        } else if let Some(launch) = &record.launch {
            sentences.push(format!("Launch {}.", value_of(launch)));
        }
        if let Some(call) = record.call {
            let trace = record.detail.text(TRACE).map_or_else(String::new, |trace| {
                format!(", with all that came of it under trace {}", value_of(trace))
            });
            sentences.push(format!("Call {call} of that launch{trace}."));
            if let Some(first) = self.first.as_ref().filter(|_| self.of_call)
                && let Some(time) = between(first, entry)
            {
                sentences.push(format!(
                    "The call's first record is {}, {time} before; when the call itself began has no record.",
                    first.seq
                ));
            }
        }
        if let Some(granted) = self.granted.as_ref().filter(|granted| granted.seq != entry.seq) {
            sentences.push(format!(
                "What the plugin was granted when it was loaded is in record {}.",
                granted.seq
            ));
        }
        sentences
    }

    pub(super) fn before(&self) -> Vec<String> {
        self.list(&self.before, self.counts.0)
    }

    pub(super) fn after(&self) -> Vec<String> {
        let mut sentences = self.list(&self.after, self.counts.1);
        let counted = self.floods.iter().filter_map(|flood| flood.record.detail.number("count"));
        let counted = counted.fold(0_i64, i64::saturating_add);
        if counted > 0 {
            let records: Vec<String> =
                self.floods.iter().take(SHOWN).map(|flood| flood.seq.to_string()).collect();
            sentences.push(format!(
                "And {counted} more of the same operation at this layer, which were counted instead of written (record {}).",
                records.join(", ")
            ));
        }
        sentences
    }

    fn list(&self, shown: &[Entry], count: u64) -> Vec<String> {
        if count == 0 {
            return Vec::new();
        }
        let of = if self.of_call { "of the same call" } else { "of the same launch" };
        let which = if count > shown.len() as u64 { ", the nearest of them" } else { "" };
        let mut sentences = vec![format!("{count} {of}{which}:")];
        sentences.extend(shown.iter().map(listed));
        sentences
    }

    pub(super) fn end(&self, entry: &Entry) -> Vec<String> {
        let record = &entry.record;
        if record.launch.is_none() || record.layer == Layer::Log {
            return Vec::new();
        }
        let next = self.next.as_ref().map(|next| {
            let launch = value_of(next.record.launch.as_deref().unwrap_or_default());
            (launch, next.seq)
        });
        let mut sentences = Vec::new();
        // A load has an id of its own, and no worker: a compiler's end has a record only where it did not finish.
        let is_load = matches!(record.layer, Layer::Policy | Layer::Package)
            || self
                .attested
                .as_ref()
                .is_some_and(|start| start.record.detail.text("filter") == Some("compiler"));
        if is_load {
            sentences.extend(next.map(|(launch, seq)| {
                format!("The component's next worker is launch {launch} (record {seq}).")
            }));
            return sentences;
        }
        match &self.ended {
            Some(ended) if ended.seq == entry.seq => {}
            Some(ended) => sentences.push(format!(
                "It ended{}: {} (record {}{}).",
                between(entry, ended).map_or_else(String::new, |time| format!(" {time} later")),
                value_of(&ended.record.reason),
                ended.seq,
                how(ended)
            )),
            None if self.attested.is_none() => {}
            None => sentences.push(match &self.closed {
                Some(closed) => format!(
                    "The log has no end of it, though its writer ended in order (record {}): look for what is missing.",
                    closed.seq
                ),
                None => "The log has no end of it: it still ran when this log was last written, or its host was killed."
                    .to_owned(),
            }),
        }
        sentences.extend(next.map(|(launch, seq)| {
            format!("The same component was started again as launch {launch} (record {seq}).")
        }));
        sentences
    }
}

/// How a program ended, by the kernel's account.
fn how(ended: &Entry) -> String {
    let detail = &ended.record.detail;
    match (detail.number("signal"), detail.number("exit_code")) {
        (Some(signal), _) => format!(", signal {signal}"),
        (None, Some(code)) => format!(", exit code {code}"),
        (None, None) => String::new(),
    }
}

/// The time between two records; none where they are of different starts of the machine.
fn between(first: &Entry, second: &Entry) -> Option<String> {
    if first.boot != second.boot {
        return None;
    }
    let nanos = second.monotonic.checked_sub(first.monotonic)?;
    Some(match nanos {
        0..1_000_000 => format!("{} µs", nanos / 1000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{}.{} s", nanos / 1_000_000_000, nanos / 100_000_000 % 10),
    })
}
