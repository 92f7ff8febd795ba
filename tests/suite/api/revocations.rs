//! `POST /revocations`.

use serde_json::{Value, json};

use crate::harness::{Actor, NORTH, SOUTH, TestApp};

async fn cut(app: &TestApp, actor: &Actor, order: Value) -> crate::harness::Answer {
    app.post(actor, "/revocations", order).await
}

async fn status(app: &TestApp, holder: &Actor) -> u16 {
    app.get(holder, "/tokens/current").await.status
}

#[tokio::test]
async fn one_event_ends_everything_that_matches() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let restricted = json!({"organization": NORTH.name, "owner": "organization", "scopes": [],
        "projects": [NORTH.project_id()]});
    let restricted = app.mint(&admin, restricted).await;
    let free = app.organization_token(&NORTH, &[]).await;
    app.clock.advance(5);
    let order = json!({"organization": NORTH.name, "project": NORTH.project_id(), "reason": "broken into"});
    let answer = cut(&app, &admin, order).await.is(201).json();
    let expected = json!({
        "sequence": answer["sequence"], "organization": NORTH.id(), "team": null, "user": null,
        "project": NORTH.project_id(), "key": null, "issued_before": "2026-01-02T03:05:11.000Z",
        "sessions": false, "effective_at": "2026-01-02T03:05:10.678Z", "revoked_by": NORTH.email("admin"),
        "reason": "broken into", "revocation_cursor": answer["revocation_cursor"],
        "refused_everywhere_by": answer["refused_everywhere_by"],
    });
    assert_eq!(answer, expected);
    app.clock.advance(1);
    let later = json!({"organization": NORTH.name, "owner": "organization", "scopes": [],
        "projects": [NORTH.project_id()]});
    let later = app.mint(&admin, later).await;
    for _ in 0..2 {
        let all = [&restricted.holder, &free.holder, &later.holder];
        for (holder, expected) in all.into_iter().zip([401, 200, 200]) {
            assert_eq!(status(&app, holder).await, expected);
        }
        app.restart().await;
    }
    let shown = app
        .get(&admin, &format!("/tokens/{}", restricted.id))
        .await
        .is(200);
    assert_eq!(shown.text_at("/status"), "revoked");
    let listed = app
        .get(
            &admin,
            &format!("/tokens?organization={}&include_revoked=true", NORTH.name),
        )
        .await
        .is(200)
        .json();
    let listed = listed["items"].as_array().unwrap().iter();
    let listed = listed.clone().find(|token| token["id"] == restricted.id).unwrap();
    for shown in [&shown.json(), listed] {
        assert_eq!(shown["revoked_at"], "2026-01-02T03:05:10.678Z");
        assert_eq!(shown["revocation_effective_at"], "2026-01-02T03:05:10.678Z");
        assert_eq!(shown["revoked_by"], NORTH.email("admin"));
        assert_eq!(shown["revocation_reason"], "broken into");
    }
    // The next event of the feed has the next sequence number.
    let order = json!({"organization": NORTH.name, "team": NORTH.team});
    let next = cut(&app, &admin, order).await.is(201).json();
    assert_eq!(next["sequence"], json!(answer["sequence"].as_u64().unwrap() + 1));
}

#[tokio::test]
async fn what_was_issued_later_stays() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let early = app.organization_token(&NORTH, &[]).await;
    app.clock.advance(10);
    let late = app.organization_token(&NORTH, &[]).await;
    let order = json!({"organization": NORTH.name, "issued_before": "2026-01-02T03:05:15Z"});
    let answer = cut(&app, &admin, order).await.is(201);
    assert_eq!(answer.text_at("/issued_before"), "2026-01-02T03:05:15.000Z");
    assert_eq!(status(&app, &early.holder).await, 401);
    assert_eq!(status(&app, &late.holder).await, 200);
    // The latest cut-off decides: an earlier instant undoes nothing.
    let order = json!({"organization": NORTH.name, "issued_before": "2026-01-02T03:05:01Z"});
    cut(&app, &admin, order).await.is(201);
    assert_eq!(status(&app, &early.holder).await, 401);
    // A second is covered as a whole.
    let order = json!({"organization": NORTH.name, "issued_before": "2026-01-02T03:05:15.001Z"});
    let answer = cut(&app, &admin, order).await.is(201);
    assert_eq!(answer.text_at("/issued_before"), "2026-01-02T03:05:16.000Z");
    assert_eq!(status(&app, &late.holder).await, 401);
}

#[tokio::test]
async fn revocations_that_would_cover_too_much_are_refused() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &[]).await;
    let site = app.site_admin();
    let north = NORTH.name;
    for (order, fault) in [
        (json!({}), "value_error at body.organization"),
        (json!({"reason": "why"}), "value_error at body.organization"),
        (json!({"team": NORTH.team}), "value_error at body.team"),
        (json!({"project": 1}), "value_error at body.project"),
        (
            json!({"user": NORTH.email("member"), "project": 1}),
            "value_error at body.project",
        ),
        (
            json!({"organization": north, "tema": NORTH.team}),
            "extra_forbidden at body.tema",
        ),
        (
            json!({"organization": north, "project": 0}),
            "greater_than_equal at body.project",
        ),
        (
            json!({"organization": north, "project": 99_999}),
            "value_error at body.project",
        ),
        (
            json!({"organization": north, "key": "no-such-key"}),
            "value_error at body.key",
        ),
        (
            json!({"organization": north, "user": "nobody"}),
            "value_error at body.user",
        ),
        (
            json!({"organization": north, "issued_before": "2026-01-02T03:05:05.679Z"}),
            "value_error at body.issued_before",
        ),
        (
            json!({"organization": north, "team": NORTH.team, "user": NORTH.email("member")}),
            "value_error at body.user",
        ),
    ] {
        cut(&app, &site, order).await.blames(&[fault]);
    }
    assert_eq!(status(&app, &token.holder).await, 200);
}

#[tokio::test]
async fn an_organizations_admin_reaches_that_organization_and_no_session() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let own = app.personal_token(&app.member_of(&NORTH), &NORTH, &[]).await;
    let other = app.personal_token(&app.team_admin(&NORTH), &NORTH, &[]).await;
    let south = app.organization_token(&SOUTH, &[]).await;
    app.clock.advance(2);
    for (order, expected) in [
        (json!({"organization": SOUTH.name}), 404),
        (json!({"user": NORTH.email("member")}), 403),
        (json!({"key": "any"}), 403),
        (json!({"organization": NORTH.name, "key": "any"}), 403),
        (json!({"organization": NORTH.name, "team": SOUTH.team}), 404),
        // The response does not reveal whether a user of another organization exists.
        (
            json!({"organization": NORTH.name, "user": SOUTH.email("member")}),
            404,
        ),
        (
            json!({"organization": NORTH.name, "user": "nobody@example.org"}),
            404,
        ),
    ] {
        cut(&app, &admin, order).await.is(expected);
    }
    let order = json!({"organization": NORTH.name, "user": NORTH.email("member")});
    let answer = cut(&app, &admin, order).await.is(201);
    assert_eq!(answer.json()["sessions"], false);
    assert_eq!(status(&app, &own.holder).await, 401);
    assert_eq!(status(&app, &other.holder).await, 200);
    app.clock.advance(2);
    cut(&app, &admin, json!({"organization": NORTH.name}))
        .await
        .is(201);
    assert_eq!(status(&app, &other.holder).await, 401);
    assert_eq!(status(&app, &south.holder).await, 200);
    for session in [app.member_of(&NORTH), app.team_admin(&NORTH), admin] {
        app.get(&session, "/me").await.is(200);
    }
}

#[tokio::test]
async fn a_site_administrator_ends_a_person_and_a_key_with_their_sessions() {
    let mut app = TestApp::new().await;
    let site = app.site_admin();
    let (member, lead) = (app.member_of(&NORTH), app.team_admin(&NORTH));
    let own = app.personal_token(&member, &NORTH, &[]).await;
    let south = app.organization_token(&SOUTH, &[]).await;
    app.clock.advance(2);
    let answer = cut(&app, &site, json!({"user": NORTH.email("member")}))
        .await
        .is(201);
    assert_eq!(answer.json()["sessions"], true);
    app.get(&member, "/me").await.is(401);
    app.get(&lead, "/me").await.is(200);
    assert_eq!(status(&app, &own.holder).await, 401);
    app.clock.advance(2);
    let jwks = app.get(&site, "/.well-known/jwks.json").await.is(200).json();
    let order = json!({"key": jwks["keys"][0]["kid"], "reason": "stolen"});
    cut(&app, &site, order).await.is(201);
    for _ in 0..2 {
        for session in [&site, &lead] {
            app.get(session, "/me").await.fails(401, "invalid_token");
        }
        assert_eq!(status(&app, &south.holder).await, 401);
        app.restart().await;
    }
    // A new login is accepted.
    app.clock.advance(2);
    let password = crate::harness::password(&NORTH.email("lead"));
    app.log_in(&NORTH.email("lead"), &password).await.is(200);
}
