//! The command line: parses the arguments, runs the subcommand and returns the exit code.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::authority::password::{PasswordError, PasswordPolicyError};
use crate::backend::{self, BackendError, BackupError, DrillError, JournalCopyError, LockError, OpenError};
use crate::backups::BackupsError;
use crate::config::{Config, Database, Flags, Mistakes};
use crate::keys::{DirectoryError, RingError, UnusableKeyEncryptionKey};
use crate::tls::TlsError;
use jeton_core::directory::{Email, NotAnEmail};
use jeton_store::StoreError;

mod audit;
mod backup;
mod clock;
mod completions;
mod deployment;
mod doctor;
mod drill;
mod first_start;
mod health;
mod init;
mod journal;
mod keys;
mod log;
mod man;
mod moving;
mod nodes;
mod observe;
mod openapi;
mod output;
mod reconcile;
mod reload;
mod restore;
mod serve;
mod service_manager;
mod settings;
mod signals;
mod upkeep;
mod user;
mod worker;

/// A token authority: signs API tokens, revokes them, and publishes keys and revocations to verifiers
#[derive(Debug, Parser)]
#[command(name = "jeton", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every subcommand takes, before or after its name.
#[derive(Debug, Args)]
struct Shared {
    /// The configuration file [env: JETON_CONFIG] [default: jeton.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database: a file, or the URL of a PostgreSQL database (postgres://…) [env: JETON_DATABASE] [default: jeton.db]
    #[arg(long, global = true, value_name = "FILE|URL")]
    database: Option<PathBuf>,
    /// The folder of the signing keys [env: JETON_KEYS] [default: keys]
    #[arg(long, global = true, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// The file of the key that seals private keys [env: JETON_KEY_ENCRYPTION_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    key_encryption_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a deployment and its configuration file; asks for what is not given
    Init(init::Arguments),
    /// Serve the API
    Serve(serve::Arguments),
    /// Ask a running server whether it is ready, and exit with 0 or 1
    Health(health::Arguments),
    /// Examine a deployment beside its running server, and say what to do; exits with 1 if something is broken
    Doctor(doctor::Arguments),
    /// Rotate, retire, revoke, list and seal signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// List the servers of a deployment on PostgreSQL: lease, position in the revocation feed, version
    Nodes,
    /// Show and set the settings that all servers of a deployment on PostgreSQL share
    #[command(subcommand)]
    Settings(settings::Command),
    /// Create users and set their passwords
    #[command(subcommand)]
    User(user::Command),
    /// Back up the database into a file, also while the server runs
    Backup(backup::Arguments),
    /// Restore a backup, and repeat all revocations since it was made
    Restore(restore::Arguments),
    /// Move the deployment to another database, between a file and PostgreSQL, while no server runs
    Move(moving::Arguments),
    /// Repeat what a PostgreSQL database has lost, from the journals of its servers, in a new epoch
    Reconcile(reconcile::Arguments),
    /// Check the journal of revocations, or begin another
    #[command(subcommand)]
    Journal(journal::Command),
    /// Verify the audit: who changed what, and when
    #[command(subcommand)]
    Audit(audit::Command),
    /// Accept the machine's clock after it was ahead
    #[command(subcommand)]
    Clock(clock::Command),
    /// Print the OpenAPI document of an API
    Openapi(openapi::Arguments),
    /// Print the completions of a shell
    Completions(completions::Arguments),
    /// Write the manual pages of all commands
    Man(man::Arguments),
}

/// The reason why a command fails with exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Configuration(#[from] Mistakes),
    #[error("cannot start the worker threads")]
    Runtime(#[source] io::Error),
    #[error("cannot protect the memory of the process from core dumps and other processes")]
    Dumpable(#[source] io::Error),
    #[error(
        "the first start stores the issuer for good, and {0} is no address that clients can reach: set \
         --issuer to the URL under which they do"
    )]
    IssuerNeeded(std::net::SocketAddr),
    #[error("cannot listen on {address}: choose another address with --listen")]
    Listen {
        address: std::net::SocketAddr,
        source: io::Error,
    },
    #[error(
        "the service manager has passed {0} sockets (LISTEN_FDS), and jeton serves one: give jeton.socket one ListenStream="
    )]
    Sockets(usize),
    #[error("the socket of the service manager (LISTEN_FDS) cannot be used: jeton.socket must listen on TCP")]
    NotAListener(#[source] io::Error),
    #[error("the service manager cannot be told by its socket (NOTIFY_SOCKET)")]
    NotifySocket(#[source] io::Error),
    #[error("no answer from {url}")]
    NoAnswer {
        url: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("not ready: {reason} (status {status})")]
    NotReady { status: u16, reason: String },
    #[error("cannot serve metrics on {address}: choose another address as `listen` in `[metrics]`")]
    ListenForMetrics {
        address: std::net::SocketAddr,
        source: io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the file {} exists already: nothing is overwritten; give another one with --config", .0.display())]
    FileExists(PathBuf),
    #[error(
        "{} exists: another `jeton init` runs, or one was interrupted; then delete this file and what it created: the \
         database with its journal and its lock, and the keys", .0.display()
    )]
    Interrupted(PathBuf),
    #[error("the database {} exists already: `jeton init` begins a new one", .0.display())]
    DatabaseExists(PathBuf),
    #[error(
        "the folder {} is not empty: `jeton init` creates the first key in an empty one; give another one with \
         --keys", .0.display()
    )]
    KeysExist(PathBuf),
    #[error(
        "the folder {} belongs to another user, and the server could not write there: run `chown {user} {}`, or name \
         a folder that does not exist",
        path.display(), path.display()
    )]
    FolderOfAnother { path: PathBuf, user: String },
    #[error("the flag `--folder` {0}")]
    Folder(&'static str),
    #[error("the input ended before all questions were answered: nothing was created")]
    InputEnded,
    #[error(
        "everything is created, but the generated password of {email} cannot be written to standard output: set \
         another with `{command} user set-password {email} --password-stdin`"
    )]
    PasswordNotShown {
        email: Email,
        command: String,
        source: io::Error,
    },
    #[error("the flag `{0}` is needed where there is no terminal to ask on")]
    Unanswered(&'static str),
    #[error("cannot ask on the terminal")]
    Answer(#[source] io::Error),
    #[error("the flag `--user` names no user in /etc/passwd: {0}")]
    NoSuchUser(String),
    #[error("the path {} must be UTF-8 to be written into the configuration file", .0.display())]
    NotUtf8(PathBuf),
    #[error("cannot {action} {}", path.display())]
    Init {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("no password: give it with --password-stdin or in the variable JETON_PASSWORD")]
    NoPassword,
    #[error("cannot read a password from standard input")]
    Input(#[source] io::Error),
    #[error(transparent)]
    PasswordPolicy(#[from] PasswordPolicyError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("cannot write the OpenAPI document")]
    Document(#[source] serde_json::Error),
    #[error("cannot write the manual pages into {}", folder.display())]
    Manual { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Database(#[from] OpenError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("{what} is for a database file, and the data are in PostgreSQL: {instead}")]
    OnlyForFiles {
        what: &'static str,
        instead: &'static str,
    },
    #[error("the move was given up, and {from} is as it was")]
    Move {
        from: String,
        source: jeton_store::moving::MoveError,
    },
    #[error(
        "with a database file all settings are in the configuration file: change {0} there, and send SIGHUP to the server"
    )]
    SettingsInFile(String),
    #[error("`{0}` is a setting of each server: change it in its configuration file")]
    SettingOfServer(String),
    #[error("`{0}` is not a setting; `jeton settings show` prints those that all servers share")]
    UnknownSetting(String),
    #[error(
        "`{0}` cannot change while servers run, since each of them relies on the leases of the others: stop all servers \
         (`jeton nodes` lists them), or wait until the leases of killed ones have ended"
    )]
    ServersRun(String),
    #[error("other changes of the settings or the keys came in between: try again")]
    SettingsMoved,
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Backups(#[from] BackupsError),
    #[error(transparent)]
    JournalCopy(#[from] JournalCopyError),
    #[error(transparent)]
    DrillFolder(#[from] DrillError),
    #[error("there is no backup in {}: make one, or name a backup file", .0.display())]
    NoBackup(PathBuf),
    #[error("no backup: name its file, or set `[backup]` in the configuration")]
    NoBackupFolder,
    #[error("{} cannot be restored as it should: {flaws} flaws", backup.display())]
    Drill { backup: PathBuf, flaws: usize },
    #[error("cannot start the thread that makes backups or copies the journal")]
    Worker(#[source] io::Error),
    #[error("there is no database {}: `jeton serve` creates it, or give its path with --database", .0.display())]
    NoDatabase(PathBuf),
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    #[error(
        "the disk failed while the database was written: restart the server, which reads what is really on the disk"
    )]
    StoreDied,
    #[error(
        "the database was replaced by an older copy or has lost commits while it was served: restore a backup with \
         `jeton restore`, or restart the server, which repeats the revocations of the journal"
    )]
    Forked,
    #[error(
        "the database has lost history that this server has followed: stop all servers, and run `jeton reconcile` with a \
         --journal for the journal of each"
    )]
    HistoryLost,
    #[error(
        "`jeton reconcile` is for PostgreSQL: with a database file, each start brings database and journal into agreement"
    )]
    ReconcilesItself,
    #[error("the database has a journal; `jeton journal check` reports damage")]
    JournalExists,
    #[error("the journal of the database {} cannot be read", database.display())]
    Journal { database: PathBuf, source: io::Error },
    #[error(
        "the journal has {0} flaws: what they concern cannot be repeated by `jeton restore`; make a backup"
    )]
    JournalDamaged(usize),
    #[error("{0} checks have failed: the lines that begin with `fail` say what to do")]
    Unsound(usize),
    #[error("cannot sync the folder of the database: its last changes may be lost by a power failure")]
    FolderNotSynced(#[source] io::Error),
    #[error("the audit of {} is not whole: see the runbook of JetonAuditCheckpointsMissing in docs/operations.md", .0.display())]
    AuditFlawed(PathBuf),
    #[error("the checkpoints in {} cannot be read", path.display())]
    Checkpoints { path: PathBuf, source: io::Error },
    #[error("the clock is not behind the latest recorded instant: there is nothing to accept")]
    ClockNotBehind,
    #[error(transparent)]
    KeyFolder(#[from] DirectoryError),
    #[error(transparent)]
    KeyEncryptionKey(#[from] UnusableKeyEncryptionKey),
    #[error(
        "the flag `--previous` names the configured key-encryption key: configure the file of the new one"
    )]
    SameKey,
    #[error(transparent)]
    Keys(#[from] RingError),
    #[error(transparent)]
    KeyId(#[from] jeton_verifier::NotAKeyId),
    #[error("unknown key {0}; `jeton keys list` lists all keys")]
    UnknownKey(jeton_verifier::KeyId),
    #[error(
        "the key {0} is the signing key and cannot be retired; `jeton keys rotate` publishes a successor that replaces it"
    )]
    KeySigns(jeton_verifier::KeyId),
    #[error(
        "the issuer {given} differs from the issuer {pinned} of the database {database}, which all its tokens contain: \
         start with --issuer {pinned}, or with a new database"
    )]
    Issuer {
        given: String,
        pinned: String,
        database: Database,
    },
    #[error(transparent)]
    Email(#[from] NotAnEmail),
    #[error("{0} is not a valid organization name")]
    InvalidOrganizationName(&'static str),
    #[error("no user has the e-mail address {0}")]
    UnknownUser(Email),
    #[error("the e-mail address {0} belongs to another user")]
    AddressTaken(Email),
    #[error(transparent)]
    Refused(#[from] crate::authority::Error),
    #[error("{0} connections were closed at the drain deadline before their requests finished")]
    ConnectionsCut(usize),
}

/// Starts the worker threads.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
}

/// Runs the command of the process's arguments.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe (`jeton --help | head -1`) is not a failure.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::print_failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(Cli { shared, command }: Cli) -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    forbid_dumps()?;
    let flags = Flags {
        config: shared.config,
        database: shared.database,
        keys: shared.keys,
        key_encryption_key: shared.key_encryption_key,
        ..Flags::default()
    };
    match command {
        Command::Init(arguments) => init::run(arguments, flags),
        Command::Serve(arguments) => serve::run(arguments, flags),
        Command::Health(arguments) => health::run(arguments, flags),
        Command::Doctor(arguments) => doctor::run(&arguments, &prepare(flags)?),
        Command::Keys(command) => keys::run(command, &*prepare_with_stored(flags)?),
        Command::Nodes => nodes::run(&*prepare_with_stored(flags)?),
        Command::Settings(command) => settings::run(command, flags),
        Command::User(command) => user::run(command, &*prepare_with_stored(flags)?),
        Command::Backup(arguments) => backup::run(&arguments, &prepare(flags)?),
        Command::Restore(arguments) => restore::run(&arguments, &prepare(flags)?),
        Command::Move(arguments) => moving::run(arguments, flags),
        Command::Reconcile(arguments) => reconcile::run(&arguments, &*prepare_with_stored(flags)?),
        Command::Journal(command) => journal::run(&command, &prepare(flags)?),
        Command::Audit(command) => audit::run(&command, &prepare(flags)?),
        Command::Clock(command) => clock::run(&command, &prepare(flags)?),
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}

/// Makes the process not dumpable: no core file and no `/proc/PID/mem` shows private keys or passwords, also to other
/// processes of the same user.
#[cfg(target_os = "linux")]
fn forbid_dumps() -> Result<(), Failure> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| Failure::Dumpable(error.into()))
}

/// Fails if there is no database: only `serve` begins a deployment, and a command in the wrong folder must not.
fn existing(config: &Config) -> Result<(), Failure> {
    match &config.database {
        Database::File(path) if !path.exists() => Err(Failure::NoDatabase(path.clone())),
        Database::File(_) | Database::Postgres(_) => Ok(()),
    }
}

/// Returns the file of the database.
///
/// # Errors
///
/// If the data are in PostgreSQL: the error names what needs a file, and what to do instead.
fn file<'a>(config: &'a Config, what: &'static str, instead: &'static str) -> Result<&'a Path, Failure> {
    config
        .database
        .file()
        .ok_or(Failure::OnlyForFiles { what, instead })
}

/// What replaces backups and the journal where the data are in PostgreSQL.
const BACKUPS_OF_POSTGRESQL: &str =
    "use the backups of PostgreSQL (pg_basebackup with archived WAL, or pg_dump), and a synchronous standby";

/// Loads the checked configuration and starts the log. With PostgreSQL, settings that all servers share are at their
/// defaults: a command that opens the database uses [`prepare_with_stored`].
fn prepare(flags: Flags) -> Result<Config, Failure> {
    let config = Config::load(flags, &|name| std::env::var_os(name))?;
    log::start(&config.log);
    Ok(config)
}

/// Loads the checked configuration with the settings in the database, and starts the log.
fn prepare_with_stored(flags: Flags) -> Result<Arc<Config>, Failure> {
    let config = Arc::new(prepare(flags.clone())?);
    runtime()?.block_on(with_stored(config, flags))
}

/// Adds the settings in the database to a configuration: none if the database is a file.
async fn with_stored(config: Arc<Config>, flags: Flags) -> Result<Arc<Config>, Failure> {
    match backend::settings(&config).await? {
        Some(stored) => {
            let environment = &|name: &str| std::env::var_os(name);
            Ok(Arc::new(config.with_stored(flags, environment, &stored)?))
        }
        None => Ok(config),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn shared_flags_are_accepted_before_and_after_the_subcommand() {
        for arguments in [
            ["jeton", "--database", "a.db", "--keys", "k", "keys", "list"],
            ["jeton", "keys", "--database", "a.db", "--keys", "k", "list"],
            ["jeton", "keys", "list", "--database", "a.db", "--keys", "k"],
            ["jeton", "--database", "a.db", "keys", "list", "--keys", "k"],
        ] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli.shared.database, Some("a.db".into()), "{arguments:?}");
            assert_eq!(cli.shared.keys, Some("k".into()), "{arguments:?}");
            assert!(matches!(cli.command, Command::Keys(keys::Command::List)));
        }
    }

    #[test]
    fn a_password_is_never_an_argument() {
        for arguments in [
            ["jeton", "user", "create", "a@example.com", "hunter2hunter2"].as_slice(),
            &[
                "jeton",
                "user",
                "create",
                "a@example.com",
                "--password",
                "hunter2hunter2",
            ],
            &[
                "jeton",
                "user",
                "set-password",
                "a@example.com",
                "--password=hunter2hunter2",
            ],
            &[
                "jeton",
                "user",
                "set-password",
                "a@example.com",
                "--password-stdin=hunter2hunter2",
            ],
        ] {
            let error = Cli::try_parse_from(arguments).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
        let arguments = [
            "jeton",
            "user",
            "create",
            "a@example.com",
            "--password-stdin",
            "--site-admin",
        ];
        let Command::User(user::Command::Create(create)) = Cli::try_parse_from(arguments).unwrap().command
        else {
            panic!("another command");
        };
        assert_eq!(create.person.email, "a@example.com");
    }

    #[test]
    fn commands_need_no_arguments() {
        assert!(Cli::try_parse_from(["jeton", "serve"]).is_ok());
        assert!(Cli::try_parse_from(["jeton", "openapi"]).is_ok());
        assert!(Cli::try_parse_from(["jeton", "keys", "rotate"]).is_ok());
        assert_eq!(Cli::try_parse_from(["jeton"]).err().unwrap().exit_code(), 2);
    }
}
