//! The contract for the audit: a chain of lines that seals what is on record, and the checkpoints of its head.
//!
//! The record of a token is the audit record of its issue, and an event of the feed that of a revocation; every other
//! change leaves an [`Action`](crate::rules::audit::Action) in its transaction. Later a sequencer writes a line for
//! each into one chain. A line stays when the record that it seals is deleted.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationId;
use jeton_core::token::{Actor, TokenId};

use crate::{Result, Surface};

/// The audit: sealing what is on record, reading it, and keeping checkpoints.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Returns how far the audit has come: a cheap read, for polling.
    async fn audit_status(&self) -> Result<AuditStatus>;

    /// Writes lines for the next records without one, in the order of their instants. A portion is bounded, so that it
    /// delays other writes a few milliseconds at most; the caller pauses between two. It counts records for
    /// [`Statistics`](crate::Statistics) too.
    async fn seal(&self) -> Result<Sealed>;

    /// Returns lines that match a filter, with their details.
    async fn audit_entries(&self, filter: AuditFilter, page: AuditPage) -> Result<AuditListing>;

    /// Returns how many lines match a filter. It costs as much as a list of all of them, and has the same bound.
    async fn audit_count(&self, filter: AuditFilter) -> Result<u64>;

    /// Returns the lines after a position, oldest first, at most `most`, for those who follow the audit: all, or those
    /// that concern an organization.
    async fn audit_after(
        &self,
        organization: Option<OrganizationId>,
        after: AuditPosition,
        most: u32,
    ) -> Result<AuditSince>;

    /// Returns the checkpoint with the most lines; `None` if none was kept.
    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>>;

    /// Keeps a checkpoint. Only the last [`CHECKPOINTS_KEPT`] stay: each depends on all lines before it.
    async fn keep_checkpoint(&self, checkpoint: Checkpoint) -> Result<()>;

    /// Deletes a portion of lines from the beginning of the chain whose records were made by an instant, with the actions
    /// that they seal; keeps the hash of the last. Lines after the last checkpoint stay. So that lines recorded while the
    /// clock was ahead do not keep all others, they go with a later line that accepts the clock. The last portion leaves
    /// an action, made `now`, with the number of the last deleted line.
    async fn prune_audit(&self, made_by: Timestamp, now: Timestamp) -> Result<PrunedLines>;
}

/// How many checkpoints are kept: those of a day in which something happens each minute.
pub const CHECKPOINTS_KEPT: u32 = 1_440;

/// The hash before the first line.
pub const BEFORE_FIRST_LINE: [u8; 32] = [0; 32];

/// The end of the chain, or a position in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// The number of the last line; 0 before the first.
    pub sequence: u64,
    /// Its hash; [`BEFORE_FIRST_LINE`] before the first.
    pub hash: [u8; 32],
}

/// A position in the chain as a follower knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPosition {
    /// The number of the line.
    pub sequence: u64,
    /// The beginning of its hash, at most 32 bytes; empty if the follower knows only the number.
    pub hash: Vec<u8>,
}

impl AuditPosition {
    /// Returns whether this is the position of a head.
    pub fn is(&self, head: AuditHead) -> bool {
        self.sequence == head.sequence && head.hash.starts_with(&self.hash)
    }
}

impl From<AuditHead> for AuditPosition {
    fn from(head: AuditHead) -> Self {
        Self {
            sequence: head.sequence,
            hash: head.hash.to_vec(),
        }
    }
}

impl From<u64> for AuditPosition {
    fn from(sequence: u64) -> Self {
        Self {
            sequence,
            hash: Vec::new(),
        }
    }
}

/// The bytes of a hash in the text of a position: enough to tell a line from that of another history.
const BYTES_IN_TEXT: usize = 4;

/// The number, and the beginning of the hash in hexadecimal digits if it is known.
impl fmt::Display for AuditPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sequence)?;
        for (byte, separator) in self.hash.iter().take(BYTES_IN_TEXT).zip(["-", "", "", ""]) {
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The error for a text that is no position of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the `id` of an event, such as 412-9f86d081, or the `sequence` of a line")]
pub struct NotAPosition;

impl FromStr for AuditPosition {
    type Err = NotAPosition;

    fn from_str(text: &str) -> std::result::Result<Self, NotAPosition> {
        let (number, digits) = match text.split_once('-') {
            Some((number, digits)) => (number, Some(digits)),
            None => (text, None),
        };
        let is_number = number.len() <= 16 && number.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = number.parse().ok().filter(|_| is_number);
        let hash = match digits {
            None => Vec::new(),
            Some(digits) => {
                let is_hash =
                    digits.len() == 2 * BYTES_IN_TEXT && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let value = u32::from_str_radix(digits, 16).ok().filter(|_| is_hash);
                value.ok_or(NotAPosition)?.to_be_bytes().to_vec()
            }
        };
        Ok(Self {
            sequence: sequence.ok_or(NotAPosition)?,
            hash,
        })
    }
}

/// How far the audit has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// The last line.
    pub head: AuditHead,
    /// The last line that was deleted, and its hash.
    pub pruned: AuditHead,
    /// When the oldest record without a line was made; `None` if all have one.
    pub unsealed_since: Option<Timestamp>,
    /// Whether statistics lack records.
    pub has_uncounted: bool,
}

/// The result of sealing a portion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// The last line afterwards.
    pub head: AuditHead,
    /// How many lines were written.
    pub lines: u32,
    /// Whether there may be more records without a line, or that statistics lack.
    pub has_more: bool,
}

/// The result of deleting a portion of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrunedLines {
    /// How many lines were deleted.
    pub lines: u64,
    /// Whether there are more to delete.
    pub has_more: bool,
}

/// The last records that have a line and are counted by statistics: those after them must not be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedThrough {
    /// The last token.
    pub token: TokenId,
    /// The last event of the feed.
    pub event: u64,
}

impl Default for SealedThrough {
    fn default() -> Self {
        Self {
            token: TokenId(0),
            event: 0,
        }
    }
}

/// The kinds of records that lines seal. The numbers are part of the hash of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditSource {
    /// The record of a token or session: its issue.
    Token = 0,
    /// An event of the feed: a revocation or a cut-off.
    Event = 1,
    /// An action.
    Action = 2,
}

impl AuditSource {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Token, Self::Event, Self::Action];

    /// Returns the name of the table whose rows these are.
    pub fn table(self) -> &'static str {
        match self {
            Self::Token => "tokens",
            Self::Event => "revocations",
            Self::Action => "actions",
        }
    }
}

/// What a line says about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The instant of the order.
    pub at: Timestamp,
    /// The action, such as `token.issue`.
    pub action: Cow<'static, str>,
    /// The kind of the record.
    pub source: AuditSource,
    /// The number of the record among those of its kind.
    pub number: i64,
    /// The organization that it concerns, if it is one.
    pub organization: Option<OrganizationId>,
    /// The actor.
    pub actor: Actor,
    /// The token that authenticated the actor.
    pub actor_token: Option<TokenId>,
    /// The token that it concerns, if it is one.
    pub token: Option<TokenId>,
    /// The hash of the record's immutable columns and its cause.
    pub content: [u8; 32],
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// The sequence number, without gaps.
    pub sequence: u64,
    /// The record that it seals.
    pub record: AuditRecord,
    /// The hash over the hash of the line before and this line.
    pub hash: [u8; 32],
}

impl AuditRecord {
    /// Returns the line of this record after a head.
    pub fn after(self, head: AuditHead) -> AuditLine {
        let sequence = head.sequence + 1;
        AuditLine {
            hash: self.hash(&head.hash, sequence),
            sequence,
            record: self,
        }
    }

    /// Returns the hash of the line with this number, given that of the line before.
    pub fn hash(&self, previous: &[u8; 32], sequence: u64) -> [u8; 32] {
        let mut fields = Fields::of("jeton audit line 1");
        fields.bytes(previous);
        fields.integer(i64::try_from(sequence).unwrap_or(i64::MAX));
        fields.integer(self.at.millis());
        fields.text(&self.action);
        fields.integer(self.source as i64);
        fields.integer(self.number);
        match &self.organization {
            Some(organization) => fields.text(&organization.to_string()),
            None => fields.nothing(),
        }
        fields.text(&self.actor.name);
        match &self.actor.user {
            Some(user) => fields.text(user.as_str()),
            None => fields.nothing(),
        }
        for token in [self.actor_token, self.token] {
            match token {
                Some(token) => fields.integer(token.0),
                None => fields.nothing(),
            }
        }
        fields.bytes(&self.content);
        fields.hash()
    }
}

impl AuditLine {
    /// Returns the position of this line in the chain.
    pub fn head(&self) -> AuditHead {
        AuditHead {
            sequence: self.sequence,
            hash: self.hash,
        }
    }
}

/// Fields to be hashed with SHA-256. Each is preceded by its kind and its length, so that no two lists of fields are
/// the same bytes.
#[derive(Debug)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// Returns an empty list in a domain: hashes of different domains never agree.
    pub fn of(domain: &str) -> Self {
        let mut fields = Self(Vec::with_capacity(512));
        fields.text(domain);
        fields
    }

    /// Adds a field without a value.
    pub fn nothing(&mut self) {
        self.0.push(b'-');
    }

    /// Adds an integer, of eight bytes in big-endian order.
    pub fn integer(&mut self, value: i64) {
        self.0.push(b'i');
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Adds a text in UTF-8, after its length in bytes.
    pub fn text(&mut self, value: &str) {
        self.counted(b't', value.as_bytes());
    }

    /// Adds bytes, after their number.
    pub fn bytes(&mut self, value: &[u8]) {
        self.counted(b'b', value);
    }

    /// Adds a text, or nothing.
    pub fn optional(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.nothing(),
        }
    }

    fn counted(&mut self, kind: u8, value: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(&(value.len() as u64).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    /// Returns the hash of all fields.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        hash
    }
}

/// What the record of a line says beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditDetail {
    /// The surface; `None` if an earlier version made the record.
    pub surface: Option<Surface>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// The person for whom a service acted, in its words.
    pub on_behalf_of: Option<String>,
    /// The thing that was changed: an id, a number or an address.
    pub target: Option<String>,
    /// The former values, as a JSON object.
    pub before: Option<String>,
    /// The new values, as a JSON object.
    pub after: Option<String>,
    /// The reason in the actor's words.
    pub reason: Option<String>,
}

/// A line with its details, while its record is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The line.
    pub line: AuditLine,
    /// The details; `None` once the record is deleted.
    pub detail: Option<AuditDetail>,
}

/// The lines that are wanted: those that match each field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Lines that concern this organization.
    pub organization: Option<OrganizationId>,
    /// Lines whose actor has this exact name, or is the person with this id.
    pub actor: Option<String>,
    /// Lines that concern this token.
    pub token: Option<TokenId>,
    /// Lines with exactly this action.
    pub action: Option<String>,
    /// Lines of this instant or later.
    pub after: Option<Timestamp>,
    /// Lines before this instant.
    pub before: Option<Timestamp>,
    /// Lines whose action, actor, target or reason contains this text, upper and lower case of ASCII letters alike. The
    /// `jti` of a revoked token is not searched.
    pub text: Option<String>,
}

/// The order of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// By descending sequence numbers.
    #[default]
    NewestFirst,
    /// By ascending sequence numbers.
    OldestFirst,
}

/// A page of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPage {
    /// The order.
    pub order: AuditOrder,
    /// The line after which the page begins, in this order; `None` for the first page.
    pub after: Option<u64>,
    /// How many further lines that match are left out, before the first of the page.
    pub skip: u64,
    /// The most lines.
    pub limit: u32,
}

/// The lines of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditListing {
    /// The lines.
    pub entries: Vec<AuditEntry>,
    /// Whether there are more after them.
    pub has_more: bool,
}

/// The lines after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSince {
    /// The lines after it.
    Entries {
        /// The lines.
        entries: Vec<AuditEntry>,
        /// The line up to which there are no others: the last of the chain, or of these if there were too many.
        through: AuditHead,
    },
    /// Lines after it are no longer kept.
    Pruned,
    /// The chain has not come so far, or its line with this number has another hash: the follower knows another history.
    Ahead,
}

impl AuditSince {
    /// Returns the lines that were read, at most `most`, when the chain had come to `head`.
    pub fn of(entries: Vec<AuditEntry>, head: AuditHead, most: u32) -> Self {
        let is_full = entries.len() >= most as usize;
        let last = entries.last().filter(|_| is_full);
        Self::Entries {
            through: last.map_or(head, |last| last.line.head()),
            entries,
        }
    }
}

/// What a checkpoint signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedHead {
    /// The head.
    pub head: AuditHead,
    /// The instant of its line.
    pub made_at: Timestamp,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// A head that the authority has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The head.
    pub head: AuditHead,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// The key that signed it.
    pub kid: String,
    /// The signed note.
    pub note: String,
}
