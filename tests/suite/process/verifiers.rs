//! Verifiers of the crate's client, connected to a real server that is killed, restored and started again.

use std::net::SocketAddr;
use std::time::Duration;

use jeton_verifier::feed::Cursor;
use jeton_verifier::{Claims, Rejection, Verifier};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::client::Client;
use super::home::{EMAIL, Home, PASSWORD, SOON, Server, eventually};

const AUDIENCE: &str = "https://api.example.org";

const VERIFIERS: usize = 100;

/// The bound of most verifiers, longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// A server that starts again at the same address, and verifiers in this process.
struct Scene {
    home: Home,
    address: SocketAddr,
    server: Option<Server>,
    runtime: Runtime,
    verifiers: Vec<Verifier>,
}

struct Issued {
    id: String,
    text: String,
}

impl Scene {
    fn set() -> Self {
        let home = Home::new();
        let server = home.serve();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self {
            address: server.address,
            server: Some(server),
            home,
            runtime,
            verifiers: Vec::new(),
        }
    }

    fn administrator(&self) -> Client {
        self.server.as_ref().unwrap().administrator()
    }

    /// Writes a new token of the deployment to the file that all verifiers read, and returns its number.
    fn write_token(&self) -> String {
        let order = json!({"name": "verifier", "owner": "deployment", "scopes": ["revocations:read"]});
        let created = self.administrator().post("/api/v1/tokens", order).json();
        let file = self.home.path("verifier-token");
        std::fs::write(self.home.path("next"), created["token"].as_str().unwrap()).unwrap();
        std::fs::rename(self.home.path("next"), file).unwrap();
        created["token_info"]["id"].as_str().unwrap().to_owned()
    }

    fn connect(&mut self, count: usize, bound: Duration) {
        let _runtime = self.runtime.enter();
        for _ in 0..count {
            let verifier = Verifier::builder(format!("http://{}", self.address), AUDIENCE)
                .token_file(self.home.path("verifier-token"))
                .max_staleness(bound)
                .build()
                .unwrap();
            self.verifiers.push(verifier);
        }
        for verifier in &self.verifiers {
            let ready = self
                .runtime
                .block_on(async { timeout(SOON, verifier.ready()).await });
            ready.unwrap_or_else(|_| panic!("a verifier is not ready: {:?}", verifier.status()));
        }
    }

    fn issue(&self, count: usize) -> Vec<Issued> {
        let mut administrator = self.administrator();
        let order = json!({"name": "n", "organization": "default", "owner": "organization",
            "audience": AUDIENCE, "scopes": ["projects:read"]});
        let issue = |_| {
            let created = administrator.post("/api/v1/tokens", order.clone()).json();
            Issued {
                id: created["token_info"]["id"].as_str().unwrap().to_owned(),
                text: created["token"].as_str().unwrap().to_owned(),
            }
        };
        (0..count).map(issue).collect()
    }

    /// Revokes tokens and returns the cursor of the last.
    fn revoke(&self, tokens: &[Issued]) -> Cursor {
        let mut administrator = self.administrator();
        let mut cursor = None;
        for token in tokens {
            let path = format!("/api/v1/tokens/{}/revoke", token.id);
            let revoked = administrator.post(&path, json!({}));
            assert_eq!(revoked.status, 201, "{revoked:?}");
            cursor = Some(
                revoked.headers["revocation-cursor"]
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap(),
            );
        }
        cursor.unwrap()
    }

    fn wait_for(&self, cursor: Cursor) {
        for verifier in &self.verifiers {
            let known = self
                .runtime
                .block_on(async { timeout(SOON, verifier.wait_for(cursor)).await });
            known
                .unwrap_or_else(|_| panic!("a verifier has not come to the cursor: {:?}", verifier.status()));
        }
    }

    fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    fn start_again(&mut self) {
        let mut command = self
            .home
            .command(["serve", "--listen", &self.address.to_string()]);
        command
            .env("JETON_ADMIN_EMAIL", EMAIL)
            .env("JETON_ADMIN_PASSWORD", PASSWORD);
        self.server = Some(self.home.start(command));
    }

    /// Requires that every verifier accepts the first tokens and refuses the others.
    #[track_caller]
    fn agree(&self, live: &[Issued], revoked: &[Issued]) {
        for verifier in &self.verifiers {
            for token in live {
                assert!(is_accepted(verifier, token), "{:?}", verifier.status());
            }
            for token in revoked {
                assert_eq!(verifier.verify(&token.text).err(), Some(Rejection::Revoked));
            }
        }
    }
}

fn is_accepted(verifier: &Verifier, token: &Issued) -> bool {
    let verdict: Result<std::sync::Arc<Claims>, Rejection> = verifier.verify(&token.text);
    verdict.is_ok()
}

/// Each resumes where it was and misses nothing; those that are cut off for longer than their bound refuse, and accept
/// again by themselves.
#[test]
fn a_hundred_verifiers_miss_nothing_when_the_authority_is_killed() {
    let mut scene = Scene::set();
    scene.write_token();
    scene.connect(VERIFIERS, LONG);
    let mut live = scene.issue(40);
    let mut revoked = Vec::new();
    for _ in 0..3 {
        let next: Vec<Issued> = live.drain(..5).collect();
        scene.wait_for(scene.revoke(&next));
        revoked.extend(next);
        scene.agree(&live, &revoked);
        // Between an event and the restart there is nobody to tell of it.
        let unseen: Vec<Issued> = live.drain(..5).collect();
        let cursor = scene.revoke(&unseen);
        scene.kill();
        revoked.extend(unseen);
        scene.start_again();
        scene.wait_for(cursor);
        scene.agree(&live, &revoked);
    }
    let restarts: u64 = scene
        .verifiers
        .iter()
        .map(|verifier| verifier.status().restarts)
        .sum();
    assert_eq!(restarts, 0, "each resumed, none started again from a snapshot");

    let bound = Duration::from_secs(7);
    let long = std::mem::take(&mut scene.verifiers);
    scene.connect(5, bound);
    let short = std::mem::replace(&mut scene.verifiers, long);
    let token = &live[0];
    assert!(short.iter().all(|verifier| is_accepted(verifier, token)));
    scene.kill();
    for verifier in &short {
        let refused = eventually(SOON, || {
            let verdict = verifier.verify(&token.text);
            (verdict.err() == Some(Rejection::RevocationUnknown)).then_some(())
        });
        refused.unwrap_or_else(|| panic!("it accepts beyond its bound"));
    }
    assert!(
        scene
            .verifiers
            .iter()
            .all(|verifier| is_accepted(verifier, token))
    );
    scene.start_again();
    for verifier in &short {
        let accepted = eventually(SOON, || is_accepted(verifier, token).then_some(()));
        accepted.unwrap_or_else(|| panic!("it does not recover: {:?}", verifier.status()));
    }
}

/// Verifiers notice nothing in the meantime.
#[test]
fn the_token_of_a_hundred_verifiers_is_replaced_without_a_refusal() {
    let mut scene = Scene::set();
    let former = scene.write_token();
    scene.connect(VERIFIERS, LONG);
    let mut tokens = scene.issue(2);
    scene.write_token();
    let path = format!("/api/v1/tokens/{former}/revoke");
    assert_eq!(scene.administrator().post(&path, json!({})).status, 201);
    let reconnected = eventually(SOON, || {
        for verifier in &scene.verifiers {
            assert!(is_accepted(verifier, &tokens[0]), "{:?}", verifier.status());
        }
        let mut reconnected = scene
            .verifiers
            .iter()
            .map(|verifier| verifier.status().reconnects);
        reconnected.all(|reconnects| reconnects > 0).then_some(())
    });
    reconnected.unwrap_or_else(|| panic!("their streams end with the former token"));
    let revoked = vec![tokens.pop().unwrap()];
    scene.wait_for(scene.revoke(&revoked));
    scene.agree(&tokens, &revoked);
}

/// A restore begins another epoch: every verifier starts again by itself.
#[test]
fn verifiers_start_again_after_a_restore() {
    let mut scene = Scene::set();
    scene.write_token();
    scene.connect(10, LONG);
    let mut live = scene.issue(4);
    let revoked: Vec<Issued> = live.drain(..1).collect();
    scene.wait_for(scene.revoke(&revoked));
    let backup = scene.home.path("backup.db");
    let taken = scene.home.run(&["backup", backup.to_str().unwrap()]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    scene.kill();
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(scene.home.path(&format!("jeton.db{end}")));
    }
    let restored = scene.home.run(&["restore", backup.to_str().unwrap()]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    scene.start_again();
    let mut revoked = revoked;
    let next: Vec<Issued> = live.drain(..1).collect();
    scene.wait_for(scene.revoke(&next));
    revoked.extend(next);
    scene.agree(&live, &revoked);
    let restarts: Vec<u64> = scene
        .verifiers
        .iter()
        .map(|verifier| verifier.status().restarts)
        .collect();
    assert!(restarts.iter().all(|restarts| *restarts >= 1), "{restarts:?}");
}
