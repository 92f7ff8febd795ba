//! Revoking many tokens: a preview, a count to type, and progress that survives closing the page.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Shell, Trouble, Visit, page, page_with};
use super::tokens::{FILTERS, Listing, Names, Row, Token, Used, filtered};
use super::words::{Moment, counted, grouped};
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/o/{organization}/tokens/revoke", post(of_organization))
        .route("/console/tokens/revoke", post(of_all))
        .route(
            "/console/o/{organization}/tokens/revoke/now",
            post(now_of_organization),
        )
        .route("/console/tokens/revoke/now", post(now_of_all))
        .route("/console/revocations/{id}", get(progress))
}

/// From how many tokens on their number has to be typed.
const MANY: u64 = 50;

/// How many tokens of the preview are shown.
const SHOWN: &str = "20";

#[derive(Template)]
#[template(path = "revoke_many.html")]
struct Preview {
    shell: Shell,
    path: String,
    form: Form,
    refusal: Refusal,
    matched: u64,
    words: String,
    must_type: bool,
    rows: Vec<Row>,
    /// How many of those that are shown were used within a day.
    used: usize,
}

#[derive(Deserialize)]
struct Trial {
    matched: u64,
}

async fn of_organization(
    visit: Visit,
    Path(organization): Path<String>,
    form: Form,
) -> Result<Response, Trouble> {
    preview(&visit, Some(&organization), form, Refusal::default()).await
}

async fn of_all(visit: Visit, form: Form) -> Result<Response, Trouble> {
    preview(&visit, None, form, Refusal::default()).await
}

async fn preview(
    visit: &Visit,
    organization: Option<&str>,
    form: Form,
    refusal: Refusal,
) -> Result<Response, Trouble> {
    let names = match organization {
        Some(organization) => Names::of(visit, organization).await?,
        None => Names::default(),
    };
    let selected: Vec<&str> = form.all("token").collect();
    let is_selection = form.is("which", "selected");
    let (matched, rows) = match is_selection {
        true => {
            let mut rows = Vec::new();
            for id in &selected {
                let token: Token = visit.get(at(&["tokens", id])).await?;
                rows.push(Row::new(token, visit, &names, &[]));
            }
            (rows.len() as u64, rows)
        }
        false => {
            let mut body = filter(&form, organization);
            body.insert("dry_run".to_owned(), true.into());
            let trial = visit
                .api
                .send::<Trial>(Method::POST, at(&["tokens", "revoke"]), &body, None)
                .await;
            let trial = trial.map_err(|refusal| visit.refused(refusal))?;
            let newest = form
                .clone()
                .only(&FILTERS)
                .with("status", "active")
                .with("sort_by", "last_used_at");
            let listing: Listing = visit
                .get(filtered(&newest, organization).with("limit", SHOWN))
                .await?;
            (trial.matched, listing.rows(visit, &names))
        }
    };
    let yesterday = visit.now.plus_seconds(-24 * 60 * 60);
    let shell = match organization {
        Some(organization) => visit.shell_of("tokens", organization),
        None => visit.shell("all-tokens"),
    };
    let status = if refusal.detail.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let preview = Preview {
        path: shell
            .organization
            .as_ref()
            .map_or(String::new(), |place| format!("{}/", place.path))
            + "tokens",
        shell,
        form: form.or("key", visit.key.clone()),
        refusal,
        matched,
        words: counted(matched, "token"),
        must_type: matched > MANY,
        used: rows
            .iter()
            .filter(|row| row.token.last_used_at.is_some_and(|used| used >= yesterday))
            .count(),
        rows,
    };
    Ok(page_with(status, &preview))
}

/// Returns the filter of the API that a form means.
fn filter(form: &Form, organization: Option<&str>) -> Map<String, Value> {
    let mut body = form.texts(&FILTERS);
    for name in ["never_used", "include_revoked"] {
        if body.contains_key(name) {
            body.insert(name.to_owned(), form.is(name, "true").into());
        }
    }
    if let Some(organization) = organization {
        body.insert("organization".to_owned(), organization.into());
    }
    body
}

async fn now_of_organization(
    visit: Visit,
    Path(organization): Path<String>,
    form: Form,
) -> Result<Response, Trouble> {
    now(&visit, Some(&organization), form).await
}

async fn now_of_all(visit: Visit, form: Form) -> Result<Response, Trouble> {
    now(&visit, None, form).await
}

#[derive(Deserialize)]
struct Ordered {
    id: String,
}

async fn now(visit: &Visit, organization: Option<&str>, form: Form) -> Result<Response, Trouble> {
    let typed = form.get("typed").replace(',', "");
    if form
        .get("matched")
        .parse()
        .is_ok_and(|matched: u64| matched > MANY)
        && typed.trim() != form.get("matched")
    {
        let refusal = Refusal {
            detail: "Type the number of tokens that end.".to_owned(),
            fields: vec![(
                "typed".to_owned(),
                "This is not the number of tokens that match.".to_owned(),
            )],
            ..Refusal::default()
        };
        return preview(visit, organization, form, refusal).await;
    }
    let reason = form.texts(&["reason"]);
    if form.is("which", "selected") {
        for id in form.all("token") {
            visit
                .change(Method::POST, at(&["tokens", id, "revoke"]), &reason)
                .await?;
        }
        let list = organization.map_or_else(
            || "tokens".to_owned(),
            |organization| visit.place(organization).path + "/tokens",
        );
        return Ok(visit.go_to(&format!("{list}?status=revoked")));
    }
    let mut body = filter(&form, organization);
    body.extend(reason);
    let key = Some(form.get("key"));
    match visit
        .api
        .send::<Ordered>(Method::POST, at(&["tokens", "revoke"]), &body, key)
        .await
    {
        Ok(ordered) => Ok(visit.go_to(&format!("revocations/{}", ordered.id))),
        Err(refusal) if refusal.fields.is_empty() => Err(visit.refused(refusal)),
        Err(refusal) => preview(visit, organization, form, refusal).await,
    }
}

/// A bulk revocation, as the API shows it.
#[derive(Deserialize)]
struct Order {
    id: String,
    ordered_at: Timestamp,
    ordered_by: String,
    reason: Option<String>,
    matched: u64,
    revoked: u64,
    left: u64,
    finished_at: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "progress.html")]
struct Progress {
    shell: Shell,
    order: Order,
    ordered: Moment,
    finished: Option<Moment>,
    revoked: String,
    matched: String,
}

async fn progress(visit: Visit, Path(id): Path<String>) -> Result<Response, Trouble> {
    let order: Order = visit.get(at(&["tokens", "revoke", &id])).await?;
    Ok(page(&Progress {
        shell: visit.shell("tokens"),
        ordered: visit.moment(order.ordered_at),
        finished: order.finished_at.map(|at| visit.moment(at)),
        revoked: grouped(order.revoked),
        matched: grouped(order.matched),
        order,
    }))
}
