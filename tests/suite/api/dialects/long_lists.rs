//! Long lists: the cost of a page depends on its size, and a list without pages is complete and in
//! order.

use std::sync::Arc;

use serde_json::json;

use crate::api::dialects::{cave, terraform};
use crate::harness::{NORTH, Plan, TestApp};

/// The number of organizations, teams and members, inserted by single SQL statements.
const MANY: usize = 600;

impl TestApp {
    /// Inserts many organizations, and many teams and members of the organization, directly into the
    /// database.
    fn db_fill(&self) {
        let count = "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < ?1)";
        let db = self.db();
        for statement in [
            "INSERT INTO organizations (public_id, name, canonical_name, policy, created_at)
             SELECT randomblob(16), 'more-' || n, 'more-' || n,
                (SELECT policy FROM organizations WHERE canonical_name = ?2), 1 FROM count",
            "INSERT INTO teams (public_id, organization, name, canonical_name, created_at)
             SELECT printf('team-%016d', n), (SELECT id FROM organizations WHERE canonical_name = ?2),
                'more-' || printf('%04d', n), 'more-' || printf('%04d', n), 1 FROM count",
            "INSERT INTO users (public_id, email, password_hash, site_admin, created_at)
             SELECT printf('user-%016d', n), 'more-' || n || '@example.com', '', 0, 1
             FROM count WHERE ?2 IS NOT NULL",
            "INSERT INTO memberships (organization, user, role)
             SELECT (SELECT id FROM organizations WHERE canonical_name = ?2), users.id, 'member'
             FROM users WHERE email LIKE 'more-%' AND ?1 > 0",
        ] {
            let statement = match statement.contains("count") {
                true => format!("{count} {statement}"),
                false => statement.to_owned(),
            };
            db.execute(&statement, (MANY, NORTH.name)).unwrap();
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
