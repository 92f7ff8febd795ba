//! Listing tokens.

use crate::authority::policy::{self, Rank};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamId, TeamReference};
use jeton_core::token::{
    End, Filter, Listing, OwnerKind, Page, Scope, Slot, Span, StatusAt, Visibility, WantedStatus,
};
use jeton_store::PersonReference;

/// Which tokens are asked for, in the words of whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of which organization; `None` is the caller's only one, or whatever they see anywhere.
    pub organization: Option<OrganizationReference>,
    /// Of which team.
    pub team: Option<TeamReference>,
    /// Of these teams, and of nobody else; `None` is any owner.
    pub teams: Option<Vec<TeamId>>,
    /// Of which person.
    pub user: Option<PersonReference>,
    /// Of which kind of owner. `user` is the caller's own.
    pub owner: Option<OwnerKind>,
    /// A part of name, description or team name.
    pub text: Option<String>,
    /// A part of the team's name.
    pub team_name: Option<String>,
    /// In which place among their owner's tokens.
    pub slot: Option<Slot>,
    /// In which status; `None` is any.
    pub status: Option<WantedStatus>,
    /// With which scope.
    pub scope: Option<Scope>,
    /// From which preset.
    pub preset: Option<String>,
    /// That end by themselves in one of these ways; none is any.
    pub ends: Vec<WantedEnd>,
    /// Not seen since an instant, and older than it.
    pub unused_since: Option<Timestamp>,
    /// Never seen.
    pub never_used: bool,
    /// By the name of whoever made them.
    pub created_by: Option<String>,
}

/// Whether and when tokens end by themselves, as seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedEnd {
    /// They never do.
    Never,
    /// They have ended.
    Passed,
    /// They have not, and do so within this time.
    Within(Span),
    /// They have not, and do so at some time.
    Ahead,
    /// Before an instant, whether it has passed or not.
    Before(Timestamp),
}

impl WantedEnd {
    fn at(self, now: Timestamp) -> End {
        // Whole seconds, as `exp` has them: what ends in this second has ended.
        let ahead = Timestamp::from_seconds(now.seconds() + 1).unwrap_or(Timestamp::LAST);
        match self {
            Self::Never => End::Never,
            Self::Passed => End::before(ahead),
            Self::Within(span) => {
                let seconds = i64::try_from(span.seconds()).unwrap_or(i64::MAX);
                End::Between(ahead, Some(ahead.plus_seconds(seconds)))
            }
            Self::Ahead => End::Between(ahead, None),
            Self::Before(instant) => End::before(instant),
        }
    }
}

impl Authority {
    /// One page of the tokens that the caller may see.
    pub async fn list(&self, caller: &Caller, wanted: &Wanted, page: Page) -> Result<Listing> {
        let filter = self
            .filter(&self.view(), caller, wanted, self.clock.now())
            .await?;
        Ok(self.store.tokens(filter, page).await?)
    }

    /// Which tokens those are, within what the caller may see.
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
            text: wanted.text.clone(),
            team_name: wanted.team_name.clone(),
            slot: wanted.slot.clone(),
            status: wanted.status.map(|wanted| StatusAt { wanted, at: now }),
            scope: wanted.scope.clone(),
            preset: wanted.preset.clone(),
            ends: wanted.ends.iter().map(|end| end.at(now)).collect(),
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
            // Other people's tokens are the administrator's business, and are found without this filter.
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
                // Whether an address is somebody's is not for everyone to know: nobody has no tokens.
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
