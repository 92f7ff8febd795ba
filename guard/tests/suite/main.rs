//! The guard over its sockets.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "the tests of the verifier use more of it")]
#[path = "../../../verifier/tests/client/authority.rs"]
mod authority;
mod blind;
mod command;
mod connections;
mod harness;
mod introspection;
mod knowing;

/// The audience of the tokens of [`authority`].
const AUDIENCE: &str = "https://api.example.com";
