//! The behaviour of the native API, by path and by guarantee.

mod audit;
mod audit_log;
mod clock;
mod consent;
mod dialects;
mod directory;
mod errors;
mod examples;
mod fates;
mod faults;
mod feed;
mod idempotency;
mod keys;
mod leases;
mod matrix;
mod oauth;
mod policies;
mod requests;
mod retention;
mod revocations;
mod session;
mod statistics;
mod status_lists;
mod tokens;
mod usage;
mod waiting;
