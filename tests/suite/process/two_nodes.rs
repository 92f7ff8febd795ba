//! Two servers on one PostgreSQL database, as operators run them: both issue and sign, a revocation on one holds on the
//! other, and one goes on without the other, but not for long without the database.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_store_postgres::cluster::Cluster;
use serde_json::{Value, json};

use super::client::Client;
use super::home::{EMAIL, Finished, Home, PASSWORD, SOON, Server, eventually, finish};

/// A PostgreSQL server with an empty database, and a machine that is configured to use it.
pub(super) struct Deployment {
    pub(super) cluster: Cluster,
    pub(super) database: String,
    pub(super) home: Home,
}

impl Deployment {
    /// Sets settings that all servers share, before the first start.
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        Self::on(Cluster::start().unwrap(), &[], settings)
    }

    /// Creates a database of a primary, whose standbys are these.
    pub(super) fn on(cluster: Cluster, standbys: &[&Cluster], settings: &[(&str, &str)]) -> Self {
        let database = block_on(cluster.create_database()).unwrap();
        let home = Home::new();
        write_secret(&home, "seal", &STANDARD.encode([7; 32]));
        home.configure(&format!(
            "issuer = 'https://auth.example.org'\n\
             database = '{}'\n\
             keys.key_encryption_key_file = 'seal'\n",
            cluster.url(&database, standbys)
        ));
        for (name, value) in settings {
            succeeded(home.run(&["settings", "set", name, value]));
        }
        Self {
            cluster,
            database,
            home,
        }
    }

    /// Executes SQL in the database, and returns the first column of the first row.
    pub(super) fn sql(&self, statements: &str) -> String {
        let (rows, _) = block_on(self.cluster.sql(&self.database, statements)).unwrap();
        let first = rows.into_iter().next().and_then(|row| row.into_iter().next());
        first.flatten().unwrap_or_default()
    }

    /// Copies the database beside running servers, and returns the name of the copy.
    pub(super) fn copy(&self) -> String {
        let cluster = &self.cluster;
        let name = block_on(async {
            // PostgreSQL copies a database only without connections. The servers connect again.
            cluster.close_database(&self.database).await?;
            let copied = cluster.copy_database(&self.database).await;
            cluster.open_database(&self.database).await?;
            copied
        });
        name.unwrap()
    }

    /// Puts a copy in the place of the database, which is gone.
    pub(super) fn replace_by(&self, copy: &str) {
        let replaced = block_on(async {
            self.cluster.drop_database(&self.database).await?;
            let rename = format!("ALTER DATABASE {copy} RENAME TO {}", self.database);
            self.cluster.sql("postgres", &rename).await
        });
        replaced.unwrap();
    }

    /// Returns what `jeton keys list` says of each key, the oldest first.
    pub(super) fn keys(&self) -> Vec<String> {
        let listed = succeeded(self.home.run(&["keys", "list"]));
        listed.lines().skip(1).map(str::to_owned).collect()
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

pub(super) fn write_secret(home: &Home, name: &str, text: &str) {
    fs::write(home.path(name), text).unwrap();
    fs::set_permissions(home.path(name), Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
pub(super) fn succeeded(finished: Finished) -> String {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[track_caller]
pub(super) fn refused(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    &finished.stderr
}

pub(super) fn issue(client: &mut Client) -> Value {
    let body = json!({"name": "ci", "owner": "deployment", "scopes": ["revocations:read"]});
    let issued = client.post("/api/v1/tokens", body);
    issued.expect(StatusCode::CREATED).json()
}

pub(super) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

pub(super) fn id(issued: &Value) -> String {
    text(&issued["token_info"], "id")
}

/// Waits until a question has this answer.
#[track_caller]
pub(super) fn waits_for<T: PartialEq + std::fmt::Debug>(expected: &T, mut ask: impl FnMut() -> T) {
    let mut last = None;
    let found = eventually(SOON, || {
        last = Some(ask());
        (last.as_ref() == Some(expected)).then_some(())
    });
    assert!(found.is_some(), "{last:?} and not {expected:?}");
}

pub(super) fn revoke(client: &mut Client, issued: &Value) {
    let path = format!("/api/v1/tokens/{}/revoke", id(issued));
    client.post(&path, json!({})).expect(StatusCode::CREATED);
}

/// Returns status and code of readiness for verifying.
pub(super) fn verifies(client: &mut Client) -> (u16, String) {
    let answer = client.get("/readyz?for=verify");
    (answer.status, text(&answer.json(), "code"))
}

/// Returns the names of `GET /api/v1/nodes`' items, whether their leases last, and the positions they have reached.
fn nodes(client: &mut Client) -> Vec<(String, bool, u64)> {
    let listed = client.get("/api/v1/nodes").expect(StatusCode::OK).json();
    assert_eq!(listed["durability"], "local");
    let items = listed["items"].as_array().unwrap().iter();
    let brief = items.map(|item| {
        let is_current = item["is_current"].as_bool().unwrap();
        let sequence = item["position"]["sequence"].as_u64().unwrap();
        (text(item, "id"), is_current, sequence)
    });
    brief.collect()
}

#[test]
fn a_token_of_one_server_is_good_at_the_other_until_it_is_revoked_at_either() {
    let deployment = Deployment::new(&[]);
    let mut one = deployment.home.serve();
    let two = deployment.home.serve();
    let (mut at_one, mut at_two) = (one.administrator(), two.administrator());
    for revoked_at_one in [true, false] {
        let issued = issue(&mut at_one);
        let token = text(&issued, "token");
        assert_eq!(at_one.current(&token), 200);
        assert_eq!(at_two.current(&token), 200, "at once, without a notice");
        let (revoking, other) = match revoked_at_one {
            true => (&mut at_one, &mut at_two),
            false => (&mut at_two, &mut at_one),
        };
        revoke(revoking, &issued);
        assert_eq!(revoking.current(&token), 401, "it has answered");
        waits_for(&401, || other.current(&token));
    }
    let kept = text(&issue(&mut at_one), "token");
    one.kill();
    assert_eq!(at_two.current(&kept), 200, "one has issued it, and is gone");
    let issued = issue(&mut at_two);
    assert_eq!(at_two.current(&text(&issued, "token")), 200);
    assert!(!deployment.home.path("keys").exists(), "keys are in the database");
    assert!(!deployment.home.path("jeton.db").exists());
}

/// How many revocations are measured.
const MEASURED: usize = 200;

/// What a revocation may take until the other server refuses the token, on a machine that runs all tests at once: half of
/// them, and each. With idle cores it is 50 ms at the 99th percentile, and 300 ms at most.
const HALF_KNOWN_WITHIN: Duration = Duration::from_millis(50);
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_revocation_at_one_server_is_known_to_the_other_within_milliseconds() {
    let deployment = Deployment::new(&[]);
    let (one, two) = (deployment.home.serve(), deployment.home.serve());
    let mut clients = [one.administrator(), two.administrator()];
    let mut delays = Vec::new();
    for _ in 0..MEASURED {
        clients.reverse();
        let [revoking, other] = &mut clients;
        let issued = issue(revoking);
        let token = text(&issued, "token");
        assert_eq!(other.checked(&token), 200);
        revoke(revoking, &issued);
        let revoked = Instant::now();
        // Until the last request that was accepted was sent.
        let mut delay = Duration::ZERO;
        loop {
            let begun = revoked.elapsed();
            match other.checked(&token) {
                200 => delay = begun,
                401 => break,
                status => panic!("{status}"),
            }
            assert!(begun < SOON, "it is never refused");
        }
        assert_eq!(revoking.checked(&token), 401);
        delays.push(delay);
    }
    delays.sort_unstable();
    let [half, most_of_all, most] = [50, 99, 100].map(|percent| delays[MEASURED * percent / 100 - 1]);
    println!("refused by the other server after: p50 {half:?}, p99 {most_of_all:?}, at most {most:?}");
    assert!(half < HALF_KNOWN_WITHIN, "{delays:?}");
    assert!(most < KNOWN_WITHIN, "{delays:?}");
}

#[test]
fn a_server_without_its_database_verifies_until_its_lease_ends_and_recovers_with_it() {
    let deployment = Deployment::new(&[("postgresql.stale_after", "3s")]);
    let cluster = &deployment.cluster;
    let server = deployment.home.serve();
    let mut client = server.administrator();
    let issued = issue(&mut client);
    let token = text(&issued, "token");
    assert_eq!(client.checked(&token), 200);
    type Step = fn(&Cluster) -> io::Result<()>;
    let outages: [[Step; 2]; 3] = [
        [Cluster::suspend, Cluster::resume],
        [Cluster::stop, Cluster::restart],
        [Cluster::kill, Cluster::restart],
    ];
    for [begin, end] in outages {
        waits_for(&(200, "ok".to_owned()), || verifies(&mut client));
        begin(cluster).unwrap();
        let begun = Instant::now();
        assert_eq!(client.checked(&token), 200, "the lease has not ended");
        assert_eq!(verifies(&mut client).0, 200);
        waits_for(&503, || client.checked(&token));
        // The lease may have been renewed just before.
        let lease = begun.elapsed();
        assert!(lease > Duration::from_secs(1), "after {lease:?}");
        assert!(lease < Duration::from_secs(6), "after {lease:?}");
        assert_eq!(verifies(&mut client), (503, "lease_ended".to_owned()));
        end(cluster).unwrap();
        waits_for(&200, || client.checked(&token));
        waits_for(&200, || client.get("/readyz").status);
        issue(&mut client);
    }
    revoke(&mut client, &issued);
    assert_eq!(client.checked(&token), 401);
}

#[test]
fn servers_are_listed_with_their_leases_and_what_they_know() {
    let deployment = Deployment::new(&[("postgresql.stale_after", "2s")]);
    let mut one = deployment.home.serve();
    let two = deployment.home.serve();
    let (mut at_one, mut at_two) = (one.administrator(), two.administrator());
    let issued = issue(&mut at_one);
    let [(_, true, before), (_, true, _)] = nodes(&mut at_two)[..] else {
        panic!("{:?}", nodes(&mut at_two));
    };
    revoke(&mut at_one, &issued);
    waits_for(&vec![before + 1; 2], || {
        nodes(&mut at_two)
            .into_iter()
            .map(|(_, _, sequence)| sequence)
            .collect()
    });
    let listed = succeeded(deployment.home.run(&["nodes"]));
    for (id, _, _) in nodes(&mut at_two) {
        let line = listed.lines().find(|line| line.starts_with(&id)).unwrap();
        assert!(line.contains("  yes  "), "{listed}");
    }
    assert!(listed.ends_with("durability: local\n"), "{listed}");
    one.kill();
    waits_for(&1, || {
        nodes(&mut at_two)
            .iter()
            .filter(|(_, is_current, _)| *is_current)
            .count()
    });
    assert_eq!(nodes(&mut at_two).len(), 2, "for an hour");
    let listed = succeeded(deployment.home.run(&["nodes"]));
    assert_eq!(listed.matches("  no  ").count(), 1, "{listed}");
}

#[test]
fn commands_beside_two_servers_work_on_their_database() {
    let deployment = Deployment::new(&[]);
    let home = &deployment.home;
    let servers = [home.serve(), home.serve()];
    let create = home.command(["user", "create", "ada@example.org", "--password-stdin"]);
    assert!(succeeded(finish(create, "the first password\n")).starts_with("user-"));
    let mut sessions = Vec::new();
    for server in &servers {
        let mut client = server.client();
        let session = client.login("ada@example.org", "the first password").unwrap();
        sessions.push((client, session));
    }
    let set = home.command(["user", "set-password", "ada@example.org", "--password-stdin"]);
    succeeded(finish(set, "the second password\n"));
    for (client, session) in &mut sessions {
        waits_for(&401, || client.current(session));
    }
    let rotated = succeeded(home.run(&["keys", "rotate"]));
    let kids: Vec<String> = deployment.keys().iter().map(|key| first_word(key)).collect();
    let [signing, published] = &kids[..] else {
        panic!("{rotated}");
    };
    succeeded(home.run(&["keys", "retire", published]));
    let mut clients = servers.each_ref().map(Server::administrator);
    let tokens: Vec<String> = clients
        .iter_mut()
        .map(|client| text(&issue(client), "token"))
        .collect();
    let revoked = succeeded(home.run(&["keys", "revoke", signing, "--reason", "leaked"]));
    assert!(revoked.contains("every server refuses"), "{revoked}");
    for (server, client) in servers.iter().zip(&mut clients) {
        for token in &tokens {
            waits_for(&401, || client.checked(token));
        }
        issue(&mut server.administrator());
    }
    succeeded(home.run(&["serve", "--check-config"]));
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap().to_owned()
}

/// Returns the status of a login with a wrong password.
fn guess(server: &Server) -> u16 {
    let answer = server.client().login(EMAIL, "a wrong guess").unwrap_err();
    answer.status
}

#[test]
fn password_guesses_at_two_servers_add_up_and_so_does_what_ends_them() {
    let deployment = Deployment::new(&[]);
    let [one, two] = [deployment.home.serve(), deployment.home.serve()];
    for round in 0..2 {
        let guesses = [&one, &one, &one, &two, &two].map(guess);
        assert_eq!(guesses, [401; 5], "round {round}");
        // Alone, it would have judged two guesses and let three others through. The first wait is over within a second,
        // which a guess may take.
        let further: Vec<u16> = (0..2).map(|_| guess(&two)).collect();
        assert!(further.contains(&429), "round {round}: {further:?}");
        // The right password waits as well, and then resets the counter for both.
        let session = eventually(SOON, || two.client().login(EMAIL, PASSWORD).ok());
        assert!(session.is_some(), "round {round}");
    }
}

#[test]
fn two_servers_publish_one_successor_of_a_key_and_both_sign_with_it() {
    let settings = [
        ("postgresql.stale_after", "2s"),
        ("keys.jwks_max_age", "1s"),
        ("keys.rotate_every", "5s"),
    ];
    let deployment = Deployment::new(&settings);
    let servers: [Server; 2] = [deployment.home.serve(), deployment.home.serve()];
    let mut clients: Vec<Client> = servers.iter().map(Server::administrator).collect();
    let rotated = eventually(SOON * 3, || {
        let keys = deployment.keys();
        let count = |state: &str| {
            let states = keys.iter().filter_map(|key| key.split_whitespace().nth(2));
            states.filter(|one| *one == state).count()
        };
        assert!(count("published") <= 1, "two successors: {keys:?}");
        // A key that signed nothing is gone at once.
        (count("retired") + count("gone") >= 2).then_some(())
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

/// Returns what `jeton keys list` says of the seals.
fn sealed_by(keys: &[String]) -> Vec<&str> {
    let seals = keys.iter().map(|key| key.split_once(" sealed by ").unwrap().1);
    seals.collect()
}

#[test]
fn private_keys_in_the_database_are_sealed_and_sealed_anew() {
    let deployment = Deployment::new(&[]);
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
    assert_eq!(sealed_by(&deployment.keys()), sealed_by(&before));
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
