//! SIGTERM and SIGINT: the first asks the server to stop, the second ends the process. SIGHUP: a reload.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Returns a future that resolves at the first SIGTERM or SIGINT. The second signal ends the process at
/// once, with the exit code that a shell reports (143 or 130), without waiting for requests in
/// progress.
///
/// # Errors
/// If the operating system does not let the process listen for signals.
pub(super) fn stop() -> io::Result<impl Future<Output = ()> + Send> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let (asked, stop) = oneshot::channel();
    tokio::spawn(async move {
        let first = signals.next().await;
        tracing::info!(
            signal = first.name,
            "shutting down; a second signal exits at once"
        );
        // Fails only if the server has already stopped by itself.
        let _ = asked.send(());
        let second = signals.next().await;
        tracing::warn!(signal = second.name, "exiting at once");
        std::process::exit(second.exit_code);
    });
    Ok(async move {
        // An error means that the task above has ended and no signal will arrive.
        let _ = stop.await;
    })
}

/// Returns the SIGHUPs from now on. Without it, a SIGHUP would end the process.
///
/// # Errors
/// If the operating system does not let the process listen for signals.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Ignores SIGINT until the end of the process.
///
/// # Errors
/// If the operating system does not let the process listen for signals.
pub(super) fn ignore_interrupts() -> io::Result<()> {
    // The handler stays when the listener is dropped.
    signal(SignalKind::interrupt()).map(drop)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

struct Received {
    name: &'static str,
    exit_code: i32,
}

impl Signals {
    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received { name: "SIGTERM", exit_code: 143 },
            _ = self.interrupt.recv() => Received { name: "SIGINT", exit_code: 130 },
        }
    }
}
