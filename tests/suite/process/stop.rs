//! SIGTERM: requests in progress finish, and clients that stall delay nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use super::client::{Broken, Client};
use super::home::{Home, SOON, Server, eventually};

/// The default drain deadline plus the notice before it.
const DEADLINE: Duration = Duration::from_secs(9);

#[test]
fn under_load_every_request_that_was_sent_is_answered() {
    let home = Home::new();
    let mut server = home.serve();
    let session = server
        .client()
        .login(super::home::EMAIL, super::home::PASSWORD)
        .unwrap();
    let answered = AtomicUsize::new(0);
    let address = server.address;
    let mut issued = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| load(Client::new(address).with_token(&session), &answered)))
            .collect();
        eventually(SOON, || (answered.load(Ordering::Relaxed) > 50).then_some(())).unwrap();
        let before = answered.load(Ordering::Relaxed);
        let asked = Instant::now();
        server.signal(Signal::TERM);
        assert!(turns_unready(&server), "it was never unready");
        // Clients that continue while the server reports that it is not ready are still served.
        let status = server.ended(SOON).unwrap();
        assert_eq!(status.code(), Some(0), "{}", server.stderr());
        assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
        assert!(answered.load(Ordering::Relaxed) > before);
        for worker in workers {
            issued.extend(worker.join().unwrap());
        }
    });

    // An acknowledged order is durable.
    let server = home.serve();
    let mut client = server.client();
    assert!(issued.iter().all(|token| client.current(token) == 200));
}

/// Issues tokens until the server closes the connection, and returns them.
fn load(mut client: Client, answered: &AtomicUsize) -> Vec<String> {
    let mut issued = Vec::new();
    loop {
        let body = json!({"name": "load", "organization": "default"}).to_string();
        match client.ask("POST", "/api/v1/tokens", Some(body)) {
            Ok(answer) => {
                assert_eq!(answer.status, 201, "{answer:?}");
                issued.push(answer.json()["token"].as_str().unwrap().to_owned());
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.header("connection") == "close" {
                    return issued;
                }
            }
            // An idle connection that was closed without a request on it.
            Err(Broken::Unsent) => return issued,
            Err(Broken::Unanswered(why)) => panic!("a request was cut: {why}"),
        }
    }
}

fn turns_unready(server: &Server) -> bool {
    let asked = eventually(DEADLINE, || match server.client().ask("GET", "/readyz", None) {
        Ok(answer) if answer.status == 503 => Some(answer.json()["status"] == "stopping"),
        Ok(_) => None,
        Err(_) => Some(false),
    });
    asked == Some(true)
}

/// Opens a connection and sends a text.
fn saying(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Sends a login whose body lacks its last byte: the handler waits for it.
fn half_a_request(server: &Server) -> (TcpStream, &'static str) {
    let head = "POST /api/v1/login HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
    (saying(server, head), "}")
}

#[test]
fn a_request_that_has_begun_is_finished_after_the_signal() {
    let home = Home::new();
    let mut server = home.serve();
    let (mut begun, rest) = half_a_request(&server);
    server.signal(Signal::TERM);
    assert!(turns_unready(&server));
    eventually(SOON, || TcpStream::connect(server.address).is_err().then_some(())).unwrap();
    begun.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
}

#[test]
fn stuck_clients_do_not_hold_it_up() {
    let home = Home::new();
    home.configure("[limits]\ndrain_deadline = \"2s\"\n");
    let mut server = home.serve();
    let _silent = saying(&server, "");
    let _half_header = saying(&server, "GET /heal");
    let _half_body = half_a_request(&server);
    let mut idle = saying(&server, "GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n");
    let mut first = [0; 16];
    idle.read_exact(&mut first).unwrap();
    let asked = Instant::now();
    server.signal(Signal::TERM);
    let status = server.ended(SOON).unwrap();
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    // The control: they delayed the shutdown for as long as allowed.
    assert!(took > Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let home = Home::new();
        let mut server = home.serve();
        // Without it the first signal would be enough.
        let _begun = half_a_request(&server);
        server.signal(Signal::TERM);
        assert!(turns_unready(&server));
        let asked = Instant::now();
        server.signal(second);
        assert_eq!(server.ended(SOON).unwrap().code(), Some(code));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

#[test]
fn an_interrupt_from_the_keyboard_stops_it_too() {
    let mut server = Home::new().serve();
    server.signal(Signal::INT);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
}

#[test]
fn a_stop_leaves_the_whole_database_in_one_file() {
    let home = Home::new();
    let mut server = home.serve();
    server
        .administrator()
        .get("/api/v1/me")
        .expect(axum::http::StatusCode::OK);
    // The control: while the server runs, that file lacks the last writes.
    assert!(home.path("jeton.db-wal").exists());
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
    assert!(!home.path("jeton.db-wal").exists());
}

/// A hang-up reloads the configuration, and must not cut requests.
#[test]
fn a_hangup_ends_nothing() {
    let home = Home::new();
    let server = home.serve();
    server.signal(Signal::HUP);
    let logged = || server.stderr().contains("configuration reloaded").then_some(());
    eventually(SOON, logged).unwrap();
    server.administrator().get("/api/v1/me").expect(StatusCode::OK);
}
