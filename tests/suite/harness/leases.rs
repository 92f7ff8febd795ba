//! The servers of a deployment as a store for several machines shows them, without such a store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jeton_core::clock::{Clock, Timestamp};
use jeton_store::{
    Durability, Generation, HistoryCheck, Node, NodeState, Nodes, Renewal, Result, StoreError,
};
use jeton_verifier::event::Position;
use uuid::Uuid;

use crate::harness::{FakeClock, SECRET_CAUSE};

/// Leases that a test lets end.
pub(crate) struct Leases {
    clock: OnceLock<Arc<FakeClock>>,
    /// Whether renewals fail.
    pub(crate) fail: AtomicBool,
    /// How far the clock of the store is ahead of the server's, in milliseconds.
    pub(crate) ahead: AtomicI64,
    pub(crate) durability: Mutex<Durability>,
    pub(crate) history_check: Mutex<HistoryCheck>,
    /// How many events a renewal sees that no read returns.
    pub(crate) unread: AtomicU64,
    known: Mutex<BTreeMap<Uuid, NodeState>>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            clock: OnceLock::new(),
            fail: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
            durability: Mutex::new(Durability::Synchronous),
            history_check: Mutex::new(HistoryCheck::Timeline),
            unread: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }
}

impl Leases {
    /// How long a lease lasts, in seconds.
    pub(crate) const LAST: i64 = 5;

    /// Sets the clock of the server, which the store's follows.
    pub(crate) fn follow(&self, clock: &Arc<FakeClock>) {
        let _ = self.clock.set(Arc::clone(clock));
    }

    fn now(&self) -> Timestamp {
        let now = self.clock.get().unwrap().now();
        Timestamp::from_millis(now.millis() + self.ahead.load(Ordering::SeqCst)).unwrap()
    }
}

#[async_trait]
impl Nodes for Leases {
    fn stale_after(&self) -> Duration {
        Duration::from_secs(Self::LAST.unsigned_abs())
    }

    async fn renew(&self, node: &Node) -> Result<Renewal> {
        if self.fail.load(Ordering::SeqCst) {
            return Err(StoreError::Failed(SECRET_CAUSE.into()));
        }
        let now = self.now();
        let state = NodeState {
            node: node.clone(),
            renewed_at: now,
            is_current: true,
        };
        self.known.lock().unwrap().insert(node.id, state);
        let durability = self.durability().await?;
        let history_check = *self.history_check.lock().unwrap();
        Ok(Renewal {
            now,
            durability,
            history_check,
            head: Position {
                sequence: node.position.sequence + self.unread.load(Ordering::SeqCst),
                ..node.position
            },
        })
    }

    async fn prove_loss(&self, _: Position, _: Generation) -> Result<bool> {
        Ok(!self.fail.load(Ordering::SeqCst))
    }

    async fn nodes(&self, since: Timestamp) -> Result<Vec<NodeState>> {
        let now = self.now();
        let known = self.known.lock().unwrap();
        let mut nodes: Vec<NodeState> = known.values().cloned().collect();
        nodes.retain(|state| state.renewed_at >= since);
        nodes.sort_by_key(|state| (state.node.name.clone(), state.node.id));
        for state in &mut nodes {
            state.is_current = state.renewed_at.plus_seconds(Self::LAST) > now;
        }
        Ok(nodes)
    }

    async fn durability(&self) -> Result<Durability> {
        Ok(*self.durability.lock().unwrap())
    }
}
