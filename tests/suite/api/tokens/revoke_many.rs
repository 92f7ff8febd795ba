//! `POST /tokens/revoke` and `GET /tokens/revoke/{id}`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Actor, Fault, Kind, MANAGEMENT, Minted, NORTH, Plan, SOUTH, TestApp};

/// Polls until the bulk revocation has finished.
pub(super) async fn finished(app: &TestApp, actor: &Actor, id: &str) -> Value {
    loop {
        let shown = app
            .get(actor, &format!("/tokens/revoke/{id}"))
            .await
            .is(200)
            .json();
        if !shown["finished_at"].is_null() {
            return shown;
        }
        tokio::task::yield_now().await;
    }
}

async fn are_good(app: &TestApp, tokens: &[&Minted]) -> Vec<bool> {
    let mut good = Vec::new();
    for token in tokens {
        good.push(app.get(&token.holder, "/tokens/current").await.status == 200);
    }
    good
}

#[tokio::test]
async fn a_dry_run_counts_and_an_order_is_carried_out() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let first = app.organization_token(&NORTH, &["content:write"]).await;
    let second = app.team_token(&NORTH, &["content:write"]).await;
    let third = app.organization_token(&NORTH, &["ai:use"]).await;
    let other = app.organization_token(&SOUTH, &["content:write"]).await;
    let all = [&first, &second, &third, &other];
    let mut order = json!({"organization": NORTH.name, "scope": "content:write", "dry_run": true,
        "reason": "offboarding"});
    let counted = app.post(&admin, "/tokens/revoke", order.clone()).await.is(200);
    assert_eq!(counted.json(), json!({"matched": 2, "revoked": 0, "left": 0}));
    assert_eq!(are_good(&app, &all).await, [true; 4]);

    order["dry_run"] = false.into();
    let ordered = app.post(&admin, "/tokens/revoke", order).await.is(202);
    let id = ordered.text_at("/id");
    assert_eq!(ordered.header("location"), format!("/api/v1/tokens/revoke/{id}"));
    assert_eq!(ordered.json()["matched"], 2);
    let done = finished(&app, &admin, &id).await;
    assert_eq!((&done["matched"], &done["revoked"]), (&json!(2), &json!(2)));
    assert_eq!(done["ordered_by"], NORTH.email("admin"));
    for _ in 0..2 {
        assert_eq!(are_good(&app, &all).await, [false, false, true, true]);
        app.restart().await;
    }
    let shown = app
        .get(&admin, &format!("/tokens/{}", first.id))
        .await
        .is(200)
        .json();
    assert_eq!(shown["revocation_reason"], "offboarding");
    assert_eq!(shown["revoked_by"], NORTH.email("admin"));
}

#[tokio::test]
async fn what_could_match_too_much_is_refused() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &[]).await;
    let site = app.site_admin();
    for (order, fault) in [
        (json!({}), "value_error at body.organization"),
        (json!({"q": "x"}), "value_error at body.organization"),
        (json!({"organization": NORTH.name}), "value_error at body.all"),
        (
            json!({"organization": NORTH.name, "q": ""}),
            "value_error at body.all",
        ),
        (
            json!({"organization": NORTH.name, "status": "active"}),
            "value_error at body.all",
        ),
        (
            json!({"organization": NORTH.name, "never_used": false}),
            "value_error at body.all",
        ),
        (
            json!({"organization": NORTH.name, "all": true, "status": "expired"}),
            "value_error at body.status",
        ),
        (
            json!({"organization": NORTH.name, "all": true, "status": "revoked"}),
            "value_error at body.status",
        ),
        (
            json!({"organization": NORTH.name, "all": true, "include_revoked": true}),
            "value_error at body.include_revoked",
        ),
        (
            json!({"organization": NORTH.name, "all": true, "tema": NORTH.team}),
            "extra_forbidden at body.tema",
        ),
        (
            json!({"organization": NORTH.name, "all": true, "limit": 5}),
            "extra_forbidden at body.limit",
        ),
    ] {
        app.post(&site, "/tokens/revoke", order).await.blames(&[fault]);
    }
    assert_eq!(are_good(&app, &[&token]).await, [true]);
}

/// The tokens of a period, such as one in which a machine was in foreign hands. The filter is stored with the order.
#[tokio::test]
async fn tokens_of_a_period_are_revoked() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let mut tokens = Vec::new();
    for life in ["1d", "1d", "2d", "never"] {
        let order = json!({"organization": NORTH.name, "owner": "organization", "expires_in": life});
        tokens.push(app.mint(&admin, order).await);
        app.clock.advance(60);
    }
    let all: Vec<&Minted> = tokens.iter().collect();
    let [_, second, third, fourth] = &all[..] else {
        unreachable!()
    };
    for (fields, good) in [
        (
            json!({"created_after": second.info["created_at"], "created_before": third.info["created_at"]}),
            [true, false, true, true],
        ),
        (
            json!({"expires_after": third.info["expires_at"]}),
            [true, false, false, true],
        ),
        (
            json!({"created_before": fourth.info["created_at"]}),
            [false, false, false, true],
        ),
    ] {
        let mut order = fields.clone();
        order["organization"] = NORTH.name.into();
        order["dry_run"] = true.into();
        let counted = app.post(&admin, "/tokens/revoke", order.clone()).await.is(200);
        assert_eq!(counted.json()["matched"], 1, "{fields}");
        order["dry_run"] = false.into();
        let ordered = app.post(&admin, "/tokens/revoke", order).await.is(202);
        finished(&app, &admin, &ordered.text_at("/id")).await;
        assert_eq!(are_good(&app, &all).await, good, "{fields}");
    }
}

#[tokio::test]
async fn neither_sessions_nor_the_calling_token_match() {
    let app = TestApp::new().await;
    let caller = app.organization_token(&NORTH, &MANAGEMENT).await;
    let other = app.organization_token(&NORTH, &MANAGEMENT).await;
    let own = app.personal_token(&app.member_of(&NORTH), &NORTH, &[]).await;
    let order = json!({"organization": NORTH.name, "all": true});
    let dry = json!({"organization": NORTH.name, "all": true, "dry_run": true});
    let counted = app.post(&caller.holder, "/tokens/revoke", dry).await.is(200);
    assert_eq!(counted.json()["matched"], 2);
    let ordered = app.post(&caller.holder, "/tokens/revoke", order).await.is(202);
    let done = finished(&app, &caller.holder, &ordered.text_at("/id")).await;
    assert_eq!(done["revoked"], 2);
    assert_eq!(
        are_good(&app, &[&caller, &other, &own]).await,
        [true, false, false]
    );
    for session in [
        app.admin_of(&NORTH),
        app.member_of(&NORTH),
        app.team_admin(&NORTH),
    ] {
        app.get(&session, "/me").await.is(200);
    }
}

#[tokio::test]
async fn whoever_manages_some_tokens_revokes_those() {
    let app = TestApp::new().await;
    let (member, lead) = (app.member_of(&NORTH), app.team_admin(&NORTH));
    let own = app.personal_token(&member, &NORTH, &[]).await;
    let leads = app.personal_token(&lead, &NORTH, &[]).await;
    let team = app.team_token(&NORTH, &[]).await;
    let organization = app.organization_token(&NORTH, &[]).await;
    let order = json!({"organization": NORTH.name, "all": true});
    let ordered = app.post(&member, "/tokens/revoke", order.clone()).await.is(202);
    let id = ordered.text_at("/id");
    assert_eq!(finished(&app, &member, &id).await["revoked"], 1);
    let all = [&own, &leads, &team, &organization];
    assert_eq!(are_good(&app, &all).await, [false, true, true, true]);
    // Only its requester and the organization's admins see its progress.
    app.get(&app.admin_of(&NORTH), &format!("/tokens/revoke/{id}"))
        .await
        .is(200);
    for stranger in [&lead, &app.outsider()] {
        app.get(stranger, &format!("/tokens/revoke/{id}"))
            .await
            .fails(404, "not_found");
    }
    let ordered = app.post(&lead, "/tokens/revoke", order).await.is(202);
    assert_eq!(finished(&app, &lead, &ordered.text_at("/id")).await["revoked"], 2);
    assert_eq!(are_good(&app, &all).await, [false, false, false, true]);
    for id in ["0", "-1", "x", "99"] {
        app.get(&lead, &format!("/tokens/revoke/{id}"))
            .await
            .fails(404, "not_found");
    }
}

#[tokio::test]
async fn an_order_outlives_the_process_that_took_it() {
    let plan = Arc::new(Plan::default());
    let mut app = TestApp::over(plan.follow()).await;
    let admin = app.admin_of(&NORTH);
    let token = app.organization_token(&NORTH, &[]).await;
    let order = json!({"organization": NORTH.name, "all": true});
    // The order is committed, and the background task stops before the first batch.
    plan.arm(Fault::Lost, Some(Kind::Write), 1);
    let id = app
        .post(&admin, "/tokens/revoke", order)
        .await
        .is(202)
        .text_at("/id");
    plan.under_way.notified().await;
    app.restart().await;
    assert_eq!(are_good(&app, &[&token]).await, [true]);
    app.operator().carry_on().await.unwrap();
    assert_eq!(finished(&app, &admin, &id).await["revoked"], 1);
    assert_eq!(are_good(&app, &[&token]).await, [false]);
}

/// An order that a later version wrote fails each time: it blocks no other, is retried less and less
/// often, and succeeds once it can be read.
#[tokio::test]
async fn an_order_that_cannot_be_read_holds_up_no_other() {
    let plan = Arc::new(Plan::default());
    let mut app = TestApp::over(plan.follow()).await;
    let admin = app.admin_of(&NORTH);
    let (first, second) = (
        app.organization_token(&NORTH, &[]).await,
        app.team_token(&NORTH, &[]).await,
    );
    let order = |owner| json!({"organization": NORTH.name, "owner": owner});
    plan.arm(Fault::Lost, Some(Kind::Write), 1);
    let ordered = app.post(&admin, "/tokens/revoke", order("organization")).await;
    let unreadable = ordered.is(202).text_at("/id");
    plan.under_way.notified().await;
    app.restart().await;
    let set = |sqlite: &str, postgres: &str| {
        let update = "UPDATE bulk_revocations SET filter = ";
        app.db_change_in(&format!("{update}{sqlite}"), &format!("{update}{postgres}"))
    };
    let later = set(
        "json_set(filter, '$.later', 1)",
        r#"(filter::jsonb || '{"later": 1}')::text"#,
    );
    assert_eq!(later, 1);

    let ordered = app.post(&admin, "/tokens/revoke", order("team")).await.is(202);
    assert_eq!(
        finished(&app, &admin, &ordered.text_at("/id")).await["revoked"],
        1
    );
    assert_eq!(are_good(&app, &[&first, &second]).await, [true, false]);
    // The task that carried out the second order may still be reading.
    app.operator().carry_on().await.unwrap();
    let is_tried = async || {
        // After it was read which orders are unfinished.
        plan.arm(Fault::Fails, Some(Kind::Read), 1);
        app.operator().carry_on().await.unwrap();
        !plan.disarm()
    };
    let mut tried = Vec::new();
    for _ in 0..8 {
        tried.push(is_tried().await);
        app.clock.advance(1);
    }
    assert_eq!(tried, [false, true, false, true, false, false, false, true]);
    // A clock that is set does neither prolong nor end the pause.
    for step in [-3_600, 7_200] {
        app.clock.step(step);
        assert!(!is_tried().await);
    }
    app.clock.step(-3_600);

    set(
        "json_remove(filter, '$.later')",
        "(filter::jsonb - 'later')::text",
    );
    app.clock.advance(60);
    app.operator().carry_on().await.unwrap();
    assert_eq!(finished(&app, &admin, &unreadable).await["revoked"], 1);
    assert_eq!(are_good(&app, &[&first]).await, [false]);
}

#[tokio::test]
async fn the_last_token_stays_unless_forced() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let home = format!("/organizations/{}", NORTH.name);
    let policy = json!({"policy": {"keep_last_token": true}});
    app.patch(&admin, &home, policy).await.is(200);
    let tokens = [
        &app.organization_token(&NORTH, &[]).await,
        &app.organization_token(&NORTH, &[]).await,
    ];
    for (force, revoked, good) in [(false, 1, 1), (false, 0, 1), (true, 1, 0)] {
        let order = json!({"organization": NORTH.name, "all": true, "force": force});
        let ordered = app.post(&admin, "/tokens/revoke", order).await.is(202);
        let done = finished(&app, &admin, &ordered.text_at("/id")).await;
        assert_eq!(done["revoked"], revoked, "force: {force}");
        let alive = are_good(&app, &tokens).await;
        assert_eq!(alive.into_iter().filter(|good| *good).count(), good);
    }
}
