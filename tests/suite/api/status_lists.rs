//! Status lists, for services that verify tokens offline.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use jeton_core::clock::Clock;
use jeton_verifier::STATUS_LIST_CAPACITY;
use serde_json::json;
use tower::ServiceExt;

use crate::harness::{Answer, Fault, ISSUER, Kind, Minted, NORTH, Plan, SOUTH, StatusListEntry, TestApp};

async fn revoke(app: &TestApp, token: &Minted) {
    let path = format!("/tokens/{}/revoke", token.id);
    app.post(&app.site_admin(), &path, json!({})).await.is(201);
}

async fn ask(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_list_says_who_is_revoked_and_nobody_else() {
    let app = TestApp::new().await;
    let tokens = [
        app.organization_token(&NORTH, &["projects:read"]).await,
        app.organization_token(&NORTH, &["projects:read"]).await,
    ];
    let places = [
        StatusListEntry::of(&tokens[0].secret),
        StatusListEntry::of(&tokens[1].secret),
    ];
    assert_eq!(places[0].uri, places[1].uri);
    let before = app.list(&places[0].uri, None).await;
    assert_eq!(before.uri, places[0].uri);
    revoke(&app, &tokens[0]).await;
    let after = app.list(&places[0].uri, Some(before.feed)).await;
    assert_eq!(after.feed.sequence, before.feed.sequence + 1);
    assert_eq!(after.feed.epoch, before.feed.epoch);

    let changed = before
        .list
        .inflate()
        .unwrap()
        .to_bytes()
        .into_iter()
        .zip(after.list.inflate().unwrap().to_bytes())
        .enumerate()
        .filter(|(_, (before, after))| before != after)
        .map(|(byte, (before, after))| (byte, before ^ after));
    let index = places[0].index;
    assert_eq!(
        changed.collect::<Vec<_>>(),
        [(index as usize / 8, 1 << (index % 8))]
    );
    let list = after.list.inflate().unwrap();
    assert_eq!(list.capacity(), STATUS_LIST_CAPACITY);
    assert_eq!(list.is_set(places[1].index), Some(false));
}

#[tokio::test]
async fn a_list_can_be_kept_until_it_changes() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let place = StatusListEntry::of(&token.secret);
    let list = app.get(&app.anyone(), place.path()).await.is(200);
    assert_eq!(list.header("content-type"), "application/statuslist+jwt");
    let claims = app.read_list(&list, &place.uri, None).await;
    assert_eq!(
        list.header("cache-control"),
        format!("public, max-age={}", claims.ttl)
    );
    assert!(claims.expires_at >= claims.issued_at + i64::from(claims.ttl));
    assert_eq!(list.header("access-control-allow-origin"), "*");
    let mut varies = list.headers.get_all("vary").iter();
    assert!(varies.any(|value| value == "accept-encoding"));

    let tag = list.header("etag").to_owned();
    for tags in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let kept = ask(&app, Method::GET, place.path(), &[("if-none-match", &tags)])
            .await
            .is(304);
        assert_eq!(kept.text, "");
        for name in ["etag", "cache-control"] {
            assert_eq!(kept.header(name), list.header(name));
        }
    }
    ask(&app, Method::GET, place.path(), &[("if-none-match", "\"other\"")])
        .await
        .is(200);
    let head = ask(&app, Method::HEAD, place.path(), &[]).await.is(200);
    assert_eq!((head.header("etag"), head.text.as_str()), (tag.as_str(), ""));

    // All clients get the same bytes until a revocation, or for half a minute.
    app.clock.advance(30);
    assert_eq!(app.get(&app.anyone(), place.path()).await.text, list.text);
    revoke(&app, &token).await;
    let changed = ask(&app, Method::GET, place.path(), &[("if-none-match", &tag)])
        .await
        .is(200);
    assert_ne!(changed.header("etag"), tag);
    let claims = app.read_list(&changed, &place.uri, None).await;
    assert!(claims.list.inflate().unwrap().is_set(place.index).unwrap());
}

#[tokio::test]
async fn a_list_that_nothing_happens_to_is_signed_anew_in_time() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let place = StatusListEntry::of(&token.secret);
    let mut signed = BTreeSet::new();
    for _ in 0..30 {
        let claims = app.list(&place.uri, None).await;
        signed.insert(claims.issued_at);
        let age = app.clock.now_seconds() - claims.issued_at;
        assert!(age <= 30, "it is handed out {age} seconds after it was signed");
        app.clock.advance(10);
    }
    assert!((5..=10).contains(&signed.len()), "{signed:?}");
    // A clock that is set back leaves no list with a future time.
    app.clock.step(-3 * 3600);
    let claims = app.list(&place.uri, None).await;
    assert_eq!(claims.issued_at, app.clock.now_seconds());
}

#[tokio::test]
async fn gzip_holds_the_same_list_and_has_its_own_tag() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let place = StatusListEntry::of(&token.secret);
    revoke(&app, &token).await;
    let plain = app.get(&app.anyone(), place.path()).await.is(200);
    let request = Request::get(place.path()).header("accept-encoding", "br, gzip");
    let answer = app
        .router()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.headers()["content-type"], "application/statuslist+jwt");
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert_ne!(tag, plain.header("etag"));
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text);
    assert!(bytes.len() < plain.text.len());
    let both = [("accept-encoding", "gzip"), ("if-none-match", tag.as_str())];
    ask(&app, Method::GET, place.path(), &both).await.is(304);
    assert_eq!(plain.header("content-encoding"), "");
}

#[tokio::test]
async fn a_page_of_any_origin_may_read_a_list() {
    let app = TestApp::new().await;
    for path in ["/status-lists", "/status-lists/1"] {
        let origin = [("origin", "https://app.example.org")];
        let answer = ask(&app, Method::GET, path, &origin).await.is(200);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(
            answer.header("access-control-expose-headers"),
            "etag,x-request-id"
        );
    }
}

#[tokio::test]
async fn what_is_no_list_is_not_found() {
    let app = TestApp::new().await;
    for path in ["999", "0", "01", "+1", "one", "4294967296", "%ff", "1%00"] {
        let answer = app.get(&app.anyone(), &format!("/status-lists/{path}")).await;
        answer.fails(404, "not_found");
    }
    let past = app.get(&app.anyone(), "/status-lists/1?time=1767323045").await;
    past.fails(501, "not_supported");
    app.post(&app.anyone(), "/status-lists/1", json!({}))
        .await
        .is(405);
}

/// Tokens of every lifetime: each is in a list of its own, which is published with the token.
#[tokio::test]
async fn every_list_that_a_token_names_is_there() {
    let app = TestApp::new().await;
    let all = async || {
        let lists = app.get(&app.anyone(), "/status-lists").await.is(200);
        assert_eq!(lists.header("content-type"), "application/json");
        let lists: Vec<String> = serde_json::from_value(lists.json()["status_lists"].clone()).unwrap();
        lists.into_iter().collect::<BTreeSet<_>>()
    };
    let before = all().await;
    let mut named = BTreeSet::new();
    for expiry in ["1h", "30d", "365d", "3000d", "never"] {
        let order = json!({"organization": NORTH.name, "owner": "organization", "expires_in": expiry});
        let token = app.mint(&app.admin_of(&NORTH), order).await;
        let place = StatusListEntry::of(&token.secret);
        assert!(!app.is_revoked_in_its_list(&token.secret).await);
        revoke(&app, &token).await;
        assert!(app.is_revoked_in_its_list(&token.secret).await);
        named.insert(place.uri);
    }
    assert_eq!(named.len(), 5);
    let after = all().await;
    assert!(after.is_superset(&named) && after.is_superset(&before));
    assert!(
        after.len() > before.len(),
        "no list was opened: the test shows less than it says"
    );
    assert!(
        after
            .iter()
            .all(|uri| uri.starts_with(&format!("{ISSUER}/status-lists/")))
    );
}

/// A list fetched after the response to a revocation includes it, with many concurrent requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_list_fetched_after_a_revocation_shows_it() {
    let app = Arc::new(TestApp::new().await);
    let mut tokens = Vec::new();
    for _ in 0..40 {
        tokens.push(app.organization_token(&NORTH, &["projects:read"]).await);
    }
    let tasks: Vec<_> = tokens
        .into_iter()
        .map(|token| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                for _ in 0..3 {
                    assert!(!app.is_revoked_in_its_list(&token.secret).await);
                }
                revoke(&app, &token).await;
                for _ in 0..3 {
                    assert!(app.is_revoked_in_its_list(&token.secret).await);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_rendering_serves_all_who_wait() {
    let app = Arc::new(TestApp::new().await);
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let path = StatusListEntry::of(&token.secret).path().to_owned();
    for _ in 0..2 {
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (app, path) = (Arc::clone(&app), path.clone());
                tokio::spawn(async move { app.get(&app.anyone(), &path).await.is(200).text })
            })
            .collect();
        let mut texts = BTreeSet::new();
        for task in tasks {
            texts.insert(task.await.unwrap());
        }
        // Each signature differs, so a second rendering would have different bytes.
        assert_eq!(texts.len(), 1);
        revoke(&app, &token).await;
    }
}

/// A scheduled revocation is in the list once it takes effect, and no copy is valid beyond that
/// instant.
#[tokio::test]
async fn no_list_outlives_the_next_revocation() {
    let mut app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let place = StatusListEntry::of(&token.secret);
    let path = format!("/tokens/{}/rotate", token.id);
    let grace = json!({"grace_period": "300s"});
    app.post(&app.admin_of(&NORTH), &path, grace).await.is(201);
    let end = app.clock.now().millis() + 300_000;
    let mut signed = BTreeSet::new();
    for _ in 0..300 {
        let answer = app.get(&app.anyone(), place.path()).await.is(200);
        let claims = app.read_list(&answer, &place.uri, None).await;
        signed.insert(claims.issued_at);
        assert!(!claims.list.inflate().unwrap().is_set(place.index).unwrap());
        assert!(claims.expires_at * 1000 <= end);
        let left = end - app.clock.now().millis();
        assert!(i64::from(claims.ttl) * 1000 <= left, "{} of {left}", claims.ttl);
        assert_eq!(
            answer.header("cache-control"),
            format!("public, max-age={}", claims.ttl)
        );
        app.get(&token.holder, "/tokens/current").await.is(200);
        app.clock.advance(1);
    }
    assert!(signed.len() < 20, "signed {} times", signed.len());
    for _ in 0..2 {
        app.get(&token.holder, "/tokens/current").await.is(401);
        assert!(app.is_revoked_in_its_list(&token.secret).await);
        assert!(app.list(&place.uri, None).await.ttl > 1);
        app.restart().await;
    }
}

#[tokio::test]
async fn a_cut_off_shows_in_the_lists_or_there_is_no_list() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let team = app.team_token(&NORTH, &["projects:read"]).await;
    let other = app.organization_token(&NORTH, &["projects:read"]).await;
    let foreign = app.organization_token(&SOUTH, &["projects:read"]).await;
    let place = StatusListEntry::of(&team.secret);
    let before = app.list(&place.uri, None).await;
    app.clock.advance(2);
    let path = format!("/organizations/{}/teams/{}", NORTH.name, NORTH.team);
    app.delete(&app.admin_of(&NORTH), &path).await.is(204);

    // If tokens cannot be read, a list without them would report them as not revoked.
    for (fault, code) in [(Fault::Fails, "unavailable"), (Fault::Busy, "busy")] {
        plan.arm(fault, Some(Kind::Read), 0);
        app.get(&app.anyone(), place.path()).await.fails(503, code);
    }
    plan.arm(Fault::Fails, Some(Kind::Read), 0);
    app.get(&app.anyone(), "/status-lists/999")
        .await
        .fails(503, "unavailable");
    let after = app.list(&place.uri, Some(before.feed)).await;
    assert_eq!(after.feed.sequence, before.feed.sequence + 1);
    assert!(app.is_revoked_in_its_list(&team.secret).await);
    for token in [&other, &foreign] {
        assert!(!app.is_revoked_in_its_list(&token.secret).await);
    }
}
