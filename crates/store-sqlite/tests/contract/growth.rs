//! The file stops growing once retention deletes as much as is issued.

use super::Sqlite;
use jeton_store::Checkpoint;
use jeton_store::suite::Backend;

use jeton_store::suite::world::{World, at, revocation};
use jeton_store::suite::{ending, round};

/// Deletes lines of the audit that were made by an instant, as a server does that has signed them.
async fn prune(world: &World, made_by: i64) {
    while world.store.seal().await.unwrap().has_more {}
    let head = world.store.audit_status().await.unwrap().head;
    let last = world.store.last_checkpoint().await.unwrap();
    if last.is_none_or(|last| last.head.sequence < head.sequence) {
        let checkpoint = Checkpoint {
            head,
            signed_at: at(made_by),
            kid: "first".to_owned(),
            note: "a note".to_owned(),
        };
        world.store.keep_checkpoint(checkpoint).await.unwrap();
    }
    while world
        .store
        .prune_audit(at(made_by), at(made_by))
        .await
        .unwrap()
        .has_more
    {}
}

const DAY: i64 = 86_400;

/// Returns the number of pages after each day of a month. Tokens are issued every day and live for a day; one
/// in twenty is revoked.
async fn month(per_day: i64, retention: Option<i64>) -> Vec<i64> {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let mut pages = Vec::new();
    for day in 0..30 {
        for number in 0..per_day {
            let now = day * DAY + number * (DAY / per_day);
            let record = world.record(ending(&world, now, Some(DAY))).await;
            if number % 20 == 0 {
                world.revoke(record.id, revocation(now + 1, 0)).await;
            }
        }
        if let Some(retention) = retention {
            let ended_by = (day + 1) * DAY - retention;
            round(&world, ended_by).await;
            prune(&world, ended_by).await;
        }
        let count = sqlite.raw().query_row("PRAGMA page_count", (), |row| row.get(0));
        pages.push(count.unwrap());
    }
    pages
}

#[tokio::test]
async fn a_month_of_tokens_stops_growing() {
    let pages = month(60, Some(7 * DAY)).await;
    // A record is kept for its day of life and a week more.
    let full = pages[10];
    assert!(pages[29] <= full + full / 20, "{pages:?}");
    let control = month(60, None).await;
    assert!(control[29] > full + full / 3, "{control:?}");
}
