use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use stockade_policy::stands;

/// The pause after the second death in a row; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between deaths in a row.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When a plugin whose worker died may have the next one: after a pause that doubles with each death in a row,
/// and never more often than its rate, however well the workers did before they died.
#[derive(Debug)]
pub(crate) struct Restarts {
    /// Deaths since a call was last answered.
    in_a_row: u32,
    /// What one worker more takes of the rate.
    each: Duration,
    /// Until when the workers that were started use the rate up.
    used_until: Instant,
    not_before: Instant,
    /// Whether the next start makes up for a death.
    owed: bool,
}

impl Restarts {
    /// At most so many a second on average, and so many at once.
    pub(crate) fn up_to(per_second: NonZeroU32, now: Instant) -> Restarts {
        let each = Duration::from_secs(1) / per_second.get();
        Restarts { in_a_row: 0, each, used_until: now, not_before: now, owed: false }
    }

    /// A call was answered.
    pub(crate) fn answered(&mut self) {
        self.in_a_row = 0;
    }

    /// A worker died.
    pub(crate) fn died(&mut self, now: Instant) {
        let pause = match self.in_a_row {
            0 => Duration::ZERO,
            n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(16)).min(LONGEST_PAUSE),
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.used_until = self.used_until.max(now) + self.each;
        let over_rate = self.used_until.saturating_duration_since(now).saturating_sub(Duration::from_secs(1));
        let over_rate = if stands("restart.rate") { over_rate } else { Duration::ZERO };
        self.not_before = now + pause.max(over_rate);
        self.owed = true;
    }

    /// A worker was started.
    pub(crate) fn started(&mut self) {
        self.owed = false;
    }

    /// Whether the next start makes up for a death.
    pub(crate) fn owed(&self) -> bool {
        self.owed
    }

    /// Somebody has seen to the plugin: it may start at once.
    pub(crate) fn forgive(&mut self, now: Instant) {
        (self.in_a_row, self.owed, self.used_until, self.not_before) = (0, false, now, now);
    }

    /// How long to wait from now.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        self.not_before.saturating_duration_since(now)
    }

    pub(crate) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts(per_second: u32) -> (Restarts, Instant) {
        let now = Instant::now();
        (Restarts::up_to(NonZeroU32::new(per_second).expect("not zero"), now), now)
    }

    #[test]
    fn pauses_double_with_deaths_in_a_row_and_end_with_an_answer() {
        let (mut restarts, now) = restarts(1_000);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            restarts.died(now);
            pauses.push(restarts.pause(now).as_millis());
        }
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        restarts.answered();
        restarts.died(now);
        assert_eq!(restarts.pause(now), Duration::ZERO);
    }

    #[test]
    fn answers_between_deaths_do_not_lift_the_rate() {
        let (mut restarts, began) = restarts(10);
        let mut now = began;
        let mut deaths = 0;
        while now < began + Duration::from_secs(60) {
            restarts.answered();
            restarts.died(now);
            deaths += 1;
            now += restarts.pause(now);
        }
        // Ten at once, and ten each second.
        assert_eq!(deaths, 610);
    }

    #[test]
    fn a_calm_second_gives_the_rate_back() {
        let (mut restarts, now) = restarts(10);
        (0..30).for_each(|_| {
            restarts.answered();
            restarts.died(now);
        });
        assert_eq!(restarts.pause(now), Duration::from_secs(2));
        let later = now + Duration::from_secs(10);
        (0..10).for_each(|_| {
            restarts.answered();
            restarts.died(later);
            assert_eq!(restarts.pause(later), Duration::ZERO);
        });
    }
}
