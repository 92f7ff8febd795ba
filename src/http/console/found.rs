//! “I found a token”, for those without an account: whoever holds a token may end it.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Guest, Shell, Trouble, page, page_with};
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/found", get(show).post(end))
}

#[derive(Template)]
#[template(path = "found.html")]
struct Found {
    shell: Shell,
    refusal: Refusal,
    /// The number of the token that was ended.
    ended: Option<String>,
}

#[derive(Deserialize)]
struct Revoked {
    id: String,
}

async fn show(guest: Guest) -> Response {
    page(&Found {
        shell: guest.shell("found"),
        refusal: Refusal::default(),
        ended: None,
    })
}

async fn end(guest: Guest, form: Form) -> Result<Response, Trouble> {
    // The token itself is the caller.
    let token = form.get("token").trim();
    let api = guest.api.clone().with_session(token);
    let body = json!({"reason": "found by somebody, and reported in the console", "force": true});
    let ended = api
        .send::<Revoked>(Method::POST, at(&["tokens", "current", "revoke"]), &body, None)
        .await;
    let (ended, refusal) = match ended {
        Ok(revoked) => (Some(revoked.id), Refusal::default()),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            let detail =
                "This is no active token of this server: it has ended already, or is not one of its tokens.";
            (
                None,
                Refusal {
                    detail: detail.to_owned(),
                    ..refusal
                },
            )
        }
        Err(refusal) => (None, refusal),
    };
    let status = match (&ended, refusal.status) {
        (Some(_), _) => StatusCode::OK,
        // The page stays: nobody has to sign in.
        (None, StatusCode::UNAUTHORIZED) => StatusCode::UNPROCESSABLE_ENTITY,
        (None, status) => status,
    };
    let page = Found {
        shell: guest.shell("found"),
        refusal,
        ended,
    };
    Ok(page_with(status, &page))
}
