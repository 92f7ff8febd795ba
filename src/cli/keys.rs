//! `jeton keys`: rotates, retires, revokes and lists signing keys, and seals private keys.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jeton_verifier::KeyId;
use uuid::Uuid;

use super::deployment::Deployment;
use super::{Failure, output};
use crate::authority::{Authority, KeyRetired, KeyRevoked, ListedKey};
use crate::config::{Config, Database, KeyEncryptionKeyFile};
use crate::keys::{
    DatabaseKeys, DirectoryError, KeyDirectory, KeyEncryptionKey, KeyFolder, KeyStore, Rewritten, Stored,
    UnusableKeyEncryptionKey,
};
use jeton_core::clock::Timestamp;
use jeton_core::text::Prose;
use jeton_core::token::Span;
use jeton_store::{KeyRow, KeyState};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key of the configured algorithm and publish it; it signs once every cached key set has it
    Rotate,
    /// Retire a published key that does not sign yet: it will never sign
    Retire {
        /// The key's id
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Withdraw a key at once and revoke every token it signed
    Revoke(Revoke),
    /// List all keys with id, algorithm, state, age, active tokens, private key and next step
    List,
    /// Seal all private keys by the key-encryption key, in place; also beside a running server
    Seal(Seal),
    /// Write all sealed private keys as plain ones, in place
    Unseal,
}

#[derive(Debug, Args)]
pub(super) struct Seal {
    /// The file of the previous key-encryption key: what it sealed is sealed by the configured one
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The key's id
    #[arg(allow_hyphen_values = true)]
    kid: String,
    /// The reason, which is recorded with the revocation
    #[arg(long, value_name = "TEXT")]
    reason: Option<Prose>,
}

/// Opens the folder of the private keys.
pub(super) fn folder(config: &Config) -> Result<KeyFolder, DirectoryError> {
    let key_encryption_key = config.keys.key_encryption_key.as_ref();
    KeyFolder::open(
        &config.keys.folder,
        key_encryption_key.map(KeyEncryptionKeyFile::read),
    )
}

/// Fails if the key-encryption key cannot be read, or is missing where private keys lie in the database.
pub(super) fn check_key_encryption_key(
    config: &Config,
    database: &Database,
) -> Result<(), UnusableKeyEncryptionKey> {
    match (&config.keys.key_encryption_key, database) {
        (Some(file), _) => file.read().map(drop),
        (None, Database::File(_)) => Ok(()),
        (None, Database::Postgres(_)) => Err(UnusableKeyEncryptionKey(
            "with PostgreSQL the private keys lie in the database, sealed: create a key-encryption key, and name its file \
             with --key-encryption-key, JETON_KEY_ENCRYPTION_KEY_FILE or `key_encryption_key_file` in `[keys]`"
                .to_owned(),
        )),
    }
}

/// The private keys before the database is opened, whose deployment they belong to.
pub(super) enum PrivateKeys {
    Folder(KeyFolder),
    Database(Option<Result<KeyEncryptionKey, UnusableKeyEncryptionKey>>),
}

impl PrivateKeys {
    /// Opens those of a database.
    pub(super) fn of(database: &Database, config: &Config) -> Result<Self, DirectoryError> {
        match database {
            Database::File(_) => folder(config).map(Self::Folder),
            Database::Postgres(_) => {
                let file = config.keys.key_encryption_key.as_ref();
                Ok(Self::Database(file.map(KeyEncryptionKeyFile::read)))
            }
        }
    }

    /// Reads all keys of a folder as far as that is possible, so that a start is refused before it opens the database.
    pub(super) fn check(&self) -> Result<(), DirectoryError> {
        let Self::Folder(folder) = self else { return Ok(()) };
        let plain = folder.check()?;
        if plain > 0 && folder.seals() {
            tracing::warn!(
                plain,
                "private keys are not sealed, although there is a key-encryption key: run `jeton keys seal`"
            );
        }
        Ok(())
    }

    /// Returns the private keys of a deployment.
    pub(super) fn of_deployment(self, origin: Uuid) -> KeyStore {
        match self {
            Self::Folder(folder) => KeyStore::Folder(folder.of_deployment(origin)),
            Self::Database(key) => KeyStore::Database(DatabaseKeys::new(key, origin)),
        }
    }
}

pub(super) fn run(command: Command, config: &Config) -> Result<(), Failure> {
    super::runtime()?.block_on(async {
        let deployment = Deployment::existing(config).await?;
        // These commands sign no token, so the authority needs no issuer.
        let authority = deployment.authority(config, String::new())?;
        match command {
            Command::Rotate => rotate(&authority).await,
            Command::Retire { kid } => retire(&authority, kid.parse()?).await,
            Command::Revoke(Revoke { kid, reason }) => {
                revoke(&authority, kid.parse()?, reason.map(Into::into)).await
            }
            Command::List => {
                let keys = private_keys(&deployment, config).await?;
                list(&authority, config, &keys, deployment.clock.now()).await
            }
            Command::Seal(Seal { previous }) => match private_keys(&deployment, config).await? {
                KeyStore::Folder(directory) => seal(&directory, previous),
                KeyStore::Database(keys) => reseal(&keys, &deployment, previous).await,
            },
            Command::Unseal => match private_keys(&deployment, config).await? {
                KeyStore::Folder(directory) => unseal(&directory),
                KeyStore::Database(_) => Err(Failure::OnlyForFiles {
                    what: "`jeton keys unseal`",
                    instead: "private keys in a database are always sealed",
                }),
            },
        }
    })
}

async fn rotate(authority: &Authority) -> Result<(), Failure> {
    let row = authority.operator_rotates_key().await?;
    output::print(&format!("{} signs from {}", row.key.kid, row.signs_from))
}

async fn retire(authority: &Authority, kid: KeyId) -> Result<(), Failure> {
    match authority.operator_retires_key(&kid).await? {
        KeyRetired::Retired => output::print(&format!("{kid} is retired and will never sign")),
        KeyRetired::Signs => Err(Failure::KeySigns(kid)),
        KeyRetired::Unknown => Err(Failure::UnknownKey(kid)),
    }
}

async fn revoke(authority: &Authority, kid: KeyId, reason: Option<String>) -> Result<(), Failure> {
    match authority.operator_revokes_key(&kid, reason).await? {
        KeyRevoked::Revoked | KeyRevoked::AlreadyRevoked => output::print(&format!(
            "{kid} is withdrawn, and every token it signed is revoked"
        ))?,
        KeyRevoked::RevokedWithoutSuccessor => output::print(&format!(
            "{kid} is withdrawn, and every token it signed is revoked; no key signs now: a running server creates one \
             within a second if it can, and so does `jeton keys rotate`"
        ))?,
        KeyRevoked::Unknown => return Err(Failure::UnknownKey(kid)),
    }
    match authority.refused_everywhere_by() {
        Some(instant) => output::print(&format!("every server refuses these tokens from {instant} on")),
        None => Ok(()),
    }
}

async fn private_keys(deployment: &Deployment, config: &Config) -> Result<KeyStore, Failure> {
    Ok(PrivateKeys::of(&config.database, config)?.of_deployment(deployment.store.origin().await?))
}

/// Reads the previous key-encryption key, which must differ from the configured one.
fn previous_key(
    path: Option<PathBuf>,
    sealing: &KeyEncryptionKey,
) -> Result<Option<KeyEncryptionKey>, Failure> {
    let previous = path.map(|path| KeyEncryptionKeyFile::new(path, "the flag `--previous`").read());
    let previous = previous.transpose()?;
    match previous.as_ref() == Some(sealing) {
        true => Err(Failure::SameKey),
        false => Ok(previous),
    }
}

/// Seals the private keys in the database by the configured key-encryption key. If one cannot be read, nothing is
/// changed.
async fn reseal(
    private_keys: &DatabaseKeys,
    deployment: &Deployment,
    previous: Option<PathBuf>,
) -> Result<(), Failure> {
    let sealing = private_keys.sealing()?;
    let previous = previous_key(previous, sealing)?;
    let rows = deployment.store.keys().await?.value.rows;
    let mut changed = Vec::new();
    for row in &rows {
        if let Some(sealed) = private_keys.resealed(row, &row.key.kid.parse()?, previous.as_ref())? {
            changed.push((&row.key.kid, sealed));
        }
    }
    if let Some(keys) = deployment.store.sealed_keys() {
        for (kid, sealed) in &changed {
            keys.reseal(kid, sealed).await?;
        }
    }
    let unchanged = rows.iter().filter(|row| row.key.sealed.is_some()).count();
    print_sealed(changed.len(), unchanged.saturating_sub(changed.len()), sealing)
}

fn print_sealed(changed: usize, unchanged: usize, sealing: &KeyEncryptionKey) -> Result<(), Failure> {
    output::print(&format!(
        "sealed: {changed} private keys; sealed before: {unchanged}; key-encryption key: {}",
        sealing.id()
    ))
}

fn seal(directory: &KeyDirectory, previous: Option<PathBuf>) -> Result<(), Failure> {
    let folder = directory.folder();
    let sealing = folder.sealing()?.ok_or(DirectoryError::NothingToSealWith)?;
    let previous = previous_key(previous, sealing)?;
    let Rewritten { changed, unchanged } = directory.seal_all(previous.as_ref())?;
    for path in folder.other_files()? {
        let path = path.display();
        tracing::warn!(%path, "the file is not named after a key and was not sealed: if it is a copy of a key, delete it");
    }
    print_sealed(changed, unchanged, sealing)
}

fn unseal(directory: &KeyDirectory) -> Result<(), Failure> {
    let Rewritten { changed, unchanged } = directory.unseal_all()?;
    output::print(&format!(
        "unsealed: {changed} private keys; plain before: {unchanged}"
    ))
}

/// Returns how the private key of a row is stored.
fn private_key(keys: &KeyStore, row: &KeyRow) -> Result<Cow<'static, str>, Failure> {
    let kid = row.key.kid.parse()?;
    let sealed_by = match keys {
        KeyStore::Folder(directory) => match directory.folder().stored(&kid)? {
            None => None,
            Some(Stored::Plain(_)) => return Ok("plain".into()),
            Some(Stored::Sealed(sealed)) => Some(sealed.sealed_by()),
        },
        KeyStore::Database(keys) => keys.sealed_by(row, &kid)?,
    };
    // Whichever key is configured: an operator compares the names before a key-encryption key is destroyed.
    Ok(sealed_by.map_or("missing".into(), |key| format!("sealed by {key}").into()))
}

async fn list(
    authority: &Authority,
    config: &Config,
    keys: &KeyStore,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut text = format!(
        "{:<43}  {:<9}  {:<9}  {:>5}  {:>11}  {:<26}  {}",
        "KID", "ALGORITHM", "STATE", "AGE", "LIVE TOKENS", "PRIVATE KEY", "NEXT"
    );
    for ListedKey { row, live_tokens, .. } in authority.operator_lists_keys().await? {
        let live_tokens = live_tokens.unwrap_or_default();
        let next = match row.state {
            KeyState::Published => format!("signs from {}", row.signs_from),
            KeyState::Signing => config
                .keys
                .rotate_every
                .map_or_else(String::new, |every| format!("successor every {every}")),
            KeyState::Retired if row.needed_until == Timestamp::LAST => "published forever".to_owned(),
            KeyState::Retired => format!("published until {}", row.needed_until),
            KeyState::Gone | KeyState::Withdrawn => format!("since {}", row.changed_at),
        };
        let line = format!(
            "{:<43}  {:<9}  {:<9}  {:>5}  {live_tokens:>11}  {:<26}  {next}",
            row.key.kid,
            row.key.algorithm.name(),
            row.state.as_str(),
            age(row.created_at, now),
            private_key(keys, &row)?,
        );
        // Writing to a string does not fail.
        let _ = write!(text, "\n{}", line.trim_end());
    }
    output::print(&text)
}

/// Returns the time since an instant in the largest unit that has elapsed once.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.seconds() - since.seconds()).unwrap_or_default();
    let units = [Span::DAY.seconds(), Span::HOUR.seconds(), 60, 1];
    let unit = units.into_iter().find(|unit| *unit <= seconds).unwrap_or(1);
    let whole = Span::from_seconds(seconds / unit * unit);
    whole.map_or_else(|| "0s".to_owned(), |span| span.to_string())
}
