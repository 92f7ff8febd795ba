//! Creates tokens: `POST …/tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Error, Expiry, FieldFault, Issue, Issued, WhichOrganization};
use crate::http::caller::{Caller, Once, TokensWrite};
use crate::http::dialects::quant::organizations::OrganizationPath;
use crate::http::domain_types;
use crate::http::input::{Choice, Form, Input};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationReference;
use jeton_core::text::Line;
use jeton_core::token::{Lifetime, OwnerKind, Span, TokenReference};
use jeton_store::LastToken;

/// A token to create. Only `name` is required.
#[derive(Debug, Form)]
#[form(body, name = "CreateToken", example = json!({"name": "My CI token", "preset": "content_management", "expires_in": "30d"}))]
pub(crate) struct CreateForm {
    /// A display name.
    name: Line,
    /// A preset, a named set of scopes. With `scopes` too, both must contain the same scopes.
    preset: Option<String>,
    /// The scopes to grant, by name. Without `scopes` and `preset`, the token gets the organization's
    /// default preset, else every scope except management scopes.
    #[form(length(max = 100))]
    scopes: Option<Vec<String>>,
    /// The numbers of the projects that the token is restricted to, at least one. Default: not
    /// restricted.
    #[form(length(max = 100))]
    projects: Option<Vec<i64>>,
    /// The lifetime. Absent or `null`: the organization's default lifetime, else the configured one
    /// (365 days unless changed).
    expires_in: Option<ExpiresIn>,
}

/// A lifetime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ExpiresIn(Lifetime);

impl Choice for ExpiresIn {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("30d", Self(Lifetime::Limited(Span::MONTH))),
        ("90d", Self(Lifetime::Limited(Span::QUARTER))),
        ("365d", Self(Lifetime::Limited(Span::YEAR))),
        ("never", Self(Lifetime::Never)),
    ];
}

impl CreateForm {
    /// Returns the order for a token that acts for the organization.
    fn order(self, organization: OrganizationReference) -> Issue {
        let expiry = self
            .expires_in
            .map(|ExpiresIn(life)| Expiry::In("expires_in", life));
        Issue {
            name: self.name,
            description: None,
            organization: WhichOrganization::Named(organization),
            owner: OwnerKind::Organization,
            team: None,
            scopes: self.scopes,
            preset: self.preset,
            projects: self.projects,
            audience: None,
            expiry: expiry.unwrap_or(Expiry::Default),
            unique_name: false,
            slot: None,
        }
    }
}

/// A token, shown only once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
pub(super) struct Created {
    /// The token itself. No later response shows it.
    token: String,
    /// The number of the token.
    #[schema(minimum = 1, maximum = 2_147_483_647, example = 1)]
    id: i32,
    #[schema(example = "My CI token")]
    name: String,
    #[schema(example = json!(["projects:read", "content:write"]))]
    scopes: Vec<String>,
    /// The numbers of the projects that the token is restricted to; `null`: not restricted.
    #[schema(required = true)]
    projects: Option<Vec<u32>>,
    /// The preset that the scopes came from; `null`: none.
    #[schema(required = true, example = "content_management")]
    preset: Option<String>,
    /// When the token expires; `null`: never.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
}

impl Created {
    fn of(id: i32, Issued { token, record }: &Issued) -> Self {
        Self {
            token: token.expose().to_owned(),
            id,
            name: record.token.name.clone(),
            scopes: record.token.scopes.iter().map(ToString::to_string).collect(),
            projects: record.token.projects.clone(),
            preset: record.token.preset.clone(),
            expires_at: record.token.expires_at,
            created_at: record.token.created_at,
        }
    }
}

/// Create a token
///
/// Returns the token once; no other response shows it. The record is durable before the response is
/// sent, and the token can be revoked from then on. The token acts for the organization. Call this as
/// an admin, or with an API token that has `tokens:write` and grants at most its own scopes.
#[utoipa::path(post, path = "/api/v2/organizations/{organization}/tokens", tag = "tokens", operation_id = "tokens_create",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The token, shown only once", body = Created)))]
pub(super) async fn create(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), CreateForm>,
) -> Result<impl IntoResponse, Failure> {
    let issued = app
        .authority
        .issue(&caller, &body.order(path.organization))
        .await?;
    let id = issued.record.id;
    let Ok(readable) = i32::try_from(id.0) else {
        let reason = Some("its number is beyond what the API it was made through has".to_owned());
        app.authority
            .revoke(
                &caller.without_key(),
                TokenReference::Id(id),
                reason,
                LastToken::MayGo,
            )
            .await?;
        return Err(number_too_large().into());
    };
    Ok((StatusCode::CREATED, Json(Created::of(readable, &issued))))
}

/// Returns the error for a number from 2^31, with which QuantCDN's Go client would lose the token's secret.
fn number_too_large() -> Error {
    let message =
        "numbers of tokens are beyond what clients of this API read; make the token at /api/v1/tokens";
    Error::Invalid(vec![FieldFault::new("id", message)])
}
