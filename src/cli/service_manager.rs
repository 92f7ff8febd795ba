//! The service manager, mostly systemd: it hands over the listening socket, and hears that the server is ready,
//! stopping and alive (`sd_listen_fds(3)`, `sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use jeton_store::SharedStore;
use listenfd::ListenFd;
use socket2::SockRef;
use tokio::time::{MissedTickBehavior, interval};

use super::Failure;
use crate::config::Environment;

/// How long a message may wait for the service manager.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much longer than the drain a stop may take: the notice before it, and the writes after it.
const BESIDE_DRAIN: Duration = Duration::from_secs(7);

/// Returns the listening socket that the service manager has opened, if it has one for this process. Call it before
/// the process has other threads, since it changes the environment.
///
/// # Errors
///
/// [`Failure::Sockets`] or [`Failure::NotAListener`] if there are several or it is another socket.
pub(super) fn inherited_socket() -> Result<Option<std::net::TcpListener>, Failure> {
    let mut given = ListenFd::from_env();
    if given.len() > 1 {
        return Err(Failure::Sockets(given.len()));
    }
    let Some(socket) = given.take_tcp_listener(0).map_err(Failure::NotAListener)? else {
        return Ok(None);
    };
    let is_listener = SockRef::from(&socket)
        .is_listener()
        .map_err(Failure::NotAListener)?;
    if !is_listener {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen");
        return Err(Failure::NotAListener(error));
    }
    socket.set_nonblocking(true).map_err(Failure::NotAListener)?;
    Ok(Some(socket))
}

/// What the service manager wants to hear. Without one, nothing is said.
#[derive(Debug)]
pub(super) struct ServiceManager {
    /// Where it listens.
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// It ends a process from which it has heard nothing for so long.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Finds the service manager by `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// # Errors
    ///
    /// [`Failure::NotifySocket`] if the socket cannot be used: the service manager would end the server, since it
    /// hears nothing.
    pub(super) fn from_environment(environment: Environment<'_>) -> Result<Self, Failure> {
        let name = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = name.as_deref().map(connect).transpose();
        let number = |name| -> Option<u64> { environment(name)?.to_str()?.parse().ok() };
        let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| *micros > 1 && is_for_us);
        Ok(Self {
            socket: socket.map_err(Failure::NotifySocket)?,
            watchdog: watchdog.map(Duration::from_micros),
        })
    }

    /// Says that the server answers requests.
    pub(super) fn ready(&self, url: &str) {
        self.say(&format!("READY=1\nSTATUS=serving {url}"));
    }

    /// Says that the server stops, and how long that may take: the stop timeout of a unit may be shorter than the
    /// drain.
    pub(super) fn stopping(&self, drain: Duration) {
        let micros = (drain + BESIDE_DRAIN).as_micros();
        self.say(&format!(
            "STOPPING=1\nSTATUS=finishing the requests that have begun\nEXTEND_TIMEOUT_USEC={micros}"
        ));
    }

    /// Feeds the watchdog as long as the store answers, with success or without: a full disk does not end the
    /// server, and a write that hangs does.
    pub(super) async fn feed_watchdog(self: Arc<Self>, store: SharedStore) {
        let Some(watchdog) = self.watchdog else { return };
        let mut ticks = interval(watchdog / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !store.responds().await {
                return;
            }
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, state: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, "the service manager does not hear this server");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it must be an absolute path, or an abstract name after @",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}
