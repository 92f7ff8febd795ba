//! Bulk revocation: the order that revokes one portion.

use std::collections::HashSet;

use crate::{
    BulkAdvance, BulkPortion, BulkProgress, BulkRevocation, BulkToken, Cause, Covers, Effect, Guard,
    LastToken, Order,
};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

/// Revokes the tokens of a portion, and returns the progress after it. An earlier revocation stays, and so does
/// an owner's last active token if the organization keeps it.
///
/// Tokens that were rotated since the bulk revocation are revoked with all of their successors; otherwise
/// holders could outrun it by rotating. Only if it revokes tokens that break a policy do successors stay: they
/// obey it.
///
/// Of descendants, it revokes the active ones in the remit. The children of all are processed later, also of those that
/// had ended before: what they made can be active. A guard of each order that records a token refuses a parent that is
/// revoked, so that no child can follow the portion that lists them.
///
/// If a guard is refused, one of the tokens has changed or the portion was already carried out: read it again.
pub fn advance(portion: BulkPortion, now: Timestamp) -> (Order, BulkRevocation) {
    let BulkPortion {
        mut bulk,
        tokens,
        next,
        is_last,
        expanded,
        forgotten,
        keepers,
        versions,
    } = portion;
    let ordered = &bulk.order;
    let (reason, effective_at) = (
        &ordered.reason,
        ordered.effective_at.map_or(now, |at| at.max(now)),
    );
    let cause = Cause {
        by: ordered.ordered_by.clone(),
        reason: reason.clone(),
        ..Cause::server(now)
    };
    let follows_successors = ordered.filter.breaks.is_none();
    let is_meant = |token: &BulkToken| match &token.covered {
        Covers::Match => true,
        Covers::Successor => follows_successors,
        Covers::Descendant { owner, is_active } => {
            *is_active
                && ordered
                    .descendants
                    .as_ref()
                    .is_some_and(|remit| remit.includes(owner))
        }
    };
    let (meant, left): (Vec<&BulkToken>, Vec<&BulkToken>) = tokens.iter().partition(|token| is_meant(token));
    let is_beyond = |token: &&&BulkToken| matches!(token.covered, Covers::Descendant { is_active: true, .. });
    let mut spared = left.iter().filter(is_beyond).count() as u64;
    let mut order = Order::new(cause).guard(Guard::BulkAt(bulk.id, bulk.progress.portions));
    let mut kept = HashSet::new();
    if ordered.last_token == LastToken::Stays {
        order = order.versions(versions);
        let left: HashSet<TokenId> = left.iter().map(|token| token.id).collect();
        for keeper in &keepers {
            let remains = keeper.active.iter().find(|token| left.contains(token));
            let survivor = keeper.other.as_ref().or(remains).or(keeper.active.last());
            if let Some(survivor) = survivor {
                order = order.guard(Guard::Standing(*survivor, now));
                kept.insert(*survivor);
            }
        }
    }
    let ends_sooner = |token: &BulkToken| token.effective_at.is_some_and(|stands| stands <= effective_at);
    for token in meant {
        if ends_sooner(token) {
            continue;
        }
        if kept.contains(&token.id) {
            spared += 1;
            continue;
        }
        // A rotation revokes the predecessor: a token without a revocation has no successor to follow. Descendants
        // include successors, which are read after their predecessor was revoked.
        let unrevoked_until = match token.effective_at {
            None if follows_successors && ordered.descendants.is_none() => Timestamp::LAST,
            None | Some(_) => effective_at,
        };
        order = order
            .guard(Guard::NotEndedBy(token.id, unrevoked_until))
            .effect(Effect::Revoke(token.id, effective_at, reason.clone()));
        bulk.revoked += 1;
    }
    let parents = match ordered.descendants {
        Some(_) => tokens.iter().map(|token| token.id).collect(),
        None => Vec::new(),
    };
    bulk.left += spared;
    bulk.progress = BulkProgress {
        portions: bulk.progress.portions + 1,
        ..next
    };
    bulk.finished_at = is_last.then_some(now);
    let advance = BulkAdvance {
        bulk: bulk.clone(),
        parents,
        expanded,
        forgotten,
    };
    (order.effect(Effect::AdvanceBulk(Box::new(advance))), bulk)
}
