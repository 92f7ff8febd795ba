//! The number of verdicts of a rule or of introspection, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

use jeton_verifier::{Rejection, Status};

/// The verdicts besides those of the verifier.
const OWN: [&str; 3] = [ACCEPTED, NO_CREDENTIAL, BAD_CREDENTIAL];
const ACCEPTED: &str = "accepted";
const NO_CREDENTIAL: &str = "no_credential";
const BAD_CREDENTIAL: &str = "bad_credential";

/// Counters of verdicts, fixed so that counting takes no lock: a flood of refusals would wait for it.
#[derive(Debug, Default)]
pub(crate) struct Verdicts([AtomicU64; OWN.len() + Status::REASONS.len()]);

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
        let mut counters = names().zip(&self.0);
        if let Some((_, counter)) = counters.find(|(name, _)| *name == verdict) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the counts of all verdicts by name, `accepted` first.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        names().zip(counts)
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    OWN.into_iter().chain(Status::REASONS)
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
