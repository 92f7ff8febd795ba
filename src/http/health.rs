//! Liveness and readiness probes.

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

/// The health of the server.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`, or the reason why the server is not ready.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Check liveness
///
/// Returns 200 as long as the process runs, without checking the database, the keys or the revocation index.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = OK, description = "The process runs", body = Health)))]
async fn health(_: Anyone) -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Check readiness
///
/// Returns 200 when the database accepts writes, the signing keys are loaded and the revocation index is complete;
/// 503 otherwise. A server that is shutting down returns 503 while it finishes running requests.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = OK, description = "The server is ready", body = Health),
              (status = SERVICE_UNAVAILABLE, description = "The server is not ready; `status` is the reason", body = Health)))]
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
