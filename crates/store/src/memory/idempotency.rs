//! Idempotency keys.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;

use super::MemoryStore;
use super::data::Data;
use crate::{DoneRequest, Idempotency, IdempotencyKeys, Made, RecordedKeys, Result};

#[async_trait]
impl IdempotencyKeys for MemoryStore {
    async fn idempotency_key(&self, key: Idempotency) -> Result<RecordedKeys> {
        let data = self.data();
        let of_caller = data
            .idempotency_keys
            .values()
            .filter(|(known, _)| known.caller == key.caller);
        Ok(RecordedKeys {
            done: data.done(&key).cloned(),
            count: of_caller.count() as u64,
        })
    }
}

impl Data {
    /// Returns the request that was carried out with a key.
    pub(super) fn done(&self, key: &Idempotency) -> Option<&DoneRequest> {
        let mut all = self.idempotency_keys.values();
        all.find_map(|(known, done)| (known.key == key.key).then_some(done))
    }

    /// Records the key of an order.
    pub(super) fn record_key(&mut self, key: Idempotency, at: Timestamp, made: Option<Made>) {
        let newest = self.idempotency_keys.last_key_value();
        let number = newest.map_or(1, |(number, _)| number + 1);
        let request = key.request;
        let done = DoneRequest { request, at, made };
        self.idempotency_keys.insert(number, (key, done));
    }
}
