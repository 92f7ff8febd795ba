//! Memberships in organizations: `/organizations/{organization}/organization-memberships`,
//! `/organization-memberships` and `/organization-memberships/{membership_id}`, a file per path.

mod by_id;
mod id;
mod of_organization;
mod own;
mod resource;

use std::sync::Arc;

use crate::http::routes::routes;
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;
use crate::http::dialects::terraform::document::includes;
use crate::http::input::Form;

pub(super) use id::MembershipId;
pub(super) use resource::MembershipResource;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(of_organization::list, of_organization::create))
        .routes(routes!(own::list))
        .routes(routes!(by_id::show, by_id::remove))
}

/// The included resources.
#[derive(Debug, Form)]
#[form(query)]
struct IncludeForm {
    /// `user` includes the users; other names are ignored.
    #[form(length(max = 255), example = "user")]
    include: Option<String>,
}

impl IncludeForm {
    fn users(&self) -> bool {
        includes(self.include.as_deref(), "user")
    }
}
