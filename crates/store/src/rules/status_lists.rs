//! Rules for status lists: which tokens share a list, and when a list retires.

use jeton_core::clock::Timestamp;
use jeton_core::token::NewToken;

/// The number of indexes in a list.
pub const LIST_SIZE: u32 = 1 << 20;

/// The lifetime of the tokens of a list. Tokens that end at about the same time share a list, so that it can
/// retire as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LifetimeClass {
    /// Up to a day.
    Day,
    /// Up to 31 days.
    Month,
    /// Up to 366 days.
    Year,
    /// Longer.
    Longer,
    /// Without an expiry.
    Endless,
}

impl LifetimeClass {
    /// All classes, the shortest first.
    pub const ALL: [Self; 5] = [Self::Day, Self::Month, Self::Year, Self::Longer, Self::Endless];

    /// Returns the class of a token.
    pub fn of(token: &NewToken) -> Self {
        let Some(end) = token.expires_at else {
            return Self::Endless;
        };
        let seconds = end.seconds() - token.created_at.seconds();
        let fits = |class: &Self| class.longest_life().is_some_and(|longest| seconds <= longest);
        Self::ALL.into_iter().find(fits).unwrap_or(Self::Longer)
    }

    /// Returns whether a list that was opened at an instant accepts new tokens now.
    pub fn is_open(self, opened_at: Timestamp, now: Timestamp) -> bool {
        now.seconds() - opened_at.seconds() < self.open_for()
    }

    /// Returns whether all tokens of a list that was opened at an instant have ended.
    pub fn has_ended(self, opened_at: Timestamp, now: Timestamp) -> bool {
        self.longest_life().is_some_and(|life| {
            let age = self.open_for().saturating_add(life);
            opened_at.seconds() + age < now.seconds()
        })
    }

    /// Returns for how many seconds a list accepts new tokens: as long as they live, but at least a week, since
    /// a bit hides among the others of its list.
    fn open_for(self) -> i64 {
        const DAY: i64 = 86_400;
        match self {
            Self::Day => 7 * DAY,
            Self::Month => 31 * DAY,
            Self::Year => 366 * DAY,
            Self::Longer | Self::Endless => i64::MAX,
        }
    }

    /// Returns the longest lifetime of its tokens in seconds, if that is bounded.
    fn longest_life(self) -> Option<i64> {
        const DAY: i64 = 86_400;
        match self {
            Self::Day => Some(DAY),
            Self::Month => Some(31 * DAY),
            Self::Year => Some(366 * DAY),
            Self::Longer | Self::Endless => None,
        }
    }
}
