//! What a token is, for a service that was handed it (RFC 7662).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jeton_verifier::NEVER;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::authority::Active;
use crate::http::caller::{Caller, TokensIntrospect};
use crate::http::input::{Form, Input};
use crate::http::{App, Failure};
use jeton_core::directory::TeamId;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(introspect))
}

/// Which token.
#[derive(Form)]
#[form(body, name = "Introspect", encoding = UrlEncoded, repeated = Refused, example = json!({"token": "eyJhbGciOiJFUzI1NiJ9.e30.AA"}))]
struct IntrospectForm {
    /// The token, with or without its prefix.
    token: String,
    /// Taken, and not needed: a token says itself what it is.
    #[expect(dead_code, reason = "the RFC has it, and nothing hangs on it")]
    token_type_hint: Option<String>,
}

/// What a token is. Of one that is not active nothing but that is said.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Introspection<'a> {
    /// Whether it is good at this moment.
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Bearer")]
    token_type: Option<&'static str>,
    /// Its scopes, with a space between two.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "spaced")]
    #[schema(value_type = Option<String>, example = "projects:read content:write")]
    scope: Option<&'a [String]>,
    /// What it acts for: the owner's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    sub: Option<&'a str>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    client_id: Option<&'a str>,
    /// The e-mail address of the person it acts for, where it acts for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    /// The services it is meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "http://127.0.0.1:8080")]
    iss: Option<&'a str>,
    /// When it ends, in seconds since the Unix epoch; 253402300799 is never. Before the `exp` in the token
    /// itself where a revocation lies ahead, as in the grace after a rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was issued, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    /// The id of the organization it is good in; absent is all that its owner has.
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Uuid>,
    /// The id of the team it acts for, where it acts for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    /// The only projects it reaches; absent is unrestricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    projects: Option<&'a [u32]>,
    /// The number of its record, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1")]
    token_id: Option<String>,
}

/// Introspect a token
///
/// For a service that would rather ask than verify. Needs the scope `tokens:introspect`: a token of
/// an organization asks about that organization's tokens, one of the deployment about all. A token
/// that is expired, revoked, unknown, malformed, a session or not yours to see is not active, and
/// nothing else is said of it.
#[utoipa::path(post, path = "/oauth/introspect", tag = "verification", operation_id = "introspect",
    request_body(content = IntrospectForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = OK, description = "What the token is", body = Introspection)))]
async fn introspect(
    caller: Caller<TokensIntrospect>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), IntrospectForm>,
) -> Result<Response, Failure> {
    let active = app.authority.introspect(&caller, &body.token).await?;
    Ok(match &active {
        Some(active) => described(active, &app.authority.settings().issuer),
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
