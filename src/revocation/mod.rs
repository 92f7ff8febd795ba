//! What is revoked, in memory.

mod index;

pub use index::Index;
