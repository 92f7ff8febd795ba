//! Organizations and teams.

use serde_json::{Value, json};

use super::{SURFACE, founded, home, team};
use crate::harness::{Actor, ISSUER, MANAGEMENT, NORTH, TestApp};

#[tokio::test]
async fn an_organization_is_made_with_its_first_token() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let made = founded(&app, &member, "Acme_1.x").await;
    assert_eq!(
        made.header("location"),
        format!("{ISSUER}/organizations/Acme_1.x")
    );
    let mut expected = made.json();
    assert_eq!(expected["tokens"][0]["description"], "default");
    let secret = made.text_at("/tokens/0/value");
    app.get(&Actor::holding(&secret), "/tokens/current").await.is(200);
    expected["tokens"][0]["value"] = "jtn_eyJhbGciOi...".into();
    let shown = SURFACE
        .get(&app, &member, "/organizations/acme_1.x")
        .await
        .is(200);
    assert_eq!(
        shown.header("location"),
        format!("{ISSUER}/organizations/Acme_1.x")
    );
    assert_eq!(shown.json(), expected);
    let id = made.text_at("/tokens/0/id");
    assert_eq!(
        expected,
        json!({"name": "Acme_1.x", "email": "ops@example.com", "notification_url": "https://example.com/n",
            "tokens": [{"id": id, "description": "default", "value": "jtn_eyJhbGciOi...",
                "created": "2026-01-02T03:05:05.678Z"}]})
    );
    // The creator is its admin.
    let own = SURFACE.get(&app, &member, "/users/organizations").await.is(200);
    assert!(
        own.json()
            .as_array()
            .unwrap()
            .contains(&json!({"name": "Acme_1.x", "role": "admin"}))
    );
}

#[tokio::test]
async fn names_are_unique_and_valid() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = |name: &str| json!({"name": name, "email": "a@example.com", "notification_url": ""});
    let make = async |name: &str| SURFACE.post(&app, &admin, "/organizations", order(name)).await;
    make("NorthWind")
        .await
        .refuses(409, "Organization 'NorthWind' already exists.");
    make("a b").await.refuses(400, "Invalid organization name a b.");
    make("").await.refuses(400, "Invalid organization name .");
    for name in ["-a".to_owned(), "x".repeat(91), NORTH.id().to_owned()] {
        let text = format!("Invalid organization name {name}.");
        make(&name).await.refuses(400, &text);
    }
    for body in [json!({"name": "x", "email": "a"}), json!({"name": 5}), json!([])] {
        SURFACE
            .post(&app, &admin, "/organizations", body)
            .await
            .refuses(400, "Cannot parse JSON as Organization.");
    }
    let teams = format!("{}/teams", home());
    let make = async |body: Value| SURFACE.post(&app, &admin, &teams, body).await;
    let taken = format!("Team '{}' already exists.", NORTH.team);
    make(json!({"name": NORTH.team})).await.refuses(409, &taken);
    make(json!({"name": "a/b"}))
        .await
        .refuses(400, "Invalid team name a/b.");
    make(json!({})).await.refuses(400, "Cannot parse JSON as Team.");
}

#[tokio::test]
async fn an_organization_is_changed_field_by_field() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let change = async |body: Value| SURFACE.patch(&app, &admin, &home(), body).await;
    let empty = json!({"name": NORTH.name, "email": "", "notification_url": "", "tokens": []});
    assert_eq!(SURFACE.get(&app, &admin, &home()).await.is(200).json(), empty);
    let changed = change(json!({"email": "ops@example.com"})).await.is(200).json();
    assert_eq!(changed["email"], "ops@example.com");
    let changed = change(json!({"notification_url": "https://example.com"}))
        .await
        .is(200)
        .json();
    assert_eq!(changed["email"], "ops@example.com");
    assert_eq!(changed["notification_url"], "https://example.com");
    for body in [json!({}), json!({"email": null}), json!({"name": "other"})] {
        change(body).await.refuses(400, "No fields specified for update.");
    }
    for wrong in [
        json!({"email": 5}),
        json!({"email": "nobody"}),
        json!({"notification_url": "javascript:alert(1)"}),
        json!({"notification_url": "example.com"}),
    ] {
        change(wrong)
            .await
            .refuses(400, "Cannot parse JSON as Organization.");
    }
    // A response can be sent back as a request.
    let nothing = json!({"email": "", "notification_url": ""});
    assert_eq!(change(nothing).await.is(200).json(), empty);
}

#[tokio::test]
async fn an_organization_goes_after_its_teams() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let token = app.team_token(&NORTH, &[]).await;
    SURFACE.delete(&app, &admin, &home()).await.refuses(
        400,
        "Cannot delete account with teams attached. Delete teams first.",
    );
    SURFACE
        .delete(&app, &app.member_of(&NORTH), &home())
        .await
        .refuses(403, "");
    SURFACE.delete(&app, &admin, &team()).await.is(204);
    app.get(&token.holder, "/tokens/current").await.is(401);
    SURFACE.delete(&app, &admin, &home()).await.is(204);
    SURFACE.get(&app, &admin, &home()).await.refuses(404, "");
}

#[tokio::test]
async fn a_team_is_made_with_its_first_token() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let path = format!("{}/teams", home());
    let made = SURFACE.post(&app, &admin, &path, json!({"name": "runners"}));
    let made = made.await.is(201);
    assert_eq!(made.header("location"), format!("{ISSUER}{path}/runners"));
    let mut runners = made.json();
    assert_eq!(runners["name"], "runners");
    assert_eq!(runners["tokens"].as_array().unwrap().len(), 1);
    let secret = made.text_at("/tokens/0/value");
    app.get(&Actor::holding(&secret), "/tokens/current").await.is(200);
    runners["tokens"][0]["value"] = "jtn_eyJhbGciOi...".into();
    let shown = SURFACE.get(&app, &admin, &format!("{path}/runners")).await;
    assert_eq!(shown.is(200).json(), runners);
    let minted = app.team_token(&NORTH, &[]).await;
    let listed = SURFACE.get(&app, &admin, &path).await.is(200).json();
    assert_eq!(listed[0]["name"], NORTH.team);
    assert_eq!(listed[0]["tokens"][0]["id"], minted.id);
    assert_eq!(listed[1], runners);
}

/// In CAVE every member can read the tokens; here only users who manage them see their metadata.
#[tokio::test]
async fn tokens_are_shown_to_those_who_manage_them() {
    let app = TestApp::new().await;
    app.organization_token(&NORTH, &[]).await;
    app.team_token(&NORTH, &[]).await;
    let viewer = app.viewer_of(&NORTH).await;
    for (actor, of_organization, of_team) in [
        (&app.admin_of(&NORTH), 1, 1),
        (&app.team_admin(&NORTH), 0, 1),
        (&app.member_of(&NORTH), 0, 0),
        (&viewer, 0, 0),
    ] {
        let count = |value: Value| value["tokens"].as_array().unwrap().len();
        let shown = SURFACE.get(&app, actor, &home()).await.is(200).json();
        assert_eq!(count(shown), of_organization);
        let shown = SURFACE.get(&app, actor, &team()).await.is(200).json();
        assert_eq!(count(shown), of_team);
        let listed = SURFACE.get(&app, actor, &format!("{}/teams", home())).await;
        assert_eq!(count(listed.is(200).json()[0].clone()), of_team);
    }
}

/// A team comes with a token, so its creator must be allowed to create tokens too.
#[tokio::test]
async fn what_makes_or_shows_tokens_needs_their_scopes_too() {
    let app = TestApp::new().await;
    let teams = format!("{}/teams", home());
    for (missing, status) in [("tokens:write", 403), ("organizations:write", 403), ("", 201)] {
        let scopes: Vec<&str> = MANAGEMENT.into_iter().filter(|scope| *scope != missing).collect();
        let holder = app.organization_token(&NORTH, &scopes).await.holder;
        let made = SURFACE.post(&app, &holder, &teams, json!({"name": "runners"}));
        made.await.is(status);
    }
    for (missing, status) in [("tokens:read", 403), ("organizations:read", 403), ("", 200)] {
        let scopes: Vec<&str> = MANAGEMENT.into_iter().filter(|scope| *scope != missing).collect();
        let holder = app.organization_token(&NORTH, &scopes).await.holder;
        for path in [home(), teams.clone(), team()] {
            SURFACE.get(&app, &holder, &path).await.is(status);
        }
    }
}
