//! The contract for tokens: their records, status list indexes and slots.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{CountFacts, Recount, Result, Surface, Versions};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Person, UserId};
use jeton_core::token::{
    Filter, ListIndex, Listing, NewToken, Owner, Page, Record, ReportingAudience, RevocationNote, Slot,
    TokenId, TokenReference,
};

/// Reads records of tokens, and reserves status list indexes.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Reserves a status list index for a token about to be recorded. The index is exclusive. If the
    /// reservation is dropped before the token is recorded, the index is the next to be reserved.
    ///
    /// The index is of the newest list of the token's
    /// [`LifetimeClass`](crate::rules::status_lists::LifetimeClass), if that is open and not retired, and of a
    /// new one otherwise. A backend that serves the public draws indexes at random: they must not reveal which
    /// tokens were issued one after the other.
    async fn reserve(&self, token: &NewToken) -> Result<ReservedIndex>;

    /// Returns the token with a `jti`, API token or session; `None` if it was never recorded or is deleted.
    /// Includes its person and its realms even if they were removed.
    async fn presented(&self, jti: Uuid) -> Result<Option<Presented>>;

    /// Returns the record of an API token. Sessions are found by [`Tokens::presented`] only.
    async fn token(&self, reference: TokenReference) -> Result<Option<Record>>;

    /// Returns one page of the API tokens that match. Texts are sorted by their bytes. A backend may bound the
    /// number of rows that it reads ([`StoreError::TooCostly`](crate::StoreError::TooCostly)).
    async fn tokens(&self, filter: Filter, page: Page) -> Result<Listing>;

    /// Returns the number of API tokens that match, however many rows that reads: an order to revoke is not
    /// refused for its size.
    async fn count_matching(&self, filter: Filter) -> Result<u64>;

    /// Counts the API tokens that match by their status at an instant, in one scan over the tokens of the filter's owner.
    /// The filter names no status. The read is bounded as [`Tokens::tokens`] is.
    async fn summary(&self, filter: Filter, at: SummaryInstants) -> Result<Summary>;

    /// Returns the token that a slot of an owner holds, if any, as
    /// [`Guard::SlotHolds`](crate::Guard::SlotHolds) defines it.
    async fn token_in_slot(&self, owner: Owner, slot: Slot) -> Result<Option<Record>>;

    /// Returns when, by whom and why each of these tokens was ended by a cut-off: of several, by the first that took
    /// effect. Tokens that none has ended at this instant are left out.
    async fn cut_off_notes(
        &self,
        tokens: Vec<TokenId>,
        now: Timestamp,
    ) -> Result<Vec<(TokenId, RevocationNote)>>;

    /// Returns those of these audiences that have ever reported use, in the order of their names, each once.
    async fn reporting_audiences(&self, audiences: Vec<String>) -> Result<Vec<ReportingAudience>>;

    /// Returns whether a token is an API token that has not expired at an instant, has no revocation (a
    /// scheduled one included) and is covered by no cut-off.
    async fn is_standing(&self, token: TokenId, now: Timestamp) -> Result<bool>;

    /// Returns the newest token of an owner, other than this one, that is active as [`Tokens::is_standing`]
    /// defines it.
    async fn other_active(&self, owner: Owner, token: TokenId, now: Timestamp) -> Result<Option<TokenId>>;

    /// Returns the tokens of an owner that have a name. Reads all tokens of the owner.
    async fn name_use(&self, owner: Owner, name: String, now: Timestamp) -> Result<NameUse>;

    /// Returns the stored count of an owner's active tokens. One look-up.
    async fn owner_count(&self, owner: Owner) -> Result<CountFacts>;

    /// Counts an owner's active tokens at an instant, by [`counts`](crate::rules::limits::counts). Reads all
    /// tokens of the owner.
    async fn count_tokens(&self, owner: Owner, now: Timestamp) -> Result<Recount>;

    /// Returns the number of a person's sessions that have not ended at an instant.
    async fn count_sessions(&self, user: UserId, now: Timestamp) -> Result<u64>;

    /// Returns the sessions of a person that have not ended at an instant, the newest first.
    async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<OpenSession>>;

    /// Counts the next portion of all tokens at an instant, in the order of their ids: those after `after`, or the
    /// first ones. A portion is bounded, so that counting delays nothing else.
    async fn tally(&self, after: Option<TokenId>, now: Timestamp) -> Result<Tally>;

    /// Returns the API tokens that have one of these `jti` claims, in any order.
    async fn known_tokens(&self, jtis: Vec<Uuid>) -> Result<Vec<KnownToken>>;
}

/// The instants of a [`Summary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummaryInstants {
    /// The instant of the statuses.
    pub now: Timestamp,
    /// A token expires soon if it expires before this instant.
    pub expires_before: Timestamp,
    /// A token is unused if it was neither used nor created since this instant.
    pub unused_since: Timestamp,
}

/// The number of API tokens of each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Those that are active.
    pub active: u64,
    /// Those that have expired and were not revoked.
    pub expired: u64,
    /// Those that are revoked, by their own revocation or a cut-off.
    pub revoked: u64,
    /// The active ones that expire soon.
    pub expiring: u64,
    /// The active ones that are unused.
    pub unused: u64,
}

/// The number of tokens of each status, in a portion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// API tokens that are active.
    pub active: u64,
    /// API tokens that have expired and were not revoked.
    pub expired: u64,
    /// API tokens that are revoked, by their own revocation or a cut-off.
    pub revoked: u64,
    /// Sessions that are active.
    pub sessions: u64,
    /// Active API tokens that expire within a day and have no revocation, not even a scheduled one: they end
    /// without a successor.
    pub ending_in_a_day: u64,
    /// Those that expire within seven days.
    pub ending_in_a_week: u64,
    /// Those that expire within thirty days.
    pub ending_in_a_month: u64,
    /// The last token that was counted; `None` at the end.
    pub next: Option<TokenId>,
}

impl Tally {
    /// Joins a portion with the one that follows it.
    #[must_use]
    pub fn then(self, following: Self) -> Self {
        Self {
            active: self.active + following.active,
            expired: self.expired + following.expired,
            revoked: self.revoked + following.revoked,
            sessions: self.sessions + following.sessions,
            ending_in_a_day: self.ending_in_a_day + following.ending_in_a_day,
            ending_in_a_week: self.ending_in_a_week + following.ending_in_a_week,
            ending_in_a_month: self.ending_in_a_month + following.ending_in_a_month,
            next: following.next,
        }
    }
}

/// The use of a name among an owner's tokens, at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameUse {
    /// Three of the tokens that have exactly this name and are active as [`Tokens::is_standing`] defines it, or
    /// all if there are fewer: a new token replaces two at most.
    pub bearers: Vec<TokenId>,
    /// The newest token of the deployment, of any owner; `None` if there is none.
    pub newest: Option<TokenId>,
}

/// An API token that was found by its `jti` claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownToken {
    /// The claim.
    pub jti: Uuid,
    /// Its id.
    pub id: TokenId,
    /// When it was issued.
    pub created_at: Timestamp,
}

/// A session that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Its number.
    pub id: TokenId,
    /// Its `jti`.
    pub jti: Uuid,
    /// When its person logged in.
    pub created_at: Timestamp,
    /// When it expires; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, as far as that is recorded.
    pub last_used_at: Option<Timestamp>,
    /// The client address of that use, if addresses are recorded.
    pub last_used_from: Option<IpAddr>,
    /// The surface of the login; `None` if it was not recorded.
    pub surface: Option<Surface>,
    /// The client address of the login, if it is known.
    pub address: Option<IpAddr>,
}

/// A status list index that is reserved for one token. Dropping it returns the index to the backend, unless
/// [`ReservedIndex::record`] used it: no refusal, error, panic or cancelled request loses an index.
pub struct ReservedIndex {
    list_index: ListIndex,
    /// `None` once the token is recorded.
    returns_to: Option<Arc<dyn ReturnedIndexes>>,
}

impl ReservedIndex {
    /// Creates a reservation. Only a backend calls this.
    pub fn new(list_index: ListIndex, returns_to: Arc<dyn ReturnedIndexes>) -> Self {
        Self {
            list_index,
            returns_to: Some(returns_to),
        }
    }

    /// Returns the status list index, for the claims.
    pub fn list_index(&self) -> ListIndex {
        self.list_index
    }

    /// Uses the index up. A backend calls this as soon as the token's row is written, even if the commit may
    /// still fail: after a failed commit it is unknown whether the row exists.
    pub fn record(mut self) {
        self.returns_to = None;
    }
}

impl Drop for ReservedIndex {
    fn drop(&mut self) {
        if let Some(returns_to) = self.returns_to.take() {
            returns_to.give_back(self.list_index);
        }
    }
}

impl std::fmt::Debug for ReservedIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReservedIndex").field(&self.list_index).finish()
    }
}

/// A backend's pool of reserved indexes whose tokens were not recorded.
pub trait ReturnedIndexes: Send + Sync {
    /// Returns an unused index to the pool. Must not block.
    fn give_back(&self, list_index: ListIndex);
}

/// Whether a bulk revocation may revoke the last active token of an owner in an organization that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastToken {
    /// It is not revoked.
    Stays,
    /// It is revoked like any other.
    MayGo,
}

/// Proof that a token's record is on disk. Returning a signed token consumes it: each token has a durable row,
/// and each row yields one token.
#[derive(Debug)]
pub struct Recorded(Box<Record>);

impl Recorded {
    /// Creates the proof. Only a backend calls this, and only after its commit.
    pub fn after_commit(record: Box<Record>) -> Self {
        Self(record)
    }

    /// Returns the record, for the one response.
    pub fn into_record(self) -> Record {
        *self.0
    }
}

/// A presented token with its owner's state, at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Its record.
    pub record: Record,
    /// The person it acts for, if any.
    pub person: Option<Person>,
    /// Whether its organization, its team or its person was removed.
    pub is_owner_removed: bool,
    /// Whether its person is a member of its organization; `false` if it has no person or no organization.
    pub is_member: bool,
    /// The versions of its organization and its person, in the same instant.
    pub generations: Versions,
}
