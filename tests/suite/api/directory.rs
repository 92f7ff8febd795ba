//! Organizations, teams, members, users and projects.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, MANAGEMENT, NORTH, SOUTH, TestApp, password};

fn home() -> String {
    format!("/organizations/{}", NORTH.name)
}

async fn follow(app: &TestApp, actor: &Actor, made: &Answer) -> Answer {
    let location = made.header("location").to_owned();
    assert!(location.starts_with("/api/v1/"), "{location}");
    app.get(actor, &location).await
}

#[tokio::test]
async fn the_creator_of_an_organization_is_its_admin() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let order = json!({"name": "Brand.New_1", "email": "ops@example.com",
        "notification_url": "https://example.com/n", "policy": {"max_lifetime": "1m"}});
    let made = app.post(&member, "/organizations", order).await.is(201);
    let expected = json!({
        "id": made.json()["id"], "name": "Brand.New_1", "email": "ops@example.com",
        "notification_url": "https://example.com/n",
        "policy": {"max_lifetime": "1m", "default_lifetime": null, "max_active_tokens_per_owner": null,
            "keep_last_token": false, "allowed_scopes": null, "allowed_presets": null,
            "default_preset": null},
        "created_at": "2026-01-02T03:05:05.678Z",
    });
    assert_eq!(made.json(), expected);
    assert_eq!(follow(&app, &member, &made).await.is(200).json(), expected);
    let members = app
        .get(&member, "/organizations/brand.new_1/members")
        .await
        .is(200)
        .json();
    assert_eq!(members["items"][0]["email"], NORTH.email("member"));
    assert_eq!(members["items"][0]["role"], "admin");
    assert_eq!(members["items"].as_array().unwrap().len(), 1);
    // Names ignore case everywhere.
    app.get(&member, "/organizations/BRAND.NEW_1").await.is(200);
    let again = app
        .post(&member, "/organizations", json!({"name": "bRAND.nEW_1"}))
        .await;
    again.fails(409, "name_taken");
    // Ids ignore case too, and cannot be names.
    let id = made.text_at("/id");
    app.get(&member, &format!("/organizations/{}", id.to_uppercase()))
        .await
        .is(200);
    for name in [
        id.as_str(),
        "team-AAAAAAAAAAAAAAAA",
        "",
        "-a",
        "a b",
        "a/b",
        "ä",
        &"x".repeat(91),
    ] {
        let answer = app.post(&member, "/organizations", json!({"name": name})).await;
        answer.blames(&["value_error at body.name"]);
    }
}

#[tokio::test]
async fn an_organization_is_changed_field_by_field() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let policy = json!({"policy": {"max_lifetime": "1m", "max_active_tokens_per_owner": 1}});
    app.patch(&admin, &home(), policy).await.is(200);
    app.patch(&admin, &home(), json!({"email": "a@example.com"}))
        .await
        .is(200);
    let changed = app.patch(&admin, &home(), json!({})).await.is(200).json();
    assert_eq!(changed["email"], "a@example.com");
    // Fields of the policy that are not named stay.
    let change = json!({"policy": {"keep_last_token": true, "default_lifetime": "60s"}, "email": null});
    let changed = app.patch(&admin, &home(), change).await.is(200).json();
    assert_eq!(changed["email"], Value::Null);
    assert_eq!(
        changed["policy"],
        json!({"max_lifetime": "1m", "default_lifetime": "1m", "max_active_tokens_per_owner": 1,
            "keep_last_token": true, "allowed_scopes": null, "allowed_presets": null, "default_preset": null})
    );
    let change = json!({"policy": {"max_lifetime": null, "default_lifetime": null, "keep_last_token": null,
        "max_active_tokens_per_owner": null}});
    let changed = app.patch(&admin, &home(), change).await.is(200).json();
    assert_eq!(
        changed["policy"],
        json!({"max_lifetime": null, "default_lifetime": null, "max_active_tokens_per_owner": null,
            "keep_last_token": false, "allowed_scopes": null, "allowed_presets": null, "default_preset": null})
    );
    for (change, fault) in [
        (json!({"name": SOUTH.id()}), "value_error at body.name"),
        (
            json!({"policy": {"max_lifetime": "59s"}}),
            "value_error at body.policy.max_lifetime",
        ),
        (
            json!({"policy": {"default_lifetime": 7_776_000}}),
            "string_type at body.policy.default_lifetime",
        ),
        (json!({"policy": 5}), "model_attributes_type at body.policy"),
        (
            json!({"notification_url": "x".repeat(2049)}),
            "value_error at body.notification_url",
        ),
        (
            json!({"notification_url": "javascript:alert(1)"}),
            "value_error at body.notification_url",
        ),
        (
            json!({"notification_url": "example.com/n"}),
            "value_error at body.notification_url",
        ),
        (json!({"email": "nobody"}), "value_error at body.email"),
    ] {
        app.patch(&admin, &home(), change).await.blames(&[fault]);
    }
    let made = json!({"name": "unreachable", "email": "nobody", "notification_url": "ftp://example.com"});
    app.post(&admin, "/organizations", made).await.blames(&[
        "value_error at body.email",
        "value_error at body.notification_url",
    ]);
    app.patch(&admin, &home(), json!({"name": "SouthGate"}))
        .await
        .fails(409, "name_taken");
    app.patch(&admin, &home(), json!({"name": "NORTHWIND"}))
        .await
        .is(200);
}

#[tokio::test]
async fn a_summary_counts_the_tokens_that_the_caller_may_manage() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let member = app.member_of(&NORTH);
    let lead = app.team_admin(&NORTH);
    let path = format!("{}/summary", home());
    let summary = async |actor: &Actor| {
        let counts = app.get(actor, &path).await.is(200).json();
        ["active", "expired", "revoked"].map(|status| counts[status].as_i64().unwrap())
    };
    let all = async || {
        [
            summary(&admin).await,
            summary(&member).await,
            summary(&lead).await,
        ]
    };
    let before = all().await;
    let since = async || {
        let now = all().await;
        [0, 1, 2].map(|actor| [0, 1, 2].map(|status| now[actor][status] - before[actor][status]))
    };
    let organization = app.organization_token(&NORTH, &["tokens:read"]).await;
    app.team_token(&NORTH, &[]).await;
    let personal = app.personal_token(&member, &NORTH, &[]).await;
    app.organization_token(&SOUTH, &[]).await;
    assert_eq!(since().await, [[3, 0, 0], [1, 0, 0], [1, 0, 0]]);
    let short = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1m"});
    let revoked_early = app.mint(&admin, short.clone()).await;
    app.mint(&admin, short).await;
    assert_eq!(since().await, [[5, 0, 0], [1, 0, 0], [1, 0, 0]]);
    for token in [&personal, &revoked_early] {
        app.post(&admin, &format!("/tokens/{}/revoke", token.id), json!({}))
            .await
            .is(201);
    }
    assert_eq!(since().await, [[3, 0, 2], [0, 0, 1], [1, 0, 0]]);
    app.clock.advance(61);
    // A revoked token that has expired counts as revoked.
    assert_eq!(since().await, [[2, 1, 2], [0, 0, 1], [1, 0, 0]]);
    for actor in [app.site_admin(), organization.holder] {
        assert_eq!(summary(&actor).await, summary(&admin).await);
    }
}

/// Each number of a summary is that of the list with the filter that it names.
#[tokio::test]
async fn a_summary_agrees_with_the_list() {
    let app = TestApp::new().await;
    let mint = async |admin: &Actor, expires_in: &str| {
        let new = json!({"organization": NORTH.name, "owner": "organization", "expires_in": expires_in});
        app.mint(admin, new).await
    };
    let log_in = async |role: &str| {
        let address = NORTH.email(role);
        let session = app.log_in(&address, &password(&address)).await.is(200);
        Actor::holding(&session.text_at("/token"))
    };
    let early = app.admin_of(&NORTH);
    let (unused, used) = (mint(&early, "365d").await, mint(&early, "365d").await);
    let mine = app
        .personal_token(&app.member_of(&NORTH), &NORTH, &["tokens:read"])
        .await;
    app.clock.advance(91 * 86_400);
    let admin = log_in("admin").await;
    for expires_in in ["1m", "7d", "8d", "30d"] {
        mint(&admin, expires_in).await;
    }
    let (soon, revoked) = (mint(&admin, "6d").await, mint(&admin, "6d").await);
    let path = format!("/tokens/{}/revoke", revoked.id);
    app.post(&admin, &path, json!({})).await.is(201);
    app.get(&used.holder, "/me").await.is(200);
    app.write_usage().await;
    app.clock.advance(61);
    for actor in [&admin, &log_in("member").await] {
        let summary = app.get(actor, &format!("{}/summary", home())).await.is(200);
        let (before, since) = (
            summary.text_at("/expires_before"),
            summary.text_at("/unused_since"),
        );
        let summary = summary.json();
        let listed = async |number: &str, filter: &str| {
            let path = format!("/tokens?organization={}&limit=1000&{filter}", NORTH.name);
            let found = app.get(actor, &path).await.is(200).each("id");
            assert_eq!(summary[number], found.len(), "{number}");
            found
        };
        for status in ["active", "expired", "revoked"] {
            listed(status, &format!("status={status}")).await;
        }
        let expiring = listed("expiring", &format!("status=active&expires_before={before}")).await;
        let disused = listed("unused", &format!("status=active&unused_since={since}")).await;
        let sees_all = actor.token() == admin.token();
        assert!(!expiring.contains(&revoked.id) && !disused.contains(&used.id));
        assert_eq!(expiring.contains(&soon.id), sees_all);
        assert_eq!(disused.contains(&unused.id), sees_all);
        assert!(disused.contains(&mine.id));
    }
}

#[tokio::test]
async fn lists_are_in_the_order_of_names_and_go_on_where_they_stopped() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    for name in ["Zeta", "alpha", "Beta"] {
        app.post(&site, "/organizations", json!({"name": name}))
            .await
            .is(201);
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app
            .get(&site, &format!("/organizations?limit=2{cursor}"))
            .await
            .is(200);
        found.extend(page.each("name"));
        cursor = format!("&cursor={}", page.text_at("/next_cursor"));
        if page.json()["has_next"] == false {
            assert_eq!(page.json()["next_cursor"], Value::Null);
            break;
        }
    }
    assert_eq!(
        found,
        ["alpha", "Beta", "default", NORTH.name, SOUTH.name, "Zeta"]
    );
    for (actor, expected) in [
        (app.member_of(&NORTH), &[NORTH.name][..]),
        (
            app.organization_token(&SOUTH, &MANAGEMENT).await.holder,
            &[SOUTH.name],
        ),
        (app.team_token(&NORTH, &MANAGEMENT).await.holder, &[NORTH.name]),
    ] {
        assert_eq!(
            app.get(&actor, "/organizations").await.is(200).each("name"),
            expected
        );
    }
    app.get(&site, "/organizations?limit=0")
        .await
        .blames(&["greater_than_equal at query.limit"]);
}

#[tokio::test]
async fn a_team_has_a_name_in_its_organization_and_an_id_everywhere() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let teams = format!("{}/teams", home());
    let made = app.post(&admin, &teams, json!({"name": "Runners"})).await.is(201);
    let id = made.text_at("/id");
    assert!(id.starts_with("team-") && id.len() == 21, "{id}");
    let expected = json!({"id": id, "name": "Runners", "organization": NORTH.id(),
        "created_at": "2026-01-02T03:05:05.678Z"});
    assert_eq!(made.json(), expected);
    assert_eq!(follow(&app, &admin, &made).await.is(200).json(), expected);
    for reference in ["runners", "RUNNERS", &id] {
        app.get(&admin, &format!("{teams}/{reference}")).await.is(200);
    }
    app.post(&admin, &teams, json!({"name": "RUNNERS"}))
        .await
        .fails(409, "name_taken");
    let elsewhere = format!("/organizations/{}/teams", SOUTH.name);
    app.post(&app.admin_of(&SOUTH), &elsewhere, json!({"name": "runners"}))
        .await
        .is(201);
    // By id too, a team exists only below its organization.
    let answer = app.get(&app.site_admin(), &format!("{elsewhere}/{id}")).await;
    answer.fails(404, "not_found");
    assert_eq!(
        app.get(&admin, &teams).await.is(200).each("name"),
        [NORTH.team, "Runners"]
    );
    app.delete(&admin, &format!("{teams}/{id}")).await.is(204);
    app.delete(&admin, &format!("{teams}/{id}"))
        .await
        .fails(404, "not_found");
}

#[tokio::test]
async fn a_team_is_renamed_and_its_tokens_live_on() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let token = app.team_token(&NORTH, &["organizations:read"]).await;
    app.post(&admin, &format!("{}/teams", home()), json!({"name": "ops"}))
        .await
        .is(201);
    let path = format!("{}/teams/{}", home(), NORTH.team);
    app.patch(&admin, &path, json!({"name": "OPS"}))
        .await
        .fails(409, "name_taken");
    app.patch(&admin, &path, json!({"name": null})).await.is(422);
    let as_it_was = app.patch(&admin, &path, json!({})).await.is(200);
    assert_eq!(as_it_was.text_at("/name"), NORTH.team);
    let renamed = app.patch(&admin, &path, json!({"name": "Crew.2"})).await.is(200);
    assert_eq!(renamed.text_at("/name"), "Crew.2");
    assert_eq!(renamed.text_at("/id"), NORTH.team_id());
    app.get(&admin, &path).await.fails(404, "not_found");
    app.get(&token.holder, &format!("{}/teams/crew.2", home()))
        .await
        .is(200);
    app.get(&token.holder, &format!("{}/teams/{}", home(), NORTH.team_id()))
        .await
        .is(200);
}

#[tokio::test]
async fn a_project_has_a_number_that_is_never_used_again() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let projects = format!("{}/projects", home());
    let made = app
        .post(&admin, &projects, json!({"name": "Website"}))
        .await
        .is(201);
    let id = made.json()["id"].as_u64().unwrap();
    assert_eq!(
        made.header("location"),
        format!("/api/v1/organizations/{}/projects/{id}", NORTH.id())
    );
    app.post(&admin, &projects, json!({"name": "website"}))
        .await
        .fails(409, "name_taken");
    let path = format!("{projects}/{id}");
    app.delete(&app.admin_of(&SOUTH), &path)
        .await
        .fails(404, "not_found");
    let foreign = format!("/organizations/{}/projects/{id}", SOUTH.name);
    app.delete(&app.admin_of(&SOUTH), &foreign)
        .await
        .fails(404, "not_found");
    app.delete(&admin, &path).await.is(204);
    app.delete(&admin, &path).await.fails(404, "not_found");
    let again = app
        .post(&admin, &projects, json!({"name": "website"}))
        .await
        .is(201);
    assert!(again.json()["id"].as_u64().unwrap() > id);
    for (id, fault) in [
        ("0", "greater_than_equal at path.id"),
        ("2147483648", "less_than_equal at path.id"),
        ("x", "int_parsing at path.id"),
    ] {
        app.delete(&admin, &format!("{projects}/{id}"))
            .await
            .blames(&[fault]);
    }
}

#[tokio::test]
async fn the_last_admin_of_an_organization_stays() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let member = |role: &str| format!("{}/members/{}", home(), NORTH.email(role));
    app.delete(&admin, &member("admin"))
        .await
        .fails(409, "last_admin");
    let demoted = json!({"role": "member"});
    app.put(&admin, &member("admin"), demoted.clone())
        .await
        .fails(409, "last_admin");
    app.put(&admin, &member("lead"), json!({"role": "admin"}))
        .await
        .is(204);
    app.put(&admin, &member("admin"), demoted).await.is(204);
    // They are no admin from that response on.
    app.delete(&admin, &member("member"))
        .await
        .fails(403, "forbidden");
    app.delete(&app.team_admin(&NORTH), &member("admin"))
        .await
        .is(204);
    app.get(&admin, &home()).await.fails(404, "not_found");
    app.put(&admin, &member("admin"), json!({"role": "admin"}))
        .await
        .fails(404, "not_found");
}

#[tokio::test]
async fn an_unknown_address_is_answered_like_a_known_one_and_counts_once_it_is_somebody() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let path = format!("{}/members/Later@Example.com", home());
    let known = format!("{}/members/{}", home(), SOUTH.email("member"));
    let role = json!({"role": "member"});
    let unknown = app.put(&admin, &path, role.clone()).await.is(204);
    let known = app.put(&admin, &known, role).await.is(204);
    assert_eq!(unknown.text, known.text);
    let listed = app
        .get(&admin, &format!("{}/members", home()))
        .await
        .is(200)
        .json();
    let listed = listed["items"].as_array().unwrap();
    for email in ["later@example.com", &SOUTH.email("member")] {
        let waits = json!({"id": null, "email": email, "role": "member", "status": "invited"});
        assert!(listed.contains(&waits), "{listed:?}");
    }
    let planted = format!("{}/members/backdoor@example.com", home());
    app.put(&admin, &planted, json!({"role": "admin"})).await.is(204);
    app.delete(&admin, &planted).await.is(204);
    let listed = app.get(&admin, &format!("{}/members", home())).await.is(200);
    assert!(!listed.each("email").contains(&"backdoor@example.com".to_owned()));
    let account = json!({"email": "later@example.com", "password": "long enough"});
    app.post(&app.site_admin(), "/users", account).await.is(201);
    let session = app.log_in("later@example.com", "long enough").await.is(200);
    let session = Actor::holding(&session.text_at("/token"));
    app.get(&session, &home()).await.fails(404, "not_found");
    let accept = format!("/me/invitations/{}/accept", NORTH.name);
    app.post(&session, &accept, json!({})).await.is(204);
    app.get(&session, &home()).await.is(200);
    for (path, fault) in [
        ("members/nobody", "value_error at path.email"),
        ("teams/polar-crew/members/nobody", "value_error at path.email"),
    ] {
        let path = format!("{}/{path}", home());
        app.put(&admin, &path, json!({"role": "owner"}))
            .await
            .blames(&[fault, "literal_error at body.role"]);
    }
}

#[tokio::test]
async fn only_an_admin_of_the_organization_brings_strangers_into_a_team() {
    let app = TestApp::new().await;
    let stranger = SOUTH.email("member");
    let path = format!("{}/teams/{}/members/{stranger}", home(), NORTH.team);
    let role = json!({"role": "member"});
    let refused = app
        .put(&app.team_admin(&NORTH), &path, role.clone())
        .await
        .fails(409, "not_a_member");
    // The response does not reveal whether a user has the address.
    let nobody = path.replace(&stranger, "nobody@example.com");
    let unknown = app.put(&app.team_admin(&NORTH), &nobody, role.clone()).await;
    assert_eq!(unknown.text, refused.text);
    app.put(&app.admin_of(&NORTH), &path, role).await.is(204);
    let accept = format!("/me/invitations/{}/accept", NORTH.name);
    app.post(&app.member_of(&SOUTH), &accept, json!({})).await.is(204);
    app.get(&app.member_of(&SOUTH), &home()).await.is(200);
    let members = format!("{}/teams/{}/members", home(), NORTH.team);
    let members = app.get(&app.admin_of(&NORTH), &members).await.is(200);
    assert_eq!(members.each("email"), [NORTH.email("lead"), stranger]);
}

#[tokio::test]
async fn a_person_is_made_shown_changed_and_removed_by_site_administrators() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let order = json!({"email": " Ada+x@Example.com", "password": "long enough", "first_name": "Ada",
        "last_name": "Byron", "username": "ada"});
    let made = app.post(&site, "/users", order).await.is(201);
    let expected = json!({
        "id": made.json()["id"], "email": "ada+x@example.com", "first_name": "Ada",
        "last_name": "Byron", "username": "ada", "site_admin": false, "disabled_at": null,
        "created_at": "2026-01-02T03:05:05.678Z",
    });
    assert_eq!(made.json(), expected);
    assert!(made.text_at("/id").starts_with("user-"));
    assert_eq!(follow(&app, &site, &made).await.is(200).json(), expected);
    let again = json!({"email": "ADA+X@example.com", "password": "long enough"});
    app.post(&site, "/users", again).await.fails(409, "name_taken");
    let path = "/users/ada%2Bx@example.com";
    let changed = app
        .patch(&site, path, json!({"first_name": null, "disabled": true}))
        .await
        .is(200)
        .json();
    assert_eq!(changed["first_name"], Value::Null);
    assert_eq!(changed["last_name"], "Byron");
    assert_eq!(changed["disabled_at"], "2026-01-02T03:05:05.678Z");
    app.delete(&site, path).await.is(204);
    app.delete(&site, path).await.fails(404, "not_found");
    let wrong = json!({"email": "x", "password": 5, "username": "x".repeat(256), "site_admin": "maybe"});
    app.post(&site, "/users", wrong).await.blames(&[
        "value_error at body.email",
        "string_type at body.password",
        "string_too_long at body.username",
        "bool_parsing at body.site_admin",
    ]);
    for bad in ["1234567".to_owned(), "x".repeat(129), "Password1".to_owned()] {
        let order = json!({"email": "a@example.com", "password": bad});
        app.post(&site, "/users", order)
            .await
            .blames(&["value_error at body.password"]);
    }
}

#[tokio::test]
async fn users_change_only_their_own_password() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let email = NORTH.email("member");
    let path = format!("/users/{email}");
    let new = "another password";
    app.patch(&member, &path, json!({"password": new}))
        .await
        .fails(403, "wrong_password");
    let wrong = json!({"password": new, "current_password": "wrong password"});
    app.patch(&member, &path, wrong)
        .await
        .fails(403, "wrong_password");
    let more = json!({"password": new, "current_password": password(&email), "site_admin": true});
    app.patch(&member, &path, more).await.fails(403, "forbidden");
    app.patch(&member, &path, json!({})).await.fails(403, "forbidden");
    let common = json!({"password": "iloveyou", "current_password": password(&email)});
    let refused = app.patch(&member, &path, common).await;
    refused.blames(&["value_error at body.password"]);
    let other = json!({"password": new, "current_password": password(&email)});
    let others = format!("/users/{}", NORTH.email("lead"));
    app.patch(&member, &others, other.clone())
        .await
        .fails(403, "forbidden");
    app.patch(&member, &path, other).await.is(200);
    app.get(&member, "/me").await.fails(401, "invalid_token");
    app.clock.advance(2);
    app.log_in(&email, new).await.is(200);
}

#[tokio::test]
async fn the_last_site_administrator_stays() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let path = "/users/admin@example.com";
    for change in [json!({"site_admin": false}), json!({"disabled": true})] {
        app.patch(&site, path, change)
            .await
            .fails(409, "last_site_administrator");
    }
    app.delete(&site, path)
        .await
        .fails(409, "last_site_administrator");
    let second = format!("/users/{}", NORTH.email("lead"));
    app.patch(&site, &second, json!({"site_admin": true}))
        .await
        .is(200);
    app.patch(&site, path, json!({"site_admin": false})).await.is(200);
    app.call(&site, Method::GET, "/users", None)
        .await
        .fails(403, "forbidden");
}

/// A change that changes nothing disturbs nobody: no event, no new version.
#[tokio::test]
async fn a_membership_that_is_so_already_is_not_written() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let home = format!("/organizations/{}", NORTH.name);
    let team = format!("{home}/teams/{}", NORTH.team);
    let (member, stranger) = (NORTH.email("member"), SOUTH.email("member"));
    let counters = || app.db_rows("SELECT edits, sequence FROM meta");
    let steps = [
        (format!("{home}/members/{member}"), Some("member")),
        (format!("{home}/members/{stranger}"), None),
        (format!("{team}/members/{}", NORTH.email("lead")), Some("admin")),
        (format!("{team}/members/{member}"), None),
    ];
    for (path, role) in &steps {
        for _ in 0..2 {
            let before = counters();
            match role {
                Some(role) => app.put(&admin, path, json!({"role": role})).await.is(204),
                None => app.delete(&admin, path).await.is(204),
            };
            assert_eq!(counters(), before, "{path} {role:?}");
        }
    }
    // The control: a change is written.
    let before = counters();
    let path = format!("{home}/members/{member}");
    app.put(&admin, &path, json!({"role": "viewer"})).await.is(204);
    assert_ne!(counters(), before);
}
