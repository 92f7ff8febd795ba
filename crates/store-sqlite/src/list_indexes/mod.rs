//! Status list indexes: never assigned twice, and in a hidden order.

mod permutation;

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::failure::Failure;
use crate::journal::{Entry, last_token};
use crate::values::{Bytes, get, params};
use crate::writer::{Undo, Writer};
use jeton_core::clock::Timestamp;
use jeton_core::entropy::Entropy;
use jeton_core::token::{ListIndex, NewToken};
use jeton_store::rules::status_lists::{LIST_SIZE, LifetimeClass};
use jeton_store::{OpenedList, ReservedIndex, ReturnedIndexes, StoreError};
use permutation::Permutation;

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

/// How many indexes are reserved from a list at a time. Those left over when the process ends, or begins with
/// the next list, stay unused.
const STRETCH: u32 = 4096;

/// More than all indexes that are reserved at a time, and so than the tokens recorded before more are reserved.
const AHEAD: i64 = 1 << 16;

/// The status list indexes that this process has reserved for new tokens, so that a token has its index before
/// it is recorded, and one write reserves many.
#[derive(Default)]
pub(super) struct ListIndexes {
    stretches: Mutex<BTreeMap<LifetimeClass, Stretch>>,
    /// Held by the task that reserves more.
    refilling: Arc<tokio::sync::Mutex<()>>,
    /// How often reserving more has failed.
    failures: AtomicU64,
}

/// Reserved indexes of one list.
struct Stretch {
    list: u32,
    opened_at: Timestamp,
    /// How many indexes of the list are reserved.
    used: u32,
    left: Vec<u32>,
}

impl ListIndexes {
    /// Reserves an index for a token, exclusively.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        token: &NewToken,
        writer: &Writer,
    ) -> jeton_store::Result<ReservedIndex> {
        let (lifetime, now) = (LifetimeClass::of(token), token.created_at);
        loop {
            if let Some(list_index) = self.take(lifetime, now) {
                // Early enough that no request waits for more indexes.
                if self.left(lifetime, now) < STRETCH as usize / 2
                    && let Ok(refilling) = Arc::clone(&self.refilling).try_lock_owned()
                {
                    drop(self.refill(lifetime, now, writer, refilling));
                }
                return Ok(ReservedIndex::new(list_index, Arc::<Self>::clone(self)));
            }
            let failures = self.failures.load(Ordering::Acquire);
            let refilling = Arc::clone(&self.refilling).lock_owned().await;
            if self.left(lifetime, now) == 0 {
                // One failure answers all waiting requests: each would otherwise wait as long again for the
                // same.
                if self.failures.load(Ordering::Acquire) != failures {
                    return Err(StoreError::Busy);
                }
                let refilled = self.refill(lifetime, now, writer, refilling).await;
                refilled.map_err(|_| Failure::Stopped)??;
            }
        }
    }

    /// Drops the reserved indexes of lists that retire. There are some only if the clock was set back.
    pub(super) fn drop_lists(&self, lists: &[u32]) {
        self.stretches()
            .retain(|_, stretch| !lists.contains(&stretch.list));
    }

    fn take(&self, lifetime: LifetimeClass, now: Timestamp) -> Option<ListIndex> {
        let mut stretches = self.stretches();
        let stretch = stretches
            .get_mut(&lifetime)
            .filter(|stretch| lifetime.is_open(stretch.opened_at, now))?;
        let (list, index) = (stretch.list, stretch.left.pop()?);
        Some(ListIndex { list, index })
    }

    fn left(&self, lifetime: LifetimeClass, now: Timestamp) -> usize {
        let stretches = self.stretches();
        let stretch = stretches
            .get(&lifetime)
            .filter(|stretch| lifetime.is_open(stretch.opened_at, now));
        stretch.map_or(0, |stretch| stretch.left.len())
    }

    /// Reserves the next stretch of the newest list, or of a new one. In a task of its own, since the request
    /// may be cancelled before it ends: each cancelled request would waste a whole stretch.
    fn refill(
        self: &Arc<Self>,
        lifetime: LifetimeClass,
        now: Timestamp,
        writer: &Writer,
        refilling: OwnedMutexGuard<()>,
    ) -> JoinHandle<jeton_store::Result<()>> {
        let stretch = writer.run(Undo::Savepoint, move |batch| {
            let stretch = next_stretch(batch.connection, batch.entropy, batch.memory.epoch, lifetime, now)?;
            let tokens = last_token(batch.connection)?.saturating_add(AHEAD);
            batch.notes.push(Entry::Indexes {
                list: stretch.list,
                used: stretch.used,
                tokens,
            });
            Ok(stretch)
        });
        let list_indexes = Arc::clone(self);
        tokio::spawn(async move {
            let stretch = stretch.await.inspect_err(|_| {
                list_indexes.failures.fetch_add(1, Ordering::AcqRel);
            });
            list_indexes.add(lifetime, stretch?);
            drop(refilling);
            Ok(())
        })
    }

    fn add(&self, lifetime: LifetimeClass, stretch: Stretch) {
        match self.stretches().entry(lifetime) {
            btree_map::Entry::Occupied(mut known) if known.get().list == stretch.list => {
                known.get_mut().left.extend(stretch.left);
            }
            entry => {
                entry.insert_entry(stretch);
            }
        }
    }

    fn stretches(&self) -> MutexGuard<'_, BTreeMap<LifetimeClass, Stretch>> {
        // No code panics while it holds the lock.
        self.stretches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReturnedIndexes for ListIndexes {
    fn give_back(&self, ListIndex { list, index }: ListIndex) {
        let mut stretches = self.stretches();
        if let Some(stretch) = stretches.values_mut().find(|stretch| stretch.list == list) {
            stretch.left.push(index);
        }
    }
}

/// Marks the next indexes of a list as assigned. Lists of an earlier epoch accept no more tokens, so that a
/// restored database assigns no index a second time.
fn next_stretch(
    connection: &Connection,
    entropy: &dyn Entropy,
    epoch: Uuid,
    lifetime: LifetimeClass,
    now: Timestamp,
) -> Result<Stretch, Failure> {
    let newest = connection
        .prepare_cached(
            "SELECT id, permutation_key, opened_at, used FROM status_lists
             WHERE epoch = ?1 AND lifetime_class = ?2 AND retired_at IS NULL ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![Bytes(epoch), number(lifetime)], |row| {
            Ok(List {
                id: get(row, 0)?,
                key: get(row, 1)?,
                opened_at: get(row, 2)?,
                used: get(row, 3)?,
            })
        })
        .optional()?;
    let list = match newest {
        Some(list) if list.used < LIST_SIZE && lifetime.is_open(list.opened_at, now) => list,
        _ => List::open(connection, entropy, epoch, lifetime, now)?,
    };
    let end = LIST_SIZE.min(list.used.saturating_add(STRETCH));
    connection
        .prepare_cached("UPDATE status_lists SET used = ?2 WHERE id = ?1")?
        .execute(params![list.id, end])?;
    let permutation = Permutation::new(&list.key);
    Ok(Stretch {
        list: list.id,
        opened_at: list.opened_at,
        used: end,
        left: (list.used..end)
            .map(|counter| permutation.apply(counter))
            .collect(),
    })
}

/// A list as in its row.
struct List {
    id: u32,
    key: [u8; 16],
    opened_at: Timestamp,
    used: u32,
}

impl List {
    fn open(
        connection: &Connection,
        entropy: &dyn Entropy,
        epoch: Uuid,
        lifetime: LifetimeClass,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let mut key = [0; 16];
        entropy.fill(&mut key);
        let id = connection
            .prepare_cached(
                "INSERT INTO status_lists (epoch, lifetime_class, permutation_key, used, opened_at)
                 VALUES (?1, ?2, ?3, 0, ?4)",
            )?
            .insert(params![Bytes(epoch), number(lifetime), key, now])?;
        Ok(Self {
            id: u32::try_from(id).map_err(|_| Failure::Impossible("all status lists are used up"))?,
            key,
            opened_at: now,
            used: 0,
        })
    }
}
