//! Revocations and identity: the state that a process rebuilds at its start.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jeton_verifier::event::Position;
use tokio::time::timeout;
use uuid::Uuid;

use crate::PostgresStore;
use crate::chain;
use crate::connection::Connection;
use crate::covered::covered;
use crate::cut_offs;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::{Batch, Work};
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::RecordedTime;
use jeton_core::token::{ListIndex, TokenId};
use jeton_store::reads::Purpose;
use jeton_store::{
    Change, Changes, Continuation, Covered, ExplainedEvent, FeedPage, Generation, Realm, Result, Revocations,
    Snapshot, StoreError,
};

/// How many events [`Revocations::changes_after`] returns at once.
const PAGE: u32 = 10_000;

/// How long a probe waits for a store that is alive but busy.
const PATIENCE: Duration = Duration::from_secs(2);

#[async_trait]
impl Revocations for PostgresStore {
    async fn snapshot(&self) -> Result<Snapshot> {
        let mut connection = self.connections.long(Purpose::Following).await?;
        let snapshot = snapshot(&connection).await?;
        connection.end().await?;
        Ok(snapshot)
    }

    async fn changes_after(&self, position: Position, edit: Generation) -> Result<Continuation> {
        if self.history.has_missed() {
            return Ok(Continuation::Forked);
        }
        let mut connection = self.connections.long(Purpose::Following).await?;
        let changes = changes_after(&connection, position, edit).await?;
        // Otherwise it is closed: it may be one to a former primary.
        if changes != Continuation::Forked {
            connection.end().await?;
        }
        Ok(changes)
    }

    async fn events_after(&self, position: Position, most: u32) -> Result<FeedPage> {
        let mut connection = self.connections.long(Purpose::Publishing).await?;
        let page = events_after(&connection, position, most).await?;
        connection.end().await?;
        Ok(page)
    }

    async fn event(&self, position: Position) -> Result<Option<ExplainedEvent>> {
        let connection = self.connections.read().await?;
        let sequence = i64::try_from(position.sequence).unwrap_or(i64::MAX);
        let rows = chain::events(&connection, "event.sequence = $1", params![sequence]).await?;
        let explained = rows.first().map(|row| {
            Ok::<_, Failure>(ExplainedEvent {
                entry: chain::entry(row)?,
                revoked_by: get(row, chain::ACTOR)?,
                reason: get(row, chain::REASON)?,
            })
        });
        let explained = explained.transpose()?;
        Ok(explained.filter(|explained| explained.entry.position() == position))
    }

    async fn status_lists(&self) -> Result<Vec<u32>> {
        Ok(status_lists(&self.connections.read().await?).await?)
    }

    async fn covered(&self, cut_off: u64, after: TokenId, now: Timestamp) -> Result<Covered> {
        let mut connection = self.connections.long(Purpose::Following).await?;
        let covered = covered(&connection, cut_off, after, now).await?;
        connection.end().await?;
        Ok(covered)
    }

    async fn origin(&self) -> Result<Uuid> {
        let connection = self.connections.read().await?;
        Ok(get(&connection.row("SELECT origin FROM meta", &[]).await?, 0)?)
    }

    async fn pin_issuer(&self, issuer: Option<&str>) -> Result<Option<String>> {
        self.writer.run(PinIssuer(issuer.map(str::to_owned))).await
    }

    async fn ready(&self) -> Result<()> {
        let probe = async {
            // One at a time, so that probes of a store that hangs do not pile up.
            let _turn = self.probe.lock().await;
            self.connections
                .read()
                .await?
                .row("SELECT one FROM meta", &[])
                .await?;
            // It commits as every write does.
            self.writer.run(Nothing).await
        };
        timeout(PATIENCE, probe).await.unwrap_or(Err(StoreError::Busy))
    }
}

/// Sets the issuer if there is none, and returns the one that there is.
struct PinIssuer(Option<String>);

#[async_trait]
impl Work for PinIssuer {
    type Output = Option<String>;

    async fn run(self, batch: &mut Batch<'_>) -> std::result::Result<Option<String>, Failure> {
        let pinned = batch
            .connection
            .row(
                "UPDATE meta SET issuer = coalesce(issuer, $1) RETURNING issuer",
                params![self.0],
            )
            .await?;
        get(&pinned, 0)
    }
}

/// A probe: a row that is written and stays as it is.
struct Nothing;

#[async_trait]
impl Work for Nothing {
    type Output = ();

    async fn run(self, batch: &mut Batch<'_>) -> std::result::Result<(), Failure> {
        batch.connection.execute("UPDATE meta SET one = one", &[]).await?;
        Ok(())
    }
}

async fn snapshot(connection: &Connection) -> std::result::Result<Snapshot, Failure> {
    let query = "SELECT epoch, sequence, hash, edits, generation, latest_at, settled_at FROM meta";
    let row = connection.row(query, &[]).await?;
    let columns = &mut Columns::of(&row);
    let position = Position {
        epoch: columns.take()?,
        sequence: columns.take()?,
        hash: columns.take()?,
    };
    let (edit, keys) = (Generation(columns.take()?), Generation(columns.take()?));
    let time = RecordedTime {
        latest: columns.take()?,
        settled: columns.take()?,
    };
    let revoked = connection
        .rows(
            "SELECT status_list, status_index, effective_at FROM tokens WHERE effective_at IS NOT NULL
             UNION ALL SELECT status_list, status_index, effective_at FROM lost_tokens",
            &[],
        )
        .await?;
    let revoked = revoked.iter().map(|row| {
        let columns = &mut Columns::of(row);
        let list_index = ListIndex {
            list: columns.take()?,
            index: columns.take()?,
        };
        Ok((list_index, columns.take()?))
    });
    Ok(Snapshot {
        position,
        edit,
        keys,
        time,
        lists: status_lists(connection).await?,
        revoked: revoked.collect::<std::result::Result<_, Failure>>()?,
        cut_offs: cut_offs::all(connection).await?,
    })
}

async fn status_lists(connection: &Connection) -> std::result::Result<Vec<u32>, Failure> {
    let query = "SELECT id FROM status_lists WHERE retired_at IS NULL
        UNION SELECT status_list FROM lost_tokens ORDER BY 1";
    let rows = connection.rows(query, &[]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

async fn changes_after(
    connection: &Connection,
    position: Position,
    after: Generation,
) -> std::result::Result<Continuation, Failure> {
    let feed = Feed::read(connection).await?;
    if feed.is_lost || position.epoch != feed.epoch || after > feed.edit {
        return Ok(Continuation::Forked);
    }
    if position.sequence < feed.pruned_through {
        return Ok(Continuation::Pruned);
    }
    if !feed.has(connection, position).await? {
        return Ok(Continuation::Forked);
    }
    let rows = events_from(connection, position, PAGE).await?;
    let events: Vec<Change> = rows
        .iter()
        .map(chain::change)
        .collect::<std::result::Result<_, _>>()?;
    let last = events.last().and_then(Change::entry);
    Ok(Continuation::Changes(Changes {
        edit: feed.edit,
        latest: feed.latest,
        realms: if feed.edit > after {
            changed_realms(connection, after).await?
        } else {
            Vec::new()
        },
        reached: last.map_or(position, |last| last.position()),
        has_more: events.len() == PAGE as usize,
        events,
    }))
}

async fn events_after(
    connection: &Connection,
    position: Position,
    most: u32,
) -> std::result::Result<FeedPage, Failure> {
    let feed = Feed::read(connection).await?;
    if position.epoch != feed.epoch {
        return Ok(FeedPage::Forked);
    }
    if position.sequence > feed.sequence {
        return Ok(FeedPage::Ahead);
    }
    if position.sequence < feed.pruned_through {
        return Ok(FeedPage::Pruned);
    }
    if feed.hash_of(connection, position.sequence).await? != Some(position.hash) {
        return Ok(FeedPage::Forked);
    }
    let rows = events_from(connection, position, most).await?;
    let entries = rows.iter().map(|row| chain::entry(row).map(Arc::new));
    Ok(FeedPage::of(
        entries.collect::<std::result::Result<_, _>>()?,
        feed.epoch,
    ))
}

/// Returns a portion of the events after a position.
async fn events_from(
    connection: &Connection,
    position: Position,
    most: u32,
) -> std::result::Result<Vec<tokio_postgres::Row>, Failure> {
    let condition = "event.sequence > $1 ORDER BY event.sequence LIMIT $2";
    chain::events(connection, condition, params![position.sequence, most]).await
}

/// The beginning and the end of the feed.
pub(super) struct Feed {
    pub(super) origin: Uuid,
    pub(super) epoch: Uuid,
    pub(super) edit: Generation,
    /// The version of the keys.
    pub(super) keys: Generation,
    latest: Timestamp,
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
    pub(super) pruned_through: u64,
    pub(super) pruned_hash: [u8; 32],
    /// Whether a server has proved that history is lost, and nobody has reconciled it.
    pub(super) is_lost: bool,
    /// The instant up to which lost revocations are made up for, since everything was revoked.
    pub(super) made_up_through: Timestamp,
}

impl Feed {
    pub(super) async fn read(connection: &Connection) -> std::result::Result<Self, Failure> {
        let query =
            "SELECT origin, epoch, edits, generation, latest_at, sequence, hash, pruned_through, pruned_hash,
            history_lost, made_up_through FROM meta";
        let row = connection.row(query, &[]).await?;
        let columns = &mut Columns::of(&row);
        Ok(Self {
            origin: columns.take()?,
            epoch: columns.take()?,
            edit: Generation(columns.take()?),
            keys: Generation(columns.take()?),
            latest: columns.take()?,
            sequence: columns.take()?,
            hash: columns.take()?,
            pruned_through: columns.take()?,
            pruned_hash: columns.take()?,
            is_lost: columns.take()?,
            made_up_through: columns.take()?,
        })
    }

    /// Returns the position of the last event.
    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.sequence,
            hash: self.hash,
        }
    }

    /// Returns the position before the first event that is kept.
    pub(super) fn beginning(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.pruned_through,
            hash: self.pruned_hash,
        }
    }

    /// Returns whether the feed has an event, or has pruned it.
    pub(super) async fn has(
        &self,
        connection: &Connection,
        event: Position,
    ) -> std::result::Result<bool, Failure> {
        Ok(event.sequence < self.pruned_through
            || self.hash_of(connection, event.sequence).await? == Some(event.hash))
    }

    /// Returns the hash of an event that is kept, of the last pruned one, or before the first. Mostly the last
    /// event is requested, which needs no look-up.
    pub(super) async fn hash_of(
        &self,
        connection: &Connection,
        sequence: u64,
    ) -> std::result::Result<Option<[u8; 32]>, Failure> {
        if sequence == self.sequence {
            return Ok(Some(self.hash));
        }
        if sequence == self.pruned_through {
            return Ok(Some(self.pruned_hash));
        }
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        let query = "SELECT hash FROM revocations WHERE sequence = $1";
        let row = connection.optional(query, params![sequence]).await?;
        row.map(|row| get(&row, 0)).transpose()
    }
}

async fn changed_realms(
    connection: &Connection,
    after: Generation,
) -> std::result::Result<Vec<(Realm, Generation)>, Failure> {
    let mut realms = Vec::new();
    let keys: u64 = get(&connection.row("SELECT generation FROM meta", &[]).await?, 0)?;
    if keys > after.0 {
        realms.push((Realm::Keys, Generation(keys)));
    }
    let query = "SELECT public_id, generation FROM organizations WHERE generation > $1";
    for row in connection.rows(query, params![after.0]).await? {
        realms.push((Realm::Organization(get(&row, 0)?), Generation(get(&row, 1)?)));
    }
    let query = "SELECT public_id, generation FROM users WHERE generation > $1";
    for row in connection.rows(query, params![after.0]).await? {
        realms.push((Realm::Person(get(&row, 0)?), Generation(get(&row, 1)?)));
    }
    Ok(realms)
}
