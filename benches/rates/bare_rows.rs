//! Bare rows: the minimal cost of issuing a token durably. A row is durable before its token is
//! returned, and all waiting rows share one commit.

use std::path::Path;
use std::thread;

use jeton_core::clock::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::Outcome;

/// A queue to the writer thread.
pub(crate) struct Rows(mpsc::Sender<Row>);

struct Row {
    jti: Uuid,
    name: String,
    created_at: Timestamp,
    reply: oneshot::Sender<i64>,
}

/// The columns and indexes of the table of tokens.
const TABLE: &str = "
    CREATE TABLE tokens (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        jti BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        organization INTEGER NOT NULL,
        team INTEGER,
        scopes TEXT NOT NULL,
        audience TEXT NOT NULL,
        key INTEGER NOT NULL,
        status_list INTEGER NOT NULL,
        status_index INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        expires_at INTEGER
    ) STRICT;
    CREATE INDEX tokens_by_organization ON tokens (organization);
    CREATE INDEX tokens_by_team ON tokens (team);";

const INSERT: &str = "
    INSERT INTO tokens (jti, name, organization, team, scopes, audience, key, status_list, status_index, created_at,
        created_by, expires_at)
    VALUES (?1, ?2, 1, 1, '[\"projects:read\",\"content:write\",\"subscription:read\",\"ai:use\"]',
        '[\"http://127.0.0.1:8080\"]', 1, 1, 123456, ?3, 'bench@example.com', ?3 + 31536000000)";

impl Rows {
    pub(crate) fn open(database: &Path) -> Outcome<Self> {
        let connection = Connection::open(database)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(TABLE)?;
        let (sender, receiver) = mpsc::channel(4096);
        thread::spawn(move || write(&connection, receiver));
        Ok(Self(sender))
    }

    /// Returns once the row is on disk.
    pub(crate) async fn record(&self, jti: Uuid, name: String, created_at: Timestamp) -> Outcome<i64> {
        let (reply, answer) = oneshot::channel();
        let row = Row {
            jti,
            name,
            created_at,
            reply,
        };
        self.0.send(row).await?;
        Ok(answer.await?)
    }
}

fn write(connection: &Connection, mut rows: mpsc::Receiver<Row>) {
    let mut batch = Vec::new();
    while let Some(first) = rows.blocking_recv() {
        batch.push(first);
        while let Ok(row) = rows.try_recv() {
            batch.push(row);
        }
        let committed = match commit(connection, &batch) {
            Ok(ids) => ids,
            // Closing the channel fails the waiting requests.
            Err(error) => return eprintln!("the bare rows cannot be written: {error}"),
        };
        for (number, row) in batch.drain(..).enumerate() {
            if let Some(id) = committed.get(number) {
                // Fails only after the round has ended.
                let _ = row.reply.send(*id);
            }
        }
    }
}

fn commit(connection: &Connection, batch: &[Row]) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
    let ids = batch.iter().map(|row| {
        let values = params![row.jti.as_bytes().as_slice(), row.name, row.created_at.millis()];
        connection.prepare_cached(INSERT)?.insert(values)
    });
    let ids = ids.collect::<rusqlite::Result<_>>()?;
    connection.prepare_cached("COMMIT")?.execute(())?;
    Ok(ids)
}
