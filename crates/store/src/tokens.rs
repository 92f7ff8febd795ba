//! The contract for tokens.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{CountFacts, JudgedAt, Recount, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::Person;
use jeton_core::token::{
    Filter, Listing, NewToken, Owner, Page, Place, Record, Slot, TokenId, TokenReference,
};

/// Tokens' records.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// A place in the status lists for a token about to be recorded. Nobody else gets it, unless the
    /// reservation is dropped before the token is recorded: then it is given again, before any other.
    ///
    /// It is of the newest list of the token's [`LifetimeClass`](crate::rules::status_lists::LifetimeClass), if
    /// that is open and not retired, and of a new one otherwise. What is served to strangers must not show
    /// which tokens were issued one after the other: such a backend draws the indexes at random.
    async fn reserve(&self, token: &NewToken) -> Result<ReservedPlace>;

    /// What the store knows about a token that somebody presents, API token or session, or `None` if it never
    /// recorded it, or has forgotten it. Its person and its realms are told even if they were removed.
    async fn presented(&self, jti: Uuid) -> Result<Option<Presented>>;

    /// One API token's record. Sessions are found by [`Tokens::presented`] only.
    async fn token(&self, reference: TokenReference) -> Result<Option<Record>>;

    /// One page of the API tokens that match. Texts are in the order of their bytes.
    async fn tokens(&self, filter: Filter, page: Page) -> Result<Listing>;

    /// The token that a slot of an owner holds, if it holds one, as
    /// [`Guard::SlotHolds`](crate::Guard::SlotHolds) sees it.
    async fn token_in_slot(&self, owner: Owner, slot: Slot) -> Result<Option<Record>>;

    /// Whether a token is an API token that has not expired at an instant and that nothing has ended or
    /// will: no revocation, now or later, and no cut-off.
    async fn is_standing(&self, token: TokenId, now: Timestamp) -> Result<bool>;

    /// The newest other token of a token's owner that [`Tokens::is_standing`] calls standing.
    async fn other_active(&self, token: TokenId, now: Timestamp) -> Result<Option<TokenId>>;

    /// What is known of how many active tokens an owner has. One look-up.
    async fn owner_count(&self, owner: Owner) -> Result<CountFacts>;

    /// Counts an owner's active tokens at an instant, by [`counts`](crate::rules::limits::counts). Reads all
    /// tokens of the owner.
    async fn count_tokens(&self, owner: Owner, now: Timestamp) -> Result<Recount>;

    /// Returns the API tokens that have one of these `jti` claims, in any order.
    async fn known_tokens(&self, jtis: Vec<Uuid>) -> Result<Vec<KnownToken>>;
}

/// An API token that somebody names by its `jti` claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownToken {
    /// The claim.
    pub jti: Uuid,
    /// Its id.
    pub id: TokenId,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A status list index that is reserved for one token. Dropped, it is returned to the backend, unless
/// [`ReservedPlace::record`] has used it up: neither a refusal nor an error, a panic or a cancelled
/// request loses it.
pub struct ReservedPlace {
    place: Place,
    /// `None` once the token is recorded.
    returns_to: Option<Arc<dyn ReturnedPlaces>>,
}

impl ReservedPlace {
    /// Only a backend calls this.
    pub fn new(place: Place, returns_to: Arc<dyn ReturnedPlaces>) -> Self {
        Self {
            place,
            returns_to: Some(returns_to),
        }
    }

    /// The place, for the claims.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Uses the reservation up. A backend calls this as soon as the token's row is written, even if the
    /// commit may still fail: after a failed commit it is unknown whether the row is there.
    pub fn record(mut self) {
        self.returns_to = None;
    }
}

impl Drop for ReservedPlace {
    fn drop(&mut self) {
        if let Some(returns_to) = self.returns_to.take() {
            returns_to.give_back(self.place);
        }
    }
}

impl std::fmt::Debug for ReservedPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReservedPlace").field(&self.place).finish()
    }
}

/// Takes back reserved places whose tokens were not recorded.
pub trait ReturnedPlaces: Send + Sync {
    /// Takes back a place that no token has. Must not block.
    fn give_back(&self, place: Place);
}

/// Whether an order may end the last active token of an owner in an organization that keeps those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastToken {
    /// It is not revoked.
    Stays,
    /// It is revoked like any other.
    MayGo,
}

/// Proof that a token's record is on disk. Handing out a signed token takes it by value: none without a
/// durable row, and one a row.
#[derive(Debug)]
pub struct Recorded(Box<Record>);

impl Recorded {
    /// Only a backend calls this, and only after its commit.
    pub fn after_commit(record: Box<Record>) -> Self {
        Self(record)
    }

    /// The record, for the one answer.
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
    /// Whether its organization, its team or its person was removed.
    pub is_owner_removed: bool,
    /// Whether its person belongs to its organization; `false` if it has none of the one or of the other.
    pub is_member: bool,
    /// The versions of its organization and its person, in the same instant.
    pub generations: JudgedAt,
}
