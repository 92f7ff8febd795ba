//! Servers beside others: what one answers once its lease has ended, and what it shows of the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jeton::authority::{RetentionScan, Server};
use jeton_store::{Durability, HistoryCheck};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::api::faults::TRIED_BY;
use crate::api::feed::Stream;
use crate::api::matrix::{CALLERS, Operation, Row, Stage, operations, rows};
use crate::harness::{Answer, Fault, Kind, Leases, NORTH, Plan, TestApp, needs_a_file};

/// A server with a lease.
struct Leased {
    app: TestApp,
    plan: Arc<Plan>,
    server: Server,
}

impl Leased {
    async fn new() -> Self {
        let plan = Arc::new(Plan::of_several_servers());
        let app = TestApp::over(plan.follow()).await;
        Self::of(app, plan).await
    }

    /// Begins to renew the lease of a server.
    async fn of(app: TestApp, plan: Arc<Plan>) -> Self {
        let leased = Self {
            app,
            plan,
            server: server("jeton-1", 1),
        };
        leased.leases().follow(&leased.app.clock);
        leased.renew().await;
        leased
    }

    fn leases(&self) -> &Leases {
        self.plan.leases.as_ref().unwrap()
    }

    async fn renew(&self) {
        self.app.operator().renew_lease(&self.server).await.unwrap();
    }

    /// Lets the lease end.
    async fn end(&self) {
        self.leases().fail.store(true, Ordering::SeqCst);
        self.app.clock.advance(Leases::LAST);
        assert!(self.app.operator().renew_lease(&self.server).await.is_err());
    }

    /// Lets the store answer again.
    async fn recover(&self) {
        self.leases().fail.store(false, Ordering::SeqCst);
        self.renew().await;
    }

    /// Returns status and code of readiness for everything, and for verifying.
    async fn readiness(&self) -> [(u16, String); 2] {
        let mut all = Vec::new();
        for path in ["/readyz", "/readyz?for=verify"] {
            let answer = self.app.get(&self.app.anyone(), path).await;
            all.push((answer.status, answer.text_at("/code")));
        }
        all.try_into().unwrap()
    }
}

fn server(name: &str, id: u128) -> Server {
    Server {
        id: Uuid::from_u128(id),
        name: name.to_owned(),
    }
}

fn both(status: u16, code: &str) -> [(u16, String); 2] {
    [(status, code.to_owned()), (status, code.to_owned())]
}

/// A request of the matrix to a server of its own beside others, by a caller who may send it.
struct Tried<'a> {
    stage: &'a Stage,
    leased: Leased,
    row: &'a Row,
    operation: &'a Operation,
    caller: &'static str,
}

impl Tried<'_> {
    async fn answer(&self) -> Answer {
        let place = CALLERS.iter().position(|name| *name == self.caller).unwrap();
        let request = self.stage.request(self.row, self.operation, place, NORTH.name);
        Answer::read(self.leased.app.router().oneshot(request).await.unwrap()).await
    }

    /// Returns what is wrong with an answer, unless it is right.
    fn unless(&self, is_right: bool, answer: &Answer, when: &str) -> Vec<String> {
        let (row, caller) = (self.row, self.caller);
        let wrong = (!is_right).then(|| {
            format!(
                "{} {} by {caller} {when}: {} {}",
                row.operation, row.target, answer.status, answer.text
            )
        });
        wrong.into_iter().collect()
    }

    /// The control: the same server answers the same request as a server alone does.
    async fn control(&self, when: &str) -> Vec<String> {
        let answer = self.answer().await;
        let is_right = answer.status == self.row.expected_of(self.caller);
        self.unless(is_right, &answer, when)
    }
}

/// Tries each request of the matrix, by the first caller of each group who may send it. `check` returns what is wrong.
async fn try_all(groups: &[&[&'static str]], check: impl AsyncFn(&Tried<'_>) -> Vec<String>) {
    let stage = &Stage::set().await;
    let operations = operations();
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in &rows() {
        let operation = operations.iter().find(|one| one.id == row.operation).unwrap();
        let able = |name: &&&'static str| row.expected_of(name) < 300;
        for caller in groups.iter().filter_map(|group| group.iter().find(able)) {
            let plan = Arc::new(Plan::of_several_servers());
            let app = stage.app.twin_over(plan.follow()).await;
            let tried = Tried {
                stage,
                leased: Leased::of(app, plan).await,
                row,
                operation,
                caller,
            };
            wrong.extend(check(&tried).await);
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 70, "{count}");
}

#[tokio::test]
async fn readiness_for_verifying_lasts_as_long_as_the_lease() {
    let leased = Leased::new().await;
    assert_eq!(leased.readiness().await, both(200, "ok"));
    // A database that accepts no writes.
    leased.plan.arm(Fault::Fails, Some(Kind::Read), 0);
    let [all, _] = leased.readiness().await;
    assert_eq!(all, (503, "database_unavailable".to_owned()));
    leased.plan.arm(Fault::Fails, Some(Kind::Read), 0);
    let verify = leased.app.get(&leased.app.anyone(), "/readyz?for=verify").await;
    assert_eq!((verify.status, verify.text_at("/code")), (200, "ok".to_owned()));
    assert!(leased.plan.disarm(), "it has read the database");

    leased.leases().fail.store(true, Ordering::SeqCst);
    leased.app.clock.advance(Leases::LAST - 1);
    assert_eq!(leased.readiness().await, both(200, "ok"));
    leased.app.clock.advance(1);
    assert_eq!(leased.readiness().await, both(503, "lease_ended"));
    leased.recover().await;
    assert_eq!(leased.readiness().await, both(200, "ok"));
}

/// A former primary answers reads, and knows nothing of what its successor has committed.
#[tokio::test]
async fn a_renewal_that_has_seen_more_than_the_server_has_read_renews_no_lease() {
    let leased = Leased::new().await;
    leased.app.clock.advance(Leases::LAST - 1);
    leased.leases().unread.store(1, Ordering::SeqCst);
    let renewed = leased.app.operator().renew_lease(&leased.server).await;
    assert!(renewed.is_err());
    assert_eq!(leased.readiness().await, both(200, "ok"));
    leased.app.clock.advance(1);
    assert_eq!(leased.readiness().await, both(503, "lease_ended"));
    leased.leases().unread.store(0, Ordering::SeqCst);
    leased.renew().await;
    assert_eq!(leased.readiness().await, both(200, "ok"));
}

#[tokio::test]
async fn a_clock_that_differs_from_the_stores_is_not_ready_for_everything() {
    let leased = Leased::new().await;
    for (ahead, expected) in [
        (1_000, "ok"),
        (1_001, "clock_differs"),
        (-1_000, "ok"),
        (-1_001, "clock_differs"),
        (0, "ok"),
    ] {
        leased.leases().ahead.store(ahead, Ordering::SeqCst);
        leased.renew().await;
        let [all, verify] = leased.readiness().await;
        assert_eq!(all.1, expected, "{ahead}");
        assert_eq!(verify, (200, "ok".to_owned()), "{ahead}");
    }
}

/// Requests of the matrix that are no GET and change nothing, with their status, but for dry runs: one removes nobody.
const ONLY_READ: [(&str, u16); 5] = [
    // The key is retired already.
    ("retire_key", 200),
    ("introspect", 200),
    ("inspect_token", 200),
    ("authorize_request_head", 200),
    ("delete_team_member", 204),
];

/// GETs that need a right clock: a status list is dated, and its key is kept for as long.
const NEED_THE_CLOCK: [&str; 2] = ["readiness", "status_list"];

#[tokio::test]
async fn a_server_whose_clock_differs_from_the_stores_changes_nothing() {
    try_all(&[&TRIED_BY], async |tried| {
        let changes = match tried.operation.is_get() {
            true => NEED_THE_CLOCK.contains(&&*tried.row.operation),
            false => {
                let request = (&*tried.row.operation, tried.row.expected_of(tried.caller));
                !tried.row.is_dry_run() && !ONLY_READ.contains(&request)
            }
        };
        // The clock is set after the last comparison with the store's.
        tried.leased.app.clock.step(-2);
        let answer = tried.answer().await;
        tried.leased.app.clock.step(2);
        let is_right = (answer.status == 503) == changes;
        let mut wrong = tried.unless(is_right, &answer, "with a wrong clock");
        if changes {
            wrong.extend(tried.control("with a right clock").await);
        }
        wrong
    })
    .await;
}

#[tokio::test]
async fn background_work_waits_for_a_clock_that_agrees_with_the_stores() {
    let leased = Leased::new().await;
    let (app, site) = (&leased.app, leased.app.site_admin());
    let token = app.organization_token(&NORTH, &[]).await;
    let revoke = format!("/tokens/{}/revoke", token.id);
    leased.leases().ahead.store(1_001, Ordering::SeqCst);
    leased.renew().await;
    let refused = app.post(&site, &revoke, json!({})).await;
    refused.fails(503, "clock_differs");
    assert_eq!(app.get(&token.holder, "/tokens/current").await.status, 200);
    let operator = app.operator();
    for failed in [
        operator.check_clock().is_err(),
        operator.write_usage().await.is_err(),
        operator.purge(&mut RetentionScan::default()).await.is_err(),
        operator.prune_audit().await.is_err(),
    ] {
        assert!(failed);
    }
    leased.leases().ahead.store(0, Ordering::SeqCst);
    leased.renew().await;
    operator.write_usage().await.unwrap();
    operator.purge(&mut RetentionScan::default()).await.unwrap();
    operator.prune_audit().await.unwrap();
    app.post(&site, &revoke, json!({})).await.is(201);
}

#[tokio::test]
async fn readiness_says_how_durable_data_are_and_how_their_loss_is_noticed() {
    let leased = Leased::new().await;
    let anyone = leased.app.anyone();
    for (durability, word) in [
        (Durability::Local, "local"),
        (Durability::Asynchronous, "asynchronous"),
        (Durability::Synchronous, "synchronous"),
    ] {
        *leased.leases().durability.lock().unwrap() = durability;
        leased.renew().await;
        let ready = leased.app.get(&anyone, "/readyz").await.is(200);
        assert_eq!(ready.text_at("/durability"), word);
    }
    for (check, word) in [
        (HistoryCheck::Position, "position_and_hash"),
        (HistoryCheck::Timeline, "timeline_position_and_hash"),
    ] {
        *leased.leases().history_check.lock().unwrap() = check;
        leased.renew().await;
        let ready = leased.app.get(&anyone, "/readyz").await.is(200);
        assert_eq!(ready.text_at("/history_check"), word);
    }
    leased.end().await;
    let ended = leased.app.get(&anyone, "/readyz").await.is(503);
    assert_eq!(ended.text_at("/durability"), "synchronous");
    assert_eq!(
        leased.app.get(&anyone, "/healthz").await.is(200).json(),
        json!({"status": "ok", "code": "ok"})
    );
    leased
        .app
        .get(&anyone, "/readyz?for=everything")
        .await
        .is(422)
        .blames(&["literal_error at query.for"]);
}

/// What answers without a lease: it says nothing about tokens.
const ANSWERS: [&str; 5] = [
    "health",
    "login",
    "metadata",
    "openid_configuration",
    "show_setup",
];

#[tokio::test]
async fn a_server_whose_lease_has_ended_answers_nothing_that_depends_on_revocation() {
    try_all(&[&TRIED_BY, &["nobody"]], async |tried| {
        tried.leased.end().await;
        let answer = tried.answer().await;
        let answers = ANSWERS.contains(&&*tried.row.operation);
        let is_right = (answer.status == 503) != answers;
        let mut wrong = tried.unless(is_right, &answer, "without a lease");
        tried.leased.recover().await;
        wrong.extend(tried.control("with a lease").await);
        wrong
    })
    .await;
}

#[tokio::test]
async fn what_was_cached_is_not_served_without_a_lease() {
    let leased = Leased::new().await;
    let (app, anyone) = (&leased.app, leased.app.anyone());
    let token = app.organization_token(&NORTH, &[]).await;
    let introspects = app.deployment_token(&["tokens:introspect"]).await.holder;
    let form = format!("token={}", token.secret);
    let ask = async || {
        let mut statuses = Vec::new();
        for path in ["/.well-known/jwks.json", "/status-lists/1", "/status-lists"] {
            statuses.push(app.get(&anyone, path).await.status);
        }
        statuses.push(app.get(&token.holder, "/oauth/authorize-request").await.status);
        statuses.push(app.get(&token.holder, "/tokens/current").await.status);
        statuses.push(app.form(&introspects, "/oauth/introspect", &form).await.status);
        statuses
    };
    assert_eq!(ask().await, [200; 6]);
    leased.end().await;
    assert_eq!(ask().await, [503; 6]);
    leased.recover().await;
    assert_eq!(ask().await, [200; 6]);
}

#[tokio::test]
async fn a_stream_of_the_feed_ends_with_the_lease() {
    let leased = Leased::new().await;
    let reader = leased.app.deployment_token(&["revocations:read"]).await.holder;
    let mut stream = Stream::open(&leased.app, &reader, "").await;
    assert_eq!(stream.next().await.unwrap().0, "head");
    leased.end().await;
    // Instead of the next heartbeat.
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn servers_are_listed_with_their_leases() {
    let leased = Leased::new().await;
    let (app, site) = (&leased.app, leased.app.site_admin());
    let other = server("jeton-0", 2);
    app.operator().renew_lease(&other).await.unwrap();
    let token = app.organization_token(&NORTH, &[]).await;
    let path = format!("/tokens/{}/revoke", token.id);
    app.post(&site, &path, json!({})).await.is(201);
    app.clock.advance(Leases::LAST - 1);
    leased.renew().await;
    let list = async || app.get(&site, "/nodes").await.is(200).json();
    let brief = |list: &Value| -> Vec<(String, bool, u64)> {
        let items = list["items"].as_array().unwrap().iter();
        let brief = items.map(|item| {
            (
                item["name"].as_str().unwrap().to_owned(),
                item["is_current"].as_bool().unwrap(),
                item["position"]["sequence"].as_u64().unwrap(),
            )
        });
        brief.collect()
    };
    let listed = list().await;
    let [(_, _, before), (_, _, after)] = &brief(&listed)[..] else {
        panic!("{listed}");
    };
    assert_eq!(after - before, 1, "{listed}");
    assert_eq!(listed["durability"], "synchronous");
    let item = &listed["items"][1];
    assert_eq!(item["id"], leased.server.id.to_string());
    assert_eq!(item["version"], env!("CARGO_PKG_VERSION"));
    app.clock.advance(1);
    let names = |list: &Value| -> Vec<(String, bool)> {
        let brief = brief(list).into_iter();
        brief.map(|(name, is_current, _)| (name, is_current)).collect()
    };
    assert_eq!(
        names(&list().await),
        [("jeton-0".to_owned(), false), ("jeton-1".to_owned(), true)]
    );
    // One that was not heard of for an hour is not shown.
    app.clock.advance(3_600 - Leases::LAST);
    leased.renew().await;
    app.clock.advance(1);
    assert_eq!(names(&list().await), [("jeton-1".to_owned(), true)]);
}

#[tokio::test]
async fn a_revocation_says_when_every_server_refuses_the_token() {
    let leased = Leased::new().await;
    let (app, site) = (&leased.app, leased.app.site_admin());
    let by = |answer: &Answer| answer.text_at("/refused_everywhere_by");
    let then = async || {
        use jeton_core::clock::Clock;
        app.clock.now().plus_seconds(Leases::LAST + 1).to_string()
    };
    let token = app.organization_token(&NORTH, &[]).await;
    let path = format!("/tokens/{}/revoke", token.id);
    let revoked = app.post(&site, &path, json!({"descendants": true})).await.is(201);
    assert_eq!(by(&revoked), then().await);
    // What the token has made is revoked in the background.
    assert_eq!(
        revoked.json()["descendants"]["refused_everywhere_by"],
        Value::Null
    );
    let own = app.organization_token(&NORTH, &[]).await;
    let revoked = app.post(&own.holder, "/tokens/current/revoke", json!({})).await;
    assert_eq!(by(&revoked.is(201)), then().await);
    let cut_off = json!({"organization": NORTH.name});
    let cut_off = app.post(&site, "/revocations", cut_off).await.is(201);
    assert_eq!(by(&cut_off), then().await);

    // Beyond the second of the cut-off.
    app.clock.advance(1);
    app.organization_token(&NORTH, &[]).await;
    let order = json!({"organization": NORTH.name, "q": "minted"});
    let ordered = app.post(&site, "/tokens/revoke", order).await.is(202);
    assert_eq!(ordered.json()["refused_everywhere_by"], Value::Null);
    let path = format!("/tokens/revoke/{}", ordered.text_at("/id"));
    let finished = loop {
        let progress = app.get(&site, &path).await.is(200);
        if progress.json()["finished_at"].is_string() {
            break progress;
        }
        assert_eq!(progress.json()["refused_everywhere_by"], Value::Null);
        tokio::task::yield_now().await;
    };
    assert_eq!(by(&finished), then().await);
}

#[tokio::test]
async fn a_server_that_is_alone_lists_none_and_refuses_at_once() {
    if needs_a_file("a_server_that_is_alone_lists_none_and_refuses_at_once") {
        return;
    }
    let app = TestApp::new().await;
    let site = app.site_admin();
    let ready = app.get(&app.anyone(), "/readyz?for=verify").await.is(200);
    assert_eq!(ready.json(), json!({"status": "ok", "code": "ok"}));
    let list = app.get(&site, "/nodes").await.is(200);
    assert_eq!(list.json(), json!({"items": [], "durability": null}));
    let token = app.organization_token(&NORTH, &[]).await;
    let path = format!("/tokens/{}/revoke", token.id);
    let revoked = app.post(&site, &path, json!({})).await.is(201);
    assert_eq!(revoked.json()["refused_everywhere_by"], Value::Null);
}
