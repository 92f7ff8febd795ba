//! Rules: pure functions that turn facts into orders. Apart from the backends, which apply orders without
//! deciding.
//!
//! A backend itself uses only the rules that reservations, counts and lists need: `status_lists`, `limits`,
//! `statistics`, `usage::reports`.
//!
//! The caller checks permissions before. An order is complete once the versions of the realms that it was
//! decided from are added ([`Order::versions`](crate::Order::versions)).

pub mod audit;
pub mod bulk;
pub mod keys;
pub mod limits;
pub mod members;
pub mod organizations;
pub mod people;
pub mod projects;
pub mod retention;
pub mod settings;
pub mod statistics;
pub mod status_lists;
pub mod teams;
pub mod tokens;
pub mod usage;

use crate::{Cause, Effect};
use jeton_core::token::{CutOff, Reach};

/// Returns a cut-off of everything in reach that was issued up to the order.
fn end_all(cause: &Cause, reach: Reach) -> Effect {
    Effect::CutOff(CutOff {
        reach,
        issued_through: cause.at.seconds(),
        effective_at: cause.at,
    })
}
