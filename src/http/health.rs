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
use crate::http::domain_types::{self, Word};
use crate::http::error::whole_seconds;
use crate::http::input::{Choice, Form, Input, Violations};
use jeton_store::{Durability, HistoryCheck};

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
    /// Of `/readyz` with PostgreSQL: on how many machines what is acknowledged is on disk.
    #[schema(value_type = Option<domain_types::DurabilityWord>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<Word<Durability>>,
    /// Of `/readyz` with PostgreSQL: how this server notices that the database has lost history.
    #[schema(value_type = Option<domain_types::HistoryCheckWord>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    history_check: Option<Word<HistoryCheck>>,
}

const OK: Health = Health {
    status: "ok",
    code: "ok",
    durability: None,
    history_check: None,
};

const STOPPING: Health = Health {
    status: "stopping",
    code: "stopping",
    durability: None,
    history_check: None,
};

/// What the server should be ready for.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct ReadinessForm {
    /// `all`: every request. `verify`: requests that only verify tokens, which go on for some seconds while the database
    /// accepts no writes, as during a failover.
    #[form(name = "for", default = ReadyFor::All)]
    purpose: ReadyFor,
}

impl Choice for ReadyFor {
    const WORDS: &'static [(&'static str, Self)] = &[("all", Self::All), ("verify", Self::Verify)];
}

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
/// the clock is not behind the latest recorded instant; 503 otherwise, with `Retry-After` if the wait is known. A server
/// that is shutting down returns 503 while it finishes running requests.
///
/// With `for=verify`, returns 200 as long as the server may answer whether a token is active: the revocation index is
/// complete and, with PostgreSQL, the lease of the server is held. Route requests that only verify tokens by it, so that a
/// failover of the database does not take all servers out at once.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    params(ReadinessForm),
    responses((status = OK, description = "The server is ready", body = Health),
              (status = UNPROCESSABLE_ENTITY, description = "Invalid fields, all of them, in the order of the fields", body = Violations),
              (status = SERVICE_UNAVAILABLE, description = "The server is not ready; `status` and `code` are the reason", body = Health)))]
async fn readiness(
    _: Anyone,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), ReadinessForm>,
) -> Response {
    if app.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(STOPPING)).into_response();
    }
    let ok = Health {
        durability: app.authority.durability().map(Word),
        history_check: app.authority.history_check().map(Word),
        ..OK
    };
    let Some(unready) = app.authority.unready(query.purpose).await else {
        return Json(ok).into_response();
    };
    let health = Health {
        status: unready.text(),
        code: unready.code(),
        ..ok
    };
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response();
    if let Unready::ClockBehind(wait) = unready {
        let seconds = whole_seconds(wait).into();
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
