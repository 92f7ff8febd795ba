//! The way to the primary: its host among those that the configuration names, and since when it is used.
//!
//! A server that hangs answers nothing while its machine confirms what it is sent, so that no connection breaks. A former
//! primary that comes back answers queries with what is no longer true. Such a server is left by all connections at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connection::PATIENCE;

/// How connections are encrypted, if the configuration of the database asks for that.
pub(super) type Tls = MakeRustlsConnect;

/// A connection, and what drives it.
type Made = (
    Client,
    Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>,
);

/// How long a connection to one of several hosts may take until the next one is tried.
const TRIED_FOR: Duration = Duration::from_secs(1);

/// After which time without traffic a connection is probed. Routers forget connections that are silent for minutes.
const PROBED_AFTER: Duration = Duration::from_secs(30);

/// What the driver uses if the configuration does not say when a connection is probed.
const DRIVERS_PROBED_AFTER: Duration = Duration::from_secs(7_200);

/// The hosts of the database, and the one in use.
#[derive(Clone)]
pub(super) struct Route {
    /// The configuration of each host.
    hosts: Arc<[Config]>,
    tls: Tls,
    used: watch::Sender<Used>,
}

#[derive(Debug, Clone, Copy)]
struct Used {
    /// The index of the host that is tried first.
    host: usize,
    /// Connections that were made earlier may be to another server.
    since: Instant,
    /// The index of the host that the last connection was made to.
    connected: usize,
}

impl Route {
    pub(super) fn new(config: &Config, tls: Tls) -> Self {
        Self {
            hosts: each_host(config).into(),
            tls,
            used: watch::Sender::new(Used {
                host: 0,
                since: Instant::now(),
                connected: 0,
            }),
        }
    }

    /// Returns how long a connection may take.
    pub(super) fn patience(&self) -> Duration {
        let others = u32::try_from(self.hosts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        PATIENCE + TRIED_FOR.saturating_mul(others)
    }

    /// Returns whether a connection that was made at this instant is to the server in use.
    pub(super) fn is_used_since(&self, made: Instant) -> bool {
        self.used.borrow().since <= made
    }

    /// Returns a future that is ready when the server that is in use now is left.
    pub(super) fn is_left(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut used = self.used.subscribe();
        async move {
            // An error says that the store was closed.
            let _ = used.changed().await;
        }
    }

    /// Returns the host that the last connection was made to.
    pub(super) fn connected(&self) -> usize {
        self.used.borrow().connected
    }

    /// Returns a future that is ready when a connection was made to another host than this one: that is the primary.
    pub(super) fn is_replaced(&self, connected: usize) -> impl Future<Output = ()> + Send + use<> {
        let mut used = self.used.subscribe();
        async move {
            // An error says that the store was closed.
            let _ = used.wait_for(|used| used.connected != connected).await;
        }
    }

    /// Leaves the server in use: the next connection is to the next host that accepts one, and no earlier one is used any
    /// more.
    pub(super) fn leave(&self) {
        self.used.send_modify(|used| {
            used.host = (used.host + 1) % self.hosts.len().max(1);
            used.since = Instant::now();
        });
    }

    /// Connects to the first host that is a primary, beginning with the one in use. Another one is in use from then on.
    ///
    /// May take for ever at the last host: see [`Route::patience`].
    pub(super) async fn connect(&self) -> Result<Made, Error> {
        loop {
            let (made, number) = self.connect_to_any().await?;
            // It may have been left meanwhile.
            if self.used.borrow().host == number {
                return Ok(made);
            }
        }
    }

    async fn connect_to_any(&self) -> Result<(Made, usize), Error> {
        let first = self.used.borrow().host;
        let count = self.hosts.len();
        for step in 1..count {
            let number = (first + step - 1) % count;
            if let Ok(Ok(made)) = timeout(TRIED_FOR, self.connect_to(number)).await {
                self.use_host(first, number);
                return Ok((made, number));
            }
        }
        // Its error is the one that is reported.
        let last = (first + count.saturating_sub(1)) % count.max(1);
        let made = self.connect_to(last).await?;
        self.use_host(first, last);
        Ok((made, last))
    }

    async fn connect_to(&self, number: usize) -> Result<Made, Error> {
        match self.hosts.get(number) {
            Some(host) => host.connect(self.tls.clone()).await,
            // The driver has the error for a configuration without a host.
            None => Config::new().connect(self.tls.clone()).await,
        }
    }

    /// Notes that a connection was made to a host, of which the first was tried first.
    fn use_host(&self, first: usize, found: usize) {
        self.used.send_if_modified(|used| {
            if used.host != first {
                // It was left meanwhile.
                return false;
            }
            let is_another = found != first || used.connected != found;
            if found != first {
                used.host = found;
                used.since = Instant::now();
            }
            used.connected = found;
            is_another
        });
    }
}

/// Returns a configuration for each host: only for a primary, and with times after which a server that is gone without a
/// word is noticed.
fn each_host(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let host = |number: usize| {
        let mut one = Config::new();
        match hosts.get(number) {
            Some(tokio_postgres::config::Host::Tcp(name)) => {
                one.host(name);
            }
            #[cfg(unix)]
            Some(tokio_postgres::config::Host::Unix(folder)) => {
                one.host_path(folder);
            }
            None => {}
        }
        if let Some(address) = addresses.get(number) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(number).or(ports.first()) {
            one.port(*port);
        }
        if let Some(user) = config.get_user() {
            one.user(user);
        }
        if let Some(password) = config.get_password() {
            one.password(password);
        }
        if let Some(database) = config.get_dbname() {
            one.dbname(database);
        }
        if let Some(options) = config.get_options() {
            one.options(options);
        }
        if let Some(name) = config.get_application_name() {
            one.application_name(name);
        }
        if let Some(interval) = config.get_keepalives_interval() {
            one.keepalives_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            one.keepalives_retries(retries);
        }
        let idle = config.get_keepalives_idle();
        let is_given = idle != DRIVERS_PROBED_AFTER;
        one.ssl_mode(config.get_ssl_mode())
            .ssl_negotiation(config.get_ssl_negotiation())
            .channel_binding(config.get_channel_binding())
            .connect_timeout(config.get_connect_timeout().copied().unwrap_or(PATIENCE))
            .tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(SILENCE))
            .keepalives(config.get_keepalives())
            .keepalives_idle(if is_given { idle } else { PROBED_AFTER })
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        one
    };
    (0..count).map(host).collect()
}

/// For how long a server may leave what was sent without a receipt.
const SILENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_port_and_what_is_common() {
        let url = "postgres://jeton:secret@one:1,two:2/tokens?sslmode=require&application_name=jeton&connect_timeout=7\
            &keepalives_idle=9&options=-c%20jit%3Doff&target_session_attrs=any";
        let config: Config = url.parse().unwrap();
        let hosts = each_host(&config);
        let expected = ["one:1", "two:2"].map(|host| {
            let url = format!(
                "postgres://jeton:secret@{host}/tokens?sslmode=require&application_name=jeton&connect_timeout=7\
                 &keepalives_idle=9&options=-c%20jit%3Doff&target_session_attrs=read-write&tcp_user_timeout=10"
            );
            url.parse::<Config>().unwrap()
        });
        assert_eq!(hosts, expected);
        let port: Config = "host=one,two port=3 user=jeton".parse().unwrap();
        assert!(each_host(&port).iter().all(|host| host.get_ports() == [3]));
        let idle = each_host(&port)
            .iter()
            .map(Config::get_keepalives_idle)
            .collect::<Vec<_>>();
        assert_eq!(idle, [PROBED_AFTER; 2]);
    }
}
