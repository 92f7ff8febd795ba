//! `/organization/audit-trail`.

use serde_json::{Value, json};

use crate::api::dialects::terraform::{SURFACE, absent, made, organization};
use crate::harness::{Actor, NORTH, SOUTH, Tenant, TestApp};

const TRAIL: &str = "/api/v2/organization/audit-trail";

/// Writes the lines of everything on record, as the server does within a second.
async fn seal(app: &TestApp) {
    while app.operator().seal_audit().await.unwrap() {}
}

/// Returns the holder of a new audit trails token of an organization.
async fn auditor(app: &TestApp, tenant: &Tenant) -> Actor {
    let path = format!(
        "/api/v2/organizations/{}/authentication-token?token=audit-trails",
        tenant.name
    );
    made(SURFACE.post(app, &app.admin_of(tenant), &path, Value::Null).await).1
}

/// Returns a page of the trail.
async fn page(app: &TestApp, auditor: &Actor, query: &str) -> Value {
    let answer = SURFACE
        .get(app, auditor, &format!("{TRAIL}{query}"))
        .await
        .is(200);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

fn events(page: &Value) -> Vec<Value> {
    page["data"].as_array().unwrap().clone()
}

fn sequences(page: &Value) -> Vec<u64> {
    let sequence = |event: &Value| event["resource"]["meta"]["sequence"].as_u64().unwrap();
    events(page).iter().map(sequence).collect()
}

#[tokio::test]
async fn an_event_of_the_trail_has_every_documented_field() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let me = app.get(&admin, "/me").await.is(200).text_at("/user/id");
    let usual = organization("authentication-token");
    let (id, holder) = made(SURFACE.post(&app, &admin, &usual, Value::Null).await);
    app.clock.advance(1);
    let reason = json!({"reason": "a drill"});
    app.post(&holder, "/tokens/current/revoke", reason).await.is(201);
    let auditor = auditor(&app, &NORTH).await;
    seal(&app).await;
    let page = page(&app, &auditor, "").await;
    let of_token = |action: &str| {
        let found = events(&page).into_iter().find(|event| {
            event["resource"]["action"] == action && event["resource"]["id"] == format!("at-{id}")
        });
        found.unwrap()
    };
    let (issued, revoked) = (of_token("create"), of_token("destroy"));
    let native = app
        .get(&admin, &format!("/audit?organization={}&token={id}", NORTH.name))
        .await
        .is(200)
        .json();
    let [last, first] = native["items"].as_array().unwrap().as_slice() else {
        panic!("{native}")
    };
    assert_eq!(
        issued,
        json!({
            "id": issued["id"],
            "version": "0",
            "type": "Resource",
            "timestamp": first["at"],
            "auth": {
                "accessor_id": me,
                "description": NORTH.email("admin"),
                "type": "Client",
                "impersonator_id": null,
                "organization_id": NORTH.id(),
            },
            "request": {"id": first["request_id"]},
            "resource": {
                "id": format!("at-{id}"),
                "type": "authentication_token",
                "action": "create",
                "meta": {
                    "event": "token.issue",
                    "sequence": first["sequence"],
                    "actor_token": null,
                    "on_behalf_of": null,
                    "address": "0.0.0.0",
                    "before": null,
                    "after": first["after"],
                    "reason": null,
                },
            },
        })
    );
    assert!(
        first["request_id"].is_string() && first["after"].is_object(),
        "the control"
    );
    let uuid: uuid::Uuid = issued["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(uuid.get_version_num(), 8);
    assert_ne!(issued["id"], revoked["id"]);
    // A token of the organization is nobody's: it stands for itself.
    assert_eq!(revoked["auth"]["accessor_id"], format!("at-{id}"));
    assert_eq!(revoked["auth"]["type"], "Client");
    assert_eq!(revoked["resource"]["meta"]["event"], "token.revoke");
    assert_eq!(revoked["resource"]["meta"]["reason"], "a drill");
    assert_eq!(revoked["resource"]["meta"]["actor_token"], format!("at-{id}"));
    assert_eq!(revoked["resource"]["meta"]["sequence"], last["sequence"]);
    // Its id stays the same.
    let again = SURFACE.get(&app, &auditor, TRAIL).await.is(200).json();
    assert_eq!(again["data"], page["data"]);
}

#[tokio::test]
async fn the_trail_is_that_of_the_tokens_own_organization_in_numbered_pages() {
    let app = TestApp::new().await;
    let [northern, southern] = [auditor(&app, &NORTH).await, auditor(&app, &SOUTH).await];
    for number in 0..3 {
        for tenant in [&NORTH, &SOUTH] {
            let order =
                json!({"name": format!("{number}"), "organization": tenant.name, "owner": "organization"});
            app.post(&app.admin_of(tenant), "/tokens", order).await.is(201);
        }
    }
    seal(&app).await;
    for (reader, tenant) in [(&northern, &NORTH), (&southern, &SOUTH)] {
        let whole = page(&app, reader, "").await;
        let lines = app
            .get(
                &app.site_admin(),
                &format!("/audit?limit=1000&organization={}", tenant.name),
            )
            .await
            .is(200)
            .json();
        let lines = lines["items"].as_array().unwrap().iter();
        let expected: Vec<u64> = lines.map(|line| line["sequence"].as_u64().unwrap()).collect();
        let total = expected.len();
        assert!(total > 4, "the control");
        assert_eq!(sequences(&whole), expected);
        let own = |event: &Value| event["auth"]["organization_id"] == tenant.id();
        assert!(events(&whole).iter().all(own), "{whole}");
        assert_eq!(
            whole["pagination"],
            json!({"current_page": 1, "prev_page": null, "next_page": null, "total_pages": 1, "total_count": total})
        );
        let pages = total.div_ceil(2);
        for number in 1..=pages {
            let part = page(&app, reader, &format!("?page[number]={number}&page%5Bsize%5D=2")).await;
            let place = (number - 1) * 2;
            assert_eq!(sequences(&part), expected[place..total.min(place + 2)]);
            let (previous, next) = (
                (number > 1).then(|| number - 1),
                (number < pages).then(|| number + 1),
            );
            assert_eq!(
                part["pagination"],
                json!({"current_page": number, "prev_page": previous, "next_page": next,
                    "total_pages": pages, "total_count": total})
            );
        }
        let beyond = page(&app, reader, &format!("?page[number]={}&page[size]=2", pages + 1)).await;
        assert_eq!(beyond["data"], json!([]));
        assert_eq!(beyond["pagination"]["total_count"], total);
        // A page out of range counts as the nearest bound.
        for query in [
            "?page[size]=100000",
            "?page[number]=0",
            "?page[number]=-3&page[size]=1000",
        ] {
            assert_eq!(sequences(&page(&app, reader, query).await), expected, "{query}");
        }
        assert_eq!(
            sequences(&page(&app, reader, "?page[size]=0").await),
            expected[..1]
        );
        // Nothing names another organization.
        let query = format!("?organization={}&since=2000-01-01T00:00:00Z", NORTH.name);
        let other = page(&app, &southern, &query).await;
        assert!(
            events(&other)
                .iter()
                .all(|event| event["auth"]["organization_id"] == SOUTH.id())
        );
    }
    // Both trails together are not all lines, some of which concern no organization.
    let all = app
        .get(&app.site_admin(), "/audit?limit=1000")
        .await
        .is(200)
        .json();
    let [north, south] = [&northern, &southern].map(|reader| page(&app, reader, ""));
    let (north, south) = (sequences(&north.await), sequences(&south.await));
    assert!(all["items"].as_array().unwrap().len() > north.len() + south.len());
    assert!(!north.iter().any(|number| south.contains(number)));
}

#[tokio::test]
async fn a_trail_begins_at_an_instant_or_fourteen_days_ago() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let usual = organization("authentication-token");
    let reader = auditor(&app, &NORTH).await;
    let mut instants = Vec::new();
    for _ in 0..3 {
        app.clock.advance(10);
        let made = SURFACE.post(&app, &admin, &usual, Value::Null).await.is(201);
        instants.push(made.text_at("/data/attributes/created-at"));
    }
    seal(&app).await;
    let whole = page(&app, &reader, "").await;
    for instant in &instants {
        let part = page(&app, &reader, &format!("?since={instant}")).await;
        let later = |event: &&Value| event["timestamp"].as_str().unwrap() >= instant.as_str();
        let all = events(&whole);
        let expected: Vec<Value> = all.iter().filter(later).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "the control");
        assert_eq!(events(&part), expected);
        assert_eq!(part["pagination"]["total_count"], expected.len());
    }
    // A client that goes on from the last event loses none of the same instant.
    let last = page(&app, &reader, &format!("?since={}", instants[2])).await;
    assert_eq!(last["data"][0]["timestamp"], instants[2]);
    app.clock.advance(13 * 86_400);
    assert_eq!(events(&page(&app, &reader, "").await), events(&whole));
    app.clock.advance(86_400 - 15);
    let rest = page(&app, &reader, "").await;
    assert_eq!(
        events(&rest),
        events(&page(&app, &reader, &format!("?since={}", instants[1])).await)
    );
    app.clock.advance(86_400);
    let none = page(&app, &reader, "").await;
    assert_eq!(
        none,
        json!({"data": [], "pagination":
            {"current_page": 1, "prev_page": null, "next_page": null, "total_pages": 0, "total_count": 0}})
    );
    let since = format!("?since={}", instants[0]);
    assert!(!events(&page(&app, &reader, &since).await).is_empty());
    for (query, parameter) in [
        ("?since=yesterday", "since"),
        ("?page[number]=two", "page[number]"),
        ("?page[size]=x", "page[size]"),
    ] {
        let refused = SURFACE
            .get(&app, &reader, &format!("{TRAIL}{query}"))
            .await
            .is(400);
        assert_eq!(refused.text_at("/errors/0/source/parameter"), parameter);
    }
}

#[tokio::test]
async fn only_tokens_of_an_organization_with_the_scope_read_its_trail() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    seal(&app).await;
    let all = ["audit:read", "organizations:read", "tokens:read"];
    let member = app.member_of(&NORTH);
    for refused in [
        admin.clone(),
        member,
        app.site_admin(),
        app.personal_token(&admin, &NORTH, &all).await.holder,
        app.team_token(&NORTH, &all).await.holder,
        app.deployment_token(&all).await.holder,
        app.organization_token(&NORTH, &["organizations:read", "tokens:read"])
            .await
            .holder,
        made(
            SURFACE
                .post(&app, &admin, &organization("authentication-token"), Value::Null)
                .await,
        )
        .1,
    ] {
        absent(&SURFACE.get(&app, &refused, TRAIL).await);
    }
    SURFACE.get(&app, &app.anyone(), TRAIL).await.is(401);
    let holder = app.organization_token(&NORTH, &["audit:read"]).await.holder;
    assert!(!events(&page(&app, &holder, "").await).is_empty());
}

#[tokio::test]
async fn an_audit_trails_token_reads_the_audit_and_nothing_else() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let reader = auditor(&app, &NORTH).await;
    let current = app.get(&reader, "/tokens/current").await.is(200).json();
    assert_eq!(current["scopes"], json!(["audit:read"]));
    seal(&app).await;
    page(&app, &reader, "").await;
    app.get(&reader, "/audit").await.is(200);
    app.get(&reader, &format!("/audit?organization={}", SOUTH.name))
        .await
        .is(404);
    for path in ["/tokens", "/organizations", "/users", "/revocations"] {
        app.get(&reader, path).await.is(403);
    }
    let order = json!({"name": "new", "organization": NORTH.name, "owner": "organization"});
    app.post(&reader, "/tokens", order).await.is(403);
    for path in [
        "authentication-token",
        "authentication-token?token=audit-trails",
        "team-tokens",
        "teams",
        "organization-memberships",
        "token-ttl-policies",
    ] {
        absent(&SURFACE.get(&app, &reader, &organization(path)).await);
    }
    for path in [
        "authentication-token",
        "authentication-token?token=audit-trails",
        "teams",
    ] {
        let path = organization(path);
        absent(&SURFACE.post(&app, &reader, &path, Value::Null).await);
    }
    let own = organization("authentication-token?token=audit-trails");
    absent(&SURFACE.delete(&app, &reader, &own).await);
    // It ends with the next one.
    let next = auditor(&app, &NORTH).await;
    SURFACE.get(&app, &reader, TRAIL).await.is(401);
    page(&app, &next, "").await;
    // A token that may create tokens, and may not read the audit, cannot create one that may.
    let path = organization("authentication-token?token=audit-trails");
    let creator = app.organization_token(&NORTH, &["tokens:write"]).await.holder;
    let refused = SURFACE.post(&app, &creator, &path, Value::Null).await.is(422);
    assert!(
        refused
            .text_at("/errors/0/detail")
            .contains("does not have this scope"),
        "{}",
        refused.text
    );
    let creator = app
        .organization_token(&NORTH, &["tokens:write", "audit:read"])
        .await
        .holder;
    let (_, made) = made(SURFACE.post(&app, &creator, &path, Value::Null).await);
    page(&app, &made, "").await;
    SURFACE.delete(&app, &admin, &path).await.is(204);
    SURFACE.get(&app, &made, TRAIL).await.is(401);
}
