//! `GET /tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::caller::{Caller, TokensRead};
use crate::http::input::{Form, Input};
use crate::http::nouns;
use crate::http::v1::cursor::ListDigest;
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::filter::FilterForm;
use crate::http::v1::tokens::{BusinessHeader, TokenInfo};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CountTotal, Direction, Order, Page, ReportingAudience, Sort, SortBy};

/// Which tokens, and which part of the list.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct ListForm {
    #[form(flatten)]
    filter: FilterForm,
    /// What the list is ordered by. Equal ones are in the order in which they were made.
    #[form(default = SortBy::CreatedAt)]
    sort_by: SortBy,
    /// Whether the newest, the latest or Z comes first. What has no value is last, either way.
    #[form(default = true)]
    descending: bool,
    /// At most so many.
    #[form(default = 50, range(min = 1, max = 1000))]
    limit: i64,
    /// `next_cursor` or `prev_cursor` of another page of the same list.
    #[form(length(max = 2048))]
    cursor: Option<String>,
    /// Which way from the cursor: `next` towards the end, as without this parameter, or `prev` towards
    /// the beginning.
    #[form(default = Direction::Next)]
    direction: Direction,
    /// Whether to count all tokens that match, which reads each of them.
    #[form(default = false)]
    include_total_count: bool,
}

impl ListForm {
    fn sort(&self) -> Sort {
        Sort {
            by: self.sort_by,
            order: if self.descending {
                Order::Descending
            } else {
                Order::Ascending
            },
        }
    }
}

/// A part of the list of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenList {
    items: Vec<TokenInfo>,
    /// How many match in all, where that was asked.
    #[schema(required = true)]
    total: Option<u64>,
    limit: i64,
    /// `cursor` of the next page, with `direction=next`.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// `cursor` of the page before, with `direction=prev`.
    #[schema(required = true)]
    prev_cursor: Option<String>,
    /// Whether tokens follow.
    has_next: bool,
    /// Whether tokens precede.
    has_prev: bool,
    /// The same as `has_next`.
    has_more: bool,
    /// Those audiences of the tokens in `items` for which verifiers have ever reported use. A token for
    /// another audience can be in use without anybody here knowing.
    reporting_audiences: Vec<ReportingInfo>,
}

/// An audience for which verifiers have reported use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportingAudience)]
struct ReportingInfo {
    #[schema(example = "https://api.example.com")]
    audience: String,
    #[schema(value_type = nouns::Instant)]
    first_reported_at: Timestamp,
    #[schema(value_type = nouns::Instant)]
    last_reported_at: Timestamp,
}

impl From<ReportingAudience> for ReportingInfo {
    fn from(reporting: ReportingAudience) -> Self {
        let ReportingAudience {
            audience,
            first_reported_at,
            last_reported_at,
        } = reporting;
        Self {
            audience,
            first_reported_at,
            last_reported_at,
        }
    }
}

/// List tokens
///
/// Those that you may see: your own, those of the teams you administer, all of the organizations you
/// administer, and all there are for a site administrator.
///
/// Pages joined are the whole list. In the orders that never change (`created_at`, `expires_at`,
/// `created_by`) every token that is there from the first page to the last is seen once, also while
/// others are added. In the others (`last_used_at`, `name`, `team`) this holds for tokens whose place
/// in the order stays; one that moves meanwhile can be seen twice or not at all.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens",
    params(ListForm, BusinessHeader),
    responses((status = OK, description = "A part of the list", body = TokenList),
              (status = NOT_FOUND, description = "There is no such organization or team, or you may not know of it", body = Problem)))]
pub(super) async fn list(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { query, headers, .. }: Input<(), ListForm, (), BusinessHeader>,
) -> Result<Json<TokenList>, Failure> {
    let (sort, limit) = (query.sort(), query.limit);
    let mut filter = query.filter;
    filter.organization = filter.organization.or(headers.x_business_id);
    let wanted = filter.wanted();
    let digest = ListDigest::of(&(sort, &wanted));
    let page = Page {
        sort,
        start: query.cursor.map(|text| digest.read(&text)).transpose()?.into(),
        direction: query.direction,
        limit: u32::try_from(limit).unwrap_or(1),
        count: if query.include_total_count {
            CountTotal::Yes
        } else {
            CountTotal::No
        },
    };
    let listing = app.authority.list(&caller, &wanted, page).await?;
    let (first, last) = listing.edges.unzip();
    Ok(Json(TokenList {
        total: listing.total,
        limit,
        next_cursor: last
            .filter(|_| listing.has_next)
            .map(|cursor| digest.write(&cursor)),
        prev_cursor: first
            .filter(|_| listing.has_previous)
            .map(|cursor| digest.write(&cursor)),
        has_next: listing.has_next,
        has_prev: listing.has_previous,
        has_more: listing.has_next,
        reporting_audiences: listing
            .reporting_audiences
            .into_iter()
            .map(ReportingInfo::from)
            .collect(),
        items: listing
            .items
            .iter()
            .map(|record| TokenInfo::of(record, app.authority.status(record)))
            .collect(),
    }))
}
