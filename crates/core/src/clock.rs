//! Instants and the clock.
//!
//! Functions take a [`Timestamp`] as an argument, so that expiry, cut-offs and lock-outs can be tested at any
//! instant, and so that one operation never sees two different times.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant, in milliseconds since the Unix epoch.
///
/// Written as `2026-01-02T03:04:05.678Z`: exactly three digits of fraction and `Z`, the form that the clients
/// of all supported APIs parse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch itself, before every recorded instant.
    pub const EPOCH: Self = Self(0);

    /// The last second that RFC 3339 can express, 9999-12-31T23:59:59Z.
    pub const LAST: Self = Self(253_402_300_799_000);

    /// Returns the instant a number of milliseconds after the Unix epoch; `None` outside the years 1970 to
    /// 9999.
    pub const fn from_millis(millis: i64) -> Option<Self> {
        if millis < 0 || millis > Self::LAST.0 + 999 {
            return None;
        }
        Some(Self(millis))
    }

    /// Returns the start of a whole second since the Unix epoch; `None` outside the years 1970 to 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(1000).and_then(Self::from_millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the Unix epoch, rounded down: the form of `iat` and `exp`.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the first whole minute not before this instant, at most [`Timestamp::LAST`].
    pub fn rounded_up_to_minute(self) -> Self {
        let minutes = self.0.div_euclid(60_000) + i64::from(self.0.rem_euclid(60_000) > 0);
        Self((minutes * 60_000).min(Self::LAST.0))
    }

    /// Returns this instant plus a number of seconds, at most [`Timestamp::LAST`].
    pub fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_millis(seconds.saturating_mul(1000))
    }

    /// Returns this instant plus a number of milliseconds, at most [`Timestamp::LAST`].
    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis).clamp(0, Self::LAST.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// The error for a text that is no RFC 3339 date and time with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date and time like 2026-01-02T03:04:05Z")]
pub struct NotATimestamp;

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| Self::from_millis(time.timestamp_millis()))
            .ok_or(NotATimestamp)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A day in UTC. Written as `2026-01-02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

/// The milliseconds of a day.
const DAY: i64 = 86_400_000;

impl Day {
    /// Returns the day of an instant.
    pub const fn of(instant: Timestamp) -> Self {
        Self(instant.millis().div_euclid(DAY))
    }

    /// Returns the day a number of days after 1970-01-01; `None` outside the years 1970 to 9999.
    pub const fn from_number(number: i64) -> Option<Self> {
        if number < 0 || number > Self::of(Timestamp::LAST).0 {
            return None;
        }
        Some(Self(number))
    }

    /// Returns the number of days after 1970-01-01.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Returns this day plus a number of days, within the years 1970 to 9999.
    pub fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(days).clamp(0, Self::of(Timestamp::LAST).0))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = u64::try_from(self.0).unwrap_or_default();
        match NaiveDate::default().checked_add_days(Days::new(days)) {
            Some(date) => write!(f, "{date}"),
            None => write!(f, "day {}", self.0),
        }
    }
}

/// The error for a text that is no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date like 2026-01-02")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let date: NaiveDate = text.parse().map_err(|_| NotADay)?;
        let days = date.signed_duration_since(NaiveDate::default()).num_days();
        // chrono accepts a sign, and months and days of one digit too.
        Self::from_number(days)
            .filter(|day| day.to_string() == text)
            .ok_or(NotADay)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A source of time, such as the operating system. Operations read it through
/// [`DeploymentClock`](crate::deployment_clock::DeploymentClock).
pub trait Clock: Send + Sync {
    /// Returns the current instant, as the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// Returns the time since a fixed instant, by a clock that nobody sets.
    fn uptime(&self) -> Duration;
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_z_whatever_the_instant() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ] {
            let instant = Timestamp::from_millis(millis).unwrap();
            assert_eq!(instant.to_string(), text);
            assert_eq!(text.parse(), Ok(instant));
        }
    }

    #[test]
    fn a_day_is_one_of_utc_and_written_in_full() {
        for (millis, text) in [
            (0, "1970-01-01"),
            (86_399_999, "1970-01-01"),
            (86_400_000, "1970-01-02"),
            (1_772_323_199_999, "2026-02-28"),
            (253_402_300_799_999, "9999-12-31"),
        ] {
            let day = Day::of(Timestamp::from_millis(millis).unwrap());
            assert_eq!(day.to_string(), text);
            assert_eq!(text.parse(), Ok(day));
            assert_eq!(Day::from_number(day.number()), Some(day));
        }
        for text in [
            "1969-12-31",
            "2026-02-29",
            "2026-1-02",
            "+2026-01-2",
            "2026-01-02T00:00:00Z",
            "",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
        assert_eq!(Day::of(Timestamp::LAST).plus_days(1), Day::of(Timestamp::LAST));
    }

    #[test]
    fn an_offset_is_the_same_instant_and_a_missing_zone_is_refused() {
        assert_eq!(
            "1970-01-01T02:00:00+02:00".parse(),
            Timestamp::from_millis(0).ok_or(NotATimestamp)
        );
        assert_eq!("1970-01-01T00:00:00".parse::<Timestamp>(), Err(NotATimestamp));
        assert_eq!("1969-12-31T23:59:59Z".parse::<Timestamp>(), Err(NotATimestamp));
    }
}
