//! A cut-off: ends everything that was issued until now to an organization, a team, a project or a person.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{Refusal, at};
use super::create::{Items, Project};
use super::form::Form;
use super::page::{Shell, Trouble, Visit, page_with};
use super::people::Preview;
use super::tokens::{Names, Team};
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/o/{organization}/cut-off", get(show).post(cut_off))
}

/// A cut-off that was carried out.
#[derive(Deserialize)]
struct Done {
    sequence: u64,
    refused_everywhere_by: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "cut_off.html")]
struct CutOff {
    shell: Shell,
    path: String,
    organization: String,
    teams: Vec<Team>,
    projects: Vec<Project>,
    form: Form,
    refusal: Refusal,
    /// What it would end.
    preview: Option<Preview>,
    done: Option<(u64, Option<Moment>)>,
}

async fn show(visit: Visit, Path(organization): Path<String>) -> Result<Response, Trouble> {
    answer(
        &visit,
        &organization,
        Form::default(),
        Refusal::default(),
        None,
        None,
    )
    .await
}

/// Shows what the cut-off would end, and carries it out if the name of the organization was typed.
async fn cut_off(visit: Visit, Path(organization): Path<String>, form: Form) -> Result<Response, Trouble> {
    let mut body = request(&form, &organization);
    let is_confirmed = form.is("step", "confirm") && form.get("typed").trim() == organization;
    let key = form.get("key").to_owned();
    if is_confirmed {
        let done = visit
            .api
            .send::<Done>(Method::POST, at(&["revocations"]), &body, Some(&key))
            .await;
        return match done {
            Ok(done) => {
                let by = done.refused_everywhere_by.map(|by| visit.moment(by));
                let done = Some((done.sequence, by));
                answer(
                    &visit,
                    &organization,
                    Form::default(),
                    Refusal::default(),
                    None,
                    done,
                )
                .await
            }
            Err(refusal) => refused(&visit, &organization, form, refusal).await,
        };
    }
    body.insert("dry_run".to_owned(), true.into());
    match visit
        .api
        .send::<Preview>(Method::POST, at(&["revocations"]), &body, None)
        .await
    {
        Ok(preview) => {
            let refusal = match form.is("step", "confirm") {
                true => Refusal {
                    status: StatusCode::UNPROCESSABLE_ENTITY,
                    detail: "Type the name of the organization.".to_owned(),
                    fields: vec![("typed".to_owned(), "This is not its name.".to_owned())],
                    ..Refusal::default()
                },
                false => Refusal::default(),
            };
            let form = form.with("key", visit.key.clone());
            answer(&visit, &organization, form, refusal, Some(preview), None).await
        }
        Err(refusal) => refused(&visit, &organization, form, refusal).await,
    }
}

/// Returns the request that a form means.
fn request(form: &Form, organization: &str) -> Map<String, Value> {
    let mut body = form.texts(&["reason"]);
    body.insert("organization".to_owned(), organization.into());
    match form.get("reach") {
        "team" => body.extend(form.texts(&["team"])),
        "user" => body.extend(form.texts(&["user"])),
        "project" => {
            if let Ok(project) = form.get("project").parse::<i64>() {
                body.insert("project".to_owned(), project.into());
            }
        }
        _ => {}
    }
    body
}

async fn refused(
    visit: &Visit,
    organization: &str,
    form: Form,
    refusal: Refusal,
) -> Result<Response, Trouble> {
    match refusal.status {
        StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        StatusCode::NOT_FOUND if form.is("reach", "user") => {
            let refusal = refusal.of_field(
                "not_found",
                "user",
                "Nobody in the organization has this address.",
            );
            answer(visit, organization, form, refusal, None, None).await
        }
        _ => answer(visit, organization, form, refusal, None, None).await,
    }
}

async fn answer(
    visit: &Visit,
    organization: &str,
    form: Form,
    refusal: Refusal,
    preview: Option<Preview>,
    done: Option<(u64, Option<Moment>)>,
) -> Result<Response, Trouble> {
    let projects = at(&["organizations", organization, "projects"]).with("limit", "1000");
    let (names, projects) = tokio::try_join!(
        Names::of(visit, organization),
        visit.get::<Items<Project>>(projects)
    )?;
    let page = CutOff {
        shell: visit.shell_of("cut-off", organization),
        path: format!("{}/cut-off", visit.place(organization).path),
        organization: organization.to_owned(),
        teams: names.teams,
        projects: projects.items,
        form,
        refusal,
        preview,
        done,
    };
    Ok(page_with(page.refusal.status, &page))
}
