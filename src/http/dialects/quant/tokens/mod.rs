//! Tokens: `/api/v2/organizations/{organization}/tokens`, a file per operation.

mod create;
mod delete;
mod list;

use std::sync::Arc;

use crate::http::routes::routes;
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(delete::delete))
}
