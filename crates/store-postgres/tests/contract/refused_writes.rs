//! Writes that the schema refuses from any program, such as psql.

use jeton_core::token::TokenReference;
use jeton_store::suite::Backend;
use jeton_store::suite::clerk::Clerk;
use jeton_store::suite::world::{World, at, removal, revocation, token};
use tokio_postgres::Client;

use crate::Postgres;

/// Copies the first token, with another value for one column.
fn copy_with(column: &str, value: &str) -> String {
    let columns =
        "session, name, organization, team, person, scopes, audience, prefix, key, status_list, status_index,
        created_at, created_by, created_by_user";
    let values = columns.replace(column, value);
    format!("INSERT INTO tokens (jti, {columns}) SELECT gen_random_uuid(), {values} FROM tokens WHERE id = 1")
}

async fn all_are_refused(raw: &Client, doors: &[(&str, &str)]) {
    for (statement, reason) in doors {
        match raw.batch_execute(statement).await {
            Ok(()) => panic!("not refused: {statement}"),
            Err(error) => {
                let refusal = error.as_db_error().unwrap().message();
                assert!(refusal.contains(reason), "{statement}: {refusal}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_revoked_stays_revoked() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let mut endless = token(world.owner(), 0);
    endless.expires_at = None;
    let endless = world.record(endless).await;
    let record = world.record(token(world.owner(), 0)).await;
    world.revoke(record.id, revocation(1, 5)).await;
    let raw = backend.raw().await;
    let doors = [
        ("UPDATE tokens SET revoked_at = NULL, effective_at = NULL, revoked_by = NULL", "cleared"),
        ("UPDATE tokens SET effective_at = effective_at + 1", "postponed"),
        ("UPDATE tokens SET effective_at = NULL WHERE id = 2", "cleared"),
        ("DELETE FROM tokens WHERE id = 1", "until the token has expired"),
        ("DELETE FROM tokens WHERE id = 2", "until the token has expired"),
        ("UPDATE tokens SET expires_at = 1", "signed with"),
        ("UPDATE tokens SET jti = gen_random_uuid() WHERE id = 1", "signed with"),
        ("UPDATE tokens SET status_index = 1", "signed with"),
        ("UPDATE tokens SET scopes = 'all'", "signed with"),
        ("UPDATE tokens SET session = true", "signed with"),
        ("UPDATE tokens SET slot = 'ci'", "comes from"),
        ("UPDATE tokens SET request_id = 'other'", "comes from"),
        ("UPDATE tokens SET rotated_from = 1 WHERE id = 2", "comes from"),
        ("UPDATE revocations SET effective_at = effective_at + 1", "stays as it is"),
        ("DELETE FROM revocations", "stays"),
        (
            "INSERT INTO revocations (sequence, epoch, kind, recorded_at, effective_at, actor, token, hash)
             SELECT sequence + 2, epoch, kind, recorded_at, effective_at, actor, token, hash FROM revocations",
            "no gap",
        ),
        ("UPDATE status_lists SET used = used - 1", "given once"),
        ("UPDATE status_lists SET permutation_key = decode(repeat('00', 16), 'hex')", "given once"),
        ("DELETE FROM status_lists", "stays"),
        ("DELETE FROM keys", "stays"),
        ("UPDATE keys SET state = 'published'", "earlier state"),
        ("UPDATE keys SET state = 'gone'", "something it signed lives"),
        ("UPDATE keys SET needed_until = 0", "does not come sooner"),
        ("UPDATE keys SET public_jwk = '{\"kty\":\"theirs\"}'", "does not change"),
        (
            "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
             VALUES ('theirs', 'ES256', '{}', 'signing', 0, 0, 0)",
            "one_signing_key",
        ),
        (
            "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
             VALUES ('early', 'ES256', '{}', 'published', 0, 0, 5);
             UPDATE keys SET state = 'signing', changed_at = 4 WHERE kid = 'early'",
            "before every copy",
        ),
        ("UPDATE actions SET actor = 'nobody'", "an action stays"),
        ("DELETE FROM actions", "an action stays"),
    ];
    all_are_refused(&raw, &doors).await;
    // A revocation may be brought forward, and an expired record may be deleted.
    raw.batch_execute("UPDATE tokens SET effective_at = effective_at - 1 WHERE id = 2")
        .await
        .unwrap();
    let mut expired = token(world.owner(), 0);
    expired.created_at = at(-1_000_000_000);
    expired.expires_at = Some(at(-900_000_000));
    let expired = world.record(expired).await;
    let delete = format!("DELETE FROM tokens WHERE id = {}", expired.id);
    // Only once retention has recorded its instant: no trigger reads a clock. And once the audit has sealed it.
    all_are_refused(&raw, &[(&delete, "until the token has expired")]).await;
    let purged = format!("UPDATE meta SET purged_through = {}", at(-900_000_000).millis());
    raw.batch_execute(&purged).await.unwrap();
    all_are_refused(&raw, &[(&delete, "the audit has sealed it")]).await;
    while world.store.seal().await.unwrap().has_more {}
    raw.batch_execute(
        "INSERT INTO audit_checkpoints (size, hash, signed_at, kid, note)
         SELECT sequence, hash, 0, 'a', 'b' FROM audit WHERE sequence < 3",
    )
    .await
    .unwrap();
    let lines = [
        ("UPDATE audit SET actor = 'nobody'", "stays as it is"),
        ("DELETE FROM audit", "stays"),
        ("UPDATE meta SET audit_pruned_through = 2", "line by line"),
        (
            "UPDATE meta SET audit_sequence = audit_sequence - 1",
            "never goes back",
        ),
        ("UPDATE meta SET audit_tokens = 0", "never goes back"),
        (
            "INSERT INTO audit_checkpoints (size, hash, signed_at, kid, note)
             VALUES (2, decode(repeat('00', 32), 'hex'), 0, 'a', 'b')",
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
    all_are_refused(&raw, &lines).await;
    raw.batch_execute(&delete).await.unwrap();
    let read = world.store.token(TokenReference::Id(endless.id)).await.unwrap();
    assert_eq!(read, Some(endless));
    // The id of the deleted record is not reused.
    let next = world.record(token(world.owner(), 2)).await;
    assert!(next.id > expired.id);
}

#[tokio::test]
async fn what_was_removed_stays_removed() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let doomed = world.organization("doomed").await;
    world.team(doomed, "web").await;
    let ada = world.person("ada").await;
    let generation = world.generation().await;
    let removed = world.store.remove_organization(doomed, removal(1), generation);
    removed.await.unwrap();
    let generation = world.generation().await;
    let removed = world.store.remove_person(ada, removal(1), generation);
    removed.await.unwrap();
    let raw = backend.raw().await;
    let doors = [
        ("UPDATE organizations SET deleted_at = NULL", "stays removed"),
        ("UPDATE teams SET deleted_at = NULL", "stays removed"),
        ("UPDATE users SET deleted_at = NULL", "stays removed"),
    ];
    all_are_refused(&raw, &doors).await;
    let hashes = "SELECT count(*) FROM users WHERE deleted_at IS NOT NULL AND password_hash <> ''";
    let hashes: i64 = raw.query_one(hashes, &[]).await.unwrap().get(0);
    assert_eq!(hashes, 0, "a hash outlives its person");
}

/// In place of foreign keys: no token names what does not exist, and what tokens name stays.
#[tokio::test]
async fn what_a_token_names_exists() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    world.record(token(world.owner(), 0)).await;
    world.team(world.organization, "web").await;
    world.person("ada").await;
    let raw = backend.raw().await;
    raw.batch_execute(&copy_with("created_at", "created_at"))
        .await
        .unwrap();
    for column in ["organization", "person", "key", "status_list", "created_by_user"] {
        let copy = copy_with(column, "999");
        all_are_refused(&raw, &[(&copy, "names what does not exist")]).await;
    }
    let copy = copy_with("team, person", "999, NULL");
    all_are_refused(&raw, &[(&copy, "names what does not exist")]).await;
    let doors = [
        ("DELETE FROM organizations", "stays on record"),
        ("DELETE FROM teams", "stays on record"),
        ("DELETE FROM users", "stays on record"),
        ("UPDATE organizations SET id = id + 1", "the number"),
        ("UPDATE teams SET id = id + 1", "the number"),
        ("UPDATE users SET id = id + 1", "the number"),
        ("UPDATE keys SET id = id + 1", "does not change"),
        ("UPDATE status_lists SET id = id + 1", "given once"),
    ];
    all_are_refused(&raw, &doors).await;
    raw.batch_execute("UPDATE status_lists SET retired_at = 1")
        .await
        .unwrap();
    let copy = copy_with("created_at", "created_at");
    all_are_refused(&raw, &[(&copy, "retired status list")]).await;
}
