//! Database files: a refused file is not changed, and a created one is private and durable.

use jeton_store::suite::clerk::Clerk;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use jeton_store_sqlite::{LockError, OpenError, ServeLock};

use super::Sqlite;
use jeton_store::suite::Backend;
use jeton_store::suite::world::{World, revocation, token};

/// Opens a file that must be refused, and asserts that it is unchanged.
fn refusal(sqlite: &Sqlite) -> OpenError {
    let before = fs::read(sqlite.path()).ok();
    let Err(error) = sqlite.try_open() else {
        panic!("not refused");
    };
    assert!(
        fs::read(sqlite.path()).ok() == before,
        "a refused file was changed"
    );
    let sentence = error.to_string();
    assert!(
        sentence.contains(&sqlite.path().display().to_string()),
        "the sentence does not name the file: {sentence}"
    );
    error
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let sqlite = Sqlite::create();
    fs::write(
        sqlite.path(),
        "a letter to a friend, long enough to have a header\n".repeat(40),
    )
    .unwrap();
    assert!(matches!(refusal(&sqlite), OpenError::NotADatabase(_)));
}

#[test]
fn a_database_of_another_program_is_refused() {
    let sqlite = Sqlite::create();
    sqlite.raw().execute_batch("CREATE TABLE theirs (value)").unwrap();
    assert!(matches!(refusal(&sqlite), OpenError::Foreign(_)));
    let sqlite = Sqlite::create();
    sqlite
        .raw()
        .execute_batch("PRAGMA application_id = 7; VACUUM")
        .unwrap();
    assert!(matches!(refusal(&sqlite), OpenError::Foreign(_)));
}

#[test]
fn a_newer_schema_is_refused() {
    let sqlite = Sqlite::create();
    drop(sqlite.try_open().unwrap());
    sqlite.raw().execute_batch("PRAGMA user_version = 4711").unwrap();
    match refusal(&sqlite) {
        OpenError::Newer { found, known, .. } => assert!(found == 4711 && known >= 1),
        error => panic!("{error:?}"),
    }
}

#[test]
fn what_is_not_a_file_is_refused() {
    let sqlite = Sqlite::create();
    fs::create_dir(sqlite.path()).unwrap();
    let Err(OpenError::Inaccessible { .. }) = sqlite.try_open() else {
        panic!("a folder was opened");
    };
    let missing = sqlite.path().join("no such folder/jeton.db");
    let seen = std::sync::Arc::new(jeton_store::suite::world::Seen::default());
    let entropy = std::sync::Arc::new(jeton_store::suite::world::Seeded);
    let refused = jeton_store_sqlite::SqliteStore::open(&missing, entropy, seen);
    assert!(matches!(refused, Err(OpenError::FolderMissing(_))));
}

/// Opening detects a feed that has lost or altered an event.
#[tokio::test]
async fn a_damaged_feed_is_refused() {
    for damage in [
        "UPDATE revocations SET effective_at = effective_at + 1 WHERE sequence = 2",
        "UPDATE revocations SET hash = zeroblob(32) WHERE sequence = 3",
        "DELETE FROM revocations WHERE sequence = 2",
        "DELETE FROM revocations WHERE sequence = 3",
        "UPDATE meta SET sequence = 2",
        "UPDATE revocations SET user = 1 WHERE sequence = 1",
    ] {
        let sqlite = Sqlite::create();
        let world = World::new(sqlite.clone()).await;
        let cut_off = jeton_core::token::CutOff {
            reach: jeton_core::token::Reach::default(),
            issued_through: 1,
            effective_at: jeton_store::suite::world::at(0),
        };
        let operator = jeton_store::suite::world::actor("operator");
        let cut = world
            .store
            .cut_off(cut_off, operator, None, jeton_store::suite::world::at(0));
        cut.await.unwrap();
        for _ in 0..2 {
            let record = world.record(token(world.owner(), 0)).await;
            world.revoke(record.id, revocation(1, 0)).await;
        }
        let world = world.reopen();
        drop(world);
        let raw = sqlite.raw();
        raw.execute_batch("DROP TRIGGER feed_is_not_rewritten; DROP TRIGGER feed_is_not_cut")
            .unwrap();
        raw.execute_batch(damage).unwrap();
        drop(raw);
        assert!(matches!(refusal(&sqlite), OpenError::Damaged { .. }), "{damage}");
    }
}

/// A truncated file is refused.
#[tokio::test]
async fn a_torn_file_is_refused() {
    let sqlite = Sqlite::create();
    drop(World::new(sqlite.clone()).await);
    assert!(
        !sqlite.path().with_file_name("jeton.db-wal").exists(),
        "an orderly end leaves one file"
    );
    let whole = fs::read(sqlite.path()).unwrap();
    for torn in [
        &whole[..whole.len() / 2],
        &whole[..4 * 4096],
        &whole[..4096],
        &whole[..100],
    ] {
        fs::write(sqlite.path(), torn).unwrap();
        refusal(&sqlite);
    }
}

#[test]
fn the_file_is_marked_and_readable_for_nobody_else() {
    let sqlite = Sqlite::create();
    let store = sqlite.try_open().unwrap();
    let raw = sqlite.raw();
    let read = |pragma: &str| -> String {
        raw.pragma_query_value(None, pragma, |row| {
            row.get::<_, String>(0)
                .or_else(|_| row.get::<_, i64>(0).map(|number| number.to_string()))
        })
        .unwrap()
    };
    assert_eq!(read("journal_mode"), "wal");
    assert_ne!(read("application_id"), "0");
    for file in ["jeton.db", "jeton.db-wal"] {
        let metadata = fs::metadata(sqlite.path().with_file_name(file)).unwrap();
        assert_eq!(metadata.mode() & 0o077, 0, "{file} is open to others");
    }
    drop(store);
    // An empty file is treated like a missing one.
    let sqlite = Sqlite::create();
    fs::write(sqlite.path(), "").unwrap();
    fs::set_permissions(sqlite.path(), fs::Permissions::from_mode(0o600)).unwrap();
    drop(sqlite.try_open().unwrap());
}

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let sqlite = Sqlite::create();
    let lock = ServeLock::acquire(&sqlite.path()).unwrap();
    let second = ServeLock::acquire(&sqlite.path());
    match second {
        Err(error @ LockError::Taken(_)) => {
            assert!(error.to_string().contains("jeton.db"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // A command that runs beside the server needs no lock.
    drop(sqlite.try_open().unwrap());
    drop(lock);
    ServeLock::acquire(&sqlite.path()).unwrap();
}

/// The file can be read with the old SQLite versions of common distributions.
#[test]
fn the_schema_uses_nothing_new() {
    let sqlite = Sqlite::create();
    drop(sqlite.try_open().unwrap());
    let raw = sqlite.raw();
    let mut query = raw
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        .unwrap();
    let schema: Vec<String> = query
        .query_map((), |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert!(schema.len() > 20);
    for table in schema
        .iter()
        .filter(|sql| sql.starts_with("CREATE TABLE") && !sql.contains("sqlite_sequence"))
    {
        assert!(table.trim_end().contains(") STRICT"), "{table}");
    }
    for sql in &schema {
        for newer in [
            "->>",
            "json_",
            "timediff",
            "octet_length",
            "concat(",
            "string_agg",
        ] {
            assert!(!sql.contains(newer), "{sql}");
        }
    }
}
