//! `/users/{user_id}/authentication-tokens`.

use serde_json::{Value, json};

use crate::api::dialects::terraform::{SURFACE, absent, made, new, user_id};
use crate::harness::{Answer, MANAGEMENT, NORTH, SOUTH, TestApp};

fn tokens(user: &str) -> String {
    format!("/api/v2/users/{user}/authentication-tokens")
}

fn descriptions(list: &Answer) -> Vec<String> {
    let body = list.json();
    let each = body["data"].as_array().unwrap().iter();
    each.map(|token| token["attributes"]["description"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_person_makes_and_lists_their_own_which_are_good_wherever_they_belong() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let user = user_id(&app, &admin).await;
    let mut ids = Vec::new();
    for number in 0..25 {
        let body = new(json!({"description": format!("laptop {}", number / 2)}));
        let (id, _) = made(SURFACE.post(&app, &admin, &tokens(&user), body).await);
        ids.push(id);
    }
    let whole = SURFACE.get(&app, &admin, &tokens(&user)).await.is(200);
    assert_eq!(descriptions(&whole).len(), 25);
    let pagination = &whole.json()["meta"]["pagination"];
    assert_eq!(
        (&pagination["page-size"], &pagination["total-pages"]),
        (&json!(25), &json!(1))
    );
    let part = SURFACE
        .get(&app, &admin, &format!("{}?page%5Bnumber%5D=2", tokens(&user)))
        .await
        .is(200);
    assert_eq!(descriptions(&part), descriptions(&whole)[20..]);

    let info = app
        .get(&admin, &format!("/tokens/{}", ids[0]))
        .await
        .is(200)
        .json();
    assert_eq!(
        (&info["organization"], &info["owner"]),
        (&Value::Null, &json!("user"))
    );
    let path = format!("/api/v2/authentication-tokens/{}", ids[0]);
    let read = SURFACE.get(&app, &admin, &path).await.is(200).json();
    let relationships = json!({"created-by": {"data": {"id": user, "type": "users"}}});
    assert_eq!(read["data"]["relationships"], relationships);
    SURFACE.delete(&app, &admin, &path).await.is(204);
    assert_eq!(
        descriptions(&SURFACE.get(&app, &admin, &tokens(&user)).await).len(),
        24
    );
}

/// A token that a user may not create in one organization must not be created for all.
#[tokio::test]
async fn a_viewer_makes_none() {
    let app = TestApp::new().await;
    let viewer = app.viewer_of(&NORTH).await;
    let user = user_id(&app, &viewer).await;
    absent(&SURFACE.post(&app, &viewer, &tokens(&user), new(json!({}))).await);

    // Nor by rotating an older one.
    let member = app.member_of(&NORTH);
    let user = user_id(&app, &member).await;
    let make = async || made(SURFACE.post(&app, &member, &tokens(&user), new(json!({}))).await).0;
    let (one, other) = (make().await, make().await);
    let rotate = |id| format!("/tokens/{id}/rotate");
    app.post(&member, &rotate(one), json!({})).await.is(201);
    let path = format!("/organizations/{}/members/{}", NORTH.name, NORTH.email("member"));
    let demotion = json!({"role": "viewer"});
    app.put(&app.admin_of(&NORTH), &path, demotion).await.is(204);
    app.post(&member, &rotate(other), json!({})).await.is(403);
}

#[tokio::test]
async fn users_neither_see_nor_create_tokens_of_others() {
    let app = TestApp::new().await;
    let (admin, member) = (app.admin_of(&NORTH), app.member_of(&NORTH));
    let (own, theirs) = (user_id(&app, &admin).await, user_id(&app, &member).await);
    made(
        SURFACE
            .post(
                &app,
                &member,
                &tokens(&theirs),
                new(json!({"description": "mine"})),
            )
            .await,
    );
    for actor in [&admin, &app.site_admin(), &app.admin_of(&SOUTH)] {
        let list = SURFACE.get(&app, actor, &tokens(&theirs)).await.is(200);
        assert_eq!(descriptions(&list), Vec::<String>::new());
        absent(&SURFACE.post(&app, actor, &tokens(&theirs), json!({})).await);
    }
    absent(
        &SURFACE
            .post(&app, &admin, &tokens("user-Tw4Ev8Ny2Ka6Mo3P"), json!({}))
            .await,
    );
    // A token that acts for no user has no such tokens.
    let organizations = app.organization_token(&NORTH, &MANAGEMENT).await.holder;
    absent(&SURFACE.get(&app, &organizations, &tokens(&own)).await);
    absent(&SURFACE.post(&app, &organizations, &tokens(&own), json!({})).await);
    // A token of one organization cannot create one for others.
    let confined = app.personal_token(&admin, &NORTH, &MANAGEMENT).await.holder;
    absent(&SURFACE.post(&app, &confined, &tokens(&own), json!({})).await);
}
