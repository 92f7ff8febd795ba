//! Rules for tokens: recording, replacing and revoking them.

use super::limits::{counted_in, is_counted};
use crate::{
    Cause, Described, Description, Effect, Guard, NameUse, NewRecord, Order, Presented, ReservedIndex,
};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, Person};
use jeton_core::token::{NewToken, Record, Slot, TokenId, TokenKind};

/// The most active tokens, the new one included, that an owner may have in an organization. A token that acts
/// for a person in all of their organizations counts in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The token's organization, or any of the person for whom it acts in all of theirs.
    pub organization: OrganizationId,
    /// The most active tokens.
    pub most: u32,
}

/// Whether the organization, team and person of a token still exist and are enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// All of them.
    Live,
    /// One is removed or disabled, or the person does not belong to the token's organization.
    Gone,
}

/// Returns whether the organization, team and person of a token are live. Site administrators belong to every
/// organization.
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

/// The requirement on the name of a token about to be recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Naming {
    /// None: tokens of an owner may have the same name.
    #[default]
    Free,
    /// No other active token of the owner has exactly this name, given its use. Tokens that a limit does not
    /// count, and the tokens that the new one replaces, do not hold their names; the empty name is never taken.
    Unique(NameUse),
}

/// The error that another active token of the owner has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameTaken(pub TokenId);

/// A token that is replaced.
#[derive(Debug, Clone)]
pub struct Former {
    /// Its record.
    pub record: Record,
    /// The token that it replaced itself.
    pub before: Option<Record>,
    /// Whether it counts as one of its owner's active tokens.
    pub counts: bool,
}

/// The token that a new token replaces.
#[derive(Debug, Clone)]
pub enum Replaces {
    /// Nothing.
    Nothing,
    /// A token whose rights it takes over, which ends at this instant.
    Rotated(Former, Timestamp),
    /// The token in its slot, if any, which ends at once.
    InSlot(Option<Former>),
}

/// The requirements on a token about to be recorded, apart from its content.
#[derive(Debug, Clone)]
pub struct Demands {
    /// The limits on the active tokens of its owner.
    pub limits: Vec<Limit>,
    /// The requirement on its name.
    pub naming: Naming,
    /// The token that it replaces.
    pub replaces: Replaces,
}

impl Demands {
    /// Returns no requirements.
    pub fn none() -> Self {
        Self {
            limits: Vec::new(),
            naming: Naming::Free,
            replaces: Replaces::Nothing,
        }
    }
}

/// Records a token at its index in a status list, and revokes the token that it replaces.
///
/// At most two tokens of a lineage are alive, since a limit counts none in its grace period: rotating again, or
/// issuing into the slot, ends at once the token in its grace period. Otherwise rotation would circumvent the
/// limit.
///
/// # Errors
///
/// Returns [`NameTaken`] if the name must be unique and is not.
pub fn record(
    cause: Cause,
    token: NewToken,
    list_index: ReservedIndex,
    demands: Demands,
) -> Result<Order, NameTaken> {
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
    let mut ended = 0;
    let mut ends = Vec::new();
    let mut rotated_from = None;
    match &replaces {
        Replaces::Nothing => {}
        Replaces::Rotated(former, effective_at) => {
            // A standing token has no successor, so that rotation yields only one.
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
    if token.kind == TokenKind::Api {
        for Limit { organization, most } in limits {
            order = order.guard(Guard::UnderLimit {
                owners: counted_in(&token.owner, organization),
                most,
                ended,
            });
        }
    }
    if let Naming::Unique(NameUse { bearers, newest }) = naming
        && !token.name.is_empty()
    {
        let is_replaced = |bearer: &TokenId| ends.iter().any(|(id, ..)| id == bearer);
        if let Some(bearer) = bearers.into_iter().find(|bearer| !is_replaced(bearer)) {
            return Err(NameTaken(bearer));
        }
        order = order.guard(Guard::NameUnusedSince {
            owner: token.owner.clone(),
            name: token.name.clone(),
            newest,
        });
    }
    for (id, effective_at, reason) in ends {
        order = order
            .guard(Guard::NotEndedBy(id, effective_at))
            .effect(Effect::Revoke(id, effective_at, Some(reason)));
    }
    Ok(order.effect(Effect::Record(Box::new(NewRecord {
        token,
        list_index,
        rotated_from,
        is_counted,
    }))))
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
        // Without a revocation, by the order's guards.
        ends.push((self.record.id, effective_at, reason.to_owned()));
    }
}

fn in_slot(slot: &Slot) -> String {
    format!("replaced in the slot {slot}")
}

/// Changes the name or description of a token.
pub fn describe(cause: Cause, record: &Record, description: Description) -> Order {
    let token = &record.token;
    Order::new(cause).effect(Effect::Describe(Box::new(Described {
        token: record.id,
        organization: token.owner.organization(),
        before: Description {
            name: Some(token.name.clone()),
            description: Some(token.description.clone()),
        },
        after: description,
    })))
}

/// The token that an ordinary revocation must leave to the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// No requirement: the token is not active, or it may be the last one.
    Nothing,
    /// Another active token, which is this one; `None` if the owner has no other.
    Another(Option<TokenId>),
}

/// The error that a token is the last active one of its owner and is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsLast(pub TokenId);

/// Revokes a token from an instant on, unless a revocation takes effect sooner. The reason is the cause's. If
/// [`Guard::Standing`] is refused, the other token has ended too: the caller decides again.
///
/// # Errors
///
/// Returns [`IsLast`] if another token must be left and there is none.
pub fn revoke(
    cause: Cause,
    token: TokenId,
    effective_at: Timestamp,
    leaves: Leaves,
) -> Result<Order, IsLast> {
    and_revoke(Order::new(cause), token, effective_at, leaves)
}

/// Revokes tokens at once: all of them, or none if one is revoked already. A token that must be left for
/// another one must not be among them.
///
/// # Errors
///
/// Returns [`IsLast`] as [`revoke`] does.
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
