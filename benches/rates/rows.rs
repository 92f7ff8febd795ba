//! The run: its arguments, the duration of rounds, and helpers shared by rows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::Outcome;
use crate::client::Ask;
use crate::load::{Keep, Load, Pace};
use crate::pace::Measured;
use crate::process::{Server, myself, round};
use crate::report::{Pair, Report, Row};
use crate::subject::{Jeton, TOKENS};
use crate::tokens::Tokens;
use crate::{
    against, asking, crowd, deferred, disturbed, feed, forgetting, in_turn, issuing, postgres, status_list,
    tenants, verify,
};

const SLOW_SYNC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rates/slow_sync.c");

/// The durations and counts of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) pairs: usize,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// The divisor of numbers of tokens and requests.
    pub(crate) fraction: usize,
}

const FULL: Size = Size {
    pairs: 3,
    warm_up: Duration::from_millis(500),
    time: Duration::from_secs(4),
    fraction: 1,
};

/// Checks that every row works. The measurements are meaningless.
const QUICK: Size = Size {
    pairs: 1,
    warm_up: Duration::from_millis(100),
    time: Duration::from_secs(1),
    fraction: 50,
};

impl Size {
    /// Returns the count, reduced in a quick run.
    pub(crate) fn count(self, full: usize) -> usize {
        full / self.fraction
    }
}

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Outcome<()> {
    let mut size = FULL;
    let mut words = Vec::new();
    let mut other = None;
    for argument in arguments {
        if argument == "--quick" {
            size = QUICK;
        } else if let Some(list) = argument.strip_prefix("--rows=") {
            // No row's name contains a comma.
            words = list.split(',').map(|word| word.trim().to_owned()).collect();
        } else if let Some(binary) = argument.strip_prefix("--against=") {
            other = Some(PathBuf::from(binary));
        } else if argument != "--bench" {
            // `cargo bench` adds `--bench`.
            return Err(format!(
                "unknown argument {argument}; there are --quick, --rows=WORD,WORD and --against=BINARY"
            )
            .into());
        }
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            // Returning drops the other processes, which ends them.
            tokio::select! {
                outcome = all(size, words, other) => outcome,
                _ = terminate.recv() => Err("stopped".into()),
                _ = tokio::signal::ctrl_c() => Err("stopped".into()),
            }
        })
}

async fn all(size: Size, words: Vec<String>, other: Option<PathBuf>) -> Outcome<()> {
    facts()?;
    // Not in /tmp, which may be in memory: a commit there costs nothing.
    let folder = TempDir::with_prefix_in("rates-", env!("CARGO_TARGET_TMPDIR"))?;
    let report = Report::of(words);
    let bench = Bench {
        size,
        report: &report,
        folder: folder.path(),
    };
    if let Some(binary) = other {
        against::rows(&bench, &binary).await?;
    } else {
        issuing::rows(&bench).await?;
        asking::rows(&bench).await?;
        in_turn::rows(&bench).await?;
        disturbed::rows(&bench).await?;
        tenants::rows(&bench).await?;
        deferred::rows(&bench).await?;
        status_list::rows(&bench).await?;
        crowd::rows(&bench).await?;
        feed::rows(&bench).await?;
        verify::rows(&bench).await?;
        forgetting::rows(&bench).await?;
        postgres::rows(&bench).await?;
    }
    report.end()
}

/// Prints the facts that the measurements depend on.
fn facts() -> Outcome<()> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism()?;
    println!(
        "processor: {} x {}",
        cores,
        model.map_or("unknown", |(_, name)| name)
    );
    println!("kernel: {}", read("/proc/sys/kernel/osrelease").trim());
    println!("load before: {}", read("/proc/loadavg").trim());
    println!("database in: {}", env!("CARGO_TARGET_TMPDIR"));
    Ok(())
}

/// The state shared by all rows.
pub(crate) struct Bench<'a> {
    pub(crate) size: Size,
    pub(crate) report: &'a Report,
    /// The directory of the servers' files during the run.
    pub(crate) folder: &'a Path,
}

impl Bench<'_> {
    /// Returns a load of 64 connections that repeat one request.
    pub(crate) fn load(&self, server: &Server, ask: Ask, path: &str) -> Outcome<Load> {
        Ok(Load {
            address: server.address,
            process: server.process()?,
            connections: 64,
            pace: Pace::Closed,
            warm_up: self.size.warm_up,
            time: self.size.time,
            requests: None,
            asks: vec![ask],
            paths: vec![path.to_owned()],
            tokens: None,
            keep: Keep::Nothing,
        })
    }

    /// Measures a row if it is selected, and prints it.
    pub(crate) async fn compare(&self, row: &Row, baseline: &Load, subject: &Load) -> Outcome<()> {
        if self.report.wants(row.name) {
            self.report.row(row, &self.pairs(baseline, subject).await?);
        }
        Ok(())
    }

    pub(crate) async fn pairs(&self, baseline: &Load, subject: &Load) -> Outcome<Vec<Pair>> {
        let mut pairs = Vec::new();
        for _ in 0..self.size.pairs {
            pairs.push(Pair {
                baseline: drive(baseline).await?,
                subject: drive(subject).await?,
            });
        }
        Ok(pairs)
    }

    /// Issues `count` tokens and returns their ids.
    pub(crate) async fn ids(&self, jeton: &Jeton, ask: Ask, count: usize) -> Outcome<Vec<String>> {
        self.issue(jeton, ask, count, &Keep::Ids).await
    }

    /// Issues `count` tokens of the team `bench` into a new file.
    pub(crate) async fn tokens(&self, jeton: &Jeton, name: &str, count: usize) -> Outcome<Tokens> {
        self.tokens_of(jeton, name, jeton.issue(), count).await
    }

    /// Issues `count` tokens by this request into a new file.
    pub(crate) async fn tokens_of(
        &self,
        jeton: &Jeton,
        name: &str,
        ask: Ask,
        count: usize,
    ) -> Outcome<Tokens> {
        let file = self.folder.join(name);
        let keep = Keep::Tokens(file.clone());
        self.issue(jeton, ask, count, &keep).await?;
        Ok(Tokens { file, count })
    }

    async fn issue(&self, jeton: &Jeton, ask: Ask, count: usize, keep: &Keep) -> Outcome<Vec<String>> {
        /// The driver holds all responses of a round in memory.
        const ROUND: usize = 100_000;
        let mut ids = Vec::new();
        for begin in (0..count).step_by(ROUND) {
            let load = Load {
                // More than elsewhere, for larger batches and a shorter run.
                connections: 256,
                keep: keep.clone(),
                ..self.load(&jeton.server, ask.clone(), TOKENS)?
            };
            ids.extend(drive(&load.numbered(ROUND.min(count - begin))).await?.ids);
        }
        Ok(ids)
    }

    /// Returns the load that revokes each of these tokens once.
    pub(crate) fn revoke(&self, jeton: &Jeton, ids: &[String]) -> Outcome<Load> {
        let ask = Ask::post(&jeton.session, crate::client::Body::Empty);
        let paths = ids.iter().map(|id| format!("{}/revoke", jeton.path(id)));
        let load = Load {
            paths: paths.collect(),
            ..self.load(&jeton.server, ask, "")?
        };
        Ok(load.numbered(ids.len()))
    }

    /// Starts the bare server. `sizes` are the sizes of its responses in bytes.
    pub(crate) async fn bare(
        &self,
        name: &'static str,
        sizes: &[usize],
        preload: Option<&Path>,
    ) -> Outcome<Server> {
        let rows = self.folder.join(format!("{name}.db")).display().to_string();
        self.bare_over(name, &rows, sizes, preload).await
    }

    /// Starts the bare server with its rows in a database file, or in a PostgreSQL database.
    pub(crate) async fn bare_over(
        &self,
        name: &'static str,
        rows: &str,
        sizes: &[usize],
        preload: Option<&Path>,
    ) -> Outcome<Server> {
        let sizes = sizes.iter().map(usize::to_string);
        let arguments = ["bare".to_owned(), rows.to_owned()];
        let mut command = myself(arguments.into_iter().chain(sizes))?;
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        Server::start(name, command, self.folder).await
    }

    /// Builds the library that adds five milliseconds to each sync.
    pub(crate) async fn slow_sync(&self) -> Outcome<PathBuf> {
        let library = self.folder.join("slow_sync.so");
        let status = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([library.as_path(), Path::new(SLOW_SYNC)])
            .arg("-ldl")
            .status()
            .await?;
        if status.success() {
            Ok(library)
        } else {
            Err(format!("cc ended with {status}").into())
        }
    }
}

/// Runs one round.
pub(crate) async fn drive(load: &Load) -> Outcome<Measured> {
    let measured = round("load", load).await;
    measured.map_err(|error| format!("{error}: {} connections, {:?}", load.connections, load.pace).into())
}
