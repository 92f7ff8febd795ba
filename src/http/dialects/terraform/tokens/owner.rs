//! The owner of the tokens in a path.

use crate::authority::{Authority, Caller, Error, Issue, Result, Wanted, WhichOrganization};
use crate::http::dialects::terraform::tokens::NewTokenAttributes;
use crate::http::dialects::terraform::tokens::slot::Kind;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::text::Line;
use jeton_core::token::{CountTotal, Direction, OwnerKind, Page, Record, Sort, Start, WantedStatus};

/// The owner of the tokens in a path.
#[derive(Debug)]
pub(super) enum Owner {
    Team(OrganizationReference, TeamReference),
    Organization(OrganizationReference),
    /// The calling user, in all organizations.
    Caller,
}

impl Owner {
    /// Returns the filter for all of its tokens.
    pub(super) fn wanted(&self) -> Wanted {
        let all = Wanted {
            owner: Some(self.kind()),
            ..Wanted::default()
        };
        match self {
            Self::Team(organization, team) => Wanted {
                organization: Some(organization.clone()),
                team: Some(team.clone()),
                ..all
            },
            Self::Organization(organization) => Wanted {
                organization: Some(organization.clone()),
                ..all
            },
            Self::Caller => all,
        }
    }

    /// Returns the order for a token in addition to existing ones.
    pub(super) fn issue(&self, attributes: &NewTokenAttributes) -> Issue {
        let (organization, team) = match self {
            Self::Team(organization, team) => {
                (WhichOrganization::Named(organization.clone()), Some(team.clone()))
            }
            Self::Organization(organization) => (WhichOrganization::Named(organization.clone()), None),
            Self::Caller => (WhichOrganization::All, None),
        };
        Issue {
            name: attributes.description.clone().unwrap_or_default(),
            description: None,
            organization,
            owner: self.kind(),
            team,
            scopes: None,
            preset: None,
            projects: None,
            audience: None,
            expiry: attributes.expiry(),
            unique_name: false,
            slot: None,
        }
    }

    /// Returns the order for the only token of a kind. Its name is empty and need not be unique.
    pub(super) fn replace(&self, attributes: &NewTokenAttributes, kind: Kind) -> Issue {
        Issue {
            name: Line::default(),
            scopes: kind.scopes(),
            slot: Some(kind.slot()),
            ..self.issue(attributes)
        }
    }

    /// Returns the owner's token of a kind: the newest, also if its predecessor is still in its grace
    /// period.
    pub(super) async fn token(&self, authority: &Authority, caller: &Caller, kind: Kind) -> Result<Record> {
        let wanted = Wanted {
            slot: Some(kind.slot()),
            status: Some(WantedStatus::Unrevoked),
            ..self.wanted()
        };
        let page = Page {
            sort: Sort::default(),
            start: Start::Beginning,
            direction: Direction::Next,
            limit: 1,
            count: CountTotal::No,
        };
        let found = authority.list(caller, &wanted, page).await?;
        found.items.into_iter().next().ok_or(Error::Absent)
    }

    /// Revokes the owner's token of a kind.
    pub(super) async fn revoke(&self, authority: &Authority, caller: &Caller, kind: Kind) -> Result<()> {
        let record = self.token(authority, caller, kind).await?;
        authority.delete_tokens(caller, vec![record]).await
    }

    fn kind(&self) -> OwnerKind {
        match self {
            Self::Team(..) => OwnerKind::Team,
            Self::Organization(_) => OwnerKind::Organization,
            Self::Caller => OwnerKind::User,
        }
    }
}
