//! Tokens: recorded, replaced, revoked.

use super::limits::{counted_in, is_counted};
use crate::{Cause, Effect, Guard, NewRecord, Order, Presented, ReservedPlace};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, Person};
use jeton_core::token::{NewToken, Record, Slot, TokenId, TokenKind};

/// The most active tokens, the new one included, that an owner may have in an organization. What acts
/// for a person in all of their organizations counts in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In which organization: the token's own, or any of the person for whom it acts in all of theirs.
    pub organization: OrganizationId,
    /// How many.
    pub most: u32,
}

/// Whether organization, team and person of a token still live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// All of them.
    Live,
    /// One is removed or disabled, or the person does not belong to the token's organization.
    Gone,
}

/// Returns whether what a token rests on still lives. Site administrators belong to every organization while
/// they are that.
pub fn liveness(presented: &Presented) -> Liveness {
    let organization = presented.record.token.owner.organization();
    let is_gone = |person: &Person| {
        let belongs = presented.is_member || person.site_admin || organization.is_none();
        person.disabled_at.is_some() || !belongs
    };
    if presented.is_owner_removed || presented.person.as_ref().is_some_and(is_gone) {
        Liveness::Gone
    } else {
        Liveness::Live
    }
}

/// What is asked of the name of a token about to be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    /// Nothing: an owner's tokens may be called alike.
    #[default]
    Free,
    /// That no other active token of the owner has it, to the letter. What a limit does not count has
    /// given up its name, and so has what the token takes the place of; the empty name is none, and
    /// never taken.
    Unique,
}

/// A token that another takes the place of.
#[derive(Debug, Clone)]
pub struct Former {
    /// Its record.
    pub record: Record,
    /// The token that it took the place of itself.
    pub before: Option<Record>,
    /// Whether it counts as one of its owner's active tokens.
    pub counts: bool,
}

/// What a new token takes the place of.
#[derive(Debug, Clone)]
pub enum Replaces {
    /// Nothing.
    Nothing,
    /// A token whose rights it takes over, which ends at this instant.
    Rotated(Former, Timestamp),
    /// Whatever is in its slot, which ends at once.
    InSlot(Option<Former>),
}

/// What is asked of a token about to be recorded, beside its content.
#[derive(Debug, Clone)]
pub struct Demands {
    /// How many active tokens its owner may have, and where.
    pub limits: Vec<Limit>,
    /// What is asked of its name.
    pub naming: Naming,
    /// What it takes the place of.
    pub replaces: Replaces,
}

impl Demands {
    /// Nothing at all.
    pub fn none() -> Self {
        Self {
            limits: Vec::new(),
            naming: Naming::Free,
            replaces: Replaces::Nothing,
        }
    }
}

/// Records a token at its index in a status list, and ends what it takes the place of.
///
/// Of one lineage at most two tokens are alive, or rotating would be a way around the limit, which counts
/// none in its grace: rotating again, or issuing into the slot, ends at once what is in its grace.
pub fn record(cause: Cause, token: NewToken, place: ReservedPlace, demands: Demands) -> Order {
    let Demands {
        limits,
        naming,
        replaces,
    } = demands;
    let at = token.created_at;
    let is_limited = !limits.is_empty();
    let is_counted = is_counted(&token, is_limited);
    let mut order = Order::new(cause)
        .guard(Guard::Signs(token.kid.to_string()))
        .guard(Guard::AfterCutOffs);
    let (mut ended, mut except) = (0, Vec::new());
    let mut ends = Vec::new();
    let mut rotated_from = None;
    match &replaces {
        Replaces::Nothing => {}
        Replaces::Rotated(former, effective_at) => {
            // What stands has no successor: so there is one.
            order = order.guard(Guard::Standing(former.record.id, at));
            rotated_from = Some(former.record.id);
            ended = 1;
            former.end(*effective_at, at, "rotated", &mut ends);
        }
        Replaces::InSlot(former) => {
            if let Some(slot) = &token.slot {
                order = order.guard(Guard::SlotHolds {
                    owner: token.owner.clone(),
                    slot: slot.clone(),
                    token: former.as_ref().map(|former| former.record.id),
                });
                if let Some(former) = former {
                    ended = u32::from(former.counts);
                    if is_limited && former.counts {
                        // A cut-off may have ended it, and a recount may have left it out.
                        order = order.guard(Guard::Standing(former.record.id, at));
                    }
                    former.end(at, at, &in_slot(slot), &mut ends);
                }
            }
        }
    }
    except.extend(ends.iter().map(|(id, ..)| *id));
    if token.kind == TokenKind::Api {
        for Limit { organization, most } in limits {
            order = order.guard(Guard::UnderLimit {
                owners: counted_in(&token.owner, organization),
                most,
                ended,
            });
        }
    }
    if naming == Naming::Unique && !token.name.is_empty() {
        order = order.guard(Guard::TokenNameFree {
            owner: token.owner.clone(),
            name: token.name.clone(),
            except,
            at,
        });
    }
    for (id, effective_at, reason) in ends {
        order = order
            .guard(Guard::NotEndedBy(id, effective_at))
            .effect(Effect::Revoke(id, effective_at, Some(reason)));
    }
    order.effect(Effect::Record(Box::new(NewRecord {
        token,
        place,
        rotated_from,
        is_counted,
    })))
}

impl Former {
    fn end(
        &self,
        effective_at: Timestamp,
        now: Timestamp,
        reason: &str,
        ends: &mut Vec<(TokenId, Timestamp, String)>,
    ) {
        if let Some(before) = self.before.as_ref().filter(|before| !before.is_revoked(now)) {
            ends.push((before.id, now, reason.to_owned()));
        }
        // What ends sooner by itself is left alone.
        let ends_sooner = |record: &Record| {
            record
                .revocation
                .as_ref()
                .is_some_and(|stands| stands.effective_at <= effective_at)
        };
        if !ends_sooner(&self.record) {
            ends.push((self.record.id, effective_at, reason.to_owned()));
        }
    }
}

fn in_slot(slot: &Slot) -> String {
    format!("replaced in the slot {slot}")
}

/// What an ordinary revocation leaves to the owner of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing is asked: the token is not active, or it may be the last one.
    Nothing,
    /// Another active token, which is this one; `None` if the owner has no other.
    Another(Option<TokenId>),
}

/// A token is the last active one of its owner, and is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsLast(pub TokenId);

/// Revokes a token with effect from an instant on, unless an earlier revocation stands. The cause's reason
/// is the revocation's. If [`Guard::Standing`] is refused, the other token has ended too: the operation is
/// judged again.
///
/// # Errors
///
/// Fails with [`IsLast`] if another token must be left and there is none.
pub fn revoke(
    cause: Cause,
    token: TokenId,
    effective_at: Timestamp,
    leaves: Leaves,
) -> Result<Order, IsLast> {
    and_revoke(Order::new(cause), token, effective_at, leaves)
}

/// Revokes tokens at once: all of them, or none if one is revoked already. None of them may be what another
/// one leaves.
///
/// # Errors
///
/// Fails as [`revoke`] does.
pub fn revoke_all(cause: Cause, tokens: &[(TokenId, Leaves)]) -> Result<Order, IsLast> {
    let at = cause.at;
    tokens
        .iter()
        .try_fold(Order::new(cause), |order, (token, leaves)| {
            and_revoke(order, *token, at, *leaves)
        })
}

fn and_revoke(
    order: Order,
    token: TokenId,
    effective_at: Timestamp,
    leaves: Leaves,
) -> Result<Order, IsLast> {
    let (at, reason) = (order.cause.at, order.cause.reason.clone());
    let order = order.guard(Guard::NotEndedBy(token, effective_at));
    let order = match leaves {
        Leaves::Nothing => order,
        Leaves::Another(Some(other)) => order.guard(Guard::Standing(other, at)),
        Leaves::Another(None) => return Err(IsLast(token)),
    };
    Ok(order.effect(Effect::Revoke(token, effective_at, reason)))
}
