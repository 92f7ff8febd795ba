//! `dry_run` of changes that revoke tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Fault, Kind, Minted, NORTH, Plan, SOUTH, TestApp, password};

/// Tokens of the lead, who is an admin of NORTH's team and also a member of SOUTH; and of NORTH, its team and others.
struct Scene {
    app: TestApp,
    lead: Actor,
    tokens: Vec<Minted>,
}

impl Scene {
    async fn set() -> Self {
        let app = TestApp::new().await;
        let (lead, admin) = (app.team_admin(&NORTH), app.admin_of(&NORTH));
        let place = format!("/organizations/{}/members/{}", SOUTH.name, NORTH.email("lead"));
        app.put(&app.site_admin(), &place, json!({"role": "member"}))
            .await
            .is(204);
        let of_team = json!({"organization": NORTH.name, "owner": "team", "team": NORTH.team});
        let restricted = json!({"organization": NORTH.name, "owner": "organization", "scopes": [],
            "projects": [NORTH.project_id()]});
        let mut tokens = vec![
            app.personal_token(&lead, &NORTH, &[]).await,
            app.personal_token(&lead, &SOUTH, &[]).await,
            app.mint(&lead, of_team.clone()).await,
            app.mint(&admin, of_team).await,
            app.mint(&admin, restricted).await,
        ];
        app.clock.advance(10);
        tokens.push(app.personal_token(&lead, &NORTH, &[]).await);
        tokens.push(app.organization_token(&SOUTH, &[]).await);
        tokens.push(app.deployment_token(&[]).await);
        // Covers whole seconds.
        app.clock.advance(2);
        Self { app, lead, tokens }
    }

    async fn active(&self) -> Vec<&str> {
        let mut active = Vec::new();
        for token in &self.tokens {
            if self.app.get(&token.holder, "/tokens/current").await.status == 200 {
                active.push(token.id.as_str());
            }
        }
        active
    }

    /// Returns the tokens of the scene in a group of a preview, which the list must agree with.
    async fn listed(&self, actor: &Actor, group: &Value) -> Vec<&str> {
        let Some(list) = group["list"].as_str() else {
            assert_eq!(group, &json!({"count": 0, "used_last_24h": 0, "list": null}));
            return Vec::new();
        };
        let path = list.strip_prefix("/api/v1").unwrap();
        let listed = self.app.get(actor, &format!("{path}&limit=1000")).await.is(200);
        let ids = listed.each("id");
        assert_eq!(group["count"], ids.len(), "{list}");
        let ours = self.tokens.iter().map(|token| token.id.as_str());
        ours.filter(|id| ids.iter().any(|listed| listed == id)).collect()
    }
}

/// A change: who makes it, its method, path and body, and the tokens of the scene that stay although they are related.
type Case = (&'static str, Method, String, Value, Vec<usize>);

fn cases(kid: &Value) -> Vec<Case> {
    let home = format!("/organizations/{}", NORTH.name);
    let lead = NORTH.email("lead");
    let user = format!("/users/{lead}");
    let delete = |who, path: String, left| (who, Method::DELETE, path, Value::Null, left);
    let cut_off = |who, body, left| (who, Method::POST, "/revocations".to_owned(), body, left);
    let change = |body, left| ("site", Method::PATCH, user.clone(), body, left);
    vec![
        delete("admin", format!("{home}/members/{lead}"), vec![2]),
        delete("lead", format!("/me/organizations/{}", NORTH.name), vec![2]),
        delete("admin", format!("{home}/teams/{}", NORTH.team), vec![]),
        delete(
            "admin",
            format!("{home}/projects/{}", NORTH.project_id()),
            vec![4],
        ),
        delete("admin", home.clone(), vec![]),
        delete("site", user.clone(), vec![2]),
        change(json!({"disabled": true, "first_name": "Else"}), vec![2]),
        change(json!({"first_name": "Else"}), vec![]),
        change(json!({"password": "a new password"}), vec![]),
        cut_off("admin", json!({"organization": NORTH.name}), vec![]),
        cut_off(
            "admin",
            json!({"organization": NORTH.name, "user": lead}),
            vec![2],
        ),
        cut_off(
            "admin",
            json!({"organization": NORTH.name, "team": NORTH.team}),
            vec![],
        ),
        cut_off(
            "admin",
            json!({"organization": NORTH.name, "project": NORTH.project_id()}),
            vec![],
        ),
        cut_off(
            "admin",
            json!({"organization": NORTH.name, "issued_before": "2026-01-02T03:05:10Z"}),
            vec![],
        ),
        cut_off("site", json!({"user": lead}), vec![2]),
        cut_off(
            "site",
            json!({"user": lead, "issued_before": "2026-01-02T03:05:10Z"}),
            vec![2],
        ),
        cut_off("site", json!({"key": kid}), vec![]),
    ]
}

async fn send(app: &TestApp, actor: &Actor, (_, method, path, body, _): &Case, is_dry_run: bool) -> Answer {
    let mut body = body.clone();
    let mut path = path.clone();
    if is_dry_run {
        match &mut body {
            Value::Null => path.push_str("?dry_run=true"),
            body => body["dry_run"] = true.into(),
        }
    }
    let body = Some(body).filter(|body| !body.is_null());
    app.call(actor, method.clone(), &path, body).await
}

/// A preview must be of what the change then does, whatever it is.
#[tokio::test]
async fn a_preview_lists_exactly_what_the_change_ends() {
    let jwks = "/.well-known/jwks.json";
    let mut ended_sometimes = 0;
    for number in 0..cases(&Value::Null).len() {
        let scene = Scene::set().await;
        let app = &scene.app;
        let keys = app.get(&app.anyone(), jwks).await.is(200).json();
        let case = &cases(&keys["keys"][0]["kid"])[number];
        let told = format!("{case:?}");
        let site = app.site_admin();
        let actor = match case.0 {
            "site" => &site,
            "lead" => &scene.lead,
            _ => &app.admin_of(&NORTH),
        };
        let all: Vec<&str> = scene.tokens.iter().map(|token| token.id.as_str()).collect();
        let preview = send(app, actor, case, true).await.is(200).json();
        assert_eq!(scene.active().await, all, "{told}");
        app.get(&scene.lead, "/me").await.is(200);
        let preview = match &preview["would_revoke"] {
            Value::Null => &preview,
            preview => preview,
        };
        let ends = scene.listed(actor, &preview["tokens"]).await;
        let left = scene.listed(actor, &preview["left"]).await;
        let expected: Vec<&str> = case.4.iter().map(|number| all[*number]).collect();
        assert_eq!(left, expected, "{told}");
        assert!(
            matches!(send(app, actor, case, false).await.status, 200 | 201 | 204),
            "{told}"
        );
        let active = scene.active().await;
        let ended: Vec<&str> = all.iter().filter(|id| !active.contains(id)).copied().collect();
        assert_eq!(ends, ended, "{told}");
        assert!(left.iter().all(|id| active.contains(id)), "{told}");
        ended_sometimes += usize::from(!ended.is_empty());
    }
    assert!(ended_sometimes > 10, "{ended_sometimes}");
}

#[tokio::test]
async fn a_preview_counts_tokens_in_use_and_sessions() {
    let scene = Scene::set().await;
    let app = &scene.app;
    let user = format!("/users/{}", NORTH.email("lead"));
    // The scene's tokens have been used; those that were used more than a day ago do not count.
    app.get(&scene.tokens[0].holder, "/tokens/current").await.is(200);
    app.write_usage().await;
    app.clock.advance(86_401);
    app.get(&scene.tokens[1].holder, "/tokens/current").await.is(200);
    app.write_usage().await;
    let site = app
        .log_in("admin@example.com", &password("admin@example.com"))
        .await
        .is(200);
    let site = Actor::holding(&site.text_at("/token"));
    for number in 1..=2 {
        let lead = NORTH.email("lead");
        let session = app.log_in(&lead, &password(&lead)).await.is(200);
        let session = Actor::holding(&session.text_at("/token"));
        let preview = app
            .delete(&site, &format!("{user}?dry_run=true"))
            .await
            .is(200)
            .json();
        let (tokens, left) = (&preview["tokens"], &preview["left"]);
        assert_eq!(
            (&tokens["count"], &tokens["used_last_24h"]),
            (&json!(3), &json!(1))
        );
        assert_eq!((&left["count"], &left["used_last_24h"]), (&json!(1), &json!(0)));
        assert_eq!(preview["sessions"], number);
        // Within an organization no session ends.
        let place = format!("/me/organizations/{}?dry_run=true", NORTH.name);
        let preview = app.delete(&session, &place).await.is(200).json();
        assert_eq!(
            (&preview["sessions"], &preview["tokens"]["count"]),
            (&json!(0), &json!(2))
        );
        let own = json!({"password": "a new password", "dry_run": true});
        let preview = app.patch(&session, &user, own).await.is(200).json();
        assert_eq!(preview["would_revoke"]["sessions"], number);
        assert!(preview["would_revoke"]["tokens"]["list"].is_null());
    }
    for uncounted in [
        json!({"user": NORTH.email("lead"), "issued_before": "2026-01-02T03:05:10Z", "dry_run": true}),
        json!({"user": NORTH.email("lead"), "key": app.get(&site, "/.well-known/jwks.json").await.json()["keys"][0]["kid"], "dry_run": true}),
    ] {
        let preview = app.post(&site, "/revocations", uncounted).await.is(200).json();
        assert!(preview["sessions"].is_null());
    }
    let changed = app
        .patch(&site, &user, json!({"first_name": "Else"}))
        .await
        .is(200);
    assert!(changed.json()["would_revoke"].is_null());
    let dry = json!({"first_name": "Other", "dry_run": true});
    let shown = app.patch(&site, &user, dry).await.is(200);
    assert_eq!(shown.text_at("/first_name"), "Other");
    assert_eq!(app.get(&site, &user).await.is(200).text_at("/first_name"), "Else");
}

/// Who may not make the change is told nothing of the tokens; the matrix has the same for every kind of caller.
#[tokio::test]
async fn who_may_not_make_a_change_may_not_preview_it_either() {
    let scene = Scene::set().await;
    let app = &scene.app;
    let member = app.member_of(&NORTH);
    let kid = json!("any");
    for case in cases(&kid) {
        let is_leave = case.0 == "lead";
        for stranger in [&member, &app.outsider()] {
            let mut statuses = Vec::new();
            for is_dry_run in [true, false] {
                if !is_leave {
                    statuses.push(send(app, stranger, &case, is_dry_run).await.status);
                }
            }
            assert!(
                statuses.iter().all(|status| [403, 404].contains(status)),
                "{case:?}: {statuses:?}"
            );
            assert!(
                statuses.windows(2).all(|pair| pair[0] == pair[1]),
                "{case:?}: {statuses:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_misspelt_dry_run_deletes_nothing() {
    let scene = Scene::set().await;
    let app = &scene.app;
    let site = app.site_admin();
    let home = format!("/organizations/{}", NORTH.name);
    let lead = NORTH.email("lead");
    for path in [
        format!("{home}/members/{lead}"),
        format!("{home}/teams/{}", NORTH.team),
        format!("{home}/projects/{}", NORTH.project_id()),
        format!("/users/{lead}"),
        format!("/me/organizations/{}", NORTH.name),
        home,
    ] {
        for (query, fault) in [
            ("dryrun=true", "extra_forbidden at query.dryrun"),
            ("dry_run=maybe", "bool_parsing at query.dry_run"),
            ("dry_run=", "bool_parsing at query.dry_run"),
        ] {
            app.delete(&site, &format!("{path}?{query}"))
                .await
                .blames(&[fault]);
        }
    }
    for (path, method) in [
        (format!("/users/{lead}"), Method::PATCH),
        ("/revocations".to_owned(), Method::POST),
    ] {
        let body = json!({"organization": NORTH.name, "disabled": true, "dryrun": true});
        let answer = app.call(&site, method, &path, Some(body)).await;
        assert!(
            answer
                .faults()
                .contains(&"extra_forbidden at body.dryrun".to_owned())
        );
    }
    assert_eq!(scene.active().await.len(), scene.tokens.len());
    // A deletion in earnest says so, or says nothing.
    let path = format!("/organizations/{}/members/{lead}?dry_run=false", NORTH.name);
    app.delete(&site, &path).await.is(204);
    assert_eq!(scene.active().await.len(), scene.tokens.len() - 2);
}

/// A deployment can have more tokens than are counted in a few seconds: the rest is told nevertheless.
#[tokio::test]
async fn a_group_that_is_too_long_to_count_is_not_counted() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let (site, lead) = (app.site_admin(), app.team_admin(&NORTH));
    app.personal_token(&lead, &NORTH, &[]).await;
    let of_team = json!({"organization": NORTH.name, "owner": "team", "team": NORTH.team});
    app.mint(&lead, of_team).await;
    let path = format!("/users/{}?dry_run=true", NORTH.email("lead"));
    // Fills the caches.
    app.delete(&site, &path).await.is(200);
    let mut told = BTreeSet::new();
    for calls_before in 0.. {
        plan.arm(Fault::TooCostly, Some(Kind::Read), calls_before);
        let answer = app.delete(&site, &path).await;
        if plan.disarm() {
            break;
        }
        if answer.status == 200 {
            let preview = answer.json();
            let group = |name: &str| {
                let group = &preview[name];
                assert!(group["list"].is_string());
                format!("{}/{}", group["count"], group["used_last_24h"])
            };
            told.insert([group("tokens"), group("left")].join(" "));
        }
    }
    let expected = ["1/0 1/null", "1/0 null/null", "1/null 1/0", "null/null 1/0"];
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
}
