//! The load driver: one round of requests against one server, in a process of its own.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
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
use crate::process::processor_time;
use crate::tokens::{Lines, Tokens};

/// The requests of a round and their pacing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// The server's process, whose processor time is measured.
    pub(crate) process: u32,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// The warm-up is driven but counted only in the processor time per operation.
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// The number of requests: the round ends with the last, regardless of `time`.
    pub(crate) requests: Option<usize>,
    /// The requests, used in turn and again from the start.
    pub(crate) asks: Vec<Ask>,
    /// The paths, used likewise.
    pub(crate) paths: Vec<String>,
    /// The tokens of `InTurn` parts, used likewise.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) keep: Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// Each connection sends the next request after the response.
    Closed,
    /// The number of requests that begin per second, independent of responses. Latency counts from the
    /// scheduled instant, so that waiting for a connection is included (no coordinated omission).
    Open(f64),
}

/// Which data of the issued tokens the round keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Keep {
    Nothing,
    Ids,
    /// The tokens, appended to this file.
    Tokens(PathBuf),
}

impl Load {
    /// Returns the load with a number of requests, all of which are counted.
    pub(crate) fn numbered(self, requests: usize) -> Self {
        Self {
            requests: Some(requests),
            warm_up: Duration::ZERO,
            ..self
        }
    }

    /// Returns whether only the clock ends the round. Then a late response counts for the latencies but
    /// not for the rate; in a round with a number of requests each response counts.
    fn is_endless(&self) -> bool {
        self.pace == Pace::Closed && self.requests.is_none()
    }

    /// Returns the time after which the round fails.
    fn limit(&self) -> Duration {
        const BEYOND_THE_CLOCK: Duration = Duration::from_secs(30);
        const NUMBERED: Duration = Duration::from_secs(180);
        match self.requests {
            Some(_) => NUMBERED,
            None => self.warm_up + self.time + BEYOND_THE_CLOCK,
        }
    }
}

/// Returns the number of driver threads: half of the cores, which it shares with the server under test.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Reads a [`Load`] from standard input and writes a [`Measured`] to standard output, both as JSON.
pub(crate) fn run() -> Outcome<()> {
    let load: Load = serde_json::from_reader(io::stdin().lock())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()?;
    let measured = runtime.block_on(drive(load))?;
    serde_json::to_writer(io::stdout(), &measured)?;
    Ok(())
}

async fn drive(load: Load) -> Outcome<Measured> {
    let lines = match &load.tokens {
        Some(tokens) => Lines::read(tokens)?,
        None => Lines::default(),
    };
    let mut clients = Vec::new();
    for _ in 0..load.connections {
        clients.push(Client::connect(load.address).await?);
    }
    let server_before = processor_time(load.process)?;
    let own_before = own_processor_time()?;
    let start = Instant::now();
    let round = Arc::new(Round {
        counted_from: start + load.warm_up,
        ends: start + load.warm_up + load.time,
        next: AtomicUsize::new(0),
        due: open(&load, start).map(Mutex::new),
        lines,
        load,
    });
    let mut workers = JoinSet::new();
    for client in clients {
        let round = Arc::clone(&round);
        workers.spawn(async move { round.work(client).await });
    }
    let all = async {
        let mut sum = Tally::new()?;
        while let Some(worked) = workers.join_next().await {
            sum.add(worked??)?;
        }
        Outcome::Ok(sum)
    };
    let limit = round.load.limit();
    let sum = timeout(limit, all)
        .await
        .map_err(|_| format!("the server did not keep up: {limit:?} were over"))??;
    let last = sum.last.ok_or("the round was over before it counted anything")?;
    let wall = start.elapsed();
    let time = if round.load.is_endless() {
        // Not until the last response: a server that stalled before the end would look faster.
        round.load.time
    } else {
        last.saturating_duration_since(round.counted_from)
    };
    let mut measured = Measured::of(&sum.latencies, sum.count, time);
    let server = processor_time(round.load.process)?.saturating_sub(server_before);
    measured.processor = server / sum.answers.max(1);
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 cores")]
    let most = wall.as_secs_f64() * threads() as f64;
    measured.busy = (own_processor_time()? - own_before).as_secs_f64() / most;
    keep(&round.load.keep, &sum.bodies, &mut measured)?;
    Ok(measured)
}

fn keep(keep: &Keep, bodies: &[Bytes], measured: &mut Measured) -> Outcome<()> {
    let created = bodies.iter().map(|body| serde_json::from_slice::<Created>(body));
    match keep {
        Keep::Nothing => {}
        Keep::Ids => {
            for created in created {
                measured.ids.push(created?.token_info.id);
            }
        }
        Keep::Tokens(file) => {
            let mut file = BufWriter::new(File::options().create(true).append(true).open(file)?);
            for created in created {
                writeln!(file, "{}", created?.token)?;
            }
            file.flush()?;
        }
    }
    Ok(())
}

fn own_processor_time() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::ProcessCPUTime).try_into()?)
}

/// Schedules the requests of an open loop.
fn open(load: &Load, start: Instant) -> Option<mpsc::UnboundedReceiver<Instant>> {
    let Pace::Open(per_second) = load.pace else {
        return None;
    };
    let (due, queue) = mpsc::unbounded_channel();
    let time = load.warm_up + load.time;
    thread::spawn(move || {
        // Fails only if the round has already failed.
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
    lines: Lines,
}

impl Round {
    async fn work(&self, mut client: Client) -> Outcome<Tally> {
        let mut tally = Tally::new()?;
        while let Some(begun) = self.begin().await {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if self.load.requests.is_some_and(|requests| number >= requests) {
                break;
            }
            let ask = self.load.asks.get(number % self.load.asks.len().max(1));
            let path = self.load.paths.get(number % self.load.paths.len().max(1));
            let (ask, path) = ask.zip(path).ok_or("a round without requests")?;
            let body = client.ask(path, ask, self.lines.nth(number)).await?;
            let ended = Instant::now();
            tally.answers += 1;
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

    /// Returns the start of the next request, or when it was due if it is late.
    async fn begin(&self) -> Option<Instant> {
        match &self.due {
            Some(due) => due.lock().await.recv().await,
            None => Some(Instant::now()).filter(|now| self.load.requests.is_some() || *now < self.ends),
        }
    }
}

struct Tally {
    latencies: Histogram<u64>,
    /// All responses, including those of the warm-up.
    answers: u32,
    count: u64,
    last: Option<Instant>,
    bodies: Vec<Bytes>,
}

impl Tally {
    fn new() -> Outcome<Self> {
        Ok(Self {
            latencies: pace::histogram()?,
            answers: 0,
            count: 0,
            last: None,
            bodies: Vec::new(),
        })
    }

    fn add(&mut self, other: Self) -> Outcome<()> {
        self.latencies.add(other.latencies)?;
        self.answers += other.answers;
        self.count += other.count;
        self.last = self.last.max(other.last);
        self.bodies.extend(other.bodies);
        Ok(())
    }
}
