//! A side of a move: a database file that is left, or a new one that is filled. Everything is one transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs};

use async_trait::async_trait;
use jeton_journal::{Journal, JournalCopy};
use jeton_verifier::event::{Entry, Position};
use rusqlite::config::DbConfig;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};

use crate::backup::{self, BackupError, failed};
use crate::failure::Failure;
use crate::journal;
use crate::open::{self, OpenError, beside};
use crate::values::{Bytes, Columns, get, params};
use crate::{audit, chain, reconcile};
use jeton_core::clock::Timestamp;
use jeton_core::entropy::Entropy;
use jeton_store::AuditLine;
use jeton_store::moving::{Column, FACTS, Facts, Kind, NUMBERED, Numbers, Row, Side, Table, Value};

/// A database file within the transaction of a move.
pub struct MovingFile {
    /// `None` once it was committed and closed.
    connection: Option<Connection>,
    path: PathBuf,
    entropy: Arc<dyn Entropy>,
    /// The journal of a database that is left, its position, and the copy of it.
    journal: Option<(Journal, Position, Option<JournalCopy>)>,
    /// Removed unless it was committed.
    unfinished: Option<PathBuf>,
}

/// The end of the name of a file that is filled.
const ARRIVING: &str = ".moving";

/// Statements for a new file, which is synced as a whole at the end.
const UNSYNCED: &str = "PRAGMA journal_mode = memory; PRAGMA synchronous = off; PRAGMA cache_size = -65536";

impl fmt::Debug for MovingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingFile").finish_non_exhaustive()
    }
}

impl Drop for MovingFile {
    fn drop(&mut self) {
        drop(self.connection.take());
        if let Some(unfinished) = &self.unfinished {
            backup::remove(unfinished);
        }
    }
}

impl MovingFile {
    /// Opens a database that is left. No program writes to it until this is dropped. The caller holds its
    /// [`ServeLock`](crate::ServeLock). The folder is that of a copy of its journal.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be served, or has moved already.
    pub fn source(
        database: &Path,
        journal_copy: Option<PathBuf>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let path = open::resolved(database)?;
        let connection = open::writer(&path, &*entropy)?;
        let (_, journal) = reconcile::served(&path, &connection, &*entropy)?;
        let at = begin(&connection, &journal).map_err(|failure| OpenError::Failed {
            path: path.clone(),
            source: Box::new(failure),
        })?;
        Ok(Self {
            connection: Some(connection),
            path,
            entropy,
            journal: Some((
                journal,
                at,
                journal_copy.map(|copy| JournalCopy::new(journal::journal_of(database), copy)),
            )),
            unfinished: None,
        })
    }

    /// Creates a file that is to be filled. It gets its name when it is released. The caller holds the
    /// [`ServeLock`](crate::ServeLock) of that name.
    ///
    /// # Errors
    ///
    /// Fails if the database exists, or its journal.
    pub fn target(database: &Path, entropy: Arc<dyn Entropy>) -> Result<Self, BackupError> {
        let path = open::resolved(database)?;
        let journal = journal::folder_of(&path);
        for path in [&path, &beside(&path, "-wal"), &journal] {
            if fs::symlink_metadata(path).is_ok() {
                return Err(BackupError::Exists(path.clone()));
            }
        }
        let unfinished = beside(&path, ARRIVING);
        // An earlier attempt may have left its file.
        backup::remove(&unfinished);
        backup::create(&unfinished)?;
        let mut new = Self {
            connection: None,
            path,
            entropy,
            journal: None,
            unfinished: Some(unfinished.clone()),
        };
        let connection = create(&unfinished).map_err(|source| failed(&unfinished, source))?;
        new.connection = Some(connection);
        Ok(new)
    }

    /// Opens a database that a move has filled and not released; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the path cannot be used.
    pub fn held(database: &Path, entropy: Arc<dyn Entropy>) -> Result<Option<Self>, OpenError> {
        let path = open::resolved(database)?;
        let is_held = match path.exists() {
            true => !journal::folder_of(&path).exists(),
            false => beside(&path, ARRIVING).exists(),
        };
        Ok(is_held.then_some(Self {
            connection: None,
            path,
            entropy,
            journal: None,
            unfinished: None,
        }))
    }

    fn connection(&self) -> Result<&Connection, Failure> {
        self.connection.as_ref().ok_or(Failure::Stopped)
    }
}

/// Begins the transaction of a database that is left, and returns its position. If its last server did not stop in order,
/// tokens get numbers beyond all that it may have given.
fn begin(connection: &Connection, journal: &Journal) -> Result<Position, Failure> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    if let Some(through) = journal.given.tokens_through() {
        connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'tokens'",
            params![through],
        )?;
    }
    Ok(crate::memory::Memory::read(connection)?.position())
}

/// Creates the tables in an empty file, and begins the transaction that fills them.
fn create(path: &Path) -> Result<Connection, Box<dyn std::error::Error + Send + Sync>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(UNSYNCED)?;
    open::migrate(&mut connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Ok(connection)
}

/// Returns the name of a column in SQLite.
fn name(column: &Column, table: &str) -> &'static str {
    match (column.name, table) {
        ("person", _) => "user",
        ("token", "token_use") => "id",
        (name, _) => name,
    }
}

fn names(columns: &[Column], table: &Table) -> String {
    let names: Vec<_> = columns.iter().map(|column| name(column, table.name)).collect();
    names.join(", ")
}

/// The use of a token is in its row.
fn is_within_tokens(table: &Table) -> bool {
    table.name == "token_use"
}

/// Returns the table in SQLite, and which of its rows are meant.
fn rows_of(table: &Table) -> (&'static str, &'static str) {
    match is_within_tokens(table) {
        true => (
            "tokens",
            "coalesce(last_used_at, last_used_from, last_refused_at, nullif(refusals, 0)) IS NOT NULL",
        ),
        false => (table.name, "TRUE"),
    }
}

fn bound(value: Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Integer(value) => Sql::Integer(value),
        Value::Text(value) => Sql::Text(value),
        Value::Bytes(value) => Sql::Blob(value),
    }
}

fn read(row: &rusqlite::Row<'_>, place: usize, kind: Kind) -> rusqlite::Result<Value> {
    let value = match (kind, row.get::<_, Sql>(place)?) {
        (_, Sql::Null) => Value::Null,
        (Kind::Integer | Kind::Boolean, Sql::Integer(value)) => Value::Integer(value),
        (Kind::Text, Sql::Text(value)) => Value::Text(value),
        (Kind::Bytes | Kind::Uuid, Sql::Blob(value)) => Value::Bytes(value),
        (_, other) => {
            return Err(rusqlite::Error::InvalidColumnType(
                place,
                String::new(),
                other.data_type(),
            ));
        }
    };
    Ok(value)
}

fn select(
    connection: &Connection,
    table: &Table,
    after: Option<&[Value]>,
    most: usize,
) -> Result<Vec<Row>, Failure> {
    let (from, condition) = rows_of(table);
    let key = names(table.columns.get(..table.key).unwrap_or_default(), table);
    let later = match after {
        Some(_) => format!("AND ({key}) > ({})", vec!["?"; table.key].join(", ")),
        None => String::new(),
    };
    let columns = names(table.columns, table);
    let query = format!("SELECT {columns} FROM {from} WHERE {condition} {later} ORDER BY {key} LIMIT {most}");
    let after = after.unwrap_or_default().iter().cloned().map(bound);
    let mut query = connection.prepare_cached(&query)?;
    let rows = query.query_map(params_from_iter(after), |row| {
        let columns = table.columns.iter().enumerate();
        columns
            .map(|(place, column)| read(row, place, column.kind))
            .collect()
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn insert(connection: &Connection, table: &Table, rows: Vec<Row>) -> Result<(), Failure> {
    let columns = names(table.columns, table);
    let places: Vec<_> = (1..=table.columns.len())
        .map(|place| format!("?{place}"))
        .collect();
    let places = places.join(", ");
    let statement = match is_within_tokens(table) {
        true => format!("UPDATE tokens SET ({columns}) = ({places}) WHERE id = ?1"),
        false => format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name),
    };
    let mut statement = connection.prepare_cached(&statement)?;
    for row in rows {
        statement.execute(params_from_iter(row.into_iter().map(bound)))?;
    }
    Ok(())
}

fn numbers(connection: &Connection) -> Result<Numbers, Failure> {
    let mut numbers = Numbers::default();
    for (number, table) in numbers.iter_mut().zip(NUMBERED) {
        let found = connection
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1")?
            .query_row(params![table], |row| get(row, 0))
            .optional()?;
        *number = found.unwrap_or_default();
    }
    Ok(numbers)
}

fn set_numbers(connection: &Connection, numbers: &Numbers) -> Result<(), Failure> {
    connection.execute("DELETE FROM sqlite_sequence", ())?;
    for (number, table) in numbers.iter().zip(NUMBERED).filter(|(number, _)| **number > 0) {
        let statement = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
        connection.execute(statement, params![table, number])?;
    }
    Ok(())
}

fn events(connection: &Connection, after: u64, most: usize) -> rusqlite::Result<Vec<Entry>> {
    chain::events(connection, "event.sequence > ?1 ORDER BY event.sequence LIMIT ?2")?
        .query_map(params![after, most], chain::entry)?
        .collect()
}

fn facts(row: &rusqlite::Row<'_>) -> rusqlite::Result<Facts> {
    let columns = &mut Columns::of(row);
    Ok(Facts {
        origin: columns.take::<Bytes>()?.0,
        feed: (columns.take()?, columns.take()?),
        feed_pruned: (columns.take()?, columns.take()?),
        audit: (columns.take()?, columns.take()?),
        audit_pruned: (columns.take()?, columns.take()?),
    })
}

#[async_trait]
impl Side for MovingFile {
    async fn rows(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
        most: usize,
    ) -> jeton_store::Result<Vec<Row>> {
        Ok(select(self.connection()?, table, after, most)?)
    }

    async fn count(&mut self, table: &Table) -> jeton_store::Result<u64> {
        let (from, condition) = rows_of(table);
        let query = format!("SELECT count(*) FROM {from} WHERE {condition}");
        let count = self.connection()?.query_row(&query, (), |row| get(row, 0));
        Ok(count.map_err(Failure::from)?)
    }

    async fn insert(&mut self, table: &Table, rows: Vec<Row>) -> jeton_store::Result<()> {
        Ok(insert(self.connection()?, table, rows)?)
    }

    async fn numbers(&mut self) -> jeton_store::Result<Numbers> {
        Ok(numbers(self.connection()?)?)
    }

    async fn set_numbers(&mut self, numbers: &Numbers) -> jeton_store::Result<()> {
        Ok(set_numbers(self.connection()?, numbers)?)
    }

    async fn events(&mut self, after: u64, most: usize) -> jeton_store::Result<Vec<Entry>> {
        Ok(events(self.connection()?, after, most).map_err(Failure::from)?)
    }

    async fn lines(&mut self, after: u64, most: usize) -> jeton_store::Result<Vec<AuditLine>> {
        Ok(audit::lines_after(self.connection()?, after, most).map_err(Failure::from)?)
    }

    async fn facts(&mut self) -> jeton_store::Result<Facts> {
        let found = self.connection()?.query_row(FACTS, (), facts);
        Ok(found.map_err(Failure::from)?)
    }

    async fn keys(&mut self) -> jeton_store::Result<Vec<(String, Option<String>)>> {
        let read = || -> Result<_, Failure> {
            let mut query = self.connection()?.prepare("SELECT kid FROM keys ORDER BY id")?;
            let kids = query.query_map((), |row| Ok((get(row, 0)?, None)))?;
            Ok(kids.collect::<rusqlite::Result<_>>()?)
        };
        Ok(read()?)
    }

    async fn seal(&mut self, _: &str, _: &str) -> jeton_store::Result<()> {
        Err(Failure::Impossible("private keys are in a folder").into())
    }

    async fn hold(&mut self, _: &str) -> jeton_store::Result<()> {
        self.connection()?
            .execute_batch("COMMIT")
            .map_err(Failure::from)?;
        drop(self.connection.take());
        if let Some(unfinished) = &self.unfinished {
            let prepared = open::writer(unfinished, &*self.entropy).map_err(BackupError::from);
            let synced = prepared.and_then(|connection| {
                // The last connection moves its WAL into the file.
                drop(connection);
                backup::sync(unfinished)
            });
            synced.map_err(|error| jeton_store::StoreError::Failed(Box::new(error)))?;
        }
        self.unfinished = None;
        Ok(())
    }

    async fn leave(&mut self, to: &str) -> jeton_store::Result<()> {
        let (Some(connection), Some((journal, at, copy))) = (&self.connection, &mut self.journal) else {
            return Err(Failure::Stopped.into());
        };
        connection
            .execute("UPDATE meta SET moved_to = ?1", params![to])
            .map_err(Failure::from)?;
        // Before the commit: a copy of the database that was made before goes by the journal.
        journal.leave(to, *at).map_err(Failure::from)?;
        match connection.execute_batch("COMMIT") {
            Ok(()) => {
                journal.committed();
                if let Some(copy) = copy
                    && let Err(error) = copy.follow(*at, Timestamp::EPOCH)
                {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the copy of the journal does not say that the deployment has moved: delete it"
                    );
                }
                Ok(())
            }
            Err(error) => {
                journal.undone();
                Err(Failure::from(error).into())
            }
        }
    }

    async fn release(&mut self) -> jeton_store::Result<()> {
        let release = || -> Result<bool, BackupError> {
            if !self.path.exists() {
                fs::rename(beside(&self.path, ARRIVING), &self.path).map_err(|source| {
                    BackupError::Unwritable {
                        path: self.path.clone(),
                        source,
                    }
                })?;
            }
            backup::sync(&self.path)?;
            Ok(reconcile::begin_journal(&self.path, &*self.entropy)?)
        };
        match release() {
            Ok(_) => Ok(()),
            Err(error) => Err(jeton_store::StoreError::Failed(Box::new(error))),
        }
    }
}
