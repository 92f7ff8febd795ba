//! Signing in and out, and the colours.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Guest, Shell, Trouble, Visit, page, page_with};
use super::session::Cookie;
use super::setup;
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/login", get(show).post(sign_in))
        .route("/console/sign-out", post(sign_out))
        .route("/console/theme", post(theme))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    shell: Shell,
    form: Form,
    refusal: Refusal,
}

#[derive(Deserialize)]
pub(super) struct Session {
    token: String,
}

async fn show(guest: Guest, RawQuery(query): RawQuery) -> Result<Response, Trouble> {
    if setup::is_needed(&guest).await? {
        return Ok(guest.go_to("setup"));
    }
    Ok(page(&SignIn {
        shell: guest.shell("sign-in"),
        form: Form::parse(query.as_deref().unwrap_or_default()),
        refusal: Refusal::default(),
    }))
}

/// Returns the redirect to a page of the console, with the cookie of a new session.
pub(super) fn signed_in(guest: &Guest, app: &App, session: &Session, page: &str) -> Response {
    let mut response = guest.go_to(page);
    if let Some(kept) = Cookie::of(app).keep(&session.token) {
        response.headers_mut().insert(header::SET_COOKIE, kept);
    }
    response
}

async fn sign_in(guest: Guest, State(app): State<Arc<App>>, form: Form) -> Result<Response, Trouble> {
    let body = json!({"email": form.get("email").trim(), "password": form.get("password")});
    match guest
        .api
        .send::<Session>(Method::POST, at(&["login"]), &body, None)
        .await
    {
        Ok(session) => Ok(signed_in(&guest, &app, &session, own_page(form.get("next")))),
        Err(refusal) => {
            let status = match refusal.fields.is_empty() {
                true => refusal.status,
                false => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let page = SignIn {
                shell: guest.shell("sign-in"),
                form,
                refusal,
            };
            Ok(page_with(status, &page))
        }
    }
}

/// Returns an address of the console: one of another place would lead there whoever follows a link to the form.
fn own_page(next: &str) -> &str {
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\\:".contains(&byte));
    match is_plain && !next.starts_with(['/', '.']) {
        true => next,
        false => "",
    }
}

async fn sign_out(visit: Visit, State(app): State<Arc<App>>) -> Result<Response, Trouble> {
    visit.change(Method::POST, at(&["logout"]), &json!({})).await?;
    let mut response = visit.go_to("login");
    if let Some(removed) = Cookie::of(&app).remove() {
        response.headers_mut().insert(header::SET_COOKIE, removed);
    }
    Ok(response)
}

async fn theme(guest: Guest, form: Form) -> Response {
    let theme = match form.get("theme") {
        "light" => "light",
        "dark" => "dark",
        _ => "system",
    };
    let mut response = guest.go_to(own_page(form.get("here")));
    let cookie = format!("jeton-theme={theme}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_out_of_the_console() {
        for page in ["", "o/acme/tokens?q=ci&status=active", "tokens/7"] {
            assert_eq!(own_page(page), page);
        }
        for page in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "../../x",
            "a b",
            "a\nb",
        ] {
            assert_eq!(own_page(page), "", "{page}");
        }
    }
}
