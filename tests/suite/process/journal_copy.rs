//! The copy of the journal, on another disk.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use super::backups::{DAILY, another, create};
use super::client::Client;
use super::home::{Home, SOON, Server, eventually};
use super::metrics::{ANY_PORT, value};
use super::restore::{issue, revoke, stop};

const COPY: &str = "[journal]\ncopy = \"other\"\n";

fn home() -> Home {
    let home = Home::new();
    home.configure(&format!("{ANY_PORT}{COPY}"));
    fs::create_dir(home.path("other")).unwrap();
    home
}

/// Returns the text of all segments in a folder.
fn text(folder: &Path) -> String {
    let mut segments: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    segments
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

fn is_complete(home: &Home) -> Option<()> {
    (text(&home.path("other")) == text(&home.path("jeton.db.revocations"))).then_some(())
}

#[track_caller]
fn assert_complete(home: &Home, server: &Server) {
    eventually(SOON, || is_complete(home)).unwrap_or_else(|| panic!("{}", server.stderr()));
}

/// Everything on the disk of the database is lost while tokens are revoked: the backups and the copy are enough.
#[test]
fn a_lost_machine_is_restored_from_a_backup_and_the_copy_of_the_journal() {
    let home = home();
    let server = home.serve();
    let mut client = server.administrator();
    let body = |number: usize| json!({"name": format!("t{number}"), "organization": "default"});
    let tokens: Vec<(String, String)> = (0..400)
        .map(|number| {
            let made = client
                .post("/api/v1/tokens", body(number))
                .expect(StatusCode::CREATED)
                .json();
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (text(&made["token_info"]["id"]), text(&made["token"]))
        })
        .collect();
    stop(server);
    create(&home);
    home.configure(&format!("{ANY_PORT}{COPY}{DAILY}"));
    let mut server = home.serve();
    let backup = another(&home, &server, &[]);

    let (early, late) = tokens[..390].split_at(40);
    let mut client = server.administrator();
    for (id, _) in early {
        revoke(&mut client, id);
    }
    assert_complete(&home, &server);
    eventually(SOON, || {
        (value(&server, "jeton_journal_copy_lag_bytes") == 0.0).then_some(())
    })
    .unwrap();
    assert!(value(&server, "jeton_journal_copy_last_success_seconds") > 1.7e9);
    assert_eq!(value(&server, "jeton_journal_copy_failures_total"), 0.0);
    let acknowledged = killed_while_revoking(&mut server, &mut client, late);
    assert!(acknowledged > 0);

    // The new machine has the private keys, the backup and the copy.
    let machine = Home::new();
    fs::create_dir(machine.path("keys")).unwrap();
    for entry in fs::read_dir(home.path("keys")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, machine.path("keys").join(path.file_name().unwrap())).unwrap();
    }
    let (backup, copy) = (home.path("backups").join(backup), home.path("other"));
    let copied = text(&copy);
    let arguments = [
        "restore",
        "--journal",
        copy.to_str().unwrap(),
        backup.to_str().unwrap(),
    ];
    let mut arguments = arguments.to_vec();
    if !copied.ends_with('\n') {
        arguments.push("--accept-torn-journal");
    }
    let restored = machine.run(&arguments);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(text(&copy), copied, "the copy is not changed");
    let server = machine.serve();
    let mut client = server.client();
    let is_copied = |id: &String| copied.contains(&format!("\"id\":{id},"));
    for (id, token) in early {
        assert!(is_copied(id));
        assert_eq!(client.current(token), 401, "{id}");
    }
    let mut lost = 0;
    for (number, (id, token)) in late.iter().enumerate() {
        let expected = if is_copied(id) { 401 } else { 200 };
        assert_eq!(client.current(token), expected, "{id}");
        lost += usize::from(number < acknowledged && !is_copied(id));
    }
    // One after the other they took a millisecond and more each; the copy is as far behind.
    println!("{acknowledged} acknowledged before the kill, {lost} of them not copied");
    assert!(lost <= acknowledged / 2, "{lost} of {acknowledged}");
    for (_, token) in &tokens[390..] {
        assert_eq!(client.current(token), 200);
    }
}

/// Revokes tokens in turn until the server is killed in between. Returns how many were acknowledged.
fn killed_while_revoking(server: &mut Server, client: &mut Client, tokens: &[(String, String)]) -> usize {
    let deadline = Instant::now() + SOON;
    let mut acknowledged = 0;
    for (id, _) in tokens {
        assert!(Instant::now() < deadline);
        if acknowledged == tokens.len() * 3 / 4 {
            server.kill();
        }
        let path = format!("/api/v1/tokens/{id}/revoke");
        match client.ask("POST", &path, Some("{}".to_owned())) {
            Ok(answer) => drop(answer.expect(StatusCode::CREATED)),
            Err(_) => return acknowledged,
        }
        acknowledged += 1;
    }
    acknowledged
}

/// What a disk that is away has missed is copied when it is back. Nobody waits for it.
#[test]
fn a_second_disk_that_fails_refuses_no_revocation_and_is_brought_up_to_date() {
    let home = home();
    let server = home.serve();
    let mut client = server.administrator();
    let tokens: Vec<_> = ["a", "b", "c"].map(|name| issue(&mut client, name)).into();
    revoke(&mut client, &tokens[0].0);
    assert_complete(&home, &server);
    fs::rename(home.path("other"), home.path("away")).unwrap();
    for (id, token) in &tokens[1..] {
        revoke(&mut client, id);
        assert_eq!(client.current(token), 401);
    }
    let failed = || value(&server, "jeton_journal_copy_failures_total") > 0.0;
    eventually(SOON, || failed().then_some(())).unwrap();
    eventually(SOON, || {
        (value(&server, "jeton_journal_copy_lag_bytes") > 0.0).then_some(())
    })
    .unwrap();
    let said = || server.stderr().contains("the journal is not copied");
    eventually(SOON, || said().then_some(())).unwrap();
    assert!(!home.path("other").exists(), "a folder on the wrong disk");
    client.get("/readyz").expect(StatusCode::OK);

    fs::rename(home.path("away"), home.path("other")).unwrap();
    assert_complete(&home, &server);
    eventually(SOON, || {
        (value(&server, "jeton_journal_copy_lag_bytes") == 0.0).then_some(())
    })
    .unwrap();
    let recovered = || server.stderr().contains("recovered: the journal is not copied");
    eventually(SOON, || recovered().then_some(())).unwrap();
    // What a command beside the server revokes is copied too, and what the stop appends.
    let keys = home.run(&["keys", "list"]).stdout;
    let kid = keys.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let revoked = home.run(&["keys", "revoke", &kid, "--reason", "leaked"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_complete(&home, &server);
    assert!(text(&home.path("other")).contains(&kid));
    stop(server);
    assert!(is_complete(&home).is_some(), "the stop is not in the copy");
}

#[test]
fn the_folder_of_the_journal_is_refused_as_its_copy() {
    let home = Home::new();
    home.configure("[journal]\ncopy = \"./jeton.db.revocations\"\n");
    let words = "./jeton.db.revocations is the journal itself: choose a folder on another disk";
    let is_refused = || {
        for arguments in [
            &["serve", "--check-config"][..],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let refused = home.run(arguments);
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert!(refused.stderr.contains(words), "{refused:?}");
        }
    };
    is_refused();
    // The password of the administrator would have been shown to nobody.
    assert!(!home.path("jeton.db").exists());
    home.configure("");
    stop(home.serve());
    home.configure("[journal]\ncopy = \"./jeton.db.revocations\"\n");
    is_refused();
}

/// Revocations reach the copy within milliseconds, not at an interval.
#[test]
fn a_revocation_is_copied_soon_after_its_answer() {
    let home = home();
    let server = home.serve();
    let mut client = server.administrator();
    let mut waits = Vec::new();
    for number in 0..20 {
        let (id, _) = issue(&mut client, &format!("t{number}"));
        revoke(&mut client, &id);
        let answered = Instant::now();
        eventually(SOON, || {
            text(&home.path("other"))
                .contains(&format!("\"id\":{id},"))
                .then_some(())
        })
        .unwrap();
        waits.push(answered.elapsed());
    }
    waits.sort();
    println!("{waits:?}");
    assert!(waits[10] < Duration::from_millis(100), "{waits:?}");
    stop(server);
}
