//! The audit of a file: each alteration is found and named, and lines are small.

use jeton_store::suite::Backend;
use jeton_store::suite::world::{World, actor, at, revocation, token};
use jeton_store::{Audit, AuditHead, AuditSince, CHECKPOINTS_KEPT, Checkpoint, SignedHead};
use jeton_store_sqlite::{AuditExamined, AuditReader, accept_clock};
use rusqlite::Connection;

use super::Sqlite;
use jeton_core::token::{CutOff, Reach, TokenKind, TokenReference};
use jeton_store::suite::clerk::Clerk;
use jeton_store::suite::{ending, round};

fn examine(sqlite: &Sqlite, heads: &[AuditHead]) -> AuditExamined {
    let signed = |head: &AuditHead| signed(*head, 0);
    examine_at(sqlite, &heads.iter().map(signed).collect::<Vec<_>>(), 0)
}

/// Examines the audit when only lines made by an instant may be deleted.
fn examine_at(sqlite: &Sqlite, signed: &[SignedHead], ended_by: i64) -> AuditExamined {
    let reader = AuditReader::open(&sqlite.path()).unwrap();
    reader.examine(signed, at(ended_by)).unwrap()
}

/// Returns a head whose line is as old as its signature.
fn signed(head: AuditHead, seconds: i64) -> SignedHead {
    SignedHead {
        head,
        made_at: at(seconds),
        signed_at: at(seconds),
    }
}

/// Keeps a checkpoint of a head.
async fn keep(world: &World, head: AuditHead) {
    let checkpoint = Checkpoint {
        head,
        signed_at: at(60),
        kid: "first".to_owned(),
        note: "a note".to_owned(),
    };
    world.store.keep_checkpoint(checkpoint).await.unwrap();
}

async fn seal(world: &World) -> AuditHead {
    loop {
        let sealed = world.store.seal().await.unwrap();
        if !sealed.has_more {
            return sealed.head;
        }
    }
}

/// Returns a world with tokens, revocations, a cut-off and actions, all of them sealed, and the head.
async fn sealed_world(sqlite: &Sqlite) -> (World, AuditHead) {
    let world = World::new(sqlite.clone()).await;
    world.member("ada").await;
    world.team(world.organization, "ops").await;
    for number in 0..6 {
        let record = world.record(token(world.owner(), number)).await;
        if number % 2 == 0 {
            world.revoke(record.id, revocation(number, 0)).await;
        }
    }
    let cut_off = CutOff {
        reach: Reach {
            organization: Some(world.organization),
            kind: Some(TokenKind::Session),
            ..Reach::default()
        },
        issued_through: at(3).seconds(),
        effective_at: at(3),
    };
    let cut = world
        .store
        .cut_off(cut_off, actor("operator"), Some("a drill".to_owned()), at(3));
    cut.await.unwrap();
    let head = seal(&world).await;
    (world, head)
}

/// Removes what protects the rows, as the owner of the file can.
fn unprotect(raw: &Connection) {
    let mut triggers = raw
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap();
    let names: Vec<String> = triggers
        .query_map((), |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for name in names {
        raw.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
        .unwrap();
}

fn columns(raw: &Connection, table: &str) -> Vec<(String, String)> {
    let mut query = raw.prepare(&format!("PRAGMA table_info({table})")).unwrap();
    query
        .query_map((), |row| Ok((row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Columns that change while a row lives, and are no part of what a line seals: the current name, use and revocation of
/// a token.
const CHANGING: [&str; 10] = [
    "name",
    "description",
    "last_used_at",
    "last_used_from",
    "refusals",
    "last_refused_at",
    "revoked_at",
    "effective_at",
    "revoked_by",
    "revocation_reason",
];

/// Generated over the columns of all tables: whatever is altered in a sealed row or in a line is found, and the first
/// bad line is named.
#[tokio::test]
async fn an_alteration_of_any_column_of_a_sealed_row_or_line_is_found() {
    let sqlite = Sqlite::create();
    let (world, head) = sealed_world(&sqlite).await;
    let control = examine(&sqlite, &[head]);
    assert_eq!(control.flaw, None);
    assert_eq!(
        (control.lines, control.rows, control.unsealed),
        (head.sequence, head.sequence, 0)
    );
    drop(world);
    let raw = sqlite.raw();
    unprotect(&raw);
    let mut altered = 0;
    for (table, key, source) in [
        ("tokens", "id", 0),
        ("revocations", "sequence", 1),
        ("actions", "id", 2),
        ("audit", "sequence", 3),
    ] {
        for (column, kind) in columns(&raw, table) {
            // What statistics are computed from seals nothing.
            let is_statistics = column == "effective_before";
            if is_statistics || table == "tokens" && CHANGING.contains(&column.as_str()) {
                continue;
            }
            let keys: Vec<i64> = {
                let mut query = raw
                    .prepare(&format!("SELECT {key} FROM {table} ORDER BY 1"))
                    .unwrap();
                let keys = query.query_map((), |row| row.get(0)).unwrap();
                keys.map(Result::unwrap).collect()
            };
            for number in keys {
                let select = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
                let before: rusqlite::types::Value =
                    raw.query_row(&select, [number], |row| row.get(0)).unwrap();
                let changed = match kind.as_str() {
                    "INTEGER" => format!("coalesce({column}, 0) + 1000"),
                    "TEXT" => format!("coalesce({column}, '') || 'x'"),
                    _ => format!("CAST(coalesce({column}, x'') || x'00' AS BLOB)"),
                };
                // Hashes and ids have a length that is checked when they are read.
                let changed = match (table, column.as_str()) {
                    (_, "hash" | "content") => "randomblob(32)".to_owned(),
                    (_, "jti" | "epoch") => "randomblob(16)".to_owned(),
                    ("audit", "source") => "CASE source WHEN 2 THEN 1 ELSE source + 1 END".to_owned(),
                    _ => changed,
                };
                raw.execute(
                    &format!("UPDATE {table} SET {column} = {changed} WHERE {key} = ?1"),
                    [number],
                )
                .unwrap();
                let line: i64 = raw
                    .query_row(
                        "SELECT CASE ?1 WHEN 3 THEN ?2 ELSE (SELECT sequence FROM audit WHERE source = ?1 AND number = ?2) END",
                        [source, number],
                        |row| row.get(0),
                    )
                    .unwrap_or(0);
                let examined = examine(&sqlite, &[]);
                let what = format!("{table}.{column} of row {number}");
                let flaw = examined
                    .flaw
                    .unwrap_or_else(|| panic!("{what} was altered, unnoticed"));
                if table != "audit" && column != key {
                    assert_eq!(flaw.line, u64::try_from(line).unwrap(), "{what}: {flaw:?}");
                    assert!(flaw.what.contains(table), "{what}: {flaw:?}");
                }
                altered += 1;
                let now = if column == key { number + 1000 } else { number };
                raw.execute(
                    &format!("UPDATE {table} SET {column} = ?1 WHERE {key} = ?2"),
                    rusqlite::params![before, now],
                )
                .unwrap();
            }
        }
    }
    assert!(altered > 300, "{altered}");
    assert_eq!(examine(&sqlite, &[head]).flaw, None, "the control");
}

/// Deleted, exchanged and invented lines and rows.
#[tokio::test]
async fn what_is_deleted_exchanged_or_invented_is_found() {
    let last = "(SELECT max(sequence) FROM audit)";
    let cases = [
        ("DELETE FROM audit WHERE sequence = 4".to_owned(), 4, "missing"),
        ("DELETE FROM audit WHERE sequence = 1".to_owned(), 1, "missing"),
        (
            "UPDATE audit SET sequence = -1 WHERE sequence = 3; UPDATE audit SET sequence = 3 WHERE sequence = 4;
             UPDATE audit SET sequence = 4 WHERE sequence = -1"
                .to_owned(),
            3,
            "altered",
        ),
        (format!("DELETE FROM audit WHERE sequence = {last}"), 0, "missing"),
        (
            format!(
                "DELETE FROM audit WHERE sequence = {last};
                 UPDATE meta SET audit_sequence = (SELECT sequence FROM audit ORDER BY sequence DESC LIMIT 1),
                    audit_hash = (SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1)"
            ),
            0,
            "a checkpoint of",
        ),
        (
            "DELETE FROM audit WHERE sequence < 4;
             UPDATE meta SET audit_pruned_through = 3, audit_pruned_hash = zeroblob(32)"
                .to_owned(),
            4,
            "altered",
        ),
        ("DELETE FROM actions WHERE id = 2".to_owned(), 0, "row 2 of actions is missing"),
        ("DELETE FROM tokens WHERE id = 2".to_owned(), 0, "row 2 of tokens is missing"),
        (
            "DELETE FROM revocations WHERE sequence = 2".to_owned(),
            0,
            "row 2 of revocations is missing",
        ),
        (
            "UPDATE actions SET id = id + 1 WHERE id = (SELECT max(id) FROM actions)".to_owned(),
            0,
            "is missing",
        ),
        ("DELETE FROM audit_instants".to_owned(), 1, "audit_instants was altered"),
        (
            "UPDATE audit_instants SET latest = earliest".to_owned(),
            0,
            "audit_instants was altered",
        ),
        // Signed, and another line since.
        ("UPDATE audit SET hash = randomblob(32) WHERE sequence = 2".to_owned(), 2, "altered"),
    ];
    for (statement, line, reason) in cases {
        let sqlite = Sqlite::create();
        let (world, head) = sealed_world(&sqlite).await;
        drop(world);
        let raw = sqlite.raw();
        unprotect(&raw);
        raw.execute_batch(&statement).unwrap();
        let flaw = examine(&sqlite, &[head]).flaw;
        let flaw = flaw.unwrap_or_else(|| panic!("unnoticed: {statement}"));
        assert!(flaw.what.contains(reason), "{statement}: {flaw:?}");
        assert!(line == 0 || flaw.line == line, "{statement}: {flaw:?}");
    }
}

/// An action that was put between two others, below the last number that has a line, would never get one.
#[tokio::test]
async fn a_row_without_a_line_is_found() {
    let sqlite = Sqlite::create();
    let (world, head) = sealed_world(&sqlite).await;
    drop(world);
    let raw = sqlite.raw();
    unprotect(&raw);
    raw.execute_batch(
        "UPDATE sqlite_sequence SET seq = seq + 5 WHERE name = 'actions';
         INSERT INTO actions (at, action, actor) VALUES (1, 'token.update', 'nobody')",
    )
    .unwrap();
    let examined = examine(&sqlite, &[head]);
    assert_eq!((examined.flaw, examined.unsealed), (None, 1));
    let store = sqlite.try_open().unwrap();
    store.seal().await.unwrap();
    drop(store);
    raw.execute_batch(
        "INSERT INTO actions (id, at, action, actor)
         SELECT max(id) - 2, 1, 'token.update', 'nobody' FROM actions",
    )
    .unwrap();
    let flaw = examine(&sqlite, &[head]).flaw.unwrap();
    assert!(flaw.what.contains("of actions has no line"), "{flaw:?}");
}

/// Rows beyond the last number that has a line, and below the first: the sequencer never reads them.
#[tokio::test]
async fn a_row_that_the_sequencer_never_reads_is_found() {
    for (statement, found) in [
        (
            "INSERT INTO actions (at, action, actor) VALUES (1, 'token.update', 'nobody');
             UPDATE meta SET audit_actions = (SELECT max(id) FROM actions)",
            "of actions has no line",
        ),
        (
            "INSERT INTO actions (id, at, action, actor) VALUES (-1, 1, 'token.update', 'nobody')",
            "row -1 of actions has no line",
        ),
        (
            "INSERT INTO actions (id, at, action, actor) VALUES (-9223372036854775808, 1, 'token.update', 'nobody')",
            "of actions has no line",
        ),
        ("SELECT 1", ""),
    ] {
        let sqlite = Sqlite::create();
        let (world, head) = sealed_world(&sqlite).await;
        drop(world);
        let raw = sqlite.raw();
        unprotect(&raw);
        raw.execute_batch(statement).unwrap();
        let flaw = examine(&sqlite, &[head]).flaw;
        match found {
            "" => assert_eq!(flaw, None, "the control"),
            found => assert!(flaw.is_some_and(|flaw| flaw.what.contains(found)), "{statement}"),
        }
    }
}

/// The server deletes lines whose retention has ended. The owner of the file can do the same too early, with what the
/// triggers allow, but not to the checkpoints that are kept elsewhere.
#[tokio::test]
async fn lines_that_were_deleted_early_are_found() {
    let sqlite = Sqlite::create();
    let (world, head) = sealed_world(&sqlite).await;
    keep(&world, head).await;
    for number in 20..24 {
        world.record(token(world.owner(), number)).await;
    }
    let last = seal(&world).await;
    keep(&world, last).await;
    let old = signed(head, 10);
    let elsewhere = [old, signed(last, 23)];
    let pruned = world.store.prune_audit(at(10), at(500)).await.unwrap();
    assert_eq!((pruned.lines, pruned.has_more), (head.sequence, false));
    let examined = examine_at(&sqlite, &elsewhere, 10);
    assert_eq!(
        (examined.flaw, examined.pruned, examined.compared),
        (None, head, 2)
    );
    let found = |signed: &[SignedHead], ended_by| {
        let flaw = examine_at(&sqlite, signed, ended_by).flaw;
        flaw.map(|flaw| flaw.what)
    };
    // The same deletion by somebody else, while lines of the instant 10 were to be kept.
    let early = found(&elsewhere, 9).unwrap();
    assert!(early.contains("before its retention ended"), "{early}");
    // A line that was old when it was sealed, such as at an upgrade; and a clock that was set back since.
    let late = SignedHead {
        signed_at: at(400),
        ..old
    };
    assert_eq!(found(&[late, signed(last, 23)], 10), None);
    let ahead = signed(head, 4_000);
    assert_eq!(found(&[ahead, signed(last, 9)], 9), None);
    assert!(found(&[ahead, signed(last, 4_001)], 9).is_some(), "the control");
    // Nothing that was signed is left.
    let newest = found(
        &[signed(
            AuditHead {
                sequence: 3,
                hash: [0; 32],
            },
            1,
        )],
        500,
    )
    .unwrap();
    assert!(
        newest.contains("all signed lines are deleted: the newest checkpoint is of 3 lines"),
        "{newest}"
    );
    assert!(found(&[], 500).is_some());
    // The scan is on record, and lines after the last checkpoint stay.
    let next = seal(&world).await;
    assert_eq!(next.sequence, last.sequence + 1);
    let pruned = world.store.prune_audit(at(900), at(900)).await.unwrap();
    assert_eq!(pruned.lines, last.sequence - head.sequence);
    drop(world);
    let raw = sqlite.raw();
    let (action, after): (String, String) = raw
        .query_row(
            "SELECT action, after FROM actions ORDER BY id LIMIT 1",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(action, "audit.prune");
    assert!(
        after.contains(&format!(r#""through":{}"#, head.sequence)),
        "{after}"
    );
}

/// A history that was rewritten, with hashes that are right, contradicts what was signed.
#[tokio::test]
async fn a_rewritten_history_contradicts_its_checkpoint() {
    let sqlite = Sqlite::create();
    let (world, head) = sealed_world(&sqlite).await;
    drop(world);
    let raw = sqlite.raw();
    unprotect(&raw);
    raw.execute_batch(
        "UPDATE actions SET actor = 'somebody else' WHERE id = 2;
         DELETE FROM audit;
         UPDATE meta SET audit_sequence = 0, audit_hash = zeroblob(32), audit_tokens = 0, audit_revocations = 0,
            audit_actions = 0",
    )
    .unwrap();
    let store = sqlite.try_open().unwrap();
    while store.seal().await.unwrap().has_more {}
    drop(store);
    assert_eq!(
        examine(&sqlite, &[]).flaw,
        None,
        "nothing inside of the file shows it"
    );
    let flaw = examine(&sqlite, &[head]).flaw.unwrap();
    assert!(flaw.what.contains("a checkpoint has another hash"), "{flaw:?}");
    assert_eq!(flaw.line, head.sequence);
    let contradicting = AuditHead {
        sequence: 3,
        hash: [1; 32],
    };
    let other = AuditHead {
        sequence: 3,
        hash: [2; 32],
    };
    let flaw = examine(&sqlite, &[contradicting, other]).flaw.unwrap();
    assert_eq!(flaw.line, 3);
}

/// The last 1,440 checkpoints are kept: the trigger lets go of the oldest.
#[tokio::test]
async fn the_oldest_checkpoint_goes_when_there_are_enough() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let most = i64::from(CHECKPOINTS_KEPT);
    for number in 0..most + 2 {
        world.record(token(world.owner(), number)).await;
    }
    seal(&world).await;
    let raw = sqlite.raw();
    let kept = || -> (i64, i64) {
        let query = "SELECT count(*), min(size) FROM audit_checkpoints";
        raw.query_row(query, (), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    raw.execute(
        "INSERT INTO audit_checkpoints (size, hash, signed_at, kid, note)
         SELECT sequence, hash, 0, 'a', 'b' FROM audit WHERE sequence < ?1",
        [most],
    )
    .unwrap();
    for (sequence, expected) in [(most, (most, 1)), (most + 1, (most, 2)), (most + 2, (most, 3))] {
        let hash = raw
            .query_row("SELECT hash FROM audit WHERE sequence = ?1", [sequence], |row| {
                row.get(0)
            })
            .unwrap();
        let sequence = sequence.unsigned_abs();
        keep(&world, AuditHead { sequence, hash }).await;
        assert_eq!(kept(), expected);
    }
}

/// A line takes 200 bytes at most, its indexes included.
#[tokio::test]
async fn a_line_takes_200_bytes_at_most() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let size = || -> i64 {
        let raw = sqlite.raw();
        raw.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap()
    };
    for number in 0..4_000 {
        let mut new = token(world.owner(), number);
        new.created_by = actor("a.long.name.of.an.administrator@example.org");
        let record = world.record(new).await;
        if number % 4 == 0 {
            world.revoke(record.id, revocation(number, 0)).await;
        }
    }
    let before = size();
    let head = seal(&world).await;
    let lines = i64::try_from(head.sequence).unwrap();
    assert!(lines > 5_000);
    let bytes = (size() - before) * 4_096 / lines;
    assert!(bytes <= 200, "{bytes} bytes a line");
    // The control: a line has two hashes of 32 bytes.
    assert!(bytes > 64, "{bytes} bytes a line");
}

/// Accepting the clock lowers the instant by which records were deleted: lines of the time ahead need no record.
#[tokio::test]
async fn records_that_were_deleted_before_the_clock_was_set_back_are_not_missed() {
    let sqlite = Sqlite::create();
    let (world, head) = sealed_world(&sqlite).await;
    let ended = world.record(ending(&world, 60, Some(5))).await;
    seal(&world).await;
    assert_eq!(round(&world, 90).await, 1);
    assert_eq!(
        world.store.token(TokenReference::Id(ended.id)).await.unwrap(),
        None
    );
    drop(world);
    accept_clock(&sqlite.path(), at(50), &jeton_store::suite::world::Seeded)
        .unwrap()
        .unwrap();
    let store = sqlite.try_open().unwrap();
    while store.seal().await.unwrap().has_more {}
    drop(store);
    assert_eq!(examine(&sqlite, &[head]).flaw, None);
    // A record that is deleted after the clock was accepted is missed as ever.
    let raw = sqlite.raw();
    unprotect(&raw);
    raw.execute_batch("DELETE FROM audit WHERE action = 'clock.accept'")
        .unwrap();
    let flaw = examine(&sqlite, &[]).flaw.unwrap();
    assert!(flaw.what.contains("of tokens is missing"), "{flaw:?}");
}

/// Accepting the clock deletes events and alters cut-offs: all of them have lines before, and the audit stays whole.
#[tokio::test]
async fn accepting_the_clock_keeps_the_audit_whole() {
    let sqlite = Sqlite::create();
    let (world, head) = sealed_world(&sqlite).await;
    let late = world.record(token(world.owner(), 100_000)).await;
    world.publish_key("second", 100_000).await;
    world.revoke(late.id, revocation(100_001, 0)).await;
    drop(world);
    accept_clock(&sqlite.path(), at(50), &jeton_store::suite::world::Seeded)
        .unwrap()
        .unwrap();
    let store = sqlite.try_open().unwrap();
    while store.seal().await.unwrap().has_more {}
    let AuditSince::Entries { entries: new, .. } = store.audit_after(None, head.into(), 100).await.unwrap()
    else {
        panic!("nothing is pruned");
    };
    let actions: Vec<&str> = new
        .iter()
        .map(|entry| entry.line.record.action.as_ref())
        .collect();
    assert_eq!(
        actions,
        [
            "token.issue",
            "key.publish",
            "token.revoke",
            "token.revoke",
            "key.update",
            "clock.accept"
        ]
    );
    assert_eq!(examine(&sqlite, &[head]).flaw, None);
    // Lines of the time ahead go with the line that accepts the clock.
    let accepted = new.last().unwrap().line.head();
    assert!(new.first().unwrap().line.record.at > at(60), "the control");
    let checkpoint = Checkpoint {
        head: accepted,
        signed_at: at(60),
        kid: "first".to_owned(),
        note: "a note".to_owned(),
    };
    store.keep_checkpoint(checkpoint).await.unwrap();
    assert!(!store.prune_audit(at(49), at(70)).await.unwrap().has_more);
    assert_eq!(store.audit_status().await.unwrap().pruned.sequence, head.sequence);
    assert!(!store.prune_audit(at(60), at(70)).await.unwrap().has_more);
    assert_eq!(store.audit_status().await.unwrap().pruned, accepted);
}
