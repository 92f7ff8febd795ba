#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::tests::{batch, journal, position};
use crate::{History, Journal, prune};
use jeton_core::clock::Timestamp;

/// A journal, and a folder that it is copied to.
struct Both {
    folder: TempDir,
    journal: Journal,
    copy: JournalCopy,
}

impl Both {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let journal = journal(&folder);
        fs::create_dir(folder.path().join("copy")).unwrap();
        let copy = Self::copy_of(&folder);
        Self {
            folder,
            journal,
            copy,
        }
    }

    fn copy_of(folder: &TempDir) -> JournalCopy {
        JournalCopy {
            journal: folder.path().join("journal"),
            copy: folder.path().join("copy"),
            reached: None,
        }
    }

    /// Appends a committed batch after the given number of others.
    fn append(&mut self, after: u8) {
        self.journal.append(&[batch(after)]).unwrap();
        self.journal.committed();
    }

    /// Appends a batch that fills the segment.
    fn fill(&mut self, after: u8) {
        let mut batch = batch(after);
        let entry = batch.entries.pop().unwrap();
        batch.entries = vec![entry; 5_000];
        self.journal.append(&[batch]).unwrap();
        self.journal.committed();
    }

    fn follow(&mut self, committed: u8) -> Result<(), JournalCopyError> {
        self.copy.follow(position(committed), Timestamp::LAST)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn text(&self, folder: &str, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(folder).join(name)).unwrap()
    }

    #[track_caller]
    fn assert_same(&self) {
        assert_eq!(self.names("journal"), self.names("copy"));
        for name in self.names("journal") {
            assert!(self.text("journal", &name) == self.text("copy", &name), "{name}");
        }
        assert_eq!(self.copy.lag(), 0);
    }
}

const FIRST: &str = "00000001.log";

#[test]
fn a_copy_has_what_was_appended_and_not_what_was_pruned() {
    let mut both = Both::new();
    both.follow(0).unwrap();
    both.append(0);
    both.append(1);
    both.follow(2).unwrap();
    both.assert_same();
    both.fill(2);
    both.append(3);
    both.append(4);
    assert!(both.copy.lag() > 1 << 20);
    both.follow(5).unwrap();
    both.assert_same();
    assert!(both.names("copy").len() > 1);
    let mode = fs::metadata(both.folder.path().join("copy").join(FIRST))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    prune(&both.folder.path().join("journal"), Timestamp::LAST).unwrap();
    both.follow(5).unwrap();
    both.assert_same();
    assert_eq!(both.names("copy").len(), 1);
    // Another process compares everything, and goes on.
    both.append(5);
    both.copy = Both::copy_of(&both.folder);
    both.follow(6).unwrap();
    both.assert_same();
}

/// The writer takes a line back when its commit fails.
#[test]
fn a_line_is_copied_once_its_transaction_is_committed() {
    let mut both = Both::new();
    both.journal.append(&[batch(0)]).unwrap();
    both.follow(0).unwrap();
    assert_eq!(
        both.names("copy"),
        [""; 0],
        "a segment that is taken back vanishes"
    );
    both.journal.undone();
    both.append(0);
    both.follow(1).unwrap();
    both.assert_same();
    let before = both.text("copy", FIRST);
    both.journal.append(&[batch(1)]).unwrap();
    both.follow(1).unwrap();
    assert!(both.text("copy", FIRST) == before);
    both.journal.undone();
    let mut other = batch(1);
    other.reaches.hash = [9; 32];
    both.journal.append(&[other]).unwrap();
    both.journal.committed();
    both.follow(2).unwrap();
    both.assert_same();
}

#[test]
fn a_disk_that_fails_and_comes_back_is_brought_up_to_date() {
    let mut both = Both::new();
    both.append(0);
    both.follow(1).unwrap();
    let (here, away) = (both.folder.path().join("copy"), both.folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    both.append(1);
    let missing = both.follow(2);
    assert!(
        matches!(&missing, Err(JournalCopyError::Missing(path)) if *path == here),
        "{missing:?}"
    );
    assert_eq!(both.copy.lag(), both.text("journal", FIRST).len() as u64);
    assert!(!here.exists(), "a folder on the wrong disk");
    fs::rename(&away, &here).unwrap();
    both.follow(2).unwrap();
    both.assert_same();
}

/// A power failure leaves a part of a line, or blocks without content.
#[test]
fn what_a_crash_has_left_is_replaced() {
    for debris in [
        &b"0123456789abcdef {\"at\":"[..],
        &[0; 300],
        b"\n\n",
        b"torn\n\0\0",
    ] {
        let mut both = Both::new();
        both.append(0);
        both.follow(1).unwrap();
        let mut text = both.text("copy", FIRST);
        text.extend(debris);
        fs::write(both.folder.path().join("copy").join(FIRST), text).unwrap();
        both.append(1);
        let known = both.follow(2);
        assert!(matches!(known, Err(JournalCopyError::Changed(_))), "{known:?}");
        both.follow(2).unwrap();
        both.assert_same();
    }
    let mut both = Both::new();
    both.append(0);
    write_new(&both.folder.path().join("copy").join(FIRST), &[0; 9]).unwrap();
    both.follow(1).unwrap();
    both.assert_same();
}

/// The journal was replaced by an older version: the copy has revocations that must not be lost.
#[test]
fn a_copy_that_is_ahead_is_left_alone() {
    let mut both = Both::new();
    both.append(0);
    let older = both.text("journal", FIRST);
    both.append(1);
    both.follow(2).unwrap();
    let newer = both.text("copy", FIRST);
    let file = both.folder.path().join("journal").join(FIRST);
    fs::write(&file, &older).unwrap();
    assert!(both.follow(1).is_err());
    let mut other = older.clone();
    let mut replaced = batch(1);
    replaced.reaches.hash = [9; 32];
    other.extend(line::text(&replaced).unwrap());
    for text in [older, other] {
        fs::write(&file, text).unwrap();
        let ahead = both.follow(9);
        assert!(matches!(ahead, Err(JournalCopyError::Ahead { .. })), "{ahead:?}");
        assert!(both.text("copy", FIRST) == newer);
    }
    // A whole segment more, and a journal that is gone.
    fs::write(&file, &newer).unwrap();
    both.follow(2).unwrap();
    write_new(&both.folder.path().join("copy/00000002.log"), &newer).unwrap();
    both.copy = Both::copy_of(&both.folder);
    assert!(matches!(both.follow(2), Err(JournalCopyError::Ahead { .. })));
    fs::remove_file(file).unwrap();
    let gone = both.follow(2);
    assert!(matches!(gone, Err(JournalCopyError::Ahead { .. })), "{gone:?}");
    assert!(both.text("copy", FIRST) == newer);
}

/// Nothing is new, and the disk is gone: success would hide it until the next revocation.
#[test]
fn a_disk_that_is_gone_is_noticed_while_nothing_is_revoked() {
    let mut both = Both::new();
    both.append(0);
    both.follow(1).unwrap();
    both.follow(1).unwrap();
    let (here, away) = (both.folder.path().join("copy"), both.folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    let missing = both.follow(1);
    assert!(
        matches!(missing, Err(JournalCopyError::Missing(_))),
        "{missing:?}"
    );
    fs::rename(&away, &here).unwrap();
    both.follow(1).unwrap();
    // Another folder, as below a mount point.
    fs::rename(&here, &away).unwrap();
    fs::create_dir(&here).unwrap();
    let other = both.follow(1);
    assert!(matches!(other, Err(JournalCopyError::Changed(_))), "{other:?}");
    fs::remove_dir(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    both.follow(1).unwrap();
    // The last segment is gone, or shorter.
    for damage in [
        |path: &Path| fs::remove_file(path),
        |path: &Path| fs::write(path, "torn"),
    ] {
        damage(&here.join(FIRST)).unwrap();
        let changed = both.follow(1);
        assert!(
            matches!(changed, Err(JournalCopyError::Changed(_))),
            "{changed:?}"
        );
        both.follow(1).unwrap();
        both.assert_same();
    }
}

/// The journal has lost its first segments, and not by retention.
#[test]
fn a_segment_that_the_journal_has_lost_stays_in_the_copy() {
    let mut both = Both::new();
    both.fill(0);
    both.append(1);
    both.append(2);
    both.follow(3).unwrap();
    let names = both.names("copy");
    assert!(names.len() > 1);
    fs::remove_file(both.folder.path().join("journal").join(FIRST)).unwrap();
    // Its entry is of the first second of the Unix epoch.
    for _ in 0..2 {
        let lost = both.copy.follow(position(3), Timestamp::EPOCH);
        assert!(matches!(lost, Err(JournalCopyError::Lost { .. })), "{lost:?}");
        assert_eq!(both.names("copy"), names);
    }
    // What comes later is copied nevertheless.
    both.append(3);
    let lost = both.copy.follow(position(4), Timestamp::EPOCH);
    assert!(matches!(lost, Err(JournalCopyError::Lost { .. })), "{lost:?}");
    assert_eq!(both.copy.lag(), 0);
    both.copy
        .follow(position(4), Timestamp::from_seconds(1).unwrap())
        .unwrap();
    both.assert_same();
}

/// What was compared once is not read again after each failure.
#[test]
fn a_write_that_fails_is_tried_again_from_where_it_began() {
    let mut both = Both::new();
    both.append(0);
    both.follow(1).unwrap();
    let file = both.folder.path().join("copy").join(FIRST);
    let (copied, reached) = (both.text("copy", FIRST), both.copy.reached);
    // A folder in place of the next segment.
    both.fill(1);
    both.append(2);
    both.append(3);
    let next = both.folder.path().join("copy/00000002.log");
    fs::create_dir(&next).unwrap();
    let failed = both.follow(4);
    assert!(matches!(failed, Err(JournalCopyError::Io { .. })), "{failed:?}");
    assert!(both.copy.reached.unwrap().length > reached.unwrap().length);
    assert!(both.text("copy", FIRST).starts_with(&copied) && file.exists());
    fs::remove_dir(&next).unwrap();
    both.follow(4).unwrap();
    both.assert_same();
}

#[test]
fn a_copy_that_others_can_change_is_neither_written_nor_used() {
    use std::os::unix::fs::PermissionsExt;
    let mut both = Both::new();
    both.append(0);
    both.follow(1).unwrap();
    let copy = both.folder.path().join("copy");
    let place = both.folder.path().join("new");
    for (path, bad, good) in [(copy.clone(), 0o777, 0o700), (copy.join(FIRST), 0o622, 0o600)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bad)).unwrap();
        both.copy = Both::copy_of(&both.folder);
        let followed = both.follow(1);
        assert!(
            matches!(followed, Err(JournalCopyError::Exposed(_))),
            "{followed:?}"
        );
        let installed = install_journal(&copy, &place);
        assert!(
            matches!(installed, Err(JournalCopyError::Exposed(_))),
            "{installed:?}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).unwrap();
    }
    install_journal(&copy, &place).unwrap();
}

#[test]
fn the_journal_of_another_database_is_refused() {
    let mut both = Both::new();
    both.append(0);
    let place = both.folder.path().join("copy");
    let mut foreign = Journal::new(place.clone(), Uuid::from_u128(7), []);
    foreign.append(&[batch(0)]).unwrap();
    let before = both.text("copy", FIRST);
    let refused = both.follow(1);
    assert!(
        matches!(&refused, Err(JournalCopyError::Foreign(path)) if *path == place),
        "{refused:?}"
    );
    assert!(both.text("copy", FIRST) == before);
}

#[test]
fn a_lost_journal_comes_back_from_its_copy() {
    let mut both = Both::new();
    both.append(0);
    both.append(1);
    both.follow(2).unwrap();
    let (copy, folder) = (both.folder.path().join("copy"), both.folder.path().join("new"));
    let nothing = install_journal(both.folder.path(), &folder);
    assert!(
        matches!(nothing, Err(JournalCopyError::Nothing(_))),
        "{nothing:?}"
    );
    install_journal(&copy, &folder).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    let History::Complete { batches, .. } = history::after(&folder, Uuid::from_u128(1), position(0))
        .unwrap()
        .0
    else {
        unreachable!("the journal is not whole");
    };
    assert_eq!(batches, [batch(0), batch(1)]);
    let again = install_journal(&copy, &folder);
    assert!(
        matches!(&again, Err(JournalCopyError::Exists(path)) if *path == folder),
        "{again:?}"
    );
    uninstall_journal(&folder).unwrap();
    assert!(!folder.exists());
}
