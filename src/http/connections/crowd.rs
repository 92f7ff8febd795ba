//! The open connections, and the choice of those that make room for new ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jeton_core::network::Network;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::Limits;
use super::progress::Progress;
use crate::http::address::is_trusted;

/// How long a connection must have waited for its client before it is closed to make room. It must exceed the
/// network latency of a request, or the close would cut a request.
pub(super) const MINIMUM_WAIT: Duration = Duration::from_millis(500);

/// The fraction of all connections that one network may hold while there are too many.
const SHARE: usize = 8;

/// The fraction of all connections that are closed at once: choosing them takes a scan of all.
const AT_ONCE: usize = 64;

/// All open connections.
pub(super) struct Crowd {
    tasks: JoinSet<()>,
    members: HashMap<Id, Member>,
}

struct Member {
    /// `None` for a trusted proxy, whose connections are those of many clients.
    network: Option<Network>,
    progress: Arc<Progress>,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            members: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Adds a connection and runs its task.
    pub(super) fn add<T>(
        &mut self,
        peer: SocketAddr,
        trusted_proxies: &[IpNet],
        serve: impl FnOnce(Arc<Progress>) -> T,
    ) where
        T: Future<Output = ()> + Send + 'static,
    {
        let progress = Arc::new(Progress::new());
        let task = self.tasks.spawn(serve(Arc::clone(&progress)));
        let network = (!is_trusted(trusted_proxies, peer.ip())).then(|| Network::of(peer.ip()));
        self.members.insert(task.id(), Member { network, progress });
    }

    /// Waits for the end of a connection; `None` if there is none.
    pub(super) async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.members.remove(&id);
        Some(ended.map(|_| ()))
    }

    /// Closes the connections that have waited longest for their clients, first those of networks that hold more
    /// than their share of `most` connections. Without a connection that has waited long enough it closes none; then those
    /// of such networks that wait for the server end with its response, so that requests without a pause keep nobody
    /// out.
    pub(super) fn make_room(&self, most: usize) {
        let mut held: HashMap<Network, usize> = HashMap::new();
        for network in self.members.values().filter_map(|member| member.network) {
            *held.entry(network).or_default() += 1;
        }
        let now = Instant::now();
        let mut waiting: Vec<(Instant, &Member)> = self
            .members
            .values()
            .filter_map(|member| Some((member.progress.waits_since()?, member)))
            .filter(|(since, _)| *since + MINIMUM_WAIT <= now)
            .collect();
        waiting.sort_unstable_by_key(|(since, _)| *since);
        let share = (most / SHARE).max(1);
        if waiting.is_empty() {
            let is_beyond = |network: Network| held.get(&network).is_some_and(|held| *held > share);
            let members = self.members.values();
            let beyond = members.filter(|member| member.network.is_some_and(is_beyond));
            for member in beyond.filter(|member| member.progress.waits_since().is_none()) {
                member.progress.leave();
            }
        }
        let (beyond_share, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, member)| {
            let held = member.network.and_then(|network| held.get_mut(&network));
            let beyond = held.filter(|held| **held > share);
            beyond.map(|held| *held -= 1).is_some()
        });
        let closed = beyond_share.into_iter().chain(others);
        for (since, member) in closed.take((most / AT_ONCE).max(1)) {
            member.progress.make_room(since);
        }
    }

    /// Begins the shutdown of every connection.
    pub(super) fn stop(&self, limits: &Limits) {
        for member in self.members.values() {
            member.progress.stop(limits);
        }
    }
}
