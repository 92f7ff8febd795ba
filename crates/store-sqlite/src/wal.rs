//! Rewriting the WAL that the previous process has left.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

/// Writes the whole WAL again, and returns once it is on disk. Must be called in a transaction, so that no
/// other process writes to it meanwhile.
///
/// The previous process may have ended because a sync had failed. Pages that the disk refused are then still
/// readable, since the kernel caches them and considers them written: later syncs seem to succeed, and a power
/// failure loses them with everything that was committed after them.
pub(super) fn rewrite(connection: &Connection) -> io::Result<()> {
    let Some(database) = connection.path() else {
        return Ok(());
    };
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("{database}-wal"));
    let wal = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut buffer = vec![0; 1 << 20];
    let mut position = 0;
    loop {
        let length = wal.read_at(&mut buffer, position)?;
        let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else {
            return wal.sync_data();
        };
        wal.write_all_at(read, position)?;
        position += length as u64;
    }
}
