//! Rules for statistics: the days on which a token is counted.
//!
//! A token is counted as issued on the day of its issue and, if it is known to end, on the day of its end, which may be in
//! the future: as revoked if a revocation or a cut-off takes effect before it expires, otherwise as expired. An event that
//! brings the end forward moves the count to another day. The counts are sums over tokens, so that tokens can be counted in
//! any portions.

use std::collections::BTreeMap;

use jeton_core::clock::{Day, Timestamp};

use crate::DayCounts;

/// The facts of a token that decide when it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Life<O> {
    /// Its organization, if it is restricted to one.
    pub organization: Option<O>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// The end of a token.
enum End {
    Revoked(Day),
    Expired(Day),
}

impl<O> Life<O> {
    /// Returns the end, if the earliest of the token's revocations and cut-offs takes effect at an instant.
    fn end(&self, revoked_at: Option<Timestamp>) -> Option<End> {
        // A token that was issued while the clock was ahead may end before its issue.
        let day = |end: Timestamp| Day::of(end.max(self.created_at));
        // In whole seconds, as in `exp`.
        let expiry = self
            .expires_at
            .and_then(|at| Timestamp::from_seconds(at.seconds()));
        match (revoked_at, expiry) {
            (Some(revoked_at), None) => Some(End::Revoked(day(revoked_at))),
            (Some(revoked_at), Some(expiry)) if revoked_at < expiry => Some(End::Revoked(day(revoked_at))),
            (_, Some(expiry)) => Some(End::Expired(day(expiry))),
            (None, None) => None,
        }
    }
}

/// Returns the earliest of some instants.
pub fn earliest(instants: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    instants.into_iter().flatten().min()
}

/// What is added to the counts of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// To the issued tokens.
    pub issued: i64,
    /// To the revoked tokens.
    pub revoked: i64,
    /// To the expired tokens.
    pub expired: i64,
}

/// What is added to the counts of organizations, and to those of the whole deployment, whose key is `None`.
#[derive(Debug)]
pub struct Changes<O>(BTreeMap<(Option<O>, Day), Change>);

impl<O> Default for Changes<O> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<O: Copy + Ord> Changes<O> {
    /// Counts a token, if the earliest of the revocations and cut-offs that are counted takes effect at an instant.
    pub fn issued(&mut self, life: &Life<O>, revoked_at: Option<Timestamp>) {
        self.add(life, Day::of(life.created_at), |change| change.issued += 1);
        self.ends(life, revoked_at, 1);
    }

    /// Takes a token back.
    pub fn take_back(&mut self, life: &Life<O>, revoked_at: Option<Timestamp>) {
        self.add(life, Day::of(life.created_at), |change| change.issued -= 1);
        self.ends(life, revoked_at, -1);
    }

    /// Counts a further revocation or cut-off of a token, which takes effect at an instant. `before` is the earliest of
    /// those that are counted.
    pub fn revoked(&mut self, life: &Life<O>, before: Option<Timestamp>, effective_at: Timestamp) {
        self.ends(life, before, -1);
        self.ends(life, earliest([before, Some(effective_at)]), 1);
    }

    /// Returns the days whose counts change, in the order of their keys: locks are taken in one order.
    pub fn days(&self) -> impl Iterator<Item = (Option<O>, Day, Change)> + '_ {
        let changed = self.0.iter().filter(|(_, change)| **change != Change::default());
        changed.map(|((organization, day), change)| (*organization, *day, *change))
    }

    fn ends(&mut self, life: &Life<O>, revoked_at: Option<Timestamp>, count: i64) {
        match life.end(revoked_at) {
            Some(End::Revoked(day)) => self.add(life, day, |change| change.revoked += count),
            Some(End::Expired(day)) => self.add(life, day, |change| change.expired += count),
            None => {}
        }
    }

    fn add(&mut self, life: &Life<O>, day: Day, add: impl Fn(&mut Change)) {
        add(self.0.entry((None, day)).or_default());
        if let Some(organization) = life.organization {
            add(self.0.entry((Some(organization), day)).or_default());
        }
    }
}

/// Returns the counts of each day from one to another. `active` is how many tokens were active before; `changes` and
/// `refused` are what is stored for days of this range.
pub fn days(
    (from, through): (Day, Day),
    active: i64,
    changes: impl IntoIterator<Item = (Day, Change)>,
    refused: impl IntoIterator<Item = (Day, u64)>,
) -> Vec<DayCounts> {
    let changes: BTreeMap<Day, Change> = changes.into_iter().collect();
    let refused: BTreeMap<Day, u64> = refused.into_iter().collect();
    let days = (from.number()..=through.number()).filter_map(Day::from_number);
    let counts = days.scan(active, |active, day| {
        let Change {
            issued,
            revoked,
            expired,
        } = changes.get(&day).copied().unwrap_or_default();
        *active += issued - revoked - expired;
        let [issued, revoked, expired, active] =
            [issued, revoked, expired, *active].map(|count| u64::try_from(count).unwrap_or_default());
        Some(DayCounts {
            day,
            issued,
            revoked,
            expired,
            active,
            refused: refused.get(&day).copied().unwrap_or_default(),
        })
    });
    counts.collect()
}
