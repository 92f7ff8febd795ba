//! `POST /tokens/inspect`, and what a refused credential is told.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::authority::{Error, Presented};
use jeton_store::Origin;
use serde_json::{Value, json};

use crate::harness::{Actor, MANAGEMENT, Minted, NORTH, SOUTH, TestApp, password};

/// Returns the reason that a check of this name gives.
fn reason(check: &str) -> &'static str {
    match check {
        "form" | "header" | "claims" => "malformed",
        "key" => "unknown_key",
        "algorithm" => "wrong_algorithm",
        "signature" => "bad_signature",
        "type" => "wrong_type",
        "issuer" => "wrong_issuer",
        "expiry" => "expired",
        "record" => "unknown",
        "owner" => "owner_gone",
        "revocation" | "cut_off" => "revoked",
        "session" | "audience" => "wrong_audience",
        "scope" => "insufficient_scope",
        other => panic!("no check of the predicate: {other}"),
    }
}

impl TestApp {
    /// Inspects a token.
    pub(crate) async fn inspected(&self, actor: &Actor, token: &str) -> Value {
        let answer = self.post(actor, "/tokens/inspect", json!({"token": token})).await;
        let inspection = answer.is(200);
        let text = token.trim_start_matches("jtn_");
        assert!(!inspection.text.contains(text), "it shows the token");
        agrees(inspection.json())
    }

    /// Returns the verdict of the predicate on a token.
    pub(crate) async fn judged(&self, token: &str) -> &'static str {
        let found = self
            .operator()
            .authenticate(token, Presented::ToEnd, Origin::default())
            .await;
        match found {
            Ok(_) => "active",
            Err(Error::BadCredential(inactive)) => inactive.name(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Requires that the verdict of an inspection is the reason of its first required check that failed.
fn agrees(inspection: Value) -> Value {
    let checks = inspection["checks"].as_array().unwrap();
    let failed = checks
        .iter()
        .find(|check| check["required"] == true && check["passed"] == false);
    let expected = failed.map_or("active", |check| reason(check["name"].as_str().unwrap()));
    assert_eq!(inspection["verdict"], expected, "{inspection:#}");
    inspection
}

/// Returns a check of an inspection: whether the token passed, and the detail.
fn check(inspection: &Value, name: &str) -> Option<(bool, String)> {
    let checks = inspection["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name)?;
    Some((
        check["passed"].as_bool().unwrap(),
        check["detail"].as_str().unwrap().to_owned(),
    ))
}

fn without_prefix(token: &str) -> &str {
    token.trim_start_matches("jtn_")
}

/// Returns a token with another signature, and the claims of a real one.
fn forged(token: &str) -> String {
    let (message, signature) = without_prefix(token).rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{message}.{first}{}", &signature[1..])
}

/// Returns a token with another header, and the claims and signature of a real one.
fn with_header(token: &str, header: &Value) -> String {
    let (_, rest) = without_prefix(token).split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

fn header(token: &str) -> Value {
    let (header, _) = without_prefix(token).split_once('.').unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

/// Returns forgeries of a token, each with its claims.
fn forgeries(token: &str) -> Vec<(&'static str, String)> {
    let real = header(token);
    let changed = |field: &str, value: &str| {
        let mut header = real.clone();
        header[field] = value.into();
        with_header(token, &header)
    };
    vec![
        ("another signature", forged(token)),
        (
            "another key",
            changed("kid", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        ),
        ("another algorithm", changed("alg", "EdDSA")),
        ("another type", changed("typ", "session+jwt")),
    ]
}

/// Every state of a token: the verdict is that of the predicate, by the text and by the `jti`, and the first failed check
/// is its reason.
#[tokio::test]
async fn every_state_of_a_token_has_the_verdict_of_the_predicate() {
    let mut app = TestApp::new().await;
    let site = app.site_admin();
    let admin = app.admin_of(&NORTH);
    let lead = app.team_admin(&NORTH);
    let home = format!("/organizations/{}", NORTH.name);
    let order =
        |expires: &str| json!({"organization": NORTH.name, "owner": "organization", "expires_in": expires});
    let mint = async |expires: &str| app.mint(&admin, order(expires)).await;
    let personal = async |actor: &Actor| app.personal_token(actor, &NORTH, &["projects:read"]).await;
    let expired = mint("1m").await;
    let both = mint("1m").await;
    let revoked = mint("1y").await;
    let rotated = mint("1y").await;
    let disabled = personal(&app.member_of(&NORTH)).await;
    let removed = personal(&lead).await;
    let changed = mint("1y").await;
    let of_team = app.team_token(&NORTH, &["projects:read"]).await;
    let of_south = app.organization_token(&SOUTH, &["projects:read"]).await;
    let cut_off = app
        .mint(
            &admin,
            json!({"organization": NORTH.name, "owner": "organization", "projects": [NORTH.project_id()]}),
        )
        .await;
    let revoke = async |token: &Minted| {
        let path = format!("/tokens/{}/revoke", token.id);
        app.post(&admin, &path, json!({"reason": "leaked"})).await.is(201);
    };
    revoke(&revoked).await;
    revoke(&both).await;
    let path = format!("/tokens/{}/rotate", rotated.id);
    app.post(&admin, &path, json!({"grace_period": "1d"}))
        .await
        .is(201);
    let of = json!({"organization": NORTH.name, "project": NORTH.project_id(), "reason": "the build server"});
    app.post(&admin, "/revocations", of).await.is(201);
    app.clock.advance(61);
    let path = format!("/users/{}", NORTH.email("member"));
    app.patch(&site, &path, json!({"disabled": true})).await.is(200);
    let path = format!("{home}/members/{}", NORTH.email("lead"));
    app.delete(&admin, &path).await.is(204);
    app.delete(&admin, &format!("{home}/teams/{}", NORTH.team))
        .await
        .is(204);
    let path = format!("/organizations/{}", SOUTH.name);
    app.delete(&app.admin_of(&SOUTH), &path).await.is(204);
    app.clock.advance(2);
    let active = mint("1y").await;
    let update = format!(
        "UPDATE tokens SET audience = '[\"https://elsewhere.example\"]' WHERE id = {}",
        changed.id
    );
    app.db_change_in(
        &format!("DROP TRIGGER signed_facts_stand; {update}"),
        &format!("ALTER TABLE tokens DISABLE TRIGGER USER; {update}"),
    );
    let states = [
        ("active", &active, "active"),
        ("in its grace period", &rotated, "active"),
        ("expired", &expired, "expired"),
        ("expired and revoked", &both, "expired"),
        ("revoked", &revoked, "revoked"),
        ("cut off", &cut_off, "revoked"),
        ("of a disabled user", &disabled, "owner_gone"),
        ("of a user who was removed", &removed, "owner_gone"),
        ("of a deleted team", &of_team, "owner_gone"),
        ("of a deleted organization", &of_south, "owner_gone"),
        ("with other claims than its record", &changed, "unknown"),
    ];
    for restarted in [false, true] {
        for (state, token, verdict) in states {
            assert_eq!(app.judged(&token.secret).await, verdict, "{state}, {restarted}");
            let inspection = app.inspected(&site, &token.secret).await;
            assert_eq!(inspection["verdict"], verdict, "{state}, {restarted}");
            assert_eq!(inspection["token_info"]["id"], token.id, "{state}");
            if verdict == "owner_gone" {
                let (passed, detail) = check(&inspection, "policy").unwrap();
                assert!(!passed, "{state}: {detail}");
            }
            let by_jti = json!({"jti": token.info["jti"]});
            let by_jti = app.post(&site, "/tokens/inspect", by_jti).await.is(200).json();
            let by_jti = agrees(by_jti);
            match verdict {
                // Only its text differs from the record.
                "unknown" => assert_eq!(by_jti["verdict"], "active"),
                verdict => assert_eq!(by_jti["verdict"], verdict, "{state}, by jti"),
            }
        }
        for (what, text) in forgeries(&revoked.secret) {
            let inspection = app.inspected(&site, &text).await;
            assert_eq!(inspection["verdict"], app.judged(&text).await, "{what}");
            assert_ne!(inspection["verdict"], "revoked", "{what}");
            // What the caller may see anyway is judged all the same.
            let (passed, detail) = check(&inspection, "revocation").unwrap();
            assert!(!passed && detail.contains("leaked"), "{what}: {detail}");
        }
        app.restart().await;
    }
    for (text, failed) in [
        ("nonsense", "form"),
        ("a.b", "form"),
        ("eyJ.eyJ.", "form"),
        (&*"x".repeat(9000), "form"),
        ("e30.e30.AAAA", "header"),
    ] {
        // Says nothing about any token, so that everybody is told.
        let inspection = app.inspected(&app.outsider(), text).await;
        assert_eq!(inspection["verdict"], "malformed");
        assert_eq!(app.judged(text).await, "malformed");
        assert!(!check(&inspection, failed).unwrap().0, "{text}");
        assert_eq!(inspection["token_info"], Value::Null);
    }
    let list = app.get(&app.anyone(), "/status-lists").await.is(200).json();
    let list = list["status_lists"][0].as_str().unwrap().to_owned();
    let path = list.trim_start_matches(crate::harness::ISSUER);
    let statement = app.get(&app.anyone(), path).await.is(200).text;
    let inspection = app.inspected(&site, &statement).await;
    assert_eq!(inspection["verdict"], "wrong_type");
    assert_eq!(app.judged(&statement).await, "wrong_type");

    // A withdrawn key ends everything that it signed, and the cut-off that goes with it is told.
    let kid = header(&active.secret)["kid"].as_str().unwrap().parse().unwrap();
    let reason = Some("the file was copied".to_owned());
    app.operator().operator_revokes_key(&kid, reason).await.unwrap();
    let session = app
        .log_in("admin@example.com", &password("admin@example.com"))
        .await
        .is(200);
    let site = Actor::holding(&session.text_at("/token"));
    assert_eq!(app.judged(&active.secret).await, "unknown_key");
    let inspection = app.inspected(&site, &active.secret).await;
    assert_eq!(inspection["verdict"], "unknown_key");
    let (passed, detail) = check(&inspection, "cut_off").unwrap();
    assert!(
        !passed && detail.contains("kid=") && detail.contains("the file was copied"),
        "{detail}"
    );
}

/// The details: when, by whom and why.
#[tokio::test]
async fn an_inspection_says_when_by_whom_and_why() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"organization": NORTH.name, "owner": "team", "team": NORTH.team, "scopes": ["projects:read"],
        "projects": [NORTH.project_id()], "audience": ["https://cdn.example"]});
    let token = app.mint(&admin, order).await;
    let demands = json!({"token": token.secret, "audience": "https://cdn.example", "scope": "projects:read"});
    let inspection = app
        .post(&admin, "/tokens/inspect", demands.clone())
        .await
        .is(200)
        .json();
    assert_eq!(agrees(inspection.clone())["verdict"], "active");
    let names: Vec<&str> = inspection["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    let expected = "form header key algorithm signature type claims issuer expiry record owner revocation cut_off audience \
                    scope api projects policy";
    assert_eq!(names.join(" "), expected);
    let (passed, detail) = check(&inspection, "api").unwrap();
    assert!(!passed && detail.contains("https://cdn.example"), "{detail}");
    let (_, detail) = check(&inspection, "projects").unwrap();
    assert!(detail.contains(&NORTH.project_id().to_string()), "{detail}");

    // What a service requires decides the verdict if everything else is good.
    let mut other = demands.clone();
    other["audience"] = "https://other.example".into();
    let inspection = app.post(&admin, "/tokens/inspect", other).await.is(200).json();
    assert_eq!(agrees(inspection)["verdict"], "wrong_audience");
    let mut other = demands.clone();
    other["scope"] = "projects:read content:write".into();
    let inspection = agrees(app.post(&admin, "/tokens/inspect", other).await.is(200).json());
    assert_eq!(inspection["verdict"], "insufficient_scope");
    let (_, detail) = check(&inspection, "scope").unwrap();
    assert_eq!(detail, "it lacks content:write");

    // The policy only informs.
    let path = format!("/organizations/{}", NORTH.name);
    let policy = json!({"policy": {"max_lifetime": "1d", "allowed_scopes": ["content:write"]}});
    app.patch(&admin, &path, policy).await.is(200);
    let inspection = app.inspected(&admin, &token.secret).await;
    assert_eq!(inspection["verdict"], "active");
    let (passed, detail) = check(&inspection, "policy").unwrap();
    assert!(
        !passed && detail.contains("its lifetime") && detail.contains("projects:read"),
        "{detail}"
    );

    let path = format!("/tokens/{}/rotate", token.id);
    app.patch(
        &admin,
        &format!("/organizations/{}", NORTH.name),
        json!({"policy": {}}),
    )
    .await
    .is(200);
    app.post(&admin, &path, json!({"grace_period": "1h"}))
        .await
        .is(201);
    let inspection = app.inspected(&admin, &token.secret).await;
    assert_eq!(inspection["verdict"], "active");
    let (passed, detail) = check(&inspection, "schedule").unwrap();
    assert!(
        !passed && detail.starts_with("revoked from 2026-01-02T04:"),
        "{detail}"
    );
    let of = json!({"organization": NORTH.name, "team": NORTH.team, "reason": "the build server"});
    app.post(&admin, "/revocations", of).await.is(201);
    let inspection = app.inspected(&admin, &token.secret).await;
    assert_eq!(inspection["verdict"], "revoked");
    let (passed, detail) = check(&inspection, "cut_off").unwrap();
    assert!(
        !passed
            && detail.contains(&format!("team={}", NORTH.team_id()))
            && detail.contains(&NORTH.email("admin"))
            && detail.contains("the build server"),
        "{detail}"
    );
}

/// Forged, foreign and unknown tokens have one answer, whatever their state.
#[tokio::test]
async fn a_stranger_cannot_tell_forged_foreign_and_unknown_tokens_apart() {
    let app = TestApp::new().await;
    let foreign = app.organization_token(&NORTH, &["projects:read"]).await;
    let revoked = app.organization_token(&NORTH, &["projects:read"]).await;
    let path = format!("/tokens/{}/revoke", revoked.id);
    app.post(&app.admin_of(&NORTH), &path, json!({})).await.is(201);
    let mut texts: Vec<Value> = [&foreign, &revoked]
        .iter()
        .flat_map(|token| {
            let texts = forgeries(&token.secret)
                .into_iter()
                .map(|(_, text)| json!({"token": text}));
            texts.chain([json!({"token": token.secret}), json!({"jti": token.info["jti"]})])
        })
        .collect();
    texts.push(json!({"jti": "019b76da-a800-7000-8000-0123456789ab"}));
    // Its claims name a token that was never recorded.
    let claims = json!({"iss": crate::harness::ISSUER, "sub": "x", "aud": "x", "client_id": "x", "iat": 1, "exp": 2,
        "jti": "019b76da-a800-7000-8000-0123456789ab", "status": {"status_list": {"idx": 1, "uri": "x"}}});
    let (head, _) = without_prefix(&foreign.secret).split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    texts.push(json!({"token": format!("{head}.{claims}.AAAA")}));
    // A session is shown to nobody else, not even to site administrators.
    let session = app.member_of(&NORTH);
    let strangers = [
        app.outsider(),
        app.member_of(&NORTH),
        app.organization_token(&SOUTH, &["tokens:read"]).await.holder,
        app.team_token(&NORTH, &["tokens:read"]).await.holder,
    ];
    for stranger in &strangers {
        for text in &texts {
            let answer = app.post(stranger, "/tokens/inspect", text.clone()).await;
            assert_eq!(
                answer.fails(404, "not_found").text,
                app.get(stranger, "/tokens/99999999")
                    .await
                    .fails(404, "not_found")
                    .text,
                "{text}"
            );
        }
    }
    for caller in [app.site_admin(), app.admin_of(&NORTH), app.outsider()] {
        let text = json!({"token": session.token()});
        app.post(&caller, "/tokens/inspect", text)
            .await
            .fails(404, "not_found");
    }
    assert_eq!(
        app.inspected(&session, session.token()).await["verdict"],
        "active"
    );
}

#[tokio::test]
async fn a_token_inspects_itself_without_a_scope_and_nothing_else() {
    let app = TestApp::new().await;
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": ["projects:read"],
        "audience": ["https://cdn.example"]});
    let token = app.mint(&app.admin_of(&NORTH), order).await;
    let other = app.organization_token(&NORTH, &["projects:read"]).await;
    let inspection = app.inspected(&token.holder, &token.secret).await;
    assert_eq!(inspection["verdict"], "active");
    assert!(!check(&inspection, "api").unwrap().0);
    let by_jti = json!({"jti": token.info["jti"], "scope": "content:write"});
    let by_jti = app
        .post(&token.holder, "/tokens/inspect", by_jti)
        .await
        .is(200)
        .json();
    assert_eq!(by_jti["verdict"], "insufficient_scope");
    let text = json!({"token": other.secret});
    app.post(&token.holder, "/tokens/inspect", text.clone())
        .await
        .fails(403, "wrong_audience");
    app.post(&other.holder, "/tokens/inspect", json!({"token": token.secret}))
        .await
        .fails(403, "insufficient_scope");
    // Whether it exists plays no part.
    let unknown = json!({"jti": "019b76da-a800-7000-8000-0123456789ab"});
    app.post(&other.holder, "/tokens/inspect", unknown)
        .await
        .fails(403, "insufficient_scope");
}

#[tokio::test]
async fn an_inspection_is_neither_a_use_nor_a_refusal() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let live = app.organization_token(&NORTH, &["projects:read"]).await;
    let revoked = app.organization_token(&NORTH, &["projects:read"]).await;
    let path = format!("/tokens/{}/revoke", revoked.id);
    app.post(&admin, &path, json!({})).await.is(201);
    for token in [&live, &revoked] {
        app.inspected(&admin, &token.secret).await;
        app.write_usage().await;
        let shown = app
            .get(&admin, &format!("/tokens/{}", token.id))
            .await
            .is(200)
            .json();
        assert_eq!(shown["last_used_at"], Value::Null);
        assert_eq!(shown["refused_count"], 0);
    }
}

#[tokio::test]
async fn a_request_names_one_token_and_nothing_of_it_is_echoed() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let token = app.organization_token(&NORTH, &[]).await;
    for (body, faults) in [
        (json!({}), &["value_error at body.token"][..]),
        (
            json!({"token": token.secret, "jti": token.info["jti"]}),
            &["value_error at body.jti"],
        ),
        (
            json!({"token": token.secret, "scope": "x"}),
            &["value_error at body.scope"],
        ),
        (json!({"tokn": token.secret}), &["extra_forbidden at body.tokn"]),
        (json!({"token": [token.secret]}), &["string_type at body.token"]),
        (json!({"token": ""}), &["string_too_short at body.token"]),
        (json!({"jti": token.secret}), &["uuid_parsing at body.jti"]),
    ] {
        let answer = app.post(&admin, "/tokens/inspect", body.clone()).await;
        assert!(!answer.text.contains(without_prefix(&token.secret)), "{body}");
        answer.blames(faults);
    }
}

/// `expired` and `revoked` are said to the holder of a token with a valid signature and a record, and to nobody with a
/// forged token that has its claims.
#[tokio::test]
async fn a_refusal_says_expired_or_revoked_to_the_holder_alone() {
    const ONE_TEXT: &str = "The token is not active.";
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = |expires: &str| json!({"organization": NORTH.name, "owner": "organization", "expires_in": expires, "scopes": MANAGEMENT});
    let expired = app.mint(&admin, order("1m")).await;
    let revoked = app.mint(&admin, order("1y")).await;
    let path = format!("/tokens/{}/revoke", revoked.id);
    app.post(&admin, &path, json!({})).await.is(201);
    app.clock.advance(61);
    let paths = [
        "/tokens/current",
        "/oauth/authorize-request",
        "/oauth/authorize-request/any/path",
        "/api/v2/organizations/northwind/teams",
    ];
    for restarted in [false, true] {
        for (token, said) in [
            (&expired, "The token has expired."),
            (&revoked, "The token is revoked."),
        ] {
            for path in paths {
                let answer = app.get(&token.holder, path).await.is(401);
                let challenge = answer.header("www-authenticate");
                assert!(
                    challenge.contains(&format!("error_description=\"{said}")),
                    "{path}, {restarted}: {challenge}"
                );
                let states_it = answer.text.contains(said);
                assert!(
                    states_it || path.starts_with("/api/v2"),
                    "{path}: {}",
                    answer.text
                );
                for (what, text) in forgeries(&token.secret) {
                    let answer = app.get(&Actor::holding(&text), path).await.is(401);
                    let challenge = answer.header("www-authenticate");
                    assert!(challenge.contains(ONE_TEXT), "{what}, {path}: {challenge}");
                    let all = format!("{challenge}{}", answer.text);
                    assert!(
                        !all.contains("has expired") && !all.contains("is revoked"),
                        "{what}: {all}"
                    );
                }
            }
            // Introspection does not tell why.
            let asks = app
                .organization_token(&NORTH, &["tokens:introspect"])
                .await
                .holder;
            let form = format!("token={}", token.secret);
            let told = app.form(&asks, "/oauth/introspect", &form).await.is(200);
            assert_eq!(told.text, r#"{"active":false}"#);
        }
        app.restart().await;
    }
    // Without its record there is only the signature, which a stolen key can make too.
    let delete = format!("DELETE FROM tokens WHERE id IN ({}, {})", expired.id, revoked.id);
    app.db_change_in(
        &format!("PRAGMA foreign_keys = off; DROP TRIGGER live_token_stays; {delete}"),
        &format!("ALTER TABLE tokens DISABLE TRIGGER ALL; {delete}"),
    );
    for token in [&expired, &revoked] {
        for path in paths {
            let answer = app.get(&token.holder, path).await.is(401);
            let challenge = answer.header("www-authenticate");
            assert!(challenge.contains(ONE_TEXT), "{path}: {challenge}");
        }
    }
}
