//! Consent: a role for somebody else waits until they accept it, and everybody can leave.

use axum::http::Method;
use jeton_core::directory::Consent;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, MANAGEMENT, Minted, NORTH, SOUTH, Tenant, TestApp, password, request};

const TRAP: &str = "trap";

/// A stranger's organization with a policy that refuses almost every token.
struct Trap {
    app: TestApp,
    /// The stranger, its admin.
    stranger: Actor,
    /// The team's id.
    team: String,
}

impl Trap {
    async fn set() -> Self {
        let app = TestApp::new().await;
        let stranger = app.admin_of(&SOUTH);
        let order = json!({"name": TRAP, "policy": {"max_lifetime": "1m", "allowed_scopes": [],
            "max_active_tokens_per_owner": 1}});
        app.post(&stranger, "/organizations", order).await.is(201);
        let order = json!({"name": "snare"});
        let made = app.post(&stranger, "/organizations/trap/teams", order).await;
        Self {
            team: made.is(201).text_at("/id"),
            app,
            stranger,
        }
    }

    /// Gives a role as the stranger.
    async fn put(&self, rest: &str, role: &str) -> Answer {
        let path = format!("/organizations/{TRAP}/{rest}");
        self.app.put(&self.stranger, &path, json!({"role": role})).await
    }

    async fn lists(&self) -> String {
        let mut all = String::new();
        for list in ["members", "teams/snare/members"] {
            let path = format!("/organizations/{TRAP}/{list}");
            all += &self.app.get(&self.stranger, &path).await.is(200).text;
        }
        all
    }
}

fn victim() -> String {
    NORTH.email("member")
}

fn accept(organization: &str) -> String {
    format!("/me/invitations/{organization}/accept")
}

fn invitation(organization: &str) -> String {
    format!("/me/invitations/{organization}")
}

fn left(organization: &str) -> String {
    format!("/me/organizations/{organization}")
}

async fn names(app: &TestApp, actor: &Actor, list: &str) -> Vec<String> {
    let listed = app.get(actor, list).await.is(200).json();
    let items = listed["items"].as_array().unwrap().iter();
    let name = |item: &Value| match item.get("organization") {
        Some(organization) => organization["name"].as_str().unwrap().to_owned(),
        None => item["name"].as_str().unwrap().to_owned(),
    };
    items.map(name).collect()
}

async fn is_active(app: &TestApp, token: &Minted) -> bool {
    app.get(&token.holder, "/tokens/current").await.status == 200
}

/// The attack: a stranger puts an account into their organization and gains nothing by it.
#[tokio::test]
async fn a_strangers_organization_binds_nobody() {
    let trap = Trap::set().await;
    let app = &trap.app;
    let member = app.member_of(&NORTH);
    let personal = app.personal_token(&member, &NORTH, &MANAGEMENT).await;
    let before = app.get(&member, "/me").await.is(200).json();
    let seen = trap.lists().await;
    for role in ["admin", "viewer", "member"] {
        trap.put(&format!("members/{}", victim()), role).await.is(204);
        let in_team = format!("teams/{}/members/{}", trap.team, victim());
        trap.put(&in_team, role).await.is(204);
        // Calls without an organization still mean the only one, and tokens of all organizations are free.
        let bare = app.post(&member, "/tokens", json!({"name": role})).await.is(201);
        assert_eq!(bare.json()["token_info"]["organization"], NORTH.id());
        let lasting = json!({"name": role, "owner": "user", "expires_in": "90d"});
        app.post(&member, "/tokens", lasting).await.is(201);
        assert!(is_active(app, &personal).await);
        assert_eq!(app.get(&member, "/me").await.is(200).json(), before);
        assert_eq!(names(app, &member, "/organizations").await, [NORTH.name]);
        app.get(&member, &format!("/organizations/{TRAP}"))
            .await
            .fails(404, "not_found");
    }
    // The stranger sees the address that they wrote, and nothing about its account.
    let id = before["user"]["id"].as_str().unwrap();
    let lists = trap.lists().await;
    assert_ne!(lists, seen);
    assert!(!lists.contains(id), "{lists}");
    let members = app
        .get(&trap.stranger, &format!("/organizations/{TRAP}/members"))
        .await
        .is(200)
        .json();
    let invited = json!({"id": null, "email": victim(), "role": "member", "status": "invited"});
    assert!(
        members["items"].as_array().unwrap().contains(&invited),
        "{members}"
    );
    assert_eq!(members["items"][0]["status"], "active");
    // Nor do they see its tokens or revoke them.
    let tokens = format!("/tokens?organization={TRAP}");
    assert_eq!(app.get(&trap.stranger, &tokens).await.is(200).each("id"), [""; 0]);
    let everything = json!({"organization": TRAP, "user": victim()});
    app.post(&trap.stranger, "/revocations", everything)
        .await
        .fails(404, "not_found");
    assert!(is_active(app, &personal).await);
}

/// Neither the response nor the list differs for an address with an account and one without.
#[tokio::test]
async fn an_invitation_does_not_tell_whether_an_address_has_an_account() {
    let trap = Trap::set().await;
    let known = victim();
    let unknown = known.replace("member@", "nobody@");
    let mut stories = Vec::new();
    for email in [&known, &unknown] {
        let mut story = Vec::new();
        for (method, path, body) in [
            (Method::PUT, "members/EMAIL", Some(json!({"role": "viewer"}))),
            (Method::PUT, "members/EMAIL", Some(json!({"role": "viewer"}))),
            (Method::PUT, "members/EMAIL", Some(json!({"role": "admin"}))),
            (
                Method::PUT,
                "teams/snare/members/EMAIL",
                Some(json!({"role": "member"})),
            ),
            (Method::GET, "members", None),
            (Method::GET, "teams/snare/members", None),
            (Method::DELETE, "teams/snare/members/EMAIL", None),
            (Method::DELETE, "teams/snare/members/EMAIL", None),
            (Method::GET, "teams/snare/members", None),
            (Method::DELETE, "members/EMAIL", None),
            (Method::GET, "members", None),
            (Method::DELETE, "members/EMAIL", None),
        ] {
            let path = format!("/organizations/{TRAP}/{path}").replace("EMAIL", email);
            let answer = trap.app.send(request(&trap.stranger, method, &path, body)).await;
            let text = answer.text.replace(email.as_str(), "EMAIL");
            story.push((answer.status, text));
        }
        stories.push(story);
    }
    assert_eq!(stories[0], stories[1]);
    let shown = &stories[0][4].1;
    assert!(
        shown.contains(r#""status":"invited""#) && shown.contains("EMAIL"),
        "{shown}"
    );
    let withdrawn = &stories[0][10].1;
    assert!(!withdrawn.contains("EMAIL"), "{withdrawn}");
}

#[tokio::test]
async fn an_invitation_is_accepted_with_its_teams() {
    let trap = Trap::set().await;
    let app = &trap.app;
    let member = app.member_of(&NORTH);
    let in_team = format!("teams/snare/members/{}", victim());
    trap.put(&in_team, "admin").await.is(204);
    let listed = app.get(&member, "/me/invitations").await.is(200).json();
    let id = listed["items"][0]["organization"]["id"].clone();
    let expected = json!({
        "items": [{
            "organization": {"id": id, "name": TRAP},
            "role": "member",
            "teams": [{"id": trap.team, "name": "snare", "role": "admin"}],
            "invited_by": SOUTH.email("admin"),
            "invited_at": "2026-01-02T03:05:05.678Z",
        }],
        "next_cursor": null,
        "has_next": false,
    });
    assert_eq!(listed, expected);
    // A token of theirs cannot accept: only a session can.
    let personal = app.personal_token(&member, &NORTH, &MANAGEMENT).await;
    app.post(&personal.holder, &accept(TRAP), json!({}))
        .await
        .fails(403, "session_needed");
    // By name in any case, or by id.
    app.post(&member, &accept(&TRAP.to_uppercase()), json!({}))
        .await
        .is(204);
    app.post(&member, &accept(id.as_str().unwrap()), json!({}))
        .await
        .fails(404, "not_found");
    assert_eq!(names(app, &member, "/me/invitations").await, [""; 0]);
    assert_eq!(names(app, &member, "/organizations").await, [NORTH.name, TRAP]);
    let members = app
        .get(&member, &format!("/organizations/{TRAP}/teams/snare/members"))
        .await
        .is(200)
        .json();
    let me = app.get(&member, "/me").await.is(200).json();
    let itself = json!({"id": me["user"]["id"], "email": victim(), "role": "admin", "status": "active"});
    assert_eq!(members["items"], json!([itself]));
    // From now on the policy applies, and an organization must be named.
    app.post(&member, "/tokens", json!({"name": "bare"}))
        .await
        .fails(400, "organization_needed");
    // And from now on changes hold at once.
    trap.put(&format!("members/{}", victim()), "admin").await.is(204);
    let policy = json!({"policy": {}});
    app.patch(&member, &format!("/organizations/{TRAP}"), policy)
        .await
        .is(200);
}

#[tokio::test]
async fn an_invitation_is_declined_or_withdrawn() {
    let trap = Trap::set().await;
    let app = &trap.app;
    let member = app.member_of(&NORTH);
    let path = format!("members/{}", victim());
    let in_team = format!("teams/snare/members/{}", victim());
    for by_member in [true, false] {
        trap.put(&path, "admin").await.is(204);
        trap.put(&in_team, "admin").await.is(204);
        assert_eq!(names(app, &member, "/me/invitations").await, [TRAP]);
        if by_member {
            app.delete(&member, &invitation(TRAP)).await.is(204);
        } else {
            let path = format!("/organizations/{TRAP}/{path}");
            app.delete(&trap.stranger, &path).await.is(204);
        }
        assert_eq!(names(app, &member, "/me/invitations").await, [""; 0]);
        assert!(!trap.lists().await.contains(&victim()));
        // The same response as for an organization that does not exist.
        for organization in [TRAP, "there-is-none"] {
            app.post(&member, &accept(organization), json!({}))
                .await
                .fails(404, "not_found");
            app.delete(&member, &invitation(organization))
                .await
                .fails(404, "not_found");
        }
    }
    // Nobody answers for somebody else.
    trap.put(&path, "admin").await.is(204);
    for other in [app.team_admin(&NORTH), app.site_admin(), trap.stranger.clone()] {
        app.post(&other, &accept(TRAP), json!({}))
            .await
            .fails(404, "not_found");
        app.delete(&other, &invitation(TRAP))
            .await
            .fails(404, "not_found");
    }
    assert_eq!(names(app, &member, "/me/invitations").await, [TRAP]);
}

/// Of accepting and withdrawing at once, whichever is second is decided again.
#[tokio::test]
async fn accepting_and_withdrawing_at_once_leave_one_state() {
    let trap = Trap::set().await;
    let app = &trap.app;
    let member = app.member_of(&NORTH);
    let home = format!("/organizations/{TRAP}");
    let path = format!("{home}/members/{}", victim());
    for round in 0..6 {
        trap.put(&format!("members/{}", victim()), "member").await.is(204);
        let accepting = accept(TRAP);
        let accepting = app.post(&member, &accepting, json!({}));
        let withdrawing = app.delete(&trap.stranger, &path);
        let (accepted, withdrawn) = match round % 2 {
            0 => tokio::join!(accepting, withdrawing),
            _ => {
                let (withdrawn, accepted) = tokio::join!(withdrawing, accepting);
                (accepted, withdrawn)
            }
        };
        withdrawn.is(204);
        assert!([204, 404].contains(&accepted.status), "{}", accepted.text);
        // Removed as a member, or never one.
        app.get(&member, &home).await.fails(404, "not_found");
        assert_eq!(names(app, &member, "/me/invitations").await, [""; 0]);
        app.clock.advance(2);
    }
}

#[tokio::test]
async fn everybody_leaves_and_their_tokens_end() {
    let app = TestApp::new().await;
    let (admin, member) = (app.admin_of(&NORTH), app.member_of(&NORTH));
    let personal = app.personal_token(&member, &NORTH, &MANAGEMENT).await;
    let others = app.organization_token(&NORTH, &MANAGEMENT).await;
    app.delete(&personal.holder, &left(NORTH.name))
        .await
        .fails(403, "session_needed");
    app.clock.advance(2);
    app.delete(&member, &left(NORTH.name)).await.is(204);
    assert!(!is_active(&app, &personal).await);
    assert!(is_active(&app, &others).await);
    app.get(&member, &format!("/organizations/{}", NORTH.name))
        .await
        .fails(404, "not_found");
    // The same response as for an organization that does not exist.
    for organization in [NORTH.name, "there-is-none"] {
        app.delete(&member, &left(organization))
            .await
            .fails(404, "not_found");
    }
    // Also one who came back, whose earlier tokens stay revoked.
    let path = format!("/organizations/{}/members/{}", NORTH.name, victim());
    app.put(&admin, &path, json!({"role": "member"})).await.is(204);
    app.post(&member, &accept(NORTH.name), json!({})).await.is(204);
    assert!(!is_active(&app, &personal).await);

    // The last admin stays, and an invited one is no other.
    let path = format!("/organizations/{}/members/{}", NORTH.name, SOUTH.email("member"));
    app.put(&admin, &path, json!({"role": "admin"})).await.is(204);
    app.delete(&admin, &left(NORTH.name))
        .await
        .fails(409, "last_admin");
    app.post(&app.member_of(&SOUTH), &accept(NORTH.name), json!({}))
        .await
        .is(204);
    app.delete(&admin, &left(NORTH.name)).await.is(204);
}

/// A site administrator need not ask, nor anybody in a deployment that is configured so.
#[tokio::test]
async fn a_role_holds_at_once_where_consent_is_waived() {
    let roles = async |app: &TestApp, tenant: &Tenant, by: &Actor, email: &str| {
        let home = format!("/organizations/{}", tenant.name);
        for (path, role) in [
            (format!("{home}/members/{email}"), "viewer"),
            (format!("{home}/teams/{}/members/{email}", tenant.team), "admin"),
        ] {
            app.put(by, &path, json!({"role": role})).await.is(204);
        }
    };
    let member = |app: &TestApp| app.member_of(&NORTH);
    let there = format!("/organizations/{}/teams/{}", SOUTH.name, SOUTH.team);
    let app = TestApp::new().await;
    let site = app.site_admin();
    roles(&app, &SOUTH, &app.admin_of(&SOUTH), &victim()).await;
    app.get(&member(&app), &there).await.fails(404, "not_found");
    // What waited is superseded.
    roles(&app, &SOUTH, &site, &victim()).await;
    app.get(&member(&app), &there).await.is(200);
    assert_eq!(names(&app, &member(&app), "/me/invitations").await, [""; 0]);

    let app = TestApp::waiving_consent().await;
    assert_eq!(app.consent, Consent::Waived);
    roles(&app, &SOUTH, &app.admin_of(&SOUTH), &victim()).await;
    app.get(&member(&app), &there).await.is(200);
}

/// A user who is created later is asked, unless a site administrator gave the role.
#[tokio::test]
async fn whoever_is_created_later_is_asked() {
    let app = TestApp::new().await;
    let (site, admin) = (app.site_admin(), app.admin_of(&NORTH));
    let home = format!("/organizations/{}", NORTH.name);
    for (email, by, there) in [
        ("asked@example.com", &admin, 404),
        ("let-in@example.com", &site, 200),
    ] {
        let path = format!("{home}/members/{email}");
        app.put(by, &path, json!({"role": "member"})).await.is(204);
        let account = json!({"email": email, "password": password(email)});
        app.post(&site, "/users", account).await.is(201);
        let session = app.log_in(email, &password(email)).await.is(200);
        let session = Actor::holding(&session.text_at("/token"));
        app.get(&session, &home).await.is(there);
        let waiting = names(&app, &session, "/me/invitations").await;
        assert_eq!(waiting.len(), usize::from(there == 404), "{email}");
        if there == 404 {
            app.post(&session, &accept(NORTH.id()), json!({})).await.is(204);
            app.get(&session, &home).await.is(200);
        }
    }
    // A deleted user leaves no invitation.
    let path = format!("{home}/members/{}", SOUTH.email("member"));
    app.put(&admin, &path, json!({"role": "member"})).await.is(204);
    app.delete(&site, &format!("/users/{}", SOUTH.email("member")))
        .await
        .is(204);
    let listed = app.get(&admin, &format!("{home}/members")).await.is(200);
    assert!(!listed.each("email").contains(&SOUTH.email("member")));
}

#[tokio::test]
async fn invitations_are_listed_page_by_page() {
    let app = TestApp::new().await;
    let stranger = app.admin_of(&SOUTH);
    for name in ["Zeta", "alpha", "Beta"] {
        app.post(&stranger, "/organizations", json!({"name": name}))
            .await
            .is(201);
        let path = format!("/organizations/{name}/members/{}", victim());
        app.put(&stranger, &path, json!({"role": "member"})).await.is(204);
    }
    let member = app.member_of(&NORTH);
    let first = app.get(&member, "/me/invitations?limit=2").await.is(200).json();
    assert_eq!(
        (&first["has_next"], &first["next_cursor"]),
        (&json!(true), &json!("beta"))
    );
    assert_eq!(
        names(&app, &member, "/me/invitations?limit=2").await,
        ["alpha", "Beta"]
    );
    let rest = "/me/invitations?limit=2&cursor=beta";
    assert_eq!(names(&app, &member, rest).await, ["Zeta"]);
}

/// The name of a deleted or renamed organization is reserved for 30 days.
#[tokio::test]
async fn a_name_that_was_given_up_is_reserved() {
    const RESERVED: i64 = 30 * 86_400;
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let create = async |app: &TestApp, by: &Actor, name: &str| {
        app.post(by, "/organizations", json!({"name": name})).await
    };
    create(&app, &admin, "mine").await.is(201);
    app.delete(&admin, "/organizations/mine").await.is(204);
    let home = format!("/organizations/{}", NORTH.name);
    app.patch(&admin, &home, json!({"name": "elsewhere"}))
        .await
        .is(200);
    for name in ["mine", "MINE", NORTH.name] {
        let taken = create(&app, &app.outsider(), name).await.fails(409, "name_taken");
        // As for a name in use.
        let used = create(&app, &app.outsider(), "elsewhere").await;
        assert_eq!(taken.text, used.text);
    }
    // The organization returns to its own.
    let home = "/organizations/elsewhere";
    app.patch(&admin, home, json!({"name": NORTH.name})).await.is(200);
    for (seconds, status) in [(RESERVED - 1, 409), (1, 201)] {
        app.clock.advance(seconds);
        let session = app
            .log_in("admin@example.com", &password("admin@example.com"))
            .await
            .is(200);
        let session = Actor::holding(&session.text_at("/token"));
        create(&app, &session, "mine").await.is(status);
    }
}

/// An organization's admins see who is invited, by whom and when, and take it back; an accepted one stays.
#[tokio::test]
async fn an_organization_lists_its_invitations_and_withdraws_them() {
    let app = TestApp::new().await;
    let (admin, lead) = (app.admin_of(&NORTH), app.team_admin(&NORTH));
    let home = format!("/organizations/{}", NORTH.name);
    let list = format!("{home}/invitations");
    assert_eq!(app.get(&admin, &list).await.is(200).json()["items"], json!([]));
    let (known, unknown) = (SOUTH.email("member"), "ada.new@example.com".to_owned());
    for email in [&known, &unknown] {
        let member = format!("{home}/members/{email}");
        app.put(&admin, &member, json!({"role": "viewer"})).await.is(204);
        let of_team = format!("{home}/teams/{}/members/{email}", NORTH.team);
        app.put(&admin, &of_team, json!({"role": "member"})).await.is(204);
    }
    let one = |email: &str| {
        json!({"email": email, "role": "viewer", "invited_by": NORTH.email("admin"),
            "invited_at": "2026-01-02T03:05:05.678Z",
            "teams": [{"id": NORTH.team_id(), "name": NORTH.team, "role": "member"}]})
    };
    let mut expected = vec![one(&known), one(&unknown)];
    expected.sort_by_key(|one| one["email"].as_str().unwrap().to_owned());
    let listed = app.get(&admin, &list).await.is(200).json();
    assert_eq!(listed["items"], json!(expected));
    let first = app.get(&admin, &format!("{list}?limit=1")).await.is(200);
    assert_eq!(first.json()["items"], json!(expected[..1]));
    let next = format!("{list}?limit=1&cursor={}", first.text_at("/next_cursor"));
    assert_eq!(
        app.get(&admin, &next).await.is(200).json()["items"],
        json!(expected[1..])
    );

    // What the address has accepted is no invitation any more: withdrawing it removes no member.
    let invitee = app.member_of(&SOUTH);
    app.post(&invitee, &accept(NORTH.name), json!({})).await.is(204);
    let withdraw = |email: &str| format!("{list}/{email}");
    for absent in [&known, &NORTH.email("member"), "nobody@example.com"] {
        app.delete(&admin, &withdraw(absent))
            .await
            .fails(404, "not_found");
    }
    app.get(&invitee, &home).await.is(200);
    app.delete(&lead, &withdraw(&unknown))
        .await
        .fails(403, "forbidden");
    app.delete(&admin, &withdraw(&unknown)).await.is(204);
    app.delete(&admin, &withdraw(&unknown))
        .await
        .fails(404, "not_found");
    assert_eq!(app.get(&admin, &list).await.is(200).json()["items"], json!([]));
    let account = json!({"email": unknown, "password": password(&unknown)});
    app.post(&app.site_admin(), "/users", account).await.is(201);
    let session = app.log_in(&unknown, &password(&unknown)).await.is(200);
    let session = Actor::holding(&session.text_at("/token"));
    assert_eq!(names(&app, &session, "/me/invitations").await, [""; 0]);
    while app.operator().seal_audit().await.unwrap() {}
    let change = app
        .get(
            &admin,
            &format!("/audit?organization={}&action=invitation.delete", NORTH.name),
        )
        .await
        .is(200)
        .json();
    assert_eq!(change["items"][0]["actor"], NORTH.email("admin"), "{change}");
}
