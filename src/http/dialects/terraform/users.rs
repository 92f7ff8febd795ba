//! A user: `/users/{user_id}`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;

use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::dialects::terraform::document::{Document, JsonApi};
use crate::http::dialects::terraform::path::UserPath;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::input::Input;
use crate::http::{App, Failure};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Get a user
///
/// Returns yourself, or a user with whom you share an organization; for site administrators any user.
#[utoipa::path(get, path = "/api/v2/users/{user_id}", tag = "organizations", operation_id = "show_user",
    params(UserPath),
    responses((status = OK, description = "The user", body = Document<UserResource>,
                  content_type = "application/vnd.api+json")))]
async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<UserPath>,
) -> Result<JsonApi<Document<UserResource>>, Failure> {
    let person = app.authority.person_with_id(&caller, &path.id()?).await?;
    let data = UserResource::of(&person);
    Ok(JsonApi(Document { data }))
}
