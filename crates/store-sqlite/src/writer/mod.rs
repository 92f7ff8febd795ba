//! The writer: one thread, one connection, one commit for all jobs that wait.
//!
//! A sync of the disk costs far more than a row. While one batch is synced the next one fills, so that no timer
//! is needed: under load the batches grow, and a single write does not wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use jeton_journal::{Entry, Journal};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{mpsc, oneshot, watch};

use crate::checkpoint::Checkpoints;
use crate::failure::Failure;
use crate::journal;
use crate::memory::Memory;
use crate::metrics::Metrics;
use jeton_core::entropy::Entropy;
use jeton_store::{Advance, Change, Commit, Observer, Result, StoreError};

/// How many jobs may wait. Beyond it the answer is `Busy` at once, not after a long wait.
const QUEUE: usize = 4096;

/// The most jobs in a commit, so that no answer waits for an endless batch.
const BATCH: usize = 1024;

/// How a failed job is undone without affecting the other jobs of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    /// The job writes by one statement, which SQLite undoes by itself at no cost.
    Statement,
    /// The job writes by several statements, which a savepoint encloses.
    Savepoint,
}

/// The transaction that a job is part of.
pub(super) struct Batch<'a> {
    /// The writer's connection, inside the transaction.
    pub(super) connection: &'a Connection,
    /// The writer's cache of the database.
    pub(super) memory: &'a mut Memory,
    /// The source of keys for new status lists.
    pub(super) entropy: &'a dyn Entropy,
    /// The changes that observers receive after the commit.
    pub(super) changes: &'a mut Vec<Change>,
    /// What the batch gives out. The journal notes it after the commit.
    pub(super) notes: Vec<Entry>,
    /// The reason why the transaction as a whole must not be committed, if any.
    lost: Option<Failure>,
}

/// The handle of the writer's thread.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    died: watch::Receiver<bool>,
    metrics: Metrics,
}

/// The number of waiting jobs, for metrics. Does not keep the writer alive.
#[derive(Debug)]
pub(super) struct Waiting(mpsc::WeakSender<Box<dyn Job>>);

impl Waiting {
    /// Returns how many jobs wait, and how many may.
    pub(super) fn of(&self) -> (usize, usize) {
        let waiting = self
            .0
            .upgrade()
            .map_or(0, |queue| QUEUE.saturating_sub(queue.capacity()));
        (waiting, QUEUE)
    }
}

impl Writer {
    /// Starts the thread. `checkpointer` is a separate connection.
    pub(super) fn start(
        connection: Connection,
        checkpointer: Connection,
        memory: Memory,
        journal: Journal,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (died, dies) = watch::channel(false);
        let died = Arc::new(died);
        let writing = Writing {
            checkpoints: Checkpoints::start(checkpointer, Arc::clone(&died), metrics.clone())?,
            connection,
            memory: Some(memory),
            journal,
            entropy,
            observer,
            changes: Vec::new(),
            died,
            metrics: metrics.clone(),
        };
        let thread = thread::Builder::new()
            .name("jeton-writer".to_owned())
            .spawn(move || writing.serve(jobs))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            died: dies,
            metrics,
        })
    }

    /// Returns the number of waiting jobs, now and later.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.queue.as_ref().map(|queue| Waiting(queue.downgrade()))
    }

    /// Adds a job to the next batch; its result is ready once the batch is on disk.
    pub(super) fn run<T, W>(&self, undo: Undo, work: W) -> impl Future<Output = Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> std::result::Result<T, Failure> + Send + 'static,
    {
        let (order, answer) = Order::new(undo, work);
        let sent = self.send(Box::new(order));
        async move {
            sent?;
            match answer.await {
                Ok(outcome) => Ok(outcome?),
                Err(_) => Err(Failure::Stopped.into()),
            }
        }
    }

    /// Waits until the thread has answered everything in its queue, and returns whether it goes on. A full queue is
    /// waited for too.
    pub(super) async fn responds(&self) -> bool {
        let Some(queue) = &self.queue else { return false };
        let (order, answer) = Order::new(Undo::Statement, |_: &mut Batch<'_>| Ok(()));
        queue.send(Box::new(order)).await.is_ok() && answer.await.is_ok()
    }

    fn send(&self, job: Box<dyn Job>) -> Result<()> {
        let queue = self.queue.as_ref().ok_or(Failure::Stopped)?;
        queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.metrics.queue_full.inc();
                StoreError::Busy
            }
            mpsc::error::TrySendError::Closed(_) => Failure::Stopped.into(),
        })
    }

    /// Waits until the writer has stopped, which it does only when the file cannot be trusted.
    pub(super) async fn died(&self) {
        let mut died = self.died.clone();
        // An error means that the thread has ended, which is the same.
        let _ = died.wait_for(|died| *died).await;
    }

    /// Returns whether it has stopped so. A caller whose job failed for that reason already gets `true`.
    pub(super) fn has_died(&self) -> bool {
        *self.died.borrow() || self.died.has_changed().is_err()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without senders the thread finishes the jobs it has accepted, and closes the file.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A unit of work in a batch, with the caller to answer.
trait Job: Send {
    fn run(&mut self, batch: &mut Batch<'_>);
    /// Answers the caller, after the batch is on disk or has failed as a whole.
    fn answer(self: Box<Self>, end: std::result::Result<(), Failure>);
}

struct Order<W, T> {
    undo: Undo,
    work: Option<W>,
    outcome: std::result::Result<T, Failure>,
    reply: oneshot::Sender<std::result::Result<T, Failure>>,
}

impl<W, T> Order<W, T> {
    /// Returns an order and the channel of its outcome.
    fn new(undo: Undo, work: W) -> (Self, oneshot::Receiver<std::result::Result<T, Failure>>) {
        let (reply, answer) = oneshot::channel();
        let order = Self {
            undo,
            work: Some(work),
            outcome: Err(Failure::Stopped),
            reply,
        };
        (order, answer)
    }
}

impl<W, T> Job for Order<W, T>
where
    W: FnOnce(&mut Batch<'_>) -> std::result::Result<T, Failure> + Send,
    T: Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) {
        if let Some(work) = self.work.take() {
            self.outcome = batch.alone(self.undo, work);
        }
    }

    fn answer(self: Box<Self>, end: std::result::Result<(), Failure>) {
        // The caller may have gone away; the write stays.
        let _ = self.reply.send(end.and(self.outcome));
    }
}

impl<'a> Batch<'a> {
    /// Returns the batch of the transaction that a connection has open.
    pub(super) fn new(
        connection: &'a Connection,
        memory: &'a mut Memory,
        entropy: &'a dyn Entropy,
        changes: &'a mut Vec<Change>,
    ) -> Self {
        Self {
            connection,
            memory,
            entropy,
            changes,
            notes: Vec::new(),
            lost: None,
        }
    }

    /// Runs a job so that its failure or panic leaves no trace.
    fn alone<T>(
        &mut self,
        undo: Undo,
        work: impl FnOnce(&mut Self) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        let head = self.memory.head;
        let (changes, notes) = (self.changes.len(), self.notes.len());
        if undo == Undo::Savepoint {
            self.execute("SAVEPOINT job")?;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or(Err(Failure::Panicked));
        if let Err(failure) = &outcome {
            self.memory.head = head;
            // The job may have cached the number of a row that is now undone.
            self.memory.numbers.forget();
            self.memory.generations.forget();
            self.changes.truncate(changes);
            self.notes.truncate(notes);
            // A full or failing disk makes SQLite undo the whole transaction, the other jobs included.
            if self.connection.is_autocommit() || failure.is_fatal() {
                self.lost = Some(failure.clone());
                return outcome;
            }
        }
        if undo == Undo::Savepoint {
            let undone = match &outcome {
                Ok(_) => Ok(()),
                Err(_) => self.execute("ROLLBACK TO job"),
            };
            if let Err(failure) = undone.and_then(|()| self.execute("RELEASE job")) {
                self.lost = Some(failure);
            }
        }
        outcome
    }

    /// Executes a statement without parameters.
    pub(super) fn execute(&self, statement: &'static str) -> std::result::Result<(), Failure> {
        self.connection.prepare_cached(statement)?.execute(())?;
        Ok(())
    }
}

/// The writer's thread.
struct Writing {
    checkpoints: Checkpoints,
    connection: Connection,
    /// `None` after a failure, until it is read again.
    memory: Option<Memory>,
    journal: Journal,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
    changes: Vec<Change>,
    died: Arc<watch::Sender<bool>>,
    metrics: Metrics,
}

impl Writing {
    fn serve(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::new();
        while let Some(first) = jobs.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            let (begun, before) = (Instant::now(), self.connection.total_changes());
            let committed = self.commit(&mut batch);
            if committed.is_ok() && self.connection.total_changes() != before {
                self.metrics.committed(batch.len(), begun.elapsed());
            }
            match &committed {
                Ok(_) if self.changes.is_empty() => {}
                Ok(advance) => self.observer.committed(Commit {
                    advance: *advance,
                    changes: &self.changes,
                }),
                Err(failure) => self.give_up(failure),
            }
            let end = committed.map(drop);
            self.changes.clear();
            for job in batch.drain(..) {
                job.answer(end.clone());
            }
            let end = end.and_then(|()| self.checkpoints.committed(&self.connection));
            if end.is_err_and(|failure| failure.is_fatal()) {
                self.died.send_replace(true);
            }
            if *self.died.borrow() {
                return;
            }
        }
    }

    /// Runs all jobs in one transaction and commits it. Returns its step in the feed.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> std::result::Result<Option<Advance>, Failure> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let current = match self.memory.take() {
            Some(memory) if memory.is_current(&self.connection)? => memory,
            Some(_) => Memory::read(&self.connection)?,
            None => {
                // The last batch has failed. A batch without writes, such as a readiness probe, would succeed
                // while the disk is full.
                self.connection
                    .prepare_cached("UPDATE meta SET one = one")?
                    .execute(())?;
                Memory::read(&self.connection)?
            }
        };
        let memory = self.memory.insert(current);
        let after = memory.position();
        let mut batch = Batch::new(&self.connection, memory, &*self.entropy, &mut self.changes);
        for job in jobs {
            job.run(&mut batch);
            if let Some(failure) = batch.lost {
                return Err(failure);
            }
        }
        journal::follow(&mut self.journal, &self.connection, batch.memory)?;
        batch.memory.write(&self.connection)?;
        let reached = batch.memory.position();
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        self.journal.committed();
        let notes = std::mem::take(&mut batch.notes);
        if !notes.is_empty() {
            // In a transaction, since other processes append to the journal in theirs.
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
            let at = match batch.memory.is_current(&self.connection)? {
                true => reached,
                false => Memory::read(&self.connection)?.position(),
            };
            self.journal.note(notes, at)?;
            self.connection.prepare_cached("ROLLBACK")?.execute(())?;
        }
        Ok(Advance::between(after, reached))
    }

    /// Abandons a batch that failed.
    fn give_up(&mut self, failure: &Failure) {
        self.metrics.commit_failures.inc();
        self.memory = None;
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        if failure.is_fatal() {
            // Before any caller is answered: a server that stops ends with its last answer.
            self.died.send_replace(true);
        } else {
            // After a failed sync the batch may be on disk nevertheless.
            self.journal.undone();
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Before the connection is closed, which is mostly the last one and moves the WAL's content into the
        // file.
        self.checkpoints.end();
        if *self.died.borrow() {
            // That sync would seem to succeed, and the WAL be deleted.
            let _ = self
                .connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

#[cfg(test)]
mod tests;
