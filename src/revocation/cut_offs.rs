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
        let known = self.0.entry(subject).or_default();
        if !known.contains(&cut_off) {
            known.push(cut_off);
        }
    }

    /// Returns whether any cut-off ends the token at this instant.
    pub(super) fn end(&self, token: CutOffSubject<'_>, now: Timestamp) -> bool {
        self.about(token).any(|cut_off| cut_off.ends(token, now))
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
