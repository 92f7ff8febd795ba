//! The contract for the processes that serve one deployment: what each of them knows of the others.

use std::time::Duration;

use async_trait::async_trait;
use jeton_verifier::event::Position;
use uuid::Uuid;

use crate::{Generation, Result};
use jeton_core::clock::Timestamp;

/// What servers of one deployment know of each other, by a backend for several machines.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Returns for how long a server may answer for revocations after it has renewed its lease.
    fn stale_after(&self) -> Duration;

    /// Commits that a server is alive, with as much durability as a revocation has: a database that could not
    /// acknowledge a revocation renews no lease.
    ///
    /// # Errors
    ///
    /// Fails if the store does; the lease is not renewed then.
    async fn renew(&self, node: &Node) -> Result<Renewal>;

    /// Returns whether the store has lost what was followed up to a position and an edit, which is certain then, and stops
    /// every server: one of them may not know what is lost. An answer alone proves nothing: it may be that of a former
    /// primary, which knows less.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    async fn prove_loss(&self, followed: Position, edit: Generation) -> Result<bool>;

    /// Returns the servers that have renewed their leases since an instant, by the clock of the store, ordered by their
    /// names and ids.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    async fn nodes(&self, since: Timestamp) -> Result<Vec<NodeState>>;

    /// Returns where what is acknowledged now is on disk.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    async fn durability(&self) -> Result<Durability>;
}

/// A server, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Drawn at its start.
    pub id: Uuid,
    /// The name of its machine.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The position in the feed up to which it knows all events.
    pub position: Position,
}

/// A server, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The server.
    pub node: Node,
    /// When it last renewed its lease, by the clock of the store.
    pub renewed_at: Timestamp,
    /// Whether that is not longer ago than a lease lasts, by the same clock.
    pub is_current: bool,
}

/// The answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The clock of the store. A server whose own clock differs by more than a second issues and revokes nothing.
    pub now: Timestamp,
    /// Where what is acknowledged is on disk.
    pub durability: Durability,
    /// How a loss of history is noticed.
    pub history_check: HistoryCheck,
    /// The last event of the feed, as the commit has seen it: every revocation that was acknowledged before. The lease is
    /// good for a server that has followed up to it.
    pub head: Position,
}

/// How a server notices that the store has lost history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryCheck {
    /// By the position and the hash of the last event that it knows, and by the timeline of the database: after a failover
    /// no reserved status list index is used.
    Timeline,
    /// By position and hash alone: the service does not tell the timeline.
    Position,
}

/// Where what is acknowledged is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On one machine.
    Local,
    /// On a second machine, before the answer.
    Synchronous,
    /// On a second machine, some time after the answer.
    Asynchronous,
}

impl Durability {
    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
        }
    }
}
