//! The metrics of connections.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::*;

/// Returns the values of the metrics that are not 0, without their common prefix.
fn values(registry: &Registry) -> Vec<String> {
    let mut text = String::new();
    text::encode(&mut text, registry).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("jeton_http_connections"));
    lines
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

/// Waits until the metrics have these values.
async fn become_values(registry: &Registry, expected: &[&str]) {
    let polling = async {
        while values(registry) != expected {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let became = timeout(Duration::from_secs(20), polling).await;
    assert!(became.is_ok(), "{:?} instead of {expected:?}", values(registry));
}

#[tokio::test]
async fn connections_are_counted_while_they_are_open_and_by_the_reason_of_their_end() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits {
            connections: 7,
            ..Limits::default()
        };
        change(&mut limits);
        limits
    };
    let body = "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nhalf";
    let whole = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    for (limits, said, reason) in [
        (limits(|limits| limits.header_time = SOON), "", "headers"),
        (limits(|limits| limits.header_time = SOON), "GET / HT", "headers"),
        (limits(|limits| limits.body_time = SOON), body, "body"),
        (limits(|limits| limits.idle_time = SOON), whole, "idle"),
    ] {
        let mut registry = Registry::default();
        let metrics = ConnectionMetrics::default();
        metrics.register(&mut registry);
        let listener = Listener::bound(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let server = start_listener(Over::Plain, listener.counted_by(metrics), limits, Vec::new());
        let _client = server.saying(said).await;
        let cut = format!("_cut_total{{reason=\"{reason}\"}} 1");
        become_values(&registry, &["_limit 7", &cut]).await;
    }
}

#[tokio::test]
async fn a_connection_is_counted_until_it_ends_by_itself() {
    let mut registry = Registry::default();
    let metrics = ConnectionMetrics::default();
    metrics.register(&mut registry);
    let listener = Listener::bound(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let limits = Limits {
        connections: 7,
        ..Limits::default()
    };
    let server = start_listener(Over::Plain, listener.counted_by(metrics), limits, Vec::new());
    let clients = [server.saying("").await, server.saying("").await];
    become_values(&registry, &[" 2", "_limit 7"]).await;
    drop(clients);
    become_values(&registry, &["_limit 7"]).await;
}
