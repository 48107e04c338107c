use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

/// A point in time, in the form in which records have theirs: RFC 3339, UTC, nine digits of second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(String);

/// What an option for a time takes.
pub(crate) const FORMS: &str =
    "a time: 2026-11-28, 2026-11-28T10:00Z, 2026-11-28T10:00:00+01:00, or so long ago: 90s, 15m, 2h, 7d";

impl When {
    /// Reads a time, or how long ago, seen from `now`.
    pub fn parse(text: &str, now: OffsetDateTime) -> Option<Self> {
        let point = ago(text, now).or_else(|| {
            [text.to_owned(), format!("{text}T00:00:00Z"), text.replacen('Z', ":00Z", 1)]
                .iter()
                .find_map(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
        })?;
        Some(Self::of(point))
    }

    /// That point.
    pub fn of(point: OffsetDateTime) -> Self {
        let point = point.to_offset(UtcOffset::UTC);
        // RFC 3339 has four digits of year; so have records.
        if point.year() < 1970 {
            return Self("1970-01-01T00:00:00.000000000Z".into());
        }
        Self(format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
            point.year().min(9999),
            u8::from(point.month()),
            point.day(),
            point.hour(),
            point.minute(),
            point.second(),
            point.nanosecond()
        ))
    }

    /// As records have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whole seconds since 1970.
    pub fn second(&self) -> i64 {
        second_of(&self.0).unwrap_or(0)
    }
}

fn ago(text: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let count = i64::from(digits.parse::<u32>().ok()?);
    now.checked_sub(Duration::seconds(count * seconds)).or(Some(OffsetDateTime::UNIX_EPOCH))
}

/// Whole seconds since 1970 of a record's time; none where it is not of the one form.
pub(crate) fn second_of(time: &str) -> Option<i64> {
    let bytes = time.as_bytes();
    if bytes.len() != 30 || bytes[29] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to]
            .iter()
            .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.')];
    if fixed.iter().any(|(at, byte)| bytes[*at] != *byte) || number(20, 29).is_none() {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of the civil calendar, in years that begin with March so that a leap day is the last.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = years.div_euclid(400);
    let of_era = years.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * months + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?)
}

/// Nanoseconds since 1970 of a record's time.
pub(crate) fn nanos_of(time: &str) -> Option<i128> {
    let second = second_of(time)?;
    Some(i128::from(second) * 1_000_000_000 + time.get(20..29)?.parse::<i128>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_795_860_000).unwrap()
    }

    fn parse(text: &str) -> Option<String> {
        When::parse(text, now()).map(|when| when.0)
    }

    #[test]
    fn times_are_read_in_every_documented_form() {
        let at = |text: &str| parse(text).unwrap();
        assert_eq!(at("2026-11-28"), "2026-11-28T00:00:00.000000000Z");
        assert_eq!(at("2026-11-28T10:00Z"), "2026-11-28T10:00:00.000000000Z");
        assert_eq!(at("2026-11-28T10:00:00.25+01:00"), "2026-11-28T09:00:00.250000000Z");
        assert_eq!(at("2h"), When::of(now() - Duration::hours(2)).0);
        assert_eq!(at("4294967295w"), "1970-01-01T00:00:00.000000000Z");
        for wrong in ["", "d", "-1d", "yesterday", "2026-13-01", "é", "1.5h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn seconds_agree_with_the_calendar_of_another_program() {
        for second in
            [0, 951_782_399, 951_782_400, 1_709_210_096, 1_795_860_000, 4_107_542_400, 253_402_300_799]
        {
            let when = When::of(OffsetDateTime::from_unix_timestamp(second).unwrap());
            assert_eq!(second_of(when.as_str()), Some(second), "{when:?}");
        }
        assert_eq!(second_of("2026-11-28T10:00:00Z"), None);
        assert_eq!(nanos_of("1970-01-01T00:00:01.000000002Z"), Some(1_000_000_002));
    }
}
