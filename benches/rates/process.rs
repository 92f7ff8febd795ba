//! Child processes: servers that run until stopped, and rounds that return a result.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::Outcome;

/// The maximum time for a server to start and to stop.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Server {
    name: &'static str,
    child: Child,
    pub(crate) address: SocketAddr,
    /// Kept open, since a server that writes into a closed pipe is killed.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a server and waits until its first line announces its address. Its log goes into
    /// `folder`. It is killed if the benchmark ends first.
    pub(crate) async fn start(name: &'static str, mut command: Command, folder: &Path) -> Outcome<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        let first = timeout(PATIENCE, output.next_line()).await??.unwrap_or_default();
        let Some(address) = first.strip_prefix("listening on http://") else {
            let log = std::fs::read_to_string(&log)?;
            return Err(format!("{name} did not start: {first:?}\n{log}").into());
        };
        Ok(Self {
            name,
            address: address.trim_end_matches('/').parse()?,
            child,
            _output: output,
        })
    }

    /// Returns the id of the process.
    pub(crate) fn process(&self) -> Outcome<u32> {
        Ok(self
            .child
            .id()
            .ok_or_else(|| format!("{} has ended", self.name))?)
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn memory(&self) -> Outcome<u64> {
        memory(self.process()?)
    }

    /// Stops the server with SIGTERM and fails unless it exits successfully.
    pub(crate) async fn stop(mut self) -> Outcome<()> {
        let pid = Pid::from_raw(self.process()?.try_into()?).ok_or("no process")?;
        kill_process(pid, Signal::TERM)?;
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .map_err(|_| format!("{} did not stop within {PATIENCE:?}", self.name))??;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{} stopped with {status}", self.name).into())
        }
    }
}

/// Returns the resident memory of a process in bytes.
pub(crate) fn memory(process: u32) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .ok_or("no VmRSS")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}

/// Returns the processor time of a process, user and system, of all threads. The kernel reports it in
/// hundredths of a second.
pub(crate) fn processor_time(process: u32) -> Outcome<Duration> {
    stat_times(process, 2)
}

/// Returns the processor time of a process and its children, those that have ended included.
pub(crate) fn processor_time_of_all(process: u32) -> Outcome<Duration> {
    let mut sum = stat_times(process, 4)?;
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    for child in children.split_whitespace() {
        // It may have ended since.
        sum += stat_times(child.parse()?, 2).unwrap_or_default();
    }
    Ok(sum)
}

/// Returns the sum of the first times of a process: user, system, and those of children that have ended.
fn stat_times(process: u32, count: usize) -> Outcome<Duration> {
    // After the name, which may contain spaces and brackets; proc_pid_stat(5) counts from 1, with the
    // state as 3.
    const USER: usize = 14 - 3;
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = text.rsplit_once(')').ok_or("no name in /proc/.../stat")?;
    let mut ticks = 0;
    for field in fields.split_whitespace().skip(USER).take(count) {
        ticks += field.parse::<u64>()?;
    }
    Ok(Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second())?)
}

/// Returns a command that runs this program again.
pub(crate) fn myself(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// Runs this program as `kind` with a question and returns its answer.
pub(crate) async fn round<Q: Serialize, A: DeserializeOwned>(kind: &str, question: &Q) -> Outcome<A> {
    let mut child = myself([kind])?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(&serde_json::to_vec(question)?).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(format!("a round failed; it says why above ({kind})").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
