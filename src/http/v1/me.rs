//! The caller: `/me`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::http::caller::{Authenticated, Caller};
use crate::http::domain_types;
use crate::http::v1::tokens::TokenInfo;
use crate::http::v1::users::UserInfo;
use crate::http::{App, Failure};
use jeton_core::directory::Role;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(me))
}

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    /// The user that the caller is or acts for; `null`: the caller is a token of a team, an organization or the
    /// deployment.
    #[schema(required = true)]
    user: Option<UserInfo>,
    /// The API token in the `Authorization` header; `null`: the caller has a session.
    #[schema(required = true)]
    token: Option<TokenInfo>,
    /// The user's organizations in which the token is valid.
    organizations: Vec<MembershipInfo>,
    /// The scopes of the API token, or for a session the scopes that its user may grant. Some of those can be
    /// granted only to tokens of the deployment.
    #[schema(example = json!(["tokens:read"]))]
    scopes: Vec<String>,
}

/// An organization the caller belongs to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationMembership)]
struct MembershipInfo {
    /// The id of the organization.
    id: Uuid,
    /// The name of the organization.
    #[schema(example = "default")]
    name: String,
    /// The user's role in the organization.
    #[schema(value_type = domain_types::RoleWord)]
    role: Role,
}

/// Get the caller
///
/// Returns the user and the API token behind the `Authorization` header, with organizations and scopes.
#[utoipa::path(get, path = "/api/v1/me", tag = "session", operation_id = "me",
    responses((status = OK, description = "The caller", body = Me)))]
async fn me(caller: Caller<Authenticated>, State(app): State<Arc<App>>) -> Result<Json<Me>, Failure> {
    let me = app.authority.me(&caller).await?;
    Ok(Json(Me {
        scopes: me.scopes.iter().map(ToString::to_string).collect(),
        organizations: me
            .memberships
            .into_iter()
            .map(|one| MembershipInfo {
                id: one.organization.0,
                name: one.name.to_string(),
                role: one.role,
            })
            .collect(),
        user: me.person.map(UserInfo::from),
        token: me
            .token
            .map(|record| TokenInfo::of(&record, app.authority.status(&record))),
    }))
}
