//! `jeton audit`: verifies the audit of a database or of a backup.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Failure, output};
use crate::backend::{AuditExamined, AuditReader, KeyOfCheckpoint};
use crate::checkpoints::{self, Place};
use crate::config::Config;
use crate::keys::note::{self, NoteError, NoteKey};
use crate::regular_file::RegularFile;
use crate::system::SystemClock;
use jeton_core::clock::Clock;
use jeton_store::{Checkpoint, KeyState, SignedHead};

/// The largest file of checkpoints.
const LARGEST: usize = 512 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check every line of the audit, the records that it seals, and the signed checkpoints; also while the server runs
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A file of checkpoints that is kept elsewhere, as `checkpoints` in `[audit]` writes it. Default: that file, if it
    /// is one and exists
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
}

pub(super) fn run(command: &Command, config: &Config) -> Result<(), Failure> {
    match command {
        Command::Verify(arguments) => verify(arguments, config),
    }
}

fn verify(arguments: &Verify, config: &Config) -> Result<(), Failure> {
    super::existing(config)?;
    let database = super::file(
        config,
        "`jeton audit verify`",
        "compare the lines that /api/v1/audit gives with the signed checkpoints",
    )?;
    let files = match arguments.checkpoints.as_slice() {
        [] => kept_elsewhere(config).into_iter().collect(),
        files => files.to_vec(),
    };
    match files.as_slice() {
        [] => output::print("compared with the database's own checkpoints only, which its owner can delete")?,
        files => {
            for file in files {
                output::print(&format!("compared with the checkpoints in {}", file.display()))?;
            }
        }
    }
    let report = examine(database, config, &files)?;
    for (path, incomplete) in &report.incomplete {
        output::print(&format!(
            "{}: {incomplete} incomplete checkpoints, from interrupted writes",
            path.display()
        ))?;
    }
    output::print(&report.summary())?;
    let examined = &report.examined;
    if examined.pruned.sequence > 0 {
        output::print(&format!("lines up to {} are deleted", examined.pruned.sequence))?;
    }
    output::print(&match examined.unsealed {
        0 => "every record has a line".to_owned(),
        unsealed => {
            format!("{unsealed} records have no line yet: a running server seals them within a second")
        }
    })?;
    for remark in &report.remarks {
        output::print(remark)?;
    }
    match report.flaws.is_empty() {
        true => output::print("the audit is whole"),
        false => {
            for flaw in &report.flaws {
                output::print(flaw)?;
            }
            Err(Failure::AuditFlawed(database.to_owned()))
        }
    }
}

/// Returns the file of checkpoints in the configuration, if there is one.
fn kept_elsewhere(config: &Config) -> Option<PathBuf> {
    match &config.audit.checkpoints {
        Some(Place::File(path)) => Some(checkpoints::file(path)).filter(|file| file.exists()),
        Some(Place::Address(_)) | None => None,
    }
}

/// What an examination of the audit has found.
pub(super) struct Report {
    pub(super) examined: AuditExamined,
    /// How many checkpoints have a right signature.
    checkpoints: u64,
    /// How many checkpoints of each file are incomplete.
    incomplete: Vec<(PathBuf, usize)>,
    remarks: Vec<String>,
    /// What is wrong: that of the lines first.
    pub(super) flaws: Vec<String>,
}

impl Report {
    pub(super) fn summary(&self) -> String {
        format!(
            "{} lines up to line {}, {} records compared with their lines, {} checkpoints compared, {} of deleted lines",
            self.examined.lines,
            self.examined.head.sequence,
            self.examined.rows,
            self.examined.compared,
            self.checkpoints.saturating_sub(self.examined.compared)
        )
    }
}

/// The clocks of the server and of the command may differ by this many seconds.
const CLOCKS_DIFFER: i64 = 3_600;

/// Examines the audit of a database with the checkpoints that it keeps and those of files.
pub(super) fn examine(database: &Path, config: &Config, files: &[PathBuf]) -> Result<Report, Failure> {
    let reader = AuditReader::open(database)?;
    let origin = note::origin(&reader.issuer()?.unwrap_or_default());
    let (kept, keys) = reader.checkpoints()?;
    let mut signed = Signed::new(origin, keys);
    for checkpoint in &kept {
        let place = format!(
            "the checkpoint of {} lines in the database",
            checkpoint.head.sequence
        );
        signed.add(&place, &checkpoint.note, Some(checkpoint));
    }
    let mut incomplete = Vec::new();
    for path in files {
        let read = note::notes(&read(path)?, &signed.origin);
        for (note, number) in read.notes.iter().zip(1_u64..) {
            signed.add(&format!("checkpoint {number} of {}", path.display()), note, None);
        }
        if read.incomplete > 0 {
            incomplete.push((path.clone(), read.incomplete));
        }
    }
    let kept = i64::try_from(config.audit.retention.seconds()).unwrap_or(i64::MAX);
    let ended_by = SystemClock.now().plus_seconds(CLOCKS_DIFFER.saturating_sub(kept));
    let examined = reader.examine(&signed.heads, ended_by)?;
    let line = examined
        .flaw
        .as_ref()
        .map(|flaw| format!("line {}: {}", flaw.line, flaw.what));
    Ok(Report {
        checkpoints: signed.heads.len() as u64,
        incomplete,
        remarks: signed.remarks(),
        flaws: line.into_iter().chain(signed.flaws).collect(),
        examined,
    })
}

/// Checkpoints and the keys that verify them.
struct Signed {
    origin: String,
    rows: Vec<KeyOfCheckpoint>,
    keys: Vec<NoteKey>,
    heads: Vec<SignedHead>,
    /// The keys that signed at least one of them.
    signers: Vec<String>,
    flaws: Vec<String>,
}

impl Signed {
    fn new(origin: String, rows: Vec<KeyOfCheckpoint>) -> Self {
        Self {
            keys: rows
                .iter()
                .filter_map(|row| NoteKey::from_jwk(&row.public_jwk))
                .collect(),
            origin,
            rows,
            heads: Vec::new(),
            signers: Vec::new(),
            flaws: Vec::new(),
        }
    }

    fn add(&mut self, place: &str, text: &str, kept: Option<&Checkpoint>) {
        let verified = match note::verify(text, &self.origin, &self.keys) {
            Ok(verified) => verified,
            Err(error) => return self.flaws.push(refused(place, &error)),
        };
        let signed = verified.signed;
        if kept.is_some_and(|kept| (kept.head, kept.signed_at) != (signed.head, signed.signed_at)) {
            return self
                .flaws
                .push(format!("{place}: its row differs from what was signed"));
        }
        self.heads.push(signed);
        if !self.signers.contains(&verified.kid) {
            self.signers.push(verified.kid);
        }
    }

    /// Names withdrawn keys: a thief of one can sign checkpoints of another history.
    fn remarks(&self) -> Vec<String> {
        let withdrawn = self.rows.iter().filter(|row| row.state == KeyState::Withdrawn);
        let signed = withdrawn.filter(|row| self.signers.contains(&row.kid));
        signed
            .map(|row| {
                format!(
                    "checkpoints are signed by the key {}, which was withdrawn at {}: a thief of the key can have signed them",
                    row.kid, row.changed_at
                )
            })
            .collect()
    }
}

fn refused(place: &str, error: &NoteError) -> String {
    format!("{place}: {error}")
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::Checkpoints {
        path: path.to_owned(),
        source,
    };
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let file = RegularFile::open(path).map_err(failed)?;
    let file = file.ok_or_else(|| failed(invalid("it is not a regular file")))?;
    let bytes = file.read(LARGEST).map_err(failed)?;
    let bytes = bytes.ok_or_else(|| failed(invalid("it has more than 512 MiB")))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| failed(invalid("it is not UTF-8")))
}
