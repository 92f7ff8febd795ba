//! The snapshot file: what a verifier knew, for a start while the authority is down.
//!
//! The first line is a JSON object with the key set, the signed snapshot and the signed head; each further line is an
//! item of the feed after the snapshot. The head covers the hash of one of them, and so all before it. Nobody has signed
//! those after it: they count as they did when they arrived.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

#[cfg(unix)]
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::Keys;
use crate::feed::{HeadClaims, Item, SnapshotClaims};
use crate::known::WithdrawnKeys;
use crate::{
    KeyId, KeySet, Known, Malformed, NotAKeySet, NotApplied, Rejection, Statement, UnverifiedStatement,
};

/// The maximum size of the items after a snapshot, in bytes.
const MAX_ITEMS_BYTES: usize = 32 * 1024 * 1024;

/// The maximum size of the file, in bytes.
const MAX_FILE_BYTES: u64 = (SnapshotClaims::MAX_BYTES + MAX_ITEMS_BYTES + 2 * 1024 * 1024) as u64;

/// The snapshot and the items since.
#[derive(Debug, Clone)]
pub(super) struct Record {
    snapshot: Arc<str>,
    /// One item in JSON on each line.
    items: String,
}

impl Record {
    pub(super) fn new(snapshot: String) -> Self {
        Self {
            snapshot: snapshot.into(),
            items: String::new(),
        }
    }

    pub(super) fn push(&mut self, item: &Item) {
        // Instants out of range have failed to parse before.
        if let Ok(json) = serde_json::to_string(item) {
            self.items.push_str(&json);
            self.items.push('\n');
        }
    }

    /// Returns whether a new snapshot would be smaller.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() > MAX_ITEMS_BYTES
    }
}

/// What a file says, after verification.
pub(super) struct Loaded {
    pub(super) keys: KeySet,
    pub(super) keys_text: String,
    /// When the authority confirmed the key set, in milliseconds since the Unix epoch.
    pub(super) keys_confirmed: i64,
    pub(super) known: Known,
    /// The key that signed the snapshot.
    pub(super) snapshot_key: KeyId,
    /// The keys that the events before the head withdrew.
    pub(super) withdrawn: WithdrawnKeys,
    pub(super) head: HeadClaims,
    pub(super) head_text: String,
    pub(super) record: Record,
}

/// The reason why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is no file of this user or of root that only they may write")]
    Owner,
    #[error("it is damaged: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its key set is damaged: {0}")]
    KeySet(#[from] NotAKeySet),
    #[error("a signed part of it was refused: {0}")]
    Refused(#[from] Rejection),
    #[error("an item does not follow on the one before: {0}")]
    Item(#[from] NotApplied),
    #[error("its head is that of none of its items")]
    Head,
}

impl From<Malformed> for Unusable {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

#[derive(Serialize, Deserialize)]
struct FirstLine {
    jwks: String,
    jwks_confirmed: i64,
    snapshot: String,
    head: String,
}

/// Reads and verifies the file; `None` if there is none.
pub(super) fn load(path: &Path, issuer: &str) -> Result<Option<Loaded>, Unusable> {
    let file = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    check_owner(&file)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    let (first, items) = text.split_once('\n').unwrap_or((&text, ""));
    let first: FirstLine = serde_json::from_str(first)?;
    let keys = KeySet::from_json(&first.jwks)?;
    let snapshot = UnverifiedStatement::<SnapshotClaims>::parse(&first.snapshot)?;
    let snapshot_key = snapshot.header().kid.clone();
    let snapshot = keys.verify_statement(snapshot)?;
    let known = Known::from_snapshot(issuer, &snapshot.judge(issuer)?)?;
    let head = UnverifiedStatement::<HeadClaims>::parse(&first.head)?;
    let head_key = head.header().kid.clone();
    let head = keys.verify_statement(head)?;
    let head = head.judge(issuer)?.clone();
    // What the head confirms.
    let mut withdrawn = None;
    let mut lines = items.lines();
    loop {
        if known.position() == head.position {
            known.observe(head.issued_at.saturating_mul(1000));
            withdrawn = Some(WithdrawnKeys::clone(&known.withdrawn_keys()));
            if known.withdraws(&head_key, 0) {
                return Err(Rejection::UnknownKey.into());
            }
        }
        let Some(line) = lines.next() else { break };
        known.apply(&serde_json::from_str(line)?)?;
    }
    let withdrawn = withdrawn.ok_or(Unusable::Head)?;
    Ok(Some(Loaded {
        keys,
        keys_text: first.jwks,
        keys_confirmed: first.jwks_confirmed,
        known,
        snapshot_key,
        withdrawn,
        head,
        head_text: first.head,
        record: Record {
            snapshot: first.snapshot.into(),
            items: items.to_owned(),
        },
    }))
}

/// Writes the file: whole or not at all, also when the machine loses power.
pub(super) fn save(path: &Path, record: &Record, keys: &Keys, head: &str) -> io::Result<()> {
    let first = FirstLine {
        jwks: keys.text.clone(),
        jwks_confirmed: keys.confirmed.time,
        snapshot: record.snapshot.to_string(),
        head: head.to_owned(),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create(&new)?;
    serde_json::to_writer(&mut file, &first)?;
    file.write_all(b"\n")?;
    file.write_all(record.items.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    // Never a file that somebody else has put there.
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    // A link would say whose file it is only as long as nobody changes the link, and a pipe must not block.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Refuses a file that others may write: it says which keys are trusted.
#[cfg(unix)]
fn check_owner(file: &File) -> Result<(), Unusable> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    let is_owner = metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0;
    if !metadata.is_file() || !is_owner || metadata.mode() & 0o022 != 0 {
        return Err(Unusable::Owner);
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_: &File) -> Result<(), Unusable> {
    Ok(())
}
