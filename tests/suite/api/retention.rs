//! Retention: ended tokens are shown for a while, and then deleted.

use jeton::authority::RetentionScan;
use serde_json::json;

use crate::harness::{Actor, NORTH, TestApp, password};

const DAY: i64 = 86_400;

#[tokio::test]
async fn an_ended_token_is_shown_until_its_retention_ends() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let issue = |expiry: &str| json!({"name": "n", "organization": NORTH.name, "expires_in": expiry});
    let mut paths = Vec::new();
    for expiry in ["1d", "365d", "never"] {
        let made = app.post(&admin, "/tokens", issue(expiry)).await.is(201);
        let path = format!("/tokens/{}", made.text_at("/token_info/id"));
        app.post(&admin, &format!("{path}/revoke"), json!({}))
            .await
            .is(201);
        paths.push(path);
    }
    // A second process on the same database.
    let authority = app.authority().await;
    seal(&authority).await;
    let mut scan = RetentionScan::default();
    for (days, status) in [(30, 200), (1, 404)] {
        app.clock.advance(days * DAY);
        authority.purge(&mut scan).await.unwrap();
        app.restart().await;
        // The session of the start has long expired and is deleted too.
        let email = NORTH.email("admin");
        let session = app.log_in(&email, &password(&email)).await.is(200);
        let admin = Actor::holding(&session.text_at("/token"));
        app.get(&admin, &paths[0]).await.is(status);
        for kept in &paths[1..] {
            app.get(&admin, kept).await.is(200);
        }
    }
}

/// Seals the audit: only what has a line is deleted.
async fn seal(authority: &jeton::authority::Authority) {
    while authority.seal_audit().await.unwrap() {}
}

/// Between two rounds the database is not read.
#[tokio::test]
async fn a_round_begins_an_hour_after_the_one_before() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let body = json!({"name": "n", "organization": NORTH.name, "expires_in": "1h"});
    app.post(&admin, "/tokens", body).await.is(201);
    let authority = app.authority().await;
    seal(&authority).await;
    let mut scan = RetentionScan::default();
    // Just before the token's retention ends.
    app.clock.advance(30 * DAY + 3_590);
    authority.purge(&mut scan).await.unwrap();
    app.clock.advance(3_599);
    assert_eq!(authority.purge(&mut scan).await.unwrap().records, 0);
    app.clock.advance(1);
    assert_eq!(authority.purge(&mut scan).await.unwrap().records, 1);
}
