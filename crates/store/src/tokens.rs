//! The contract for tokens.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{Generation, Result};
use jeton_core::directory::{OrganizationId, Person};
use jeton_core::token::{
    Filter, Listing, NewToken, Page, Place, Record, Refusals, Revocation, RevocationNote, TokenId,
    TokenReference,
};

/// Tokens' records.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// A place in the status lists for a token about to be recorded. Nobody else gets it, unless the
    /// reservation is dropped before the token is recorded.
    async fn reserve(&self, token: &NewToken) -> Result<ReservedPlace>;

    /// Records a token at its place in the status lists, and ends the tokens that it replaces, all at once
    /// and under the conditions of the order; and that its key is needed until it ends. With a key that
    /// does not sign it is `Stale`.
    ///
    /// A token with a slot ends whatever is in that slot of its owner. A token that is rotated has one
    /// successor, and at most one token before it is in its grace: rotating again, or issuing into the
    /// slot, ends that one at once.
    async fn record(&self, order: RecordOrder, place: ReservedPlace) -> Result<RecordOutcome>;

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
    async fn revoke(&self, order: RevokeOrder) -> Result<RevokeOutcome>;

    /// Adds to what is known of revoked tokens that were presented. Unknown tokens are passed over.
    async fn note_refusals(&self, refused: Vec<(TokenId, Refusals)>) -> Result<()>;
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

/// The order to record a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOrder {
    /// The token.
    pub token: NewToken,
    /// The directory in which its owner was found alive and its issuer allowed.
    pub judged_at: Generation,
    /// How many active tokens its owner may have, and where.
    pub limits: Vec<Limit>,
    /// What is asked of its name.
    pub naming: Naming,
    /// The token whose rights it takes over, if it takes over any.
    pub rotation: Option<Rotation>,
}

/// The most active tokens, the new one included, that an owner may have in an organization. What acts
/// for a person in all of their organizations counts in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In which organization: the token's own, or any of the person for whom it acts in all of theirs.
    pub organization: OrganizationId,
    /// How many.
    pub most: u32,
}

/// What is asked of the name of a token about to be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    /// Nothing: an owner's tokens may be called alike.
    #[default]
    Free,
    /// That no other active token of the owner has it, to the letter. What a limit does not count has
    /// given up its name, and so has what the token takes the place of; the empty name is none, and
    /// never taken.
    Unique,
}

/// That a token is replaced by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The token that is replaced.
    pub token: TokenId,
    /// How it ends: at once, or after its grace.
    pub revocation: Revocation,
}

/// The order to revoke one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeOrder {
    /// Which one.
    pub token: TokenId,
    /// When, by whom and why.
    pub revocation: Revocation,
    /// Whether it may leave its owner without one.
    pub last_token: LastToken,
}

/// Whether an order may end the last active token of an owner in an organization that keeps those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastToken {
    /// It is not revoked.
    Stays,
    /// It is revoked like any other.
    MayGo,
}

/// What became of an order to record.
#[derive(Debug)]
pub enum RecordOutcome {
    /// It is on disk.
    Recorded(Recorded),
    /// The directory has changed, or the key does not sign any more; judge again.
    Stale,
    /// The owner has as many active tokens as allowed. What it would take the place of does not count,
    /// nor does what is in its grace while its successor lives.
    LimitReached {
        /// How many those are.
        most: u32,
    },
    /// Another active token of the owner has the name.
    NameTaken,
    /// The token to be replaced is revoked, expired or replaced already.
    NotActive,
    /// A cut-off covers everything issued for this owner through this second; issue after it.
    CutOff {
        /// Seconds since the Unix epoch.
        issued_through: i64,
    },
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
    Revoked(RevocationNote),
    /// It had been revoked, with effect no later than this order's; nothing changed.
    AlreadyRevoked(RevocationNote),
    /// It is the last active token of its owner, and stays.
    Last,
    /// There is no such token.
    Unknown,
}
