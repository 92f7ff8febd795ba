//! `jeton health`, which containers without curl ask.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::json;

use super::disk::{Disk, Fault, WAL};
use super::home::{Finished, Home, SOON, Server};
use super::tls::Authority;

fn health(home: &Home, server: &Server) -> Finished {
    home.run(&["health", "--listen", &server.address.to_string()])
}

#[test]
fn health_is_the_readiness_of_the_server() {
    let (home, disk) = (Home::new(), Disk::new());
    let mut server = home.start(disk.under(home.serve_command()));
    let ready = health(&home, &server);
    assert_eq!((ready.code, &*ready.stdout), (Some(0), "ready\n"), "{ready:?}");

    let mut client = server.administrator();
    disk.plan(Fault::Full, WAL);
    client.post("/api/v1/tokens", json!({"name": "x", "organization": "default"}));
    let full = health(&home, &server);
    assert_eq!(full.code, Some(1), "{full:?}");
    let reason = "error: not ready: the database does not accept writes (status 503)\n";
    assert_eq!(full.stderr, reason);

    server.signal(Signal::TERM);
    server.ended(SOON).unwrap();
    let stopped = health(&home, &server);
    assert_eq!(stopped.code, Some(1));
    let url = format!("no answer from http://{}: Connection refused", server.address);
    assert!(stopped.stderr.contains(&url), "{stopped:?}");
}

#[test]
fn health_over_tls_does_not_mind_the_name() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2120);
    home.configure("[tls]\ncertificate = \"chain.pem\"\nkey = \"tls.pem\"\n");
    let server = home.serve();
    let ready = health(&home, &server);
    assert_eq!((ready.code, &*ready.stdout), (Some(0), "ready\n"), "{ready:?}");
    assert_eq!(ready.stderr, "");

    // One that the server does not use, since its key is missing.
    let (chain, _) = authority.issue(2119);
    fs::write(home.path("chain.pem"), chain).unwrap();
    let ready = health(&home, &server);
    assert_eq!(ready.code, Some(0), "{ready:?}");
    assert!(ready.stderr.contains("presents another certificate"), "{ready:?}");
}

#[test]
fn a_silent_server_is_not_healthy() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let asked = home.run(&["health", "--listen", &address]);
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(asked.stderr.contains("longer than four seconds"), "{asked:?}");
}

#[test]
fn a_mistake_in_the_file_of_a_running_server_does_not_make_it_sick() {
    let home = Home::new();
    let server = home.serve();
    let listen = format!("listen = \"{}\"\n", server.address);
    for text in [
        format!("{listen}databse = 1\n[tokens]\nretention = 5\n"),
        format!("{listen}issuer = \"nonsense\"\n[tls]\nkey = \"missing.pem\"\n"),
        format!("{listen}this is not TOML\n"),
    ] {
        home.configure(&text);
        let ready = home.run(&["health"]);
        assert_eq!(
            (ready.code, &*ready.stdout),
            (Some(0), "ready\n"),
            "{text}: {ready:?}"
        );
    }
    for missing in ["missing.toml", "."] {
        let ready = home.run(&[
            "health",
            "--config",
            missing,
            "--listen",
            &server.address.to_string(),
        ]);
        assert_eq!(ready.code, Some(0), "{missing}: {ready:?}");
        // Only the file could say where the server is: another one may listen on the default address.
        let unknown = home.run(&["health", "--config", missing]);
        assert_eq!(unknown.code, Some(1), "{missing}: {unknown:?}");
        let named = format!("the file `{missing}`");
        assert!(unknown.stderr.contains(&named), "{unknown:?}");
    }
    let wrong = home.run(&["health", "--listen", "nonsense"]);
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.stderr.contains("`--listen` must be an IP address"),
        "{wrong:?}"
    );
}

#[test]
fn a_server_with_another_protocol_than_the_file_is_healthy() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2120);
    let plain = home.serve();
    let with_tls = "[tls]\ncertificate = \"chain.pem\"\nkey = \"tls.pem\"\n";
    home.configure(with_tls);
    let ready = health(&home, &plain);
    assert_eq!(ready.code, Some(0), "{ready:?}");
    assert!(ready.stderr.contains("the server speaks plain HTTP"), "{ready:?}");
    drop(plain);

    let secure = home.serve();
    home.configure("");
    let ready = health(&home, &secure);
    assert_eq!(ready.code, Some(0), "{ready:?}");
    assert!(ready.stderr.contains("the server speaks TLS"), "{ready:?}");
}
