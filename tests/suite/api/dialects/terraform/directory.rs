//! Service discovery, the caller, organizations, teams and their members.

use axum::http::Method;
use serde_json::{Value, json};

use super::SURFACE;
use crate::harness::{Actor, Answer, MANAGEMENT, NORTH, SOUTH, Tenant, TestApp};

async fn patch(app: &TestApp, actor: &Actor, path: &str, body: Value) -> Answer {
    let request = SURFACE.request(actor, Method::PATCH, path, body.to_string());
    app.send(request).await
}

async fn delete_with(app: &TestApp, actor: &Actor, path: &str, body: Value) -> Answer {
    let request = SURFACE.request(actor, Method::DELETE, path, body.to_string());
    app.send(request).await
}

fn attributes(kind: &str, attributes: Value) -> Value {
    json!({"data": {"type": kind, "attributes": attributes}})
}

fn home(tenant: &Tenant) -> String {
    format!("/api/v2/organizations/{}", tenant.name)
}

fn team(tenant: &Tenant) -> String {
    format!("/api/v2/teams/{}", tenant.team_id())
}

/// Returns the value at a pointer in every resource of a list.
fn each(answer: &Answer, pointer: &str) -> Vec<String> {
    let json = answer.json();
    let list = json["data"].as_array().unwrap().iter();
    list.map(|one| one.pointer(pointer).unwrap().as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_client_finds_the_api_and_its_version_without_a_credential() {
    let app = TestApp::new().await;
    let services = SURFACE
        .get(&app, &app.anyone(), "/.well-known/terraform.json")
        .await
        .is(200);
    assert_eq!(services.header("content-type"), "application/json");
    assert_eq!(
        services.json(),
        json!({"modules.v1": "/api/registry/v1/modules/", "tfe.v2": "/api/v2/", "tfe.v2.1": "/api/v2/",
            "tfe.v2.2": "/api/v2/"})
    );
    let ping = SURFACE.get(&app, &app.anyone(), "/api/v2/ping").await.is(204);
    assert_eq!((ping.text.as_str(), ping.header("tfp-api-version")), ("", "2.6"));
    // go-tfe takes any other name for a Terraform Enterprise of unknown version.
    assert_eq!(ping.header("tfp-appname"), "HCP Terraform");
}

#[tokio::test]
async fn the_account_is_the_person_or_stands_for_what_the_token_acts_for() {
    let app = TestApp::new().await;
    let details = async |actor: &Actor| {
        let answer = SURFACE.get(&app, actor, "/api/v2/account/details").await.is(200);
        assert_eq!(answer.header("content-type"), "application/vnd.api+json");
        answer.json()["data"].clone()
    };
    let email = NORTH.email("member");
    let session = details(&app.member_of(&NORTH)).await;
    assert_eq!(session["type"], "users");
    assert_eq!(session["attributes"]["username"], json!(email));
    assert_eq!(session["attributes"]["email"], json!(email));
    assert_eq!(session["attributes"]["is-service-account"], false);
    assert_eq!(
        session["attributes"]["permissions"]["can-create-organizations"],
        true
    );
    assert_eq!(
        session["attributes"]["permissions"]["can-manage-user-tokens"],
        true
    );
    // A token of one organization cannot create one for all organizations.
    let token = app
        .personal_token(&app.member_of(&NORTH), &NORTH, &MANAGEMENT)
        .await;
    let personal = details(&token.holder).await;
    assert_eq!(personal["id"], session["id"]);
    assert_eq!(
        personal["attributes"]["permissions"]["can-create-organizations"],
        false
    );
    assert_eq!(
        personal["attributes"]["permissions"]["can-manage-user-tokens"],
        false
    );

    for (holder, kind, id) in [
        (app.team_token(&NORTH, &[]).await, "teams", NORTH.team_id()),
        (
            app.organization_token(&NORTH, &["organizations:read"]).await,
            "organizations",
            NORTH.name,
        ),
        (
            app.organization_token(&NORTH, &[]).await,
            "organizations",
            NORTH.name,
        ),
    ] {
        let account = details(&holder.holder).await;
        assert_eq!(account["attributes"]["is-service-account"], true);
        assert_eq!(account["attributes"]["email"], Value::Null);
        let resource = &account["relationships"]["authenticated-resource"];
        assert_eq!(resource["data"], json!({"id": id, "type": kind}));
        assert_eq!(resource["links"]["related"], format!("/api/v2/{kind}/{id}"));
        let again = details(&holder.holder).await;
        assert_eq!(
            (&account["id"], account["id"].as_str().unwrap().len()),
            (&again["id"], 21)
        );
    }
    let deployment = details(&app.deployment_token(&[]).await.holder).await;
    assert_eq!(deployment["attributes"]["username"], "api-deployment");
}

#[tokio::test]
async fn an_organization_is_made_shown_changed_and_removed() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let new = attributes(
        "organizations",
        json!({"name": "Acme", "email": "ops@acme.example", "is_unified": true}),
    );
    let made = SURFACE
        .post(&app, &member, "/api/v2/organizations", new.clone())
        .await
        .is(201)
        .json();
    let data = &made["data"];
    assert_eq!(
        (&data["id"], &data["type"]),
        (&json!("Acme"), &json!("organizations"))
    );
    assert_eq!(data["attributes"]["name"], "Acme");
    assert_eq!(data["attributes"]["email"], "ops@acme.example");
    // As by default in Terraform's provider, which would else find a difference in every plan.
    assert_eq!(data["attributes"]["collaborator-auth-policy"], "password");
    assert_eq!(data["attributes"]["user-tokens-enabled"], true);
    assert_eq!(data["attributes"]["speculative-plan-management-enabled"], true);
    assert_eq!(data["attributes"]["max-ttl-enabled"], false);
    assert!(data["attributes"]["created-at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(data["links"]["self"], "/api/v2/organizations/Acme");
    assert_eq!(data["attributes"]["permissions"]["can-destroy"], true);
    let taken = SURFACE
        .post(&app, &member, "/api/v2/organizations", new)
        .await
        .is(422)
        .json();
    assert_eq!(
        taken["errors"][0]["detail"],
        "Validation failed: Name has already been taken"
    );

    let path = "/api/v2/organizations/acme";
    let shown = SURFACE.get(&app, &member, path).await.is(200).json();
    assert_eq!(shown["data"], *data);
    SURFACE.get(&app, &app.admin_of(&NORTH), path).await.is(404);
    let renamed = patch(&app, &member, path, attributes("", json!({"name": "acme2"})))
        .await
        .is(200)
        .json();
    assert_eq!(renamed["data"]["id"], "acme2");
    assert_eq!(
        renamed["data"]["attributes"]["external-id"],
        data["attributes"]["external-id"]
    );
    assert_eq!(renamed["data"]["attributes"]["email"], "ops@acme.example");
    let cleared = attributes("", json!({"email": null}));
    let cleared = patch(&app, &member, "/api/v2/organizations/acme2", cleared)
        .await
        .is(200)
        .json();
    assert_eq!(cleared["data"]["attributes"]["email"], Value::Null);
    SURFACE
        .delete(&app, &member, "/api/v2/organizations/acme2")
        .await
        .is(204);
    SURFACE
        .get(&app, &member, "/api/v2/organizations/acme2")
        .await
        .is(404);
}

#[tokio::test]
async fn what_needs_a_session_is_absent_for_a_token() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &MANAGEMENT).await.holder;
    let shown = SURFACE.get(&app, &token, &home(&NORTH)).await.is(200).json();
    let permissions = &shown["data"]["attributes"]["permissions"];
    assert_eq!(
        (&permissions["can-update"], &permissions["can-destroy"]),
        (&json!(true), &json!(false))
    );
    SURFACE.delete(&app, &token, &home(&NORTH)).await.is(404);
    let users = json!({"data": [{"type": "users", "id": NORTH.email("member")}]});
    let path = format!("{}/relationships/users", team(&NORTH));
    SURFACE.post(&app, &token, &path, users).await.is(404);
    patch(
        &app,
        &token,
        &team(&NORTH),
        attributes("teams", json!({"name": "renamed"})),
    )
    .await
    .is(200);
}

#[tokio::test]
async fn lists_are_cut_into_numbered_pages() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for name in ["Alpha", "beta", "gamma", "delta"] {
        let new = attributes("teams", json!({"name": name}));
        SURFACE
            .post(&app, &admin, &format!("{}/teams", home(&NORTH)), new)
            .await
            .is(200);
    }
    let list = async |query: &str| {
        let path = format!("{}/teams{query}", home(&NORTH));
        SURFACE.get(&app, &admin, &path).await.is(200)
    };
    let all = ["Alpha", "beta", "delta", "gamma", NORTH.team];
    assert_eq!(each(&list("").await, "/attributes/name"), all);
    for (number, names) in [(1, &all[..2]), (2, &all[2..4]), (3, &all[4..]), (4, &[])] {
        let page = list(&format!("?page[number]={number}&page[size]=2")).await;
        assert_eq!(each(&page, "/attributes/name"), names);
        let pagination = page.json()["meta"]["pagination"].clone();
        assert_eq!(pagination["current-page"], number);
        assert_eq!(
            (&pagination["total-count"], &pagination["total-pages"]),
            (&json!(5), &json!(3))
        );
    }
    assert_eq!(each(&list("?q=TA").await, "/attributes/name"), ["beta", "delta"]);
    for query in [
        "?filter[names]=alpha,GAMMA,none",
        "?filter[names]=alpha&filter%5Bnames%5D=GAMMA",
    ] {
        assert_eq!(
            each(&list(query).await, "/attributes/name"),
            ["Alpha", "gamma"],
            "{query}"
        );
    }
    let site = app.site_admin();
    let organizations = SURFACE
        .get(&app, &site, "/api/v2/organizations?page[size]=2")
        .await
        .is(200);
    assert_eq!(each(&organizations, "/id"), ["default", NORTH.name]);
    let found = SURFACE
        .get(&app, &site, "/api/v2/organizations?q=GATE")
        .await
        .is(200);
    assert_eq!(each(&found, "/id"), [SOUTH.name]);
    let own = SURFACE.get(&app, &admin, "/api/v2/organizations").await.is(200);
    assert_eq!(each(&own, "/id"), [NORTH.name]);
}

#[tokio::test]
async fn a_team_is_made_shown_renamed_and_removed() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let path = format!("{}/teams", home(&NORTH));
    let order = attributes("teams", json!({"name": "builders", "visibility": "secret"}));
    let made = SURFACE
        .post(&app, &admin, &path, order.clone())
        .await
        .is(200)
        .json();
    let data = &made["data"];
    assert_eq!(data["attributes"]["name"], "builders");
    assert_eq!(data["attributes"]["users-count"], 0);
    assert_eq!(data["attributes"]["visibility"], "organization");
    // As by default in Terraform's provider, which would else find a difference in every plan.
    assert_eq!(data["attributes"]["allow-member-token-management"], true);
    assert_eq!(data["relationships"]["organization"]["data"]["id"], NORTH.name);
    let taken = SURFACE.post(&app, &admin, &path, order).await.is(422).json();
    assert_eq!(taken["errors"][0]["title"], "invalid attributes");
    let path = format!("/api/v2/teams/{}", data["id"].as_str().unwrap());
    let renamed = attributes("teams", json!({"name": "smiths"}));
    let renamed = patch(&app, &admin, &path, renamed).await.is(200).json();
    assert_eq!(
        (&renamed["data"]["id"], &renamed["data"]["attributes"]["name"]),
        (&data["id"], &json!("smiths"))
    );
    let as_it_is = patch(&app, &admin, &path, json!({})).await.is(200).json();
    assert_eq!(as_it_is["data"]["attributes"]["name"], "smiths");

    // A caller who may see it may not always change it.
    let member = app.member_of(&NORTH);
    let seen = SURFACE.get(&app, &member, &path).await.is(200).json();
    let permissions = &seen["data"]["attributes"]["permissions"];
    assert!(
        permissions.as_object().unwrap().values().all(|may| may == false),
        "{permissions}"
    );
    let lead = SURFACE
        .get(&app, &app.team_admin(&NORTH), &team(&NORTH))
        .await
        .is(200)
        .json();
    let permissions = &lead["data"]["attributes"]["permissions"];
    assert_eq!(permissions["can-update-membership"], true);
    assert_eq!(
        (&permissions["can-update-api-token"], &permissions["can-destroy"]),
        (&json!(true), &json!(false))
    );
    SURFACE.get(&app, &app.outsider(), &path).await.is(404);

    SURFACE.delete(&app, &admin, &path).await.is(204);
    SURFACE.get(&app, &admin, &path).await.is(404);
}

#[tokio::test]
async fn people_are_brought_into_a_team_and_taken_out() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let (member, lead) = (NORTH.email("member"), NORTH.email("lead"));
    let path = format!("{}/relationships/users", team(&NORTH));
    let names = async || {
        let query = format!("{}?include=users", team(&NORTH));
        let shown = SURFACE.get(&app, &admin, &query).await.is(200).json();
        let included = shown["included"].as_array().unwrap().clone();
        let related = shown["data"]["relationships"]["users"]["data"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(shown["data"]["attributes"]["users-count"], related);
        let names: Vec<String> = included
            .iter()
            .map(|user| user["attributes"]["username"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names.len(), related);
        names
    };
    let users = |ids: &[&str]| {
        let ids: Vec<Value> = ids.iter().map(|id| json!({"type": "users", "id": id})).collect();
        json!({"data": ids})
    };
    assert_eq!(names().await, [lead.as_str()]);
    SURFACE
        .post(&app, &admin, &path, users(&[&member, &lead]))
        .await
        .is(204);
    assert_eq!(names().await, [lead.as_str(), member.as_str()]);
    // The lead has kept their role.
    app.team_token(&NORTH, &[]).await;
    let id = SURFACE
        .get(&app, &app.member_of(&NORTH), "/api/v2/account/details")
        .await
        .text_at("/data/id");
    delete_with(&app, &admin, &path, users(&[&id])).await.is(204);
    delete_with(&app, &admin, &path, users(&[&id])).await.is(204);
    assert_eq!(names().await, [lead.as_str()]);
    SURFACE.post(&app, &admin, &path, users(&[&id])).await.is(204);
    assert_eq!(names().await.len(), 2);

    // All or none: the team's admin cannot add users from outside the organization.
    delete_with(&app, &admin, &path, users(&[&id])).await.is(204);
    let mixed = users(&[&member, "stranger@example.net"]);
    SURFACE
        .post(&app, &app.team_admin(&NORTH), &path, mixed)
        .await
        .is(422);
    assert_eq!(names().await, [lead.as_str()]);
    // The id of another organization's user is unknown here.
    let foreign = SURFACE
        .get(&app, &app.member_of(&SOUTH), "/api/v2/account/details")
        .await
        .text_at("/data/id");
    SURFACE
        .post(&app, &admin, &path, users(&[&foreign]))
        .await
        .is(404);
    let wrong = SURFACE
        .post(&app, &admin, &path, users(&[&member, "no address"]))
        .await
        .is(422)
        .json();
    assert_eq!(wrong["errors"][0]["source"]["pointer"], "/data/1/id");
    let plain = SURFACE.get(&app, &admin, &team(&NORTH)).await.is(200).json();
    assert_eq!(plain.get("included"), None);
}

#[tokio::test]
async fn a_membership_is_made_without_saying_whether_somebody_exists() {
    let app = TestApp::waiving_consent().await;
    let admin = app.admin_of(&NORTH);
    let path = format!("{}/organization-memberships", home(&NORTH));
    let invite = async |email: &str| {
        let order = json!({"data": {"type": "organization-memberships", "attributes": {"email": email},
            "relationships": {"teams": {"data": [{"type": "teams", "id": NORTH.team_id()}]}}}});
        let mut made = SURFACE.post(&app, &admin, &path, order).await.is(201).json();
        let id = made["data"]["id"].take();
        assert!(id.as_str().unwrap().starts_with("ou-"));
        assert_eq!(made["data"]["attributes"]["email"].take(), json!(email));
        (id, made)
    };
    let (known, shown) = invite(&SOUTH.email("member")).await;
    let (unknown, alike) = invite("nobody@nowhere.example").await;
    assert_eq!(shown, alike);
    assert_ne!(known, unknown);
    assert_eq!(invite("nobody@nowhere.example").await.0, unknown);
    assert_eq!(shown["data"]["attributes"]["status"], "invited");
    // A user with a role keeps it.
    invite(&NORTH.email("admin")).await;
    invite(&NORTH.email("lead")).await;
    app.team_token(&NORTH, &[]).await;
    SURFACE.get(&app, &admin, &home(&NORTH)).await.is(200);
    patch(&app, &admin, &home(&NORTH), json!({})).await.is(200);

    let list = async |query: &str| SURFACE.get(&app, &admin, &format!("{path}{query}")).await.is(200);
    let emails = |answer: &Answer| each(answer, "/attributes/email");
    let all = ["admin", "lead", "member"].map(|role| NORTH.email(role));
    let mut expected = all.to_vec();
    expected.push(SOUTH.email("member"));
    assert_eq!(emails(&list("?filter[status]=active").await), expected);
    expected.push("nobody@nowhere.example".to_owned());
    assert_eq!(emails(&list("").await), expected);
    let mine = list(&format!("?filter[email]={},x@y.example&include=user", all[2])).await;
    assert_eq!(emails(&mine), [all[2].as_str()]);
    let mine = mine.json();
    assert_eq!(
        mine["included"][0]["id"],
        mine["data"][0]["relationships"]["user"]["data"]["id"]
    );
    assert_eq!(mine["data"][0]["attributes"]["status"], "active");
    assert_eq!(
        emails(&list("?filter[status]=invited").await),
        ["nobody@nowhere.example"]
    );
    assert_eq!(
        emails(&list("?q=SOUTHGATE&filter[status]=active").await),
        [SOUTH.email("member")]
    );
    let ids = each(&list("").await, "/id");
    assert!(
        ids.iter().any(|id| *id == known),
        "the id is the one that was given"
    );

    let order = json!({"data": {"attributes": {"email": "a@b.example"},
        "relationships": {"teams": {"data": [{"id": SOUTH.team_id()}]}}}});
    SURFACE.post(&app, &admin, &path, order).await.is(404);
    let none = attributes("organization-memberships", json!({}));
    let missing = SURFACE.post(&app, &admin, &path, none).await.is(422).json();
    assert_eq!(
        missing["errors"][0]["source"]["pointer"],
        "/data/attributes/email"
    );
}
