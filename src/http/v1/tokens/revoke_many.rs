//! `POST /tokens/revoke`: many tokens by the filters of the list.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Error, RevokeMany, RevokedMany, Run, Unreported, Wanted};
use crate::http::caller::{Caller, TokensRead, TokensWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::nouns;
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::filter::FilterForm;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Status, WantedStatus};
use jeton_store::{BulkId, BulkRevocation, LastToken};

/// Which active tokens, by the filters of the list, and how.
#[derive(Debug, Form)]
// A misspelt filter must not match everything.
#[form(body, name = "RevokeTokens", unknown = Forbidden, example = json!({"organization": "default", "preset": "content_management", "reason": "offboarding", "dry_run": true}))]
pub(crate) struct RevokeManyForm {
    #[form(flatten)]
    filter: FilterForm,
    /// Why, in your words. Seen by those who manage the tokens.
    #[form(length(max = 1000))]
    reason: Option<String>,
    /// Whether the tokens that match are only counted.
    #[form(default = false)]
    dry_run: bool,
    /// That no filter is missing: without it an organization and one further filter must be named.
    #[form(default = false)]
    all: bool,
    /// Whether `unused_since` and `never_used` also mean tokens for audiences that do not report use, or
    /// began to later than is asked about, or stopped. They may be in use; without this they stay.
    #[form(default = false)]
    include_unreported: bool,
    /// Whether the last active token of an owner goes too, where the organization keeps that.
    #[form(default = false)]
    force: bool,
}

impl Request for RevokeMany {
    type Form = RevokeManyForm;

    fn parse(form: RevokeManyForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let wanted = form.filter.wanted();
        match wanted.status {
            Some(WantedStatus::Unrevoked | WantedStatus::Only(Status::Active)) => {}
            Some(WantedStatus::Only(_)) => {
                return Err(fields.refuse("status", "only active tokens can be revoked"));
            }
            None => return Err(fields.refuse("include_revoked", "only active tokens can be revoked")),
        }
        if !form.all && wanted.organization.is_none() {
            let message = "name the organization and one further filter, or say all: true";
            return Err(fields.refuse("organization", message));
        }
        let narrowed = Wanted {
            organization: None,
            status: None,
            ..wanted.clone()
        };
        if !form.all && narrowed == Wanted::default() {
            let message = "name one filter beside the organization, or say all: true";
            return Err(fields.refuse("all", message));
        }
        Ok(Self {
            wanted,
            reason: form.reason,
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
            run: if form.dry_run { Run::Dry } else { Run::Earnest },
        })
    }
}

/// How many tokens match.
#[derive(Debug, Serialize, ToSchema)]
struct DryRun {
    /// How many would be revoked.
    matched: u64,
    /// None of them was.
    #[schema(example = 0)]
    revoked: u64,
}

/// A revocation of many tokens and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedTokens {
    /// Its number, as text: ask `/api/v1/tokens/revoke/{id}` how far it is.
    #[schema(example = "1")]
    id: String,
    /// How many tokens matched when it was ordered.
    matched: u64,
    /// How many it has revoked. In the end fewer than matched where others revoked some before it, or
    /// where the last token of an owner stays; and more where one that matched was rotated since: it is
    /// revoked even in its grace, and its successor too.
    revoked: u64,
    #[schema(value_type = nouns::Instant)]
    ordered_at: Timestamp,
    /// Who ordered it.
    #[schema(example = "admin@example.com")]
    ordered_by: String,
    #[schema(required = true)]
    reason: Option<String>,
    /// When the last one was done; `null` while it is under way.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    finished_at: Option<Timestamp>,
}

impl From<BulkRevocation> for RevokedTokens {
    fn from(bulk: BulkRevocation) -> Self {
        Self {
            id: bulk.id.0.to_string(),
            matched: bulk.order.matched,
            revoked: bulk.revoked,
            ordered_at: bulk.order.ordered_at,
            ordered_by: bulk.order.ordered_by.name,
            reason: bulk.order.reason,
            finished_at: bulk.finished_at,
        }
    }
}

/// Revoke many tokens
///
/// Those active tokens that match all filters of the list and that you manage; never a session, and
/// never the token that you call this with. The answer means that the order is on disk: it is carried
/// out from then on, also after a crash, token by token. What is rotated before its turn goes with its
/// successors; what a token that may issue others has issued before its turn stays. To end everything of
/// a team, a person or an organization in one instant, use `POST /api/v1/revocations`.
#[utoipa::path(post, path = "/api/v1/tokens/revoke", tag = "tokens", operation_id = "revoke_tokens",
    request_body = RevokeManyForm,
    responses((status = OK, description = "A dry run: how many match", body = DryRun),
              (status = ACCEPTED, description = "It is ordered", body = RevokedTokens,
                  headers(("Location" = String, description = "Where to ask how far it is"))),
              (status = NOT_FOUND, description = "There is no such organization or team, or you may not know of it", body = Problem)))]
pub(super) async fn revoke(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), RevokeMany>,
) -> Result<Response, Failure> {
    Ok(match app.authority.revoke_many(&caller, &body).await? {
        RevokedMany::WouldRevoke(matched) => Json(DryRun { matched, revoked: 0 }).into_response(),
        RevokedMany::Ordered(bulk) => {
            let location = format!("/api/v1/tokens/revoke/{}", bulk.id.0);
            let body = Json(RevokedTokens::from(*bulk));
            (StatusCode::ACCEPTED, [(header::LOCATION, location)], body).into_response()
        }
    })
}

/// Which revocation.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct BulkPath {
    /// Its number.
    #[form(example = "1")]
    id: String,
}

/// Show a revocation of many tokens
///
/// How far it is, for whoever ordered it and for admins of its organization.
#[utoipa::path(get, path = "/api/v1/tokens/revoke/{id}", tag = "tokens", operation_id = "get_revoke_tokens",
    params(BulkPath),
    responses((status = OK, description = "How far it is", body = RevokedTokens)))]
pub(super) async fn show(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<BulkPath>,
) -> Result<Json<RevokedTokens>, Failure> {
    let id = path.id.parse().map(BulkId).map_err(|_| Error::Absent)?;
    Ok(Json(app.authority.bulk_revocation(&caller, id).await?.into()))
}
