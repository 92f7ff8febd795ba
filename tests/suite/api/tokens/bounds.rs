//! The limits of tokens: nothing beyond the rights of the token that creates them, and the bounds of names.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{ISSUER, MANAGEMENT, NORTH, SOUTH, TestApp};

#[tokio::test]
async fn a_token_grants_the_scopes_that_it_holds() {
    let app = TestApp::new().await;
    let minter = app
        .organization_token(&NORTH, &["tokens:write", "content:write"])
        .await
        .holder;
    let order = |fields: Value| {
        let mut order = json!({"name": "n", "owner": "organization"});
        order
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        order
    };
    let child = app
        .request_token(&minter, order(json!({"scopes": ["content:write"]})))
        .await
        .is(201);
    assert_eq!(child.text_at("/token_info/organization"), NORTH.id());
    assert!(child.text_at("/token_info/created_by").starts_with("token "));
    let answer = app
        .request_token(&minter, order(json!({"scopes": ["content:write", "ai:use"]})))
        .await;
    answer.blames(&["value_error at body.scopes.1"]);
    let answer = app
        .request_token(&minter, order(json!({"preset": "content_management"})))
        .await;
    assert_eq!(
        answer.status, 422,
        "a preset is no way around it: {}",
        answer.text
    );
    // Without scopes, the token gets all of its creator's scopes except management scopes.
    let child = app.request_token(&minter, order(json!({}))).await.is(201);
    assert_eq!(child.json()["token_info"]["scopes"], json!(["content:write"]));
}

#[tokio::test]
async fn a_token_stays_in_its_organization_its_team_and_its_projects() {
    let app = TestApp::new().await;
    let order = |organization: &str, owner: &str| json!({"name": "n", "organization": organization, "owner": owner, "scopes": []});
    let minter = app.organization_token(&NORTH, &MANAGEMENT).await.holder;
    for elsewhere in [SOUTH.name, SOUTH.id(), "default"] {
        app.request_token(&minter, order(elsewhere, "organization"))
            .await
            .fails(404, "not_found");
    }
    app.request_token(&minter, order(NORTH.name, "user"))
        .await
        .fails(403, "forbidden");
    let of_deployment = json!({"name": "n", "owner": "deployment", "scopes": []});
    app.request_token(&minter, of_deployment)
        .await
        .fails(403, "forbidden");

    let team = app.team_token(&NORTH, &MANAGEMENT).await.holder;
    let path = format!("/organizations/{}/teams", NORTH.name);
    app.post(&app.admin_of(&NORTH), &path, json!({"name": "other-crew"}))
        .await
        .is(201);
    let mut sibling = order(NORTH.name, "team");
    sibling["team"] = "other-crew".into();
    app.request_token(&team, sibling).await.fails(403, "forbidden");
    app.request_token(&team, order(NORTH.name, "organization"))
        .await
        .fails(403, "forbidden");

    let path = format!("/organizations/{}/projects", NORTH.name);
    let other = app
        .post(&app.admin_of(&NORTH), &path, json!({"name": "other"}))
        .await
        .is(201)
        .json();
    let restricted = json!({"organization": NORTH.name, "owner": "organization", "scopes": MANAGEMENT,
        "projects": [NORTH.project_id()]});
    let restricted = app.mint(&app.admin_of(&NORTH), restricted).await.holder;
    let child = app
        .request_token(&restricted, order(NORTH.name, "organization"))
        .await
        .is(201);
    assert_eq!(
        child.json()["token_info"]["projects"],
        json!([NORTH.project_id()])
    );
    let mut wider = order(NORTH.name, "organization");
    wider["projects"] = json!([NORTH.project_id(), other["id"]]);
    app.request_token(&restricted, wider)
        .await
        .blames(&["value_error at body.projects.1"]);
}

#[tokio::test]
async fn a_token_makes_none_that_outlives_it() {
    let app = TestApp::new().await;
    let minter = json!({"organization": NORTH.name, "owner": "organization", "scopes": MANAGEMENT,
        "expires_in": "1h"});
    let minter = app.mint(&app.admin_of(&NORTH), minter).await.holder;
    let ask = async |expiry: Value| {
        let mut order = json!({"name": "n", "owner": "organization", "scopes": []});
        order
            .as_object_mut()
            .unwrap()
            .extend(expiry.as_object().unwrap().clone());
        app.request_token(&minter, order).await
    };
    let child = ask(json!({})).await.is(201);
    assert_eq!(
        child.text_at("/token_info/expires_at"),
        "2026-01-02T04:05:05.678Z"
    );
    ask(json!({"expires_in": "1h"})).await.is(201);
    for (expiry, field) in [
        (json!({"expires_in": "3601s"}), "expires_in"),
        (json!({"expires_in": "never"}), "expires_in"),
        (json!({"expires_in_days": 1}), "expires_in_days"),
        (json!({"expires_at": "2026-01-02T04:05:06Z"}), "expires_at"),
    ] {
        ask(expiry)
            .await
            .blames(&[&format!("value_error at body.{field}")]);
    }
    // A session limits no lifetime.
    let order = json!({"organization": NORTH.name, "expires_in": "never"});
    app.mint(&app.member_of(&NORTH), order).await;
}

#[tokio::test]
async fn a_token_whose_end_is_brought_forward_makes_none_that_outlives_it() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": MANAGEMENT});
    let minter = app.mint(&admin, order).await;
    let path = format!("/tokens/{}/rotate", minter.id);
    app.post(&admin, &path, json!({"grace_period": "1h"}))
        .await
        .is(201);
    let order = json!({"name": "n", "owner": "organization", "scopes": []});
    let child = app.request_token(&minter.holder, order.clone()).await.is(201);
    assert_eq!(
        child.text_at("/token_info/expires_at"),
        "2026-01-02T04:05:05.678Z"
    );
    let mut beyond = order;
    beyond["expires_in"] = "3601s".into();
    let answer = app.request_token(&minter.holder, beyond.clone()).await;
    answer.blames(&["value_error at body.expires_in"]);
    beyond["expires_in"] = "1h".into();
    app.request_token(&minter.holder, beyond).await.is(201);
}

#[tokio::test]
async fn a_token_for_another_service_is_refused() {
    let app = TestApp::new().await;
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": ["projects:read"],
        "audience": "https://elsewhere.example"});
    let token = app.mint(&app.admin_of(&NORTH), order).await;
    for path in ["/me", "/scopes", "/tokens", "/organizations"] {
        app.get(&token.holder, path).await.fails(403, "wrong_audience");
    }
    app.get(&token.holder, "/tokens/current").await.is(200);
    app.post(&token.holder, "/tokens/current/revoke", json!({}))
        .await
        .is(201);
    // The audience may include this API among others.
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": [],
        "audience": ["https://elsewhere.example", ISSUER]});
    let token = app.mint(&app.admin_of(&NORTH), order).await;
    app.get(&token.holder, "/me").await.is(200);
}

/// The bounds of a name are those of the noun, whichever API it comes through.
#[tokio::test]
async fn no_api_takes_a_name_that_another_refuses() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let lead = app.team_admin(&NORTH);
    let north = NORTH.name;
    let count = || app.db_count("SELECT count(*) FROM tokens");
    for (length, is_taken) in [(255, true), (256, false), (60_000, false)] {
        let name = "n".repeat(length);
        let team = format!("/api/v2/teams/{}/authentication-tokens", NORTH.team_id());
        let of_team = json!({"data": {"type": "authentication-tokens", "attributes": {"description": name}}});
        for (actor, path, media_type, body) in [
            (
                &admin,
                "/api/v1/tokens".to_owned(),
                "application/json",
                json!({"name": name, "organization": north}),
            ),
            (
                &admin,
                format!("/organizations/{north}/tokens"),
                "application/json",
                json!({"description": name}),
            ),
            (
                &admin,
                format!("/api/v2/organizations/{north}/tokens"),
                "application/json",
                json!({"name": name}),
            ),
            (&lead, team, "application/vnd.api+json", of_team),
        ] {
            let before = count();
            let request = Request::post(&path)
                .header("authorization", actor.authorization().unwrap())
                .header("content-type", media_type)
                .body(Body::from(body.to_string()))
                .unwrap();
            let answer = app.send(request).await;
            let is_made = (200..300).contains(&answer.status);
            assert_eq!(is_made, is_taken, "{path}, {length}: {}", answer.status);
            assert!(
                is_made || (400..500).contains(&answer.status),
                "{path}: {}",
                answer.status
            );
            assert_eq!(count(), before + u64::from(is_taken), "{path}, {length}");
        }
    }
}
