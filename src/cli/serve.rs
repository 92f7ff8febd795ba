//! `jeton serve`: starts the server, and drains it after a stop signal.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::Args;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::deployment::Deployment;
use super::first_start::{self, FirstStart};
use super::reload::Reload;
use super::service_manager::{self, ServiceManager};
use super::upkeep::{self, Upkeep};
use super::{BACKUPS_OF_POSTGRESQL, Failure, output, prepare, signals, with_stored};
use crate::backend::{self, JournalCopy, ServeLock};
use crate::backups::Backups;
use crate::config::{Config, Flags, Issuer, Limits};
use crate::http::connections::{self, ConnectionMetrics, Drained, Listener};
use crate::http::{Adjustable, App, RateLimits, Streams, router};
use crate::metrics;
use crate::tls::Tls;

/// How long the server still accepts new connections after a stop signal while it reports that it is
/// not ready. Load balancers notice that before a connection is refused.
const NOTICE: Duration = Duration::from_millis(500);

/// How long the end of the process waits for threads that the operating system holds, such as a read of a file system
/// that hangs.
const THREADS_END: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = VARIABLES)]
pub(super) struct Arguments {
    /// The IP address and port to listen on; port 0 selects a free port [env: JETON_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The issuer of every token, an http or https URL [env: JETON_ISSUER] [default: the URL of the address]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The certificate chain for TLS, in PEM; without one the server speaks plain HTTP [env: JETON_TLS_CERTIFICATE]
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, in PEM [env: JETON_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Check the configuration, print all errors and exit
    #[arg(long)]
    check_config: bool,
}

const VARIABLES: &str = "\
The first start creates a site administrator from JETON_ADMIN_EMAIL and the file that \
JETON_ADMIN_PASSWORD_FILE names, or JETON_ADMIN_PASSWORD; without a password it prints a code for \
/console/setup. JETON_LOG is the log filter, such as info (the default) or jeton=debug. All other settings are in the configuration file.";

pub(super) fn run(arguments: Arguments, flags: Flags) -> Result<(), Failure> {
    let flags = Flags {
        listen: arguments.listen,
        issuer: arguments.issuer,
        tls_certificate: arguments.tls_certificate,
        tls_key: arguments.tls_key,
        ..flags
    };
    let config = Arc::new(prepare(flags.clone())?);
    let tls = check_start(&config)?;
    check_folders_briefly(&config)?;
    if arguments.check_config {
        // What cannot be read is for the start to report: another user may check the file.
        if let Some(file) = config.database.file()
            && file.exists()
            && let Ok(Some(pinned)) = backend::issuer(file)
        {
            check_issuer(&config, &pinned)?;
        }
        return output::print("the configuration is valid");
    }
    let given = service_manager::inherited_socket()?;
    let manager = ServiceManager::from_environment(&|name| std::env::var_os(name))?;
    let runtime = super::runtime()?;
    let served = runtime.block_on(serve(config, flags, tls, given, manager));
    // Dropping the runtime would wait for all threads.
    runtime.shutdown_timeout(THREADS_END);
    served
}

/// Checks all that a start needs apart from the settings themselves and the folders, before it creates anything. Returns
/// the TLS.
pub(super) fn check_start(config: &Config) -> Result<Option<Tls>, Failure> {
    super::keys::check_key_encryption_key(config, &config.database)?;
    if config.backups.is_some() {
        super::file(config, "`[backup]`", BACKUPS_OF_POSTGRESQL)?;
    }
    if config.journal_copy.is_some() {
        super::file(config, "`copy` in `[journal]`", BACKUPS_OF_POSTGRESQL)?;
    }
    Ok(config.tls.as_ref().map(Tls::open).transpose()?)
}

/// Refuses folders of backups and of the journal's copy that cannot be right. Blocks while their file systems hang.
pub(super) fn check_folders(config: &Config) -> Result<(), Failure> {
    if let Some(settings) = &config.backups {
        Backups::check(settings)?;
    }
    if let (Some(folder), Some(file)) = (&config.journal_copy, config.database.file()) {
        JournalCopy::new(backend::journal_of(file), folder.clone()).check_folder()?;
    }
    Ok(())
}

/// How long a start waits for the file systems of the backups and of the journal's copy.
const FOLDER_PATIENCE: Duration = Duration::from_secs(3);

/// Checks the folders as [`check_folders`]. A file system that hangs keeps no server from starting: the threads that use
/// the folders check them too.
fn check_folders_briefly(config: &Arc<Config>) -> Result<(), Failure> {
    if config.backups.is_none() && config.journal_copy.is_none() {
        return Ok(());
    }
    let (sender, checked) = mpsc::channel();
    let config = Arc::clone(config);
    let thread = thread::Builder::new().name("jeton-folders".to_owned());
    thread
        .spawn(move || {
            // Nobody waits any more.
            let _ = sender.send(check_folders(&config));
        })
        .map_err(Failure::Worker)?;
    match checked.recv_timeout(FOLDER_PATIENCE) {
        Ok(checked) => checked,
        Err(_) => {
            tracing::warn!("the folder of backups or of the copy of the journal does not respond");
            Ok(())
        }
    }
}

async fn serve(
    config: Arc<Config>,
    flags: Flags,
    tls: Option<Tls>,
    given: Option<std::net::TcpListener>,
    manager: ServiceManager,
) -> Result<(), Failure> {
    let stop = signals::stop().map_err(Failure::Runtime)?;
    let hangup = signals::hangups().map_err(Failure::Runtime)?;
    let claimed = Claimed::acquire(&config, given).await?;
    let config = with_stored(config, flags.clone()).await?;
    let deployment = Deployment::open(&config).await?;
    let started = start(&config, &deployment, claimed.bound, tls.is_some()).await?;
    let (app, store) = (Arc::clone(&started.app), Arc::clone(&deployment.store));

    let mut registry = metrics::registry(&app, deployment.clock.now());
    app.authority.register_metrics(&mut registry);
    app.streams.register_metrics(&mut registry);
    let connections = ConnectionMetrics::default();
    connections.register(&mut registry);
    let counts_tokens = claimed.metrics.is_some();
    let mut upkeep = Upkeep::start(&config, &deployment, &app, counts_tokens, &mut registry).await?;
    if let Some(tls) = &tls {
        tls.register(&mut registry);
        let hangups = signals::hangups().map_err(Failure::Runtime)?;
        tokio::spawn(upkeep::renew_certificate(tls.clone(), hangups));
    }
    let reload = Reload::new(
        flags,
        Arc::clone(&config),
        Arc::clone(&app),
        deployment.keys,
        deployment.clock,
    );
    reload.metrics.register(&mut registry);

    let url = Issuer::of_address(claimed.bound, tls.is_some());
    announce(&config, &started, &url, tls.is_some())?;
    tokio::spawn(reload.run(hangup));
    manager.ready(url.as_str());
    let manager = Arc::new(manager);
    tokio::spawn(Arc::clone(&manager).feed_watchdog(Arc::clone(&store)));
    let stop = async {
        tokio::select! {
            () = stop => {
                app.stop();
                manager.stopping(app.adjustable.load().limits.drain_time);
                tokio::time::sleep(NOTICE).await;
            }
            // Clients that wait for a write receive an error.
            () = upkeep.has_ended() => app.stop(),
        }
    };
    let served = connections::serve(
        claimed.listener.with_tls(tls).counted_by(connections),
        router(Arc::clone(&app)),
        Arc::clone(&app.adjustable),
        Arc::clone(&app.streams),
        stop,
    );
    // Metrics are served until the last request is answered.
    let drained = tokio::select! {
        drained = served => drained,
        never = serve_metrics(claimed.metrics, registry) => match never {},
    };
    upkeep.finish(&app, &*store).await?;
    drop((started, app, store, deployment.store));
    backend::sync(&config.database).map_err(Failure::FolderNotSynced)?;
    match drained {
        Drained::Complete => Ok(()),
        Drained::Cut(connections) => Err(Failure::ConnectionsCut(connections)),
    }
}

/// What one server alone has: its database file, its address, and that of its metrics.
struct Claimed {
    /// Released when the server has ended.
    _lock: Option<ServeLock>,
    listener: Listener,
    bound: SocketAddr,
    metrics: Option<TcpListener>,
}

impl Claimed {
    /// Claims all of it, before anything is created.
    async fn acquire(config: &Config, given: Option<std::net::TcpListener>) -> Result<Self, Failure> {
        let failure = |source| Failure::Listen {
            address: config.listen,
            source,
        };
        let listen = match &given {
            Some(socket) => socket.local_addr().map_err(failure)?,
            None => config.listen,
        };
        let is_new = config.database.file().is_some_and(|file| !file.exists());
        if listen.ip().is_unspecified() && config.issuer.is_none() && is_new {
            return Err(Failure::IssuerNeeded(listen));
        }
        let lock = backend::lock(&config.database)?;
        let listener = match given {
            Some(socket) => TcpListener::from_std(socket).map(Listener::inherited),
            None => TcpListener::bind(listen).await.map(Listener::bound),
        };
        let listener = listener.map_err(failure)?;
        Ok(Self {
            _lock: lock,
            bound: listener.address().map_err(failure)?,
            listener,
            metrics: listen_for_metrics(config.metrics_listen).await?,
        })
    }
}

/// A server that can answer, and what its first start has done.
struct Started {
    app: Arc<App>,
    first: Option<FirstStart>,
}

/// Brings an opened deployment into the state in which it serves.
async fn start(
    config: &Config,
    deployment: &Deployment,
    bound: SocketAddr,
    is_secure: bool,
) -> Result<Started, Failure> {
    deployment.store.settle().await?;
    deployment.keys.ensure_signers()?;
    let now = deployment.clock.now();
    deployment.keys.promise(&*deployment.store, now).await?;
    let issuer = pinned_issuer(config, deployment, bound, is_secure).await?;
    deployment.store.started().await?;
    let authority = deployment.authority(config, issuer)?;
    let first = first_start::begin(&authority, config).await?;
    let adjustable = Adjustable {
        limits: limits(&config.limits),
        trusted_proxies: config.trusted_proxies.clone(),
        rate_limits: RateLimits::new(config.rate_limits),
        log_requests: config.log.requests,
    };
    let streams = Streams::new(config.limits.max_streams);
    Ok(Started {
        app: Arc::new(App::new(authority, adjustable, streams)),
        first,
    })
}

/// Says on standard output where the server listens, and how one begins.
fn announce(config: &Config, started: &Started, url: &Issuer, is_secure: bool) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let issuer = started.app.authority.issuer();
    if config.issuer.is_none() && Issuer::is_of_address(issuer) && issuer != url.as_str() {
        tracing::warn!(
            issuer,
            listen = %url,
            "the issuer of the first start stays, and is another URL than the one listened on: verifiers look for keys and status lists at the issuer"
        );
    }
    tracing::info!(version, issuer, "serving");
    output::print(&format!("listening on {url}"))?;
    // The certificate is for the name in the issuer, not for an address.
    let reachable = if is_secure { issuer } else { url.as_str() };
    output::print(&first_start::welcome(reachable, started.first.as_ref()))
}

async fn listen_for_metrics(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let failure = |source| Failure::ListenForMetrics { address, source };
    let listener = TcpListener::bind(address).await.map_err(failure)?;
    let listen = listener.local_addr().map_err(failure)?;
    tracing::info!(%listen, "serving metrics");
    Ok(Some(listener))
}

async fn serve_metrics(listener: Option<TcpListener>, registry: Registry) -> Infallible {
    match listener {
        Some(listener) => metrics::serve(listener, registry).await,
        None => std::future::pending().await,
    }
}

/// Returns the issuer of the database's first start. A different issuer would invalidate all tokens,
/// which contain it. An address for all interfaces is none that a client can reach, and would be stored for good.
pub(super) async fn pinned_issuer(
    config: &Config,
    deployment: &Deployment,
    bound: SocketAddr,
    is_secure: bool,
) -> Result<String, Failure> {
    let of_address = || (!bound.ip().is_unspecified()).then(|| Issuer::of_address(bound, is_secure));
    let wanted = config.issuer.clone().or_else(of_address);
    let pinned = deployment.store.pin_issuer(wanted.as_ref().map(Issuer::as_str));
    let pinned = pinned.await?.ok_or(Failure::IssuerNeeded(bound))?;
    check_issuer(config, &pinned)?;
    Ok(pinned)
}

/// Fails if another issuer is configured than that of the database.
pub(super) fn check_issuer(config: &Config, pinned: &str) -> Result<(), Failure> {
    match &config.issuer {
        Some(given) if given.as_str() != pinned => Err(Failure::Issuer {
            given: given.to_string(),
            pinned: pinned.to_owned(),
            database: config.database.clone(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn limits(limits: &Limits) -> connections::Limits {
    connections::Limits {
        header_time: limits.header_timeout,
        body_time: limits.body_timeout,
        idle_time: limits.idle_timeout,
        connections: limits.max_connections,
        drain_time: limits.drain_deadline,
        ..connections::Limits::default()
    }
}
