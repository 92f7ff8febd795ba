//! Deleting a token: of two concurrent requests for the same token, one succeeds.
//!
//! Each test delays the order of the first request until the second one has been answered.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::dialects::{Surface, cave, quant, terraform};
use crate::harness::{Answer, Fault, Kind, NORTH, Plan, TestApp};

/// Returns a server whose next order can be delayed.
async fn delayed() -> (TestApp, Arc<Plan>) {
    let plan = Arc::new(Plan::default());
    (TestApp::over(plan.follow()).await, plan)
}

/// Creates tokens of the team and returns their numbers.
async fn team_tokens<const COUNT: usize>(app: &TestApp) -> [String; COUNT] {
    let mut ids = Vec::new();
    for _ in 0..COUNT {
        ids.push(app.team_token(&NORTH, &[]).await.id);
    }
    ids.try_into().unwrap()
}

fn tokens(ids: &[&String]) -> Value {
    let id = |id| json!({"type": "authentication-tokens", "id": id});
    json!({"data": ids.iter().map(id).collect::<Vec<_>>()})
}

/// Deletes two resources concurrently: the first request is checked before the second one is sent, and
/// its order is carried out afterwards.
async fn two_at_once(
    (app, plan): &(TestApp, Arc<Plan>),
    surface: &Surface,
    [first, second]: [(&str, &Value); 2],
) -> [Answer; 2] {
    let admin = app.admin_of(&NORTH);
    let delete = |(path, body): (&str, &Value)| {
        let body = match body {
            Value::Null => String::new(),
            some => some.to_string(),
        };
        app.send(surface.request(&admin, Method::DELETE, path, body))
    };
    plan.arm(Fault::Delayed, Some(Kind::Write), 0);
    let overtaking = async {
        plan.under_way.notified().await;
        let answer = delete(second).await;
        plan.release.notify_one();
        answer
    };
    let (overtaken, overtaking) = tokio::join!(delete(first), overtaking);
    [overtaken, overtaking]
}

#[tokio::test]
async fn of_two_concurrent_deletes_one_succeeds() {
    let server = delayed().await;
    let app = &server.0;
    let organization = format!("/api/v2/organizations/{}", NORTH.name);
    let team = format!("/api/v2/teams/{}", NORTH.team_id());
    let admin = app.admin_of(&NORTH);
    for address in [&organization, &team] {
        let path = format!("{address}/authentication-token");
        let made = terraform::SURFACE.post(app, &admin, &path, json!(null)).await;
        made.is(201);
    }
    let [by_id, one_of_many, of_cave] = team_tokens(app).await;
    let own = app.organization_token(&NORTH, &[]).await.id;
    let of_quant = app.organization_token(&NORTH, &[]).await.id;
    let many = tokens(&[&one_of_many]);
    for (surface, path, body, success) in [
        (
            &terraform::SURFACE,
            format!("/api/v2/authentication-tokens/{by_id}"),
            &Value::Null,
            204,
        ),
        (
            &terraform::SURFACE,
            format!("{team}/authentication-token"),
            &Value::Null,
            204,
        ),
        (
            &terraform::SURFACE,
            format!("{organization}/authentication-token"),
            &Value::Null,
            204,
        ),
        (
            &terraform::SURFACE,
            format!("{organization}/team-tokens"),
            &many,
            204,
        ),
        (
            &cave::SURFACE,
            format!("{}/tokens/{own}", cave::home()),
            &Value::Null,
            204,
        ),
        (
            &cave::SURFACE,
            format!("{}/tokens/{of_cave}", cave::team()),
            &Value::Null,
            204,
        ),
        (
            &quant::SURFACE,
            format!("{organization}/tokens/{of_quant}"),
            &Value::Null,
            200,
        ),
    ] {
        let both = [(path.as_str(), body), (path.as_str(), body)];
        let [overtaken, overtaking] = two_at_once(&server, surface, both).await;
        assert_eq!((overtaken.status, overtaking.status), (404, success), "{path}");
    }
}

#[tokio::test]
async fn a_failed_bulk_delete_deletes_none() {
    let server = delayed().await;
    let app = &server.0;
    let [one, shared, other] = &team_tokens(app).await;
    let path = format!("/api/v2/organizations/{}/team-tokens", NORTH.name);
    let (first, second) = (tokens(&[one, shared]), tokens(&[other, shared]));
    let both = [(path.as_str(), &first), (path.as_str(), &second)];
    let [overtaken, overtaking] = two_at_once(&server, &terraform::SURFACE, both).await;
    assert_eq!((overtaken.status, overtaking.status), (404, 204));
    let admin = app.admin_of(&NORTH);
    for (id, status) in [(one, "active"), (shared, "revoked"), (other, "revoked")] {
        let shown = app.get(&admin, &format!("/tokens/{id}")).await.is(200);
        assert_eq!(shown.text_at("/status"), status);
    }
}

#[tokio::test]
async fn the_last_token_stays_though_all_are_deleted_together() {
    let (app, _) = delayed().await;
    let admin = app.admin_of(&NORTH);
    let path = format!("/organizations/{}", NORTH.name);
    let keeps = json!({"policy": {"keep_last_token": true}});
    app.patch(&admin, &path, keeps).await.is(200);
    let [one, two, three] = &team_tokens(&app).await;
    let path = format!("/api/v2/organizations/{}/team-tokens", NORTH.name);
    let delete = async |ids: &[&String]| {
        let body = tokens(ids).to_string();
        let request = terraform::SURFACE.request(&admin, Method::DELETE, &path, body);
        app.send(request).await.status
    };
    assert_eq!(delete(&[one]).await, 204);
    assert_eq!(delete(&[two, three, two]).await, 409);
    let status = async |id| app.get(&admin, &format!("/tokens/{id}")).await.text_at("/status");
    let left = [status(two).await, status(three).await];
    assert_eq!(left, ["revoked", "active"]);
}
