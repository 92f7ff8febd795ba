//! What is revoked, in memory, and how it is published.

mod backlog;
mod compress;
mod cut_offs;
mod index;
mod list;
mod lists;
mod published;
mod realms;
mod scheduled;

pub use backlog::Unfilled;
pub use compress::CompressionError;
pub use index::Index;
pub use list::{Bits, List};
pub use published::{LIFE, Publication, Published, Validity};
pub use realms::Realms;
