//! Status lists, and the stretches of their indexes that are reserved.

use async_trait::async_trait;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::{Batch, Work};
use jeton_core::clock::Timestamp;
use jeton_store::OpenedList;
use jeton_store::list_indexes::{StoredList, Stretch};
use jeton_store::rules::status_lists::LifetimeClass;

/// Returns the lists that are not retired.
pub(super) async fn opened_lists(connection: &Connection) -> Result<Vec<OpenedList>, Failure> {
    let query = "SELECT id, lifetime_class, opened_at FROM status_lists WHERE retired_at IS NULL ORDER BY id";
    let rows = connection.rows(query, &[]).await?;
    rows.iter()
        .map(|row| {
            let stands: i64 = get(row, 1)?;
            let class = LifetimeClass::ALL
                .into_iter()
                .find(|class| number(*class) == stands);
            Ok(OpenedList {
                id: get(row, 0)?,
                class: class.ok_or(Failure::Unknown("the lifetime class of a status list"))?,
                opened_at: get(row, 2)?,
            })
        })
        .collect()
}

/// Returns the number of the class in the database.
fn number(class: LifetimeClass) -> i64 {
    class as i64
}

/// Reserves the next stretch of a class of lists.
pub(super) struct NextStretch {
    pub(super) class: LifetimeClass,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Work for NextStretch {
    type Output = Stretch;

    async fn run(self, batch: &mut Batch<'_>) -> Result<Stretch, Failure> {
        let Self { class, now } = self;
        let mut list = match newest(batch, class).await? {
            Some(list) if list.has_room(class, now) => list,
            _ => open(batch, class, now).await?,
        };
        let stretch = list.reserve();
        batch
            .connection
            .execute(
                "UPDATE status_lists SET used = $2 WHERE id = $1",
                params![list.id, list.used],
            )
            .await?;
        Ok(stretch)
    }
}

/// Returns the newest list of a class. Lists of an earlier epoch accept no more tokens, so that after a loss of history
/// no index is assigned a second time.
async fn newest(batch: &Batch<'_>, class: LifetimeClass) -> Result<Option<StoredList>, Failure> {
    let row = batch
        .connection
        .optional(
            "SELECT id, permutation_key, opened_at, used FROM status_lists
             WHERE epoch = $1 AND lifetime_class = $2 AND retired_at IS NULL ORDER BY id DESC LIMIT 1",
            params![batch.memory.epoch, number(class)],
        )
        .await?;
    let list = row.map(|row| {
        let columns = &mut Columns::of(&row);
        Ok(StoredList {
            id: columns.take()?,
            key: columns.take()?,
            opened_at: columns.take()?,
            used: columns.take()?,
        })
    });
    list.transpose()
}

async fn open(batch: &Batch<'_>, class: LifetimeClass, now: Timestamp) -> Result<StoredList, Failure> {
    let mut key = [0; 16];
    batch.entropy.fill(&mut key);
    let row = batch
        .connection
        .row(
            "INSERT INTO status_lists (id, epoch, lifetime_class, permutation_key, used, opened_at)
             SELECT greatest((SELECT max(id) FROM status_lists), lists_through) + 1, $1, $2, $3, 0, $4 FROM meta
             RETURNING id",
            params![batch.memory.epoch, number(class), key, now],
        )
        .await?;
    Ok(StoredList {
        id: get(&row, 0)?,
        key,
        opened_at: now,
        used: 0,
    })
}
