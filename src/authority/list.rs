//! Lists tokens: turns a request's filter into one within the caller's rights.

use std::collections::HashMap;

use crate::authority::policy::{self, Rank};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamId, TeamReference};
use jeton_core::text;
use jeton_core::token::{
    End, Filter, Listing, OwnerKind, Page, Record, Scope, Slot, Span, StatusAt, Visibility, WantedStatus,
};
use jeton_store::PersonReference;

/// The filter of a request, with names and addresses not yet resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this organization; `None` is the caller's only one, or else all that the caller may see.
    pub organization: Option<OrganizationReference>,
    /// Of this team.
    pub team: Option<TeamReference>,
    /// Of these teams only; `None` is any owner.
    pub teams: Option<Vec<TeamId>>,
    /// Of this user.
    pub user: Option<PersonReference>,
    /// Of this kind of owner. `user` means the caller's own tokens.
    pub owner: Option<OwnerKind>,
    /// With this text in name, description or team name.
    pub text: Option<String>,
    /// With this text in the team's name.
    pub team_name: Option<String>,
    /// In this slot of their owner.
    pub slot: Option<Slot>,
    /// With this status; `None` is any.
    pub status: Option<WantedStatus>,
    /// With this scope.
    pub scope: Option<Scope>,
    /// From this preset.
    pub preset: Option<String>,
    /// With one of these expiries; empty is any.
    pub ends: Vec<WantedEnd>,
    /// Created at this instant or later.
    pub created_after: Option<Timestamp>,
    /// Created before this instant.
    pub created_before: Option<Timestamp>,
    /// Restricted to this project, among others.
    pub project: Option<u32>,
    /// Signed by the key with this `kid`.
    pub kid: Option<String>,
    /// Used at this instant or later.
    pub used_since: Option<Timestamp>,
    /// Owned by another than the user who created them.
    pub for_others: bool,
    /// Neither used nor created since this instant.
    pub unused_since: Option<Timestamp>,
    /// Never used.
    pub never_used: bool,
    /// By the name of their creator.
    pub created_by: Option<String>,
}

/// A condition on the expiry of tokens, relative to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedEnd {
    /// They never expire.
    Never,
    /// They have expired.
    Passed,
    /// They expire within this time and have not yet.
    Within(Span),
    /// They expire and have not yet.
    Ahead,
    /// They expire at an instant or later and, if given, before another; each may be in the past or the future.
    Between(Timestamp, Option<Timestamp>),
}

impl WantedEnd {
    fn at(self, now: Timestamp) -> End {
        // Compared in whole seconds, like `exp`: a token that expires in this second has expired.
        let ahead = Timestamp::from_seconds(now.seconds() + 1).unwrap_or(Timestamp::LAST);
        match self {
            Self::Never => End::Never,
            Self::Passed => End::before(ahead),
            Self::Within(span) => {
                let seconds = i64::try_from(span.seconds()).unwrap_or(i64::MAX);
                End::Between(ahead, Some(ahead.plus_seconds(seconds)))
            }
            Self::Ahead => End::Between(ahead, None),
            Self::Between(from, until) => End::Between(from, until),
        }
    }
}

impl Authority {
    /// Returns one page of the tokens that the caller may see.
    pub async fn list(&self, caller: &Caller, wanted: &Wanted, page: Page) -> Result<Listing> {
        let filter = self
            .filter(&self.view(), caller, wanted, self.clock.now())
            .await?;
        let mut listing = self.store.tokens(filter, page).await?;
        self.note_cut_offs(&mut listing.items).await?;
        Ok(listing)
    }

    /// Adds to the records of tokens that a cut-off has ended when, by whom and why, for display.
    pub(super) async fn note_cut_offs(&self, records: &mut [Record]) -> Result<()> {
        let now = self.clock.now();
        let is_cut_off = |record: &&Record| !record.is_revoked(now) && self.index.is_cut_off(*record, now);
        let cut_off: Vec<_> = records
            .iter()
            .filter(is_cut_off)
            .map(|record| record.id)
            .collect();
        if cut_off.is_empty() {
            return Ok(());
        }
        let mut notes: HashMap<_, _> = self
            .store
            .cut_off_notes(cut_off, now)
            .await?
            .into_iter()
            .collect();
        for record in records {
            if let Some(note) = notes.remove(&record.id) {
                record.revocation = Some(note);
            }
        }
        Ok(())
    }

    /// Returns the store's filter for a request, restricted to what the caller may see.
    pub(super) async fn filter(
        &self,
        view: &View<'_>,
        caller: &Caller,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Filter> {
        let everywhere = policy::rank_everywhere(caller);
        let reference = match &wanted.organization {
            Some(reference) => Some(reference.clone()),
            None if everywhere == Rank::Site => None,
            None => match self.only_organization(caller).await {
                Ok(only) => Some(only),
                Err(Error::OrganizationNeeded) => None,
                Err(error) => return Err(error),
            },
        };
        let mut filter = Filter {
            owner: wanted.owner,
            text: wanted
                .text
                .as_deref()
                .map(|text| text::composed(text).into_owned()),
            team_name: wanted.team_name.clone(),
            slot: wanted.slot.clone(),
            status: wanted.status.map(|wanted| StatusAt { wanted, at: now }),
            scope: wanted.scope.clone(),
            preset: wanted.preset.clone(),
            ends: wanted.ends.iter().map(|end| end.at(now)).collect(),
            created_after: wanted.created_after,
            created_before: wanted.created_before,
            project: wanted.project,
            kid: wanted.kid.clone(),
            used_since: wanted.used_since,
            for_others: wanted.for_others,
            unused_since: wanted.unused_since,
            never_used: wanted.never_used,
            created_by: wanted.created_by.clone(),
            ..Filter::of(policy::visible_tokens(&everywhere, caller))
        };
        if let Some(reference) = reference {
            let (organization, rank) = view.visible(caller, &reference).await?;
            filter.visibility = policy::visible_tokens(&rank, caller);
            filter.organization = Some(organization.value.id);
            if wanted.organization.is_none() && caller.owner().organization().is_none() {
                filter.or_everywhere_of = caller.user().cloned();
            }
            if let Some(team) = &wanted.team {
                filter.team = Some(view.team(organization.value.id, team).await?.id.clone());
            }
        } else if wanted.team.is_some() {
            return Err(Error::OrganizationNeeded);
        }
        if wanted.owner == Some(OwnerKind::User) {
            // Without this filter an administrator sees the tokens of other users too.
            filter.visibility = Visibility::Own {
                user: caller.user().cloned(),
                teams: Vec::new(),
            };
        }
        if let Some(teams) = &wanted.teams {
            let managed = |team: &&TeamId| match &filter.visibility {
                Visibility::Everything => true,
                Visibility::Own { teams, .. } => teams.contains(team),
            };
            filter.visibility = Visibility::Own {
                user: None,
                teams: teams.iter().filter(managed).cloned().collect(),
            };
        }
        match &wanted.user {
            None => {}
            Some(PersonReference::Id(id)) => filter.user = Some(id.clone()),
            Some(PersonReference::Email(email)) => match view.person(&email.clone().into()).await? {
                Some(person) => filter.user = Some(person.id),
                // An unknown address gives an empty list, so that it does not reveal who has an account.
                None => {
                    filter.visibility = Visibility::Own {
                        user: None,
                        teams: Vec::new(),
                    };
                }
            },
        }
        Ok(filter)
    }
}
