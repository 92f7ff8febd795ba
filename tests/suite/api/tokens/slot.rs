//! Slots: one token of an owner at a time.

use serde_json::{Value, json};

use crate::harness::{NORTH, TestApp};

fn into_slot(owner: &str) -> Value {
    json!({"organization": NORTH.name, "owner": owner, "team": (owner == "team").then_some(NORTH.team),
        "scopes": [], "slot": "ci"})
}

#[tokio::test]
async fn issuing_into_a_slot_revokes_its_token() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let ordinary = app.organization_token(&NORTH, &[]).await;
    let teams = app.mint(&admin, into_slot("team")).await;
    let first = app.mint(&admin, into_slot("organization")).await;
    let second = app.mint(&admin, into_slot("organization")).await;
    for _ in 0..2 {
        for (token, expected) in [(&first, 401), (&second, 200), (&teams, 200), (&ordinary, 200)] {
            app.get(&token.holder, "/tokens/current").await.is(expected);
        }
        app.restart().await;
    }
    let shown = app
        .get(&admin, &format!("/tokens/{}", first.id))
        .await
        .is(200)
        .json();
    assert_eq!(shown["slot"], "ci");
    assert_eq!(shown["revocation_reason"], "replaced in the slot ci");
    assert_eq!(shown["revoked_by"], NORTH.email("admin"));
    assert_eq!(
        shown["replaced_by"],
        Value::Null,
        "the rights are not those of the one before"
    );
}

#[tokio::test]
async fn a_failed_replacement_keeps_the_token_in_the_slot() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let held = app.mint(&admin, into_slot("organization")).await;
    let mut refused = into_slot("organization");
    refused["name"] = "n".into();
    refused["scopes"] = json!(["no:such"]);
    app.request_token(&admin, refused).await.is(422);
    let member = app.member_of(&NORTH);
    let mut forbidden = into_slot("organization");
    forbidden["name"] = "n".into();
    app.request_token(&member, forbidden)
        .await
        .fails(403, "forbidden");
    app.get(&held.holder, "/tokens/current").await.is(200);
    for slot in [json!(""), json!("a b"), json!("x".repeat(65)), json!(5)] {
        let mut order = into_slot("organization");
        order["name"] = "n".into();
        order["slot"] = slot.clone();
        let answer = app.request_token(&admin, order).await.is(422);
        assert!(
            answer.faults()[0].ends_with(" at body.slot"),
            "{slot}: {}",
            answer.text
        );
    }
}
