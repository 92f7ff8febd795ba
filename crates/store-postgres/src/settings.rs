//! The settings of the deployment.

use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::OpenError;
use crate::connection::Connections;
use crate::failure::Failure;
use crate::values::{get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_store::{Generation, StoredSettings, Versioned};

/// How long a read of the settings may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the settings in a database; none if jeton has not prepared it yet. Apart from the store, since one of them is
/// needed to open it.
///
/// # Errors
///
/// Fails if the database cannot be reached or read.
pub async fn settings(config: &Config, tls: ClientConfig) -> Result<Versioned<StoredSettings>, OpenError> {
    let tls = MakeRustlsConnect::new(tls);
    let connections = Connections::new(config, &tls).map_err(|error| OpenError::Failed(Box::new(error)))?;
    let read = timeout(PATIENCE, read(&connections)).await;
    Ok(read.unwrap_or(Err(Failure::Late))?)
}

async fn read(connections: &Connections) -> Result<Versioned<StoredSettings>, Failure> {
    let mut connection = connections.read_at_once().await?;
    let prepared = "SELECT to_regclass('jeton_schema') IS NOT NULL";
    if !get::<bool>(&connection.row(prepared, &[]).await?, 0)? {
        return Ok(Versioned::default());
    }
    let generation = connection.row("SELECT generation FROM meta", &[]).await?;
    let rows = connection.rows("SELECT name, value FROM settings", &[]).await?;
    connection.end().await?;
    let value = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?)));
    Ok(Versioned {
        value: value.collect::<Result<_, Failure>>()?,
        generation: Generation(get(&generation, 0)?),
    })
}

impl Batch<'_> {
    /// Sets a setting, or returns it to its default.
    pub(super) async fn set_setting(
        &self,
        name: &str,
        value: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let done = match value {
            Some(value) => {
                let set = "INSERT INTO settings (name, value, changed_at) VALUES ($1, $2, $3)
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at";
                self.connection.execute(set, params![name, value, now]).await
            }
            None => {
                let reset = "DELETE FROM settings WHERE name = $1";
                self.connection.execute(reset, params![name]).await
            }
        };
        done.map(drop)
    }
}
