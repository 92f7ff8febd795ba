use super::*;

const HOUR: i64 = 3600;
const EVERY: u64 = 24 * 3600;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_seconds(1_780_000_000 + hours * HOUR).unwrap()
}

#[test]
fn a_name_has_its_instant_and_no_other_name_is_a_backup() {
    let made: Timestamp = "2026-12-01T22:03:04.567Z".parse().unwrap();
    assert_eq!(name(made), "jeton-20261201T220304Z.db");
    let whole = "2026-12-01T22:03:04Z".parse().ok();
    assert_eq!(instant("jeton-20261201T220304Z.db"), whole);
    for other in [
        "jeton-20261201T220304Z.db.unfinished",
        "jeton-20261201T220304Z.db-journal",
        ".jeton-20261201T220304Z.db",
        "jeton-20261201T220304.db",
        "jeton-20261301T220304Z.db",
        "jeton-20261201T2203045Z.db",
        "jeton-2026-1201T220304Z.db",
        "jeton-20261201T220304Z (1).db",
        "jeton-.db",
        "jeton.db",
        "jeton-\u{661}0261201T220304Z.db",
    ] {
        assert_eq!(instant(other), None, "{other}");
    }
    let names: Vec<_> = [9, 10, 99, 100, 9000].map(|hours| name(at(hours))).into();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn a_backup_is_due_when_the_newest_is_older_than_the_interval() {
    assert!(!is_current(&[], at(0), EVERY));
    assert!(is_current(&[at(0)], at(0), EVERY));
    assert!(is_current(&[at(-50), at(-23)], at(0), EVERY));
    assert!(!is_current(&[at(-50), at(-24)], at(0), EVERY));
}

#[test]
fn a_clock_that_leaps_neither_stops_the_schedule_nor_repeats_it() {
    // Set back a little.
    assert!(is_current(&[at(1)], at(0), EVERY));
    // It was far ahead, or is far behind now.
    assert!(!is_current(&[at(9000), at(9024)], at(0), EVERY));
    assert!(!is_current(&[at(-9000)], at(0), EVERY));
}

#[test]
fn the_oldest_are_deleted_and_those_of_a_clock_that_was_ahead_first() {
    let made = vec![at(0), at(-24), at(-72), at(-48)];
    assert_eq!(surplus(made.clone(), at(0), EVERY, 2), [at(-72), at(-48)]);
    assert_eq!(surplus(made.clone(), at(0), EVERY, 4), []);
    assert_eq!(
        surplus(made.clone(), at(30), EVERY, 1),
        [],
        "the last backup has failed"
    );
    let ahead = [at(9024), at(9000), at(-24), at(0)];
    assert_eq!(surplus(ahead.into(), at(0), EVERY, 3), [at(9000)]);
    assert_eq!(
        surplus(ahead.into(), at(0), EVERY, 1),
        [at(9000), at(9024), at(-24)]
    );
    // A leap ahead deletes no more than one.
    let leapt = [at(9000), at(0), at(-24), at(-48)];
    assert_eq!(surplus(leapt.into(), at(9000), EVERY, 3), [at(-48)]);
}

#[test]
fn the_newest_is_not_one_of_a_clock_that_was_ahead() {
    let made = [at(9000), at(0), at(-24)];
    assert_eq!(newest_of(&made, at(1), EVERY), Some(at(0)));
    // Set back a little.
    assert_eq!(newest_of(&made, at(-1), EVERY), Some(at(0)));
    assert_eq!(newest_of(&made[..1], at(1), EVERY), None);
}

/// Each would take the backups of the other for its own, and delete them.
#[test]
fn a_folder_belongs_to_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = [1, 2].map(Uuid::from_u128);
    fs::write(folder.path().join("database-of-mine.txt"), "").unwrap();
    claim(folder.path(), one).unwrap();
    claim(folder.path(), one).unwrap();
    let before = files(folder.path()).unwrap();
    let refused = claim(folder.path(), other);
    let owner = format!("database-{one}");
    assert!(
        matches!(&refused, Err(BackupsError::Foreign { other, .. }) if *other == owner),
        "{refused:?}"
    );
    assert_eq!(files(folder.path()).unwrap(), before);
    fs::remove_file(folder.path().join(owner)).unwrap();
    claim(folder.path(), other).unwrap();
}

#[test]
fn only_the_remains_of_scheduled_backups_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let stays = [
        "jeton-20261201T220304Z.db",
        "jeton-20261201T220304Z.db.unfinished.txt",
        "mine.db.unfinished",
        "notes.txt",
    ];
    let goes = [
        "jeton-20261201T220305Z.db.unfinished",
        "jeton-20261201T220305Z.db.unfinished-journal",
    ];
    for file in stays.iter().chain(&goes) {
        fs::write(folder.path().join(file), "").unwrap();
    }
    remove_remains(folder.path()).unwrap();
    let mut left = files(folder.path()).unwrap();
    left.sort();
    assert_eq!(left, stays);
}
