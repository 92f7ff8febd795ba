//! Jeton, a token authority: signs API tokens, revokes them, and publishes keys and revocations.

pub mod authority;
pub mod backend;
pub mod backups;
mod causes;
pub mod checkpoints;
pub mod cli;
pub mod config;
pub mod http;
pub mod keys;
mod log_limit;
pub mod metrics;
mod regular_file;
pub mod revocation;
pub mod system;
pub mod tls;
