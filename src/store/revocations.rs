//! The contract for what the memory of a process is rebuilt from: revocations and identity.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::store::{Change, Generation, Result};
use crate::token::{Actor, CutOff, Place};

/// Revocations, and the deployment's identity.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Records a cut-off and says which event of the feed it is.
    async fn cut_off(
        &self,
        cut_off: CutOff,
        by: Actor,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<u64>;

    /// Everything that a process must know before it calls a token active, of one instant.
    async fn snapshot(&self, now: Timestamp) -> Result<Snapshot>;

    /// What was committed after an event of the feed, by whichever process, in commit order. Comes in
    /// portions: more may follow unless it is empty, so ask again after the last event.
    async fn changes_after(&self, sequence: u64) -> Result<Changes>;

    /// The issuer of this database: the given one if none was pinned, otherwise the pinned one.
    async fn pin_issuer(&self, issuer: &str) -> Result<String>;

    /// Fails unless the store can be read and takes writes, within two seconds.
    async fn ready(&self) -> Result<()>;
}

/// The state of revocation at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The directory's version.
    pub generation: u64,
    /// The last event of the feed that is included.
    pub sequence: u64,
    /// The lists that exist.
    pub lists: Vec<u32>,
    /// Every unexpired token that is revoked now or from an instant ahead.
    pub revoked: Vec<(Place, Timestamp)>,
    /// Every cut-off.
    pub cut_offs: Vec<CutOff>,
}

/// What has happened since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The directory's version.
    pub generation: Generation,
    /// Revocations and cut-offs.
    pub events: Vec<Change>,
}
