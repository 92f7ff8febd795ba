//! `/organizations/{organization}/tokens`, and the same below a team.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use validator::Validate;

use super::render::Refusal;
use super::sent::{Body, Sent};
use super::{below, json};
use crate::authority::{self, Error, Expiry, Issue, Issued, Wanted};
use crate::clock::Timestamp;
use crate::directory::{OrganizationReference, TeamReference};
use crate::http::caller::{Caller, TokensRead, TokensWrite};
use crate::http::input::{Fields, Form, Input};
use crate::http::v1::{OrganizationPath, TeamPath};
use crate::http::{App, no_content, whole};
use crate::store::LastToken;
use crate::token::{OwnerKind, Record, Status, TokenReference, WantedStatus};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_of_organization, create_for_organization))
        .routes(routes!(show_of_organization, delete_of_organization))
        .routes(routes!(list_of_team, create_for_team))
        .routes(routes!(show_of_team, delete_of_team))
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

/// Which token of an organization.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
struct TokenPath {
    /// The organization's name or id.
    #[param(value_type = String, example = "default")]
    organization: OrganizationReference,
    /// The token's number.
    #[param(example = "1")]
    id: String,
}

impl Form for TokenPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.required("organization"),
            id: fields.required("id"),
        }
    }
}

/// Which token of a team.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
struct TeamTokenPath {
    /// The organization's name or id.
    #[param(value_type = String, example = "default")]
    organization: OrganizationReference,
    /// The team's name or its `team-…` id.
    #[param(value_type = String, example = "runners")]
    team: TeamReference,
    /// The token's number.
    #[param(example = "1")]
    id: String,
}

impl Form for TeamTokenPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.required("organization"),
            team: fields.required("team"),
            id: fields.required("id"),
        }
    }
}

/// A new token.
#[derive(Debug, Validate, ToSchema)]
#[schema(as = CreateToken, example = json!({"description": "November 2026"}))]
pub(super) struct CreateForm {
    /// Which token it is, for people.
    description: String,
}

impl Form for CreateForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            description: fields.required("description"),
        }
    }
}

impl Body for CreateForm {
    const UNREADABLE: &'static str = "Cannot parse request body: description is missing.";
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

/// Issues a token as CAVE knows them: for whatever its owner may do, and for as long as is allowed.
pub(super) async fn issue(
    app: &App,
    caller: &authority::Caller,
    place: Place,
    description: String,
) -> Result<Issued, Error> {
    let order = Issue {
        name: description,
        description: None,
        organization: Some(place.organization),
        owner: match place.team {
            Some(_) => OwnerKind::Team,
            None => OwnerKind::Organization,
        },
        team: place.team,
        scopes: None,
        preset: None,
        projects: None,
        audience: None,
        expiry: Expiry::Open,
        slot: None,
    };
    app.authority.issue(caller, &order).await
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

/// List an organization's tokens
///
/// The active ones, the oldest first. For admins of the organization.
#[utoipa::path(get, path = "/organizations/{organization}/tokens", tag = "tokens", operation_id = "list_organization_tokens",
    params(OrganizationPath),
    responses((status = OK, description = "Its tokens", body = Vec<TokenInfo>)))]
async fn list_of_organization(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    list(&app, &caller, &path.into()).await
}

/// List a team's tokens
///
/// The active ones, the oldest first. For admins of the team and of the organization.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}/tokens", tag = "tokens", operation_id = "list_team_tokens",
    params(TeamPath),
    responses((status = OK, description = "Its tokens", body = Vec<TokenInfo>)))]
async fn list_of_team(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    list(&app, &caller, &path.into()).await
}

async fn list(app: &App, caller: &authority::Caller, place: &Place) -> Result<Response, Refusal> {
    let Place { organization, team } = place;
    let owner = app.authority.owner(caller, organization, team.as_ref()).await?;
    let tokens = managed(app, caller, organization, owner.kind(), team.as_ref()).await?;
    Ok(json(tokens.iter().map(TokenInfo::of).collect::<Vec<_>>()))
}

/// Make a token for an organization
///
/// For admins of the organization. The answer is the only one that shows the token.
#[utoipa::path(post, path = "/organizations/{organization}/tokens", tag = "tokens", operation_id = "create_organization_token",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The token, this once", body = TokenInfo,
                  headers(("Location" = String, description = "Its address"))),
              (status = BAD_REQUEST, description = "`Cannot parse request body: description is missing.`, `Too many tokens for organization.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn create_for_organization(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Sent { path, body }: Sent<OrganizationPath, CreateForm>,
) -> Result<Response, Refusal> {
    create(&app, &caller, path.into(), body, &uri).await
}

/// Make a token for a team
///
/// For admins of the team and of the organization. The answer is the only one that shows the token.
#[utoipa::path(post, path = "/organizations/{organization}/teams/{team}/tokens", tag = "tokens", operation_id = "create_team_token",
    params(TeamPath), request_body = CreateForm,
    responses((status = CREATED, description = "The token, this once", body = TokenInfo,
                  headers(("Location" = String, description = "Its address"))),
              (status = BAD_REQUEST, description = "`Cannot parse request body: description is missing.`, `Too many tokens for team.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn create_for_team(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Sent { path, body }: Sent<TeamPath, CreateForm>,
) -> Result<Response, Refusal> {
    create(&app, &caller, path.into(), body, &uri).await
}

async fn create(
    app: &App,
    caller: &authority::Caller,
    place: Place,
    body: CreateForm,
    uri: &Uri,
) -> Result<Response, Refusal> {
    let issued = issue(app, caller, place, body.description).await?;
    let location = [(header::LOCATION, below(app, uri, &issued.record.id))];
    let body = json(TokenInfo::made(&issued));
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// Show a token of an organization
///
/// For admins of the organization. The token itself is never shown again.
#[utoipa::path(get, path = "/organizations/{organization}/tokens/{id}", tag = "tokens", operation_id = "get_organization_token",
    params(TokenPath),
    responses((status = OK, description = "The token", body = TokenInfo)))]
async fn show_of_organization(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Response, Refusal> {
    let TokenPath { organization, id } = path;
    let place = OrganizationPath { organization }.into();
    let record = found(&app, &caller, &place, &id).await?;
    Ok(json(TokenInfo::of(&record)))
}

/// Show a token of a team
///
/// For admins of the team and of the organization. The token itself is never shown again.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}/tokens/{id}", tag = "tokens", operation_id = "get_team_token",
    params(TeamTokenPath),
    responses((status = OK, description = "The token", body = TokenInfo)))]
async fn show_of_team(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamTokenPath>,
) -> Result<Response, Refusal> {
    let TeamTokenPath {
        organization,
        team,
        id,
    } = path;
    let place = TeamPath { organization, team }.into();
    let record = found(&app, &caller, &place, &id).await?;
    Ok(json(TokenInfo::of(&record)))
}

/// Delete a token of an organization
///
/// For admins of the organization. From the answer on it is refused, and nothing brings it back.
#[utoipa::path(delete, path = "/organizations/{organization}/tokens/{id}", tag = "tokens", operation_id = "delete_organization_token",
    params(TokenPath),
    responses((status = NO_CONTENT, description = "It is gone"),
              (status = BAD_REQUEST, description = "`Cannot delete the last organization token.`", body = String, content_type = "text/plain")))]
async fn delete_of_organization(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Response, Refusal> {
    let TokenPath { organization, id } = path;
    delete(&app, &caller, &OrganizationPath { organization }.into(), &id).await
}

/// Delete a token of a team
///
/// For admins of the team and of the organization. From the answer on it is refused, and nothing brings
/// it back.
#[utoipa::path(delete, path = "/organizations/{organization}/teams/{team}/tokens/{id}", tag = "tokens", operation_id = "delete_team_token",
    params(TeamTokenPath),
    responses((status = NO_CONTENT, description = "It is gone"),
              (status = BAD_REQUEST, description = "`Cannot delete the last team token.`", body = String, content_type = "text/plain")))]
async fn delete_of_team(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamTokenPath>,
) -> Result<Response, Refusal> {
    let TeamTokenPath {
        organization,
        team,
        id,
    } = path;
    delete(&app, &caller, &TeamPath { organization, team }.into(), &id).await
}

async fn delete(app: &App, caller: &authority::Caller, place: &Place, id: &str) -> Result<Response, Refusal> {
    let record = found(app, caller, place, id).await?;
    let reference = TokenReference::Id(record.id);
    app.authority
        .revoke(caller, reference, None, LastToken::Stays)
        .await?;
    Ok(no_content().into_response())
}

/// The token of this place that has this number.
async fn found(app: &App, caller: &authority::Caller, place: &Place, id: &str) -> Result<Record, Error> {
    let reference = id.parse().map_err(|_| Error::Absent)?;
    let Place { organization, team } = place;
    let owner = app.authority.owner(caller, organization, team.as_ref()).await?;
    let record = app.authority.token(caller, reference).await?;
    let is_here = record.token.owner == owner && app.authority.status(&record) == Status::Active;
    if is_here { Ok(record) } else { Err(Error::Absent) }
}
