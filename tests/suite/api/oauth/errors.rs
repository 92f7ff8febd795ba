//! Errors below `/oauth/`.

use axum::body::Body;
use axum::http::{Method, Request};

use crate::api::errors::oauth_deformity;
use crate::harness::{Answer, NORTH, TestApp};

const FORM: &str = "application/x-www-form-urlencoded";

fn post(path: &str, media: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path);
    if let Some(media) = media {
        request = request.header("content-type", media);
    }
    request.body(body.into()).unwrap()
}

fn with(method: Method, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::empty()).unwrap()
}

/// Formats `status error: description`.
fn said(answer: &Answer) -> String {
    let (error, description) = (answer.code(), answer.text_at("/error_description"));
    format!("{} {error}: {description}", answer.status)
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_as_rfc_6749_has_it() {
    let app = TestApp::new().await;
    let revoke = |body: &str| post("/oauth/revoke", Some(FORM), body.to_owned());
    let ask = |query: &str, credential: &str| {
        let request = Request::get(format!("/oauth/authorize-request{query}"));
        let request = request.header("authorization", credential);
        request.body(Body::empty()).unwrap()
    };
    let token = app.organization_token(&NORTH, &["projects:read"]).await.secret;
    let bearer = format!("Bearer {token}");
    let mut table = String::new();
    for (what, request) in [
        ("an unknown address", with(Method::GET, "/oauth/nowhere")),
        ("an unknown address, deeper", with(Method::POST, "/oauth/a/b/c")),
        ("another method", with(Method::GET, "/oauth/introspect")),
        ("no credential", post("/oauth/introspect", Some(FORM), "token=x")),
        (
            "JSON",
            post("/oauth/revoke", Some("application/json"), "{\"token\":\"x\"}"),
        ),
        ("no media type", post("/oauth/revoke", None, "token=x")),
        ("no body", revoke("")),
        ("no token", revoke("token_type_hint=access_token")),
        ("an empty token", revoke("token=")),
        ("two tokens", revoke("token=x&token=y")),
        ("two hints", revoke("token=x&token_type_hint=a&token_type_hint=b")),
        (
            "a long reason",
            revoke(&format!("token=x&reason={}", "r".repeat(1001))),
        ),
        (
            "bytes that are no text",
            post("/oauth/revoke", Some(FORM), vec![b't', 0xff]),
        ),
        ("a long body", revoke(&format!("token={}", "x".repeat(65_536)))),
        ("a misspelt demand", ask("?scopes=a:b", &bearer)),
        ("two demands", ask("?scope=a:b&scope=c:d", &bearer)),
        ("two audiences", ask("?audience=a&audience=b", &bearer)),
        ("an empty demand", ask("?scope=", &bearer)),
        ("an empty audience", ask("?audience=", &bearer)),
        ("no scope", ask("?scope=%22quoted%22", &bearer)),
        ("a demand with two spaces", ask("?scope=a:b++c:d", &bearer)),
        ("Basic without a colon", ask("", "Basic bm8gY29sb24=")),
        ("garbage", ask("", "Bearer garbage")),
        (
            "another audience",
            ask("?audience=https://other.example", &bearer),
        ),
        ("another scope", ask("?scope=content:write+ai:use", &bearer)),
    ] {
        let answer = app.send(request).await;
        assert_eq!(oauth_deformity(&answer), None, "{what}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        let (allow, challenge) = (answer.header("allow"), answer.header("www-authenticate"));
        table.push_str(format!("{what}: {} {allow}{challenge}", said(&answer)).trim_end());
        table.push('\n');
    }
    insta::assert_snapshot!(table, @r#"
    an unknown address: 404 invalid_request: There is no such endpoint.
    an unknown address, deeper: 404 invalid_request: There is no such endpoint.
    another method: 405 invalid_request: This endpoint does not support this method; Allow lists those it does. POST
    no credential: 401 invalid_client: Authentication is required: send a token as Authorization: Bearer. Bearer realm="jeton"
    JSON: 415 invalid_request: Send the body as Content-Type: application/x-www-form-urlencoded.
    no media type: 415 invalid_request: Send the body as Content-Type: application/x-www-form-urlencoded.
    no body: 400 invalid_request: token: Field required
    no token: 400 invalid_request: token: Field required
    an empty token: 400 invalid_request: token: Field required
    two tokens: 400 invalid_request: token: Value error, must not be given twice
    two hints: 400 invalid_request: token_type_hint: Value error, must not be given twice
    a long reason: 400 invalid_request: reason: String should have at most 1000 characters
    bytes that are no text: 400 invalid_request: The request is not valid UTF-8.
    a long body: 413 invalid_request: The body is longer than 64 KiB.
    a misspelt demand: 400 invalid_request: scopes: Extra inputs are not permitted
    two demands: 400 invalid_request: scope: Value error, must not be given twice
    two audiences: 400 invalid_request: audience: Value error, must not be given twice
    an empty demand: 400 invalid_request: scope: Value error, each scope must be `resource:action`, at most 64 characters from a-z, 0-9, `_` and `-`
    an empty audience: 400 invalid_request: audience: String should have at least 1 character
    no scope: 400 invalid_request: scope: Value error, each scope must be `resource:action`, at most 64 characters from a-z, 0-9, `_` and `-`
    a demand with two spaces: 400 invalid_request: scope: Value error, each scope must be `resource:action`, at most 64 characters from a-z, 0-9, `_` and `-`
    Basic without a colon: 401 invalid_token: The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`. Bearer realm="jeton", error="invalid_token", error_description="The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`."
    garbage: 401 invalid_token: The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`. Bearer realm="jeton", error="invalid_token", error_description="The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`."
    another audience: 401 invalid_token: The token is for other services: its audience does not include this one. Create a token with this `audience`. Bearer realm="jeton", error="invalid_token", error_description="The token is for other services: its audience does not include this one. Create a token with this `audience`."
    another scope: 403 insufficient_scope: The token lacks the scope content:write ai:use: create a token that has it. Bearer realm="jeton", error="insufficient_scope", error_description="The token lacks the scope content:write ai:use: create a token that has it.", scope="content:write ai:use"
    "#);
}

#[tokio::test]
async fn unknown_parameters_of_a_form_are_ignored_even_twice() {
    let app = TestApp::new().await;
    let form = "token=x&resource=a&resource=b&client_id=anybody";
    app.form(&app.anyone(), "/oauth/revoke", form).await.is(200);
}

#[tokio::test]
async fn the_media_type_may_have_parameters_and_capitals() {
    let app = TestApp::new().await;
    for media in [
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-Urlencoded",
    ] {
        let answer = app.send(post("/oauth/revoke", Some(media), "token=x")).await;
        assert_eq!(answer.status, 200, "{media}");
    }
}
