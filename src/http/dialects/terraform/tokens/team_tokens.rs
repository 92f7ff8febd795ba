//! The tokens of all teams of an organization: `/organizations/{organization}/team-tokens`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use utoipa::openapi::Schema;

use crate::authority::{Error, Wanted, WantedEnd};
use crate::http::caller::{Caller, TokensRead, TokensWrite};
use crate::http::dialects::terraform::data::Identifiers;
use crate::http::dialects::terraform::document::{JsonApi, ListDocument};
use crate::http::dialects::terraform::page::{PageForm, Paged};
use crate::http::dialects::terraform::path::{OrganizationPath, token_reference};
use crate::http::dialects::terraform::render::ErrorDocument;
use crate::http::dialects::terraform::tokens::page;
use crate::http::dialects::terraform::tokens::resource::TokenResource;
use crate::http::input::{Choice, Fault, Form, Input, Scalar, Value, string};
use crate::http::{App, Failure, no_content};
use jeton_core::directory::OrganizationReference;
use jeton_core::token::{Order, OwnerKind, Sort, SortBy, Span, WantedStatus};

/// Filters and order of the list.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct FilterForm {
    /// Only tokens of teams whose name contains this text, ignoring the case of ASCII letters.
    #[form(length(max = 255))]
    q: Option<String>,
    /// The sort key: `team-name`, `created-by`, `expired-at` or `last-used-at`; with `-` before it in
    /// descending order. Tokens without a value come last in both orders.
    #[form(default = TeamTokenSort::default())]
    sort: TeamTokenSort,
    /// Only tokens in one of these states, separated by commas: `active`, `expiring_in_7_days`,
    /// `expiring_in_30_days`, `expired`, `no_expiration`.
    #[form(name = "filter[status]", example = "active")]
    status: Option<States>,
    /// Same as `filter[status]`.
    #[form(name = "filter[expiry_status]")]
    expiry_status: Option<States>,
}

/// A list of tokens.
type Tokens = Identifiers<String>;

/// A sort order of this list.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TeamTokenSort(Sort);

impl Default for TeamTokenSort {
    /// Returns the default order: the earliest expiry first.
    fn default() -> Self {
        ascending(SortBy::ExpiresAt)
    }
}

const fn ascending(by: SortBy) -> TeamTokenSort {
    let order = Order::Ascending;
    TeamTokenSort(Sort { by, order })
}

const fn descending(by: SortBy) -> TeamTokenSort {
    let order = Order::Descending;
    TeamTokenSort(Sort { by, order })
}

impl Choice for TeamTokenSort {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("team-name", ascending(SortBy::Team)),
        ("-team-name", descending(SortBy::Team)),
        ("created-by", ascending(SortBy::CreatedBy)),
        ("-created-by", descending(SortBy::CreatedBy)),
        ("expired-at", ascending(SortBy::ExpiresAt)),
        ("-expired-at", descending(SortBy::ExpiresAt)),
        ("last-used-at", ascending(SortBy::LastUsedAt)),
        ("-last-used-at", descending(SortBy::LastUsedAt)),
    ];
}

/// A set of states, of which a token must have one.
#[derive(Debug)]
struct States(Vec<End>);

/// The state of a token's expiry.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Active,
    ExpiringInAWeek,
    ExpiringInAMonth,
    Expired,
    NoExpiration,
}

impl Choice for End {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("active", Self::Active),
        ("expiring_in_7_days", Self::ExpiringInAWeek),
        ("expiring_in_30_days", Self::ExpiringInAMonth),
        ("expired", Self::Expired),
        ("no_expiration", Self::NoExpiration),
    ];
}

impl End {
    fn ends(self) -> &'static [WantedEnd] {
        match self {
            Self::Active => &[WantedEnd::Ahead, WantedEnd::Never],
            Self::ExpiringInAWeek => &[WantedEnd::Within(Span::WEEK)],
            Self::ExpiringInAMonth => &[WantedEnd::Within(Span::MONTH)],
            Self::Expired => &[WantedEnd::Passed],
            Self::NoExpiration => &[WantedEnd::Never],
        }
    }
}

impl Scalar for States {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let words = value.text().ok_or(Fault::StringType)?.split(',');
        let states = words
            .filter(|word| !word.is_empty())
            .map(|word| End::read(&Value::Text(word.into())));
        states.collect::<Result<_, _>>().map(Self)
    }

    fn schema() -> Schema {
        string().into()
    }
}

impl FilterForm {
    fn wanted(&self, organization: OrganizationReference) -> Wanted {
        let states = [&self.status, &self.expiry_status].into_iter().flatten();
        let states = states.flat_map(|States(states)| states);
        Wanted {
            organization: Some(organization),
            owner: Some(OwnerKind::Team),
            team_name: self.q.clone(),
            status: Some(WantedStatus::Unrevoked),
            ends: states.flat_map(|state| state.ends()).copied().collect(),
            ..Wanted::default()
        }
    }
}

/// List team tokens
///
/// Lists the tokens of the organization's teams that you manage, by default the earliest expiry first.
/// Expired tokens are listed, revoked ones are not.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/team-tokens", tag = "team tokens",
    operation_id = "list_team_tokens", params(OrganizationPath, FilterForm, PageForm),
    responses((status = OK, description = "A page of the list", body = ListDocument<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn list(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Input { path, query, .. }: Input<OrganizationPath, Paged<FilterForm>>,
) -> Result<JsonApi<ListDocument<TokenResource>>, Failure> {
    let wanted = query.filter.wanted(path.organization);
    let sort = query.filter.sort.0;
    Ok(JsonApi(
        page(&app.authority, &caller, &wanted, sort, query.page, &uri).await?,
    ))
}

/// Delete team tokens
///
/// Revokes the tokens permanently: all of them, or none if one is not a token of the organization's
/// teams that you manage.
#[utoipa::path(delete, path = "/api/v2/organizations/{organization}/team-tokens", tag = "team tokens",
    operation_id = "remove_team_tokens", params(OrganizationPath),
    request_body(content = Tokens, content_type = "application/vnd.api+json",
        example = json!({"data": [{"type": "authentication-tokens", "id": "at-1"}]})),
    responses((status = NO_CONTENT, description = "The tokens are revoked"),
              (status = CONFLICT, description = "One is its team's last active token, and the organization's policy sets `keep_last_token`",
                  body = ErrorDocument, content_type = "application/vnd.api+json", example = json!("last_token"))))]
pub(super) async fn remove(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), Tokens>,
) -> Result<impl IntoResponse, Failure> {
    let mut tokens = Vec::new();
    for id in body.ids() {
        let reference = token_reference(&id)?;
        let record = app
            .authority
            .token_of(&caller, &path.organization, reference)
            .await?;
        record.token.owner.team().ok_or(Error::Absent)?;
        tokens.push(record);
    }
    app.authority.delete_tokens(&caller, tokens).await?;
    Ok(no_content())
}
