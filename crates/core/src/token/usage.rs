//! The use of tokens, and the audiences that report it.

use std::net::IpAddr;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::token::TokenId;

/// A use of a token that the authority observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The token.
    pub token: TokenId,
    /// When it was used.
    pub at: Timestamp,
    /// The client address, if it is recorded.
    pub from: Option<IpAddr>,
}

/// A use of a token that a verifier reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ReportedUse {
    /// The token's `jti` claim.
    pub jti: Uuid,
    /// When it was used, by the verifier's clock.
    pub at: Timestamp,
}

/// An audience whose verifiers report use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportingAudience {
    /// The audience.
    pub audience: String,
    /// When its use was first reported.
    pub first_reported_at: Timestamp,
    /// When its use was last reported.
    pub last_reported_at: Timestamp,
}
