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
use crate::memory::{Memory, Numbers};
use crate::nodes::NOTIFY;
use jeton_core::entropy::Entropy;
use jeton_store::{Advance, Change, Commit, Observer, Result, StoreError};

/// How many jobs may wait. Beyond it the answer is `Busy` at once, not after a long wait.
const QUEUE: usize = 4096;

/// The most jobs in a commit, so that no answer waits for an endless batch.
const BATCH: usize = 256;

/// Begins a transaction under the writers' lock: exclusive, so that no issue is between its guards and its commit.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(4779010, 1)";

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
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writing = Writing {
            connections,
            entropy,
            observer,
            numbers: Numbers::default(),
        };
        tokio::spawn(writing.serve(jobs));
        Self { queue }
    }

    /// Adds a job to the next batch; its result is ready once the batch is committed.
    pub(super) fn run<W: Work>(&self, work: W) -> impl Future<Output = Result<W::Output>> + Send + use<W> {
        let (reply, answer) = oneshot::channel();
        let job = Queued {
            work: Some(work),
            outcome: Err(Failure::Stopped),
            reply,
        };
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

/// How long a caller waits for a commit. A database whose standby is gone answers none: whether the order is carried out
/// is then unknown, and it may still be.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// The writer's task.
struct Writing {
    connections: Connections,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
    numbers: Numbers,
}

impl Writing {
    async fn serve(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::new();
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            let mut changes = Vec::new();
            let committed = self.commit(&mut batch, &mut changes).await;
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
        connection.begin(BEGIN).await?;
        let mut memory = Memory::read(&connection, std::mem::take(&mut self.numbers)).await?;
        let after = memory.position();
        for job in jobs {
            let (head, told) = (memory.head, changes.len());
            connection.batch("SAVEPOINT job").await?;
            let mut batch = Batch {
                connection: &connection,
                memory: &mut memory,
                entropy: &*self.entropy,
                changes,
            };
            match job.run(&mut batch).await {
                Ok(()) => connection.batch("RELEASE job").await?,
                Err(failure) if failure.is_of_connection() => return Err(failure),
                Err(_) => {
                    memory.head = head;
                    memory.numbers.forget();
                    changes.truncate(told);
                    connection.batch("ROLLBACK TO job; RELEASE job").await?;
                }
            }
        }
        memory.write(&connection).await?;
        if !changes.is_empty() {
            connection.batch(NOTIFY).await?;
        }
        connection.commit().await?;
        let reached = memory.position();
        self.numbers = memory.numbers;
        Ok(Advance::between(after, reached))
    }
}
