//! Members of organizations and teams.

use serde_json::{Value, json};

use super::{SURFACE, home, team};
use crate::harness::{NORTH, SOUTH, TestApp};

const MUST_HAVE_BOTH: &str = "Unable to parse request body: must have both 'email' and 'role'.";
const ROLE_IS_MISSING: &str = "Cannot parse request body: 'role' is missing.";

/// Returns the addresses and roles of a list.
fn roles(listed: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = listed.as_array().unwrap().iter();
    items
        .map(|item| (text(&item["user"]["email"]), text(&item["role"])))
        .collect()
}

#[tokio::test]
async fn people_are_brought_in_changed_and_taken_out() {
    let app = TestApp::waiving_consent().await;
    let admin = app.admin_of(&NORTH);
    for (place, there) in [(home(), NORTH.email("member")), (team(), NORTH.email("lead"))] {
        let users = format!("{place}/users");
        let newcomer = SOUTH.email("member");
        let add = async |email: &str, role: &str| {
            let order = json!({"email": email, "role": role});
            SURFACE.post(&app, &admin, &users, order).await
        };
        let role_of = async |email: &str| {
            let listed = SURFACE.get(&app, &admin, &users).await.is(200).json();
            roles(&listed)
                .into_iter()
                .find_map(|(who, role)| (who == email).then_some(role))
        };
        let accepted = add(&newcomer, "viewer").await.is(202);
        assert_eq!(
            (accepted.text.as_str(), accepted.header("content-type")),
            ("", "")
        );
        assert_eq!(role_of(&newcomer).await.as_deref(), Some("viewer"));
        // Existing members are not added again and keep their role.
        for email in [&newcomer, &there] {
            let before = role_of(email).await;
            add(email, "admin").await.refuses(409, "");
            assert_eq!(role_of(email).await, before);
        }
        // The response does not reveal whether a user has the address, however often.
        for _ in 0..2 {
            add("nobody@nowhere.example", "member").await.is(202);
        }
        let one = format!("{users}/{newcomer}");
        let role = json!({"role": "member"});
        let changed = SURFACE.patch(&app, &admin, &one, role.clone()).await.is(202);
        assert_eq!(changed.text, "");
        assert_eq!(role_of(&newcomer).await.as_deref(), Some("member"));
        SURFACE.delete(&app, &admin, &one).await.is(204);
        assert_eq!(role_of(&newcomer).await, None);
        // Removal succeeds for any address; a change of role adds no member.
        for email in [
            newcomer.as_str(),
            "nobody@nowhere.example",
            "nobody%40elsewhere.example",
        ] {
            let one = format!("{users}/{email}");
            SURFACE.delete(&app, &admin, &one).await.is(204);
            SURFACE
                .patch(&app, &admin, &one, role.clone())
                .await
                .refuses(404, "");
        }
        for body in [
            json!({}),
            json!({"email": "a@example.com"}),
            json!({"role": "admin"}),
            json!({"email": "a@example.com", "role": "owner"}),
            json!({"email": "nobody", "role": "admin"}),
        ] {
            let answer = SURFACE.post(&app, &admin, &users, body).await;
            answer.refuses(400, MUST_HAVE_BOTH);
        }
        for body in [json!({}), json!({"role": 5}), json!({"role": "owner"})] {
            let answer = SURFACE.patch(&app, &admin, &one, body).await;
            answer.refuses(400, ROLE_IS_MISSING);
        }
    }
}

/// Whether a user is already a member is checked in the transaction that adds them.
#[tokio::test]
async fn of_two_who_bring_somebody_in_at_once_one_is_late() {
    let app = TestApp::waiving_consent().await;
    let admin = app.admin_of(&NORTH);
    for place in [home(), team()] {
        let users = format!("{place}/users");
        let add = |role: &str| {
            let order = json!({"email": SOUTH.email("member"), "role": role});
            SURFACE.post(&app, &admin, &users, order)
        };
        let (one, other) = tokio::join!(add("viewer"), add("admin"));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409]);
    }
}

#[tokio::test]
async fn members_are_listed_with_their_names() {
    let app = TestApp::new().await;
    let email = NORTH.email("lead");
    let names = json!({"first_name": "Ada", "last_name": "Byron"});
    app.patch(&app.site_admin(), &format!("/users/{email}"), names)
        .await
        .is(200);
    let viewer = app.viewer_of(&NORTH).await;
    let listed = SURFACE.get(&app, &viewer, &format!("{}/users", home())).await;
    let ada = json!({"first_name": "Ada", "last_name": "Byron", "email": email});
    assert_eq!(listed.is(200).json()[1], json!({"user": ada, "role": "member"}));
    let listed = SURFACE.get(&app, &viewer, &format!("{}/users", team())).await;
    assert_eq!(listed.is(200).json()[0], json!({"user": ada, "role": "admin"}));
}

#[tokio::test]
async fn nobody_does_it_to_themselves() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let own = format!("{}/users/{}", home(), NORTH.email("admin"));
    let role = json!({"role": "viewer"});
    SURFACE
        .patch(&app, &admin, &own, role.clone())
        .await
        .refuses(400, "Cannot modify self.");
    SURFACE
        .delete(&app, &admin, &own)
        .await
        .refuses(400, "Cannot remove self.");
    // The last admin cannot be removed by anyone.
    let site = app.site_admin();
    let last = "Cannot remove the last organization admin.";
    SURFACE
        .patch(&app, &site, &own, role.clone())
        .await
        .refuses(400, last);
    SURFACE.delete(&app, &site, &own).await.refuses(400, last);
    // Teams may lose their last admin.
    let lead = app.team_admin(&NORTH);
    let own = format!("{}/users/{}", team(), NORTH.email("lead"));
    SURFACE.patch(&app, &lead, &own, role).await.is(202);
}

#[tokio::test]
async fn a_teams_admin_brings_in_people_of_the_organization_only() {
    let app = TestApp::new().await;
    let lead = app.team_admin(&NORTH);
    let users = format!("{}/users", team());
    let order = |email: &str| json!({"email": email, "role": "member"});
    SURFACE
        .post(&app, &lead, &users, order(&NORTH.email("member")))
        .await
        .is(202);
    SURFACE
        .post(&app, &lead, &users, order(&SOUTH.email("member")))
        .await
        .refuses(403, "");
}

/// A viewer added by a team is a viewer of the organization.
#[tokio::test]
async fn a_viewer_of_a_team_makes_no_token() {
    let app = TestApp::waiving_consent().await;
    let order = json!({"email": SOUTH.email("lead"), "role": "viewer"});
    SURFACE
        .post(&app, &app.admin_of(&NORTH), &format!("{}/users", team()), order)
        .await
        .is(202);
    let viewer = app.team_admin(&SOUTH);
    let own = SURFACE.get(&app, &viewer, "/users/organizations").await.json();
    assert!(
        own.as_array()
            .unwrap()
            .contains(&json!({"name": NORTH.name, "role": "viewer"}))
    );
    SURFACE.get(&app, &viewer, &team()).await.is(200);
    let mine = json!({"name": "mine", "organization": NORTH.name, "owner": "user"});
    app.post(&viewer, "/tokens", mine).await.fails(403, "forbidden");
}
