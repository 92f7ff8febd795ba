//! Authorization server metadata (RFC 8414).

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};

use crate::http::cacheable::for_any_origin;
use crate::http::caller::Anyone;
use crate::http::{App, Failure};
use jeton_core::token::{Catalogue, Scope};
use jeton_verifier::feed::FEED_PATH;

/// How long clients may cache the metadata, which changes only with the configuration.
const CACHED: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=300")];

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(metadata).map(for_any_origin))
        .routes(routes!(openid_configuration).map(for_any_origin))
        .route(
            "/.well-known/oauth-authorization-server/{*path}",
            for_any_origin(get(metadata_of_path)),
        )
}

/// Authorization server metadata (RFC 8414).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuthorizationServerMetadata)]
struct Metadata<'a> {
    /// The issuer, exactly as in the `iss` claim of every token.
    #[schema(example = "http://127.0.0.1:8080")]
    issuer: &'a str,
    /// The URL of the key set.
    #[schema(example = "http://127.0.0.1:8080/.well-known/jwks.json")]
    jwks_uri: String,
    /// The URL of token introspection (RFC 7662).
    introspection_endpoint: String,
    /// How the caller of `introspection_endpoint` sends its token, which needs the scope `tokens:introspect`.
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// The URL of token revocation (RFC 7009).
    revocation_endpoint: String,
    /// How the caller of `revocation_endpoint` authenticates; `none`: without a credential.
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    /// The URL that lists all status lists (Token Status List, section 9).
    status_list_aggregation_endpoint: String,
    /// The URL of the revocation feed, which needs the scope `revocations:read`.
    revocation_feed_uri: String,
    /// The URL of the feed's stream of server-sent events.
    revocation_stream_uri: String,
    /// The URL of the signed snapshot from which followers of the feed start.
    revocation_snapshot_uri: String,
    /// All scopes.
    #[schema(value_type = Vec<String>)]
    scopes_supported: &'a [Scope],
    /// Empty: tokens are created with `POST /api/v1/tokens`, not by OAuth grants.
    response_types_supported: [&'static str; 0],
    /// Empty, see `response_types_supported`.
    grant_types_supported: [&'static str; 0],
    /// `public`: `sub` is the same for every service.
    subject_types_supported: [&'static str; 1],
    /// The URL of the API documentation.
    service_documentation: String,
}

impl<'a> Metadata<'a> {
    fn of(issuer: &'a str, catalogue: &'a Catalogue) -> Self {
        let at = |path: &str| format!("{issuer}{path}");
        Self {
            issuer,
            jwks_uri: at("/.well-known/jwks.json"),
            introspection_endpoint: at("/oauth/introspect"),
            introspection_endpoint_auth_methods_supported: ["Bearer", "client_secret_basic"],
            revocation_endpoint: at("/oauth/revoke"),
            revocation_endpoint_auth_methods_supported: ["none", "client_secret_basic"],
            status_list_aggregation_endpoint: at("/status-lists"),
            revocation_feed_uri: at(FEED_PATH),
            revocation_stream_uri: at(&format!("{FEED_PATH}/stream")),
            revocation_snapshot_uri: at(&format!("{FEED_PATH}/snapshot")),
            scopes_supported: catalogue.scopes(),
            response_types_supported: [],
            grant_types_supported: [],
            subject_types_supported: ["public"],
            service_documentation: at("/docs"),
        }
    }
}

/// Get authorization server metadata
///
/// Authorization server metadata (RFC 8414): issuer, key set, introspection and revocation endpoints.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "verification", security(()), operation_id = "metadata",
    responses((status = OK, description = "The metadata", body = Metadata,
        headers(("Cache-Control" = String, description = "How long the response may be cached")))))]
async fn metadata(_: Anyone, State(app): State<Arc<App>>) -> impl IntoResponse {
    let settings = app.authority.settings();
    let metadata = Metadata::of(app.authority.issuer(), &settings.catalogue);
    (CACHED, Json(metadata)).into_response()
}

/// Get OpenID Connect discovery metadata
///
/// Same as `/.well-known/oauth-authorization-server`, for libraries that support only OpenID Connect discovery.
/// The server does not implement OpenID Connect login or ID tokens.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "verification", security(()), operation_id = "openid_configuration",
    responses((status = OK, description = "The metadata", body = Metadata,
        headers(("Cache-Control" = String, description = "How long the response may be cached")))))]
async fn openid_configuration(caller: Anyone, app: State<Arc<App>>) -> impl IntoResponse {
    metadata(caller, app).await
}

/// Serves the metadata of an issuer with a path, whose path follows the well-known prefix (RFC 8414,
/// section 3.1).
async fn metadata_of_path(
    caller: Anyone,
    app: State<Arc<App>>,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let asked = uri.path().strip_prefix("/.well-known/oauth-authorization-server");
    let authority = app.authority.issuer().split_once("://");
    let own = authority.and_then(|(_, rest)| rest.find('/').and_then(|slash| rest.get(slash..)));
    if asked == own {
        Ok(metadata(caller, app).await)
    } else {
        Err(Failure::NoRoute)
    }
}
