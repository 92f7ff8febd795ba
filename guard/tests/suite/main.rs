//! The guard over its sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blind;
mod command;
mod connections;
mod harness;
mod introspection;
