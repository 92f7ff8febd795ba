//! `POST /tokens`: the request's fields, and the resulting claims.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, ISSUER, MANAGEMENT, NORTH, SOUTH, TestApp, request};

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Creates a token of the organization as the admin, with additional fields.
async fn ask(app: &TestApp, fields: Value) -> Answer {
    let mut order = json!({"name": "n", "organization": NORTH.name, "owner": "organization"});
    for (field, value) in fields.as_object().unwrap() {
        order[field] = value.clone();
    }
    app.request_token(&app.admin_of(&NORTH), order).await
}

#[tokio::test]
async fn a_token_with_every_field_is_described_as_it_was_asked_for() {
    let app = TestApp::new().await;
    let order = json!({
        "name": "ci", "description": "for the pipeline", "organization": "NorthWind", "owner": "team",
        "team": NORTH.team_id(), "preset": "content_management", "projects": [NORTH.project_id()],
        "audience": ["https://a.example", "https://b.example"], "expires_in": "30d", "slot": "pipeline",
    });
    let answer = app.request_token(&app.team_admin(&NORTH), order).await.is(201);
    assert_eq!(answer.header("cache-control"), "no-store");
    let info = answer.json()["token_info"].clone();
    let id = info["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/tokens/{id}"));
    let expected = json!({
        "id": id, "jti": info["jti"], "name": "ci", "description": "for the pipeline",
        "token_prefix": "jtn_eyJhbGciOi...", "token_hint": &info["jti"].as_str().unwrap()[28..], "token_type": "api", "organization": NORTH.id(),
        "owner": "team", "team": NORTH.team_id(), "user": null,
        "scopes": ["projects:read", "content:write"], "preset": "content_management",
        "projects": [NORTH.project_id()], "audience": ["https://a.example", "https://b.example"],
        "status": "active", "created_at": "2026-01-02T03:05:05.678Z",
        "created_by": NORTH.email("lead"), "last_used_at": null, "last_used_from": null,
        "expires_at": "2026-02-01T03:05:05.678Z", "revoked_at": null, "revoked_by": null,
        "revocation_reason": null, "revocation_effective_at": null, "slot": "pipeline", "rotated_from": null,
        "replaced_by": null, "refused_count": 0, "last_refused_at": null,
    });
    assert_eq!(info, expected);

    let token = answer.text_at("/token");
    assert!(
        token.starts_with("jtn_eyJhbGciOi"),
        "what is shown is how it begins"
    );
    let said = claims(&token);
    assert_eq!(
        said,
        json!({
            "iss": ISSUER, "sub": NORTH.team_id(), "client_id": NORTH.team_id(),
            "aud": ["https://a.example", "https://b.example"], "iat": 1_767_323_105,
            "exp": 1_769_915_105, "jti": info["jti"], "scope": "projects:read content:write",
            "org": NORTH.id(), "team": NORTH.team_id(), "projects": [NORTH.project_id()],
            "status": said["status"],
        })
    );
    let place = &said["status"]["status_list"];
    assert!(
        place["uri"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{ISSUER}/status-lists/"))
    );
    assert!(place["idx"].is_u64());

    // By number and by jti, for callers that manage it; and by the token itself.
    for path in [
        format!("/tokens/{id}"),
        format!("/tokens/{}", info["jti"].as_str().unwrap()),
    ] {
        let shown = app.get(&app.admin_of(&NORTH), &path).await.is(200);
        let mut expected = expected.clone();
        expected["reporting_audiences"] = serde_json::json!([]);
        assert_eq!(shown.json(), expected);
        assert!(!shown.text.contains(&token));
    }
    let current = app.get(&Actor::holding(&token), "/tokens/current").await.is(200);
    assert_eq!(current.json(), expected);
}

#[tokio::test]
async fn with_nothing_but_a_name_it_is_ones_own_for_a_year_with_every_ordinary_scope() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let answer = app.request_token(&member, json!({"name": "n"})).await.is(201);
    let info = answer.json()["token_info"].clone();
    let me = app.get(&member, "/me").await.text_at("/user/id");
    assert_eq!(info["owner"], "user");
    assert_eq!(info["user"], json!(me));
    assert_eq!(info["organization"], NORTH.id());
    assert_eq!(
        info["scopes"],
        json!(["projects:read", "content:write", "subscription:read", "ai:use"])
    );
    assert_eq!(info["audience"], json!([ISSUER]));
    assert_eq!(info["expires_at"], "2027-01-02T03:05:05.678Z");
    assert_eq!(info["projects"], Value::Null);
    assert_eq!(info["preset"], Value::Null);
    let said = claims(&answer.text_at("/token"));
    assert_eq!(said["sub"], json!(me));
    assert_eq!(said.get("projects"), None);
    assert_eq!(said.get("team"), None);
}

#[tokio::test]
async fn a_misspelt_field_makes_no_token_unless_a_client_of_dayzero_sent_it() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let ask = async |path: &str, header: Option<&str>, body: Value| {
        let mut request = request(&member, axum::http::Method::POST, path, Some(body));
        if let Some(header) = header {
            let header = header.parse().unwrap();
            request.headers_mut().insert("x-business-id", header);
        }
        app.send(request).await
    };
    // The intended token has one scope for 30 days.
    let misspelt = json!({"name": "n", "scope": ["projects:read"], "audiences": "x", "expires": "30d"});
    let blamed = [
        "extra_forbidden at body.audiences",
        "extra_forbidden at body.expires",
        "extra_forbidden at body.scope",
    ];
    ask("/tokens", None, misspelt.clone()).await.blames(&blamed);
    let north = Some(NORTH.id());
    ask("/tokens", north, misspelt.clone()).await.is(201);
    // A field unknown to DayZero shows that the body is meant for jeton.
    for (ours, value) in [
        ("preset", json!("content_management")),
        ("expires_in", json!("30d")),
    ] {
        let mut body = misspelt.clone();
        body[ours] = value;
        ask("/tokens", north, body).await.blames(&blamed);
    }
    let token = app.mint(&member, json!({"name": "n"})).await;
    let path = format!("/tokens/{}/revoke", token.id);
    let body = json!({"reason": "leaked", "notify": true});
    let refused = ask(&path, None, body.clone()).await;
    refused.blames(&["extra_forbidden at body.notify"]);
    let forced = json!({"reason": "leaked", "force": true, "notify": true});
    ask(&path, north, forced)
        .await
        .blames(&["extra_forbidden at body.notify"]);
    app.get(&token.holder, "/tokens/current").await.is(200);
    ask(&path, north, body).await.is(201);
    let log_in = json!({"email": "a@example.com", "password": "x", "organization": "north"});
    ask("/login", north, log_in)
        .await
        .blames(&["extra_forbidden at body.organization"]);
}

#[tokio::test]
async fn the_organization_is_the_fields_then_the_headers_then_the_only_one() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let ask = async |field: Option<&str>, header: Option<&str>| {
        let mut order = json!({"name": "n", "owner": "organization"});
        if let Some(field) = field {
            order["organization"] = field.into();
        }
        let mut request = request(&site, axum::http::Method::POST, "/tokens", Some(order));
        if let Some(header) = header {
            request
                .headers_mut()
                .insert("x-business-id", header.parse().unwrap());
        }
        app.send(request).await
    };
    let where_is = |answer: Answer| answer.is(201).text_at("/token_info/organization");
    assert_eq!(
        where_is(ask(Some(NORTH.name), Some(SOUTH.name)).await),
        NORTH.id()
    );
    assert_eq!(where_is(ask(Some(NORTH.id()), None).await), NORTH.id());
    assert_eq!(
        where_is(ask(Some(&NORTH.id().to_uppercase()), None).await),
        NORTH.id()
    );
    assert_eq!(where_is(ask(None, Some("SOUTHGATE")).await), SOUTH.id());
    assert_eq!(where_is(ask(None, Some(SOUTH.id())).await), SOUTH.id());
    let only = where_is(ask(None, None).await);
    let default = app.get(&site, "/organizations/default").await.text_at("/id");
    assert_eq!(only, default);
    ask(Some("there-is-none"), None).await.fails(404, "not_found");

    // With two organizations there is no default.
    let path = format!("/organizations/{}/members/admin@example.com", NORTH.name);
    app.put(&app.site_admin(), &path, json!({"role": "member"}))
        .await
        .is(204);
    let answer = ask(None, None).await.fails(400, "organization_needed");
    assert!(answer.text.contains("x-business-id"), "says what to do");
}

#[tokio::test]
async fn the_lifetime_can_be_given_in_three_ways() {
    let app = TestApp::new().await;
    let ends = async |fields: Value| {
        let answer = ask(&app, fields).await.is(201);
        let exp = claims(&answer.text_at("/token"))["exp"].as_i64().unwrap();
        (answer.text_at("/token_info/expires_at"), exp)
    };
    for (fields, at, exp) in [
        (
            json!({"expires_in": "45s"}),
            "2026-01-02T03:05:50.678Z",
            1_767_323_150,
        ),
        (
            json!({"expires_in": "15m"}),
            "2026-01-02T03:20:05.678Z",
            1_767_324_005,
        ),
        (
            json!({"expires_in": "12h"}),
            "2026-01-02T15:05:05.678Z",
            1_767_366_305,
        ),
        (
            json!({"expires_in": "2w"}),
            "2026-01-16T03:05:05.678Z",
            1_768_532_705,
        ),
        (
            json!({"expires_in": "1y"}),
            "2027-01-02T03:05:05.678Z",
            1_798_859_105,
        ),
        (
            json!({"expires_in_days": 1}),
            "2026-01-03T03:05:05.678Z",
            1_767_409_505,
        ),
        (
            json!({"expires_in_days": "365"}),
            "2027-01-02T03:05:05.678Z",
            1_798_859_105,
        ),
        (
            json!({"expires_in_days": null}),
            "2027-01-02T03:05:05.678Z",
            1_798_859_105,
        ),
        (
            json!({"expires_at": "2026-02-03T04:05:06+01:00"}),
            "2026-02-03T03:05:06.000Z",
            1_770_087_906,
        ),
        // Never is the last second of the year 9999 in claims, which require `exp`, and null in
        // responses.
        (json!({"expires_in": "never"}), "", 253_402_300_799),
    ] {
        assert_eq!(ends(fields.clone()).await, (at.to_owned(), exp), "{fields}");
    }
    for (fields, faults) in [
        (
            json!({"expires_in": "30D"}),
            &["value_error at body.expires_in"][..],
        ),
        (json!({"expires_in": ""}), &["value_error at body.expires_in"]),
        (json!({"expires_in": 30}), &["string_type at body.expires_in"]),
        (json!({"expires_in": "101y"}), &["value_error at body.expires_in"]),
        (
            json!({"expires_in_days": 0}),
            &["greater_than_equal at body.expires_in_days"],
        ),
        (
            json!({"expires_in_days": 366}),
            &["less_than_equal at body.expires_in_days"],
        ),
        (
            json!({"expires_in_days": 1.5}),
            &["int_from_float at body.expires_in_days"],
        ),
        (
            json!({"expires_at": "yesterday"}),
            &["datetime_from_date_parsing at body.expires_at"],
        ),
        (
            json!({"expires_at": "2026-01-02T03:05:05Z"}),
            &["value_error at body.expires_at"],
        ),
        (
            json!({"expires_in": "1d", "expires_in_days": 1}),
            &["value_error at body.expires_in_days"],
        ),
        (
            json!({"expires_in": "1d", "expires_at": "2027-01-01"}),
            &["value_error at body.expires_at"],
        ),
    ] {
        let answer = ask(&app, fields.clone()).await;
        assert_eq!(answer.status, 422, "{fields}: {}", answer.text);
        assert_eq!(answer.faults(), faults, "{fields}: {}", answer.text);
    }
}

#[tokio::test]
async fn all_violations_are_reported_in_field_order() {
    let app = TestApp::new().await;
    let long = "x".repeat(2001);
    let everything = json!({
        "name": "", "description": long, "organization": 5, "owner": "nobody", "team": 5,
        "scopes": ["projects:read", 5], "preset": "y".repeat(65), "projects": "all", "audience": 5,
        "expires_in": "soon", "expires_in_days": 1000, "expires_at": 5,
    });
    let answer = app.request_token(&app.admin_of(&NORTH), everything).await;
    answer.blames(&[
        "string_too_short at body.name",
        "string_too_long at body.description",
        "string_type at body.organization",
        "literal_error at body.owner",
        "string_type at body.team",
        "string_type at body.scopes.1",
        "string_too_long at body.preset",
        "list_type at body.projects",
        "list_type at body.audience",
        "value_error at body.expires_in",
        "less_than_equal at body.expires_in_days",
        "datetime_type at body.expires_at",
    ]);
    let missing = app.request_token(&app.admin_of(&NORTH), json!({})).await;
    missing.blames(&["missing at body.name"]);
}

#[tokio::test]
async fn fields_that_the_authority_refuses_are_422() {
    let app = TestApp::new().await;
    let many: Vec<String> = (0..21).map(|n| format!("https://{n}.example")).collect();
    for (fields, faults) in [
        (
            json!({"scopes": ["projects:read", "no:such"]}),
            &["value_error at body.scopes.1"][..],
        ),
        (
            json!({"scopes": ["revocations:read"]}),
            &["value_error at body.scopes.0"],
        ),
        (json!({"preset": "none"}), &["value_error at body.preset"]),
        (
            json!({"scopes": [], "preset": "content_management"}),
            &["value_error at body.preset"],
        ),
        (json!({"projects": []}), &["value_error at body.projects"]),
        (
            json!({"projects": [NORTH.project_id(), 999]}),
            &["value_error at body.projects.1"],
        ),
        (
            json!({"projects": [SOUTH.project_id()]}),
            &["value_error at body.projects.0"],
        ),
        (json!({"projects": [-1]}), &["value_error at body.projects.0"]),
        (
            json!({"projects": [4_294_967_297_i64]}),
            &["value_error at body.projects.0"],
        ),
        (json!({"owner": "team"}), &["value_error at body.owner"]),
        (json!({"team": NORTH.team}), &["value_error at body.team"]),
        (json!({"audience": []}), &["value_error at body.audience"]),
        (json!({"audience": many}), &["value_error at body.audience"]),
        (json!({"audience": "a\nb"}), &["value_error at body.audience.0"]),
        (
            json!({"audience": ["x".repeat(2049)]}),
            &["value_error at body.audience"],
        ),
        (
            json!({"scopes": ["no:such"], "projects": [999], "expires_at": "2020-01-01"}),
            &[
                "value_error at body.scopes.0",
                "value_error at body.projects.0",
                "value_error at body.expires_at",
            ],
        ),
    ] {
        let answer = ask(&app, fields.clone()).await;
        assert_eq!(answer.status, 422, "{fields}: {}", answer.text);
        assert_eq!(answer.faults(), faults, "{fields}: {}", answer.text);
    }
    let answer = ask(&app, json!({"owner": "team", "team": SOUTH.team})).await;
    answer.fails(404, "not_found");
    // None of these has created a token.
    let listed = app
        .get(&app.admin_of(&NORTH), "/tokens?include_total_count=true")
        .await;
    assert_eq!(listed.is(200).json()["total"], 0);
}

#[tokio::test]
async fn scopes_stand_in_the_catalogues_order_and_once() {
    let app = TestApp::new().await;
    let scopes = ["ai:use", "tokens:read", "projects:read", "ai:use"];
    let order = json!({"scopes": scopes, "audience": "https://api.example"});
    let info = ask(&app, order).await.is(201).json()["token_info"].clone();
    assert_eq!(info["scopes"], json!(["tokens:read", "projects:read", "ai:use"]));
    // A management scope has no effect if the token's audience excludes the authority.
    assert_eq!(info["audience"], json!(["https://api.example", ISSUER]));
    // A token without scopes has no `scope` claim: an empty one would be malformed, and the token
    // invalid.
    let none = ask(&app, json!({"scopes": []})).await.is(201);
    assert_eq!(none.json()["token_info"]["scopes"], json!([]));
    assert_eq!(claims(&none.text_at("/token")).get("scope"), None);
    let holder = Actor::holding(&none.text_at("/token"));
    app.get(&holder, "/me").await.is(200);
}

#[tokio::test]
async fn the_policy_of_an_organization_holds_for_the_next_token() {
    let app = TestApp::new().await;
    let home = format!("/organizations/{}", NORTH.name);
    let admin = app.admin_of(&NORTH);
    let policy = json!({"policy": {"max_lifetime": "1d", "max_active_tokens_per_owner": 2}});
    app.patch(&admin, &home, policy).await.is(200);
    for fields in [json!({"expires_in": "86401s"}), json!({"expires_in": "never"})] {
        ask(&app, fields)
            .await
            .blames(&["value_error at body.expires_in"]);
    }
    ask(&app, json!({"expires_in_days": 2}))
        .await
        .blames(&["value_error at body.expires_in_days"]);
    // A default is reduced; and refused requests have not used up the limit.
    let first = ask(&app, json!({})).await.is(201);
    assert_eq!(
        first.text_at("/token_info/expires_at"),
        "2026-01-03T03:05:05.678Z"
    );
    ask(&app, json!({"expires_in": "1d"})).await.is(201);
    ask(&app, json!({})).await.fails(409, "limit_reached");
    // Each owner has its own count, and invalid fields are reported before the limit.
    app.personal_token(&admin, &NORTH, &[]).await;
    app.team_token(&NORTH, &[]).await;
    ask(&app, json!({"scopes": ["no:such"]})).await.is(422);
    let path = format!("/tokens/{}/revoke", first.text_at("/token_info/id"));
    app.post(&admin, &path, json!({})).await.is(201);
    ask(&app, json!({})).await.is(201);
    ask(&app, json!({})).await.fails(409, "limit_reached");
    app.clock.advance(86_400);
    // Expired tokens do not count. The harness's sessions have expired too.
    let token = app
        .log_in(
            "admin@example.com",
            &crate::harness::password("admin@example.com"),
        )
        .await;
    let site = Actor::holding(&token.is(200).text_at("/token"));
    let order = json!({"name": "n", "organization": NORTH.name, "owner": "organization"});
    app.request_token(&site, order).await.is(201);
}

/// An owner at the limit can issue again in the second in which a token ends, however recently its tokens were
/// counted.
#[tokio::test]
async fn what_has_ended_makes_room_at_once() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let limit = async |most: Option<u32>| {
        let policy = json!({"policy": {"max_active_tokens_per_owner": most}});
        let home = format!("/organizations/{}", NORTH.name);
        app.patch(&admin, &home, policy).await.is(200);
    };
    limit(Some(1)).await;
    ask(&app, json!({"expires_in": "30s"})).await.is(201);
    let full = async || ask(&app, json!({})).await.fails(409, "limit_reached");
    full().await;
    app.clock.advance(29);
    full().await;
    app.clock.advance(1);
    let token = ask(&app, json!({})).await.is(201);
    full().await;
    let path = format!("/tokens/{}/revoke", token.text_at("/token_info/id"));
    app.post(&admin, &path, json!({})).await.is(201);
    ask(&app, json!({})).await.is(201);
    full().await;
    let everything = json!({"organization": NORTH.name});
    app.post(&admin, "/revocations", everything).await.is(201);
    app.clock.advance(1);
    ask(&app, json!({})).await.is(201);
    full().await;
    // What is issued without a limit counts once there is one again.
    limit(None).await;
    ask(&app, json!({})).await.is(201);
    limit(Some(2)).await;
    full().await;
    limit(Some(3)).await;
    ask(&app, json!({})).await.is(201);
    full().await;
}

#[tokio::test]
async fn only_site_administrators_create_tokens_of_the_deployment() {
    let app = TestApp::new().await;
    let order = json!({"name": "feed", "owner": "deployment", "scopes": ["revocations:read"]});
    let answer = app.request_token(&app.site_admin(), order.clone()).await.is(201);
    let info = answer.json()["token_info"].clone();
    assert_eq!(
        (&info["owner"], &info["organization"]),
        (&json!("deployment"), &Value::Null)
    );
    assert_eq!(claims(&answer.text_at("/token")).get("org"), None);
    app.request_token(&app.admin_of(&NORTH), order)
        .await
        .fails(403, "forbidden");
    let confined = json!({"name": "n", "owner": "deployment", "organization": NORTH.name});
    app.request_token(&app.site_admin(), confined)
        .await
        .blames(&["value_error at body.organization"]);
    let projects = json!({"name": "n", "owner": "deployment", "projects": [1]});
    app.request_token(&app.site_admin(), projects)
        .await
        .blames(&["value_error at body.projects"]);
    // It sees every organization, but may not do what needs a session.
    let token = app.deployment_token(&MANAGEMENT).await.holder;
    app.get(&token, &format!("/organizations/{}", SOUTH.name))
        .await
        .is(200);
    app.get(&token, "/users").await.fails(403, "session_needed");
}

#[tokio::test]
async fn name_and_description_can_be_changed() {
    let app = TestApp::new().await;
    let token = app
        .personal_token(&app.member_of(&NORTH), &NORTH, &["projects:read"])
        .await;
    let path = format!("/tokens/{}", token.id);
    let member = app.member_of(&NORTH);
    let changed = app
        .patch(&member, &path, json!({"name": "new", "description": "why"}))
        .await
        .is(200);
    assert_eq!(
        (changed.text_at("/name"), changed.text_at("/description")),
        ("new".into(), "why".into())
    );
    let changed = app
        .patch(&member, &path, json!({"description": null}))
        .await
        .is(200);
    assert_eq!(changed.text_at("/name"), "new");
    assert_eq!(changed.json()["description"], Value::Null);
    assert_eq!(
        changed.json()["scopes"],
        json!(["projects:read"]),
        "what it can do never changes"
    );
    // The token itself shows it at once, although it is cached.
    let current = app.get(&token.holder, "/tokens/current").await.is(200);
    assert_eq!(current.text_at("/name"), "new");
    app.patch(&member, &path, json!({})).await.is(200);
    for (change, fault) in [
        (json!({"scopes": ["ai:use"]}), "extra_forbidden at body.scopes"),
        (json!({"name": ""}), "string_too_short at body.name"),
        (json!({"name": null}), "string_type at body.name"),
        (json!({"name": "x".repeat(256)}), "string_too_long at body.name"),
        (
            json!({"description": "x".repeat(2001)}),
            "string_too_long at body.description",
        ),
    ] {
        app.patch(&member, &path, change).await.blames(&[fault]);
    }
}

/// Not every database can store U+0000, and C libraries end a text there.
#[tokio::test]
async fn a_text_with_the_character_u_0000_is_422() {
    let app = TestApp::new().await;
    for fields in [
        json!({"name": "a\u{0}b"}),
        json!({"description": "\u{0}"}),
        json!({"audience": ["https://a.example", "b\u{0}"]}),
    ] {
        let field = fields.as_object().unwrap().keys().next().unwrap().clone();
        let detail = ask(&app, fields).await.is(422).json()["detail"][0].clone();
        assert_eq!(detail["loc"][1], json!(field), "{detail}");
        assert_eq!(detail["type"], "value_error", "{detail}");
    }
}

/// A token gives no other audience than its own.
#[tokio::test]
async fn an_audience_is_bounded_by_the_makers() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"organization": NORTH.name, "owner": "organization",
        "scopes": ["tokens:write", "tokens:read"], "audience": ["https://a.example"]});
    let maker = app.mint(&admin, order).await.holder;
    let new = |audience: Value| {
        let mut order =
            json!({"name": "n", "organization": NORTH.name, "owner": "organization", "scopes": []});
        if !audience.is_null() {
            order["audience"] = audience;
        }
        order
    };
    app.post(
        &maker,
        "/tokens",
        new(json!(["https://a.example", "https://b.example"])),
    )
    .await
    .blames(&["value_error at body.audience.1"]);
    for (asked, given) in [
        (json!(["https://a.example"]), json!(["https://a.example"])),
        (json!([ISSUER]), json!([ISSUER])),
        (Value::Null, json!([ISSUER])),
    ] {
        let made = app.post(&maker, "/tokens", new(asked)).await.is(201).json();
        assert_eq!(made["token_info"]["audience"], given);
    }
    // A session gives every audience.
    let body = new(json!(["https://b.example"]));
    app.post(&admin, "/tokens", body).await.is(201);
}
