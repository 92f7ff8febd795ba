//! `/organizations/{organization}/token-ttl-policies`.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::dialects::terraform::{SURFACE, absent, organization};
use crate::harness::{Answer, Fault, Kind, NORTH, Plan, TestApp};

async fn change(app: &TestApp, lives: &[(&str, Value)]) -> Answer {
    let entry = |(kind, life): &(&str, Value)| json!({"type": "organization-token-ttl-policies", "attributes": {"token-type": kind, "max-ttl-ms": life}});
    let body = json!({"data": lives.iter().map(entry).collect::<Vec<_>>()});
    let path = organization("token-ttl-policies");
    let request = SURFACE.request(&app.admin_of(&NORTH), Method::PATCH, &path, body.to_string());
    app.send(request).await
}

fn all(life: i64) -> Vec<(&'static str, Value)> {
    ["organization", "team", "user", "audit_trails"]
        .map(|kind| (kind, json!(life)))
        .to_vec()
}

#[tokio::test]
async fn all_kinds_have_the_one_longest_life_of_the_policy() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let path = organization("token-ttl-policies");
    assert_eq!(
        SURFACE.get(&app, &admin, &path).await.is(200).json(),
        json!({"data": []})
    );
    let native = format!("/organizations/{}", NORTH.name);
    let policy = json!({"policy": {"default_lifetime": "2h", "max_active_tokens_per_owner": 7}});
    app.patch(&admin, &native, policy).await.is(200);
    let before = app.organization_token(&NORTH, &["content:write"]).await.holder;
    let changed = change(&app, &all(3_600_999)).await.is(200).json();
    app.clock.advance(3601);
    app.get(&before, "/tokens/current").await.is(200);
    assert_eq!(SURFACE.get(&app, &admin, &path).await.is(200).json(), changed);
    let kinds = changed["data"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|one| one["attributes"].clone()).collect();
    let expected = ["organization", "team", "user", "audit_trails"]
        .map(|kind| json!({"token-type": kind, "max-ttl-ms": 3_600_000}));
    assert_eq!(kinds, expected);
    let policy = app.get(&admin, &native).await.is(200).json()["policy"].clone();
    assert_eq!(
        (&policy["max_lifetime"], &policy["default_lifetime"]),
        (&json!("1h"), &json!("1h"))
    );
    assert_eq!(policy["max_active_tokens_per_owner"], 7);
}

/// The rest of the policy is that of the time of the change, not of the request.
#[tokio::test]
async fn concurrent_policy_changes_are_kept() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let native = format!("/organizations/{}", NORTH.name);
    let admin = app.admin_of(&NORTH);
    let change = async {
        plan.arm(Fault::Delayed, Some(Kind::Write), 0);
        change(&app, &all(3_600_000)).await.is(200)
    };
    let beside = async {
        plan.under_way.notified().await;
        let policy = json!({"policy": {"max_active_tokens_per_owner": 2}});
        app.patch(&admin, &native, policy).await.is(200);
        plan.release.notify_one();
    };
    tokio::join!(change, beside);
    let policy = app.get(&admin, &native).await.is(200).json()["policy"].clone();
    assert_eq!(
        (&policy["max_lifetime"], &policy["max_active_tokens_per_owner"]),
        (&json!("1h"), &json!(2))
    );
}

/// Terraform's documents and go-tfe send all kinds in one resource.
#[tokio::test]
async fn lifetimes_are_set_by_one_resource_too() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let path = organization("token-ttl-policies");
    let send = async |lives: &[(&str, Value)]| {
        let policy = |(kind, life): &(&str, Value)| json!({"token-type": kind, "max-ttl-ms": life});
        let policies: Vec<_> = lives.iter().map(policy).collect();
        let attributes = json!({"token-ttl-policies": policies});
        let kind = "organization-token-ttl-policies";
        let body = json!({"data": {"type": kind, "attributes": attributes}});
        SURFACE.patch(&app, &admin, &path, body).await
    };
    let home = format!("/api/v2/organizations/{}", NORTH.name);
    let shown = SURFACE.get(&app, &admin, &home).await.is(200).json();
    assert_eq!(shown["data"]["attributes"]["max-ttl-enabled"], false);
    let changed = send(&all(7_200_000)).await.is(200).json();
    assert_eq!(SURFACE.get(&app, &admin, &path).await.is(200).json(), changed);
    assert_eq!(changed["data"][3]["attributes"]["max-ttl-ms"], 7_200_000);
    let shown = SURFACE.get(&app, &admin, &home).await.is(200).json();
    assert_eq!(shown["data"]["attributes"]["max-ttl-enabled"], true);
    // One kind alone would be told apart from the others.
    let alone = send(&all(3_600_000)[1..2]).await.is(422);
    assert_eq!(alone.text_at("/errors/0/source/pointer"), "/data");
    let short = send(&all(59_999)).await.is(422);
    assert_eq!(
        short.text_at("/errors/0/source/pointer"),
        "/data/attributes/token-ttl-policies/0/max-ttl-ms"
    );
    for (body, pointer) in [
        (json!({}), "/data/attributes/token-ttl-policies"),
        (json!({"data": {}}), "/data/attributes/token-ttl-policies"),
        (json!({"data": "x"}), "/data"),
    ] {
        let refused = SURFACE.patch(&app, &admin, &path, body).await.is(422);
        assert_eq!(refused.text_at("/errors/0/source/pointer"), pointer);
    }
    assert_eq!(SURFACE.get(&app, &admin, &path).await.is(200).json(), changed);
}

#[tokio::test]
async fn what_would_tell_kinds_apart_is_refused() {
    let app = TestApp::new().await;
    let mut different = all(3_600_000);
    different[1].1 = json!(7_200_000);
    for lives in [&all(3_600_000)[..3], &different, &[]] {
        let refused = change(&app, lives).await.is(422);
        assert_eq!(refused.text_at("/errors/0/source/pointer"), "/data");
    }
    for (life, pointer) in [
        (59_999, "/data/0/attributes/max-ttl-ms"),
        (3_153_600_000_001, "/data/0/attributes/max-ttl-ms"),
    ] {
        let refused = change(&app, &all(life)).await.is(422);
        assert_eq!(refused.text_at("/errors/0/source/pointer"), pointer);
    }
    let unknown = change(&app, &[("agent", json!(3_600_000))]).await.is(422);
    assert_eq!(
        unknown.text_at("/errors/0/source/pointer"),
        "/data/0/attributes/token-type"
    );
    let path = organization("token-ttl-policies");
    absent(&SURFACE.get(&app, &app.outsider(), &path).await);
}
