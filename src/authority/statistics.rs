//! How many tokens were issued, revoked, expired and refused on each day.

use crate::authority::policy::{self, Rank};
use crate::authority::{Authority, Caller, Result};
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::{OrganizationId, OrganizationReference};
use jeton_store::DayCounts;

/// The number of days of a range that does not tell it.
const USUAL_DAYS: i64 = 30;

/// The days for which statistics are requested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayRange {
    /// The first day; `None` is 29 days before the last.
    pub from: Option<Day>,
    /// The last day; `None` is today, if the range can end then.
    pub to: Option<Day>,
}

impl DayRange {
    /// The most days of a range.
    pub const MOST: i64 = 400;

    /// Returns the first and the last day.
    fn at(self, today: Day) -> (Day, Day) {
        match (self.from, self.to) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, today.clamp(from, from.plus_days(Self::MOST - 1))),
            (None, to) => {
                let to = to.unwrap_or(today);
                (to.plus_days(1 - USUAL_DAYS), to)
            }
        }
    }
}

/// The statistics of an organization, or of the deployment.
#[derive(Debug)]
pub struct TokenStatistics {
    /// The organization; `None` is the deployment.
    pub organization: Option<OrganizationId>,
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// The counts of each day.
    pub days: Vec<DayCounts>,
    /// When they were read.
    pub as_of: Timestamp,
}

impl Authority {
    /// Returns the counts of each day of a range. The organization can be omitted by those who see all tokens, and by those
    /// who belong to one only.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`](crate::authority::Error::Absent) and [`Error::Forbidden`](crate::authority::Error::Forbidden)
    /// unless the caller administers the organization, and
    /// [`Error::OrganizationNeeded`](crate::authority::Error::OrganizationNeeded).
    pub async fn statistics(
        &self,
        caller: &Caller,
        organization: Option<&OrganizationReference>,
        range: DayRange,
    ) -> Result<TokenStatistics> {
        let reference = match organization {
            Some(named) => Some(named.clone()),
            None if policy::rank_everywhere(caller) == Rank::Site => None,
            None => Some(self.only_organization(caller).await?),
        };
        let organization = match reference {
            Some(reference) => {
                let (organization, rank) = self.view().visible(caller, &reference).await?;
                // Others see a part of the tokens, which is not counted apart.
                policy::manage_organization(&rank)?;
                Some(organization.value.id)
            }
            None => None,
        };
        let as_of = self.clock.now();
        let (from, to) = range.at(Day::of(as_of));
        Ok(TokenStatistics {
            organization,
            from,
            to,
            days: self.store.statistics(organization, from, to).await?,
            as_of,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_completed_within_its_bound() {
        let day = |text: &str| Some(text.parse::<Day>().unwrap());
        let today = "2026-03-01".parse().unwrap();
        for (from, to, expected) in [
            (None, None, ("2026-01-31", "2026-03-01")),
            (day("2026-02-28"), None, ("2026-02-28", "2026-03-01")),
            // Not over 400 days, and not before its beginning.
            (day("2020-01-01"), None, ("2020-01-01", "2021-02-03")),
            (day("2026-03-02"), None, ("2026-03-02", "2026-03-02")),
            (None, day("2026-04-01"), ("2026-03-03", "2026-04-01")),
            (day("2026-01-01"), day("2026-01-02"), ("2026-01-01", "2026-01-02")),
            (None, day("1970-01-03"), ("1970-01-01", "1970-01-03")),
        ] {
            let (first, last) = DayRange { from, to }.at(today);
            assert_eq!((first.to_string().as_str(), last.to_string().as_str()), expected);
        }
    }
}
