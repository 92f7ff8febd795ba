//! What jeton and the services that trust its tokens must agree on: how a token is written and
//! read, which keys are believed, and when a token is good.
//!
//! The format stands here once; the server signs and judges with the same code as everyone else.
//! Nothing in this crate opens a file or a socket or reads a clock.
//!
//! A token passes three doors, each a type that only the one before can make:
//! text becomes [`Unverified`] by [`Unverified::parse`], that becomes [`Verified`] by the right
//! key, and only [`Verified::judge`] gives out the [`Claims`]; [`Claims::of_verified`] reads them again
//! for a cache of tokens that passed all three. A published status list passes three
//! doors of its own, from [`UnverifiedStatusList`] on: its claims are others, and it is no credential.

#![deny(missing_docs)]

mod algorithm;
mod claims;
pub mod event;
mod header;
mod json;
mod key_id;
mod key_set;
mod public_key;
mod published_list;
mod status_list;
mod token;
mod value;
mod verdict;

pub use algorithm::{Algorithm, NotAnAlgorithm};
pub use claims::{Claims, NEVER, StatusReference, judge_time};
pub use header::{Header, NotATokenType, TokenType};
pub use jsonwebtoken::jwk;
pub use key_id::{KeyId, NotAKeyId};
pub use key_set::{KeySet, NotAKeySet};
pub use public_key::{NotAPublicKey, PublicKey};
pub use published_list::{
    CompressedList, ExpectedList, FeedPosition, MAX_STATUS_LIST_BYTES, StatusListClaims,
    UnverifiedStatusList, VerifiedStatusList, status_list_signing_input,
};
pub use status_list::{STATUS_LIST_CAPACITY, StatusList};
pub use token::{MAX_TOKEN_BYTES, Malformed, Unsignable, Unverified, assemble, signing_input, strip_prefix};
pub use verdict::{Expected, Rejection, Verified};
