//! Invited addresses in the APIs of other systems.

use serde_json::json;

use crate::api::dialects::{cave, terraform};
use crate::harness::{NORTH, SOUTH, TestApp};

/// The APIs of other systems show no account behind an invited address either.
#[tokio::test]
async fn other_apis_show_no_account_of_an_invited_address() {
    let app = TestApp::new().await;
    let stranger = app.admin_of(&SOUTH);
    let home = format!("/organizations/{}", SOUTH.name);
    let victim = NORTH.email("member");
    let unknown = "nobody@northwind.example";
    let me = app.get(&app.member_of(&NORTH), "/me").await.is(200).json();
    let id = me["user"]["id"].as_str().unwrap();
    let names = json!({"first_name": "Ada", "last_name": "Byron"});
    app.patch(&app.site_admin(), &format!("/users/{victim}"), names)
        .await
        .is(200);
    for email in [victim.as_str(), unknown] {
        let path = format!("{home}/teams/{}/members/{email}", SOUTH.team);
        app.put(&stranger, &path, json!({"role": "admin"})).await.is(204);
    }
    let team = SOUTH.team_id();
    let mut paths = vec![
        (&cave::SURFACE, format!("{home}/users")),
        (&cave::SURFACE, format!("{home}/teams/{}/users", SOUTH.team)),
    ];
    for text in ["ada", "byron", "northwind"] {
        paths.push((&cave::SURFACE, format!("/users/search?q={text}")));
    }
    let memberships = format!("/api/v2{home}/organization-memberships");
    for query in ["?include=user".to_owned(), format!("?filter[email]={victim}")] {
        paths.push((&terraform::SURFACE, format!("{memberships}{query}")));
    }
    paths.push((&terraform::SURFACE, format!("/api/v2/teams/{team}?include=users")));
    let query = "include=users,organization-memberships";
    paths.push((&terraform::SURFACE, format!("/api/v2/teams/{team}?{query}")));
    paths.push((&terraform::SURFACE, format!("/api/v2{home}/teams?{query}")));
    let listed = terraform::SURFACE
        .get(&app, &stranger, &format!("{memberships}?filter[email]={victim}"))
        .await;
    let membership = listed.text_at("/data/0/id");
    let path = format!("/api/v2/organization-memberships/{membership}?include=user");
    paths.push((&terraform::SURFACE, path));
    for (surface, path) in &paths {
        let answer = surface.get(&app, &stranger, path).await.is(200);
        for secret in [id, "Ada", "Byron"] {
            assert!(!answer.text.contains(secret), "{path}: {}", answer.text);
        }
        let shows = answer.text.contains(&victim);
        assert_eq!(
            shows,
            path.contains("organization-memberships"),
            "{path}: {}",
            answer.text
        );
    }
    let listed = terraform::SURFACE.get(&app, &stranger, &memberships).await.json();
    let of = |email: &str| {
        let data = listed["data"].as_array().unwrap();
        data.iter()
            .find(|one| one["attributes"]["email"] == email)
            .unwrap()
    };
    for email in [victim.as_str(), unknown] {
        assert_eq!(of(email)["attributes"]["status"], "invited");
        let user = of(email)["relationships"]["user"]["data"]["id"].as_str().unwrap();
        assert!(user.starts_with("user-"));
        // The id is nobody's.
        let shown = format!("/api/v2/users/{user}");
        terraform::SURFACE
            .get(&app, &app.site_admin(), &shown)
            .await
            .is(404);
        let users = json!({"data": [{"type": "users", "id": user}]});
        let path = format!("/api/v2/teams/{team}/relationships/users");
        terraform::SURFACE
            .post(&app, &stranger, &path, users)
            .await
            .is(404);
    }
    assert_eq!(of(&SOUTH.email("admin"))["attributes"]["status"], "active");
}

/// A token for all organizations of a user is bound by those that the user has accepted, and by no other.
#[tokio::test]
async fn an_invitation_binds_no_token_for_all_organizations() {
    let app = TestApp::new().await;
    let (stranger, member) = (app.admin_of(&SOUTH), app.member_of(&NORTH));
    let user = app.get(&member, "/me").await.text_at("/user/id");
    let tokens = format!("/api/v2/users/{user}/authentication-tokens");
    let new = json!({"data": {"type": "authentication-tokens", "attributes": {"expired-at": null}}});
    let issue = async || terraform::SURFACE.post(&app, &member, &tokens, new.clone()).await;
    let home = format!("/organizations/{}", SOUTH.name);
    let policy = json!({"policy": {"allowed_scopes": []}});
    app.patch(&stranger, &home, policy).await.is(200);
    let path = format!("{home}/members/{}", NORTH.email("member"));
    // A viewer makes no token for all organizations.
    app.put(&stranger, &path, json!({"role": "viewer"})).await.is(204);
    issue().await.is(201);
    let accept = format!("/me/invitations/{}/accept", SOUTH.name);
    app.post(&member, &accept, json!({})).await.is(204);
    issue().await.is(404);
}
