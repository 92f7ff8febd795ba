//! What services that receive tokens ask the authority for, as RFCs define it.

mod jwks;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::http::App;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    jwks::routes()
}
