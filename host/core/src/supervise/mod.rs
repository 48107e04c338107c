//! How a plugin is kept: how many workers it has, who waits for them, when they are started again, and when its
//! calls are stopped.

mod brake;
mod breaker;
mod keeper;
mod line;
mod restarts;

use std::time::Duration;

use crate::error::HostError;

pub(crate) use brake::Brake;
pub(crate) use breaker::{Admission, Breaker, Refusal, Verdict};
pub use breaker::{BreakerSettings, BreakerState};
pub(crate) use keeper::{Keeper, Notice};
pub(crate) use line::{Line, NoTurn, Who};
pub(crate) use restarts::Restarts;

/// When a plugin has a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// From the load on; one that dies is started again at the next call.
    #[default]
    Loaded,
    /// From the load on; one that dies is started again at once, as far as its restarts allow.
    Kept,
    /// From the first call on. That the plugin runs here at all is known only then.
    OnCall,
}

/// What shares a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A plugin's calls, one after the other.
    #[default]
    Plugin,
    /// Nothing: each call has a process of its own, which is ended with it. Whatever a call made of its worker, and of the
    /// engine in it, the next does not meet.
    Call,
}

/// How a plugin is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Supervision {
    /// When it has a worker.
    pub start: Start,
    /// What shares a worker. With [`Isolation::Call`] and [`Start::Kept`] a fresh worker waits for the next call.
    pub isolation: Isolation,
    /// How many calls run at a time, each in a worker of its own: 1 to [`MOST_WORKERS`](Self::MOST_WORKERS).
    pub workers: u32,
    /// How many calls wait for one, at most [`LONGEST_QUEUE`](Self::LONGEST_QUEUE); one more is refused at once.
    pub queue: u32,
    /// A worker without a call for so long is ended; the next call starts another.
    pub idle: Option<Duration>,
    /// The deadline of calls that bring none; the profile's if not said.
    pub deadline: Option<Duration>,
    /// When its calls are stopped for a while; never if not said.
    pub breaker: Option<BreakerSettings>,
}

impl Supervision {
    /// Workers of one plugin. Each has memory and descriptors of its own.
    pub const MOST_WORKERS: u32 = 64;
    /// Calls of one plugin that wait. Each holds its arguments.
    pub const LONGEST_QUEUE: u32 = 65_536;

    /// For a host that runs for long: workers that died are started again at once, those without a call for a
    /// quarter of an hour are ended, 64 calls may wait, and calls stop where half of them fail.
    pub fn service() -> Supervision {
        Supervision {
            start: Start::Kept,
            queue: 64,
            idle: Some(Duration::from_secs(15 * 60)),
            breaker: Some(BreakerSettings::default()),
            ..Supervision::default()
        }
    }

    /// Whether it can be done, for a plugin that has a scratch directory or none.
    pub(crate) fn check(&self, scratch: bool) -> Result<(), HostError> {
        let wrong = |field, message| Err(HostError::Supervision { field, message });
        if !(1..=Self::MOST_WORKERS).contains(&self.workers) {
            return wrong("workers", format!("a plugin has 1 to {} workers", Self::MOST_WORKERS));
        }
        if self.workers > 1 && scratch {
            return wrong(
                "workers",
                "a plugin with a scratch directory has one worker, whose it is".to_owned(),
            );
        }
        if self.queue > Self::LONGEST_QUEUE {
            return wrong("queue", format!("at most {} calls can wait", Self::LONGEST_QUEUE));
        }
        if self.idle.is_some_and(|idle| idle < Duration::from_millis(1)) {
            return wrong("idle", "a worker is idle for a millisecond at least".to_owned());
        }
        let Some(breaker) = &self.breaker else { return Ok(()) };
        if !(1..=BreakerSettings::LARGEST_WINDOW).contains(&breaker.window) {
            let message = format!("the window has 1 to {} calls", BreakerSettings::LARGEST_WINDOW);
            return wrong("breaker.window", message);
        }
        if !(1..=breaker.window).contains(&breaker.least) {
            return wrong("breaker.least", "1 to as many calls as the window has".to_owned());
        }
        if breaker.failures > 100 || breaker.slow > 100 {
            return wrong("breaker", "a share has 0 to 100 percent".to_owned());
        }
        if breaker.pause.is_zero() || breaker.longest_pause < breaker.pause {
            return wrong(
                "breaker.pause",
                "the first pause is not nothing, and not above the longest".to_owned(),
            );
        }
        if breaker.probes == 0 {
            return wrong("breaker.probes", "it takes one probe at least to close".to_owned());
        }
        Ok(())
    }
}

/// One worker, 1,024 calls that may wait, no breaker: what a program gets that keeps its plugins itself.
impl Default for Supervision {
    fn default() -> Self {
        Self {
            start: Start::Loaded,
            isolation: Isolation::Plugin,
            workers: 1,
            queue: 1024,
            idle: None,
            deadline: None,
            breaker: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_told_with_its_field() {
        let fine = Supervision::service();
        assert!(fine.check(true).is_ok() && Supervision::default().check(true).is_ok());
        let breaker = |change: fn(&mut BreakerSettings)| {
            let mut settings = BreakerSettings::default();
            change(&mut settings);
            Supervision { breaker: Some(settings), ..fine }
        };
        for (wrong, at) in [
            (Supervision { workers: 0, ..fine }, "workers"),
            (Supervision { workers: 65, ..fine }, "workers"),
            (Supervision { workers: 2, ..fine }, "workers"),
            (Supervision { queue: 65_537, ..fine }, "queue"),
            (Supervision { idle: Some(Duration::ZERO), ..fine }, "idle"),
            (breaker(|b| b.window = 5000), "breaker.window"),
            (breaker(|b| b.least = 21), "breaker.least"),
            (breaker(|b| b.failures = 101), "breaker"),
            (breaker(|b| b.pause = Duration::ZERO), "breaker.pause"),
            (breaker(|b| b.longest_pause = Duration::ZERO), "breaker.pause"),
            (breaker(|b| b.probes = 0), "breaker.probes"),
        ] {
            let HostError::Supervision { field, .. } = wrong.check(true).expect_err(at) else {
                panic!("{at}")
            };
            assert_eq!(field, at);
        }
    }
}
