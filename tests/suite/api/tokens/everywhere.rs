//! Users' tokens that are valid in all of their organizations, and names that must be unique for an
//! owner.

use jeton::authority::{Error, Expiry, Issue, Issued, Presented, WhichOrganization};
use jeton_core::clock::Clock;
use jeton_core::token::{CountTotal, Direction, Lifetime, OwnerKind, Page, Sort, Start};
use jeton_store::Origin;
use serde_json::{Value, json};

use crate::harness::{Actor, MANAGEMENT, NORTH, SOUTH, Tenant, TestApp};

fn everywhere() -> Issue {
    Issue {
        name: "everywhere".into(),
        description: None,
        organization: WhichOrganization::All,
        owner: OwnerKind::User,
        team: None,
        scopes: None,
        preset: None,
        projects: None,
        audience: None,
        expiry: Expiry::Default,
        unique_name: false,
        slot: None,
    }
}

pub(super) fn with_scopes(scopes: &[&str]) -> Issue {
    Issue {
        scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        ..everywhere()
    }
}

pub(super) async fn issue(app: &TestApp, actor: &Actor, issue: &Issue) -> Result<Issued, Error> {
    let caller = app
        .operator()
        .authenticate(actor.token(), Presented::ForUse(None), Origin::default())
        .await?;
    app.operator().issue(&caller, issue).await
}

pub(super) fn holder(issued: &Issued) -> Actor {
    Actor::holding(issued.token.expose())
}

/// Returns the invalid fields.
fn faults(refused: Result<Issued, Error>) -> Vec<&'static str> {
    match refused {
        Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
        other => panic!("{other:?}"),
    }
}

/// Adds the member of one organization to the other.
async fn join_south(app: &TestApp) {
    let path = format!("/organizations/{}/members/{}", SOUTH.name, NORTH.email("member"));
    let site = app.site_admin();
    app.put(&site, &path, json!({"role": "member"})).await.is(204);
}

async fn set_policy(app: &TestApp, tenant: &Tenant, policy: Value) {
    let path = format!("/organizations/{}", tenant.name);
    let body = json!({"policy": policy});
    app.patch(&app.admin_of(tenant), &path, body).await.is(200);
}

#[tokio::test]
async fn it_has_the_users_current_rights_in_each_organization() {
    let mut app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let issued = issue(&app, &member, &with_scopes(&MANAGEMENT)).await.unwrap();
    let token = holder(&issued);
    let teams = |tenant: &Tenant| format!("/organizations/{}/teams", tenant.name);
    app.get(&token, &teams(&NORTH)).await.is(200);
    app.get(&token, &teams(&SOUTH)).await.is(404);
    join_south(&app).await;
    app.get(&token, &teams(&SOUTH)).await.is(200);
    app.post(&token, &teams(&SOUTH), json!({"name": "x"}))
        .await
        .is(403);
    let path = format!("/organizations/{}/members/{}", NORTH.name, NORTH.email("member"));
    app.delete(&app.admin_of(&NORTH), &path).await.is(204);
    for _ in 0..2 {
        app.get(&token, &teams(&NORTH)).await.is(404);
        app.get(&token, &teams(&SOUTH)).await.is(200);
        app.restart().await;
    }
}

#[tokio::test]
async fn only_the_person_themselves_makes_one() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let confined = app.personal_token(&member, &NORTH, &MANAGEMENT).await;
    let team = app.team_token(&NORTH, &MANAGEMENT).await;
    let organization = app.organization_token(&NORTH, &MANAGEMENT).await;
    let deployment = app.deployment_token(&MANAGEMENT).await;
    for other in [&confined, &team, &organization, &deployment] {
        let refused = issue(&app, &other.holder, &with_scopes(&["tokens:read"])).await;
        assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
    }
    let first = issue(&app, &member, &with_scopes(&["tokens:write"]))
        .await
        .unwrap();
    let second = issue(&app, &holder(&first), &with_scopes(&["tokens:write"]))
        .await
        .unwrap();
    assert_eq!(second.record.token.owner, first.record.token.owner);
    // No more scopes than the creator has, and no later expiry.
    let refused = issue(&app, &holder(&first), &with_scopes(&["tokens:read"])).await;
    assert_eq!(faults(refused), ["scopes"]);
    let for_ever = Issue {
        expiry: Expiry::In("expires_in", Lifetime::Never),
        ..with_scopes(&["tokens:write"])
    };
    assert_eq!(
        faults(issue(&app, &holder(&first), &for_ever).await),
        ["expires_in"]
    );
    // Tokens of other owners are valid in one organization.
    for owner in [OwnerKind::Team, OwnerKind::Organization] {
        let refused = issue(
            &app,
            &member,
            &Issue {
                owner,
                ..everywhere()
            },
        )
        .await;
        assert!(matches!(refused, Err(Error::OrganizationNeeded)), "{refused:?}");
    }
    let with_projects = Issue {
        projects: Some(vec![i64::from(NORTH.project_id())]),
        ..everywhere()
    };
    assert_eq!(faults(issue(&app, &member, &with_projects).await), ["projects"]);
}

#[tokio::test]
async fn the_strictest_of_the_policies_bounds_it() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    join_south(&app).await;
    set_policy(
        &app,
        &NORTH,
        json!({"max_lifetime": "2d", "default_lifetime": "1h", "allowed_presets": [],
            "allowed_scopes": ["projects:read", "content:write", "tokens:write"]}),
    )
    .await;
    set_policy(
        &app,
        &SOUTH,
        json!({"max_lifetime": "1d", "allowed_scopes": ["content:write", "subscription:read", "tokens:write"]}),
    )
    .await;
    let issued = issue(&app, &member, &everywhere()).await.unwrap();
    let scopes: Vec<&str> = issued
        .record
        .token
        .scopes
        .iter()
        .map(|scope| scope.as_str())
        .collect();
    assert_eq!(scopes, ["content:write"]);
    let life = |issued: &Issued| {
        let token = &issued.record.token;
        token.expires_at.unwrap().seconds() - token.created_at.seconds()
    };
    assert_eq!(life(&issued), 3_600);
    let lives = |seconds: i64| Issue {
        expiry: Expiry::At(app.clock.now().plus_seconds(seconds)),
        ..everywhere()
    };
    assert_eq!(life(&issue(&app, &member, &lives(86_400)).await.unwrap()), 86_400);
    assert_eq!(faults(issue(&app, &member, &lives(86_401)).await), ["expires_at"]);
    for scope in ["projects:read", "subscription:read"] {
        assert_eq!(
            faults(issue(&app, &member, &with_scopes(&[scope])).await),
            ["scopes"]
        );
    }
    let preset = Issue {
        preset: Some("content_management".to_owned()),
        ..everywhere()
    };
    assert!(faults(issue(&app, &member, &preset).await).contains(&"preset"));
    // Rotation has the same limits.
    let token = issue(&app, &member, &with_scopes(&["tokens:write", "content:write"]))
        .await
        .unwrap();
    set_policy(
        &app,
        &SOUTH,
        json!({"max_lifetime": "10m", "allowed_scopes": ["tokens:write"]}),
    )
    .await;
    let rotated = app
        .post(&holder(&token), "/tokens/current/rotate", json!({}))
        .await;
    let rotated = rotated.is(201).json();
    assert_eq!(rotated["token_info"]["scopes"], json!(["tokens:write"]));
    assert_eq!(rotated["token_info"]["organization"], Value::Null);
}

#[tokio::test]
async fn a_default_preset_counts_where_every_organization_allows_it() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    join_south(&app).await;
    let preset = async || {
        let issued = issue(&app, &member, &everywhere()).await.unwrap();
        let token = issued.record.token;
        (token.preset, token.scopes.len())
    };
    assert_eq!(preset().await, (None, 4));
    set_policy(&app, &NORTH, json!({"default_preset": "content_management"})).await;
    assert_eq!(preset().await, (Some("content_management".to_owned()), 2));
    set_policy(&app, &SOUTH, json!({"default_preset": "content_management"})).await;
    assert_eq!(preset().await, (Some("content_management".to_owned()), 2));
    set_policy(
        &app,
        &SOUTH,
        json!({"default_preset": null, "allowed_presets": []}),
    )
    .await;
    assert_eq!(preset().await, (None, 2));
    set_policy(
        &app,
        &SOUTH,
        json!({"allowed_presets": null, "allowed_scopes": ["content:write"]}),
    )
    .await;
    assert_eq!(preset().await, (None, 1));
}

#[tokio::test]
async fn it_counts_against_the_limit_of_every_organization() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    join_south(&app).await;
    set_policy(&app, &NORTH, json!({"max_active_tokens_per_owner": 2})).await;
    app.personal_token(&member, &NORTH, &[]).await;
    issue(&app, &member, &everywhere()).await.unwrap();
    let full = issue(&app, &member, &everywhere()).await;
    assert!(
        matches!(full, Err(Error::LimitReached { limit: 2, .. })),
        "{full:?}"
    );
    let order = json!({"name": "x", "organization": NORTH.name, "scopes": []});
    app.request_token(&member, order)
        .await
        .fails(409, "limit_reached");
    app.personal_token(&member, &SOUTH, &[]).await;
}

#[tokio::test]
async fn only_the_user_sees_such_a_token() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    let issued = issue(&app, &member, &with_scopes(&["projects:read"]))
        .await
        .unwrap();
    let id = issued.record.id.to_string();
    let beside = app.personal_token(&member, &NORTH, &[]).await.id;
    // The only organization is the default; tokens for all organizations are valid there too.
    for query in ["", "?owner=user"] {
        let list = app.get(&member, &format!("/tokens{query}")).await.is(200);
        assert_eq!(list.each("id"), [beside.as_str(), id.as_str()], "{query}");
    }
    let named = app
        .get(&member, &format!("/tokens?organization={}", NORTH.name))
        .await
        .is(200);
    assert_eq!(named.each("id"), [beside.as_str()]);
    let shown = app.get(&member, &format!("/tokens/{id}")).await.is(200).json();
    assert_eq!(
        (&shown["organization"], &shown["owner"]),
        (&Value::Null, &json!("user"))
    );
    // It is not a token of the organization.
    let admin = app.admin_of(&NORTH);
    assert!(!app.get(&admin, "/tokens").await.is(200).each("id").contains(&id));
    app.get(&admin, &format!("/tokens/{id}")).await.is(404);
    let path = format!("/tokens/{id}/revoke");
    app.post(&admin, &path, json!({})).await.is(404);
    app.get(&app.site_admin(), &format!("/tokens/{id}")).await.is(200);
    app.post(&member, &path, json!({})).await.is(201);
    assert!(issue(&app, &holder(&issued), &everywhere()).await.is_err());
}

#[tokio::test]
async fn services_of_an_organization_learn_nothing_of_it() {
    let app = TestApp::new().await;
    let issued = issue(&app, &app.member_of(&NORTH), &with_scopes(&["projects:read"]))
        .await
        .unwrap();
    let form = format!("token={}", issued.token.expose());
    let service = app
        .organization_token(&NORTH, &["tokens:introspect"])
        .await
        .holder;
    let told = app.form(&service, "/oauth/introspect", &form).await.is(200);
    assert_eq!(told.text, r#"{"active":false}"#);
    let deployment = app.deployment_token(&["tokens:introspect"]).await.holder;
    let told = app
        .form(&deployment, "/oauth/introspect", &form)
        .await
        .is(200)
        .json();
    assert_eq!((&told["active"], &told["org"]), (&json!(true), &Value::Null));
    let claims = issued.token.expose().split('.').nth(1).unwrap().to_owned();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((claims.get("org"), &claims["sub"]), (None, &told["sub"]));
    let passed = app
        .get(&holder(&issued), "/oauth/authorize-request")
        .await
        .is(200);
    assert_eq!(passed.header("x-jeton-organization"), "-");
    assert_eq!(passed.header("x-jeton-subject"), claims["sub"]);
}

#[tokio::test]
async fn a_name_is_taken_while_an_active_token_of_the_owner_has_it() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let unique = |owner| Issue {
        organization: WhichOrganization::Only,
        owner,
        team: (owner == OwnerKind::Team).then(|| NORTH.team.parse().unwrap()),
        unique_name: true,
        ..everywhere()
    };
    let team = unique(OwnerKind::Team);
    let first = issue(&app, &lead, &team).await.unwrap();
    let taken = issue(&app, &lead, &team).await;
    assert!(matches!(taken, Err(Error::NameTaken)), "{taken:?}");
    issue(&app, &lead, &unique(OwnerKind::User)).await.unwrap();
    let path = format!("/tokens/{}/revoke", first.record.id);
    app.post(&lead, &path, json!({})).await.is(201);
    issue(&app, &lead, &team).await.unwrap();
}

#[tokio::test]
async fn ends_are_seen_from_now() {
    use jeton::authority::{Wanted, WantedEnd};
    use jeton_core::token::Span;

    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let mut ids = Vec::new();
    for life in ["1d", "10d", "60d", "never"] {
        let order =
            json!({"organization": NORTH.name, "owner": "organization", "expires_in": life, "scopes": []});
        ids.push(app.mint(&admin, order).await.id);
    }
    app.clock.advance(86_400);
    let caller = app
        .operator()
        .authenticate(admin.token(), Presented::ForUse(None), Origin::default())
        .await;
    // A session lasts half a day.
    assert!(caller.is_err());
    let admin = app
        .log_in(
            &NORTH.email("admin"),
            &crate::harness::password(&NORTH.email("admin")),
        )
        .await;
    let admin = Actor::holding(&admin.is(200).text_at("/token"));
    let caller = app
        .operator()
        .authenticate(admin.token(), Presented::ForUse(None), Origin::default())
        .await
        .unwrap();
    let week = WantedEnd::Within(Span::from_days(7).unwrap());
    let month = WantedEnd::Within(Span::from_days(30).unwrap());
    let [day, ten, sixty, never] = &ids[..] else {
        unreachable!()
    };
    for (ends, expected) in [
        (vec![], vec![never, sixty, ten, day]),
        (vec![WantedEnd::Passed], vec![day]),
        (vec![week], vec![]),
        (vec![month], vec![ten]),
        (vec![WantedEnd::Ahead], vec![sixty, ten]),
        (vec![WantedEnd::Never, WantedEnd::Ahead], vec![never, sixty, ten]),
        (vec![WantedEnd::Never, week, WantedEnd::Passed], vec![never, day]),
    ] {
        let wanted = Wanted {
            ends: ends.clone(),
            ..Wanted::default()
        };
        let page = Page {
            sort: Sort::default(),
            start: Start::Offset(0),
            direction: Direction::Next,
            limit: 10,
            count: CountTotal::Yes,
        };
        let listing = app.operator().list(&caller, &wanted, page).await.unwrap();
        let found: Vec<String> = listing.items.iter().map(|record| record.id.to_string()).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{ends:?}");
    }
}

/// Streams end by it: a wrong one would keep a stream open after its token.
#[tokio::test]
async fn a_caller_knows_for_how_long_its_token_lasts() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order =
        json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1d", "scopes": []});
    let minted = app.mint(&admin, order).await;
    let lasts = async || {
        let (authority, token) = (app.operator(), minted.holder.token());
        let caller = authority.authenticate(token, Presented::ForUse(None), Origin::default());
        caller.await.unwrap().expires_in()
    };
    assert_eq!(lasts().await, Some(86_400));
    app.clock.advance(86_000);
    assert_eq!(lasts().await, Some(400));
}
