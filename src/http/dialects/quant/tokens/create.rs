//! `POST …/tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Error, Expiry, FieldFault, Issue, Issued, WhichOrganization};
use crate::http::caller::{Caller, TokensWrite};
use crate::http::dialects::quant::organizations::OrganizationPath;
use crate::http::input::{Choice, Form, Input};
use crate::http::nouns;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationReference;
use jeton_core::token::{Lifetime, OwnerKind, Span, TokenId, TokenReference};
use jeton_store::LastToken;
use jeton_store::rules::tokens::Naming;

/// A new token. Everything but the name has a default.
#[derive(Debug, Form)]
#[form(body, name = "CreateToken", example = json!({"name": "My CI token", "preset": "content_management", "expires_in": "30d"}))]
pub(crate) struct CreateForm {
    /// A name for people.
    name: String,
    /// A named bundle of scopes. With `scopes` too, both have to say the same.
    preset: Option<String>,
    /// The scopes, by name. With neither scopes nor preset it has those of the organization's default
    /// preset, or every scope but those for the authority itself.
    #[form(length(max = 100))]
    scopes: Option<Vec<String>>,
    /// The numbers of the projects it is restricted to. Absent is unrestricted; empty is wrong.
    #[form(length(max = 100))]
    projects: Option<Vec<i64>>,
    /// How long it lives. Absent and `null` are the organization's default, at first a year.
    expires_in: Option<ExpiresIn>,
}

/// How long a token lives.
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
    /// A token of the organization: that is what these are scoped to.
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
            naming: Naming::Free,
            slot: None,
        }
    }
}

/// A token, this once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
pub(super) struct Created {
    /// The token itself. It is shown this once and cannot be shown again.
    token: String,
    /// Its number.
    #[schema(minimum = 1, maximum = 2_147_483_647, example = 1)]
    id: i32,
    #[schema(example = "My CI token")]
    name: String,
    #[schema(example = json!(["projects:read", "content:write"]))]
    scopes: Vec<String>,
    /// The projects it is restricted to; `null` is unrestricted.
    #[schema(required = true)]
    projects: Option<Vec<u32>>,
    /// The preset the scopes came from.
    #[schema(required = true, example = "content_management")]
    preset: Option<String>,
    /// When it ends by itself; `null` is never.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = nouns::Instant)]
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

/// Issue a token
///
/// The answer is the only time that the token is shown. Its record is on disk by then, and it can be
/// revoked from the moment of the answer. The token acts for the organization, so an admin makes it, or
/// an API token with `tokens:write`, which hands on no more than it holds itself.
#[utoipa::path(post, path = "/api/v2/organizations/{organization}/tokens", tag = "tokens", operation_id = "tokens_create",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The token, this once", body = Created)))]
pub(super) async fn create(
    caller: Caller<TokensWrite>,
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
            .revoke(&caller, TokenReference::Id(id), reason, LastToken::MayGo)
            .await?;
        return Err(beyond_their_numbers(id).into());
    };
    Ok((StatusCode::CREATED, Json(Created::of(readable, &issued))))
}

/// Their Go client takes no number from 2^31 on, so it would lose the secret of a token that lives.
fn beyond_their_numbers(id: TokenId) -> Error {
    let message =
        "numbers of tokens are beyond what clients of this API read; make the token at /api/v1/tokens";
    Error::Invalid(vec![FieldFault::new("id", id.0, message)])
}
