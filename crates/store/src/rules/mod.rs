//! Rules: which guards and effects an operation is, decided from facts by pure functions.
//!
//! A backend itself asks only for what a reservation, a count or a list needs: `status_lists`, `limits`,
//! `usage::reports`.
//!
//! Whether somebody may order it at all is decided before. An order is complete once the versions of the
//! realms that the facts are of are added to it ([`Order::judged_at`](crate::Order::judged_at)).

pub mod bulk;
pub mod keys;
pub mod limits;
pub mod members;
pub mod organizations;
pub mod people;
pub mod projects;
pub mod retention;
pub mod status_lists;
pub mod teams;
pub mod tokens;
pub mod usage;

use crate::{Cause, Effect};
use jeton_core::token::{CutOff, Reach};

/// Ends everything in reach that was issued up to the order.
fn end_all(cause: &Cause, reach: Reach) -> Effect {
    Effect::CutOff(CutOff {
        reach,
        issued_through: cause.at.seconds(),
        effective_at: cause.at,
    })
}
