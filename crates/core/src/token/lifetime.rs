//! Lifetimes and grace periods in their written form: `30d`, `12h`, `never`.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// Always 365 days: the length of a calendar year depends on when it begins.
const YEAR: u64 = 365 * DAY;

/// The units, longest first.
const UNITS: [(char, u64); 6] = [
    ('y', YEAR),
    ('w', WEEK),
    ('d', DAY),
    ('h', HOUR),
    ('m', MINUTE),
    ('s', 1),
];

/// A positive number of whole seconds, at most 100 years.
///
/// Written as one positive integer and one unit: `s`, `m` (minutes), `h`, `d`, `w` or `y` (365 days),
/// without a space, a sign, a fraction or a leading zero. There is no unit for months, which some
/// write `M`: one slip of the shift key would turn a month into a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(NonZeroU64);

impl Span {
    pub const MINUTE: Self = Self::of(MINUTE);
    pub const HOUR: Self = Self::of(HOUR);
    pub const HALF_A_DAY: Self = Self::of(DAY / 2);
    pub const DAY: Self = Self::of(DAY);
    pub const WEEK: Self = Self::of(7 * DAY);
    pub const MONTH: Self = Self::of(30 * DAY);
    pub const QUARTER: Self = Self::of(90 * DAY);
    pub const YEAR: Self = Self::of(YEAR);
    pub const FOUR_HUNDRED_DAYS: Self = Self::of(400 * DAY);
    /// The longest span, 100 years. Longer lifetimes are written as [`Lifetime::Never`].
    pub const MAXIMUM: Self = Self::of(100 * YEAR);

    /// Returns a constant span; none of the constants is zero.
    const fn of(seconds: u64) -> Self {
        Self(match NonZeroU64::new(seconds) {
            Some(seconds) => seconds,
            None => NonZeroU64::MIN,
        })
    }

    /// Returns a span of a number of seconds; `None` for zero and for more than 100 years.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        NonZeroU64::new(seconds)
            .map(Self)
            .filter(|span| *span <= Self::MAXIMUM)
    }

    /// Returns a span of a number of days; `None` for zero and for more than 100 years.
    pub fn from_days(days: u64) -> Option<Self> {
        days.checked_mul(DAY).and_then(Self::from_seconds)
    }

    /// Returns the written form of a number of seconds: of 0 and of more than 100 years in seconds.
    pub fn words(seconds: u64) -> String {
        match Self::from_seconds(seconds) {
            Some(span) => span.to_string(),
            None => format!("{seconds}s"),
        }
    }

    /// Returns the length in seconds, from 1 to 3,153,600,000.
    pub const fn seconds(self) -> u64 {
        self.0.get()
    }
}

/// The lifetime of a token.
///
/// Ordered from short to long, so that the stricter of two bounds is their minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lifetime {
    /// The token expires after this span.
    Limited(Span),
    /// The token never expires; written `never`.
    Never,
}

/// The grace period in which a rotated token stays valid: a span of at most 30 days, or `0s` for none. A longer
/// one would make the old token a second token instead of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace(Option<Span>);

impl Grace {
    /// No grace period.
    pub const NONE: Self = Self(None);
    /// The default: enough time to deploy the new token.
    pub const DAY: Self = Self(Some(Span::of(DAY)));

    const LONGEST: Span = Span::MONTH;

    /// Returns the length in seconds.
    pub fn seconds(self) -> u64 {
        self.0.map_or(0, Span::seconds)
    }
}

/// The error for a text that is neither a span nor, where it is allowed, `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LifetimeError {
    #[error("must be a positive whole number and a unit (s, m, h, d, w or y), such as 30d")]
    Malformed,
    #[error("must be at most 100 years")]
    TooLong,
    #[error("must be at most 30 days")]
    LongGrace,
}

impl FromStr for Span {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (unit, length) = UNITS
            .iter()
            .find(|(unit, _)| text.ends_with(*unit))
            .ok_or(LifetimeError::Malformed)?;
        let digits = text.strip_suffix(*unit).unwrap_or_default();
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LifetimeError::Malformed);
        }
        digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*length))
            .and_then(Self::from_seconds)
            .ok_or(LifetimeError::TooLong)
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            _ => text.parse().map(Self::Limited),
        }
    }
}

impl FromStr for Grace {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0s" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(span) if span <= Self::LONGEST => Ok(Self(Some(span))),
                Ok(_) | Err(LifetimeError::TooLong) => Err(LifetimeError::LongGrace),
                Err(error) => Err(error),
            },
        }
    }
}

impl fmt::Display for Span {
    /// Writes whole days in `d`, otherwise the longest unit that leaves no remainder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (unit, length) = UNITS
            .into_iter()
            .find(|(_, length)| *length <= DAY && seconds.is_multiple_of(*length))
            .unwrap_or(('s', 1));
        write!(f, "{}{unit}", seconds / length)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(span) => span.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_unit_has_its_length() {
        for (text, seconds) in [
            ("1s", 1),
            ("15m", 900),
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("90d", 7_776_000),
            ("365d", 31_536_000),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
            ("100y", 3_153_600_000),
            ("36500d", 3_153_600_000),
        ] {
            assert_eq!(text.parse::<Span>().map(Span::seconds), Ok(seconds), "{text}");
            assert_eq!(
                text.parse(),
                Ok(Lifetime::Limited(Span::from_seconds(seconds).unwrap()))
            );
        }
        assert_eq!("never".parse(), Ok(Lifetime::Never));
    }

    #[test]
    fn what_is_not_a_lifetime_is_refused() {
        for text in [
            "", "d", "30", "0d", "00d", "030d", "-1d", "+1d", "1.5d", "1e3d", " 30d", "30d ", "30 d", "30D",
            "1M", "1mo", "30days", "1d12h", "Never", "NEVER", "null", "٣d", "30д",
        ] {
            assert_eq!(
                text.parse::<Lifetime>(),
                Err(LifetimeError::Malformed),
                "{text:?}"
            );
        }
        for text in [
            "101y",
            "36501d",
            "3153600001s",
            "18446744073709551615y",
            "99999999999999999999999s",
        ] {
            assert_eq!(text.parse::<Lifetime>(), Err(LifetimeError::TooLong), "{text:?}");
        }
        assert_eq!(
            "never".parse::<Span>(),
            Err(LifetimeError::Malformed),
            "a session must end"
        );
    }

    #[test]
    fn a_grace_may_be_none_and_is_short() {
        let seconds = |text: &str| text.parse::<Grace>().map(Grace::seconds);
        assert_eq!(seconds("0s"), Ok(0));
        assert_eq!(seconds("24h"), Ok(Grace::DAY.seconds()));
        for text in ["", "0", "0d", "never", "-1s"] {
            assert_eq!(seconds(text), Err(LifetimeError::Malformed), "{text}");
        }
        assert_eq!(seconds("30d"), Ok(30 * DAY));
        for text in ["31d", "2592001s", "10000d", "10000y", "99999999999999999999999s"] {
            assert_eq!(seconds(text), Err(LifetimeError::LongGrace), "{text}");
        }
    }

    #[test]
    fn never_is_the_longest() {
        assert!(Lifetime::Limited(Span::MAXIMUM) < Lifetime::Never);
        assert!(Span::from_days(1) < Span::from_days(2));
        assert_eq!(Span::from_days(u64::MAX), None);
        assert_eq!(Span::from_seconds(0), None);
    }

    proptest! {
        #[test]
        fn reading_back_what_was_written_gives_the_same(seconds in 1..=Span::MAXIMUM.seconds()) {
            let lifetime = Lifetime::Limited(Span::from_seconds(seconds).unwrap());
            prop_assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Lifetime>();
        }
    }
}
