//! Bulk revocation: an acknowledged order is carried out, also after a crash.

use jeton_core::token::{Filter, Visibility};
use rusqlite::Connection;
use serde_json::json;

use super::home::{Home, SOON, eventually};

#[test]
fn an_order_is_carried_out_after_a_kill() {
    const MANY: u64 = 1_100;
    let home = Home::new();
    let mut server = home.serve();
    let mut secrets = Vec::new();
    let mut client = server.administrator();
    let body = json!({"name": "doomed", "organization": "default", "owner": "organization", "scopes": []});
    for _ in 0..MANY {
        let answer = client.post("/api/v1/tokens", body.clone()).json();
        secrets.push(answer["token"].as_str().unwrap().to_owned());
    }
    let order = json!({"organization": "default", "q": "doomed", "reason": "storm"});
    let ordered = client.post("/api/v1/tokens/revoke", order).json();
    server.kill();
    assert_eq!(ordered["matched"], MANY);
    let path = format!("/api/v1/tokens/revoke/{}", ordered["id"].as_str().unwrap());

    let server = home.serve();
    let mut client = server.administrator();
    let done = eventually(SOON, || {
        let shown = client.get(&path).json();
        (!shown["finished_at"].is_null()).then_some(shown)
    });
    assert_eq!(done.unwrap()["revoked"], MANY, "each once");
    for secret in secrets.iter().step_by(100) {
        assert_eq!(client.current(secret), 401);
    }
}

/// The process may be killed before it begins the order.
#[test]
fn an_order_is_carried_out_after_a_crash_before_its_start() {
    let home = Home::new();
    let server = home.serve();
    let mut client = server.administrator();
    let body = json!({"name": "doomed", "organization": "default", "owner": "organization", "scopes": []});
    let made = client.post("/api/v1/tokens", body).json();
    let doomed = Filter {
        text: Some("doomed".to_owned()),
        ..Filter::of(Visibility::Everything)
    };
    let doomed = serde_json::to_string(&doomed).unwrap();
    let taken_down =
        "INSERT INTO bulk_revocations (filter, through, position, matched, revoked, ordered_at, actor, last_may_go)
        SELECT ?1, max(id), 0, 1, 0, 1, 'somebody', 0 FROM tokens";
    let database = Connection::open(home.path("jeton.db")).unwrap();
    assert_eq!(database.execute(taken_down, [doomed]).unwrap(), 1);
    let revoked = eventually(SOON, || {
        let refused = client.current(made["token"].as_str().unwrap()) == 401;
        refused.then_some(())
    });
    assert!(revoked.is_some());
}
