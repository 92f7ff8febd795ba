//! Members of an organization and invited addresses.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::api::{Refusal, at, encoded};
use super::form::Form;
use super::page::{Place, Shell, Trouble, Visit, page_with};
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/o/{organization}/members", get(show).post(put))
        .route("/console/o/{organization}/members/remove", post(remove))
}

/// The roles in words.
pub(super) const ROLES: [(&str, &str); 3] = [
    ("admin", "admin: manages everything here"),
    ("member", "member: makes tokens"),
    ("viewer", "viewer: looks only"),
];

/// A page of a list, as the API shows it.
#[derive(Deserialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Member {
    pub(super) email: String,
    pub(super) role: String,
    pub(super) status: String,
}

#[derive(Template)]
#[template(path = "members.html")]
struct Members {
    shell: Shell,
    place: Place,
    members: Vec<Member>,
    next: Option<String>,
    roles: [(&'static str, &'static str); 3],
    form: Form,
    refusal: Refusal,
}

async fn show(
    visit: Visit,
    Path(organization): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let form = Form::parse(query.as_deref().unwrap_or_default());
    list(&visit, &organization, form, Refusal::default()).await
}

async fn list(visit: &Visit, organization: &str, form: Form, refusal: Refusal) -> Result<Response, Trouble> {
    let members = at(&["organizations", organization, "members"])
        .with("limit", "100")
        .with("cursor", form.get("cursor"));
    let members: Items<Member> = visit.get(members).await?;
    let status = if refusal.detail.is_empty() {
        StatusCode::OK
    } else {
        refusal.status
    };
    let page = Members {
        shell: visit.shell_of("members", organization),
        place: visit.place(organization),
        members: members.items,
        next: members
            .next_cursor
            .map(|cursor| Form::default().query(&[("cursor", &cursor)])),
        roles: ROLES,
        form,
        refusal,
    };
    Ok(page_with(status, &page))
}

async fn put(visit: Visit, Path(organization): Path<String>, form: Form) -> Result<Response, Trouble> {
    let path = at(&[
        "organizations",
        &organization,
        "members",
        form.get("email").trim(),
    ]);
    let put = visit
        .api
        .carry_out(Method::PUT, path, &form.texts(&["role"]), None)
        .await;
    after(&visit, &organization, form, put).await
}

async fn remove(visit: Visit, Path(organization): Path<String>, form: Form) -> Result<Response, Trouble> {
    let path = at(&["organizations", &organization, "members", form.get("email")]);
    let removed = visit.api.carry_out(Method::DELETE, path, &json!({}), None).await;
    after(&visit, &organization, form, removed).await
}

async fn after(
    visit: &Visit,
    organization: &str,
    form: Form,
    done: Result<bytes::Bytes, Refusal>,
) -> Result<Response, Trouble> {
    match done {
        Ok(_) => Ok(visit.go_to(&format!("o/{}/members", encoded(organization)))),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => list(visit, organization, form, refusal).await,
    }
}
