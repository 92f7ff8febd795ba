//! The home of an organization: how many tokens there are, what ends soon, and what to do next.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::api::{at, encoded};
use super::chart::{self, Point};
use super::form::Form;
use super::page::{Place, Shell, Trouble, Visit, page};
use super::tokens::{Listing, Names, Row, Used, filtered};
use super::words::{counted, grouped};
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console", get(first))
        .route("/console/", get(first))
        .route("/console/o/{organization}/", get(show))
}

#[derive(Deserialize)]
struct Summary {
    active: u64,
    expired: u64,
    revoked: u64,
    expiring: u64,
    expires_before: Timestamp,
    unused: u64,
    unused_since: Timestamp,
}

#[derive(Deserialize)]
struct Statistics {
    days: Vec<DayCounts>,
}

#[derive(Deserialize)]
struct DayCounts {
    day: String,
    issued: u64,
    revoked: u64,
    expired: u64,
    active: u64,
    refused: u64,
}

/// A number that leads to the list of what it counts.
struct Number {
    count: String,
    name: &'static str,
    query: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    shell: Shell,
    place: Place,
    numbers: Vec<Number>,
    /// What ends within a week.
    ending: Vec<Row>,
    /// The last month; nothing for those who may not see the numbers of the organization.
    days: Vec<Point>,
    line: String,
    bars: String,
    /// The fewest and the most active tokens, in words.
    range: String,
    /// The most tokens that were issued or ended on one day.
    most: String,
    /// How often revoked tokens were presented, if they were.
    refusals: Option<Refusals>,
    is_empty: bool,
}

struct Refusals {
    /// In words.
    all: String,
    bars: String,
}

/// Leads to the organization of the person, or to the list of organizations.
async fn first(visit: Visit) -> Response {
    match visit.me.organizations.as_slice() {
        [only] => visit.go_to(&format!("o/{}/", encoded(&only.name))),
        _ => visit.go_to("organizations"),
    }
}

async fn show(visit: Visit, Path(organization): Path<String>) -> Result<Response, Trouble> {
    let soon = visit.now.plus_seconds(7 * 24 * 60 * 60).to_string();
    let ends_soon = Form::default()
        .or("status", "active")
        .or("expires_before", soon)
        .or("sort_by", "expires_at")
        .or("descending", "false");
    let statistics = at(&["statistics"]).with("organization", &organization);
    let statistics = visit.api.get::<Statistics>(statistics).await;
    let (summary, ending, names) = tokio::try_join!(
        visit.get::<Summary>(at(&["organizations", &organization, "summary"])),
        visit.get::<Listing>(filtered(&ends_soon, Some(&organization)).with("limit", "5")),
        Names::of(&visit, &organization),
    )?;
    let number = |count: u64, name, filters: &[(&str, &str)]| Number {
        count: grouped(count),
        name,
        query: Form::default().query(filters),
    };
    let shell = visit.shell_of("home", &organization);
    let days: Vec<Point> = statistics.map_or_else(
        |_| Vec::new(),
        |statistics| {
            let days = statistics.days.into_iter();
            days.map(|one| Point {
                day: one.day,
                active: one.active,
                issued: one.issued,
                ended: one.revoked + one.expired,
                refused: one.refused,
            })
            .collect()
        },
    );
    let home = Home {
        place: visit.place(&organization),
        numbers: vec![
            number(summary.active, "active", &[("status", "active")]),
            number(
                summary.expiring,
                "end within a week",
                &[
                    ("status", "active"),
                    ("expires_before", &summary.expires_before.to_string()),
                    ("sort_by", "expires_at"),
                    ("descending", "false"),
                ],
            ),
            number(
                summary.unused,
                "not used for 90 days",
                &[
                    ("status", "active"),
                    ("unused_since", &summary.unused_since.to_string()),
                    ("sort_by", "last_used_at"),
                    ("descending", "false"),
                ],
            ),
            number(summary.revoked, "revoked", &[("status", "revoked")]),
        ],
        is_empty: summary.active + summary.expired + summary.revoked == 0,
        ending: ending.rows(&visit, &names),
        line: chart::line(&days),
        bars: chart::bars(
            &days,
            chart::CHANGES,
            "chart-of-changes",
            "Issued and ended tokens by day",
        ),
        refusals: match days.iter().map(|day| day.refused).sum() {
            0 => None,
            all => Some(Refusals {
                all: counted(all, "time"),
                bars: chart::bars(
                    &days,
                    chart::REFUSALS,
                    "chart-of-refusals",
                    "Refusals of revoked tokens by day",
                ),
            }),
        },
        range: match chart::range(&days) {
            (least, most) if least == most => grouped(most),
            (least, most) => format!("{} to {}", grouped(least), grouped(most)),
        },
        most: grouped(chart::most(&days, chart::CHANGES)),
        days,
        shell,
    };
    Ok(page(&home))
}
