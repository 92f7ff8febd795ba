//! Requests with an idempotency key: each operation that takes one is carried out once for each key.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request};
use jeton::http::Document;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::harness::{
    Actor, Answer, Fault, Kind, MANAGEMENT, NORTH, Plan, SOUTH, TestApp, password, request,
};

/// A request that creates something, by its operation.
struct Creates {
    operation: &'static str,
    method: Method,
    path: String,
    body: Value,
    /// The status of its success.
    status: u16,
    /// The kind of thing; `None` if it has no id.
    kind: Option<&'static str>,
}

/// Returns a request to each operation of the native API that takes a key. `kid` is that of a key that signed nothing.
fn requests(own: &str, kid: &str) -> Vec<Creates> {
    let home = format!("/organizations/{}", NORTH.name);
    let email = NORTH.email("member");
    let creates = |operation, path: &str, body, status, kind| Creates {
        operation,
        method: if path.contains("/members/") {
            Method::PUT
        } else {
            Method::POST
        },
        path: path.to_owned(),
        body,
        status,
        kind,
    };
    vec![
        creates(
            "create_token",
            "/tokens",
            json!({"name": "once", "organization": NORTH.name, "owner": "organization"}),
            201,
            Some("token"),
        ),
        creates(
            "rotate_token",
            &format!("/tokens/{own}/rotate"),
            json!({"grace_period": "1m"}),
            201,
            Some("token"),
        ),
        creates(
            "rotate_current_token",
            "/tokens/current/rotate",
            json!({"grace_period": "1m"}),
            201,
            Some("token"),
        ),
        creates(
            "revoke_token",
            &format!("/tokens/{own}/revoke"),
            json!({"descendants": true}),
            201,
            Some("bulk_revocation"),
        ),
        creates(
            "revoke_tokens",
            "/tokens/revoke",
            json!({"organization": NORTH.name, "q": "none"}),
            202,
            Some("bulk_revocation"),
        ),
        creates(
            "create_revocation",
            "/revocations",
            json!({"organization": NORTH.name, "user": email, "issued_before": "2020-01-01T00:00:00Z"}),
            201,
            Some("cut_off"),
        ),
        creates("rotate_key", "/keys/rotate", json!({}), 201, Some("key")),
        creates(
            "revoke_key",
            &format!("/keys/{kid}/revoke"),
            json!({"reason": "leaked"}),
            201,
            Some("cut_off"),
        ),
        creates(
            "create_organization",
            "/organizations",
            json!({"name": "once"}),
            201,
            Some("organization"),
        ),
        creates(
            "create_team",
            &format!("{home}/teams"),
            json!({"name": "once"}),
            201,
            Some("team"),
        ),
        creates(
            "create_project",
            &format!("{home}/projects"),
            json!({"name": "once"}),
            201,
            Some("project"),
        ),
        creates(
            "create_user",
            "/users",
            json!({"email": "once@example.com", "password": password("once@example.com")}),
            201,
            Some("user"),
        ),
        creates(
            "put_member",
            &format!("{home}/members/once@example.com"),
            json!({"role": "member"}),
            204,
            None,
        ),
        creates(
            "put_team_member",
            &format!("{home}/teams/{}/members/{email}", NORTH.team),
            json!({"role": "member"}),
            204,
            None,
        ),
    ]
}

fn with_key(actor: &Actor, creates: &Creates, key: &str, body: &Value) -> Request<Body> {
    let mut request = request(actor, creates.method.clone(), &creates.path, Some(body.clone()));
    let value = HeaderValue::from_str(key).unwrap();
    request.headers_mut().insert("idempotency-key", value);
    request
}

fn keys(app: &TestApp) -> u64 {
    app.db_count("SELECT count(*) FROM idempotency_keys")
}

fn tokens(app: &TestApp) -> u64 {
    app.db_count("SELECT count(*) FROM tokens")
}

/// Returns the token request of [`requests`].
fn create_token() -> Creates {
    requests("0", "none").into_iter().next().unwrap()
}

#[tokio::test]
async fn a_retry_of_each_operation_that_takes_a_key_says_what_the_first_request_made() {
    let document = serde_json::to_value(jeton::http::document(Document::Native)).unwrap();
    let takes_key: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter(|operation| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            parameters.into_iter().any(|one| one["name"] == "Idempotency-Key")
        })
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    let stage = TestApp::new().await;
    let own = stage.organization_token(&NORTH, &MANAGEMENT).await;
    let all = requests(&own.id, &stage.needless_key().await);
    let tried: BTreeSet<String> = all.iter().map(|one| one.operation.to_owned()).collect();
    assert_eq!(
        tried, takes_key,
        "add a request for each operation that takes a key"
    );
    for creates in &all {
        let mut app = stage.twin().await;
        let site = app.site_admin();
        let actor = match creates.operation {
            "rotate_current_token" => &own.holder,
            _ => &site,
        };
        let what = creates.operation;
        let first = app.send(with_key(actor, creates, "key-1", &creates.body)).await;
        let first = first.is(creates.status);
        assert_eq!(keys(&app), 1, "{what}");
        let before = tokens(&app);
        for restarts in [false, true] {
            if restarts {
                app.restart().await;
            }
            let again = app
                .send(with_key(actor, creates, "\"key-1\"", &creates.body))
                .await;
            let again = again.fails(409, "already_done");
            let done = &again.json()["done"];
            assert_eq!(done["kind"].as_str(), creates.kind, "{what}");
            assert_eq!(done["id"].is_string(), creates.kind.is_some(), "{what}");
            assert_eq!(
                done["token_info"].is_object(),
                creates.kind == Some("token"),
                "{what}"
            );
            if creates.kind == Some("token") {
                assert_eq!(done["token_info"]["id"], first.json()["token_info"]["id"]);
                assert_eq!(done["id"], first.json()["token_info"]["id"]);
            }
            assert!(!again.text.contains("eyJhbGciOi") || again.text.contains("token_prefix"));
            let secret = first.text_at("/token");
            assert!(secret.is_empty() || !again.text.contains(&secret), "{what}");
        }
        let mut other = creates.body.clone();
        other["name"] = "other".into();
        let other = app.send(with_key(actor, creates, "key-1", &other)).await;
        other.blames(&["idempotency_key_reused at header.Idempotency-Key"]);
        let mut elsewhere = with_key(actor, creates, "key-1", &creates.body);
        let path = format!("{}?other", elsewhere.uri());
        *elsewhere.uri_mut() = path.parse().unwrap();
        let elsewhere = app.send(elsewhere).await;
        elsewhere.blames(&["idempotency_key_reused at header.Idempotency-Key"]);
        assert_eq!((keys(&app), tokens(&app)), (1, before), "{what}");
    }
}

#[tokio::test]
async fn without_a_key_the_same_request_is_carried_out_twice() {
    let app = TestApp::new().await;
    let creates = create_token();
    let before = tokens(&app);
    for _ in 0..2 {
        app.post(&app.site_admin(), &creates.path, creates.body.clone())
            .await
            .is(201);
    }
    assert_eq!((tokens(&app), keys(&app)), (before + 2, 0));
}

#[tokio::test]
async fn twenty_requests_with_one_key_create_one_token() {
    let app = TestApp::new().await;
    let (site, creates) = (app.site_admin(), create_token());
    for (key, body, most) in [
        ("free", creates.body.clone(), None),
        // One more check of the operation fails for those that come later.
        (
            "limited",
            json!({"name": "limited", "organization": NORTH.name, "owner": "organization", "slot": "one"}),
            None,
        ),
        (
            "last",
            json!({"name": "last", "organization": NORTH.name, "owner": "team", "team": NORTH.team}),
            Some(json!({"policy": {"max_active_tokens_per_owner": 1}})),
        ),
    ] {
        if let Some(policy) = most {
            let path = format!("/organizations/{}", NORTH.name);
            app.patch(&site, &path, policy).await.is(200);
        }
        let before = tokens(&app);
        let mut all = JoinSet::new();
        for _ in 0..20 {
            let (router, request) = (app.router(), with_key(&site, &creates, key, &body));
            all.spawn(async move { Answer::read(router.oneshot(request).await.unwrap()).await });
        }
        let answers = all.join_all().await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!((created, tokens(&app)), (1, before + 1), "{key}");
        for answer in answers.into_iter().filter(|answer| answer.status != 201) {
            answer.fails(409, "already_done");
        }
    }
    assert_eq!(keys(&app), 3);
}

#[tokio::test]
async fn a_key_is_that_of_its_caller() {
    let app = TestApp::new().await;
    let creates = Creates {
        body: json!({"name": "mine", "owner": "user", "organization": NORTH.name}),
        ..create_token()
    };
    let email = NORTH.email("member");
    let member = app.member_of(&NORTH);
    app.send(with_key(&member, &creates, "key", &creates.body))
        .await
        .is(201);
    // A later session of the same user is the same caller.
    let session = app.log_in(&email, &password(&email)).await.is(200);
    let later = Actor::holding(&session.text_at("/token"));
    let again = app.send(with_key(&later, &creates, "key", &creates.body)).await;
    let again = again.fails(409, "already_done");
    // What it tells is what the caller may see now.
    let id = again.text_at("/done/token_info/id");
    app.post(&member, &format!("/tokens/{id}/revoke"), json!({}))
        .await
        .is(201);
    let again = app.send(with_key(&later, &creates, "key", &creates.body)).await;
    assert_eq!(again.text_at("/done/token_info/status"), "revoked");
    // Others are others, also the tokens of the same user in one organization.
    let personal = app.personal_token(&member, &NORTH, &MANAGEMENT).await.holder;
    for other in [app.admin_of(&NORTH), app.team_admin(&NORTH), personal] {
        app.send(with_key(&other, &creates, "key", &creates.body))
            .await
            .is(201);
    }
    let tenants = [&NORTH, &SOUTH].map(|tenant| {
        let body = json!({"name": "ours", "owner": "organization"});
        (
            tenant,
            Creates {
                body,
                ..create_token()
            },
        )
    });
    for (tenant, creates) in &tenants {
        let token = app.organization_token(tenant, &MANAGEMENT).await.holder;
        app.send(with_key(&token, creates, "key", &creates.body))
            .await
            .is(201);
        // Another token of the same owner is the same caller.
        let another = app.organization_token(tenant, &MANAGEMENT).await.holder;
        let again = app.send(with_key(&another, creates, "key", &creates.body)).await;
        let again = again.fails(409, "already_done");
        assert_eq!(again.text_at("/done/token_info/organization"), tenant.id());
    }
}

#[tokio::test]
async fn what_the_caller_may_not_see_any_more_is_not_shown() {
    let app = TestApp::new().await;
    let (admin, site) = (app.admin_of(&NORTH), app.site_admin());
    let creates = create_token();
    app.send(with_key(&admin, &creates, "key", &creates.body))
        .await
        .is(201);
    let members = format!("/organizations/{}/members", NORTH.name);
    for (email, role) in [(NORTH.email("lead"), "admin"), (NORTH.email("admin"), "viewer")] {
        let path = format!("{members}/{email}");
        app.put(&site, &path, json!({"role": role})).await.is(204);
    }
    let again = app.send(with_key(&admin, &creates, "key", &creates.body)).await;
    let done = again.fails(409, "already_done").json()["done"].clone();
    assert_eq!(
        (done["kind"].as_str(), &done["token_info"]),
        (Some("token"), &Value::Null)
    );
}

#[tokio::test]
async fn the_header_of_the_organization_is_a_part_of_the_request() {
    let app = TestApp::new().await;
    let (site, creates) = (app.site_admin(), create_token());
    let body = json!({"name": "once", "owner": "organization"});
    let of = |tenant: &str| {
        let mut request = with_key(&site, &creates, "key", &body);
        let value = HeaderValue::from_str(tenant).unwrap();
        request.headers_mut().insert("x-business-id", value);
        request
    };
    app.send(of(NORTH.name)).await.is(201);
    app.send(of(NORTH.name)).await.fails(409, "already_done");
    let other = app.send(of(SOUTH.name)).await;
    other.blames(&["idempotency_key_reused at header.Idempotency-Key"]);
}

#[tokio::test]
async fn a_request_that_was_refused_or_failed_can_be_repeated_with_its_key() {
    let plan = std::sync::Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let site = app.site_admin();
    let creates = Creates {
        path: format!("/organizations/{}/projects", NORTH.name),
        body: json!({"name": NORTH.project}),
        ..create_token()
    };
    let ask = async || app.send(with_key(&site, &creates, "key", &creates.body)).await;
    for _ in 0..2 {
        ask().await.fails(409, "name_taken");
    }
    let taken = format!("{}/{}", creates.path, NORTH.project_id());
    app.delete(&site, &taken).await.is(204);
    plan.arm(Fault::Fails, Some(Kind::Write), 0);
    ask().await.fails(503, "unavailable");
    assert_eq!(keys(&app), 0);
    // It was carried out, and its caller does not know.
    plan.arm(Fault::FailsAfterwards, Some(Kind::Write), 0);
    ask().await.fails(503, "unavailable");
    let done = ask().await.fails(409, "already_done").json()["done"].clone();
    let projects = app.get(&site, &creates.path).await.is(200);
    assert_eq!(done["kind"], "project");
    assert_eq!(projects.each("name"), [NORTH.project]);
    // A store that fails says nothing about the key.
    plan.arm(Fault::Fails, Some(Kind::Read), 0);
    ask().await.fails(503, "unavailable");
    // A request that changes nothing has no key.
    let dry = Creates {
        path: "/tokens/revoke".to_owned(),
        body: json!({"organization": NORTH.name, "q": "x", "dry_run": true}),
        ..create_token()
    };
    for _ in 0..2 {
        app.send(with_key(&site, &dry, "dry", &dry.body)).await.is(200);
    }
    assert_eq!(keys(&app), 1);
}

#[tokio::test]
async fn only_revocations_are_carried_out_beyond_the_number_of_keys() {
    let stage = TestApp::new().await;
    let own = stage.organization_token(&NORTH, &MANAGEMENT).await;
    let site = stage.site_admin();
    let (creates, used) = (create_token(), ["first", "second"]);
    for key in used {
        let created = stage.send(with_key(&site, &creates, key, &creates.body));
        created.await.is(201);
    }
    // The oldest and the newest tell how many there are.
    assert_eq!(
        stage.db_change("UPDATE idempotency_keys SET number = 100000 WHERE number = 2"),
        1
    );
    let again = stage.send(with_key(&site, &creates, "second", &creates.body));
    again.await.fails(409, "already_done");
    let kid = stage.needless_key().await;
    let stage = stage.twin().await;
    for creates in requests(&own.id, &kid) {
        // Needs another caller.
        if creates.operation == "rotate_current_token" {
            continue;
        }
        let app = stage.twin().await;
        let answer = app.send(with_key(&site, &creates, "third", &creates.body)).await;
        match creates.operation {
            "revoke_token" | "revoke_tokens" | "create_revocation" | "revoke_key" => {
                answer.is(creates.status);
                assert_eq!(keys(&app), 3, "{}", creates.operation);
            }
            _ => {
                answer.fails(409, "quota_reached");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_by_name() {
    let app = TestApp::new().await;
    let (site, creates) = (app.site_admin(), create_token());
    let before = tokens(&app);
    let long = "a".repeat(256);
    for key in ["", "two words", "\"open", "\"a\"b", &long] {
        let answer = app.send(with_key(&site, &creates, key, &creates.body)).await;
        answer.blames(&["value_error at header.Idempotency-Key"]);
    }
    let mut twice = with_key(&site, &creates, "a", &creates.body);
    twice
        .headers_mut()
        .append("idempotency-key", HeaderValue::from_static("a"));
    let twice = app.send(twice).await;
    twice.blames(&["value_error at header.Idempotency-Key"]);
    assert_eq!(tokens(&app), before);
    app.send(with_key(&site, &creates, &"a".repeat(255), &creates.body))
        .await
        .is(201);
}

#[tokio::test]
async fn a_key_is_kept_for_a_day_and_neither_it_nor_the_body_is_stored() {
    let app = TestApp::new().await;
    let (site, creates) = (app.site_admin(), create_token());
    let key = "an-idempotency-key-to-look-for";
    app.send(with_key(&site, &creates, key, &creates.body))
        .await
        .is(201);
    let rows = app.db_rows("SELECT * FROM idempotency_keys");
    assert_eq!(rows.len(), 1);
    for secret in [key, "once"] {
        let bytes: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for column in rows[0].iter().flatten() {
            assert!(!column.contains(secret) && !column.contains(&bytes), "{rows:?}");
        }
    }
    let purge = async || {
        let mut scan = jeton::authority::RetentionScan::default();
        app.operator().purge(&mut scan).await.unwrap();
    };
    for (seconds, kept) in [(86_000, 1), (399, 1), (1, 0)] {
        app.clock.advance(seconds);
        purge().await;
        assert_eq!(keys(&app), kept, "{seconds}");
    }
}
