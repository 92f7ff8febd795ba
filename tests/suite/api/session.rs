//! `/login`, `/logout`, `/me`, `/scopes`, and how credentials are presented.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton_core::clock::Clock;
use jeton_core::token::{Catalogue, Label, Scope};
use serde_json::{Value, json};

use crate::harness::{Actor, ISSUER, MANAGEMENT, NORTH, SOUTH, TestApp, password, request};

/// Returns one segment of a token, unverified.
fn part(token: &str, number: usize) -> Value {
    let token = token.trim_start_matches("jtn_");
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn logging_in_gives_a_session_for_half_a_day() {
    let app = TestApp::new().await;
    let email = NORTH.email("member");
    // E-mail addresses ignore case and surrounding spaces.
    let shout = format!(" {} ", email.to_uppercase());
    let answer = app.log_in(&shout, &password(&email)).await.is(200);
    assert_eq!(answer.text_at("/token_type"), "Bearer");
    assert_eq!(answer.text_at("/expires_at"), "2026-01-02T15:05:05.678Z");
    assert_eq!(answer.header("cache-control"), "no-store");
    let session = Actor::holding(&answer.text_at("/token"));
    assert_eq!(part(session.token(), 0)["typ"], "session+jwt");
    let claims = part(session.token(), 1);
    assert_eq!(claims["aud"], format!("{ISSUER}/session"));
    assert_eq!(claims.get("scope"), None);
    app.get(&session, "/me").await.is(200);
    app.clock.advance(12 * 3600 - 1);
    app.get(&session, "/me").await.is(200);
    app.clock.advance(1);
    app.get(&session, "/me").await.fails(401, "invalid_token");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_person_are_answered_alike() {
    let app = TestApp::new().await;
    let wrong = app
        .log_in(&NORTH.email("member"), "wrong password")
        .await
        .fails(401, "login_failed");
    let unknown = app
        .log_in("nobody@example.com", "wrong password")
        .await
        .fails(401, "login_failed");
    let no_address = app
        .log_in("no address", "wrong password")
        .await
        .fails(401, "login_failed");
    assert_eq!(wrong.text, unknown.text);
    assert_eq!(wrong.text, no_address.text);
    assert_eq!(wrong.header("www-authenticate"), "Bearer realm=\"jeton\"");
}

#[tokio::test]
async fn guessing_is_delayed_and_allowed_after_a_second() {
    let app = TestApp::new().await;
    let email = NORTH.email("member");
    for _ in 0..5 {
        app.log_in(&email, "wrong password")
            .await
            .fails(401, "login_failed");
    }
    // The right password too: the response must not tell them apart.
    let answer = app
        .log_in(&email, &password(&email))
        .await
        .fails(429, "login_throttled");
    assert_eq!(answer.header("retry-after"), "1");
    app.log_in(&SOUTH.email("member"), &password(&SOUTH.email("member")))
        .await
        .is(200);
    app.clock.advance(1);
    app.log_in(&email, &password(&email)).await.is(200);
}

#[tokio::test]
async fn a_present_password_is_guessed_no_faster_than_at_the_login() {
    let app = TestApp::new().await;
    let (email, member) = (NORTH.email("member"), app.member_of(&NORTH));
    let path = format!("/users/{email}");
    let change = |present: &str| json!({"password": "a new password", "current_password": present});
    // Requests without a guess are not counted.
    for _ in 0..6 {
        let answer = app
            .patch(&member, &path, json!({"password": "a new password"}))
            .await;
        answer.fails(403, "wrong_password");
    }
    for _ in 0..5 {
        let answer = app.patch(&member, &path, change("a guess")).await;
        answer.fails(403, "wrong_password");
    }
    // The right one too, and for changing the password as well.
    let answer = app.patch(&member, &path, change(&password(&email))).await;
    let answer = answer.fails(429, "login_throttled");
    assert_eq!(answer.header("retry-after"), "1");
    app.log_in(&email, &password(&email))
        .await
        .fails(429, "login_throttled");
    app.clock.advance(1);
    app.patch(&member, &path, change(&password(&email))).await.is(200);
    app.clock.advance(1);
    app.log_in(&email, "a new password").await.is(200);
}

#[tokio::test]
async fn logging_out_ends_this_session_and_no_other() {
    let mut app = TestApp::new().await;
    let email = NORTH.email("member");
    let other = app
        .log_in(&email, &password(&email))
        .await
        .is(200)
        .text_at("/token");
    let session = app.member_of(&NORTH);
    app.call(&session, Method::POST, "/logout", None).await.is(204);
    for _ in 0..2 {
        app.get(&session, "/me").await.fails(401, "invalid_token");
        app.get(&Actor::holding(&other), "/me").await.is(200);
        app.restart().await;
    }
}

#[tokio::test]
async fn me_is_the_user_or_the_token_with_organizations_and_scopes() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let me = app.get(&lead, "/me").await.is(200).json();
    assert_eq!(me["user"]["email"], NORTH.email("lead"));
    assert_eq!(me["token"], Value::Null);
    // All except the two that only tokens of the deployment can have.
    let scopes = me["scopes"].as_array().unwrap();
    assert_eq!(scopes.len(), 10);
    let of_deployment = [json!("revocations:read"), json!("usage:write")];
    assert!(
        !of_deployment.iter().any(|scope| scopes.contains(scope)),
        "{scopes:?}"
    );
    let site = app.get(&app.site_admin(), "/me").await.is(200).json();
    let scopes = site["scopes"].as_array().unwrap();
    assert_eq!(scopes.len(), 12);
    assert!(
        of_deployment.iter().all(|scope| scopes.contains(scope)),
        "{scopes:?}"
    );
    let own = json!([{"id": NORTH.id(), "name": NORTH.name, "role": "member"}]);
    assert_eq!(me["organizations"], own);

    // A token of one organization reveals no other organizations of the user.
    let path = format!("/organizations/{}/members/{}", SOUTH.name, NORTH.email("lead"));
    app.put(&app.site_admin(), &path, json!({"role": "admin"}))
        .await
        .is(204);
    let both = app.get(&lead, "/me").await.json();
    assert_eq!(both["organizations"].as_array().unwrap().len(), 2);
    let token = app.personal_token(&lead, &NORTH, &["tokens:read"]).await;
    let me = app.get(&token.holder, "/me").await.is(200).json();
    assert_eq!(me["token"]["id"], json!(token.id));
    assert_eq!(me["scopes"], json!(["tokens:read"]));
    assert_eq!(me["organizations"], own);

    let team = app.team_token(&NORTH, &["tokens:read"]).await;
    let me = app.get(&team.holder, "/me").await.is(200).json();
    assert_eq!((&me["user"], &me["organizations"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn the_catalogue_says_which_scopes_are_for_the_authority() {
    let app = TestApp::new().await;
    let catalogue = app.get(&app.member_of(&NORTH), "/scopes").await.is(200).json();
    let scopes = catalogue["scopes"].as_array().unwrap();
    let management: Vec<&str> = scopes
        .iter()
        .filter(|scope| scope["management"] == true)
        .map(|scope| scope["name"].as_str().unwrap())
        .collect();
    for scope in MANAGEMENT.iter().chain(&["revocations:read", "usage:write"]) {
        assert!(management.contains(scope), "{scope}");
    }
    assert_eq!(management.len(), 8);
    let presets = json!([{"name": "content_management", "scopes": ["projects:read", "content:write"],
        "title": null, "description": null}]);
    assert_eq!(catalogue["presets"], presets);
    // The authority knows what its own scopes allow; what the others do, the configuration says.
    for scope in scopes {
        let is_labelled = scope["title"].is_string() && scope["description"].is_string();
        assert_eq!(is_labelled, scope["management"] == true, "{scope}");
    }
    let first = scopes
        .iter()
        .find(|scope| scope["name"] == "tokens:write")
        .unwrap();
    assert_eq!(first["title"], "Manage tokens");
}

#[tokio::test]
async fn the_catalogue_has_the_titles_of_the_configuration() {
    let app = TestApp::new().await;
    let mut settings = (*app.operator().settings()).clone();
    let label = |title: &'static str, description: &'static str| Label {
        title: Some(title.into()),
        description: Some(description.into()),
    };
    let mut catalogue = Catalogue::management();
    let scope: Scope = "mail:send".parse().unwrap();
    let of_scope = label("Send mail", "Send mail in the owner's name.");
    catalogue.add_scope(scope.clone(), of_scope).unwrap();
    let of_preset = label("Mailer", "For the mailer.");
    catalogue.add_preset("mailer", vec![scope], of_preset).unwrap();
    settings.catalogue = catalogue;
    app.operator().adjust(settings);
    let shown = app.get(&app.member_of(&NORTH), "/scopes").await.is(200).json();
    assert_eq!(
        shown["scopes"].as_array().unwrap().last(),
        Some(
            &json!({"name": "mail:send", "management": false, "title": "Send mail",
            "description": "Send mail in the owner's name."})
        )
    );
    assert_eq!(
        shown["presets"],
        json!([{"name": "mailer", "scopes": ["mail:send"], "title": "Mailer", "description": "For the mailer."}])
    );
}

#[tokio::test]
async fn a_token_is_presented_as_bearer_or_in_either_half_of_basic() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await.secret;
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    for credential in [
        format!("Bearer {token}"),
        format!("bearer   {token}"),
        basic(format!("{token}:")),
        basic(format!("anybody:{token}")),
        // The prefix is for secret scanners and optional.
        format!("Bearer {}", token.trim_start_matches("jtn_")),
        format!("Bearer other_{}", token.trim_start_matches("jtn_")),
    ] {
        let answer = app.get(&Actor::presenting(&credential), "/tokens/current").await;
        assert_eq!(answer.status, 200, "{credential}");
    }
    for (credential, status, code) in [
        ("Bearer ".to_owned(), 401, "invalid_token"),
        (basic(format!("{token}:x")), 401, "invalid_token"),
        ("Digest x".to_owned(), 401, "not_authenticated"),
        (basic("no colon".to_owned()), 400, "ambiguous_credential"),
        ("Basic !".to_owned(), 400, "ambiguous_credential"),
    ] {
        let answer = app.get(&Actor::presenting(&credential), "/tokens/current").await;
        assert_eq!((answer.status, answer.code()), (status, code), "{credential}");
    }
}

#[tokio::test]
async fn two_authorization_headers_are_refused_even_if_both_are_good() {
    let app = TestApp::new().await;
    let actor = app.site_admin();
    let mut twice = request(&actor, Method::GET, "/me", None);
    let value = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", value);
    app.send(twice).await.fails(400, "ambiguous_credential");
}

#[tokio::test]
async fn who_is_refused_is_told_what_is_missing_as_rfc_6750_has_it() {
    let app = TestApp::new().await;
    let challenge = crate::harness::Answer::challenge;
    let answer = app.get(&app.anyone(), "/me").await.is(401);
    assert_eq!(challenge(&answer), "Bearer realm=\"jeton\"");
    let answer = app.get(&Actor::holding("x"), "/me").await.is(401);
    assert_eq!(
        challenge(&answer),
        "Bearer realm=\"jeton\", error=\"invalid_token\""
    );
    let token = app.organization_token(&NORTH, &["tokens:read"]).await.holder;
    let answer = app
        .post(&token, "/tokens", json!({}))
        .await
        .fails(403, "insufficient_scope");
    assert_eq!(
        challenge(&answer),
        "Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"tokens:write\""
    );
}

#[tokio::test]
async fn a_write_without_bearer_needs_json() {
    let app = TestApp::new().await;
    let session = app.admin_of(&NORTH);
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:", session.token())));
    let bearer = format!("Bearer {}", session.token());
    let order = json!({"name": "n", "organization": NORTH.name}).to_string();
    let send = async |credential: &str, media: Option<&str>| {
        let mut request = Request::post("/api/v1/tokens").header("authorization", credential);
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        app.send(request.body(Body::from(order.clone())).unwrap()).await
    };
    // A page of another site can make a browser send these with cached Basic credentials.
    for media in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
    ] {
        send(&basic, media).await.fails(415, "unsupported_media_type");
        // With Bearer there is no browser; a body of another media type is still not read as JSON.
        let status = if media.is_none() { 201 } else { 422 };
        send(&bearer, media).await.is(status);
    }
    for media in [
        "application/json",
        "application/json; charset=utf-8",
        "application/merge-patch+json",
    ] {
        send(&basic, Some(media)).await.is(201);
    }
}

#[tokio::test]
async fn sessions_and_api_tokens_are_not_taken_for_each_other() {
    let app = TestApp::new().await;
    let session = app.site_admin();
    let shown = app.get(&session, "/tokens/current").await;
    let shown = shown.fails(403, "api_token_needed");
    assert!(
        shown.text_at("/detail").contains("the request has a session"),
        "{}",
        shown.text
    );
    let revoke = app.post(&session, "/tokens/current/revoke", json!({})).await;
    revoke.fails(403, "api_token_needed");
    app.get(&session, "/me").await.is(200);

    // No API token can log out, whatever its scopes; and none can have the audience of sessions.
    let token = app.deployment_token(&MANAGEMENT).await;
    app.call(&token.holder, Method::POST, "/logout", None)
        .await
        .fails(403, "session_needed");
    let order = json!({"name": "n", "organization": NORTH.name, "audience": format!("{ISSUER}/session")});
    let answer = app.request_token(&app.member_of(&NORTH), order).await;
    answer.blames(&["value_error at body.audience.0"]);

    // A session is not listed as a token.
    let jti = part(session.token(), 1)["jti"].as_str().unwrap().to_owned();
    app.get(&session, &format!("/tokens/{jti}"))
        .await
        .fails(404, "not_found");
    let listed = app.get(&session, "/tokens?include_revoked=true").await.is(200);
    assert!(!listed.text.contains(&jti));
}

#[tokio::test]
async fn a_token_with_another_header_or_a_changed_claim_is_refused() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &MANAGEMENT).await.secret;
    let token = token.trim_start_matches("jtn_");
    app.get(&Actor::holding(token), "/me").await.is(200);
    let parts: Vec<&str> = token.split('.').collect();
    let session = app.site_admin();
    let header_of_session = session.token().split('.').next().unwrap();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut changed = part(token, 1);
    changed["org"] = SOUTH.id().into();
    for forged in [
        format!("{header_of_session}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], encode(changed), parts[2]),
        format!(
            "{}.{}.{}",
            encode(json!({"alg": "none", "typ": "at+jwt"})),
            parts[1],
            ""
        ),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}x"),
        format!("{token}."),
    ] {
        app.get(&Actor::holding(&forged), "/me")
            .await
            .fails(401, "invalid_token");
    }
}

/// A page of another site can send a form with Basic credentials that the browser has stored.
#[tokio::test]
async fn a_form_of_another_site_logs_nobody_out() {
    let app = TestApp::new().await;
    let session = app.member_of(&NORTH);
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:", session.token())));
    for media_type in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data",
    ] {
        let form = Request::post("/api/v1/logout")
            .header("authorization", &basic)
            .header("content-type", media_type)
            .body(Body::empty())
            .unwrap();
        app.send(form).await.fails(415, "unsupported_media_type");
        app.get(&session, "/me").await.is(200);
    }
    app.post(&session, "/logout", json!({})).await.is(204);
    app.get(&session, "/me").await.is(401);
}

/// Returns the sessions of an actor.
async fn sessions(app: &TestApp, actor: &Actor) -> Vec<Value> {
    let listed = app.get(actor, "/sessions").await.is(200);
    listed.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_person_sees_and_ends_their_sessions() {
    let app = TestApp::new().await;
    let (email, first) = (NORTH.email("member"), app.member_of(&NORTH));
    let before = sessions(&app, &first).await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0]["current"], true);
    let a_minute_ago = app.clock.now().to_string();
    app.clock.advance(60);
    let answer = app.log_in(&email, &password(&email)).await.is(200);
    let second = Actor::holding(&answer.text_at("/token"));
    let both = sessions(&app, &second).await;
    let [new, old] = &both[..] else {
        panic!("{both:?}");
    };
    assert_eq!((&new["current"], &old["current"]), (&json!(true), &json!(false)));
    assert_eq!(old["id"], before[0]["id"]);
    let now = app.clock.now().to_string();
    assert_eq!(new["created_at"], now);
    assert_eq!(new["expires_at"], answer.text_at("/expires_at"));
    assert_eq!(new["surface"], "native");
    assert_eq!(new["last_used_at"], Value::Null);
    app.write_usage().await;
    let used = sessions(&app, &second).await;
    assert_eq!(used[0]["last_used_at"], now);
    assert_eq!(used[1]["last_used_at"], a_minute_ago);

    // Nobody else's, and no token's.
    let end = async |actor: &Actor, id: &str| app.delete(actor, &format!("/sessions/{id}")).await;
    let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
    let token = app.personal_token(&first, &NORTH, &MANAGEMENT).await;
    let others = app.current_session(&app.admin_of(&NORTH)).await;
    for unknown in [&*others, &token.id, "999999", "0", "-1", "nonsense"] {
        end(&second, unknown).await.fails(404, "not_found");
    }
    end(&app.site_admin(), &id(old)).await.fails(404, "not_found");
    end(&token.holder, &id(old)).await.fails(403, "session_needed");

    end(&second, &id(old)).await.is(204);
    app.get(&first, "/me").await.fails(401, "invalid_token");
    app.get(&token.holder, "/tokens/current").await.is(200);
    assert_eq!(sessions(&app, &second).await.len(), 1);
    end(&second, &id(old)).await.fails(404, "not_found");
    end(&second, &id(new)).await.is(204);
    app.get(&second, "/me").await.fails(401, "invalid_token");

    while app.operator().seal_audit().await.unwrap() {}
    let path = "/audit?action=session.revoke&descending=false";
    let lines = app.get(&app.site_admin(), path).await.is(200).json();
    let lines: Vec<_> = lines["items"].as_array().unwrap().iter().collect();
    let told = |line: &Value| ["actor", "actor_token", "token", "reason"].map(|field| line[field].clone());
    assert_eq!(
        lines.into_iter().map(told).collect::<Vec<_>>(),
        [
            [
                json!(email),
                new["id"].clone(),
                old["id"].clone(),
                json!("logout by another session")
            ],
            [
                json!(email),
                new["id"].clone(),
                new["id"].clone(),
                json!("logout")
            ],
        ]
    );
}

/// A password that was changed ends all of them.
#[tokio::test]
async fn sessions_that_have_ended_are_not_listed() {
    let app = TestApp::new().await;
    let (email, site) = (NORTH.email("member"), app.site_admin());
    app.clock.advance(2);
    let patch = json!({"password": "an entirely new one"});
    app.patch(&site, &format!("/users/{email}"), patch).await.is(200);
    app.clock.advance(2);
    let log_in = async || {
        let session = app.log_in(&email, "an entirely new one").await.is(200);
        Actor::holding(&session.text_at("/token"))
    };
    let first = log_in().await;
    assert_eq!(sessions(&app, &first).await.len(), 1);
    app.clock.advance(6 * 3600);
    let second = log_in().await;
    assert_eq!(sessions(&app, &second).await.len(), 2);
    app.clock.advance(6 * 3600);
    assert_eq!(sessions(&app, &second).await.len(), 1);
}
