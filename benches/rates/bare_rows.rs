//! Bare rows: the minimal cost of issuing a token durably. A row is durable before its token is
//! returned, and all waiting rows share one commit.

use std::sync::Arc;
use std::thread;

use jeton_core::clock::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_postgres::NoTls;
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
    /// Opens a database file, or a PostgreSQL database.
    pub(crate) fn open(database: &str) -> Outcome<Self> {
        if database.starts_with("postgres:") {
            return Self::open_postgres(database);
        }
        let connection = Connection::open(database)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(TABLE)?;
        let (sender, receiver) = mpsc::channel(4096);
        thread::spawn(move || write(&connection, receiver));
        Ok(Self(sender))
    }

    fn open_postgres(url: &str) -> Outcome<Self> {
        let config: tokio_postgres::Config = url.parse()?;
        let (sender, receiver) = mpsc::channel(4096);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || {
            let rows = Arc::new(Mutex::new(receiver));
            let lanes = async {
                connect(&config).await?.batch_execute(POSTGRES_TABLE).await?;
                tokio::try_join!(lane(&config, &rows), lane(&config, &rows)).map(drop)
            };
            if let Err(error) = runtime.block_on(lanes) {
                eprintln!("the bare rows cannot be written: {error}");
            }
        });
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

/// The same table in PostgreSQL.
const POSTGRES_TABLE: &str = "
    CREATE TABLE tokens (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        jti uuid NOT NULL UNIQUE,
        name text NOT NULL,
        organization bigint NOT NULL,
        team bigint,
        scopes text NOT NULL,
        audience text NOT NULL,
        key bigint NOT NULL,
        status_list bigint NOT NULL,
        status_index bigint NOT NULL,
        created_at bigint NOT NULL,
        created_by text NOT NULL,
        expires_at bigint
    );
    CREATE INDEX tokens_by_organization ON tokens (organization);
    CREATE INDEX tokens_by_team ON tokens (team);";

const POSTGRES_INSERT: &str = r#"
    INSERT INTO tokens (jti, name, organization, team, scopes, audience, key, status_list, status_index, created_at,
        created_by, expires_at)
    SELECT new.jti, new.name, 1, 1, '["projects:read","content:write","subscription:read","ai:use"]',
        '["http://127.0.0.1:8080"]', 1, 1, 123456, new.created_at, 'bench@example.com', new.created_at + 31536000000
    FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS new (jti, name, created_at)
    RETURNING id"#;

/// The most rows in a commit, as in jeton.
const POSTGRES_BATCH: usize = 256;

async fn connect(config: &tokio_postgres::Config) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // Its error also reaches the caller that waits for an answer.
    tokio::spawn(connection);
    Ok(client)
}

/// Writes all rows that wait by one statement, while another lane commits.
async fn lane(
    config: &tokio_postgres::Config,
    rows: &Mutex<mpsc::Receiver<Row>>,
) -> Result<(), tokio_postgres::Error> {
    let client = connect(config).await?;
    let insert = client.prepare(POSTGRES_INSERT).await?;
    let mut batch = Vec::new();
    loop {
        if rows.lock().await.recv_many(&mut batch, POSTGRES_BATCH).await == 0 {
            return Ok(());
        }
        let ids: Vec<Uuid> = batch.iter().map(|row| row.jti).collect();
        let names: Vec<&str> = batch.iter().map(|row| row.name.as_str()).collect();
        let instants: Vec<i64> = batch.iter().map(|row| row.created_at.millis()).collect();
        let inserted = client.query(&insert, &[&ids, &names, &instants]).await?;
        for (row, id) in batch.drain(..).zip(inserted) {
            // Fails only after the round has ended.
            let _ = row.reply.send(id.try_get(0)?);
        }
    }
}
