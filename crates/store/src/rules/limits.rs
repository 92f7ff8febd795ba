//! Limits: which tokens count, how an owner's count follows them, and when they are recounted.
//!
//! A count is never lower than the number of tokens that count. That number grows only when a token is
//! recorded: a token in its grace period begins to count at the instant at which its successor ceases to.

use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, Policy};
use jeton_core::token::{NewToken, Owner, TokenKind};

use crate::{Cause, CountFacts, Effect, Guard, Order, OwnerCount, Recount};

/// For how many seconds a full count is trusted, unless a token can have ended without lowering it.
const TRUSTED_SECONDS: u64 = 60;

/// Returns the owners whose counts a limit of an organization adds up: a person's tokens that act in all
/// organizations act in this one too.
pub fn counted_in(owner: &Owner, organization: OrganizationId) -> Vec<Owner> {
    match owner {
        Owner::User { user, .. } => [Some(organization), None]
            .map(|organization| Owner::User {
                user: user.clone(),
                organization,
            })
            .to_vec(),
        Owner::Team { .. } | Owner::Organization(_) | Owner::Deployment => vec![owner.clone()],
    }
}

/// Returns whether recording a token raises the count of its owner, if the owner has one. Owners in an
/// organization without a limit have none. A person's tokens that act in all organizations are always counted:
/// an organization of the person may set a limit later.
pub(super) fn is_counted(token: &NewToken, is_limited: bool) -> bool {
    let is_everywhere = matches!(
        token.owner,
        Owner::User {
            organization: None,
            ..
        }
    );
    token.kind == TokenKind::Api && (is_limited || is_everywhere)
}

/// Returns whether a change of policy deletes the counts of an organization: without a limit no order updates
/// them.
pub(super) fn deletes_counts(before: &Policy, after: &Policy) -> bool {
    before.max_active_tokens_per_owner.is_some() && after.max_active_tokens_per_owner.is_none()
}

/// The facts of an API token that a limit depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Countable {
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When its revocation takes effect.
    pub effective_at: Option<Timestamp>,
    /// Whether a cut-off covers it, a scheduled one included.
    pub is_cut_off: bool,
}

/// Returns whether a limit counts a token: one without expiry, revocation or cut-off, scheduled ones included;
/// and one in its grace period whose successor has ended or will be revoked. Otherwise rotating a token and
/// revoking its successor would circumvent the limit.
pub fn counts(token: &Countable, successor: Option<&Countable>, now: Timestamp) -> bool {
    !token.is_over(now)
        && token.effective_at.is_none_or(|end| {
            now < end
                && successor
                    .is_some_and(|successor| successor.effective_at.is_some() || successor.is_over(now))
        })
}

impl Countable {
    fn is_over(&self, now: Timestamp) -> bool {
        self.is_cut_off || self.expires_at.is_some_and(|end| end.seconds() <= now.seconds())
    }

    /// Returns the instant from which the token no longer counts, if nothing else happens.
    pub fn end(&self) -> Timestamp {
        let expires = self
            .expires_at
            .and_then(|end| Timestamp::from_seconds(end.seconds()));
        let ends = expires.into_iter().chain(self.effective_at);
        ends.fold(Timestamp::LAST, Timestamp::min)
    }
}

/// A token and its neighbours by rotation, the tokens whose counting its revocation can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    /// The token that it was rotated from.
    pub predecessor: Option<Countable>,
    /// The token.
    pub token: Countable,
    /// The token that was rotated from it.
    pub successor: Option<Countable>,
}

impl Succession {
    fn predecessor_counts(&self, now: Timestamp) -> bool {
        self.predecessor
            .is_some_and(|predecessor| counts(&predecessor, Some(&self.token), now))
    }

    fn token_counts(&self, now: Timestamp) -> bool {
        counts(&self.token, self.successor.as_ref(), now)
    }

    fn counted(&self, now: Timestamp) -> u32 {
        u32::from(self.token_counts(now)) + u32::from(self.predecessor_counts(now))
    }

    /// Returns when the first of the token and its predecessor that counts ends by itself.
    fn first_end(&self, now: Timestamp) -> Timestamp {
        let token = Some(self.token).filter(|_| self.token_counts(now));
        let predecessor = self.predecessor.filter(|_| self.predecessor_counts(now));
        let ends = token.into_iter().chain(predecessor).map(|token| token.end());
        ends.fold(Timestamp::LAST, Timestamp::min)
    }
}

impl OwnerCount {
    /// Returns the count after a token of the owner is recorded.
    #[must_use]
    pub fn recorded(self, token: &NewToken) -> Self {
        let token = Countable {
            expires_at: token.expires_at,
            effective_at: None,
            is_cut_off: false,
        };
        Self {
            version: self.version + 1,
            active: self.active.map(|active| active.saturating_add(1)),
            first_end: self.first_end.min(token.end()),
            ..self
        }
    }

    /// Returns the count after a token of the owner is revoked at an instant; `before` describes it before
    /// that.
    ///
    /// An order can arrive after a recount at a later instant that no longer counted the token. So the later of
    /// both instants decides which tokens counted.
    #[must_use]
    pub fn revoked(self, before: &Succession, effective_at: Timestamp, at: Timestamp) -> Self {
        let as_of = at.max(self.as_of);
        let token = Countable {
            effective_at: Some(effective_at),
            ..before.token
        };
        let after = Succession { token, ..*before };
        let (counted, counts) = (before.counted(as_of), after.counted(as_of));
        // A token that still counts may end sooner, and another may take its place.
        let first_end = self.first_end.min(after.first_end(as_of));
        if counted == counts && first_end == self.first_end {
            return self;
        }
        Self {
            version: self.version + 1,
            active: self
                .active
                .map(|active| active.saturating_add(counts).saturating_sub(counted)),
            as_of,
            first_end,
            ..self
        }
    }
}

/// The next step to learn how many active tokens an owner has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// None: the upper bound is known.
    Known(u32),
    /// Give the owner a count, by [`begin`].
    Begin,
    /// Count the tokens, and store the result by [`recounted`].
    Recount,
}

/// Decides the next step after a count has refused an order. Counting reads all tokens of the owner, so it is
/// done once a minute, or if a token can have ended without lowering the count: by expiry, grace period or
/// cut-off.
pub fn next(facts: &CountFacts, now: Timestamp) -> Next {
    let Some(count) = facts.count else {
        return Next::Begin;
    };
    let is_fresh = count.counted_at.seconds().abs_diff(now.seconds()) < TRUSTED_SECONDS
        && now < count.first_end
        && facts.last_cut_off <= count.sequence;
    match count.active {
        Some(active) if is_fresh => Next::Known(active),
        Some(_) | None => Next::Recount,
    }
}

/// Gives an owner an unknown count. From now on its version lets [`recounted`] notice every token that is
/// recorded or revoked after the tokens were read.
pub fn begin(cause: Cause, owner: Owner) -> Order {
    let count = OwnerCount {
        version: 1,
        active: None,
        as_of: cause.at,
        counted_at: cause.at,
        sequence: 0,
        first_end: Timestamp::LAST,
    };
    Order::new(cause)
        .guard(Guard::CountUnmoved(owner.clone(), None))
        .effect(Effect::SetCount(owner, count))
}

/// Stores a recount as of the order's instant, unless the count has changed since the tokens were read.
pub fn recounted(cause: Cause, owner: Owner, recount: &Recount) -> Order {
    let count = OwnerCount {
        version: recount.version.unwrap_or_default() + 1,
        active: Some(recount.active),
        as_of: cause.at,
        counted_at: cause.at,
        sequence: recount.sequence,
        first_end: recount.first_end,
    };
    Order::new(cause)
        .guard(Guard::CountUnmoved(owner.clone(), recount.version))
        .effect(Effect::SetCount(owner, count))
}

#[cfg(test)]
#[expect(clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::suite::world::{self, entropy};
    use jeton_core::directory::UserId;

    const NEVER: Timestamp = Timestamp::LAST;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::EPOCH.plus_seconds(seconds)
    }

    fn token(expires: Option<i64>, revoked: Option<i64>) -> Countable {
        Countable {
            expires_at: expires.map(at),
            effective_at: revoked.map(at),
            is_cut_off: false,
        }
    }

    fn count(active: u32, as_of: i64) -> OwnerCount {
        OwnerCount {
            version: 7,
            active: Some(active),
            as_of: at(as_of),
            counted_at: at(as_of),
            sequence: 3,
            first_end: NEVER,
        }
    }

    fn alone(token: Countable) -> Succession {
        Succession {
            predecessor: None,
            token,
            successor: None,
        }
    }

    #[test]
    fn a_late_revocation_lowers_no_count_that_left_the_token_out() {
        let short = alone(token(Some(10), None));
        let lowered = count(2, 8).revoked(&short, at(9), at(9));
        assert_eq!((lowered.active, lowered.version), (Some(1), 8));
        assert_eq!(lowered.as_of, at(9));
        assert_eq!(count(2, 10).revoked(&short, at(9), at(9)), count(2, 10));
    }

    #[test]
    fn a_predecessor_in_its_grace_counts_again() {
        let pair = |grace| Succession {
            predecessor: Some(token(None, Some(grace))),
            ..alone(token(None, None))
        };
        let handed_back = count(2, 5).revoked(&pair(9), at(6), at(6));
        assert_eq!((handed_back.active, handed_back.first_end), (Some(2), at(9)));
        let lowered = count(2, 5).revoked(&pair(6), at(6), at(6));
        assert_eq!((lowered.active, lowered.first_end), (Some(1), NEVER));
        // Once it counts, its own revocation lowers the count.
        let again = Succession {
            successor: Some(token(None, Some(6))),
            ..alone(token(None, Some(9)))
        };
        assert_eq!(count(2, 6).revoked(&again, at(7), at(7)).active, Some(1));
        // Or lets it end sooner.
        let sooner = count(2, 6).revoked(&again, at(8), at(7));
        assert_eq!(
            (sooner.active, sooner.first_end, sooner.version),
            (Some(2), at(8), 8)
        );
    }

    #[test]
    fn a_successor_that_is_cut_off_alone_has_ended() {
        let successor = Countable {
            is_cut_off: true,
            ..token(None, None)
        };
        let grace = token(None, Some(9));
        assert!(counts(&grace, Some(&successor), at(8)));
        assert!(!counts(&grace, Some(&successor), at(9)));
        assert!(!counts(&grace, Some(&token(None, None)), at(8)));
    }

    #[test]
    fn tokens_are_counted_again_once_one_can_have_ended() {
        let next_of = |count, last_cut_off, now| {
            let facts = CountFacts {
                count: Some(count),
                last_cut_off,
            };
            next(&facts, at(now))
        };
        let fresh = OwnerCount {
            first_end: at(120),
            ..count(2, 100)
        };
        for (last_cut_off, now, expected) in [
            (3, 119, Next::Known(2)),
            (3, 120, Next::Recount),
            (4, 100, Next::Recount),
            (3, 40, Next::Recount),
        ] {
            assert_eq!(next_of(fresh, last_cut_off, now), expected, "{now}");
        }
        assert_eq!(next_of(count(2, 100), 0, 159), Next::Known(2));
        assert_eq!(next_of(count(2, 100), 0, 160), Next::Recount);
        let unknown = OwnerCount {
            active: None,
            ..fresh
        };
        assert_eq!(next_of(unknown, 0, 100), Next::Recount);
        let none = CountFacts {
            count: None,
            last_cut_off: 0,
        };
        assert_eq!(next(&none, at(0)), Next::Begin);
    }

    #[test]
    fn api_tokens_are_counted_where_there_is_a_limit_or_may_be_one() {
        let organization = OrganizationId(entropy().uuid_v4());
        let person = |organization| Owner::User {
            user: UserId::random(entropy()),
            organization,
        };
        for (kind, owner, limited, unlimited) in [
            (TokenKind::Api, Owner::Organization(organization), true, false),
            (TokenKind::Api, person(Some(organization)), true, false),
            (TokenKind::Api, person(None), true, true),
            (TokenKind::Session, person(None), false, false),
        ] {
            let token = NewToken {
                kind,
                ..world::token(owner, 0)
            };
            assert_eq!(is_counted(&token, true), limited, "{token:?}");
            assert_eq!(is_counted(&token, false), unlimited, "{token:?}");
        }
    }

    #[test]
    fn counts_end_with_the_limit() {
        let limit = |most| Policy {
            max_active_tokens_per_owner: most,
            ..Policy::default()
        };
        for (before, after, deleted) in [
            (Some(1), None, true),
            (Some(1), Some(2), false),
            (None, Some(1), false),
            (None, None, false),
        ] {
            assert_eq!(deletes_counts(&limit(before), &limit(after)), deleted);
        }
    }

    #[test]
    fn a_recount_has_the_next_version() {
        let recount = Recount {
            version: Some(4),
            active: 2,
            first_end: at(9),
            sequence: 3,
        };
        let order = recounted(Cause::server(at(5)), Owner::Deployment, &recount);
        assert_eq!(order.guards, [Guard::CountUnmoved(Owner::Deployment, Some(4))]);
        let [Effect::SetCount(Owner::Deployment, count)] = &*order.effects else {
            panic!("{order:?}");
        };
        assert_eq!(
            (count.version, count.active, count.first_end),
            (5, Some(2), at(9))
        );
    }
}
