//! Moving a deployment to another backend: its tables in a form that no backend owns, the copy, and the comparison of
//! both sides. No token is issued again: numbers, keys, status list indexes, feed and audit stay what they are.

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use jeton_core::clock::Timestamp;
use jeton_verifier::event::Entry;
use uuid::Uuid;

use crate::{AuditLine, Result, StoreError, StoredSettings};

/// The kind of a column. Each backend has them in its own types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of 64 bits.
    Integer,
    /// True or false, as the integers 1 and 0.
    Boolean,
    /// A text, also one that is JSON.
    Text,
    /// Bytes.
    Bytes,
    /// The 16 bytes of a UUID.
    Uuid,
}

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How many columns its key has: the first ones. Rows are in the order of their keys.
    pub key: usize,
    /// Its columns.
    pub columns: &'static [Column],
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// An integer or a boolean.
    Integer(i64),
    /// A text.
    Text(String),
    /// Bytes or a UUID.
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of the table's columns.
pub type Row = Vec<Value>;

/// Declares tables: the name, the number of columns in the key, and the columns by their kinds.
macro_rules! tables {
    ($($name:ident $key:literal { $($kind:ident: $($column:ident)+;)+ })+) => {
        &[$(Table {
            name: stringify!($name),
            key: $key,
            columns: &[$($(Column { name: stringify!($column), kind: Kind::$kind }),+),+],
        }),+]
    };
}

/// All tables with data of a deployment. A table comes after those that it refers to.
///
/// Not moved, since they belong to one backend: marks of backups and of moves, the sum over revoked tokens of SQLite, the
/// leases of servers, counters of failed logins, and private keys, which are sealed anew. Settings are apart.
pub static TABLES: &[Table] = tables! {
    meta 1 {
        Integer: one; Uuid: origin epoch; Text: issuer; Integer: edits generation sequence; Bytes: hash;
        Integer: pruned_through; Bytes: pruned_hash;
        Integer: purged_through jwks_max_age jwks_copies_until restored_through latest_at settled_at starts;
        Integer: audit_sequence; Bytes: audit_hash; Integer: audit_pruned_through; Bytes: audit_pruned_hash;
        Integer: audit_tokens audit_revocations audit_actions audit_actions_pruned;
        Integer: statistics_tokens statistics_revocations statistics_covered;
    }
    organizations 1 {
        Integer: id; Uuid: public_id; Text: name canonical_name email notification_url policy;
        Integer: created_at deleted_at generation;
    }
    teams 1 {
        Integer: id; Text: public_id; Integer: organization; Text: name canonical_name;
        Integer: created_at deleted_at;
    }
    users 1 {
        Integer: id; Text: public_id email first_name last_name username password_hash; Boolean: site_admin;
        Integer: disabled_at created_at deleted_at generation;
    }
    memberships 2 { Integer: organization person; Text: role; }
    team_memberships 2 { Integer: team person; Text: role; }
    invitations 3 {
        Integer: organization team; Text: email role; Boolean: asks; Text: invited_by; Integer: invited_at;
    }
    former_names 1 { Text: canonical_name; Integer: organization given_up_at given_up_by; }
    projects 1 { Integer: id organization; Text: name canonical_name; Integer: created_at; }
    keys 1 {
        Integer: id; Text: kid algorithm public_jwk state; Integer: created_at changed_at signs_from needed_until;
    }
    status_lists 1 {
        Integer: id; Uuid: epoch; Integer: lifetime_class; Bytes: permutation_key;
        Integer: used opened_at retired_at;
    }
    tokens 1 {
        Integer: id; Uuid: jti; Boolean: session; Text: name description; Integer: organization team person;
        Text: scopes preset projects audience prefix; Integer: key status_list status_index created_at;
        Text: created_by; Integer: created_by_user created_by_token expires_at; Text: slot;
        Integer: rotated_from surface; Bytes: address; Text: request_id on_behalf_of;
        Integer: revoked_at effective_at; Text: revoked_by revocation_reason;
    }
    token_use 1 { Integer: token last_used_at; Text: last_used_from; Integer: refusals last_refused_at; }
    owner_counts 3 {
        Integer: organization team person version active as_of counted_at sequence first_end;
    }
    revocations 1 {
        Integer: sequence; Uuid: epoch; Text: kind; Integer: recorded_at effective_at; Text: actor;
        Integer: actor_user actor_token surface; Bytes: address; Text: request_id on_behalf_of reason;
        Integer: token; Uuid: jti; Integer: status_list status_index expires_at;
        Integer: organization team person project; Text: kid; Boolean: session; Integer: issued_through_seconds;
        Bytes: hash; Integer: effective_before;
    }
    lost_tokens 1 { Uuid: jti; Integer: status_list status_index effective_at expires_at; }
    bulk_revocations 1 {
        Integer: id; Text: filter; Integer: through position matched revoked ordered_at; Text: actor;
        Integer: actor_user; Text: reason; Integer: effective_at; Boolean: last_may_go; Integer: finished_at;
        Text: remit; Integer: left_over child portions;
    }
    bulk_members 2 { Integer: bulk token; Boolean: expanded; }
    reporting_audiences 1 { Text: audience; Integer: first_reported_at last_reported_at; }
    actions 1 {
        Integer: id at; Text: action actor; Integer: actor_user actor_token surface; Bytes: address;
        Text: request_id on_behalf_of; Integer: organization token; Text: target before after reason;
    }
    audit 1 {
        Integer: sequence at; Text: action; Integer: source number organization; Text: actor;
        Integer: actor_user actor_token token; Bytes: content hash;
    }
    statistics 2 { Integer: organization day issued revoked expired; }
    statistics_of_refusals 2 { Integer: organization day refused; }
    audit_instants 1 { Integer: block earliest latest; }
    audit_checkpoints 1 { Integer: size; Bytes: hash; Integer: signed_at; Text: kid note; }
    idempotency_keys 1 {
        Integer: id; Bytes: key request; Integer: at; Bytes: caller; Integer: number; Text: made_kind made_id;
    }
};

/// The settings that servers share. A deployment on a database file has them in its configuration file.
static SETTINGS: Table = Table {
    name: "settings",
    key: 1,
    columns: &[
        Column {
            name: "name",
            kind: Kind::Text,
        },
        Column {
            name: "value",
            kind: Kind::Text,
        },
        Column {
            name: "changed_at",
            kind: Kind::Integer,
        },
    ],
};

/// The tables whose rows get numbers that are never given again, also if no row has the highest one any more.
pub const NUMBERED: [&str; 10] = [
    "organizations",
    "teams",
    "users",
    "projects",
    "keys",
    "status_lists",
    "tokens",
    "bulk_revocations",
    "actions",
    "idempotency_keys",
];

/// The last number that was given in each table of [`NUMBERED`].
pub type Numbers = [i64; NUMBERED.len()];

/// The last event or line of a chain: its number and its hash.
pub type Head = (u64, [u8; 32]);

/// What a database says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The id of the deployment.
    pub origin: Uuid,
    /// The last event of the feed, and the last one that is not kept any more.
    pub feed: Head,
    /// See `feed`.
    pub feed_pruned: Head,
    /// The last line of the audit, and the last one that is not kept any more.
    pub audit: Head,
    /// See `audit`.
    pub audit_pruned: Head,
}

/// The query of [`Facts`], in this order.
pub const FACTS: &str = "SELECT origin, sequence, hash, pruned_through, pruned_hash,
    audit_sequence, audit_hash, audit_pruned_through, audit_pruned_hash FROM meta";

/// One side of a move: the database of a backend, within a transaction that no other program changes.
#[async_trait]
pub trait Side: Send {
    /// Returns the next rows after a key, in the order of the keys.
    async fn rows(&mut self, table: &Table, after: Option<&[Value]>, most: usize) -> Result<Vec<Row>>;

    /// Returns the number of rows.
    async fn count(&mut self, table: &Table) -> Result<u64>;

    /// Inserts rows. No trigger is carried out.
    async fn insert(&mut self, table: &Table, rows: Vec<Row>) -> Result<()>;

    /// Returns the numbers that were given.
    async fn numbers(&mut self) -> Result<Numbers>;

    /// Continues after numbers that were given.
    async fn set_numbers(&mut self, numbers: &Numbers) -> Result<()>;

    /// Returns the next events of the feed after one.
    async fn events(&mut self, after: u64, most: usize) -> Result<Vec<Entry>>;

    /// Returns the next lines of the audit after one.
    async fn lines(&mut self, after: u64, most: usize) -> Result<Vec<AuditLine>>;

    /// Returns what the database says of itself.
    async fn facts(&mut self) -> Result<Facts>;

    /// Returns the ids of all keys, and the private key of each if it lies in the database, sealed.
    async fn keys(&mut self) -> Result<Vec<(String, Option<String>)>>;

    /// Keeps the private key of a key, sealed, in its row.
    async fn seal(&mut self, kid: &str, sealed: &str) -> Result<()>;

    /// Commits everything that was inserted. The database is not served before [`Side::release`].
    async fn hold(&mut self, from: &str) -> Result<()>;

    /// Marks the database as moved, and commits: nothing serves it from now on.
    async fn leave(&mut self, to: &str) -> Result<()>;

    /// Makes a database that was held ready to be served.
    async fn release(&mut self) -> Result<()>;
}

/// The reason why a move was given up.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A side failed.
    #[error("a database failed during the move")]
    Failed(#[from] StoreError),
    /// The rows of a table are not the same on both sides.
    #[error(
        "the copy of {table} differs: {copied} rows were copied, {found} were found, or their contents are not the same"
    )]
    Differs {
        /// The table.
        table: &'static str,
        /// How many rows were copied.
        copied: u64,
        /// How many rows the copy has.
        found: u64,
    },
    /// The numbers that were given are not the same on both sides.
    #[error("the copy would give numbers a second time")]
    Numbers,
    /// A chain of hashes is broken.
    #[error(
        "the {chain} is broken after {what} {number}: `jeton doctor` and `jeton audit verify` examine a database file"
    )]
    Broken {
        /// The chain.
        chain: &'static str,
        /// What it consists of.
        what: &'static str,
        /// The last one that is in order.
        number: u64,
    },
}

/// Keeps the settings that servers share in an empty database that has a table of them.
///
/// # Errors
///
/// Fails if the database does.
pub async fn keep_settings(target: &mut dyn Side, settings: &StoredSettings, now: Timestamp) -> Result<()> {
    let texts = settings
        .iter()
        .map(|(name, value)| [name, value].map(|text| Value::Text(text.clone())));
    let rows = texts.map(|[name, value]| vec![name, value, Value::Integer(now.millis())]);
    target.insert(&SETTINGS, rows.collect()).await
}

/// How many rows are in memory at once.
const PORTION: usize = 2_000;

/// The number of rows of a table, and a digest over them.
#[derive(PartialEq, Eq)]
struct Sum {
    rows: u64,
    digest: Vec<u8>,
}

/// Copies all tables into an empty database, and compares both. `report` is told how many rows of how many are done.
///
/// # Errors
///
/// Fails if a side does, or if the copy is not the same. Nothing is committed.
pub async fn copy(
    source: &mut dyn Side,
    target: &mut dyn Side,
    mut report: impl FnMut(u64, u64) + Send,
) -> std::result::Result<u64, MoveError> {
    let mut all = 0;
    for table in TABLES {
        all += source.count(table).await?;
    }
    let mut done = 0;
    let mut progress = |rows: usize| {
        done += rows as u64;
        report(done, 2 * all);
    };
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        copied.push(sum(source, table, Some(&mut *target), &mut progress).await?);
    }
    let numbers = source.numbers().await?;
    target.set_numbers(&numbers).await?;
    for (table, copied) in TABLES.iter().zip(copied) {
        let found = sum(target, table, None, &mut progress).await?;
        if found != copied {
            return Err(MoveError::Differs {
                table: table.name,
                copied: copied.rows,
                found: found.rows,
            });
        }
    }
    if target.numbers().await? != numbers {
        return Err(MoveError::Numbers);
    }
    check_chains(source).await?;
    check_chains(target).await?;
    Ok(all)
}

/// Reads a table to its end, and inserts its rows into another database if there is one.
async fn sum(
    side: &mut dyn Side,
    table: &Table,
    mut into: Option<&mut dyn Side>,
    progress: &mut (dyn FnMut(usize) + Send),
) -> Result<Sum> {
    let mut digest = Context::new(&SHA256);
    let mut rows = 0;
    let mut after: Option<Row> = None;
    loop {
        let portion = side.rows(table, after.as_deref(), PORTION).await?;
        let Some(last) = portion.last() else { break };
        after = Some(last.iter().take(table.key).cloned().collect());
        for value in portion.iter().flatten() {
            add(&mut digest, value);
        }
        rows += portion.len() as u64;
        let (length, is_last) = (portion.len(), portion.len() < PORTION);
        if let Some(target) = &mut into {
            target.insert(table, portion).await?;
        }
        progress(length);
        if is_last {
            break;
        }
    }
    Ok(Sum {
        rows,
        digest: digest.finish().as_ref().to_vec(),
    })
}

/// Adds a value with its kind and its length, so that no two lists of values are the same bytes.
fn add(digest: &mut Context, value: &Value) {
    let (kind, number);
    let bytes: &[u8] = match value {
        Value::Null => {
            kind = 0;
            &[]
        }
        Value::Integer(integer) => {
            (kind, number) = (1, integer.to_be_bytes());
            &number
        }
        Value::Text(text) => {
            kind = 2;
            text.as_bytes()
        }
        Value::Bytes(bytes) => {
            kind = 3;
            bytes
        }
    };
    digest.update(&[kind]);
    digest.update(&(bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

/// Recomputes the chains of the feed and of the audit from what is kept.
async fn check_chains(side: &mut dyn Side) -> std::result::Result<(), MoveError> {
    let facts = side.facts().await?;
    let broken = |chain, what| move |number| MoveError::Broken { chain, what, number };
    let feed = broken("revocation feed", "event");
    let (mut number, mut hash) = facts.feed_pruned;
    loop {
        let events = side.events(number, PORTION).await?;
        let is_last = events.len() < PORTION;
        for Entry { event, hash: kept } in events {
            if event.sequence != number + 1 || event.hash(&hash) != kept {
                return Err(feed(number));
            }
            (number, hash) = (event.sequence, kept);
        }
        if is_last {
            break;
        }
    }
    if (number, hash) != facts.feed {
        return Err(feed(number));
    }
    let audit = broken("audit", "line");
    let (mut number, mut hash) = facts.audit_pruned;
    loop {
        let lines = side.lines(number, PORTION).await?;
        let is_last = lines.len() < PORTION;
        for line in lines {
            if line.sequence != number + 1 || line.record.hash(&hash, line.sequence) != line.hash {
                return Err(audit(number));
            }
            (number, hash) = (line.sequence, line.hash);
        }
        if is_last {
            break;
        }
    }
    match (number, hash) == facts.audit {
        true => Ok(()),
        false => Err(audit(number)),
    }
}
