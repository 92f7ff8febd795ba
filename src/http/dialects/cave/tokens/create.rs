//! Creates tokens: `POST …/tokens`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::{PathOwner, TokenInfo};
use crate::authority::{self, Error, Expiry, Issue, Issued, WhichOrganization};
use crate::http::App;
use crate::http::caller::{Caller, Once, TokensWrite};
use crate::http::dialects::cave::input::{Body, CaveInput, name};
use crate::http::dialects::cave::render::Refusal;
use crate::http::dialects::cave::{json, url_below};
use crate::http::input::Form;
use crate::http::v1::{OrganizationPath, TeamPath};
use jeton_core::text::Line;
use jeton_core::token::OwnerKind;

/// A token to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateToken", example = json!({"description": "November 2026"}))]
pub(super) struct CreateForm {
    /// A description, without invisible characters.
    description: String,
}

impl Body for CreateForm {
    const UNREADABLE: &'static str = "Cannot parse request body: description is missing.";
}

/// Create a token of an organization
///
/// Only this response shows the token. Only for admins of the organization.
#[utoipa::path(post, path = "/organizations/{organization}/tokens", tag = "tokens", operation_id = "create_organization_token",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The token, shown only once", body = TokenInfo,
                  headers(("Location" = String, description = "The URL of its metadata"))),
              (status = BAD_REQUEST, description = "`Cannot parse request body: description is missing.`, `Too many tokens for organization.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(CreateForm::UNREADABLE)))))))]
pub(super) async fn for_organization(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    uri: Uri,
    CaveInput { path, body }: CaveInput<OrganizationPath, CreateForm>,
) -> Result<Response, Refusal> {
    create(&app, &caller, path.into(), body, &uri).await
}

/// Create a token of a team
///
/// Only this response shows the token. Only for admins of the team and of the organization.
#[utoipa::path(post, path = "/organizations/{organization}/teams/{team}/tokens", tag = "tokens", operation_id = "create_team_token",
    params(TeamPath), request_body = CreateForm,
    responses((status = CREATED, description = "The token, shown only once", body = TokenInfo,
                  headers(("Location" = String, description = "The URL of its metadata"))),
              (status = BAD_REQUEST, description = "`Cannot parse request body: description is missing.`, `Too many tokens for team.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(CreateForm::UNREADABLE)))))))]
pub(super) async fn for_team(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    uri: Uri,
    CaveInput { path, body }: CaveInput<TeamPath, CreateForm>,
) -> Result<Response, Refusal> {
    create(&app, &caller, path.into(), body, &uri).await
}

async fn create(
    app: &App,
    caller: &authority::Caller,
    place: PathOwner,
    body: CreateForm,
    uri: &Uri,
) -> Result<Response, Refusal> {
    let description = name("description", &body.description)?;
    let issued = issue(app, caller, place, description).await?;
    let location = [(header::LOCATION, url_below(app, uri, &issued.record.id))];
    let body = json(TokenInfo::with_secret(&issued));
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// Creates a token as CAVE does: with all scopes and the longest lifetime that its owner may have.
pub(in crate::http::dialects::cave) async fn issue(
    app: &App,
    caller: &authority::Caller,
    place: PathOwner,
    description: Line,
) -> Result<Issued, Error> {
    let order = Issue {
        name: description,
        description: None,
        organization: WhichOrganization::Named(place.organization),
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
        unique_name: false,
        slot: None,
    };
    app.authority.issue(caller, &order).await
}
