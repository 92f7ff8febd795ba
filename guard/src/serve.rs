//! Accepts connections and limits the resources of each.

mod socket;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::answer::{Guard, Via};
use crate::config::Listen;
use socket::Socket;

/// The limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum size of the request line and headers, in bytes; longer ones are answered 431.
    pub header_bytes: usize,
    /// How long a request may take, from its first byte until its answer is sent, and how long a connection may wait
    /// for the next one. Longer than the 60 s for which common proxies keep a connection.
    pub patience: Duration,
    /// The maximum number of connections in service. Further ones wait: one for each socket, and the others in the
    /// kernel's queue.
    pub connections: usize,
    /// How long a stop waits for requests in progress.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 * 1024,
            patience: Duration::from_secs(75),
            connections: 4096,
            drain_time: Duration::from_secs(4),
        }
    }
}

/// The maximum number of bytes that hyper buffers per direction.
const BUFFER: usize = 64 * 1024;

/// How long the accept loop waits after an error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Descriptors for listeners, connections that wait, files and the connections to the authority.
const OTHER_DESCRIPTORS: u64 = 64;

/// A bound socket.
#[derive(Debug)]
pub enum Bound {
    /// An address.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Bound {
    /// Binds a socket. A Unix socket is open to the user and the group of the process; a file that an earlier process
    /// left is replaced.
    ///
    /// # Errors
    ///
    /// Those of the operating system; [`io::ErrorKind::AddrInUse`] if a process listens there.
    pub async fn new(listen: &Listen) -> io::Result<Self> {
        let path = match listen {
            Listen::Tcp(address) => return TcpListener::bind(address).await.map(Self::Tcp),
            Listen::Unix(path) => path,
        };
        remove_left_over(path)?;
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        Ok(Self::Unix(listener))
    }
}

impl Bound {
    /// Returns where it listens, as clients name it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|error| error.to_string(), |address| format!("http://{address}")),
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or_else(|| "unix:".to_owned(), |path| format!("unix:{}", path.display()))
            }
        }
    }
}

/// Removes a socket on which nobody listens.
fn remove_left_over(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => fs::remove_file(path),
        },
        // Binding fails by itself on any other file.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Serves until `stop` resolves, and then until requests in progress are answered, at most [`Limits::drain_time`].
pub async fn serve(guard: Arc<Guard>, sockets: Vec<Bound>, limits: Limits, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(());
    let permits = Arc::new(Semaphore::new(within_descriptors(limits.connections)));
    let mut loops = JoinSet::new();
    for socket in sockets {
        let server = Server {
            guard: Arc::clone(&guard),
            limits,
            permits: Arc::clone(&permits),
            stopped: stopped.clone(),
        };
        loops.spawn(server.accept(socket));
    }
    drop(stopped);
    stop.await;
    // Wakes all loops and connections.
    drop(stopping);
    let drained = async { while loops.join_next().await.is_some() {} };
    if timeout(limits.drain_time, drained).await.is_err() {
        tracing::warn!("connections with unfinished requests were cut");
    }
}

/// Raises the soft limit of descriptors if necessary, and returns how many connections it allows.
fn within_descriptors(connections: usize) -> usize {
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_DESCRIPTORS);
    let mut limit = getrlimit(Resource::Nofile);
    // `None` means unlimited.
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted))),
            ..limit
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::warn!(%error, "the descriptor limit cannot be raised"),
        }
    }
    let allowed = limit
        .current
        .unwrap_or(u64::MAX)
        .saturating_sub(OTHER_DESCRIPTORS)
        .max(1);
    usize::try_from(allowed).unwrap_or(usize::MAX).min(connections)
}

/// Serves one client until it is gone.
type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Server {
    guard: Arc<Guard>,
    limits: Limits,
    permits: Arc<Semaphore>,
    stopped: watch::Receiver<()>,
}

impl Server {
    /// Accepts connections until the stop, and waits for the end of all.
    async fn accept(self, socket: Bound) {
        let mut connections = JoinSet::new();
        let mut stopped = self.stopped.clone();
        loop {
            let accepted = tokio::select! {
                // An error means that the sender is dropped, which is the stop.
                _ = stopped.changed() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.next(&socket) => accepted,
            };
            let connection = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            // Not before there is a client: the idle loop of one socket would keep a permit from the others.
            let permit = tokio::select! {
                _ = stopped.changed() => break,
                permit = Arc::clone(&self.permits).acquire_owned() => permit,
            };
            connections.spawn(async move {
                connection.await;
                drop(permit);
            });
        }
        if let Bound::Unix(listener) = &socket
            && let Ok(address) = listener.local_addr()
            && let Some(path) = address.as_pathname()
        {
            // The next start removes it otherwise.
            let _ = fs::remove_file(path);
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }

    /// Accepts the next client. Nothing is lost if it is cancelled.
    async fn next(&self, socket: &Bound) -> io::Result<Connection> {
        match socket {
            Bound::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(self.connection(stream, Via::Tcp))
            }
            Bound::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(self.connection(stream, Via::Unix))
            }
        }
    }

    fn connection<S>(&self, stream: S, via: Via) -> Connection
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let guard = Arc::clone(&self.guard);
        let mut stopped = self.stopped.clone();
        let limits = self.limits;
        Box::pin(async move {
            let service = service_fn(move |request| {
                let guard = Arc::clone(&guard);
                async move { Ok::<_, Infallible>(guard.answer(request, via).await) }
            });
            let connection = http1::Builder::new()
                // The socket has all time limits.
                .header_read_timeout(None)
                .max_header_size(limits.header_bytes)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(Socket::new(stream, limits.patience)), service);
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
        })
    }
}
