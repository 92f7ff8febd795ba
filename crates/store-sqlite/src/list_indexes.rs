//! Status lists, and the stretches of their indexes that are reserved.

use jeton_journal::Entry;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::failure::Failure;
use crate::journal::last_token;
use crate::values::{Bytes, get, params};
use crate::writer::{Undo, Writer};
use jeton_core::clock::Timestamp;
use jeton_core::entropy::Entropy;
use jeton_store::list_indexes::{StoredList, Stretch};
use jeton_store::rules::status_lists::LifetimeClass;
use jeton_store::{OpenedList, Result as Stored};

/// Returns the lists that are not retired.
pub(super) fn opened_lists(connection: &Connection) -> Result<Vec<OpenedList>, Failure> {
    let mut query = connection
        .prepare_cached("SELECT id, lifetime_class, opened_at FROM status_lists WHERE retired_at IS NULL")?;
    let mut rows = query.query(())?;
    let mut lists = Vec::new();
    while let Some(row) = rows.next()? {
        let stands: i64 = get(row, 1)?;
        let class = LifetimeClass::ALL
            .into_iter()
            .find(|class| number(*class) == stands);
        lists.push(OpenedList {
            id: get(row, 0)?,
            class: class.ok_or(Failure::Unknown("the lifetime class of a status list"))?,
            opened_at: get(row, 2)?,
        });
    }
    Ok(lists)
}

/// Returns the number of the class in the database.
fn number(class: LifetimeClass) -> i64 {
    class as i64
}

/// More than all indexes that are reserved at a time, and so than the tokens recorded before more are reserved.
const AHEAD: i64 = 1 << 16;

/// Reserves the next stretch of a class of lists.
pub(super) fn next(
    writer: &Writer,
    class: LifetimeClass,
    now: Timestamp,
) -> impl Future<Output = Stored<Stretch>> + Send + use<> {
    writer.run(Undo::Savepoint, move |batch| {
        let mut list = newest(batch.connection, batch.entropy, batch.memory.epoch, class, now)?;
        let stretch = list.reserve();
        batch
            .connection
            .prepare_cached("UPDATE status_lists SET used = ?2 WHERE id = ?1")?
            .execute(params![list.id, list.used])?;
        let tokens = last_token(batch.connection)?.saturating_add(AHEAD);
        batch.notes.push(Entry::Indexes {
            list: list.id,
            used: list.used,
            tokens,
        });
        Ok(stretch)
    })
}

/// Returns the newest list of a class that has room, or a new one. Lists of an earlier epoch accept no more tokens, so
/// that a restored database assigns no index a second time.
fn newest(
    connection: &Connection,
    entropy: &dyn Entropy,
    epoch: Uuid,
    class: LifetimeClass,
    now: Timestamp,
) -> Result<StoredList, Failure> {
    let newest = connection
        .prepare_cached(
            "SELECT id, permutation_key, opened_at, used FROM status_lists
             WHERE epoch = ?1 AND lifetime_class = ?2 AND retired_at IS NULL ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![Bytes(epoch), number(class)], |row| {
            Ok(StoredList {
                id: get(row, 0)?,
                key: get(row, 1)?,
                opened_at: get(row, 2)?,
                used: get(row, 3)?,
            })
        })
        .optional()?;
    match newest {
        Some(list) if list.has_room(class, now) => Ok(list),
        _ => open(connection, entropy, epoch, class, now),
    }
}

fn open(
    connection: &Connection,
    entropy: &dyn Entropy,
    epoch: Uuid,
    class: LifetimeClass,
    now: Timestamp,
) -> Result<StoredList, Failure> {
    let mut key = [0; 16];
    entropy.fill(&mut key);
    let id = connection
        .prepare_cached(
            "INSERT INTO status_lists (epoch, lifetime_class, permutation_key, used, opened_at)
             VALUES (?1, ?2, ?3, 0, ?4)",
        )?
        .insert(params![Bytes(epoch), number(class), key, now])?;
    Ok(StoredList {
        id: u32::try_from(id).map_err(|_| Failure::Impossible("all status lists are used up"))?,
        key,
        opened_at: now,
        used: 0,
    })
}
