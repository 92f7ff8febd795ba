//! Token introspection (RFC 7662).

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jeton_verifier::NEVER;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::Active;
use crate::http::caller::{Caller, TokensIntrospect};
use crate::http::input::{Form, Input};
use crate::http::{App, Failure};
use jeton_core::directory::TeamId;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(introspect))
}

/// The token to introspect.
#[derive(Form)]
#[form(body, name = "Introspect", encoding = UrlEncoded, repeated = Refused, example = json!({"token": "eyJhbGciOiJFUzI1NiJ9.e30.AA"}))]
struct IntrospectForm {
    /// The token, with or without the configured prefix.
    #[form(length(min = 1))]
    token: String,
    /// Ignored. RFC 7009 and RFC 7662 define it.
    #[expect(dead_code, reason = "required by the RFC and ignored")]
    token_type_hint: Option<String>,
}

/// An introspection response (RFC 7662). If the token is not active, it contains only `active`.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Introspection<'a> {
    /// Whether the token is active now.
    active: bool,
    /// Always `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Bearer")]
    token_type: Option<&'static str>,
    /// The scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "spaced")]
    #[schema(value_type = Option<String>, example = "projects:read content:write")]
    scope: Option<&'a [String]>,
    /// The id of the owner that the token acts for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    sub: Option<&'a str>,
    /// Same as `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    client_id: Option<&'a str>,
    /// The user's e-mail address, if the token acts for a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    /// The services that accept the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a [String]>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "http://127.0.0.1:8080")]
    iss: Option<&'a str>,
    /// When the token expires, in seconds since the Unix epoch; 253402300799 means never. Earlier than the token's
    /// `exp` claim if a revocation is scheduled, such as during the grace period after a rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When the token was issued, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// The `jti` claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    /// The id of the organization in which the token is valid; absent: all organizations of its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Uuid>,
    /// The team's id, if the token acts for a team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    /// The numbers of the projects that the token is restricted to; absent: not restricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    projects: Option<&'a [u32]>,
    /// The number of the token, as a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1")]
    token_id: Option<String>,
}

/// Introspect a token
///
/// Returns whether a token is active, and its claims (RFC 7662). Needs the scope `tokens:introspect`: a token of an
/// organization can introspect tokens of that organization, a token of the deployment all tokens. A token that is
/// expired, revoked, unknown, malformed, a session, or outside the caller's organization is reported as
/// `active: false`, without further fields.
#[utoipa::path(post, path = "/oauth/introspect", tag = "verification", operation_id = "introspect",
    request_body(content = IntrospectForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = OK, description = "The state of the token", body = Introspection)))]
async fn introspect(
    caller: Caller<TokensIntrospect>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), IntrospectForm>,
) -> Result<Response, Failure> {
    let active = app.authority.introspect(&caller, &body.token).await?;
    Ok(match &active {
        Some(active) => described(active, app.authority.issuer()),
        None => Json(Introspection::default()).into_response(),
    })
}

fn described(active: &Active, issuer: &str) -> Response {
    let token = active.token();
    let owner = token.owner();
    let answer = Introspection {
        active: true,
        token_type: Some("Bearer"),
        scope: Some(token.scopes()).filter(|scopes| !scopes.is_empty()),
        sub: Some(token.subject()),
        client_id: Some(token.subject()),
        username: active.person().map(|person| person.email.as_str()),
        aud: Some(token.audience()),
        iss: Some(issuer),
        exp: Some(active.ends_at.map_or(NEVER, |end| end.seconds())),
        iat: Some(token.issued_at()),
        jti: Some(token.jti()),
        org: owner.organization().map(|organization| organization.0),
        team: owner.team().map(TeamId::as_str),
        projects: token.projects(),
        token_id: Some(token.id().to_string()),
    };
    Json(answer).into_response()
}

fn spaced<S: Serializer>(scopes: &Option<&[String]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scopes.unwrap_or_default().join(" "))
}
