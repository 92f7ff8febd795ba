//! The store in memory: the contract.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use jeton_store::memory::MemoryDatabase;
use jeton_store::suite::Backend;
use jeton_store::suite::world::Seeded;
use jeton_store::{Observer, SharedStore};

/// A database that lives as long as its test.
struct Memory(MemoryDatabase);

impl Backend for Memory {
    fn create() -> Self {
        Self(MemoryDatabase::new(&Seeded))
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        Arc::new(self.0.open(observer).unwrap())
    }
}

jeton_store::contract!(Memory);
