//! The number of verdicts of a rule or of introspection, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

use jeton_verifier::Rejection;

/// The verdicts, fixed so that counting takes no lock: a flood of refusals would wait for it.
const VERDICTS: [&str; 18] = [
    ACCEPTED,
    NO_CREDENTIAL,
    BAD_CREDENTIAL,
    "malformed",
    "unknown_key",
    "wrong_algorithm",
    "bad_signature",
    "wrong_type",
    "wrong_issuer",
    "wrong_audience",
    "expired",
    "not_yet_issued",
    "revoked",
    "revocation_unknown",
    "insufficient_scope",
    "wrong_organization",
    "wrong_team",
    "wrong_project",
];
const ACCEPTED: &str = "accepted";
const NO_CREDENTIAL: &str = "no_credential";
const BAD_CREDENTIAL: &str = "bad_credential";

/// Counters of verdicts.
#[derive(Debug, Default)]
pub(crate) struct Verdicts([AtomicU64; VERDICTS.len()]);

impl Verdicts {
    pub(crate) fn accepted(&self) {
        self.count(ACCEPTED);
    }

    pub(crate) fn rejected(&self, rejection: Rejection) {
        self.count(rejection.name());
    }

    pub(crate) fn no_credential(&self) {
        self.count(NO_CREDENTIAL);
    }

    pub(crate) fn bad_credential(&self) {
        self.count(BAD_CREDENTIAL);
    }

    fn count(&self, verdict: &str) {
        let mut counters = VERDICTS.iter().zip(&self.0);
        if let Some((_, counter)) = counters.find(|(name, _)| **name == verdict) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the counts of all verdicts by name, `accepted` first.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        VERDICTS.into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use jeton_verifier::Malformed;

    use super::*;

    #[test]
    fn every_reason_of_a_verifier_has_a_counter() {
        for rejection in [
            Rejection::Malformed(Malformed::Claims),
            Rejection::UnknownKey,
            Rejection::WrongAlgorithm,
            Rejection::BadSignature,
            Rejection::WrongType,
            Rejection::WrongIssuer,
            Rejection::WrongAudience,
            Rejection::Expired,
            Rejection::NotYetIssued,
            Rejection::Revoked,
            Rejection::RevocationUnknown,
            Rejection::InsufficientScope,
            Rejection::WrongOrganization,
            Rejection::WrongTeam,
            Rejection::WrongProject,
        ] {
            let verdicts = Verdicts::default();
            verdicts.rejected(rejection);
            let counted: Vec<_> = verdicts.counts().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(rejection.name(), 1)]);
        }
    }
}
