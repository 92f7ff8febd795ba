//! `/teams/{team_id}/authentication-token` and `/teams/{team_id}/authentication-tokens`.

use serde_json::{Value, json};

use crate::api::dialects::terraform::{SURFACE, absent, made, new, organization, team, user_id};
use crate::harness::{Answer, NORTH, SOUTH, TestApp};

async fn replace(app: &TestApp) -> Answer {
    let path = team("authentication-token");
    SURFACE
        .post(app, &app.team_admin(&NORTH), &path, json!({"data": {"type": ""}}))
        .await
}

async fn describe(app: &TestApp, description: Value) -> Answer {
    let body = new(json!({"description": description}));
    SURFACE
        .post(app, &app.team_admin(&NORTH), &team("authentication-tokens"), body)
        .await
}

#[tokio::test]
async fn a_new_token_has_every_documented_field_and_shows_its_secret_once() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let answer = replace(&app).await.is(201);
    let (id, holder) = made(answer.clone());
    let mut shown = json!({"data": {
        "id": format!("at-{id}"),
        "type": "authentication-tokens",
        "attributes": {
            "created-at": "2026-01-02T03:05:05.678Z",
            "last-used-at": null,
            "description": null,
            "token": holder.token(),
            "expired-at": null,
        },
        "relationships": {
            "team": {"data": {"id": NORTH.team_id(), "type": "teams"}},
            "created-by": {"data": {"id": user_id(&app, &lead).await, "type": "users"}},
        },
    }});
    assert_eq!(answer.json(), shown);
    let current = app.get(&holder, "/tokens/current").await.is(200).json();
    assert_eq!(
        (&current["owner"], &current["team"]),
        (&json!("team"), &json!(NORTH.team_id()))
    );
    assert_eq!(current["id"], id.as_str());

    app.write_usage().await;
    shown["data"]["attributes"]["token"] = Value::Null;
    shown["data"]["attributes"]["last-used-at"] = "2026-01-02T03:05:05.678Z".into();
    let jti = current["jti"].as_str().unwrap();
    for path in [
        team("authentication-token"),
        format!("/api/v2/authentication-tokens/{id}"),
        format!("/api/v2/authentication-tokens/{jti}"),
    ] {
        assert_eq!(SURFACE.get(&app, &lead, &path).await.is(200).json(), shown);
    }
}

#[tokio::test]
async fn another_one_ends_the_one_before_and_leaves_those_with_descriptions() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let (_, first) = made(replace(&app).await);
    let (described, beside) = made(describe(&app, json!("deploys")).await);
    let (unnamed, empty) = made(describe(&app, json!("")).await);
    let (id, second) = made(replace(&app).await);
    app.get(&first, "/tokens/current").await.is(401);
    for holder in [&second, &beside, &empty] {
        app.get(holder, "/tokens/current").await.is(200);
    }
    let slot = SURFACE
        .get(&app, &lead, &team("authentication-token"))
        .await
        .is(200);
    assert_eq!(slot.text_at("/data/id"), format!("at-{id}"));
    assert_eq!(slot.json()["data"]["attributes"]["description"], Value::Null);
    for (id, description) in [(described, "deploys"), (unnamed, "")] {
        let path = format!("/api/v2/authentication-tokens/{id}");
        let read = SURFACE.get(&app, &lead, &path).await.is(200).json();
        assert_eq!(read["data"]["attributes"]["description"], description);
    }

    SURFACE
        .delete(&app, &lead, &team("authentication-token"))
        .await
        .is(204);
    app.get(&second, "/tokens/current").await.is(401);
    app.get(&beside, "/tokens/current").await.is(200);
    absent(&SURFACE.get(&app, &lead, &team("authentication-token")).await);
    absent(&SURFACE.delete(&app, &lead, &team("authentication-token")).await);
}

#[tokio::test]
async fn a_description_is_taken_while_a_token_of_the_team_has_it() {
    let app = TestApp::new().await;
    let (id, _) = made(describe(&app, json!("deploys")).await);
    let taken = describe(&app, json!("deploys")).await.is(422);
    assert_eq!(
        taken.json(),
        json!({"errors": [{
            "status": "422",
            "title": "invalid attributes",
            "detail": "Validation failed: Description has already been taken",
            "source": {"pointer": "/data/attributes/description"},
        }]})
    );
    describe(&app, json!("Deploys")).await.is(201);
    let theirs = format!("/api/v2/teams/{}/authentication-tokens", SOUTH.team_id());
    let body = new(json!({"description": "deploys"}));
    SURFACE
        .post(&app, &app.team_admin(&SOUTH), &theirs, body)
        .await
        .is(201);
    let path = format!("/api/v2/authentication-tokens/{id}");
    SURFACE.delete(&app, &app.team_admin(&NORTH), &path).await.is(204);
    describe(&app, json!("deploys")).await.is(201);
    // An expired token has released it too.
    let body = new(json!({"description": "brief", "expired-at": "2026-01-02T03:06:05Z"}));
    let path = team("authentication-tokens");
    let brief = async || {
        SURFACE
            .post(&app, &app.team_admin(&NORTH), &path, body.clone())
            .await
    };
    brief().await.is(201);
    brief().await.is(422);
    app.clock.advance(61);
    describe(&app, json!("brief")).await.is(201);
    // An empty description counts as none, and is never taken.
    for _ in 0..2 {
        describe(&app, Value::Null).await.is(201);
    }
}

#[tokio::test]
async fn a_revoked_token_is_gone_and_an_expired_one_is_not() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let body = new(json!({"expired-at": "2026-01-02T03:06:05Z"}));
    let (id, holder) = made(
        SURFACE
            .post(&app, &lead, &team("authentication-token"), body)
            .await,
    );
    app.clock.advance(61);
    SURFACE
        .get(&app, &holder, &organization("team-tokens"))
        .await
        .is(401);
    let path = format!("/api/v2/authentication-tokens/{id}");
    for path in [&path, &team("authentication-token")] {
        let read = SURFACE.get(&app, &lead, path).await.is(200);
        assert_eq!(
            read.text_at("/data/attributes/expired-at"),
            "2026-01-02T03:06:05.000Z"
        );
    }
    SURFACE.delete(&app, &lead, &path).await.is(204);
    absent(&SURFACE.get(&app, &lead, &path).await);
    absent(&SURFACE.delete(&app, &lead, &path).await);
    absent(&SURFACE.get(&app, &lead, &team("authentication-token")).await);
}

#[tokio::test]
async fn a_policy_of_the_organization_holds_and_is_said_in_this_apis_words() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let policy = json!({"policy": {"max_active_tokens_per_owner": 2, "keep_last_token": true,
        "max_lifetime": "1h"}});
    app.patch(&admin, &format!("/organizations/{}", NORTH.name), policy)
        .await
        .is(200);
    // A token without an expiry gets the maximum lifetime.
    let first = replace(&app).await.is(201);
    assert_eq!(
        first.text_at("/data/attributes/expired-at"),
        "2026-01-02T04:05:05.678Z"
    );
    let body = new(json!({"expired-at": "2026-01-02T05:05:05Z"}));
    let long = SURFACE
        .post(&app, &admin, &team("authentication-token"), body)
        .await
        .is(422);
    assert_eq!(
        long.text_at("/errors/0/detail"),
        "expired-at: the lifetime must be at most 1h, the organization's `max_lifetime`"
    );

    // Unless the organization has a default lifetime.
    let policy = json!({"policy": {"max_active_tokens_per_owner": 2, "keep_last_token": true,
        "max_lifetime": "1h", "default_lifetime": "30m"}});
    app.patch(&admin, &format!("/organizations/{}", NORTH.name), policy)
        .await
        .is(200);
    let usual = replace(&app).await.is(201);
    assert_eq!(
        usual.text_at("/data/attributes/expired-at"),
        "2026-01-02T03:35:05.678Z"
    );

    let last = team("authentication-token");
    let kept = SURFACE.delete(&app, &admin, &last).await.is(409);
    assert_eq!(kept.text_at("/errors/0/title"), "conflict");
    describe(&app, json!("second")).await.is(201);
    let full = describe(&app, json!("third")).await.is(422);
    assert_eq!(
        full.text_at("/errors/0/detail"),
        "Validation failed: the owner already has 2 active tokens, the organization's limit"
    );
    replace(&app).await.is(201);
    SURFACE.delete(&app, &admin, &last).await.is(204);
}
