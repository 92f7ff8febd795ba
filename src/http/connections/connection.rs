//! Serves one connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::Limits;
use super::metrics::ConnectionMetrics;
use super::progress::{Progress, Reason};
use super::socket::{Socket, Wire};
use crate::causes::error_chain;
use crate::tls::Tls;

/// The maximum number of bytes that hyper buffers per direction, beyond one chunk.
const BUFFER: usize = 64 * 1024;

/// The reason why a connection ended before its client closed it.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the client disconnected before it was served")]
    Socket(#[source] io::Error),
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error(transparent)]
    Http(hyper::Error),
}

/// Serves one client until it disconnects, violates the protocol or exceeds a limit.
pub(super) async fn run(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    tls: Option<Tls>,
    metrics: ConnectionMetrics,
    progress: Arc<Progress>,
) {
    let connection = speak(stream, peer, router, &limits, tls, &progress);
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(Instant::now() + limits.header_time));
    loop {
        let served = poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Ok(ended)),
            Poll::Pending => poll_overdue(&progress, &limits, alarm.as_mut(), cx).map(Err),
        });
        tokio::select! {
            biased;
            ended = served => {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(broken)) => tracing::debug!(%peer, error = error_chain(&broken), "a connection broke"),
                    Err(reason) => {
                        metrics.count_cut(reason);
                        tracing::debug!(%peer, reason = reason.as_str(), "a connection was closed at its limit");
                    }
                }
                return;
            }
            () = progress.hurried() => {}
        }
    }
}

/// Speaks HTTP with the client, over TLS if there is a certificate.
async fn speak(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: &Limits,
    tls: Option<Tls>,
    progress: &Arc<Progress>,
) -> Result<(), Broken> {
    let wire = Wire::new(stream, Arc::clone(progress), limits).map_err(Broken::Socket)?;
    let Some(tls) = tls else {
        return speak_http(wire, peer, router, limits, progress).await;
    };
    // Boxed: it would more than double the memory of each connection without TLS.
    let secure = Box::pin(async {
        wire.has_received().await.map_err(Broken::Socket)?;
        progress.handshake_begun();
        let stream = tls.accept(wire).await.map_err(Broken::Handshake)?;
        progress.handshake_done();
        speak_http(stream, peer, router, limits, progress).await
    });
    secure.await
}

async fn speak_http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    router: Router,
    limits: &Limits,
    progress: &Arc<Progress>,
) -> Result<(), Broken> {
    let socket = Socket::new(stream, Arc::clone(progress));
    let service = service_fn(|request| answer(router.clone(), Arc::clone(progress), peer, request));
    http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(socket), service)
        .await
        .map_err(Broken::Http)
}

/// Waits until the deadline of the connection has passed, which moves with every step, and returns its reason.
///
/// Setting a timer costs more than the rest of a poll, and nearly every step extends the deadline. So
/// the timer stays as set, and the deadline is checked again when it fires.
fn poll_overdue(
    progress: &Progress,
    limits: &Limits,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Reason> {
    loop {
        let Some((deadline, reason)) = progress.deadline(limits) else {
            return Poll::Pending;
        };
        if deadline < alarm.deadline() {
            alarm.as_mut().reset(deadline);
        }
        ready!(alarm.as_mut().poll(cx));
        if deadline <= alarm.deadline() {
            return Poll::Ready(reason);
        }
        alarm.as_mut().reset(deadline);
    }
}

type Answer = Response<TrackedBody<axum::body::Body>>;

async fn answer(
    mut router: Router,
    progress: Arc<Progress>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    progress.requested();
    let is_ambiguous = is_ambiguous(&request);
    let mut request = request.map(|body| TrackedBody {
        ended: body.is_end_stream(),
        body,
        progress: Arc::clone(&progress),
        waits: Progress::owes_body,
        done: Progress::body_read,
    });
    let mut response = if is_ambiguous {
        drop(request);
        refusal()
    } else {
        request.extensions_mut().insert(ConnectInfo(peer));
        match router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    };
    if progress.closes_after_answer() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| TrackedBody {
        ended: false,
        body,
        progress,
        waits: |_| {},
        done: |progress, _| progress.answered(),
    }))
}

/// Returns whether two servers could parse this request differently (request smuggling), beyond what
/// hyper rejects.
///
/// RFC 9112, section 3.2: exactly one Host from HTTP/1.1 on. Section 6.1: only the transfer coding
/// `chunked` is supported, once; hyper would accept `gzip, chunked` and pass on gzip. A length beside it is
/// removed by hyper, which reads the chunks and closes the connection after the response.
fn is_ambiguous(request: &Request<Incoming>) -> bool {
    let headers: &HeaderMap = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coded = codings.next().is_some_and(|coding| {
        !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some()
    });
    hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) || coded
}

fn refusal() -> Response {
    (StatusCode::BAD_REQUEST, [(header::CONNECTION, "close")]).into_response()
}

/// A body that reports when its reader waits for more, and when it has been read completely or dropped.
struct TrackedBody<B> {
    body: B,
    ended: bool,
    progress: Arc<Progress>,
    waits: fn(&Progress),
    done: fn(&Progress, bool),
}

impl<B> Drop for TrackedBody<B> {
    fn drop(&mut self) {
        (self.done)(&self.progress, self.ended);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            (self.waits)(&self.progress);
            return Poll::Pending;
        };
        self.ended = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
