//! The revocation feed: pages, head and stream.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Response};
use futures_util::StreamExt;
use jeton_store::Origin;
use jeton_verifier::event::{BEFORE_ALL, Entry};
use jeton_verifier::feed::{Cursor, Head, HeadClaims, Item, Page};
use jeton_verifier::{Rejection, TokenType, Unverified, UnverifiedStatement};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::harness::{Actor, ISSUER, Minted, NORTH, StatusListEntry, TestApp, needs_a_file, request};

async fn follower(app: &TestApp) -> Minted {
    app.deployment_token(&["revocations:read"]).await
}

async fn page(app: &TestApp, reader: &Actor, query: &str) -> Page {
    let answer = app.get(reader, &format!("/revocations{query}")).await.is(200);
    serde_json::from_str(&answer.text).unwrap()
}

/// Reads the feed from a query on, in pages of this size, and checks its chain.
async fn read(app: &TestApp, reader: &Actor, limit: usize) -> (Vec<Item>, Page) {
    let (mut items, mut after, mut hash) = (Vec::new(), String::new(), BEFORE_ALL);
    loop {
        let page = page(app, reader, &format!("?limit={limit}{after}")).await;
        for item in &page.items {
            let entry = Entry::from(item.clone());
            assert_eq!(entry.event.hash(&hash), entry.hash, "{item:?}");
            assert_eq!(entry.event.sequence, items.len() as u64 + 1);
            hash = entry.hash;
            items.push(item.clone());
        }
        if page.items.len() < limit {
            return (items, page);
        }
        assert_eq!(page.head, None, "a full page never changes");
        after = format!("&after={}", page.next_cursor);
    }
}

async fn verified(app: &TestApp, head: &str) -> HeadClaims {
    let verified = app
        .key_set()
        .await
        .verify_statement(UnverifiedStatement::<HeadClaims>::parse(head).unwrap())
        .unwrap();
    verified.judge(ISSUER).unwrap().clone()
}

async fn revoke(app: &TestApp, token: &Minted) {
    app.post(
        &app.site_admin(),
        &format!("/tokens/{}/revoke", token.id),
        json!({}),
    )
    .await
    .is(201);
}

#[tokio::test]
async fn pages_of_every_size_have_every_event_once_and_end_with_a_signed_head() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let mut tokens = Vec::new();
    for _ in 0..15 {
        tokens.push(app.organization_token(&NORTH, &[]).await);
    }
    for token in &tokens {
        revoke(&app, token).await;
    }
    let cut = json!({"organization": NORTH.name, "user": NORTH.email("member"), "reason": "a lost laptop"});
    app.post(&app.site_admin(), "/revocations", cut).await.is(201);
    let (all, last) = read(&app, &reader, 500).await;
    for limit in [1, 7] {
        assert_eq!(read(&app, &reader, limit).await.0, all, "{limit}");
    }
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains("laptop") && !text.contains("admin@"), "{text}");
    let Some(Item::CutOff(cut_off)) = all.last() else {
        panic!("{text}");
    };
    assert_eq!(cut_off.place.cursor, last.next_cursor);
    let claims = verified(&app, &last.head.unwrap()).await;
    assert_eq!(Cursor(claims.position), last.next_cursor);
    assert_eq!(claims.issued_at, app.clock.now_seconds());
    let head = app.get(&reader, "/revocations/head").await.is(200);
    let head: Head = serde_json::from_str(&head.text).unwrap();
    assert_eq!(head.cursor, last.next_cursor);
    let empty = page(&app, &reader, &format!("?after={}", head.cursor)).await;
    assert_eq!((empty.items.len(), empty.next_cursor), (0, head.cursor));
    assert!(empty.head.is_some());
}

/// Libraries that look at no `typ` see an issuer and an audience that no token has; jeton sees the type.
#[tokio::test]
async fn a_head_is_no_token() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let head = app
        .get(&reader, "/revocations/head")
        .await
        .is(200)
        .text_at("/head");
    app.get(&Actor::holding(&head), "/me")
        .await
        .fails(401, "invalid_token");
    let keys = app.key_set().await;
    let unverified = Unverified::parse(&head).unwrap();
    assert_eq!(unverified.header().token_type, TokenType::FeedHead);
    assert_eq!(keys.verify(unverified).err(), Some(Rejection::WrongType));
    let claims = verified(&app, &head).await;
    assert_eq!(
        (&*claims.issuer, &*claims.audience),
        (&*format!("{ISSUER}/api/v1/revocations"), &*claims.issuer)
    );
    assert_ne!(claims.issuer, ISSUER);
}

#[tokio::test]
async fn a_cursor_that_is_no_position_is_refused_by_its_own_code() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let token = app.organization_token(&NORTH, &[]).await;
    revoke(&app, &token).await;
    let (_, last) = read(&app, &reader, 500).await;
    let here = last.next_cursor.0;
    let mut other = here;
    other.epoch = uuid::Uuid::from_u128(1);
    let mut forged = here;
    forged.hash = [7; 32];
    let mut ahead = here;
    ahead.sequence += 1;
    for (position, status, code) in [
        (other, 409, "other_epoch"),
        (forged, 409, "other_epoch"),
        (ahead, 409, "cursor_ahead"),
    ] {
        let cursor = Cursor(position);
        for path in ["/revocations", "/revocations/stream"] {
            app.get(&reader, &format!("{path}?after={cursor}"))
                .await
                .fails(status, code);
        }
    }
    for bad in ["", "x", &"A".repeat(74), &"!".repeat(75)] {
        app.get(&reader, &format!("/revocations?after={bad}"))
            .await
            .is(422);
    }
}

#[tokio::test]
async fn a_pruned_cursor_and_one_from_before_a_restore_are_told_to_start_again() {
    if needs_a_file("a_pruned_cursor_and_one_from_before_a_restore_are_told_to_start_again") {
        return;
    }
    let mut app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &[]).await;
    revoke(&app, &token).await;
    let backup = app.back_up();
    let reader = follower(&app).await.holder;
    let (_, last) = read(&app, &reader, 500).await;
    let before = last.next_cursor;
    app.restore(&backup).await;
    let reader = follower(&app).await.holder;
    app.get(&reader, &format!("/revocations?after={before}"))
        .await
        .fails(409, "other_epoch");
    // What was recorded in the former epoch cannot be continued from: the beginning of this epoch lies behind it.
    app.get(&reader, "/revocations").await.fails(410, "cursor_pruned");
    let head = app
        .get(&reader, "/revocations/head")
        .await
        .is(200)
        .text_at("/cursor");
    page(&app, &reader, &format!("?after={head}")).await;
}

/// A stream as its client reads it.
pub(super) struct Stream {
    frames: futures_util::stream::BoxStream<'static, String>,
    text: String,
}

impl Stream {
    pub(super) async fn open(app: &TestApp, reader: &Actor, query: &str) -> Self {
        let request = request(reader, Method::GET, &format!("/revocations/stream{query}"), None);
        let response: Response<Body> = app.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let data = response.into_body().into_data_stream();
        let frames = data.map(|frame| String::from_utf8(frame.unwrap().to_vec()).unwrap());
        Self {
            frames: frames.boxed(),
            text: String::new(),
        }
    }

    /// Returns the next event's name, id and data; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().to_owned()
                };
                let (name, id, data) = (field("event: "), field("id: "), field("data: "));
                let retry = field("retry: ");
                self.text = rest.to_owned();
                if retry.is_empty() {
                    return Some((name, id, serde_json::from_str(&data).unwrap()));
                }
                assert!((250..2_250).contains(&retry.parse::<u64>().unwrap()));
            }
            self.text += &timeout(Duration::from_secs(20), self.frames.next())
                .await
                .unwrap()?;
        }
    }
}

#[tokio::test]
async fn a_stream_begins_now_sends_each_event_and_resumes_after_the_last() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let earlier = app.organization_token(&NORTH, &[]).await;
    revoke(&app, &earlier).await;
    let mut stream = Stream::open(&app, &reader, "").await;
    let (name, start, head) = stream.next().await.unwrap();
    assert_eq!((&*name, &*start), ("head", head["cursor"].as_str().unwrap()));
    let tokens = [
        app.organization_token(&NORTH, &[]).await,
        app.organization_token(&NORTH, &[]).await,
    ];
    let mut ids = Vec::new();
    for token in &tokens {
        revoke(&app, token).await;
        let (name, id, item) = stream.next().await.unwrap();
        assert_eq!((&*name, item["token_id"].as_str()), ("", Some(&*token.id)));
        assert_eq!(item["cursor"], id);
        ids.push((id, item));
    }
    // Exactly the items of the page.
    let text = app
        .get(&reader, &format!("/revocations?after={start}"))
        .await
        .is(200)
        .json();
    let items: Vec<_> = ids.iter().map(|(_, item)| item.clone()).collect();
    assert_eq!(text["items"], json!(items));
    let mut request = request(&reader, Method::GET, "/revocations/stream", None);
    let last = ids[0].0.parse().unwrap();
    request.headers_mut().insert("last-event-id", last);
    let response = app.router().oneshot(request).await.unwrap();
    let data = response.into_body().into_data_stream();
    let mut resumed = Stream {
        frames: data
            .map(|frame| String::from_utf8(frame.unwrap().to_vec()).unwrap())
            .boxed(),
        text: String::new(),
    };
    // The head comes first, which is ahead of the stream; `id` is where the stream is.
    let (name, id, head) = resumed.next().await.unwrap();
    assert_eq!(
        (&*name, &id, head["cursor"].as_str()),
        ("head", &ids[0].0, Some(&*ids[1].0))
    );
    assert_eq!(resumed.next().await.unwrap().1, ids[1].0);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_server() {
    let app = TestApp::new().await;
    let (first, second) = (follower(&app).await, follower(&app).await);
    let mut streams = [
        Stream::open(&app, &first.holder, "").await,
        Stream::open(&app, &second.holder, "").await,
    ];
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap().0, "head");
    }
    revoke(&app, &first).await;
    let [ended, other] = &mut streams;
    // The event that ends it is the last: it may end others too, as when all tokens of a key are revoked.
    assert_eq!(ended.next().await.unwrap().2["token_id"], first.id);
    assert!(ended.next().await.is_none());
    assert_eq!(other.next().await.unwrap().2["token_id"], first.id);
    app.stop_streams();
    assert!(other.next().await.is_none());
    app.get(&second.holder, "/revocations/stream")
        .await
        .fails(503, "busy");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let app = TestApp::new().await;
    let order = json!({"owner": "deployment", "scopes": ["revocations:read"], "expires_in": "1m"});
    let token = app.mint(&app.site_admin(), order).await;
    let mut stream = Stream::open(&app, &token.holder, "").await;
    assert_eq!(stream.next().await.unwrap().0, "head");
    app.clock.advance(61);
    // The next event is not sent any more.
    let other = app.organization_token(&NORTH, &[]).await;
    revoke(&app, &other).await;
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn there_are_only_as_many_streams_as_allowed() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(Stream::open(&app, &reader, "").await);
    }
    app.get(&reader, "/revocations/stream").await.fails(503, "busy");
    streams.pop();
    streams.push(Stream::open(&app, &reader, "").await);
    app.get(&reader, "/revocations/head").await.is(200);
}

#[tokio::test]
async fn what_revokes_says_where_in_the_feed_it_is_and_administrators_see_why() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let admin = app.admin_of(&NORTH);
    let token = app.organization_token(&NORTH, &[]).await;
    let order = json!({"reason": "a lost laptop"});
    let path = format!("/tokens/{}/revoke", token.id);
    let answer = app.post(&admin, &path, order).await.is(201);
    let cursor = answer.text_at("/revocation_cursor");
    assert_eq!(answer.header("revocation-cursor"), cursor);
    assert_eq!(
        app.get(&reader, "/revocations/head").await.text_at("/cursor"),
        cursor
    );
    let event = format!("/revocations/{cursor}");
    let shown = app.get(&app.site_admin(), &event).await.is(200);
    assert_eq!(shown.text_at("/event/cursor"), cursor);
    assert_eq!(shown.text_at("/event/token_id"), token.id);
    assert_eq!(shown.text_at("/revoked_by"), NORTH.email("admin"));
    assert_eq!(shown.text_at("/reason"), "a lost laptop");
    app.get(&reader, &event).await.fails(403, "session_needed");
    app.get(&admin, &event).await.fails(403, "forbidden");
    // Again, and what revokes without a body, and what cannot revoke.
    let again = app.post(&admin, &path, json!({})).await.is(201);
    assert_eq!(again.header("revocation-cursor"), cursor);
    let presented = app.organization_token(&NORTH, &[]).await;
    let form = format!("token={}", presented.secret);
    let answer = app.form(&app.anyone(), "/oauth/revoke", &form).await.is(200);
    let next = answer.header("revocation-cursor").to_owned();
    let page = page(&app, &reader, &format!("?after={cursor}")).await;
    assert_eq!((page.items.len(), page.next_cursor.to_string()), (1, next));
    let member = format!("/organizations/{}/members/{}", NORTH.name, NORTH.email("member"));
    let removed = app.delete(&admin, &member).await.is(204);
    let head = app.get(&reader, "/revocations/head").await.text_at("/cursor");
    assert_eq!(removed.header("revocation-cursor"), head);
    let service = app.deployment_token(&["tokens:introspect"]).await.holder;
    let introspected = app.form(&service, "/oauth/introspect", &form).await.is(200);
    assert_eq!(introspected.header("revocation-cursor"), "");
    assert_eq!(app.get(&admin, "/me").await.header("revocation-cursor"), "");
    app.post(&admin, "/tokens/999999/revoke", json!({})).await.is(404);
}

#[tokio::test]
async fn a_snapshot_has_what_is_revoked_and_what_will_be() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let (revoked, rotated) = (
        app.organization_token(&NORTH, &[]).await,
        app.organization_token(&NORTH, &[]).await,
    );
    revoke(&app, &revoked).await;
    let path = format!("/tokens/{}/rotate", rotated.id);
    let order = json!({"grace_period": "1h"});
    app.post(&app.admin_of(&NORTH), &path, order).await.is(201);
    let cut = json!({"organization": NORTH.name, "user": NORTH.email("member")});
    let cut = app.post(&app.site_admin(), "/revocations", cut).await.is(201);
    let answer = app.get(&reader, "/revocations/snapshot").await.is(200);
    let claims = app.feed_snapshot(&reader).await;
    assert_eq!(
        Cursor(claims.position).to_string(),
        cut.text_at("/revocation_cursor")
    );
    assert_eq!(claims.issued_at, app.clock.now_seconds());
    let place = |token: &Minted| {
        let place = StatusListEntry::of(&token.secret);
        let list = place.path().rsplit('/').next().unwrap().parse::<u32>().unwrap();
        let list = claims.status_lists.iter().find(|known| known.id == list).unwrap();
        (list, place.index)
    };
    let (list, index) = place(&revoked);
    assert_eq!(list.list.inflate().unwrap().is_set(index), Some(true));
    let (list, index) = place(&rotated);
    assert_eq!(list.list.inflate().unwrap().is_set(index), Some(false));
    let ends = app.clock.now_seconds() * 1000 + 3_600_678;
    assert_eq!(list.scheduled, [(index, ends)]);
    assert!(
        claims
            .cut_offs
            .iter()
            .any(|cut_off| cut_off.tokens.user.is_some())
    );
    assert!(!answer.text.contains("laptop"));
    // Nothing has changed: nothing is sent again.
    let mut request = request(&reader, Method::GET, "/revocations/snapshot", None);
    let tag = answer.headers["etag"].clone();
    request.headers_mut().insert("if-none-match", tag);
    app.send(request).await.is(304);
    // It is no token either.
    app.get(&Actor::holding(&answer.text), "/me")
        .await
        .fails(401, "invalid_token");
}

#[tokio::test]
async fn a_stream_ends_when_its_caller_may_no_longer_follow() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let path = format!("/users/{}", NORTH.email("lead"));
    app.patch(&site, &path, json!({"site_admin": true})).await.is(200);
    let lead = app.team_admin(&NORTH);
    let mut stream = Stream::open(&app, &lead, "").await;
    assert_eq!(stream.next().await.unwrap().0, "head");
    app.patch(&site, &path, json!({"site_admin": false}))
        .await
        .is(200);
    let token = app.organization_token(&NORTH, &[]).await;
    revoke(&app, &token).await;
    assert!(stream.next().await.is_none());
}

/// An event of another process that this server has not read yet lies before its own: the cursor of the answer includes
/// both all the same.
#[tokio::test]
async fn the_cursor_of_a_revocation_includes_it_although_another_process_revokes_too() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let other = app.authority().await;
    for round in 0..3 {
        let (first, second) = (
            app.organization_token(&NORTH, &[]).await,
            app.organization_token(&NORTH, &[]).await,
        );
        other.catch_up().await.unwrap();
        let revoked = other.revoke_presented(&first.secret, None, Origin::default(), "by another".to_owned());
        revoked.await.unwrap();
        let path = format!("/tokens/{}/revoke", second.id);
        let answer = app.post(&app.site_admin(), &path, json!({})).await.is(201);
        let cursor: Cursor = answer.header("revocation-cursor").parse().unwrap();
        assert_eq!(cursor.to_string(), answer.text_at("/revocation_cursor"));
        assert_eq!(cursor.0.sequence, 2 * (round + 1));
        let read = page(&app, &reader, &format!("?after={cursor}")).await;
        assert!(read.items.is_empty());
    }
}

#[tokio::test]
async fn a_full_page_may_be_cached_by_its_reader_and_the_last_may_not() {
    let app = TestApp::new().await;
    let reader = follower(&app).await.holder;
    let token = app.organization_token(&NORTH, &[]).await;
    revoke(&app, &token).await;
    let full = app.get(&reader, "/revocations?limit=1").await.is(200);
    assert_eq!(full.header("cache-control"), "private, max-age=86400, immutable");
    assert_eq!(full.header("vary"), "authorization");
    let last = app.get(&reader, "/revocations?limit=2").await.is(200);
    assert_eq!(last.header("cache-control"), "no-store");
}

/// When the clock was set back, the token is active beyond the instant for which its stream waited. Takes five seconds.
#[tokio::test]
async fn a_stream_does_not_spin_when_its_token_lives_longer_than_expected() {
    let app = TestApp::new().await;
    let order = json!({"owner": "deployment", "scopes": ["revocations:read"], "expires_in": "1s"});
    let token = app.mint(&app.site_admin(), order).await;
    let mut stream = Stream::open(&app, &token.holder, "").await;
    assert_eq!(stream.next().await.unwrap().0, "head");
    // The authority's clock stands still: only the stream's own timer passes the expected end.
    let spent = || clock_gettime(ClockId::ThreadCPUTime).tv_sec;
    let before = spent();
    assert_eq!(stream.next().await.unwrap().0, "head");
    assert!(spent() - before < 2, "of the processor");
}
