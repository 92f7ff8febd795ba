//! The real process: started like an operator starts it, and killed.

mod backups;
mod bulk;
mod busy;
mod cli;
mod client;
mod crash;
mod disk;
mod drill;
mod feed;
mod home;
mod init;
mod journal_copy;
mod log;
mod metrics;
mod rate_limits;
mod reload;
mod restore;
mod rotation;
mod sealed_keys;
mod secrets;
mod slow;
mod startup;
mod stop;
mod throttle;
mod verifiers;
