//! The journal of a server: a second copy of the feed, on the server's own disk.
//!
//! What the writer revokes is in it before the commit, as one line. What other servers revoke is read from the feed and
//! appended as a line for each event, so that the journal leads from every position to which the database can be set
//! back. Lines whose transaction is committed are followed by a mark: a line without one, at the end, was never answered.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jeton_journal::{Batch, End, Entry, History, Journal, JournalError, JournalMetrics, Order, is_older};
use jeton_verifier::event::Position;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

use crate::chain;
use crate::connection::{Connection, Connections};
use crate::failure::Failure;
use crate::history::{MARK, SeenHistory};
use crate::memory::{Memory, Numbers};
use crate::nodes::NOTIFY;
use crate::replay::Replay;
use crate::revocations::Feed;
use crate::values::{Bound, Columns, get, params};
use crate::writer::{BEGIN, Batch as Transaction};
use jeton_core::clock::Timestamp;
use jeton_core::directory::UserId;
use jeton_core::entropy::Entropy;
use jeton_core::file_mode::{Exposed, SecretFolder};
use jeton_store::Generation;

/// How often the events of other servers are appended.
const FOLLOWED_EACH: Duration = Duration::from_millis(250);

/// How many positions are looked up at once.
const LOOKED_UP: usize = 10_000;

/// The reason why a server cannot use its journal.
#[derive(Debug, thiserror::Error)]
pub enum NodeJournalError {
    /// The journal has what the database has lost.
    #[error(
        "the database lacks revocations that the journal {} has: its history was lost. Stop all servers, and run `jeton \
         reconcile` with a --journal for the journal of each",
        .0.display()
    )]
    HistoryLost(PathBuf),
    /// Another server has what the database has lost.
    #[error(
        "the database has lost history that another server has: stop all servers, and run `jeton reconcile` with a --journal \
         for the journal of each"
    )]
    Unreconciled,
    /// Another server uses the folder.
    #[error("another server uses the journal {}: give each server a folder of its own", .0.display())]
    Taken(PathBuf),
    /// Other users could change it.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The journal cannot be read.
    #[error(transparent)]
    Unreadable(#[from] JournalError),
    /// The folder cannot be used.
    #[error("the folder of the journal, {}, cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A journal, and how far it has come.
struct State {
    journal: Journal,
    /// The position to which it leads. Everything up to it is committed.
    reached: Position,
    /// The version of the keys whose withdrawals it has.
    keys: Generation,
    /// Locked until the process ends.
    _lock: File,
}

/// The journal of this server, shared by the writer and the task that follows other servers.
#[derive(Clone)]
pub(super) struct NodeJournal {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    metrics: JournalMetrics,
    history: SeenHistory,
}

impl NodeJournal {
    /// Opens the journal in a folder, or creates it, and brings journal and database into agreement.
    ///
    /// # Errors
    ///
    /// [`NodeJournalError::HistoryLost`] if the journal knows what the database does not: only an operator decides which
    /// of both stands.
    pub(super) async fn open(
        folder: &Path,
        connections: &Connections,
        entropy: &dyn Entropy,
        history: SeenHistory,
    ) -> Result<Self, OpenFailure> {
        let lock = lock(folder)?;
        let mut connection = connections.write().await?;
        // Until all lines are read, no server writes.
        let begin = format!("{BEGIN}; SET LOCAL idle_in_transaction_session_timeout = '30s'");
        connection.begin(&begin).await?;
        let feed = Feed::read(&connection).await?;
        let known = Known::of(folder, &feed, &connection).await?;
        let end = known.end();
        let Some(unknown) = known
            .unknown
            .filter(|unknown| known.last.is_none_or(|last| !is_older(unknown, last)))
        else {
            // The other servers may not know what is lost.
            connection.execute(MARK, &[]).await?;
            connection.batch(NOTIFY).await?;
            connection.commit().await?;
            return Err(NodeJournalError::HistoryLost(folder.to_owned()).into());
        };
        if feed.is_lost {
            return Err(NodeJournalError::Unreconciled.into());
        }
        let mut journal = Journal::new(folder.to_owned(), feed.origin, known.withdrawn);
        let reached = match (known.last, known.in_feed) {
            (Some(last), Some(in_feed)) if last == in_feed => {
                journal.resume(last).map_err(|source| unusable(folder, source))?;
                last
            }
            // Its last lines are of lost history that was reconciled.
            (Some(_), in_feed) => {
                let at = in_feed.unwrap_or_else(|| feed.beginning());
                let begun = journal.begin_anew(end, vec![nothing(at)], Vec::new());
                begun.map_err(|source| unusable(folder, source))?;
                at
            }
            (None, _) => {
                let at = match end {
                    Some(_) => feed.beginning(),
                    None => feed.position(),
                };
                let begun = journal.begin_anew(None, vec![nothing(at)], Vec::new());
                begun.map_err(|source| unusable(folder, source))?;
                tracing::info!(journal = %folder.display(), "a journal of revocations begins");
                at
            }
        };
        journal.committed();
        let opened = Self {
            folder: folder.to_owned(),
            metrics: journal.metrics.clone(),
            state: Arc::new(Mutex::new(State {
                journal,
                reached,
                keys: Generation(0),
                _lock: lock,
            })),
            history,
        };
        let mut memory = Memory::read(&connection, Numbers::default()).await?;
        let before = memory.head.sequence;
        let entries: Vec<_> = unknown.iter().flat_map(|batch| &batch.entries).collect();
        if !entries.is_empty() {
            // A server has ended between these lines and their commits: nobody was answered.
            let mut changes = Vec::new();
            let mut transaction = Transaction {
                connection: &connection,
                memory: &mut memory,
                entropy,
                changes: &mut changes,
            };
            let mut replay = Replay::new(&mut transaction).await?;
            for entry in entries {
                replay.entry(entry).await?;
            }
            memory.write(&connection).await?;
        }
        let turn = Arc::clone(&opened.state).lock_owned().await;
        let appended = opened.append(turn, &connection, before).await?;
        let committed = connection.commit().await;
        appended.end(committed.as_ref().err());
        committed?;
        Ok(opened)
    }

    /// Appends what the open transaction revokes, and all before it that the journal does not have.
    pub(super) async fn append_own(&self, connection: &Connection, own: u64) -> Result<Appended, Failure> {
        let turn = Arc::clone(&self.state).lock_owned().await;
        self.append(turn, connection, own).await
    }

    /// Appends all that the feed has and the journal does not, the events of the open transaction included, and returns
    /// once it is on disk. Events after `own` are one line.
    async fn append(
        &self,
        mut state: OwnedMutexGuard<State>,
        connection: &Connection,
        own: u64,
    ) -> Result<Appended, Failure> {
        let feed = Feed::read(connection).await?;
        let has_keys = state.keys == feed.keys;
        if state.reached.sequence == feed.sequence && state.reached.hash == feed.hash && has_keys {
            let reaches = state.reached;
            return Ok(Appended {
                state,
                reaches,
                keys: feed.keys,
                has_lines: false,
            });
        }
        let is_pruned = state.reached.sequence < feed.pruned_through;
        let from = match is_pruned {
            true => feed.beginning(),
            false => state.reached,
        };
        if feed.hash_of(connection, from.sequence).await? != Some(from.hash) {
            self.history.miss(from);
            return Err(Failure::HistoryLost);
        }
        let mut lines = lines(connection, from, own).await?;
        let withdrawn = match has_keys {
            true => Vec::new(),
            false => withdrawn(connection).await?,
        };
        if lines.is_empty() {
            lines.push(nothing(from));
        }
        let reaches = lines.last().map_or(from, |last| last.reaches);
        let (mut state, written) = spawn_blocking(move || {
            let written = match is_pruned {
                true => state.journal.begin_anew(None, lines, withdrawn),
                false => state.journal.follow(lines, withdrawn),
            };
            (state, written)
        })
        .await
        .map_err(|_| Failure::Panicked)?;
        if let Err(error) = written {
            // What a sync has failed for must not be taken for written by the next.
            state.journal.unsure();
            return Err(Failure::Journal(Arc::new(error)));
        }
        Ok(Appended {
            state,
            reaches,
            keys: feed.keys,
            has_lines: true,
        })
    }

    /// Appends what other servers have committed.
    async fn follow(&self, connections: &Connections) -> Result<(), Failure> {
        let mut connection = connections.read_at_once().await?;
        // If it is the turn of the writer, that appends all of it.
        if let Ok(turn) = Arc::clone(&self.state).try_lock_owned() {
            self.append(turn, &connection, u64::MAX).await?.end(None);
        }
        connection.end().await
    }

    /// Starts to append what other servers commit, until the returned handle is used.
    pub(super) fn keep(&self, connections: &Connections) -> AbortHandle {
        let (journal, connections) = (self.clone(), connections.clone());
        let keeping = tokio::spawn(async move {
            let mut fails = false;
            loop {
                sleep(FOLLOWED_EACH).await;
                match journal.follow(&connections).await {
                    Ok(()) => fails = false,
                    Err(_) if fails => {}
                    Err(failure) => {
                        fails = true;
                        let error = &failure as &dyn std::error::Error;
                        tracing::warn!(error, "revocations by other servers are not in the journal yet");
                    }
                }
            }
        });
        keeping.abort_handle()
    }

    /// Removes the oldest segments whose whole content was recorded by an instant.
    pub(super) async fn prune(&self, recorded_by: Timestamp) -> Result<(), Failure> {
        let folder = self.folder.clone();
        let pruned = spawn_blocking(move || jeton_journal::prune(&folder, recorded_by)).await;
        let pruned = pruned.map_err(io::Error::other).flatten();
        pruned
            .map(drop)
            .map_err(|error| Failure::Journal(Arc::new(error)))
    }

    pub(super) fn metrics(&self) -> &JournalMetrics {
        &self.metrics
    }
}

/// Lines of an open transaction. Nobody else appends until it has ended.
pub(super) struct Appended {
    state: OwnedMutexGuard<State>,
    reaches: Position,
    keys: Generation,
    has_lines: bool,
}

impl Appended {
    /// Ends the transaction, with a failure or without.
    pub(super) fn end(mut self, failure: Option<&Failure>) {
        match failure {
            None => {
                self.state.reached = self.reaches;
                self.state.keys = self.keys;
                if self.has_lines {
                    // Without the mark the next start takes the line for one that may not be committed.
                    let _ = self.state.journal.mark_committed();
                }
            }
            Some(failure) if failure.is_of_connection() => self.state.journal.unsure(),
            Some(_) => self.state.journal.undone(),
        }
    }
}

/// The reason why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenFailure {
    #[error(transparent)]
    Journal(#[from] NodeJournalError),
    #[error(transparent)]
    Database(#[from] Failure),
}

/// A journal, compared with a database.
pub(super) struct Known {
    pub(super) folder: PathBuf,
    /// The last position that is in the feed, or of lost history that was reconciled.
    last: Option<Position>,
    /// The last one in the feed.
    in_feed: Option<Position>,
    /// All positions of the journal.
    pub(super) positions: Vec<Position>,
    /// What the journal has and the database has not; `None` if it does not lead from what the database knows to its end.
    pub(super) unknown: Option<Vec<Batch>>,
    /// How often history was lost since, by the journal.
    pub(super) restores: i64,
    /// The end of the journal.
    pub(super) journal: End,
    withdrawn: Vec<String>,
}

impl Known {
    /// Compares the journal in a folder with a database.
    pub(super) async fn of(folder: &Path, feed: &Feed, connection: &Connection) -> Result<Self, OpenFailure> {
        let (path, origin) = (folder.to_owned(), feed.origin);
        let read = spawn_blocking(move || jeton_journal::read(&path, origin)).await;
        let reading = read
            .map_err(|_| Failure::Panicked)?
            .map_err(NodeJournalError::from)?;
        let mut known = Self {
            folder: folder.to_owned(),
            last: None,
            in_feed: None,
            unknown: None,
            restores: 0,
            journal: End {
                sequence: reading.positions.last().map_or(0, |last| last.sequence),
                ..End::default()
            },
            positions: reading.positions,
            withdrawn: reading.withdrawn,
        };
        // Mostly its end is known.
        for positions in known.positions.rchunks(LOOKED_UP) {
            let events = Events::of(connection, feed, positions).await?;
            let reconciled = |position: &&Position| events.reconciled.contains(&event(position));
            let in_feed = |position: &&Position| events.in_feed.contains(&event(position));
            let is_known = |position: &&Position| in_feed(position) || reconciled(position);
            known.last = known
                .last
                .or_else(|| positions.iter().rev().find(is_known).copied());
            known.in_feed = positions.iter().rev().find(in_feed).copied();
            if known.in_feed.is_some() {
                break;
            }
        }
        let is_made_up = reading
            .recorded_at
            .is_some_and(|last| last <= feed.made_up_through);
        match known.last {
            _ if is_made_up => known.unknown = Some(Vec::new()),
            // There is none, or it ends before everything that the feed still has.
            None if known.end().is_none_or(|end| end.sequence <= feed.pruned_through) => {
                known.unknown = Some(Vec::new());
            }
            None => {}
            Some(last) => known.lead_from(last, feed, connection).await?,
        }
        Ok(known)
    }

    /// Reads what the journal has after a position and the database has not.
    pub(super) async fn lead_from(
        &mut self,
        position: Position,
        feed: &Feed,
        connection: &Connection,
    ) -> Result<(), OpenFailure> {
        let (folder, origin) = (self.folder.clone(), feed.origin);
        let read = spawn_blocking(move || jeton_journal::after(&folder, origin, position)).await;
        let (history, end) = read
            .map_err(|_| Failure::Panicked)?
            .map_err(NodeJournalError::from)?;
        self.journal = end;
        if let History::Complete {
            batches, restores, ..
        } = history
        {
            self.restores = restores;
            self.unknown = Some(unknown(connection, feed, batches).await?);
        }
        Ok(())
    }

    /// Returns the last position of the journal; `None` if there is no journal.
    pub(super) fn end(&self) -> Option<Position> {
        self.positions.last().copied()
    }
}

/// Returns the lines that lead to positions which the database does not know.
async fn unknown(connection: &Connection, feed: &Feed, batches: Vec<Batch>) -> Result<Vec<Batch>, Failure> {
    let mut unknown = Vec::new();
    for batches in batches.chunks(LOOKED_UP) {
        let positions: Vec<_> = batches.iter().map(|batch| batch.reaches).collect();
        let events = Events::of(connection, feed, &positions).await?;
        let is_unknown = |batch: &&Batch| {
            let event = event(&batch.reaches);
            !events.in_feed.contains(&event) && !events.reconciled.contains(&event)
        };
        unknown.extend(batches.iter().filter(is_unknown).cloned());
    }
    Ok(unknown)
}

/// An event's number and hash.
type EventId = (u64, [u8; 32]);

fn event(position: &Position) -> EventId {
    (position.sequence, position.hash)
}

/// The events with these numbers: those of the feed, and those of lost history that were reconciled.
struct Events {
    in_feed: HashSet<EventId>,
    reconciled: HashSet<EventId>,
}

impl Events {
    async fn of(connection: &Connection, feed: &Feed, positions: &[Position]) -> Result<Self, Failure> {
        let sequences = [Bound::array(positions.iter().map(|position| position.sequence))];
        let ids = async |query: &str| {
            let rows = connection.rows(query, &sequences).await?;
            let ids = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?)));
            ids.collect::<Result<HashSet<EventId>, Failure>>()
        };
        let mut in_feed = ids("SELECT sequence, hash FROM revocations WHERE sequence = ANY ($1)").await?;
        in_feed.insert((feed.sequence, feed.hash));
        in_feed.insert((feed.pruned_through, feed.pruned_hash));
        let reconciled =
            ids("SELECT sequence, hash FROM reconciled_events WHERE sequence = ANY ($1)").await?;
        Ok(Self { in_feed, reconciled })
    }
}

/// Returns the lines of the events after a position: one for each, and one for all after `own`.
async fn lines(connection: &Connection, from: Position, own: u64) -> Result<Vec<Batch>, Failure> {
    let condition = "event.sequence > $1 ORDER BY event.sequence";
    let rows = chain::events(connection, condition, params![from.sequence]).await?;
    let query = "SELECT event.sequence, users.public_id FROM revocations AS event
         JOIN users ON users.id = event.actor_user WHERE event.sequence > $1";
    let people = connection.rows(query, params![from.sequence]).await?;
    let people: HashMap<u64, UserId> = people
        .iter()
        .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
        .collect::<Result<_, Failure>>()?;
    let mut lines: Vec<Batch> = Vec::with_capacity(rows.len());
    let mut at = from;
    for row in &rows {
        let event = chain::entry(row)?;
        let reaches = event.position();
        let order = Order {
            recorded_at: get(row, chain::RECORDED_AT)?,
            effective_at: get(row, chain::EFFECTIVE_AT)?,
            by: get(row, chain::ACTOR)?,
            by_user: people.get(&reaches.sequence).map(ToString::to_string),
            reason: get(row, chain::REASON)?,
        };
        let entry = Entry::of_event(event.event.ends, order);
        let entry = entry.ok_or(Failure::Impossible("an event has an impossible instant"))?;
        match lines.last_mut() {
            Some(line) if at.sequence > own => {
                line.entries.push(entry);
                line.reaches = reaches;
            }
            _ => lines.push(Batch {
                at,
                reaches,
                entries: vec![entry],
            }),
        }
        at = reaches;
    }
    Ok(lines)
}

/// Returns the withdrawals of keys.
async fn withdrawn(connection: &Connection) -> Result<Vec<Entry>, Failure> {
    let query = "SELECT kid, algorithm, public_jwk, created_at, changed_at FROM keys WHERE state = 'withdrawn' ORDER BY id";
    let rows = connection.rows(query, &[]).await?;
    rows.iter()
        .map(|row| {
            let columns = &mut Columns::of(row);
            Ok(Entry::Withdrawn {
                kid: columns.take()?,
                algorithm: columns.take()?,
                public_jwk: columns.take()?,
                created_at: columns.take()?,
                recorded_at: columns.take()?,
            })
        })
        .collect()
}

/// Returns a line without content.
fn nothing(at: Position) -> Batch {
    Batch {
        at,
        reaches: at,
        entries: Vec::new(),
    }
}

/// Claims a folder for one server, and creates it if it does not exist.
fn lock(folder: &Path) -> Result<File, NodeJournalError> {
    let unusable = |source| unusable(folder, source);
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(unusable)?;
    let mode = folder.metadata().map_err(unusable)?.mode();
    SecretFolder::Database.check(folder, mode)?;
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(folder.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(NodeJournalError::Taken(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn unusable(folder: &Path, source: io::Error) -> NodeJournalError {
    NodeJournalError::Folder {
        path: folder.to_owned(),
        source,
    }
}
