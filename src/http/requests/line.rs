//! A request's own line in the log.

use std::time::Duration;

use axum::http::StatusCode;

use super::context::RequestContext;
use super::metrics::Operation;
use crate::authority::Error;
use crate::causes::error_chain;
use crate::config::LogRequests;
use crate::http::Failure;
use crate::log_limit::LogLimit;

/// How many lines about failed requests are written each second.
///
/// A line has about 300 bytes: at most 300 MB a day are written, whatever clients send. A client that has no token
/// cannot use up the lines of those that have one.
const OF_CALLERS: u32 = 10;
const OF_STRANGERS: u32 = 1;

/// Decides which requests have a line in the log, and writes it.
#[derive(Debug)]
pub(super) struct RequestLog {
    of_callers: LogLimit,
    of_strangers: LogLimit,
}

/// Writes a line at a level.
macro_rules! line {
    ($level:ident, $message:literal, $line:expr) => {{
        let Line {
            operation,
            status,
            took,
            context,
            left_out,
        } = $line;
        let caller = context.caller.get();
        let failure = context.failure.get();
        tracing::$level!(
            target: "jeton::request",
            surface = operation.surface,
            operation = operation.name,
            status = status.as_u16(),
            duration_ms = (took.as_micros() as f64) / 1000.0,
            code = failure.map(|failure| failure.code()),
            causes = failure.and_then(|failure| causes(failure)),
            caller = caller.map(|active| active.token().owner().subject()),
            token = caller.map(|active| tracing::field::display(active.token().id())),
            left_out = (left_out > 0).then_some(left_out),
            $message
        );
    }};
}

struct Line<'r> {
    operation: &'r Operation,
    status: StatusCode,
    took: Duration,
    context: &'r RequestContext,
    left_out: u64,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self {
            of_callers: LogLimit::new(OF_CALLERS),
            of_strangers: LogLimit::new(OF_STRANGERS),
        }
    }
}

impl RequestLog {
    /// Writes the line of a request, if it has one.
    pub(super) fn write(
        &self,
        which: LogRequests,
        operation: &Operation,
        status: StatusCode,
        took: Duration,
        context: &RequestContext,
    ) {
        let is_failed = status.is_client_error() || status.is_server_error();
        let mut line = Line {
            operation,
            status,
            took,
            context,
            left_out: 0,
        };
        match which {
            LogRequests::All if status.is_server_error() => line!(error, "request failed", line),
            LogRequests::All if is_failed => line!(info, "request failed", line),
            LogRequests::All => line!(info, "request", line),
            LogRequests::Failed if !is_failed || operation.is_probe() => {}
            LogRequests::Failed if status.is_client_error() && context.caller.get().is_none() => {
                line!(debug, "request failed", line);
            }
            LogRequests::None
                if context
                    .failure
                    .get()
                    .and_then(|failure| causes(failure))
                    .is_none() => {}
            LogRequests::Failed | LogRequests::None => {
                let limit = match context.caller.get() {
                    Some(_) => &self.of_callers,
                    None => &self.of_strangers,
                };
                let Some(left_out) = limit.admit() else { return };
                line.left_out = left_out;
                match status.is_server_error() {
                    true => line!(error, "request failed", line),
                    false => line!(info, "request failed", line),
                }
            }
        }
    }
}

/// Returns the causes of a failure in the server, which are never sent to the client.
fn causes(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Refused(Error::Unavailable(cause)) => Some(error_chain(&**cause)),
        _ => None,
    }
}
