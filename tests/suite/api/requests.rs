//! What is observed of every request: its id in the response, and the metrics.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use tower::ServiceExt;

use crate::harness::{Actor, Answer, Fault, NORTH, Plan, TestApp};

/// Sends a request with a JSON body and headers.
async fn ask(
    app: &TestApp,
    actor: &Actor,
    method: &str,
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
    let request = request.header("content-type", "application/json");
    app.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// Requests of every API, each with the status of its response.
fn of_every_api() -> Vec<(&'static str, &'static str, u16)> {
    vec![
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/", 302),
        ("GET", "/docs/", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/.well-known/jwks.json", 200),
        ("OPTIONS", "/.well-known/jwks.json", 200),
        ("GET", "/api/v1/me", 401),
        ("POST", "/api/v1/login", 422),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/healthz", 405),
        ("POST", "/oauth/introspect", 401),
        ("GET", "/oauth/nothing", 404),
        ("GET", "/oauth/introspect", 405),
        ("PURGE", "/oauth/authorize-request", 401),
        ("GET", "/organizations/acme", 401),
        ("GET", "/users/a/b/c/d", 404),
        ("GET", "/api/v2/ping", 204),
        ("GET", "/api/v2/account/details", 401),
        ("GET", "/api/v2/nothing", 404),
        ("GET", "/api/v2/organizations", 401),
        ("PUT", "/api/v2/organizations/acme/tokens", 405),
    ]
}

#[tokio::test]
async fn every_response_has_the_id_of_its_request() {
    let app = TestApp::new().await;
    let mut drawn = std::collections::HashSet::new();
    for (method, path, status) in of_every_api() {
        let answer = ask(&app, &Actor::anyone(), method, path, &[], "{}")
            .await
            .is(status);
        let id = answer.header("x-request-id").to_owned();
        assert_eq!(id.len(), 32, "{method} {path}: {id}");
        assert!(
            id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{method} {path}: {id}"
        );
        assert!(drawn.insert(id), "{method} {path}");

        let given = [("x-request-id", "Given-1")];
        let answer = ask(&app, &Actor::anyone(), method, path, &given, "{}")
            .await
            .is(status);
        assert_eq!(answer.header("x-request-id"), "Given-1", "{method} {path}");
        assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);

        // Neither log nor response repeats it.
        for refused in ["a b", "", "a.b", "\"", &"x".repeat(65)] {
            let answer = ask(
                &app,
                &Actor::anyone(),
                method,
                path,
                &[("x-request-id", refused)],
                "{}",
            )
            .await;
            let id = answer.header("x-request-id").to_owned();
            assert_eq!(id.len(), 32, "{method} {path} {refused:?}: {id}");
        }
    }
}

#[tokio::test]
async fn failures_of_the_server_and_streams_have_an_id_too() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let follower = app.deployment_token(&["revocations:read"]).await;
    let given = [("x-request-id", "given"), ("accept", "text/event-stream")];
    let stream = ask(
        &app,
        &follower.holder,
        "GET",
        "/api/v1/revocations/stream",
        &given,
        "",
    )
    .await
    .is(200);
    assert_eq!(stream.header("x-request-id"), "given");
    let admin = app.admin_of(&NORTH);
    plan.arm(Fault::Fails, None, 0);
    let failed = ask(&app, &admin, "GET", "/api/v1/tokens", &given, "")
        .await
        .is(503);
    assert_eq!(failed.header("x-request-id"), "given");
}

/// Returns the lines of a metric, without its name.
fn lines<'t>(text: &'t str, metric: &str) -> Vec<&'t str> {
    let mut lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(metric))
        .collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_status() {
    let app = TestApp::new().await;
    let before = app.metrics().await;
    assert_eq!(lines(&before, "jeton_http_requests_total"), [""; 0]);
    let admin = app.admin_of(&NORTH);
    for name in ["a", "b", "c"] {
        let order = json!({"name": name, "organization": NORTH.name});
        app.post(&admin, "/tokens", order).await.is(201);
    }
    app.post(&admin, "/tokens", json!({})).await.is(422);
    app.get(&admin, "/tokens").await.is(200);
    app.get(&Actor::anyone(), "/tokens").await.is(401);
    app.get(&admin, "/healthz").await.is(200);
    ask(&app, &admin, "HEAD", "/healthz", &[], "").await.is(200);
    app.get(&admin, &format!("/organizations/{}", NORTH.name))
        .await
        .is(200);
    app.get(&admin, "/api/v2/account/details").await.is(200);
    ask(
        &app,
        &admin,
        "GET",
        &format!("/organizations/{}", NORTH.name),
        &[],
        "",
    )
    .await
    .is(200);
    let text = app.metrics().await;
    let expected = [
        "{surface=\"cave\",operation=\"get_organization\",status=\"200\"} 1",
        "{surface=\"native\",operation=\"create_token\",status=\"201\"} 3",
        "{surface=\"native\",operation=\"create_token\",status=\"422\"} 1",
        "{surface=\"native\",operation=\"get_organization\",status=\"200\"} 1",
        "{surface=\"native\",operation=\"health\",status=\"200\"} 2",
        "{surface=\"native\",operation=\"list_tokens\",status=\"200\"} 1",
        "{surface=\"native\",operation=\"list_tokens\",status=\"401\"} 1",
        "{surface=\"terraform\",operation=\"show_account\",status=\"200\"} 1",
    ];
    assert_eq!(lines(&text, "jeton_http_requests_total"), expected);
    assert_eq!(lines(&text, "jeton_http_requests_in_flight "), ["0"]);
    let durations = lines(&text, "jeton_http_request_duration_seconds_count");
    assert!(
        durations.contains(&"{surface=\"native\",operation=\"create_token\"} 4"),
        "{durations:?}"
    );
    let last = "{le=\"10.0\",surface=\"native\",operation=\"create_token\"} 4";
    let buckets = lines(&text, "jeton_http_request_duration_seconds_bucket");
    assert!(buckets.contains(&last), "{buckets:?}");
}

#[tokio::test]
async fn what_strangers_send_makes_no_further_labels() {
    let app = TestApp::new().await;
    let anyone = Actor::anyone();
    for number in 0..20 {
        for root in ["/", "/api/v1/", "/oauth/", "/organizations/", "/api/v2/"] {
            let path = format!("{root}nothing-{number}/a/b/c/d/e");
            ask(&app, &anyone, "GET", &path, &[], "").await.is(404);
        }
        for path in ["/healthz", "/oauth/introspect", "/api/v2/ping"] {
            ask(&app, &anyone, &format!("METHOD{number}"), path, &[], "")
                .await
                .is(405);
            let any = format!("/oauth/authorize-request/{number}");
            ask(&app, &anyone, &format!("METHOD{number}"), &any, &[], "")
                .await
                .is(401);
        }
    }
    let text = app.metrics().await;
    let expected = [
        "{surface=\"cave\",operation=\"none\",status=\"404\"} 20",
        "{surface=\"native\",operation=\"none\",status=\"404\"} 40",
        "{surface=\"native\",operation=\"none\",status=\"405\"} 20",
        "{surface=\"oauth\",operation=\"authorize_request\",status=\"401\"} 60",
        "{surface=\"oauth\",operation=\"none\",status=\"404\"} 20",
        "{surface=\"oauth\",operation=\"none\",status=\"405\"} 20",
        "{surface=\"terraform\",operation=\"none\",status=\"404\"} 20",
        "{surface=\"terraform\",operation=\"none\",status=\"405\"} 20",
    ];
    assert_eq!(lines(&text, "jeton_http_requests_total"), expected);
}

#[tokio::test]
async fn a_request_whose_client_goes_away_is_in_flight_until_then_and_counted_as_499() {
    let app = TestApp::new().await;
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::builder().method(Method::POST).uri("/api/v1/login");
    let request = request
        .header("content-type", "application/json")
        .body(endless)
        .unwrap();
    {
        let mut answer = pin!(app.router().oneshot(request));
        for _ in 0..3 {
            let waits = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending())).await;
            assert!(waits);
        }
        let text = app.metrics().await;
        assert_eq!(lines(&text, "jeton_http_requests_in_flight "), ["1"]);
        assert_eq!(lines(&text, "jeton_http_requests_total"), [""; 0]);
    }
    let text = app.metrics().await;
    assert_eq!(lines(&text, "jeton_http_requests_in_flight "), ["0"]);
    let expected = ["{surface=\"native\",operation=\"login\",status=\"499\"} 1"];
    assert_eq!(lines(&text, "jeton_http_requests_total"), expected);
}
