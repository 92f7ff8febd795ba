//! Status list indexes: never assigned twice, and in a hidden order. Backends reserve them in stretches.

mod permutation;

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use crate::rules::status_lists::{LIST_SIZE, LifetimeClass};
use crate::{ReservedIndex, Result, ReturnedIndexes, StoreError};
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, NewToken};
use permutation::Permutation;

/// How many indexes are reserved from a list at a time. Those left over when the process ends, or begins with
/// the next list, stay unused.
const STRETCH: u32 = 4096;

/// The status list indexes that this process has reserved for new tokens, so that a token has its index before
/// it is recorded, and one write reserves many.
#[derive(Debug, Default)]
pub struct ListIndexes {
    stretches: Mutex<BTreeMap<LifetimeClass, Stretch>>,
    /// Held by the task that reserves more.
    refilling: Arc<tokio::sync::Mutex<()>>,
    /// How often reserving more has failed.
    failures: AtomicU64,
}

/// Reserved indexes of one list.
#[derive(Debug)]
pub struct Stretch {
    list: u32,
    opened_at: Timestamp,
    left: Vec<u32>,
}

/// A status list as a backend stores it.
#[derive(Debug, Clone, Copy)]
pub struct StoredList {
    /// Its number.
    pub id: u32,
    /// The key of the order in which its indexes are assigned.
    pub key: [u8; 16],
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How many of its indexes are reserved.
    pub used: u32,
}

impl StoredList {
    /// Returns whether the list has room for tokens of its class that are issued at an instant.
    pub fn has_room(&self, class: LifetimeClass, now: Timestamp) -> bool {
        self.used < LIST_SIZE && class.is_open(self.opened_at, now)
    }

    /// Reserves the next indexes. The backend stores [`used`](Self::used) before anybody gets one of them.
    pub fn reserve(&mut self) -> Stretch {
        let end = LIST_SIZE.min(self.used.saturating_add(STRETCH));
        let permutation = Permutation::new(&self.key);
        let left = (self.used..end).map(|counter| permutation.apply(counter));
        let left = left.collect();
        self.used = end;
        Stretch {
            list: self.id,
            opened_at: self.opened_at,
            left,
        }
    }
}

impl ListIndexes {
    /// Reserves an index for a token, exclusively. `next` stores the reservation of the next stretch of the newest list
    /// of a class, or of a new one.
    ///
    /// # Errors
    ///
    /// Fails if `next` does, and with [`StoreError::Busy`] if it did so for another caller meanwhile.
    pub async fn reserve<F>(
        self: &Arc<Self>,
        token: &NewToken,
        next: impl Fn(LifetimeClass, Timestamp) -> F,
    ) -> Result<ReservedIndex>
    where
        F: Future<Output = Result<Stretch>> + Send + 'static,
    {
        let (lifetime, now) = (LifetimeClass::of(token), token.created_at);
        loop {
            if let Some(list_index) = self.take(lifetime, now) {
                // Early enough that no request waits for more indexes.
                if self.left(lifetime, now) < STRETCH as usize / 2
                    && let Ok(refilling) = Arc::clone(&self.refilling).try_lock_owned()
                {
                    drop(self.refill(lifetime, next(lifetime, now), refilling));
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
                let refilled = self.refill(lifetime, next(lifetime, now), refilling).await;
                refilled.map_err(|error| StoreError::Failed(Box::new(error)))??;
            }
        }
    }

    /// Drops the reserved indexes of lists that retire. There are some only if the clock was set back.
    pub fn drop_lists(&self, lists: &[u32]) {
        self.stretches()
            .retain(|_, stretch| !lists.contains(&stretch.list));
    }

    /// Drops all reserved indexes: a store that may have lost the reservation would reserve them again.
    pub fn clear(&self) {
        self.stretches().clear();
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

    /// Adds the next stretch. In a task of its own, since the request may be cancelled before it ends: each cancelled
    /// request would waste a whole stretch.
    fn refill(
        self: &Arc<Self>,
        lifetime: LifetimeClass,
        next: impl Future<Output = Result<Stretch>> + Send + 'static,
        refilling: OwnedMutexGuard<()>,
    ) -> JoinHandle<Result<()>> {
        let list_indexes = Arc::clone(self);
        tokio::spawn(async move {
            let stretch = next.await.inspect_err(|_| {
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
