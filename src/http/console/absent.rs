//! What is no page: an unknown address, and the address of a form that a browser opens as a page.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::api::Refusal;
use super::page::{Guest, Trouble, Visit, see_other};
use crate::http::{App, Failure};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/{*rest}", any(absent))
}

async fn absent(visit: Result<Visit, Trouble>, guest: Guest) -> Response {
    let refusal = Refusal {
        status: StatusCode::NOT_FOUND,
        detail: "There is no page at this address.".to_owned(),
        ..Refusal::default()
    };
    let guest = visit.as_deref().unwrap_or(&guest);
    guest.refused(refusal).into_response()
}

/// Leads to the page that has the form: whoever reloads its answer by address, or changes the colours there, lands here.
pub(super) async fn unexpected_method(request: Request) -> Result<Response, Failure> {
    let mut segments = request.uri().path().rsplit('/').skip(1);
    match (request.method(), segments.next()) {
        (&Method::GET, Some(page)) => Ok(see_other(&format!("../{page}"))),
        _ => Err(Failure::NoMethod),
    }
}
