//! Whether the process lives, and whether it should be sent requests.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;
use crate::http::caller::Anyone;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(readiness))
}

/// The state of the server.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`, or what it is waiting for.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Is the process alive?
///
/// Answers as long as the process runs, whatever it stands on.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = OK, description = "It is alive", body = Health)))]
async fn health(_: Anyone) -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Should it be sent requests?
///
/// Ready means that the store can be written, the keys are loaded and the revocation index is
/// complete. A server that was asked to stop is not ready, while it finishes what it has begun.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = OK, description = "It is ready", body = Health),
              (status = SERVICE_UNAVAILABLE, description = "It is not, and this is why", body = Health)))]
async fn readiness(_: Anyone, State(app): State<Arc<App>>) -> Response {
    let reason = if app.is_stopping() {
        Some("stopping")
    } else {
        app.authority.unready().await
    };
    match reason {
        None => Json(Health { status: "ok" }).into_response(),
        Some(status) => (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status })).into_response(),
    }
}
