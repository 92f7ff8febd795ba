//! `GET /tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::authority::{ListTokens, Listed};
use crate::directory::{OrganizationReference, TeamReference};
use crate::http::caller::{Caller, TokensRead};
use crate::http::input::{Fields, Form, Input};
use crate::http::v1::cursor::ListDigest;
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::{BusinessHeader, TokenInfo};
use crate::http::{App, Failure};
use crate::token::{CountTotal, Cursor, Direction, OwnerKind, Page};

/// Which tokens, and which part of the list.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListForm {
    /// Of this organization, by name or id. Otherwise the header `x-business-id` says it, otherwise it
    /// is your only one; with several, your own tokens.
    #[param(value_type = Option<String>)]
    organization: Option<OrganizationReference>,
    /// Of this team, by name or id.
    #[param(value_type = Option<String>)]
    team: Option<TeamReference>,
    /// Of this kind of owner. `user` is your own tokens.
    #[param(value_type = Option<OwnerParameter>, inline)]
    owner: Option<OwnerKind>,
    /// With this in their name, description or team's name, whatever its case.
    #[validate(length(max = 255))]
    #[param(max_length = 255)]
    q: Option<String>,
    /// Whether revoked tokens are listed too.
    #[param(required = false, default = false)]
    include_revoked: bool,
    /// At most so many.
    #[validate(range(min = 1, max = 1000))]
    #[param(required = false, minimum = 1, maximum = 1000, default = 50)]
    limit: i64,
    /// `next_cursor` or `prev_cursor` of another page of the same list.
    #[validate(length(max = 100))]
    #[param(max_length = 100)]
    cursor: Option<String>,
    /// Which way from the cursor: `next` to older tokens, as without this parameter, or `prev` to
    /// newer ones.
    #[param(required = false, value_type = DirectionParameter, inline)]
    direction: Direction,
    /// Whether to count all tokens that match, which reads each of them.
    #[param(required = false, default = false)]
    include_total_count: bool,
}

/// A kind of owner.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands in the document only")]
enum OwnerParameter {
    User,
    Team,
    Organization,
    Deployment,
}

/// A way from a cursor.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands in the document only")]
enum DirectionParameter {
    Next,
    Prev,
}

impl Form for ListForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.optional("organization"),
            team: fields.optional("team"),
            owner: fields.optional("owner"),
            q: fields.optional("q"),
            include_revoked: fields.or("include_revoked", false),
            limit: fields.or("limit", 50),
            cursor: fields.optional("cursor"),
            direction: fields.or("direction", Direction::Next),
            include_total_count: fields.or("include_total_count", false),
        }
    }
}

/// A part of the list of tokens, newest first.
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
    /// Whether older tokens follow.
    has_next: bool,
    /// Whether newer tokens precede.
    has_prev: bool,
    /// The same as `has_next`.
    has_more: bool,
}

/// List tokens
///
/// Those that you may see: your own, those of the teams you administer, and all of the organizations
/// you administer. Newest first; pages joined are the whole list, also while tokens are added.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens",
    params(ListForm, BusinessHeader),
    responses((status = OK, description = "A part of the list", body = TokenList),
              (status = NOT_FOUND, description = "There is no such organization or team, or you may not know of it", body = Problem)))]
pub(super) async fn list(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { query, headers, .. }: Input<(), ListForm, (), BusinessHeader>,
) -> Result<Json<TokenList>, Failure> {
    let ListForm {
        organization,
        team,
        owner,
        q,
        include_revoked,
        limit,
        cursor,
        direction,
        include_total_count,
    } = query;
    let organization = organization.or(headers.x_business_id);
    let digest = ListDigest::of(&(&organization, &team, owner, &q, include_revoked));
    let asked = ListTokens {
        organization,
        team,
        owner,
        text: q.filter(|text| !text.is_empty()),
        revoked: if include_revoked {
            Listed::Included
        } else {
            Listed::LeftOut
        },
        page: Page {
            cursor: cursor.map(|text| digest.read(&text)).transpose()?,
            direction,
            limit: u32::try_from(limit).unwrap_or(1),
            count: if include_total_count {
                CountTotal::Yes
            } else {
                CountTotal::No
            },
        },
    };
    let listing = app.authority.list(&caller, &asked).await?;
    let edge = |record: Option<&crate::token::Record>| {
        record.map(|record| digest.write(Cursor { token: record.id }))
    };
    Ok(Json(TokenList {
        total: listing.total,
        limit,
        next_cursor: edge(listing.items.last()).filter(|_| listing.has_next),
        prev_cursor: edge(listing.items.first()).filter(|_| listing.has_previous),
        has_next: listing.has_next,
        has_prev: listing.has_previous,
        has_more: listing.has_next,
        items: listing
            .items
            .iter()
            .map(|record| TokenInfo::of(record, app.authority.status(record)))
            .collect(),
    }))
}
