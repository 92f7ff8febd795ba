//! Long lists: the cost of a page depends on its size, and a list without pages is complete and in
//! order.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::api::dialects::{cave, quant, terraform};
use crate::harness::{Fault, Kind, NORTH, Plan, TestApp};

/// The number of organizations, teams and members, inserted by single SQL statements.
const MANY: usize = 600;

/// The number of tokens on one page of a list that is read page by page, and more than fit on two.
const PAGE: usize = 250;
const SEVERAL_PAGES: usize = 2 * PAGE + 1;

impl TestApp {
    /// Inserts many organizations, and many teams and members of the organization, directly into the
    /// database.
    fn db_fill(&self) {
        let count = format!(
            "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {MANY})"
        );
        let north = format!(
            "(SELECT id FROM organizations WHERE canonical_name = '{}')",
            NORTH.name
        );
        let policy = north.replace("SELECT id", "SELECT policy");
        for statement in [
            format!(
                "INSERT INTO organizations (public_id, name, canonical_name, policy, created_at)
                 {count} SELECT {{uuid}}, 'more-' || n, 'more-' || n, {policy}, 1 FROM count"
            ),
            format!(
                "INSERT INTO teams (public_id, organization, name, canonical_name, created_at)
                 {count} SELECT 'team-' || {{16}}, {north}, 'more-' || {{4}}, 'more-' || {{4}}, 1 FROM count"
            ),
            format!(
                "INSERT INTO users (public_id, email, password_hash, site_admin, created_at)
                 {count} SELECT 'user-' || {{16}}, 'more-' || n || '@example.com', '', {{false}}, 1 FROM count"
            ),
            format!(
                "INSERT INTO memberships (organization, {{user}}, role)
                 SELECT {north}, users.id, 'member' FROM users WHERE email LIKE 'more-%'"
            ),
        ] {
            let written = |words: [(&str, &str); 5]| {
                let mut text = statement.clone();
                for (word, sql) in words {
                    text = text.replace(word, sql);
                }
                text
            };
            let sqlite = written([
                ("{uuid}", "randomblob(16)"),
                ("{16}", "printf('%016d', n)"),
                ("{4}", "printf('%04d', n)"),
                ("{false}", "0"),
                ("{user}", "user"),
            ]);
            let postgres = written([
                ("{uuid}", "gen_random_uuid()"),
                ("{16}", "lpad(n::text, 16, '0')"),
                ("{4}", "lpad(n::text, 4, '0')"),
                ("{false}", "false"),
                ("{user}", "person"),
            ]);
            assert_eq!(self.db_change_in(&sqlite, &postgres), MANY as u64);
        }
    }
}

#[tokio::test]
async fn a_numbered_page_reads_as_often_however_long_the_list_is() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let site = app.site_admin();
    let home = format!("/api/v2/organizations/{}", NORTH.name);
    let lists = [
        "/api/v2/organizations?page[size]=1&q=more-1".to_owned(),
        format!("{home}/teams?page[size]=1&q=more-01"),
        format!("{home}/organization-memberships?page[size]=1&q=more-1"),
    ];
    let reads = async |path: &str| {
        // Later reads are served from the cache.
        terraform::SURFACE.get(&app, &site, path).await.is(200);
        let before = plan.reads();
        let list = terraform::SURFACE.get(&app, &site, path).await.is(200).json();
        let total = list["meta"]["pagination"]["total-count"].as_u64().unwrap();
        (plan.reads() - before, total)
    };
    app.db_fill();
    for path in &lists {
        let (reads, total) = reads(path).await;
        assert!(total >= 99, "{path}: {total}");
        assert!(reads <= 2, "{path}: the store was read {reads} times");
    }
}

#[tokio::test]
async fn all_teams_are_listed_with_their_own_tokens() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    app.db_fill();
    let admin = app.admin_of(&NORTH);
    let teams = format!("{}/teams", cave::home());
    let with_tokens = [1, 100, 101, 250, MANY].map(|number| format!("more-{number:04}"));
    let mut made = Vec::new();
    for name in &with_tokens {
        for description in ["one", "two"] {
            let path = format!("{teams}/{name}/tokens");
            let order = json!({"description": description});
            let token = cave::SURFACE.post(&app, &admin, &path, order).await.is(201);
            made.push((name.clone(), token.text_at("/id")));
        }
    }
    let before = plan.reads();
    let list = cave::SURFACE.get(&app, &admin, &teams).await.is(200).json();
    // Three slices of teams, and the tokens of a hundred teams at a time.
    assert!(plan.reads() - before <= 12, "{}", plan.reads() - before);
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), MANY + 1);
    assert!(list.is_sorted_by_key(|team| team["name"].to_string()));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let found: Vec<_> = list
        .iter()
        .flat_map(|team| {
            let tokens = team["tokens"].as_array().unwrap().iter();
            tokens.map(|token| (text(&team["name"]), text(&token["id"])))
        })
        .collect();
    assert_eq!(found, made);
    // A user who manages none of the teams sees no tokens.
    let seen = cave::SURFACE.get(&app, &app.member_of(&NORTH), &teams).await;
    let seen = seen.is(200).json();
    let tokens = seen.as_array().unwrap().iter().map(|team| &team["tokens"]);
    assert_eq!(tokens.filter(|tokens| **tokens != json!([])).count(), 0);
}

/// A list without pages is sent while it is read, and is the same as one that is read at once.
#[tokio::test]
async fn a_list_that_is_sent_page_by_page_is_whole_and_in_order() {
    let app = TestApp::new().await;
    let (admin, site) = (app.admin_of(&NORTH), app.site_admin());
    let mut made = Vec::new();
    for _ in 0..SEVERAL_PAGES {
        made.push(app.team_token(&NORTH, &[]).await.id);
    }
    // An earlier team, a later one, and the team between them.
    for name in ["aaa", "zzz"] {
        cave::SURFACE
            .post(
                &app,
                &site,
                &format!("{}/teams", cave::home()),
                json!({"name": name}),
            )
            .await
            .is(201);
    }
    let ids = |tokens: &Value| -> Vec<String> {
        let id = |token: &Value| token["id"].to_string().trim_matches('"').to_owned();
        tokens.as_array().unwrap().iter().map(id).collect()
    };
    let team = format!("{}/teams/{}", cave::home(), NORTH.team);
    let list = cave::SURFACE
        .get(&app, &admin, &format!("{team}/tokens"))
        .await
        .is(200);
    assert_eq!(ids(&list.json()), made);
    assert_eq!(list.header("content-type"), "application/json; charset=utf-8");
    let shown = cave::SURFACE.get(&app, &admin, &team).await.is(200).json();
    assert_eq!(
        (&shown["name"], ids(&shown["tokens"])),
        (&json!(NORTH.team), made.clone())
    );
    let teams = cave::SURFACE
        .get(&app, &admin, &format!("{}/teams", cave::home()))
        .await
        .is(200)
        .json();
    let lengths: Vec<_> = teams
        .as_array()
        .unwrap()
        .iter()
        .map(|team| (&team["name"], ids(&team["tokens"]).len()))
        .collect();
    assert_eq!(
        lengths,
        [
            (&json!("aaa"), 1),
            (&json!(NORTH.team), SEVERAL_PAGES),
            (&json!("zzz"), 1)
        ]
    );
    let quants = format!("/api/v2/organizations/{}/tokens", NORTH.name);
    let quants = quant::SURFACE.get(&app, &admin, &quants).await.is(200).json();
    assert_eq!(ids(&quants)[..SEVERAL_PAGES], made);
}

/// A slow reader gets no further pages after the end of the reader's token.
#[tokio::test]
async fn a_list_ends_with_its_readers_token() {
    let app = TestApp::new().await;
    for _ in 0..2 * SEVERAL_PAGES {
        app.team_token(&NORTH, &[]).await;
    }
    let reader = app.organization_token(&NORTH, &["tokens:read"]).await;
    let path = format!("/api/v2/organizations/{}/tokens", NORTH.name);
    let get = || quant::SURFACE.request(&reader.holder, Method::GET, &path, Body::empty());
    app.router()
        .oneshot(get())
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    let mut body = app.router().oneshot(get()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    app.post(&reader.holder, "/tokens/current/revoke", json!({}))
        .await
        .is(201);
    body.collect().await.unwrap_err();
}

/// A client must not take half of a list for the whole.
#[tokio::test]
async fn a_list_that_cannot_be_read_to_its_end_ends_early_and_visibly() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let admin = app.admin_of(&NORTH);
    for _ in 0..SEVERAL_PAGES {
        app.team_token(&NORTH, &[]).await;
    }
    let path = format!("{}/teams/{}/tokens", cave::home(), NORTH.team);
    let get = || cave::SURFACE.request(&admin, Method::GET, &path, Body::empty());
    let whole = app.send(get()).await.is(200);
    assert_eq!(whole.json().as_array().unwrap().len(), SEVERAL_PAGES);
    let before = plan.reads();
    app.send(get()).await.is(200);
    let reads = plan.reads() - before;
    plan.arm(Fault::Fails, Some(Kind::Read), reads - 1);
    let response = app.router().oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap_err();
    plan.arm(
        Fault::Fails,
        Some(Kind::Read),
        reads - SEVERAL_PAGES.div_ceil(PAGE),
    );
    app.send(get()).await.is(503);
}
