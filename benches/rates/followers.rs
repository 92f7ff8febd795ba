//! The driver of streams: many followers in one process, and one publisher.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};

use crate::Outcome;
use crate::client::{Ask, Body, Client};
use crate::pace::{histogram, record};
use crate::process::{memory, processor_time};

/// How long followers wait for the last event.
const PATIENCE: Duration = Duration::from_secs(120);

/// In each event once, whatever the protocol.
const MARKER: &[u8] = b"\"kind\":";

/// The followers, and what is published to them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Follow {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) streams: usize,
    pub(crate) per_second: f64,
    /// The path of each revocation.
    pub(crate) publish: Vec<String>,
    /// The publisher's token.
    pub(crate) publisher: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Sse {
        token: String,
    },
    /// One order that revokes many tokens.
    Burst {
        token: String,
        events: usize,
        order: String,
    },
    /// The same streams, with the memory and the processor time of the server with this process id.
    Idle {
        token: String,
        server: u32,
    },
    Redis,
    Nats,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Followed {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) slowest: Duration,
    /// The server's resident memory while all followers were idle, in bytes.
    pub(crate) memory: u64,
    /// The server's processor time for one event.
    pub(crate) processor: Duration,
}

/// Runs the followers that standard input describes.
pub(crate) fn run() -> Outcome<()> {
    let follow: Follow = serde_json::from_reader(std::io::stdin().lock())?;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    let followed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(follow.run())?;
    serde_json::to_writer(std::io::stdout().lock(), &followed)?;
    Ok(())
}

impl Follow {
    async fn run(self) -> Outcome<Followed> {
        let expected = match &self.protocol {
            Protocol::Burst { events, .. } => *events,
            _ => self.publish.len(),
        };
        let (arrived, mut arrivals) = mpsc::unbounded_channel::<Vec<(usize, Instant)>>();
        let connected = Arc::new(AtomicUsize::new(0));
        for _ in 0..self.streams {
            let stream = self.subscribe().await?;
            let (arrived, connected) = (arrived.clone(), Arc::clone(&connected));
            tokio::spawn(async move {
                // The waiting side finds that some are missing.
                let _ = arrived.send(read(stream, expected, &connected).await);
            });
        }
        drop(arrived);
        while connected.load(Ordering::Acquire) < self.streams {
            sleep(Duration::from_millis(10)).await;
        }
        let mut followed = Followed::default();
        if let Protocol::Idle { server, .. } = &self.protocol {
            sleep(Duration::from_secs(6)).await;
            followed.memory = memory(*server)?;
            let before = processor_time(*server)?;
            sleep(Duration::from_secs(10)).await;
            // What heartbeats cost in the time of the events is left out.
            let quiet = (processor_time(*server)? - before) * u32::try_from(self.publish.len())? / 10;
            let begun = processor_time(*server)?;
            let answered = self.publish().await?;
            self.collect(&mut followed, &answered, &mut arrivals, expected)
                .await?;
            let spent = (processor_time(*server)? - begun).saturating_sub(quiet);
            followed.processor = spent / u32::try_from(expected)?;
            return Ok(followed);
        }
        let answered = self.publish().await?;
        self.collect(&mut followed, &answered, &mut arrivals, expected)
            .await?;
        Ok(followed)
    }

    /// Connects a follower.
    async fn subscribe(&self) -> Outcome<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let request = match &self.protocol {
            Protocol::Sse { token } | Protocol::Burst { token, .. } | Protocol::Idle { token, .. } => {
                format!(
                    "GET /api/v1/revocations/stream HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n"
                )
            }
            Protocol::Redis => "SUBSCRIBE revocations\r\n".to_owned(),
            Protocol::Nats => "CONNECT {\"verbose\":false}\r\nSUB revocations 1\r\nPING\r\n".to_owned(),
        };
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }

    /// Publishes each event at its time. Returns when each was answered.
    ///
    /// On a thread of its own: beside the followers, an answer would be noticed only after what many of them read.
    async fn publish(&self) -> Outcome<Vec<Instant>> {
        let follow = self.clone();
        let published = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(follow.publish_here())
        });
        published.await?
    }

    async fn publish_here(&self) -> Outcome<Vec<Instant>> {
        let mut publisher = Publisher::connect(self).await?;
        let begun = tokio::time::Instant::now();
        let mut answered = Vec::new();
        for (number, path) in self.publish.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a bench counts no further")]
            let due = begun + Duration::from_secs_f64(number as f64 / self.per_second);
            sleep_until(due).await;
            publisher.publish(self, path).await?;
            answered.push(Instant::now());
        }
        Ok(answered)
    }

    async fn collect(
        &self,
        followed: &mut Followed,
        answered: &[Instant],
        arrivals: &mut mpsc::UnboundedReceiver<Vec<(usize, Instant)>>,
        expected: usize,
    ) -> Outcome<()> {
        let mut latencies = histogram()?;
        let mut last = Duration::ZERO;
        for _ in 0..self.streams {
            let arrived = timeout(PATIENCE, arrivals.recv())
                .await?
                .ok_or("a follower has ended")?;
            if arrived.last().is_none_or(|(number, _)| *number != expected) {
                return Err(format!("a follower has {:?} of {expected} events", arrived.last()).into());
            }
            for (number, at) in arrived {
                // A burst has one answer for all its events.
                let index = (number - 1).min(answered.len() - 1);
                let answer = answered.get(index).copied().ok_or("no answer")?;
                let latency = at.saturating_duration_since(answer);
                last = last.max(latency);
                record(&mut latencies, latency);
            }
        }
        followed.p50 = Duration::from_micros(latencies.value_at_quantile(0.50));
        followed.p99 = Duration::from_micros(latencies.value_at_quantile(0.99));
        followed.slowest = last;
        Ok(())
    }
}

/// Reads a stream until it has all events. Returns when the n-th event was there: one entry for each read.
async fn read(mut stream: TcpStream, expected: usize, connected: &AtomicUsize) -> Vec<(usize, Instant)> {
    let mut arrived = Vec::new();
    let (mut buffer, mut kept, mut count) = ([0_u8; 16_384], 0, 0);
    while count < expected {
        let Some(free) = buffer.get_mut(kept..) else { break };
        let Ok(read @ 1..) = stream.read(free).await else {
            break;
        };
        let now = Instant::now();
        if kept == 0 {
            connected.fetch_add(1, Ordering::AcqRel);
        }
        let end = kept + read;
        let text = buffer.get(..end).unwrap_or_default();
        let found = text
            .windows(MARKER.len())
            .filter(|window| *window == MARKER)
            .count();
        count += found;
        if found > 0 {
            arrived.push((count, now));
        }
        // A marker may be cut.
        let keep = end.min(MARKER.len() - 1);
        buffer.copy_within(end - keep..end, 0);
        kept = keep;
    }
    arrived
}

enum Publisher {
    Http(Client),
    Broker(TcpStream),
}

impl Publisher {
    async fn connect(follow: &Follow) -> Outcome<Self> {
        Ok(match &follow.protocol {
            Protocol::Redis | Protocol::Nats => {
                let mut stream = TcpStream::connect(follow.address).await?;
                stream.set_nodelay(true)?;
                if matches!(follow.protocol, Protocol::Nats) {
                    stream.write_all(b"CONNECT {\"verbose\":false}\r\n").await?;
                }
                Self::Broker(stream)
            }
            _ => Self::Http(Client::connect(follow.address).await?),
        })
    }

    /// Publishes one event and waits until it is answered.
    async fn publish(&mut self, follow: &Follow, path: &str) -> Outcome<()> {
        // As long as an event of the feed.
        let payload = format!("{{\"kind\":\"token\",\"number\":\"{path:>480}\"}}");
        let stream = match self {
            Self::Http(client) => {
                let body = match &follow.protocol {
                    Protocol::Burst { order, .. } => Body::Json(order.clone()),
                    _ => Body::Empty,
                };
                let expected = if matches!(follow.protocol, Protocol::Burst { .. }) {
                    202
                } else {
                    201
                };
                let ask = Ask {
                    expected,
                    ..Ask::post(&follow.publisher, body)
                };
                return client.ask(path, &ask, "").await.map(drop);
            }
            Self::Broker(stream) => stream,
        };
        let length = payload.len();
        let (command, answer) = match &follow.protocol {
            Protocol::Redis => (
                format!("*3\r\n$7\r\nPUBLISH\r\n$11\r\nrevocations\r\n${length}\r\n{payload}\r\n"),
                ":",
            ),
            _ => (
                format!("PUB revocations {length}\r\n{payload}\r\nPING\r\n"),
                "PONG",
            ),
        };
        stream.write_all(command.as_bytes()).await?;
        let mut said = String::new();
        let mut buffer = [0_u8; 4096];
        while !said.contains(answer) {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Err("the broker has closed the connection".into());
            }
            said.push_str(&String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()));
        }
        Ok(())
    }
}
