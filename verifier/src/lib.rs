#![cfg_attr(feature = "axum", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "axum"),
    doc = "Verifies the tokens of a jeton authority. README.md shows how; this is the documentation of a part of the \
           features."
)]
//!
//! # Formats and verdicts without the client
//!
//! By default the crate does no I/O and reads no clock; the authority uses the same code. Verification has three steps,
//! each with a type that only the previous step returns: [`Unverified::parse`] parses a text, [`Unverified::verify`]
//! checks the signature with the key and returns [`Verified`], and [`Verified::judge`] checks the expectations and
//! returns the [`Claims`]. [`Claims::of_verified`] parses the claims again for a cache of tokens that passed all three.
//!
//! Statements about revocations (status lists, heads and snapshots of the feed) have the same three steps, from
//! [`UnverifiedStatement`] on: their claims differ, and they are no credentials. [`Known`] is what a follower of the
//! feed knows.

#![deny(missing_docs)]

mod algorithm;
#[cfg(feature = "axum")]
pub mod axum;
mod claims;
#[cfg(feature = "client")]
pub mod client;
mod credential;
pub mod event;
pub mod feed;
mod header;
mod json;
mod key_id;
mod key_set;
mod known;
mod public_key;
mod published_list;
mod statement;
mod status_list;
mod token;
#[cfg(feature = "tower")]
pub mod tower;
mod value;
mod verdict;

pub use algorithm::{Algorithm, NotAnAlgorithm};
pub use claims::{Claims, NEVER, StatusReference, judge_expiry, judge_issue};
#[cfg(feature = "client")]
pub use client::{BuildError, Builder, Requirements, Source, Status, Verifier};
pub use credential::{Credential, UnreadableCredential, credential};
pub use header::{Header, NotATokenType, TokenType};
pub use jsonwebtoken::jwk;
pub use key_id::{KeyId, NotAKeyId};
pub use key_set::{KeySet, NotAKeySet};
pub use known::{Known, NotApplied};
pub use public_key::{NotAPublicKey, PublicKey};
pub use published_list::{
    CompressedList, ExpectedList, FeedPosition, MAX_STATUS_LIST_BYTES, StatusListClaims,
    UnverifiedStatusList, VerifiedStatusList,
};
pub use statement::{Statement, UnverifiedStatement, VerifiedStatement, statement_signing_input};
pub use status_list::{STATUS_LIST_CAPACITY, StatusList};
pub use token::{MAX_TOKEN_BYTES, Malformed, Unsignable, Unverified, assemble, signing_input, strip_prefix};
pub use verdict::{Expected, Rejection, Verified};
