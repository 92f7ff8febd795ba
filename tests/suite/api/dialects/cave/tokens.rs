//! Tokens of organizations and teams.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{SURFACE, founded, home, team};
use crate::harness::{Actor, ISSUER, MANAGEMENT, NORTH, SOUTH, TestApp};

const KEYS: [&str; 4] = ["created", "description", "id", "value"];

/// Returns whether an object is a token in CAVE's format: four texts.
fn is_token(token: &Value) -> bool {
    let members = token.as_object().unwrap();
    members.keys().eq(KEYS) && members.values().all(Value::is_string)
}

#[tokio::test]
async fn a_token_is_made_shown_and_deleted() {
    let app = TestApp::new().await;
    for (place, by) in [
        (home(), app.admin_of(&NORTH)),
        (team(), app.admin_of(&NORTH)),
        (team(), app.team_admin(&NORTH)),
    ] {
        let path = format!("{place}/tokens");
        let made = SURFACE
            .post(&app, &by, &path, json!({"description": "November 2014"}))
            .await
            .is(201);
        assert_eq!(made.header("content-type"), "application/json; charset=utf-8");
        let token = made.json();
        assert!(is_token(&token), "{token}");
        assert_eq!(token["description"], "November 2014");
        assert_eq!(token["created"], "2026-01-02T03:05:05.678Z");
        let id = made.text_at("/id");
        assert!(id.parse::<i64>().is_ok(), "{id}");
        assert_eq!(made.header("location"), format!("{ISSUER}{path}/{id}"));
        // The token is active, and no later response shows it.
        let secret = made.text_at("/value");
        app.get(&Actor::holding(&secret), "/tokens/current").await.is(200);
        let shown = SURFACE
            .get(&app, &by, &format!("{path}/{id}"))
            .await
            .is(200)
            .json();
        let expected = json!({"id": id, "description": "November 2014", "value": "jtn_eyJhbGciOi...",
            "created": "2026-01-02T03:05:05.678Z"});
        assert_eq!(shown, expected);
        let listed = SURFACE.get(&app, &by, &path).await.is(200).json();
        assert_eq!(listed, json!([expected]));
        let native = app.get(&by, &format!("/tokens/{id}")).await.is(200);
        assert_eq!(native.json()["token_prefix"], shown["value"]);

        SURFACE.delete(&app, &by, &format!("{path}/{id}")).await.is(204);
        app.get(&Actor::holding(&secret), "/tokens/current").await.is(401);
        for gone in [
            SURFACE.get(&app, &by, &format!("{path}/{id}")).await,
            SURFACE.delete(&app, &by, &format!("{path}/{id}")).await,
        ] {
            gone.refuses(404, "");
        }
        assert_eq!(SURFACE.get(&app, &by, &path).await.is(200).json(), json!([]));
    }
}

#[tokio::test]
async fn the_oldest_comes_first_and_nobody_elses_is_among_them() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let mut made = Vec::new();
    for description in ["first", "", "third"] {
        app.clock.advance(1);
        let order = json!({"description": description});
        let token = SURFACE
            .post(&app, &admin, &format!("{}/tokens", home()), order)
            .await;
        made.push(token.is(201).text_at("/id"));
    }
    let teams = app.team_token(&NORTH, &[]).await;
    let foreign = app.organization_token(&SOUTH, &[]).await;
    let personal = app.personal_token(&admin, &NORTH, &[]).await;
    let listed = SURFACE.get(&app, &admin, &format!("{}/tokens", home())).await;
    assert_eq!(listed.every("id"), made);
    assert_eq!(listed.every("description"), ["first", "", "third"]);
    // An id counts only below its own owner.
    for (place, id) in [
        (home(), &teams.id),
        (home(), &foreign.id),
        (home(), &personal.id),
        (home(), &"Some(81)".to_owned()),
        (team(), &made[0]),
        (team(), &foreign.id),
    ] {
        let path = format!("{place}/tokens/{id}");
        SURFACE.get(&app, &admin, &path).await.refuses(404, "");
        SURFACE.delete(&app, &admin, &path).await.refuses(404, "");
    }
    for token in [&teams, &foreign, &personal] {
        app.get(&token.holder, "/tokens/current").await.is(200);
    }
}

#[tokio::test]
async fn an_owner_has_three_tokens_and_keeps_the_last() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    founded(&app, &member, "acme").await;
    let order = json!({"name": "runners"});
    SURFACE
        .post(&app, &member, "/organizations/acme/teams", order)
        .await
        .is(201);
    for (path, word) in [
        ("/organizations/acme/tokens", "organization"),
        ("/organizations/acme/teams/runners/tokens", "team"),
    ] {
        let another = || SURFACE.post(&app, &member, path, json!({"description": "another"}));
        another().await.is(201);
        another().await.is(201);
        another()
            .await
            .refuses(400, &format!("Too many tokens for {word}."));
        let listed = SURFACE.get(&app, &member, path).await.every("id");
        assert_eq!(listed.len(), 3);
        for id in &listed[..2] {
            let id = id.as_str().unwrap();
            SURFACE
                .delete(&app, &member, &format!("{path}/{id}"))
                .await
                .is(204);
        }
        let last = format!("{path}/{}", listed[2].as_str().unwrap());
        let refused = SURFACE.delete(&app, &member, &last).await;
        refused.refuses(400, &format!("Cannot delete the last {word} token."));
        SURFACE.get(&app, &member, &last).await.is(200);
    }
    // The limit is the organization's policy, so it applies to every API.
    let native = json!({"name": "native", "organization": "acme", "owner": "organization"});
    app.post(&member, "/tokens", native.clone()).await.is(201);
    app.post(&member, "/tokens", native.clone()).await.is(201);
    app.post(&member, "/tokens", native)
        .await
        .fails(409, "limit_reached");
    let policy = app.get(&member, "/organizations/acme").await.json()["policy"].clone();
    assert_eq!(policy["max_active_tokens_per_owner"], 3);
    assert_eq!(policy["keep_last_token"], true);
}

#[tokio::test]
async fn a_description_is_any_text_and_has_to_be_one() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let path = format!("{}/tokens", home());
    for order in [
        json!({}),
        json!({"description": null}),
        json!({"description": 5}),
        json!([]),
    ] {
        let answer = SURFACE.post(&app, &admin, &path, order).await;
        answer.refuses(400, "Cannot parse request body: description is missing.");
    }
    let long = "x".repeat(256);
    let answer = SURFACE
        .post(&app, &admin, &path, json!({"description": long}))
        .await;
    answer.refuses(
        400,
        "Bad Request: name: Value error, `name` must have at most 255 characters",
    );
    let answer = SURFACE
        .post(&app, &admin, &path, json!({"description": "\u{1f511}\n"}))
        .await;
    answer.refuses(
        400,
        "Bad Request: description must not contain the invisible character U+000A; remove it.",
    );
    for description in ["", &"x".repeat(255), "\u{1f511} "] {
        let order = json!({"description": description, "unheard_of": 1});
        let made = SURFACE.post(&app, &admin, &path, order).await.is(201);
        assert_eq!(made.json()["description"], description);
    }
}

#[tokio::test]
async fn a_body_is_json_and_says_so() {
    let app = TestApp::new().await;
    let path = format!("{}/tokens", home());
    let send = async |media_type: Option<&str>, body: &str| {
        let admin = app.admin_of(&NORTH);
        let credential = format!("Basic {}", STANDARD.encode(format!("{}:", admin.token())));
        let request = Request::post(&path).header("authorization", credential);
        let request = match media_type {
            Some(media_type) => request.header("content-type", media_type),
            None => request,
        };
        app.send(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let order = r#"{"description":"d"}"#;
    for media_type in [
        "application/json",
        "text/json",
        "application/json; charset=UTF-8",
        "Application/JSON;charset=utf-8",
    ] {
        send(Some(media_type), order).await.is(201);
    }
    for media_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let answer = send(media_type, order).await;
        answer.refuses(400, "Bad Request: Expecting text/json or application/json body");
    }
    for body in ["{", "description=d", "{\"description\""] {
        let answer = send(Some("application/json"), body).await;
        answer.refuses(400, "Bad Request: Invalid Json");
    }
}

#[tokio::test]
async fn basic_and_bearer_and_what_is_neither() {
    let app = TestApp::new().await;
    let session = app.admin_of(&NORTH).token().to_owned();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let ask = async |credential: Option<String>| {
        let actor = credential.map_or_else(Actor::anyone, |text| Actor::presenting(&text));
        SURFACE.get(&app, &actor, &format!("{}/tokens", home())).await
    };
    for credential in [
        format!("Bearer {session}"),
        basic(&format!("{session}:")),
        basic(&format!("anybody:{session}")),
    ] {
        ask(Some(credential)).await.is(200);
    }
    for credential in [None, Some("Digest a=b".to_owned())] {
        let answer = ask(credential).await;
        assert_eq!(
            answer.header("www-authenticate"),
            "Basic realm=\"Restricted\"",
            "the one surface that asks for it"
        );
        answer.refuses(401, "");
    }
    for credential in [
        "Bearer 8b896055-c295-4a30-a29c-5a97d15f1818".to_owned(),
        basic("8b896055-c295-4a30-a29c-5a97d15f1818:"),
        basic(&format!("{session}:a password")),
    ] {
        let answer = ask(Some(credential)).await;
        assert!(!answer.headers.contains_key("www-authenticate"));
        answer.refuses(403, "");
    }
}

/// The client writes its own headers: forwarded ones have no effect.
#[tokio::test]
async fn how_a_request_is_said_to_have_come_changes_nothing() {
    let app = TestApp::new().await;
    let path = format!("{}/tokens", home());
    let mut request = SURFACE.request(&app.admin_of(&NORTH), Method::GET, &path, Body::empty());
    let http = "http".parse().unwrap();
    request.headers_mut().insert("x-forwarded-proto", http);
    app.send(request).await.is(200);
}

/// The credential is checked first, then whether the resource is visible, then the role.
#[tokio::test]
async fn who_may_not_is_told_so_and_strangers_learn_nothing() {
    let app = TestApp::new().await;
    let viewer = app.viewer_of(&NORTH).await;
    for place in [home(), team()] {
        let path = format!("{place}/tokens");
        for (actor, status) in [
            (&viewer, 403),
            (&app.member_of(&NORTH), 403),
            (&app.outsider(), 404),
            (&app.organization_token(&NORTH, &[]).await.holder, 403),
            (&app.organization_token(&SOUTH, &MANAGEMENT).await.holder, 404),
        ] {
            SURFACE.get(&app, actor, &path).await.refuses(status, "");
            let order = json!({"description": "d"});
            SURFACE.post(&app, actor, &path, order).await.refuses(status, "");
        }
    }
    let lead = app.team_admin(&NORTH);
    SURFACE
        .get(&app, &lead, &format!("{}/tokens", home()))
        .await
        .refuses(403, "");
    let absent = format!("{}/teams/there-is-none/tokens", home());
    SURFACE.get(&app, &lead, &absent).await.refuses(404, "");
    // An API token with the scopes may do what its owner may.
    let scoped = app.team_token(&NORTH, &MANAGEMENT).await;
    SURFACE
        .get(&app, &scoped.holder, &format!("{}/tokens", team()))
        .await
        .is(200);
    SURFACE
        .get(&app, &scoped.holder, &format!("{}/tokens", home()))
        .await
        .refuses(403, "");
}

/// The lifetime, which CAVE's responses lack, is as long as the organization allows.
#[tokio::test]
async fn a_token_lasts_for_as_long_as_is_allowed() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for (policy, expires_at) in [
        (json!({}), Value::Null),
        (json!({"max_lifetime": "1d"}), json!("2026-01-03T03:05:05.678Z")),
        (
            json!({"default_lifetime": "1h"}),
            json!("2026-01-02T04:05:05.678Z"),
        ),
    ] {
        let change = json!({"policy": policy});
        app.patch(&admin, &home(), change).await.is(200);
        let order = json!({"description": "d"});
        let made = SURFACE
            .post(&app, &admin, &format!("{}/tokens", home()), order)
            .await;
        let id = made.is(201).text_at("/id");
        let shown = app.get(&admin, &format!("/tokens/{id}")).await.json();
        assert_eq!(shown["expires_at"], expires_at, "{policy}");
        // All scopes except management scopes.
        assert_eq!(
            shown["scopes"],
            json!(["projects:read", "content:write", "subscription:read", "ai:use"])
        );
    }
    // Expired tokens are not listed.
    app.clock.advance(3600);
    let listed = SURFACE.get(&app, &admin, &format!("{}/tokens", home())).await;
    assert_eq!(listed.is(200).json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_made_here_is_known_everywhere_and_the_other_way_round() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"description": "from CAVE"});
    let made = SURFACE
        .post(&app, &admin, &format!("{}/tokens", team()), order)
        .await
        .is(201);
    let native = app.get(&admin, &format!("/tokens/{}", made.text_at("/id"))).await;
    assert_eq!(native.json()["name"], "from CAVE");
    assert_eq!(native.json()["description"], Value::Null);
    assert_eq!(native.json()["team"], NORTH.team_id());
    let minted = app.team_token(&NORTH, &["projects:read"]).await;
    let path = format!("{}/tokens/{}", team(), minted.id);
    assert_eq!(
        SURFACE.get(&app, &admin, &path).await.json()["description"],
        "minted"
    );
    SURFACE.delete(&app, &admin, &path).await.is(204);
    app.get(&minted.holder, "/tokens/current").await.is(401);
    let revoke = format!("/tokens/{}/revoke", made.text_at("/id"));
    app.post(&admin, &revoke, json!({})).await.is(201);
    let path = format!("{}/tokens", team());
    assert_eq!(SURFACE.get(&app, &admin, &path).await.json(), json!([]));
}

#[tokio::test]
async fn what_does_not_exist_is_nothing_at_all() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for (path, status) in [
        (format!("{}/metrics", home()), 404),
        ("/users".to_owned(), 404),
        (format!("{}/tokens/", home()), 404),
    ] {
        let request = SURFACE.request(&admin, Method::POST, &path, "{}");
        app.send(request).await.refuses(status, "");
    }
    let request = SURFACE.request(&admin, Method::PUT, &format!("{}/tokens", home()), "{}");
    let answer = app.send(request).await;
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    answer.refuses(405, "");
}
