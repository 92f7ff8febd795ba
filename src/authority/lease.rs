//! The lease of a server beside others, and what they say of themselves.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use jeton_verifier::event::Position;
use uuid::Uuid;

use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::SKEW;
use jeton_store::{Durability, HistoryCheck, Node, NodeState, Renewal};

/// How long a server is shown after its last renewal, in seconds.
const SHOWN: i64 = 3_600;

/// The servers of a deployment.
#[derive(Debug, Default)]
pub struct NodeList {
    /// Where what is acknowledged is on disk; `None` if the store is of one machine.
    pub durability: Option<Durability>,
    /// The servers, ordered by their names and ids; none if the store is of one machine.
    pub nodes: Vec<NodeState>,
}

/// What the last renewal said.
#[derive(Debug)]
pub(super) struct LeaseState {
    durability: AtomicU8,
    /// Whether history is checked by the timeline too.
    has_timeline: AtomicBool,
}

impl Default for LeaseState {
    fn default() -> Self {
        Self {
            durability: AtomicU8::new(number(Durability::Local)),
            has_timeline: AtomicBool::new(false),
        }
    }
}

const DURABILITIES: [Durability; 3] = [
    Durability::Local,
    Durability::Synchronous,
    Durability::Asynchronous,
];

fn number(durability: Durability) -> u8 {
    durability as u8
}

/// A server, as it describes itself to others.
#[derive(Debug, Clone)]
pub struct Server {
    /// Drawn at its start.
    pub id: Uuid,
    /// The name of its machine.
    pub name: String,
}

impl Authority {
    /// Renews the lease of a server whose store others write too: says that it is alive, and follows all that was
    /// committed before. Does nothing for a store of one machine.
    ///
    /// # Errors
    ///
    /// Fails if the store does. Once the lease has ended, the server answers nothing that depends on revocation.
    pub async fn renew_lease(&self, server: &Server) -> Result<()> {
        let Some(nodes) = self.store.nodes() else {
            return Ok(());
        };
        let (begun, asked_at) = (self.index.moment(), self.clock.uptime());
        let node = Node {
            id: server.id,
            name: server.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            position: self.index.reached().ok_or(Error::Busy)?,
        };
        let Renewal {
            now,
            durability,
            history_check,
            head,
        } = nodes.renew(&node).await?;
        self.clock.compare(asked_at, now);
        self.catch_up().await?;
        // A former primary answers reads as if it were still the one that has committed the renewal.
        let has_reached = |known: Position| known.epoch == head.epoch && known.sequence >= head.sequence;
        if !self.index.reached().is_some_and(has_reached) {
            return Err(Error::Busy);
        }
        self.index.renew(begun, nodes.stale_after());
        self.lease.durability.store(number(durability), Ordering::Relaxed);
        let has_timeline = history_check == HistoryCheck::Timeline;
        self.lease.has_timeline.store(has_timeline, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the servers that renewed their leases within the last hour, for site administrators.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for others, and errors of the store.
    pub async fn nodes(&self, caller: &Caller) -> Result<NodeList> {
        policy::list_nodes(caller)?;
        self.operator_lists_nodes().await
    }

    /// Returns the same to the operator.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn operator_lists_nodes(&self) -> Result<NodeList> {
        let Some(store) = self.store.nodes() else {
            return Ok(NodeList::default());
        };
        Ok(NodeList {
            durability: Some(store.durability().await?),
            nodes: store.nodes(self.clock.now().plus_seconds(-SHOWN)).await?,
        })
    }

    /// Returns where what is acknowledged is on disk, as of the last renewal; `None` if the store is of one machine.
    pub fn durability(&self) -> Option<Durability> {
        self.store.nodes()?;
        let stored = self.lease.durability.load(Ordering::Relaxed);
        let durability = DURABILITIES.into_iter().find(|one| number(*one) == stored);
        Some(durability.unwrap_or(Durability::Local))
    }

    /// Returns how a loss of history is noticed, as of the last renewal; `None` if the store is of one machine.
    pub fn history_check(&self) -> Option<HistoryCheck> {
        self.store.nodes()?;
        Some(match self.lease.has_timeline.load(Ordering::Relaxed) {
            true => HistoryCheck::Timeline,
            false => HistoryCheck::Position,
        })
    }

    /// Returns the instant from which every server refuses what was revoked before this call: one that has not heard
    /// of it has lost its lease by then, also by a clock that differs. `None` if there are no other servers.
    pub fn refused_everywhere_by(&self) -> Option<Timestamp> {
        let lease = self.store.nodes()?.stale_after() + SKEW;
        let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.clock.now().millis().saturating_add(millis))
    }
}
