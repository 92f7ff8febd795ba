//! A full disk: writes are refused, reads continue, and no restart is needed once there is space again.

use axum::http::StatusCode;

use super::super::home::Home;
use super::{
    DATABASE, Disk, Fault, JOURNAL, Token, WAL, assert_active, assert_unavailable, back_up, epoch, issue,
    names, restored,
};

/// Everything on one disk.
#[test]
fn a_full_disk_refuses_what_is_written_and_nothing_else() {
    refuses_and_recovers(&[DATABASE, WAL, JOURNAL]);
}

/// The journal's line takes the last space, and the commit fails.
#[test]
fn a_commit_without_room_takes_its_line_of_the_journal_back() {
    refuses_and_recovers(&[DATABASE, WAL]);
}

fn refuses_and_recovers(full: &[&str]) {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let mut client = server.administrator();
    let [ended, since, after, live, refused] = Token::several(&mut client);
    ended.revoke(&mut client).expect(StatusCode::CREATED);
    back_up(&home);
    since.revoke(&mut client).expect(StatusCode::CREATED);
    let before = epoch(&home);
    let segments = segments(&home);
    assert_eq!(client.get("/readyz").status, 200);

    for end in full {
        disk.plan(Fault::Full, end);
    }
    for _ in 0..3 {
        assert_unavailable(&issue(&mut client, "never"));
        assert_unavailable(&refused.revoke(&mut client));
        let unready = client.get("/readyz");
        assert_eq!(unready.status, 503);
        assert_eq!(unready.json()["status"], "the database does not accept writes");
    }
    let secret = format!("token={}", refused.secret);
    let found = server
        .client()
        .with_header("content-type", "application/x-www-form-urlencoded")
        .ask("POST", "/oauth/revoke", Some(secret))
        .unwrap();
    assert_eq!(
        (found.status, &found.json()["error"]),
        (503, &"temporarily_unavailable".into())
    );
    for (token, is_active) in [(&ended, false), (&since, false), (&live, true), (&refused, true)] {
        assert_active(&mut client, token, is_active);
    }
    client.get("/.well-known/jwks.json").expect(StatusCode::OK);
    client.get("/healthz").expect(StatusCode::OK);

    for end in full {
        let calls = disk.heal(Fault::Full, end);
        assert!(calls > 0 || *end == DATABASE, "nothing was refused to {end}");
    }
    client.get("/readyz").expect(StatusCode::OK);
    let fresh = Token::of(issue(&mut client, "fresh"));
    after.revoke(&mut client).expect(StatusCode::CREATED);
    assert_eq!(
        segments,
        self::segments(&home),
        "refused revocations have left files behind"
    );

    // Full again, and killed.
    for end in full {
        disk.plan(Fault::Full, end);
    }
    for _ in 0..3 {
        assert_unavailable(&refused.revoke(&mut client));
    }
    server.kill();
    let judge = |client: &mut super::Client| {
        for (token, is_active) in [
            (&ended, false),
            (&since, false),
            (&after, false),
            (&live, true),
            (&refused, true),
        ] {
            assert_active(client, token, is_active);
        }
    };
    let mut server = home.serve();
    let mut client = server.administrator();
    judge(&mut client);
    assert_active(&mut client, &fresh, true);
    assert!(!names(&mut client).contains(&"never".to_owned()));
    assert_eq!(epoch(&home), before, "it was taken for an older copy");
    server.kill();

    // The backup lacks later revocations, and the journal has no others.
    assert_eq!(
        restored(&home),
        "restored; revocations since the backup, repeated: 2 tokens, 0 cut-offs, 0 keys"
    );
    judge(&mut home.serve().administrator());
}

/// Orders that revoke nothing do not need the journal.
#[test]
fn without_room_for_the_journal_nothing_is_revoked_and_issuing_goes_on() {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let mut client = server.administrator();
    let [refused] = Token::several(&mut client);
    disk.plan(Fault::Full, JOURNAL);
    assert_unavailable(&refused.revoke(&mut client));
    assert_active(&mut client, &refused, true);
    let issued = Token::of(issue(&mut client, "issued"));
    assert_active(&mut client, &issued, true);
    client.get("/readyz").expect(StatusCode::OK);
    assert!(disk.heal(Fault::Full, JOURNAL) > 0);
    server.kill();

    // A torn line in the journal prevents no start.
    let server = home.serve();
    let mut client = server.administrator();
    assert_active(&mut client, &issued, true);
    refused.revoke(&mut client).expect(StatusCode::CREATED);
    assert_active(&mut client, &refused, false);
}

/// Returns the number of journal files.
fn segments(home: &Home) -> usize {
    std::fs::read_dir(home.path("jeton.db.revocations"))
        .unwrap()
        .count()
}
