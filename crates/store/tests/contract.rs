//! The store in memory: the contract.

use jeton_store::memory::MemoryDatabase;

jeton_store::contract!(MemoryDatabase);
