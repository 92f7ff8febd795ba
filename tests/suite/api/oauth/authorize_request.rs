//! `/oauth/authorize-request`.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, NORTH, SOUTH, TestApp};

const PATH: &str = "/oauth/authorize-request";

/// Returns the response headers for the service.
fn told(answer: &Answer) -> [&str; 7] {
    [
        "x-jeton-subject",
        "x-jeton-organization",
        "x-jeton-team",
        "x-jeton-scopes",
        "x-jeton-projects",
        "x-jeton-token-id",
        "x-jeton-jti",
    ]
    .map(|name| {
        let values = answer.headers.get_all(name);
        assert_eq!(values.iter().count(), 1, "{name}");
        answer.header(name)
    })
}

#[tokio::test]
async fn the_service_is_told_whom_the_token_acts_for() {
    let app = TestApp::new().await;
    let team = app.team_token(&NORTH, &["projects:read", "content:write"]).await;
    let answer = app.get(&team.holder, PATH).await.is(200);
    let scopes = "projects:read content:write";
    assert_eq!(
        told(&answer),
        [
            NORTH.team_id(),
            NORTH.id(),
            NORTH.team_id(),
            scopes,
            "-",
            &team.id,
            team.info["jti"].as_str().unwrap()
        ]
    );
    assert_eq!(answer.text, "");
    assert_eq!(answer.header("cache-control"), "no-store");

    let personal = app
        .personal_token(&app.member_of(&NORTH), &NORTH, &["projects:read"])
        .await;
    let answer = app.get(&personal.holder, PATH).await.is(200);
    let user = personal.info["user"].as_str().unwrap();
    assert_eq!(
        told(&answer),
        [
            user,
            NORTH.id(),
            "-",
            "projects:read",
            "-",
            &personal.id,
            personal.info["jti"].as_str().unwrap()
        ]
    );

    let deployment = app.deployment_token(&["projects:read"]).await;
    let answer = app.get(&deployment.holder, PATH).await.is(200);
    assert_eq!(
        told(&answer),
        [
            "deployment",
            "-",
            "-",
            "projects:read",
            "-",
            &deployment.id,
            deployment.info["jti"].as_str().unwrap()
        ]
    );
}

#[tokio::test]
async fn the_service_is_told_which_projects_a_token_reaches() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let home = format!("/organizations/{}/projects", NORTH.name);
    let other = app.post(&admin, &home, json!({"name": "other"})).await.is(201);
    let (first, second) = (NORTH.project_id(), other.json()["id"].to_string());
    let restricted = async |projects: Value| {
        let order = json!({"organization": NORTH.name, "owner": "organization", "projects": projects});
        app.mint(&admin, order).await.holder
    };
    let (both, one) = (
        restricted(json!([first, other.json()["id"]])).await,
        restricted(json!([first])).await,
    );
    let projects = async |holder: &Actor| {
        let answer = app.get(holder, PATH).await.is(200);
        told(&answer)[4].to_owned()
    };
    assert_eq!(projects(&both).await, format!("{first} {second}"));
    assert_eq!(projects(&one).await, first.to_string());
    // A number is never reused: a token restricted to a deleted project has access to none.
    app.delete(&admin, &format!("{home}/{first}")).await.is(204);
    assert_eq!(projects(&one).await, first.to_string());
}

/// A proxy turns other statuses into a server error, which clients could then cause at will.
#[tokio::test]
async fn a_credential_that_cannot_be_read_is_an_invalid_one() {
    let app = TestApp::new().await;
    let good = app.organization_token(&NORTH, &["projects:read"]).await;
    let good = good.holder.authorization().unwrap();
    let basic = |text: &[u8]| format!("Basic {}", STANDARD.encode(text)).into_bytes();
    for values in [
        vec![b"Basic !!!".to_vec()],
        vec![b"Bearer \xc3\xa9".to_vec()],
        vec![basic(b"no colon")],
        vec![basic(b"\xff:\xff")],
        vec![good.as_bytes().to_vec(), good.as_bytes().to_vec()],
        vec![b"Basic".to_vec(), good.as_bytes().to_vec()],
    ] {
        for method in [Method::GET, Method::HEAD] {
            let request = |path: &str| {
                let mut request = Request::builder().method(method.clone()).uri(path);
                for value in &values {
                    request = request.header("authorization", value.as_slice());
                }
                request.body(Body::empty()).unwrap()
            };
            let answer = app.send(request(PATH)).await.is(401);
            assert_eq!(
                answer.challenge(),
                "Bearer realm=\"jeton\", error=\"invalid_token\""
            );
            // The credential is checked before the query, as everywhere; in other APIs the request is
            // invalid.
            app.send(request(&format!("{PATH}?scopes=x"))).await.is(401);
            app.send(request("/api/v1/me")).await.is(400);
        }
    }
}

#[tokio::test]
async fn what_the_client_sent_under_these_names_plays_no_part() {
    let app = TestApp::new().await;
    // A token without a team, whose header would not overwrite a forged one.
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    let forged = |method: Method, credential: Option<&str>| {
        let mut request = Request::builder().method(method).uri(PATH);
        for (name, value) in [
            ("X-Jeton-Subject", "user-someone"),
            ("X-Jeton-Organization", SOUTH.id()),
            ("X-Jeton-Team", SOUTH.team_id()),
            ("x-jeton-team", "team-other"),
            ("X-Jeton-Scopes", "tokens:write"),
            ("X-Jeton-Projects", "1"),
            ("X-Jeton-Token-Id", "1"),
            ("X-Jeton-Jti", "00000000-0000-4000-8000-000000000000"),
        ] {
            request = request.header(name, value);
        }
        if let Some(credential) = credential {
            request = request.header("authorization", credential);
        }
        request.body(Body::empty()).unwrap()
    };
    for method in [Method::GET, Method::HEAD] {
        let answer = app
            .send(forged(method.clone(), minted.holder.authorization()))
            .await
            .is(200);
        assert_eq!(
            told(&answer),
            [
                NORTH.id(),
                NORTH.id(),
                "-",
                "projects:read",
                "-",
                &minted.id,
                minted.info["jti"].as_str().unwrap()
            ]
        );
        let answer = app.send(forged(method, None)).await.is(401);
        assert!(
            answer
                .headers
                .keys()
                .all(|name| !name.as_str().starts_with("x-jeton")),
            "{:?}",
            answer.headers
        );
    }
}

#[tokio::test]
async fn head_is_answered_like_get() {
    let app = TestApp::new().await;
    let token = app.team_token(&NORTH, &["projects:read"]).await.holder;
    for (actor, query) in [
        (&token, ""),
        (&token, "?scope=projects:read"),
        (&token, "?scope=content:write"),
        (&token, "?audience=https://other.example"),
        (&token, "?scopes=x"),
        (&app.anyone(), ""),
        (&app.member_of(&NORTH), ""),
    ] {
        let path = format!("{PATH}{query}");
        let get = app.get(actor, &path).await;
        let head = app.call(actor, Method::HEAD, &path, None).await;
        assert_eq!(head.status, get.status, "{query}");
        assert_eq!(head.text, "");
        let headers = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("content-length");
            headers.remove("x-request-id");
            headers
        };
        assert_eq!(headers(&head), headers(&get), "{query}");
    }
}

fn methods() -> impl Iterator<Item = Method> {
    [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
    ]
    .into_iter()
    .map(|method| Method::from_bytes(method.as_bytes()).unwrap())
}

/// A request as a proxy passes it on that keeps the method and the headers of its client.
fn passed_on(method: &Method, path: &str, credential: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", credential)
        .header("origin", "https://page.example")
        .header("access-control-request-method", "GET")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-encoding", "gzip")
        .body("no gzip".into())
        .unwrap()
}

#[tokio::test]
async fn method_and_body_are_meant_for_the_service_behind_the_proxy() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let bearer = format!("Bearer {}", token.secret);
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:", token.secret)));
    let get = app.get(&token.holder, PATH).await;
    for method in methods() {
        for credential in [&bearer, &basic] {
            let send = async |path: &str| app.send(passed_on(&method, path, credential)).await;
            let answer = send(&format!("{PATH}?scope=projects:read")).await.is(200);
            assert_eq!(told(&answer), told(&get), "{method}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
            let answer = send(&format!("{PATH}?scope=ai:use")).await;
            answer.fails(403, "insufficient_scope");
            send(&format!("{PATH}?scopes=x")).await.is(400);
        }
        app.send(passed_on(&method, PATH, "Bearer garbage")).await.is(401);
    }
}

#[tokio::test]
async fn an_appended_path_belongs_to_the_client_and_so_does_its_query() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": ["projects:read"],
        "audience": "https://elsewhere.example"});
    let elsewhere = app.mint(&app.admin_of(&NORTH), order).await;
    let bearer = |secret: &str| format!("Bearer {secret}");
    let get = app.get(&token.holder, PATH).await;
    for rest in [
        "/",
        "/?page=2",
        "/a/b//c/",
        "/..%2f..%2foauth/%ff?audience=https://elsewhere.example",
        "/x?scope=&audience=https://elsewhere.example&audience=",
    ] {
        let path = format!("{PATH}{rest}");
        for method in methods() {
            let answer = app.send(passed_on(&method, &path, &bearer(&token.secret))).await;
            assert_eq!(told(&answer.is(200)), told(&get), "{method} {rest}");
            let answer = app
                .send(passed_on(&method, &path, &bearer(&elsewhere.secret)))
                .await;
            answer.fails(401, "invalid_token");
        }
        app.get(&app.anyone(), &path).await.is(401);
        app.get(&app.site_admin(), &path).await.is(401);
    }
    // Not below the path.
    app.get(&token.holder, &format!("{PATH}s/x")).await.is(404);
}

#[tokio::test]
async fn every_scope_that_is_demanded_is_needed() {
    let app = TestApp::new().await;
    let token = app
        .organization_token(&NORTH, &["projects:read", "content:write"])
        .await
        .holder;
    for scope in [
        "projects:read",
        "content:write+projects:read",
        "projects:read%20content:write",
        "projects%3Aread",
    ] {
        let answer = app.get(&token, &format!("{PATH}?scope={scope}")).await;
        assert_eq!(answer.status, 200, "{scope}");
    }
    let answer = app
        .get(&token, &format!("{PATH}?scope=projects:read+ai:use"))
        .await
        .fails(403, "insufficient_scope");
    assert_eq!(
        answer.challenge(),
        "Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"projects:read ai:use\""
    );
    // A part of a scope is another scope.
    let answer = app.get(&token, &format!("{PATH}?scope=projects:rea")).await;
    answer.fails(403, "insufficient_scope");
}

#[tokio::test]
async fn the_token_must_be_meant_for_the_audience_or_for_the_default_one() {
    let app = TestApp::new().await;
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": ["projects:read"],
        "audience": ["https://a.example", "https://b.example"]});
    let token = app.mint(&app.admin_of(&NORTH), order).await.holder;
    for audience in ["https://a.example", "https://b.example"] {
        app.get(&token, &format!("{PATH}?audience={audience}"))
            .await
            .is(200);
    }
    for query in ["", "?audience=https://c.example", "?audience=https://a.example/"] {
        let answer = app.get(&token, &format!("{PATH}{query}")).await;
        let answer = answer.fails(401, "invalid_token");
        assert_eq!(
            answer.challenge(),
            "Bearer realm=\"jeton\", error=\"invalid_token\""
        );
    }
}

#[tokio::test]
async fn a_session_is_no_token_even_for_its_own_audience() {
    let app = TestApp::new().await;
    let session = app.site_admin();
    let own = format!("{}/session", crate::harness::ISSUER);
    for query in ["", "?scope=projects:read", &format!("?audience={own}")] {
        let answer = app.get(&session, &format!("{PATH}{query}")).await;
        answer.fails(401, "invalid_token");
    }
}

#[tokio::test]
async fn the_token_of_the_request_is_bearer_or_basic() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await.secret;
    let basic = |text: String| Actor::presenting(&format!("Basic {}", STANDARD.encode(text)));
    for actor in [basic(format!("{token}:")), basic(format!("git:{token}"))] {
        app.get(&actor, PATH).await.is(200);
    }
    let answer = app.get(&app.anyone(), PATH).await.is(401);
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"jeton\"");
}

#[tokio::test]
async fn a_token_that_is_revoked_no_longer_passes() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    app.get(&token.holder, PATH).await.is(200);
    app.form(&app.anyone(), "/oauth/revoke", &format!("token={}", token.secret))
        .await
        .is(200);
    app.get(&token.holder, PATH).await.fails(401, "invalid_token");
}
