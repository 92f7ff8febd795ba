//! `/organizations/{organization}/authentication-token`.

use serde_json::{Value, json};

use crate::api::dialects::terraform::{SURFACE, absent, made, organization};
use crate::harness::{NORTH, TestApp};

#[tokio::test]
async fn an_organization_has_one_of_each_kind() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let [usual, audit] =
        ["authentication-token", "authentication-token?token=audit-trails"].map(organization);
    absent(&SURFACE.get(&app, &admin, &usual).await);
    let (_, first) = made(SURFACE.post(&app, &admin, &usual, Value::Null).await);
    absent(&SURFACE.get(&app, &admin, &audit).await);
    let (trails, auditor) = made(SURFACE.post(&app, &admin, &audit, json!({})).await);
    let (second, holder) = made(SURFACE.post(&app, &admin, &usual, json!({})).await);
    app.get(&first, "/tokens/current").await.is(401);
    for (path, id) in [(&usual, &second), (&audit, &trails)] {
        let read = SURFACE.get(&app, &admin, path).await.is(200).json();
        assert_eq!(read["data"]["id"], format!("at-{id}"));
        assert_eq!(read["data"]["attributes"]["description"], Value::Null);
        assert_eq!(read["data"]["attributes"]["token"], Value::Null);
        assert_eq!(read["data"]["relationships"].get("team"), None);
    }
    let rights = app.get(&auditor, "/tokens/current").await.is(200).json();
    assert_eq!(rights["scopes"], json!(["audit:read"]));
    let current = app.get(&holder, "/tokens/current").await.is(200).json();
    assert_ne!(current["scopes"], json!([]));
    assert_eq!(
        (&current["owner"], &current["organization"]),
        (&json!("organization"), &json!(NORTH.id()))
    );

    SURFACE.delete(&app, &admin, &usual).await.is(204);
    app.get(&holder, "/tokens/current").await.is(401);
    app.get(&auditor, "/tokens/current").await.is(200);
    absent(&SURFACE.delete(&app, &admin, &usual).await);
    SURFACE.delete(&app, &admin, &audit).await.is(204);
    absent(&SURFACE.get(&app, &admin, &audit).await);
}

#[tokio::test]
async fn another_kind_is_no_kind() {
    let app = TestApp::new().await;
    let path = organization("authentication-token?token=metrics");
    let answer = SURFACE.get(&app, &app.admin_of(&NORTH), &path).await.is(400);
    assert_eq!(answer.text_at("/errors/0/source/parameter"), "token");
}
