//! Tokens: their ids, owners, scopes, lifetimes, records and revocations, and filters over them.

pub mod filter;
pub mod id;
pub mod lifetime;
pub mod owner;
pub mod record;
pub mod revocation;
pub mod scope;
pub mod slot;
pub mod usage;

pub use filter::{
    CountTotal, Cursor, Direction, End, Filter, Listing, Order, OwnerKind, Page, Sort, SortBy, SortValue,
    Start, StatusAt, Visibility, WantedStatus,
};
pub use id::{TokenId, TokenReference};
pub use lifetime::{Grace, Lifetime, Span};
pub use owner::Owner;
pub use record::{Actor, Lineage, NewToken, Record, Refusals, RevocationNote, Status, TokenKind};
pub use revocation::{CutOff, CutOffSubject, ListIndex, Reach, Revocation};
pub use scope::{Catalogue, Label, ManagementScope, Preset, Scope};
pub use slot::Slot;
pub use usage::{ReportedUse, ReportingAudience, Use};
