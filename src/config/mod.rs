//! Configuration: flags, then `JETON_…` variables, then `jeton.toml`, checked and merged into a
//! [`Config`]. With PostgreSQL the settings that all servers of a deployment share are in the database instead of the file:
//! [`Config::with_stored`].
//!
//! An invalid setting is recorded as a mistake and replaced by its default, so that one report lists
//! every mistake.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::authority::Quotas;
use crate::authority::password::NewPassword;
use crate::checkpoints::Place;
use crate::tls;
use jeton_core::directory::{Consent, Email};
use jeton_core::token::lifetime::{Lifetime, Span};
use jeton_core::token::scope::Catalogue;
use jeton_store::Generation;

pub mod changes;
mod database;
mod file;
mod issuer;
mod read;
mod secret_file;
mod setting;

pub use database::{Database, Postgres};
pub use issuer::{Issuer, IssuerError, NotAPrefix, Prefix};
pub use jeton_verifier::{Algorithm, NotAnAlgorithm};
pub use secret_file::KeyEncryptionKeyFile;
pub use setting::{Environment, Flags, Mistakes};

/// All settings, checked. With PostgreSQL, those that all servers share are at their defaults until
/// [`Config::with_stored`]: see [`changes::SETTINGS`].
#[derive(Debug)]
pub struct Config {
    /// The configuration file that was read.
    pub file: FileText,
    /// The version of the settings in the database, once they are read.
    pub stored: Option<Generation>,
    pub listen: SocketAddr,
    pub database: Database,
    /// The database to which the deployment moves, for the command that moves it.
    pub move_to: Option<Database>,
    pub postgres: Postgres,
    pub keys: Keys,
    /// `None` selects [`Issuer::of_address`] of the bound address.
    pub issuer: Option<Issuer>,
    /// The certificate for TLS; `None`: plain HTTP.
    pub tls: Option<tls::Files>,
    /// Proxies whose forwarded headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    pub tokens: Tokens,
    pub session_lifetime: Span,
    pub catalogue: Catalogue,
    /// Whether people must accept roles that organizations give them.
    pub consent: Consent,
    pub limits: Limits,
    pub quotas: Quotas,
    pub rate_limits: RateLimits,
    /// Where metrics are served; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// `None`: the server makes no backups.
    pub backups: Option<Backups>,
    /// The folder on another disk that the journal is copied to, if any.
    pub journal_copy: Option<PathBuf>,
    pub audit: Audit,
    pub administrator: Administrator,
    pub log: Log,
}

/// The text of a configuration file. Not shown: the URL of a database in it may have a password.
#[derive(Clone, Default)]
pub struct FileText(String);

impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileText")
    }
}

/// How a server is reached.
#[derive(Debug)]
pub struct Served {
    pub listen: SocketAddr,
    /// The certificate for TLS; `None`: plain HTTP.
    pub tls: Option<tls::Files>,
}

#[derive(Debug)]
pub struct Log {
    /// The filter's directives, such as `info` or `jeton=debug`.
    pub filter: String,
    pub format: LogFormat,
    pub requests: LogRequests,
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which requests have a line of their own in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogRequests {
    /// Those that failed in the server, and those of authenticated callers that were refused.
    #[default]
    Failed,
    All,
    /// None but those that a fault of the server has failed.
    None,
}

#[derive(Debug)]
pub struct Keys {
    /// The directory of the private keys.
    pub folder: PathBuf,
    /// The file of the key that seals private keys, if any.
    pub key_encryption_key: Option<KeyEncryptionKeyFile>,
    /// The algorithm of new keys.
    pub algorithm: Algorithm,
    /// How long clients may cache the JWKS, in seconds.
    pub jwks_max_age: u32,
    /// The age of the newest key at which its successor is published; `None`: no automatic rotation.
    pub rotate_every: Option<Span>,
}

#[derive(Debug)]
pub struct Tokens {
    pub prefix: Option<Prefix>,
    /// `None` selects the issuer.
    pub default_audience: Option<String>,
    pub default_lifetime: Lifetime,
    /// Whether the IP address of a token's last use is recorded.
    pub record_addresses: bool,
    /// How long a token's record is retained after the token has expired or was revoked.
    pub retention: Span,
    /// The maximum number of cached verified tokens, of at most 300 bytes each.
    pub cached: usize,
}

/// The audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// How long its lines are kept.
    pub retention: Span,
    /// Where its checkpoints are written beside the database.
    pub checkpoints: Option<Place>,
}

/// Limits of a connection and of all connections together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_connections: usize,
    /// The streams of the revocation feed, which are counted apart from other connections.
    pub max_streams: usize,
    /// From the first byte, or the start of the connection, to the end of the headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// Between two requests on one connection.
    pub idle_timeout: Duration,
    /// From the stop signal to the end of the process, including requests in progress.
    pub drain_deadline: Duration,
}

/// Rate limits; `None`: unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    pub per_caller: Option<Rate>,
    pub per_address: Option<Rate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    /// The maximum number of requests at once.
    pub burst: NonZeroU32,
}

/// Backups by schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backups {
    /// The time between two backups.
    pub every: Span,
    /// How many backups are kept, at least one.
    pub keep: usize,
    pub folder: PathBuf,
}

/// The first site administrator, created if none exists.
#[derive(Debug, Default)]
pub struct Administrator {
    pub email: Option<Email>,
    pub password: Option<NewPassword>,
    /// The file that the password was read from, if any.
    pub password_file: Option<PathBuf>,
}

impl Limits {
    /// The default limits. The drain ends within the ten seconds that container runtimes leave between
    /// SIGTERM and SIGKILL.
    pub const STANDARD: Self = Self {
        max_connections: 4096,
        max_streams: 1024,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        // Longer than the 60 s for which common proxies keep a connection, so that the proxy closes it
        // first and no request reaches a closed connection.
        idle_timeout: Duration::from_secs(75),
        drain_deadline: Duration::from_secs(8),
    };
}

#[cfg(test)]
mod tests;
