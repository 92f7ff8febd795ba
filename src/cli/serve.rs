//! `jeton serve`: from a configuration to a listening server, and back down.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use super::deployment::Deployment;
use super::{Failure, first_start, output, prepare, signals};
use crate::authority::{Error, Walk};
use crate::config::{Config, Flags, Issuer, Limits};
use crate::http::connections::{self, Drained};
use crate::http::{App, RateLimits, router};
use crate::store::sqlite::{ServeLock, SqliteStore};
use crate::store::{Keys, Revocations};

/// How long a server that was asked to stop still takes new connections while it says that it is not
/// ready, so that whoever sends it requests sees that before a connection is refused.
const NOTICE: Duration = Duration::from_millis(500);

/// How often it is looked whether another process has written to the database.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = VARIABLES)]
pub(super) struct Arguments {
    /// The address and port to listen on; port 0 takes a free one [env: JETON_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The issuer of every token, an http or https URL [env: JETON_ISSUER] [default: http:// and the address]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Say every mistake in the configuration and stop
    #[arg(long)]
    check_config: bool,
}

const VARIABLES: &str = "\
The first start makes an administrator of JETON_ADMIN_EMAIL and JETON_ADMIN_PASSWORD. JETON_LOG \
says what is logged, such as info (the default) or jeton=debug. Everything else is set in the \
configuration file.";

pub(super) fn run(arguments: Arguments, flags: Flags) -> Result<(), Failure> {
    let config = prepare(Flags {
        listen: arguments.listen,
        issuer: arguments.issuer,
        ..flags
    })?;
    if arguments.check_config {
        return output::print("the configuration is good");
    }
    super::runtime()?.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let stop = signals::stop().map_err(Failure::Runtime)?;
    let _lock = ServeLock::acquire(&config.database)?;
    let unheard = |source| Failure::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(unheard)?;
    let bound = listener.local_addr().map_err(unheard)?;

    let deployment = Deployment::open(&config).await?;
    deployment.store.settle().await?;
    deployment.keys.ensure_signers()?;
    let now = deployment.clock.now();
    deployment
        .store
        .promise_jwks(config.keys.jwks_max_age, now)
        .await?;
    let issuer = pinned_issuer(&config, &deployment, &Issuer::of_address(bound)).await?;
    let authority = deployment.authority(&config, issuer)?;
    let founded = first_start::found(&authority, &config, &*deployment.entropy).await?;
    let app = Arc::new(App::new(
        authority,
        config.trusted_proxies.clone(),
        RateLimits::new(config.rate_limits),
    ));
    let store = Arc::clone(&deployment.store);
    let mut follower = tokio::spawn(follow(Arc::clone(&app), deployment.store));

    tokio::spawn(tend(Arc::clone(&app)));
    tokio::spawn(carry_on(Arc::clone(&app)));

    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, issuer = app.authority.settings().issuer, "serving");
    output::print(&format!("listening on http://{bound}"))?;
    output::print(&first_start::welcome(bound, founded.as_ref()))?;
    let stop = async {
        tokio::select! {
            () = stop => {
                app.stop();
                tokio::time::sleep(NOTICE).await;
            }
            // Whoever waits for a write is told that it failed.
            _ = &mut follower => app.stop(),
        }
    };
    let drained = connections::serve(listener, router(Arc::clone(&app)), limits(&config.limits), stop).await;
    if !follower.is_finished() {
        write_down(&app).await;
    }
    // It may have died with the last request, or of what was written down just now.
    if follower.is_finished() || store.has_died() {
        return Err(Failure::StoreDied);
    }
    match drained {
        Drained::Whole => Ok(()),
        Drained::Cut(connections) => Err(Failure::Cut(connections)),
    }
}

/// The issuer that the database was begun with. Another one would end every token alive, since all of
/// them carry it.
async fn pinned_issuer(config: &Config, deployment: &Deployment, bound: &Issuer) -> Result<String, Failure> {
    let wanted = config.issuer.as_ref().unwrap_or(bound).as_str();
    let pinned = deployment.store.pin_issuer(wanted).await?;
    match &config.issuer {
        Some(given) if given.as_str() != pinned => Err(Failure::Issuer {
            given: given.to_string(),
            pinned,
            database: config.database.clone(),
        }),
        _ => Ok(pinned),
    }
}

/// Follows what other processes write to the database, tends the keys, writes down which tokens were
/// seen, and keeps house, until the store dies.
async fn follow(app: Arc<App>, store: Arc<SqliteStore>) {
    let authority = &app.authority;
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    let mut walk = Walk::default();
    loop {
        tokio::select! {
            () = store.died() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = authority.catch_up().await {
            tracing::error!(
                error = output::sentence(&error),
                "what other processes wrote could not be followed"
            );
        }
        if let Err(error) = authority.tend_keys().await {
            tracing::error!(
                error = output::sentence(&error),
                "what is due for the keys could not be done"
            );
        }
        write_down(&app).await;
        match authority.keep_house(&mut walk).await {
            // Whoever waits goes first.
            Ok(_) | Err(Error::Busy) => {}
            Err(error) => tracing::warn!(
                error = output::sentence(&error),
                "what has ended could not be forgotten"
            ),
        }
    }
}

/// Writes down which tokens were seen and which were refused.
async fn write_down(app: &App) {
    for written in [
        app.authority.write_usage().await,
        app.authority.write_refusals().await,
    ] {
        if let Err(error) = written {
            tracing::warn!(
                error = output::sentence(&error),
                "which tokens were seen could not be written down"
            );
        }
    }
}

/// Keeps the status lists ready. On its own, since setting the bits of a million tokens takes a while.
async fn tend(app: Arc<App>) {
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = app.authority.tend_status_lists().await {
            tracing::warn!(%error, "the status lists could not be brought up to date");
        }
    }
}

/// Carries out the orders to revoke many tokens that nobody carries out: whoever took one down was
/// interrupted, or their client went away first, or it failed.
async fn carry_on(app: Arc<App>) {
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.authority.carry_on().await;
    }
}

fn limits(limits: &Limits) -> connections::Limits {
    connections::Limits {
        header_time: limits.header_timeout,
        body_time: limits.body_timeout,
        idle_time: limits.idle_timeout,
        connections: limits.max_connections,
        drain_time: limits.drain_deadline,
        ..connections::Limits::default()
    }
}
