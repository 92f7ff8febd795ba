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
use super::people::Preview;
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/o/{organization}/members", get(show).post(put))
        .route(
            "/console/o/{organization}/members/{email}/remove",
            get(confirm).post(remove),
        )
        .route("/console/o/{organization}/members/withdraw", post(withdraw))
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

#[derive(Deserialize)]
struct Invitation {
    email: String,
    role: String,
    teams: Vec<InvitedToTeam>,
    invited_by: Option<String>,
    invited_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct InvitedToTeam {
    name: String,
}

#[derive(Template)]
#[template(path = "members.html")]
struct Members {
    shell: Shell,
    place: Place,
    members: Vec<Member>,
    /// Who is invited, for admins, and when that was.
    invited: Vec<(Invitation, Option<Moment>)>,
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
    let place = visit.place(organization);
    let invitations = async {
        match place.is_admin {
            true => {
                let path = at(&["organizations", organization, "invitations"]).with("limit", "1000");
                visit
                    .get::<Items<Invitation>>(path)
                    .await
                    .map(|found| found.items)
            }
            false => Ok(Vec::new()),
        }
    };
    let (members, invitations) = tokio::try_join!(visit.get::<Items<Member>>(members), invitations)?;
    let when = |invitation: Invitation| {
        let at = invitation.invited_at.map(|at| visit.moment(at));
        (invitation, at)
    };
    // Admins see invitations in a table of their own.
    let is_shown = |member: &Member| !place.is_admin || member.status != "invited";
    let page = Members {
        shell: visit.shell_of("members", organization),
        members: members.items.into_iter().filter(is_shown).collect(),
        invited: invitations.into_iter().map(when).collect(),
        place: place.clone(),
        next: members
            .next_cursor
            .map(|cursor| Form::default().query(&[("cursor", &cursor)])),
        roles: ROLES,
        form,
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
}

#[derive(Template)]
#[template(path = "remove_member.html")]
struct RemoveMember {
    shell: Shell,
    place: Place,
    email: String,
    preview: Preview,
    refusal: Refusal,
}

/// Shows what removing a member would end.
async fn confirm(
    visit: Visit,
    Path((organization, email)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    ask(&visit, &organization, email, Refusal::default()).await
}

async fn ask(
    visit: &Visit,
    organization: &str,
    email: String,
    refusal: Refusal,
) -> Result<Response, Trouble> {
    let trial = at(&["organizations", organization, "members", &email]).with("dry_run", "true");
    let preview = visit.change_for(Method::DELETE, trial, &json!({})).await?;
    let page = RemoveMember {
        shell: visit.shell_of("members", organization),
        place: visit.place(organization),
        email,
        preview,
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
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

async fn remove(
    visit: Visit,
    Path((organization, email)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    let path = at(&["organizations", &organization, "members", &email]);
    match visit.api.carry_out(Method::DELETE, path, &json!({}), None).await {
        Ok(_) => Ok(visit.go_to(&format!("o/{}/members", encoded(&organization)))),
        // The last admin stays.
        Err(refusal) if refusal.status == StatusCode::CONFLICT => {
            ask(&visit, &organization, email, refusal).await
        }
        Err(refusal) => Err(visit.refused(refusal)),
    }
}

async fn withdraw(visit: Visit, Path(organization): Path<String>, form: Form) -> Result<Response, Trouble> {
    let path = at(&["organizations", &organization, "invitations", form.get("email")]);
    let withdrawn = visit.api.carry_out(Method::DELETE, path, &json!({}), None).await;
    after(&visit, &organization, Form::default(), withdrawn).await
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
