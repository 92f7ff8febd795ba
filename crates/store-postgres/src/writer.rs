//! The writer: one task, one connection, one commit for all jobs that wait.
//!
//! Each transaction begins with a lock that one writer of all nodes has, so that what it reads stands until its commit.
//! While one batch is committed the next one fills, so that no timer is needed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::connection::{Connection, Connections};
use crate::failure::Failure;
use crate::journal::NodeJournal;
use crate::memory::{Head, Memory, Numbers};
use crate::nodes::NOTIFY;
use crate::orders::Outcome;
use jeton_core::entropy::Entropy;
use jeton_store::{Advance, Change, Commit, Observer, Order, Result, StoreError};

/// How many jobs may wait. Beyond it the answer is `Busy` at once, not after a long wait.
const QUEUE: usize = 4096;

/// The most jobs in a commit, so that no answer waits for an endless batch.
const BATCH: usize = 256;

/// Begins a transaction under the writers' lock: exclusive, so that no issue is between its guards and its commit.
pub(super) const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(4779010, 1)";

/// The transaction that a job is part of.
pub(super) struct Batch<'a> {
    /// The writer's connection, inside the transaction.
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a mut Memory,
    /// The source of keys for new status lists.
    pub(super) entropy: &'a dyn Entropy,
    /// The changes that observers receive after the commit.
    pub(super) changes: &'a mut Vec<Change>,
}

/// What a batch goes back to if a job fails.
struct Before {
    head: Head,
    told: usize,
}

impl Batch<'_> {
    /// Begins something whose failure leaves no trace.
    async fn begin(&mut self) -> std::result::Result<Before, Failure> {
        self.connection.batch("SAVEPOINT job").await?;
        Ok(Before {
            head: self.memory.head,
            told: self.changes.len(),
        })
    }

    /// Ends it; `None` if it has failed.
    ///
    /// # Errors
    ///
    /// Returns the failure if the transaction as a whole is lost.
    async fn end<T>(
        &mut self,
        before: Before,
        done: std::result::Result<T, Failure>,
    ) -> std::result::Result<Option<T>, Failure> {
        match done {
            Ok(done) => {
                self.connection.batch("RELEASE job").await?;
                Ok(Some(done))
            }
            Err(failure) if failure.is_of_connection() => Err(failure),
            Err(_) => {
                self.memory.head = before.head;
                self.memory.numbers.forget();
                self.changes.truncate(before.told);
                self.connection.batch("ROLLBACK TO job; RELEASE job").await?;
                Ok(None)
            }
        }
    }
}

/// Something to do within a transaction of the writer.
#[async_trait]
pub(super) trait Work: Send + 'static {
    type Output: Send + 'static;

    async fn run(self, batch: &mut Batch<'_>) -> std::result::Result<Self::Output, Failure>;
}

/// The handle of the writer's task.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the task. It ends when the handle is dropped, after everything that it has accepted.
    pub(super) fn start(
        connections: Connections,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
        journal: Option<NodeJournal>,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writing = Writing {
            connections,
            entropy,
            observer,
            journal,
            numbers: Numbers::default(),
        };
        tokio::spawn(writing.serve(jobs));
        Self { queue }
    }

    /// Waits until the task has ended, which it does only if it panicked.
    pub(super) async fn died(&self) {
        self.queue.closed().await;
    }

    /// Returns whether the task has ended so.
    pub(super) fn has_died(&self) -> bool {
        self.queue.is_closed()
    }

    /// Adds an order that is a revocation and nothing else to the next batch.
    pub(super) fn revoke(&self, order: Order) -> impl Future<Output = Result<Outcome>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(
            Revocation {
                order: Some(order),
                outcome: Err(Failure::Stopped),
                reply,
            },
            answer,
        )
    }

    /// Adds a job to the next batch; its result is ready once the batch is committed.
    pub(super) fn run<W: Work>(&self, work: W) -> impl Future<Output = Result<W::Output>> + Send + use<W> {
        let (reply, answer) = oneshot::channel();
        let job = Queued {
            work: Some(work),
            outcome: Err(Failure::Stopped),
            reply,
        };
        self.send(job, answer)
    }

    fn send<T: Send, J: Job + 'static>(
        &self,
        job: J,
        answer: oneshot::Receiver<std::result::Result<T, Failure>>,
    ) -> impl Future<Output = Result<T>> + Send + use<T, J> {
        let sent = self.queue.try_send(Box::new(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => Failure::Stopped.into(),
        });
        async move {
            sent?;
            Ok(answered(answer).await??)
        }
    }
}

/// How long a caller waits for a commit, and a batch may take. A database whose standby is gone answers none: whether the
/// order is carried out is then unknown, and it may still be.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for the answer to something that was accepted.
pub(super) async fn answered<T>(answer: oneshot::Receiver<T>) -> std::result::Result<T, Failure> {
    match timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Failure::Stopped),
        Err(_) => Err(Failure::Late),
    }
}

/// A unit of work in a batch, with the caller to answer.
#[async_trait]
trait Job: Send {
    /// Returns the failure if there is one.
    async fn run(&mut self, batch: &mut Batch<'_>) -> std::result::Result<(), Failure>;

    /// Returns the order if it is a revocation and nothing else.
    fn revocation(&self) -> Option<&Order> {
        None
    }

    /// Returns whether it was carried out with others.
    fn is_done(&self) -> bool {
        false
    }

    /// Notes the outcome of the order, which was carried out with others.
    fn carried_out(&mut self, _: Outcome) {}

    /// Answers the caller, after the batch is committed or has failed as a whole.
    fn answer(self: Box<Self>, end: std::result::Result<(), Failure>);
}

struct Queued<W: Work> {
    work: Option<W>,
    outcome: std::result::Result<W::Output, Failure>,
    reply: oneshot::Sender<std::result::Result<W::Output, Failure>>,
}

#[async_trait]
impl<W: Work> Job for Queued<W> {
    async fn run(&mut self, batch: &mut Batch<'_>) -> std::result::Result<(), Failure> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let outcome = AssertUnwindSafe(work.run(batch)).catch_unwind().await;
        self.outcome = outcome.unwrap_or(Err(Failure::Panicked));
        self.outcome.as_ref().map(drop).map_err(Failure::clone)
    }

    fn answer(self: Box<Self>, end: std::result::Result<(), Failure>) {
        // The caller may have gone away; the write stays.
        let _ = self.reply.send(end.and(self.outcome));
    }
}

/// An order that is a revocation and nothing else.
struct Revocation {
    order: Option<Order>,
    outcome: std::result::Result<Outcome, Failure>,
    reply: oneshot::Sender<std::result::Result<Outcome, Failure>>,
}

#[async_trait]
impl Job for Revocation {
    async fn run(&mut self, batch: &mut Batch<'_>) -> std::result::Result<(), Failure> {
        let Some(order) = self.order.take() else {
            return Ok(());
        };
        self.outcome = batch.carry_out(order).await;
        self.outcome.as_ref().map(drop).map_err(Failure::clone)
    }

    fn revocation(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    fn is_done(&self) -> bool {
        self.order.is_none()
    }

    fn carried_out(&mut self, outcome: Outcome) {
        self.order = None;
        self.outcome = Ok(outcome);
    }

    fn answer(self: Box<Self>, end: std::result::Result<(), Failure>) {
        let _ = self.reply.send(end.and(self.outcome));
    }
}

/// The writer's task.
struct Writing {
    connections: Connections,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
    journal: Option<NodeJournal>,
    numbers: Numbers,
}

impl Writing {
    async fn serve(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::new();
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            let mut changes = Vec::new();
            let committed = timeout(PATIENCE, self.commit(&mut batch, &mut changes)).await;
            // Whether it was committed is unknown, or will be: its server hangs, or waits for its standby.
            let committed = committed.unwrap_or(Err(Failure::Late));
            if let Ok(advance) = &committed
                && !changes.is_empty()
            {
                self.observer.committed(Commit {
                    advance: *advance,
                    changes: &changes,
                });
            }
            let end = committed.map(drop);
            for job in batch.drain(..) {
                job.answer(end.clone());
            }
        }
    }

    /// Runs all jobs in one transaction and commits it. Returns its step in the feed.
    async fn commit(
        &mut self,
        jobs: &mut [Box<dyn Job>],
        changes: &mut Vec<Change>,
    ) -> std::result::Result<Option<Advance>, Failure> {
        let mut connection = self.connections.write().await?;
        let numbers = std::mem::take(&mut self.numbers);
        let memory = connection.begin_and(BEGIN, async move |connection| {
            Memory::read(connection, numbers).await
        });
        let mut memory = memory.await?;
        let (after, keys) = (memory.position(), memory.head.keys);
        let mut batch = Batch {
            connection: &connection,
            memory: &mut memory,
            entropy: &*self.entropy,
            changes,
        };
        let revocations: Vec<_> = jobs.iter().filter_map(|job| job.revocation()).collect();
        if revocations.len() > 1 {
            // If one of them fails, each is tried alone.
            let before = batch.begin().await?;
            let outcomes = batch.revoke_all(&revocations).await;
            if let Some(outcomes) = batch.end(before, outcomes).await? {
                let jobs = jobs.iter_mut().filter(|job| job.revocation().is_some());
                for (job, outcome) in jobs.zip(outcomes) {
                    job.carried_out(outcome);
                }
            }
        }
        for job in jobs {
            if !job.is_done() {
                let before = batch.begin().await?;
                let done = job.run(&mut batch).await;
                batch.end(before, done).await?;
            }
        }
        memory.write(&connection).await?;
        if !changes.is_empty() {
            connection.batch(NOTIFY).await?;
        }
        let reached = memory.position();
        let appended = match &self.journal {
            Some(journal) if reached != after || memory.head.keys != keys => {
                Some(journal.append_own(&connection, after.sequence).await?)
            }
            _ => None,
        };
        let committed = connection.commit().await;
        if let Some(appended) = appended {
            appended.end(committed.as_ref().err());
        }
        committed?;
        self.numbers = memory.numbers;
        Ok(Advance::between(after, reached))
    }
}
