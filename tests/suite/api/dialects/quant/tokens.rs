//! `/api/v2/organizations/{organization}/tokens`.

use serde_json::{Value, json};

use crate::api::dialects::quant::SURFACE as QUANT;
use crate::harness::{Actor, Answer, NORTH, SOUTH, TestApp};

fn tokens() -> String {
    format!("/api/v2/organizations/{}/tokens", NORTH.name)
}

async fn create(app: &TestApp, actor: &Actor, body: Value) -> Answer {
    QUANT.post(app, actor, &tokens(), body).await
}

async fn delete(app: &TestApp, actor: &Actor, id: impl std::fmt::Display) -> Answer {
    QUANT.delete(app, actor, &format!("{}/{id}", tokens())).await
}

/// Returns the numbers of the listed tokens, in order.
async fn listed(app: &TestApp, actor: &Actor) -> Vec<String> {
    let list = QUANT.get(app, actor, &tokens()).await.is(200).json();
    let ids = list
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["id"].to_string());
    ids.collect()
}

/// Requires an error with these words in its message.
#[track_caller]
fn refused(answer: &Answer, status: u16, words: &str) {
    let message = answer.text_at("/message");
    assert_eq!(answer.status, status, "{message}");
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn a_created_token_is_the_organizations_and_has_every_documented_field() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"name": "My CI token", "preset": "content_management",
        "scopes": ["content:write", "projects:read"], "projects": [NORTH.project_id()], "expires_in": "30d"});
    let mut made = create(&app, &admin, order).await.is(201).json();
    let id = made["id"].as_i64().unwrap();
    let secret = made["token"].as_str().unwrap().to_owned();
    made["token"] = "shown".into();
    assert_eq!(
        made,
        json!({"token": "shown", "id": id, "name": "My CI token", "scopes": ["projects:read", "content:write"],
            "projects": [NORTH.project_id()], "preset": "content_management",
            "expires_at": "2026-02-01T03:05:05.678Z", "created_at": "2026-01-02T03:05:05.678Z"})
    );
    let current = app.get(&Actor::holding(&secret), "/tokens/current").await.is(200);
    let info = current.json();
    assert_eq!(info["owner"], "organization");
    assert_eq!(info["organization"], NORTH.id());
    assert_eq!(info["description"], Value::Null);
    assert_eq!(info["id"], id.to_string());
}

#[tokio::test]
async fn preset_and_scopes_go_together_only_where_they_say_the_same() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for scopes in [
        json!(["projects:read"]),
        json!(["projects:read", "content:write", "ai:use"]),
        json!([]),
    ] {
        let order = json!({"name": "ci", "preset": "content_management", "scopes": scopes});
        refused(&create(&app, &admin, order).await, 422, "scopes: ");
    }
    let order = json!({"name": "ci", "preset": "unheard_of", "scopes": ["projects:read"]});
    refused(&create(&app, &admin, order).await, 422, "preset: ");
    let order = json!({"name": "ci", "scopes": ["projects:read", "unheard:of"]});
    refused(&create(&app, &admin, order).await, 422, "scopes: ");
    let order = json!({"name": "ci", "preset": null, "scopes": null});
    let made = create(&app, &admin, order).await.is(201).json();
    assert_eq!(
        made["scopes"],
        json!(["projects:read", "content:write", "subscription:read", "ai:use"])
    );
    assert_eq!(made["preset"], Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_a_field_is_said_with_its_name() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for (order, words) in [
        (json!({}), "name: Field required"),
        (json!({"name": 5}), "name: Input should be a valid string"),
        (
            json!({"name": "ci", "expires_in": "31d"}),
            "expires_in: Input should be '30d', '90d', '365d' or 'never'",
        ),
        (json!({"name": "ci", "projects": []}), "projects: "),
        (
            json!({"name": "ci", "projects": [SOUTH.project_id()]}),
            "projects: ",
        ),
        (
            json!({"name": "ci", "projects": ["x"]}),
            "projects: Input should be a valid integer",
        ),
        (
            json!({"preset": 1, "scopes": {}}),
            "name: Field required; preset: Input should be a valid string; scopes: Input should be a valid list",
        ),
    ] {
        refused(&create(&app, &admin, order).await, 422, words);
    }
}

#[tokio::test]
async fn a_name_is_short_and_visible() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let long = create(&app, &admin, json!({"name": "x".repeat(256)})).await;
    refused(
        &long,
        422,
        "name: Value error, `name` must have at most 255 characters",
    );
    let hidden = create(&app, &admin, json!({"name": "\u{1F600}\n"})).await;
    let words = "name: Value error, must not contain the invisible character U+000A; remove it";
    refused(&hidden, 422, words);
    for name in ["", "\u{1F600} ", &"x".repeat(255)] {
        let made = create(&app, &admin, json!({"name": name})).await.is(201);
        assert_eq!(made.text_at("/name"), name);
    }
}

#[tokio::test]
async fn the_life_is_the_one_asked_for_or_the_organizations_default() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let expires_at = async |life: Value| {
        let made = create(&app, &admin, json!({"name": "ci", "expires_in": life})).await;
        made.is(201).text_at("/expires_at")
    };
    for (life, end) in [
        (json!("30d"), "2026-02-01T03:05:05.678Z"),
        (json!("90d"), "2026-04-02T03:05:05.678Z"),
        (json!("365d"), "2027-01-02T03:05:05.678Z"),
        (json!("never"), ""),
        (Value::Null, "2027-01-02T03:05:05.678Z"),
    ] {
        assert_eq!(expires_at(life).await, end);
    }
    let path = format!("/organizations/{}", NORTH.name);
    let policy = json!({"policy": {"max_lifetime": "60d", "default_lifetime": "1d"}});
    app.patch(&admin, &path, policy).await.is(200);
    assert_eq!(expires_at(Value::Null).await, "2026-01-03T03:05:05.678Z");
    for life in ["90d", "never"] {
        let order = json!({"name": "ci", "expires_in": life});
        refused(&create(&app, &admin, order).await, 422, "expires_in: ");
    }
}

#[tokio::test]
async fn the_list_has_what_is_good_and_the_caller_may_see() {
    let app = TestApp::new().await;
    let (admin, member) = (app.admin_of(&NORTH), app.member_of(&NORTH));
    let made = create(&app, &admin, json!({"name": "mine"})).await.is(201);
    let mine = made.json()["id"].to_string();
    let teams = app.team_token(&NORTH, &[]).await;
    let members = app.personal_token(&member, &NORTH, &[]).await;
    let southern = app.organization_token(&SOUTH, &[]).await;
    let short = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1m"});
    let short = app.mint(&admin, short).await;
    let revoked = app.organization_token(&NORTH, &[]).await;
    delete(&app, &admin, &revoked.id).await.is(200);
    assert_eq!(
        listed(&app, &admin).await,
        [&mine, &teams.id, &members.id, &short.id].map(String::clone)
    );
    app.clock.advance(61);
    let left = [mine.clone(), teams.id.clone(), members.id.clone()];
    assert_eq!(listed(&app, &admin).await, left);
    assert_eq!(listed(&app, &app.site_admin()).await, left);
    assert_eq!(listed(&app, &member).await, [members.id]);
    assert_eq!(listed(&app, &app.team_admin(&NORTH)).await, [teams.id]);
    assert!(!listed(&app, &admin).await.contains(&southern.id));

    app.get(&Actor::holding(&made.text_at("/token")), "/tokens/current")
        .await
        .is(200);
    app.write_usage().await;
    let list = QUANT.get(&app, &admin, &tokens()).await.json();
    assert_eq!(
        list[0],
        json!({"id": mine.parse::<i64>().unwrap(), "name": "mine",
            "last_used": "2026-01-02T03:06:06.678Z", "created_at": "2026-01-02T03:05:05.678Z"})
    );
    assert_eq!(list[1]["last_used"], Value::Null);
}

#[tokio::test]
async fn a_list_of_more_than_one_part_is_whole_and_in_order() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let mut made = Vec::new();
    for _ in 0..251 {
        made.push(app.organization_token(&NORTH, &[]).await.id);
    }
    assert_eq!(listed(&app, &admin).await, made);
}

#[tokio::test]
async fn a_deleted_token_is_refused_at_once_and_gone() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let token = app.team_token(&NORTH, &[]).await;
    let deleted = delete(&app, &admin, &token.id).await.is(200);
    assert_eq!(deleted.json(), json!({"message": "Token revoked successfully"}));
    app.get(&token.holder, "/tokens/current").await.is(401);
    refused(
        &delete(&app, &admin, &token.id).await,
        404,
        "No such resource, or you may not see it.",
    );
    let shown = app.get(&admin, &format!("/tokens/{}", token.id)).await.is(200);
    assert_eq!(shown.text_at("/revoked_by"), NORTH.email("admin"));
}

#[tokio::test]
async fn a_token_is_deleted_at_its_own_organization_and_by_its_number_only() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let southern = app.organization_token(&SOUTH, &[]).await;
    let deployments = app.deployment_token(&["projects:read"]).await;
    let northern = app.organization_token(&NORTH, &[]).await;
    let jti = northern.info["jti"].as_str().unwrap();
    for id in [southern.id.as_str(), &deployments.id, jti, "0", "007", "1.0"] {
        refused(
            &delete(&app, &site, id).await,
            404,
            "No such resource, or you may not see it.",
        );
    }
    for token in [&southern, &deployments, &northern] {
        app.get(&token.holder, "/tokens/current").await.is(200);
    }
}

#[tokio::test]
async fn the_organizations_limits_hold_here_too() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let policy = json!({"policy": {"max_active_tokens_per_owner": 2, "keep_last_token": true}});
    let path = format!("/organizations/{}", NORTH.name);
    app.patch(&admin, &path, policy).await.is(200);
    let order = json!({"name": "ci"});
    for _ in 0..2 {
        create(&app, &admin, order.clone()).await.is(201);
    }
    refused(
        &create(&app, &admin, order).await,
        403,
        "The owner already has 2 active tokens, the organization's limit: revoke one first.",
    );
    let ids = listed(&app, &admin).await;
    delete(&app, &admin, &ids[0]).await.is(200);
    refused(
        &delete(&app, &admin, &ids[1]).await,
        403,
        "This is the owner's last active token, which the organization's policy keeps: `force` revokes it.",
    );
    assert_eq!(listed(&app, &admin).await, ids[1..]);
}

#[tokio::test]
async fn a_number_that_their_clients_cannot_read_is_not_given_out() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let numbers = "UPDATE sqlite_sequence SET seq = 2147483646 WHERE name = 'tokens'";
    let same = "SELECT setval(pg_get_serial_sequence('tokens', 'id'), 2147483646)";
    assert_eq!(app.db_change_in(numbers, same), 1);
    let order = json!({"name": "ci"});
    let last = create(&app, &admin, order.clone()).await.is(201);
    assert_eq!(last.json()["id"], i32::MAX);
    refused(
        &create(&app, &admin, order).await,
        422,
        "id: Value error, numbers of tokens are beyond",
    );
    // It was recorded before its number was known, so it exists and is revoked.
    assert_eq!(listed(&app, &admin).await, [i32::MAX.to_string()]);
    let beyond = app.get(&admin, "/tokens/2147483648").await.is(200);
    assert_eq!(beyond.text_at("/status"), "revoked");
    // A token created through another API is listed with its true number, and can be deleted.
    let elsewhere = app.organization_token(&NORTH, &[]).await;
    assert_eq!(
        listed(&app, &admin).await,
        [i32::MAX.to_string(), elsewhere.id.clone()]
    );
    delete(&app, &admin, &elsewhere.id).await.is(200);
}
