//! The driver: one round of requests against one server, in a process of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Outcome;
use crate::client::{Ask, Client};
use crate::issue::Created;
use crate::pace::{self, Measured, arrivals};

/// What to send, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Driven but not counted.
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// One after the other and again from the start.
    pub(crate) asks: Vec<Ask>,
    pub(crate) paths: Paths,
    pub(crate) keep: Keep,
}

impl Load {
    /// Whether only the clock ends the round. Then an answer that comes later does not count for the
    /// rate (it does for the latencies); where the requests are numbered each of them counts.
    fn is_endless(&self) -> bool {
        matches!((&self.pace, &self.paths), (Pace::Closed, Paths::Round(_)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// Each connection asks again once it has its answer.
    Closed,
    /// So many requests begin each second whatever becomes of them. A latency counts from the
    /// instant at which the request was due: one that had to wait for a connection has waited.
    Open(f64),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Paths {
    /// One after the other and again from the start.
    Round(Vec<String>),
    /// Each once; the round ends with the last.
    Once(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Keep {
    Nothing,
    /// The ids of the tokens in the answers.
    Ids,
    /// The tokens themselves.
    Tokens,
}

impl Keep {
    fn of(self, created: Created) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Ids => Some(created.token_info.id),
            Self::Tokens => Some(created.token),
        }
    }
}

impl Paths {
    fn nth(&self, number: usize) -> Option<&str> {
        match self {
            Self::Round(paths) => paths.get(number % paths.len().max(1)),
            Self::Once(paths) => paths.get(number),
        }
        .map(String::as_str)
    }
}

/// How long a server may take beyond the round's own time before the round has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Threads of the driver, beside those of the server under test.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Reads a [`Load`] from standard input and writes a [`Measured`] to standard output, both as JSON.
pub(crate) fn run() -> Outcome<()> {
    let load: Load = serde_json::from_reader(io::stdin())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()?;
    let measured = runtime.block_on(drive(load))?;
    serde_json::to_writer(io::stdout(), &measured)?;
    Ok(())
}

async fn drive(load: Load) -> Outcome<Measured> {
    let mut clients = Vec::new();
    for _ in 0..load.connections {
        clients.push(Client::connect(load.address).await?);
    }
    let start = Instant::now();
    let round = Arc::new(Round {
        counted_from: start + load.warm_up,
        ends: start + load.warm_up + load.time,
        next: AtomicUsize::new(0),
        due: open(&load, start).map(Mutex::new),
        load,
    });
    let mut workers = JoinSet::new();
    for client in clients {
        let round = Arc::clone(&round);
        workers.spawn(async move { round.work(client).await });
    }
    let processor = processor_time()?;
    let all = async {
        let mut sum = Tally::new()?;
        while let Some(worked) = workers.join_next().await {
            sum.add(worked??)?;
        }
        Outcome::Ok(sum)
    };
    let limit = round.load.warm_up + round.load.time + PATIENCE;
    let sum = timeout(limit, all)
        .await
        .map_err(|_| format!("the server did not keep up: {limit:?} were over"))??;
    let last = sum.last.ok_or("the round was over before it counted anything")?;
    let wall = start.elapsed();
    let time = if round.load.is_endless() {
        // Not until the last answer: a server that stood still before the end would look faster for it.
        round.load.time
    } else {
        last.saturating_duration_since(round.counted_from)
    };
    let mut measured = Measured::of(&sum.latencies, sum.count, time);
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 cores")]
    let most = wall.as_secs_f64() * threads() as f64;
    measured.busy = (processor_time()? - processor).as_secs_f64() / most;
    for body in sum.bodies {
        measured
            .kept
            .extend(round.load.keep.of(serde_json::from_slice(&body)?));
    }
    Ok(measured)
}

fn processor_time() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::ProcessCPUTime).try_into()?)
}

/// The instants at which requests are due, for an open loop.
fn open(load: &Load, start: Instant) -> Option<mpsc::UnboundedReceiver<Instant>> {
    let Pace::Open(per_second) = load.pace else {
        return None;
    };
    let (due, queue) = mpsc::unbounded_channel();
    let time = load.warm_up + load.time;
    thread::spawn(move || {
        // A send fails when the round has failed already.
        arrivals(per_second, start, time, |instant| _ = due.send(instant));
    });
    Some(queue)
}

struct Round {
    load: Load,
    counted_from: Instant,
    ends: Instant,
    next: AtomicUsize,
    due: Option<Mutex<mpsc::UnboundedReceiver<Instant>>>,
}

impl Round {
    async fn work(&self, mut client: Client) -> Outcome<Tally> {
        let mut tally = Tally::new()?;
        while let Some(begun) = self.begin().await {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let ask = self.load.asks.get(number % self.load.asks.len().max(1));
            let Some((path, ask)) = self.load.paths.nth(number).zip(ask) else {
                break;
            };
            let body = client.ask(path, ask).await?;
            let ended = Instant::now();
            if begun >= self.counted_from {
                pace::record(&mut tally.latencies, ended - begun);
                if !self.load.is_endless() || ended <= self.ends {
                    tally.count += 1;
                    tally.last = tally.last.max(Some(ended));
                }
            }
            if self.load.keep != Keep::Nothing {
                tally.bodies.push(body);
            }
        }
        Ok(tally)
    }

    /// When the next request begins, or began if it is late already.
    async fn begin(&self) -> Option<Instant> {
        match &self.due {
            Some(due) => due.lock().await.recv().await,
            None => Some(Instant::now()).filter(|now| *now < self.ends),
        }
    }
}

struct Tally {
    latencies: Histogram<u64>,
    count: u64,
    last: Option<Instant>,
    bodies: Vec<Bytes>,
}

impl Tally {
    fn new() -> Outcome<Self> {
        Ok(Self {
            latencies: pace::histogram()?,
            count: 0,
            last: None,
            bodies: Vec::new(),
        })
    }

    fn add(&mut self, other: Self) -> Outcome<()> {
        self.latencies.add(other.latencies)?;
        self.count += other.count;
        self.last = self.last.max(other.last);
        self.bodies.extend(other.bodies);
        Ok(())
    }
}
