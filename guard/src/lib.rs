//! `jeton-guard` answers whether a token is valid, next to a proxy or a service: it follows the authority's
//! revocation feed ([`jeton_verifier::Verifier`]) and asks nobody for a single request.
//!
//! - [`config`]: the file and the flags, checked together
//! - [`answer`]: paths; [`check`](mod@check) (forward-auth), [`introspect`](mod@introspect) (RFC 7662), [`observe`]
//!   (probes, metrics)
//! - [`serve`]: sockets and the limits of a connection

#![deny(missing_docs)]

pub mod answer;
mod check;
pub mod config;
mod introspect;
pub mod observe;
mod refusal;
pub mod serve;
mod verdicts;
