//! `/organizations/{organization}/tokens`, and the same below a team: a file per thing that can be done.

mod create;
mod delete;
mod list;
mod show;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use create::issue;

use crate::authority::{self, Error, Issued, Wanted};
use crate::http::input::Form;
use crate::http::nouns;
use crate::http::v1::{OrganizationPath, TeamPath};
use crate::http::{App, whole};
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

/// Whose tokens: an organization's own, or a team's.
pub(super) struct Place {
    pub(super) organization: OrganizationReference,
    pub(super) team: Option<TeamReference>,
}

impl From<OrganizationPath> for Place {
    fn from(OrganizationPath { organization }: OrganizationPath) -> Self {
        Self {
            organization,
            team: None,
        }
    }
}

impl From<TeamPath> for Place {
    fn from(TeamPath { organization, team }: TeamPath) -> Self {
        Self {
            organization,
            team: Some(team),
        }
    }
}

/// Which token of a place.
struct Which {
    place: Place,
    id: String,
}

impl From<TokenPath> for Which {
    fn from(TokenPath { organization, id }: TokenPath) -> Self {
        let place = OrganizationPath { organization }.into();
        Self { place, id }
    }
}

impl From<TeamTokenPath> for Which {
    fn from(path: TeamTokenPath) -> Self {
        let TeamTokenPath {
            organization,
            team,
            id,
        } = path;
        let place = TeamPath { organization, team }.into();
        Self { place, id }
    }
}

/// Which token of an organization.
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

/// Which token of a team.
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
    /// Its number, as text.
    #[schema(example = "81")]
    id: String,
    #[schema(example = "November 2026")]
    description: String,
    /// The token itself in the answer that makes it; its first characters ever after.
    #[schema(example = "eyJhbGciOi...")]
    value: String,
    #[schema(value_type = nouns::Instant)]
    created: Timestamp,
}

impl TokenInfo {
    /// What is shown of a token.
    pub(super) fn of(record: &Record) -> Self {
        Self {
            id: record.id.to_string(),
            description: record.token.name.clone(),
            value: record.token.beginning(),
            created: record.token.created_at,
        }
    }

    /// The same with the token itself, for the one answer that shows it.
    pub(super) fn made(issued: &Issued) -> Self {
        Self {
            value: issued.token.expose().to_owned(),
            ..Self::of(&issued.record)
        }
    }
}

/// Of an organization, its own active tokens or its teams', as far as the caller manages them.
pub(super) async fn managed(
    app: &App,
    caller: &authority::Caller,
    organization: &OrganizationReference,
    owner: OwnerKind,
    team: Option<&TeamReference>,
) -> Result<Vec<Record>, Error> {
    let wanted = Wanted {
        organization: Some(organization.clone()),
        owner: Some(owner),
        team: team.cloned(),
        status: Some(WantedStatus::Only(Status::Active)),
        ..Wanted::default()
    };
    whole::tokens(&app.authority, caller, &wanted).await
}

/// The token of its place that has this number.
async fn found(app: &App, caller: &authority::Caller, which: Which) -> Result<Record, Error> {
    let reference = which.id.parse().map_err(|_| Error::Absent)?;
    let Place { organization, team } = which.place;
    let owner = app.authority.owner(caller, &organization, team.as_ref()).await?;
    let record = app.authority.token(caller, reference).await?;
    let is_here = record.token.owner == owner && app.authority.status(&record) == Status::Active;
    if is_here { Ok(record) } else { Err(Error::Absent) }
}
