//! Users, your account, and the features of an organization.

use axum::http::Method;
use serde_json::{Value, json};

use super::{SURFACE, absent, organization, user_id};
use crate::harness::{Actor, Answer, NORTH, SOUTH, TestApp};

#[tokio::test]
async fn a_user_is_shown_to_those_who_share_an_organization() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let path = format!("/api/v2/users/{}", user_id(&app, &member).await);
    let scope = ["organizations:read"];
    let same = app.organization_token(&NORTH, &scope).await.holder;
    let of_lead = app.personal_token(&app.team_admin(&NORTH), &NORTH, &scope).await;
    let of_team = app.team_token(&NORTH, &scope).await.holder;
    for actor in [
        &member,
        &app.admin_of(&NORTH),
        &app.team_admin(&NORTH),
        &app.site_admin(),
        &same,
        &of_lead.holder,
        &of_team,
    ] {
        let shown = SURFACE.get(&app, actor, &path).await.is(200);
        assert_eq!(shown.text_at("/data/type"), "users");
        assert_eq!(shown.text_at("/data/attributes/username"), NORTH.email("member"));
    }
    let other = app.organization_token(&SOUTH, &scope).await.holder;
    let unscoped = app.organization_token(&NORTH, &[]).await.holder;
    for actor in [&app.outsider(), &other, &unscoped] {
        absent(&SURFACE.get(&app, actor, &path).await);
    }
    // A token of one organization shows nobody from another, and somebody who only belongs to other
    // organizations sees the user once they share one.
    let place = format!("/organizations/{}/members/{}", SOUTH.name, NORTH.email("member"));
    let role = json!({"role": "viewer"});
    app.put(&app.site_admin(), &place, role).await.is(204);
    SURFACE.get(&app, &app.outsider(), &path).await.is(200);
    let confined = app.personal_token(&member, &NORTH, &scope).await.holder;
    let southern = user_id(&app, &app.admin_of(&SOUTH)).await;
    let southern = format!("/api/v2/users/{southern}");
    SURFACE.get(&app, &member, &southern).await.is(200);
    absent(&SURFACE.get(&app, &confined, &southern).await);
    for unknown in ["user-Tw4Ev8Ny2Ka6Mo3P", "x"] {
        absent(
            &SURFACE
                .get(&app, &app.site_admin(), &format!("/api/v2/users/{unknown}"))
                .await,
        );
    }
}

#[tokio::test]
async fn an_account_is_updated_to_what_it_is() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let email = NORTH.email("member");
    let update = async |actor: &Actor, attributes: Value| -> Answer {
        let body = json!({"data": {"type": "users", "attributes": attributes}});
        let path = "/api/v2/account/update";
        app.send(SURFACE.request(actor, Method::PATCH, path, body.to_string()))
            .await
    };
    let details = SURFACE
        .get(&app, &member, "/api/v2/account/details")
        .await
        .is(200)
        .json();
    let upper = email.to_uppercase();
    for same in [
        json!({}),
        json!({"username": email, "email": null}),
        json!({"username": email, "email": upper}),
    ] {
        assert_eq!(update(&member, same).await.is(200).json(), details);
    }
    let wanted = json!({"username": "ada@example.com", "email": "ada@example.com"});
    let refused = update(&member, wanted).await.is(422).json();
    let pointers = refused["errors"].as_array().unwrap().iter();
    let pointers: Vec<_> = pointers.map(|error| error["source"]["pointer"].clone()).collect();
    assert_eq!(pointers, ["/data/attributes/username", "/data/attributes/email"]);
    let detail = refused["errors"][1]["detail"].as_str().unwrap();
    assert!(detail.starts_with("email: your e-mail address identifies you and cannot be changed"));
    assert_eq!(app.get(&member, "/me").await.text_at("/user/email"), email);
    let token = app
        .personal_token(&member, &NORTH, &["organizations:write"])
        .await;
    absent(&update(&token.holder, json!({})).await);
}

#[tokio::test]
async fn an_organization_has_teams_and_an_audit_trail_and_no_other_feature() {
    let app = TestApp::new().await;
    let path = organization("entitlement-set");
    let shown = SURFACE
        .get(&app, &app.member_of(&NORTH), &path)
        .await
        .is(200)
        .json();
    assert_eq!(shown["data"]["type"], "entitlement-sets");
    assert_eq!(shown["data"]["id"], NORTH.id());
    let features = shown["data"]["attributes"].as_object().unwrap();
    let available = features.iter().filter(|(_, value)| **value == true);
    let available: Vec<_> = available.map(|(name, _)| name.as_str()).collect();
    assert_eq!(available, ["audit-logging", "teams"]);
    absent(&SURFACE.get(&app, &app.outsider(), &path).await);
}
