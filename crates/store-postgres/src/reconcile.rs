//! Reconciliation after lost history: a new epoch that has everything that the journals of the servers know.
//!
//! Only by an operator's command, while no server runs: of two histories, a program cannot know which one stands.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_journal::{Batch as Line, End, Flaw, GIVEN_OUT, Replayed, beyond};
use jeton_verifier::event::Position;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::Settings;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::journal::{Known, NodeJournalError, OpenFailure};
use crate::memory::{Memory, Numbers};
use crate::nodes::CLOCK;
use crate::open::{self, OpenError, UNHURRIED};
use crate::replay::Replay;
use crate::revocations::Feed;
use crate::values::{Bound, get, params};
use crate::writer::{BEGIN, Batch};
use jeton_core::clock::Timestamp;
use jeton_core::entropy::Entropy;
use jeton_core::token::{CutOff, Reach};
use jeton_store::rules::audit::{Action, RESTORED};
use jeton_store::{Cause, KeyState, Realm};

/// What an operator gives to a reconciliation.
#[derive(Debug, Clone, Copy)]
pub struct Reconciling<'a> {
    /// The journals of the servers.
    pub journals: &'a [PathBuf],
    /// If the journals do not have everything that was lost: revoke every token that was issued up to this instant, and
    /// withdraw every key. `None`: refuse.
    pub cut_off_missing: Option<Timestamp>,
}

/// What a reconciliation has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The new epoch.
    pub epoch: Uuid,
    /// What was repeated.
    pub replayed: Replayed,
    /// Where each of the journals ends, in the order in which they were given.
    pub journals: Vec<End>,
}

/// The reason why nothing was reconciled. The database was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Servers hold leases.
    #[error("servers are running on the database: stop them first, and wait for {} seconds ({})", lease.as_secs(), names.join(", "))]
    Running {
        /// Their names.
        names: Vec<String>,
        /// How long a lease lasts.
        lease: Duration,
    },
    /// There is no journal in a folder.
    #[error("there is no journal in {}", .0.display())]
    NoJournal(PathBuf),
    /// A journal does not lead from the state of the database to its end.
    #[error(
        "the journal {} does not have everything since the state of the database, or is damaged: give a complete copy of it, \
         or revoke every token with --cut-off-missing",
        .0.display()
    )]
    Incomplete(PathBuf),
    /// A journal cannot be read.
    #[error(transparent)]
    Journal(#[from] NodeJournalError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
}

impl From<Failure> for ReconcileError {
    fn from(failure: Failure) -> Self {
        Self::Database(failure.into())
    }
}

impl From<OpenFailure> for ReconcileError {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::Journal(error) => Self::Journal(error),
            OpenFailure::Database(failure) => failure.into(),
        }
    }
}

/// Begins a new epoch of a database that has lost history: repeats what the journals have and the database has not, and
/// gives tokens, projects and status lists numbers beyond all that may have been given out.
///
/// # Errors
///
/// [`ReconcileError`]
pub async fn reconcile(
    settings: &Settings,
    reconciling: Reconciling<'_>,
    entropy: &dyn Entropy,
) -> Result<Reconciled, ReconcileError> {
    let tls = MakeRustlsConnect::new(settings.tls.clone());
    let connections = open::open(&settings.config, &tls, entropy).await?;
    let mut connection = connections.write().await?;
    connection.begin(&format!("{BEGIN}; {UNHURRIED}")).await?;
    refuse_running(&connection, settings.stale_after).await?;
    let feed = Feed::read(&connection).await?;
    let mut journals = Vec::new();
    for folder in reconciling.journals {
        journals.push(missing(folder, &feed, &connection).await?);
    }
    connect(&mut journals, &feed, &connection).await?;
    for journal in &journals {
        remember(&connection, &journal.positions).await?;
    }
    let incomplete = journals.iter().find(|journal| journal.unknown.is_none());
    if let (Some(journal), None) = (incomplete, reconciling.cut_off_missing) {
        return Err(ReconcileError::Incomplete(journal.folder.clone()));
    }
    let restores = journals.iter().map(|journal| journal.restores).max().unwrap_or(0);
    let ends = journals.iter().map(|journal| journal.journal.clone()).collect();
    // Several journals have the same events: what is in effect is not repeated.
    let lines: Option<Vec<_>> = journals.into_iter().map(|journal| journal.unknown).collect();
    let lines = lines
        .map(|lines| lines.concat())
        .filter(|_| !reconciling.journals.is_empty());
    let mut memory = Memory::read(&connection, Numbers::default()).await?;
    memory.epoch = entropy.uuid_v4();
    begin_epoch(&connection, memory.epoch, restores).await?;
    let mut changes = Vec::new();
    let mut batch = Batch {
        connection: &connection,
        memory: &mut memory,
        entropy,
        changes: &mut changes,
    };
    let replayed_all = lines.is_some();
    let (replayed, at) = match (&lines, reconciling.cut_off_missing) {
        (Some(lines), _) => {
            let replayed = repeat(lines, &mut batch).await?;
            (replayed, batch.memory.head.latest)
        }
        (None, Some(now)) => (end_everything(&mut batch, now).await?, now),
        (None, None) => return Err(Failure::Impossible("neither a journal nor a cut-off").into()),
    };
    let action = Action {
        action: RESTORED,
        after: Some(replayed.text()),
        ..Action::default()
    };
    batch.note_action(&action, &Cause::operator(at)).await?;
    memory.write(&connection).await?;
    let reconciled = "UPDATE meta SET restored_through = $1, history_lost = false, made_up_through = $2";
    let made_up_through = match replayed_all {
        true => feed.made_up_through,
        false => at,
    };
    connection
        .execute(reconciled, params![memory.head.sequence, made_up_through])
        .await?;
    connection.commit().await?;
    Ok(Reconciled {
        epoch: memory.epoch,
        replayed,
        journals: ends,
    })
}

/// Fails while a server may answer for revocations.
async fn refuse_running(connection: &Connection, lease: Duration) -> Result<(), ReconcileError> {
    let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let query = format!("SELECT name FROM nodes WHERE renewed_at + $1 > {CLOCK} ORDER BY name");
    let rows = connection.rows(&query, params![millis]).await?;
    let names: Vec<String> = rows.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    match names.is_empty() {
        true => Ok(()),
        false => Err(ReconcileError::Running { names, lease }),
    }
}

/// Compares a journal with the database.
async fn missing(folder: &Path, feed: &Feed, connection: &Connection) -> Result<Known, ReconcileError> {
    let mut known = Known::of(folder, feed, connection).await?;
    if known.end().is_none() {
        return Err(ReconcileError::NoJournal(folder.to_owned()));
    }
    // A torn last line was never answered.
    if known.journal.flaw == Some(Flaw::Damaged) {
        known.unknown = None;
    }
    Ok(known)
}

/// Connects journals that do not lead from the database, and lead from a position to which another one does: that of a
/// server which was added in the history that is lost.
async fn connect(journals: &mut [Known], feed: &Feed, connection: &Connection) -> Result<(), ReconcileError> {
    let positions = |journal: &Known| journal.unknown.is_some().then(|| journal.positions.clone());
    let mut led_to: HashSet<Position> = journals.iter().filter_map(positions).flatten().collect();
    let mut is_further = true;
    while is_further {
        is_further = false;
        for journal in journals.iter_mut().filter(|journal| journal.unknown.is_none()) {
            // What leads to a position is one history: the other journal has all of it.
            let from = journal
                .positions
                .iter()
                .rfind(|position| led_to.contains(position));
            let Some(from) = from.copied() else { continue };
            journal.lead_from(from, feed, connection).await?;
            if journal.journal.flaw == Some(Flaw::Damaged) {
                journal.unknown = None;
            }
            if journal.unknown.is_some() {
                led_to.extend(&journal.positions);
                is_further = true;
            }
        }
    }
    Ok(())
}

/// Begins an epoch, in which the numbers that tokens carry are beyond all that were given out.
async fn begin_epoch(connection: &Connection, epoch: Uuid, restores: i64) -> Result<(), Failure> {
    connection
        .execute("UPDATE meta SET epoch = $1", params![epoch])
        .await?;
    for (table, step) in GIVEN_OUT {
        if table == "status_lists" {
            let last = "SELECT greatest(lists_through, (SELECT max(id) FROM status_lists)) FROM meta";
            let last: i64 = get(&connection.row(last, &[]).await?, 0)?;
            let through = "UPDATE meta SET lists_through = $1";
            connection
                .execute(through, params![beyond(last, step, restores)])
                .await?;
            continue;
        }
        let last = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, 'id')::regclass), 0)";
        let last: i64 = get(&connection.row(last, params![table]).await?, 0)?;
        // Not undone with the transaction, which does no harm.
        let set = "SELECT setval(pg_get_serial_sequence($1, 'id')::regclass, $2)";
        connection
            .row(set, params![table, beyond(last, step, restores)])
            .await?;
    }
    Ok(())
}

/// Records that the events of a journal which the feed does not have are reconciled.
async fn remember(connection: &Connection, positions: &[Position]) -> Result<(), Failure> {
    let sequences = Bound::array(positions.iter().map(|position| position.sequence));
    let hashes = Bound::array(positions.iter().map(|position| position.hash));
    let statement = "INSERT INTO reconciled_events (sequence, hash)
         SELECT new.sequence, new.hash FROM unnest($1::bigint[], $2::bytea[]) AS new (sequence, hash)
         WHERE new.sequence > (SELECT pruned_through FROM meta)
            AND NOT EXISTS (SELECT 1 FROM revocations
                WHERE revocations.sequence = new.sequence AND revocations.hash = new.hash)
         ON CONFLICT DO NOTHING";
    connection.execute(statement, params![sequences, hashes]).await?;
    Ok(())
}

/// Repeats lines of journals.
async fn repeat(lines: &[Line], batch: &mut Batch<'_>) -> Result<Replayed, Failure> {
    let mut replay = Replay::new(batch).await?;
    for entry in lines.iter().flat_map(|line| &line.entries) {
        replay.entry(entry).await?;
    }
    Ok(replay.into_replayed())
}

/// Revokes every token that was issued up to an instant, and withdraws every key: one that was withdrawn in lost history
/// could sign again otherwise.
async fn end_everything(batch: &mut Batch<'_>, now: Timestamp) -> Result<Replayed, Failure> {
    let cut_off = CutOff {
        reach: Reach::default(),
        issued_through: now.seconds(),
        effective_at: now,
    };
    let cause = Cause::operator(now).because(Some("history was lost".to_owned()));
    batch.cut_off(cut_off.clone(), &cause).await?;
    let statement = "UPDATE keys SET state = $1, changed_at = $2 WHERE state <> $1";
    let keys = batch
        .connection
        .execute(statement, params![KeyState::Withdrawn, now])
        .await?;
    batch.changed(vec![Realm::Keys]).await?;
    Ok(Replayed {
        cut_offs: vec![cut_off],
        keys: usize::try_from(keys).unwrap_or_default(),
        ..Replayed::default()
    })
}
