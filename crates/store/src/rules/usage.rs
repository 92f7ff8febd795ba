//! Rules for the use of tokens, as observed by jeton or reported by verifiers.

use std::collections::HashMap;

use crate::{Cause, Effect, KnownToken, Order};
use jeton_core::clock::Timestamp;
use jeton_core::token::{ReportedUse, ReportingAudience, Use};

/// A verifier's report of token use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseReport {
    /// The tokens, each with the instant of its use.
    pub uses: Vec<ReportedUse>,
    /// The audiences whose use since the previous report is complete in this one.
    pub audiences: Vec<String>,
}

/// The result of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseReported {
    /// The number of uses of known API tokens.
    pub known: usize,
    /// The number of other uses, which are ignored.
    pub unknown: usize,
}

/// Records reported uses, and that the audiences report. `known` are the reported tokens that are known.
pub fn report(cause: Cause, report: UseReport, known: &[KnownToken]) -> (Order, UseReported) {
    let known: HashMap<_, _> = known.iter().map(|token| (token.jti, token)).collect();
    let uses = report.uses.iter().filter_map(|reported| {
        let token = known.get(&reported.jti)?;
        Some(Use {
            token: token.id,
            at: seen_at(reported.at, token.created_at, cause.at),
            from: None,
        })
    });
    let uses: Vec<Use> = uses.collect();
    let reported = UseReported {
        known: uses.len(),
        unknown: report.uses.len() - uses.len(),
    };
    let order = Order::new(cause)
        .effect(Effect::NoteUse(uses))
        .effect(Effect::NoteReports(report.audiences));
    (order, reported)
}

/// Returns the instant of a reported use: not before the token was issued, and not after the report.
fn seen_at(reported: Timestamp, created_at: Timestamp, reported_at: Timestamp) -> Timestamp {
    reported.min(reported_at).max(created_at)
}

/// Returns whether all use for an audience between two instants is known: it has reported since before the
/// first, and within the day before the second.
pub fn reports(audience: &ReportingAudience, since: Timestamp, until: Timestamp) -> bool {
    audience.first_reported_at <= since && audience.last_reported_at.plus_seconds(86_400) >= until
}
