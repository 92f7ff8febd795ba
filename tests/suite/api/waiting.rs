//! A request authenticates once and may then wait. A caller that loses access meanwhile must not act
//! any more.
//!
//! Each test delays a request's order after its permission check, until the caller has lost access.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{Method, Request};
use hyper::body::Frame;
use jeton::authority::KeyRevoked;
use jeton::http::Document;
use serde_json::{Value, json};

use tower::ServiceExt;

use crate::harness::{Actor, Answer, Fault, Kind, MANAGEMENT, NORTH, Plan, TestApp, password, request};

/// A server whose next order can be delayed.
struct Delayed {
    app: TestApp,
    plan: Arc<Plan>,
}

impl Delayed {
    async fn new() -> Self {
        let plan = Arc::new(Plan::default());
        Self {
            app: TestApp::over(plan.follow()).await,
            plan,
        }
    }

    /// Returns the response to a request when something else happens before its order is carried out.
    async fn while_it_waits<T>(
        &self,
        request: impl Future<Output = Answer>,
        other: impl Future<Output = T>,
    ) -> Answer {
        self.plan.arm(Fault::Delayed, Some(Kind::Write), 0);
        let mut request = pin!(request);
        tokio::select! {
            answer = &mut request => panic!("nothing was ordered: {}", answer.text),
            () = self.plan.under_way.notified() => {}
        }
        let other = async {
            other.await;
            self.plan.release.notify_one();
        };
        let (answer, ()) = tokio::join!(request, other);
        answer
    }

    /// Returns a session of a new user, which this process has not cached yet.
    async fn unseen(&self, email: &str, site_admin: bool) -> Actor {
        let admin = self.app.site_admin();
        let account = json!({"email": email, "password": password(email), "site_admin": site_admin});
        self.app.post(&admin, "/users", account).await.is(201);
        let login = self.app.log_in(email, &password(email)).await.is(200);
        Actor::holding(&login.text_at("/token"))
    }

    async fn disable(&self, email: &str) {
        self.change(email, json!({"disabled": true})).await;
    }

    async fn demote(&self, email: &str) {
        self.change(email, json!({"site_admin": false})).await;
    }

    async fn change(&self, email: &str, changes: Value) {
        let path = format!("/users/{email}");
        let admin = self.app.site_admin();
        self.app.patch(&admin, &path, changes).await.is(200);
    }
}

fn order(owner: &str) -> Value {
    json!({"name": "one more", "organization": NORTH.name, "owner": owner})
}

#[tokio::test]
async fn an_administrator_without_access_creates_no_user() {
    let delayed = Delayed::new().await;
    let rogue = delayed.unseen("rogue@example.com", true).await;
    let app = &delayed.app;
    let friend = json!({"email": "friend@example.com", "password": password("friend"), "site_admin": true});
    // Other callers succeed.
    let other = json!({"email": "other@example.com", "password": password("other")});
    let request = app.post(&rogue, "/users", other);
    delayed
        .while_it_waits(request, app.get(&app.anyone(), "/healthz"))
        .await
        .is(201);

    let rogue = delayed.unseen("rogue2@example.com", true).await;
    let request = app.post(&rogue, "/users", friend);
    delayed
        .while_it_waits(request, delayed.disable("rogue2@example.com"))
        .await
        .fails(401, "invalid_token");
    app.get(&app.site_admin(), "/users/friend@example.com")
        .await
        .is(404);
}

#[tokio::test]
async fn a_former_administrator_promotes_no_user() {
    let delayed = Delayed::new().await;
    let former = delayed.unseen("former@example.com", true).await;
    let app = &delayed.app;
    let path = "/users/rogue@example.com";
    delayed.unseen("rogue@example.com", false).await;
    let request = app.patch(&former, path, json!({"site_admin": true}));
    delayed
        .while_it_waits(request, delayed.demote("former@example.com"))
        .await
        .is(403);
    let rogue = app.get(&app.site_admin(), path).await.is(200);
    assert_eq!(rogue.json()["site_admin"], false);
}

#[tokio::test]
async fn a_token_that_is_cut_off_issues_none_that_comes_after() {
    let delayed = Delayed::new().await;
    let app = &delayed.app;
    let token = app.organization_token(&NORTH, &MANAGEMENT).await;
    let cut_off = async {
        let everything = json!({"organization": NORTH.name});
        app.post(&app.admin_of(&NORTH), "/revocations", everything)
            .await
            .is(201);
        // Or the test would wait for the cut-off's second.
        app.clock.advance(2);
    };
    let request = app.post(&token.holder, "/tokens", order("organization"));
    delayed
        .while_it_waits(request, cut_off)
        .await
        .fails(401, "invalid_token");
}

#[tokio::test]
async fn a_token_of_a_withdrawn_key_issues_none_of_its_successor() {
    let delayed = Delayed::new().await;
    let app = &delayed.app;
    let token = app.organization_token(&NORTH, &MANAGEMENT).await;
    let keys = app.operator().operator_lists_keys().await.unwrap();
    let kid = keys.first().unwrap().row.key.kid.parse().unwrap();
    let withdraw = async {
        let outcome = app.operator().operator_revokes_key(&kid, None).await.unwrap();
        assert_eq!(outcome, KeyRevoked::Revoked);
        app.clock.advance(2);
    };
    let request = app.post(&token.holder, "/tokens", order("organization"));
    delayed
        .while_it_waits(request, withdraw)
        .await
        .fails(401, "invalid_token");
}

#[tokio::test]
async fn a_caller_without_access_revokes_no_tokens() {
    let delayed = Delayed::new().await;
    let rogue = delayed.unseen("rogue@example.com", true).await;
    let app = &delayed.app;
    let token = app.organization_token(&NORTH, &[]).await;
    let everything = json!({"organization": NORTH.name, "owner": "organization"});
    let request = app.post(&rogue, "/tokens/revoke", everything.clone());
    delayed
        .while_it_waits(request, delayed.disable("rogue@example.com"))
        .await
        .fails(401, "invalid_token");

    // A caller that keeps some rights is checked against these.
    let former = delayed.unseen("former@example.com", true).await;
    let request = app.post(&former, "/tokens/revoke", everything);
    delayed
        .while_it_waits(request, delayed.demote("former@example.com"))
        .await
        .is(404);
    app.get(&token.holder, "/tokens/current").await.is(200);
}

#[tokio::test]
async fn a_caller_without_access_changes_no_policy() {
    let delayed = Delayed::new().await;
    let rogue = delayed.unseen("rogue@example.com", true).await;
    let app = &delayed.app;
    let token = app.organization_token(&NORTH, &[]).await;
    let path = format!("/organizations/{}", NORTH.name);
    let harsh = json!({"policy": {"allowed_scopes": [], "max_lifetime": "1m"}, "existing_tokens": "revoke"});
    let request = app.patch(&rogue, &path, harsh);
    delayed
        .while_it_waits(request, delayed.disable("rogue@example.com"))
        .await
        .fails(401, "invalid_token");
    let shown = app.get(&app.admin_of(&NORTH), &path).await.is(200);
    assert_eq!(shown.json()["policy"]["max_lifetime"], Value::Null);
    app.get(&token.holder, "/tokens/current").await.is(200);
}

#[tokio::test]
async fn an_old_password_opens_no_session_after_a_new_one_was_set() {
    let delayed = Delayed::new().await;
    let app = &delayed.app;
    delayed.unseen("ada@example.com", false).await;
    let change = async {
        let path = "/users/ada@example.com";
        let new = json!({"password": password("another")});
        app.patch(&app.site_admin(), path, new).await.is(200);
        // Or the test would wait for the second in which the sessions were revoked.
        app.clock.advance(2);
    };
    let old = password("ada@example.com");
    let request = app.log_in("ada@example.com", &old);
    delayed
        .while_it_waits(request, change)
        .await
        .fails(401, "login_failed");
    app.log_in("ada@example.com", &password("another")).await.is(200);
}

/// The body `{}`, which arrives once something else has happened.
struct Late(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Late {
    fn new(before: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(before)))
    }
}

impl hyper::body::Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(before) = &mut self.0 else {
            return Poll::Ready(None);
        };
        ready!(before.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{}")))))
    }
}

/// The head of a request arrives, its credential ends, and then its body arrives: in every operation that reads one.
#[tokio::test]
async fn a_credential_that_ends_before_the_body_arrives_is_refused() {
    let app = TestApp::new().await;
    let email = "admin@example.com";
    let mut tried = 0;
    for document in Document::ALL {
        let document = serde_json::to_value(jeton::http::document(document)).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(content) = operation["requestBody"]["content"].as_object() else {
                    continue;
                };
                // Login needs no credential, and the mail endpoints answer before they read any.
                if operation["security"] == json!([{}]) || operation["responses"].get("501").is_some() {
                    continue;
                }
                let media_type = content.keys().next().unwrap();
                for ends in [false, true] {
                    let session = app.log_in(email, &password(email)).await.is(200);
                    let session = Actor::holding(&session.text_at("/token"));
                    // Who presents a token to revoke it may do so though it has ended meanwhile.
                    if path.ends_with("/tokens/current/revoke") {
                        continue;
                    }
                    let (holder, end) = match path.contains("/tokens/current/") {
                        true => {
                            let token = app.mint(&session, json!({"organization": NORTH.name})).await;
                            let revoke = format!("/tokens/{}/revoke", token.id);
                            let end = request(&session, Method::POST, &revoke, Some(json!({})));
                            (token.holder, end)
                        }
                        false => (session.clone(), request(&session, Method::POST, "/logout", None)),
                    };
                    let router = app.router();
                    let body = Late::new(async move {
                        if ends {
                            let answer = router.oneshot(end).await.unwrap();
                            assert!(answer.status().is_success());
                        }
                    });
                    let mut filled = String::new();
                    for part in path.split_inclusive(['{', '}']) {
                        match part.strip_suffix('}') {
                            Some(_) => filled.push_str("no-such-thing"),
                            None => filled.push_str(part.trim_end_matches('{')),
                        }
                    }
                    let request = Request::builder()
                        .method(method.to_uppercase().as_str())
                        .uri(&filled)
                        .header("authorization", holder.authorization().unwrap())
                        .header("content-type", media_type.as_str())
                        .body(Body::new(body))
                        .unwrap();
                    let answer = app.send(request).await;
                    let is_refused = answer.status == 401
                        || path.starts_with("/organizations") && answer.status == 403
                        || path.starts_with("/users") && answer.status == 403;
                    assert_eq!(
                        is_refused, ends,
                        "{method} {path}: {} {}",
                        answer.status, answer.text
                    );
                }
                tried += 1;
            }
        }
    }
    assert!(tried >= 40, "{tried} operations");
}

/// A credential that ends between the decision and the commit carries nothing out.
#[tokio::test]
async fn a_credential_that_ends_before_the_commit_is_refused() {
    let delayed = Delayed::new().await;
    let app = &delayed.app;
    let north = format!("/organizations/{}", NORTH.name);
    let token = app.organization_token(&NORTH, &[]).await;
    let own = format!("/tokens/{}", token.id);
    let deployment = app.deployment_token(&["usage:write"]).await;
    for (method, path, body) in [
        (Method::POST, format!("{own}/revoke"), json!({})),
        (Method::PATCH, own.clone(), json!({"name": "renamed"})),
        (Method::POST, format!("{own}/rotate"), json!({})),
        (Method::POST, "/tokens".to_owned(), order("organization")),
        (
            Method::POST,
            "/tokens/revoke".to_owned(),
            json!({"organization": NORTH.name, "all": true}),
        ),
        (
            Method::POST,
            "/revocations".to_owned(),
            json!({"organization": NORTH.name}),
        ),
        (Method::PATCH, north.clone(), json!({"email": "new@example.org"})),
        (Method::POST, format!("{north}/teams"), json!({"name": "another"})),
        (Method::DELETE, format!("{north}/teams/{}", NORTH.team), json!({})),
        (
            Method::POST,
            format!("{north}/projects"),
            json!({"name": "another"}),
        ),
        (
            Method::PUT,
            format!("{north}/members/{}", NORTH.email("member")),
            json!({"role": "viewer"}),
        ),
        (
            Method::DELETE,
            format!("{north}/members/{}", NORTH.email("member")),
            json!({}),
        ),
        (Method::DELETE, north.clone(), json!({})),
        (Method::POST, "/usage".to_owned(), json!({"uses": []})),
    ] {
        let session = app
            .log_in("admin@example.com", &password("admin@example.com"))
            .await
            .is(200);
        let session = Actor::holding(&session.text_at("/token"));
        let caller = if path == "/usage" {
            &deployment.holder
        } else {
            &session
        };
        let answer = delayed
            .while_it_waits(app.call(caller, method.clone(), &path, Some(body)), async {
                // Later than the order was decided.
                app.clock.advance(1);
                if path == "/usage" {
                    let end = format!("/tokens/{}/revoke", deployment.id);
                    app.post(&app.site_admin(), &end, json!({})).await.is(201);
                } else {
                    app.post(&session, "/logout", json!({})).await.is(204);
                }
            })
            .await;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
    }
    let record = app.get(&app.site_admin(), &own).await.is(200).json();
    assert_eq!(record["status"], "active");
    assert_eq!(record["name"], "minted");
}
