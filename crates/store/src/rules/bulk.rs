//! Bulk revocation: the order that revokes one portion.

use std::collections::HashSet;

use crate::{BulkPortion, BulkRevocation, BulkToken, Cause, Effect, Guard, LastToken, Order};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

/// Revokes the tokens of a portion, and returns the progress after it. An earlier revocation stays, and so does
/// an owner's last active token if the organization keeps it.
///
/// Tokens that were rotated since the bulk revocation are revoked with all of their successors; otherwise
/// holders could outrun it by rotating. Only if it revokes tokens that break a policy do successors stay: they
/// obey it.
///
/// If a guard is refused, one of the tokens has changed or the portion was already carried out: read it again.
pub fn advance(portion: BulkPortion, now: Timestamp) -> (Order, BulkRevocation) {
    let BulkPortion {
        mut bulk,
        tokens,
        is_last,
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
    let (meant, left): (Vec<&BulkToken>, Vec<&BulkToken>) = tokens
        .iter()
        .partition(|token| follows_successors || !token.is_successor);
    let mut order = Order::new(cause).guard(Guard::BulkAt(bulk.id, bulk.position));
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
        if ends_sooner(token) || kept.contains(&token.id) {
            continue;
        }
        // A rotation revokes the predecessor: a token without a revocation has no successor to follow.
        let unrevoked_until = match token.effective_at {
            None if follows_successors => Timestamp::LAST,
            None | Some(_) => effective_at,
        };
        order = order
            .guard(Guard::NotEndedBy(token.id, unrevoked_until))
            .effect(Effect::Revoke(token.id, effective_at, reason.clone()));
        bulk.revoked += 1;
    }
    if let Some(last) = tokens.iter().rfind(|token| !token.is_successor) {
        bulk.position = last.id;
    }
    bulk.finished_at = is_last.then_some(now);
    (order.effect(Effect::AdvanceBulk(Box::new(bulk.clone()))), bulk)
}
