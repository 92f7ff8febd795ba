//! Keys that rotate all the time at two servers, of which one is cut off again and again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jeton::system::SystemClock;
use jeton_core::clock::Clock;
use jeton_verifier::{Expected, KeySet, TokenType, Unverified};
use serde_json::json;

use super::super::home::{Server, eventually};
use super::super::two_nodes::text;
use super::proxy::Traffic;
use super::{Database, Until};

const ISSUER: &str = "https://auth.example.org";

/// How many keys have to be replaced.
fn rotations() -> usize {
    match std::env::var("EFFORT").as_deref() {
        Ok("all") => 10,
        _ => 4,
    }
}

/// Tokens that both servers have issued, the last ones.
#[derive(Default)]
struct Tokens {
    issued: AtomicUsize,
    last: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Tokens {
    fn issue(&self, server: &Server, session: &str) {
        let mut client = server.client().with_token(session);
        while !self.is_over.load(Ordering::Relaxed) {
            let body = json!({"name": "n", "organization": "default", "expires_in": "1h"});
            let answer = client.post("/api/v1/tokens", body);
            if answer.status == 201 {
                let mut last = self.last.lock().unwrap();
                last.push(text(&answer.json(), "token"));
                let begin = last.len().saturating_sub(40);
                last.drain(..begin);
                self.issued.fetch_add(1, Ordering::Relaxed);
            } else {
                assert_eq!(answer.status, 503, "{answer:?}");
            }
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Verifies tokens by a copy of a server's key set, which is kept for some percent of the time that it may be. Returns
    /// how many were verified, and why good ones were refused.
    fn verify(&self, server: &Server, keeps: u32) -> (usize, Vec<String>) {
        let mut client = server.client();
        let mut copy: Option<(KeySet, Instant, Duration)> = None;
        let (mut verified, mut refusals) = (0, Vec::new());
        while !self.is_over.load(Ordering::Relaxed) {
            // These were issued before it decides whether its copy is too old.
            let tokens = self.last.lock().unwrap().clone();
            if copy.as_ref().is_none_or(|(_, at, kept)| at.elapsed() > *kept) {
                let answer = client.get("/.well-known/jwks.json");
                if answer.status != 200 {
                    // A server without a lease does not say which keys there are.
                    assert_eq!(answer.status, 503, "{answer:?}");
                    thread::park_timeout(Duration::from_millis(20));
                    continue;
                }
                let (_, max_age) = answer.header("cache-control").split_once("max-age=").unwrap();
                let kept = Duration::from_secs(max_age.parse().unwrap()) * keeps / 100;
                let keys = KeySet::from_json(str::from_utf8(&answer.body).unwrap()).unwrap();
                copy = Some((keys, Instant::now(), kept));
            }
            let (keys, fetched, _) = copy.as_ref().unwrap();
            for token in &tokens {
                let expected = Expected {
                    issuer: ISSUER,
                    audience: None,
                    token_type: TokenType::Access,
                    now: SystemClock.now().seconds(),
                    leeway: 1,
                };
                let verdict = keys.verify(Unverified::parse(token).unwrap());
                let verdict = verdict.and_then(|verified| verified.judge(&expected).map(drop));
                verified += 1;
                if let Err(rejection) = verdict {
                    refusals.push(format!("{rejection}, by keys of {:?} ago", fetched.elapsed()));
                }
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        (verified, refusals)
    }
}

/// Control: a verifier that keeps the key set for longer than it may refuses good tokens; and all of the server's verifiers
/// do if a key signs one second after the copies expire, since a server that is cut off serves the key set for as long as
/// its lease lasts. It could pass wrongly if no key were replaced while a server is cut off: the number of keys that signed
/// is checked.
#[test]
#[ignore = "make cluster"]
fn keys_that_rotate_at_two_servers_refuse_no_token_when_one_is_cut_off() {
    let database = Database::new();
    let proxy = database.proxy();
    let settings = [
        ("keys.jwks_max_age", "1s"),
        ("keys.rotate_every", "1s"),
        ("postgresql.stale_after", "6s"),
    ];
    let home = database.machine(&[database.host()], &settings);
    let near = home.serve();
    let far = database.machine(&[proxy.host()], &[]).serve();
    let session = near.administrator().token().to_owned();
    let tokens = &Tokens::default();
    let signed = || {
        let listed = home.run(&["keys", "list"]).stdout;
        let states = listed.lines().filter_map(|line| line.split_whitespace().nth(2));
        states
            .filter(|state| ["signing", "retired"].contains(state))
            .count()
    };
    thread::scope(|scope| {
        let _until = Until(&tokens.is_over);
        let (near, far, session) = (&near, &far, &session);
        for server in [near, far] {
            scope.spawn(move || tokens.issue(server, session));
        }
        let verifiers = [(near, 100), (far, 100), (near, 50), (far, 50)]
            .map(|(server, keeps)| (keeps, scope.spawn(move || tokens.verify(server, keeps))));
        let careless = scope.spawn(move || tokens.verify(near, 1_000));
        let expected = signed() + rotations();
        let mut cut_off = 0_u32;
        let found = eventually(Duration::from_secs(240), || {
            let traffic = [Traffic::Stalled, Traffic::Dropped][cut_off as usize % 2];
            proxy.set(traffic);
            // Beyond the lease.
            thread::park_timeout(Duration::from_secs(8));
            proxy.set(Traffic::Forwarded);
            thread::park_timeout(Duration::from_secs(3));
            cut_off += 1;
            (cut_off >= 2 && signed() >= expected).then_some(())
        });
        tokens.is_over.store(true, Ordering::Relaxed);
        assert!(found.is_some(), "{}", home.run(&["keys", "list"]).stdout);
        for (keeps, verifier) in verifiers {
            let (verified, refusals) = verifier.join().unwrap();
            let first = &refusals[..refusals.len().min(3)];
            assert!(
                refusals.is_empty(),
                "keeping {keeps}%: {} such as {first:?}",
                refusals.len()
            );
            assert!(verified > 1_000, "{verified}");
        }
        assert!(
            !careless.join().unwrap().1.is_empty(),
            "no verifier could have been refused"
        );
        let issued = tokens.issued.load(Ordering::Relaxed);
        println!("{issued} tokens, {} keys, cut off {cut_off} times", signed());
    });
}
