//! Writes that the schema refuses from any program, such as the sqlite3 shell, and the writer under contention.

use jeton_core::token::TokenReference;
use jeton_store::Medium;
use jeton_store::StoreError;
use jeton_store::suite::clerk::Clerk;
use jeton_store::suite::clerk::{RecordOrder, RecordOutcome};
use rusqlite::Connection;

use super::Sqlite;
use jeton_store::suite::Backend;
use jeton_store::suite::world::{World, at, removal, reserve_and_record, revocation, token};

fn refused(connection: &Connection, statement: &str) -> String {
    match connection.execute_batch(statement) {
        Ok(()) => panic!("not refused: {statement}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_is_revoked_stays_revoked() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let mut endless = token(world.owner(), 0);
    endless.expires_at = None;
    let endless = world.record(endless).await;
    let record = world.record(token(world.owner(), 0)).await;
    world.revoke(record.id, revocation(1, 5)).await;
    let raw = sqlite.raw();
    let doors = [
        ("UPDATE tokens SET revoked_at = NULL, effective_at = NULL, revoked_by = NULL", "cleared"),
        ("UPDATE tokens SET effective_at = effective_at + 1", "postponed"),
        ("UPDATE tokens SET effective_at = NULL WHERE id = 2", "cleared"),
        ("DELETE FROM tokens WHERE id = 1", "until the token has expired"),
        ("DELETE FROM tokens WHERE id = 2", "until the token has expired"),
        ("UPDATE tokens SET expires_at = 1", "signed with"),
        ("UPDATE tokens SET jti = randomblob(16) WHERE id = 1", "signed with"),
        ("UPDATE tokens SET status_index = 1", "signed with"),
        ("UPDATE tokens SET scopes = 'all'", "signed with"),
        ("UPDATE revocations SET effective_at = effective_at + 1", "stays as it is"),
        ("DELETE FROM revocations", "stays"),
        (
            "INSERT INTO revocations SELECT sequence + 2, epoch, kind, recorded_at, effective_at, actor, actor_user,
                reason, token, jti, status_list, status_index, expires_at, organization, team, user, project, kid,
                session, issued_through_seconds, hash, actor_token, surface, address, request_id, on_behalf_of,
                effective_before
                FROM revocations",
            "no gap",
        ),
        ("INSERT OR REPLACE INTO revocations SELECT * FROM revocations", "no gap"),
        ("UPDATE status_lists SET used = used - 1", "given once"),
        ("UPDATE status_lists SET permutation_key = zeroblob(16)", "given once"),
        ("DELETE FROM status_lists", "stays"),
        ("DELETE FROM keys", "stays"),
        ("UPDATE keys SET state = 'published'", "earlier state"),
        ("UPDATE keys SET state = 'gone'", "something it signed lives"),
        ("UPDATE keys SET needed_until = 0", "does not come sooner"),
        ("UPDATE keys SET public_jwk = '{\"kty\":\"theirs\"}'", "does not change"),
        (
            "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
                VALUES ('theirs', 'ES256', '{}', 'signing', 0, 0, 0)",
            "UNIQUE",
        ),
        (
            "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
                VALUES ('early', 'ES256', '{}', 'published', 0, 0, 5);
             UPDATE keys SET state = 'signing', changed_at = 4 WHERE kid = 'early'",
            "before every copy",
        ),
        ("INSERT INTO projects (id, organization, name, canonical_name, created_at)
            VALUES (2147483648, 1, 'a', 'a', 0)", "CHECK"),
        ("UPDATE tokens SET session = 1", "signed with"),
        ("UPDATE tokens SET slot = 'ci'", "comes from"),
        ("UPDATE tokens SET surface = 1", "comes from"),
        ("UPDATE tokens SET request_id = 'other'", "comes from"),
        ("UPDATE actions SET actor = 'nobody'", "an action stays"),
        ("DELETE FROM actions", "an action stays"),
        ("UPDATE tokens SET rotated_from = 1 WHERE id = 2", "comes from"),
    ];
    for (statement, reason) in doors {
        let refusal = refused(&raw, statement);
        assert!(refusal.contains(reason), "{statement}: {refusal}");
    }
    // A revocation may be brought forward, and an expired record may be deleted.
    raw.execute_batch("UPDATE tokens SET effective_at = effective_at - 1 WHERE id = 2")
        .unwrap();
    let mut expired = token(world.owner(), 0);
    expired.created_at = at(-1_000_000_000);
    expired.expires_at = Some(at(-900_000_000));
    let expired = world.record(expired).await;
    // Deletable only once retention has recorded its instant: no trigger reads a clock.
    assert!(
        refused(&raw, &format!("DELETE FROM tokens WHERE id = {}", expired.id)).contains("until the token")
    );
    raw.execute("UPDATE meta SET purged_through = ?1", [at(-900_000_000).millis()])
        .unwrap();
    // And once the audit has sealed it.
    let delete = format!("DELETE FROM tokens WHERE id = {}", expired.id);
    assert!(refused(&raw, &delete).contains("the audit has sealed it"));
    while world.store.seal().await.unwrap().has_more {}
    let lines = [
        ("UPDATE audit SET actor = 'nobody'", "stays as it is"),
        ("DELETE FROM audit", "stays"),
        (
            "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
            "stays",
        ),
        ("UPDATE meta SET audit_pruned_through = 2", "line by line"),
        (
            "UPDATE meta SET audit_sequence = audit_sequence - 1",
            "never goes back",
        ),
        ("UPDATE meta SET audit_tokens = 0", "never goes back"),
        (
            "INSERT INTO audit_checkpoints (size, hash, signed_at, kid, note) VALUES (2, zeroblob(32), 0, 'a', 'b')",
            "a head of the chain",
        ),
        (
            "UPDATE meta SET audit_actions_pruned = audit_actions",
            "while its line does",
        ),
        ("DELETE FROM audit_checkpoints", "a checkpoint stays"),
        ("DELETE FROM audit_instants", "every line"),
        ("UPDATE audit_instants SET latest = latest - 1", "every line"),
    ];
    raw.execute_batch(
        "INSERT INTO audit_checkpoints (size, hash, signed_at, kid, note)
         SELECT sequence, hash, 0, 'a', 'b' FROM audit WHERE sequence < 3",
    )
    .unwrap();
    for (statement, reason) in lines {
        let refusal = refused(&raw, statement);
        assert!(refusal.contains(reason), "{statement}: {refusal}");
    }
    raw.execute(&delete, ()).unwrap();
    let read = world.store.token(TokenReference::Id(endless.id)).await.unwrap();
    assert_eq!(read, Some(endless));
    // The id of the deleted record is not reused.
    let next = world.record(token(world.owner(), 2)).await;
    assert!(next.id > expired.id);
}

#[tokio::test]
async fn what_was_removed_stays_removed() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let doomed = world.organization("doomed").await;
    world.team(doomed, "web").await;
    let ada = world.person("ada").await;
    let generation = world.generation().await;
    world
        .store
        .remove_organization(doomed, removal(1), generation)
        .await
        .unwrap();
    let generation = world.generation().await;
    world
        .store
        .remove_person(ada, removal(1), generation)
        .await
        .unwrap();
    let raw = sqlite.raw();
    for table in ["organizations", "teams", "users"] {
        let refusal = refused(&raw, &format!("UPDATE {table} SET deleted_at = NULL"));
        assert!(refusal.contains("stays removed"), "{table}: {refusal}");
    }
    let hashes: i64 = raw
        .query_row(
            "SELECT count(*) FROM users WHERE deleted_at IS NOT NULL AND password_hash <> ''",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(hashes, 0, "a hash outlives its person");
}

/// A statement that the schema refuses fails its own order and no other in the batch.
#[tokio::test]
async fn a_refused_insert_harms_no_neighbour() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    sqlite
        .raw()
        .execute_batch(
            "CREATE TRIGGER breaks BEFORE INSERT ON tokens WHEN NEW.name = 'breaks'
             BEGIN SELECT RAISE(ABORT, 'as the test wants it'); END",
        )
        .unwrap();
    let generation = world.generation().await;
    let order = |name: &str| {
        let mut token = token(world.owner(), 0);
        token.name = name.to_owned();
        let order = RecordOrder {
            token,
            versions: generation,
            limits: Vec::new(),
            unique_name: false,
            rotation: None,
        };
        reserve_and_record(&world.store, order)
    };
    let (one, breaks, two) = tokio::join!(order("one"), order("breaks"), order("two"));
    assert!(matches!(one, Ok(RecordOutcome::Recorded(_))));
    assert!(breaks.is_err());
    assert!(matches!(two, Ok(RecordOutcome::Recorded(_))));
}

/// A WAL left by a failed sync may exist only in the kernel's memory, so it is written again.
#[tokio::test]
async fn the_wal_that_is_found_is_written_anew() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    world.record(token(world.owner(), 1)).await;
    let store = sqlite.try_open().unwrap();
    let wal = sqlite.path().with_extension("db-wal");
    let before = std::fs::read(&wal).unwrap();
    assert!(!before.is_empty());
    let file = std::fs::File::options().write(true).open(&wal).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    store.settle().await.unwrap();
    assert_ne!(
        file.metadata().unwrap().modified().unwrap(),
        std::time::UNIX_EPOCH
    );
    assert!(std::fs::read(&wal).unwrap() == before);
}

/// While another process writes, no indexes can be reserved: all waiting requests fail at the same time.
#[tokio::test]
async fn who_waits_for_places_waits_no_longer_than_one_write() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let raw = sqlite.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let token = token(world.owner(), 1);
    let begun = std::time::Instant::now();
    let ask = || world.store.reserve(&token);
    let (one, two, three, four) = tokio::join!(ask(), ask(), ask(), ask());
    for list_index in [one, two, three, four] {
        list_index.unwrap_err();
    }
    let took = begun.elapsed();
    // SQLite's own busy timeout is five seconds.
    assert!(took < std::time::Duration::from_secs(9), "{took:?}");
}

/// A full queue refuses an order to record a token, and its status list index is reused.
#[tokio::test]
async fn a_full_queue_uses_no_place_up() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let order = world.plain_order(token(world.owner(), 1)).await;
    let reserved = world.store.reserve(&order.token).await.unwrap();
    let list_index = reserved.list_index();
    let raw = sqlite.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = Vec::new();
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    // The writer waits for the other connection, and has taken at most one batch out of its queue.
    for _ in 0..8192 {
        let mut noting = world.store.note_refusals(Vec::new());
        if noting.as_mut().poll(&mut context).is_ready() {
            break;
        }
        waiting.push(noting);
    }
    let refused = world.store.record(order, reserved).await;
    raw.execute_batch("ROLLBACK").unwrap();
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    let next = world.store.reserve(&token(world.owner(), 1)).await.unwrap();
    assert_eq!(next.list_index(), list_index);
    for noting in waiting {
        noting.await.unwrap();
    }
}
