//! The caller: `/account/details`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;

use crate::http::caller::{Authenticated, Caller};
use crate::http::dialects::terraform::document::{Document, Identifier, JsonApi};
use crate::http::dialects::terraform::user::UserResource;
use crate::http::{App, Failure};
use jeton_core::token::Owner;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Get the caller
///
/// Returns the user that the token acts for. For a token of a team or an organization, it is a service
/// account, and `authenticated-resource` identifies the team or organization.
#[utoipa::path(get, path = "/api/v2/account/details", tag = "start", operation_id = "show_account",
    responses((status = OK, description = "The caller", body = Document<UserResource>,
                  content_type = "application/vnd.api+json")))]
async fn show(
    caller: Caller<Authenticated>,
    State(app): State<Arc<App>>,
) -> Result<JsonApi<Document<UserResource>>, Failure> {
    let data = match (caller.owner(), caller.person()) {
        (Owner::Team { team, .. }, _) => {
            let suffix = team.as_str().trim_start_matches("team-");
            let resource = Identifier::of("teams", team);
            UserResource::service(suffix, format!("api-team_{suffix}"), Some(resource))
        }
        (Owner::Organization(id), _) => {
            let organization = app.authority.organization(&caller, &(*id).into()).await?;
            let digits = id.0.simple().to_string();
            let suffix = digits.get(..16).unwrap_or_default();
            let resource = Identifier::of("organizations", &organization.name);
            UserResource::service(suffix, format!("api-org-{}", organization.name), Some(resource))
        }
        (_, Some(person)) => UserResource::caller(&caller, person),
        (Owner::User { .. } | Owner::Deployment, None) => {
            UserResource::service("deployment000000", "api-deployment".to_owned(), None)
        }
    };
    Ok(JsonApi(Document { data }))
}
