//! Issuing: one statement for all tokens that wait, beside the other nodes that issue.
//!
//! A lane holds the writers' lock shared: while it does, no directory, key, cut-off or revocation changes, so that the
//! guards of its orders, which are about those alone, stand until its commit. An order with other guards or effects goes
//! to the writer.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use crate::connection::{Connection, Connections};
use crate::facts::Facts;
use crate::failure::Failure;
use crate::memory::Numbers;
use crate::orders::{Done, Outcome};
use crate::tokens::{INSERT, NEW, arrays, columns, numbers, recorded};
use crate::values::{Bound, params};
use crate::writer::{PATIENCE, Writer, answered};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_store::{Effect, Guard, NewRecord, Order, Refused, Result, StoreError};

/// How many orders may wait.
const QUEUE: usize = 4096;

/// The most orders in a commit.
const BATCH: usize = 256;

/// Begins a transaction beside the lanes of other nodes, and after a writer.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock_shared(4779010, 1)";

/// The queue of orders that only record a token.
pub(super) struct Issuing {
    queue: mpsc::Sender<Waiting>,
}

/// An order that waits, with its caller.
struct Waiting {
    order: Order,
    reply: oneshot::Sender<Result<Outcome>>,
}

impl Issuing {
    /// Starts the lane. It ends when the handle is dropped, after everything that it has accepted.
    pub(super) fn start(connections: &Connections, writer: &Arc<Writer>) -> Self {
        let (queue, orders) = mpsc::channel(QUEUE);
        // One: with a second, batches are half as large, which costs more than it saves to fill one while the other is
        // committed.
        let lane = Lane {
            connections: connections.clone(),
            writer: Arc::clone(writer),
            numbers: Numbers::default(),
        };
        tokio::spawn(lane.serve(orders));
        Self { queue }
    }

    /// Returns whether an order is one for a lane.
    pub(super) fn takes(order: &Order) -> bool {
        let [Effect::Record(new)] = order.effects.as_slice() else {
            return false;
        };
        !new.is_counted
            && new.rotated_from.is_none()
            && new.token.slot.is_none()
            && order.guards.iter().all(|guard| {
                matches!(
                    guard,
                    Guard::Unchanged(..) | Guard::Signs(_) | Guard::AfterCutOffs | Guard::Active(..)
                )
            })
    }

    /// Adds an order to the next batch.
    pub(super) fn commit(&self, order: Order) -> impl Future<Output = Result<Outcome>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.try_send(Waiting { order, reply });
        let sent = sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => Failure::Stopped.into(),
        });
        async move {
            sent?;
            answered(answer).await?
        }
    }
}

struct Lane {
    connections: Connections,
    writer: Arc<Writer>,
    numbers: Numbers,
}

/// What became of an order in a committed batch.
enum Verdict {
    /// This guard does not hold.
    Broken(Guard),
    /// The token has this number.
    Recorded(TokenId),
}

impl Lane {
    async fn serve(mut self, mut orders: mpsc::Receiver<Waiting>) {
        loop {
            let mut batch = Vec::new();
            if orders.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
            let committed = timeout(PATIENCE, self.commit(&batch)).await;
            match committed.unwrap_or(Err(Failure::Late)) {
                Ok(verdicts) => {
                    for (waiting, verdict) in batch.into_iter().zip(verdicts) {
                        // The caller may have gone away; the token stays.
                        let _ = waiting.reply.send(outcome(waiting.order, verdict));
                    }
                }
                // One order may have failed it for all: each is tried alone.
                Err(failure) if !failure.is_of_connection() => {
                    for Waiting { order, reply } in batch {
                        let alone = self.writer.run(order);
                        tokio::spawn(async move { reply.send(alone.await) });
                    }
                }
                Err(failure) => {
                    for Waiting { order, reply } in batch {
                        // It is unknown whether the tokens are recorded.
                        use_up(order);
                        let _ = reply.send(Err(failure.clone().into()));
                    }
                }
            }
        }
    }

    async fn commit(&mut self, batch: &[Waiting]) -> std::result::Result<Vec<Verdict>, Failure> {
        let mut connection = self.connections.write().await?;
        let facts = connection.begin_and(BEGIN, async |connection| {
            Facts::read(connection, batch.iter().map(|waiting| &waiting.order)).await
        });
        let facts = facts.await?;
        let mut recording = Recording {
            rows: Vec::new(),
            latest: Timestamp::EPOCH,
            needed_until: Timestamp::EPOCH,
        };
        let mut broken = Vec::with_capacity(batch.len());
        for Waiting { order, .. } in batch {
            let new = recorded_by(order)?;
            let guard = facts.broken(&connection, order, Some(&new.token)).await?;
            if guard.is_none() {
                let token = &new.token;
                let owner = self.numbers.owner(&connection, &token.owner).await?;
                let creator = self.numbers.actor(&connection, &token.created_by).await?;
                let index = new.list_index.list_index();
                let key = facts.signing.as_ref().map_or(0, |(number, ..)| *number);
                recording
                    .rows
                    .push(columns(token, index, None, &order.cause, owner, creator, key));
                recording.latest = recording.latest.max(order.cause.at);
                let end = token.expires_at.unwrap_or(Timestamp::LAST);
                recording.needed_until = recording.needed_until.max(end);
            }
            broken.push(guard);
        }
        let ids = recording.commit(&mut connection, &facts).await?;
        let verdicts = batch
            .iter()
            .zip(broken)
            .map(|(Waiting { order, .. }, guard)| match guard {
                Some(guard) => Ok(Verdict::Broken(guard)),
                None => {
                    let id = ids.get(&recorded_by(order)?.token.jti).copied();
                    id.map(Verdict::Recorded)
                        .ok_or(Failure::Impossible("a recorded token has no number"))
                }
            });
        verdicts.collect()
    }
}

/// What a batch records.
struct Recording {
    rows: Vec<[Bound; NEW.len()]>,
    /// The latest instant of an order, and the latest end of a token.
    latest: Timestamp,
    needed_until: Timestamp,
}

impl Recording {
    /// Records the tokens, commits, and returns their numbers.
    async fn commit(
        self,
        connection: &mut Connection,
        facts: &Facts,
    ) -> std::result::Result<HashMap<Uuid, TokenId>, Failure> {
        if self.rows.is_empty() {
            connection.end().await?;
            return Ok(HashMap::new());
        }
        let signing = facts.signing.as_ref();
        let (key, _, needed_until) = signing.ok_or(Failure::Impossible("no key signs"))?;
        if self.needed_until > *needed_until {
            let until = self.needed_until.rounded_up_to_minute();
            let keep = "UPDATE keys SET needed_until = greatest(needed_until, $2) WHERE id = $1";
            connection.execute(keep, params![key, until]).await?;
        }
        // Once a second, so that lanes seldom wait for each other's commits.
        if self.latest.seconds() > facts.latest.seconds() {
            let note = "UPDATE meta SET latest_at = greatest(latest_at, $1)";
            connection.execute(note, params![self.latest]).await?;
        }
        let rows = connection.commit_after(&INSERT, &arrays(self.rows)).await?;
        numbers(&rows)
    }
}

/// Returns what an order of a lane records.
fn recorded_by(order: &Order) -> std::result::Result<&NewRecord, Failure> {
    match order.effects.as_slice() {
        [Effect::Record(new)] => Ok(new),
        _ => Err(Failure::Impossible("a lane only records tokens")),
    }
}

/// Returns the answer to an order.
fn outcome(order: Order, verdict: Verdict) -> Result<Outcome> {
    match (verdict, order.effects.into_iter().next()) {
        (Verdict::Broken(guard), _) => Ok(Err(Refused(guard))),
        (Verdict::Recorded(id), Some(Effect::Record(new))) => {
            let index = new.list_index.list_index();
            new.list_index.record();
            Ok(Ok(Done::recorded(recorded(id, new.token, index, None))))
        }
        (Verdict::Recorded(_), _) => Err(Failure::Impossible("a lane only records tokens").into()),
    }
}

/// Uses up the status list index of the token.
fn use_up(order: Order) {
    for effect in order.effects {
        if let Effect::Record(new) = effect {
            new.list_index.record();
        }
    }
}
