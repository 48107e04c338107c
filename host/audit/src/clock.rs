use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What time it is, both ways. Records are ordered by their number: the wall clock jumps, and the
/// monotonic one starts again at every boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moment {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Nanoseconds since boot, time asleep included (`CLOCK_BOOTTIME`).
    pub monotonic: u64,
}

/// Where the log takes its time from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Moment;
}

/// The kernel's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A clock that stands still until it is told, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Moment>);

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        // Neither call can fail for these two clocks; a zero would be seen, a missing record would not.
        let wall = clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from);
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        Moment {
            seconds: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX),
            nanos: wall.subsec_nanos(),
            monotonic: u64::try_from(boot.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

impl ManualClock {
    /// A clock that shows `moment`.
    pub fn at(moment: Moment) -> Self {
        Self(Mutex::new(moment))
    }

    /// Sets it.
    pub fn set(&self, moment: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// Lets `by` pass.
    pub fn advance(&self, by: Duration) {
        let mut moment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nanos = u64::from(moment.nanos) + u64::from(by.subsec_nanos());
        moment.seconds += i64::try_from(by.as_secs() + nanos / 1_000_000_000).unwrap_or(0);
        moment.nanos = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
        moment.monotonic += u64::try_from(by.as_nanos()).unwrap_or(0);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Moment {
        (**self).now()
    }
}

/// RFC 3339, UTC, always nine digits: text order is time order.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(30);
        self.write_rfc3339(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// The last second of the year 9999, beyond which RFC 3339 has no text.
const LAST_SECOND: i64 = 253_402_300_799;

impl Moment {
    pub(crate) fn write_rfc3339(&self, out: &mut Vec<u8>) {
        let seconds = self.seconds.clamp(0, LAST_SECOND);
        let (year, month, day) = civil(seconds / 86_400);
        let second = seconds % 86_400;
        digits(out, year, 4);
        out.push(b'-');
        digits(out, month, 2);
        out.push(b'-');
        digits(out, day, 2);
        out.push(b'T');
        digits(out, second / 3600, 2);
        out.push(b':');
        digits(out, second / 60 % 60, 2);
        out.push(b':');
        digits(out, second % 60, 2);
        out.push(b'.');
        digits(out, i64::from(self.nanos), 9);
        out.push(b'Z');
    }
}

/// Year, month and day of a day counted from 1970-01-01, which must not be before it. Years are counted
/// from March, so that the leap day is the last of its year and months have lengths in a fixed pattern.
fn civil(day: i64) -> (i64, i64, i64) {
    const DAYS_400_YEARS: i64 = 146_097;
    const MARCH_OF_YEAR_ZERO: i64 = 719_468;
    let day = day + MARCH_OF_YEAR_ZERO;
    let era = day / DAYS_400_YEARS;
    let day = day % DAYS_400_YEARS;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

fn digits(out: &mut Vec<u8>, number: i64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    let mut rest = number;
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: i64) -> String {
        Moment { seconds, nanos: 7, monotonic: 0 }.to_string()
    }

    #[test]
    fn known_seconds_give_known_dates() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000007Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.000000007Z");
        assert_eq!(text(1_709_251_199), "2024-02-29T23:59:59.000000007Z");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00.000000007Z");
    }

    #[test]
    fn f5_a_clock_outside_the_calendar_is_clamped() {
        assert_eq!(text(-5), "1970-01-01T00:00:00.000000007Z");
        assert_eq!(text(i64::MAX), "9999-12-31T23:59:59.000000007Z");
    }
}
