//! `POST /tokens/{id}/rotate` and `/tokens/current/rotate`.

use axum::http::Method;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Actor, Answer, MANAGEMENT, Minted, NORTH, TestApp, request};

/// Creates a token of the organization with these fields.
async fn token(app: &TestApp, fields: Value) -> Minted {
    let mut order = json!({"organization": NORTH.name, "owner": "organization", "scopes": ["content:write"]});
    let all = order.as_object_mut().unwrap();
    all.extend(fields.as_object().unwrap().clone());
    app.mint(&app.admin_of(&NORTH), order).await
}

fn path(id: &str) -> String {
    format!("/tokens/{id}/rotate")
}

async fn info(app: &TestApp, id: &str) -> Value {
    let shown = app.get(&app.site_admin(), &format!("/tokens/{id}")).await;
    shown.is(200).json()
}

async fn is_good(app: &TestApp, holder: &Actor) -> bool {
    let answer = app.get(holder, "/tokens/current").await;
    match answer.status {
        200 => true,
        401 => false,
        _ => panic!("{}", answer.text),
    }
}

#[tokio::test]
async fn a_successor_has_the_same_rights_and_the_one_before_ends_after_its_grace() {
    let mut app = TestApp::new().await;
    let fields = json!({"description": "for the pipeline", "projects": [NORTH.project_id()], "slot": "ci",
        "audience": "https://a.example", "preset": "content_management", "scopes": null, "expires_in": "30d"});
    let old = token(&app, fields).await;
    app.clock.advance(3_600);
    let admin = app.admin_of(&NORTH);
    let answer = app
        .post(&admin, &path(&old.id), json!({"grace_period": "1h"}))
        .await;
    let answer = answer.is(201);
    assert_eq!(answer.header("cache-control"), "no-store");
    let new = answer.json()["token_info"].clone();
    let holder = Actor::holding(&answer.text_at("/token"));
    let id = new["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/tokens/{id}"));
    for same in [
        "name",
        "description",
        "organization",
        "owner",
        "team",
        "user",
        "scopes",
        "preset",
        "projects",
        "audience",
        "slot",
    ] {
        assert_eq!(new[same], old.info[same], "{same}");
    }
    assert_ne!(new["jti"], old.info["jti"]);
    assert_eq!(new["rotated_from"], old.id.as_str());
    assert_eq!(
        new["expires_at"], "2026-02-01T04:05:05.678Z",
        "as long as the one before was given"
    );
    for _ in 0..2 {
        assert!(is_good(&app, &old.holder).await && is_good(&app, &holder).await);
        app.restart().await;
    }
    let shown = app
        .get(&admin, &format!("/tokens/{}", old.id))
        .await
        .is(200)
        .json();
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["replaced_by"], id.as_str());
    assert_eq!(shown["revoked_at"], "2026-01-02T04:05:05.678Z");
    assert_eq!(shown["revocation_effective_at"], "2026-01-02T05:05:05.678Z");
    assert_eq!(shown["revocation_reason"], "rotated");

    // No background task is needed for the instant itself.
    app.clock.advance(3_600);
    for _ in 0..2 {
        assert!(!is_good(&app, &old.holder).await && is_good(&app, &holder).await);
        app.restart().await;
    }
    let shown = app
        .get(&admin, &format!("/tokens/{}", old.id))
        .await
        .is(200)
        .json();
    assert_eq!(shown["status"], "revoked");
    let listed = app.get(&admin, "/tokens?limit=1000").await.is(200).each("id");
    assert!(listed.contains(&id) && !listed.contains(&old.id));
}

#[tokio::test]
async fn a_leak_during_the_grace_ends_it() {
    let mut app = TestApp::new().await;
    let old = token(&app, json!({})).await;
    let admin = app.admin_of(&NORTH);
    let new = app.post(&admin, &path(&old.id), json!({})).await.is(201);
    let new = Actor::holding(&new.text_at("/token"));
    assert_eq!(
        info(&app, &old.id).await["revocation_effective_at"],
        "2026-01-03T03:05:05.678Z",
        "a day by default"
    );
    app.clock.advance(5);
    let revoke = format!("/tokens/{}/revoke", old.id);
    let revoked = app
        .post(&admin, &revoke, json!({"reason": "leaked"}))
        .await
        .is(201);
    assert_eq!(revoked.text_at("/revocation_reason"), "leaked");
    for _ in 0..2 {
        assert!(!is_good(&app, &old.holder).await && is_good(&app, &new).await);
        app.restart().await;
    }
    assert_eq!(
        info(&app, &old.id).await["revocation_effective_at"],
        "2026-01-02T03:05:10.678Z"
    );
}

#[tokio::test]
async fn the_grace_period_ends_with_the_token() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let old = token(&app, json!({"expires_in": "1h"})).await;
    app.post(
        &admin,
        &path(&old.id),
        json!({"grace_period": "30d", "expires_in": "30d"}),
    )
    .await
    .is(201);
    let shown = info(&app, &old.id).await;
    assert_eq!(shown["revocation_effective_at"], old.info["expires_at"]);
    let old = token(&app, json!({})).await;
    app.post(&admin, &path(&old.id), json!({"grace_period": "0s"}))
        .await
        .is(201);
    assert!(!is_good(&app, &old.holder).await, "at once");
    for (body, fault) in [
        (
            json!({"grace_period": "soon"}),
            "value_error at body.grace_period",
        ),
        (json!({"grace_period": "31d"}), "value_error at body.grace_period"),
        (json!({"grace_period": 5}), "string_type at body.grace_period"),
        (
            json!({"expires_in": "1d", "expires_in_days": 1}),
            "value_error at body.expires_in_days",
        ),
        (
            json!({"expires_at": "2026-01-01T00:00:00Z"}),
            "value_error at body.expires_at",
        ),
    ] {
        let again = token(&app, json!({})).await;
        app.post(&admin, &path(&again.id), body).await.blames(&[fault]);
        assert_eq!(
            info(&app, &again.id).await["revoked_at"],
            Value::Null,
            "nothing is done by halves"
        );
    }
}

#[tokio::test]
async fn inactive_tokens_are_not_rotated() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let replaced = token(&app, json!({})).await;
    app.post(&admin, &path(&replaced.id), json!({})).await.is(201);
    let revoked = token(&app, json!({})).await;
    app.post(&admin, &format!("/tokens/{}/revoke", revoked.id), json!({}))
        .await
        .is(201);
    let expired = token(&app, json!({"expires_in": "1m"})).await;
    app.clock.advance(61);
    for token in [&replaced, &revoked, &expired] {
        app.post(&admin, &path(&token.id), json!({}))
            .await
            .fails(409, "not_active");
    }
    // A token in its grace period cannot extend itself either.
    app.post(&replaced.holder, "/tokens/current/rotate", json!({}))
        .await
        .fails(409, "not_active");
    app.post(&admin, &path("999999"), json!({}))
        .await
        .fails(404, "not_found");
    let session = app.post(&admin, "/tokens/current/rotate", json!({})).await;
    session.fails(403, "api_token_needed");
}

#[tokio::test]
async fn whoever_holds_a_token_rotates_it_within_its_life() {
    let app = TestApp::new().await;
    let old = token(&app, json!({"expires_in": "30d"})).await;
    app.clock.advance(3_600);
    let rotate = async |body: Value| app.post(&old.holder, "/tokens/current/rotate", body).await;
    rotate(json!({"expires_in": "30d"}))
        .await
        .blames(&["value_error at body.expires_in"]);
    let answer = rotate(json!({})).await.is(201);
    let new = answer.json()["token_info"].clone();
    assert_eq!(
        new["expires_at"], old.info["expires_at"],
        "shortened, not extended"
    );
    assert_eq!(new["created_by"], format!("token {}", old.id));
    assert_eq!(new["scopes"], old.info["scopes"]);
    assert!(is_good(&app, &Actor::holding(&answer.text_at("/token"))).await);
}

#[tokio::test]
async fn nobody_rotates_what_they_could_not_have_made() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let writer = app.organization_token(&NORTH, &["tokens:write"]).await.holder;
    let wide = token(&app, json!({})).await;
    app.post(&writer, &path(&wide.id), json!({}))
        .await
        .fails(403, "insufficient_scope");
    let narrow = token(&app, json!({"scopes": ["tokens:write"]})).await;
    app.post(&writer, &path(&narrow.id), json!({})).await.is(201);

    let restricted = json!({"scopes": MANAGEMENT, "projects": [NORTH.project_id()]});
    let restricted = token(&app, restricted).await.holder;
    let unrestricted = token(&app, json!({"scopes": []})).await;
    app.post(&restricted, &path(&unrestricted.id), json!({}))
        .await
        .fails(403, "forbidden");
    let within = token(&app, json!({"scopes": [], "projects": [NORTH.project_id()]})).await;
    app.post(&restricted, &path(&within.id), json!({})).await.is(201);

    // Not even an admin obtains another user's token.
    let member = app.member_of(&NORTH);
    let own = app.personal_token(&member, &NORTH, &["content:write"]).await;
    app.post(&admin, &path(&own.id), json!({}))
        .await
        .fails(403, "forbidden");
    app.post(&member, &path(&own.id), json!({})).await.is(201);
}

#[tokio::test]
async fn limits_and_policies_hold_for_successors() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let policy = json!({"policy": {"max_active_tokens_per_owner": 1, "max_lifetime": "1d"}});
    let first = token(&app, json!({"expires_in": "30d"})).await;
    let home = format!("/organizations/{}", NORTH.name);
    app.patch(&admin, &home, policy).await.is(200);
    let answer = app.post(&admin, &path(&first.id), json!({})).await.is(201);
    assert_eq!(
        answer.text_at("/token_info/expires_at"),
        "2026-01-03T03:05:05.678Z",
        "shortened to the policy"
    );
    let id = answer.text_at("/token_info/id");
    app.post(&admin, &path(&id), json!({"expires_in": "2d"}))
        .await
        .blames(&["value_error at body.expires_in"]);
    // The token in its grace period does not count, and the successor does.
    let more = json!({"name": "more", "organization": NORTH.name, "owner": "organization"});
    app.request_token(&admin, more).await.fails(409, "limit_reached");
    let again = app.post(&admin, &path(&id), json!({})).await.is(201);
    assert!(!is_good(&app, &first.holder).await, "two of a lineage at most");
    assert!(is_good(&app, &Actor::holding(&answer.text_at("/token"))).await);
    assert!(is_good(&app, &Actor::holding(&again.text_at("/token"))).await);
}

#[tokio::test]
async fn of_many_who_rotate_at_once_one_does() {
    let app = TestApp::new().await;
    let old = token(&app, json!({})).await;
    let admin = app.admin_of(&NORTH);
    let path = path(&old.id);
    let orders: Vec<_> = (0..20)
        .map(|_| {
            let rotate = request(&admin, Method::POST, &path, Some(json!({})));
            let router = app.router();
            tokio::spawn(async move { Answer::read(router.oneshot(rotate).await.unwrap()).await })
        })
        .collect();
    let mut answers = Vec::new();
    for order in orders {
        answers.push(order.await.unwrap());
    }
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.clone().fails(409, "not_active");
    }
    let shown = info(&app, &old.id).await;
    assert_eq!(shown["replaced_by"], made[0].text_at("/token_info/id"));
}

#[tokio::test]
async fn a_token_presented_after_its_end_is_seen_by_its_administrator() {
    let mut app = TestApp::new().await;
    let old = token(&app, json!({})).await;
    let admin = app.admin_of(&NORTH);
    app.post(&admin, &path(&old.id), json!({"grace_period": "1m"}))
        .await
        .is(201);
    assert!(is_good(&app, &old.holder).await);
    app.operator().write_refusals().await.unwrap();
    assert_eq!(info(&app, &old.id).await["refused_count"], 0, "within its grace");
    app.clock.advance(60);
    for _ in 0..3 {
        assert!(!is_good(&app, &old.holder).await);
    }
    app.clock.advance(1);
    assert!(!is_good(&app, &old.holder).await);
    assert_eq!(
        info(&app, &old.id).await["refused_count"],
        0,
        "no write a request"
    );
    for _ in 0..2 {
        app.operator().write_refusals().await.unwrap();
        let shown = info(&app, &old.id).await;
        assert_eq!(shown["refused_count"], 4);
        assert_eq!(shown["last_refused_at"], "2026-01-02T03:06:06.678Z");
        app.restart().await;
    }
    // Such an event cannot be forged: a token without a valid signature is ignored.
    let (rest, signature) = old.secret.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}A", &signature[..signature.len() - 2]);
    assert!(!is_good(&app, &Actor::holding(&forged)).await);
    app.operator().write_refusals().await.unwrap();
    assert_eq!(info(&app, &old.id).await["refused_count"], 4);
}
