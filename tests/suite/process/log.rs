//! The server's log: who changed what, and nothing that did not happen.

use std::time::Instant;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::Client;
use super::home::{Home, SOON, Server, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Waits for lines of the log with a text, and returns them.
fn lines(server: &Server, text: &str, number: usize) -> Vec<String> {
    let found = eventually(SOON, || {
        let log = server.stderr();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
        (lines.len() >= number).then(|| lines.into_iter().map(str::to_owned).collect())
    });
    let found: Vec<String> = found.unwrap_or_else(|| panic!("no {text}: {}", server.stderr()));
    assert_eq!(found.len(), number, "{found:?}");
    found
}

/// Makes a token, is refused one, and logs in wrongly, each with an id of its own. The last request succeeds.
fn live(server: &Server) {
    let mut admin = server.administrator();
    let made = admin.post("/api/v1/tokens", json!({"name": "ci", "organization": "default"}));
    let token = made.expect(StatusCode::CREATED).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let client = |id: &str| {
        let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let client = server.client().with_header("x-request-id", id);
        client.with_header("traceparent", traceparent).with_token(&token)
    };
    client("refused-1")
        .get("/api/v1/users")
        .expect(StatusCode::FORBIDDEN);
    client("revoked-1")
        .post("/api/v1/tokens/current/revoke", json!({}))
        .expect(StatusCode::CREATED);
    client("stranger-1")
        .get("/api/v1/me")
        .expect(StatusCode::UNAUTHORIZED);
    let mut stranger = Client::new(server.address).with_header("x-request-id", "wrong-1");
    assert!(stranger.login(super::home::EMAIL, "no such password").is_err());
    client("last-1").get("/healthz").expect(StatusCode::OK);
}

#[test]
fn requests_that_fail_have_a_line_and_every_line_has_the_id_of_its_request() {
    let home = Home::new();
    let server = home.serve();
    live(&server);
    let [refused] = &lines(&server, "request_id=refused-1", 1)[..] else {
        panic!()
    };
    let ids = format!("request_id=refused-1 trace_id={TRACE}");
    for part in [
        " INFO jeton::request: request failed ",
        " surface=\"native\" operation=\"list_users\" status=403 duration_ms=",
        " code=\"session_needed\"",
        " caller=\"user-",
        " token=",
        &ids,
    ] {
        assert!(refused.contains(part), "{part:?} in {refused}");
    }
    assert!(refused.ends_with(&ids), "{refused}");
    // What operations log while they handle a request.
    let [revoked] = &lines(&server, "request_id=revoked-1", 1)[..] else {
        panic!()
    };
    assert!(revoked.contains("token revoked"), "{revoked}");
    let [wrong] = &lines(&server, "request_id=wrong-1", 1)[..] else {
        panic!()
    };
    assert!(
        wrong.contains("login failed") && !wrong.contains("trace_id"),
        "{wrong}"
    );
    // A client without a token cannot fill the disk, and success is not logged.
    for id in ["stranger-1", "last-1"] {
        assert_eq!(lines(&server, id, 0), [""; 0]);
    }
    // A line outside of a request is as before.
    let [serving] = &lines(&server, "jeton::cli::serve: serving ", 1)[..] else {
        panic!()
    };
    assert!(
        serving.contains("INFO") && !serving.contains("request_id"),
        "{serving}"
    );
}

#[test]
fn the_log_in_json_is_one_object_a_line_with_the_same_fields() {
    let home = Home::new();
    home.configure("[log]\nformat = \"json\"\nrequests = \"all\"\n");
    let server = home.serve();
    live(&server);
    lines(&server, "last-1", 1);
    let log = server.stderr();
    let parsed: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &parsed {
        for name in ["timestamp", "level", "target", "message"] {
            assert!(line[name].is_string(), "{name} in {line}");
        }
    }
    let of = |id: &str| {
        let lines = parsed.iter().filter(|line| line["request_id"] == id);
        lines.cloned().collect::<Vec<Value>>()
    };
    let [refused] = &of("refused-1")[..] else {
        panic!("{log}")
    };
    let expected = json!({
        "timestamp": refused["timestamp"],
        "level": "INFO",
        "target": "jeton::request",
        "message": "request failed",
        "surface": "native",
        "operation": "list_users",
        "status": 403,
        "duration_ms": refused["duration_ms"],
        "code": "session_needed",
        "caller": refused["caller"],
        "token": refused["token"],
        "request_id": "refused-1",
        "trace_id": TRACE,
    });
    assert_eq!(refused, &expected);
    assert!(refused["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(
        refused["caller"].as_str().unwrap().starts_with("user-"),
        "{refused}"
    );
    assert!(
        refused["token"].as_str().unwrap().parse::<u64>().is_ok(),
        "{refused}"
    );
    let [revoked, request] = &of("revoked-1")[..] else {
        panic!("{log}")
    };
    assert_eq!(revoked["message"], "token revoked");
    assert_eq!(
        (&request["message"], &request["status"]),
        (&json!("request"), &json!(201))
    );
    assert_eq!(of("stranger-1")[0]["code"], "invalid_token");
    assert_eq!(of("stranger-1")[0].get("caller"), None);
    assert_eq!(of("last-1")[0]["operation"], "health");
    let served: Vec<_> = parsed
        .iter()
        .filter(|line| line["message"] == "serving")
        .collect();
    assert_eq!(served.len(), 1, "{log}");
    assert_eq!(served[0].get("request_id"), None);
}

#[test]
fn a_caller_that_is_refused_again_and_again_writes_few_lines_and_their_number_is_logged() {
    let home = Home::new();
    let server = home.serve();
    let mut admin = server.administrator();
    for _ in 0..300 {
        admin.get("/api/v1/tokens/999999").expect(StatusCode::NOT_FOUND);
    }
    let count = || server.stderr().matches("status=404").count();
    eventually(SOON, || (count() >= 100).then_some(())).unwrap();
    // Further lines come only as time passes.
    let before = count();
    assert!(before < 250, "{before}");
    let announced = eventually(SOON, || {
        admin.get("/api/v1/tokens/999999");
        server.stderr().contains("left_out=").then_some(())
    });
    announced.unwrap();
}

#[test]
fn failed_logins_write_few_lines_from_however_many_addresses() {
    let home = Home::new();
    home.configure("trusted_proxies = [\"127.0.0.1/32\"]\n");
    let server = home.serve();
    let begun = Instant::now();
    // Far more than the burst, and of accounts and addresses that nothing throttles.
    for number in 0..60 {
        let mut client = server
            .client()
            .with_header("x-forwarded-for", format!("192.0.{number}.1"));
        let refused = client.login(&format!("user{number}@example.org"), "a wrong guess");
        assert_eq!(refused.unwrap_err().status, 401);
    }
    let written = server.stderr().matches("login failed").count();
    let allowed = 11 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!((1..=allowed).contains(&written), "{written} of {allowed}");
}

#[test]
fn changes_by_administrators_are_logged_once_committed() {
    let home = Home::new();
    let server = home.serve();
    let mut client = server.administrator();
    let person = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    client
        .post("/api/v1/users", person.clone())
        .expect(StatusCode::CREATED);
    let again = client
        .post("/api/v1/users", person)
        .expect(StatusCode::CONFLICT)
        .json();
    assert_eq!(again["detail"], "This e-mail address belongs to another user.");
    let role = Some(json!({"role": "viewer"}).to_string());
    let path = "/api/v1/organizations/default/members/ada@example.com";
    let given = client.ask("PUT", path, role).unwrap();
    given.expect(StatusCode::NO_CONTENT);
    let order = json!({"name": "ci", "organization": "default"});
    let made = client
        .post("/api/v1/tokens", order)
        .expect(StatusCode::CREATED)
        .json();
    let path = format!("/api/v1/tokens/{}", made["token_info"]["id"].as_str().unwrap());
    client
        .post(&format!("{path}/revoke"), json!({}))
        .expect(StatusCode::CREATED);
    client
        .post(&format!("{path}/rotate"), json!({}))
        .expect(StatusCode::CONFLICT);
    let policy = json!({"policy": {"max_lifetime": "30d", "allowed_scopes": ["projects:read"]}}).to_string();
    let changed = client
        .ask("PATCH", "/api/v1/organizations/default", Some(policy))
        .unwrap();
    changed.expect(StatusCode::OK);
    let said = eventually(SOON, || {
        let said = server.stderr();
        said.contains("organization updated").then_some(said)
    })
    .unwrap();
    let about = |what: &str| {
        said.lines()
            .filter(|line| line.contains(what))
            .collect::<Vec<_>>()
    };
    for what in ["user created", "organization role set"] {
        let [line] = about(what)[..] else {
            panic!("{what}: {said}");
        };
        assert!(line.contains("INFO"), "{line}");
        assert!(line.contains("by=\"admin@example.org\""), "{line}");
        assert!(line.contains("person=ada@example.com"), "{line}");
    }
    let [line] = about("organization updated")[..] else {
        panic!("{said}");
    };
    assert!(
        line.contains("policy=max_lifetime=30d allowed_scopes=projects:read"),
        "{line}"
    );
    // No line shows how a value is written in Rust.
    for debug in ["Some(", "None", " { "] {
        assert_eq!(about(debug).len(), 0, "{said}");
    }
    assert_eq!(about("token revoked").len(), 1, "{said}");
    assert_eq!(about("rotated").len(), 0, "{said}");
    assert!(!said.contains("battery"), "{said}");
}
