//! Jeton, a token authority.

pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
pub mod directory;
pub mod entropy;
pub mod http;
pub mod keys;
pub mod revocation;
pub mod store;
pub mod token;
