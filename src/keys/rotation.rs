//! Key rotation: which key signs, and when its successor takes over.
//!
//! Rotation needs no timer: the next step follows from the keys' rows and the time. A server that was
//! down for a while, or killed between two steps, resumes where it stopped.

use jeton_verifier::Algorithm;

use jeton_core::clock::Timestamp;
use jeton_core::token::Span;
use jeton_store::{Generation, KEY_NOTICED_WITHIN, KeyRow, KeyState, KeyStep, SigningKeys};

/// The clock skew allowed to verifiers, in seconds: a slow verifier may request the key of a token that
/// has expired by this server's clock.
const SKEW: i64 = 60;

/// The rotation policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The algorithm of new keys. If the newest key has a different one, a successor is due.
    pub algorithm: Algorithm,
    /// How long clients may cache the JWKS, in seconds.
    pub max_age: u32,
    /// The age of the newest key at which its successor is published; `None`: no limit.
    pub every: Option<Span>,
    /// The version of the settings in the store that these are; `None` if they are not in the store.
    pub stored: Option<Generation>,
}

/// The next rotation step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Create and publish a successor.
    Publish,
    /// Advance a key to its next state.
    Advance {
        /// The key id.
        kid: String,
        /// The step.
        step: KeyStep,
    },
}

/// A regular step of a key that its state leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedStep {
    /// It begins to sign.
    Sign,
    /// Its successor is published.
    Rotate,
    /// Its successor begins to sign, and it retires.
    Retire,
    /// It leaves the JWKS.
    Leave,
}

impl Rotation {
    /// Returns how many seconds a process must serve a key before every cached copy of its JWKS
    /// contains it.
    pub(super) fn distribution_time(&self) -> i64 {
        i64::from(self.max_age) + KEY_NOTICED_WITHIN
    }

    /// Returns the next step that is due. A key signs only once this process has its private key and
    /// has served it long enough, which `is_distributed` tells: the row alone cannot rule out that this
    /// process noticed it late. A key leaves by the settled time: a clock that is ahead for a moment must not
    /// remove it for good.
    pub(super) fn due(
        &self,
        rows: &[KeyRow],
        now: Timestamp,
        settled: Timestamp,
        is_distributed: impl Fn(&KeyRow) -> bool,
    ) -> Option<Due> {
        let of = |row: &KeyRow, step| Due::Advance {
            kid: row.key.kid.clone(),
            step,
        };
        let signs = rows
            .iter()
            .filter(|row| row.state == KeyState::Published && row.signs_from <= now && is_distributed(row))
            .min_by_key(|row| row.signs_from)
            .map(|row| of(row, KeyStep::Sign));
        let leaves = || {
            let needless = |row: &&KeyRow| {
                row.state == KeyState::Retired && self.leaves_at(row).is_some_and(|at| at <= settled)
            };
            rows.iter().find(needless).map(|row| of(row, KeyStep::Leave))
        };
        signs.or_else(leaves).or_else(|| self.publication(rows, now))
    }

    /// Returns from when on a retired key is needed no more; `None` if something that it signed never ends.
    fn leaves_at(&self, row: &KeyRow) -> Option<Timestamp> {
        let wait = match row.needed_until {
            Timestamp::EPOCH => 0,
            _ => SKEW + self.distribution_time(),
        };
        (row.needed_until < Timestamp::LAST).then(|| row.needed_until.plus_seconds(wait))
    }

    /// Returns the next regular step of a key, and the instant from which it is due; `None` if none follows without a
    /// request.
    pub(super) fn plan(&self, keys: &SigningKeys, row: &KeyRow) -> Option<(PlannedStep, Timestamp)> {
        match row.state {
            KeyState::Published => Some((PlannedStep::Sign, row.signs_from)),
            KeyState::Signing => match keys.successor() {
                Some(successor) => Some((PlannedStep::Retire, successor.signs_from)),
                None => self.end_of(row).map(|end| (PlannedStep::Rotate, end)),
            },
            KeyState::Retired => self.leaves_at(row).map(|at| (PlannedStep::Leave, at)),
            KeyState::Gone | KeyState::Withdrawn => None,
        }
    }

    fn publication(&self, rows: &[KeyRow], now: Timestamp) -> Option<Due> {
        let is_current = newest(rows).is_some_and(|row| {
            row.key.algorithm == self.algorithm && self.end_of(row).is_none_or(|end| now < end)
        });
        // The signing key may have been withdrawn by a process that could not create its successor.
        let signs = rows.iter().any(|row| row.state == KeyState::Signing);
        (!is_current || !signs).then_some(Due::Publish)
    }

    /// Returns when a key is so old that its successor is published; `None` if there is no limit.
    fn end_of(&self, row: &KeyRow) -> Option<Timestamp> {
        let span = self.every?;
        let seconds = i64::try_from(span.seconds()).unwrap_or(i64::MAX);
        Some(row.created_at.plus_seconds(seconds))
    }

    /// Returns when a published key begins to sign, or else a successor is published; `None` if no step is due by the
    /// time alone. `distributed_at` returns when every cached copy of the JWKS contains a key.
    pub(super) fn next_step(
        &self,
        rows: &[KeyRow],
        distributed_at: impl Fn(&KeyRow) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        let published = rows.iter().filter(|row| row.state == KeyState::Published);
        let signs =
            published.map(|row| distributed_at(row).map_or(row.signs_from, |at| at.max(row.signs_from)));
        signs.min().or_else(|| self.end_of(newest(rows)?))
    }
}

/// Returns the newest key that signs or will sign.
fn newest(rows: &[KeyRow]) -> Option<&KeyRow> {
    rows.iter()
        .rfind(|row| matches!(row.state, KeyState::Published | KeyState::Signing))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use jeton_store::NewKey;

    const MAX_AGE: u32 = 300;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds).unwrap()
    }

    fn row(kid: &str, state: KeyState, created: i64) -> KeyRow {
        KeyRow {
            key: NewKey {
                kid: kid.to_owned(),
                algorithm: Algorithm::Es256,
                public_jwk: String::new(),
                sealed: None,
            },
            state,
            created_at: at(created),
            changed_at: at(created),
            signs_from: at(created + 301),
            needed_until: Timestamp::EPOCH,
        }
    }

    fn rotation(every: Option<u64>) -> Rotation {
        Rotation {
            stored: None,
            algorithm: Algorithm::Es256,
            max_age: MAX_AGE,
            every: every.map(|seconds| Span::from_seconds(seconds).unwrap()),
        }
    }

    fn due(rotation: Rotation, rows: &[KeyRow], now: i64) -> Option<Due> {
        rotation.due(rows, at(now), at(now), |_| true)
    }

    fn step(kid: &str, step: KeyStep) -> Option<Due> {
        let kid = kid.to_owned();
        Some(Due::Advance { kid, step })
    }

    #[test]
    fn a_key_signs_once_due_and_distributed_by_this_process() {
        let rows = [
            row("a", KeyState::Signing, 0),
            row("b", KeyState::Published, 1_000),
            row("c", KeyState::Published, 1_001),
        ];
        let rotation = rotation(None);
        assert_eq!(due(rotation, &rows, 1_300), None);
        assert_eq!(due(rotation, &rows, 1_301), step("b", KeyStep::Sign));
        // After a long downtime one step after the other, the oldest first.
        assert_eq!(due(rotation, &rows, 9_999), step("b", KeyStep::Sign));
        assert_eq!(rotation.due(&rows, at(9_999), at(9_999), |_| false), None);
        assert_eq!(
            rotation.due(&rows, at(9_999), at(9_999), |row| row.key.kid == "c"),
            step("c", KeyStep::Sign)
        );
    }

    #[test]
    fn a_successor_is_due_by_age_and_by_algorithm() {
        let rows = [row("a", KeyState::Signing, 0)];
        assert_eq!(due(rotation(None), &rows, 1_000_000), None);
        assert_eq!(due(rotation(Some(600)), &rows, 599), None);
        assert_eq!(due(rotation(Some(600)), &rows, 600), Some(Due::Publish));
        let other = Rotation {
            algorithm: Algorithm::EdDsa,
            ..rotation(None)
        };
        assert_eq!(due(other, &rows, 1), Some(Due::Publish));
        // A waiting successor suffices until it is itself too old.
        let mut waiting = row("b", KeyState::Published, 600);
        waiting.key.algorithm = Algorithm::EdDsa;
        let rows = [rows[0].clone(), waiting];
        assert_eq!(due(other, &rows, 601), None);
        let both = Rotation {
            every: Span::from_seconds(600),
            ..other
        };
        assert_eq!(due(both, &rows, 900), None);
        // Where no key signs, a new one signs at once.
        let waits = [row("b", KeyState::Published, 600)];
        assert_eq!(due(rotation(None), &waits, 601), Some(Due::Publish));
        assert_eq!(due(rotation(None), &waits, 901), step("b", KeyStep::Sign));
        // A withdrawn or retired key is no successor.
        for state in [KeyState::Withdrawn, KeyState::Gone] {
            let mut rows = rows.clone();
            rows[1].state = state;
            assert_eq!(due(other, &rows, 601), Some(Due::Publish), "{state:?}");
        }
    }

    #[test]
    fn each_state_leads_to_its_step() {
        let keys = |rows: &[KeyRow]| SigningKeys {
            rows: rows.to_vec(),
            ..SigningKeys::default()
        };
        let plan = |every, rows: &[KeyRow], place: usize| {
            rotation(every).plan(&keys(rows), rows.get(place).unwrap())
        };
        let signing = row("a", KeyState::Signing, 0);
        assert_eq!(plan(None, std::slice::from_ref(&signing), 0), None);
        assert_eq!(
            plan(Some(600), std::slice::from_ref(&signing), 0),
            Some((PlannedStep::Rotate, at(600)))
        );
        let mut rows = [
            signing,
            row("c", KeyState::Published, 20),
            row("b", KeyState::Published, 10),
        ];
        assert_eq!(plan(Some(600), &rows, 0), Some((PlannedStep::Retire, at(311))));
        assert_eq!(plan(None, &rows, 1), Some((PlannedStep::Sign, at(321))));
        rows[1].state = KeyState::Retired;
        assert_eq!(
            plan(None, &rows, 1),
            Some((PlannedStep::Leave, Timestamp::EPOCH)),
            "it never signed"
        );
        rows[1].needed_until = at(1_000);
        let clear = at(1_000 + SKEW + i64::from(MAX_AGE) + KEY_NOTICED_WITHIN);
        assert_eq!(plan(None, &rows, 1), Some((PlannedStep::Leave, clear)));
        rows[1].needed_until = Timestamp::LAST;
        assert_eq!(plan(None, &rows, 1), None);
        for state in [KeyState::Gone, KeyState::Withdrawn] {
            rows[1].state = state;
            assert_eq!(plan(Some(1), &rows, 1), None, "{state:?}");
        }
    }

    #[test]
    fn a_key_leaves_when_nothing_needs_it() {
        let mut rows = [row("a", KeyState::Retired, 0), row("b", KeyState::Signing, 0)];
        let rotation = rotation(None);
        // It never signed.
        assert_eq!(due(rotation, &rows, 1), step("a", KeyStep::Leave));
        rows[0].needed_until = at(1_000);
        let clear = 1_000 + SKEW + i64::from(MAX_AGE) + KEY_NOTICED_WITHIN;
        assert_eq!(due(rotation, &rows, clear - 1), None);
        assert_eq!(due(rotation, &rows, clear), step("a", KeyStep::Leave));
        assert_eq!(
            rotation.due(&rows, at(clear), at(clear - 1), |_| true),
            None,
            "a leap"
        );
        rows[0].needed_until = Timestamp::LAST;
        assert_eq!(
            rotation.due(&rows, Timestamp::LAST, Timestamp::LAST, |_| true),
            None
        );
        // Neither does one that signs or is about to.
        rows[0].needed_until = Timestamp::EPOCH;
        rows[0].state = KeyState::Published;
        assert_eq!(rotation.due(&rows, at(1), at(1), |_| false), None);
    }
}
