//! The cut-offs in memory, indexed so that checking a token reads only those that can cover it.

use std::collections::HashMap;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, TeamId, UserId};
use jeton_core::token::{CutOff, CutOffSubject};

/// The narrowest subject that a cut-off names: the key under which a token's check looks it up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Team(TeamId),
    User(UserId),
    Project(u32),
    Organization(OrganizationId),
    Key(String),
    Everything,
}

/// All cut-offs, by subject.
#[derive(Debug, Clone, Default)]
pub(super) struct CutOffs(HashMap<Subject, Vec<CutOff>>);

impl CutOffs {
    pub(super) fn add(&mut self, cut_off: CutOff) {
        let reach = &cut_off.reach;
        let subject = if let Some(team) = &reach.team {
            Subject::Team(team.clone())
        } else if let Some(user) = &reach.user {
            Subject::User(user.clone())
        } else if let Some(project) = reach.project {
            Subject::Project(project)
        } else if let Some(organization) = reach.organization {
            Subject::Organization(organization)
        } else if let Some(kid) = &reach.kid {
            Subject::Key(kid.clone())
        } else {
            Subject::Everything
        };
        // The same cut-off again and again must not make the check of every token longer.
        let known = self.0.entry(subject).or_default();
        if !known
            .iter()
            .any(|known| *known == cut_off || known.replaces(&cut_off))
        {
            known.retain(|known| !cut_off.replaces(known));
            known.push(cut_off);
        }
    }

    /// Returns all cut-offs.
    pub(super) fn all(&self) -> impl Iterator<Item = &CutOff> {
        self.0.values().flatten()
    }

    /// Returns whether any cut-off ends the token at this instant.
    pub(super) fn end(&self, token: CutOffSubject<'_>, now: Timestamp) -> bool {
        self.about(token).any(|cut_off| cut_off.ends(token, now))
    }

    /// Returns the cut-off that ends the token at this instant; of several, the first to take effect.
    pub(super) fn ending<'a>(&'a self, token: CutOffSubject<'a>, now: Timestamp) -> Option<&'a CutOff> {
        let ending = self.about(token).filter(|cut_off| cut_off.ends(token, now));
        ending.min_by_key(|cut_off| cut_off.effective_at)
    }

    /// Returns the last second of issue covered by the cut-offs that reach a token.
    pub(super) fn through(&self, token: CutOffSubject<'_>) -> Option<i64> {
        self.about(token)
            .filter(|cut_off| cut_off.reach.covers(token))
            .map(|cut_off| cut_off.issued_through)
            .max()
    }

    /// Returns the cut-offs that may cover a token.
    fn about<'a>(&'a self, token: CutOffSubject<'a>) -> impl Iterator<Item = &'a CutOff> {
        let owner = token.owner;
        let projects = token.projects.unwrap_or_default();
        let projects = projects.iter().map(|project| Subject::Project(*project));
        let subjects = [
            owner.team().cloned().map(Subject::Team),
            owner.user().cloned().map(Subject::User),
            owner.organization().map(Subject::Organization),
            Some(Subject::Key(token.kid.to_owned())),
            Some(Subject::Everything),
        ];
        subjects
            .into_iter()
            .flatten()
            .chain(projects)
            .filter_map(|subject| self.0.get(&subject))
            .flatten()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use jeton_core::token::{Owner, Reach, TokenKind};
    use proptest::prelude::*;

    use super::*;
    use crate::system::SystemEntropy;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn cut_off(user: &UserId, issued_through: i64, effective_at: i64, kind: Option<TokenKind>) -> CutOff {
        CutOff {
            reach: Reach {
                user: Some(user.clone()),
                kind,
                ..Reach::default()
            },
            issued_through,
            effective_at: at(effective_at),
        }
    }

    #[test]
    fn the_same_cut_off_again_and_again_is_one() {
        let user = UserId::random(&SystemEntropy);
        let mut cut_offs = CutOffs::default();
        for second in 1..1_000 {
            cut_offs.add(cut_off(&user, second, second, None));
        }
        assert_eq!(cut_offs.0.values().map(Vec::len).sum::<usize>(), 1);
        // A scheduled one is not replaced before it takes effect, and replaces none.
        cut_offs.add(cut_off(&user, 1_000, 5_000, None));
        cut_offs.add(cut_off(&user, 1_000, 1_000, Some(TokenKind::Session)));
        assert_eq!(cut_offs.0.values().map(Vec::len).sum::<usize>(), 3);
    }

    proptest! {
        /// After all orders, a token is ended exactly if one of all cut-offs ends it.
        #[test]
        fn what_is_replaced_ended_nothing_else(
            orders in prop::collection::vec((1..50_i64, 0..30_i64, any::<bool>()), 0..20),
            issued_at in 0..60_i64,
            later in 0..60_i64,
        ) {
            let user = UserId::random(&SystemEntropy);
            let owner = Owner::User { user: user.clone(), organization: None };
            let (mut all, mut cut_offs) = (Vec::new(), CutOffs::default());
            let mut now = 0;
            for (step, delay, of_sessions) in orders {
                now += step;
                let kind = of_sessions.then_some(TokenKind::Session);
                // Only every third is scheduled.
                let delay = if delay % 3 == 0 { delay } else { 0 };
                let cut_off = cut_off(&user, now, now + delay, kind);
                all.push(cut_off.clone());
                cut_offs.add(cut_off);
            }
            for kind in [TokenKind::Api, TokenKind::Session] {
                let token = CutOffSubject { kind, owner: &owner, projects: None, kid: "kid", issued_at };
                let instant = at(now + later);
                let expected = all.iter().any(|cut_off| cut_off.ends(token, instant));
                prop_assert_eq!(cut_offs.end(token, instant), expected);
            }
        }
    }
}
