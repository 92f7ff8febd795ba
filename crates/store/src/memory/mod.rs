//! A store in memory: the contract and nothing more, for tests and as the reference for other backends.
//!
//! It compares guards and applies effects; all decisions are made in [`rules`]. One lock protects
//! all data, and lists are filtered and sorted in Rust. No data outlive the process, so that there are no
//! journal, backups and readers.

mod audit;
mod bulk;
mod data;
mod directory;
mod effects;
mod guards;
mod idempotency;
mod keys;
mod list;
mod retention;
mod revocations;
mod statistics;
mod tokens;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jeton_core::entropy::Entropy;
use jeton_core::token::ListIndex;
use prometheus_client::registry::Registry;

use crate::{
    Advance, Change, Commit, Committed, Effect, GivenNumbers, LoginCounts, Makes, Medium, Nodes, Observer,
    Order, Recorded, Refused, Result, ReturnedIndexes, SealedKeys, StoreError, Writes, rules,
};
use data::Data;
use effects::Done;

/// A database that stores share, open at the same time or one after the other.
#[derive(Debug, Clone)]
pub struct MemoryDatabase(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    data: Mutex<Data>,
    /// Returned status list indexes, by their lists. Apart from the data, since a refused order returns an
    /// index while the data are locked.
    returned: Mutex<HashMap<u32, Vec<u32>>>,
}

/// A store in memory.
pub struct MemoryStore {
    shared: Arc<Shared>,
    observer: Arc<dyn Observer>,
}

impl MemoryDatabase {
    /// Returns a new, empty database.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(Arc::new(Shared {
            data: Mutex::new(Data::new(entropy.uuid_v4())),
            returned: Mutex::default(),
        }))
    }

    /// Sets [`SigningKeys::noticed_within`](crate::SigningKeys::noticed_within), as a store of several servers has it.
    pub fn notice_keys_within(&self, seconds: i64) {
        locked(&self.0.data).keys.value.noticed_within = seconds;
    }

    /// Opens the database, which other stores may have open too.
    ///
    /// # Errors
    ///
    /// Returns an error if the feed is damaged.
    pub fn open(&self, observer: Arc<dyn Observer>) -> Result<MemoryStore> {
        if !locked(&self.0.data).feed.is_whole() {
            return Err(failed("the feed is not whole"));
        }
        Ok(MemoryStore {
            shared: Arc::clone(&self.0),
            observer,
        })
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}

/// A write that is being carried out.
struct Batch<'a> {
    data: &'a mut Data,
    /// The changes that observers receive once it is done.
    changes: Vec<Change>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(why: &'static str) -> StoreError {
    StoreError::Failed(why.into())
}

impl MemoryStore {
    fn data(&self) -> MutexGuard<'_, Data> {
        locked(&self.shared.data)
    }

    /// Carries out a write and tells the observer, both before another write begins, and then answers: a caller
    /// that goes away meanwhile changes nothing.
    async fn write<T>(&self, job: impl FnOnce(&mut Batch<'_>) -> Result<T>) -> Result<T> {
        let answer = {
            let mut data = self.data();
            let after = data.position();
            let mut batch = Batch {
                data: &mut data,
                changes: Vec::new(),
            };
            let answer = job(&mut batch);
            let changes = batch.changes;
            if !changes.is_empty() {
                self.observer.committed(Commit {
                    advance: Advance::between(after, data.position()),
                    changes: &changes,
                });
            }
            answer
        };
        let mut has_waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut has_waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        answer
    }
}

/// Memory does not fail.
#[async_trait]
impl Medium for MemoryStore {
    async fn settle(&self) -> Result<()> {
        Ok(())
    }

    async fn started(&self) -> Result<()> {
        Ok(())
    }

    async fn stopped(&self) -> Result<()> {
        Ok(())
    }

    async fn changed_elsewhere(&self) {
        std::future::pending().await
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        None
    }

    fn sealed_keys(&self) -> Option<&dyn SealedKeys> {
        None
    }

    fn login_counts(&self) -> Option<&dyn LoginCounts> {
        None
    }

    async fn died(&self) {
        std::future::pending().await
    }

    async fn responds(&self) -> bool {
        true
    }

    fn has_died(&self) -> bool {
        false
    }

    fn register_metrics(&self, _: &mut Registry) {}
}

#[async_trait]
impl Writes for MemoryStore {
    async fn commit(&self, order: Order) -> Result<std::result::Result<Committed, Refused>> {
        let done = self.write(|batch| batch.carry_out(order)).await?;
        Ok(done.map(|done| Committed {
            position: done.position,
            recorded: done.record.map(Recorded::after_commit),
            project: done.project,
            bulk: done.bulk,
        }))
    }
}

impl Batch<'_> {
    fn carry_out(&mut self, order: Order) -> Result<std::result::Result<Done, Refused>> {
        let Order {
            guards,
            effects,
            cause,
        } = order;
        let recorded = effects.iter().find_map(|effect| match effect {
            Effect::Record(new) => Some(&new.token),
            _ => None,
        });
        for guard in guards {
            if !self.data.holds(&guard, recorded) {
                return Ok(Err(Refused(guard)));
            }
        }
        // A single effect fails before it has changed anything.
        let position = self.data.position();
        let before = (effects.len() > 1).then(|| self.data.clone());
        let latest = &mut self.data.time.latest;
        *latest = cause.at.max(*latest);
        let mut done = Done::default();
        let mut realms = Vec::new();
        let makes = Makes::of(&effects);
        let key = cause.idempotency.filter(|_| !effects.is_empty());
        for effect in effects {
            realms.extend(effect.realms());
            let action = rules::audit::action(&effect);
            if let Err(error) = self.apply(effect, &cause, &mut done) {
                if let Some(before) = before {
                    *self.data = before;
                }
                self.changes.clear();
                return Err(error);
            }
            if let Some(action) = action {
                let bulk = done.bulk.as_ref().map(|bulk| bulk.id);
                self.data.audit.note(action.numbered(done.project, bulk), &cause);
            }
        }
        self.changed(realms);
        done.position = Some(self.data.position()).filter(|reached| *reached != position);
        if let Some(key) = key {
            let given = GivenNumbers {
                token: done.record.as_ref().map(|record| record.id),
                bulk: done.bulk.as_ref().map(|bulk| bulk.id),
                project: done.project,
                event: self.data.feed.sequence,
            };
            let made = makes.and_then(|makes| makes.made(given));
            self.data.record_key(key, cause.at, made);
        }
        Ok(Ok(done))
    }
}

impl ReturnedIndexes for Shared {
    fn give_back(&self, ListIndex { list, index }: ListIndex) {
        locked(&self.returned).entry(list).or_default().push(index);
    }
}
