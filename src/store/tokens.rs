//! The contract for tokens.

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::directory::Person;
use crate::store::{Generation, Result};
use crate::token::{Filter, Listing, NewToken, Page, Record, Revocation, TokenId, TokenReference};

/// Tokens' records.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Records a token, its place in the status lists, and all conditions of the order, at once; and
    /// that its key is needed until it ends. With a key that does not sign it is `Stale`.
    async fn record(&self, order: RecordOrder) -> Result<RecordOutcome>;

    /// What the store knows about a token that somebody presents, or `None` if it never recorded it.
    async fn presented(&self, jti: Uuid) -> Result<Option<Presented>>;

    /// One API token's record. Sessions are found by [`Tokens::presented`] only.
    async fn token(&self, reference: TokenReference) -> Result<Option<Record>>;

    /// One page of the API tokens that match, newest first.
    async fn tokens(&self, filter: Filter, page: Page) -> Result<Listing>;

    /// Changes what people read about a token; `None` if there is no such token.
    async fn describe(
        &self,
        id: TokenId,
        description: Description,
        judged_at: Generation,
    ) -> Result<Judged<Option<Record>>>;

    /// Revokes a token, whatever its kind. An order that brings a revocation forward is remembered in
    /// place of the earlier one, with its time, author and reason; the feed keeps both.
    async fn revoke(&self, id: TokenId, revocation: Revocation) -> Result<RevokeOutcome>;

    /// Notes when tokens were last seen. Never moves an instant back; unknown tokens are passed over.
    async fn note_use(&self, seen: Vec<(TokenId, Timestamp)>) -> Result<()>;
}

/// The order to record a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOrder {
    /// The token.
    pub token: NewToken,
    /// The directory in which its owner was found alive and its issuer allowed.
    pub judged_at: Generation,
    /// The most active tokens its owner may have, this one included.
    pub most_active: Option<u32>,
}

/// What became of an order to record.
#[derive(Debug)]
pub enum RecordOutcome {
    /// It is on disk.
    Recorded(Recorded),
    /// The directory has changed, or the key does not sign any more; judge again.
    Stale,
    /// The owner has as many active tokens as allowed.
    LimitReached,
    /// A cut-off covers everything issued for this owner through this second; issue after it.
    CutOff {
        /// Seconds since the Unix epoch.
        issued_through: i64,
    },
}

/// Proof that a token's record is on disk. Signing takes it by value: no signature without a durable
/// row, and one signature a row.
#[derive(Debug)]
pub struct Recorded(Box<Record>);

impl Recorded {
    /// Only a backend calls this, and only after its commit.
    pub(in crate::store) fn after_commit(record: Box<Record>) -> Self {
        Self(record)
    }

    /// The record, for the one signature.
    pub fn into_record(self) -> Record {
        *self.0
    }
}

/// A token somebody presents, as the store knows it at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Its record.
    pub record: Record,
    /// The person it acts for, where it acts for one.
    pub person: Option<Person>,
    /// Whether everything it rests on still lives.
    pub liveness: Liveness,
}

/// Whether owner, team, organization and person of a token still live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// All of them.
    Live,
    /// One is gone or disabled, or the person no longer belongs to the token's organization. Site
    /// administrators belong to every organization while they are that.
    Gone,
}

/// What people read about a token; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The new name.
    pub name: Option<String>,
    /// The new description, or none.
    pub description: Option<Option<String>>,
}

/// What became of a write that was judged beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged<T> {
    /// It was carried out, with this result.
    Done(T),
    /// The directory has changed; judge again.
    Stale,
}

/// What became of an order to revoke. The first two are success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It is revoked, by this order.
    Revoked(Record),
    /// It had been revoked, with effect no later than this order's; nothing changed.
    AlreadyRevoked(Record),
    /// There is no such token.
    Unknown,
}
