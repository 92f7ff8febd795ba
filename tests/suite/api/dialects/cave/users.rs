//! Login, the caller and other users.

use serde_json::{Value, json};

use super::SURFACE;
use crate::harness::{Actor, NORTH, SOUTH, TestApp, password};

#[tokio::test]
async fn a_session_is_got_by_e_mail_and_password() {
    let app = TestApp::new().await;
    let email = NORTH.email("admin");
    let log_in = async |body: Value| SURFACE.post(&app, &app.anyone(), "/users/login", body).await;
    let session = log_in(json!({"email": email, "password": password(&email)}))
        .await
        .is(200);
    assert_eq!(session.header("content-type"), "application/json; charset=utf-8");
    // Without fractions of a second, unlike all other instants.
    assert_eq!(session.json()["expires"], "2026-01-02T15:05:05Z");
    assert_eq!(session.json().as_object().unwrap().len(), 2);
    let session = Actor::holding(&session.text_at("/token"));
    SURFACE.get(&app, &session, "/users/info").await.is(200);
    for body in [
        json!({}),
        json!({"email": email}),
        json!({"email": 5, "password": "x"}),
        json!({"email": "", "password": ""}),
    ] {
        let missing = "Cannot parse request body: must have an email and a password.";
        log_in(body).await.refuses(400, missing);
    }
    for (email, wrong) in [
        (email.as_str(), "wrong"),
        ("nobody@example.com", "x"),
        ("nobody", "x"),
    ] {
        let body = json!({"email": email, "password": wrong});
        log_in(body).await.refuses(400, "Login failed.");
    }
    // The session expires as announced, regardless of use.
    app.clock.advance(12 * 3600 - 1);
    SURFACE.get(&app, &session, "/users/info").await.is(200);
    app.clock.advance(2);
    SURFACE.get(&app, &session, "/users/info").await.refuses(403, "");
}

#[tokio::test]
async fn everybody_sees_themselves() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let unknown = json!({"first_name": "", "last_name": "", "email": NORTH.email("member")});
    let info = SURFACE.get(&app, &member, "/users/info").await.is(200);
    assert_eq!(info.json(), unknown);
    let personal = app.personal_token(&member, &NORTH, &["tokens:read"]).await;
    let info = SURFACE.get(&app, &personal.holder, "/users/info").await.is(200);
    assert_eq!(info.json(), unknown);
    // The token of an organization acts for no user.
    let token = app.organization_token(&NORTH, &["tokens:read"]).await;
    for path in ["/users/info", "/users/organizations"] {
        SURFACE.get(&app, &token.holder, path).await.refuses(403, "");
    }
}

#[tokio::test]
async fn everybody_changes_their_password_and_administrators_names() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let change = async |actor: &Actor, body: Value| SURFACE.patch(&app, actor, "/users/info", body).await;
    let nothing =
        "Cannot parse request body: should contain at least one of 'first_name', 'last_name', or 'password'.";
    for body in [
        json!({}),
        json!({"first_name": null}),
        json!({"current_password": "x"}),
    ] {
        change(&member, body).await.refuses(400, nothing);
    }
    change(&member, json!({"first_name": "Ada"}))
        .await
        .refuses(403, "");
    let old = password(&NORTH.email("member"));
    let wrong = "Cannot change the password: current_password is missing or wrong.";
    for current in [json!(null), json!("wrong")] {
        let body = json!({"password": "another one", "current_password": current});
        change(&member, body).await.refuses(400, wrong);
    }
    let short = change(&member, json!({"password": "short", "current_password": old})).await;
    assert_eq!(short.status, 400);
    let body = json!({"password": "Qwertyuiop", "current_password": old});
    let common = "a password must not be one of the 3000 most common ones";
    change(&member, body).await.refuses(400, common);
    let body = json!({"password": "another one", "current_password": old});
    let changed = change(&member, body).await.is(200);
    assert_eq!(changed.json()["email"], NORTH.email("member"));
    // All sessions are revoked, including this one.
    SURFACE.get(&app, &member, "/users/info").await.refuses(403, "");
    app.clock.advance(2);
    app.log_in(&NORTH.email("member"), "another one").await.is(200);
    let named = change(
        &app.site_admin(),
        json!({"first_name": "Ada", "last_name": "Byron"}),
    )
    .await;
    let expected = json!({"first_name": "Ada", "last_name": "Byron", "email": "admin@example.com"});
    assert_eq!(named.is(200).json(), expected);
}

#[tokio::test]
async fn where_one_belongs() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let own = SURFACE.get(&app, &lead, "/users/organizations").await.is(200);
    assert_eq!(own.json(), json!([{"name": NORTH.name, "role": "member"}]));
    let path = format!("/users/organizations/{}/teams", NORTH.name);
    let teams = SURFACE.get(&app, &lead, &path).await.is(200);
    assert_eq!(teams.json(), json!([{"name": NORTH.team, "role": "admin"}]));
    // The organizations the user belongs to, not those the user may manage.
    for actor in [app.admin_of(&NORTH), app.member_of(&NORTH)] {
        assert_eq!(SURFACE.get(&app, &actor, &path).await.is(200).json(), json!([]));
    }
    SURFACE.get(&app, &app.outsider(), &path).await.refuses(404, "");
}

#[tokio::test]
async fn people_are_found_among_those_one_has_to_do_with() {
    let app = TestApp::new().await;
    let names = json!({"first_name": "Ada", "last_name": "Byron"});
    for email in [NORTH.email("lead"), SOUTH.email("lead")] {
        let path = format!("/users/{email}");
        app.patch(&app.site_admin(), &path, names.clone()).await.is(200);
    }
    let found = async |actor: &Actor, q: &str| {
        let answer = SURFACE.get(&app, actor, &format!("/users/search?q={q}")).await;
        answer.is(200).every("email")
    };
    let member = app.member_of(&NORTH);
    assert_eq!(found(&member, "bYR").await, [NORTH.email("lead")]);
    assert_eq!(found(&member, "MEMBER%40").await, [NORTH.email("member")]);
    assert_eq!(found(&member, "southgate").await, Vec::<Value>::new());
    assert_eq!(found(&member, "%25").await, Vec::<Value>::new());
    let everybody = [NORTH.email("lead"), SOUTH.email("lead")];
    assert_eq!(found(&app.site_admin(), "ada").await, everybody);
    let token = app.organization_token(&SOUTH, &["organizations:read"]).await;
    assert_eq!(found(&token.holder, "ada").await, [SOUTH.email("lead")]);
    SURFACE
        .get(&app, &member, "/users/search")
        .await
        .refuses(400, "Bad Request: q: Field required");
}

/// No e-mail is sent, and no response claims that one was.
#[tokio::test]
async fn what_needs_mail_is_refused() {
    let app = TestApp::new().await;
    let send = async |path: &str, body: Value| SURFACE.post(&app, &app.anyone(), path, body).await;
    let address = json!({"email": "ada@example.com"});
    let confirm = json!({"first_name": "a", "last_name": "b", "password": "c", "confirmation_token": "d"});
    for (path, body, text, missing) in [
        (
            "/users/register",
            address.clone(),
            "Cannot register: this server sends no e-mail. A site administrator creates accounts.",
            "Cannot parse request body: email is missing.",
        ),
        (
            "/users/forgot-password",
            address,
            "Cannot reset the password: this server sends no e-mail. A site administrator sets passwords.",
            "Cannot parse request body: email is missing.",
        ),
        (
            "/users/confirm",
            confirm,
            "Invalid confirmation token.",
            "Cannot parse JSON data: must have first_name, last_name, email, password and confirmation_token.",
        ),
        (
            "/users/reset-password",
            json!({"password": "c", "token": "d"}),
            "Invalid token.",
            "Cannot parse request body: must have a token and a password.",
        ),
    ] {
        send(path, body).await.refuses(400, text);
        send(path, json!({})).await.refuses(400, missing);
    }
    // With the field names of the server and of the documents.
    let documented = json!({"password": "c", "confirmation_token": "d"});
    send("/users/reset-password", documented)
        .await
        .refuses(400, "Invalid token.");
}
