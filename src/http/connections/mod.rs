//! Accepts connections, bounds what each may take, and ends them without cutting a request.
//!
//! The loop is our own, over hyper's HTTP/1 alone. `axum::serve` bounds nothing: a half-sent header
//! stays open for ever and holds up the stop with it. hyper's own clock starts when a connection
//! falls idle and knows one limit for a resting client and for half a header, so it is left off:
//! `progress` holds every deadline of a connection, and nothing else closes one.

mod connection;
mod progress;
mod socket;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use self::progress::Pressure;

/// What a connection may take, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request line and its headers; more is answered 431. 16 KiB.
    pub header_bytes: usize,
    /// From a request's first byte to the end of its headers; for a new connection from its start. 10 s.
    pub header_time: Duration,
    /// From the end of the headers to the end of the body, however steadily it drips. 30 s.
    pub body_time: Duration,
    /// How long a client may take nothing of an answer that waits for it. 30 s. What it does take
    /// earns it more time, at a rate of 4 KiB a second.
    pub stall_time: Duration,
    /// Between an answer and the next request. 75 s: longer than the 60 s for which common proxies
    /// keep a connection, so that it is the proxy that closes and no request meets a closed door.
    pub idle_time: Duration,
    /// Connections at a time. 4096, or as many as the process may have descriptors for. Above it
    /// the next ones wait in the kernel's queue, and the resting ones are closed to make room.
    pub connections: usize,
    /// How long a stop waits for what is in flight before it cuts. 8 s, inside the ten that
    /// container runtimes allow. For clients that do not go on it waits seven eighths of that.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 * 1024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(75),
            connections: 4096,
            drain_time: Duration::from_secs(8),
        }
    }
}

/// How a stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "says whether a request was cut"]
pub enum Drained {
    /// Every request that had arrived was answered. Clients that did not send the rest of one, or
    /// did not take their answer, were left behind.
    Whole,
    /// So many requests were still being worked on at the deadline and were cut.
    Cut(usize),
}

/// Serves until `stop` resolves, then lets every request in flight finish.
///
/// From then on no connection is accepted, every answer carries `Connection: close`, and idle
/// connections are closed; what is left after [`Limits::drain_time`] is cut. A connection that was
/// active a moment ago counts as idle only half a second later: its client may have sent the next
/// request already, and to close then would cut it.
///
/// Handlers find the client's address as `ConnectInfo<SocketAddr>` in the request's extensions. A
/// panic in a handler ends its connection and nothing else. Dropping the future cuts everything.
pub async fn serve<S>(listener: TcpListener, router: Router, limits: Limits, stop: S) -> Drained
where
    S: Future<Output = ()>,
{
    let limits = within_descriptors(limits);
    let (pressure, _) = watch::channel(Pressure::Calm);
    let mut connections = JoinSet::new();
    let open = |connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr| {
        connections.spawn(connection::run(
            stream,
            peer,
            router.clone(),
            limits,
            pressure.subscribe(),
        ));
    };
    let mut stop = pin!(stop);
    loop {
        let full = connections.len() >= limits.connections;
        pressure.send_if_modified(|now| now.follow(connections.len(), limits.connections));
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&listener), if !full => if let Some((stream, peer)) = accepted {
                open(&mut connections, stream, peer);
            },
        }
    }
    // The kernel has completed these handshakes already, and their requests may be on the way:
    // closing the listener would reset them.
    for (stream, peer) in queued(listener).take(limits.connections) {
        open(&mut connections, stream, peer);
    }
    pressure.send_replace(Pressure::Stopping);
    let drained = timeout(limits.drain_time, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    match drained.await {
        Ok(()) => Drained::Whole,
        Err(_) => Drained::Cut(connections.len()),
    }
}

/// The next connection, or `None` after one that could not be accepted.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        // These are one client's trouble: it hung up while it waited.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
            ) =>
        {
            None
        }
        // No descriptor or no memory left. The connection stays in the queue and the listener
        // stays ready, so that trying again at once would spin until another connection ends.
        Err(error) => {
            tracing::warn!(%error, "no connection can be accepted");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// The connections that wait in the kernel's queue. tokio asks the kernel only after it heard of
/// an event, which may not have been delivered yet; the plain listener asks every time.
fn queued(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std().ok();
    std::iter::from_fn(move || {
        let (stream, peer) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    })
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended in a panic");
    }
}

/// Raises the soft descriptor limit to what the connections need, as far as the hard one allows,
/// and lowers the number of connections to what fits.
fn within_descriptors(limits: Limits) -> Limits {
    /// For the database, its readers, the log, and a client of our own.
    const OTHERS: u64 = 64;
    let wanted = u64::try_from(limits.connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS);
    let allowed = raise_descriptor_limit(wanted);
    if allowed >= wanted {
        return limits;
    }
    let connections = usize::try_from(allowed.saturating_sub(OTHERS))
        .unwrap_or(usize::MAX)
        .max(1);
    tracing::warn!(
        allowed,
        connections,
        "the descriptor limit allows fewer connections than configured"
    );
    Limits {
        connections,
        ..limits
    }
}

/// The soft limit afterwards.
fn raise_descriptor_limit(wanted: u64) -> u64 {
    // `None` is no limit.
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current.unwrap_or(u64::MAX);
    let raised = wanted.min(maximum.unwrap_or(u64::MAX));
    if current >= raised {
        return current;
    }
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            maximum,
        },
    ) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, "the descriptor limit cannot be raised");
            current
        }
    }
}
