//! Backups by schedule.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use axum::http::StatusCode;
use chrono::{Duration, Utc};
use rusqlite::Connection;

use super::disk::{Disk, Fault};
use super::home::{Home, SOON, Server, eventually, finish};
use super::metrics::{ANY_PORT, value};
use super::restore::{issue, lose, revoke, stop};

pub(super) const DAILY: &str = "[backup]\nevery = \"1d\"\nkeep = 2\nfolder = \"backups\"\n";

fn home() -> Home {
    let home = Home::new();
    create(&home);
    home.configure(&format!("{ANY_PORT}{DAILY}"));
    home
}

/// A deployment that has its keys, but no backup yet.
fn begun() -> Home {
    let home = Home::new();
    create(&home);
    stop(home.serve());
    home.configure(&format!("{ANY_PORT}{DAILY}"));
    home
}

/// Creates the folder of backups.
pub(super) fn create(home: &Home) {
    fs::create_dir(home.path("backups")).unwrap();
}

/// Returns the names of all files in the folder, but that of its database.
pub(super) fn files(home: &Home) -> Vec<String> {
    let Ok(entries) = fs::read_dir(home.path("backups")) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("database-"))
        .collect();
    names.sort();
    names
}

/// Returns the name of a backup that was made some hours ago.
fn name(hours: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "the server reads the same clock")]
    let at = Utc::now() - Duration::hours(hours);
    at.format("jeton-%Y%m%dT%H%M%SZ.db").to_string()
}

/// Waits for a backup that is not among these, and returns its name.
#[track_caller]
pub(super) fn another(home: &Home, server: &Server, known: &[String]) -> String {
    let found = eventually(SOON, || {
        let mut made = files(home).into_iter();
        made.find(|name| name.ends_with(".db") && !known.contains(name))
    });
    found.unwrap_or_else(|| panic!("{:?}: {}", files(home), server.stderr()))
}

/// The newest backup says when the next is due, also after a restart. The oldest beyond `keep` go, and no other file.
#[test]
fn a_backup_is_made_when_the_newest_is_too_old_and_the_oldest_go() {
    let home = home();
    let old = [name(75), name(50), name(25)];
    let others = ["jeton-.db", "mine.db", "notes.txt"];
    for file in old.iter().map(String::as_str).chain(others) {
        fs::write(home.path("backups").join(file), "").unwrap();
    }
    let server = home.serve();
    let made = another(&home, &server, &[&old[..], &others.map(str::to_owned)].concat());
    eventually(SOON, || (value(&server, "jeton_backups") == 2.0).then_some(())).unwrap();
    let mut left = vec![made.clone(), old[2].clone()];
    left.extend(others.map(str::to_owned));
    left.sort();
    assert_eq!(files(&home), left);
    let mode = |name: &str| fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&format!("backups/{made}")), 0o600);
    assert!(value(&server, "jeton_backup_duration_seconds") > 0.0);
    assert_eq!(value(&server, "jeton_backup_interval_seconds"), 86_400.0);
    assert_eq!(value(&server, "jeton_backup_failures_total"), 0.0);
    let last = value(&server, "jeton_backup_last_success_seconds");
    assert!(last > 1.7e9, "{last}");
    stop(server);

    let server = home.serve();
    let known = || value(&server, "jeton_backup_last_success_seconds") == last;
    eventually(SOON, || known().then_some(())).unwrap();
    assert_eq!(files(&home), left, "the restart has made another");
    stop(server);

    fs::rename(
        home.path("backups").join(&made),
        home.path("backups").join(name(24)),
    )
    .unwrap();
    let server = home.serve();
    another(&home, &server, &[left, vec![name(24)]].concat());
    stop(server);
}

/// A backup of the schedule is like that of the command: it is restored with the revocations since.
#[test]
fn a_scheduled_backup_can_be_restored() {
    let home = home();
    let server = home.serve();
    let first = another(&home, &server, &[]);
    stop(server);
    fs::remove_file(home.path("backups").join(first)).unwrap();
    let mut server = home.serve();
    let mut client = server.administrator();
    let (id, token) = issue(&mut client, "revoked");
    let (_, live) = issue(&mut client, "live");
    // The folder is looked at every ten seconds, and at a start.
    for file in files(&home) {
        fs::remove_file(home.path("backups").join(file)).unwrap();
    }
    let made = another(&home, &server, &[]);
    revoke(&mut client, &id);
    server.kill();
    lose(&home);
    let restored = home.run(&["restore", &format!("backups/{made}")]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let server = home.serve();
    let mut client = server.client();
    assert_eq!((client.current(&token), client.current(&live)), (401, 200));
}

/// A process that closes a file loses all of its locks on it. Without the lock of the server, another process that opens
/// and closes the database takes the WAL away, and with it what the server commits next.
#[test]
fn a_scheduled_backup_keeps_the_lock_of_the_database() {
    let home = home();
    let mut server = home.serve();
    another(&home, &server, &[]);
    let is_locked = || {
        let inode = format!(":{} ", fs::metadata(home.path("jeton.db")).unwrap().ino());
        fs::read_to_string("/proc/locks").unwrap().contains(&inode)
    };
    assert!(is_locked());
    let use_it = || {
        let other = Connection::open(home.path("jeton.db")).unwrap();
        let read = other.query_row("SELECT count(*) FROM tokens", (), |row| row.get::<_, i64>(0));
        read.unwrap();
    };
    use_it();
    assert!(home.path("jeton.db-wal").exists());
    let mut client = server.administrator();
    let (id, token) = issue(&mut client, "one");
    revoke(&mut client, &id);
    server.kill();
    // The control.
    assert!(!is_locked());
    use_it();
    assert!(!home.path("jeton.db-wal").exists());
    let server = home.serve();
    assert_eq!(server.client().current(&token), 401);
    stop(server);
}

/// Killed in the middle of a backup: what is left has not the name of a backup, and the next one removes it.
#[test]
fn a_backup_that_was_killed_leaves_nothing_for_long() {
    let (home, disk) = (begun(), Disk::new());
    disk.plan(Fault::KilledBefore, "unfinished");
    let killed = finish(disk.under(home.serve_command()), "");
    assert_eq!(killed.code, None, "{killed:?}");
    assert_eq!(disk.heal(Fault::KilledBefore, "unfinished"), 1, "{killed:?}");
    let left = files(&home);
    assert!(
        !left.is_empty() && left.iter().all(|name| name.contains(".db.unfinished")),
        "{left:?}"
    );
    let server = home.serve();
    let made = another(&home, &server, &[]);
    assert_eq!(files(&home), [made]);
    stop(server);
}

/// The server goes on without space for backups, says so, and tries again.
#[test]
fn a_backup_that_fails_is_told_and_tried_again() {
    let (home, disk) = (begun(), Disk::new());
    disk.plan(Fault::Full, "unfinished");
    let server = disk.serve(&home);
    let failed = || value(&server, "jeton_backup_failures_total") > 0.0;
    eventually(SOON, || failed().then_some(())).unwrap();
    assert_eq!(files(&home), [""; 0]);
    assert_eq!(value(&server, "jeton_backup_last_success_seconds"), 0.0);
    let said = || server.stderr().contains("the scheduled backup failed");
    eventually(SOON, || said().then_some(())).unwrap();
    let mut client = server.administrator();
    let (id, _) = issue(&mut client, "one");
    revoke(&mut client, &id);
    client.get("/readyz").expect(StatusCode::OK);
    assert!(disk.heal(Fault::Full, "unfinished") > 0);
    another(&home, &server, &[]);
    let recovered = || server.stderr().contains("recovered: the scheduled backup failed");
    eventually(SOON, || recovered().then_some(())).unwrap();
    stop(server);
}

/// The disk of the folder is not mounted: no folder is created in its place, and the server starts.
#[test]
fn a_folder_that_is_missing_does_not_keep_the_server_from_starting() {
    let home = Home::new();
    let folder = DAILY.replace("backups", "disk/backups");
    home.configure(&format!("{ANY_PORT}{folder}[tokens]\nretention = \"36h\"\n"));
    let server = home.serve();
    let warned = || {
        server
            .stderr()
            .contains("backups are kept for longer than `tokens.retention`")
    };
    eventually(SOON, || warned().then_some(())).unwrap();
    let failed = || value(&server, "jeton_backup_failures_total") > 0.0;
    eventually(SOON, || failed().then_some(())).unwrap();
    let said = || {
        server
            .stderr()
            .contains("disk/backups does not exist: mount its disk, or create it")
    };
    eventually(SOON, || said().then_some(())).unwrap();
    // The mount point is there.
    fs::create_dir(home.path("disk")).unwrap();
    let before = value(&server, "jeton_backup_failures_total");
    let again = || value(&server, "jeton_backup_failures_total") > before;
    eventually(SOON, || again().then_some(())).unwrap();
    assert!(!home.path("disk/backups").exists());
    fs::create_dir(home.path("disk/backups")).unwrap();
    eventually(SOON, || (value(&server, "jeton_backups") == 1.0).then_some(())).unwrap();
    stop(server);
}

/// The newest backup of one is not that of the other, and its oldest are not deleted.
#[test]
fn a_folder_with_the_backups_of_another_database_is_refused() {
    let (home, other) = (home(), Home::new());
    let server = home.serve();
    let made = another(&home, &server, &[]);
    let folder = home.path("backups");
    let here = DAILY.replace("\"backups\"", &format!("{:?}", folder.to_str().unwrap()));
    other.configure(&format!("{ANY_PORT}{here}"));
    let refused = other.serve();
    let failed = || value(&refused, "jeton_backup_failures_total") > 0.0;
    eventually(SOON, || failed().then_some(())).unwrap();
    assert_eq!(value(&refused, "jeton_backup_last_success_seconds"), 0.0);
    let said = || refused.stderr().contains("has the backups of another database");
    eventually(SOON, || said().then_some(())).unwrap();
    assert_eq!(files(&home), [made]);
    stop(refused);
    stop(server);
}

#[test]
fn a_folder_that_others_can_change_is_refused_at_the_start() {
    let home = home();
    fs::set_permissions(home.path("backups"), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = finish(home.serve_command(), "");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .stderr
            .contains("backups can be changed by other users (mode 0777): run `chmod go-w backups`"),
        "{refused:?}"
    );
    assert!(!home.path("jeton.db").exists());
}
