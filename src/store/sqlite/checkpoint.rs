//! Bringing what is committed from the WAL into the database.

use rusqlite::Connection;

use crate::store::sqlite::failure::Failure;

/// How many pages the WAL holds before that is worth its syncs. As SQLite has it.
const ENOUGH: i64 = 1000;

/// Brings the WAL into the database if it holds enough.
///
/// SQLite would do so by itself at a commit, but says nothing of a sync that fails then. After the next
/// one, which seems to succeed, it overwrites the WAL, and what the disk has lost of the database is in
/// neither file. A fresh process reads the WAL from its beginning and writes all of it once more.
pub(super) fn checkpoint(connection: &Connection) -> Result<(), Failure> {
    let pages = |pragma| -> Result<i64, Failure> {
        let mut pragma = connection.prepare_cached(pragma)?;
        Ok(pragma.query_row((), |row| row.get("log"))?)
    };
    if pages("PRAGMA wal_checkpoint(NOOP)")? >= ENOUGH {
        pages("PRAGMA wal_checkpoint(PASSIVE)")?;
    }
    Ok(())
}
