//! Signing keys: when one may sign, when one may leave, and what withdrawing one means.

use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, Reach};

use crate::{KEY_NOTICED_WITHIN, KeyRevocation, KeyRevoked, KeyRow, KeyState, KeyStep, NewKey};

/// For how long copies of the JWKS may be kept that are handed out, and have been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JwksPromise {
    /// How many seconds a copy that is handed out from now on may be kept.
    pub max_age: u32,
    /// By when every copy that was handed out under an earlier promise has been given up.
    pub copies_until: Option<Timestamp>,
}

impl JwksPromise {
    /// The promise from an instant on. The same promise again changes nothing.
    #[must_use]
    pub fn renewed(self, max_age: u32, now: Timestamp) -> Self {
        if max_age == self.max_age {
            return self;
        }
        Self {
            max_age,
            copies_until: Some(self.known_everywhere(now)),
        }
    }

    /// By when every copy that anybody may keep has a key that is published at this instant.
    pub fn known_everywhere(self, published_at: Timestamp) -> Timestamp {
        let kept_until = published_at.plus_seconds(i64::from(self.max_age) + KEY_NOTICED_WITHIN);
        self.copies_until
            .map_or(kept_until, |earlier| earlier.max(kept_until))
    }
}

/// A key that is published. It signs once every copy of the JWKS has it; where no key signs, at once.
pub fn publish(key: NewKey, another_signs: bool, promise: JwksPromise, now: Timestamp) -> KeyRow {
    let (state, signs_from) = if another_signs {
        (KeyState::Published, promise.known_everywhere(now))
    } else {
        (KeyState::Signing, now)
    };
    KeyRow {
        key,
        state,
        created_at: now,
        changed_at: now,
        signs_from,
        needed_until: Timestamp::EPOCH,
    }
}

/// The state that a step brings a key to; `None` if the step is not due. With a key that begins to sign, the
/// one that did retires in the same instant.
pub fn advance(row: &KeyRow, step: KeyStep, now: Timestamp) -> Option<KeyState> {
    let (is_due, state) = match step {
        KeyStep::Sign => (
            row.state == KeyState::Published && row.signs_from <= now,
            KeyState::Signing,
        ),
        KeyStep::Retire => (row.state == KeyState::Published, KeyState::Retired),
        KeyStep::Leave => (
            row.state == KeyState::Retired && row.needed_until <= now,
            KeyState::Gone,
        ),
    };
    is_due.then_some(state)
}

/// What withdrawing a key brings about, beside [`KeyState::Withdrawn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// What ends everything that the key signed.
    pub cut_off: CutOff,
    /// The key that is published and signs in the same instant.
    pub successor: Option<KeyRow>,
}

/// Decides on an order to withdraw a key that is in this state, if there is one.
///
/// # Errors
///
/// Gives the outcome where nothing is to be done.
pub fn withdraw(state: Option<KeyState>, order: &KeyRevocation) -> Result<Withdrawal, KeyRevoked> {
    let successor = match (state, &order.successor) {
        (None, _) => return Err(KeyRevoked::Unknown),
        (Some(KeyState::Withdrawn), _) => return Err(KeyRevoked::AlreadyRevoked),
        (Some(KeyState::Signing), None) => return Err(KeyRevoked::SuccessorNeeded),
        (Some(KeyState::Signing), Some(successor)) => Some(successor.clone()),
        (Some(KeyState::Published | KeyState::Retired | KeyState::Gone), _) => None,
    };
    let reach = Reach {
        kid: Some(order.kid.clone()),
        ..Reach::default()
    };
    Ok(Withdrawal {
        cut_off: CutOff {
            reach,
            issued_through: order.at.seconds(),
            effective_at: order.at,
        },
        successor: successor.map(|key| publish(key, false, JwksPromise::default(), order.at)),
    })
}
