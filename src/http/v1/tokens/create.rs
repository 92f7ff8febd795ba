//! Token creation: `POST /tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Expiry, Issue, Issued, WhichOrganization};
use crate::http::caller::{Caller, Once, TokensWrite};
use crate::http::domain_types::OneOrMany;
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::{BUSINESS, BusinessHeader, TokenInfo};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::text::{Line, Prose, hidden};
use jeton_core::token::{Lifetime, OwnerKind, Slot, Span, Status};

/// A token to create. Only `name` is required.
///
/// An unknown field is an error, except in a request with the header `x-business-id` that uses no other
/// documented fields than `name`, `description` and `expires_in_days`: there, unknown fields are ignored.
#[derive(Debug, Form)]
// A misspelt `scopes` or `expires_in` must not create a token with every scope for a year.
#[form(body, name = "CreateToken", unknown = ForbiddenUnless(BUSINESS, &["name", "description", "expires_in_days"]), example = json!({"name": "ci", "organization": "default", "owner": "organization", "preset": "content_management", "expires_in": "30d"}))]
pub(crate) struct CreateForm {
    /// A display name of 1 to 255 characters, without invisible ones. It need not be unique.
    #[form(length(min = 1, max = 255))]
    name: Line,
    /// A description of at most 2000 characters.
    #[form(length(max = 2000))]
    description: Option<Prose>,
    /// The organization in which the token is valid, by name or id. Default: the header `x-business-id`,
    /// else the only organization you belong to. Not allowed with `owner: deployment`.
    organization: Option<OrganizationReference>,
    /// What the token acts for: you (`user`), a team, the organization, or the deployment. Only site
    /// administrators create tokens of the deployment.
    #[form(default = OwnerKind::User)]
    owner: OwnerKind,
    /// The team, by name or id. Required with `owner: team`, not allowed otherwise.
    team: Option<TeamReference>,
    /// The scopes to grant, by name. Without `scopes` and `preset`, the token gets the organization's default
    /// preset, else every scope that you may grant except management scopes.
    #[form(length(max = 100))]
    scopes: Option<Vec<String>>,
    /// A preset, a named set of scopes, instead of `scopes`.
    #[form(length(max = 64))]
    preset: Option<String>,
    /// The numbers of the projects that the token is restricted to, at least one. Default: the
    /// projects of the API token that you call this with, else not restricted. Services that receive the token
    /// enforce this; in this API it only limits the tokens that the token can create.
    #[form(length(max = 100))]
    projects: Option<Vec<i64>>,
    /// The audience: one service as a string, or a list of 1 to 20. Default: the configured default audience.
    audience: Option<OneOrMany>,
    /// The lifetime: a positive whole number and a unit (`s`, `m`, `h`, `d`, `w` or `y`), such as `30d`, at most
    /// 100 years; or `never`.
    expires_in: Option<Lifetime>,
    /// The lifetime in days, 1 to 365.
    #[form(range(min = 1, max = 365))]
    expires_in_days: Option<i64>,
    /// When the token expires. Give at most one of `expires_in`, `expires_in_days` and `expires_at`. Default: the
    /// organization's default lifetime, else the configured one (365 days unless changed).
    expires_at: Option<Timestamp>,
    /// A slot of the owner, which holds one token at a time: the token now in the slot is revoked in the same
    /// transaction. A name of 1 to 64 letters, digits and `.`, `_`, `-` that begins with a letter or digit.
    slot: Option<Slot>,
}

impl Request for Issue {
    type Form = CreateForm;

    fn parse(form: CreateForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let expiry = expiry(form.expires_in, form.expires_in_days, form.expires_at, fields)?;
        if form.scopes.is_some() && form.preset.is_some() {
            return Err(fields.refuse(
                "preset",
                "`scopes` and `preset` cannot be combined; give one of them",
            ));
        }
        match (form.owner, &form.team) {
            (OwnerKind::Team, None) => {
                return Err(fields.refuse("owner", "`owner: team` needs the field `team`"));
            }
            (OwnerKind::Team, Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err(fields.refuse("team", "`team` is allowed only with `owner: team`")),
        }
        if form.owner == OwnerKind::Deployment && form.organization.is_some() {
            let message = "`organization` is not allowed with `owner: deployment`, whose tokens are valid in all organizations";
            return Err(fields.refuse("organization", message));
        }
        let audience = form.audience.map(|OneOrMany(audience)| audience);
        if audience
            .as_ref()
            .is_some_and(|audience| !(1..=20).contains(&audience.len()))
        {
            return Err(fields.refuse(
                "audience",
                "`audience` must name 1 to 20 audiences; omit it for the default audience",
            ));
        }
        for (index, audience) in audience.iter().flatten().enumerate() {
            if audience.is_empty() || hidden(audience).is_some() {
                return Err(fields.refuse_element(
                    "audience",
                    index,
                    "an audience must be a non-empty string without control or invisible characters",
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
            unique_name: false,
            slot: form.slot,
        })
    }
}

/// Returns the expiry from the one of three fields that is given.
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
            None => Err(fields.refuse("expires_in_days", "`expires_in_days` must be between 1 and 365")),
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
                "give at most one of `expires_in`, `expires_in_days` and `expires_at`",
            ))
        }
    }
}

/// A token and its metadata.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedToken {
    /// The token itself. No later response shows it.
    token: String,
    /// The metadata of the token.
    token_info: TokenInfo,
}

/// Create a token
///
/// Returns the token once; no other response shows it. The record is durable before the response is sent, and
/// the token can be revoked from then on. Call this with a session, or with an API token that has
/// `tokens:write`: an API token grants at most its own scopes, projects and remaining lifetime.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "create_token",
    params(BusinessHeader), request_body = CreateForm,
    responses((status = CREATED, description = "The token, shown only once", body = CreatedToken,
                  headers(("Location" = String, description = "The URL of its metadata"),
                          ("Cache-Control" = String, description = "`no-store`"))),
              (status = BAD_REQUEST, description = "The request is malformed, or must name the organization", body = Problem, example = json!("organization_needed")),
              (status = NOT_FOUND, description = "No such organization or team, or you may not see it", body = Problem),
              (status = CONFLICT, description = "The owner already has as many active tokens as the organization allows", body = Problem, example = json!(["limit_reached", "quota_reached:tokens"])),
              (status = FORBIDDEN, description = "The caller may not create a token of this owner", body = Problem, example = json!("forbidden"))))]
pub(super) async fn create(
    caller: Caller<Once<TokensWrite>>,
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

/// Returns the only response that contains a token.
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
