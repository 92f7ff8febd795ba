//! Two servers on one PostgreSQL database, as operators run them: both issue and sign, a revocation on one holds on the
//! other, and one goes on without the other, but not for long without the database.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_store_postgres::Host;
use jeton_store_postgres::cluster::Cluster;
use serde_json::{Value, json};

use super::client::Client;
use super::home::{Finished, Home, SOON, Server, eventually};

/// A PostgreSQL server with an empty database, and a machine that is configured to use it.
struct Deployment {
    cluster: Cluster,
    home: Home,
}

impl Deployment {
    fn new(more: &str) -> Self {
        let cluster = Cluster::start().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let database = runtime.block_on(cluster.create_database()).unwrap();
        let config = cluster.config(&database);
        let [Host::Unix(folder)] = config.get_hosts() else {
            panic!("a cluster is reached by a socket");
        };
        let folder = folder.to_str().unwrap().replace('/', "%2F");
        let home = Home::new();
        write_secret(&home, "seal", &STANDARD.encode([7; 32]));
        home.configure(&format!(
            "issuer = 'https://auth.example.org'\n\
             database = 'postgres://jeton@{folder}/{database}'\n\
             keys.key_encryption_key_file = 'seal'\n\
             {more}\n"
        ));
        Self { cluster, home }
    }

    /// Returns what `jeton keys list` says of each key, the oldest first.
    fn keys(&self) -> Vec<String> {
        let listed = succeeded(self.home.run(&["keys", "list"]));
        listed.lines().skip(1).map(str::to_owned).collect()
    }
}

fn write_secret(home: &Home, name: &str, text: &str) {
    fs::write(home.path(name), text).unwrap();
    fs::set_permissions(home.path(name), Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn succeeded(finished: Finished) -> String {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[track_caller]
fn refused(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    &finished.stderr
}

fn issue(client: &mut Client) -> Value {
    let body = json!({"name": "ci", "owner": "deployment", "scopes": ["revocations:read"]});
    let issued = client.post("/api/v1/tokens", body);
    issued.expect(StatusCode::CREATED).json()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

/// Waits until a server answers for a token with a status, and returns how long that took.
#[track_caller]
fn answers(client: &mut Client, token: &str, status: u16) -> Duration {
    let begun = Instant::now();
    let mut last = 0;
    let found = eventually(SOON, || {
        last = client.current(token);
        (last == status).then(|| begun.elapsed())
    });
    found.unwrap_or_else(|| panic!("it answers {last} and not {status}"))
}

#[test]
fn a_token_of_one_server_is_good_at_the_other_until_it_is_revoked_at_either() {
    let deployment = Deployment::new("");
    let mut one = deployment.home.serve();
    let two = deployment.home.serve();
    let (mut at_one, mut at_two) = (one.administrator(), two.administrator());
    for revoked_at_one in [true, false] {
        let issued = issue(&mut at_one);
        let (id, token) = (text(&issued, "id"), text(&issued, "token"));
        assert_eq!(at_one.current(&token), 200);
        assert_eq!(at_two.current(&token), 200, "at once, without a notice");
        let (revoking, other) = match revoked_at_one {
            true => (&mut at_one, &mut at_two),
            false => (&mut at_two, &mut at_one),
        };
        let path = format!("/api/v1/tokens/{id}");
        let answer = revoking.ask("DELETE", &path, None).unwrap();
        assert!(answer.status < 300, "{answer:?}");
        assert_eq!(revoking.current(&token), 401, "it has answered");
        let took = answers(other, &token, 401);
        assert!(took < Duration::from_secs(5), "the other refuses after {took:?}");
    }
    let kept = text(&issue(&mut at_one), "token");
    one.kill();
    assert_eq!(at_two.current(&kept), 200, "one has issued it, and is gone");
    let issued = issue(&mut at_two);
    assert_eq!(at_two.current(&text(&issued, "token")), 200);
    assert!(!deployment.home.path("keys").exists(), "keys are in the database");
    assert!(!deployment.home.path("jeton.db").exists());
}

#[test]
fn a_server_without_its_database_answers_503_when_its_lease_has_ended() {
    let deployment = Deployment::new("postgresql.stale_after = '3s'");
    let server = deployment.home.serve();
    let mut client = server.administrator();
    let token = text(&issue(&mut client), "token");
    assert_eq!(client.current(&token), 200);
    deployment.cluster.kill().unwrap();
    let killed = Instant::now();
    assert_eq!(client.current(&token), 200, "the lease has not ended");
    answers(&mut client, &token, 503);
    // It may have been renewed a moment before.
    let lease = killed.elapsed();
    assert!(lease > Duration::from_secs(1), "after {lease:?}");
    assert!(lease < Duration::from_secs(6), "after {lease:?}");
}

#[test]
fn two_servers_publish_one_successor_of_a_key_and_both_sign_with_it() {
    let deployment = Deployment::new("keys.jwks_max_age = '1s'\nkeys.rotate_every = '3s'");
    let servers: [Server; 2] = [deployment.home.serve(), deployment.home.serve()];
    let mut clients: Vec<Client> = servers.iter().map(Server::administrator).collect();
    let rotated = eventually(SOON * 3, || {
        let keys = deployment.keys();
        let published = keys.iter().filter(|key| key.contains(" published ")).count();
        assert!(published <= 1, "two successors: {keys:?}");
        let retired = keys.iter().filter(|key| key.contains(" retired ")).count();
        (retired >= 2).then_some(())
    });
    assert!(rotated.is_some(), "{:?}", deployment.keys());
    for client in &mut clients {
        let issued = issue(client);
        assert_eq!(client.current(&text(&issued, "token")), 200);
    }
    for server in &servers {
        assert!(!server.stderr().contains("ERROR"), "{}", server.stderr());
    }
    for key in deployment.keys() {
        assert!(key.contains(" sealed by "), "{key}");
    }
}

#[test]
fn private_keys_in_the_database_are_sealed_and_sealed_anew() {
    let deployment = Deployment::new("");
    let home = &deployment.home;
    let token = {
        let server = home.serve();
        let mut client = server.administrator();
        text(&issue(&mut client), "token")
    };
    let before = deployment.keys();
    write_secret(home, "next", &STANDARD.encode([8; 32]));
    let sealing = ["--key-encryption-key", "next", "keys", "seal"];
    assert!(refused(&home.run(&sealing)).contains("is sealed by the key-encryption key"));
    assert_eq!(deployment.keys(), before);
    let serving = home.try_serve_with(&["--key-encryption-key", "next"]);
    assert!(refused(&serving.err().unwrap()).contains("is sealed by the key-encryption key"));
    let sealed = home.run(&[
        "--key-encryption-key",
        "next",
        "keys",
        "seal",
        "--previous",
        "seal",
    ]);
    assert!(succeeded(sealed).starts_with("sealed: 1 private keys; sealed before: 0"));
    fs::rename(home.path("next"), home.path("seal")).unwrap();
    let server = home.serve();
    assert_eq!(server.client().current(&token), 200);
    issue(&mut server.administrator());
}

#[test]
fn a_server_on_postgresql_needs_a_key_encryption_key() {
    let home = Home::new();
    home.configure("database = 'postgres://jeton@localhost/jeton'\nissuer = 'https://auth.example.org'");
    let finished = home.try_serve().err().unwrap();
    assert!(
        refused(&finished).contains("create a key-encryption key"),
        "{finished:?}"
    );
}

#[test]
fn commands_of_a_database_file_say_what_replaces_them() {
    let home = Home::new();
    home.configure("database = 'postgres://jeton:hunter2@localhost/jeton'");
    for command in [
        ["backup", "b.db"].as_slice(),
        &["restore", "b.db"],
        &["restore", "--drill"],
        &["journal", "check"],
        &["clock", "accept"],
        &["doctor"],
        &["audit", "verify"],
    ] {
        let finished = home.run(command);
        let said = refused(&finished);
        assert!(said.contains("is for a database file"), "{command:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
