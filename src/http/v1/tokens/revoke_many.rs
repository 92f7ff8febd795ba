//! Bulk revocation by the filters of the list: `POST /tokens/revoke`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jeton_verifier::feed::Cursor;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Descendants, Error, Propagation, RevokeMany, RevokedMany, Run, Unreported, Wanted};
use crate::http::caller::{Caller, RevokesOnce, TokensRead, TokensWrite};
use crate::http::domain_types;
use crate::http::input::{Fields, Form, Input, Refused, Request, Violations};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::filter::FilterForm;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::text::Prose;
use jeton_core::token::{Status, WantedStatus};
use jeton_store::{BulkId, BulkRevocation, LastToken, WithDescendants};

/// Which active tokens to revoke, by the filters of `GET /api/v1/tokens`.
#[derive(Debug, Form)]
// A misspelt filter must not match all tokens.
#[form(body, name = "RevokeTokens", unknown = Forbidden, example = json!({"organization": "default", "preset": "content_management", "reason": "offboarding", "dry_run": true}))]
pub(crate) struct RevokeManyForm {
    #[form(flatten)]
    filter: FilterForm,
    /// The reason, at most 1000 characters. Users who manage the tokens see it.
    #[form(length(max = 1000))]
    reason: Option<Prose>,
    /// Whether to only count the matching tokens.
    #[form(default = false)]
    dry_run: bool,
    /// Confirms a request without filters. Unless it is `true`, `organization` and one more filter are required.
    #[form(default = false)]
    all: bool,
    /// Whether `unused_since` and `never_used` also match tokens with an audience whose verifiers do not report
    /// use, began to after the period in question, or stopped. Such tokens may be in use.
    #[form(default = false)]
    include_unreported: bool,
    /// Whether to revoke an owner's last active token even if the organization's policy sets `keep_last_token`.
    #[form(default = false)]
    force: bool,
    /// Whether to revoke also all that a matching token has made: the tokens that it has created, its successors by
    /// rotation, and what those have made, as far as you may revoke them.
    #[form(default = false)]
    descendants: bool,
}

const TOO_WIDE: &str = "give `organization` and one more filter, or set `all: true`";

impl Request for RevokeMany {
    type Form = RevokeManyForm;

    fn parse(form: RevokeManyForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let wanted = form.filter.wanted();
        match wanted.status {
            Some(WantedStatus::Unrevoked | WantedStatus::Only(Status::Active)) => {}
            Some(WantedStatus::Only(_)) => {
                return Err(fields.refuse(
                    "status",
                    "`status` must be `active` or absent: only active tokens can be revoked",
                ));
            }
            None => {
                return Err(fields.refuse(
                    "include_revoked",
                    "`include_revoked` must be `false`: only active tokens can be revoked",
                ));
            }
        }
        if !form.all && wanted.organization.is_none() {
            return Err(fields.refuse("organization", TOO_WIDE));
        }
        let narrowed = Wanted {
            organization: None,
            status: None,
            ..wanted.clone()
        };
        if !form.all && narrowed == Wanted::default() {
            let message = "give one more filter besides `organization`, or set `all: true`";
            return Err(fields.refuse("all", message));
        }
        Ok(Self {
            wanted,
            reason: form.reason.map(Into::into),
            unreported: if form.include_unreported {
                Unreported::Included
            } else {
                Unreported::LeftOut
            },
            last_token: if form.force {
                LastToken::MayGo
            } else {
                LastToken::Stays
            },
            descendants: if form.descendants {
                Descendants::Revoked
            } else {
                Descendants::Stay
            },
            run: if form.dry_run { Run::Dry } else { Run::Earnest },
        })
    }
}

/// The result of a dry run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// The number of tokens that would be revoked, with `descendants` including these.
    matched: u64,
    /// Always 0.
    #[schema(example = 0)]
    revoked: u64,
    /// The number of active descendants that would stay: you may not revoke them.
    #[schema(example = 0)]
    left: u64,
}

impl DryRun {
    pub(super) fn of(count: WithDescendants) -> Self {
        Self {
            matched: count.within,
            revoked: 0,
            left: count.beyond,
        }
    }
}

/// A bulk revocation and its progress.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedTokens {
    /// The number of the bulk revocation, as a string. `GET /api/v1/tokens/revoke/{id}` returns its progress.
    #[schema(example = "1")]
    id: String,
    /// The number of tokens that matched when the request was accepted. Descendants are not included: they are found
    /// while the bulk revocation runs, and a dry run counts them.
    matched: u64,
    /// The number of tokens revoked so far. The final number is lower than `matched` if some tokens were revoked
    /// otherwise first or an owner's last token is kept, and higher if a matching token was rotated meanwhile
    /// (then its successors are revoked too) or with `descendants`.
    revoked: u64,
    /// The number of active tokens processed so far that stay: descendants that you may not revoke, and last tokens that
    /// the policy of their organization keeps. They can create tokens, also after the bulk revocation has finished.
    #[schema(example = 0)]
    left: u64,
    /// Whether the descendants of matching tokens are revoked too.
    descendants: bool,
    /// When the request was accepted.
    #[schema(value_type = domain_types::Instant)]
    ordered_at: Timestamp,
    /// Who requested it.
    #[schema(example = "admin@example.com")]
    ordered_by: String,
    /// The reason given.
    #[schema(required = true)]
    reason: Option<String>,
    /// When the bulk revocation finished; `null` while it is running.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    finished_at: Option<Timestamp>,
    /// A position in the revocation feed that includes what was revoked so far.
    #[schema(value_type = String, min_length = 75, max_length = 75)]
    revocation_cursor: Cursor,
    /// With PostgreSQL, once the bulk revocation has finished: an instant from which on every server refuses the tokens.
    /// `null` while it is running, and with a database file, whose only server refuses each at once.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    refused_everywhere_by: Option<Timestamp>,
}

impl RevokedTokens {
    pub(super) fn of(bulk: BulkRevocation, propagation: Propagation) -> Self {
        Self {
            id: bulk.id.0.to_string(),
            matched: bulk.order.matched,
            revoked: bulk.revoked,
            left: bulk.left,
            descendants: bulk.order.descendants.is_some(),
            ordered_at: bulk.order.ordered_at,
            ordered_by: bulk.order.ordered_by.name,
            reason: bulk.order.reason,
            finished_at: bulk.finished_at,
            revocation_cursor: Cursor(propagation.position),
            refused_everywhere_by: bulk.finished_at.and(propagation.refused_everywhere_by),
        }
    }
}

/// Revoke tokens by filter
///
/// Revokes the active tokens that match all filters and that you manage; never sessions, and never the token
/// that you call this with. The request is durable before the response is sent and is carried out in the
/// background, one token after another, also after a crash. If a matching token is rotated before it is revoked,
/// its successors are revoked too. Tokens that a matching token has created stay valid, unless `descendants` is set: then
/// all that it has made is revoked after it, and what that has made, also the token that you call this with. To
/// revoke all tokens of a team, a user or an organization at once, use `POST /api/v1/revocations`.
#[utoipa::path(post, path = "/api/v1/tokens/revoke", tag = "tokens", operation_id = "revoke_tokens",
    request_body = RevokeManyForm,
    responses((status = OK, description = "The number of matching tokens, with `dry_run`", body = DryRun),
              (status = ACCEPTED, description = "The bulk revocation is accepted", body = RevokedTokens,
                  headers(("Location" = String, description = "The URL of its progress"))),
              (status = UNPROCESSABLE_ENTITY, description = "Invalid fields, all of them, in the order of the fields", body = Violations,
                  examples(("invalid" = (value = json!(Violations::of_empty_body("organization", TOO_WIDE)))))),
              (status = BAD_REQUEST, description = "The request is malformed, or there are too many tokens to count, with `dry_run`", body = Problem, example = json!("too_costly")),
              (status = NOT_FOUND, description = "No such organization or team, or you may not see it", body = Problem)))]
pub(super) async fn revoke(
    caller: Caller<RevokesOnce<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), RevokeMany>,
) -> Result<Response, Failure> {
    Ok(match app.authority.revoke_many(&caller, &body).await? {
        RevokedMany::WouldRevoke(count) => Json(DryRun::of(count)).into_response(),
        RevokedMany::Ordered(bulk) => {
            let location = format!("/api/v1/tokens/revoke/{}", bulk.id.0);
            let body = Json(RevokedTokens::of(*bulk, app.authority.propagation().await?));
            (StatusCode::ACCEPTED, [(header::LOCATION, location)], body).into_response()
        }
    })
}

/// The bulk revocation.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct BulkPath {
    /// The number of the bulk revocation.
    #[form(example = "1")]
    id: String,
}

/// Get a bulk revocation
///
/// Returns its progress. Visible to the user who requested it and to admins of its organization.
#[utoipa::path(get, path = "/api/v1/tokens/revoke/{id}", tag = "tokens", operation_id = "get_revoke_tokens",
    params(BulkPath),
    responses((status = OK, description = "The bulk revocation", body = RevokedTokens)))]
pub(super) async fn show(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<BulkPath>,
) -> Result<Json<RevokedTokens>, Failure> {
    let id = path.id.parse().map(BulkId).map_err(|_| Error::Absent)?;
    // Before the progress, which may then say more but never less.
    let before = app.authority.propagation().await?;
    let bulk = app.authority.bulk_revocation(&caller, id).await?;
    // After the progress, whose last commit may have come in between.
    let propagation = Propagation {
        refused_everywhere_by: app.authority.refused_everywhere_by(),
        ..before
    };
    Ok(Json(RevokedTokens::of(bulk, propagation)))
}
