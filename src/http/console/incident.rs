//! A leaked token: whose it is, what it did, what it has made, and the end of all of it in one confirmation.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::api::{Refusal, at};
use super::audit::{Line, Lines};
use super::form::Form;
use super::inspect::{self, Inspection};
use super::page::{Shell, Trouble, Visit, page, page_with};
use super::tokens::{Listing, Names, Row, Token, Used};
use super::words::grouped;
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/incident", get(show).post(examine))
        .route("/console/incident/end", post(end))
}

#[derive(Template)]
#[template(path = "incident.html")]
struct Incident {
    shell: Shell,
    refusal: Refusal,
    case: Option<Case>,
}

/// A token that may have leaked.
struct Case {
    found: Inspection,
    row: Row,
    made: Vec<Row>,
    lines: Vec<Line>,
    /// How many tokens would end.
    ends: String,
    left: u64,
}

#[derive(Deserialize)]
struct DryRun {
    matched: u64,
    left: u64,
}

async fn show(visit: Visit) -> Response {
    page(&Incident {
        shell: visit.shell("incident"),
        refusal: Refusal::default(),
        case: None,
    })
}

async fn examine(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let (case, refusal) = match inspect::ask(&visit, &form).await {
        Ok(found) => (case(&visit, found).await?, Refusal::default()),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => return Err(visit.refused(refusal)),
        Err(refusal) => (None, refusal),
    };
    let refusal = match &case {
        None if refusal.detail.is_empty() => Refusal {
            status: StatusCode::NOT_FOUND,
            detail: "No record has this token: it is not one of jeton's, or its record is deleted."
                .to_owned(),
            ..Refusal::default()
        },
        _ => refusal,
    };
    let page = Incident {
        shell: visit.shell("incident"),
        refusal,
        case,
    };
    Ok(page_with(page.refusal.status, &page))
}

async fn case(visit: &Visit, mut found: Inspection) -> Result<Option<Case>, Trouble> {
    let Some(token) = found.token_info.take() else {
        return Ok(None);
    };
    let names = match &token.organization {
        Some(organization) => Names::of(visit, organization).await?,
        None => Names::default(),
    };
    let creator = token.actor();
    let made = at(&["tokens"])
        .with("created_by", &creator)
        .with("include_revoked", "true")
        .with("limit", "50");
    let trial = json!({"descendants": true, "dry_run": true});
    let (token, made, lines, trial) = tokio::join!(
        visit.get::<Token>(at(&["tokens", &token.id])),
        visit.get::<Listing>(made),
        visit.api.get::<Lines>(
            at(&["audit"])
                .with("organization", token.organization.as_deref().unwrap_or_default())
                .with("actor", &creator)
                .with("limit", "50")
        ),
        visit
            .api
            .send::<DryRun>(Method::POST, at(&["tokens", &token.id, "revoke"]), &trial, None),
    );
    let trial = trial.map_err(|refusal| visit.refused(refusal))?;
    Ok(Some(Case {
        made: made?.rows(visit, &names),
        // Those who do not administer the organization have no audit.
        lines: lines.map_or_else(|_| Vec::new(), |lines| lines.shown(visit)),
        ends: grouped(trial.matched),
        left: trial.left,
        row: Row::new(token?, visit, &names, &[]),
        found,
    }))
}

async fn end(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let mut body = form.texts(&["reason"]);
    for name in ["descendants", "force"] {
        body.insert(name.to_owned(), true.into());
    }
    let token = form.get("id");
    visit
        .change(Method::POST, at(&["tokens", token, "revoke"]), &body)
        .await?;
    Ok(visit.go_to(&format!("tokens/{}", super::api::encoded(token))))
}
