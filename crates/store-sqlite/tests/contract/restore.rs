//! Backup and restore: a restore must never make a revoked token active again.

use jeton_store::suite::clerk::Clerk;
use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jeton_core::token::{CutOff, Reach, Record, TokenId, TokenReference};
use jeton_journal::{Flaw as JournalFlaw, JournalError, Replayed};
use jeton_store::suite::clerk::{RevokeOrder, RevokeOutcome};
use jeton_store::{Continuation, KeyState, LastToken};
use jeton_store_sqlite::{
    BackupError, DrillError, DrillFolder, Examined, Missing, OpenError, backup, begin_journal, check_journal,
    restore,
};

use super::Sqlite;
use jeton_store::suite::Backend;
use jeton_store::suite::world::{Seeded, World, actor, at, removal, revocation, token};
use jeton_store::suite::{ending, round};

const DAY: i64 = 86_400;

const CONTINUE: ControlFlow<()> = ControlFlow::Continue(());

fn order(token: TokenId) -> RevokeOrder {
    RevokeOrder {
        token,
        revocation: revocation(10, 0),
        last_token: LastToken::MayGo,
    }
}

fn journal(sqlite: &Sqlite) -> PathBuf {
    sqlite.path().with_file_name("jeton.db.revocations")
}

fn segments(sqlite: &Sqlite) -> Vec<PathBuf> {
    let mut segments: Vec<_> = fs::read_dir(journal(sqlite))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    segments
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Writes a backup. All backups here are of the same instant.
fn back_up(sqlite: &Sqlite) -> PathBuf {
    let target = sqlite.path().with_file_name("backup.db");
    backup(&sqlite.path(), &target, at(5), |_| CONTINUE).unwrap();
    target
}

fn lose(sqlite: &Sqlite) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(sqlite.path().with_file_name(format!("jeton.db{end}")));
    }
}

fn bring_back(sqlite: &Sqlite, from: &Path, missing: Missing) -> Result<Replayed, BackupError> {
    restore(from, &sqlite.path(), missing, None, &Seeded, |_| ())
}

fn meta<T: rusqlite::types::FromSql>(sqlite: &Sqlite, column: &str) -> T {
    let query = format!("SELECT {column} FROM meta");
    sqlite.raw().query_row(&query, (), |row| row.get(0)).unwrap()
}

fn epoch(sqlite: &Sqlite) -> Vec<u8> {
    meta(sqlite, "epoch")
}

async fn revoke(world: &World, record: &Record, seconds: i64) {
    let outcome = world.revoke(record.id, revocation(seconds, 0)).await;
    assert!(matches!(outcome, RevokeOutcome::Revoked(_)));
}

async fn read(world: &World, record: &Record) -> Option<Record> {
    world.store.token(TokenReference::Id(record.id)).await.unwrap()
}

/// Copies the database file of a closed store.
fn copy_of(sqlite: &Sqlite, name: &str) -> PathBuf {
    let copy = sqlite.path().with_file_name(name);
    fs::copy(sqlite.path(), &copy).unwrap();
    copy
}

#[tokio::test]
async fn a_backup_is_whole_marked_private_and_overwrites_nothing() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let record = world.record(token(world.owner(), 0)).await;
    revoke(&world, &record, 1).await;
    let mut reports = Vec::new();
    let target = sqlite.path().with_file_name("backup.db");
    backup(&sqlite.path(), &target, at(5), |progress| {
        reports.push(progress);
        CONTINUE
    })
    .unwrap();
    assert!(
        reports
            .last()
            .is_some_and(|last| last.done == last.of && last.of > 0)
    );
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
    let copy = rusqlite::Connection::open(&target).unwrap();
    let marked: (i64, u64, i64) = copy
        .query_row(
            "SELECT backed_up_at, sequence, (SELECT count(*) FROM tokens WHERE effective_at IS NOT NULL) FROM meta",
            (),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(marked, (at(5).millis(), 1, 1));
    drop(copy);
    let beside: Vec<_> = fs::read_dir(target.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("backup.db"))
        .collect();
    assert_eq!(beside, ["backup.db"], "a backup is one file");
    let before = fs::read(&target).unwrap();
    let again = backup(&sqlite.path(), &target, at(6), |_| CONTINUE);
    assert!(matches!(again, Err(BackupError::Exists(path)) if path == target));
    assert!(before == fs::read(&target).unwrap());
    assert_eq!(meta::<Option<i64>>(&sqlite, "backed_up_at"), None);
    let nothing = sqlite.path().with_file_name("none.db");
    assert!(
        backup(&nothing, &sqlite.path().with_file_name("x.db"), at(6), |_| {
            CONTINUE
        })
        .is_err()
    );
    assert!(!sqlite.path().with_file_name("x.db").exists());
}

/// Token ids skip a range at a restore. Finding the tokens of a cut-off skips it in one step.
#[tokio::test]
async fn a_leap_of_numbers_is_passed_over_in_one_step() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let before = world.record(token(world.owner(), 0)).await;
    let leap = "UPDATE sqlite_sequence SET seq = 1000000000000 WHERE name = 'tokens'";
    sqlite.raw().execute(leap, ()).unwrap();
    let world = world.reopen();
    let after = world.record(token(world.owner(), 0)).await;
    assert!(after.id > TokenId(1_000_000_000_000));
    let cut_off = CutOff {
        reach: Reach::default(),
        issued_through: at(9).seconds(),
        effective_at: at(10),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(10));
    cut.await.unwrap();
    let (mut list_indexes, mut last, mut portions) = (Vec::new(), Some(TokenId(0)), 0);
    while let Some(after) = last {
        let portion = world.store.covered(1, after, at(10)).await.unwrap();
        list_indexes.extend(portion.list_indexes);
        last = portion.last;
        portions += 1;
        assert!(portions < 5, "each index of the gap is read");
    }
    assert_eq!(list_indexes, [before.list_index, after.list_index]);
}

/// A backup is of the instant at which it began, however much is written meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_the_instant_at_which_it_was_begun() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    for number in 0..40 {
        let mut token = token(world.owner(), 0);
        token.description = Some("x".repeat(60_000 + number));
        world.record(token).await;
    }
    let target = sqlite.path().with_file_name("backup.db");
    let runtime = tokio::runtime::Handle::current();
    let mut written = 0;
    tokio::task::block_in_place(|| {
        backup(&sqlite.path(), &target, at(5), |_| {
            let record = runtime.block_on(world.record(token(world.owner(), 1)));
            runtime.block_on(revoke(&world, &record, 2));
            written += 1;
            CONTINUE
        })
    })
    .unwrap();
    assert!(written > 0);
    let copy = rusqlite::Connection::open(&target).unwrap();
    let counts: (i64, i64) = copy
        .query_row(
            "SELECT (SELECT count(*) FROM tokens), sequence FROM meta",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(counts, (40, 0));
}

/// Revocations made before and after a backup stay in effect after its restore: of tokens, of sessions, of
/// tokens the backup does not hold, of cut-offs and of withdrawn keys.
#[tokio::test]
async fn a_restore_revokes_again_what_was_revoked_since() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let ada = world.member("ada").await;
    let before = world.record(token(world.owner(), 0)).await;
    let since = world.record(token(world.owner(), 0)).await;
    let grace = world.record(token(world.owner(), 0)).await;
    let cut = world.record(token(world.owner_user(&ada), 0)).await;
    let live = world.record(token(world.owner(), 0)).await;
    revoke(&world, &before, 1).await;
    let backup = back_up(&sqlite);

    revoke(&world, &since, 10).await;
    world.revoke(grace.id, revocation(10, 100)).await;
    let lost = world.record(token(world.owner(), 11)).await;
    revoke(&world, &lost, 12).await;
    let generation = world.generation().await;
    let removed = world.store.remove_person(ada.clone(), removal(13), generation);
    removed.await.unwrap();
    let team = world.team(world.organization, "short-lived").await;
    let generation = world.generation().await;
    let removed = world.store.remove_team(team.clone(), removal(14), generation);
    removed.await.unwrap();
    world.publish_key("second", 14).await;
    let withdrawn = world.store.withdraw_key("second", None, at(14));
    withdrawn.await.unwrap().unwrap();
    let last_number = world.record(token(world.owner(), 15)).await.id;
    let first_epoch = epoch(&sqlite);
    // Sealed private keys are bound to it.
    let origin = world.store.origin().await.unwrap();
    let followed = world.changes().await.reached;

    let mut replayed = None;
    let world = world.reopen_after(|| {
        lose(&sqlite);
        replayed = Some(bring_back(&sqlite, &backup, Missing::Refuse).unwrap());
    });
    let replayed = replayed.unwrap();
    assert_eq!(
        (replayed.tokens, replayed.cut_offs.len(), replayed.keys),
        (3, 3, 1)
    );
    assert_eq!(replayed.cut_offs[1].reach.team, Some(team));
    assert_ne!(epoch(&sqlite), first_epoch);
    assert_eq!(world.store.origin().await.unwrap(), origin);
    assert_eq!(world.after(followed).await, Continuation::Forked);
    assert_eq!(meta::<Option<i64>>(&sqlite, "backed_up_at"), None);
    for (record, instant) in [(&before, 1), (&since, 10), (&grace, 110)] {
        let found = read(&world, record).await.unwrap();
        assert!(found.is_revoked(at(instant)) && !found.is_revoked(at(instant - 1)));
    }
    assert!(!read(&world, &live).await.unwrap().is_revoked(at(1_000)));
    assert_eq!(read(&world, &lost).await, None);
    let snapshot = world.store.snapshot().await.unwrap();
    for (list_index, instant) in [
        (before.list_index, 1),
        (since.list_index, 10),
        (grace.list_index, 110),
        (lost.list_index, 12),
    ] {
        assert!(
            snapshot.revoked.contains(&(list_index, at(instant))),
            "{list_index:?}"
        );
    }
    assert!(
        snapshot
            .cut_offs
            .iter()
            .any(|(_, cut_off)| cut_off.ends(&cut, at(20)))
    );
    assert!(
        !snapshot
            .cut_offs
            .iter()
            .any(|(_, cut_off)| cut_off.ends(&live, at(20)))
    );
    let keys = world.store.keys().await.unwrap().value.rows;
    let states: Vec<_> = keys.iter().map(|key| (key.key.kid.as_str(), key.state)).collect();
    assert_eq!(
        states,
        [("first", KeyState::Signing), ("second", KeyState::Withdrawn)]
    );
    let told: (String, Option<String>) = sqlite
        .raw()
        .query_row(
            "SELECT target, before FROM actions WHERE action = 'key.update' AND reason = 'repeated from the journal'",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    // The backup does not know the key.
    assert_eq!(told, ("second".to_owned(), None));
    // Ids and status list indexes are not reused.
    let next = world.record(token(world.owner(), 30)).await;
    assert!(next.id > last_number);
    assert!(next.list_index.list > lost.list_index.list);

    // A second restore of the same backup also replays revocations made after the first.
    revoke(&world, &next, 31).await;
    revoke(&world, &live, 32).await;
    let world = world.reopen_after(|| {
        lose(&sqlite);
        bring_back(&sqlite, &backup, Missing::Refuse).unwrap();
    });
    for record in [&before, &since, &live] {
        assert!(read(&world, record).await.unwrap().is_revoked(at(40)));
    }
    let snapshot = world.store.snapshot().await.unwrap();
    for record in [&lost, &next] {
        assert!(
            snapshot
                .revoked
                .iter()
                .any(|(list_index, _)| *list_index == record.list_index)
        );
    }
    let again = world.record(token(world.owner(), 50)).await;
    assert!(again.id > next.id && again.list_index.list > next.list_index.list);
    drop(world.reopen());
}

/// Without the journal later revocations are unknown: the restore is refused, or everything is revoked.
#[tokio::test]
async fn without_the_journal_it_is_refused_or_everything_is_ended() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let live = world.record(token(world.owner(), 0)).await;
    let since = world.record(token(world.owner(), 0)).await;
    let backup = back_up(&sqlite);
    let untouched = fs::read(&backup).unwrap();
    revoke(&world, &since, 10).await;
    let world = world.reopen_after(|| {
        lose(&sqlite);
        fs::remove_dir_all(journal(&sqlite)).unwrap();
        let refused = bring_back(&sqlite, &backup, Missing::Refuse);
        assert!(
            matches!(
                refused,
                Err(BackupError::Database(OpenError::Unreconciled { .. }))
            ),
            "{refused:?}"
        );
        assert!(!sqlite.path().exists(), "a refused restore has left a database");
        // A backup that was copied into place by hand is not served either.
        fs::copy(&backup, sqlite.path()).unwrap();
        assert!(matches!(sqlite.try_open(), Err(OpenError::Unreconciled { .. })));
        lose(&sqlite);
        bring_back(&sqlite, &backup, Missing::CutOff(at(20))).unwrap();
    });
    assert!(untouched == fs::read(&backup).unwrap());
    let snapshot = world.store.snapshot().await.unwrap();
    for record in [&live, &since] {
        assert!(
            snapshot
                .cut_offs
                .iter()
                .any(|(_, cut_off)| cut_off.ends(record, at(20)))
        );
    }
    let keys = world.store.keys().await.unwrap().value.rows;
    assert!(keys.iter().all(|key| key.state == KeyState::Withdrawn));
    // From here on there is a journal again.
    let world = world.reopen();
    world.publish_key("third", 30).await;
    let mut new = token(world.owner(), 30);
    new.kid = "third".into();
    let new = world.record(new).await;
    assert!(
        !snapshot
            .cut_offs
            .iter()
            .any(|(_, cut_off)| cut_off.ends(&new, at(40)))
    );
}

/// Returns the last segment after a change of its bytes.
fn change_last(sqlite: &Sqlite, change: impl FnOnce(&mut Vec<u8>)) {
    let last = segments(sqlite).pop().unwrap();
    let mut text = fs::read(&last).unwrap();
    change(&mut text);
    fs::write(last, text).unwrap();
}

/// A journal whose end cannot be read is refused until that is accepted: revocations may be missing. A crash leaves
/// such an end too.
#[tokio::test]
async fn a_journal_with_a_torn_end_is_refused_until_that_is_accepted() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(Damage, JournalFlaw, usize); 4] = [
        (
            |text| text.extend(b"0123456789abcdef {\"reaches\":"),
            JournalFlaw::Torn,
            4,
        ),
        (|text| text.extend([0; 100]), JournalFlaw::Torn, 4),
        (|text| text.truncate(text.len() - 1), JournalFlaw::Torn, 3),
        (
            |text| {
                let at = text.len() - 5;
                text[at] ^= 1;
            },
            JournalFlaw::Damaged,
            3,
        ),
    ];
    for (damage, flaw, remaining) in damages {
        let sqlite = Sqlite::create();
        let world = World::new(sqlite.clone()).await;
        let mut records = Vec::new();
        for _ in 0..4 {
            records.push(world.record(token(world.owner(), 0)).await);
        }
        let backup = back_up(&sqlite);
        for record in &records {
            revoke(&world, record, 10).await;
        }
        drop(world);
        lose(&sqlite);
        change_last(&sqlite, damage);
        match bring_back(&sqlite, &backup, Missing::Refuse) {
            Err(BackupError::Database(OpenError::JournalTorn { end, .. })) => {
                assert_eq!(end.flaw, Some(flaw));
                assert_eq!(end.sequence, remaining as u64);
                assert_eq!(end.recorded_at, Some(at(10)));
            }
            other => panic!("{flaw:?}: {other:?}"),
        }
        let restored = bring_back(&sqlite, &backup, Missing::AcceptTorn).unwrap();
        assert_eq!(restored.tokens, remaining, "{flaw:?}");
    }
}

/// A segment whose first line is damaged ends the journal.
#[tokio::test]
async fn a_last_segment_without_a_beginning_is_damage() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let [one, two, three] = [
        world.record(token(world.owner(), 0)).await,
        world.record(token(world.owner(), 0)).await,
        world.record(token(world.owner(), 0)).await,
    ];
    let backup = back_up(&sqlite);
    revoke(&world, &one, 10).await;
    // After a line of another process the next revocation begins a segment.
    let beside = world.beside();
    beside.revoke(order(two.id)).await.unwrap();
    revoke(&world, &three, 20).await;
    drop((world, beside));
    lose(&sqlite);
    let count = segments(&sqlite).len();
    assert!(count > 1, "{count} segments");
    change_last(&sqlite, |text| text[20] ^= 1);
    assert_eq!(check_journal_of(&sqlite), 1);
    let refused = bring_back(&sqlite, &backup, Missing::Refuse);
    assert!(
        matches!(&refused, Err(BackupError::Database(OpenError::JournalTorn { end, .. })) if end.flaw == Some(JournalFlaw::Damaged)),
        "{refused:?}"
    );
}

fn check_journal_of(sqlite: &Sqlite) -> usize {
    fs::write(sqlite.path(), "").unwrap();
    fs::set_permissions(sqlite.path(), Permissions::from_mode(0o600)).unwrap();
    let flaws = check_journal(&sqlite.path()).unwrap();
    fs::remove_file(sqlite.path()).unwrap();
    flaws.len()
}

/// Lines that are missing at the end leave no trace: only an event that is known from elsewhere shows them.
#[tokio::test]
async fn a_journal_that_ends_before_a_known_event_is_refused() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let [one, two] = [
        world.record(token(world.owner(), 0)).await,
        world.record(token(world.owner(), 0)).await,
    ];
    let backup = back_up(&sqlite);
    revoke(&world, &one, 10).await;
    revoke(&world, &two, 20).await;
    drop(world);
    lose(&sqlite);
    change_last(&sqlite, |text| {
        let ends: Vec<_> = text
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .collect();
        let last_but_one = ends[ends.len() - 2].0;
        text.truncate(last_but_one + 1);
    });
    let bring_back = |newest| restore(&backup, &sqlite.path(), Missing::Refuse, newest, &Seeded, |_| ());
    let refused = bring_back(Some(2));
    assert!(
        matches!(
            refused,
            Err(BackupError::Database(OpenError::JournalShort { newest: 2, .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(bring_back(Some(1)).unwrap().tokens, 1);
}

/// One line more is what a crash before a commit leaves, unless its token was never recorded: a revoked token was.
#[tokio::test]
async fn a_lost_token_that_was_revoked_begins_a_new_epoch() {
    for is_lost in [true, false] {
        let sqlite = Sqlite::create();
        let world = World::new(sqlite.clone()).await;
        let first = world.record(token(world.owner(), 0)).await;
        // Of the open store, since one that is opened again notes it in the journal.
        let before_db = sqlite.path().with_file_name("before.db");
        let copied = sqlite.raw().execute("VACUUM INTO ?1", [before_db.to_str()]);
        copied.unwrap();
        fs::set_permissions(&before_db, fs::Permissions::from_mode(0o600)).unwrap();
        let ended = match is_lost {
            true => world.record(token(world.owner(), 1)).await,
            false => first,
        };
        let before = epoch(&sqlite);
        revoke(&world, &ended, 10).await;
        let world = world.reopen_after(|| {
            lose(&sqlite);
            fs::rename(&before_db, sqlite.path()).unwrap();
        });
        assert_eq!(epoch(&sqlite) != before, is_lost);
        let snapshot = world.store.snapshot().await.unwrap();
        let revoked: Vec<_> = snapshot.revoked.iter().map(|(index, _)| *index).collect();
        assert_eq!(revoked, [ended.list_index]);
    }
}

/// A database that lost commits which revoked nothing is noticed: its numbers would be given again.
#[tokio::test]
async fn lost_commits_that_only_issued_begin_a_new_epoch() {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Lost {
        Start,
        Stretch,
        OrderlyStop,
        Issues,
        Nothing,
    }
    for lost in [
        Lost::Start,
        Lost::Stretch,
        Lost::OrderlyStop,
        Lost::Issues,
        Lost::Nothing,
    ] {
        let sqlite = Sqlite::create();
        let world = World::new(sqlite.clone()).await;
        world.store.started().await.unwrap();
        if lost != Lost::Stretch {
            world.record(token(world.owner(), 0)).await;
        }
        let world = world.reopen_after(|| {
            copy_of(&sqlite, "before.db");
        });
        let before = epoch(&sqlite);
        if lost == Lost::Start {
            world.store.started().await.unwrap();
        }
        // Reserves indexes again, since the store was opened again, except where that is not to be the trace.
        let mut last = TokenId(0);
        if !matches!(lost, Lost::Issues | Lost::Nothing) {
            last = world.record(token(world.owner(), 1)).await.id;
        }
        if lost == Lost::OrderlyStop {
            world.store.stopped().await.unwrap();
        }
        drop(world);
        let old = lost != Lost::Nothing && lost != Lost::Issues;
        if old {
            lose(&sqlite);
            fs::rename(sqlite.path().with_file_name("before.db"), sqlite.path()).unwrap();
        }
        let store = sqlite.open(std::sync::Arc::new(jeton_store::suite::world::Seen::default()));
        assert_eq!(epoch(&sqlite) != before, old, "{lost:?}");
        store.started().await.unwrap();
        drop(store);
        // Once: the next start finds nothing missing.
        let begun = epoch(&sqlite);
        for _ in 0..2 {
            drop(sqlite.open(std::sync::Arc::new(jeton_store::suite::world::Seen::default())));
            assert_eq!(epoch(&sqlite), begun, "{lost:?}");
        }
        assert_eq!(
            check_journal(&sqlite.path()).unwrap(),
            Vec::<String>::new(),
            "{lost:?}"
        );
        let next: i64 = sqlite
            .raw()
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'tokens'",
                (),
                |row| row.get(0),
            )
            .unwrap_or_default();
        assert!(next >= last.0, "{lost:?}: {next} after {last:?}");
        if lost == Lost::Issues {
            // Nothing was lost, and nobody knows: numbers go on beyond all that may have been given.
            assert!(next > 4_096, "{next}");
        }
    }
}

/// Lock and journal belong to the file, by whatever link it is opened.
#[tokio::test]
async fn a_link_leads_to_the_same_journal() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let record = world.record(token(world.owner(), 0)).await;
    drop(world);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(sqlite.path(), &link).unwrap();
    let open = |path: &Path| {
        let seen = std::sync::Arc::new(jeton_store::suite::world::Seen::default());
        jeton_store_sqlite::SqliteStore::open(path, std::sync::Arc::new(Seeded), seen)
    };
    let store = open(&link).unwrap();
    let store: jeton_store::SharedStore = std::sync::Arc::new(store);
    store.revoke(order(record.id)).await.unwrap();
    drop(store);
    let beside: Vec<_> = fs::read_dir(elsewhere.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
    let lock = jeton_store_sqlite::ServeLock::acquire(&link).unwrap();
    let second = jeton_store_sqlite::ServeLock::acquire(&sqlite.path());
    assert!(
        matches!(second, Err(jeton_store_sqlite::LockError::Taken(_))),
        "{second:?}"
    );
    drop(lock);
    let hard = sqlite.path().with_file_name("hard.db");
    fs::hard_link(sqlite.path(), &hard).unwrap();
    for path in [hard, sqlite.path()] {
        assert!(matches!(open(&path), Err(OpenError::Linked(_))));
        let lock = jeton_store_sqlite::ServeLock::acquire(&path);
        assert!(matches!(
            lock,
            Err(jeton_store_sqlite::LockError::Database(OpenError::Linked(_)))
        ));
    }
}

/// A journal with a missing segment or a damaged line in the middle is refused.
#[tokio::test]
async fn a_journal_with_a_hole_is_not_believed() {
    type Damage = fn(&Sqlite);
    let damages: [(Damage, bool); 4] = [
        (|_| (), true),
        (
            |sqlite| {
                let last = segments(sqlite).pop().unwrap();
                let mut text = fs::read(&last).unwrap();
                let second = text.iter().position(|byte| *byte == b'\n').unwrap() + 20;
                text[second] ^= 1;
                fs::write(last, text).unwrap();
            },
            false,
        ),
        (
            |sqlite| {
                let last = segments(sqlite).pop().unwrap();
                let text = fs::read_to_string(&last).unwrap();
                let kept: Vec<_> = text
                    .lines()
                    .enumerate()
                    .filter(|(number, _)| *number != 2)
                    .collect();
                let kept: String = kept.iter().map(|(_, line)| format!("{line}\n")).collect();
                fs::write(last, kept).unwrap();
            },
            false,
        ),
        (
            |sqlite| fs::remove_file(segments(sqlite).pop().unwrap()).unwrap(),
            false,
        ),
    ];
    for (number, (damage, believed)) in damages.into_iter().enumerate() {
        let sqlite = Sqlite::create();
        let world = World::new(sqlite.clone()).await;
        let mut records = Vec::new();
        for _ in 0..4 {
            records.push(world.record(token(world.owner(), 0)).await);
        }
        let backup = back_up(&sqlite);
        for record in &records {
            revoke(&world, record, 10).await;
        }
        drop(world);
        lose(&sqlite);
        damage(&sqlite);
        let restored = bring_back(&sqlite, &backup, Missing::Refuse);
        assert_eq!(restored.is_ok(), believed, "{number}: {restored:?}");
        if let Ok(replayed) = restored {
            assert_eq!(replayed.tokens, 4);
        }
    }
}

/// After a crash between the journal line and the commit, opening carries out the line's orders and keeps the
/// epoch.
#[tokio::test]
async fn a_crash_between_journal_and_commit_undoes_nothing() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let record = world.record(token(world.owner(), 0)).await;
    let other = world.record(token(world.owner(), 0)).await;
    let world = world.reopen_after(|| {
        copy_of(&sqlite, "before.db");
    });
    revoke(&world, &record, 10).await;
    let world = world.reopen_after(|| {
        fs::rename(sqlite.path().with_file_name("before.db"), sqlite.path()).unwrap();
    });
    assert!(read(&world, &record).await.unwrap().is_revoked(at(10)));
    let seen = epoch(&sqlite);
    let world = world.reopen_after(|| {
        copy_of(&sqlite, "before.db");
    });
    assert_eq!(epoch(&sqlite), seen);
    // More lines than a crash can leave: the database is an older copy and gets a new epoch.
    revoke(&world, &other, 20).await;
    let third = world.record(token(world.owner(), 0)).await;
    revoke(&world, &third, 21).await;
    let world = world.reopen_after(|| {
        fs::rename(sqlite.path().with_file_name("before.db"), sqlite.path()).unwrap();
    });
    assert_ne!(epoch(&sqlite), seen);
    assert!(read(&world, &other).await.unwrap().is_revoked(at(20)));
    assert_eq!(read(&world, &third).await, None);
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.revoked.len(), 3);
    assert!(snapshot.revoked.contains(&(third.list_index, at(21))));
    drop(world.reopen());
}

/// If the journal cannot be written, no token is revoked and no observer is told.
#[tokio::test]
async fn a_journal_that_cannot_be_written_fails_the_revocation() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let record = world.record(token(world.owner(), 0)).await;
    fs::remove_dir_all(journal(&sqlite)).unwrap();
    fs::write(journal(&sqlite), "in the way").unwrap();
    let seen = world.seen.all();
    for _ in 0..2 {
        world.store.revoke(order(record.id)).await.unwrap_err();
        assert_eq!(read(&world, &record).await.unwrap().revocation, None);
        assert_eq!(world.seen.all(), seen);
    }
    // Writes without a revocation need no journal.
    world.record(token(world.owner(), 11)).await;
    fs::remove_file(journal(&sqlite)).unwrap();
    revoke(&world, &record, 12).await;
    assert_eq!(segments(&sqlite).len(), 1);
    let world = world.reopen();
    assert!(read(&world, &record).await.unwrap().is_revoked(at(12)));
}

/// A withdrawal that failed because of the journal is in the journal once a retry succeeds.
#[tokio::test]
async fn a_withdrawal_that_is_tried_again_is_journaled() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    world.publish_key("second", 1).await;
    let backup = back_up(&sqlite);
    let withdraw = || world.store.withdraw_key("second", None, at(10));
    let aside = sqlite.path().with_file_name("aside");
    copy_folder(&journal(&sqlite), &aside);
    fs::remove_dir_all(journal(&sqlite)).unwrap();
    fs::write(journal(&sqlite), "in the way").unwrap();
    withdraw().await.unwrap_err();
    fs::remove_file(journal(&sqlite)).unwrap();
    fs::rename(&aside, journal(&sqlite)).unwrap();
    withdraw().await.unwrap().unwrap();
    let mut replayed = None;
    let world = world.reopen_after(|| {
        lose(&sqlite);
        replayed = Some(bring_back(&sqlite, &backup, Missing::Refuse).unwrap());
    });
    assert_eq!(replayed.unwrap().keys, 1);
    let keys = world.store.keys().await.unwrap().value.rows;
    let second = keys.iter().find(|row| row.key.kid == "second").unwrap();
    assert_eq!(second.state, KeyState::Withdrawn);
}

/// A database without its journal is refused until a new one is begun. Backups from before it are then refused.
#[tokio::test]
async fn a_lost_journal_is_begun_anew() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let [one, two, three] = [
        world.record(token(world.owner(), 0)).await,
        world.record(token(world.owner(), 0)).await,
        world.record(token(world.owner(), 0)).await,
    ];
    let old = sqlite.path().with_file_name("old.db");
    backup(&sqlite.path(), &old, at(5), |_| CONTINUE).unwrap();
    revoke(&world, &one, 10).await;
    let world = world.reopen_after(|| {
        fs::remove_dir_all(journal(&sqlite)).unwrap();
        assert!(matches!(sqlite.try_open(), Err(OpenError::JournalMissing { .. })));
        assert!(begin_journal(&sqlite.path(), &Seeded).unwrap());
        assert!(!begin_journal(&sqlite.path(), &Seeded).unwrap(), "it has one now");
    });
    let new = back_up(&sqlite);
    revoke(&world, &two, 20).await;
    // Nor can an older journal that was put into place be used: it ends before the database.
    let kept = sqlite.path().with_file_name("kept");
    copy_folder(&journal(&sqlite), &kept);
    revoke(&world, &three, 30).await;
    let world = world.reopen_after(|| {
        fs::remove_dir_all(journal(&sqlite)).unwrap();
        fs::rename(&kept, journal(&sqlite)).unwrap();
    });
    revoke(&world, &world.record(token(world.owner(), 31)).await, 32).await;
    drop(world);
    lose(&sqlite);
    for backup in [&old, &new] {
        let refused = bring_back(&sqlite, backup, Missing::Refuse);
        assert!(matches!(
            refused,
            Err(BackupError::Database(OpenError::Unreconciled { .. }))
        ));
    }
}

#[tokio::test]
async fn the_journal_of_another_database_is_left_alone() {
    let [sqlite, other] = [Sqlite::create(), Sqlite::create()];
    drop(World::new(sqlite.clone()).await);
    drop(World::new(other.clone()).await);
    fs::remove_dir_all(journal(&sqlite)).unwrap();
    fs::rename(journal(&other), journal(&sqlite)).unwrap();
    let refused = sqlite.try_open();
    assert!(matches!(
        refused,
        Err(OpenError::Journal(JournalError::Foreign(_)))
    ));
}

#[tokio::test]
async fn a_restore_overwrites_nothing_and_takes_nothing_damaged() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    for _ in 0..50 {
        let record = world.record(token(world.owner(), 0)).await;
        revoke(&world, &record, 1).await;
    }
    let good = back_up(&sqlite);
    let before = fs::read(sqlite.path()).unwrap();
    let refused = bring_back(&sqlite, &good, Missing::CutOff(at(9)));
    assert!(matches!(refused, Err(BackupError::Exists(path)) if path == sqlite.path()));
    assert!(before == fs::read(sqlite.path()).unwrap());
    drop(world);
    lose(&sqlite);
    let bad = sqlite.path().with_file_name("bad.db");
    let whole = fs::read(&good).unwrap();
    let damaged = |change: &dyn Fn(&rusqlite::Connection)| {
        let _ = fs::remove_file(&bad);
        fs::write(&bad, &whole).unwrap();
        let raw = rusqlite::Connection::open(&bad).unwrap();
        change(&raw);
    };
    damaged(&|raw| {
        raw.execute_batch(
            "DROP TRIGGER feed_is_not_rewritten; UPDATE revocations SET effective_at = effective_at + 1 WHERE sequence = 7",
        )
        .unwrap();
    });
    assert!(bring_back(&sqlite, &bad, Missing::CutOff(at(9))).is_err());
    for bytes in [
        &whole[..whole.len() / 2],
        b"a letter to a friend, long enough to have a header".as_slice(),
        b"",
    ] {
        let _ = fs::remove_file(&bad);
        fs::write(&bad, bytes).unwrap();
        assert!(bring_back(&sqlite, &bad, Missing::CutOff(at(9))).is_err());
    }
    assert!(!sqlite.path().exists());
    assert!(bring_back(&sqlite, &good, Missing::Refuse).is_ok());
}

/// Segments are deleted with the events that they hold, except the last segment.
#[tokio::test]
async fn the_journal_is_pruned_with_the_feed() {
    let sqlite = Sqlite::create();
    let mut world = World::new(sqlite.clone()).await;
    for day in 0..5 {
        let record = world.record(ending(&world, day * DAY, Some(DAY))).await;
        revoke(&world, &record, day * DAY).await;
        // Opening after an incomplete line starts a new segment.
        world = world.reopen_after(|| {
            let last = segments(&sqlite).pop().unwrap();
            let mut text = fs::read(&last).unwrap();
            text.extend(b"torn");
            fs::write(last, text).unwrap();
        });
    }
    let before = segments(&sqlite).len();
    assert!(before >= 5);
    let backup = back_up(&sqlite);
    round(&world, 2 * DAY).await;
    let after = segments(&sqlite).len();
    assert!(after < before && after >= 3, "{before} {after}");
    round(&world, 100 * DAY).await;
    assert_eq!(segments(&sqlite).len(), 1);
    let last = world.record(ending(&world, 101 * DAY, Some(DAY))).await;
    revoke(&world, &last, 101 * DAY).await;
    let world = world.reopen();
    drop(world);
    lose(&sqlite);
    assert_eq!(bring_back(&sqlite, &backup, Missing::Refuse).unwrap().tokens, 1);
}

/// A cut-off made by another process is in the journal too.
#[tokio::test]
async fn two_processes_share_one_journal() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let mut records = Vec::new();
    for _ in 0..6 {
        records.push(world.record(token(world.owner(), 0)).await);
    }
    let backup = back_up(&sqlite);
    let beside = world.beside();
    for pair in records.chunks(2) {
        revoke(&world, &pair[0], 10).await;
        beside.revoke(order(pair[1].id)).await.unwrap();
    }
    let cut_off = CutOff {
        reach: Reach::default(),
        issued_through: 1,
        effective_at: at(11),
    };
    let cut = beside.cut_off(cut_off, actor("operator"), None, at(11));
    cut.await.unwrap();
    drop(beside);
    drop(world);
    lose(&sqlite);
    let replayed = bring_back(&sqlite, &backup, Missing::Refuse).unwrap();
    assert_eq!((replayed.tokens, replayed.cut_offs.len()), (6, 1));
}

/// A drill compares what it has restored with the journal.
#[tokio::test]
async fn a_drill_finds_what_is_not_in_force() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let before = world.record(token(world.owner(), 0)).await;
    let since = world.record(token(world.owner(), 0)).await;
    let cut = world.record(token(world.owner(), 0)).await;
    revoke(&world, &before, 1).await;
    let backup = back_up(&sqlite);
    revoke(&world, &since, 2).await;
    let lost = world.record(token(world.owner(), 0)).await;
    revoke(&world, &lost, 3).await;
    let cut_off = CutOff {
        reach: Reach {
            kid: Some("a key".to_owned()),
            ..Reach::default()
        },
        issued_through: at(3).seconds(),
        effective_at: at(4),
    };
    world
        .store
        .cut_off(cut_off, actor("operator"), None, at(4))
        .await
        .unwrap();
    drop((world, cut));

    let mut drill = DrillFolder::create(&sqlite.path()).unwrap();
    let running = DrillFolder::create(&sqlite.path());
    assert!(matches!(running, Err(DrillError::Running(_))), "{running:?}");
    drill.install_journal(None).unwrap();
    restore(&backup, &drill.database(), Missing::Refuse, None, &Seeded, |_| ()).unwrap();
    let examined = drill.examine(at(5)).unwrap();
    let expected = Examined {
        tokens: 3,
        revocations: 4,
        not_in_force: Vec::new(),
    };
    assert_eq!(examined, expected);

    let restored = rusqlite::Connection::open(drill.database()).unwrap();
    let triggers: Vec<String> = restored
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map((), |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for trigger in triggers {
        restored
            .execute_batch(&format!("DROP TRIGGER {trigger}"))
            .unwrap();
    }
    for (change, flaw) in [
        (
            "UPDATE tokens SET effective_at = effective_at + 1000000 WHERE id = 1",
            format!(
                "the revocation of the token {}, ordered at {}",
                before.token.jti,
                at(1)
            ),
        ),
        (
            "DELETE FROM lost_tokens",
            format!(
                "the revocation of the token {}, ordered at {}",
                lost.token.jti,
                at(3)
            ),
        ),
        (
            "DELETE FROM revocations WHERE kind = 'cut_off'",
            format!("the cut-off of kid=a key, ordered at {}", at(4)),
        ),
    ] {
        restored.execute_batch("SAVEPOINT whole").unwrap();
        restored.execute(change, ()).unwrap();
        restored.execute_batch("RELEASE whole").unwrap();
        let found = drill.examine(at(5)).unwrap().not_in_force;
        assert!(found.contains(&flaw), "{change}: {found:?}");
    }
    let folder = drill.database().parent().unwrap().to_owned();
    drop((restored, drill));
    assert!(!folder.exists());
}

/// A cut-off that retention has deleted is not missed, whatever the retention is now; one that still covers a record is,
/// and so is one whose event is not pruned.
#[tokio::test]
async fn a_drill_does_not_miss_what_retention_has_deleted() {
    let sqlite = Sqlite::create();
    let world = World::new(sqlite.clone()).await;
    let old = world.record(token(world.owner(), 0)).await;
    let cut_off = |issued_through, second| {
        let cut_off = CutOff {
            reach: Reach::default(),
            issued_through,
            effective_at: at(second),
        };
        world.store.cut_off(cut_off, actor("operator"), None, at(second))
    };
    cut_off(at(1).seconds(), 1).await.unwrap();
    let missed = || {
        let mut drill = DrillFolder::create(&sqlite.path()).unwrap();
        drill.install_journal(None).unwrap();
        let backup = back_up(&sqlite);
        restore(&backup, &drill.database(), Missing::Refuse, None, &Seeded, |_| ()).unwrap();
        std::fs::remove_file(&backup).unwrap();
        drill.examine(at(40)).unwrap().not_in_force
    };
    assert_eq!(missed(), Vec::<String>::new(), "the control");
    let ended = old.token.expires_at.unwrap().plus_seconds(1);
    let now = ended.plus_seconds(10);
    for _ in 0..3 {
        world.store.purge(None, ended, now).await.unwrap();
    }
    let left: u64 = rusqlite::Connection::open(sqlite.path())
        .unwrap()
        .query_row(
            "SELECT count(*) FROM revocations WHERE kind = 'cut_off'",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(left, 0, "retention has deleted it");
    assert_eq!(missed(), Vec::<String>::new());
}
