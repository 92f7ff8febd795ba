//! The audit: who did what, with filters in the address.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use super::api::at;
use super::form::Form;
use super::page::{Guest, Shell, Trouble, Visit, page};
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/o/{organization}/audit", get(of_organization))
        .route("/console/audit", get(all))
}

/// A page of lines, as the API shows them.
#[derive(Debug, Deserialize)]
pub(super) struct Lines {
    items: Vec<AuditLine>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct AuditLine {
    sequence: u64,
    at: Timestamp,
    action: String,
    actor: String,
    on_behalf_of: Option<String>,
    token: Option<String>,
    target: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
    surface: Option<String>,
    address: Option<String>,
}

/// A line as a page shows it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sequence: u64,
    pub(super) at: Moment,
    pub(super) action: String,
    pub(super) actor: String,
    pub(super) token: Option<String>,
    pub(super) target: Option<String>,
    pub(super) change: String,
    pub(super) reason: Option<String>,
    pub(super) from: String,
}

impl Lines {
    pub(super) fn shown(self, guest: &Guest) -> Vec<Line> {
        let shown = |line: AuditLine| Line {
            sequence: line.sequence,
            at: guest.moment(line.at),
            action: line.action,
            actor: match line.on_behalf_of {
                Some(person) => format!("{} for {person}", line.actor),
                None => line.actor,
            },
            token: line.token,
            target: line.target,
            change: match (line.before, line.after) {
                (Some(before), Some(after)) => format!("{before} → {after}"),
                (None, Some(after)) => after.to_string(),
                (Some(before), None) => format!("was {before}"),
                (None, None) => String::new(),
            },
            reason: line.reason,
            from: [line.surface, line.address]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        };
        self.items.into_iter().map(shown).collect()
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    shell: Shell,
    path: String,
    form: Form,
    lines: Vec<Line>,
    older: Option<String>,
    is_filtered: bool,
}

const FILTERS: [&str; 6] = ["q", "actor", "token", "action", "after", "before"];

async fn of_organization(
    visit: Visit,
    Path(organization): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let shell = visit.shell_of("audit", &organization);
    list(&visit, shell, &organization, query).await
}

async fn all(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Trouble> {
    list(&visit, visit.shell("all-audit"), "", query).await
}

async fn list(
    visit: &Visit,
    shell: Shell,
    organization: &str,
    query: Option<String>,
) -> Result<Response, Trouble> {
    let form = Form::parse(query.as_deref().unwrap_or_default());
    let list = at(&["audit"])
        .with("organization", organization)
        .with("limit", "50")
        .with("cursor", form.get("cursor"));
    let list = FILTERS.iter().fold(list, |list, name| match *name {
        // A browser sends a day.
        "after" | "before" if form.get(name).len() == 10 => {
            list.with(name, &format!("{}T00:00:00Z", form.get(name)))
        }
        _ => list.with(name, form.get(name).trim()),
    });
    let lines: Lines = visit.get(list).await?;
    let audit = Audit {
        path: shell
            .organization
            .as_ref()
            .map_or(String::new(), |place| format!("{}/", place.path))
            + "audit",
        older: lines
            .next_cursor
            .as_deref()
            .map(|cursor| form.query(&[("cursor", cursor)])),
        is_filtered: FILTERS.iter().any(|name| form.has(name)),
        lines: lines.shown(visit),
        shell,
        form,
    };
    Ok(page(&audit))
}
