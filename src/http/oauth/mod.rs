//! What services that receive tokens ask the authority for, as RFCs define it.

mod jwks;
mod kept;
mod status_lists;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::http::App;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(jwks::routes())
        .merge(status_lists::routes())
}
