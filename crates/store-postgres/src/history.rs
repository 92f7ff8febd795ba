//! Signs of lost history that no event shows: the last token that this server has recorded, and PostgreSQL's timeline.
//!
//! Events are compared by position and hash, by whoever follows the feed. A database that has lost nothing but issues has
//! the same last event, and would give the numbers of the lost tokens again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jeton_verifier::event::Position;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::nodes::NOTIFY;
use crate::revocations::Feed;
use crate::values::{get, params};
use crate::writer::BEGIN;
use jeton_core::token::{Record, TokenId};
use jeton_store::list_indexes::ListIndexes;
use jeton_store::{Generation, HistoryCheck};

/// A timeline begins with each promotion and each recovery; a dump is restored into a system of another identifier.
const TIMELINE: &str = "SELECT system_identifier::text, left(pg_walfile_name(pg_current_wal_lsn()), 8)
     FROM pg_control_system()";

/// Whether the token with a number is another one, or its number was not given out yet. Its record may be deleted.
const RECORDED: &str = "SELECT EXISTS (SELECT 1 FROM tokens WHERE id = $1 AND jti <> $2)
        OR coalesce(pg_sequence_last_value(pg_get_serial_sequence('tokens', 'id')::regclass), 0) < $1";

/// Lets no server serve until a reconciliation.
pub(super) const MARK: &str = "UPDATE meta SET history_lost = true";

/// What a server has seen of the database's history.
#[derive(Clone, Default)]
pub(super) struct SeenHistory {
    /// What was missed in an answer, which may be that of a former primary: whether it is lost a commit proves.
    missed: Arc<Mutex<Option<Missed>>>,
    /// The token with the highest number that was acknowledged.
    recorded: Arc<Mutex<Option<(TokenId, Uuid)>>>,
    timeline: Arc<Mutex<Timeline>>,
}

/// What an answer of the database lacked.
#[derive(Clone, Copy)]
enum Missed {
    /// The token with the highest number.
    Token,
    /// An event that the journal has.
    Event(Position),
}

#[derive(Clone, Default, PartialEq, Eq)]
enum Timeline {
    #[default]
    Unseen,
    /// The service does not tell it.
    Refused,
    At {
        system: String,
        timeline: String,
    },
}

impl SeenHistory {
    /// Notes a token whose record was committed.
    pub(super) fn note(&self, record: &Record) {
        let mut recorded = self.recorded();
        if recorded.is_none_or(|(id, _)| id < record.id) {
            *recorded = Some((record.id, record.token.jti));
        }
    }

    /// Notes that the database did not have an event.
    pub(super) fn miss(&self, event: Position) {
        *self.missed() = Some(Missed::Event(event));
    }

    /// Fails if the database does not have the last token that this server has recorded.
    pub(super) async fn compare_tokens(&self, connection: &Connection) -> Result<(), Failure> {
        match self.lacks_token(connection).await? {
            true => {
                *self.missed() = Some(Missed::Token);
                Err(Failure::HistoryLost)
            }
            false => Ok(()),
        }
    }

    async fn lacks_token(&self, connection: &Connection) -> Result<bool, Failure> {
        let recorded = *self.recorded();
        match recorded {
            Some((id, jti)) => get(&connection.row(RECORDED, params![id.0, jti]).await?, 0),
            None => Ok(false),
        }
    }

    /// Returns whether something was missed since the last proof.
    pub(super) fn has_missed(&self) -> bool {
        self.missed().is_some()
    }

    /// Proves that history is lost, or that it is not, and stops the other servers too: one of them may not know what is
    /// lost. In a transaction that writes and waits for the standby: a former primary cannot commit it, and knows nothing
    /// of what came after it.
    pub(super) async fn prove_loss(
        &self,
        connection: &mut Connection,
        followed: Position,
        edit: Generation,
    ) -> Result<bool, Failure> {
        connection.begin(BEGIN).await?;
        // Whatever the role has set.
        connection.batch("SET LOCAL synchronous_commit = on").await?;
        let feed = Feed::read(connection).await?;
        if feed.is_lost || feed.epoch != followed.epoch {
            return Ok(true);
        }
        let missed = *self.missed();
        let mut is_lost = edit > feed.edit || self.lacks_token(connection).await?;
        let journaled = match missed {
            Some(Missed::Event(event)) => Some(event),
            Some(Missed::Token) | None => None,
        };
        for event in [Some(followed), journaled].into_iter().flatten() {
            is_lost |= !feed.has(connection, event).await?;
        }
        if is_lost {
            connection.execute(MARK, &[]).await?;
            connection.batch(NOTIFY).await?;
        }
        connection.commit().await?;
        *self.missed() = None;
        Ok(is_lost)
    }

    /// Reads the timeline, outside of a transaction, which a refusal would end. Drops the reserved indexes if it is another
    /// one than before: the reservation may be lost.
    pub(super) async fn follow_timeline(
        &self,
        connection: &Connection,
        list_indexes: &ListIndexes,
    ) -> Result<HistoryCheck, Failure> {
        let before = self.timeline().clone();
        if before == Timeline::Refused {
            return Ok(HistoryCheck::Position);
        }
        let seen = match connection.row(TIMELINE, &[]).await {
            Ok(row) => Timeline::At {
                system: get(&row, 0)?,
                timeline: get(&row, 1)?,
            },
            Err(Failure::Postgres(error)) if error.code().is_some_and(is_refused) => Timeline::Refused,
            Err(failure) => return Err(failure),
        };
        *self.timeline() = seen.clone();
        if let Timeline::At { system, timeline } = &seen
            && before != Timeline::Unseen
            && before != seen
        {
            list_indexes.clear();
            tracing::warn!(
                system,
                timeline,
                "PostgreSQL has failed over or was recovered: what this server knows of its history is compared"
            );
        }
        Ok(match seen {
            Timeline::At { .. } => HistoryCheck::Timeline,
            Timeline::Unseen | Timeline::Refused => HistoryCheck::Position,
        })
    }

    fn missed(&self) -> MutexGuard<'_, Option<Missed>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recorded(&self) -> MutexGuard<'_, Option<(TokenId, Uuid)>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a service refuses a function, as some do with those about the write-ahead log.
fn is_refused(code: &SqlState) -> bool {
    [
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::UNDEFINED_FUNCTION,
    ]
    .contains(code)
}
