//! `POST /oauth/revoke`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Fault, Kind, Minted, NORTH, Plan, SOUTH, TestApp, form};

const REVOKE: &str = "/oauth/revoke";

impl TestApp {
    async fn revoke(&self, caller: &Actor, token: &str) -> Answer {
        self.form(caller, REVOKE, &format!("token={token}")).await
    }

    /// Returns the record of a token as an administrator sees it.
    async fn record(&self, minted: &Minted) -> Value {
        let path = format!("/tokens/{}", minted.id);
        self.get(&self.site_admin(), &path).await.is(200).json()
    }
}

#[tokio::test]
async fn who_has_a_token_can_end_it_and_where_from_is_recorded() {
    let mut app = TestApp::new().await;
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    let mut request = form(&app.anyone(), REVOKE, &format!("token={}", minted.secret));
    let address = SocketAddr::from(([192, 0, 2, 7], 4711));
    request.extensions_mut().insert(ConnectInfo(address));
    let answer = app.send(request).await.is(200);
    assert_eq!(answer.text, "");
    for _ in 0..2 {
        app.get(&minted.holder, "/tokens/current")
            .await
            .fails(401, "invalid_token");
        let record = app.record(&minted).await;
        assert_eq!(record["status"], "revoked");
        assert_eq!(record["revoked_by"], "holder");
        assert_eq!(record["revocation_reason"], "from 192.0.2.7");
        app.restart().await;
    }
    let first = app.record(&minted).await;
    app.clock.advance(5);
    app.revoke(&app.anyone(), &minted.secret).await.is(200);
    assert_eq!(app.record(&minted).await, first, "the first revocation counts");
}

/// A token that was read from a file ends in a newline.
#[tokio::test]
async fn whitespace_around_a_token_does_not_keep_it_alive() {
    let app = TestApp::new().await;
    for (before, after) in [("", "%0A"), ("", "%0D%0A"), ("%20%09", "+"), ("%0A", "%0A%0A")] {
        let minted = app.organization_token(&NORTH, &["projects:read"]).await;
        let token = format!("{before}{}{after}", minted.secret);
        app.revoke(&app.anyone(), &token).await.is(200);
        app.get(&minted.holder, "/tokens/current").await.is(401);
    }
    // What verifies stays strict.
    let minted = app
        .organization_token(&NORTH, &["projects:read", "tokens:introspect"])
        .await;
    let question = format!("token={}%0A", minted.secret);
    let answer = app
        .form(&minted.holder, "/oauth/introspect", &question)
        .await
        .is(200);
    assert_eq!(answer.json()["active"], false);
}

#[tokio::test]
async fn a_reason_stands_before_the_address() {
    let app = TestApp::new().await;
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    let fields = format!("token={}&reason=found+in+a+public+gist", minted.secret);
    app.form(&app.anyone(), REVOKE, &fields).await.is(200);
    let reason = &app.record(&minted).await["revocation_reason"];
    assert_eq!(reason, "found in a public gist (from 0.0.0.0)");
}

#[tokio::test]
async fn a_caller_who_is_known_is_named() {
    let app = TestApp::new().await;
    let other = app.organization_token(&SOUTH, &["projects:read"]).await;
    for (caller, name) in [
        (app.outsider(), SOUTH.email("admin")),
        (other.holder.clone(), format!("token {}", other.id)),
    ] {
        // Any caller: possession of the token suffices.
        let minted = app.organization_token(&NORTH, &["projects:read"]).await;
        app.revoke(&caller, &minted.secret).await.is(200);
        assert_eq!(app.record(&minted).await["revoked_by"], name);
    }
    // A caller that presents the token as its credential is recorded as the holder.
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    app.revoke(&minted.holder, &minted.secret).await.is(200);
    assert_eq!(app.record(&minted).await["revoked_by"], "holder");
    // An inactive credential is refused rather than ignored.
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    let answer = app.revoke(&Actor::holding("garbage"), &minted.secret).await;
    answer.fails(401, "invalid_token");
    app.get(&minted.holder, "/tokens/current").await.is(200);
}

#[tokio::test]
async fn a_session_is_ended_too() {
    let app = TestApp::new().await;
    let session = app.member_of(&NORTH);
    app.get(&session, "/me").await.is(200);
    app.revoke(&app.anyone(), session.token()).await.is(200);
    app.get(&session, "/me").await.fails(401, "invalid_token");
    app.get(&app.team_admin(&NORTH), "/me").await.is(200);
}

#[tokio::test]
async fn what_is_not_active_is_answered_as_if_it_had_been() {
    let app = TestApp::new().await;
    let short = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1m"});
    let expired = app.mint(&app.admin_of(&NORTH), short).await;
    app.clock.advance(60);
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    let (message, _) = minted.secret.rsplit_once('.').unwrap();
    for token in [
        "nonsense",
        &expired.secret,
        &format!("{message}."),
        &"x".repeat(9000),
    ] {
        let answer = app.revoke(&app.anyone(), token).await.is(200);
        assert_eq!(answer.text, "");
    }
    // A token without a valid signature is not revoked.
    app.get(&minted.holder, "/tokens/current").await.is(200);
    assert_eq!(app.record(&expired).await["revoked_at"], Value::Null);
}

#[tokio::test]
async fn every_spelling_of_the_prefix_ends_the_one_token() {
    let app = TestApp::new().await;
    for prefix in ["", "jtn_", "other_"] {
        let minted = app.organization_token(&NORTH, &["projects:read"]).await;
        let token = minted.secret.trim_start_matches("jtn_");
        app.revoke(&app.anyone(), &format!("{prefix}{token}"))
            .await
            .is(200);
        app.get(&minted.holder, "/tokens/current").await.is(401);
    }
}

/// The number of unauthenticated clients served or queued at once: two and sixty-four.
const CROWD: usize = 66;

#[tokio::test]
async fn beyond_a_crowd_of_strangers_it_is_503_and_nothing_else_suffers() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    let mut crowd = tokio::task::JoinSet::new();
    let ask = |crowd: &mut tokio::task::JoinSet<_>| {
        use tower::ServiceExt;
        let request = form(&app.anyone(), REVOKE, &format!("token={}", minted.secret));
        crowd.spawn(app.router().oneshot(request));
    };
    // Two verifications hang in a store that does not answer.
    for _ in 0..2 {
        plan.arm(Fault::Lost, Some(Kind::Read), 0);
        ask(&mut crowd);
        plan.under_way.notified().await;
    }
    for _ in 2..CROWD {
        ask(&mut crowd);
    }
    for _ in 0..CROWD {
        tokio::task::yield_now().await;
    }
    let answer = app.revoke(&app.anyone(), &minted.secret).await;
    let answer = answer.fails(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    app.get(&minted.holder, "/tokens/current").await.is(200);
    // Clients that disconnect make room.
    crowd.abort_all();
    while crowd.join_next().await.is_some() {}
    app.revoke(&app.anyone(), &minted.secret).await.is(200);
    app.get(&minted.holder, "/tokens/current").await.is(401);
}
