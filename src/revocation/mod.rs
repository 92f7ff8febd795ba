//! Revocation in memory: the index of revoked tokens, and the status lists published from it.

mod backlog;
mod compress;
mod cut_offs;
mod index;
mod lease;
mod list;
mod lists;
mod metrics;
mod published;
mod realms;
mod scheduled;
mod tail;

pub use backlog::Unfilled;
pub use compress::CompressionError;
pub use index::{FeedSnapshot, Index};
pub use lease::Moment;
pub use list::{Bits, List};
pub use published::{LIFE, Publication, Published, SignedText, Validity};
pub use realms::Realms;
pub use tail::{Heard, Told};
