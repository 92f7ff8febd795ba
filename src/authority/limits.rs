//! Limits of active tokens: renews the counts when they refuse an order.

use std::hash::BuildHasher;

use tokio::sync::{Mutex, MutexGuard};

use crate::authority::retry::Attempt;
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
    async fn lock(&self, owners: &[Owner]) -> MutexGuard<'_, ()> {
        let [first, others @ ..] = &self.locks;
        let number = self.hasher.hash_one(owners) as usize % COUNTED_AT_ONCE;
        others.get(number).unwrap_or(first).lock().await
    }
}

impl Authority {
    /// Renews the counts of owners after [`Guard::UnderLimit`] has refused an order, and returns their sum.
    pub(super) async fn recount(
        &self,
        view: &View<'_>,
        cause: Cause,
        owners: &[Owner],
    ) -> Result<Attempt<u64>> {
        let _counting = self.recounts.lock(owners).await;
        // Read again: waiting for the lock may have taken longer than a token lives.
        let cause = Cause {
            at: self.clock.now(),
            // It is not the order of the request.
            idempotency: None,
            ..cause
        };
        let renewed = renew_counts(&*self.store, &cause, owners, &view.versions()).await?;
        Ok(match renewed {
            Ok(active) => Attempt::Done(active),
            Err(Refused(Guard::CountUnmoved(..))) => Attempt::Again,
            Err(Refused(_)) => Attempt::Stale,
        })
    }
}
