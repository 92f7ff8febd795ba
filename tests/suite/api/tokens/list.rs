//! `GET /tokens`.

use serde_json::json;

use crate::harness::{Actor, MANAGEMENT, NORTH, SOUTH, TestApp};

/// Reads all pages of a list in one direction.
async fn read_all(app: &TestApp, actor: &Actor, query: &str, direction: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/tokens?limit=2&direction={direction}&{query}{cursor}");
        let page = app.get(actor, &path).await.is(200);
        let ids = page.each("id");
        assert!(ids.len() <= 2);
        let (has_more, next) = match direction {
            "next" => (page.json()["has_next"] == true, page.text_at("/next_cursor")),
            _ => (page.json()["has_prev"] == true, page.text_at("/prev_cursor")),
        };
        assert_eq!(page.json()["has_more"], page.json()["has_next"]);
        if direction == "next" {
            found.extend(ids);
        } else {
            found.splice(0..0, ids);
        }
        if !has_more {
            assert_eq!(next, "");
            return found;
        }
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn pages_joined_are_the_list_in_both_directions() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.insert(0, app.organization_token(&NORTH, &[]).await.id);
    }
    app.organization_token(&SOUTH, &[]).await;
    assert_eq!(read_all(&app, &admin, "", "next").await, ids);
    assert_eq!(read_all(&app, &admin, "", "prev").await, ids);

    // From the middle in both directions, and a new token moves nothing.
    let second = app
        .get(&admin, "/tokens?limit=2")
        .await
        .is(200)
        .text_at("/next_cursor");
    app.organization_token(&NORTH, &[]).await;
    let page = app
        .get(&admin, &format!("/tokens?limit=2&cursor={second}"))
        .await
        .is(200);
    assert_eq!(page.each("id"), ids[2..4]);
    assert_eq!(page.json()["has_prev"], true);
    let back = page.text_at("/prev_cursor");
    let page = app
        .get(&admin, &format!("/tokens?limit=2&direction=prev&cursor={back}"))
        .await
        .is(200);
    assert_eq!(page.each("id"), ids[..2]);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for _ in 0..3 {
        app.organization_token(&NORTH, &[]).await;
    }
    let cursor = app
        .get(&admin, "/tokens?limit=1")
        .await
        .is(200)
        .text_at("/next_cursor");
    app.get(&admin, &format!("/tokens?limit=2&cursor={cursor}"))
        .await
        .is(200);
    for query in [
        "q=x",
        "owner=user",
        "include_revoked=true",
        "status=active",
        "sort_by=name",
        "descending=false",
        "unused_since=2026-01-01T00:00:00Z",
        "expires_after=2026-01-01",
        "created_after=2026-01-01",
        "created_before=2027-01-01",
        &format!("organization={}", NORTH.name),
    ] {
        let path = format!("/tokens?limit=1&{query}&cursor={cursor}");
        app.get(&admin, &path).await.fails(400, "bad_cursor");
    }
    for bad in ["x", "AAAA"] {
        app.get(&admin, &format!("/tokens?cursor={bad}"))
            .await
            .fails(400, "bad_cursor");
    }
    let answer = app.get(&admin, "/tokens?cursor=%00").await;
    answer.blames(&["value_error at query.cursor"]);
}

#[tokio::test]
async fn filters_leave_out_what_does_not_match() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let of_organization = json!({"organization": NORTH.name, "owner": "organization", "name": "Alpha"});
    let organizations = app.mint(&admin, of_organization).await.id;
    let of_team = json!({"organization": NORTH.name, "owner": "team", "team": NORTH.team,
        "description": "for 100% of the ALPHABET_"});
    let teams = app.mint(&admin, of_team).await.id;
    let own = app.personal_token(&admin, &NORTH, &[]).await.id;
    let of_member = app.personal_token(&app.member_of(&NORTH), &NORTH, &[]).await.id;
    let revoked = app.organization_token(&NORTH, &[]).await.id;
    app.post(&admin, &format!("/tokens/{revoked}/revoke"), json!({}))
        .await
        .is(201);
    let expiring = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1m"});
    let expired = app.mint(&admin, expiring).await.id;
    app.clock.advance(61);
    for (query, expected) in [
        ("", vec![&expired, &of_member, &own, &teams, &organizations]),
        (
            "include_revoked=true",
            vec![&expired, &revoked, &of_member, &own, &teams, &organizations],
        ),
        ("owner=user", vec![&own]),
        ("owner=team", vec![&teams]),
        ("owner=organization", vec![&expired, &organizations]),
        ("owner=deployment", vec![]),
        (&format!("team={}", NORTH.team), vec![&teams]),
        (&format!("team={}", NORTH.team_id()), vec![&teams]),
        ("q=alpha", vec![&teams, &organizations]),
        ("q=100%25", vec![&teams]),
        ("q=t_", vec![&teams]),
        ("q=POLAR", vec![&teams]),
        ("q=nowhere", vec![]),
        ("q=", vec![&expired, &of_member, &own, &teams, &organizations]),
        (
            &format!("organization={}", NORTH.id()),
            vec![&expired, &of_member, &own, &teams, &organizations],
        ),
    ] {
        let path = format!("/tokens?include_total_count=true&{query}");
        let page = app.get(&admin, &path).await.is(200);
        assert_eq!(page.each("id").iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(page.json()["total"], expected.len(), "{query}");
        assert_eq!(
            read_all(&app, &admin, query, "prev")
                .await
                .iter()
                .collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }
    let uncounted = app.get(&admin, "/tokens").await.is(200).json();
    assert!(uncounted["total"].is_null());
    assert_eq!(uncounted["limit"], 50);
    let shown = app.get(&admin, &format!("/tokens/{expired}")).await.is(200);
    assert_eq!(shown.text_at("/status"), "expired");
}

#[tokio::test]
async fn tokens_are_filtered_by_user_status_scope_preset_expiry_use_and_creator() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let member = app.member_of(&NORTH);
    let writing =
        json!({"organization": NORTH.name, "owner": "organization", "preset": "content_management"});
    let writing = app.mint(&admin, writing).await;
    let short = json!({"organization": NORTH.name, "expires_in": "1h", "scopes": ["ai:use"]});
    let short = app.mint(&member, short).await;
    let reading = app.organization_token(&NORTH, &["tokens:read"]).await;
    let revoked = app.organization_token(&NORTH, &["ai:use"]).await.id;
    app.post(&admin, &format!("/tokens/{revoked}/revoke"), json!({}))
        .await
        .is(201);
    app.clock.advance(60);
    app.get(&reading.holder, "/tokens").await.is(200);
    app.write_usage().await;
    let me = app.get(&member, "/me").await.is(200).text_at("/user/id");
    app.clock.advance(3_600);
    let (writing, short, reading) = (writing.id, short.id, reading.id);
    for (query, expected) in [
        (format!("user={}", NORTH.email("member")), vec![&short]),
        (format!("user={me}"), vec![&short]),
        (format!("user={}", SOUTH.email("admin")), vec![]),
        ("user=nobody@example.com".to_owned(), vec![]),
        ("status=active".to_owned(), vec![&reading, &writing]),
        ("status=expired".to_owned(), vec![&short]),
        ("status=revoked".to_owned(), vec![&revoked]),
        ("scope=ai:use".to_owned(), vec![&short]),
        (
            "scope=ai:use&include_revoked=true".to_owned(),
            vec![&revoked, &short],
        ),
        ("scope=ai:us".to_owned(), vec![]),
        ("preset=content_management".to_owned(), vec![&writing]),
        ("expires_before=2026-06-01".to_owned(), vec![&short]),
        ("never_used=true".to_owned(), vec![&short, &writing]),
        (
            "unused_since=2026-01-02T03:06:05Z".to_owned(),
            vec![&short, &writing],
        ),
        (
            "unused_since=2026-01-02T03:06:06Z".to_owned(),
            vec![&reading, &short, &writing],
        ),
        ("unused_since=2026-01-02T03:05:05Z".to_owned(), vec![]),
        (format!("created_by={}", NORTH.email("member")), vec![&short]),
        (
            format!("created_by={}&scope=content:write", NORTH.email("ADMIN")),
            vec![&writing],
        ),
    ] {
        let query = query.replace('+', "%2B");
        let path = format!("/tokens?include_total_count=true&{query}");
        let page = app.get(&admin, &path).await.is(200);
        assert_eq!(page.each("id").iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(page.json()["total"], expected.len(), "{query}");
    }
}

#[tokio::test]
async fn consecutive_periods_of_creation_and_expiry_have_each_token_once() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let mut ids = Vec::new();
    for life in ["1h", "2h", "3h", "never"] {
        let order = json!({"organization": NORTH.name, "owner": "organization", "expires_in": life});
        ids.push(app.mint(&admin, order).await);
        app.clock.advance(60);
    }
    let instant = |number: usize, field: &str| ids[number].info[field].as_str().unwrap().to_owned();
    let (created, expires) = (instant(1, "created_at"), instant(1, "expires_at"));
    let last = instant(2, "expires_at");
    let listed = async |query: &str| {
        let path = format!("/tokens?include_total_count=true&descending=false&{query}");
        let page = app.get(&admin, &path).await.is(200);
        assert_eq!(page.json()["total"], page.each("id").len(), "{query}");
        assert_eq!(
            read_all(&app, &admin, &format!("descending=false&{query}"), "next").await,
            page.each("id")
        );
        page.each("id")
    };
    for (query, expected) in [
        (format!("created_before={created}"), &[0][..]),
        (format!("created_after={created}"), &[1, 2, 3]),
        (format!("created_after={created}&created_before={created}"), &[]),
        (
            format!(
                "created_after={}&created_before={created}",
                instant(0, "created_at")
            ),
            &[0],
        ),
        (format!("expires_before={expires}"), &[0]),
        // A token that never expires does not expire later either.
        (format!("expires_after={expires}"), &[1, 2]),
        (format!("expires_after={expires}&expires_before={last}"), &[1]),
        (format!("expires_after={last}&expires_before={expires}"), &[]),
        (
            format!("expires_after={expires}&created_after={created}&sort_by=expires_at"),
            &[1, 2],
        ),
    ] {
        let expected: Vec<String> = expected.iter().map(|number| ids[*number].id.clone()).collect();
        assert_eq!(listed(&query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn tokens_created_by_a_users_token_are_found_by_the_user() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let own = app
        .personal_token(&admin, &NORTH, &["tokens:write", "content:write"])
        .await;
    let order = json!({"name": "left behind", "organization": NORTH.name, "owner": "organization",
        "scopes": ["content:write"]});
    let made = app.mint(&own.holder, order).await;
    assert_eq!(made.info["created_by"], format!("token {}", own.id));
    let by = async |name: String| {
        let path = format!("/tokens?created_by={name}");
        app.get(&admin, &path).await.is(200).each("id")
    };
    assert_eq!(by(NORTH.email("ADMIN")).await, [made.id.clone(), own.id.clone()]);
    assert_eq!(
        by(format!("token%20{}", own.id)).await,
        std::slice::from_ref(&made.id)
    );
    assert_eq!(by(NORTH.email("lead")).await, [""; 0]);
    // A `+` in a query is a space, and no address has one: an empty list would say that the user has no tokens.
    for text in ["leaver+ci@example.org", "@", "leaver@", "a@b@c"] {
        let path = format!("/tokens?created_by={text}");
        app.get(&admin, &path)
            .await
            .blames(&["value_error at query.created_by"]);
        let order =
            json!({"organization": NORTH.name, "created_by": text.replace('+', " "), "dry_run": true});
        let revoke = app.post(&admin, "/tokens/revoke", order).await;
        revoke.blames(&["value_error at body.created_by"]);
    }
    assert_eq!(by("leaver%2Bci@example.org".to_owned()).await, [""; 0]);
    // Nor does it matter that the user is deleted.
    let account = format!("/users/{}", NORTH.email("admin"));
    app.delete(&app.site_admin(), &account).await.is(204);
    let path = format!("/tokens?include_revoked=true&created_by={}", NORTH.email("admin"));
    let found = app.get(&app.site_admin(), &path).await.is(200).each("id");
    assert_eq!(found, [made.id, own.id]);
}

#[tokio::test]
async fn every_order_is_read_both_ways() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let make = async |actor: &Actor, name: &str, owner: &str, life: &str| {
        let mut order = json!({"organization": NORTH.name, "name": name, "owner": owner, "expires_in": life});
        if owner == "team" {
            order["team"] = NORTH.team.into();
        }
        app.mint(actor, order).await.id
    };
    let b = make(&admin, "b", "organization", "2h").await;
    let c = make(&app.member_of(&NORTH), "C", "user", "1h").await;
    let a = make(&app.team_admin(&NORTH), "a", "team", "never").await;
    let names = [("a", &a), ("b", &b), ("c", &c)];
    let named = |ids: Vec<String>| -> String {
        let name = |id: &String| names.iter().find(|(_, known)| *known == id).unwrap().0;
        ids.iter().map(name).collect()
    };
    for (query, expected) in [
        ("", "acb"),
        ("descending=false", "bca"),
        ("sort_by=name", "cba"),
        ("sort_by=name&descending=false", "abc"),
        ("sort_by=expires_at", "bca"),
        ("sort_by=expires_at&descending=false", "cba"),
        ("sort_by=team", "acb"),
        ("sort_by=team&descending=false", "abc"),
        ("sort_by=created_by", "cab"),
        ("sort_by=created_by&descending=false", "bac"),
        ("sort_by=last_used_at", "acb"),
    ] {
        for direction in ["next", "prev"] {
            let read = read_all(&app, &admin, query, direction).await;
            assert_eq!(named(read), expected, "{query} {direction}");
        }
    }
}

#[tokio::test]
async fn users_see_the_tokens_they_may_manage() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let organization = app.organization_token(&NORTH, &MANAGEMENT).await;
    let team = app.team_token(&NORTH, &MANAGEMENT).await;
    let personal = app
        .personal_token(&app.member_of(&NORTH), &NORTH, &MANAGEMENT)
        .await;
    let foreign = app.organization_token(&SOUTH, &MANAGEMENT).await;
    let deployment = app.deployment_token(&MANAGEMENT).await;
    let everything = [&deployment, &foreign, &personal, &team, &organization];
    for (who, actor, expected) in [
        ("site", &app.site_admin(), &everything[..]),
        ("deployment", &deployment.holder, &everything),
        ("admin", &app.admin_of(&NORTH), &[&personal, &team, &organization]),
        (
            "organization",
            &organization.holder,
            &[&personal, &team, &organization],
        ),
        ("lead", &lead, &[&team]),
        ("team", &team.holder, &[&team]),
        ("member", &app.member_of(&NORTH), &[&personal]),
        ("personal", &personal.holder, &[&personal]),
        ("outsider", &app.outsider(), &[&foreign]),
    ] {
        let expected: Vec<&String> = expected.iter().map(|token| &token.id).collect();
        let seen = app.get(actor, "/tokens").await.is(200).each("id");
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{who}");
    }
}

#[tokio::test]
async fn a_removed_member_sees_no_tokens_in_lists() {
    let app = TestApp::new().await;
    let (admin, member) = (app.admin_of(&NORTH), app.member_of(&NORTH));
    let token = app.personal_token(&member, &NORTH, &[]).await.id;
    let lists = [
        "/tokens?include_revoked=true",
        "/tokens?include_revoked=true&owner=user",
    ];
    for list in lists {
        assert_eq!(app.get(&member, list).await.is(200).each("id"), [token.as_str()]);
    }
    let place = format!("/organizations/{}/members/{}", NORTH.name, NORTH.email("member"));
    app.delete(&admin, &place).await.is(204);
    let shown = app.get(&member, &format!("/tokens/{token}")).await;
    shown.fails(404, "not_found");
    for list in lists {
        assert_eq!(app.get(&member, list).await.is(200).each("id"), [""; 0]);
    }
    // A user who is added again sees the current state.
    app.put(&app.site_admin(), &place, json!({"role": "member"}))
        .await
        .is(204);
    app.get(&member, &format!("/tokens/{token}")).await.is(200);
    for list in lists {
        assert_eq!(app.get(&member, list).await.is(200).each("id"), [token.as_str()]);
    }

    // A site administrator sees all organizations.
    let site = app.site_admin();
    let own = app.personal_token(&site, &SOUTH, &[]).await.id;
    let list = app.get(&site, "/tokens?owner=user").await.is(200);
    assert_eq!(list.each("id"), [own]);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for (query, fault) in [
        ("limit=0", "greater_than_equal at query.limit"),
        ("limit=1001", "less_than_equal at query.limit"),
        ("limit=x", "int_parsing at query.limit"),
        ("owner=x", "literal_error at query.owner"),
        ("direction=up", "literal_error at query.direction"),
        ("include_revoked=maybe", "bool_parsing at query.include_revoked"),
        ("status=gone", "literal_error at query.status"),
        ("sort_by=id", "literal_error at query.sort_by"),
        ("descending=up", "bool_parsing at query.descending"),
        ("user=nobody", "value_error at query.user"),
        ("scope=a", "value_error at query.scope"),
        (
            "expires_before=soon",
            "datetime_from_date_parsing at query.expires_before",
        ),
        (
            "expires_after=soon",
            "datetime_from_date_parsing at query.expires_after",
        ),
        (
            "created_before=1d",
            "datetime_from_date_parsing at query.created_before",
        ),
        (
            "created_after=1d",
            "datetime_from_date_parsing at query.created_after",
        ),
        ("never_used=perhaps", "bool_parsing at query.never_used"),
    ] {
        app.get(&admin, &format!("/tokens?{query}"))
            .await
            .blames(&[fault]);
    }
    let both = app.get(&admin, "/tokens?limit=0&direction=up").await;
    both.blames(&[
        "greater_than_equal at query.limit",
        "literal_error at query.direction",
    ]);
    app.get(&admin, "/tokens?team=there-is-none")
        .await
        .fails(404, "not_found");
    app.get(&app.site_admin(), "/tokens?team=x")
        .await
        .fails(400, "organization_needed");
}
