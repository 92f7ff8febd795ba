//! Tokens: `/organizations/{organization}/tokens`, and the same below a team, a file per operation.

mod create;
mod delete;
mod list;
mod show;

use std::sync::Arc;

use crate::http::routes::routes;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

pub(super) use create::issue;

use crate::authority::{self, Error, Issued, Wanted};
use crate::http::App;
use crate::http::domain_types;
use crate::http::input::Form;
use crate::http::v1::{OrganizationPath, TeamPath};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::{OwnerKind, Record, Status, WantedStatus};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::of_organization, create::for_organization))
        .routes(routes!(show::of_organization, delete::of_organization))
        .routes(routes!(list::of_team, create::for_team))
        .routes(routes!(show::of_team, delete::of_team))
}

/// The owner in a path: an organization or a team.
pub(super) struct PathOwner {
    pub(super) organization: OrganizationReference,
    pub(super) team: Option<TeamReference>,
}

impl From<OrganizationPath> for PathOwner {
    fn from(OrganizationPath { organization }: OrganizationPath) -> Self {
        Self {
            organization,
            team: None,
        }
    }
}

impl From<TeamPath> for PathOwner {
    fn from(TeamPath { organization, team }: TeamPath) -> Self {
        Self {
            organization,
            team: Some(team),
        }
    }
}

/// A token in a path, with its owner.
struct PathToken {
    list_index: PathOwner,
    id: String,
}

impl From<TokenPath> for PathToken {
    fn from(TokenPath { organization, id }: TokenPath) -> Self {
        let list_index = OrganizationPath { organization }.into();
        Self { list_index, id }
    }
}

impl From<TeamTokenPath> for PathToken {
    fn from(path: TeamTokenPath) -> Self {
        let TeamTokenPath {
            organization,
            team,
            id,
        } = path;
        let list_index = TeamPath { organization, team }.into();
        Self { list_index, id }
    }
}

/// A token of an organization.
#[derive(Debug, Form)]
#[form(path)]
struct TokenPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The token's number.
    #[form(example = "1")]
    id: String,
}

/// A token of a team.
#[derive(Debug, Form)]
#[form(path)]
struct TeamTokenPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The team's name or its `team-…` id.
    #[form(example = "runners")]
    team: TeamReference,
    /// The token's number.
    #[form(example = "1")]
    id: String,
}

/// A token.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct TokenInfo {
    /// The token's number, as a string.
    #[schema(example = "81")]
    id: String,
    #[schema(example = "November 2026")]
    description: String,
    /// The token itself in the response that creates it, else its first characters.
    #[schema(example = "eyJhbGciOi...")]
    value: String,
    #[schema(value_type = domain_types::Instant)]
    created: Timestamp,
}

impl TokenInfo {
    /// Returns the metadata of a token.
    pub(super) fn of(record: &Record) -> Self {
        Self {
            id: record.id.to_string(),
            description: record.token.name.clone(),
            value: record.token.beginning(),
            created: record.token.created_at,
        }
    }

    /// Returns the metadata with the token itself, for the response that creates it.
    pub(super) fn with_secret(issued: &Issued) -> Self {
        Self {
            value: issued.token.expose().to_owned(),
            ..Self::of(&issued.record)
        }
    }
}

/// Returns the filter for an organization's own active tokens, or a team's.
pub(super) fn active_tokens(
    organization: OrganizationReference,
    owner: OwnerKind,
    team: Option<TeamReference>,
) -> Wanted {
    Wanted {
        organization: Some(organization),
        owner: Some(owner),
        team,
        status: Some(WantedStatus::Only(Status::Active)),
        ..Wanted::default()
    }
}

/// Returns the token of the path's owner with this number.
async fn find_token(app: &App, caller: &authority::Caller, which: PathToken) -> Result<Record, Error> {
    let reference = which.id.parse().map_err(|_| Error::Absent)?;
    let PathOwner { organization, team } = which.list_index;
    let owner = app.authority.owner(caller, &organization, team.as_ref()).await?;
    let record = app.authority.token(caller, reference).await?;
    let is_here = record.token.owner == owner && app.authority.status(&record) == Status::Active;
    if is_here { Ok(record) } else { Err(Error::Absent) }
}
