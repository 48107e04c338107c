//! The circuit breaker of one plugin: calls that would most likely fail are not tried for a while.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use stockade_policy::stands;

/// When a plugin's calls are stopped, and when they are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct BreakerSettings {
    /// How many of the last calls are looked at: 1 to [`LARGEST_WINDOW`](Self::LARGEST_WINDOW).
    pub window: u32,
    /// Fewer calls than this say nothing.
    pub least: u32,
    /// Opens at this share of failed calls, in percent. 0 never opens for failures.
    pub failures: u8,
    /// A call that takes longer is slow.
    pub slow_after: Option<Duration>,
    /// Opens at this share of slow calls, in percent.
    pub slow: u8,
    /// How long it stays open the first time; doubled each time that a probe fails.
    pub pause: Duration,
    /// The longest that it stays open at a time.
    pub longest_pause: Duration,
    /// Probes that have to succeed, one after the other, before it closes.
    pub probes: u32,
}

impl BreakerSettings {
    /// A byte is kept for each call of the window: 4 KiB for a plugin, whoever writes its file.
    pub const LARGEST_WINDOW: u32 = 4096;
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: 20,
            least: 10,
            failures: 50,
            slow_after: None,
            slow: 50,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            probes: 3,
        }
    }
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// No call passes.
    Open,
    /// One call at a time passes, to see.
    HalfOpen,
}

impl BreakerState {
    /// Its name in metrics and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Failures { failed: u32, of: u32 },
    Slow { slow: u32, of: u32 },
    Probe,
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures { failed, of } => write!(f, "{failed} of the last {of} calls failed"),
            Self::Slow { slow, of } => write!(f, "{slow} of the last {of} calls were slow"),
            Self::Probe => f.write_str("the call that tried it again failed"),
        }
    }
}

/// A call that may be tried. It has to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Admission {
    /// In which of the breaker's states it began: what comes of it later says nothing about another.
    era: u64,
}

/// Why a call is not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: Opened,
    /// In how long the next call is tried; none while one is on its way.
    pub(crate) next: Option<Duration>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The plugin answered, whatever it said.
    Answered { took: Duration },
    /// It did not.
    Failed,
    /// The call says nothing about the plugin: nobody waited for its end, or it never got there.
    Nothing,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { why: Opened, until: Instant },
    HalfOpen { why: Opened, probing: bool, good: u32 },
}

#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: State,
    era: u64,
    /// The calls of the window, the oldest first.
    calls: VecDeque<Mark>,
    failed: u32,
    slow: u32,
    /// How often it opened without having closed again.
    in_a_row: u32,
    opened: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Good,
    Slow,
    Failed,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Breaker {
        Breaker {
            settings,
            state: State::Closed,
            era: 0,
            calls: VecDeque::new(),
            failed: 0,
            slow: 0,
            in_a_row: 0,
            opened: 0,
        }
    }

    /// Where it stands; open ones that have waited long enough count as half open.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until, .. } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Why it is not closed, and in how long the next call is tried.
    pub(crate) fn why(&self, now: Instant) -> Option<Refusal> {
        match self.state {
            State::Closed => None,
            State::Open { why, until } => {
                Some(Refusal { why, next: Some(until.saturating_duration_since(now)) })
            }
            State::HalfOpen { why, probing, .. } => {
                Some(Refusal { why, next: (!probing).then_some(Duration::ZERO) })
            }
        }
    }

    /// How often it has opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether a call may be tried.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Admission, Refusal> {
        if let State::Open { why, until } = self.state
            && now >= until
        {
            self.turn(State::HalfOpen { why, probing: false, good: 0 });
        }
        match &mut self.state {
            State::Closed => {}
            State::HalfOpen { probing: probing @ false, .. } => *probing = true,
            _ if !stands("breaker.open") => {}
            State::Open { .. } | State::HalfOpen { .. } => {
                return Err(self.why(now).expect("it is not closed"));
            }
        }
        Ok(Admission { era: self.era })
    }

    /// What came of it. True where the breaker stands elsewhere now.
    pub(crate) fn give_back(&mut self, admission: Admission, verdict: Verdict, now: Instant) -> bool {
        if admission.era != self.era {
            return false;
        }
        let mark = match verdict {
            Verdict::Answered { took } if self.settings.slow_after.is_some_and(|most| took > most) => {
                Mark::Slow
            }
            Verdict::Answered { .. } => Mark::Good,
            Verdict::Failed => Mark::Failed,
            Verdict::Nothing => {
                if let State::HalfOpen { probing, .. } = &mut self.state {
                    *probing = false;
                }
                return false;
            }
        };
        match &mut self.state {
            State::Closed => self.count(mark, now),
            State::HalfOpen { probing, good, .. } if mark == Mark::Good => {
                (*probing, *good) = (false, *good + 1);
                let enough = *good >= self.settings.probes;
                if enough {
                    self.close();
                }
                enough
            }
            State::HalfOpen { .. } => {
                self.open(Opened::Probe, now);
                true
            }
            // Only an admission of an older era is left of a time before it opened.
            State::Open { .. } => false,
        }
    }

    /// Forgets everything: somebody has seen to the plugin.
    pub(crate) fn close(&mut self) {
        self.in_a_row = 0;
        self.turn(State::Closed);
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.era += 1;
        self.calls.clear();
        (self.failed, self.slow) = (0, 0);
    }

    fn open(&mut self, why: Opened, now: Instant) {
        let doubled = self.settings.pause.saturating_mul(1 << self.in_a_row.min(16));
        let until = now + doubled.min(self.settings.longest_pause);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.opened += 1;
        self.turn(State::Open { why, until });
    }

    fn count(&mut self, mark: Mark, now: Instant) -> bool {
        if self.calls.len() >= self.settings.window as usize
            && let Some(oldest) = self.calls.pop_front()
        {
            self.add(oldest, -1);
        }
        self.calls.push_back(mark);
        self.add(mark, 1);
        let of = self.calls.len() as u32;
        let over = |count: u32, percent: u8| {
            percent != 0 && of >= self.settings.least && count * 100 >= of * u32::from(percent)
        };
        let why = match (self.failed, self.slow) {
            (failed, _) if over(failed, self.settings.failures) => Opened::Failures { failed, of },
            (_, slow) if self.settings.slow_after.is_some() && over(slow, self.settings.slow) => {
                Opened::Slow { slow, of }
            }
            _ => return false,
        };
        self.open(why, now);
        true
    }

    fn add(&mut self, mark: Mark, number: i32) {
        match mark {
            Mark::Good => {}
            Mark::Slow => self.slow = self.slow.saturating_add_signed(number),
            Mark::Failed => self.failed = self.failed.saturating_add_signed(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Verdict = Verdict::Answered { took: Duration::ZERO };

    fn breaker(settings: BreakerSettings) -> (Breaker, Instant) {
        (Breaker::new(settings), Instant::now())
    }

    fn call(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> bool {
        let admission = breaker.admit(now).expect("admitted");
        breaker.give_back(admission, verdict, now)
    }

    fn opened(settings: BreakerSettings) -> (Breaker, Instant) {
        let (mut breaker, now) = breaker(settings);
        for _ in 0..settings.least {
            call(&mut breaker, Verdict::Failed, now);
        }
        assert_eq!(breaker.state(now), BreakerState::Open);
        (breaker, now)
    }

    #[test]
    fn opens_at_the_share_of_failures_and_not_before() {
        let (mut breaker, now) = breaker(BreakerSettings { window: 10, least: 4, ..Default::default() });
        for verdict in [Verdict::Failed, GOOD, GOOD, Verdict::Failed] {
            assert_eq!(breaker.state(now), BreakerState::Closed);
            call(&mut breaker, verdict, now);
        }
        let refusal = breaker.admit(now).expect_err("open");
        assert_eq!(refusal.why, Opened::Failures { failed: 2, of: 4 });
        assert_eq!((refusal.next, breaker.opened()), (Some(Duration::from_secs(1)), 1));
    }

    #[test]
    fn old_calls_leave_the_window() {
        let (mut breaker, now) =
            breaker(BreakerSettings { window: 10, least: 10, failures: 50, ..Default::default() });
        for _ in 0..100 {
            for verdict in [Verdict::Failed, GOOD, GOOD, Verdict::Failed, GOOD] {
                call(&mut breaker, verdict, now);
            }
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert_eq!((breaker.calls.len(), breaker.failed), (10, 4));
    }

    #[test]
    fn slow_calls_open_it_where_somebody_said_what_is_slow() {
        let slow = Verdict::Answered { took: Duration::from_millis(101) };
        let settings = BreakerSettings { least: 3, ..Default::default() };
        let (mut patient, now) = breaker(settings);
        (0..20).for_each(|_| {
            call(&mut patient, slow, now);
        });
        assert_eq!(patient.state(now), BreakerState::Closed);
        let limit = BreakerSettings { slow_after: Some(Duration::from_millis(100)), ..settings };
        let (mut breaker, now) = breaker(limit);
        (0..3).for_each(|_| {
            call(&mut breaker, slow, now);
        });
        assert_eq!(breaker.why(now).expect("open").why, Opened::Slow { slow: 3, of: 3 });
    }

    #[test]
    fn one_probe_at_a_time_and_enough_good_ones_close_it() {
        let settings = BreakerSettings { probes: 2, ..Default::default() };
        let (mut breaker, now) = opened(settings);
        let later = now + settings.pause;
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        let probe = breaker.admit(later).expect("a probe");
        assert_eq!(breaker.admit(later).expect_err("one at a time").next, None);
        assert!(!breaker.give_back(probe, GOOD, later));
        assert!(call(&mut breaker, GOOD, later));
        assert_eq!(breaker.state(later), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_for_twice_as_long_up_to_the_longest() {
        let settings = BreakerSettings { longest_pause: Duration::from_secs(5), ..Default::default() };
        let (mut breaker, mut now) = opened(settings);
        for seconds in [1, 2, 4, 5, 5] {
            let refusal = breaker.admit(now).expect_err("open");
            assert_eq!(refusal.next, Some(Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
            assert!(call(&mut breaker, Verdict::Failed, now));
        }
        assert_eq!(breaker.opened(), 6);
        breaker.close();
        assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn calls_from_before_say_nothing_about_what_is_now() {
        let settings = BreakerSettings { probes: 1, ..Default::default() };
        let (mut breaker, now) = breaker(settings);
        let early = breaker.admit(now).expect("closed");
        (0..settings.least).for_each(|_| {
            call(&mut breaker, Verdict::Failed, now);
        });
        let later = now + settings.pause;
        let probe = breaker.admit(later).expect("a probe");
        assert!(!breaker.give_back(early, GOOD, later) && !breaker.give_back(early, Verdict::Failed, later));
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        // A probe that nobody waited for leaves its place to another.
        assert!(!breaker.give_back(probe, Verdict::Nothing, later));
        assert!(call(&mut breaker, GOOD, later));
    }
}
