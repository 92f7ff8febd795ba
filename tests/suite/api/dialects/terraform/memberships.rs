//! Memberships by id, and memberships of teams.

use axum::http::Method;
use serde_json::{Value, json};

use super::{SURFACE, absent, organization, team};
use crate::harness::{Actor, Answer, MANAGEMENT, NORTH, SOUTH, Tenant, TestApp};

const OWN: &str = "/api/v2/organization-memberships";

/// Returns the id of an address's membership.
pub(super) async fn id_of(app: &TestApp, tenant: &Tenant, email: &str) -> String {
    id_in(app, tenant.name, email).await
}

/// Returns the id of an address's membership in an organization by name.
pub(super) async fn id_in(app: &TestApp, organization: &str, email: &str) -> String {
    let path = format!("/api/v2/organizations/{organization}/organization-memberships?filter[email]={email}");
    let found = SURFACE.get(app, &app.site_admin(), &path).await.is(200);
    found.text_at("/data/0/id")
}

fn identifiers(ids: &[&str]) -> Value {
    let each = |id: &&str| json!({"type": "organization-memberships", "id": id});
    json!({"data": ids.iter().map(each).collect::<Vec<_>>()})
}

async fn invite(app: &TestApp, email: &str) -> String {
    let order = json!({"data": {"type": "organization-memberships", "attributes": {"email": email}}});
    let path = organization("organization-memberships");
    let made = SURFACE.post(app, &app.admin_of(&NORTH), &path, order).await;
    made.is(201).text_at("/data/id")
}

#[tokio::test]
async fn a_membership_keeps_its_id_from_the_invitation_to_the_end() {
    let app = TestApp::new().await;
    let (admin, joining) = (app.admin_of(&NORTH), app.member_of(&SOUTH));
    let email = SOUTH.email("member");
    let id = invite(&app, &email).await;
    let path = format!("{OWN}/{id}");
    let show = async |actor: &Actor| SURFACE.get(&app, actor, &format!("{path}?include=user")).await;
    let invited = show(&admin).await.is(200);
    assert_eq!(invited.text_at("/data/id"), id);
    assert_eq!(invited.text_at("/data/attributes/status"), "invited");
    assert_eq!(invited.text_at("/data/attributes/email"), email);
    assert_eq!(
        invited.text_at("/data/relationships/organization/data/id"),
        NORTH.name
    );
    let hidden = invited.text_at("/data/relationships/user/data/id");
    assert_eq!(invited.text_at("/included/0/id"), hidden);
    let accept = format!("/me/invitations/{}/accept", NORTH.name);
    app.post(&joining, &accept, json!({})).await.is(204);
    let active = show(&app.member_of(&NORTH)).await.is(200);
    assert_eq!(active.text_at("/data/id"), id);
    assert_eq!(active.text_at("/data/attributes/status"), "active");
    let user = app.get(&joining, "/me").await.text_at("/user/id");
    assert_ne!(user, hidden);
    assert_eq!(active.text_at("/data/relationships/user/data/id"), user);
    assert_eq!(active.text_at("/included/0/attributes/username"), email);
    assert_eq!(
        SURFACE.get(&app, &admin, &path).await.json().get("included"),
        None
    );

    // Only an admin with a session removes members.
    let token = app.organization_token(&NORTH, &MANAGEMENT).await.holder;
    let outsider = app.outsider();
    absent(&show(&outsider).await);
    for actor in [&app.member_of(&NORTH), &app.team_admin(&NORTH), &token, &outsider] {
        absent(&SURFACE.delete(&app, actor, &path).await);
    }
    let own = app.personal_token(&joining, &NORTH, &["content:write"]).await;
    SURFACE.delete(&app, &admin, &path).await.is(204);
    absent(&show(&admin).await);
    absent(&SURFACE.delete(&app, &admin, &path).await);
    app.get(&own.holder, "/tokens/current").await.is(401);
    assert_eq!(invite(&app, &email).await, id);

    let last = format!("{OWN}/{}", id_of(&app, &NORTH, &NORTH.email("admin")).await);
    SURFACE.delete(&app, &admin, &last).await.is(409);
}

#[tokio::test]
async fn your_own_memberships_are_the_roles_that_you_have() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let list = async |actor: &Actor, query: &str| {
        SURFACE
            .get(&app, actor, &format!("{OWN}{query}"))
            .await
            .is(200)
            .json()
    };
    let places = |list: &Value| {
        let data = list["data"].as_array().unwrap().iter();
        let place = data.map(|one| one["relationships"]["organization"]["data"]["id"].clone());
        place.collect::<Vec<_>>()
    };
    let only = list(&member, "?include=user").await;
    assert_eq!(places(&only), [NORTH.name]);
    let email = NORTH.email("member");
    assert_eq!(only["data"][0]["id"], id_of(&app, &NORTH, &email).await.as_str());
    assert_eq!(only["included"][0]["attributes"]["email"], email.as_str());
    let path = format!("/organizations/{}/members/{email}", SOUTH.name);
    app.put(&app.admin_of(&SOUTH), &path, json!({"role": "viewer"}))
        .await
        .is(204);
    assert_eq!(places(&list(&member, "").await), [NORTH.name]);
    let accept = format!("/me/invitations/{}/accept", SOUTH.name);
    app.post(&member, &accept, json!({})).await.is(204);
    assert_eq!(places(&list(&member, "").await), [NORTH.name, SOUTH.name]);
    let second = list(&member, "?page[size]=1&page[number]=2").await;
    assert_eq!(places(&second), [SOUTH.name]);
    assert_eq!(second["meta"]["pagination"]["total-count"], 2);
    // A token of one organization, and tokens that act for no user.
    let personal = app.personal_token(&member, &NORTH, &["organizations:read"]).await;
    assert_eq!(places(&list(&personal.holder, "").await), [NORTH.name]);
    for token in [
        app.organization_token(&NORTH, &["organizations:read"]).await,
        app.team_token(&NORTH, &["organizations:read"]).await,
    ] {
        let none = list(&token.holder, "?include=user").await;
        assert_eq!((&none["data"], &none["included"]), (&json!([]), &json!([])));
    }
}

#[tokio::test]
async fn memberships_are_added_to_a_team_and_removed() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let (lead, member) = (NORTH.email("lead"), NORTH.email("member"));
    let path = team("relationships/organization-memberships");
    let shown = format!("/api/v2/teams/{}", NORTH.team_id());
    let [of_lead, of_member] = [
        id_of(&app, &NORTH, &lead).await,
        id_of(&app, &NORTH, &member).await,
    ];
    let invited = invite(&app, "nobody@nowhere.example").await;
    let ids = |list: &Value| {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let listed = async || {
        let list = SURFACE
            .get(&app, &app.member_of(&NORTH), &path)
            .await
            .is(200)
            .json();
        let team = SURFACE.get(&app, &admin, &shown).await.is(200).json();
        let related = &team["data"]["relationships"]["organization-memberships"];
        assert_eq!(related, &list);
        ids(&list["data"])
    };
    let change = async |actor: &Actor, method: Method, ids: &[&str]| -> Answer {
        let request = SURFACE.request(actor, method, &path, identifiers(ids).to_string());
        app.send(request).await
    };
    assert_eq!(listed().await, [of_lead.as_str()]);
    let all = [of_lead.as_str(), &of_member, &invited];
    change(&admin, Method::POST, &all).await.is(204);
    assert_eq!(listed().await, all);
    // Who is in the team keeps their role.
    app.team_token(&NORTH, &[]).await;

    let query = format!("{shown}?include=organization-memberships");
    let team = SURFACE.get(&app, &admin, &query).await.is(200).json();
    assert_eq!(ids(&team["included"]), all);
    let statuses = team["included"].as_array().unwrap().iter();
    let statuses: Vec<_> = statuses.map(|one| one["attributes"]["status"].clone()).collect();
    assert_eq!(statuses, ["active", "active", "invited"]);
    // An invited address is no user of the team.
    assert_eq!(team["data"]["attributes"]["users-count"], 2);
    let both = format!("{shown}?include=users,organization-memberships");
    let both = SURFACE.get(&app, &admin, &both).await.is(200).json();
    let kinds = both["included"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|one| one["type"].clone()).collect();
    let (user, membership) = ("users", "organization-memberships");
    assert_eq!(kinds, [user, membership, user, membership, membership]);
    let query = format!("{}?include=organization-memberships", organization("teams"));
    let teams = SURFACE.get(&app, &admin, &query).await.is(200).json();
    assert_eq!(ids(&teams["included"]), all);

    change(&admin, Method::DELETE, &[&of_member, &invited])
        .await
        .is(204);
    change(&admin, Method::DELETE, &[&of_member]).await.is(204);
    assert_eq!(listed().await, [of_lead.as_str()]);
    // The memberships of the organization stay.
    for id in [&of_member, &invited] {
        SURFACE.get(&app, &admin, &format!("{OWN}/{id}")).await.is(200);
    }

    // All or none.
    let foreign = id_of(&app, &SOUTH, &SOUTH.email("member")).await;
    let gone = invite(&app, "gone@nowhere.example").await;
    SURFACE
        .delete(&app, &admin, &format!("{OWN}/{gone}"))
        .await
        .is(204);
    for wrong in [foreign.as_str(), &gone, "ou-unknown", &member] {
        for method in [Method::POST, Method::DELETE] {
            absent(&change(&admin, method, &[&of_member, wrong]).await);
        }
    }
    // A caller who may see both organizations adds no membership of one to a team of the other.
    absent(&change(&app.site_admin(), Method::POST, &[&foreign]).await);
    assert_eq!(listed().await, [of_lead.as_str()]);
    // An admin of the team adds members of the organization, and nobody else.
    let by = app.team_admin(&NORTH);
    change(&by, Method::POST, &[&invited]).await.is(422);
    change(&by, Method::POST, &[&of_member]).await.is(204);
    change(&by, Method::DELETE, &[&of_member]).await.is(204);
    let token = app.organization_token(&NORTH, &MANAGEMENT).await.holder;
    for actor in [&app.member_of(&NORTH), &token, &app.outsider()] {
        for method in [Method::POST, Method::DELETE] {
            absent(&change(actor, method, &[&of_member]).await);
        }
    }
    absent(&SURFACE.get(&app, &app.outsider(), &path).await);
}
