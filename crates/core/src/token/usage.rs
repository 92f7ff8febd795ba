//! That a token was used, and who would have seen it.

use std::net::IpAddr;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::token::TokenId;

/// The authority saw a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Which one.
    pub token: TokenId,
    /// When.
    pub at: Timestamp,
    /// From where, if that is recorded.
    pub from: Option<IpAddr>,
}

/// A verifier says that it saw a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ReportedUse {
    /// Which one: its `jti` claim.
    pub jti: Uuid,
    /// When, by the verifier's clock.
    pub at: Timestamp,
}

/// An audience whose verifiers report what they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportingAudience {
    /// The audience.
    pub audience: String,
    /// When it was first reported for.
    pub first_reported_at: Timestamp,
    /// When it was last reported for.
    pub last_reported_at: Timestamp,
}
