//! The canonical form of addresses, names and passwords, and the characters that none of them may hold.

use argon2::PasswordHasher;
use axum::http::Method;
use jeton::http::Document;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::api::dialects::{cave, quant, terraform};
use crate::harness::{Answer, NORTH, TestApp};

/// The ways to write one mailbox: composed, decomposed, in capitals, with another full stop, with a soft variation
/// selector, and in ASCII.
const SPELLINGS: [&str; 7] = [
    "ada@b\u{fc}cher.example",
    "ada@bu\u{308}cher.example",
    "ADA@B\u{dc}CHER.EXAMPLE",
    "ada@b\u{fc}cher\u{3002}example",
    "ada@\u{ff42}\u{fc}cher.example",
    "ada@xn--bcher-kva.example",
    "ada@XN--BCHER-KVA.example",
];

const CANONICAL: &str = "ada@xn--bcher-kva.example";

const PASSWORD: &str = "long enough 2";

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Returns the message of the only violation.
#[track_caller]
fn message(answer: &Answer) -> String {
    let json = answer.json();
    let violations = json["detail"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", answer.text));
    assert_eq!(violations.len(), 1, "{}", answer.text);
    violations[0]["msg"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_mailbox_is_one_account_however_its_domain_is_written() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let account = |email: &str| json!({"email": email, "password": PASSWORD});
    for made_as in SPELLINGS {
        let made = app.post(&site, "/users", account(made_as)).await.is(201);
        assert_eq!(made.text_at("/email"), CANONICAL);
        for spelling in SPELLINGS {
            app.post(&site, "/users", account(spelling))
                .await
                .fails(409, "name_taken");
            let path = format!("/users/{}", encoded(spelling));
            let shown = app.get(&site, &path).await.is(200);
            assert_eq!(shown.json()["id"], made.json()["id"], "{spelling}");
            app.log_in(spelling, PASSWORD).await.is(200);
        }
        let session = app.log_in(made_as, PASSWORD).await.is(200);
        let session = crate::harness::Actor::holding(&session.text_at("/token"));
        let order = json!({"name": made_as, "organization": NORTH.name});
        app.put(
            &site,
            &format!("/organizations/{}/members/{}", NORTH.name, encoded(made_as)),
            json!({"role": "member"}),
        )
        .await
        .is(204);
        let accept = format!("/me/invitations/{}/accept", NORTH.name);
        app.post(&session, &accept, json!({})).await;
        app.post(&session, "/tokens", order).await.is(201);
        for spelling in SPELLINGS {
            for filter in ["created_by", "user"] {
                let query = format!("/tokens?{filter}={}", encoded(spelling));
                let listed = app.get(&site, &query).await.is(200);
                assert_eq!(listed.each("created_by"), [CANONICAL], "{query}");
            }
        }
        app.delete(&site, &format!("/users/{}", encoded(made_as)))
            .await
            .is(204);
        for spelling in SPELLINGS {
            app.get(&site, &format!("/users/{}", encoded(spelling)))
                .await
                .fails(404, "not_found");
        }
        for spelling in SPELLINGS {
            // Tokens of deleted users are found by what they show.
            let query = format!("/tokens?include_revoked=true&created_by={}", encoded(spelling));
            let listed = app.get(&site, &query).await.is(200);
            assert!(!listed.each("created_by").is_empty(), "{query}");
        }
    }
}

#[tokio::test]
async fn an_invitation_is_the_same_one_in_every_api_however_its_domain_is_written() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let home = format!("/organizations/{}", NORTH.name);
    let team = format!("{home}/teams/{}", NORTH.team);
    let listed = async |path: &str| {
        let listed = app.get(&admin, &format!("{path}/members")).await.is(200);
        let is_it = |email: &String| email.starts_with("ada@");
        listed.each("email").into_iter().filter(is_it).collect::<Vec<_>>()
    };
    for spelling in SPELLINGS {
        for place in [&home, &team] {
            let path = format!("{place}/members/{}", encoded(spelling));
            app.put(&admin, &path, json!({"role": "member"})).await.is(204);
            assert_eq!(listed(place).await, [CANONICAL], "{spelling}");
        }
        for place in [&home, &team] {
            // Answered alike, whether or not it is invited already.
            let order = json!({"email": spelling, "role": "member"});
            cave::SURFACE
                .post(&app, &admin, &format!("{place}/users"), order)
                .await;
            assert_eq!(listed(place).await, [CANONICAL], "{spelling}");
        }
        let memberships = format!("/api/v2{home}/organization-memberships");
        let order = json!({"data": {"type": "organization-memberships", "attributes": {"email": spelling}}});
        terraform::SURFACE.post(&app, &admin, &memberships, order).await;
        assert_eq!(listed(&home).await, [CANONICAL], "{spelling}");
        let path = format!("{memberships}?filter[email]={}", encoded(spelling));
        let found = terraform::SURFACE.get(&app, &admin, &path).await.is(200);
        assert_eq!(found.text_at("/data/0/attributes/email"), CANONICAL, "{spelling}");
        let path = format!("{home}/members/{}", encoded(spelling));
        app.delete(&admin, &path).await.is(204);
        assert!(listed(&home).await.is_empty(), "{spelling}");
    }
}

#[tokio::test]
async fn a_search_finds_an_address_however_its_domain_is_written() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let account = json!({"email": SPELLINGS[0], "password": PASSWORD, "first_name": "Zoe\u{308}"});
    let made = app.post(&site, "/users", account).await.is(201);
    assert_eq!(made.text_at("/first_name"), "Zo\u{eb}");
    for text in SPELLINGS.into_iter().chain(["Zo\u{eb}", "Zoe\u{308}"]) {
        let path = format!("/users/search?q={}", encoded(text));
        let found = cave::SURFACE.get(&app, &site, &path).await.is(200);
        assert_eq!(found.text_at("/0/email"), CANONICAL, "{text}");
    }
}

#[tokio::test]
async fn names_that_differ_only_in_composition_are_one_name() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let (composed, decomposed) = ("caf\u{e9} \u{1112}\u{1161}\u{11ab}", "cafe\u{301} \u{d55c}");
    let order = json!({"name": decomposed, "description": decomposed, "organization": NORTH.name});
    let made = app.post(&admin, "/tokens", order).await.is(201);
    let canonical = "caf\u{e9} \u{d55c}";
    assert_eq!(made.text_at("/token_info/name"), canonical);
    assert_eq!(made.text_at("/token_info/description"), canonical);
    for text in [composed, decomposed, canonical] {
        let found = app
            .get(&admin, &format!("/tokens?q={}", encoded(text)))
            .await
            .is(200);
        assert_eq!(found.each("name"), [canonical], "{text:?}");
    }
    let path = format!("/tokens/{}", made.text_at("/token_info/id"));
    let change = json!({"name": "e\u{301}", "description": "e\u{301}\n\tfor\r\nall"});
    let changed = app.patch(&admin, &path, change).await.is(200);
    assert_eq!(changed.text_at("/name"), "\u{e9}");
    assert_eq!(changed.text_at("/description"), "\u{e9}\n\tfor\r\nall");
    let revoked = app
        .post(
            &admin,
            &format!("{path}/revoke"),
            json!({"reason": "e\u{301}\nleaked"}),
        )
        .await
        .is(201);
    assert_eq!(revoked.text_at("/revocation_reason"), "\u{e9}\nleaked");

    // The description of a team's token is unique in Terraform.
    let tokens = format!("/api/v2/teams/{}/authentication-tokens", NORTH.team_id());
    let lead = app.team_admin(&NORTH);
    let new =
        |text: &str| json!({"data": {"type": "authentication-tokens", "attributes": {"description": text}}});
    terraform::SURFACE
        .post(&app, &lead, &tokens, new(composed))
        .await
        .is(201);
    for text in [composed, decomposed, canonical] {
        terraform::SURFACE
            .post(&app, &lead, &tokens, new(text))
            .await
            .is(422);
    }
}

/// Characters that no text may hold: a control character, a C1 one, a zero-width space, one that reverses what
/// follows, a line separator, a byte order mark, a soft hyphen, and a letter without a shape.
const FORBIDDEN: [(char, &str); 9] = [
    ('\u{7}', "U+0007"),
    ('\u{7f}', "U+007F"),
    ('\u{85}', "U+0085"),
    ('\u{200b}', "U+200B"),
    ('\u{202e}', "U+202E"),
    ('\u{2028}', "U+2028"),
    ('\u{feff}', "U+FEFF"),
    ('\u{ad}', "U+00AD"),
    ('\u{3164}', "U+3164"),
];

#[tokio::test]
async fn no_address_and_no_name_holds_a_character_that_nobody_sees() {
    let app = TestApp::new().await;
    let (site, admin) = (app.site_admin(), app.admin_of(&NORTH));
    let home = format!("/organizations/{}", NORTH.name);
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    for (character, name) in FORBIDDEN {
        let text = format!("a{character}b");
        let address = format!("ada@exam{character}ple.org");
        let account = |field: &str, value: &str| {
            let mut account = json!({"email": "ada@example.org", "password": PASSWORD});
            account[field] = value.into();
            account
        };
        let bodies = [
            (
                Method::POST,
                "/users".to_owned(),
                "email",
                account("email", &address),
            ),
            (
                Method::POST,
                "/users".to_owned(),
                "first_name",
                account("first_name", &text),
            ),
            (
                Method::POST,
                "/users".to_owned(),
                "last_name",
                account("last_name", &text),
            ),
            (
                Method::POST,
                "/users".to_owned(),
                "username",
                account("username", &text),
            ),
            (
                Method::PATCH,
                format!("/users/{}", NORTH.email("member")),
                "username",
                json!({"username": text}),
            ),
            (Method::PATCH, home.clone(), "email", json!({"email": address})),
            (
                Method::PATCH,
                home.clone(),
                "notification_url",
                json!({"notification_url": format!("https://example.org/{character}")}),
            ),
            (
                Method::POST,
                "/tokens".to_owned(),
                "name",
                json!({"name": text, "organization": NORTH.name}),
            ),
            (
                Method::POST,
                "/tokens".to_owned(),
                "description",
                json!({"name": "ci", "description": text, "organization": NORTH.name}),
            ),
            (
                Method::PATCH,
                format!("/tokens/{}", token.id),
                "name",
                json!({"name": text}),
            ),
            (
                Method::PATCH,
                format!("/tokens/{}", token.id),
                "description",
                json!({"description": text}),
            ),
            (
                Method::POST,
                format!("/tokens/{}/revoke", token.id),
                "reason",
                json!({"reason": text}),
            ),
            (
                Method::POST,
                "/tokens/revoke".to_owned(),
                "reason",
                json!({"organization": NORTH.name, "reason": text}),
            ),
            (
                Method::POST,
                "/revocations".to_owned(),
                "reason",
                json!({"organization": NORTH.name, "user": NORTH.email("member"), "reason": text}),
            ),
        ];
        for (method, path, field, body) in bodies {
            let answer = app.call(&site, method, &path, Some(body)).await;
            let answer = answer.blames(&[&format!("value_error at body.{field}")]);
            let message = message(&answer);
            if field != "notification_url" {
                assert!(message.contains(name), "{path} {field}: {message}");
            }
        }
        let member = format!("{home}/members/{}", encoded(&address));
        let answer = app.put(&admin, &member, json!({"role": "member"})).await;
        let answer = answer.blames(&["value_error at path.email"]);
        assert!(message(&answer).contains(name), "{}", answer.text);
        for filter in ["user", "created_by"] {
            let answer = app
                .get(&admin, &format!("/tokens?{filter}={}", encoded(&address)))
                .await;
            let answer = answer.blames(&[&format!("value_error at query.{filter}")]);
            assert!(message(&answer).contains(name), "{}", answer.text);
        }
        let reason = format!("token={}&reason={}", token.holder.token(), encoded(&text));
        let answer = app.form(&app.anyone(), "/oauth/revoke", &reason).await;
        assert!(
            (400..500).contains(&answer.status) && answer.text.contains(name),
            "{}",
            answer.text
        );

        let tokens = format!("{home}/tokens");
        let answer = cave::SURFACE
            .post(&app, &admin, &tokens, json!({"description": text}))
            .await;
        let answer = answer.is(400);
        assert!(
            answer.text.contains(name) && answer.text.contains("description"),
            "{}",
            answer.text
        );
        let tokens = format!("/api/v2{home}/tokens");
        let answer = quant::SURFACE
            .post(&app, &admin, &tokens, json!({"name": text}))
            .await
            .is(422);
        assert!(
            answer.text.contains(name) && answer.text.contains("name"),
            "{}",
            answer.text
        );
        let tokens = format!("/api/v2/teams/{}/authentication-tokens", NORTH.team_id());
        let order = json!({"data": {"type": "authentication-tokens", "attributes": {"description": text}}});
        let answer = terraform::SURFACE
            .post(&app, &app.team_admin(&NORTH), &tokens, order)
            .await
            .is(422);
        assert!(
            answer.text.contains(name) && answer.text.contains("description"),
            "{}",
            answer.text
        );
    }
    app.get(&token.holder, "/tokens/current").await.is(200);
}

#[tokio::test]
async fn a_name_has_something_to_see() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = |name: &str| json!({"name": name, "organization": NORTH.name});
    for blank in [
        " ",
        "\u{a0}",
        "\u{3000}",
        "\u{200d}",
        "\u{fe0f}",
        "\u{2800}",
        " \u{200c} ",
    ] {
        let answer = app.post(&admin, "/tokens", order(blank)).await;
        let answer = answer.blames(&["value_error at body.name"]);
        assert!(message(&answer).contains("visible"), "{}", answer.text);
    }
    // Joiners belong to the spelling of Persian and to families; they stay.
    for name in [
        "\u{646}\u{627}\u{645}\u{647}\u{200c}\u{627}\u{6cc}",
        "\u{1f469}\u{200d}\u{1f467}",
        "\u{2764}\u{fe0f}",
    ] {
        let made = app.post(&admin, "/tokens", order(name)).await.is(201);
        assert_eq!(made.text_at("/token_info/name"), name);
    }
}

#[tokio::test]
async fn a_password_is_the_same_composed_and_decomposed() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let (composed, decomposed) = ("caf\u{e9} au lait", "cafe\u{301}\u{a0}au\u{3000}lait");
    for (number, set) in [composed, decomposed].into_iter().enumerate() {
        let email = format!("ada{number}@example.org");
        let account = json!({"email": email, "password": set});
        app.post(&site, "/users", account).await.is(201);
        for typed in [composed, decomposed] {
            app.log_in(&email, typed).await.is(200);
        }
        app.log_in(&email, "cafe au lait")
            .await
            .fails(401, "login_failed");
    }
    for unfit in ["long\0enough", "long\u{7}enough", "cafe\u{301}..."] {
        let account = json!({"email": "b@example.org", "password": unfit});
        let answer = app.post(&site, "/users", account).await;
        answer.blames(&["value_error at body.password"]);
    }
}

#[tokio::test]
async fn a_password_that_was_hashed_as_it_was_typed_still_logs_in() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let (composed, decomposed) = ("caf\u{e9} au lait", "cafe\u{301} au lait");
    let account = json!({"email": "ada@example.org", "password": composed});
    app.post(&site, "/users", account).await.is(201);
    let hash = argon2::Argon2::default()
        .hash_password_with_salt(decomposed.as_bytes(), b"sixteen bytes ok")
        .unwrap()
        .to_string();
    app.db_change(&format!(
        "UPDATE users SET password_hash = '{hash}' WHERE email = 'ada@example.org'"
    ));
    app.log_in("ada@example.org", decomposed).await.is(200);
    app.log_in("ada@example.org", composed)
        .await
        .fails(401, "login_failed");
    // A login with two forms is one failure: five are free.
    for _ in 0..4 {
        let wrong = "wrong cafe\u{301}";
        app.log_in("ada@example.org", wrong)
            .await
            .fails(401, "login_failed");
    }
    app.log_in("ada@example.org", decomposed)
        .await
        .fails(429, "login_throttled");
}

/// Every parameter of every operation, with U+0000 in it.
#[tokio::test]
async fn no_parameter_holds_the_character_nul() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let mut seen = 0;
    let document = serde_json::to_value(jeton::http::document(Document::Native)).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let is_in = |part: &str| parameter["in"] == part;
                // A header cannot hold it, and a status list that is no number is unknown.
                if is_in("header") || is_in("path") && path == "/status-lists/{list}" {
                    continue;
                }
                let placeholder = format!("{{{name}}}");
                let filled = match is_in("path") {
                    true => path.replace(&placeholder, "a%00b"),
                    false => path.clone(),
                };
                let filled = filled.split('/').map(|part| match part {
                    "{email}" => "a@example.com",
                    part if part.starts_with('{') => "1",
                    part => part,
                });
                let mut filled = filled.collect::<Vec<_>>().join("/");
                if !is_in("path") {
                    filled.push_str(&format!("?{name}=a%00b"));
                }
                let method: Method = method.to_uppercase().parse().unwrap();
                // Forward-auth takes tokens only.
                let caller = match path == "/oauth/authorize-request" {
                    true => &token.holder,
                    false => &site,
                };
                let answer = app.call(caller, method.clone(), &filled, Some(json!({}))).await;
                let status = if path.starts_with("/oauth/") { 400 } else { 422 };
                assert_eq!(answer.status, status, "{method} {filled} {}", answer.text);
                let at = format!("{}.{name}", parameter["in"].as_str().unwrap());
                let names_it = |fault: &String| fault.ends_with(&at);
                let is_named = match path.starts_with("/oauth/") {
                    true => answer.text.contains(name) || method == Method::HEAD,
                    false => answer.faults().iter().any(names_it),
                };
                assert!(is_named, "{method} {filled}: {}", answer.text);
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

/// Values of other kinds than the document's, in the dialects: they all read requests by the same code.
#[tokio::test]
async fn no_dialect_reads_the_character_nul() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let nul = |surface: &'static _, path: String| (surface, path);
    for (surface, path) in [
        nul(&cave::SURFACE, "/users/search?q=a%00b".to_owned()),
        nul(&terraform::SURFACE, "/api/v2/organizations?q=a%00b".to_owned()),
    ] {
        let answer = surface.get(&app, &admin, &path).await;
        assert!(
            [400, 404, 422].contains(&answer.status),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
        assert!(answer.text.contains("U+0000"), "{path}: {}", answer.text);
    }
}

#[test]
fn the_documents_say_that_searches_fold_ascii_only() {
    for document in [Document::Native, Document::Cave, Document::Terraform] {
        let document = serde_json::to_value(jeton::http::document(document)).unwrap();
        let mut seen = 0;
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                let parameters: &[Value] = operation["parameters"].as_array().map_or(&[], Vec::as_slice);
                for parameter in parameters {
                    let words = parameter["description"].as_str().unwrap_or_default();
                    if words.contains("ignoring case") {
                        panic!("{parameter}");
                    }
                    seen += usize::from(words.contains("ignoring the case of ASCII letters"));
                }
            }
        }
        assert!(seen > 0);
    }
}
