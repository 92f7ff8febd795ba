//! Revoking many tokens: what becomes of each.

use jeton_core::clock::Timestamp;
use jeton_core::token::{Revocation, RevocationNote};

use crate::{BulkOrder, LastToken};

/// The revocation of one of the tokens that an order is about; `None` where an earlier revocation stands, or
/// where it is the last one and `is_kept`, which is asked only where that matters.
///
/// # Errors
///
/// Fails as `is_kept` does.
pub fn revocation<E>(
    order: &BulkOrder,
    stands: Option<&RevocationNote>,
    is_kept: impl FnOnce() -> Result<bool, E>,
    now: Timestamp,
) -> Result<Option<Revocation>, E> {
    let effective_at = order.effective_at.map_or(now, |at| at.max(now));
    if stands.is_some_and(|earlier| earlier.effective_at <= effective_at)
        || order.last_token == LastToken::Stays && is_kept()?
    {
        return Ok(None);
    }
    Ok(Some(Revocation {
        revoked_at: now,
        effective_at,
        revoked_by: order.ordered_by.clone(),
        reason: order.reason.clone(),
    }))
}

/// Whether an order ends the successors too that tokens were given since. Where it is about what breaks a
/// policy it does not: they were made under the policy.
pub fn follows_successors(order: &BulkOrder) -> bool {
    order.filter.breaks.is_none()
}
