//! `/me`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::http::caller::{Authenticated, Caller};
use crate::http::nouns;
use crate::http::v1::tokens::TokenInfo;
use crate::http::v1::users::UserInfo;
use crate::http::{App, Failure};
use jeton_core::directory::Role;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(me))
}

/// Who is calling.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    /// The person the caller acts for, where it acts for one.
    #[schema(required = true)]
    user: Option<UserInfo>,
    /// The API token the caller came with, where it was one.
    #[schema(required = true)]
    token: Option<TokenInfo>,
    /// The organizations the person belongs to, as far as this token reaches.
    organizations: Vec<MembershipInfo>,
    /// What the caller can do: a token's own scopes, and for a session those that its person may grant.
    /// Some are for tokens of the deployment, which site administrators make.
    #[schema(example = json!(["tokens:read"]))]
    scopes: Vec<String>,
}

/// An organization the caller belongs to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationMembership)]
struct MembershipInfo {
    id: Uuid,
    #[schema(example = "default")]
    name: String,
    #[schema(value_type = nouns::RoleWord)]
    role: Role,
}

/// Who am I?
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
