//! The contract for statistics: how many API tokens were issued, revoked, expired and refused on each day.

use async_trait::async_trait;
use jeton_core::clock::Day;
use jeton_core::directory::OrganizationId;

use crate::Result;

/// The statistics. [`Audit::seal`](crate::Audit::seal) counts tokens and events after their commits, so that no order pays
/// for it.
#[async_trait]
pub trait Statistics: Send + Sync {
    /// Returns the counts of each day from one to another, both included, of an organization's tokens or of all tokens.
    /// Sessions are not counted.
    async fn statistics(
        &self,
        organization: Option<OrganizationId>,
        from: Day,
        through: Day,
    ) -> Result<Vec<DayCounts>>;
}

/// The counts of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayCounts {
    /// The day.
    pub day: Day,
    /// The tokens that were issued on it.
    pub issued: u64,
    /// The tokens that a revocation or a cut-off ended on it, or will end.
    pub revoked: u64,
    /// The tokens that expired on it, or will expire.
    pub expired: u64,
    /// The tokens that are active at its end.
    pub active: u64,
    /// How often revoked tokens were refused on it.
    pub refused: u64,
}
