//! Revoking many tokens: what becomes of a portion.

use std::collections::HashSet;

use crate::{BulkPortion, BulkRevocation, BulkToken, Cause, Effect, Guard, LastToken, Order};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

/// Revokes the tokens of a portion, and returns how far the order is carried out then. An earlier revocation
/// stands, and where the organization keeps it, an owner's last active token stays.
///
/// What was rotated since the order is revoked together with all of its successors, or the holders could
/// outrun the order. Only where the order is about what breaks a policy do they stay: they were made under it.
///
/// If a guard is refused, others have changed one of the tokens, or carried out the portion: it is read again.
pub fn advance(portion: BulkPortion, now: Timestamp) -> (Order, BulkRevocation) {
    let BulkPortion {
        mut bulk,
        tokens,
        is_last,
        keepers,
        judged_at,
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
        order = order.judged_at(judged_at);
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
        // A rotation revokes what it replaces: without a revocation there is no successor to follow.
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
