//! Token use, as seen by the authority and reported by verifiers.

use std::sync::Arc;

use jeton_core::clock::Clock;
use serde_json::{Value, json};

use crate::harness::{Actor, Fault, Kind, MANAGEMENT, NORTH, Plan, SOUTH, TestApp};

async fn shown(app: &TestApp, id: &str) -> Value {
    let answer = app.get(&app.admin_of(&NORTH), &format!("/tokens/{id}")).await;
    answer.is(200).json()
}

async fn verifier(app: &TestApp) -> Actor {
    app.deployment_token(&["usage:write"]).await.holder
}

#[tokio::test]
async fn token_use_is_recorded_in_batches() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["tokens:read"]).await;
    app.clock.advance(100);
    let seen_at = app.clock.now().to_string();
    for _ in 0..3 {
        app.get(&token.holder, "/tokens/current").await.is(200);
    }
    assert_eq!(shown(&app, &token.id).await["last_used_at"], Value::Null);
    app.write_usage().await;
    let written = shown(&app, &token.id).await;
    assert_eq!(written["last_used_at"], seen_at);
    assert_eq!(written["last_used_from"], "0.0.0.0");
}

/// Others' writes wait for one order, not for all uses of a minute; what one order could not write is kept.
#[tokio::test]
async fn many_uses_are_written_by_several_orders() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let mut tokens = Vec::new();
    for _ in 0..260 {
        tokens.push(app.organization_token(&NORTH, &["tokens:read"]).await);
    }
    // Of the session that has created them.
    app.write_usage().await;
    app.clock.advance(100);
    for token in &tokens {
        app.get(&token.holder, "/tokens/current").await.is(200);
    }
    let used = || {
        let count = "SELECT count(*) FROM tokens WHERE name = 'minted' AND last_used_at IS NOT NULL";
        let elsewhere = "SELECT count(*) FROM tokens JOIN token_use ON token = id WHERE name = 'minted'";
        app.db_count_in(count, &format!("{elsewhere} AND last_used_at IS NOT NULL"))
    };
    plan.arm(Fault::Fails, Some(Kind::Write), 1);
    app.operator().write_usage().await.unwrap_err();
    assert_eq!(used(), 250);
    app.write_usage().await;
    assert_eq!(used(), 260);
    let admin = app.admin_of(&NORTH);
    let order = json!({"organization": NORTH.name, "owner": "organization"});
    app.post(&admin, "/tokens/revoke", order).await.is(202);
    app.operator().carry_on().await.unwrap();
    for token in &tokens {
        app.get(&token.holder, "/tokens/current").await.is(401);
    }
    let refused = || {
        let count = "SELECT count(*) FROM tokens WHERE name = 'minted' AND refusals > 0";
        let elsewhere = "SELECT count(*) FROM tokens JOIN token_use ON token = id WHERE name = 'minted'";
        app.db_count_in(count, &format!("{elsewhere} AND refusals > 0"))
    };
    plan.arm(Fault::Fails, Some(Kind::Write), 1);
    app.operator().write_refusals().await.unwrap_err();
    assert_eq!(refused(), 250);
    app.operator().write_refusals().await.unwrap();
    assert_eq!(refused(), 260);
}

#[tokio::test]
async fn presenting_a_token_to_end_it_is_no_use_of_it() {
    let app = TestApp::new().await;
    let [one, other] = [
        app.organization_token(&NORTH, &[]).await,
        app.organization_token(&NORTH, &[]).await,
    ];
    app.clock.advance(100);
    let used_at = app.clock.now().to_string();
    for token in [&one, &other] {
        app.get(&token.holder, "/tokens/current").await.is(200);
    }
    app.clock.advance(100);
    app.post(&one.holder, "/tokens/current/revoke", json!({}))
        .await
        .is(201);
    let fields = format!("token={}", other.secret);
    app.form(&Actor::anyone(), "/oauth/revoke", &fields).await.is(200);
    app.write_usage().await;
    for token in [&one, &other] {
        let shown = shown(&app, &token.id).await;
        assert_eq!(shown["last_used_at"], used_at);
        assert_ne!(shown["revoked_at"], Value::Null);
    }
}

#[tokio::test]
async fn verifiers_report_offline_use() {
    let app = TestApp::new().await;
    let verifier = verifier(&app).await;
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": [],
        "audience": "https://api.example"});
    let token = app.mint(&app.admin_of(&NORTH), order).await;
    app.clock.advance(3600);
    let now = app.clock.now();
    let jti = token.info["jti"].as_str().unwrap();
    let report = json!({"audience": "https://api.example", "uses": [
        {"jti": jti, "at": now.plus_seconds(-60)},
        {"jti": "019b7c2e-6f1a-7000-8000-5f0c2a9d1e34", "at": now},
    ]});
    let answer = app.post(&verifier, "/usage", report).await.is(200);
    assert_eq!(answer.json(), json!({"known": 1, "unknown": 1}));
    let written = shown(&app, &token.id).await;
    assert_eq!(written["last_used_at"], now.plus_seconds(-60).to_string());
    assert_eq!(written["last_used_from"], Value::Null);

    // A verifier's clock that is ahead records no use in the future.
    let ahead = json!({"uses": [{"jti": jti, "at": now.plus_seconds(86_400)}]});
    app.post(&verifier, "/usage", ahead).await.is(200);
    assert_eq!(shown(&app, &token.id).await["last_used_at"], now.to_string());

    let silent = json!({"organization": NORTH.name, "owner": "organization", "scopes": [],
        "audience": "https://silent.example"});
    let silent = app.mint(&app.admin_of(&NORTH), silent).await;
    assert_eq!(shown(&app, &silent.id).await["reporting_audiences"], json!([]));
    let list = app.get(&app.admin_of(&NORTH), "/tokens").await.is(200).json();
    for answer in [list, shown(&app, &token.id).await] {
        assert_eq!(
            answer["reporting_audiences"],
            json!([{"audience": "https://api.example", "first_reported_at": now, "last_reported_at": now}])
        );
    }
    // A caller that may not see a token does not learn that it exists.
    app.organization_token(&SOUTH, &[]).await;
    let list = app.get(&app.admin_of(&SOUTH), "/tokens").await.is(200).json();
    assert_eq!(list["reporting_audiences"], json!([]));
}

#[tokio::test]
async fn only_the_deployments_verifiers_report() {
    let app = TestApp::new().await;
    let report = || json!({"uses": []});
    for actor in [app.site_admin(), app.admin_of(&NORTH)] {
        app.post(&actor, "/usage", report())
            .await
            .fails(403, "deployment_token_needed");
    }
    let order = json!({"name": "x", "organization": NORTH.name, "owner": "organization",
        "scopes": ["usage:write"]});
    app.request_token(&app.admin_of(&NORTH), order)
        .await
        .blames(&["value_error at body.scopes.0"]);
    let other = app.deployment_token(&["tokens:read"]).await.holder;
    app.post(&other, "/usage", report())
        .await
        .fails(403, "insufficient_scope");
}

#[tokio::test]
async fn a_report_has_bounds_and_every_fault_is_named() {
    let app = TestApp::new().await;
    let verifier = verifier(&app).await;
    let one = |number: u32| json!({"jti": format!("{number:032x}"), "at": "2026-01-02T03:04:05Z"});
    let many = |count: u32| json!({"uses": (0..count).map(one).collect::<Vec<_>>()});
    let answer = app.post(&verifier, "/usage", many(500)).await.is(200);
    assert_eq!(answer.json()["unknown"], 500);
    app.post(&verifier, "/usage", many(501))
        .await
        .blames(&["too_long at body.uses"]);
    let wrong = json!({"uses": [one(1), {"jti": "x"}, 5], "audience": ["a", ""]});
    app.post(&verifier, "/usage", wrong).await.blames(&[
        "uuid_parsing at body.uses.1.jti",
        "missing at body.uses.1.at",
        "model_attributes_type at body.uses.2",
    ]);
    for (body, fault) in [
        (json!({}), "missing at body.uses"),
        (json!({"uses": {}}), "list_type at body.uses"),
        (
            json!({"uses": [], "audience": ["a", ""]}),
            "value_error at body.audience.1",
        ),
        (
            json!({"uses": [], "audience": "a\nb"}),
            "value_error at body.audience.0",
        ),
    ] {
        app.post(&verifier, "/usage", body).await.blames(&[fault]);
    }
}

#[tokio::test]
async fn disuse_that_nobody_would_have_noticed_revokes_nothing_unless_told() {
    let app = TestApp::new().await;
    // A session would expire meanwhile, and no token revokes itself.
    let admin = app.organization_token(&NORTH, &MANAGEMENT).await.holder;
    let verifier = verifier(&app).await;
    let report = async |audience: &str| {
        let report = json!({"uses": [], "audience": audience});
        app.post(&verifier, "/usage", report).await.is(200);
    };
    report("https://reporting.example").await;
    for audience in ["https://reporting.example", "https://silent.example"] {
        let order = json!({"organization": NORTH.name, "owner": "organization", "audience": audience});
        app.mint(&app.admin_of(&NORTH), order).await;
    }
    let matched = async |more: serde_json::Value| {
        let mut order = json!({"organization": NORTH.name, "never_used": true, "dry_run": true});
        for (name, value) in more.as_object().unwrap() {
            order[name] = value.clone();
        }
        app.post(&admin, "/tokens/revoke", order).await.is(200).json()["matched"].clone()
    };
    assert_eq!(matched(json!({})).await, 1);
    assert_eq!(matched(json!({"include_unreported": true})).await, 2);
    // A filter without use ignores audiences.
    assert_eq!(
        matched(json!({"never_used": false, "owner": "organization"})).await,
        2
    );
    // A verifier that has not reported for more than a day may have missed use.
    app.clock.advance(86_401);
    assert_eq!(matched(json!({})).await, 0);
    report("https://reporting.example").await;
    assert_eq!(matched(json!({})).await, 1);
    // The list shows them all the same.
    app.write_usage().await;
    let list = app.get(&admin, "/tokens?never_used=true").await.is(200);
    assert_eq!(list.each("id").len(), 2);
}
