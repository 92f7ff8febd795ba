//! The lease of a server beside others, and what they say of themselves.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use uuid::Uuid;

use crate::authority::{Authority, Error, Result};
use jeton_store::{Durability, Node, NodeState, Renewal};

/// How far the clock may be from the store's, in milliseconds.
const SKEW: i64 = 1_000;

/// How long a server is shown after its last renewal, in seconds.
const SHOWN: i64 = 3_600;

/// What the last renewal said.
#[derive(Debug)]
pub(super) struct LeaseState {
    /// How far this clock is ahead of the store's, in milliseconds.
    ahead: AtomicI64,
    durability: AtomicU8,
}

impl Default for LeaseState {
    fn default() -> Self {
        Self {
            ahead: AtomicI64::new(0),
            durability: AtomicU8::new(number(Durability::Local)),
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
        let begun = self.index.moment();
        let node = Node {
            id: server.id,
            name: server.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            position: self.index.reached().ok_or(Error::Busy)?,
        };
        let Renewal { now, durability } = nodes.renew(&node).await?;
        self.catch_up().await?;
        self.index.renew(begun, nodes.stale_after());
        let ahead = self.clock.now().millis() - now.millis();
        self.lease.ahead.store(ahead, Ordering::Relaxed);
        self.lease.durability.store(number(durability), Ordering::Relaxed);
        Ok(())
    }

    /// Returns the servers of the deployment that are or were alive an hour ago; none if its store is of one machine.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn nodes(&self) -> Result<Vec<NodeState>> {
        match self.store.nodes() {
            Some(nodes) => Ok(nodes.nodes(self.clock.now().plus_seconds(-SHOWN)).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Returns where what is acknowledged is on disk.
    pub fn durability(&self) -> Durability {
        let stored = self.lease.durability.load(Ordering::Relaxed);
        let durability = DURABILITIES.into_iter().find(|one| number(*one) == stored);
        durability.unwrap_or(Durability::Local)
    }

    /// Returns whether the clock agrees with the store's.
    pub(super) fn clock_agrees(&self) -> bool {
        self.lease.ahead.load(Ordering::Relaxed).abs() <= SKEW
    }
}
