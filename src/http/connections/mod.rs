//! Accepts connections, limits the resources of each, and drains them at shutdown without cutting
//! requests.
//!
//! The accept loop is our own, over hyper's HTTP/1 alone. `axum::serve` has no limits: a half-sent
//! header stays open for ever and delays shutdown. hyper's header timer starts when a connection falls
//! idle and has one limit for an idle client and for half a header, so it is disabled: `progress` has
//! all deadlines of a connection, and nothing else closes one.

mod connection;
mod crowd;
mod metrics;
mod progress;
mod socket;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use self::crowd::{Crowd, MINIMUM_WAIT};
pub use self::metrics::ConnectionMetrics;
use crate::http::{Adjustable, Streams};
use crate::tls::Tls;

/// The limits of a connection, and the number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of the request line and headers, in bytes; longer ones are answered 431.
    /// Default: 16 KiB.
    pub header_bytes: usize,
    /// From a request's first byte to the end of its headers; for a new connection from its start.
    /// Default: 10 s.
    pub header_time: Duration,
    /// From the end of the headers to the end of the body, also for a client that sends slowly and
    /// steadily. Default: 30 s.
    pub body_time: Duration,
    /// How long a client may read nothing of a pending response. Default: 30 s. Every byte that it
    /// reads extends the time, at a rate of 4 KiB a second.
    pub stall_time: Duration,
    /// Between a response and the next request. Default: 75 s, longer than the 60 s for which common
    /// proxies keep a connection, so that the proxy closes it first and no request reaches a closed
    /// connection.
    pub idle_time: Duration,
    /// The maximum number of connections. Default: 4096, or as many as the descriptor limit allows.
    /// Streams are counted apart. Further connections wait in the kernel's queue, and those that have waited longest for their clients are
    /// closed to make room.
    pub connections: usize,
    /// How long a shutdown waits for requests in progress before it cuts them. Default: 8 s, less than
    /// the ten that container runtimes allow. It waits for clients that stall seven eighths of that.
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

/// A listening socket, and how its connections are served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    is_inherited: bool,
    metrics: ConnectionMetrics,
}

impl Listener {
    /// A socket that this process has bound. At a shutdown, connections in its queue are served.
    pub fn bound(socket: TcpListener) -> Self {
        Self {
            socket,
            tls: None,
            is_inherited: false,
            metrics: ConnectionMetrics::default(),
        }
    }

    /// A socket that the service manager holds open. At a shutdown, connections in its queue are left to the next
    /// process.
    pub fn inherited(socket: TcpListener) -> Self {
        Self {
            is_inherited: true,
            ..Self::bound(socket)
        }
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    ///
    /// If the operating system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Counts connections.
    #[must_use]
    pub fn counted_by(self, metrics: ConnectionMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Serves connections over TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }
}

/// The outcome of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "says whether a request was cut"]
pub enum Drained {
    /// All requests received were answered. Connections of clients that did not finish a request, or
    /// did not read the response, were closed.
    Complete,
    /// The number of connections cut at the deadline while the server was still processing their
    /// request.
    Cut(usize),
}

/// Serves until `stop` resolves, then finishes all requests in progress.
///
/// During shutdown no connection is accepted, every response has `Connection: close`, and idle
/// connections are closed; the remaining ones are cut after [`Limits::drain_time`]. A connection counts
/// as idle half a second after its last activity: its client may already have sent the next request,
/// which closing at once would cut.
///
/// At the limit of connections, those that have waited longest for the rest of a request, for the next one or for
/// the client to read are closed: first of networks that hold more than an eighth of all. Trusted proxies hold as
/// many as they need.
///
/// Changed limits hold for connections that are accepted from then on.
///
/// Handlers find the client's address as `ConnectInfo<SocketAddr>` in the request's extensions. A panic
/// in a handler closes only its own connection. Dropping the future cuts all connections.
pub async fn serve<S>(
    listener: Listener,
    router: Router,
    adjustable: Arc<ArcSwap<Adjustable>>,
    streams: Arc<Streams>,
    stop: S,
) -> Drained
where
    S: Future<Output = ()>,
{
    let Listener {
        socket: listener,
        tls,
        is_inherited,
        metrics,
    } = listener;
    let within_descriptors = |limits| {
        let limits = within_descriptors(limits, &streams);
        metrics.set_limit(limits.connections);
        limits
    };
    let mut current = adjustable.load_full();
    let mut limits = within_descriptors(current.limits);
    let mut crowd = Crowd::new();
    let open =
        |crowd: &mut Crowd, adjustable: &Adjustable, limits: Limits, stream: TcpStream, peer: SocketAddr| {
            let (router, tls, metrics) = (router.clone(), tls.clone(), metrics.clone());
            crowd.add(peer, &adjustable.trusted_proxies, |progress| {
                connection::run(stream, peer, router, limits, tls, metrics, progress)
            });
        };
    let mut stop = pin!(stop);
    // Accepted and not served yet: the limit is reached, and another connection must close first.
    let mut next = None;
    loop {
        if !Arc::ptr_eq(&current, &adjustable.load()) {
            current = adjustable.load_full();
            limits = within_descriptors(current.limits);
        }
        if crowd.len() >= limits.connections + streams.connections() {
            if next.is_some() {
                crowd.make_room(limits.connections);
            }
        } else if let Some((stream, peer)) = next.take() {
            open(&mut crowd, &current, limits, stream, peer);
        }
        metrics.set_open(crowd.len());
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = crowd.ended() => report(ended),
            accepted = accept(&listener), if next.is_none() => next = accepted,
            // Meanwhile a connection may have waited long enough to be closed.
            () = sleep(MINIMUM_WAIT / 8), if next.is_some() => {}
        }
    }
    // The kernel has completed these handshakes, and their requests may be on the way: closing the
    // listener would reset them, unless the service manager keeps it open for the next process.
    let queued = (!is_inherited).then(|| queued(listener));
    for (stream, peer) in next
        .into_iter()
        .chain(queued.into_iter().flatten())
        .take(limits.connections)
    {
        open(&mut crowd, &current, limits, stream, peer);
    }
    crowd.stop(&limits);
    let drained = timeout(limits.drain_time, async {
        metrics.set_open(crowd.len());
        while let Some(ended) = crowd.ended().await {
            metrics.set_open(crowd.len());
            report(ended);
        }
    });
    match drained.await {
        Ok(()) => Drained::Complete,
        Err(_) => Drained::Cut(crowd.len()),
    }
}

/// Accepts the next connection, or returns `None` after a failed accept.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        // Errors of one client, which disconnected while queued.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
            ) =>
        {
            None
        }
        // Out of descriptors or memory. The connection stays queued and the listener ready, so an
        // immediate retry would spin until another connection closes.
        Err(error) => {
            tracing::warn!(%error, "no connection can be accepted");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Returns the connections in the kernel's queue. tokio accepts only after an event, which may not have
/// been delivered yet; the plain listener asks the kernel every time.
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

/// Raises the soft descriptor limit as far as the hard one allows, and lowers the number of connections
/// to what fits.
fn within_descriptors(limits: Limits, streams: &Streams) -> Limits {
    /// Descriptors for the database, its readers, the log, the metrics and outgoing connections.
    const OTHERS: usize = 144;
    let reserved = OTHERS.saturating_add(streams.most_connections());
    let wanted = limits.connections.saturating_add(reserved);
    let allowed = raise_descriptor_limit(u64::try_from(wanted).unwrap_or(u64::MAX));
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    if allowed >= wanted {
        return limits;
    }
    // At least half of what there is, however many streams are configured.
    let connections = allowed.saturating_sub(reserved).max(allowed / 2).max(1);
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

/// Raises the soft limit and returns it.
fn raise_descriptor_limit(wanted: u64) -> u64 {
    // `None` means unlimited.
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
