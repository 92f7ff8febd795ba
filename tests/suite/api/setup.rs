//! The first administrator, created with the code of a start.

use std::sync::Arc;

use jeton::authority::NewAccount;
use jeton::authority::password::Password;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Fault, Plan, TestApp};

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "a password of ada's";

async fn set_up(app: &TestApp, code: &str) -> Answer {
    let body = json!({"code": code, "email": EMAIL, "password": PASSWORD, "organization": "acme"});
    app.post(&Actor::anyone(), "/setup", body).await
}

async fn needed(app: &TestApp) -> Value {
    app.get(&Actor::anyone(), "/setup").await.is(200).json()["needed"].clone()
}

#[tokio::test]
async fn who_has_the_code_becomes_the_first_administrator_once() {
    let app = TestApp::empty().await;
    assert_eq!(needed(&app).await, false);
    assert_eq!(set_up(&app, "any").await.is(409).json()["code"], "already_set_up");
    let code = app.operator().begin_setup().await.unwrap().unwrap();
    assert_eq!(needed(&app).await, true);
    for wrong in ["any", &code[1..], &code.to_lowercase(), " "] {
        let refused = set_up(&app, wrong).await;
        assert_eq!(refused.is(403).json()["code"], "wrong_setup_code", "{wrong}");
    }
    let weak = json!({"code": &**code, "email": EMAIL, "password": "password1", "organization": "acme"});
    app.post(&Actor::anyone(), "/setup", weak).await.is(422);
    let session = set_up(&app, &code).await.is(200).text_at("/token");
    let ada = Actor::holding(&session);
    let me = app.get(&ada, "/me").await.is(200);
    assert_eq!(me.json()["user"]["site_admin"], true);
    assert_eq!(me.json()["organizations"][0]["name"], "acme");
    assert_eq!(me.json()["organizations"][0]["role"], "admin");
    app.log_in(EMAIL, PASSWORD).await.is(200);
    assert_eq!(needed(&app).await, false);
    assert_eq!(set_up(&app, &code).await.is(409).json()["code"], "already_set_up");
    assert!(app.operator().begin_setup().await.unwrap().is_none());
    while app.operator().seal_audit().await.unwrap() {}
    let audit = app.get(&ada, "/audit?action=user.create").await.is(200);
    assert_eq!(audit.each("surface"), ["native"]);
}

#[tokio::test]
async fn a_code_ends_after_half_an_hour_or_with_the_next_one() {
    let app = TestApp::empty().await;
    let first = app.operator().begin_setup().await.unwrap().unwrap();
    let second = app.operator().begin_setup().await.unwrap().unwrap();
    assert_ne!(first, second);
    set_up(&app, &first).await.is(403);
    app.clock.advance(30 * 60);
    set_up(&app, &second).await.is(403);
    let third = app.operator().begin_setup().await.unwrap().unwrap();
    app.clock.advance(30 * 60 - 1);
    set_up(&app, &third).await.is(200);
}

#[tokio::test]
async fn an_administrator_of_another_process_ends_the_setup() {
    // The code opens no account that exists: here the administrator has the address that the code's holder names.
    for (email, asks_first) in [("grace@example.org", true), (EMAIL, true), (EMAIL, false)] {
        let app = TestApp::empty().await;
        let code = app.operator().begin_setup().await.unwrap().unwrap();
        let password = Password::new("a password of grace's".to_owned());
        let account = NewAccount::site_administrator(email.parse().unwrap(), password.try_into().unwrap());
        let operator = app.operator();
        assert!(operator.found(account, "default".parse().unwrap()).await.unwrap());
        set_up(&app, "any").await.is(403);
        if asks_first {
            assert_eq!(needed(&app).await, false);
        }
        assert_eq!(set_up(&app, &code).await.is(409).json()["code"], "already_set_up");
        assert_eq!(needed(&app).await, false);
        assert_eq!(app.log_in(EMAIL, PASSWORD).await.status, 401);
    }
}

/// Whatever fails in the store, the answer is 503, and the code works again or the administrator is there.
#[tokio::test]
async fn a_setup_that_fails_is_503_and_locks_nobody_out() {
    let empty = TestApp::empty().await;
    for fault in [Fault::Fails, Fault::FailsAfterwards, Fault::Busy] {
        for n in 0.. {
            let plan = Arc::new(Plan::default());
            let app = empty.twin_over(plan.follow()).await;
            let code = app.operator().begin_setup().await.unwrap().unwrap();
            plan.arm(fault, None, n);
            let answer = set_up(&app, &code).await;
            if plan.disarm() {
                answer.is(200);
                assert!(n > 1, "{n} calls");
                break;
            }
            answer.is(503);
            let again = set_up(&app, &code).await.status;
            assert!([200, 409].contains(&again), "{fault:?} {n}: {again}");
            app.log_in(EMAIL, PASSWORD).await.is(200);
        }
    }
}
