//! How a plugin does, at a moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stockade_policy::Budget;

use super::call::rounded;
use super::{Inner, Plugin, Withdrawal};
use crate::meter::Spread;
use crate::outcome::Status;
use crate::process_usage::{Usage, usage};
use crate::sentinel::Watch;
use crate::supervise::{BreakerState, Start};

/// What a plugin is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// It has a worker and no call.
    #[default]
    Ready,
    /// Calls run.
    Running,
    /// It has no worker; the next call starts one.
    Idle,
    /// Its workers died; the next may start later.
    BackingOff,
    /// Its calls are stopped for a while.
    Open,
    /// One call at a time is tried, to see whether it works again.
    HalfOpen,
    /// An operator has stopped it.
    Stopped,
    /// It could not be loaded.
    Failed,
}

impl PluginState {
    /// Every state.
    pub const ALL: [PluginState; 8] = [
        Self::Ready,
        Self::Running,
        Self::Idle,
        Self::BackingOff,
        Self::Open,
        Self::HalfOpen,
        Self::Stopped,
        Self::Failed,
    ];

    /// Its name in metrics and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::BackingOff => "backing-off",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// How a plugin does. Counts are from its load on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its type, and so its profile.
    #[serde(rename = "type")]
    pub plugin_type: String,
    /// SHA-256 of its component, in hex.
    pub digest: String,
    /// What it is doing.
    pub state: PluginState,
    /// Why it is in that state, where that is to be said.
    pub reason: String,
    /// In how many milliseconds a call is tried again, where that is known.
    pub next_attempt_ms: Option<u64>,
    /// The processes that run it.
    pub workers: Vec<u32>,
    /// Calls that run.
    pub running: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// Calls that are over.
    pub calls: u64,
    /// Those of them without a result.
    pub errors: u64,
    /// Below this half of the calls lie, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Below this 99 of 100.
    pub p99_ms: Option<f64>,
    /// Refusals and ends that the audit log has of it.
    pub denials: u64,
    /// Workers that were started.
    pub starts: u64,
    /// How often its breaker has opened.
    pub breaker_opened: u64,
    /// Memory of its workers that is resident, in bytes.
    pub memory_bytes: u64,
    /// Processor time of its workers, those that have ended too, in milliseconds.
    pub cpu_ms: u64,
    /// Received from its workers, in bytes.
    pub received_bytes: u64,
    /// Sent to them.
    pub sent_bytes: u64,
    /// What is left of its day, where it has a budget.
    pub budget_left: Option<Budget>,
}

impl PluginStatus {
    /// One that could not be loaded.
    pub fn failed(name: &str, version: &str, plugin_type: &str, reason: String) -> PluginStatus {
        PluginStatus {
            name: name.to_owned(),
            version: version.to_owned(),
            plugin_type: plugin_type.to_owned(),
            state: PluginState::Failed,
            reason,
            ..PluginStatus::default()
        }
    }
}

impl Plugin {
    /// How many of its calls run.
    pub fn running(&self) -> u32 {
        self.0.line.running()
    }

    /// How it does now.
    pub fn status(&self) -> PluginStatus {
        self.0.status()
    }

    /// What its day has left, if it has a budget.
    pub fn budget_left(&self) -> Option<Budget> {
        self.0.broker.left_of_day()
    }

    pub(crate) fn breaker_state(&self) -> (BreakerState, u64) {
        let breaker = self.0.breaker();
        breaker.as_ref().map_or((BreakerState::Closed, 0), |b| (b.state(Instant::now()), b.opened()))
    }

    pub(crate) fn state(&self) -> PluginState {
        self.0.state(Instant::now()).0
    }

    /// Calls that run, and that wait.
    pub(crate) fn load(&self) -> (u32, u32) {
        (self.0.line.running(), self.0.line.waiting())
    }

    /// Memory and processor time of all its workers, and how many there are.
    pub(crate) fn usage(&self) -> (Usage, u32) {
        let watches = self.0.watches();
        (self.0.usage(&watches), watches.len() as u32)
    }
}

impl Inner {
    /// What these workers use, and the processor time of those before them.
    fn usage(&self, watches: &[Arc<Watch>]) -> Usage {
        let living = watches.iter().map(|watch| usage(watch.pid()));
        let mut sum = living.fold(Usage::default(), |sum, one| Usage {
            resident_bytes: sum.resident_bytes + one.resident_bytes,
            cpu_ms: sum.cpu_ms + one.cpu_ms,
        });
        sum.cpu_ms += self.meter.cpu_ms();
        sum
    }

    fn state(&self, now: Instant) -> (PluginState, String, Option<Duration>) {
        if let Some(why) = self.withdrawn.get() {
            let why = match why {
                Withdrawal::Approval => "an approval that it ran by has ended".to_owned(),
                Withdrawal::Distrust(why) => format!("it {why}"),
            };
            return (PluginState::Stopped, why, None);
        }
        if self.held.load(Ordering::Acquire) {
            return (PluginState::Stopped, "by an operator".to_owned(), None);
        }
        if let Some(breaker) = &*self.breaker()
            && let Some(refusal) = breaker.why(now)
        {
            let state = match breaker.state(now) {
                BreakerState::Open => PluginState::Open,
                BreakerState::Closed | BreakerState::HalfOpen => PluginState::HalfOpen,
            };
            return (state, refusal.why.to_string(), refusal.next);
        }
        if self.line.running() > 0 {
            return (PluginState::Running, String::new(), None);
        }
        if !self.watches().is_empty() {
            return (PluginState::Ready, String::new(), None);
        }
        let (pause, deaths) = {
            let restarts = self.restarts();
            (restarts.pause(now), restarts.in_a_row())
        };
        if !pause.is_zero() {
            let reason = format!("{deaths} workers died in a row");
            return (PluginState::BackingOff, reason, Some(pause));
        }
        let reason = match (self.supervision.start, self.supervision.idle) {
            (Start::OnCall, _) if self.meter.starts() == 0 => "not called yet".to_owned(),
            (_, Some(idle)) if !self.wanted.load(Ordering::Acquire) => {
                format!("no call for {}", rounded(idle))
            }
            _ => String::new(),
        };
        (PluginState::Idle, reason, None)
    }

    fn status(&self) -> PluginStatus {
        let (state, reason, next) = self.state(Instant::now());
        let watches = self.watches();
        let meter = &self.meter;
        let mut took = Spread::default();
        let (mut calls, mut errors) = (0, 0);
        for tool in meter.tools() {
            took = took.and(&tool.took.now());
            calls += Status::ALL.iter().map(|status| tool.calls(*status)).sum::<u64>();
            errors += Status::ALL[1..].iter().map(|status| tool.calls(*status)).sum::<u64>();
        }
        let milliseconds = |percent| took.percentile(percent).map(|bound| bound.as_secs_f64() * 1000.0);
        let (received_bytes, sent_bytes) = meter.bytes();
        let usage = self.usage(&watches);
        PluginStatus {
            name: self.identity.name.clone(),
            version: self.identity.version.clone(),
            plugin_type: self.identity.kind.clone(),
            digest: self.identity.digest.clone(),
            state,
            reason,
            next_attempt_ms: next.map(|next| u64::try_from(next.as_millis()).unwrap_or(u64::MAX)),
            workers: watches.iter().map(|watch| watch.pid()).collect(),
            running: self.line.running(),
            waiting: self.line.waiting(),
            calls,
            errors,
            p50_ms: milliseconds(50),
            p99_ms: milliseconds(99),
            denials: meter.denials().values().sum(),
            starts: meter.starts(),
            breaker_opened: self.breaker().as_ref().map_or(0, crate::supervise::Breaker::opened),
            memory_bytes: usage.resident_bytes,
            cpu_ms: usage.cpu_ms,
            received_bytes,
            sent_bytes,
            budget_left: self.broker.left_of_day(),
        }
    }
}
