//! Properties of all requests and responses.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::api::dialects::terraform::{SURFACE, absent, made, new, organization, team};
use crate::harness::{Actor, Answer, NORTH, TestApp};

/// Sends a request with only these headers.
async fn bare(
    app: &TestApp,
    actor: &Actor,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(credential) = actor.authorization() {
        request = request.header("authorization", credential);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

const JSON_API: (&str, &str) = ("content-type", "application/vnd.api+json");

#[tokio::test]
async fn every_form_of_no_options_makes_a_token() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for body in [
        "",
        "{}",
        "null",
        r#"{"data":null}"#,
        r#"{"data":{}}"#,
        r#"{"data":{"type":""}}"#,
        r#"{"data":{"type":"authentication-token"}}"#,
        r#"{"data":{"type":"authentication-tokens","attributes":null}}"#,
        r#"{"data":{"type":"authentication-token","attributes":{}}}"#,
        r#"{"data":{"type":7,"attributes":{"expired-at":null,"description":""},"relationships":null}}"#,
    ] {
        for path in [
            team("authentication-token"),
            team("authentication-tokens"),
            organization("authentication-token"),
        ] {
            let answer = bare(&app, &admin, Method::POST, &path, &[JSON_API], body)
                .await
                .is(201);
            assert_eq!(
                answer.json()["data"]["attributes"]["expired-at"],
                Value::Null,
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn an_end_is_read_in_every_form_that_clients_send() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for (sent, end) in [
        ("2027-01-02T03:04:05Z", "2027-01-02T03:04:05.000Z"),
        ("2027-01-02T00:00:00.000Z", "2027-01-02T00:00:00.000Z"),
        ("2027-01-02T03:04:05+00:00", "2027-01-02T03:04:05.000Z"),
        ("2027-01-02T03:04:05+02:00", "2027-01-02T01:04:05.000Z"),
        ("2027-01-02T03:04:05", "2027-01-02T03:04:05.000Z"),
        ("2027-01-02T03:04:05.250000", "2027-01-02T03:04:05.250Z"),
        ("2027-01-02", "2027-01-02T00:00:00.000Z"),
    ] {
        let body = new(json!({"expired-at": sent}));
        let answer = SURFACE
            .post(&app, &admin, &team("authentication-token"), body)
            .await;
        assert_eq!(
            answer.is(201).text_at("/data/attributes/expired-at"),
            end,
            "{sent}"
        );
    }
    for (wrong, words) in [
        (
            json!("2026-01-01T00:00:00Z"),
            "expired-at: the expiry must be in the future",
        ),
        (
            json!("2026-01-02T03:05:05Z"),
            "expired-at: the expiry must be in the future",
        ),
        (json!("soon"), "expired-at: Input should be a valid datetime"),
        (json!(""), "expired-at: Input should be a valid datetime"),
        (json!(7), "expired-at: Input should be a valid datetime"),
    ] {
        let body = new(json!({"expired-at": wrong}));
        let answer = SURFACE
            .post(&app, &admin, &team("authentication-token"), body)
            .await
            .is(422);
        let error = &answer.json()["errors"][0];
        assert_eq!(error["title"], "invalid attributes");
        assert_eq!(error["source"]["pointer"], "/data/attributes/expired-at");
        assert!(error["detail"].as_str().unwrap().starts_with(words), "{error}");
    }
}

#[tokio::test]
async fn a_write_says_that_it_is_a_document_also_where_it_has_none() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    SURFACE
        .post(&app, &admin, &team("authentication-token"), json!({}))
        .await
        .is(201);
    let path = team("authentication-token");
    for headers in [
        &[][..],
        &[("content-type", "application/json")],
        &[("content-type", "text/plain")],
    ] {
        for method in [Method::POST, Method::DELETE] {
            let answer = bare(&app, &admin, method, &path, headers, "").await.is(415);
            assert_eq!(answer.text_at("/errors/0/status"), "415");
            assert_eq!(answer.text_at("/errors/0/title"), "unsupported media type");
        }
    }
    let detailed = ("content-type", "Application/VND.api+json; charset=utf-8");
    bare(&app, &admin, Method::POST, &path, &[detailed], "{}")
        .await
        .is(201);
    // Clients send a body with DELETE, which is ignored.
    bare(&app, &admin, Method::DELETE, &path, &[JSON_API], "null")
        .await
        .is(204);
    bare(&app, &admin, Method::GET, &organization("team-tokens"), &[], "")
        .await
        .is(200);
}

#[tokio::test]
async fn every_answer_names_the_version_and_the_request() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for (actor, path, status) in [
        (&admin, organization("team-tokens"), 200),
        (&admin, team("authentication-token"), 404),
        (&app.anyone(), organization("team-tokens"), 401),
        (&app.anyone(), "/api/v2/unheard-of".to_owned(), 404),
    ] {
        let answer = SURFACE.get(&app, actor, &path).await.is(status);
        assert_eq!(answer.header("tfp-api-version"), "2.6", "{path}");
        assert_eq!(answer.header("tfp-appname"), "HCP Terraform", "{path}");
        assert_eq!(answer.header("content-type"), "application/vnd.api+json");
        assert_ne!(answer.header("x-request-id"), "", "{path}");
        // No limit is configured, so no header states one.
        assert_eq!(answer.header("x-ratelimit-limit"), "");
    }
}

#[tokio::test]
async fn what_is_not_to_be_seen_does_not_exist() {
    let app = TestApp::new().await;
    let (id, _) = made(
        SURFACE
            .post(
                &app,
                &app.admin_of(&NORTH),
                &team("authentication-token"),
                json!({}),
            )
            .await,
    );
    let unscoped = app.organization_token(&NORTH, &["projects:read"]).await.holder;
    for actor in [&app.member_of(&NORTH), &app.outsider(), &unscoped] {
        for path in [
            team("authentication-token"),
            format!("/api/v2/authentication-tokens/{id}"),
        ] {
            absent(&SURFACE.get(&app, actor, &path).await);
            absent(&SURFACE.delete(&app, actor, &path).await);
        }
        absent(
            &SURFACE
                .post(
                    &app,
                    actor,
                    &team("authentication-tokens"),
                    new(json!({"description": "x"})),
                )
                .await,
        );
    }
    for path in [
        "/api/v2/teams/x/authentication-token",
        "/api/v2/authentication-tokens/at-Zk3Qm8VtW2pR6sYx",
    ] {
        absent(&SURFACE.get(&app, &app.admin_of(&NORTH), path).await);
    }
}

/// QuantCDN has these paths too, but only to read.
#[tokio::test]
async fn a_write_to_an_organization_without_a_media_type_is_refused_as_the_document_says() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let document = serde_json::to_value(jeton::http::document(SURFACE.document)).unwrap();
    let one = "/api/v2/organizations/{organization}";
    for (method, path, sent) in [
        (Method::POST, "/api/v2/organizations", "/api/v2/organizations"),
        (Method::PATCH, one, "/api/v2/organizations/nothing"),
        (Method::DELETE, one, "/api/v2/organizations/nothing"),
    ] {
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        assert!(operation["responses"]["415"].is_object(), "{method} {path}");
        for headers in [&[][..], &[("content-type", "application/json")]] {
            let answer = bare(&app, &admin, method.clone(), sent, headers, "")
                .await
                .is(415);
            assert_eq!(answer.text_at("/errors/0/status"), "415");
        }
    }
}

#[tokio::test]
async fn who_presents_no_good_token_is_unauthorized() {
    let app = TestApp::new().await;
    let others = app
        .mint(
            &app.admin_of(&NORTH),
            json!({"organization": NORTH.name, "owner": "organization",
            "audience": "https://elsewhere.example"}),
        )
        .await;
    for actor in [&app.anyone(), &Actor::holding("nothing"), &others.holder] {
        let answer = SURFACE.get(&app, actor, &organization("team-tokens")).await;
        assert_eq!(
            answer.json(),
            json!({"errors": [{"status": "401", "title": "unauthorized"}]})
        );
        assert!(answer.header("www-authenticate").starts_with("Bearer "));
    }
    // The credential is checked before anything else.
    let garbled = bare(
        &app,
        &app.anyone(),
        Method::POST,
        &team("authentication-token"),
        &[],
        "{",
    )
    .await;
    garbled.is(401);
}
