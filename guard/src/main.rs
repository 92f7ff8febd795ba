//! The command `jeton-guard`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use jeton_guard::answer::Guard;
use jeton_guard::config::{Config, Flags, Listen};
use jeton_guard::observe::log_readiness;
use jeton_guard::serve::{Bound, Limits, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The exit code for a wrong configuration.
const MISTAKE: u8 = 2;

fn main() -> ExitCode {
    let flags = Flags::parse();
    if flags.completions.is_some() || flags.man {
        return print_manual(&flags);
    }
    let config = match Config::load(&flags) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(MISTAKE);
        }
    };
    if flags.check {
        println!("The configuration is good.");
        return ExitCode::SUCCESS;
    }
    start_log(config.log);
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the guard cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Prints the completions of a shell, or the manual page.
fn print_manual(flags: &Flags) -> ExitCode {
    let mut command = Flags::command();
    let mut text = Vec::new();
    let made = match flags.completions {
        Some(shell) => {
            clap_complete::generate(shell, &mut command, "jeton-guard", &mut text);
            Ok(())
        }
        None => clap_mangen::Man::new(command).render(&mut text),
    };
    match made.and_then(|()| io::stdout().write_all(&text)) {
        // A closed pipe (`jeton-guard --man | head -1`) is not a failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Starts the log of the guard and the verifier. Libraries only warn: at lower levels they log parts of requests.
fn start_log(level: Level) {
    let targets = Targets::new()
        .with_default(Level::WARN.min(level))
        .with_targets([("jeton_guard", level), ("jeton_verifier", level)]);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    tracing_subscriber::registry().with(lines).with(targets).init();
}

#[tokio::main]
async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut sockets = Vec::with_capacity(config.listen.len());
    for listen in &config.listen {
        let bound = Bound::new(listen)
            .await
            .map_err(|error| format!("`listen`: {listen}: {error}"))?;
        if let Listen::Tcp(_) = listen
            && !listen.is_local()
        {
            tracing::warn!(%listen, "tokens arrive here unencrypted from other machines");
        }
        sockets.push(bound);
    }
    let addresses: Vec<String> = sockets.iter().map(Bound::address).collect();
    let guard = Arc::new(Guard::new(config)?);
    let readiness = tokio::spawn(log_readiness(guard.verifier().clone()));
    for address in addresses {
        // The user who started it may not read it.
        let _ = writeln!(io::stdout(), "listening on {address}");
    }
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    serve(guard, sockets, Limits::default(), stop).await;
    readiness.abort();
    Ok(())
}
