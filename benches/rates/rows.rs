//! The rounds behind each row of the table.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::Outcome;
use crate::bounds;
use crate::client::Ask;
use crate::commits::Commits;
use crate::crowd;
use crate::load::{Keep, Load, Pace, Paths};
use crate::pace::Measured;
use crate::process::{Server, myself, round};
use crate::status_list;
use crate::subject::{AUTHORIZE_REQUEST, CURRENT, INTROSPECT, Jeton, TOKENS};
use crate::table::{Pair, Row, Target, median, print};

const SLOW_SYNC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rates/slow_sync.c");

/// How many tokens services ask about in turn.
const IN_TURN: usize = 10_000;

/// How long a round may take that ends with its last request.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) pairs: usize,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// How many tokens are few, and how many are very many.
    pub(crate) crowds: [usize; 2],
    /// How many tokens have ended long ago.
    pub(crate) ended: usize,
}

const FULL: Size = Size {
    pairs: 3,
    warm_up: Duration::from_secs(1),
    time: Duration::from_secs(5),
    crowds: [10_000, 1_000_000],
    ended: 100_000,
};

/// Shows that everything works, and measures nothing worth a look.
const QUICK: Size = Size {
    pairs: 1,
    warm_up: Duration::from_millis(100),
    time: Duration::from_millis(400),
    crowds: [1_000, 10_000],
    ended: 1_000,
};

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Outcome<()> {
    let mut size = FULL;
    for argument in arguments {
        match argument.as_str() {
            "--quick" => size = QUICK,
            // What `cargo bench` adds.
            "--bench" => {}
            other => return Err(format!("unknown argument {other}; there is only --quick").into()),
        }
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            // To return is to drop, and that ends the other processes.
            tokio::select! {
                outcome = all(size) => outcome,
                _ = terminate.recv() => Err("stopped".into()),
                _ = tokio::signal::ctrl_c() => Err("stopped".into()),
            }
        })
}

async fn all(size: Size) -> Outcome<()> {
    facts()?;
    // Not in /tmp, which may be memory: a commit there costs nothing.
    let folder = TempDir::with_prefix_in("rates-", env!("CARGO_TARGET_TMPDIR"))?;
    let jeton = Jeton::start("jeton", folder.path(), None).await?;
    let by_id = jeton.path(&jeton.token.token_info.id);
    let introspector = jeton.introspector().await?;
    let about = Ask::about(&introspector, &jeton.token.token);
    let sizes = [
        jeton.ask(&by_id, &Ask::get(&jeton.session)).await?.len(),
        jeton.ask(CURRENT, &Ask::get(&jeton.token.token)).await?.len(),
        jeton.ask(INTROSPECT, &about).await?.len(),
    ];
    let rows = folder.path().join("rows.db").display().to_string();
    let ceiling = myself(
        ["ceiling".to_owned(), rows]
            .into_iter()
            .chain(sizes.map(|bytes| bytes.to_string())),
    )?;
    let ceiling = Server::start("ceiling", ceiling, folder.path()).await?;
    let [by_id_size, current_size, about_size] = sizes;
    let plain = |bytes: usize| format!("/json/{bytes}");
    let bench = Bench {
        size,
        jeton: &jeton,
        ceiling: &ceiling,
    };

    let issue = bench.issue().await?;
    let half = issue.pairs.iter().map(|pair| pair.jeton.rate / 2.0).collect();
    let mut rows = vec![issue, bench.issue_beside_bare_rows().await?];
    rows.push(bench.issue_on_a_slow_disk(folder.path()).await?);
    rows.push(bench.revoke().await?);
    rows.push(
        bench
            .read(
                "get one token by id, 64 connections",
                0.35,
                &[Ask::get(&jeton.session)],
                &by_id,
                plain(by_id_size),
            )
            .await?,
    );
    rows.push(
        bench
            .read(
                "authenticate alone, 64 connections",
                0.60,
                &[Ask::get(&jeton.token.token)],
                CURRENT,
                plain(current_size),
            )
            .await?,
    );
    rows.extend(bench.services_ask(&introspector, about_size).await?);
    rows.extend(bench.issue_at_half_load(median(half), folder.path()).await?);
    rows.extend(status_list::rows(&bench, folder.path()).await?);

    jeton.server.stop().await?;

    let (crowds, mut bounds) = crowd::rows(size, folder.path()).await?;
    bounds.push(bounds::writes_beside_forgetting(size, folder.path()).await?);
    rows.extend(crowds);
    print(&rows);
    println!();
    bounds.iter().for_each(|bound| println!("{bound}"));
    Ok(())
}

/// What the figures hang on.
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
    println!("database in: {}", env!("CARGO_TARGET_TMPDIR"));
    Ok(())
}

pub(crate) struct Bench<'a> {
    pub(crate) size: Size,
    jeton: &'a Jeton,
    pub(crate) ceiling: &'a Server,
}

impl Bench<'_> {
    async fn issue(&self) -> Outcome<Row> {
        Ok(Row {
            what: "issue, durable, 64 connections",
            target: Target::RateAtLeast(0.70),
            against: "ceiling",
            pairs: self.issue_pairs(self.jeton, "/issue", 64).await?,
        })
    }

    /// How much of what durability leaves of the ceiling.
    async fn issue_beside_bare_rows(&self) -> Outcome<Row> {
        Ok(Row {
            what: "the same",
            target: Target::RateAtLeast(0.80),
            against: "bare rows",
            pairs: self.issue_pairs(self.jeton, "/issue-durably", 64).await?,
        })
    }

    async fn issue_on_a_slow_disk(&self, folder: &Path) -> Outcome<Row> {
        let library = slow_sync(folder).await?;
        let slow = Jeton::start("slow", folder, Some(&library)).await?;
        let begun = Instant::now();
        slow.ask(TOKENS, &slow.issue()).await?;
        if begun.elapsed() < Duration::from_millis(5) {
            return Err(format!("issued in {:?}: the syncs were not slowed down", begun.elapsed()).into());
        }
        let pairs = self.issue_pairs(&slow, "/issue", 512).await?;
        slow.server.stop().await?;
        Ok(Row {
            what: "issue, 5 ms added to each sync, 512 conn.",
            target: Target::RateAtLeast(0.70),
            against: "ceiling",
            pairs,
        })
    }

    async fn issue_pairs(&self, jeton: &Jeton, baseline: &str, connections: usize) -> Outcome<Vec<Pair>> {
        let load = |server, path: &str| Load {
            connections,
            asks: vec![jeton.issue()],
            ..self.load(server, Paths::Round(vec![path.to_owned()]))
        };
        let ceiling = load(self.ceiling, baseline);
        let jeton = load(&jeton.server, TOKENS);
        let mut pairs = Vec::new();
        for _ in 0..self.size.pairs {
            pairs.push(Pair {
                baseline: drive(&ceiling).await?,
                jeton: drive(&jeton).await?,
            });
        }
        Ok(pairs)
    }

    /// Revokes what the round before it issued.
    async fn revoke(&self) -> Outcome<Row> {
        let issue = Load {
            asks: vec![self.jeton.issue()],
            keep: Keep::Ids,
            ..self.load(&self.jeton.server, Paths::Round(vec![TOKENS.to_owned()]))
        };
        let mut pairs = Vec::new();
        for _ in 0..self.size.pairs {
            let baseline = drive(&issue).await?;
            let paths = baseline
                .kept
                .iter()
                .map(|id| format!("{}/revoke", self.jeton.path(id)))
                .collect();
            let revoke = Load {
                asks: vec![Ask::post(&self.jeton.session, None)],
                warm_up: Duration::ZERO,
                // Until all are revoked.
                time: 4 * self.size.time,
                ..self.load(&self.jeton.server, Paths::Once(paths))
            };
            pairs.push(Pair {
                baseline,
                jeton: drive(&revoke).await?,
            });
        }
        Ok(Row {
            what: "revoke, durable, 64 connections",
            target: Target::RateAtLeast(1.0),
            against: "issue",
            pairs,
        })
    }

    /// A read against a plain answer of the same size.
    async fn read(
        &self,
        what: &'static str,
        target: f64,
        asks: &[Ask],
        path: &str,
        plain: String,
    ) -> Outcome<Row> {
        let load = |server, path| Load {
            asks: asks.to_vec(),
            ..self.load(server, Paths::Round(vec![path]))
        };
        let ceiling = load(self.ceiling, plain);
        let jeton = load(&self.jeton.server, path.to_owned());
        let mut pairs = Vec::new();
        for _ in 0..self.size.pairs {
            pairs.push(Pair {
                baseline: drive(&ceiling).await?,
                jeton: drive(&jeton).await?,
            });
        }
        Ok(Row {
            what,
            target: Target::RateAtLeast(target),
            against: "bare answer",
            pairs,
        })
    }

    /// Against a bare commit, and against the ceiling in the same loop: what the driver and the network
    /// take, with which the server shares the processor.
    async fn issue_at_half_load(&self, per_second: f64, folder: &Path) -> Outcome<[Row; 2]> {
        let Size { warm_up, time, .. } = self.size;
        let commits = Commits {
            database: folder.join("commits.db"),
            per_second,
            warm_up,
            time,
        };
        let load = |server, path: &str| Load {
            pace: Pace::Open(per_second),
            asks: vec![self.jeton.issue()],
            ..self.load(server, Paths::Round(vec![path.to_owned()]))
        };
        let ceiling = load(self.ceiling, "/issue");
        let jeton = load(&self.jeton.server, TOKENS);
        let mut against_commits = Vec::new();
        let mut against_ceiling = Vec::new();
        for _ in 0..self.size.pairs {
            let (commits, ceiling) = (round("commits", &commits).await?, drive(&ceiling).await?);
            let jeton = drive(&jeton).await?;
            against_ceiling.push(Pair {
                baseline: ceiling,
                jeton: jeton.clone(),
            });
            against_commits.push(Pair {
                baseline: commits,
                jeton,
            });
        }
        let row = |what, against, pairs| Row {
            what,
            target: Target::SlowestAtMost(3.0),
            against,
            pairs,
        };
        Ok([
            row(
                "issue at half that rate, open loop",
                "p99 of a bare commit",
                against_commits,
            ),
            row("the same", "p99 of the ceiling so", against_ceiling),
        ])
    }

    /// As many tokens as introspection is asked about in turn.
    async fn tokens(&self) -> Outcome<Vec<String>> {
        let issue = Load {
            asks: vec![self.jeton.issue()],
            keep: Keep::Tokens,
            warm_up: Duration::ZERO,
            time: PATIENCE,
            ..self.load(&self.jeton.server, Paths::Once(vec![TOKENS.to_owned(); IN_TURN]))
        };
        Ok(drive(&issue).await?.kept)
    }

    /// Shows each to the server once, so that no round counts the first sight of a token.
    async fn show(&self, path: &str, asks: &[Ask]) -> Outcome<()> {
        let show = Load {
            asks: asks.to_vec(),
            warm_up: Duration::ZERO,
            time: PATIENCE,
            ..self.load(&self.jeton.server, Paths::Once(vec![path.to_owned(); asks.len()]))
        };
        drive(&show).await.map(drop)
    }

    /// What services ask, about many tokens in turn.
    async fn services_ask(&self, introspector: &str, size: usize) -> Outcome<[Row; 2]> {
        let tokens = self.tokens().await?;
        let about: Vec<Ask> = tokens
            .iter()
            .map(|token| Ask::about(introspector, token))
            .collect();
        let presenting: Vec<Ask> = tokens.iter().map(|token| Ask::get(token)).collect();
        self.show(INTROSPECT, &about).await?;
        Ok([
            self.read(
                "introspect 10,000 in turn, 64 connections",
                0.70,
                &about,
                INTROSPECT,
                format!("/form/{size}"),
            )
            .await?,
            self.read(
                "forward-auth 10,000 in turn, 64 connections",
                0.70,
                &presenting,
                AUTHORIZE_REQUEST,
                "/empty".to_owned(),
            )
            .await?,
        ])
    }

    fn load(&self, server: &Server, paths: Paths) -> Load {
        load(self.size, server, paths)
    }
}

/// 64 connections that ask and ask.
pub(crate) fn load(size: Size, server: &Server, paths: Paths) -> Load {
    Load {
        address: server.address,
        connections: 64,
        pace: Pace::Closed,
        warm_up: size.warm_up,
        time: size.time,
        asks: Vec::new(),
        paths,
        keep: Keep::Nothing,
    }
}

pub(crate) async fn drive(load: &Load) -> Outcome<Measured> {
    let measured = round("load", load).await;
    measured.map_err(|error| format!("{error}: {} connections, {:?}", load.connections, load.pace).into())
}

/// The library that slows each sync down.
async fn slow_sync(folder: &Path) -> Outcome<PathBuf> {
    let library = folder.join("slow_sync.so");
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
