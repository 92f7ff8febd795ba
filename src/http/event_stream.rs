//! Server-sent events (WHATWG HTML, section 9.2): the response that a follower writes, apart from what is followed.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use crate::authority::Authority;

/// The time between two heartbeats of a stream.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a client waits before it connects again, in milliseconds: at least, and at random up to this much more, so
/// that the followers of a server that starts again do not all come at once.
const RETRY: (u64, u64) = (250, 2_000);

/// What writes a stream.
pub(super) trait Follower: Send + Sized + 'static {
    /// Waits for the next text; `None` when the stream ends.
    fn text(&mut self) -> impl Future<Output = Option<Bytes>> + Send;

    /// Notes that the server ends the stream.
    fn end(&mut self) {}
}

/// Returns the response that a follower writes. The client resumes after the last event that it has received.
pub(super) fn respond(authority: &Authority, follower: impl Follower) -> Response {
    let wait = RETRY.0 + authority.fresh_id().as_u128() as u64 % RETRY.1;
    let first = stream::once(async move { Ok::<_, Infallible>(Bytes::from(format!("retry: {wait}\n\n"))) });
    let rest = stream::unfold(follower, async |mut follower| {
        let text = follower.text().await;
        if text.is_none() {
            follower.end();
        }
        Some((Ok(text?), follower))
    });
    let content_type = [(header::CONTENT_TYPE, "text/event-stream")];
    (content_type, Body::from_stream(first.chain(rest))).into_response()
}
