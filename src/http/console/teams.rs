//! Teams of an organization, and one team with its members.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::api::{Refusal, at, encoded};
use super::form::Form;
use super::members::{Items, Member, ROLES};
use super::page::{Place, Shell, Trouble, Visit, page_with};
use super::people::Preview;
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/o/{organization}/teams", get(show).post(create))
        .route(
            "/console/o/{organization}/teams/{team}",
            get(show_one).post(put_member),
        )
        .route("/console/o/{organization}/teams/{team}/rename", post(rename))
        .route(
            "/console/o/{organization}/teams/{team}/remove",
            post(remove_member),
        )
        .route("/console/o/{organization}/teams/{team}/delete", post(delete))
}

#[derive(Deserialize)]
struct Team {
    id: String,
    name: String,
    created_at: Timestamp,
}

#[derive(Template)]
#[template(path = "teams.html")]
struct Teams {
    shell: Shell,
    place: Place,
    rows: Vec<(Team, Moment)>,
    form: Form,
    refusal: Refusal,
}

#[derive(Template)]
#[template(path = "team.html")]
struct OneTeam {
    shell: Shell,
    place: Place,
    team: Team,
    members: Vec<Member>,
    /// What deleting it would end, for admins.
    preview: Option<Preview>,
    roles: [(&'static str, &'static str); 3],
    form: Form,
    refusal: Refusal,
}

async fn show(visit: Visit, Path(organization): Path<String>) -> Result<Response, Trouble> {
    list(&visit, &organization, Form::default(), Refusal::default()).await
}

async fn list(visit: &Visit, organization: &str, form: Form, refusal: Refusal) -> Result<Response, Trouble> {
    let teams: Items<Team> = visit
        .get(at(&["organizations", organization, "teams"]).with("limit", "1000"))
        .await?;
    let row = |team: Team| {
        let made = visit.moment(team.created_at);
        (team, made)
    };
    let page = Teams {
        shell: visit.shell_of("teams", organization),
        place: visit.place(organization),
        rows: teams.items.into_iter().map(row).collect(),
        form,
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
}

async fn create(visit: Visit, Path(organization): Path<String>, form: Form) -> Result<Response, Trouble> {
    let path = at(&["organizations", &organization, "teams"]);
    match visit
        .api
        .send::<Team>(Method::POST, path, &form.texts(&["name"]), None)
        .await
    {
        Ok(team) => Ok(visit.go_to(&format!("o/{}/teams/{}", encoded(&organization), team.id))),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => list(&visit, &organization, form, refusal).await,
    }
}

async fn show_one(
    visit: Visit,
    Path((organization, team)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    one(&visit, &organization, &team, Form::default(), Refusal::default()).await
}

async fn one(
    visit: &Visit,
    organization: &str,
    team: &str,
    form: Form,
    refusal: Refusal,
) -> Result<Response, Trouble> {
    let path = ["organizations", organization, "teams", team];
    let place = visit.place(organization);
    let members = at(&["organizations", organization, "teams", team, "members"]).with("limit", "1000");
    let preview = async {
        match place.is_admin {
            true => {
                let trial = at(&path).with("dry_run", "true");
                let preview = visit.change_for(Method::DELETE, trial, &json!({})).await?;
                Ok(Some(preview))
            }
            false => Ok(None),
        }
    };
    let (team, members, preview) = tokio::try_join!(
        visit.get::<Team>(at(&path)),
        visit.get::<Items<Member>>(members),
        preview
    )?;
    let page = OneTeam {
        shell: visit.shell_of("teams", organization),
        place: place.clone(),
        team,
        members: members.items,
        preview,
        roles: ROLES,
        form,
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
}

async fn put_member(
    visit: Visit,
    Path((organization, team)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Trouble> {
    let path = at(&[
        "organizations",
        &organization,
        "teams",
        &team,
        "members",
        form.get("email").trim(),
    ]);
    let put = visit
        .api
        .carry_out(Method::PUT, path, &form.texts(&["role"]), None)
        .await;
    after(&visit, &organization, &team, form, put).await
}

async fn rename(
    visit: Visit,
    Path((organization, team)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Trouble> {
    let path = at(&["organizations", &organization, "teams", &team]);
    let renamed = visit
        .api
        .carry_out(Method::PATCH, path, &form.texts(&["name"]), None)
        .await;
    after(&visit, &organization, &team, form, renamed).await
}

async fn remove_member(
    visit: Visit,
    Path((organization, team)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Trouble> {
    let path = at(&[
        "organizations",
        &organization,
        "teams",
        &team,
        "members",
        form.get("email"),
    ]);
    let removed = visit.api.carry_out(Method::DELETE, path, &json!({}), None).await;
    after(&visit, &organization, &team, form, removed).await
}

async fn after(
    visit: &Visit,
    organization: &str,
    team: &str,
    form: Form,
    done: Result<bytes::Bytes, Refusal>,
) -> Result<Response, Trouble> {
    match done {
        Ok(_) => Ok(visit.go_to(&format!("o/{}/teams/{}", encoded(organization), encoded(team)))),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => one(visit, organization, team, form, refusal).await,
    }
}

async fn delete(
    visit: Visit,
    Path((organization, team)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    visit
        .change(
            Method::DELETE,
            at(&["organizations", &organization, "teams", &team]),
            &json!({}),
        )
        .await?;
    Ok(visit.go_to(&format!("o/{}/teams", encoded(&organization))))
}
