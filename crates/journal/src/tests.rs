#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

pub(super) fn journal(folder: &TempDir) -> Journal {
    Journal::new(folder.path().join("journal"), Uuid::from_u128(1), [])
}

pub(super) fn position(sequence: u8) -> Position {
    Position {
        epoch: Uuid::from_u128(1),
        sequence: sequence.into(),
        hash: [sequence; 32],
    }
}

/// A batch with one revocation, after the given number of others.
pub(super) fn batch(after: u8) -> Batch {
    Batch {
        at: position(after),
        reaches: position(after + 1),
        entries: vec![Entry::Token {
            jti: Uuid::from_u128(after.into()),
            id: after.into(),
            list: 1,
            index: after.into(),
            expires_at: None,
            order: Order {
                recorded_at: Timestamp::from_seconds(1).unwrap(),
                effective_at: Timestamp::from_seconds(2).unwrap(),
                by: "somebody\nwith a line".to_owned(),
                by_user: None,
                reason: Some("leaked".to_owned()),
            },
        }],
    }
}

fn complete(journal: &Journal, after: u8) -> Option<Vec<Batch>> {
    match journal.history_after(position(after)).unwrap().0 {
        History::Complete { batches, .. } => Some(batches),
        History::Absent | History::Unconnected(_) => None,
    }
}

/// An undone transaction leaves neither a line nor a segment, and later lines are intact.
#[test]
fn what_is_undone_is_taken_back() {
    let folder = TempDir::new().unwrap();
    let mut journal = journal(&folder);
    journal.append(&[batch(0)]).unwrap();
    journal.undone();
    assert_eq!(segments(&journal.folder).unwrap(), []);
    journal.append(&[batch(0)]).unwrap();
    journal.committed();
    let kept = segments(&journal.folder).unwrap();
    let text = fs::read(&kept[0].1).unwrap();
    for _ in 0..2 {
        journal.append(&[batch(1)]).unwrap();
        assert_eq!(complete(&journal, 1), Some(vec![batch(1)]));
        journal.undone();
        journal.undone();
        assert_eq!(fs::read(&kept[0].1).unwrap(), text);
    }
    journal.append(&[batch(1)]).unwrap();
    journal.committed();
    assert_eq!(segments(&journal.folder).unwrap(), kept);
    assert_eq!(complete(&journal, 0), Some(vec![batch(0), batch(1)]));
}

/// A line in a segment without its first line would be lost at a restore.
#[test]
fn an_undone_segment_that_could_not_be_removed_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let mut journal = journal(&folder);
    journal.append(&[batch(0)]).unwrap();
    let (_, path) = segments(&journal.folder).unwrap().pop().unwrap();
    // The disk wrote none of it, and refuses to remove it.
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    journal.undone();
    fs::rename(&aside, &path).unwrap();
    journal.append(&[batch(0)]).unwrap();
    journal.committed();
    assert_eq!(complete(&journal, 0), Some(vec![batch(0)]));
}

#[test]
fn segments_are_of_bounded_size_and_one_whole() {
    let folder = TempDir::new().unwrap();
    let mut journal = journal(&folder);
    for after in 0..3 {
        let mut batch = batch(after);
        let entry = batch.entries.pop().unwrap();
        batch.entries = vec![entry; 4_000];
        journal.append(&[batch]).unwrap();
    }
    assert!(segments(&journal.folder).unwrap().len() > 1);
    assert_eq!(complete(&journal, 0).unwrap().len(), 3);
    assert_eq!(complete(&journal, 2).unwrap().len(), 1);
    assert_eq!(complete(&journal, 9), None);
}

/// Another process, or an earlier one, has written after the end that this one knows.
#[test]
fn what_others_wrote_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let mut journal = journal(&folder);
    journal.append(&[batch(0)]).unwrap();
    let (_, path) = segments(&journal.folder).unwrap().pop().unwrap();
    let mut text = fs::read(&path).unwrap();
    text.extend(line::text(&batch(1)).unwrap());
    text.extend(b"torn");
    fs::write(&path, &text).unwrap();
    journal.append(&[batch(1)]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), text);
    assert_eq!(complete(&journal, 1), Some(vec![batch(1), batch(1)]));
    assert_eq!(complete(&journal, 2), Some(vec![batch(1)]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever the end is torn off, the intact lines are returned, and no others.
    #[test]
    fn a_torn_end_loses_what_it_held_and_no_more(kept in 0.0..1.0) {
        let folder = TempDir::new().unwrap();
        let mut journal = journal(&folder);
        for after in 0..4 {
            journal.append(&[batch(after)]).unwrap();
        }
        let (_, path) = segments(&journal.folder).unwrap().pop().unwrap();
        let text = fs::read(&path).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share")]
        let length = (text.len() as f64 * kept) as usize;
        let text = text.get(..length).unwrap();
        fs::write(&path, text).unwrap();
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        let told = complete(&journal, 0);
        prop_assert_eq!(told.map(|batches| batches.len()), lines.checked_sub(1));
    }
}
