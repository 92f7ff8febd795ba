//! Findings about the disk of the database: what it says about syncs, free space, and the size of the WAL; and about other
//! disks with journal, keys and backups.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, StatFs, open, statfs, statvfs};
use rustix::io::Errno;

use super::Finding;
use crate::config::Config;

/// How many syncs are measured, and for how long at most.
const SYNCS: usize = 64;
const AT_MOST: Duration = Duration::from_secs(2);

/// A sync of a page takes longer on everything that keeps it without power: the fastest disks with a protected cache need
/// about 20 µs, and a system call that does nothing below 2 µs.
const PLAUSIBLE: Duration = Duration::from_micros(8);

/// A commit waits for two syncs.
const SLOW: Duration = Duration::from_millis(100);

/// What a checkpoint leaves, unless a reader stays for long.
const LARGE_WAL: u64 = 256 << 20;

/// Below the first, the server soon refuses writes; below the second, it is time to act.
const NO_SPACE: u64 = 64 << 20;
const LITTLE_SPACE: u64 = 1 << 30;

/// File systems without a disk, by their magic numbers: tmpfs, ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// File systems over a network: NFS, SMB (two), CIFS, 9P, FUSE. SQLite's locks do not hold on all of them.
const REMOTE: [u64; 6] = [0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x0102_1997, 0x6573_5546];

pub(super) fn findings(database: &Path, config: &Config) -> Vec<Finding> {
    let folder = match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = |end: &str| {
        let mut path = database.as_os_str().to_owned();
        path.push(end);
        PathBuf::from(path)
    };
    let mut findings = vec![sync(folder), kind(folder), free(folder), size(&beside("-wal"))];
    let device = |folder: &Path| fs::metadata(folder).ok().map(|metadata| metadata.dev());
    let mut examined = vec![device(folder)];
    let others = [
        Some(&beside(".revocations")),
        Some(&config.keys.folder),
        config.backups.as_ref().map(|backups| &backups.folder),
        config.journal_copy.as_ref(),
    ];
    for folder in others.into_iter().flatten() {
        // A missing folder is a finding of its own.
        let Some(disk) = device(folder) else { continue };
        if !examined.contains(&Some(disk)) {
            examined.push(Some(disk));
            findings.extend(other(folder));
        }
    }
    findings
}

/// Examines another disk than that of the database. Nothing is synced on it before a response but by the journal, which
/// is beside the database.
fn other(folder: &Path) -> Vec<Finding> {
    let named = |finding: Finding| Finding {
        found: format!("{}: {}", folder.display(), finding.found),
        ..finding
    };
    let in_memory = statfs(folder).is_ok_and(|found| IN_MEMORY.contains(&magic(&found)));
    let kind = in_memory.then(|| {
        Finding::fail(
            "file_system",
            format!("{} is in memory (tmpfs)", folder.display()),
            "move it to a disk: it is lost when the machine stops",
        )
    });
    kind.into_iter().chain([named(free(folder))]).collect()
}

fn sync(folder: &Path) -> Finding {
    match median_sync(folder) {
        Ok(median) => judge_sync(median),
        Err(error) => Finding::warn(
            "sync",
            format!("syncs cannot be measured in {}: {error}", folder.display()),
            // Both: the kernel or the file system has no files without a name.
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::OPNOTSUPP | Errno::ISDIR) => {
                    "measure the disk with another program, such as `pg_test_fsync`: its file system has no files without a \
                     name"
                }
                _ => "run `jeton doctor` as the user of the server",
            },
        ),
    }
}

/// Measures how long a page takes to disk, in a file without a name.
fn median_sync(folder: &Path) -> io::Result<Duration> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(open(folder, flags, Mode::RUSR | Mode::WUSR)?);
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < SYNCS && begun.elapsed() < AT_MOST {
        file.write_all(&[0x5a; 4096])?;
        let at = Instant::now();
        file.sync_data()?;
        times.push(at.elapsed());
    }
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .copied()
        .ok_or_else(|| io::Error::other("no sync has ended"))
}

/// Judges the time of a sync. A disk that answers at once has written nothing; one that takes its time can still lie, as
/// one with a volatile cache that ignores flushes does: only a test with its power off shows that.
fn judge_sync(median: Duration) -> Finding {
    let found = format!("a sync takes {} µs", median.as_micros());
    if median < PLAUSIBLE {
        Finding::fail(
            "sync",
            format!("{found}: nothing that lasts without power is so fast"),
            "put the database on a disk that syncs: a power failure loses revocations that were answered",
        )
    } else if median > SLOW {
        Finding::warn(
            "sync",
            found,
            "use a faster disk: every revocation waits for two syncs",
        )
    } else {
        Finding::ok(
            "sync",
            format!("{found}; whether the disk keeps what it has synced, only a power failure shows"),
        )
    }
}

fn kind(folder: &Path) -> Finding {
    match statfs(folder) {
        Ok(found) => judge_kind(magic(&found)),
        Err(error) => Finding::warn(
            "file_system",
            error.to_string(),
            "run `jeton doctor` as the user of the server",
        ),
    }
}

/// Returns the magic number of a file system, of 32 bits: its type differs between architectures.
fn magic(found: &StatFs) -> u64 {
    u64::try_from(i128::from(found.f_type) & 0xffff_ffff).unwrap_or_default()
}

fn judge_kind(magic: u64) -> Finding {
    if IN_MEMORY.contains(&magic) {
        Finding::fail(
            "file_system",
            "the database is in memory (tmpfs)",
            "move it to a disk: it is lost when the machine stops",
        )
    } else if REMOTE.contains(&magic) {
        Finding::warn(
            "file_system",
            "the database is on a network or FUSE file system",
            "move it to a local disk: locks and syncs are as honest as that file system is",
        )
    } else {
        Finding::ok("file_system", format!("a local one ({magic:#x})"))
    }
}

fn free(folder: &Path) -> Finding {
    match statvfs(folder) {
        Ok(disk) => judge_free(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => Finding::warn(
            "free",
            error.to_string(),
            "run `jeton doctor` as the user of the server",
        ),
    }
}

fn judge_free(bytes: u64) -> Finding {
    let found = format!("{} MiB are free", bytes >> 20);
    let advice = "free some: without space the server refuses to issue and to revoke";
    match bytes {
        ..NO_SPACE => Finding::fail("free", found, advice),
        NO_SPACE..LITTLE_SPACE => Finding::warn("free", found, advice),
        LITTLE_SPACE.. => Finding::ok("free", found),
    }
}

/// Judges the size of the WAL. There is none if no process has the database open.
fn size(wal: &Path) -> Finding {
    match fs::metadata(wal) {
        Ok(metadata) => judge_wal(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => judge_wal(0),
        Err(error) => Finding::warn(
            "wal",
            format!("{} cannot be read: {error}", wal.display()),
            "run `jeton doctor` as the user of the server",
        ),
    }
}

fn judge_wal(bytes: u64) -> Finding {
    let found = format!("{} KiB", bytes >> 10);
    match bytes > LARGE_WAL {
        false => Finding::ok("wal", found),
        true => Finding::warn(
            "wal",
            found,
            "find the process that has had the database open for long (`fuser`): it keeps the WAL from being emptied",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_disk_that_answers_at_once_lies() {
        for (micros, level) in [
            (1, Level::Fail),
            (7, Level::Fail),
            (20, Level::Ok),
            (5_000, Level::Ok),
            (200_000, Level::Warn),
        ] {
            assert_eq!(judge_sync(Duration::from_micros(micros)).level, level, "{micros}");
        }
    }

    #[test]
    fn memory_is_no_disk_and_a_network_is_doubtful() {
        for (magic, level) in [
            (0x0102_1994, Level::Fail),
            (0x6969, Level::Warn),
            (0xef53, Level::Ok),
        ] {
            assert_eq!(judge_kind(magic).level, level, "{magic:#x}");
        }
        // Shared memory is a tmpfs on every Linux.
        let here = kind(Path::new("/dev/shm"));
        assert_eq!(here.level, Level::Fail, "{here:?}");
    }

    #[test]
    fn little_space_and_a_large_wal_are_told() {
        for (mebibytes, level) in [(1, Level::Fail), (100, Level::Warn), (2_000, Level::Ok)] {
            assert_eq!(judge_free(mebibytes << 20).level, level, "{mebibytes}");
        }
        assert_eq!(judge_wal(1 << 20).level, Level::Ok);
        assert_eq!(judge_wal(1 << 30).level, Level::Warn);
        assert_eq!(size(Path::new("no such file")).level, Level::Ok);
        // A name below a file cannot be read, by any user.
        assert_eq!(size(Path::new("Cargo.toml/jeton.db-wal")).level, Level::Warn);
    }
}
