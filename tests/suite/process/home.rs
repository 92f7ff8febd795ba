//! A directory with a configuration, a database and keys, and the processes that use it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::Client;

pub(super) const EMAIL: &str = "admin@example.org";
pub(super) const PASSWORD: &str = "correct horse battery staple";

/// Longer than any step takes on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// A temporary directory with default file names. It is deleted once no process uses it.
pub(super) struct Home(Arc<TempDir>);

impl Home {
    pub(super) fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().unwrap()))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn configure(&self, text: &str) -> &Self {
        std::fs::write(self.path("jeton.toml"), text).unwrap();
        self
    }

    /// Returns a `jeton` command in this directory, without the environment of the tests.
    pub(super) fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
        command.args(arguments).current_dir(self.folder());
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"JETON_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub(super) fn serve_command(&self) -> Command {
        let mut command = self.command(["serve", "--listen", "127.0.0.1:0"]);
        command
            .env("JETON_ADMIN_EMAIL", EMAIL)
            .env("JETON_ADMIN_PASSWORD", PASSWORD);
        command
    }

    pub(super) fn serve(&self) -> Server {
        self.start(self.serve_command())
    }

    /// Starts a server, which may refuse to start.
    pub(super) fn try_serve(&self) -> Result<Server, Finished> {
        self.try_serve_with(&[])
    }

    /// Starts a server with more arguments, which may refuse to start.
    pub(super) fn try_serve_with(&self, arguments: &[&str]) -> Result<Server, Finished> {
        let mut command = self.serve_command();
        command.args(arguments).stdin(Stdio::null());
        Server::try_start(command, Arc::clone(&self.0))
    }

    /// Starts a server with a command of this directory.
    pub(super) fn start(&self, command: Command) -> Server {
        self.start_with(command, Stdio::null())
    }

    /// Starts a server with another standard input than none.
    pub(super) fn start_with(&self, mut command: Command, input: Stdio) -> Server {
        command.stdin(input);
        Server::try_start(command, Arc::clone(&self.0))
            .unwrap_or_else(|finished| panic!("it did not start: {finished:?}"))
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Finished {
        finish(self.command(arguments), "")
    }

    /// Returns every file below with its bytes, sorted by name.
    pub(super) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    match std::fs::read(&path) {
                        Ok(bytes) => files.push((path, bytes)),
                        // A process beside the test has renamed or deleted it.
                        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
                    }
                }
            }
        }
        files.sort();
        files
    }
}

/// A finished process.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command to its end. A command that hangs is killed and has no exit code.
pub(super) fn finish(mut command: Command, input: &str) -> Finished {
    let mut child = spawn(&mut command, Stdio::piped());
    // A command that reads nothing may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    finished(child)
}

/// Runs a command with another standard input than a text.
pub(super) fn finish_with(mut command: Command, input: Stdio) -> Finished {
    finished(spawn(&mut command, input))
}

fn spawn(command: &mut Command, input: Stdio) -> Child {
    let command = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn finished(mut child: Child) -> Finished {
    let stdout = Recording::of(child.stdout.take().unwrap(), None);
    let stderr = Recording::of(child.stderr.take().unwrap(), None);
    let code = wait(&mut child, SOON).and_then(|status| status.code());
    Finished {
        code,
        stdout: stdout.end(),
        stderr: stderr.end(),
    }
}

/// Waits for the end of the process, or kills it after `time` and returns `None`.
fn wait(child: &mut Child, time: Duration) -> Option<ExitStatus> {
    let ended = eventually(time, || child.try_wait().unwrap());
    if ended.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ended
}

/// Polls until there is an answer or the time is over.
pub(super) fn eventually<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        // Leaves the processor to the process that is waited for.
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// A running server. It is killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// From the start of the process until it printed its address.
    pub(super) started_within: Duration,
    stdout: Recording,
    stderr: Recording,
    /// SQLite opens more files by name while the server runs: without their directory, requests fail.
    _folder: Arc<TempDir>,
}

impl Server {
    fn try_start(mut command: Command, folder: Arc<TempDir>) -> Result<Self, Finished> {
        let begun = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, lines) = mpsc::channel();
        let stdout = Recording::of(child.stdout.take().unwrap(), Some(said));
        let stderr = Recording::of(child.stderr.take().unwrap(), None);
        // Before it, a first start may print the password that it has generated.
        let address = loop {
            let Ok(line) = lines.recv_timeout(SOON) else {
                break None;
            };
            let url = line.trim_end().strip_prefix("listening on ");
            if let Some((_, address)) = url.and_then(|url| url.split_once("://")) {
                break Some(address.to_owned());
            }
        };
        let started_within = begun.elapsed();
        match address {
            Some(address) => Ok(Self {
                child,
                address: address.parse().unwrap(),
                started_within,
                stdout,
                stderr,
                _folder: folder,
            }),
            None => {
                let code = wait(&mut child, SOON).and_then(|status| status.code());
                Err(Finished {
                    code,
                    stdout: stdout.end(),
                    stderr: stderr.end(),
                })
            }
        }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Returns a client with a new session of the administrator.
    pub(super) fn administrator(&self) -> Client {
        let mut client = self.client();
        let session = client.login(EMAIL, PASSWORD).unwrap();
        client.with_token(&session)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for the end of the server.
    pub(super) fn ended(&mut self, time: Duration) -> Option<ExitStatus> {
        wait(&mut self.child, time)
    }

    /// Returns the status of the server if it has ended, and all that it said is read.
    pub(super) fn ended_yet(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap();
        status.filter(|_| self.stdout.reader.is_finished() && self.stderr.reader.is_finished())
    }

    /// Kills the process, like a power failure.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    pub(super) fn stderr(&self) -> String {
        self.stderr.so_far()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output of a process, read continuously so that it never blocks on a full pipe.
struct Recording {
    text: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Recording {
    fn of(source: impl Read + Send + 'static, lines: Option<mpsc::Sender<String>>) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut source = BufReader::new(source);
            loop {
                let mut line = Vec::new();
                match source.read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => recorded.lock().unwrap().extend_from_slice(&line),
                }
                if let Some(lines) = &lines {
                    let _ = lines.send(String::from_utf8_lossy(&line).into_owned());
                }
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// Returns all output once the process has ended.
    fn end(self) -> String {
        self.reader.join().unwrap();
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}
