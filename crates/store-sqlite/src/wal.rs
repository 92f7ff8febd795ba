//! The WAL that the process before this one has left.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

/// Writes the whole WAL once more, and returns once it is on disk. Inside of a transaction, so that nobody
/// else writes to it meanwhile.
///
/// The process before this one may have ended because a sync had failed. What the disk did not take is
/// read all the same then, since the kernel still has it, and calls it written: later syncs seem to
/// succeed, and a power cut takes it away with everything that was committed behind it.
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
