//! Everything that is tested from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod api;
mod harness;
mod openapi;
mod process;
mod standards;
