//! `/.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{Actor, ISSUER, NORTH, TestApp};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn the_metadata_says_where_everything_is() {
    let app = TestApp::new().await;
    let answer = app.get(&app.anyone(), METADATA).await.is(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let at = |path: &str| format!("{ISSUER}{path}");
    assert_eq!(
        answer.json(),
        json!({
            "issuer": ISSUER,
            "jwks_uri": at("/.well-known/jwks.json"),
            "introspection_endpoint": at("/oauth/introspect"),
            "introspection_endpoint_auth_methods_supported": ["Bearer", "client_secret_basic"],
            "revocation_endpoint": at("/oauth/revoke"),
            "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "status_list_aggregation_endpoint": at("/status-lists"),
            "revocation_feed_uri": at("/api/v1/revocations"),
            "revocation_stream_uri": at("/api/v1/revocations/stream"),
            "revocation_snapshot_uri": at("/api/v1/revocations/snapshot"),
            "scopes_supported": [
                "tokens:read", "tokens:write", "tokens:introspect", "organizations:read", "organizations:write",
                "audit:read", "revocations:read", "usage:write", "projects:read", "content:write", "subscription:read", "ai:use",
            ],
            "response_types_supported": [],
            "grant_types_supported": [],
            "subject_types_supported": ["public"],
            "service_documentation": at("/docs"),
        })
    );
    let same = app.get(&app.anyone(), OPENID).await.is(200);
    assert_eq!(same.text, answer.text);
}

#[tokio::test]
async fn the_issuer_is_the_one_in_tokens_and_the_endpoints_are_there() {
    let app = TestApp::new().await;
    let metadata = app.get(&app.anyone(), METADATA).await.is(200).json();
    let service = app.deployment_token(&["tokens:introspect"]).await.holder;
    let token = app.organization_token(&NORTH, &["projects:read"]).await.secret;
    let path = |member: &str| {
        let address = metadata[member].as_str().unwrap();
        address.strip_prefix(ISSUER).unwrap().to_owned()
    };
    app.get(&app.anyone(), &path("jwks_uri")).await.is(200);
    let form = format!("token={token}");
    let told = app.form(&service, &path("introspection_endpoint"), &form).await;
    assert_eq!(told.is(200).json()["iss"], metadata["issuer"]);
    app.form(&app.anyone(), &path("revocation_endpoint"), &form)
        .await
        .is(200);
    app.get(&Actor::holding(&token), "/tokens/current").await.is(401);
}

#[tokio::test]
async fn scripts_of_any_page_may_read_it() {
    let app = TestApp::new().await;
    for path in [METADATA, OPENID] {
        let request = Request::get(path).header("origin", "https://app.example");
        let answer = app.send(request.body(Body::empty()).unwrap()).await.is(200);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
    // Endpoints that take a credential or a token allow no other origin.
    let request = Request::get("/oauth/authorize-request").header("origin", "https://app.example");
    let answer = app.send(request.body(Body::empty()).unwrap()).await.is(401);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn behind_the_well_known_address_stands_only_the_issuers_own_path() {
    let app = TestApp::new().await;
    for path in ["/", "/x", "/jeton.example.org"] {
        let answer = app.get(&app.anyone(), &format!("{METADATA}{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let app = TestApp::of_issuer("https://example.org/tokens/eu").await;
    let metadata = app.get(&app.anyone(), &format!("{METADATA}/tokens/eu")).await;
    assert_eq!(metadata.is(200).json()["issuer"], "https://example.org/tokens/eu");
    for path in ["/tokens", "/tokens/eu/", "/tokens/eu/x", "/eu"] {
        let answer = app.get(&app.anyone(), &format!("{METADATA}{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    // For proxies that strip the issuer's path.
    app.get(&app.anyone(), METADATA).await.is(200);
}
