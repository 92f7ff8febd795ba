//! Errors: one format, and codes that never change.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::api::matrix::{CALLERS, Operation, Stage, operations, rows};
use crate::harness::{Actor, Answer, NORTH, TestApp};

/// Returns what is wrong with the format of an operation's error.
fn deformity_of(operation: &Operation, answer: &Answer) -> Option<String> {
    if operation.is_head() {
        return (!answer.text.is_empty()).then(|| format!("has a body: {}", answer.text));
    }
    if operation.is_oauth() {
        return oauth_deformity(answer);
    }
    deformity(answer)
}

/// Returns what is wrong with the format of an error below `/oauth/` (RFC 6749, section 5.2).
pub(super) fn oauth_deformity(answer: &Answer) -> Option<String> {
    let Ok(body) = serde_json::from_str::<Value>(&answer.text) else {
        return Some(format!("is no JSON: {}", answer.text));
    };
    if answer.header("content-type") != "application/json" {
        return Some(format!("is {}", answer.header("content-type")));
    }
    let fields: Vec<&str> = body.as_object()?.keys().map(String::as_str).collect();
    let permitted = |field: &str| {
        let allowed = |letter: char| matches!(letter, ' '..='~') && letter != '"' && letter != '\\';
        body[field]
            .as_str()
            .is_some_and(|text| !text.is_empty() && text.chars().all(allowed))
    };
    let well_formed =
        fields == ["error", "error_description"] && permitted("error") && permitted("error_description");
    (!well_formed).then(|| format!("has another form: {}", answer.text))
}

/// Returns what is wrong with the format of an error.
fn deformity(answer: &Answer) -> Option<String> {
    let Ok(body) = serde_json::from_str::<Value>(&answer.text) else {
        return Some(format!("is no JSON: {}", answer.text));
    };
    if answer.header("content-type") != "application/json" {
        return Some(format!("is {}", answer.header("content-type")));
    }
    let fields: Vec<&str> = body.as_object()?.keys().map(String::as_str).collect();
    let well_formed = if answer.status == 422 {
        let whole = |one: &Value| {
            one["type"].is_string()
                && one["msg"].is_string()
                && one["loc"].is_array()
                && one.get("input").is_some()
        };
        let faults = body["detail"].as_array();
        fields == ["detail"] && faults.is_some_and(|faults| !faults.is_empty() && faults.iter().all(whole))
    } else {
        let text = |field: &str| body[field].as_str().is_some_and(|text| !text.is_empty());
        fields == ["code", "detail"] && text("detail") && text("code")
    };
    (!well_formed).then(|| format!("has another form: {}", answer.text))
}

#[tokio::test]
async fn every_error_of_every_operation_has_the_one_form() {
    let stage = Stage::set().await;
    let operations = operations();
    let mut findings = Vec::new();
    for row in &rows() {
        let operation = operations
            .iter()
            .find(|operation| operation.id == row.operation)
            .unwrap();
        for (place, caller) in CALLERS.iter().enumerate() {
            // One server for all of them: changes of state do not affect the error format.
            if row.expected_of(caller) < 400 {
                continue;
            }
            let answer = stage
                .app
                .send(stage.request(row, operation, place, NORTH.name))
                .await;
            if let Some(finding) = deformity_of(operation, &answer) {
                findings.push(format!("{} by {caller} {finding}", row.operation));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Violations that an operation finds, after the body was read, echo the value as it was sent too.
#[tokio::test]
async fn a_violation_echoes_what_was_sent() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let home = format!("/organizations/{}", NORTH.name);
    let policy = json!({"policy": {"max_lifetime": "30d", "allowed_scopes": ["projects:read"]}});
    app.patch(&admin, &home, policy).await.is(200);
    let token =
        json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1d", "scopes": []});
    let token = app.mint(&admin, token).await;
    let rotate = format!("/tokens/{}/rotate", token.id);
    let order = |field: &str, value: Value| {
        let mut order = json!({"name": "n", "organization": NORTH.name, "owner": "organization"});
        order[field] = value;
        order
    };
    for (path, body, field) in [
        ("/tokens", order("expires_in", json!("8w")), "/expires_in"),
        ("/tokens", order("expires_in", json!("never")), "/expires_in"),
        (
            "/tokens",
            order("expires_in_days", json!("0_31")),
            "/expires_in_days",
        ),
        ("/tokens", order("projects", json!(["17"])), "/projects/0"),
        (
            "/tokens",
            order("scopes", json!(["projects:read", "content:write"])),
            "/scopes/1",
        ),
        (&rotate, json!({"expires_in": "52w"}), "/expires_in"),
        (
            "/revocations",
            json!({"organization": NORTH.name, "issued_before": "2126-01-01"}),
            "/issued_before",
        ),
        (
            "/revocations",
            json!({"organization": NORTH.name, "project": "9"}),
            "/project",
        ),
    ] {
        let answer = app.post(&admin, path, body.clone()).await.is(422).json();
        let violation = &answer["detail"][0];
        let way = violation["loc"].as_array().unwrap().iter().skip(1);
        let way: String = way.map(|part| format!("/{part}").replace('"', "")).collect();
        assert_eq!(
            (&*way, &violation["input"]),
            (field, body.pointer(field).unwrap()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_refusal_says_which_credential_is_needed() {
    let app = TestApp::new().await;
    let (admin, site) = (app.admin_of(&NORTH), app.site_admin());
    for (method, path) in [
        (Method::GET, "/tokens/current"),
        (Method::POST, "/tokens/current/revoke"),
        (Method::POST, "/tokens/current/rotate"),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let path = format!("/api/v1{path}");
        let answer = app
            .call(&admin, method, &path, body)
            .await
            .fails(403, "api_token_needed");
        assert!(answer.text.contains("POST /api/v1/tokens"), "{}", answer.text);
    }
    let team = app.team_token(&NORTH, &["tokens:read"]).await.holder;
    for (caller, code) in [
        (&site, "deployment_token_needed"),
        (&admin, "deployment_token_needed"),
        (&team, "insufficient_scope"),
    ] {
        let answer = app.post(caller, "/usage", json!({"uses": []})).await;
        let answer = answer.fails(403, code);
        assert!(answer.text.contains("`owner: deployment`"), "{}", answer.text);
        assert!(
            answer
                .header("www-authenticate")
                .contains("scope=\"usage:write\"")
        );
    }
    let session = app
        .call(&site, Method::GET, "/oauth/authorize-request", None)
        .await
        .is(401);
    assert_eq!(session.text_at("/error"), "invalid_token");
    for text in [
        session.text_at("/error_description"),
        session.header("www-authenticate").to_owned(),
    ] {
        assert!(
            text.contains("needs an API token, and the request has a session"),
            "{text}"
        );
    }
    // Who presents a token learns what to do, but not whether it has ever existed.
    let revoked = app.organization_token(&NORTH, &[]).await.holder;
    app.post(&revoked, "/tokens/current/revoke", json!({}))
        .await
        .is(201);
    let mut texts = Vec::new();
    for holder in [revoked, Actor::holding("eyJhbGciOiJFUzI1NiJ9.e30.AA")] {
        let answer = app.get(&holder, "/me").await.fails(401, "invalid_token");
        let detail = answer.text_at("/detail");
        assert_eq!(
            answer.header("www-authenticate"),
            format!("Bearer realm=\"jeton\", error=\"invalid_token\", error_description=\"{detail}\"")
        );
        texts.push(detail);
    }
    for (text, begins) in texts
        .iter()
        .zip(["The token is revoked.", "The token is not active."])
    {
        assert!(
            text.starts_with(begins) && text.contains("Log in again"),
            "{texts:?}"
        );
    }
}

#[tokio::test]
async fn what_no_operation_answers_has_the_form_too() {
    let app = TestApp::new().await;
    let actor = app.site_admin();
    let bearer = actor.authorization().unwrap();
    let post = |body: Body| {
        Request::post("/api/v1/organizations")
            .header("authorization", bearer)
            .header("content-type", "application/json")
            .body(body)
            .unwrap()
    };
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let with = |method: Method, path: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap()
    };
    let mut table = String::new();
    for (what, request) in [
        ("an unknown address", get("/nowhere")),
        ("an unknown address below the API", get("/api/v1/nowhere")),
        ("a slash at the end", get("/api/v1/tokens/")),
        (
            "a method that the address does not take",
            with(Method::PUT, "/api/v1/tokens"),
        ),
        (
            "the same where only reading is possible",
            with(Method::POST, "/healthz"),
        ),
        ("no credential", get("/api/v1/me")),
        ("a body that is no JSON", post(Body::from("{"))),
        ("a body that is no object", post(Body::from("[]"))),
        (
            "a body that is no UTF-8",
            post(Body::from(vec![b'"', 0xff, b'"'])),
        ),
        ("a body that is too long", post(Body::from(vec![b' '; 65_537]))),
        ("no body", post(Body::empty())),
        ("a path that is no UTF-8", {
            Request::get("/api/v1/organizations/%ff")
                .header("authorization", bearer)
                .body(Body::empty())
                .unwrap()
        }),
    ] {
        let answer = app.send(request).await;
        assert_eq!(deformity(&answer), None, "{what}");
        let allow = answer.header("allow");
        let code = if answer.status == 422 {
            answer.faults().join(", ")
        } else {
            answer.code().to_owned()
        };
        table.push_str(format!("{what}: {} {code} {allow}", answer.status).trim_end());
        table.push('\n');
    }
    insta::assert_snapshot!(table, @r"
    an unknown address: 404 not_found
    an unknown address below the API: 404 not_found
    a slash at the end: 404 not_found
    a method that the address does not take: 405 method_not_allowed POST,GET,HEAD
    the same where only reading is possible: 405 method_not_allowed GET,HEAD
    no credential: 401 not_authenticated
    a body that is no JSON: 422 json_invalid at body.0
    a body that is no object: 422 model_attributes_type at body
    a body that is no UTF-8: 400 invalid_utf8
    a body that is too long: 413 body_too_large
    no body: 422 missing at body
    a path that is no UTF-8: 400 invalid_utf8
    ");
}

#[tokio::test]
async fn a_body_of_exactly_64_kib_is_read() {
    let app = TestApp::new().await;
    let mut body = json!({"name": "long"}).to_string().into_bytes();
    body.resize(65_536, b' ');
    let request = Request::post("/api/v1/organizations")
        .header("authorization", app.site_admin().authorization().unwrap())
        .body(Body::from(body))
        .unwrap();
    app.send(request).await.is(201);
}

#[tokio::test]
async fn a_password_that_was_refused_is_not_said_back() {
    let app = TestApp::new().await;
    let secret = "short-1";
    let site = app.site_admin();
    for order in [
        json!({"email": "x", "password": secret}),
        json!({"email": "a@example.com", "password": secret}),
        json!({"email": "a@example.com", "password": [secret]}),
        json!({"password": secret}),
    ] {
        let answer = app.post(&site, "/users", order.clone()).await.is(422);
        assert!(!answer.text.contains(secret), "{order}: {}", answer.text);
    }
    let change = json!({"password": {"new": secret}, "current_password": [secret]});
    let answer = app.patch(&site, "/users/admin@example.com", change).await.is(422);
    assert!(!answer.text.contains(secret), "{}", answer.text);
    let answer = app
        .post(&Actor::anyone(), "/login", json!({"password": secret}))
        .await
        .is(422);
    assert!(!answer.text.contains(secret), "{}", answer.text);
    // Nor under a misspelt name: a form with a password echoes nothing.
    let answer = app
        .post(
            &Actor::anyone(),
            "/login",
            json!({"pasword": secret, "email": [1]}),
        )
        .await
        .is(422);
    assert_eq!(answer.json()["detail"][0]["input"], json!(null));
    assert!(!answer.text.contains(secret), "{}", answer.text);
    // A form without secrets echoes the input.
    let answer = app.post(&site, "/organizations", json!({"x": [1]})).await.is(422);
    assert_eq!(answer.json()["detail"][0]["input"], json!({"x": [1]}));
}

#[tokio::test]
async fn a_body_with_a_content_coding_is_415() {
    let app = TestApp::new().await;
    let admin = app.site_admin();
    let bearer = admin.authorization().unwrap();
    for (number, (coding, status)) in [
        ("gzip", 415),
        ("identity, gzip", 415),
        ("identity", 201),
        ("Identity", 201),
    ]
    .into_iter()
    .enumerate()
    {
        for (path, body) in [
            ("/api/v1/organizations", format!(r#"{{"name":"coded-{number}"}}"#)),
            ("/oauth/revoke", "token=none".to_owned()),
        ] {
            let form = path.starts_with("/oauth");
            let media = if form {
                "application/x-www-form-urlencoded"
            } else {
                "application/json"
            };
            let request = Request::post(path)
                .header("authorization", bearer)
                .header("content-type", media)
                .header("content-encoding", coding)
                .body(body.into())
                .unwrap();
            let expected = if form && status == 201 { 200 } else { status };
            assert_eq!(app.send(request).await.status, expected, "{coding} {path}");
        }
    }
}
