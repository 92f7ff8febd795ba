//! Liveness and readiness probes.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::{ReadyFor, Unready};
use crate::http::App;
use crate::http::caller::Anyone;
use crate::http::error::whole_seconds;

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
    /// The reason for programs: `ok`, `stopping`, `forked`, `lease_ended`, `index_incomplete`,
    /// `signing_key_missing`, `database_unavailable`, `clock_differs` or `clock_behind`.
    #[schema(example = "ok")]
    code: &'static str,
}

const OK: Health = Health {
    status: "ok",
    code: "ok",
};

const STOPPING: Health = Health {
    status: "stopping",
    code: "stopping",
};

/// Check liveness
///
/// Returns 200 as long as the process runs, without checking the database, the keys or the revocation index.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = OK, description = "The process runs", body = Health)))]
async fn health(_: Anyone) -> Json<Health> {
    Json(OK)
}

/// Check readiness
///
/// Returns 200 when the database accepts writes, the signing keys are loaded, the revocation index is complete and
/// the clock is not behind the latest recorded instant; 503 otherwise, with `Retry-After` if the wait is known. A server that is shutting down returns 503 while it finishes running requests.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = OK, description = "The server is ready", body = Health),
              (status = SERVICE_UNAVAILABLE, description = "The server is not ready; `status` and `code` are the reason", body = Health)))]
async fn readiness(_: Anyone, State(app): State<Arc<App>>) -> Response {
    if app.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(STOPPING)).into_response();
    }
    let Some(unready) = app.authority.unready(ReadyFor::All).await else {
        return Json(OK).into_response();
    };
    let health = Health {
        status: unready.text(),
        code: unready.code(),
    };
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response();
    if let Unready::ClockBehind(wait) = unready {
        let seconds = whole_seconds(wait).into();
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
