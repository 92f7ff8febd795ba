//! What is revoked, in memory, and how it is published.

mod backlog;
mod compress;
mod cut_offs;
mod index;
mod lists;
mod published;
mod realms;
mod scheduled;

pub use backlog::Unfilled;
pub use compress::CompressionError;
pub use index::Index;
pub use lists::{Bits, List};
pub use published::{LIFE, Publication, Published, Validity};
pub use realms::Realms;
