//! Damage that SQLite does not notice: one flipped bit, or one page that is out of date.

use std::fs;
use std::sync::Arc;

use jeton_core::token::{ListIndex, Record};
use jeton_store::suite::Backend;
use jeton_store::suite::world::{Seeded, Seen, World, revocation, token};
use jeton_store_sqlite::{BackupError, Missing, restore};

use super::Sqlite;

/// Tokens, of which the first two are revoked.
async fn written(sqlite: &Sqlite) -> Vec<Record> {
    let world = World::new(sqlite.clone()).await;
    let mut records = Vec::new();
    for second in 0..3 {
        records.push(world.record(token(world.owner(), second)).await);
    }
    world.revoke(records[0].id, revocation(10, 0)).await;
    world.revoke(records[1].id, revocation(20, 3_600)).await;
    records
}

/// Returns the offset and the size of a table or an index that consists of one page.
fn page(sqlite: &Sqlite, name: &str) -> (usize, usize) {
    let raw = sqlite.raw();
    let root: usize = raw
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .unwrap();
    let size: usize = raw.query_row("PRAGMA page_size", (), |row| row.get(0)).unwrap();
    raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    ((root - 1) * size, size)
}

async fn revoked(sqlite: &Sqlite) -> Result<Vec<ListIndex>, jeton_store::StoreError> {
    let store = sqlite.open(Arc::new(Seen::default()));
    let snapshot = store.snapshot().await?;
    let mut list_indexes: Vec<ListIndex> = snapshot
        .revoked
        .into_iter()
        .map(|(list_index, _)| list_index)
        .collect();
    list_indexes.sort_by_key(|list_index| (list_index.list, list_index.index));
    Ok(list_indexes)
}

#[tokio::test]
async fn a_damaged_index_of_revoked_tokens_is_built_again() {
    for offset in 0..64 {
        let sqlite = Sqlite::create();
        let records = written(&sqlite).await;
        let mut expected: Vec<ListIndex> = records[..2].iter().map(|record| record.list_index).collect();
        expected.sort_by_key(|list_index| (list_index.list, list_index.index));
        let (begin, size) = page(&sqlite, "tokens_revoked");
        let mut bytes = fs::read(sqlite.path()).unwrap();
        // The entries stand at the end of the page.
        let at = begin + size - 1 - offset;
        bytes[at] ^= 4;
        fs::write(sqlite.path(), &bytes).unwrap();
        let list_indexes = revoked(&sqlite).await.unwrap();
        assert_eq!(list_indexes, expected, "the byte {offset} from the end");
    }
}

#[tokio::test]
async fn an_index_page_that_is_out_of_date_is_built_again() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let record = world.record(token(world.owner(), 0)).await;
    let mut at = (0, 0);
    let mut old = Vec::new();
    let world = world.reopen_after(|| {
        at = page(&sqlite, "tokens_revoked");
        old = fs::read(sqlite.path()).unwrap()[at.0..at.0 + at.1].to_vec();
    });
    world.revoke(record.id, revocation(10, 0)).await;
    drop(world);
    assert_eq!(page(&sqlite, "tokens_revoked"), at);
    let mut bytes = fs::read(sqlite.path()).unwrap();
    bytes[at.0..at.0 + at.1].copy_from_slice(&old);
    fs::write(sqlite.path(), &bytes).unwrap();
    assert_eq!(revoked(&sqlite).await.unwrap(), [record.list_index]);
    // It is whole from then on.
    assert_eq!(revoked(&sqlite).await.unwrap(), [record.list_index]);
    let check: String = sqlite
        .raw()
        .query_row("PRAGMA integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

/// Neither served nor restored: nobody knows which tokens are revoked.
#[tokio::test]
async fn damaged_records_of_revoked_tokens_are_refused() {
    for damage in [
        "UPDATE tokens SET revoked_at = NULL, effective_at = NULL, revoked_by = NULL WHERE id = 1",
        "UPDATE tokens SET effective_at = effective_at + 1 WHERE id = 1",
        "UPDATE tokens SET effective_at = 1, revoked_at = 1, revoked_by = 'x' WHERE id = 3",
        "DELETE FROM tokens WHERE id = 2",
        "UPDATE meta SET ended = zeroblob(16)",
    ] {
        let sqlite = Sqlite::create();
        written(&sqlite).await;
        assert_eq!(revoked(&sqlite).await.unwrap().len(), 2);
        let raw = sqlite.raw();
        raw.execute_batch("DROP TRIGGER revocation_stands; DROP TRIGGER live_token_stays")
            .unwrap();
        raw.execute_batch(damage).unwrap();
        drop(raw);
        let refused = revoked(&sqlite).await.unwrap_err();
        assert!(
            format!("{refused:?}").contains("Damaged"),
            "{damage}: {refused:?}"
        );
        let copy = sqlite.path().with_file_name("copy.db");
        fs::rename(sqlite.path(), &copy).unwrap();
        let restored = restore(&copy, &sqlite.path(), Missing::Refuse, None, &Seeded, |_| ());
        assert!(
            matches!(restored, Err(BackupError::Damaged { .. })),
            "{damage}: {restored:?}"
        );
    }
}
