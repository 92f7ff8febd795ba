//! Rows of the revocation feed: how fast a revocation reaches many streams, and what idle followers cost.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::Outcome;
use crate::client::Ask;
use crate::followers::{Follow, Followed, Protocol};
use crate::pace::Measured;
use crate::process::round;
use crate::report::{Bound, Pair, Quantity, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{Jeton, TOKENS, json};

const FAN_OUT: Bound = Bound {
    name: "a revocation on 1,000 streams (p99 of the median run)",
    at_most: Quantity::Time(Duration::from_millis(40)),
};
const AGAINST_BROKERS: Row = Row {
    name: "the same fan-out by Redis and NATS",
    baseline: "the better of both",
    target: Target::P99AtMost(1.5),
};
const IDLE: Bound = Bound {
    name: "memory of an idle follower, of 10,000",
    at_most: Quantity::Bytes(30_000),
};
const BURST: &str = "10,000 revocations by one order on 1,000 streams";

const STREAMS: usize = 1_000;
const IDLE_STREAMS: usize = 10_000;
const PER_SECOND: f64 = 10.0;
const RUNS: usize = 5;

/// The events of a run.
const EVENTS: usize = 50;

const BURST_TOKENS: usize = 10_000;

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let report = bench.report;
    if report.wants_any(&[FAN_OUT.name, AGAINST_BROKERS.name]) {
        fan_out(bench).await?;
    }
    if report.wants(BURST) {
        burst(bench).await?;
    }
    if report.wants(IDLE.name) {
        idle(bench).await?;
    }
    Ok(())
}

/// Starts a server that allows many streams, with a token that may follow the feed.
async fn start(name: &'static str, folder: &Path) -> Outcome<(Jeton, String)> {
    let jeton = Jeton::start(name, folder).await?;
    let limits = format!("[limits]\nmax_streams = {}", IDLE_STREAMS + 100);
    let (jeton, _) = jeton.restart(&limits).await?;
    let body = r#"{"name":"follows","owner":"deployment","scopes":["revocations:read"]}"#;
    let token: crate::issue::Created = jeton.read(TOKENS, &Ask::post(&jeton.session, json(body))).await?;
    Ok((jeton, token.token))
}

async fn fan_out(bench: &Bench<'_>) -> Outcome<()> {
    let (jeton, token) = start("fan-out", bench.folder).await?;
    let runs = RUNS.min(bench.size.pairs * 2 - 1);
    let events = bench.size.count(EVENTS).max(5);
    let streams = bench.size.count(STREAMS).max(20);
    let mut measured = Vec::new();
    for _ in 0..runs {
        let ids = bench.ids(&jeton, jeton.issue(), events).await?;
        let follow = Follow {
            address: jeton.server.address,
            protocol: Protocol::Sse { token: token.clone() },
            streams,
            per_second: PER_SECOND,
            publish: ids
                .iter()
                .map(|id| format!("{}/revoke", jeton.path(id)))
                .collect(),
            publisher: jeton.session.clone(),
        };
        measured.push(round::<_, Followed>("followers", &follow).await?);
    }
    let subject = median(&measured);
    jeton.server.stop().await?;
    if bench.report.wants(FAN_OUT.name) {
        let detail = format!(
            "p50 {:.1} ms, {} streams, {} runs",
            millis(subject.p50),
            streams,
            runs
        );
        bench.report.bound(&FAN_OUT, Quantity::Time(subject.p99), &detail);
    }
    if !bench.report.wants(AGAINST_BROKERS.name) {
        return Ok(());
    }
    let mut brokers = Vec::new();
    for (protocol, broker) in [(Protocol::Redis, REDIS), (Protocol::Nats, NATS)] {
        let Some(running) = broker.start(bench.folder).await? else {
            println!(
                "{} is not installed, and not compared with: sudo apt-get install {0}",
                broker.program
            );
            continue;
        };
        let mut measured = Vec::new();
        for _ in 0..runs {
            let follow = Follow {
                address: ([127, 0, 0, 1], broker.port).into(),
                protocol: protocol.clone(),
                streams,
                per_second: PER_SECOND,
                publish: (0..events).map(|number| number.to_string()).collect(),
                publisher: String::new(),
            };
            measured.push(round::<_, Followed>("followers", &follow).await?);
        }
        drop(running);
        let of_broker = median(&measured);
        println!(
            "  {}: p50 {:.1} ms, p99 {:.1} ms",
            broker.program,
            millis(of_broker.p50),
            millis(of_broker.p99)
        );
        brokers.push(of_broker);
    }
    if let Some(best) = brokers.into_iter().min_by_key(|followed| followed.p99) {
        let measured = |followed: &Followed| Measured {
            rate: PER_SECOND * streams as f64,
            p50: followed.p50,
            p99: followed.p99,
            ..Measured::default()
        };
        let pair = Pair {
            baseline: measured(&best),
            subject: measured(&subject),
        };
        bench.report.row(&AGAINST_BROKERS, &[pair]);
    }
    Ok(())
}

/// A message broker of Debian.
#[derive(Clone, Copy)]
struct Broker {
    program: &'static str,
    port: u16,
    arguments: &'static [&'static str],
}

const REDIS: Broker = Broker {
    program: "redis-server",
    port: 16_379,
    arguments: &[
        "--port",
        "16379",
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--maxclients",
        "5000",
    ],
};
const NATS: Broker = Broker {
    program: "nats-server",
    port: 14_222,
    arguments: &["-a", "127.0.0.1", "-p", "14222"],
};

impl Broker {
    /// Starts the broker; `None` if it is not installed. It ends when the result is dropped.
    async fn start(self, folder: &Path) -> Outcome<Option<Child>> {
        let log = std::fs::File::create(folder.join(format!("{}.log", self.program)))?;
        let started = Command::new(self.program)
            .args(self.arguments)
            .current_dir(folder)
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port))
            .await
            .is_err()
        {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(format!("{} did not start", self.program).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(child))
    }
}

/// Revokes many tokens by one order, and measures until the last stream has the last event.
async fn burst(bench: &Bench<'_>) -> Outcome<()> {
    let (jeton, token) = start("burst", bench.folder).await?;
    let (streams, count) = (bench.size.count(STREAMS).max(20), bench.size.count(BURST_TOKENS));
    // And the token of the start.
    bench.ids(&jeton, jeton.issue(), count - 1).await?;
    let follow = Follow {
        address: jeton.server.address,
        protocol: Protocol::Burst {
            token,
            events: count,
            order: r#"{"organization":"default","team":"bench","all":true,"force":true,"include_unreported":true}"#.to_owned(),
        },
        streams,
        per_second: PER_SECOND,
        publish: vec![format!("{TOKENS}/revoke")],
        publisher: jeton.session.clone(),
    };
    let followed: Followed = round("followers", &follow).await?;
    let deliveries = (count * streams) as f64 / followed.slowest.as_secs_f64();
    println!(
        "{BURST}: the last of {streams} streams had the last of {count} events after {:.2} s, {deliveries:.0} deliveries a second",
        followed.slowest.as_secs_f64()
    );
    jeton.server.stop().await
}

/// Holds very many streams, and measures the memory of each and the cost of a revocation.
async fn idle(bench: &Bench<'_>) -> Outcome<()> {
    let (jeton, token) = start("idle", bench.folder).await?;
    let streams = bench.size.count(IDLE_STREAMS);
    let ids = bench.ids(&jeton, jeton.issue(), 12).await?;
    let (warm_up, ids) = ids.split_at(2);
    drive(&bench.revoke(&jeton, warm_up)?).await?;
    let before = jeton.server.memory()?;
    let process = jeton.server.process()?;
    let follow = Follow {
        address: jeton.server.address,
        protocol: Protocol::Idle {
            token,
            server: process,
        },
        streams,
        per_second: 1.0,
        publish: ids
            .iter()
            .map(|id| format!("{}/revoke", jeton.path(id)))
            .collect(),
        publisher: jeton.session.clone(),
    };
    let followed: Followed = round("followers", &follow).await?;
    let each = followed.memory.saturating_sub(before) / u64::try_from(streams)?;
    let detail = format!(
        "a revocation costs {:.1} ms of processor time, and has reached all after {:.0} ms (p99)",
        millis(followed.processor),
        millis(followed.p99),
    );
    bench.report.bound(&IDLE, Quantity::Bytes(each), &detail);
    jeton.server.stop().await
}

fn median(runs: &[Followed]) -> Followed {
    let mut runs: Vec<&Followed> = runs.iter().collect();
    runs.sort_by_key(|followed| followed.p99);
    runs.get(runs.len() / 2).copied().cloned().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
