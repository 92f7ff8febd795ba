//! Where a deployment has its data: in a file, or in a PostgreSQL database.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_core::file_mode::Secret;

use super::file::File;
use super::secret_file;
use super::setting::{Process, Setting};
use crate::backend::{Host, PostgresConfig};
use crate::tls;
use jeton_core::token::lifetime::Span;

/// The largest file of a password.
const LONGEST_PASSWORD: usize = 4096;

/// What a wrong URL is told. It is not shown, since it may have a password.
const NOT_A_URL: &str = "must be the path of a file, or a PostgreSQL URL such as \
     postgres://jeton@one.example.org,two.example.org/jeton?target_session_attrs=read-write&sslmode=require; `sslmode` \
     is disable, prefer or require, which verifies the certificate (it is not shown, since it may have a password)";

/// The database of a deployment.
#[derive(Clone, PartialEq)]
pub enum Database {
    /// A file of SQLite.
    File(PathBuf),
    /// A PostgreSQL database: its servers, its name, the role and its password.
    Postgres(Box<PostgresConfig>),
}

/// How PostgreSQL is used, apart from the URL of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// The file with the password of the role, if there is one.
    pub password_file: Option<PathBuf>,
    /// The certificates that are trusted; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate that a server of PostgreSQL is shown.
    pub certificate: Option<tls::Files>,
    /// How long a server answers what depends on revocation after it has renewed its lease.
    pub stale_after: Duration,
    /// The folder of this server's journal of revocations; `None` if it keeps none.
    pub journal: Option<PathBuf>,
}

impl Database {
    /// Returns the file; `None` if the data are in PostgreSQL.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Returns the servers of PostgreSQL; `None` if the data are in a file.
    fn postgres(&self) -> Option<&PostgresConfig> {
        match self {
            Self::File(_) => None,
            Self::Postgres(config) => Some(config),
        }
    }

    /// Returns a name of the database that is the same in every folder, without the role and its password.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => {
                let absolute = std::path::absolute(path);
                absolute.as_ref().unwrap_or(path).display().to_string()
            }
            Self::Postgres(_) => self.to_string(),
        }
    }

    /// Reads the value of the setting.
    fn of_value(value: OsString) -> Result<Self, &'static str> {
        let is_url = |scheme: &&[u8]| value.as_encoded_bytes().starts_with(scheme);
        if ![b"postgres:".as_slice(), b"postgresql:"].iter().any(is_url) {
            return Ok(Self::File(value.into()));
        }
        let config: PostgresConfig = value.to_str().and_then(|url| url.parse().ok()).ok_or(NOT_A_URL)?;
        match (config.get_hosts(), config.get_dbname()) {
            ([], _) | (_, None) => Err(
                "must name a host and a database, as postgres://jeton@localhost/jeton \
                 does (it is not shown, since it may have a password)",
            ),
            _ => Ok(Self::Postgres(Box::new(config))),
        }
    }
}

/// Without the role and its password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = match self {
            Self::File(path) => return write!(f, "{}", path.display()),
            Self::Postgres(config) => config,
        };
        let hosts: Vec<_> = config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        write!(
            f,
            "postgres://{}/{}",
            hosts.join(","),
            config.get_dbname().unwrap_or_default()
        )
    }
}

/// As [`Display`](fmt::Display): the password is in no log.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

/// Reads the setting of the database, that of the database to which it moves, and those of PostgreSQL, which are for
/// both. `stored` has those that are in the database itself.
pub(super) fn read(
    setting: Setting<'_>,
    move_to: Setting<'_>,
    process: Process<'_>,
    file: &File<'_>,
    stored: &File<'_>,
) -> (Database, Option<Database>, Postgres) {
    let setting = setting.or(file.text("database"));
    let is_given = setting.is_given();
    let mut database = setting.check_value(Database::of_value).value();
    let mut move_to = move_to.check_value(Database::of_value).value();
    let is_refused = is_given && database.is_none();
    let servers = || {
        [&database, &move_to]
            .into_iter()
            .flatten()
            .filter_map(Database::postgres)
    };
    let has_password = servers().any(|config| config.get_password().is_some());
    let is_file = servers().next().is_none();
    let password_file = process
        .variable("JETON_DATABASE_PASSWORD_FILE")
        .or(file.text("postgresql.password_file"))
        .check_value(|path| match has_password {
            true => Err("must not be set together with a password in the URL of the database".to_owned()),
            false => password_in(path.into()),
        });
    let (password_file, password) = password_file.value().unzip();
    if let Some(password) = password {
        for database in [&mut database, &mut move_to] {
            if let Some(Database::Postgres(config)) = database {
                config.password(password.as_slice());
            }
        }
    }
    let (certificate, key) = (file.text("postgresql.certificate"), file.text("postgresql.key"));
    if certificate.is_given() != key.is_given() {
        file.record_table(
            "postgresql",
            "must have both `certificate` and `key`, or neither: they are shown to PostgreSQL",
        );
    }
    let certificate = certificate.value().zip(key.value());
    let postgres = Postgres {
        password_file,
        ca: file.text("postgresql.ca").value().map(PathBuf::from),
        certificate: certificate.map(|(certificate, key)| tls::Files {
            certificate: certificate.into(),
            key: key.into(),
        }),
        stale_after: stored
            .text("postgresql.stale_after")
            .check(stale_after)
            .unwrap_or(Duration::from_secs(5)),
        journal: file.text("postgresql.journal").value().map(PathBuf::from),
    };
    if is_file && !is_refused {
        file.record_table(
            "postgresql",
            "is for a PostgreSQL database: set `database` to its URL",
        );
    }
    let database = database.unwrap_or_else(|| Database::File("jeton.db".into()));
    (database, move_to, postgres)
}

/// Returns a file and the password in it, without one line ending.
fn password_in(path: PathBuf) -> Result<(PathBuf, zeroize::Zeroizing<Vec<u8>>), String> {
    let password = secret_file::read(&path, LONGEST_PASSWORD, Secret::Password)?;
    let mut password = password.ok_or("names a file that is too long for a password")?;
    for ending in [b'\n', b'\r'] {
        if password.last() == Some(&ending) {
            password.pop();
        }
    }
    match password.is_empty() {
        true => Err("names a file without a password".to_owned()),
        false => Ok((path, password)),
    }
}

fn stale_after(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    match span.seconds() {
        seconds @ 2..=60 => Ok(Duration::from_secs(seconds)),
        _ => Err("must be from 2 seconds to 1 minute".to_owned()),
    }
}
