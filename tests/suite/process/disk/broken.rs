//! A sync that fails: the kernel's view of the file cannot be trusted any more.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use axum::http::StatusCode;
use rustix::process::Signal;

use super::super::home::{EMAIL, Home, PASSWORD, SOON, Server, eventually};
use super::{DATABASE, Disk, Fault, JOURNAL, Token, WAL, assert_active, assert_unavailable, issue};

/// Requires that the process ended by itself with a failure.
#[track_caller]
fn assert_given_up(server: &mut Server) {
    let status = server.ended(SOON);
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(1),
        "{}",
        server.stderr()
    );
    // A thread reads its output.
    let said = || {
        let stderr = server.stderr();
        stderr
            .contains("error: the disk failed while the database was written")
            .then_some(())
    };
    assert!(eventually(SOON, said).is_some(), "{}", server.stderr());
}

/// All clients that wait for an order get an error before the process ends.
#[test]
fn a_commit_that_cannot_be_synced_is_refused_and_ends_the_server() {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let session = server.client().login(EMAIL, PASSWORD).unwrap();
    let mut client = server.client().with_token(&session);
    let [ended, live] = Token::several(&mut client);
    ended.revoke(&mut client).expect(StatusCode::CREATED);
    disk.plan(Fault::Broken, WAL);
    let all_are_connected = Barrier::new(16);
    thread::scope(|scope| {
        for number in 0..16 {
            let mut client = server.client().with_token(&session);
            let all_are_connected = &all_are_connected;
            scope.spawn(move || {
                client.get("/healthz").expect(StatusCode::OK);
                all_are_connected.wait();
                assert_unavailable(&issue(&mut client, &format!("unknown {number}")));
            });
        }
    });
    assert_given_up(&mut server);
    assert!(disk.heal(Fault::Broken, WAL) > 0);

    let server = home.serve();
    let mut client = server.administrator();
    assert_active(&mut client, &ended, false);
    assert_active(&mut client, &live, true);
    Token::of(issue(&mut client, "further"));
}

#[test]
fn a_line_of_the_journal_that_cannot_be_synced_is_refused_and_ends_the_server() {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let mut client = server.administrator();
    let [ended, live, unknown] = Token::several(&mut client);
    ended.revoke(&mut client).expect(StatusCode::CREATED);
    disk.plan(Fault::Broken, JOURNAL);
    // Orders that revoke nothing do not need the journal.
    let further = Token::of(issue(&mut client, "further"));
    assert_unavailable(&unknown.revoke(&mut client));
    assert_given_up(&mut server);
    assert!(disk.heal(Fault::Broken, JOURNAL) > 0);

    let server = home.serve();
    let mut client = server.administrator();
    assert_active(&mut client, &ended, false);
    assert_active(&mut client, &live, true);
    assert_active(&mut client, &further, true);
    unknown.revoke(&mut client).expect(StatusCode::CREATED);
    assert_active(&mut client, &unknown, false);
}

/// A checkpoint copies commits from the WAL into the database, and after the next sync that seems to
/// succeed the WAL is overwritten. No response waits for that, and no acknowledged order is lost.
#[test]
fn a_database_that_cannot_be_synced_ends_the_server_and_leaves_the_wal() {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let mut client = server.administrator();
    let [ended] = Token::several(&mut client);
    ended.revoke(&mut client).expect(StatusCode::CREATED);
    disk.plan(Fault::Broken, DATABASE);
    let mut made = Vec::new();
    for number in 0..3_000 {
        let order = format!(r#"{{"name": "made {number}", "organization": "default"}}"#);
        match client.ask("POST", "/api/v1/tokens", Some(order)) {
            Ok(answer) if answer.status == 201 => made.push(Token::of(answer)),
            Ok(answer) => {
                assert_unavailable(&answer);
                break;
            }
            Err(_) => break,
        }
    }
    assert!(disk.heal(Fault::Broken, DATABASE) > 0, "it was never synced");
    assert!(made.len() < 3_000, "it went on as if nothing was");
    assert_given_up(&mut server);
    assert!(home.path("jeton.db-wal").exists());

    let server = home.serve();
    let mut client = server.administrator();
    assert_active(&mut client, &ended, false);
    for token in &made {
        assert_active(&mut client, token, true);
    }
}

/// The sync fails while no orders arrive: closing the last connection must not sync again and delete
/// the WAL because that sync seems to succeed.
#[test]
fn a_database_that_cannot_be_synced_beside_an_idle_writer_leaves_the_wal_too() {
    const PAGES_THAT_ARE_ENOUGH: u64 = 4_000;
    const FRAME: u64 = 4_096 + 24;
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let mut client = server.administrator();
    disk.plan(Fault::Broken, DATABASE);
    let wal = home.path("jeton.db-wal");
    let mut made = Vec::new();
    let is_struck = || (disk.calls(Fault::Broken, DATABASE) > 0).then_some(());
    while is_struck().is_none() {
        made.push(Token::of(issue(&mut client, &format!("made {}", made.len()))));
        assert!(made.len() < 3_000, "it was never synced");
        if wal.metadata().unwrap().len() > (PAGES_THAT_ARE_ENOUGH - 100) * FRAME {
            // From here on the checkpoint may come after each order, and no other order arrives.
            eventually(Duration::from_millis(50), is_struck);
        }
    }
    assert_given_up(&mut server);
    assert_eq!(disk.heal(Fault::Broken, DATABASE), 1, "it was synced once more");
    assert!(wal.exists());

    let server = home.serve();
    let mut client = server.administrator();
    for token in &made {
        assert_active(&mut client, token, true);
    }
}

/// A stop during a failure exits with an error code.
#[test]
fn a_commit_that_cannot_be_synced_while_the_server_stops_is_no_ordinary_end() {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let session = server.client().login(EMAIL, PASSWORD).unwrap();
    let order = r#"{"name": "unknown", "organization": "default"}"#;
    let (most, rest) = order.split_at(order.len() - 1);
    let mut begun = TcpStream::connect(server.address).unwrap();
    begun.set_read_timeout(Some(SOON)).unwrap();
    let length = order.len();
    write!(
        begun,
        "POST /api/v1/tokens HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {session}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{most}"
    )
    .unwrap();
    server.signal(Signal::TERM);
    eventually(SOON, || TcpStream::connect(server.address).is_err().then_some(())).unwrap();
    disk.plan(Fault::Broken, WAL);
    begun.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_given_up(&mut server);
    assert!(disk.heal(Fault::Broken, WAL) > 0);
}
