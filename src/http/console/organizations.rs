//! Organizations: those of the person with the invitations to others, or all of them; a new one.

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
use super::page::{Shell, Trouble, Visit, page_with};
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/organizations", get(show).post(create))
        .route("/console/invitations/{organization}/accept", post(accept))
        .route("/console/invitations/{organization}/decline", post(decline))
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Organization {
    name: String,
    created_at: Timestamp,
}

#[derive(Deserialize)]
struct Invitation {
    organization: InvitedTo,
    role: String,
    invited_at: Option<Timestamp>,
    invited_by: Option<String>,
}

#[derive(Deserialize)]
struct InvitedTo {
    id: String,
    name: String,
}

struct Row {
    name: String,
    path: String,
    made: Moment,
    role: String,
}

#[derive(Template)]
#[template(path = "organizations.html")]
struct Organizations {
    shell: Shell,
    rows: Vec<Row>,
    next: Option<String>,
    invitations: Vec<(Invitation, Option<Moment>)>,
    form: Form,
    refusal: Refusal,
}

async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Trouble> {
    let form = Form::parse(query.as_deref().unwrap_or_default());
    show_with(&visit, form, Refusal::default()).await
}

async fn show_with(visit: &Visit, form: Form, refusal: Refusal) -> Result<Response, Trouble> {
    let list = at(&["organizations"])
        .with("limit", "100")
        .with("cursor", form.get("cursor"));
    let (organizations, invitations) = tokio::try_join!(
        visit.get::<Items<Organization>>(list),
        visit.get::<Items<Invitation>>(at(&["me", "invitations"]).with("limit", "100"))
    )?;
    let role = |name: &str| {
        let mine = visit.me.organizations.iter().find(|one| one.name == name);
        mine.map_or(String::new(), |one| one.role.clone())
    };
    let row = |one: Organization| Row {
        path: format!("o/{}/", encoded(&one.name)),
        made: visit.moment(one.created_at),
        role: role(&one.name),
        name: one.name,
    };
    let page = Organizations {
        shell: visit.shell("organizations"),
        rows: organizations.items.into_iter().map(row).collect(),
        next: organizations
            .next_cursor
            .map(|cursor| Form::default().query(&[("cursor", &cursor)])),
        invitations: invitations
            .items
            .into_iter()
            .map(|one| {
                let at = one.invited_at.map(|at| visit.moment(at));
                (one, at)
            })
            .collect(),
        form,
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
}

async fn create(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let body = form.texts(&["name"]);
    match visit
        .api
        .carry_out(Method::POST, at(&["organizations"]), &body, None)
        .await
    {
        Ok(_) => Ok(visit.go_to(&format!("o/{}/", encoded(form.get("name").trim())))),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => {
            let refusal = refusal.of_field("name_taken", "name", "Another organization has this name.");
            show_with(&visit, form, refusal).await
        }
    }
}

async fn accept(visit: Visit, Path(organization): Path<String>) -> Result<Response, Trouble> {
    let at = at(&["me", "invitations", &organization, "accept"]);
    visit.change(Method::POST, at, &json!({})).await?;
    Ok(visit.go_to(""))
}

async fn decline(visit: Visit, Path(organization): Path<String>) -> Result<Response, Trouble> {
    visit
        .change(
            Method::DELETE,
            at(&["me", "invitations", &organization]),
            &json!({}),
        )
        .await?;
    Ok(visit.go_to("organizations"))
}
