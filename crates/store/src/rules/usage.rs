//! Reports of use.

use jeton_core::clock::Timestamp;
use jeton_core::token::ReportingAudience;

/// When a token was seen that somebody reports: not before it was made, and not after the report.
pub fn seen_at(reported: Timestamp, created_at: Timestamp, reported_at: Timestamp) -> Timestamp {
    reported.min(reported_at).max(created_at)
}

/// Whether all use for an audience between two instants is known: it has reported since before the first, and
/// within the day before the second.
pub fn reports(audience: &ReportingAudience, since: Timestamp, until: Timestamp) -> bool {
    audience.first_reported_at <= since && audience.last_reported_at.plus_seconds(86_400) >= until
}
