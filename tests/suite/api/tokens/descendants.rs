//! `descendants`: what a token has made is revoked with it.

use serde_json::{Value, json};

use super::everywhere::{holder, issue, with_scopes};
use super::revoke_many::finished;
use crate::harness::{Actor, MANAGEMENT, Minted, NORTH, SOUTH, TestApp};

async fn is_good(app: &TestApp, token: &Minted) -> bool {
    app.get(&token.holder, "/tokens/current").await.status == 200
}

/// Creates a token of an organization by another token.
async fn made_by(app: &TestApp, maker: &Minted) -> Minted {
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": MANAGEMENT});
    app.mint(&maker.holder, order).await
}

async fn rotated_by(app: &TestApp, actor: &Actor, path: &str) -> Minted {
    let rotated = app.post(actor, path, json!({"grace_period": "1d"})).await.is(201);
    let secret = rotated.text_at("/token");
    Minted {
        holder: Actor::holding(&secret),
        id: rotated.text_at("/token_info/id"),
        info: rotated.json()["token_info"].clone(),
        secret,
    }
}

#[tokio::test]
async fn a_leaked_token_ends_with_all_that_it_has_made() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let leaked = app.organization_token(&NORTH, &MANAGEMENT).await;
    let bystander = app.organization_token(&NORTH, &MANAGEMENT).await;
    let child = made_by(&app, &leaked).await;
    let grandchild = made_by(&app, &child).await;
    let rotated = rotated_by(&app, &child.holder, "/tokens/current/rotate").await;
    let by_admin = rotated_by(&app, &admin, &format!("/tokens/{}/rotate", grandchild.id)).await;
    let of_rotated = made_by(&app, &by_admin).await;
    let path = format!("/tokens/{}/revoke", leaked.id);
    let all = [&leaked, &child, &grandchild, &rotated, &by_admin, &of_rotated];

    let dry = json!({"descendants": true, "dry_run": true});
    let counted = app.post(&admin, &path, dry).await.is(200).json();
    assert_eq!(counted, json!({"matched": 6, "revoked": 0, "left": 0}));
    for token in all {
        assert!(is_good(&app, token).await);
    }
    let order = json!({"descendants": true, "reason": "in a build log"});
    let revoked = app.post(&admin, &path, order.clone()).await.is(201).json();
    assert!(!is_good(&app, &leaked).await, "at once");
    let bulk = &revoked["descendants"];
    assert_eq!(
        (&bulk["matched"], &bulk["descendants"]),
        (&json!(0), &json!(true)),
        "the leaked token does not wait for a count"
    );
    let done = finished(&app, &admin, bulk["id"].as_str().unwrap()).await;
    assert_eq!((&done["revoked"], &done["left"]), (&json!(5), &json!(0)));
    for _ in 0..2 {
        for token in all {
            assert!(!is_good(&app, token).await, "{}", token.id);
        }
        assert!(is_good(&app, &bystander).await);
        app.restart().await;
    }
    let shown = app
        .get(&admin, &format!("/tokens/{}", of_rotated.id))
        .await
        .is(200)
        .json();
    assert_eq!(shown["revocation_reason"], "in a build log");
    assert_eq!(shown["revoked_by"], NORTH.email("admin"));
    // Again: nothing is left to do, and nothing changes.
    let again = app.post(&app.site_admin(), &path, order).await.is(201).json();
    assert_eq!(again["revoked_at"], revoked["revoked_at"]);
    let done = finished(
        &app,
        &app.site_admin(),
        again["descendants"]["id"].as_str().unwrap(),
    )
    .await;
    assert_eq!((&done["matched"], &done["revoked"]), (&json!(0), &json!(0)));
    // Without the option the response is as it was.
    let plain = app.post(&admin, &path, json!({})).await.is(201).json();
    assert!(plain.get("descendants").is_none());
}

/// The holder may have revoked it before: what it has made is found all the same.
#[tokio::test]
async fn what_an_ended_token_has_made_is_found() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let leaked = app.organization_token(&NORTH, &MANAGEMENT).await;
    let child = made_by(&app, &leaked).await;
    app.post(
        &leaked.holder,
        "/tokens/current/revoke",
        json!({"reason": "found"}),
    )
    .await
    .is(201);
    let path = format!("/tokens/{}/revoke", leaked.info["jti"].as_str().unwrap());
    let revoked = app
        .post(&admin, &path, json!({"descendants": true}))
        .await
        .is(201)
        .json();
    assert_eq!(revoked["revoked_by"], "holder", "the first counts");
    let done = finished(&app, &admin, revoked["descendants"]["id"].as_str().unwrap()).await;
    assert_eq!(done["revoked"], 1);
    assert!(!is_good(&app, &child).await);
    // The holder's own revocation has no such option.
    app.post(
        &child.holder,
        "/tokens/current/revoke",
        json!({"descendants": true}),
    )
    .await
    .is(401);
    let live = app.organization_token(&NORTH, &MANAGEMENT).await;
    app.post(
        &live.holder,
        "/tokens/current/revoke",
        json!({"descendants": true}),
    )
    .await
    .blames(&["extra_forbidden at body.descendants"]);
}

/// A leak across organizations: an admin ends what is theirs and is told how much is left; a site administrator ends all.
#[tokio::test]
async fn what_a_caller_may_not_revoke_is_left_and_counted() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let lead = app.team_admin(&NORTH);
    // The lead is an admin of both organizations and has a token for all of them.
    for tenant in [&NORTH, &SOUTH] {
        let path = format!("/organizations/{}/members/{}", tenant.name, NORTH.email("lead"));
        app.put(&site, &path, json!({"role": "admin"})).await.is(204);
    }
    // Only a Terraform client gets such a token.
    let leaked = issue(&app, &lead, &with_scopes(&MANAGEMENT)).await.unwrap();
    let leaked = Minted {
        id: leaked.record.id.to_string(),
        holder: holder(&leaked),
        secret: leaked.token.expose().to_owned(),
        info: Value::Null,
    };
    let of = async |tenant: &crate::harness::Tenant| {
        let order = json!({"organization": tenant.name, "owner": "organization", "scopes": MANAGEMENT});
        app.mint(&leaked.holder, order).await
    };
    let (north, south) = (of(&NORTH).await, of(&SOUTH).await);
    let of_north = made_by(&app, &north).await;
    // Since then the lead administers NORTH alone.
    let path = format!("/organizations/{}/members/{}", SOUTH.name, NORTH.email("lead"));
    app.put(&site, &path, json!({"role": "member"})).await.is(204);

    // The admin of NORTH does not see the user's token for all organizations.
    let path = format!("/tokens/{}/revoke", leaked.id);
    let order = json!({"descendants": true});
    app.post(&app.admin_of(&NORTH), &path, order.clone())
        .await
        .fails(404, "not_found");
    let dry = json!({"descendants": true, "dry_run": true});
    let counted = app.post(&lead, &path, dry.clone()).await.is(200).json();
    assert_eq!(counted, json!({"matched": 3, "revoked": 0, "left": 1}));
    let revoked = app.post(&lead, &path, order.clone()).await.is(201).json();
    let done = finished(&app, &lead, revoked["descendants"]["id"].as_str().unwrap()).await;
    assert_eq!((&done["revoked"], &done["left"]), (&json!(2), &json!(1)));
    for token in [&leaked, &north, &of_north] {
        assert!(!is_good(&app, token).await);
    }
    assert!(is_good(&app, &south).await);
    let counted = app.post(&site, &path, dry).await.is(200).json();
    assert_eq!(counted, json!({"matched": 1, "revoked": 0, "left": 0}));
    let revoked = app.post(&site, &path, order).await.is(201).json();
    finished(&app, &site, revoked["descendants"]["id"].as_str().unwrap()).await;
    assert!(!is_good(&app, &south).await);
}

#[tokio::test]
async fn matching_tokens_end_with_all_that_they_have_made() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let first = app.team_token(&NORTH, &MANAGEMENT).await;
    let other = app.organization_token(&NORTH, &MANAGEMENT).await;
    let child = made_by(&app, &other).await;
    let of_child = made_by(&app, &child).await;
    let mut order =
        json!({"organization": NORTH.name, "created_by": format!("token {}", other.id), "dry_run": true});
    let counted = app
        .post(&admin, "/tokens/revoke", order.clone())
        .await
        .is(200)
        .json();
    assert_eq!(counted["matched"], 1);
    order["descendants"] = true.into();
    let counted = app
        .post(&admin, "/tokens/revoke", order.clone())
        .await
        .is(200)
        .json();
    assert_eq!(counted["matched"], 2);
    order["dry_run"] = false.into();
    let ordered = app.post(&admin, "/tokens/revoke", order).await.is(202).json();
    assert_eq!(
        (&ordered["matched"], &ordered["descendants"]),
        (&json!(1), &json!(true))
    );
    let done = finished(&app, &admin, ordered["id"].as_str().unwrap()).await;
    assert_eq!(done["revoked"], 2);
    assert!(!is_good(&app, &child).await && !is_good(&app, &of_child).await);
    assert!(is_good(&app, &first).await && is_good(&app, &other).await);
}

/// The calling token never matches, but it can descend from a match: then it may be the leak itself.
#[tokio::test]
async fn the_calling_token_ends_if_it_descends_from_a_match() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"name": "leaked root", "organization": NORTH.name, "owner": "organization", "scopes": MANAGEMENT});
    let leaked = app.mint(&admin, order).await;
    let child = made_by(&app, &leaked).await;
    let order = json!({"organization": NORTH.name, "q": "leaked root", "descendants": true});
    // The leaked token matches only itself, and stays with what it has made.
    let own = app
        .post(&leaked.holder, "/tokens/revoke", order.clone())
        .await
        .is(202)
        .json();
    let done = finished(&app, &admin, own["id"].as_str().unwrap()).await;
    assert_eq!((&done["matched"], &done["revoked"]), (&json!(0), &json!(0)));
    let ordered = app
        .post(&child.holder, "/tokens/revoke", order)
        .await
        .is(202)
        .json();
    let done = finished(&app, &admin, ordered["id"].as_str().unwrap()).await;
    assert_eq!(done["revoked"], 2);
    assert!(!is_good(&app, &leaked).await && !is_good(&app, &child).await);
}

/// The request and its children cross: whatever is answered with a token before the end is revoked at the end.
#[tokio::test]
async fn nothing_is_made_by_a_token_that_is_revoked_meanwhile() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for _ in 0..5 {
        let leaked = app.organization_token(&NORTH, &MANAGEMENT).await;
        let makes = async {
            let mut made = vec![leaked.clone()];
            // By the newest of them, until it is refused.
            for _ in 0..60 {
                let order = json!({"name": "made", "organization": NORTH.name, "owner": "organization",
                    "scopes": MANAGEMENT});
                let maker = made.last().unwrap().holder.clone();
                let answer = app.request_token(&maker, order).await;
                if answer.status != 201 {
                    break;
                }
                let secret = answer.text_at("/token");
                made.push(Minted {
                    holder: Actor::holding(&secret),
                    id: answer.text_at("/token_info/id"),
                    info: Value::Null,
                    secret,
                });
                tokio::task::yield_now().await;
            }
            made
        };
        let ends = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let path = format!("/tokens/{}/revoke", leaked.id);
            app.post(&admin, &path, json!({"descendants": true}))
                .await
                .is(201)
                .json()
        };
        let (made, revoked) = tokio::join!(makes, ends);
        finished(&app, &admin, revoked["descendants"]["id"].as_str().unwrap()).await;
        for token in &made {
            assert!(!is_good(&app, token).await, "{} of {}", token.id, made.len());
        }
    }
}
