//! Another process holds the database's write lock.

use std::thread;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use rusqlite::Connection;
use serde_json::json;

use super::home::{Home, eventually};

/// How long a write waits for the lock, with a margin for a busy machine.
const WAITS: Duration = Duration::from_secs(15);

#[test]
fn a_write_waits_for_another_process_then_fails_as_busy_while_reads_succeed() {
    let home = Home::new();
    let server = home.serve();
    let mut client = server.administrator();
    let body = json!({"name": "n", "organization": "default"});
    let made = client
        .post("/api/v1/tokens", body.clone())
        .expect(StatusCode::CREATED)
        .json();
    let token = made["token"].as_str().unwrap();
    let other = Connection::open(home.path("jeton.db")).unwrap();

    // Held for ever: the write is refused with `Retry-After` and has not happened.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let order = body.clone();
        let write = scope.spawn(move || {
            let begun = Instant::now();
            (client.post("/api/v1/tokens", order), begun.elapsed(), client)
        });
        let mut reader = server.client().with_token(token);
        while !write.is_finished() {
            let begun = Instant::now();
            assert_eq!(reader.get("/api/v1/tokens/current").status, 200);
            assert!(begun.elapsed() < Duration::from_secs(2));
        }
        let (refused, took, mut client) = write.join().unwrap();
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
        assert!(took < WAITS && took > Duration::from_secs(1), "{took:?}");
        other.execute_batch("ROLLBACK").unwrap();
        let list = client.get("/api/v1/tokens").expect(StatusCode::OK).json();
        assert_eq!(list["items"].as_array().unwrap().len(), 1);

        // Held briefly: the write waits.
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let write = scope.spawn(move || client.post("/api/v1/tokens", body));
        let early = eventually(Duration::from_millis(500), || write.is_finished().then_some(()));
        assert!(early.is_none(), "it did not need the lock");
        other.execute_batch("ROLLBACK").unwrap();
        write.join().unwrap().expect(StatusCode::CREATED);
    });
}
