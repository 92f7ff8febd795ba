//! Servers of PostgreSQL for tests: made by initdb in temporary folders, reached by sockets there, and ended with the
//! process.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use crate::Settings;

/// The user of the programs if the tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65_534;

/// How long a start may take, and how often it is looked for.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const LOOKED_FOR_EACH: Duration = Duration::from_millis(50);

/// What the folders of clusters are called, before the number of the process.
const PREFIX: &str = "jeton-postgres-";

/// A row while a standby receives what its primary commits.
const RECEIVING: &str = "SELECT pid FROM pg_stat_wal_receiver";

/// The columns of a row as texts.
pub type Row = Vec<Option<String>>;

/// A running server of PostgreSQL. It ends with this process; its folder is removed by the next one.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    server: Mutex<Child>,
    made: AtomicU64,
}

/// How a primary waits for its standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// A commit is answered when the standby has it on disk.
    Synchronous,
    /// A commit is answered at once.
    Asynchronous,
}

impl Cluster {
    /// Makes and starts a server, in memory if there is a file system for that: tests need no disk to be true.
    ///
    /// # Errors
    ///
    /// Fails if PostgreSQL is not installed or does not start.
    pub fn start() -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        match memory.is_dir() {
            true => Self::start_in(memory),
            false => Self::start_in(&std::env::temp_dir()),
        }
    }

    /// Makes and starts a server in a folder of its own below another one, which every user may enter.
    ///
    /// # Errors
    ///
    /// Fails if PostgreSQL is not installed or does not start.
    pub fn start_in(parent: &Path) -> io::Result<Self> {
        let (programs, folder) = prepare(parent)?;
        let made = program(&programs.join("initdb"))?
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--username=jeton", "--no-sync", "-D"])
            .arg(folder.join("data"))
            .output()?;
        succeeded(&made)?;
        Self::serve(programs, folder)
    }

    /// Makes and starts a standby of this server, which waits for it from now on, or not.
    ///
    /// # Errors
    ///
    /// Fails if it does not start.
    pub async fn standby(&self, replication: Replication) -> io::Result<Self> {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        let (programs, folder) = prepare(parent)?;
        let source = format!(
            "host={} user=jeton application_name=standby",
            self.folder.display()
        );
        let copied = program(&programs.join("pg_basebackup"))?
            .args([
                "--checkpoint=fast",
                "--write-recovery-conf",
                "--no-sync",
                "-d",
                &source,
                "-D",
            ])
            .arg(folder.join("data"))
            .output()?;
        succeeded(&copied)?;
        let standby = Self::serve(programs, folder)?;
        if replication == Replication::Synchronous {
            let set = "ALTER SYSTEM SET synchronous_standby_names = 'standby'";
            self.execute(set).await.map_err(io::Error::other)?;
            let reload = "SELECT pg_reload_conf()";
            self.execute(reload).await.map_err(io::Error::other)?;
        }
        let begun = Instant::now();
        let state = match replication {
            Replication::Synchronous => "sync",
            Replication::Asynchronous => "async",
        };
        while !self.replicates(state).await.map_err(io::Error::other)? {
            if begun.elapsed() > STARTS_WITHIN {
                return Err(io::Error::other("the standby does not follow"));
            }
            tokio::time::sleep(LOOKED_FOR_EACH).await;
        }
        Ok(standby)
    }

    async fn replicates(&self, state: &str) -> Result<bool, tokio_postgres::Error> {
        let (client, connection) = self.config("postgres").connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        let query =
            "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = $1)";
        let row = client.query_one(query, &[&state]).await?;
        connection.abort();
        row.try_get(0)
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    ///
    /// Fails if it is none, or takes too long.
    pub async fn promote(&self) -> Result<(), tokio_postgres::Error> {
        self.execute("SELECT pg_promote(true, 30)").await
    }

    /// Stops a standby from receiving what its primary commits, as a network that is cut does.
    ///
    /// # Errors
    ///
    /// Fails if the server does.
    pub async fn pause(&self) -> Result<(), tokio_postgres::Error> {
        self.execute("ALTER SYSTEM SET primary_conninfo = ''").await?;
        self.execute("SELECT pg_reload_conf()").await?;
        while !self.sql("postgres", RECEIVING).await?.0.is_empty() {
            tokio::time::sleep(LOOKED_FOR_EACH).await;
        }
        Ok(())
    }

    /// Ends the server and all of its processes at once, as a power cut does.
    ///
    /// # Errors
    ///
    /// Fails if the processes cannot be listed.
    pub fn kill(&self) -> io::Result<()> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        signal("KILL", &processes(&server)?)?;
        server.wait()?;
        Ok(())
    }

    /// Shuts the server down; its clients are disconnected.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be waited for.
    pub fn stop(&self) -> io::Result<()> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        signal("INT", &server.id().to_string())?;
        server.wait()?;
        Ok(())
    }

    /// Starts the server again after it was stopped or killed.
    ///
    /// # Errors
    ///
    /// Fails if it does not start.
    pub fn restart(&self) -> io::Result<()> {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = launch(&self.programs, &self.folder)?;
        self.wait_until_ready()
    }

    /// Lets all processes of the server hang, with their connections open.
    ///
    /// # Errors
    ///
    /// Fails if the processes cannot be listed.
    pub fn suspend(&self) -> io::Result<()> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        signal("STOP", &processes(&server)?)
    }

    /// Lets the server go on after [`Cluster::suspend`].
    ///
    /// # Errors
    ///
    /// Fails if the processes cannot be listed.
    pub fn resume(&self) -> io::Result<()> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        signal("CONT", &processes(&server)?)
    }

    fn serve(programs: PathBuf, folder: PathBuf) -> io::Result<Self> {
        let cluster = Self {
            server: Mutex::new(launch(&programs, &folder)?),
            programs,
            folder,
            made: AtomicU64::new(0),
        };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        let begun = Instant::now();
        while !self.is_ready()? {
            let has_ended = {
                let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
                server.try_wait()?.is_some()
            };
            if has_ended || begun.elapsed() > STARTS_WITHIN {
                let log = fs::read_to_string(self.folder.join("log"))?;
                return Err(io::Error::other(log));
            }
            thread::sleep(LOOKED_FOR_EACH);
        }
        Ok(())
    }

    fn is_ready(&self) -> io::Result<bool> {
        let status = Command::new(self.programs.join("pg_isready"))
            .args(["--quiet", "--host"])
            .arg(&self.folder)
            .status()?;
        Ok(status.success())
    }

    /// Returns the id of the server's first process, whose children are the others.
    pub fn process(&self) -> u32 {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.id()
    }

    /// Returns the configuration of a connection to a database of the server.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.folder).user("jeton").dbname(database);
        config
    }

    /// Returns the URL of a database of the server, as its own role, and of others that may be the primary.
    pub fn url(&self, database: &str, others: &[&Self]) -> String {
        let folders = [&[self], others].concat().into_iter();
        let hosts = folders.map(|cluster| cluster.folder.display().to_string().replace('/', "%2F"));
        let hosts = hosts.collect::<Vec<_>>().join(",");
        format!("postgres://jeton@{hosts}/{database}?target_session_attrs=read-write")
    }

    /// Returns the settings of a store in a database of the server, and of others that may be the primary.
    ///
    /// # Errors
    ///
    /// Fails if there is no TLS.
    pub fn settings(&self, database: &str, others: &[&Self]) -> Result<Settings, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut config = self.config(database);
        for other in others {
            config.host_path(&other.folder);
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Settings {
            config,
            tls,
            stale_after: Duration::from_secs(5),
            journal: None,
        })
    }

    /// Creates a database, and returns its name.
    ///
    /// # Errors
    ///
    /// Fails if the server does.
    pub async fn create_database(&self) -> Result<String, tokio_postgres::Error> {
        let name = format!("test_{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}")).await?;
        Ok(name)
    }

    /// Creates a copy of a database that nobody is connected to, and returns its name.
    ///
    /// # Errors
    ///
    /// Fails if the cluster does.
    pub async fn copy_database(&self, template: &str) -> Result<String, tokio_postgres::Error> {
        let name = format!("test_{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await?;
        Ok(name)
    }

    /// Ends all connections to a database, and refuses further ones.
    ///
    /// # Errors
    ///
    /// Fails if the cluster does.
    pub async fn close_database(&self, name: &str) -> Result<(), tokio_postgres::Error> {
        self.execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            .await?;
        let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname";
        self.execute(&format!("{end} = '{name}'")).await
    }

    /// Allows connections to a database again.
    ///
    /// # Errors
    ///
    /// Fails if the cluster does.
    pub async fn open_database(&self, name: &str) -> Result<(), tokio_postgres::Error> {
        self.execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
            .await
    }

    /// Drops a database, and ends the connections to it.
    ///
    /// # Errors
    ///
    /// Fails if the server does.
    pub async fn drop_database(&self, name: &str) -> Result<(), tokio_postgres::Error> {
        self.execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await
    }

    async fn execute(&self, statement: &str) -> Result<(), tokio_postgres::Error> {
        self.sql("postgres", statement).await.map(drop)
    }

    /// Executes SQL in a database, and returns the columns of all rows as texts, and the number of rows that were read or
    /// changed last.
    ///
    /// # Errors
    ///
    /// Fails if the database does.
    pub async fn sql(
        &self,
        database: &str,
        statements: &str,
    ) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
        let (client, connection) = self.config(database).connect(NoTls).await?;
        let executing = async {
            let done = client.simple_query(statements).await;
            drop(client);
            done
        };
        let (done, closed) = tokio::join!(executing, connection);
        closed?;
        let (mut rows, mut count) = (Vec::new(), 0);
        for message in done? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let columns = (0..row.len()).map(|column| row.get(column).map(str::to_owned));
                    rows.push(columns.collect());
                }
                SimpleQueryMessage::CommandComplete(number) => count = number,
                _ => {}
            }
        }
        Ok((rows, count))
    }
}

/// Returns the folder of the programs, and a new one for a server.
fn prepare(parent: &Path) -> io::Result<(PathBuf, PathBuf)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    remove_abandoned(parent)?;
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    if is_root()? {
        chown(&folder, Some(NOBODY), Some(NOBODY))?;
    }
    Ok((programs()?, folder))
}

fn succeeded(output: &Output) -> io::Result<()> {
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )),
    }
}

/// Returns the folder with the programs of the newest PostgreSQL that is installed.
fn programs() -> io::Result<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql")?;
    let newest = installed
        .filter_map(|version| version.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max();
    let newest =
        newest.ok_or_else(|| io::Error::other("install postgresql: /usr/lib/postgresql is empty"))?;
    Ok(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")))
}

fn is_root() -> io::Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// Returns the command of a program that does not run as root, and ends with the thread that spawns it.
fn program(path: &Path) -> io::Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root()? {
        let nobody = NOBODY.to_string();
        command.args(["--clear-groups", "--reuid", &nobody, "--regid", &nobody]);
    }
    command.arg(path).current_dir("/");
    Ok(command)
}

/// Starts the server in a folder.
fn launch(programs: &Path, folder: &Path) -> io::Result<Child> {
    let mut server = program(&programs.join("postgres"))?;
    server
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-c", "listen_addresses=", "-c", "max_connections=400", "-c"])
        .arg(format!("unix_socket_directories={}", folder.display()))
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log"))?);
    spawn(server)
}

/// Returns the numbers of a server's processes, the first one's first.
fn processes(server: &Child) -> io::Result<String> {
    let parent = server.id();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    Ok(format!("{parent} {children}"))
}

fn signal(name: &str, processes: &str) -> io::Result<()> {
    // Built into the shell.
    let command = format!("kill -{name} {processes}");
    Command::new("sh").args(["-c", &command]).status()?;
    Ok(())
}

/// Spawns a program from a thread that lives as long as the process.
fn spawn(mut command: Command) -> io::Result<Child> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("postgres".to_owned())
        .spawn(move || {
            let _ = sender.send(command.spawn());
            loop {
                thread::park();
            }
        })?;
    receiver.recv().map_err(io::Error::other)?
}

/// Removes the folders of clusters whose processes have ended.
fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some((process, _)) = name.and_then(|name| name.split_once('-')) else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() && !entry.path().join("data/postmaster.pid").exists() {
            // Another test may be removing it.
            match fs::remove_dir_all(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
