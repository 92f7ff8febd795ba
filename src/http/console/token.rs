//! One token: what it is, where it came from, what it made, how it is used, and how to change or end it.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::api::{Refusal, at};
use super::audit::{Line, Lines};
use super::create::{Answer, Items, Project, created};
use super::form::Form;
use super::page::{Place, Shell, Trouble, Visit, page_with};
use super::tokens::{Listing, Names, Row, Token, Used};
use super::words::{Moment, counted};
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/tokens/{id}", get(show))
        .route("/console/tokens/{id}/describe", post(describe))
        .route("/console/tokens/{id}/rotate", post(rotate))
        .route("/console/tokens/{id}/revoke", post(revoke))
}

/// How long a replaced token may stay.
pub(super) const GRACE_PERIODS: [(&str, &str); 6] = [
    ("1d", "after a day"),
    ("0s", "at once"),
    ("15m", "after 15 minutes"),
    ("1h", "after an hour"),
    ("6h", "after 6 hours"),
    ("7d", "after a week"),
];

/// Reasons that the form suggests.
const REASONS: [&str; 5] = [
    "leaked",
    "no longer used",
    "replaced by another token",
    "its owner has left",
    "made by mistake",
];

/// Where a token is in its line of rotations.
struct Relative {
    id: String,
    name: String,
    status: String,
}

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    shell: Shell,
    place: Option<Place>,
    row: Row,
    refusal: Refusal,
    form: Form,
    predecessor: Option<Relative>,
    successor: Option<Relative>,
    made: Vec<Row>,
    revoked_at: Option<Moment>,
    effective_at: Option<Moment>,
    refused_at: Option<Moment>,
    lines: Vec<Line>,
    /// The names of the projects that it is restricted to.
    projects: Vec<String>,
    /// How often it was refused since it was revoked, in words.
    refusals: String,
    reasons: [&'static str; 5],
    /// Whether the last token of its owner is kept unless it is forced.
    needs_force: bool,
}

async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Trouble> {
    let form = Form::default();
    show_with(&visit, &id, form, Refusal::default()).await
}

async fn show_with(visit: &Visit, id: &str, form: Form, refusal: Refusal) -> Result<Response, Trouble> {
    let token: Token = visit.get(at(&["tokens", id])).await?;
    let organization = match &token.organization {
        Some(organization) => Some(visit.organization_name(organization).await?),
        None => None,
    };
    let names = match &organization {
        Some(organization) => Names::of(visit, organization).await?,
        None => Names::default(),
    };
    let made = at(&["tokens"])
        .with("created_by", &token.actor())
        .with("include_revoked", "true")
        .with("limit", "20");
    let (predecessor, successor, made, lines) = tokio::join!(
        relative(visit, token.rotated_from.as_deref()),
        relative(visit, token.replaced_by.as_deref()),
        visit.api.get::<Listing>(made),
        visit.api.get::<Lines>(
            at(&["audit"])
                .with("organization", organization.as_deref().unwrap_or_default())
                .with("token", &token.id)
                .with("limit", "20")
        ),
    );
    let projects = projects(visit, &token, organization.as_deref()).await?;
    let moment = |instant: Option<Timestamp>| instant.map(|instant| visit.moment(instant));
    // Those who do not administer the organization have no audit; a list that fails is not worth the page.
    let lines = lines.map_or_else(|_| Vec::new(), |lines| lines.shown(visit));
    let made = made.map_or_else(|_| Vec::new(), |listing| listing.rows(visit, &names));
    let form = form
        .with("key", visit.key.clone())
        .or("name", &*token.name)
        .or("description", token.description.clone().unwrap_or_default());
    let page = TokenPage {
        shell: match &organization {
            Some(organization) => visit.shell_of("tokens", organization),
            None => visit.shell("all-tokens"),
        },
        place: organization
            .as_deref()
            .map(|organization| visit.place(organization)),
        needs_force: refusal.code == "last_token",
        refusal,
        form,
        predecessor,
        successor,
        made,
        revoked_at: moment(token.revoked_at),
        effective_at: moment(token.revocation_effective_at),
        refused_at: moment(token.last_refused_at),
        lines,
        projects,
        refusals: counted(token.refused_count, "time"),
        row: Row::new(token, visit, &names, &[]),
        reasons: REASONS,
    };
    Ok(page_with(page.refusal.status, &page))
}

/// Returns the names of the projects that a token is restricted to.
async fn projects(visit: &Visit, token: &Token, organization: Option<&str>) -> Result<Vec<String>, Trouble> {
    let (Some(restricted), Some(organization)) = (&token.projects, organization) else {
        return Ok(Vec::new());
    };
    let all = at(&["organizations", organization, "projects"]).with("limit", "1000");
    let all: Items<Project> = visit.get(all).await?;
    let name = |id: &i64| {
        let known = all.items.iter().find(|project| project.id == *id);
        known.map_or_else(|| format!("number {id}"), |project| project.name.clone())
    };
    Ok(restricted.iter().map(name).collect())
}

async fn relative(visit: &Visit, id: Option<&str>) -> Option<Relative> {
    let token: Token = visit.api.get(at(&["tokens", id?])).await.ok()?;
    Some(Relative {
        id: token.id,
        name: token.name,
        status: token.status,
    })
}

async fn describe(visit: Visit, Path(id): Path<String>, form: Form) -> Result<Response, Trouble> {
    let description = match form.get("description").trim() {
        "" => Value::Null,
        text => text.into(),
    };
    let body = json!({"name": form.get("name").trim(), "description": description});
    match visit
        .api
        .carry_out(Method::PATCH, at(&["tokens", &id]), &body, None)
        .await
    {
        Ok(_) => Ok(visit.go_to(&format!("tokens/{id}"))),
        Err(refusal) => again(&visit, &id, form, refusal).await,
    }
}

async fn rotate(
    visit: Visit,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Trouble> {
    let body = form.texts(&["grace_period"]);
    let rotated = visit
        .api
        .send::<Answer>(
            Method::POST,
            at(&["tokens", &id, "rotate"]),
            &body,
            Some(form.get("key")),
        )
        .await;
    match rotated {
        Ok(answer) => {
            let old: Token = visit.get(at(&["tokens", &id])).await?;
            let shell = match &answer.token_info.organization {
                Some(organization) => visit.shell_of("tokens", &visit.organization_name(organization).await?),
                None => visit.shell("all-tokens"),
            };
            Ok(created(&visit, &app, shell, answer, Some(old)))
        }
        Err(refusal) => again(&visit, &id, form, refusal).await,
    }
}

async fn revoke(visit: Visit, Path(id): Path<String>, form: Form) -> Result<Response, Trouble> {
    let mut body = form.texts(&["reason"]);
    for name in ["force", "descendants"] {
        if form.has(name) {
            body.insert(name.to_owned(), true.into());
        }
    }
    match visit
        .api
        .carry_out(Method::POST, at(&["tokens", &id, "revoke"]), &body, None)
        .await
    {
        Ok(_) => Ok(visit.go_to(&format!("tokens/{id}"))),
        Err(refusal) => again(&visit, &id, form, refusal).await,
    }
}

/// Returns the page with what was refused.
async fn again(visit: &Visit, id: &str, form: Form, refusal: Refusal) -> Result<Response, Trouble> {
    match refusal.status {
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => Err(visit.refused(refusal)),
        _ => show_with(visit, id, form, refusal).await,
    }
}
