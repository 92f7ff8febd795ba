//! The behaviour that CAVE's clients rely on.

mod members;
mod organizations;
mod tokens;
mod users;

use jeton::http::Document;
use serde_json::{Value, json};

use crate::api::dialects::bad_input::{Row, Stage, row};
use crate::api::dialects::{Refusals, Surface, faults};
use crate::api::examples;
use crate::harness::{Actor, Answer, NORTH, SOUTH, TestApp};

pub(super) const SURFACE: Surface = Surface {
    document: Document::Cave,
    media_type: "application/json",
    is_own_form,
    nowhere: "/organizations/northwind/unheard-of",
    refusals: Refusals {
        no_credential: 401,
        bad_credential: 403,
        absent: 404,
        no_method: 405,
        malformed: 400,
        no_object: 400,
        media_type: 400,
        invalid: 400,
    },
    rows: ROWS,
};

// `{organization_empty}` has no team, and `{lead}` is in the team.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("get_user",                "/users/info", "", 200, [200, 403, 200]),
    row("change_user",             "/users/info", r#"{"password":"another one","current_password":"password of admin@northwind.example"}"#, 200, [400, 403, 400]),
    row("list_user_organizations", "/users/organizations", "", 200, [200, 403, 200]),
    row("list_user_teams",         "/users/organizations/{organization}/teams", "", 200, [200, 403, 404]),
    row("search_users",            "/users/search?q=a", "", 200, [200, 403, 200]),
    row("login",                   "/users/login", r#"{"email":"member@southgate.example","password":"password of member@southgate.example"}"#, 200, [200; 3]),
    row("register",                "/users/register", r#"{"email":"ada@example.com"}"#, 400, [400; 3]),
    row("confirm",                 "/users/confirm", r#"{"first_name":"Ada","last_name":"Byron","password":"long enough","confirmation_token":"x"}"#, 400, [400; 3]),
    row("forgot_password",         "/users/forgot-password", r#"{"email":"ada@example.com"}"#, 400, [400; 3]),
    row("reset_password",          "/users/reset-password", r#"{"password":"long enough","token":"x"}"#, 400, [400; 3]),

    row("create_organization",     "/organizations", r#"{"name":"brand-new","email":"ops@example.com","notification_url":"https://example.com"}"#, 201, [201, 403, 201]),
    row("get_organization",        "/organizations/{organization}", "", 200, [200, 403, 404]),
    row("change_organization",     "/organizations/{organization}", r#"{"email":"ops@example.com","notification_url":"https://example.com"}"#, 200, [403, 403, 404]),
    row("delete_organization",     "/organizations/{organization_empty}", "", 204, [404, 403, 404]),
    row("delete_organization",     "/organizations/{organization}", "", 400, [403, 403, 404]),

    row("list_members",            "/organizations/{organization}/users", "", 200, [200, 403, 404]),
    row("add_member",              "/organizations/{organization}/users", r#"{"email":"new@example.com","role":"viewer"}"#, 202, [403, 403, 404]),
    row("change_member",           "/organizations/{organization}/users/{email}", r#"{"role":"viewer"}"#, 202, [400, 403, 404]),
    row("remove_member",           "/organizations/{organization}/users/{email}", "", 204, [400, 403, 404]).absent(&[("email", 204), ("email", 404)]),
    row("list_team_members",       "/organizations/{organization}/teams/{team}/users", "", 200, [200, 403, 404]),
    row("add_team_member",         "/organizations/{organization}/teams/{team}/users", r#"{"email":"new@example.com","role":"member"}"#, 202, [403, 403, 404]),
    row("change_team_member",      "/organizations/{organization}/teams/{team}/users/{lead}", r#"{"role":"member"}"#, 202, [403, 403, 404]),
    row("remove_team_member",      "/organizations/{organization}/teams/{team}/users/{lead}", "", 204, [403, 403, 404]).absent(&[("lead", 204), ("lead", 404)]),

    row("list_teams",              "/organizations/{organization}/teams", "", 200, [200, 403, 404]),
    row("create_team",             "/organizations/{organization}/teams", r#"{"name":"brand-new"}"#, 201, [403, 403, 404]),
    row("get_team",                "/organizations/{organization}/teams/{team}", "", 200, [200, 403, 404]),
    row("delete_team",             "/organizations/{organization}/teams/{team}", "", 204, [403, 403, 404]),

    row("list_organization_tokens",  "/organizations/{organization}/tokens", "", 200, [403, 403, 404]),
    row("create_organization_token", "/organizations/{organization}/tokens", r#"{"description":"November 2026"}"#, 201, [403, 403, 404]),
    row("get_organization_token",    "/organizations/{organization}/tokens/{own}", "", 200, [403, 403, 404]),
    row("delete_organization_token", "/organizations/{organization}/tokens/{own}", "", 204, [403, 403, 404]),
    row("list_team_tokens",          "/organizations/{organization}/teams/{team}/tokens", "", 200, [403, 403, 404]),
    row("create_team_token",         "/organizations/{organization}/teams/{team}/tokens", r#"{"description":"November 2026"}"#, 201, [403, 403, 404]),
    row("get_team_token",            "/organizations/{organization}/teams/{team}/tokens/{teams}", "", 200, [403, 403, 404]),
    row("delete_team_token",         "/organizations/{organization}/teams/{team}/tokens/{teams}", "", 204, [403, 403, 404]),
];

/// Returns whether the body is empty or plain text.
fn is_own_form(answer: &Answer) -> bool {
    match answer.text.as_str() {
        "" => answer.header("content-type").is_empty(),
        _ => answer.header("content-type") == "text/plain; charset=utf-8",
    }
}

/// Returns the path of the first organization.
pub(super) fn home() -> String {
    format!("/organizations/{}", NORTH.name)
}

/// Returns the path of its team.
pub(super) fn team() -> String {
    format!("{}/teams/{}", home(), NORTH.team)
}

/// Creates an organization through CAVE's API.
async fn founded(app: &TestApp, actor: &Actor, name: &str) -> Answer {
    let order =
        json!({"name": name, "email": "ops@example.com", "notification_url": "https://example.com/n"});
    SURFACE.post(app, actor, "/organizations", order).await.is(201)
}

impl Answer {
    /// Requires an error of CAVE's: a status and a text, or a status alone.
    #[track_caller]
    fn refuses(self, status: u16, text: &str) {
        assert_eq!((self.status, self.text.as_str()), (status, text));
        assert!(is_own_form(&self), "{}", self.header("content-type"));
    }

    /// Returns one field of every item of an array.
    fn every(&self, field: &str) -> Vec<Value> {
        let json = self.json();
        let items = json.as_array().unwrap().iter();
        items.map(|item| item[field].clone()).collect()
    }
}

/// Returns the server with the resources that rows name.
pub(super) async fn stage() -> Stage {
    let mut stage = Stage::set().await;
    for place in [&NORTH, &SOUTH] {
        let name = format!("{}-two", place.name);
        founded(stage.app(), &stage.app().admin_of(place), &name).await;
    }
    stage.name(
        "organization_empty",
        ["northwind-two", "southgate-two", "there-is-none"],
    );
    let [own, foreign] = [&NORTH, &SOUTH].map(|place| place.email("lead"));
    stage.name("lead", [&own, &foreign, "nobody@nowhere.example"]);
    stage
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_plain_text() {
    let findings = stage().await.findings(&SURFACE).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_nothing_else() {
    let findings = faults::findings(&stage().await, &SURFACE, |router| router).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The steps that the document describes work.
#[tokio::test]
async fn the_steps_of_the_document_work() {
    let document = examples::Document::of(SURFACE.document);
    for writer in document.writers() {
        let app = TestApp::new().await;
        let site = app.site_admin();
        let example = document.example(&writer.schema);
        let home = "/organizations/default";
        let team = json!({"name": "runners"});
        let ada = json!({"email": "ada@example.com", "password": "long enough"});
        if writer.id != "create_team" {
            SURFACE
                .post(&app, &site, &format!("{home}/teams"), team)
                .await
                .is(201);
        }
        app.post(&site, "/users", ada).await.is(201);
        if writer.id.starts_with("change_") {
            let member = json!({"email": "ada@example.com", "role": "viewer"});
            for place in [home, "/organizations/default/teams/runners"] {
                let users = format!("{place}/users");
                SURFACE.post(&app, &site, &users, member.clone()).await.is(202);
            }
        }
        let method = writer.method.parse().unwrap();
        let request = SURFACE.request(&site, method, &writer.path, example.to_string());
        let answer = app.send(request).await;
        // No document contains a password, and no e-mail is sent.
        let refused = [
            "login",
            "change_user",
            "register",
            "confirm",
            "forgot_password",
            "reset_password",
        ];
        let expected = if refused.contains(&writer.id.as_str()) {
            400..401
        } else {
            200..300
        };
        assert!(
            expected.contains(&answer.status),
            "{}: {example}: {} {}",
            writer.id,
            answer.status,
            answer.text
        );
        assert!(
            !answer.text.contains("Cannot parse"),
            "{}: {}",
            writer.id,
            answer.text
        );
    }
}
