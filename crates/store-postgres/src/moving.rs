//! A side of a move: a PostgreSQL database that is left, or one that is filled. Everything is one transaction.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jeton_verifier::event::Entry;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::nodes::CLOCK;
use crate::open::{self, OpenError};
use crate::values::{Bound, Columns, Parameter, get, params};
use crate::{Settings, audit, chain};
use jeton_store::AuditLine;
use jeton_store::moving::{Column, FACTS, Facts, Kind, NUMBERED, Numbers, Row, Side, TABLES, Table, Value};

/// A database within the transaction of a move.
pub struct MovingDatabase {
    connection: Connection,
}

impl fmt::Debug for MovingDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingDatabase").finish_non_exhaustive()
    }
}

impl MovingDatabase {
    /// Opens a database that is left. No program writes to it until this is dropped.
    ///
    /// # Errors
    ///
    /// Fails if it has no deployment, has moved already, has a server, or has lost history.
    pub async fn source(settings: &Settings) -> Result<Self, OpenError> {
        let (connection, is_empty) = Self::begin(settings).await?;
        if is_empty {
            return Err(OpenError::Empty);
        }
        open::migrate_all(&connection).await?;
        open::refuse_moved(&connection).await?;
        let tables: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        // Orders end first; then nothing writes any more, and no server renews its lease.
        let locks = format!(
            "SELECT pg_advisory_xact_lock(4779010, 1), pg_advisory_xact_lock(4779010, 2);
             LOCK TABLE {}, nodes, settings IN EXCLUSIVE MODE",
            tables.join(", ")
        );
        connection.batch(&locks).await?;
        refuse_served(&connection, settings.stale_after).await?;
        let is_lost = connection.row("SELECT history_lost FROM meta", &[]).await?;
        match get(&is_lost, 0)? {
            true => Err(OpenError::LostHistory),
            false => Ok(Self { connection }),
        }
    }

    /// Opens an empty database that is to be filled, and creates its tables.
    ///
    /// # Errors
    ///
    /// Fails if it is not empty.
    pub async fn target(settings: &Settings) -> Result<Self, OpenError> {
        let (connection, is_empty) = Self::begin(settings).await?;
        if !is_empty {
            open::refuse_moved(&connection).await?;
            return Err(OpenError::NotEmpty);
        }
        open::migrate_all(&connection).await?;
        for table in TABLES {
            let disable = format!("ALTER TABLE {} DISABLE TRIGGER USER", table.name);
            connection.batch(&disable).await?;
        }
        Ok(Self { connection })
    }

    /// Opens a database that a move has filled and not released; `None` if it is another one.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be used.
    pub async fn held(settings: &Settings) -> Result<Option<Self>, OpenError> {
        let (mut connection, is_empty) = Self::begin(settings).await?;
        if is_empty {
            return Ok(None);
        }
        let row = connection
            .row("SELECT arrives_from IS NOT NULL FROM meta", &[])
            .await?;
        connection.commit().await?;
        Ok(get::<bool>(&row, 0)?.then_some(Self { connection }))
    }

    /// Begins the transaction. Returns whether the database has no tables.
    async fn begin(settings: &Settings) -> Result<(Connection, bool), OpenError> {
        let tls = MakeRustlsConnect::new(settings.tls.clone());
        let mut connection = open::connect(&settings.config, &tls)?.write().await?;
        open::begin(&mut connection).await?;
        let is_empty = open::is_empty(&connection).await?;
        Ok((connection, is_empty))
    }
}

/// Refuses a database with a server that may answer from what it has read.
async fn refuse_served(connection: &Connection, stale_after: Duration) -> Result<(), OpenError> {
    let query = format!("SELECT name FROM nodes WHERE renewed_at + $1 > {CLOCK} ORDER BY name LIMIT 1");
    let lasts = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
    match connection.optional(&query, params![lasts]).await? {
        Some(row) => Err(OpenError::Served(get(&row, 0)?)),
        None => Ok(()),
    }
}

/// The type of the arrays of a column's values.
fn array(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "bigint[]",
        Kind::Boolean => "boolean[]",
        Kind::Text => "text[]",
        Kind::Bytes => "bytea[]",
        Kind::Uuid => "uuid[]",
    }
}

fn bound(kind: Kind, value: &Value) -> Bound {
    match (kind, value) {
        (_, Value::Null) => Bound::Null,
        (Kind::Boolean, Value::Integer(value)) => Bound::Bool(*value != 0),
        (_, Value::Integer(value)) => Bound::Integer(*value),
        (_, Value::Text(value)) => value.bound(),
        (Kind::Uuid, Value::Bytes(value)) => {
            Uuid::from_slice(value).map_or(Bound::Unfit("an id has not 16 bytes"), Bound::Uuid)
        }
        (_, Value::Bytes(value)) => Bound::Bytes(value.clone()),
    }
}

fn read(row: &tokio_postgres::Row, place: usize, kind: Kind) -> Result<Value, Failure> {
    let value = match kind {
        Kind::Integer => row.try_get::<_, Option<i64>>(place)?.map(Value::Integer),
        Kind::Boolean => row
            .try_get::<_, Option<bool>>(place)?
            .map(|value| Value::Integer(i64::from(value))),
        Kind::Text => row.try_get::<_, Option<String>>(place)?.map(Value::Text),
        Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(place)?.map(Value::Bytes),
        Kind::Uuid => row
            .try_get::<_, Option<Uuid>>(place)?
            .map(|value| Value::Bytes(value.as_bytes().to_vec())),
    };
    Ok(value.unwrap_or(Value::Null))
}

/// Returns names, with a separator.
fn names(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

#[async_trait]
impl Side for MovingDatabase {
    async fn rows(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
        most: usize,
    ) -> jeton_store::Result<Vec<Row>> {
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| match column.kind {
                // One is an integer of 32 bits.
                Kind::Integer => format!("{}::bigint", column.name),
                _ => column.name.to_owned(),
            })
            .collect();
        let key = table.columns.get(..table.key).unwrap_or_default();
        let mut parameters: Vec<Bound> = Vec::new();
        let mut condition = String::new();
        if let Some(after) = after {
            let places: Vec<_> = (1..=table.key).map(|place| format!("${place}")).collect();
            condition = format!("WHERE ({}) > ({})", names(key), places.join(", "));
            parameters.extend(
                key.iter()
                    .zip(after)
                    .map(|(column, value)| bound(column.kind, value)),
            );
        }
        let query = format!(
            "SELECT {} FROM {} {condition} ORDER BY {} LIMIT {most}",
            columns.join(", "),
            table.name,
            names(key)
        );
        let rows = self.connection.rows(&query, &parameters).await?;
        let rows = rows.iter().map(|row| {
            let columns = table.columns.iter().enumerate();
            columns
                .map(|(place, column)| read(row, place, column.kind))
                .collect()
        });
        Ok(rows.collect::<Result<_, Failure>>()?)
    }

    async fn count(&mut self, table: &Table) -> jeton_store::Result<u64> {
        let query = format!("SELECT count(*) FROM {}", table.name);
        Ok(get(&self.connection.row(&query, &[]).await?, 0)?)
    }

    async fn insert(&mut self, table: &Table, rows: Vec<Row>) -> jeton_store::Result<()> {
        let mut columns: Vec<Vec<Bound>> = table
            .columns
            .iter()
            .map(|_| Vec::with_capacity(rows.len()))
            .collect();
        for row in &rows {
            for ((column, value), values) in table.columns.iter().zip(row).zip(&mut columns) {
                values.push(bound(column.kind, value));
            }
        }
        let arrays: Vec<_> = table
            .columns
            .iter()
            .zip(1..)
            .map(|(column, place)| format!("${place}::{}", array(column.kind)))
            .collect();
        let statement = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({})",
            table.name,
            names(table.columns),
            arrays.join(", ")
        );
        let columns: Vec<_> = columns.into_iter().map(Bound::Array).collect();
        self.connection.execute(&statement, &columns).await?;
        Ok(())
    }

    async fn numbers(&mut self) -> jeton_store::Result<Numbers> {
        let given = NUMBERED.map(|table| match table {
            // Counted, and not given by a sequence.
            "status_lists" => "greatest(lists_through, (SELECT max(id) FROM status_lists))".to_owned(),
            _ => format!("(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table}_id_seq)"),
        });
        let query = format!("SELECT {} FROM meta", given.join(", "));
        let row = self.connection.row(&query, &[]).await?;
        let mut numbers = Numbers::default();
        for (place, number) in numbers.iter_mut().enumerate() {
            *number = get(&row, place)?;
        }
        Ok(numbers)
    }

    async fn set_numbers(&mut self, numbers: &Numbers) -> jeton_store::Result<()> {
        for (table, number) in NUMBERED.iter().zip(numbers).filter(|(_, number)| **number > 0) {
            let statement = match *table {
                "status_lists" => "UPDATE meta SET lists_through = $1".to_owned(),
                _ => format!("SELECT setval('{table}_id_seq', $1)"),
            };
            self.connection.execute(&statement, params![number]).await?;
        }
        Ok(())
    }

    async fn events(&mut self, after: u64, most: usize) -> jeton_store::Result<Vec<Entry>> {
        let condition = "event.sequence > $1 ORDER BY event.sequence LIMIT $2";
        let rows = chain::events(&self.connection, condition, params![after, most]).await?;
        Ok(rows.iter().map(chain::entry).collect::<Result<_, _>>()?)
    }

    async fn lines(&mut self, after: u64, most: usize) -> jeton_store::Result<Vec<AuditLine>> {
        Ok(audit::lines_after(&self.connection, after, most).await?)
    }

    async fn facts(&mut self) -> jeton_store::Result<Facts> {
        let row = self.connection.row(FACTS, &[]).await?;
        let columns = &mut Columns::of(&row);
        Ok(Facts {
            origin: columns.take()?,
            feed: (columns.take()?, columns.take()?),
            feed_pruned: (columns.take()?, columns.take()?),
            audit: (columns.take()?, columns.take()?),
            audit_pruned: (columns.take()?, columns.take()?),
        })
    }

    async fn keys(&mut self) -> jeton_store::Result<Vec<(String, Option<String>)>> {
        let rows = self
            .connection
            .rows("SELECT kid, sealed FROM keys ORDER BY id", &[])
            .await?;
        let keys = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?)));
        Ok(keys.collect::<Result<_, Failure>>()?)
    }

    async fn seal(&mut self, kid: &str, sealed: &str) -> jeton_store::Result<()> {
        let statement = "UPDATE keys SET sealed = $2 WHERE kid = $1";
        self.connection.execute(statement, params![kid, sealed]).await?;
        Ok(())
    }

    async fn hold(&mut self, from: &str) -> jeton_store::Result<()> {
        let statement = "UPDATE meta SET arrives_from = $1";
        self.connection.execute(statement, params![from]).await?;
        for table in TABLES {
            // The planner would take each for empty.
            let enable = format!("ALTER TABLE {0} ENABLE TRIGGER USER; ANALYZE {0}", table.name);
            self.connection.batch(&enable).await?;
        }
        Ok(self.connection.commit().await?)
    }

    async fn leave(&mut self, to: &str) -> jeton_store::Result<()> {
        let statement = "UPDATE meta SET moved_to = $1";
        self.connection.execute(statement, params![to]).await?;
        Ok(self.connection.commit().await?)
    }

    async fn release(&mut self) -> jeton_store::Result<()> {
        self.connection
            .begin("BEGIN; UPDATE meta SET arrives_from = NULL")
            .await?;
        Ok(self.connection.commit().await?)
    }
}
