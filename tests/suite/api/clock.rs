//! A clock that is wrong: behind, ahead or stepping, while the server runs and at its start.

use jeton::authority::RetentionScan;
use jeton_verifier::KeyId;
use serde_json::{Value, json};

use crate::harness::{Actor, Minted, NORTH, SOUTH, TestApp, needs_a_file, password};

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 86_400;

async fn status(app: &TestApp, holder: &Actor) -> u16 {
    app.get(holder, "/tokens/current").await.status
}

/// An order that ends something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Revocation,
    CutOff,
    Removal,
    Password,
    Disabling,
    Key,
    Rotation,
}

const ALL: [Ends; 7] = [
    Ends::Revocation,
    Ends::CutOff,
    Ends::Removal,
    Ends::Password,
    Ends::Disabling,
    Ends::Key,
    Ends::Rotation,
];

/// Steps of the clock in seconds: before the order, after it, and whether the server restarts then.
const STEPS: [(i64, i64, bool); 8] = [
    // Set back.
    (0, -5, false),
    (0, -5, true),
    (0, -1, true),
    // Behind, and then right.
    (-5, 5, false),
    (-5, 5, true),
    // Ahead, and then right.
    (3 * HOUR, -3 * HOUR, false),
    (3 * HOUR, -3 * HOUR, true),
    // Wrong all the time.
    (-5, 0, true),
];

struct Scene {
    app: TestApp,
    personal: Minted,
    team: Minted,
    other: Minted,
    /// The session of the personal token's owner.
    session: Actor,
}

impl Scene {
    async fn set() -> Self {
        let app = TestApp::new().await;
        let email = NORTH.email("member");
        let session = app.log_in(&email, &password(&email)).await.is(200);
        let session = Actor::holding(&session.text_at("/token"));
        Self {
            personal: app.personal_token(&session, &NORTH, &[]).await,
            team: app.team_token(&NORTH, &[]).await,
            other: app.organization_token(&SOUTH, &[]).await,
            session,
            app,
        }
    }

    /// Carries out an order, and returns the token that it ends.
    async fn order(&self, order: Ends) -> &Actor {
        let (app, site) = (&self.app, self.app.site_admin());
        let email = NORTH.email("member");
        let personal = format!("/tokens/{}", self.personal.id);
        match order {
            Ends::Revocation => {
                app.post(&site, &format!("{personal}/revoke"), json!({}))
                    .await
                    .is(201);
            }
            Ends::CutOff => {
                let order = json!({"organization": NORTH.name, "user": email});
                app.post(&site, "/revocations", order).await.is(201);
            }
            Ends::Removal => {
                let path = format!("/organizations/{}/members/{email}", NORTH.name);
                app.delete(&site, &path).await.is(204);
            }
            Ends::Password => {
                let change = json!({"password": "another password of mine"});
                app.patch(&site, &format!("/users/{email}"), change).await.is(200);
                return &self.session;
            }
            Ends::Disabling => {
                let change = json!({"disabled": true});
                app.patch(&site, &format!("/users/{email}"), change).await.is(200);
            }
            Ends::Key => {
                let kid: KeyId = app.operator().keys().signing_kid().unwrap().parse().unwrap();
                app.operator().operator_revokes_key(&kid, None).await.unwrap();
            }
            Ends::Rotation => {
                let rotate = json!({"grace_period": "0s"});
                let path = format!("/tokens/{}/rotate", self.team.id);
                let lead = app.team_admin(&NORTH);
                app.post(&lead, &path, rotate).await.is(201);
                return &self.team.holder;
            }
        }
        &self.personal.holder
    }
}

/// A revocation is in force from its answer on, whatever the clock shows then or later.
#[tokio::test]
async fn what_was_ended_stays_ended_whatever_the_clock_shows() {
    for (before, after, restarts) in STEPS {
        for order in ALL {
            // Behind, nothing is issued: a rotation is refused.
            if before < 0 && order == Ends::Rotation {
                continue;
            }
            let mut scene = Scene::set().await;
            // Known instants are not gone back behind.
            status(&scene.app, &scene.other.holder).await;
            scene.app.clock.step(before);
            let ended = scene.order(order).await.clone();
            let case = format!("{order:?}, {before} s, then {after} s, restart: {restarts}");
            assert_eq!(status(&scene.app, &ended).await, 401, "{case}: at once");
            scene.app.clock.step(after);
            if restarts {
                scene.app.restart().await;
            }
            assert_eq!(status(&scene.app, &ended).await, 401, "{case}");
            assert!(
                order == Ends::Key || scene.app.is_revoked_in_its_list(ended.token()).await,
                "{case}: its bit"
            );
            scene.app.clock.advance(10);
            assert_eq!(status(&scene.app, &ended).await, 401, "{case}: later");
            if order != Ends::Key {
                let other = status(&scene.app, &scene.other.holder).await;
                assert_eq!(other, 200, "{case}: another token");
            }
        }
    }
}

/// The clock is set back by a second just after a token was issued.
#[tokio::test]
async fn a_new_token_is_active_after_a_step_back() {
    for step in [-1, -5, -HOUR] {
        let mut app = TestApp::new().await;
        let token = app.organization_token(&NORTH, &[]).await;
        app.clock.step(step);
        assert_eq!(status(&app, &token.holder).await, 200);
        app.restart().await;
        assert_eq!(status(&app, &token.holder).await, 200, "{step} s and a restart");
    }
}

/// Nothing is issued behind the latest recorded instant, and the answer says for how long.
#[tokio::test]
async fn nothing_is_issued_while_the_clock_is_behind() {
    let mut app = TestApp::new().await;
    let token = app.team_token(&NORTH, &[]).await;
    let lead = app.team_admin(&NORTH);
    let email = NORTH.email("lead");
    let order = json!({"name": "n", "organization": NORTH.name});
    app.clock.step(-5);
    for _ in 0..2 {
        let rotate = format!("/tokens/{}/rotate", token.id);
        for refused in [
            app.post(&lead, "/tokens", order.clone()).await,
            app.post(&lead, &rotate, json!({})).await,
            app.log_in(&email, &password(&email)).await,
        ] {
            let refused = refused.fails(503, "clock_behind");
            assert_eq!(refused.header("retry-after"), "5");
        }
        let unready = app.get(&app.anyone(), "/readyz").await.is(503);
        assert_eq!(unready.text_at("/code"), "clock_behind");
        assert_eq!(unready.header("retry-after"), "5");
        // The holder of a token is served, and can revoke it.
        app.get(&lead, "/me").await.is(200);
        app.restart().await;
    }
    app.clock.advance(5);
    app.get(&app.anyone(), "/readyz").await.is(200);
    app.post(&lead, "/tokens", order).await.is(201);
    app.log_in(&email, &password(&email)).await.is(200);
}

/// A password that was changed while the clock was ahead locks nobody out for longer than the clock needs.
#[tokio::test]
async fn a_password_changed_ahead_says_when_to_come_back() {
    let app = TestApp::new().await;
    let email = NORTH.email("member");
    app.clock.step(HOUR);
    let change = json!({"password": "another password of mine"});
    let path = format!("/users/{email}");
    app.patch(&app.site_admin(), &path, change).await.is(200);
    app.clock.step(-HOUR);
    let refused = app.log_in(&email, "another password of mine").await;
    assert_eq!(refused.fails(503, "clock_behind").header("retry-after"), "3600");
    app.clock.advance(HOUR);
    // The second of the cut-off is over.
    app.clock.advance(1);
    app.log_in(&email, "another password of mine").await.is(200);
}

async fn maintain(app: &TestApp, scan: &mut RetentionScan) {
    while app.operator().seal_audit().await.unwrap() {}
    app.operator().purge(scan).await.unwrap();
    app.operator().tend_keys().await.unwrap();
}

/// A start with the clock a year ahead, for two seconds.
#[tokio::test]
async fn a_leap_deletes_nothing_until_it_has_stood_for_an_hour() {
    for stands in [false, true] {
        let mut app = TestApp::new().await;
        app.clock.advance(120);
        maintain(&app, &mut RetentionScan::default()).await;
        let admin = app.admin_of(&NORTH);
        let body = json!({"name": "n", "organization": NORTH.name, "expires_in": "1d"});
        let token = app.mint(&admin, body).await;
        let first = app.operator().keys().signing_kid().unwrap();
        app.operator().operator_rotates_key().await.unwrap();
        app.clock.advance(HOUR);
        maintain(&app, &mut RetentionScan::default()).await;
        assert_ne!(app.operator().keys().signing_kid().unwrap(), first);
        app.clock.step(YEAR);
        let mut scan = RetentionScan::default();
        for seconds in [0, 1, 1] {
            app.restart().await;
            app.clock.advance(seconds);
            maintain(&app, &mut RetentionScan::default()).await;
        }
        maintain(&app, &mut scan).await;
        if stands {
            app.clock.advance(HOUR);
            maintain(&app, &mut scan).await;
        }
        let kept = app.db_count(&format!("SELECT count(*) FROM tokens WHERE id = {}", token.id));
        assert_eq!(kept, u64::from(!stands), "a live token's record");
        let published = app.operator().keys().publishes(&first.parse().unwrap());
        assert_eq!(published, !stands, "its key");
    }
}

fn claims(token: &Minted) -> Value {
    let payload = token.secret.split('.').nth(1).unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    serde_json::from_slice(&base64::Engine::decode(&engine, payload).unwrap()).unwrap()
}

/// `jeton clock accept` after a leap of a year that issued, revoked and cut off.
#[tokio::test]
async fn accepting_the_clock_ends_what_the_leap_issued_and_nothing_else() {
    if needs_a_file("accepting_the_clock_ends_what_the_leap_issued_and_nothing_else") {
        return;
    }
    let mut app = TestApp::new().await;
    app.rotation.every = jeton_core::token::Span::from_seconds(86_400 * 30);
    app.restart().await;
    let never = |owner: &str| json!({"organization": NORTH.name, "owner": owner, "expires_in": "never", "scopes": ["tokens:read"]});
    let admin = app.admin_of(&NORTH);
    let before = app.mint(&admin, never("organization")).await;
    let revoked = app.mint(&admin, never("organization")).await;
    let deferred = app.mint(&admin, never("organization")).await;
    let cut = app.personal_token(&app.member_of(&NORTH), &NORTH, &[]).await;
    let backup = app.back_up();
    app.clock.step(YEAR / 2);
    let (email, mail) = (NORTH.email("admin"), NORTH.email("member"));
    let session = app.log_in(&email, &password(&email)).await.is(200);
    let admin = Actor::holding(&session.text_at("/token"));
    let during = app.mint(&admin, never("organization")).await;
    let revoke = format!("/tokens/{}/revoke", revoked.id);
    app.post(&admin, &revoke, json!({})).await.is(201);
    let rotate = format!("/tokens/{}/rotate", deferred.id);
    let successor = app
        .post(&admin, &rotate, json!({"grace_period": "10m"}))
        .await
        .is(201);
    let successor = Actor::holding(&successor.text_at("/token"));
    let order = json!({"organization": NORTH.name, "user": mail});
    app.post(&admin, "/revocations", order).await.is(201);
    app.operator().tend_keys().await.unwrap();
    app.clock.step(-YEAR / 2);
    app.clock.advance(10);
    let order = json!({"name": "n", "organization": NORTH.name});
    app.post(&admin, "/tokens", order.clone())
        .await
        .fails(503, "clock_behind");

    app.accept_clock().await.unwrap();
    for again in 0..2 {
        assert_eq!(status(&app, &before.holder).await, 200);
        assert_eq!(status(&app, &deferred.holder).await, 200, "its grace period");
        for ended in [&revoked.holder, &cut.holder, &during.holder, &successor] {
            assert_eq!(status(&app, ended).await, 401);
        }
        assert_eq!(status(&app, &admin).await, 401, "the session of the leap");
        app.get(&app.anyone(), "/readyz").await.is(200);
        for (who, role) in [("admin", "organization"), ("member", "user")] {
            let email = NORTH.email(who);
            let session = app.log_in(&email, &password(&email)).await.is(200);
            let session = Actor::holding(&session.text_at("/token"));
            app.clock.advance(1);
            let issued = app.mint(&session, never(role)).await;
            assert_eq!(status(&app, &issued.holder).await, 200, "{role}");
            let age = app.clock.now_seconds() - claims(&issued)["iat"].as_i64().unwrap();
            assert_eq!(age, 0);
        }
        // Keys rotate on: none waits for an instant of the leap.
        app.clock.advance(1);
        app.operator().tend_keys().await.unwrap();
        assert!(app.accept_clock().await.is_none(), "nothing is left to accept");
        if again == 0 {
            // The journal has the leap and its end: an older copy knows both.
            app.restore(&backup).await;
        }
    }
    app.clock.advance(700);
    assert_eq!(status(&app, &deferred.holder).await, 401);
}
