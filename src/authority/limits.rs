//! Limits of active tokens: renews the counts when they refuse an order.

use std::hash::BuildHasher;

use tokio::sync::Mutex;

use crate::authority::retry::Judged;
use crate::authority::view::View;
use crate::authority::{Authority, Result};
use jeton_core::token::Owner;
use jeton_store::{Cause, Guard, Refused, renew_counts};

/// The number of locks for concurrent recounts.
const COUNTED_AT_ONCE: usize = 16;

/// Locks by owner: of many concurrent requests for one owner at its limit, one counts the tokens.
#[derive(Debug, Default)]
pub(super) struct Recounts {
    locks: [Mutex<()>; COUNTED_AT_ONCE],
    hasher: std::hash::RandomState,
}

impl Recounts {
    fn lock(&self, owners: &[Owner]) -> Option<&Mutex<()>> {
        let hash = self.hasher.hash_one(owners);
        let number = usize::try_from(hash % COUNTED_AT_ONCE as u64).ok()?;
        self.locks.get(number)
    }
}

impl Authority {
    /// Renews the counts of owners after [`Guard::UnderLimit`] has refused an order, and returns their sum.
    pub(super) async fn recount(
        &self,
        view: &View<'_>,
        cause: Cause,
        owners: &[Owner],
    ) -> Result<Judged<u64>> {
        let _counting = match self.recounts.lock(owners) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        // Read again: waiting for the lock may have taken longer than a token lives.
        let cause = Cause {
            at: self.clock.now(),
            ..cause
        };
        let renewed = renew_counts(&*self.store, &cause, owners, &view.judged_at()).await?;
        Ok(match renewed {
            Ok(active) => Judged::Done(active),
            Err(Refused(Guard::CountUnmoved(..))) => Judged::Recounted,
            Err(Refused(_)) => Judged::Stale,
        })
    }
}
