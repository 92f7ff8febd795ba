//! The tokens of an organization, one per kind: `/organizations/{organization}/authentication-token`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::http::caller::{Caller, Once, TokensRead, TokensWrite};
use crate::http::dialects::terraform::data::{Data, NoData};
use crate::http::dialects::terraform::document::{Document, JsonApi};
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::dialects::terraform::render::ErrorDocument;
use crate::http::dialects::terraform::tokens::owner::Owner;
use crate::http::dialects::terraform::tokens::resource::TokenResource;
use crate::http::dialects::terraform::tokens::slot::Kind;
use crate::http::dialects::terraform::tokens::{NewToken, NewTokenAttributes, create_token};
use crate::http::input::{Form, Input};
use crate::http::{App, Failure, no_content};

/// The kind of token.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct KindForm {
    /// `audit-trails` selects the audit trails token. Default: the organization's usual token.
    #[form(default = Kind::Authentication, example = "audit-trails")]
    token: Kind,
}

/// Get the token of an organization
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/authentication-token", tag = "organization tokens",
    operation_id = "show_organization_token", params(OrganizationPath, KindForm),
    responses((status = OK, description = "The token, without its secret", body = Document<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn show(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, KindForm>,
) -> Result<JsonApi<Document<TokenResource>>, Failure> {
    let owner = Owner::Organization(path.organization);
    let record = owner.token(&app.authority, &caller, query.token).await?;
    Ok(JsonApi((&record).into()))
}

/// Create the token of an organization
///
/// Revokes the previous token of this kind, if any, in the same transaction.
#[utoipa::path(post, path = "/api/v2/organizations/{organization}/authentication-token", tag = "organization tokens",
    operation_id = "replace_organization_token", params(OrganizationPath, KindForm),
    request_body(content = Option<NewToken>, content_type = "application/vnd.api+json"),
    responses((status = CREATED, description = "The token with its secret, shown only once", body = Document<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn replace(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input {
        path, query, body, ..
    }: Input<OrganizationPath, KindForm, Data<NewTokenAttributes>>,
) -> Result<impl IntoResponse, Failure> {
    let owner = Owner::Organization(path.organization);
    let order = owner.replace(&body.data.attributes, query.token);
    create_token(&app.authority, &caller, &order).await
}

/// Delete the token of an organization
///
/// Revokes the token permanently.
#[utoipa::path(delete, path = "/api/v2/organizations/{organization}/authentication-token", tag = "organization tokens",
    operation_id = "remove_organization_token", params(OrganizationPath, KindForm),
    responses((status = NO_CONTENT, description = "The token is revoked"),
              (status = CONFLICT, description = "It is the organization's last active token, and the organization's policy sets `keep_last_token`",
                  body = ErrorDocument, content_type = "application/vnd.api+json", example = json!("last_token"))))]
pub(super) async fn remove(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, KindForm, NoData>,
) -> Result<impl IntoResponse, Failure> {
    let owner = Owner::Organization(path.organization);
    owner.revoke(&app.authority, &caller, query.token).await?;
    Ok(no_content())
}
