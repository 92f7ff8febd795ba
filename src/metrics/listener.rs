//! The listener of `[metrics] listen`: a socket of its own, since clients of the API must not read metrics.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::http::connections::{self, Drained, Limits, Listener};
use crate::http::{Adjustable, Streams};

/// The content type of version 1.0 of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Far more connections than there are programs that scrape, and shorter times than a scrape interval. A scraper
/// keeps its connection between two scrapes, of which there is usually one a minute.
///
/// A connection that waits for its client makes room for another after half a second. So 900 connections that say
/// nothing delay a scrape by 0.3 s; with 16 connections in place of 64 it was 4 s.
const LIMITS: Limits = Limits {
    header_bytes: 8 * 1024,
    header_time: Duration::from_secs(5),
    body_time: Duration::from_secs(5),
    stall_time: Duration::from_secs(10),
    idle_time: Duration::from_secs(75),
    connections: 64,
    drain_time: Duration::ZERO,
};

/// Serves the metrics until the future is dropped, which closes all connections.
pub async fn serve(listener: TcpListener, registry: Registry) -> Infallible {
    let (streams, never) = (Streams::new(0), std::future::pending());
    let listener = Listener::bound(listener);
    let adjustable = Arc::new(ArcSwap::from_pointee(Adjustable {
        limits: LIMITS,
        ..Adjustable::default()
    }));
    let serving = connections::serve(listener, router(registry), adjustable, streams, never);
    // Nothing stops it.
    let (Drained::Complete | Drained::Cut(_)) = serving.await;
    std::future::pending().await
}

/// Returns a router with one path, `/metrics`.
pub fn router(registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new().route("/metrics", get(async move || scrape(&registry)))
}

fn scrape(registry: &Registry) -> Response {
    let mut text = String::new();
    match text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::ErrorKind;

    use axum::body::{Body, to_bytes};
    use axum::http::{Method, Request};
    use jeton_core::clock::Timestamp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: Method, path: &str) -> (StatusCode, Option<String>, String) {
        let started = Timestamp::from_millis(1_700_000_000_250).unwrap();
        let mut registry = Registry::default();
        crate::metrics::about_process(&mut registry, started);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = router(registry).oneshot(request).await;
        let (head, body) = answer.unwrap().into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE);
        let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_are_in_the_openmetrics_format() {
        let (status, kind, text) = ask(Method::GET, "/metrics").await;
        assert_eq!((status, kind.as_deref()), (StatusCode::OK, Some(OPEN_METRICS)));
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            &*format!("jeton_build_info{{version=\"{version}\"}} 1"),
            "jeton_start_time_seconds 1700000000.25",
            "# TYPE process_cpu_seconds counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            let prefix = format!("{name} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
            assert!(value.parse::<f64>().unwrap() > 0.0, "{name} {value}");
        }
    }

    #[tokio::test]
    async fn a_scrape_is_answered_beside_silent_connections_without_closing_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, Registry::default()));
        let mut silent = Vec::new();
        for _ in 0..48 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut scraper = TcpStream::connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        scraper.write_all(request).await.unwrap();
        let mut text = String::new();
        scraper.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        for connection in silent {
            let read = connection.try_read(&mut [0]);
            assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        server.abort();
    }

    #[tokio::test]
    async fn head_has_no_body_and_nothing_else_is_served() {
        let (status, kind, text) = ask(Method::HEAD, "/metrics").await;
        assert_eq!((status, kind.as_deref()), (StatusCode::OK, Some(OPEN_METRICS)));
        assert_eq!(text, "");
        for (method, path, expected) in [
            (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/", StatusCode::NOT_FOUND),
            (Method::GET, "/metrics/", StatusCode::NOT_FOUND),
            (Method::GET, "/healthz", StatusCode::NOT_FOUND),
            (Method::GET, "/api/v1/tokens", StatusCode::NOT_FOUND),
        ] {
            let (status, _, text) = ask(method.clone(), path).await;
            assert_eq!((status, &*text), (expected, ""), "{method} {path}");
        }
    }
}
