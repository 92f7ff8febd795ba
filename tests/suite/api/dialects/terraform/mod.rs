//! The behaviour that Terraform's clients rely on.

mod audit_trail;
mod directory;
mod documents;
mod memberships;
mod organization_tokens;
mod policies;
mod team_tokens;
mod team_tokens_list;
mod user_tokens;
mod users;

use jeton::http::Document;
use serde_json::{Value, json};

use crate::api::dialects::bad_input::{Row, Stage, row};
use crate::api::dialects::{Refusals, Surface, faults};
use crate::api::examples;
use crate::harness::{Actor, Answer, NORTH, SOUTH, TestApp};

pub(super) const SURFACE: Surface = Surface {
    document: Document::Terraform,
    media_type: "application/vnd.api+json",
    is_own_form,
    nowhere: "/api/v2/unheard-of",
    refusals: Refusals {
        no_credential: 401,
        bad_credential: 401,
        absent: 404,
        no_method: 405,
        malformed: 400,
        no_object: 422,
        media_type: 415,
        invalid: 422,
    },
    rows: ROWS,
};

/// A token document with all possible attributes.
const NEW: &str = r#"{"data": {"type": "authentication-tokens",
    "attributes": {"description": "ci", "expired-at": "2026-12-01T00:00:00Z"}}}"#;
const TYPE: &[&str] = &["/data/type"];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("list_team_tokens", "/api/v2/organizations/{organization}/team-tokens?sort=-team-name", "", 200, [200, 404, 404]),
    row("remove_team_tokens", "/api/v2/organizations/{organization}/team-tokens",
        r#"{"data": [{"type": "authentication-tokens", "id": "{teams}"}]}"#, 204, [404, 404, 404]).lax(&["/data/0/type"]),
    row("show_team_token", "/api/v2/teams/{team_id}/authentication-token", "", 200, [404, 404, 404]),
    row("replace_team_token", "/api/v2/teams/{team_id}/authentication-token", NEW, 201, [404, 404, 404]).lax(TYPE),
    row("remove_team_token", "/api/v2/teams/{team_id}/authentication-token", "", 204, [404, 404, 404]),
    row("create_team_token", "/api/v2/teams/{team_id}/authentication-tokens", NEW, 201, [404, 404, 404]).lax(TYPE),
    row("show_organization_token", "/api/v2/organizations/{organization}/authentication-token", "", 200, [404, 404, 404]),
    row("show_organization_token", "/api/v2/organizations/{organization_id}/authentication-token?token=audit-trails", "", 200, [404, 404, 404]),
    row("replace_organization_token", "/api/v2/organizations/{organization}/authentication-token", NEW, 201, [404, 404, 404]).lax(TYPE),
    row("remove_organization_token", "/api/v2/organizations/{organization}/authentication-token", "", 204, [404, 404, 404]),
    row("list_user_tokens", "/api/v2/users/{user_id}/authentication-tokens?page[size]=5", "", 200, [200, 404, 200]).absent(&[("user_id", 200)]),
    row("create_user_token", "/api/v2/users/{user_id}/authentication-tokens", NEW, 201, [404, 404, 404]).lax(TYPE),
    row("show_token", "/api/v2/authentication-tokens/{teams}", "", 200, [404, 404, 404]),
    row("show_token", "/api/v2/authentication-tokens/{own}", "", 200, [404, 404, 404]),
    row("show_token", "/api/v2/authentication-tokens/{members}", "", 200, [200, 404, 404]),
    row("remove_token", "/api/v2/authentication-tokens/{teams}", "", 204, [404, 404, 404]),
    row("list_token_ttl_policies", "/api/v2/organizations/{organization}/token-ttl-policies", "", 200, [200, 404, 404]),
    row("change_token_ttl_policies", "/api/v2/organizations/{organization}/token-ttl-policies",
        r#"{"data": [{"type": "organization-token-ttl-policies", "attributes": {"token-type": "organization", "max-ttl-ms": 3600000}},
            {"attributes": {"token-type": "team", "max-ttl-ms": 3600000}},
            {"attributes": {"token-type": "user", "max-ttl-ms": 3600000}},
            {"attributes": {"token-type": "audit_trails", "max-ttl-ms": 3600000}}]}"#, 200, [404, 404, 404]).lax(&["/data/0/type"]),
    row("change_token_ttl_policies", "/api/v2/organizations/{organization}/token-ttl-policies",
        r#"{"data": {"type": "organization-token-ttl-policies", "attributes": {"token-ttl-policies": [
            {"token-type": "organization", "max-ttl-ms": 3600000}, {"token-type": "team", "max-ttl-ms": 3600000},
            {"token-type": "user", "max-ttl-ms": 3600000}, {"token-type": "audit_trails", "max-ttl-ms": 3600000}]}}}"#,
        200, [404, 404, 404]).lax(&["/data/type"]),
    row("list_organizations", "/api/v2/organizations?q=n&page[size]=2", "", 200, [200, 404, 200]),
    row("create_organization", "/api/v2/organizations",
        r#"{"data": {"type": "organizations", "attributes": {"name": "brand-new", "email": "ops@example.com"}}}"#,
        201, [201, 404, 201]).lax(&["/data/type"]),
    row("show_organization", "/api/v2/organizations/{organization}", "", 200, [200, 404, 404]),
    row("show_organization", "/api/v2/organizations/{organization_id}", "", 200, [200, 404, 404]),
    row("change_organization", "/api/v2/organizations/{organization}",
        r#"{"data": {"type": "organizations", "attributes": {"name": "renamed", "email": "ops@example.com"}}}"#,
        200, [404, 404, 404]).lax(&["/data/type"]),
    row("remove_organization", "/api/v2/organizations/{organization}", "", 204, [404, 404, 404]),
    row("list_organization_memberships",
        "/api/v2/organizations/{organization}/organization-memberships?filter[status]=active&include=user",
        "", 200, [200, 404, 404]),
    row("create_organization_membership", "/api/v2/organizations/{organization}/organization-memberships",
        r#"{"data": {"type": "organization-memberships", "attributes": {"email": "new@example.com"},
            "relationships": {"teams": {"data": [{"type": "teams", "id": "{team_id}"}]}}}}"#,
        201, [404, 404, 404]).lax(&["/data/type", "/data/relationships/teams/data/0/type"]),
    row("list_own_organization_memberships", "/api/v2/organization-memberships?include=user&page[size]=5", "", 200, [200, 404, 200]),
    row("show_organization_membership", "/api/v2/organization-memberships/{membership_id}?include=user", "", 200, [200, 404, 404]),
    row("remove_organization_membership", "/api/v2/organization-memberships/{membership_id}", "", 204, [404, 404, 404]),
    row("show_user", "/api/v2/users/{user_id}", "", 200, [200, 404, 404]),
    row("show_entitlement_set", "/api/v2/organizations/{organization}/entitlement-set", "", 200, [200, 404, 404]),
    row("list_teams", "/api/v2/organizations/{organization}/teams?filter[names]=x,y&include=users", "", 200, [200, 404, 404]),
    row("create_team", "/api/v2/organizations/{organization}/teams",
        r#"{"data": {"type": "teams", "attributes": {"name": "brand-new"}}}"#, 200, [404, 404, 404]).lax(&["/data/type"]),
    row("show_team", "/api/v2/teams/{team_id}?include=users", "", 200, [200, 404, 404]),
    row("change_team", "/api/v2/teams/{team_id}",
        r#"{"data": {"type": "teams", "attributes": {"name": "renamed"}}}"#, 200, [404, 404, 404]).lax(&["/data/type"]),
    row("remove_team", "/api/v2/teams/{team_id}", "", 204, [404, 404, 404]),
    row("add_team_users", "/api/v2/teams/{team_id}/relationships/users",
        r#"{"data": [{"type": "users", "id": "{email}"}]}"#, 204, [404, 404, 404]).lax(&["/data/0/type"]),
    row("remove_team_users", "/api/v2/teams/{team_id}/relationships/users",
        r#"{"data": [{"type": "users", "id": "{email}"}]}"#, 204, [404, 404, 404]).lax(&["/data/0/type"]),
    row("list_team_memberships", "/api/v2/teams/{team_id}/relationships/organization-memberships", "", 200, [200, 404, 404]),
    row("add_team_memberships", "/api/v2/teams/{team_id}/relationships/organization-memberships",
        r#"{"data": [{"type": "organization-memberships", "id": "{membership_id}"}]}"#, 204, [404, 404, 404]).lax(&["/data/0/type"]),
    row("remove_team_memberships", "/api/v2/teams/{team_id}/relationships/organization-memberships",
        r#"{"data": [{"type": "organization-memberships", "id": "{membership_id}"}]}"#, 204, [404, 404, 404]).lax(&["/data/0/type"]),
    row("change_account", "/api/v2/account/update",
        r#"{"data": {"type": "users", "attributes": {"username": "{admin_email}", "email": "{admin_email}"}}}"#,
        200, [422, 404, 422]).lax(&["/data/type"]),
    row("list_audit_trail", "/api/v2/organization/audit-trail?since=2020-01-01T00:00:00.000Z&page[number]=1&page[size]=5", "", 200, [404, 404, 404]).by("scoped"),
    row("show_account", "/api/v2/account/details", "", 200, [200, 200, 200]),
    row("discover_services", "/.well-known/terraform.json", "", 200, [200, 200, 200]),
    row("ping", "/api/v2/ping", "", 204, [204, 204, 204]),
];

/// Returns the server with the resources that rows name.
async fn stage() -> Stage {
    let mut stage = Stage::set().await;
    let app = stage.app();
    let mut people = Vec::new();
    for place in [&NORTH, &SOUTH] {
        let admin = app.admin_of(place);
        for path in [
            format!("/api/v2/teams/{}/authentication-token", place.team_id()),
            format!("/api/v2/organizations/{}/authentication-token", place.name),
            format!(
                "/api/v2/organizations/{}/authentication-token?token=audit-trails",
                place.name
            ),
        ] {
            SURFACE.post(app, &admin, &path, json!(null)).await.is(201);
        }
        people.push(user_id(app, &admin).await);
    }
    let mut memberships = Vec::new();
    for place in [&NORTH, &SOUTH] {
        let email = place.email("member");
        memberships.push(memberships::id_of(stage.app(), place, &email).await);
    }
    let [of_north, of_south] = [&memberships[0], &memberships[1]];
    stage.name("membership_id", [of_north, of_south, "ou-unknown"]);
    let [north, south] = [NORTH.email("admin"), SOUTH.email("admin")];
    stage.name("admin_email", [&north, &south, "nobody@nowhere.example"]);
    let [north, south] = [&people[0], &people[1]];
    stage.name("user_id", [north, south, "user-Tw4Ev8Ny2Ka6Mo3P"]);
    stage
}

#[tokio::test]
async fn bad_input_is_refused_in_terraforms_own_form() {
    let findings = stage().await.findings(&SURFACE).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_nothing_else() {
    let findings = faults::findings(&stage().await, &SURFACE, |router| router).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The membership of the document's examples.
const EXAMPLE_MEMBERSHIP: &str = "ou-AZfyoFwfT26aVXp9Pw9LHmFkYUBleGFtcGxlLmNvbQ";

/// The steps that the document describes work.
#[tokio::test]
async fn the_steps_of_the_document_work() {
    let document = examples::Document::of_dialect(SURFACE.document);
    for writer in document.writers() {
        let app = TestApp::new().await;
        let site = app.site_admin();
        let ada = json!({"email": "ada@example.com", "password": "long enough"});
        app.post(&site, "/users", ada).await.is(201);
        let crew = json!({"name": "crew"});
        let crew = app
            .post(&site, "/organizations/default/teams", crew)
            .await
            .is(201);
        let membership = memberships::id_in(&app, "default", "admin@example.com").await;
        let path = writer
            .path
            // Operations that end something name what does not exist.
            .replace("organizations/does-not-exist", "organizations/default")
            .replace("teams/does-not-exist", "teams/team-Hn5Lq9BcX1dF7gJk")
            .replace("team-Hn5Lq9BcX1dF7gJk", &crew.text_at("/id"))
            .replace("user-Tw4Ev8Ny2Ka6Mo3P", &user_id(&app, &site).await)
            .replace(EXAMPLE_MEMBERSHIP, &membership);
        let token = json!({"organization": "default", "owner": "team", "team": "crew"});
        let number = app.mint(&site, token).await.id;
        let example = document.example(&writer.schema).to_string();
        let example = example
            .replace("\"id\":\"at-1\"", &format!("\"id\":\"at-{number}\""))
            .replace(EXAMPLE_MEMBERSHIP, &membership);
        let method = writer.method.parse().unwrap();
        let answer = app
            .send(SURFACE.request(&site, method, &path, example.clone()))
            .await;
        let status = answer.status;
        assert!(
            (200..300).contains(&status),
            "{}: {example}: {status} {}",
            writer.id,
            answer.text
        );
    }
}

/// Returns the id of the logged-in user.
async fn user_id(app: &TestApp, actor: &Actor) -> String {
    app.get(actor, "/me").await.is(200).text_at("/user/id")
}

/// Returns a path below NORTH's team.
fn team(rest: &str) -> String {
    format!("/api/v2/teams/{}/{rest}", NORTH.team_id())
}

/// Returns a path below NORTH.
fn organization(rest: &str) -> String {
    format!("/api/v2/organizations/{}/{rest}", NORTH.name)
}

/// Returns the document of a new token.
fn new(attributes: Value) -> Value {
    json!({"data": {"type": "authentication-tokens", "attributes": attributes}})
}

/// Returns the id of a created token, and its holder.
fn made(answer: Answer) -> (String, Actor) {
    let answer = answer.is(201);
    (
        answer.text_at("/data/id").replace("at-", ""),
        Actor::holding(&answer.text_at("/data/attributes/token")),
    )
}

/// Requires the complete error document of a missing resource.
fn absent(answer: &Answer) {
    assert_eq!(answer.status, 404, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({"errors": [{"status": "404", "title": "not found"}]})
    );
}

/// Returns whether the response is a document of errors, each with its status as a text.
fn is_own_form(answer: &Answer) -> bool {
    let body = serde_json::from_str::<Value>(&answer.text).unwrap_or_default();
    let is_error = |error: &Value| {
        error["status"] == answer.status.to_string().as_str()
            && error["title"].as_str().is_some_and(|title| !title.is_empty())
    };
    answer.header("content-type") == "application/vnd.api+json"
        && body["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty() && errors.iter().all(is_error))
}
