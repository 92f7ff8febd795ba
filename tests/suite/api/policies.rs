//! The policy of an organization: for new tokens, for existing ones, and for an owner's last one.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Fault, Kind, Minted, NORTH, Plan, SOUTH, TestApp};

fn home() -> String {
    format!("/organizations/{}", NORTH.name)
}

async fn set(app: &TestApp, change: Value) -> Answer {
    app.patch(&app.admin_of(&NORTH), &home(), change).await
}

/// Creates a token of the organization with additional fields.
async fn ask(app: &TestApp, more: Value) -> Answer {
    let mut order = json!({"name": "x", "organization": NORTH.name, "owner": "organization"});
    for (name, value) in more.as_object().unwrap() {
        order[name] = value.clone();
    }
    app.request_token(&app.admin_of(&NORTH), order).await
}

async fn status(app: &TestApp, id: &str) -> String {
    let answer = app.get(&app.admin_of(&NORTH), &format!("/tokens/{id}")).await;
    answer.is(200).text_at("/status")
}

/// Waits until a bulk revocation has finished.
async fn finished(app: &TestApp, actor: &Actor, id: &str) -> Value {
    for _ in 0..10_000 {
        let answer = app
            .get(actor, &format!("/tokens/revoke/{id}"))
            .await
            .is(200)
            .json();
        if !answer["finished_at"].is_null() {
            return answer;
        }
        tokio::task::yield_now().await;
    }
    panic!("it is never carried out");
}

#[tokio::test]
async fn new_tokens_keep_to_the_allowed_scopes_and_presets() {
    let app = TestApp::new().await;
    let policy = json!({"allowed_scopes": ["projects:read", "tokens:read"], "allowed_presets": []});
    set(&app, json!({"policy": policy})).await.is(200);
    let refused = ask(&app, json!({"scopes": ["projects:read", "content:write"]})).await;
    refused.blames(&["value_error at body.scopes.1"]);
    let refused = ask(&app, json!({"preset": "content_management"})).await;
    refused.blames(&["value_error at body.preset"]);
    let made = ask(&app, json!({"scopes": ["tokens:read"]})).await.is(201);
    assert_eq!(made.json()["token_info"]["scopes"], json!(["tokens:read"]));
    // The default is the allowed part.
    let made = ask(&app, json!({})).await.is(201).json();
    assert_eq!(made["token_info"]["scopes"], json!(["projects:read"]));
    // A preset grants only allowed scopes. The request names the preset, not the scope.
    let policy = json!({"allowed_scopes": ["projects:read"], "allowed_presets": null});
    set(&app, json!({"policy": policy})).await.is(200);
    let refused = ask(&app, json!({"preset": "content_management"})).await;
    let refused = refused.blames(&["value_error at body.preset"]);
    assert_eq!(refused.text_at("/detail/0/input"), "content_management");
    assert!(refused.text_at("/detail/0/msg").contains("content:write"));
    // Other organizations are not affected.
    app.organization_token(&SOUTH, &["content:write"]).await;
}

#[tokio::test]
async fn what_is_not_said_comes_from_the_policy() {
    let app = TestApp::new().await;
    let policy = json!({"default_preset": "content_management", "default_lifetime": "1d"});
    set(&app, json!({"policy": policy})).await.is(200);
    let made = ask(&app, json!({})).await.is(201).json()["token_info"].clone();
    assert_eq!(made["scopes"], json!(["projects:read", "content:write"]));
    assert_eq!(made["preset"], "content_management");
    let end = |info: &Value| info["expires_at"].as_str().unwrap().to_owned();
    assert_eq!(end(&made), "2026-01-03T03:05:05.678Z");
    let made = ask(&app, json!({"scopes": ["ai:use"], "expires_in": "2d"}))
        .await
        .is(201);
    let made = made.json()["token_info"].clone();
    assert_eq!(
        (&made["scopes"], &made["preset"]),
        (&json!(["ai:use"]), &Value::Null)
    );
    assert_eq!(end(&made), "2026-01-04T03:05:05.678Z");
    // A caller with fewer scopes grants fewer, and the result is not the preset any more.
    let scopes = ["tokens:write", "content:write"];
    let minter = app.organization_token(&NORTH, &scopes).await;
    let order = json!({"name": "x", "owner": "organization", "expires_in": "1h"});
    let made = app.request_token(&minter.holder, order).await.is(201).json()["token_info"].clone();
    assert_eq!(
        (&made["scopes"], &made["preset"]),
        (&json!(["content:write"]), &Value::Null)
    );
}

#[tokio::test]
async fn a_policy_that_names_what_does_not_exist_is_refused() {
    let app = TestApp::new().await;
    for (policy, faults) in [
        (
            json!({"allowed_scopes": ["projects:read", "no:such"]}),
            vec!["value_error at body.policy.allowed_scopes.1"],
        ),
        (
            json!({"allowed_scopes": ["NO"], "allowed_presets": 5}),
            vec![
                "value_error at body.policy.allowed_scopes.0",
                "list_type at body.policy.allowed_presets",
            ],
        ),
        (
            json!({"allowed_presets": ["nope"], "default_preset": "content_management"}),
            vec![
                "value_error at body.policy.allowed_presets.0",
                "value_error at body.policy.default_preset",
            ],
        ),
        (
            json!({"max_lifetime": "1m", "default_lifetime": "61s"}),
            vec!["value_error at body.policy.default_lifetime"],
        ),
    ] {
        set(&app, json!({"policy": policy, "dry_run": true}))
            .await
            .blames(&faults);
        set(&app, json!({"policy": policy})).await.blames(&faults);
    }
    for (change, fault) in [
        (
            json!({"existing_tokens": "revoke"}),
            "value_error at body.existing_tokens",
        ),
        (
            json!({"policy": {}, "existing_tokens": "end_early"}),
            "value_error at body.existing_tokens",
        ),
        (
            json!({"policy": {}, "grace_period": "1d"}),
            "value_error at body.grace_period",
        ),
        (
            json!({"policy": {}, "existing_tokens": "burn"}),
            "literal_error at body.existing_tokens",
        ),
    ] {
        set(&app, change).await.blames(&[fault]);
    }
}

/// A member that is not named contradicts nothing by itself: the one that was sent is blamed, with its value.
#[tokio::test]
async fn a_change_of_a_policy_that_contradicts_the_rest_blames_what_was_sent() {
    let app = TestApp::new().await;
    let policy = json!({"default_lifetime": "90d", "allowed_presets": ["content_management"],
        "default_preset": "content_management"});
    set(&app, json!({"policy": policy})).await.is(200);
    for (change, field) in [
        (json!({"max_lifetime": "30d"}), "max_lifetime"),
        (json!({"allowed_presets": []}), "allowed_presets"),
    ] {
        let refused = set(&app, json!({"policy": change})).await;
        let refused = refused.blames(&[&format!("value_error at body.policy.{field}")]);
        assert_eq!(refused.json()["detail"][0]["input"], change[field], "{field}");
    }
    let change = json!({"policy": {"max_lifetime": "30d", "default_lifetime": "7d"}});
    let changed = set(&app, change).await.is(200).json();
    assert_eq!(changed["policy"]["default_preset"], "content_management");
}

#[tokio::test]
async fn a_dry_run_lists_violating_tokens_and_changes_nothing() {
    let app = TestApp::new().await;
    let long = app.organization_token(&NORTH, &[]).await.id;
    let short = ask(&app, json!({"expires_in": "1d"})).await.is(201);
    app.organization_token(&SOUTH, &[]).await;
    let change = json!({"policy": {"max_lifetime": "1d"}, "name": "renamed", "dry_run": true,
        "existing_tokens": "revoke"});
    let shown = set(&app, change).await.is(200).json();
    assert_eq!(shown["name"], "renamed");
    assert_eq!(shown["policy"]["max_lifetime"], "1d");
    assert_eq!(shown["breaking_tokens"]["total"], 1);
    assert_eq!(shown["breaking_tokens"]["items"][0]["id"], json!(long));
    assert_eq!(shown["breaking_tokens"]["revocation"], Value::Null);
    let unchanged = app.get(&app.admin_of(&NORTH), &home()).await.is(200).json();
    assert_eq!(
        (&unchanged["name"], &unchanged["policy"]["max_lifetime"]),
        (&json!(NORTH.name), &Value::Null)
    );
    for id in [&long, &short.text_at("/token_info/id")] {
        assert_eq!(status(&app, id).await, "active");
    }
    // Without a policy no token violates it.
    let shown = set(&app, json!({"dry_run": true})).await.is(200).json();
    assert_eq!(shown["breaking_tokens"], Value::Null);
}

#[tokio::test]
async fn tokens_that_violate_a_policy_are_kept_ended_early_or_revoked() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let long = app
        .organization_token(&NORTH, &["tokens:read", "tokens:write"])
        .await;
    let short = ask(&app, json!({"expires_in": "1d"})).await.is(201);
    let policy = json!({"max_lifetime": "1d", "keep_last_token": true});
    let kept = set(&app, json!({"policy": policy})).await.is(200).json();
    assert_eq!(kept["breaking_tokens"]["total"], 1);
    app.get(&long.holder, "/tokens").await.is(200);

    let early = json!({"policy": policy, "existing_tokens": "end_early", "grace_period": "1h"});
    let ended = set(&app, early)
        .await
        .is(200)
        .text_at("/breaking_tokens/revocation");
    let done = finished(&app, &admin, &ended).await;
    assert_eq!((&done["matched"], &done["revoked"]), (&json!(1), &json!(1)));
    let answer = app.get(&long.holder, "/tokens").await.is(200);
    assert_eq!(answer.header("token-expires-in"), "3600");
    // A token that it creates meanwhile is revoked with it.
    let order = json!({"name": "n", "owner": "organization", "scopes": []});
    let child = app.request_token(&long.holder, order).await.is(201).json();
    let ended = app.get(&long.holder, "/tokens/current").await.is(200);
    assert_eq!(
        child["token_info"]["expires_at"],
        ended.json()["revocation_effective_at"]
    );
    app.clock.advance(3_599);
    app.get(&long.holder, "/tokens").await.is(200);
    app.clock.advance(1);
    app.get(&long.holder, "/tokens").await.fails(401, "invalid_token");

    // The administrator has seen which tokens are revoked, so not even the last one is kept.
    let harsh =
        json!({"policy": {"allowed_scopes": [], "keep_last_token": true}, "existing_tokens": "revoke"});
    let revoked = set(&app, harsh)
        .await
        .is(200)
        .text_at("/breaking_tokens/revocation");
    finished(&app, &admin, &revoked).await;
    assert_eq!(status(&app, &short.text_at("/token_info/id")).await, "revoked");
}

/// Changes the policy to revoke the only token that violates it, while a call of the store fails.
async fn revoke_what_breaks(fault: Fault, calls_before: usize) -> (TestApp, Minted, Answer) {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let long = app.organization_token(&NORTH, &[]).await;
    plan.arm(fault, Some(Kind::Write), calls_before);
    let change = json!({"policy": {"max_lifetime": "1d"}, "existing_tokens": "revoke"});
    let answer = set(&app, change).await;
    if fault == Fault::Lost {
        plan.under_way.notified().await;
    }
    (app, long, answer)
}

async fn longest_life(app: &TestApp) -> Value {
    let shown = app.get(&app.admin_of(&NORTH), &home()).await.is(200).json();
    shown["policy"]["max_lifetime"].clone()
}

#[tokio::test]
async fn a_policy_comes_with_its_consequences_or_not_at_all() {
    let (app, long, answer) = revoke_what_breaks(Fault::Fails, 0).await;
    answer.fails(503, "unavailable");
    assert_eq!(longest_life(&app).await, Value::Null);
    let admin = app.admin_of(&NORTH);
    app.get(&admin, "/tokens/revoke/1").await.fails(404, "not_found");
    assert_eq!(status(&app, &long.id).await, "active");

    // The order is carried out although the client receives an error.
    let (app, long, answer) = revoke_what_breaks(Fault::FailsAfterwards, 0).await;
    answer.fails(503, "unavailable");
    assert_eq!(longest_life(&app).await, "1d");
    app.operator().carry_on().await.unwrap();
    finished(&app, &admin, "1").await;
    assert_eq!(status(&app, &long.id).await, "revoked");

    // There is no second write that could fail: the first contains the order.
    let (mut app, long, answer) = revoke_what_breaks(Fault::Lost, 1).await;
    let order = answer.is(200).text_at("/breaking_tokens/revocation");
    assert_eq!(status(&app, &long.id).await, "active");
    app.restart().await;
    assert_eq!(longest_life(&app).await, "1d");
    app.operator().carry_on().await.unwrap();
    finished(&app, &admin, &order).await;
    assert_eq!(status(&app, &long.id).await, "revoked");
}

#[tokio::test]
async fn the_last_token_stays_but_for_its_holder_and_by_force() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    set(&app, json!({"policy": {"keep_last_token": true}}))
        .await
        .is(200);
    let first = app.organization_token(&NORTH, &[]).await;
    let second = app.organization_token(&NORTH, &[]).await;
    let revoke = async |id: &str, body: Value| app.post(&admin, &format!("/tokens/{id}/revoke"), body).await;
    revoke(&second.id, json!({})).await.is(201);
    revoke(&first.id, json!({"reason": "tidying"}))
        .await
        .fails(409, "last_token");
    assert_eq!(status(&app, &first.id).await, "active");
    // Rotation leaves one token; and the holder of the last one can revoke it.
    let path = format!("/tokens/{}/rotate", first.id);
    let rotated = app
        .post(&admin, &path, json!({"grace_period": "0s"}))
        .await
        .is(201);
    let third = Actor::holding(&rotated.text_at("/token"));
    app.post(&third, "/tokens/current/revoke", json!({}))
        .await
        .is(201);
    let last = app.organization_token(&NORTH, &[]).await;
    revoke(&last.id, json!({"force": true})).await.is(201);
    assert_eq!(status(&app, &last.id).await, "revoked");
    // A cut-off ignores `keep_last_token`.
    let cut = app.organization_token(&NORTH, &[]).await;
    app.clock.advance(2);
    let order = json!({"organization": NORTH.name});
    assert!((200..300).contains(&app.post(&admin, "/revocations", order).await.status));
    assert_eq!(status(&app, &cut.id).await, "revoked");
}

#[tokio::test]
async fn every_caller_is_told_how_long_their_token_lasts() {
    let app = TestApp::new().await;
    let token = ask(&app, json!({"expires_in": "1h", "scopes": ["tokens:read"]}))
        .await
        .is(201);
    let holder = Actor::holding(&token.text_at("/token"));
    app.clock.advance(600);
    for (path, status) in [
        ("/tokens/current", 200),
        ("/tokens", 200),
        ("/tokens/999", 404),
        ("/users", 403),
    ] {
        let answer = app.get(&holder, path).await.is(status);
        assert_eq!(answer.header("token-expires-in"), "3000", "{path}");
    }
    let session = app.get(&app.admin_of(&NORTH), "/me").await.is(200);
    assert!(session.header("token-expires-in").parse::<u32>().unwrap() > 3_600);
    let never = ask(&app, json!({"expires_in": "never"})).await.is(201);
    let never = Actor::holding(&never.text_at("/token"));
    for actor in [never, app.anyone(), Actor::holding("x")] {
        let answer = app.get(&actor, "/tokens/current").await;
        assert_eq!(answer.header("token-expires-in"), "");
    }
}
