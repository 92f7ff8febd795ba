//! Quotas: 409 `quota_reached`, on every surface.

use jeton::authority::Quotas;
use serde_json::json;

use crate::api::dialects::{cave, quant};
use crate::harness::{NORTH, SOUTH, TestApp, password};

async fn with(quotas: Quotas) -> TestApp {
    let mut app = TestApp::new().await;
    app.quotas = quotas;
    app.restart().await;
    app
}

#[tokio::test]
async fn an_owner_has_so_many_active_tokens_whichever_way_they_are_made() {
    let app = with(Quotas {
        tokens_per_owner: 3,
        ..Quotas::STANDARD
    })
    .await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"name": "one", "organization": NORTH.name, "owner": "organization"});
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(app.organization_token(&NORTH, &[]).await);
    }
    let refused = app.request_token(&admin, order.clone()).await;
    refused.fails(409, "quota_reached");
    let path = format!("{}/tokens", cave::home());
    let refused = cave::SURFACE
        .post(&app, &admin, &path, json!({"description": "one"}))
        .await;
    let text = "The quota is reached: at most 3 active tokens of one owner. Remove one first.";
    assert_eq!((refused.status, refused.text.as_str()), (400, text));
    let path = format!("/api/v2/organizations/{}/tokens", NORTH.name);
    let refused = quant::SURFACE
        .post(&app, &admin, &path, json!({"name": "one"}))
        .await;
    assert_ne!(refused.status / 100, 2, "{}", refused.text);
    // Another owner, another quota; a successor takes its predecessor's place.
    app.team_token(&NORTH, &[]).await;
    app.organization_token(&SOUTH, &[]).await;
    let path = format!("/tokens/{}/rotate", made[0].id);
    app.post(&admin, &path, json!({})).await.is(201);
    app.request_token(&admin, order.clone())
        .await
        .fails(409, "quota_reached");
    let path = format!("/tokens/{}/revoke", made[1].id);
    app.post(&admin, &path, json!({})).await.is(201);
    app.request_token(&admin, order.clone()).await.is(201);
    app.request_token(&admin, order).await.fails(409, "quota_reached");
}

#[tokio::test]
async fn a_hundred_requests_leave_no_more_than_the_quota() {
    let app = std::sync::Arc::new(
        with(Quotas {
            tokens_per_owner: 700,
            teams: 3,
            projects: 4,
            ..Quotas::STANDARD
        })
        .await,
    );
    let admin = app.admin_of(&NORTH);
    for (what, most) in [("teams", 3), ("projects", 4)] {
        let path = format!("/organizations/{}/{what}", NORTH.name);
        let requests = (0..20).map(|number| {
            let (app, admin, path) = (std::sync::Arc::clone(&app), admin.clone(), path.clone());
            tokio::spawn(async move {
                let name = json!({"name": format!("another-{number}")});
                app.post(&admin, &path, name).await
            })
        });
        for request in requests.collect::<Vec<_>>() {
            let answer = request.await.unwrap();
            if answer.status != 201 {
                answer.fails(409, "quota_reached");
            }
        }
        let list = app.get(&admin, &path).await.is(200).json();
        assert_eq!(list["items"].as_array().unwrap().len(), most, "{what}");
    }
    // Counted once for each hundredth, and never beyond the quota.
    for _ in 0..700 {
        app.organization_token(&NORTH, &[]).await;
    }
    let order = json!({"name": "one", "organization": NORTH.name, "owner": "organization"});
    app.request_token(&admin, order).await.fails(409, "quota_reached");
}

#[tokio::test]
async fn a_person_makes_so_many_organizations_and_an_administrator_any_number() {
    let app = with(Quotas {
        organizations_per_person: 2,
        ..Quotas::STANDARD
    })
    .await;
    let admin = app.admin_of(&NORTH);
    let make = async |actor, name: &str| app.post(actor, "/organizations", json!({"name": name})).await;
    make(&admin, "second").await.is(201);
    make(&admin, "third").await.fails(409, "quota_reached");
    app.delete(&admin, "/organizations/second").await.is(204);
    make(&admin, "third").await.is(201);
    let site = app.site_admin();
    for name in ["a", "b", "c"] {
        make(&site, name).await.is(201);
    }
}

#[tokio::test]
async fn a_person_has_so_many_sessions() {
    let app = with(Quotas {
        sessions: 2,
        ..Quotas::STANDARD
    })
    .await;
    let email = NORTH.email("member");
    let log_in = async || app.log_in(&email, &password(&email)).await;
    // One session is there from the beginning.
    let session = log_in().await.is(200);
    log_in().await.fails(409, "quota_reached");
    let other = NORTH.email("admin");
    app.log_in(&other, &password(&other)).await.is(200);
    let holder = crate::harness::Actor::holding(&session.text_at("/token"));
    app.post(&holder, "/logout", json!({})).await.is(204);
    log_in().await.is(200);
}

/// An invited address counts, and a member who gets another role counts once.
#[tokio::test]
async fn an_organization_has_so_many_members() {
    let app = TestApp::new().await;
    let members = format!("/organizations/{}/members", NORTH.name);
    let admin = app.admin_of(&NORTH);
    let count = app.get(&admin, &members).await.is(200).json()["items"]
        .as_array()
        .unwrap()
        .len();
    let mut app = app;
    app.quotas = Quotas {
        members: u32::try_from(count + 2).unwrap(),
        ..Quotas::STANDARD
    };
    app.restart().await;
    let put = async |address: &str, role: &str| {
        let path = format!("{members}/{address}");
        app.put(&admin, &path, json!({"role": role})).await
    };
    put("one@example.com", "member").await.is(204);
    put(&SOUTH.email("member"), "member").await.is(204);
    put("three@example.com", "member")
        .await
        .fails(409, "quota_reached");
    put("one@example.com", "viewer").await.is(204);
    put(&NORTH.email("member"), "viewer").await.is(204);
    let team = format!(
        "/organizations/{}/teams/{}/members/three@example.com",
        NORTH.name, NORTH.team
    );
    app.put(&admin, &team, json!({"role": "member"}))
        .await
        .fails(409, "quota_reached");
    app.delete(&admin, &format!("{members}/one@example.com"))
        .await
        .is(204);
    put("three@example.com", "member").await.is(204);
}

/// Names that a person gives up stay reserved: no more of them than the person may have organizations.
#[tokio::test]
async fn a_person_gives_up_so_many_names() {
    let app = with(Quotas {
        organizations_per_person: 3,
        ..Quotas::STANDARD
    })
    .await;
    let admin = app.admin_of(&NORTH);
    let make = async |name: &str| app.post(&admin, "/organizations", json!({"name": name})).await;
    let rename = async |from: &str, to: &str| {
        let path = format!("/organizations/{from}");
        app.patch(&admin, &path, json!({"name": to})).await
    };
    for name in ["one", "two"] {
        make(name).await.is(201);
        app.delete(&admin, &format!("/organizations/{name}"))
            .await
            .is(204);
    }
    make("three").await.is(201);
    rename("three", "THREE").await.is(200);
    rename("three", "four").await.is(200);
    rename("four", "five").await.fails(409, "quota_reached");
    make("six").await.fails(409, "quota_reached");
    let site = app.site_admin();
    app.patch(&site, "/organizations/four", json!({"name": "five"}))
        .await
        .is(200);
    app.clock.advance(31 * 86_400);
    let session = app
        .log_in(&NORTH.email("admin"), &password(&NORTH.email("admin")))
        .await
        .is(200);
    let admin = crate::harness::Actor::holding(&session.text_at("/token"));
    app.post(&admin, "/organizations", json!({"name": "six"}))
        .await
        .is(201);
}
