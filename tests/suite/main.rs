//! All tests from outside of the crate, in one binary.
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
