//! Rules for signing keys: publishing, advancing, withdrawing, and keeping them while tokens need them.
//!
//! The orders are guarded by the version of the keys they were decided from, the promise about the JWKS
//! included: if two processes publish, advance or withdraw a key at once, the second is refused.

use crate::{
    Cause, Edit, Effect, Guard, JwksPromise, KeyRow, KeyState, KeyStep, NewKey, Order, Realm, SigningKeys,
    Versioned,
};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, Reach};

impl JwksPromise {
    /// Returns the promise from an instant on. The same promise again changes nothing.
    #[must_use]
    fn renewed(self, max_age: u32, copies_until: Timestamp) -> Self {
        if max_age == self.max_age {
            return self;
        }
        Self {
            max_age,
            copies_until,
        }
    }
}

impl SigningKeys {
    /// Returns when every cached copy of the JWKS contains a key that is published at this instant.
    fn known_everywhere(&self, published_at: Timestamp) -> Timestamp {
        let kept_for = i64::from(self.promise.max_age) + self.noticed_within;
        self.promise.copies_until.max(published_at.plus_seconds(kept_for))
    }
}

/// Promises for how many seconds from now on a copy of the JWKS may be cached; `None` if that is promised
/// already.
pub fn promise(cause: Cause, keys: &Versioned<SigningKeys>, max_age: u32) -> Option<Order> {
    let before = keys.value.promise;
    let renewed = before.renewed(max_age, keys.value.known_everywhere(cause.at));
    let edit = Edit {
        before,
        after: renewed,
    };
    (renewed != before).then(|| based_on(keys, cause).effect(Effect::PromiseJwks(edit)))
}

/// Publishes a key, and returns its row. The key may sign once every cached copy of the JWKS contains it,
/// copies served under a longer promise included; if no key signs, as at the first start, it signs at once.
pub fn publish(cause: Cause, keys: &Versioned<SigningKeys>, key: NewKey) -> (Order, KeyRow) {
    let now = cause.at;
    let row = match keys.value.signing() {
        Some(_) => KeyRow {
            signs_from: keys.value.known_everywhere(now),
            ..KeyRow::new(key, KeyState::Published, now)
        },
        None => KeyRow::new(key, KeyState::Signing, now),
    };
    let order = based_on(keys, cause).effect(Effect::PublishKey(Box::new(row.clone())));
    (order, row)
}

/// Takes a key a step further; `None` if the step is not due. When a key begins to sign, the previous one
/// retires at the same instant.
pub fn advance(cause: Cause, keys: &Versioned<SigningKeys>, kid: &str, step: KeyStep) -> Option<Order> {
    let (row, now) = (keys.value.row(kid)?, cause.at);
    let (is_due, state) = match step {
        KeyStep::Sign => (
            row.state == KeyState::Published && row.signs_from <= now,
            KeyState::Signing,
        ),
        KeyStep::Retire => (row.state == KeyState::Published, KeyState::Retired),
        // A retired key signs nothing more, so that this instant is final.
        KeyStep::Leave => (
            row.state == KeyState::Retired && row.needed_until <= now,
            KeyState::Gone,
        ),
    };
    let mut order = based_on(keys, cause);
    if let (KeyState::Signing, Some(former)) = (state, keys.value.signing()) {
        order = order.effect(set_state(former, KeyState::Retired));
    }
    is_due.then(|| order.effect(set_state(row, state)))
}

/// Sets the state of a key.
fn set_state(row: &KeyRow, state: KeyState) -> Effect {
    let edit = Edit {
        before: row.state,
        after: state,
    };
    Effect::SetKeyState(row.key.kid.clone(), edit)
}

/// The reason why a key cannot be withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotWithdrawn {
    /// The key is withdrawn already.
    AlreadyWithdrawn,
    /// The key signs, and no successor was decided on.
    SuccessorNeeded,
    /// The key does not exist.
    Unknown,
}

/// What replaces a key that signs when it is withdrawn.
#[derive(Debug, Clone)]
pub enum Successor {
    /// No key was created yet, since it may not be needed.
    Undecided,
    /// A new key.
    New(NewKey),
    /// No key can be created: no key signs after the withdrawal.
    Nothing,
}

/// Withdraws a key and revokes everything it signed by a cut-off. If the key signs, the successor is published
/// and signs at the same instant; otherwise the successor is unused.
///
/// # Errors
///
/// Returns [`NotWithdrawn`] if the key cannot be withdrawn.
pub fn withdraw(
    cause: Cause,
    keys: &Versioned<SigningKeys>,
    kid: &str,
    successor: Successor,
) -> Result<Order, NotWithdrawn> {
    let row = keys.value.row(kid).ok_or(NotWithdrawn::Unknown)?;
    let reach = Reach {
        kid: Some(kid.to_owned()),
        ..Reach::default()
    };
    let now = cause.at;
    let ending = Effect::CutOff(CutOff {
        reach,
        issued_through: CutOff::WHENEVER,
        effective_at: now,
    });
    let order = based_on(keys, cause)
        .effect(set_state(row, KeyState::Withdrawn))
        .effect(ending);
    match row.state {
        KeyState::Withdrawn => Err(NotWithdrawn::AlreadyWithdrawn),
        KeyState::Signing => match successor {
            Successor::Undecided => Err(NotWithdrawn::SuccessorNeeded),
            Successor::New(successor) => {
                let row = KeyRow::new(successor, KeyState::Signing, now);
                Ok(order.effect(Effect::PublishKey(Box::new(row))))
            }
            Successor::Nothing => Ok(order),
        },
        KeyState::Published | KeyState::Retired | KeyState::Gone => Ok(order),
    }
}

/// Keeps the key that signs in the JWKS until an instant, for a signed document that is not recorded as a
/// token.
pub fn need(cause: Cause, kid: &str, until: Timestamp) -> Order {
    Order::new(cause)
        .guard(Guard::Signs(kid.to_owned()))
        .effect(Effect::NeedKey(kid.to_owned(), until))
}

fn based_on(keys: &Versioned<SigningKeys>, cause: Cause) -> Order {
    Order::new(cause).guard(Guard::Unchanged(Realm::Keys, keys.generation))
}

impl KeyRow {
    fn new(key: NewKey, state: KeyState, now: Timestamp) -> Self {
        Self {
            key,
            state,
            created_at: now,
            changed_at: now,
            signs_from: now,
            needed_until: Timestamp::EPOCH,
        }
    }
}
