//! What a server counts: the metrics of its operations, its store, its keys, its feed and its readiness.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::Client;
use super::home::{EMAIL, Home, PASSWORD, SOON, eventually};
use super::metrics;

/// The values of all series at one instant, by name and labels.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn of(address: SocketAddr) -> Self {
        let answer = Client::new(address).get("/metrics").expect(StatusCode::OK);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let series = series.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self(series.collect())
    }

    #[track_caller]
    fn get(&self, series: &str) -> f64 {
        *self
            .0
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in {:?}", self.0))
    }

    /// Compares the series of a metric whose values are not 0, by their labels.
    #[track_caller]
    fn expect(&self, metric: &str, expected: &[(&str, f64)]) {
        let found = self.0.iter().filter_map(|(series, value)| {
            let labels = series
                .strip_prefix(metric)?
                .strip_prefix('{')?
                .strip_suffix('}')?;
            (*value != 0.0).then_some((labels, *value))
        });
        let mut expected = expected.to_vec();
        expected.sort_by(|one, other| one.0.cmp(other.0));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{metric}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn every_operation_is_counted_once() {
    let home = Home::new();
    home.configure("[metrics]\nlisten = \"127.0.0.1:0\"\n[keys]\nrotate_every = \"30d\"\n");
    let server = home.serve();
    let scraped = metrics::address(&server);
    let mut administrator = server.administrator();
    assert!(
        server
            .client()
            .login(EMAIL, "wrong horse battery staple")
            .is_err()
    );
    assert!(server.client().login("nobody@example.org", PASSWORD).is_err());

    let order = |name: &str| json!({"name": name, "organization": "default", "owner": "organization", "expires_in": "20d"});
    let mut issue = |order: Value| {
        let issued = administrator
            .post("/api/v1/tokens", order)
            .expect(StatusCode::CREATED)
            .json();
        (text(&issued["token"]), text(&issued["token_info"]["id"]))
    };
    let (_, rotated_id) = issue(order("rotated"));
    let (_, revoked_id) = issue(order("revoked"));
    let (own, _) = issue(order("own"));
    for _ in 0..3 {
        issue(order("many"));
    }
    let mut slot = order("slot");
    slot["slot"] = json!("ci");
    issue(slot.clone());
    issue(slot);
    let deployment = json!({"name": "deployment", "owner": "deployment", "expires_in_days": null,
        "scopes": ["revocations:read", "tokens:introspect"]});
    let (follower, _) = issue(deployment);
    let mut follower = server.client().with_token(&follower);

    let stream = {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let token = follower.token();
        write!(
            stream,
            "GET /api/v1/revocations/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("event: head") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0);
        }
        lines
    };

    let rotate = format!("/api/v1/tokens/{rotated_id}/rotate");
    administrator.post(&rotate, json!({})).expect(StatusCode::CREATED);
    let revoke = format!("/api/v1/tokens/{revoked_id}/revoke");
    assert!(administrator.post(&revoke, json!({})).status < 300);
    // Again: it is revoked once.
    assert!(administrator.post(&revoke, json!({})).status < 300);
    server
        .client()
        .with_token(&own)
        .post("/api/v1/tokens/current/revoke", json!({}))
        .expect(StatusCode::CREATED);
    let many = json!({"organization": "default", "q": "many"});
    let many = administrator.post("/api/v1/tokens/revoke", many).json();
    let path = format!("/api/v1/tokens/revoke/{}", text(&many["id"]));
    let is_done = || {
        administrator.get(&path).json()["finished_at"]
            .is_string()
            .then_some(())
    };
    eventually(SOON, is_done).unwrap();

    assert_eq!(server.client().current(&own), 401);
    assert_eq!(server.client().current("rubbish"), 401);
    let introspect = |client: &mut Client, token: &str| {
        let form = format!("token={token}");
        let answer = client.form("/oauth/introspect", &form).expect(StatusCode::OK);
        answer.json()["active"].as_bool().unwrap()
    };
    let other = administrator.post("/api/v1/tokens", order("other")).json();
    let other = text(&other["token"]);
    assert!(introspect(&mut follower, &other));
    assert!(!introspect(&mut follower, &own));
    let mut proxied = server.client().with_token(&other);
    proxied.get("/oauth/authorize-request").expect(StatusCode::OK);
    proxied
        .get("/oauth/authorize-request?audience=https://elsewhere.example")
        .expect(StatusCode::UNAUTHORIZED);
    administrator
        .post(
            "/api/v1/revocations",
            json!({"organization": "default", "issued_before": "2020-01-01T00:00:00Z"}),
        )
        .expect(StatusCode::CREATED);
    let lists = server.client().get("/status-lists").json();
    let list = text(&lists["status_lists"][0]);
    let list = list.split_once("/status-lists/").unwrap().1.to_owned();
    server
        .client()
        .get(&format!("/status-lists/{list}"))
        .expect(StatusCode::OK);

    let found = Metrics::of(scraped);
    found.expect(
        "jeton_tokens_issued_total",
        &[
            ("kind=\"api\",owner=\"organization\"", 10.0),
            ("kind=\"api\",owner=\"deployment\"", 1.0),
            ("kind=\"session\",owner=\"user\"", 1.0),
        ],
    );
    found.expect(
        "jeton_tokens_revoked_total",
        &[
            ("cause=\"request\"", 1.0),
            ("cause=\"presenting\"", 1.0),
            ("cause=\"rotation\"", 1.0),
            ("cause=\"slot\"", 1.0),
            ("cause=\"bulk\"", 3.0),
        ],
    );
    found.expect("jeton_cut_offs_total", &[("reach=\"organization\"", 1.0)]);
    found.expect(
        "jeton_logins_total",
        &[
            ("method=\"password\",result=\"success\"", 1.0),
            ("method=\"password\",result=\"failure\"", 2.0),
        ],
    );
    found.expect(
        "jeton_tokens_refused_total",
        &[("reason=\"malformed\"", 1.0), ("reason=\"revoked\"", 2.0)],
    );
    found.expect(
        "jeton_introspections_total",
        &[("active=\"true\"", 1.0), ("active=\"false\"", 1.0)],
    );
    found.expect(
        "jeton_authorizations_total",
        &[("result=\"allowed\"", 1.0), ("result=\"denied\"", 1.0)],
    );
    found.expect("jeton_keys", &[("state=\"signing\"", 1.0)]);
    // Seven revocations and a cut-off.
    assert_eq!(found.get("jeton_feed_sequence"), 8.0);
    assert!(found.get("jeton_feed_delivery_seconds_count") >= 1.0);
    assert_eq!(found.get("jeton_feed_subscribers"), 1.0);
    assert_eq!(found.get("jeton_status_list_render_duration_seconds_count"), 1.0);
    assert_eq!(found.get("jeton_status_list_cut_offs_waiting"), 0.0);
    let (writes, batches) = (
        found.get("jeton_store_batch_size_sum"),
        found.get("jeton_store_batch_size_count"),
    );
    assert!(writes >= batches && batches >= 20.0, "{writes} {batches}");
    assert_eq!(batches, found.get("jeton_store_commit_duration_seconds_count"));
    for size in ["database", "wal", "free"] {
        assert!(found.get(&format!("jeton_store_{size}_bytes")) > 0.0, "{size}");
    }
    assert!(found.get("jeton_journal_bytes") > 0.0 && found.get("jeton_journal_appends_total") >= 5.0);
    let due = found.get("jeton_key_due_seconds") - found.get("jeton_key_signing_since_seconds");
    assert_eq!(due, 30.0 * 86_400.0);
    assert!(found.get("jeton_token_cache_lookups_total{result=\"hit\"}") > 0.0);
    assert!(found.get("jeton_token_cache_bytes") > found.get("jeton_token_cache_entries"));

    drop(stream);
    let has_left = || {
        let found = Metrics::of(scraped);
        (found.get("jeton_feed_subscribers") == 0.0).then_some(found)
    };
    let found = eventually(SOON, has_left).unwrap();
    found.expect("jeton_feed_streams_ended_total", &[("by=\"client\"", 1.0)]);
}

/// Tokens are counted at the start, in the background.
#[test]
fn tokens_are_counted_by_status_and_a_server_is_ready() {
    let home = Home::new();
    home.configure("[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let server = home.serve();
    let mut administrator = server.administrator();
    for expires_in in ["12h", "2d", "40d"] {
        let order = json!({"name": "n", "organization": "default", "owner": "organization", "expires_in": expires_in});
        administrator
            .post("/api/v1/tokens", order)
            .expect(StatusCode::CREATED);
    }
    drop(server);
    let server = home.serve();
    let scraped = metrics::address(&server);
    let counted = || {
        let found = Metrics::of(scraped);
        (found.get("jeton_tokens_counted_seconds") > 0.0 && found.get("jeton_ready") == 1.0).then_some(found)
    };
    let found = eventually(SOON, counted).unwrap();
    found.expect("jeton_tokens", &[("status=\"active\"", 3.0)]);
    found.expect(
        "jeton_tokens_ending",
        &[
            ("within=\"1d\"", 1.0),
            ("within=\"7d\"", 2.0),
            ("within=\"30d\"", 2.0),
        ],
    );
    assert_eq!(found.get("jeton_sessions"), 1.0);
    found.expect("jeton_unready", &[]);
}
