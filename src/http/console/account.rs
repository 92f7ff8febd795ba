//! My account: my tokens and my password.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Shell, Trouble, Visit, page_with};
use super::tokens::{Listing, Names, Row, Used};
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/account", get(show))
        .route("/console/account/password", post(set_password))
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    shell: Shell,
    email: String,
    rows: Vec<Row>,
    refusal: Refusal,
    form: Form,
}

async fn show(visit: Visit) -> Result<Response, Trouble> {
    show_with(&visit, Refusal::default()).await
}

async fn show_with(visit: &Visit, refusal: Refusal) -> Result<Response, Trouble> {
    let mine = at(&["tokens"])
        .with("owner", "user")
        .with("user", &visit.me.user.id)
        .with("limit", "100");
    let mine: Listing = visit.get(mine).await?;
    let names = Names::default();
    let status = if refusal.detail.is_empty() {
        StatusCode::OK
    } else {
        refusal.status
    };
    let page = Account {
        shell: visit.shell("account"),
        email: visit.me.user.email.clone(),
        rows: mine
            .items
            .into_iter()
            .map(|token| Row::new(token, visit, &names, &mine.reporting_audiences))
            .collect(),
        refusal,
        form: Form::default(),
    };
    Ok(page_with(status, &page))
}

async fn set_password(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let body = json!({"password": form.get("password"), "current_password": form.get("current_password")});
    let path = at(&["users", &visit.me.user.email]);
    match visit.api.carry_out(Method::PATCH, path, &body, None).await {
        // All sessions have ended, this one too.
        Ok(_) => Ok(visit.go_to("login")),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => show_with(&visit, refusal).await,
    }
}
