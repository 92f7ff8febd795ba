//! Setting up: the first administrator, with the code that the server has printed.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Guest, Shell, Trouble, page, page_with};
use super::sign_in::{Session, signed_in};
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/setup", get(show).post(set_up))
}

#[derive(Deserialize)]
struct SetupState {
    needed: bool,
}

/// Returns whether the server waits for its first administrator.
pub(super) async fn is_needed(guest: &Guest) -> Result<bool, Trouble> {
    let SetupState { needed } = guest.get(at(&["setup"])).await?;
    Ok(needed)
}

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup {
    shell: Shell,
    is_needed: bool,
    form: Form,
    refusal: Refusal,
}

async fn show(guest: Guest) -> Result<Response, Trouble> {
    Ok(page(&Setup {
        shell: guest.shell("setup"),
        is_needed: is_needed(&guest).await?,
        form: Form::default().or("organization", "default"),
        refusal: Refusal::default(),
    }))
}

async fn set_up(guest: Guest, State(app): State<Arc<App>>, form: Form) -> Result<Response, Trouble> {
    let mut body = form.texts(&["code", "email", "organization"]);
    body.insert("password".to_owned(), form.get("password").into());
    match guest
        .api
        .send::<Session>(Method::POST, at(&["setup"]), &body, None)
        .await
    {
        Ok(session) => Ok(signed_in(&guest, &app, &session, "")),
        Err(mut refusal) => {
            if refusal.status == StatusCode::FORBIDDEN {
                refusal.fields.push(("code".to_owned(), refusal.detail.clone()));
            }
            let page = Setup {
                shell: guest.shell("setup"),
                is_needed: is_needed(&guest).await?,
                form: form.without("password"),
                refusal,
            };
            Ok(page_with(page.refusal.status, &page))
        }
    }
}
