//! The servers of the deployment: their leases, and the notices of what others have committed.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::poll_fn;
use jeton_verifier::event::Position;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;

use crate::PostgresStore;
use crate::failure::Failure;
use crate::open::KNOWN;
use crate::route::Route;
use crate::values::{Columns, get, params};
use jeton_core::clock::Timestamp;
use jeton_store::{Durability, Generation, Node, NodeState, Nodes, Renewal, Result};

/// The channel of notices. They say nothing: what has changed is read from the tables.
pub(super) const NOTIFY: &str = "NOTIFY jeton_committed";
const LISTEN: &str = "LISTEN jeton_committed";

/// How long a notice is waited for, and how long until a lost connection is replaced.
const POLL: Duration = Duration::from_millis(250);

/// How long a renewal may take: a commit that waits for a standby waits for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// The clock of the database.
pub(super) const CLOCK: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Whether commits wait for a standby, and whether there is one.
const STANDBYS: &str =
    "current_setting('synchronous_standby_names') <> '', EXISTS (SELECT 1 FROM pg_stat_replication)";

#[async_trait]
impl Nodes for PostgresStore {
    fn stale_after(&self) -> Duration {
        self.stale_after
    }

    async fn renew(&self, node: &Node) -> Result<Renewal> {
        let route = self.connections.route();
        // What it follows is not what the last renewal has seen: another server answers its queries.
        if node.position.sequence < self.seen.load(Ordering::Acquire) {
            route.leave();
        }
        let renewed = timeout(PATIENCE, self.beat(node)).await;
        match renewed.unwrap_or(Err(Failure::Late)) {
            Ok(renewal) => {
                self.seen.store(renewal.head.sequence, Ordering::Release);
                Ok(renewal)
            }
            Err(failure) => {
                // It hangs, or is a former primary, or is gone: there may be another one.
                route.leave();
                Err(failure.into())
            }
        }
    }

    async fn prove_loss(&self, followed: Position, edit: Generation) -> Result<bool> {
        let proof = async {
            let mut connection = self.connections.write().await?;
            let proof = self.history.prove_loss(&mut connection, followed, edit);
            proof.await
        };
        Ok(timeout(PATIENCE, proof).await.unwrap_or(Err(Failure::Late))?)
    }

    async fn nodes(&self, since: Timestamp) -> Result<Vec<NodeState>> {
        let connection = self.connections.read().await?;
        let query = format!(
            "SELECT id, name, version, renewed_at, renewed_at + $2 > {CLOCK}, epoch, sequence, hash FROM nodes
             WHERE renewed_at >= $1 ORDER BY name, id"
        );
        let lasts = i64::try_from(self.stale_after.as_millis()).unwrap_or(i64::MAX);
        let rows = connection.rows(&query, params![since, lasts]).await?;
        let nodes = rows.iter().map(|row| {
            let columns = &mut Columns::of(row);
            let (id, name, version) = (columns.take()?, columns.take()?, columns.take()?);
            let (renewed_at, is_current) = (columns.take()?, columns.take()?);
            let position = Position {
                epoch: columns.take()?,
                sequence: columns.take()?,
                hash: columns.take()?,
            };
            Ok(NodeState {
                node: Node {
                    id,
                    name,
                    version,
                    position,
                },
                renewed_at,
                is_current,
            })
        });
        Ok(nodes.collect::<std::result::Result<_, Failure>>()?)
    }

    async fn durability(&self) -> Result<Durability> {
        let connection = self.connections.read().await?;
        let row = connection.row(&format!("SELECT {STANDBYS}"), params![]).await?;
        Ok(durability(get(&row, 0)?, get(&row, 1)?))
    }
}

impl PostgresStore {
    /// Commits a beat. On a connection of its own kind: it waits for no writer, and its commit waits for the standby.
    async fn beat(&self, node: &Node) -> std::result::Result<Renewal, Failure> {
        let mut connection = self.connections.write().await?;
        let history = &self.history;
        let history_check = history.follow_timeline(&connection, &self.list_indexes).await?;
        // The role or the database may have another setting, and the lease stands on this commit.
        connection
            .begin("BEGIN; SET LOCAL synchronous_commit = on")
            .await?;
        history.compare_tokens(&connection).await?;
        let statement = format!(
            "INSERT INTO nodes (id, name, version, beat, renewed_at, epoch, sequence, hash)
             VALUES ($1, $2, $3, 1, {CLOCK}, $4, $5, $6)
             ON CONFLICT (id) DO UPDATE SET beat = nodes.beat + 1, renewed_at = excluded.renewed_at,
                epoch = excluded.epoch, sequence = excluded.sequence, hash = excluded.hash
             RETURNING renewed_at, {STANDBYS},
                (SELECT epoch FROM meta), (SELECT sequence FROM meta), (SELECT hash FROM meta),
                (SELECT served_from FROM jeton_schema)"
        );
        let position = &node.position;
        let row = connection
            .row(
                &statement,
                params![
                    node.id,
                    node.name,
                    node.version,
                    position.epoch,
                    position.sequence,
                    position.hash
                ],
            )
            .await?;
        let columns = &mut Columns::of(&row);
        let now = columns.take()?;
        let durability = durability(columns.take()?, columns.take()?);
        let head = Position {
            epoch: columns.take()?,
            sequence: columns.take()?,
            hash: columns.take()?,
        };
        if columns.take::<usize>()? > KNOWN {
            return Err(Failure::Excluded);
        }
        connection.commit().await?;
        Ok(Renewal {
            now,
            durability,
            history_check,
            head,
        })
    }
}

/// Returns where commits are on disk, by [`STANDBYS`].
fn durability(waits_for_standby: bool, has_standby: bool) -> Durability {
    match (waits_for_standby, has_standby) {
        (true, _) => Durability::Synchronous,
        (false, true) => Durability::Asynchronous,
        (false, false) => Durability::Local,
    }
}

/// The notices of commits.
pub(super) struct Notices {
    changed: Arc<Notify>,
    listening: AbortHandle,
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Notices {
    /// Waits for a notice, or for a while: one can be lost with its connection.
    pub(super) async fn next(&self) {
        // Either is a reason to look.
        let _ = timeout(POLL, self.changed.notified()).await;
    }

    /// Listens, on a connection of its own, until it is dropped.
    pub(super) fn listen(route: Route) -> Self {
        let changed = Arc::new(Notify::new());
        let told = Arc::clone(&changed);
        let listening = tokio::spawn(async move {
            loop {
                tokio::select! {
                    ended = listen(&route, &told) => if let Err(error) = ended {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "listening for commits ended"
                        );
                    },
                    () = route.is_left() => {}
                }
                // Until it listens again, polls find what others commit.
                sleep(POLL).await;
            }
        });
        Self {
            changed,
            listening: listening.abort_handle(),
        }
    }
}

/// Tells of notices until the connection ends.
async fn listen(route: &Route, changed: &Notify) -> std::result::Result<(), tokio_postgres::Error> {
    let connecting = timeout(route.patience(), route.connect());
    let Ok(connected) = connecting.await else {
        return Ok(());
    };
    let (client, mut connection) = connected?;
    let mut begun = pin!(client.batch_execute(LISTEN));
    let mut is_begun = false;
    poll_fn(|context| {
        if !is_begun && let Poll::Ready(answer) = begun.as_mut().poll(context) {
            is_begun = true;
            if let Err(error) = answer {
                return Poll::Ready(Err(error));
            }
        }
        loop {
            match connection.poll_message(context) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(_)))) => changed.notify_one(),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
