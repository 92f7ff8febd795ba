//! `POST /tokens/{id}/revoke` and `/tokens/current/revoke`.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{NORTH, TestApp};

#[tokio::test]
async fn from_the_answer_on_the_token_is_refused_and_the_first_order_counts() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    app.get(&token.holder, "/tokens/current").await.is(200);
    let path = format!("/tokens/{}/revoke", token.id);
    let first = app.post(&admin, &path, json!({"reason": "leaked"})).await.is(201);
    let mut expected = json!({
        "id": token.id, "jti": token.info["jti"], "name": "minted",
        "revoked_at": "2026-01-02T03:05:05.678Z", "revoked_by": NORTH.email("admin"),
        "revocation_reason": "leaked", "revocation_cursor": first.json()["revocation_cursor"],
        "refused_everywhere_by": first.json()["refused_everywhere_by"],
    });
    assert_eq!(first.json(), expected);
    for _ in 0..2 {
        app.get(&token.holder, "/tokens/current")
            .await
            .fails(401, "invalid_token");
        app.clock.advance(5);
        let again = app
            .post(&app.site_admin(), &path, json!({"reason": "again"}))
            .await
            .is(201);
        // Counted from each answer, if there are several servers.
        expected["refused_everywhere_by"] = again.json()["refused_everywhere_by"].clone();
        assert_eq!(again.json(), expected, "the second order changes nothing");
        app.restart().await;
    }
    let shown = app
        .get(&admin, &format!("/tokens/{}", token.id))
        .await
        .is(200)
        .json();
    assert_eq!(shown["status"], "revoked");
    for field in ["revoked_at", "revoked_by", "revocation_reason"] {
        assert_eq!(shown[field], expected[field], "{field}");
    }
}

#[tokio::test]
async fn the_body_may_be_absent_empty_null_or_an_empty_object() {
    let app = TestApp::new().await;
    let authorization = app.admin_of(&NORTH).authorization().unwrap().to_owned();
    let send = async |id: &str, body: Option<&str>| {
        let request = Request::post(format!("/api/v1/tokens/{id}/revoke"));
        let request = request.header("authorization", &authorization);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_owned())),
            None => request.body(Body::empty()),
        };
        app.send(request.unwrap()).await
    };
    for body in [
        None,
        Some(""),
        Some("null"),
        Some("{}"),
        Some(" {\"reason\": null} "),
    ] {
        let token = app.organization_token(&NORTH, &[]).await;
        let answer = send(&token.id, body).await.is(201);
        assert_eq!(answer.json()["revocation_reason"], Value::Null);
        app.get(&token.holder, "/tokens/current").await.is(401);
    }
    let token = app.organization_token(&NORTH, &[]).await;
    let long = json!({"reason": "x".repeat(1001)}).to_string();
    for (body, fault) in [
        ("{", "json_invalid at body.0"),
        ("[]", "model_attributes_type at body"),
        ("{\"reason\": 5}", "string_type at body.reason"),
        ("{\"x\": 1}", "extra_forbidden at body.x"),
        (long.as_str(), "string_too_long at body.reason"),
    ] {
        send(&token.id, Some(body)).await.blames(&[fault]);
    }
    app.get(&token.holder, "/tokens/current").await.is(200);
}

#[tokio::test]
async fn whoever_holds_a_token_can_end_it() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &[]).await;
    let answer = app
        .post(
            &token.holder,
            "/tokens/current/revoke",
            json!({"reason": "found"}),
        )
        .await;
    assert_eq!(answer.is(201).text_at("/revoked_by"), "holder");
    let again = app.post(&token.holder, "/tokens/current/revoke", json!({})).await;
    again.fails(401, "invalid_token");
}

#[tokio::test]
async fn an_invalid_token_reference_is_not_found() {
    let app = TestApp::new().await;
    for id in [
        "0",
        "-1",
        "999999",
        "x",
        "99999999999999999999",
        "00000000-0000-0000-0000-000000000000",
    ] {
        let path = format!("/tokens/{id}");
        app.get(&app.site_admin(), &path).await.fails(404, "not_found");
        let revoke = app
            .post(&app.site_admin(), &format!("{path}/revoke"), json!({}))
            .await;
        revoke.fails(404, "not_found");
    }
}
