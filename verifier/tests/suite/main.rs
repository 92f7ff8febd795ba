//! The crate as a downstream service sees it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod attacks;
mod harness;
mod keys;
mod round_trip;
mod status_list;
