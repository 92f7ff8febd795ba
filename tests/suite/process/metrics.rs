//! The metrics of a running server, on a socket of their own.

use std::net::{SocketAddr, TcpListener, TcpStream};

use axum::http::StatusCode;
use rustix::process::Signal;

use super::client::Client;
use super::home::{Home, SOON, Server, eventually, finish};

pub(super) const ANY_PORT: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// Returns the address on which a server serves metrics.
pub(super) fn address(server: &Server) -> SocketAddr {
    let found = eventually(SOON, || {
        let log = server.stderr();
        let line = log
            .lines()
            .find(|line| line.contains("serving metrics"))?
            .to_owned();
        Some(line.rsplit_once("listen=")?.1.parse().unwrap())
    });
    found.unwrap_or_else(|| panic!("no address: {}", server.stderr()))
}

/// Returns the value of a metric without labels.
pub(super) fn value(server: &Server, name: &str) -> f64 {
    let answer = Client::new(address(server))
        .get("/metrics")
        .expect(StatusCode::OK);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.parse().unwrap()
}

#[test]
fn metrics_are_served_on_their_own_socket_until_the_server_has_stopped() {
    let home = Home::new();
    let mut server = home.configure(ANY_PORT).serve();
    let metrics = address(&server);
    assert_ne!(metrics, server.address);

    let answer = Client::new(metrics).get("/metrics").expect(StatusCode::OK);
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("\njeton_start_time_seconds "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    Client::new(metrics).get("/healthz").expect(StatusCode::NOT_FOUND);
    server.client().get("/metrics").expect(StatusCode::NOT_FOUND);

    // A request that the server still waits for keeps it from stopping.
    let unfinished = TcpStream::connect(server.address).unwrap();
    let begun = b"POST /api/v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    std::io::Write::write_all(&mut &unfinished, begun).unwrap();
    server.signal(Signal::TERM);
    let stops = || TcpStream::connect(server.address).is_err().then_some(());
    eventually(SOON, stops).unwrap();
    Client::new(metrics).get("/metrics").expect(StatusCode::OK);
    drop(unfinished);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
    assert!(TcpStream::connect(metrics).is_err());
}

#[test]
fn an_address_that_is_in_use_is_an_error_that_names_the_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (address, taken)).unwrap();
    let home = Home::new();
    home.configure(&format!("[metrics]\nlisten = \"{}\"\n", taken.0));
    let refused = finish(home.serve_command(), "");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains(&format!("cannot serve metrics on {}", taken.0))
            && refused.stderr.contains("`listen` in `[metrics]`"),
        "{refused:?}"
    );
}
