//! The list of tokens: `GET /tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::caller::{Caller, TokensRead};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::v1::cursor::ListDigest;
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::filter::FilterForm;
use crate::http::v1::tokens::{BusinessHeader, TokenInfo};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CountTotal, Direction, Order, Page, ReportingAudience, Sort, SortBy};

/// Filters, page and order of the list, in the order of DayZero's documents: FastAPI lists errors in it.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct ListForm {
    #[form(flatten)]
    filter: FilterForm,
    /// `next_cursor` or `prev_cursor` of another page of the same list. Default: the first page.
    #[form(length(max = 2048))]
    cursor: Option<String>,
    /// The page size.
    #[form(default = 50, range(min = 1, max = 1000))]
    limit: i64,
    /// The direction from the cursor: `next` towards the end of the list, `prev` towards its beginning.
    #[form(default = Direction::Next)]
    direction: Direction,
    /// Whether to return `total`. Counting reads every matching token, which is slow for long lists.
    #[form(default = false)]
    include_total_count: bool,
    /// The sort key. Tokens with equal keys are sorted by creation.
    #[form(default = SortBy::CreatedAt)]
    sort_by: SortBy,
    /// Whether to sort in descending order (latest or Z first). Tokens without a value come last in both orders.
    #[form(default = true)]
    descending: bool,
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

/// A page of the list of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenList {
    /// The tokens of this page.
    items: Vec<TokenInfo>,
    /// The number of matching tokens on all pages; `null` unless `include_total_count` is `true`.
    #[schema(required = true)]
    total: Option<u64>,
    /// The page size.
    limit: i64,
    /// The `cursor` of the next page, with `direction=next`; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// The `cursor` of the previous page, with `direction=prev`; `null` on the first page.
    #[schema(required = true)]
    prev_cursor: Option<String>,
    /// Whether there is a next page.
    has_next: bool,
    /// Whether there is a previous page.
    has_prev: bool,
    /// Same as `has_next`.
    has_more: bool,
    /// The audiences of the tokens in `items` whose verifiers have reported use. A token with another audience
    /// can be in use although `last_used_at` does not show it.
    reporting_audiences: Vec<ReportingInfo>,
}

/// An audience for which verifiers have reported use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportingAudience)]
pub(super) struct ReportingInfo {
    /// The audience.
    #[schema(example = "https://api.example.com")]
    audience: String,
    /// The first report.
    #[schema(value_type = domain_types::Instant)]
    first_reported_at: Timestamp,
    /// The last report.
    #[schema(value_type = domain_types::Instant)]
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
/// Lists the tokens you may manage: your own, those of teams you administer, and those of organizations you
/// administer. Site administrators see all tokens.
///
/// Follow `next_cursor` until `has_next` is `false`. With `sort_by` `created_at`, `expires_at` or `created_by`,
/// every token that exists during the whole pagination is returned exactly once. With `last_used_at`, `name` or
/// `team`, a token whose sort key changes meanwhile can be returned twice or not at all.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens",
    params(ListForm, BusinessHeader),
    responses((status = OK, description = "A page of tokens", body = TokenList),
              (status = BAD_REQUEST, description = "The request is malformed, the cursor belongs to another list, or the list is too long for its order, filter or count", body = Problem, example = json!(["bad_cursor", "too_costly"])),
              (status = NOT_FOUND, description = "No such organization or team, or you may not see it", body = Problem)))]
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
