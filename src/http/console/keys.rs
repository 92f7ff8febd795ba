//! Signing keys: a timeline, rotation, and what revoking one would end.

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
use super::words::{Moment, counted};
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/keys", get(show))
        .route("/console/keys/rotate", post(rotate))
        .route("/console/keys/{kid}/retire", post(retire))
        .route("/console/keys/{kid}/revoke", post(revoke))
}

/// How many characters of a key's id confirm its revocation.
const SHORT: usize = 8;

#[derive(Deserialize)]
struct Items {
    items: Vec<Key>,
}

/// A key, as the API lists it.
#[derive(Deserialize)]
struct Key {
    kid: String,
    algorithm: String,
    state: String,
    created_at: Timestamp,
    signs_from: Timestamp,
    changed_at: Timestamp,
    live_tokens: Option<u64>,
    next_step: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    step: String,
    at: Timestamp,
}

struct Row {
    key: Key,
    /// The beginning of the id, which confirms a revocation.
    short: String,
    made: Moment,
    signs: Moment,
    changed: Moment,
    next: Option<(&'static str, Moment)>,
    /// Whether it has left the key set.
    has_ended: bool,
    tokens: String,
    /// Where its bar begins and how long it is, in percent of the time that is shown.
    left: u64,
    width: u64,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct Keys {
    shell: Shell,
    rows: Vec<Row>,
    refusal: Refusal,
    form: Form,
}

async fn show(visit: Visit) -> Result<Response, Trouble> {
    list(&visit, Form::default(), Refusal::default()).await
}

async fn list(visit: &Visit, form: Form, refusal: Refusal) -> Result<Response, Trouble> {
    let keys: Items = visit.get(at(&["keys"])).await?;
    let from = keys
        .items
        .iter()
        .map(|key| key.created_at.seconds())
        .min()
        .unwrap_or_default();
    let all = (visit.now.seconds() - from).max(1);
    let place = |instant: Timestamp| ((instant.seconds() - from).clamp(0, all) * 100 / all).unsigned_abs();
    let row = |key: Key| {
        let has_ended = matches!(key.state.as_str(), "withdrawn" | "gone");
        let end = if has_ended { key.changed_at } else { visit.now };
        Row {
            made: visit.moment(key.created_at),
            signs: visit.moment(key.signs_from),
            changed: visit.moment(key.changed_at),
            next: key
                .next_step
                .as_ref()
                .map(|next| (step(&next.step), visit.moment(next.at))),
            tokens: key.live_tokens.map_or_else(
                || "an unknown number of tokens".to_owned(),
                |count| counted(count, "token"),
            ),
            has_ended,
            short: key.kid.chars().take(SHORT).collect(),
            left: place(key.created_at).min(99),
            width: (place(end) - place(key.created_at)).max(1),
            key,
        }
    };
    let page = Keys {
        shell: visit.shell("keys"),
        // The newest first.
        rows: keys.items.into_iter().rev().map(row).collect(),
        form: form.with("key", visit.key.clone()),
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
}

/// Returns the next step of a key in words, before the instant.
fn step(name: &str) -> &'static str {
    match name {
        "sign" => "signs",
        "rotate" => "its successor is published",
        "retire" => "retires",
        _ => "leaves the key set",
    }
}

async fn rotate(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let rotated = visit
        .api
        .carry_out(
            Method::POST,
            at(&["keys", "rotate"]),
            &json!({}),
            Some(form.get("key")),
        )
        .await;
    after(&visit, form, rotated).await
}

async fn retire(visit: Visit, Path(kid): Path<String>, form: Form) -> Result<Response, Trouble> {
    let retired = visit
        .api
        .carry_out(Method::POST, at(&["keys", &kid, "retire"]), &json!({}), None)
        .await;
    after(&visit, form, retired).await
}

async fn revoke(visit: Visit, Path(kid): Path<String>, form: Form) -> Result<Response, Trouble> {
    let typed = form.get("typed").trim();
    if typed.len() < SHORT || !kid.starts_with(typed) {
        let refusal = Refusal {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: "The key was not revoked: what was typed is not the beginning of its id.".to_owned(),
            ..Refusal::default()
        };
        return list(&visit, form, refusal).await;
    }
    let body = form.texts(&["reason"]);
    let revoked = visit
        .api
        .carry_out(
            Method::POST,
            at(&["keys", &kid, "revoke"]),
            &body,
            Some(form.get("key")),
        )
        .await;
    match revoked {
        // The key may have signed the session too.
        Ok(_) => Ok(visit.go_to("keys")),
        Err(refusal) => after(&visit, form, Err(refusal)).await,
    }
}

async fn after(visit: &Visit, form: Form, done: Result<bytes::Bytes, Refusal>) -> Result<Response, Trouble> {
    match done {
        Ok(_) => Ok(visit.go_to("keys")),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => list(visit, form, refusal).await,
    }
}
