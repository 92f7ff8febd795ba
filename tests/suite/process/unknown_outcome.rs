//! A connection that is cut between the commit and the answer: the client does not know whether its request was
//! carried out, and repeats it with the same idempotency key.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::client::{Broken, Client};
use super::home::{Home, SOON, Server};

/// A proxy for one connection. It passes the request on, and cuts the connection once the server begins to answer.
struct Cut {
    address: SocketAddr,
    /// Returns how much of the answer arrived.
    end: JoinHandle<usize>,
}

impl Cut {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let end = thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let mut upstream = TcpStream::connect(server).unwrap();
            upstream.set_read_timeout(Some(SOON)).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            let passing = thread::spawn(move || {
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = from.read(&mut part) {
                    if to.write_all(&part[..length]).is_err() {
                        return;
                    }
                }
            });
            // The server answers what it has committed.
            let begun = upstream.read(&mut [0; 1]).unwrap();
            let both = std::net::Shutdown::Both;
            // The server may have closed its side.
            let _ = upstream.shutdown(both);
            client.shutdown(both).unwrap();
            passing.join().unwrap();
            begun
        });
        Self { address, end }
    }
}

fn order(name: &str) -> Value {
    json!({"name": name, "organization": "default", "owner": "organization", "scopes": ["content:write"]})
}

/// Sends a request whose answer is lost.
fn lose(server: &Server, session: &str, key: Option<&str>, name: &str) {
    let cut = Cut::before(server.address);
    let mut client = Client::new(cut.address).with_token(session);
    if let Some(key) = key {
        client = client.with_header("idempotency-key", key);
    }
    let answer = client.ask("POST", "/api/v1/tokens", Some(order(name).to_string()));
    assert!(matches!(answer, Err(Broken::Unanswered(_))), "{answer:?}");
    assert_eq!(cut.end.join().unwrap(), 1, "the server has answered");
}

/// Returns the tokens with a name.
fn named(client: &mut Client, name: &str) -> Vec<Value> {
    let listed = client.get(&format!("/api/v1/tokens?q={name}")).json();
    listed["items"].as_array().unwrap().clone()
}

#[test]
fn a_request_whose_answer_was_lost_is_repeated_safely() {
    let home = Home::new();
    let mut server = home.serve();
    let admin = server.administrator();
    let session = admin.token().to_owned();
    lose(&server, &session, Some("lost-1"), "lost");
    let retry = |server: &Server, name: &str| {
        let client = server.client().with_token(&session);
        let mut client = client.with_header("idempotency-key", "lost-1");
        client
            .ask("POST", "/api/v1/tokens", Some(order(name).to_string()))
            .unwrap()
    };
    let done = |server: &Server| {
        let answer = retry(server, "lost");
        let body = answer.json();
        assert_eq!(
            (answer.status, body["code"].as_str()),
            (409, Some("already_done"))
        );
        body["done"]["token_info"].clone()
    };
    let info = done(&server);
    assert_eq!(
        (&info["name"], &info["status"]),
        (&"lost".into(), &"active".into())
    );
    server.kill();
    drop(server);
    let server = home.serve();
    assert_eq!(done(&server), info);
    assert_eq!(retry(&server, "another").status, 422);

    // The secret that was lost is replaced.
    let mut admin = server.client().with_token(&session);
    let listed = named(&mut admin, "lost");
    assert_eq!(listed.as_slice(), std::slice::from_ref(&info));
    let rotate = format!("/api/v1/tokens/{}/rotate", info["id"].as_str().unwrap());
    let rotated = admin
        .post(&rotate, json!({"grace_period": "0s"}))
        .expect(axum::http::StatusCode::CREATED);
    let secret = rotated.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(admin.current(&secret), 200);
}

/// Shows that the proxy cuts after the commit: a retry without a key is carried out again.
#[test]
fn a_request_without_a_key_whose_answer_was_lost_is_carried_out_again() {
    let home = Home::new();
    let server = home.serve();
    let mut admin = server.administrator();
    let session = admin.token().to_owned();
    lose(&server, &session, None, "twice");
    assert_eq!(named(&mut admin, "twice").len(), 1);
    admin
        .post("/api/v1/tokens", order("twice"))
        .expect(axum::http::StatusCode::CREATED);
    assert_eq!(named(&mut admin, "twice").len(), 2);
}
