//! `/organizations/{organization}/team-tokens`.

use axum::http::Method;
use jeton_core::clock::Clock;
use serde_json::{Value, json};

use crate::api::dialects::terraform::{SURFACE, absent, made, new, organization, team};
use crate::harness::{Answer, ISSUER, NORTH, SOUTH, TestApp};

const DAY: i64 = 86_400;

async fn list(app: &TestApp, query: &str) -> Answer {
    let path = organization(&format!("team-tokens{query}"));
    SURFACE.get(app, &app.admin_of(&NORTH), &path).await
}

fn descriptions(list: &Answer) -> Vec<String> {
    let body = list.json();
    let each = body["data"].as_array().unwrap().iter();
    each.map(|token| {
        token["attributes"]["description"]
            .as_str()
            .unwrap_or("-")
            .to_owned()
    })
    .collect()
}

/// Creates a token of a team that expires in `seconds`.
async fn token(app: &TestApp, team: &str, description: &str, seconds: i64) -> String {
    let end = app.clock.now().plus_seconds(seconds).to_string();
    let body = new(json!({"description": description, "expired-at": end}));
    let path = format!("/api/v2/teams/{team}/authentication-tokens");
    made(SURFACE.post(app, &app.admin_of(&NORTH), &path, body).await).0
}

/// Returns two teams with tokens of all kinds, and with tokens that must not be listed.
async fn stage() -> TestApp {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let made = app
        .post(
            &admin,
            &format!("/organizations/{}/teams", NORTH.name),
            json!({"name": "Arctic-Fox"}),
        )
        .await;
    let fox = made.is(201).text_at("/id");
    SURFACE
        .post(&app, &admin, &team("authentication-token"), json!({}))
        .await
        .is(201);
    token(&app, NORTH.team_id(), "long", 60 * DAY).await;
    token(&app, &fox, "month", 29 * DAY).await;
    token(&app, NORTH.team_id(), "week", 6 * DAY).await;
    token(&app, &fox, "past", 60).await;
    let gone = token(&app, &fox, "gone", DAY).await;
    SURFACE
        .delete(&app, &admin, &format!("/api/v2/authentication-tokens/{gone}"))
        .await
        .is(204);
    app.organization_token(&NORTH, &["content:write"]).await;
    app.team_token(&SOUTH, &["content:write"]).await;
    app.clock.advance(61);
    app
}

#[tokio::test]
async fn what_ends_first_is_first_and_what_never_ends_last() {
    let app = stage().await;
    assert_eq!(
        descriptions(&list(&app, "").await.is(200)),
        ["past", "week", "month", "long", "-"]
    );
    for (sort, order) in [
        ("expired-at", ["past", "week", "month", "long", "-"]),
        ("-expired-at", ["long", "month", "week", "past", "-"]),
        ("team-name", ["month", "past", "-", "long", "week"]),
        ("-team-name", ["week", "long", "-", "past", "month"]),
        ("created-by", ["-", "long", "month", "week", "past"]),
        ("last-used-at", ["-", "long", "month", "week", "past"]),
    ] {
        assert_eq!(
            descriptions(&list(&app, &format!("?sort={sort}")).await.is(200)),
            order,
            "{sort}"
        );
    }
    let unknown = list(&app, "?sort=colour").await.is(400);
    assert_eq!(unknown.text_at("/errors/0/source/parameter"), "sort");
    // A team's admin sees that team's tokens, a member none, and another organization's admin gets 404.
    let path = organization("team-tokens");
    let own = SURFACE.get(&app, &app.team_admin(&NORTH), &path).await.is(200);
    assert_eq!(descriptions(&own), ["week", "long", "-"]);
    let none = SURFACE.get(&app, &app.member_of(&NORTH), &path).await.is(200);
    assert_eq!(descriptions(&none), Vec::<String>::new());
    absent(&SURFACE.get(&app, &app.outsider(), &path).await);
}

#[tokio::test]
async fn they_are_found_by_team_and_by_how_they_end() {
    let app = stage().await;
    for (query, found) in [
        ("?q=ARCTIC", &["past", "month"][..]),
        ("?q=week", &[]),
        ("?q=", &["past", "week", "month", "long", "-"]),
        ("?filter%5Bstatus%5D=active", &["week", "month", "long", "-"]),
        ("?filter[status]=expiring_in_7_days", &["week"]),
        ("?filter[status]=expiring_in_30_days", &["week", "month"]),
        ("?filter[status]=expired", &["past"]),
        ("?filter[expiry_status]=no_expiration", &["-"]),
        ("?filter[expiry_status]=no_expiration,expired", &["past", "-"]),
        ("?filter[status]=expired&q=polar", &[]),
        ("?filter[status]=", &["past", "week", "month", "long", "-"]),
    ] {
        assert_eq!(descriptions(&list(&app, query).await.is(200)), found, "{query}");
    }
    let unknown = list(&app, "?filter[status]=active,tired").await.is(400);
    assert_eq!(unknown.text_at("/errors/0/source/parameter"), "filter[status]");
}

#[tokio::test]
async fn pages_have_links_and_counts_and_their_size_has_bounds() {
    let app = stage().await;
    let page = list(&app, "?page%5Bsize%5D=2&sort=-expired-at&page[number]=2")
        .await
        .is(200);
    assert_eq!(descriptions(&page), ["week", "past"]);
    let body = page.json();
    let link = |number: u32| {
        let query = format!("sort=-expired-at&page%5Bnumber%5D={number}&page%5Bsize%5D=2");
        json!(format!("{ISSUER}{}?{query}", organization("team-tokens")))
    };
    assert_eq!(
        body["links"],
        json!({"self": link(2), "first": link(1), "prev": link(1), "next": link(3), "last": link(3)})
    );
    assert_eq!(
        body["meta"],
        json!({"pagination": {"current-page": 2, "page-size": 2, "prev-page": 1, "next-page": 3,
            "total-pages": 3, "total-count": 5}})
    );
    let next = body["links"]["next"]
        .as_str()
        .unwrap()
        .strip_prefix(ISSUER)
        .unwrap();
    let last = SURFACE.get(&app, &app.admin_of(&NORTH), next).await.is(200);
    assert_eq!(descriptions(&last), ["-"]);
    assert_eq!(last.json()["links"]["next"], Value::Null);
    for (query, number, size) in [
        ("", 1, 20),
        ("?page[size]=0", 1, 1),
        ("?page[size]=-3", 1, 1),
        ("?page[size]=101", 1, 100),
        ("?page[number]=0", 1, 20),
    ] {
        let pagination = list(&app, query).await.is(200).json()["meta"]["pagination"].clone();
        let found = (&pagination["current-page"], &pagination["page-size"]);
        assert_eq!(found, (&json!(number), &json!(size)), "{query}");
    }
    let beyond = list(&app, "?page[number]=4000000000").await.is(200);
    assert_eq!(descriptions(&beyond), Vec::<String>::new());
    let empty = list(&app, "?q=nobody").await.is(200).json();
    assert_eq!(empty["meta"]["pagination"]["total-pages"], 1);
    assert_eq!(empty["links"]["first"], empty["links"]["last"]);
    let garbled = list(&app, "?page[number]=two").await.is(400);
    assert_eq!(garbled.text_at("/errors/0/source/parameter"), "page[number]");
}

#[tokio::test]
async fn several_end_together_or_none_does() {
    let app = stage().await;
    let admin = app.admin_of(&NORTH);
    let body = list(&app, "").await.is(200).json();
    let ids: Vec<_> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["id"].clone())
        .collect();
    let remove = async |ids: &[Value], actor| {
        let data: Vec<_> = ids
            .iter()
            .map(|id| json!({"type": "authentication-tokens", "id": id}))
            .collect();
        let body = json!({"data": data}).to_string();
        let path = organization("team-tokens");
        app.send(SURFACE.request(actor, Method::DELETE, &path, body))
            .await
    };
    let organizations = app.organization_token(&NORTH, &["content:write"]).await.id;
    let foreign = app.team_token(&SOUTH, &["content:write"]).await.id;
    for other in [
        organizations,
        foreign,
        "999999".to_owned(),
        "at-999999".to_owned(),
        "at-".to_owned(),
        "at-at-1".to_owned(),
    ] {
        absent(&remove(&[ids[0].clone(), json!(other)], &admin).await);
    }
    let member = app.member_of(&NORTH);
    absent(&remove(&ids, &member).await);
    assert_eq!(descriptions(&list(&app, "").await).len(), 5);
    remove(&ids[1..], &admin).await.is(204);
    assert_eq!(descriptions(&list(&app, "").await), ["past"]);
    remove(&[], &admin).await.is(204);
    let path = organization("team-tokens");
    let nothing = app
        .send(SURFACE.request(&admin, Method::DELETE, &path, ""))
        .await
        .is(422);
    assert_eq!(nothing.text_at("/errors/0/status"), "422");
}
