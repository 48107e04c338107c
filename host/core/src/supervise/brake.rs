//! What keeps a storm of dying workers, of however many plugins, from taking the machine.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use stockade_policy::stands;

/// How much of the rate may be used at once.
const BURST: Duration = Duration::from_secs(1);

/// How often workers of all plugins together may be started after one has died.
#[derive(Debug)]
pub(crate) struct Brake {
    /// What one start takes of the rate.
    each: Duration,
    /// Until when the starts so far use the rate up.
    used_until: Mutex<Instant>,
}

impl Brake {
    /// At most so many a second on average, and so many at once.
    pub(crate) fn up_to(per_second: NonZeroU32, now: Instant) -> Brake {
        Brake { each: Duration::from_secs(1) / per_second.get(), used_until: Mutex::new(now) }
    }

    fn used_until(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.used_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place among the starts; how long to wait for it.
    pub(crate) fn take(&self, now: Instant) -> Duration {
        let mut used_until = self.used_until();
        *used_until = (*used_until).max(now) + self.each;
        let ahead = used_until.saturating_duration_since(now).saturating_sub(BURST);
        if stands("restart.brake") { ahead } else { Duration::ZERO }
    }

    /// A place that was taken and is not needed.
    pub(crate) fn give_back(&self) {
        let mut used_until = self.used_until();
        *used_until = used_until.checked_sub(self.each).unwrap_or(*used_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_beyond_the_rate_wait_each_longer_than_the_one_before() {
        let now = Instant::now();
        let brake = Brake::up_to(NonZeroU32::new(10).expect("not zero"), now);
        let waits: Vec<_> = (0..13).map(|_| brake.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 300]);
        brake.give_back();
        assert_eq!(brake.take(now).as_millis(), 300);
        assert_eq!(brake.take(now + Duration::from_secs(5)), Duration::ZERO);
    }
}
