//! The effect of changes to users, organizations and teams on tokens. A row per test, named after it.
//!
//! Sessions and tokens of the first three columns are those of the user in question.
//!
//! | change | sessions | tokens of the organization | tokens of other organizations | tokens of its teams | tokens owned by the organization | tokens of the deployment |
//! |---|---|---|---|---|---|---|
//! | a person is removed from an organization | valid, without access to it | revoked | valid | valid | valid | valid |
//! | an admin is demoted to member | valid, with fewer permissions | valid, with fewer permissions | valid | valid | valid | valid |
//! | a member is demoted to viewer | valid, with fewer permissions | valid, with fewer permissions | valid | valid | valid | valid |
//! | a person is removed from a team | valid, with fewer permissions | valid | valid | valid | valid | valid |
//! | a person is disabled | revoked | revoked | revoked | valid | valid | valid |
//! | a disabled person is enabled again | stay revoked | stay revoked | stay revoked | valid | valid | valid |
//! | a person is deleted | revoked | revoked | revoked | valid | valid | valid |
//! | a person is made again under the same address | stay revoked | stay revoked | stay revoked | valid | valid | valid |
//! | a password is changed | revoked | valid | valid | valid | valid | valid |
//! | a site administrator becomes an ordinary person | valid, with fewer permissions | valid, with fewer permissions | valid | valid | valid | valid |
//! | a team is deleted | valid | valid | valid | its own revoked | valid | valid |
//! | a project is deleted | valid | valid; without projects if restricted to it | valid | the same | the same | valid |
//! | an organization is deleted | valid, without access to it | revoked | valid | revoked | revoked | valid |
//! | an organization is made again under the same name | valid | stay revoked | valid | stay revoked | stay revoked | valid |
//! | an organization is renamed | valid | valid | valid | valid | valid | valid |
//! | an organization is cut off | valid | revoked | valid | revoked | revoked | valid |
//! | a team is cut off | valid | valid | valid | its own revoked | valid | valid |
//! | a person is cut off in an organization | valid | revoked | valid | valid | valid | valid |
//! | a person is cut off everywhere | revoked | revoked | revoked | valid | valid | valid |
//!
//! A revoked token is refused everywhere from the response on, is shown as revoked, is inactive for introspection, is set in
//! the published status list, is revoked for a follower of the feed, and stays revoked after a restart.

use serde_json::json;

use crate::harness::{Actor, MANAGEMENT, Minted, NORTH, SOUTH, Tenant, TestApp, is_revoked, password};

/// An active token of each kind: of the lead, who is an admin of NORTH's team and also a member of SOUTH,
/// and of the lead's team and organization.
struct Scene {
    app: TestApp,
    session: Actor,
    personal: Minted,
    elsewhere: Minted,
    team: Minted,
    organization: Minted,
    deployment: Minted,
}

/// Which of a [`Scene`]'s tokens are active, in the order of the table's columns.
type Alive = [bool; 6];

const ALL: Alive = [true; 6];

impl Scene {
    async fn set() -> Self {
        let app = TestApp::new().await;
        let session = app.team_admin(&NORTH);
        let path = format!("/organizations/{}/members/{}", SOUTH.name, NORTH.email("lead"));
        let role = json!({"role": "member"});
        app.put(&app.site_admin(), &path, role).await.is(204);
        let scene = Self {
            personal: app.personal_token(&session, &NORTH, &MANAGEMENT).await,
            elsewhere: app.personal_token(&session, &SOUTH, &MANAGEMENT).await,
            team: app.team_token(&NORTH, &MANAGEMENT).await,
            organization: app.organization_token(&NORTH, &MANAGEMENT).await,
            deployment: app.deployment_token(&MANAGEMENT).await,
            session,
            app,
        };
        assert_eq!(scene.alive().await, ALL);
        // A cut-off covers whole seconds, so the test continues in a later one.
        scene.app.clock.advance(2);
        scene
    }

    fn tokens(&self) -> [&Minted; 5] {
        [
            &self.personal,
            &self.elsewhere,
            &self.team,
            &self.organization,
            &self.deployment,
        ]
    }

    async fn alive(&self) -> Alive {
        let mut alive = [self.app.get(&self.session, "/me").await.status == 200; 6];
        for (token, alive) in self.tokens().into_iter().zip(&mut alive[1..]) {
            let answer = self.app.get(&token.holder, "/tokens/current").await;
            *alive = match (answer.status, answer.code()) {
                (200, _) => true,
                (401, "invalid_token") => false,
                _ => panic!("neither active nor revoked: {}", answer.text),
            };
        }
        alive
    }

    /// Requires these tokens to be active and the others to be refused, shown as revoked and not listed, now
    /// and after a restart.
    async fn ends_as(&mut self, expected: Alive) {
        let reader = self.app.deployment_token(&["revocations:read"]).await.holder;
        let asks = self.app.deployment_token(&["tokens:introspect"]).await.holder;
        for _ in 0..2 {
            assert_eq!(self.alive().await, expected);
            for known in self.app.followers(&reader).await {
                let revoked = [self.session.token()]
                    .into_iter()
                    .chain(self.tokens().map(|token| &*token.secret))
                    .map(|token| is_revoked(&known, token));
                let alive: Vec<bool> = revoked.map(|revoked| !revoked).collect();
                assert_eq!(alive, expected, "{known:?}");
            }
            for (token, alive) in self.tokens().into_iter().zip(&expected[1..]) {
                let form = format!("token={}", token.secret);
                let told = self.app.form(&asks, "/oauth/introspect", &form).await.is(200);
                assert_eq!(told.json()["active"], *alive, "introspected");
                let inspection = self.app.inspected(&self.app.site_admin(), &token.secret).await;
                assert_eq!(
                    inspection["verdict"],
                    self.app.judged(&token.secret).await,
                    "inspected"
                );
                assert_eq!(inspection["verdict"] == "active", *alive, "inspected");
            }
            let site = self.app.site_admin();
            let listed = self.app.get(&site, "/tokens?limit=1000").await.is(200).each("id");
            let published = self.app.is_revoked_in_its_list(self.session.token()).await;
            assert_eq!(published, !expected[0], "published");
            for (token, alive) in self.tokens().into_iter().zip(&expected[1..]) {
                let published = self.app.is_revoked_in_its_list(&token.secret).await;
                assert_eq!(published, !alive, "published");
                let shown = self.app.get(&site, &format!("/tokens/{}", token.id)).await;
                let status = if *alive { "active" } else { "revoked" };
                assert_eq!(shown.is(200).text_at("/status"), status);
                assert_eq!(listed.contains(&token.id), *alive, "listed");
            }
            self.app.restart().await;
        }
    }

    async fn deletes(&self, actor: &Actor, path: &str) {
        self.app.delete(actor, path).await.is(204);
        // The next requests happen in another second.
        self.app.clock.advance(2);
    }
}

fn home(tenant: &Tenant) -> String {
    format!("/organizations/{}", tenant.name)
}

fn lead() -> String {
    NORTH.email("lead")
}

#[tokio::test]
async fn a_person_is_removed_from_an_organization() {
    let mut scene = Scene::set().await;
    let path = format!("{}/members/{}", home(&NORTH), lead());
    scene.deletes(&scene.app.admin_of(&NORTH), &path).await;
    scene.ends_as([true, false, true, true, true, true]).await;
    scene
        .app
        .get(&scene.session, &home(&NORTH))
        .await
        .fails(404, "not_found");
    // A user who is added again gets no token back.
    let role = json!({"role": "admin"});
    scene.app.put(&scene.app.site_admin(), &path, role).await.is(204);
    scene.app.get(&scene.session, &home(&NORTH)).await.is(200);
    scene.ends_as([true, false, true, true, true, true]).await;
}

#[tokio::test]
async fn an_admin_is_demoted_to_member() {
    let mut scene = Scene::set().await;
    let path = format!("{}/members/{}", home(&NORTH), lead());
    let admin = scene.app.admin_of(&NORTH);
    scene
        .app
        .put(&admin, &path, json!({"role": "admin"}))
        .await
        .is(204);
    let change = json!({"email": "x@example.com"});
    for holder in [&scene.session, &scene.personal.holder] {
        scene
            .app
            .patch(holder, &home(&NORTH), change.clone())
            .await
            .is(200);
    }
    scene
        .app
        .put(&admin, &path, json!({"role": "member"}))
        .await
        .is(204);
    for _ in 0..2 {
        for holder in [&scene.session, &scene.personal.holder] {
            let answer = scene.app.patch(holder, &home(&NORTH), change.clone()).await;
            answer.fails(403, "forbidden");
            let tokens = scene
                .app
                .get(holder, &format!("/tokens/{}", scene.organization.id))
                .await;
            tokens.fails(404, "not_found");
        }
        scene.app.restart().await;
    }
    scene.ends_as(ALL).await;
}

#[tokio::test]
async fn a_member_is_demoted_to_viewer() {
    let mut scene = Scene::set().await;
    let path = format!("{}/members/{}", home(&NORTH), lead());
    let mine = json!({"name": "mine", "organization": NORTH.name, "owner": "user"});
    let teams = json!({"name": "ours", "organization": NORTH.name, "owner": "team", "team": NORTH.team});
    let team_token = format!("/tokens/{}", scene.team.id);
    for holder in [&scene.session, &scene.personal.holder] {
        scene.app.post(holder, "/tokens", mine.clone()).await.is(201);
        scene.app.post(holder, "/tokens", teams.clone()).await.is(201);
        scene.app.get(holder, &team_token).await.is(200);
    }
    let role = json!({"role": "viewer"});
    scene
        .app
        .put(&scene.app.admin_of(&NORTH), &path, role)
        .await
        .is(204);
    for _ in 0..2 {
        for holder in [&scene.session, &scene.personal.holder] {
            // They see the organization and their own tokens, and create none, not by rotating either.
            scene.app.get(holder, &home(&NORTH)).await.is(200);
            let own = format!("/tokens/{}", scene.personal.id);
            scene.app.get(holder, &own).await.is(200);
            for order in [&mine, &teams] {
                let answer = scene.app.post(holder, "/tokens", order.clone()).await;
                answer.fails(403, "forbidden");
            }
            scene.app.get(holder, &team_token).await.fails(404, "not_found");
        }
        let rotate = scene
            .app
            .post(&scene.personal.holder, "/tokens/current/rotate", json!({}));
        rotate.await.fails(403, "forbidden");
        scene.app.restart().await;
    }
    scene.ends_as(ALL).await;
}

#[tokio::test]
async fn a_person_is_removed_from_a_team() {
    let mut scene = Scene::set().await;
    let token = format!("/tokens/{}", scene.team.id);
    for holder in [&scene.session, &scene.personal.holder] {
        scene.app.get(holder, &token).await.is(200);
    }
    let path = format!("{}/teams/{}/members/{}", home(&NORTH), NORTH.team, lead());
    scene.deletes(&scene.app.admin_of(&NORTH), &path).await;
    for holder in [&scene.session, &scene.personal.holder] {
        scene.app.get(holder, &token).await.fails(404, "not_found");
    }
    scene.ends_as(ALL).await;
}

#[tokio::test]
async fn a_person_is_disabled() {
    let mut scene = Scene::set().await;
    let path = format!("/users/{}", lead());
    let site = scene.app.site_admin();
    scene
        .app
        .patch(&site, &path, json!({"disabled": true}))
        .await
        .is(200);
    scene.ends_as([false, false, false, true, true, true]).await;
    let login = scene.app.log_in(&lead(), &password(&lead())).await;
    login.fails(401, "login_failed");
}

#[tokio::test]
async fn a_disabled_person_is_enabled_again() {
    let mut scene = Scene::set().await;
    let path = format!("/users/{}", lead());
    let site = scene.app.site_admin();
    for disabled in [true, false] {
        scene
            .app
            .patch(&site, &path, json!({"disabled": disabled}))
            .await
            .is(200);
        scene.app.clock.advance(2);
    }
    scene.ends_as([false, false, false, true, true, true]).await;
    scene.app.log_in(&lead(), &password(&lead())).await.is(200);
}

#[tokio::test]
async fn a_person_is_deleted() {
    let mut scene = Scene::set().await;
    scene
        .deletes(&scene.app.site_admin(), &format!("/users/{}", lead()))
        .await;
    scene.ends_as([false, false, false, true, true, true]).await;
}

#[tokio::test]
async fn a_person_is_made_again_under_the_same_address() {
    let mut scene = Scene::set().await;
    let site = scene.app.site_admin();
    let before = scene
        .app
        .get(&site, &format!("/users/{}", lead()))
        .await
        .text_at("/id");
    scene.deletes(&site, &format!("/users/{}", lead())).await;
    let account = json!({"email": lead(), "password": "another password"});
    let made = scene.app.post(&site, "/users", account).await.is(201);
    assert_ne!(made.text_at("/id"), before);
    scene.ends_as([false, false, false, true, true, true]).await;
    let login = scene.app.log_in(&lead(), &password(&lead())).await;
    login.fails(401, "login_failed");
    let session = scene.app.log_in(&lead(), "another password").await.is(200);
    let session = Actor::holding(&session.text_at("/token"));
    let me = scene.app.get(&session, "/me").await.is(200).json();
    assert_eq!(me["organizations"], json!([]));
    for token in scene.tokens() {
        let answer = scene.app.get(&session, &format!("/tokens/{}", token.id)).await;
        answer.fails(404, "not_found");
    }
    let tokens = scene
        .app
        .get(&session, "/tokens?include_revoked=true")
        .await
        .is(200);
    assert_eq!(tokens.json()["items"], json!([]));
}

#[tokio::test]
async fn a_password_is_changed() {
    let mut scene = Scene::set().await;
    let change = json!({"password": "another password", "current_password": password(&lead())});
    let path = format!("/users/{}", lead());
    scene.app.patch(&scene.session, &path, change).await.is(200);
    scene.ends_as([false, true, true, true, true, true]).await;
    let login = scene.app.log_in(&lead(), &password(&lead())).await;
    login.fails(401, "login_failed");
    scene.app.clock.advance(2);
    scene.app.log_in(&lead(), "another password").await.is(200);
}

#[tokio::test]
async fn a_site_administrator_becomes_an_ordinary_person() {
    let mut scene = Scene::set().await;
    let path = format!("/users/{}", lead());
    let site = scene.app.site_admin();
    scene
        .app
        .patch(&site, &path, json!({"site_admin": true}))
        .await
        .is(200);
    scene.app.get(&scene.session, "/users").await.is(200);
    let token = format!("/tokens/{}", scene.organization.id);
    scene.app.get(&scene.personal.holder, &token).await.is(200);
    scene
        .app
        .patch(&site, &path, json!({"site_admin": false}))
        .await
        .is(200);
    for _ in 0..2 {
        scene
            .app
            .get(&scene.session, "/users")
            .await
            .fails(403, "forbidden");
        scene
            .app
            .get(&scene.personal.holder, &token)
            .await
            .fails(404, "not_found");
        scene.app.restart().await;
    }
    scene.ends_as(ALL).await;
}

#[tokio::test]
async fn a_team_is_deleted() {
    let mut scene = Scene::set().await;
    let path = format!("{}/teams/{}", home(&NORTH), NORTH.team);
    scene.deletes(&scene.app.admin_of(&NORTH), &path).await;
    scene.ends_as([true, true, true, false, true, true]).await;
    // A team of the same name is a different team.
    let again = json!({"name": NORTH.team});
    let teams = format!("{}/teams", home(&NORTH));
    let made = scene
        .app
        .post(&scene.app.admin_of(&NORTH), &teams, again)
        .await
        .is(201);
    assert_ne!(made.text_at("/id"), NORTH.team_id());
    scene.ends_as([true, true, true, false, true, true]).await;
}

#[tokio::test]
async fn a_project_is_deleted() {
    let mut scene = Scene::set().await;
    let admin = scene.app.admin_of(&NORTH);
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": MANAGEMENT,
        "projects": [NORTH.project_id()]});
    let restricted = scene.app.mint(&admin, order).await;
    let path = format!("{}/projects/{}", home(&NORTH), NORTH.project_id());
    scene.deletes(&admin, &path).await;
    for _ in 0..2 {
        let shown = scene.app.get(&restricted.holder, "/tokens/current").await.is(200);
        assert_eq!(
            shown.json()["projects"],
            json!([NORTH.project_id()]),
            "never unrestricted"
        );
        let order = json!({"name": "child", "owner": "organization", "scopes": ["tokens:read"]});
        let child = scene.app.request_token(&restricted.holder, order).await.is(201);
        assert_eq!(
            child.json()["token_info"]["projects"],
            json!([NORTH.project_id()])
        );
        scene.app.restart().await;
    }
    // A number is never reused, or the token would get access to another project.
    let path = format!("{}/projects", home(&NORTH));
    let again = json!({"name": NORTH.project});
    let made = scene.app.post(&admin, &path, again).await.is(201);
    assert_ne!(made.json()["id"], json!(NORTH.project_id()));
    scene.ends_as(ALL).await;
}

#[tokio::test]
async fn an_organization_is_deleted() {
    let mut scene = Scene::set().await;
    scene.deletes(&scene.app.admin_of(&NORTH), &home(&NORTH)).await;
    scene.ends_as([true, false, true, false, false, true]).await;
    scene
        .app
        .get(&scene.session, &home(&NORTH))
        .await
        .fails(404, "not_found");
}

#[tokio::test]
async fn an_organization_is_made_again_under_the_same_name() {
    let mut scene = Scene::set().await;
    let admin = scene.app.admin_of(&NORTH);
    scene.deletes(&admin, &home(&NORTH)).await;
    let again = json!({"name": NORTH.name});
    let taken = scene.app.post(&admin, "/organizations", again.clone()).await;
    taken.fails(409, "name_taken");
    // As if the name had been given up long ago; sessions do not live that long.
    let given_up = "UPDATE former_names SET given_up_at = 0";
    scene.app.db_change(given_up);
    let made = scene.app.post(&admin, "/organizations", again).await.is(201);
    assert_ne!(made.text_at("/id"), NORTH.id());
    scene.ends_as([true, false, true, false, false, true]).await;
    // Members of the old one are not members of the new one, and see none of its tokens.
    scene
        .app
        .get(&scene.session, &home(&NORTH))
        .await
        .fails(404, "not_found");
    let path = format!("/tokens?include_revoked=true&organization={}", NORTH.name);
    let tokens = scene.app.get(&admin, &path).await.is(200);
    assert_eq!(tokens.json()["items"], json!([]));
}

#[tokio::test]
async fn an_organization_is_renamed() {
    let mut scene = Scene::set().await;
    let admin = scene.app.admin_of(&NORTH);
    let renamed = scene
        .app
        .patch(&admin, &home(&NORTH), json!({"name": "Southwind"}))
        .await
        .is(200);
    assert_eq!(renamed.text_at("/id"), NORTH.id());
    scene.ends_as(ALL).await;
    scene
        .app
        .get(&scene.organization.holder, "/organizations/southwind")
        .await
        .is(200);
    scene
        .app
        .get(&scene.organization.holder, &home(&NORTH))
        .await
        .fails(404, "not_found");
}

/// Creates a cut-off.
async fn cut_off(actor: fn(&TestApp) -> Actor, order: serde_json::Value, expected: Alive) {
    let mut scene = Scene::set().await;
    let actor = actor(&scene.app);
    scene.app.post(&actor, "/revocations", order).await.is(201);
    scene.app.clock.advance(2);
    scene.ends_as(expected).await;
}

#[tokio::test]
async fn an_organization_is_cut_off() {
    let order = json!({"organization": NORTH.name});
    cut_off(
        |app| app.admin_of(&NORTH),
        order,
        [true, false, true, false, false, true],
    )
    .await;
}

#[tokio::test]
async fn a_team_is_cut_off() {
    let order = json!({"organization": NORTH.name, "team": NORTH.team});
    cut_off(
        |app| app.admin_of(&NORTH),
        order,
        [true, true, true, false, true, true],
    )
    .await;
}

#[tokio::test]
async fn a_person_is_cut_off_in_an_organization() {
    let order = json!({"organization": NORTH.name, "user": lead()});
    cut_off(
        |app| app.admin_of(&NORTH),
        order,
        [true, false, true, true, true, true],
    )
    .await;
}

#[tokio::test]
async fn a_person_is_cut_off_everywhere() {
    let order = json!({"user": lead()});
    cut_off(
        TestApp::site_admin,
        order,
        [false, false, false, true, true, true],
    )
    .await;
}
