//! The audit of a real server: sealed after a kill, signed, kept elsewhere, and verified by the command.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::home::{EMAIL, Finished, Home, SOON, Server, eventually};
use super::metrics::{ANY_PORT, value};
use super::restore::{issue, lose, revoke, stop};

const KEPT: &str = "[audit]\ncheckpoints = \"checkpoints\"\n";

fn home() -> Home {
    let home = Home::new();
    home.configure(&format!("{ANY_PORT}{KEPT}"));
    home
}

const VERIFY: [&str; 4] = ["audit", "verify", "--checkpoints", "checkpoints"];

fn verify(home: &Home) -> Finished {
    home.run(&VERIFY)
}

#[track_caller]
fn is_whole(home: &Home) -> String {
    let verified = verify(home);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stdout.contains("the audit is whole"), "{verified:?}");
    verified.stdout
}

/// Returns the rows without a line, those with one, and the checkpoints.
fn counts(home: &Home) -> (i64, i64, i64) {
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    raw.query_row(
        "SELECT (SELECT count(*) FROM tokens WHERE id > audit_tokens)
            + (SELECT count(*) FROM revocations WHERE revocations.sequence > audit_revocations)
            + (SELECT count(*) FROM actions WHERE id > audit_actions),
            (SELECT count(*) FROM audit), (SELECT count(*) FROM audit_checkpoints) FROM meta",
        (),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
    .unwrap()
}

fn checkpoints(home: &Home) -> usize {
    let text = fs::read_to_string(home.path("checkpoints")).unwrap_or_default();
    text.matches("\n\n\u{2014} ").count()
}

#[track_caller]
fn wait_for_checkpoint(home: &Home, server: &Server, number: usize) {
    let there = eventually(SOON, || (checkpoints(home) >= number).then_some(()));
    there.unwrap_or_else(|| panic!("{}", server.stderr()));
}

#[test]
fn what_was_committed_before_a_kill_is_sealed_by_the_next_start() {
    let home = home();
    let mut server = home.serve();
    let mut client = server.administrator();
    wait_for_checkpoint(&home, &server, 1);
    // Killed at once: the sequencer has mostly not come to the last of them.
    for number in 0..20 {
        let (id, _) = issue(&mut client, &format!("token {number}"));
        revoke(&mut client, &id);
    }
    server.kill();
    drop(server);
    // One at the least has no line, however fast the sequencer was.
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    raw.execute_batch(
        "INSERT INTO actions (at, action, actor) SELECT max(at), 'user.update', 'last' FROM actions",
    )
    .unwrap();
    drop(raw);
    let (unsealed, sealed, _) = counts(&home);
    assert!(unsealed > 0);
    let text = is_whole(&home);
    assert!(
        text.contains(&format!("{unsealed} records have no line yet")),
        "{text}"
    );
    let server = home.serve();
    eventually(SOON, || (counts(&home).0 == 0).then_some(())).unwrap();
    assert_eq!(counts(&home).1, sealed + unsealed);
    wait_for_checkpoint(&home, &server, 2);
    let text = is_whole(&home);
    assert!(text.contains("every record has a line"), "{text}");
    assert!(value(&server, "jeton_audit_lines") >= 40.0);
    assert_eq!(value(&server, "jeton_audit_checkpoint_failures_total"), 0.0);
    assert!(value(&server, "jeton_audit_last_checkpoint_seconds") > 1.7e9);
    stop(server);
    is_whole(&home);
}

/// A database of an earlier version, or a server that was not able to seal: neither the first checkpoint nor the stop
/// waits for the end of the backlog.
#[test]
fn a_backlog_delays_neither_checkpoints_nor_the_stop() {
    const BACKLOG: i64 = 150_000;
    let home = home();
    stop(home.serve());
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    raw.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
         INSERT INTO actions (at, action, actor) SELECT n, 'user.update', 'somebody' FROM numbers",
        [BACKLOG],
    )
    .unwrap();
    drop(raw);
    let before = checkpoints(&home);
    let server = home.serve();
    wait_for_checkpoint(&home, &server, before + 1);
    let text = fs::read_to_string(home.path("checkpoints")).unwrap();
    let sizes: Vec<i64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(sizes.iter().all(|size| *size < BACKLOG), "{sizes:?}");
    stop(server);
    let (unsealed, ..) = counts(&home);
    assert!(unsealed > 0, "the server has sealed all of it before it stopped");
    let text = is_whole(&home);
    assert!(
        text.contains(&format!("{unsealed} records have no line yet")),
        "{text}"
    );
}

/// A checkpoint that was kept, and not delivered before the server ended, is delivered by the next start.
#[test]
fn the_last_checkpoint_is_delivered_at_the_start() {
    let home = home();
    stop(home.serve());
    let server = home.serve();
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    let signed = "SELECT audit_sequence = (SELECT max(size) FROM audit_checkpoints) FROM meta";
    eventually(SOON, || {
        let signed: Option<bool> = raw.query_row(signed, (), |row| row.get(0)).unwrap();
        signed.filter(|signed| *signed).map(drop)
    })
    .unwrap();
    stop(server);
    drop(raw);
    fs::remove_file(home.path("checkpoints")).unwrap();
    let (.., kept) = counts(&home);
    let server = home.serve();
    wait_for_checkpoint(&home, &server, 1);
    stop(server);
    assert_eq!(counts(&home).2, kept, "the control: nothing was signed");
}

/// What the owner of the database does to hide something.
#[test]
fn an_altered_audit_is_named_by_the_command() {
    let home = home();
    let server = home.serve();
    let mut client = server.administrator();
    let (id, _) = issue(&mut client, "hidden");
    revoke(&mut client, &id);
    stop(server);
    let server = home.serve();
    wait_for_checkpoint(&home, &server, 2);
    stop(server);
    is_whole(&home);
    let kept = fs::read(home.path("jeton.db")).unwrap();
    for (statement, found) in [
        ("UPDATE actions SET actor = 'nobody' WHERE id = 2", "row 2 of actions was altered"),
        ("DELETE FROM tokens", "of tokens is missing"),
        (
            "UPDATE meta SET audit_pruned_through = first.size, audit_pruned_hash = first.hash,
                audit_actions_pruned = (SELECT max(number) FROM audit WHERE source = 2 AND sequence <= first.size)
             FROM (SELECT size, hash FROM audit_checkpoints ORDER BY size LIMIT 1) AS first;
             DELETE FROM audit WHERE sequence <= (SELECT audit_pruned_through FROM meta);
             DELETE FROM actions WHERE id <= (SELECT audit_actions_pruned FROM meta)",
            "was deleted before its retention ended",
        ),
        ("UPDATE audit SET actor = 'nobody' WHERE sequence = 3", "line 3: the line was altered"),
        (
            "DELETE FROM audit WHERE sequence > 3; DELETE FROM audit_checkpoints; UPDATE meta SET audit_sequence = 3,
             audit_hash = (SELECT hash FROM audit WHERE sequence = 3)",
            "lines are missing: a checkpoint of",
        ),
        (
            "UPDATE audit_checkpoints SET note = replace(note, '/audit', '/other')",
            "in the database: it is of `",
        ),
    ] {
        let raw = Connection::open(home.path("jeton.db")).unwrap();
        let triggers: Vec<String> = {
            let mut query = raw
                .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
                .unwrap();
            let names = query.query_map((), |row| row.get(0)).unwrap();
            names.map(Result::unwrap).collect()
        };
        for trigger in triggers {
            raw.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
        }
        raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        raw.execute_batch(statement).unwrap();
        raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(raw);
        let verified = verify(&home);
        assert_eq!(verified.code, Some(1), "{statement}: {verified:?}");
        assert!(verified.stdout.contains(found), "{statement}: {verified:?}");
        lose(&home);
        fs::write(home.path("jeton.db"), &kept).unwrap();
        fs::set_permissions(home.path("jeton.db"), Permissions::from_mode(0o600)).unwrap();
    }
}

/// A restore is on record, and contradicts the checkpoints of what it has lost.
#[test]
fn a_restore_is_on_record_and_contradicts_later_checkpoints() {
    let home = home();
    let server = home.serve();
    let mut client = server.administrator();
    wait_for_checkpoint(&home, &server, 1);
    assert_eq!(home.run(&["backup", "backup.db"]).code, Some(0));
    issue(&mut client, "lost");
    stop(server);
    let server = home.serve();
    wait_for_checkpoint(&home, &server, 2);
    stop(server);
    lose(&home);
    assert_eq!(home.run(&["restore", "backup.db"]).code, Some(0));
    stop(home.serve());
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    let restored: i64 = raw
        .query_row(
            "SELECT count(*) FROM audit WHERE action = 'deployment.restore'",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(restored, 1);
    drop(raw);
    // The file in the configuration is compared without being named.
    for arguments in [["audit", "verify"].as_slice(), &VERIFY] {
        let verified = home.run(arguments);
        assert_eq!(verified.code, Some(1), "{verified:?}");
        let found = [
            "a checkpoint has another hash",
            "lines are missing: a checkpoint of",
            "contradict each other",
        ];
        assert!(
            found.iter().any(|found| verified.stdout.contains(found)),
            "{verified:?}"
        );
        assert!(
            verified.stdout.contains("compared with the checkpoints in "),
            "{verified:?}"
        );
    }
    // Without the file of before, the restored chain is whole.
    fs::rename(home.path("checkpoints"), home.path("checkpoints-before")).unwrap();
    let verified = home.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(
        verified.stdout.contains("the database's own checkpoints only"),
        "{verified:?}"
    );
}

/// Failed logins are one action, with their number; the account is named, and the password is not.
#[test]
fn failed_logins_are_counted_in_the_audit() {
    let home = home();
    let server = home.serve();
    for (email, password) in [
        (EMAIL, "a wrong password"),
        (EMAIL, "another wrong one"),
        ("my secret password", "x"),
    ] {
        assert!(server.client().login(email, password).is_err());
    }
    stop(server);
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    let mut query = raw
        .prepare(
            "SELECT target, json_extract(after, '$.count'), json_extract(after, '$.network') FROM actions
             WHERE action = 'login.failed' ORDER BY target",
        )
        .unwrap();
    let failed: Vec<(Option<String>, i64, String)> = query
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        failed,
        [
            (None, 1, "127.0.0.1".to_owned()),
            (Some(EMAIL.to_owned()), 2, "127.0.0.1".to_owned())
        ]
    );
    is_whole(&home);
}

/// An address gets each checkpoint as text, again after a failure.
#[test]
fn a_checkpoint_is_posted_to_an_address_until_it_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (taken, posted) = mpsc::channel();
    thread::spawn(move || {
        for (connection, status) in listener
            .incoming()
            .zip(["503 Service Unavailable", "204 No Content"])
        {
            let mut connection = connection.unwrap();
            connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut received = Vec::new();
            let mut buffer = [0; 4096];
            // The body ends with the line of the signature.
            let request = loop {
                let read = connection.read(&mut buffer).unwrap();
                received.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&received).into_owned();
                if text.contains("\n\n\u{2014} ") && text.ends_with('\n') {
                    break text;
                }
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            connection.write_all(answer.as_bytes()).unwrap();
            taken.send(request).unwrap();
        }
    });
    let home = Home::new();
    home.configure(&format!(
        "{ANY_PORT}[audit]\ncheckpoints = \"http://127.0.0.1:{port}/path\"\n"
    ));
    let server = home.serve();
    let first = posted.recv_timeout(SOON).unwrap();
    assert!(first.starts_with("POST /path HTTP/1.1\r\n"), "{first}");
    assert!(
        first.contains("content-type: text/plain; charset=utf-8"),
        "{first}"
    );
    assert!(first.contains("\n\n\u{2014} 127.0.0.1:"), "{first}");
    eventually(SOON, || {
        (value(&server, "jeton_audit_checkpoint_failures_total") == 1.0).then_some(())
    })
    .unwrap();
    assert!(server.stderr().contains("status 503"), "{}", server.stderr());
    let second = posted.recv_timeout(SOON + Duration::from_secs(15)).unwrap();
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&first), body(&second));
    stop(server);
}
