//! Listing tokens.

use crate::authority::policy::{self, Rank};
use crate::authority::{Authority, Caller, Error, Result};
use crate::directory::{OrganizationReference, TeamReference};
use crate::token::{Filter, Listing, OwnerKind, Page, Visibility};

/// Which tokens are asked for.
#[derive(Debug, Clone)]
pub struct ListTokens {
    /// Of which organization; `None` is the caller's only one, or whatever they see anywhere.
    pub organization: Option<OrganizationReference>,
    /// Of which team.
    pub team: Option<TeamReference>,
    /// Of which kind of owner. `user` is the caller's own.
    pub owner: Option<OwnerKind>,
    /// A part of name, description or team name.
    pub text: Option<String>,
    /// Whether revoked ones are listed too.
    pub revoked: Listed,
    /// Which page.
    pub page: Page,
}

/// Whether something is part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// It is.
    Included,
    /// It is not.
    LeftOut,
}

impl Authority {
    /// One page of the tokens that the caller may see, newest first.
    pub async fn list(&self, caller: &Caller, list: &ListTokens) -> Result<Listing> {
        let view = self.view();
        let everywhere = policy::rank_everywhere(caller);
        let reference = match &list.organization {
            Some(reference) => Some(reference.clone()),
            None if everywhere == Rank::Site => None,
            None => match self.only_organization(caller).await {
                Ok(only) => Some(only),
                Err(Error::OrganizationNeeded) => None,
                Err(error) => return Err(error),
            },
        };
        let mut filter = Filter {
            visibility: policy::visible_tokens(&everywhere, caller),
            organization: None,
            team: None,
            owner: list.owner,
            text: list.text.clone(),
            unrevoked_at: (list.revoked == Listed::LeftOut).then(|| self.clock.now()),
        };
        if let Some(reference) = reference {
            let (organization, rank) = view.visible(caller, &reference).await?;
            filter.visibility = policy::visible_tokens(&rank, caller);
            filter.organization = Some(organization.id);
            if let Some(team) = &list.team {
                filter.team = Some(view.team(organization.id, team).await?.id.clone());
            }
        } else if list.team.is_some() {
            return Err(Error::OrganizationNeeded);
        }
        if list.owner == Some(OwnerKind::User) {
            // Other people's tokens are the administrator's business, and are found without this filter.
            filter.visibility = Visibility::Own {
                user: caller.user().cloned(),
                teams: Vec::new(),
            };
        }
        Ok(self.store.tokens(filter, list.page.clone()).await?)
    }
}
