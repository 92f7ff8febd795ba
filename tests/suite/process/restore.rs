//! `jeton backup` and `jeton restore`, as an operator uses them.

use std::fs;
use std::time::Duration;

use axum::http::StatusCode;
use rusqlite::Connection;
use rusqlite::backup::Backup;
use rustix::process::Signal;
use serde_json::json;

use super::client::Client;
use super::home::{Home, SOON, Server};

pub(super) fn stop(mut server: Server) {
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
}

/// Creates a token and returns its number and secret.
pub(super) fn issue(client: &mut Client, name: &str) -> (String, String) {
    let body = json!({"name": name, "organization": "default"});
    let made = client
        .post("/api/v1/tokens", body)
        .expect(StatusCode::CREATED)
        .json();
    let id = made["token_info"]["id"].as_str().unwrap().to_owned();
    (id, made["token"].as_str().unwrap().to_owned())
}

pub(super) fn revoke(client: &mut Client, id: &str) {
    let path = format!("/api/v1/tokens/{id}/revoke");
    client.post(&path, json!({})).expect(StatusCode::CREATED);
}

pub(super) fn lose(home: &Home) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("jeton.db{end}")));
    }
}

/// After a backup of a running server and a lost disk, the restore brings back everything except
/// revoked tokens.
#[test]
fn revocations_since_the_backup_are_repeated() {
    let home = Home::new();
    let mut server = home.serve();
    let mut client = server.administrator();
    let (before_id, before) = issue(&mut client, "before");
    let (since_id, since) = issue(&mut client, "since");
    let (_, live) = issue(&mut client, "live");
    let person = json!({"email": "bob@example.org", "password": "correct horse battery staple"});
    client.post("/api/v1/users", person).expect(StatusCode::CREATED);
    revoke(&mut client, &before_id);
    let made = home.run(&["backup", "backup.db"]);
    assert_eq!(
        (made.code, made.stdout.as_str(), made.stderr.as_str()),
        (Some(0), "backup.db\n", "")
    );
    let again = home.run(&["backup", "backup.db"]);
    assert_eq!(again.code, Some(1));
    assert_eq!(
        again.stderr,
        "error: backup.db already exists and is not overwritten: move it away, or give another name\n"
    );
    revoke(&mut client, &since_id);
    let (lost_id, lost) = issue(&mut client, "lost");
    revoke(&mut client, &lost_id);
    let disable = Some(json!({"disabled": true}).to_string());
    let disabled = client
        .ask("PATCH", "/api/v1/users/bob@example.org", disable)
        .unwrap();
    let bob = disabled.expect(StatusCode::OK).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let beside = home.run(&["restore", "backup.db"]);
    assert_eq!(beside.code, Some(1));
    assert!(beside.stderr.contains("another server is running"), "{beside:?}");
    server.kill();
    let in_the_way = home.run(&["restore", "backup.db"]);
    assert_eq!(in_the_way.code, Some(1));
    assert_eq!(
        in_the_way.stderr,
        "error: jeton.db already exists and is not overwritten: move it away, or give another name\n"
    );
    lose(&home);

    let restored = home.run(&["restore", "backup.db"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let checked = home.run(&["journal", "check"]);
    assert_eq!(checked.stdout, "the journal is whole\n", "{checked:?}");
    let told: Vec<&str> = restored.stdout.lines().collect();
    assert_eq!(
        told[0],
        "restored; revocations since the backup, repeated: 2 tokens, 1 cut-offs, 0 keys"
    );
    assert_eq!(told[1], format!("cut off: user bob@example.org ({bob})"));
    let [.., data, end] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(data.starts_with("all data except revocations, cut-offs and keys is as it was at the backup"));
    assert!(end.starts_with("the journal ends with the event "), "{end}");
    let server = home.serve();
    let mut client = server.client();
    for refused in [&before, &since, &lost] {
        assert_eq!(client.current(refused), 401);
    }
    assert_eq!(client.current(&live), 200);
    stop(server);
    // After the restore it starts normally.
    stop(home.serve());
}

/// Without the journal a restore is refused, and so is a backup copied by hand; with the operator's
/// flag all tokens are revoked, and a new key signs new ones.
#[test]
fn without_the_journal_every_token_is_ended_or_nothing_is_served() {
    let home = Home::new();
    let mut server = home.serve();
    let mut client = server.administrator();
    let (_, live) = issue(&mut client, "live");
    let (since_id, since) = issue(&mut client, "since");
    assert_eq!(home.run(&["backup", "backup.db"]).code, Some(0));
    revoke(&mut client, &since_id);
    server.kill();
    lose(&home);
    fs::remove_dir_all(home.path("jeton.db.revocations")).unwrap();

    let refused = home.run(&["restore", "backup.db"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    for words in ["backup.db", "jeton.db.revocations", "--cut-off-missing"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert!(!home.path("jeton.db").exists());
    fs::copy(home.path("backup.db"), home.path("jeton.db")).unwrap();
    let served = super::home::finish(home.serve_command(), "");
    assert_eq!(served.code, Some(1));
    assert!(served.stderr.contains("--cut-off-missing"), "{served:?}");
    lose(&home);

    let restored = home.run(&["restore", "--cut-off-missing", "backup.db"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(
        restored.stdout.starts_with(
            "restored; revocations since the backup, repeated: 0 tokens, 1 cut-offs, 1 keys\ncut off: everything\n"
        ),
        "{restored:?}"
    );
    let server = home.serve();
    let mut client = server.administrator();
    for refused in [&live, &since] {
        assert_eq!(client.current(refused), 401);
    }
    let (_, fresh) = issue(&mut client, "fresh");
    assert_eq!(client.current(&fresh), 200);
    let keys = home.run(&["keys", "list"]).stdout;
    assert!(keys.contains("withdrawn") && keys.contains("signing"), "{keys}");
    stop(server);
}

/// Copies a database over another one, also while a process has it open.
fn copy_over(from: &Home, source: &str, target: &str) {
    let source = Connection::open(from.path(source)).unwrap();
    let mut target = Connection::open(from.path(target)).unwrap();
    let copy = Backup::new(&source, &mut target).unwrap();
    copy.run_to_completion(1_000, Duration::from_millis(10), None)
        .unwrap();
}

/// An older copy is put into the place of the database under a server that has followed its feed further: the
/// server ends and says why, and the next one repeats what the copy has lost.
#[test]
fn an_older_copy_under_a_running_server_ends_it() {
    let home = Home::new();
    let mut server = home.serve();
    let mut client = server.administrator();
    let tokens = ["one", "two", "three"].map(|name| issue(&mut client, name));
    revoke(&mut client, &tokens[0].0);
    copy_over(&home, "jeton.db", "older.db");
    revoke(&mut client, &tokens[1].0);
    assert_eq!(client.current(&tokens[2].1), 200);
    copy_over(&home, "older.db", "jeton.db");

    let status = server.ended(SOON).unwrap();
    assert_eq!(status.code(), Some(1));
    let said = server.stderr();
    let failure =
        "error: the database was replaced by an older copy or has lost commits while it was served: ";
    assert!(said.contains(failure), "{said}");

    let server = home.serve();
    let mut client = server.client();
    let found = tokens.each_ref().map(|(_, token)| client.current(token));
    assert_eq!(found, [401, 401, 200]);
}
