//! `GET /statistics`: tokens by day.

use serde_json::{Value, json};

use crate::harness::{Actor, NORTH, SOUTH, TestApp};
use jeton_core::clock::{Clock, Day};

const DAY: i64 = 86_400;

async fn count(app: &TestApp) {
    while app.operator().seal_audit().await.unwrap() {}
}

/// Returns the response, and its last day as issued, revoked, expired, active and refused.
async fn statistics(app: &TestApp, actor: &Actor, query: &str) -> (Value, [i64; 5]) {
    let answer = app
        .get(actor, &format!("/statistics{query}"))
        .await
        .is(200)
        .json();
    let days = answer["days"].as_array().unwrap();
    let names = ["issued", "revoked", "expired", "active", "refused"];
    let last = names.map(|name| days.last().unwrap()[name].as_i64().unwrap());
    (answer, last)
}

#[tokio::test]
async fn tokens_are_counted_by_day() {
    let app = TestApp::new().await;
    let (admin, site) = (app.admin_of(&NORTH), app.site_admin());
    let today = Day::of(app.clock.now());
    count(&app).await;
    let (answer, before) = statistics(&app, &admin, "").await;
    assert_eq!(answer["organization"], NORTH.id());
    assert_eq!(answer["from"], today.plus_days(-29).to_string());
    assert_eq!(answer["to"], today.to_string());
    assert_eq!(answer["days"].as_array().unwrap().len(), 30);
    let (answer, of_all) = statistics(&app, &site, "").await;
    assert_eq!(answer["organization"], Value::Null);

    let new = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "3d"});
    let (revoked, _) = (app.mint(&admin, new.clone()).await, app.mint(&admin, new).await);
    app.organization_token(&SOUTH, &[]).await;
    app.deployment_token(&[]).await;
    app.post(&admin, &format!("/tokens/{}/revoke", revoked.id), json!({}))
        .await
        .is(201);
    for _ in 0..3 {
        app.get(&revoked.holder, "/me").await.is(401);
    }
    app.operator().write_refusals().await.unwrap();
    count(&app).await;
    let since = |now: [i64; 5], before: [i64; 5]| std::array::from_fn(|index| now[index] - before[index]);
    let (_, now) = statistics(&app, &admin, "").await;
    assert_eq!(since(now, before), [2, 1, 0, 1, 3]);
    let (_, now) = statistics(&app, &site, "").await;
    assert_eq!(since(now, of_all), [4, 1, 0, 3, 3]);
    let (_, now) = statistics(&app, &site, &format!("?organization={}", NORTH.id())).await;
    assert_eq!(since(now, before), [2, 1, 0, 1, 3]);
    // In the future: what is known to end.
    let then = format!("?from={}&to={}", today.plus_days(1), today.plus_days(3));
    let (answer, then) = statistics(&app, &admin, &then).await;
    assert_eq!(then[2], 1);
    assert_eq!(answer["days"].as_array().unwrap().len(), 3);
}

/// An expiry is counted before it happens, and nothing when it does.
#[tokio::test]
async fn time_that_passes_changes_no_count() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    app.mint(
        &admin,
        json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1d"}),
    )
    .await;
    count(&app).await;
    let today = Day::of(app.clock.now());
    let range = format!(
        "?organization={}&from={today}&to={}",
        NORTH.name,
        today.plus_days(2)
    );
    let reader = app.deployment_token(&["tokens:read"]).await;
    let (before, _) = statistics(&app, &reader.holder, &range).await;
    app.clock.advance(2 * DAY);
    let (after, _) = statistics(&app, &reader.holder, &range).await;
    assert_eq!(before["days"], after["days"]);
    assert!(before["days"][1]["expired"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_range_that_is_none_is_refused() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for (query, fault) in [
        ("from=2026-01-02&to=2026-01-01", "value_error at query.to"),
        ("from=2026-01-01&to=2027-02-05", "value_error at query.to"),
        ("from=2026-02-30", "date_parsing at query.from"),
        ("to=2026-01-01T00:00:00Z", "date_parsing at query.to"),
        ("from=tomorrow", "date_parsing at query.from"),
    ] {
        app.get(&admin, &format!("/statistics?{query}"))
            .await
            .blames(&[fault]);
    }
    let (answer, _) = statistics(&app, &admin, "?from=2026-01-01&to=2027-02-04").await;
    assert_eq!(answer["days"].as_array().unwrap().len(), 400);
}
