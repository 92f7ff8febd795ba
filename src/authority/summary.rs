//! Counts the tokens of an organization by their status.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::authority::{Authority, Caller, Result, Wanted};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, OrganizationReference};
use jeton_core::token::Visibility;
use jeton_store::{Summary, SummaryInstants};

/// A token expires soon if it does within this time, in seconds.
const SOON: i64 = 7 * 86_400;

/// A token is unused if it was not used for this time, in seconds.
const DISUSE: i64 = 90 * 86_400;

/// Counts of more tokens than this are kept for a while: counting 10,000 takes a few milliseconds.
const MANY: u64 = 10_000;

/// How long they are kept, for each token: about twenty times as long as counting it takes.
const KEPT: Duration = Duration::from_micros(20);

/// The longest time that they are kept.
const LONGEST: Duration = Duration::from_secs(30);

/// The most organizations whose counts are kept.
const MOST_KEPT: usize = 1_000;

/// The number of tokens of an organization in each status, with the instants at which they are counted.
pub type OrganizationSummary = (Summary, SummaryInstants);

/// The counts of large organizations, each with the end of its validity.
#[derive(Debug, Default)]
pub(super) struct Summaries(Mutex<HashMap<OrganizationId, (Instant, OrganizationSummary)>>);

impl Summaries {
    fn kept(&self, organization: OrganizationId) -> Option<OrganizationSummary> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, summary) = kept.get(&organization)?;
        (Instant::now() < *until).then_some(*summary)
    }

    fn keep(&self, organization: OrganizationId, summary: OrganizationSummary) {
        let (counts, _) = summary;
        let tokens = counts.active + counts.expired + counts.revoked;
        if tokens <= MANY {
            return;
        }
        let lasts = KEPT.saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX));
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (until, _)| now < *until);
        if kept.len() < MOST_KEPT {
            kept.insert(organization, (now + lasts.min(LONGEST), summary));
        }
    }
}

impl Authority {
    /// Counts the tokens of an organization that the caller may see. All are counted at one instant. For those who see
    /// all of more than 10,000 tokens, that may be some seconds ago.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`](crate::authority::Error::Absent) if the caller may not see the organization, and
    /// [`Error::TooCostly`](crate::authority::Error::TooCostly) if counting takes too long.
    pub async fn summary(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
    ) -> Result<OrganizationSummary> {
        let now = self.clock.now();
        let wanted = Wanted {
            organization: Some(organization.clone()),
            ..Wanted::default()
        };
        let filter = self.filter(&self.view(), caller, &wanted, now).await?;
        let whole = filter
            .organization
            .filter(|_| filter.visibility == Visibility::Everything);
        if let Some(kept) = whole.and_then(|organization| self.summaries.kept(organization)) {
            return Ok(kept);
        }
        let instants = instants(now);
        let summary = (self.store.summary(filter, instants).await?, instants);
        if let Some(organization) = whole {
            self.summaries.keep(organization, summary);
        }
        Ok(summary)
    }
}

fn instants(now: Timestamp) -> SummaryInstants {
    SummaryInstants {
        now,
        expires_before: now.plus_seconds(SOON),
        unused_since: now.plus_seconds(-DISUSE),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn only_counts_of_many_tokens_are_kept_and_not_for_long() {
        let summaries = Summaries::default();
        let [small, large] = [1, 2].map(|id| OrganizationId(Uuid::from_u128(id)));
        let of = |active| {
            let counts = Summary {
                active,
                ..Summary::default()
            };
            (counts, instants(Timestamp::LAST))
        };
        summaries.keep(small, of(MANY));
        assert_eq!(summaries.kept(small), None);
        summaries.keep(large, of(MANY + 1));
        assert_eq!(summaries.kept(large), Some(of(MANY + 1)));
        let (until, _) = summaries.0.lock().unwrap().remove(&large).unwrap();
        assert!(until <= Instant::now() + Duration::from_millis(201));
        let ended = (Instant::now(), of(MANY + 1));
        summaries.0.lock().unwrap().insert(large, ended);
        assert_eq!(summaries.kept(large), None);
    }
}
