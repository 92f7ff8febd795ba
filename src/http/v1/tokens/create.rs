//! `POST /tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Expiry, Issue, Issued, WhichOrganization};
use crate::http::caller::{Caller, TokensWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::nouns::OneOrMany;
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::{BUSINESS, BusinessHeader, TokenInfo};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::{Lifetime, OwnerKind, Slot, Span, Status};
use jeton_store::rules::tokens::Naming;

/// A new token. Everything but the name has a default.
///
/// Any other field is refused. A request with `x-business-id` that uses only `name`, `description` and
/// `expires_in_days` may have other fields, which are ignored.
#[derive(Debug, Form)]
// A misspelt `scopes` or `expires_in` must not make a token with every scope for a year.
#[form(body, name = "CreateToken", unknown = ForbiddenUnless(BUSINESS, &["name", "description", "expires_in_days"]), example = json!({"name": "ci", "organization": "default", "owner": "organization", "preset": "content_management", "expires_in": "30d"}))]
pub(crate) struct CreateForm {
    /// A name for people.
    #[form(length(min = 1, max = 255))]
    name: String,
    /// A longer text for people.
    #[form(length(max = 2000))]
    description: Option<String>,
    /// The name or id of the organization it is good in. Otherwise the header `x-business-id` says
    /// it, otherwise it is the only organization you have. Not with `owner: deployment`.
    organization: Option<OrganizationReference>,
    /// What it acts for: you, a team, the organization, or (for site administrators) the deployment.
    #[form(default = OwnerKind::User)]
    owner: OwnerKind,
    /// The team's name or id, with `owner: team`.
    team: Option<TeamReference>,
    /// The scopes, by name. With neither scopes nor preset it has every scope but those for the
    /// authority itself.
    #[form(length(max = 100))]
    scopes: Option<Vec<String>>,
    /// A named bundle of scopes, in place of `scopes`.
    #[form(length(max = 64))]
    preset: Option<String>,
    /// The numbers of the projects it is restricted to. Absent is unrestricted; empty is wrong. Services
    /// that receive the token go by it; in this API it bounds only what tokens the token can make.
    #[form(length(max = 100))]
    projects: Option<Vec<i64>>,
    /// The services it is meant for, one as a string or several. A configured default otherwise.
    audience: Option<OneOrMany>,
    /// How long it lives: a number and `s`, `m`, `h`, `d`, `w` or `y`, or `never`.
    expires_in: Option<Lifetime>,
    /// How many days it lives.
    #[form(range(min = 1, max = 365))]
    expires_in_days: Option<i64>,
    /// When it ends. Give at most one of the three; with none it lives for 365 days.
    expires_at: Option<Timestamp>,
    /// A place among the owner's tokens, named in up to 64 letters, digits and `.`, `_`, `-`, that
    /// holds one token at a time: the one that is in it is revoked in the same step.
    slot: Option<Slot>,
}

impl Request for Issue {
    type Form = CreateForm;

    fn parse(form: CreateForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let expiry = expiry(form.expires_in, form.expires_in_days, form.expires_at, fields)?;
        if form.scopes.is_some() && form.preset.is_some() {
            return Err(fields.refuse("preset", "give scopes or a preset, not both"));
        }
        match (form.owner, &form.team) {
            (OwnerKind::Team, None) => return Err(fields.refuse("owner", "name the team in the field team")),
            (OwnerKind::Team, Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err(fields.refuse("team", "a team goes with the owner team only")),
        }
        if form.owner == OwnerKind::Deployment && form.organization.is_some() {
            let message = "a token of the deployment is good in every organization: name none";
            return Err(fields.refuse("organization", message));
        }
        let audience = form.audience.map(|OneOrMany(audience)| audience);
        if audience
            .as_ref()
            .is_some_and(|audience| !(1..=20).contains(&audience.len()))
        {
            return Err(fields.refuse("audience", "name 1 to 20 audiences, or leave the field out"));
        }
        for (index, audience) in audience.iter().flatten().enumerate() {
            if audience.is_empty() || audience.chars().any(char::is_control) {
                return Err(fields.refuse_element(
                    "audience",
                    index,
                    "an audience is a text without control characters",
                ));
            }
        }
        Ok(Self {
            name: form.name,
            description: form.description,
            organization: form.organization.into(),
            owner: form.owner,
            team: form.team,
            scopes: form.scopes,
            preset: form.preset,
            projects: form.projects,
            audience,
            expiry,
            naming: Naming::Free,
            slot: form.slot,
        })
    }
}

/// The one of three ways to say when a token ends that was used.
pub(super) fn expiry(
    expires_in: Option<Lifetime>,
    expires_in_days: Option<i64>,
    expires_at: Option<Timestamp>,
    fields: &mut Fields<'_>,
) -> Result<Expiry, Refused> {
    match (expires_in, expires_in_days, expires_at) {
        (None, None, None) => Ok(Expiry::Default),
        (Some(lifetime), None, None) => Ok(Expiry::In("expires_in", lifetime)),
        (None, Some(days), None) => match u64::try_from(days).ok().and_then(Span::from_days) {
            Some(span) => Ok(Expiry::In("expires_in_days", Lifetime::Limited(span))),
            None => Err(fields.refuse("expires_in_days", "this is no number of days")),
        },
        (None, None, Some(instant)) => Ok(Expiry::At(instant)),
        _ => {
            let last = if expires_at.is_some() {
                "expires_at"
            } else {
                "expires_in_days"
            };
            Err(fields.refuse(
                last,
                "give at most one of expires_in, expires_in_days and expires_at",
            ))
        }
    }
}

/// A token and its metadata.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedToken {
    /// The token itself. It is shown this once and cannot be shown again.
    token: String,
    token_info: TokenInfo,
}

/// Issue a token
///
/// The answer is the only time that the token is shown. Its record is on disk by then, and it can be
/// revoked from the moment of the answer. A token can be made by a session, or by an API token with
/// `tokens:write`, which hands on no more than it holds itself.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "create_token",
    params(BusinessHeader), request_body = CreateForm,
    responses((status = CREATED, description = "The token, this once", body = CreatedToken,
                  headers(("Location" = String, description = "The address of its metadata"),
                          ("Cache-Control" = String, description = "`no-store`"))),
              (status = NOT_FOUND, description = "There is no such organization or team, or you may not know of it", body = Problem),
              (status = CONFLICT, description = "The owner has as many active tokens as allowed", body = Problem)))]
pub(super) async fn create(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input {
        mut body, headers, ..
    }: Input<(), (), Issue, BusinessHeader>,
) -> Result<impl IntoResponse, Failure> {
    if body.organization == WhichOrganization::Only {
        body.organization = headers.x_business_id.into();
    }
    Ok(created(&app.authority.issue(&caller, &body).await?))
}

/// The one answer that shows a token.
pub(super) fn created(issued: &Issued) -> impl IntoResponse + use<> {
    let head = [
        (header::LOCATION, format!("/api/v1/tokens/{}", issued.record.id)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let body = CreatedToken {
        token: issued.token.expose().to_owned(),
        token_info: TokenInfo::of(&issued.record, Status::Active),
    };
    (StatusCode::CREATED, head, Json(body))
}
