//! Why a token is refused, or accepted.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Shell, Trouble, Visit, page, page_with};
use super::tokens::Token;
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/inspect", get(show).post(inspect))
}

/// What the API found.
#[derive(Debug, Deserialize)]
pub(super) struct Inspection {
    pub(super) verdict: String,
    pub(super) checks: Vec<Check>,
    pub(super) token_info: Option<Token>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) passed: bool,
    pub(super) required: bool,
    pub(super) detail: String,
}

#[derive(Template)]
#[template(path = "inspect.html")]
struct Inspect {
    shell: Shell,
    form: Form,
    refusal: Refusal,
    found: Option<Inspection>,
}

async fn show(visit: Visit) -> Response {
    page(&Inspect {
        shell: visit.shell("inspect"),
        form: Form::default(),
        refusal: Refusal::default(),
        found: None,
    })
}

async fn inspect(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let (found, refusal) = match ask(&visit, &form).await {
        Ok(found) => (Some(found), Refusal::default()),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => return Err(visit.refused(refusal)),
        Err(refusal) => (None, refusal),
    };
    let page = Inspect {
        shell: visit.shell("inspect"),
        // Not the token: a page with it would stay in the window.
        form: form.only(&["scope", "audience"]),
        refusal,
        found,
    };
    Ok(page_with(page.refusal.status, &page))
}

/// Inspects a token or a `jti`, whichever was given.
pub(super) async fn ask(visit: &Visit, form: &Form) -> Result<Inspection, Refusal> {
    let mut body = form.texts(&["scope", "audience"]);
    let given = form.get("token").trim();
    let name = if given.contains('.') || given.is_empty() {
        "token"
    } else {
        "jti"
    };
    body.insert(name.to_owned(), given.into());
    visit
        .api
        .send(Method::POST, at(&["tokens", "inspect"]), &body, None)
        .await
}
