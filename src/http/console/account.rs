//! My account: my tokens, where I am signed in, and my password.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Shell, Trouble, Visit, page_with};
use super::tokens::{Listing, Names, Row, Used};
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/account", get(show))
        .route("/console/account/password", post(set_password))
        .route("/console/account/sessions/{id}/end", post(end_session))
}

#[derive(Deserialize)]
struct Sessions {
    items: Vec<Session>,
}

/// A session, as the API lists it.
#[derive(Deserialize)]
struct Session {
    id: String,
    created_at: Timestamp,
    expires_at: Timestamp,
    last_used_at: Option<Timestamp>,
    surface: Option<String>,
    address: Option<String>,
    current: bool,
}

struct SessionRow {
    session: Session,
    begun: Moment,
    ends: Moment,
    used: Option<Moment>,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    shell: Shell,
    email: String,
    rows: Vec<Row>,
    sessions: Vec<SessionRow>,
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
    let (mine, sessions) = tokio::try_join!(
        visit.get::<Listing>(mine),
        visit.get::<Sessions>(at(&["sessions"]))
    )?;
    let session = |session: Session| SessionRow {
        begun: visit.moment(session.created_at),
        ends: visit.moment(session.expires_at),
        used: session.last_used_at.map(|used| visit.moment(used)),
        session,
    };
    let names = Names::default();
    let page = Account {
        shell: visit.shell("account"),
        email: visit.me.user.email.clone(),
        rows: mine.rows(visit, &names),
        sessions: sessions.items.into_iter().map(session).collect(),
        refusal,
        form: Form::default(),
    };
    Ok(page_with(page.refusal.status, &page))
}

async fn end_session(visit: Visit, Path(id): Path<String>) -> Result<Response, Trouble> {
    visit
        .change(Method::DELETE, at(&["sessions", &id]), &json!({}))
        .await?;
    Ok(visit.go_to("account"))
}

async fn set_password(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let body = json!({"password": form.get("password"), "current_password": form.get("current_password")});
    let path = at(&["users", &visit.me.user.email]);
    match visit.api.carry_out(Method::PATCH, path, &body, None).await {
        // All sessions have ended, this one too.
        Ok(_) => Ok(visit.go_to("login")),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => {
            let refusal =
                refusal.of_field("wrong_password", "current_password", "This is not your password.");
            show_with(&visit, refusal).await
        }
    }
}
