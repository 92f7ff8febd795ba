//! The contract for what is known of tokens' use.

use async_trait::async_trait;

use crate::Result;
use jeton_core::clock::Timestamp;
use jeton_core::token::{ReportedUse, Use};

/// When tokens were last seen, and who reports it.
#[async_trait]
pub trait Usage: Send + Sync {
    /// Notes when tokens were last seen. Never moves an instant back; unknown tokens are passed over.
    async fn note_use(&self, uses: Vec<Use>) -> Result<()>;

    /// Notes what verifiers saw, and that they report. An instant that lies ahead is the report's, one
    /// before the token was made is that of its making ([`seen_at`](crate::rules::usage::seen_at)); none is ever
    /// moved back. Sessions are unknown here.
    async fn report_use(&self, report: UseReport) -> Result<UseReported>;
}

/// What verifiers saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseReport {
    /// Which tokens, when.
    pub uses: Vec<ReportedUse>,
    /// The audiences of which this is all that was seen since the report before.
    pub audiences: Vec<String>,
    /// Now.
    pub at: Timestamp,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseReported {
    /// So many uses were of API tokens that are known.
    pub known: usize,
    /// So many were not, and were passed over.
    pub unknown: usize,
}
