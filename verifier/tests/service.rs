//! A service with the features `axum` and `tower`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "client/authority.rs"]
#[expect(dead_code, reason = "shared with the tests of the client")]
mod authority;

use std::time::Duration;

use authority::Authority;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt;
use jeton_verifier::axum::{Authorized, resource_metadata};
use jeton_verifier::tower::VerifyLayer;
use jeton_verifier::{Requirements, Verifier};
use tower::ServiceExt;

/// The audience of the tests' service.
const AUDIENCE: &str = "https://api.example.org";

async fn whoami(Authorized(claims): Authorized) -> String {
    claims.subject.clone()
}

fn app(verifier: &Verifier) -> Router {
    let reading = VerifyLayer::new(verifier.clone()).require(Requirements::new().scope("projects:read"));
    let writing = VerifyLayer::new(verifier.clone()).require(Requirements::new().scope("projects:write"));
    Router::new()
        .route("/read", get(whoami).layer(reading.announce_metadata()))
        .route("/write", get(whoami).layer(writing))
        .route("/forgotten", get(whoami))
        .merge(resource_metadata(verifier, &["projects:read"]))
}

async fn answer(app: &Router, path: &str, credentials: &[&str]) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(path);
    for credential in credentials {
        request = request.header("authorization", *credential);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn refusals_say_what_is_missing() {
    let authority = Authority::start().await;
    let verifier = Verifier::builder(authority.issuer(), AUDIENCE)
        .token(authority.own_token())
        .max_staleness(Duration::from_secs(3600))
        .build()
        .unwrap();
    verifier.ready().await;
    let app = app(&verifier);
    let (good, revoked) = (authority.token(), authority.token());
    let cursor = authority.revoke(&revoked);
    verifier.wait_for(cursor).await;
    let metadata = "resource_metadata=\"https://api.example.org/.well-known/oauth-protected-resource\"";

    for scheme in ["Bearer", "bearer", "BEARER "] {
        let (status, _, body) = answer(&app, "/read", &[&format!("{scheme} {good}")]).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "user-1"));
    }
    let bearer = format!("Bearer {good}");
    let revoked = format!("Bearer {revoked}");
    let without = format!("Bearer scope=\"projects:read\", {metadata}");
    let of_revoked = format!(
        "Bearer error=\"invalid_token\", error_description=\"the token is revoked\", scope=\"projects:read\", {metadata}"
    );
    let forbidden = "Bearer error=\"insufficient_scope\", error_description=\"the token lacks a required scope\", \
                     scope=\"projects:write\"";
    let twice = format!("Bearer error=\"invalid_request\", scope=\"projects:read\", {metadata}");
    for (path, credentials, status, challenge) in [
        ("/read", vec![], 401, without.as_str()),
        ("/read", vec!["Basic YTpi"], 401, &without),
        ("/read", vec![&good], 401, &without),
        ("/read", vec![&revoked], 401, &of_revoked),
        ("/read", vec![&bearer, &bearer], 400, &twice),
        ("/write", vec![&bearer], 403, forbidden),
    ] {
        let (answered, headers, body) = answer(&app, path, &credentials).await;
        assert_eq!(answered.as_u16(), status, "{path} {credentials:?}");
        assert_eq!(headers["www-authenticate"], challenge);
        assert_eq!(body, "");
    }
    let (status, _, _) = answer(&app, "/forgotten", &[&bearer]).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);

    let (status, _, body) = answer(&app, "/.well-known/oauth-protected-resource", &[]).await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["resource"], AUDIENCE);
    assert_eq!(
        body["authorization_servers"],
        serde_json::json!([authority.issuer()])
    );
}

#[tokio::test]
async fn unknown_revocation_is_no_fault_of_the_client() {
    let authority = Authority::start().await;
    authority.data().delay = 3600;
    let verifier = Verifier::builder(authority.issuer(), AUDIENCE)
        .token(authority.own_token())
        .max_staleness(Duration::from_secs(60))
        .build()
        .unwrap();
    let app = app(&verifier);
    let bearer = format!("Bearer {}", authority.token());
    let (status, headers, _) = answer(&app, "/read", &[&bearer]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers["retry-after"], "5");
}
