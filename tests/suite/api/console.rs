//! The console, as a browser without a script uses it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Method, Request, header};
use jeton::http::{Document, document};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::harness::{Answer, NORTH, SOUTH, TestApp, password};

/// A browser that is signed in, or not.
struct Browser<'a> {
    app: &'a TestApp,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, cookie: None }
    }

    /// Signs in as a person of the world.
    async fn of(app: &'a TestApp, email: &str) -> Self {
        let mut browser = Self::new(app);
        let fields = [("email", email), ("password", &password(email))];
        let answer = browser.post("login", &fields).await.is(303);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        browser.cookie = Some(cookie);
        browser
    }

    fn request(&self, method: Method, page: &str) -> Builder {
        let request = Request::builder().method(method).uri(format!("/console/{page}"));
        match &self.cookie {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        }
    }

    async fn get(&self, page: &str) -> Answer {
        let request = self.request(Method::GET, page).body(Body::empty());
        self.app.send(request.unwrap()).await
    }

    async fn post(&self, page: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self
            .request(Method::POST, page)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(body.into());
        self.app.send(request.unwrap()).await
    }
}

/// Returns the token that a page shows.
fn shown_token(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("class=\"token\" tabindex=\"0\">").unwrap();
    rest.split('<').next().unwrap().to_owned()
}

/// The pages that need no path of their own, without `/console/`.
fn pages(organization: &str) -> Vec<String> {
    let of_organization = [
        "",
        "tokens",
        "tokens/new",
        "teams",
        "members",
        "policy",
        "cut-off",
        "audit",
    ];
    let others = [
        "organizations",
        "incident",
        "inspect",
        "account",
        "found",
        "login",
    ];
    let of_organization = of_organization.map(|page| format!("o/{organization}/{page}"));
    of_organization
        .into_iter()
        .chain(others.map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn signing_in_sets_a_cookie_that_only_the_console_reads_and_no_script() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    let email = NORTH.email("admin");
    let answer = browser.get("o/northwind/tokens?q=ci").await.is(303);
    assert_eq!(
        answer.header("location"),
        "../../login?next=o%2Fnorthwind%2Ftokens%3Fq%3Dci"
    );
    let wrong = browser
        .post("login", &[("email", &email), ("password", "wrong")])
        .await
        .is(401);
    assert!(
        wrong
            .text
            .contains("The e-mail address or the password is wrong."),
        "{}",
        wrong.text
    );
    assert_eq!(wrong.headers.get(header::SET_COOKIE), None);
    let fields = [
        ("email", &*email),
        ("password", &password(&email)),
        ("next", "o/northwind/tokens?q=ci"),
    ];
    let answer = browser.post("login", &fields).await.is(303);
    assert_eq!(answer.header("location"), "./o/northwind/tokens?q=ci");
    let cookie = answer.header("set-cookie").to_owned();
    let (value, attributes) = cookie.split_once(';').unwrap();
    assert!(value.starts_with("__Host-jeton=eyJ"));
    assert_eq!(
        attributes,
        " Path=/; Max-Age=1800; HttpOnly; SameSite=Lax; Secure"
    );
    browser.cookie = Some(value.to_owned());
    browser.get("o/northwind/tokens").await.is(200);
    for path in [
        "/api/v1/me",
        "/api/v1/tokens",
        "/oauth/authorize-request",
        "/api/v2/organizations",
    ] {
        let request = Request::get(path)
            .header(header::COOKIE, value)
            .body(Body::empty());
        assert_eq!(app.send(request.unwrap()).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let app = TestApp::new().await;
    let browser = Browser::of(&app, &NORTH.email("member")).await;
    browser.get("account").await.is(200);
    let answer = browser.post("sign-out", &[]).await.is(303);
    assert!(
        answer
            .header("set-cookie")
            .starts_with("__Host-jeton=; Path=/; Max-Age=0")
    );
    let answer = browser.get("account").await.is(303);
    assert!(answer.header("location").starts_with("./login"));
}

#[tokio::test]
async fn every_page_has_the_headers_and_no_inline_script_or_style() {
    let app = TestApp::new().await;
    let browser = Browser::of(&app, &NORTH.email("admin")).await;
    for page in pages(NORTH.name) {
        let answer = browser.get(&page).await.is(200);
        assert_eq!(answer.header("cache-control"), "no-store", "{page}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{page}");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{page}"
        );
        assert!(!policy.contains("unsafe"), "{page}");
        for inline in [" style=", "<style", " onclick=", "javascript:", "<script>"] {
            assert!(!answer.text.contains(inline), "{page}: {inline}");
        }
        assert_eq!(answer.text.matches("<h1").count(), 1, "{page}");
        assert!(answer.text.contains("<html lang=\"en\""), "{page}");
        for (at, _) in answer.text.match_indices("<a href=\"") {
            let link = answer.text[at + 9..].split('"').next().unwrap();
            // What leads out of the console, and links within the page.
            if !link.starts_with("..") && !link.contains('#') {
                let status = browser.get(link.trim_start_matches("./")).await.status;
                assert!(matches!(status, 200 | 303), "{page}: {link} is {status}");
            }
        }
        assert!(answer.text.len() < 60_000, "{page}: {} bytes", answer.text.len());
    }
    for asset in ["console.css", "console.js", "icon.svg"] {
        let answer = browser.get(&format!("assets/{asset}")).await.is(200);
        assert_eq!(answer.header("cache-control"), "public, max-age=3600");
    }
    browser.get("unheard-of").await.is(404);
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let app = TestApp::new().await;
    let browser = Browser::of(&app, &NORTH.email("admin")).await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let request = browser
            .request(Method::POST, "o/northwind/teams")
            .header(header::HOST, "jeton.example.org")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(name, value)
            .body("name=evil".into());
        app.send(request.unwrap()).await.is(403);
    }
    let teams = app
        .get(&app.admin_of(&NORTH), "/organizations/northwind/teams")
        .await;
    assert!(!teams.each("name").contains(&"evil".to_owned()));
    let answer = browser
        .post("o/northwind/teams", &[("name", "good")])
        .await
        .is(303);
    assert!(
        answer
            .header("location")
            .starts_with("../../o/northwind/teams/team-")
    );
}

#[tokio::test]
async fn a_token_is_made_shown_once_found_rotated_and_revoked() {
    let app = TestApp::new().await;
    let browser = Browser::of(&app, &NORTH.email("admin")).await;
    let form = browser.get("o/northwind/tokens/new").await.is(200);
    assert!(form.text.contains("value=\"90d\" checked"), "{}", form.text);
    let fields = [
        ("key", "a-key-of-this-form"),
        ("name", "<b>ci</b>"),
        ("owner", "organization"),
        ("choice", "scopes"),
        ("scope", "projects:read"),
        ("expires", "30d"),
    ];
    let page = browser.post("o/northwind/tokens/new", &fields).await.is(200);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(
        page.text.contains("&#60;b&#62;ci&#60;/b&#62; is made"),
        "{}",
        page.text
    );
    let token = shown_token(&page);
    let holder = crate::harness::Actor::holding(&token);
    let current = app.get(&holder, "/tokens/current").await.is(200);
    let id = current.text_at("/id");
    assert_eq!(current.json()["scopes"], json!(["projects:read"]));
    // Sent again, as by going back and forward, it makes no second one.
    let again = browser.post("o/northwind/tokens/new", &fields).await.is(409);
    assert!(again.text.contains("was carried out already"), "{}", again.text);
    let list = browser.get("o/northwind/tokens?q=%3Cb").await.is(200);
    assert!(
        list.text.contains(&format!("href=\"tokens/{id}\"")),
        "{}",
        list.text
    );
    for page in [
        format!("tokens/{id}"),
        "o/northwind/tokens".to_owned(),
        "o/northwind/audit".to_owned(),
    ] {
        let answer = browser.get(&page).await.is(200);
        assert!(!answer.text.contains(&token), "{page} shows the token again");
    }
    let fields = [("key", "another-key"), ("grace_period", "1h")];
    let rotated = browser
        .post(&format!("tokens/{id}/rotate"), &fields)
        .await
        .is(200);
    let successor = crate::harness::Actor::holding(&shown_token(&rotated));
    let next = app
        .get(&successor, "/tokens/current")
        .await
        .is(200)
        .text_at("/id");
    let line = browser.get(&format!("tokens/{id}")).await.is(200);
    assert!(
        line.text.contains(&format!("href=\"tokens/{next}\"")),
        "{}",
        line.text
    );
    let fields = [("reason", "made by mistake")];
    let revoked = browser
        .post(&format!("tokens/{next}/revoke"), &fields)
        .await
        .is(303);
    assert_eq!(revoked.header("location"), format!("../../tokens/{next}"));
    app.get(&successor, "/tokens/current").await.is(401);
    let page = browser.get(&format!("tokens/{next}")).await.is(200);
    assert!(page.text.contains("made by mistake"), "{}", page.text);
    while app.operator().seal_audit().await.unwrap() {}
    let audit = app
        .get(&app.admin_of(&NORTH), &format!("/audit?token={next}"))
        .await
        .is(200);
    assert_eq!(audit.each("surface"), ["console", "console"]);
}

#[tokio::test]
async fn invalid_fields_are_explained_and_what_was_typed_stays() {
    let app = TestApp::new().await;
    let browser = Browser::of(&app, &NORTH.email("admin")).await;
    let fields = [
        ("name", ""),
        ("description", "typed before"),
        ("owner", "user"),
        ("expires", "at"),
        ("expires_at", "2020-01-01T00:00"),
    ];
    let page = browser.post("o/northwind/tokens/new", &fields).await.is(422);
    for text in [
        "role=\"alert\"",
        "#field-name\"",
        "typed before",
        "2020-01-01T00:00",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
}

#[tokio::test]
async fn many_are_revoked_after_a_preview_and_a_typed_number() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for number in 0..51 {
        let order = json!({"name": format!("bulk {number}"), "organization": "northwind", "owner": "organization", "expires_in": "30d"});
        app.mint(&admin, order).await;
    }
    let browser = Browser::of(&app, &NORTH.email("admin")).await;
    let fields = [("which", "all"), ("q", "bulk"), ("status", "active")];
    let preview = browser.post("o/northwind/tokens/revoke", &fields).await.is(200);
    assert!(
        preview.text.contains("<h1>Revoke 51 tokens</h1>"),
        "{}",
        preview.text
    );
    let now = |typed| {
        [
            ("which", "all"),
            ("q", "bulk"),
            ("status", "active"),
            ("matched", "51"),
            ("key", "k"),
            ("typed", typed),
        ]
    };
    browser
        .post("o/northwind/tokens/revoke/now", &now("50"))
        .await
        .is(422);
    let list = app
        .get(
            &admin,
            "/tokens?organization=northwind&q=bulk&status=active&limit=100",
        )
        .await;
    assert_eq!(list.each("id").len(), 51);
    let ordered = browser
        .post("o/northwind/tokens/revoke/now", &now("51"))
        .await
        .is(303);
    let progress = ordered.header("location").trim_start_matches("../").to_owned();
    assert!(progress.starts_with("revocations/"), "{progress}");
    browser.get(&progress).await.is(200);
}

#[tokio::test]
async fn an_incident_shows_what_a_token_made_and_ends_all_of_it() {
    let app = TestApp::new().await;
    let leaked = app
        .organization_token(&NORTH, &["tokens:write", "tokens:read", "projects:read"])
        .await;
    let order = json!({"name": "planted", "organization": "northwind", "owner": "organization", "scopes": ["projects:read"], "expires_in": "30d"});
    let planted = app.mint(&leaked.holder, order).await;
    let browser = Browser::of(&app, &NORTH.email("admin")).await;
    let page = browser
        .post("incident", &[("token", leaked.holder.token())])
        .await
        .is(200);
    assert!(page.text.contains("planted"), "{}", page.text);
    assert!(page.text.contains("<strong>2</strong> active"), "{}", page.text);
    assert!(
        !page.text.contains(leaked.holder.token()),
        "the page repeats the token"
    );
    browser
        .post("incident/end", &[("id", &leaked.id), ("reason", "leaked")])
        .await
        .is(303);
    app.get(&leaked.holder, "/tokens/current").await.is(401);
    // In the background, one after another.
    for _ in 0..500 {
        if app.get(&planted.holder, "/tokens/current").await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("what the token made has not ended");
}

#[tokio::test]
async fn who_finds_a_token_ends_it_without_an_account() {
    let app = TestApp::new().await;
    let found = app.organization_token(&NORTH, &["projects:read"]).await;
    let browser = Browser::new(&app);
    browser.post("found", &[("token", "eyJ.not.one")]).await.is(422);
    let page = browser
        .post("found", &[("token", found.holder.token())])
        .await
        .is(200);
    assert!(page.text.contains("The token has ended"), "{}", page.text);
    app.get(&found.holder, "/tokens/current").await.is(401);
    browser
        .post("found", &[("token", found.holder.token())])
        .await
        .is(422);
}

#[tokio::test]
async fn another_organization_is_nowhere() {
    let app = TestApp::new().await;
    let secret = json!({"name": "of the south", "organization": "southgate", "owner": "organization", "expires_in": "30d"});
    let token = app.mint(&app.admin_of(&SOUTH), secret).await;
    let browser = Browser::of(&app, &NORTH.email("admin")).await;
    for page in pages(SOUTH.name)
        .into_iter()
        .filter(|page| page.starts_with("o/"))
    {
        let answer = browser.get(&page).await.is(404);
        assert!(!answer.text.contains("of the south"), "{page}");
    }
    browser.get(&format!("tokens/{}", token.id)).await.is(404);
    browser
        .post(&format!("tokens/{}/revoke", token.id), &[])
        .await
        .is(404);
    for page in pages(NORTH.name) {
        let answer = browser.get(&page).await.is(200);
        assert!(!answer.text.contains("southgate"), "{page}: {}", answer.text);
    }
}

/// Returns all operations that the templates name, and how many of their forms change something.
fn operations_of_forms() -> (BTreeSet<String>, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/console/templates");
    let mut operations = BTreeSet::new();
    let mut forms = 0;
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        forms += text.matches("method=\"post\"").count();
        for (_, rest) in text
            .match_indices("data-operation=\"")
            .map(|(at, found)| text.split_at(at + found.len()))
        {
            let value = rest.split('"').next().unwrap();
            // A choice of two is written in the template's language.
            let names = value
                .split(['{', '}', '%', ' '])
                .filter(|name| name.contains('_') || *name == "login" || *name == "logout");
            operations.extend(names.map(str::to_owned));
        }
    }
    (operations, forms)
}

#[test]
fn every_form_names_an_operation_of_the_api() {
    let text = document(Document::Native).to_json().unwrap();
    let native: Value = serde_json::from_str(&text).unwrap();
    let paths = native["paths"].as_object().unwrap();
    let known: BTreeSet<&str> = paths
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let (operations, forms) = operations_of_forms();
    assert!(forms > 15 && operations.len() > 10, "{operations:?}");
    for operation in &operations {
        assert!(known.contains(operation.as_str()), "{operation} is no operation");
    }
}
