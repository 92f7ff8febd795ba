//! Keys that rotate every second, under load, with the process killed in between.
//!
//! Takes ten seconds, or `SOAK_SECONDS` (`make soak`).

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jeton::system::SystemClock;
use jeton_core::clock::Clock;
use jeton_verifier::{KeySet, Unverified};
use serde_json::json;

use super::client::{Answer, Client};
use super::home::{EMAIL, Home, PASSWORD, SOON, eventually};

/// The interval between kills. A new process waits for its cached JWKS copies to expire before a key
/// signs, which takes two seconds.
const KILLED_EVERY: Duration = Duration::from_millis(4_700);

fn seconds() -> u64 {
    let given = std::env::var("SOAK_SECONDS").ok();
    given.map_or(10, |text| text.parse().unwrap())
}

fn every_second(home: &Home) {
    home.configure("[keys]\njwks_max_age = \"1s\"\nrotate_every = \"1s\"\n");
}

/// An active token with the second of its expiry.
#[derive(Clone)]
struct Good {
    text: String,
    ends_at: u64,
}

/// The state shared by all threads.
struct Storm {
    address: Mutex<SocketAddr>,
    session: String,
    issuer: String,
    good: Mutex<Vec<Good>>,
    issued: AtomicUsize,
    is_over: AtomicBool,
    /// Whether a verifier with a cache far too long was refused, as it must be.
    is_control_refused: AtomicBool,
    begun: Instant,
}

fn now() -> u64 {
    SystemClock.now().seconds().unsigned_abs()
}

impl Storm {
    /// Sends a request until it is answered, across restarts of the server; `None` when the test ends.
    fn ask(&self, client: &mut Client, method: &str, path: &str, body: Option<String>) -> Option<Answer> {
        while !self.is_over.load(Ordering::Relaxed) {
            match client.ask(method, path, body.clone()) {
                Ok(answer) => return Some(answer),
                Err(_) => {
                    thread::park_timeout(Duration::from_millis(5));
                    *client = self.client();
                }
            }
        }
        None
    }

    fn client(&self) -> Client {
        Client::new(*self.address.lock().unwrap()).with_token(&self.session)
    }

    /// Issues tokens that live for a few seconds.
    fn issue(&self) {
        let mut client = self.client();
        for life in (4..13).cycle() {
            let order = json!({"name": "n", "organization": "default", "expires_in": format!("{life}s")});
            let begun = now();
            let Some(answer) = self.ask(&mut client, "POST", "/api/v1/tokens", Some(order.to_string()))
            else {
                return;
            };
            assert_eq!(answer.status, 201, "{answer:?}");
            let text = answer.json()["token"].as_str().unwrap().to_owned();
            let mut good = self.good.lock().unwrap();
            // A verifier of one of these has a second left.
            good.retain(|token| token.ends_at > begun + 1);
            good.push(Good {
                text,
                ends_at: begun + life,
            });
            drop(good);
            self.issued.fetch_add(1, Ordering::Relaxed);
            thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Verifies active tokens with a copy of the JWKS that is cached for `keeps` percent of the allowed
    /// time. Returns why active tokens were refused.
    fn verify(&self, keeps: u32, away: Range<u64>) -> Vec<String> {
        let mut client = self.client();
        let mut copy: Option<(KeySet, Instant, Duration)> = None;
        let mut refusals = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            if away.contains(&self.begun.elapsed().as_secs()) {
                thread::park_timeout(Duration::from_millis(50));
                continue;
            }
            // These tokens were issued before it decides whether its copy is too old.
            let good: Vec<Good> = self.good.lock().unwrap().iter().rev().take(40).cloned().collect();
            if copy
                .as_ref()
                .is_none_or(|(_, fetched, kept)| fetched.elapsed() > *kept)
            {
                let Some(answer) = self.ask(&mut client, "GET", "/.well-known/jwks.json", None) else {
                    return refusals;
                };
                let (_, max_age) = answer.header("cache-control").split_once("max-age=").unwrap();
                let kept = Duration::from_secs(max_age.parse().unwrap()) * keeps / 100;
                let keys = KeySet::from_json(str::from_utf8(&answer.body).unwrap()).unwrap();
                copy = Some((keys, Instant::now(), kept));
            }
            let (keys, fetched, _) = copy.as_ref().unwrap();
            let at = now();
            for token in good.iter().filter(|token| token.ends_at > at + 1) {
                let verified = keys.verify(Unverified::parse(&token.text).unwrap());
                let verdict = verified.and_then(|verified| {
                    let expected = jeton_verifier::Expected {
                        issuer: &self.issuer,
                        audience: Some(&self.issuer),
                        token_type: jeton_verifier::TokenType::Access,
                        now: i64::try_from(at).unwrap(),
                        leeway: 1,
                    };
                    verified.judge(&expected).map(drop)
                });
                if let Err(rejection) = verdict {
                    self.is_control_refused.fetch_or(keeps > 100, Ordering::Relaxed);
                    let after = self.begun.elapsed();
                    refusals.push(format!(
                        "{after:?}: {rejection}, by keys of {:?} ago",
                        fetched.elapsed()
                    ));
                }
            }
            thread::park_timeout(Duration::from_millis(3));
        }
        refusals
    }
}

/// Returns how many keys have signed and no longer do.
fn turns(home: &Home) -> usize {
    let listed = home.run(&["keys", "list"]);
    let states = listed
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    states.filter(|state| ["retired", "gone"].contains(state)).count()
}

fn storm(killed_every: Option<Duration>) {
    let home = Home::new();
    every_second(&home);
    let mut server = home.serve();
    let session = server.client().login(EMAIL, PASSWORD).unwrap();
    let seconds = seconds();
    let expected = usize::try_from(seconds).unwrap();
    // A restarted process waits for its copies to expire.
    let expected = if killed_every.is_some() {
        expected / 5
    } else {
        expected * 6 / 10
    };
    let storm = &Storm {
        issuer: format!("http://{}", server.address),
        address: Mutex::new(server.address),
        session,
        good: Mutex::default(),
        issued: AtomicUsize::default(),
        is_over: AtomicBool::new(false),
        is_control_refused: AtomicBool::new(false),
        begun: Instant::now(),
    };
    thread::scope(|scope| {
        let issuers: Vec<_> = (0..2).map(|_| scope.spawn(|| storm.issue())).collect();
        let habits = [
            (100, 0..0),
            (75, 0..0),
            (50, 0..0),
            (25, 0..0),
            (100, 0..0),
            (100, 0..0),
        ];
        let mut verifiers: Vec<_> = habits
            .into_iter()
            .map(|(keeps, away)| (keeps, scope.spawn(move || storm.verify(keeps, away))))
            .collect();
        // Half of the time, which is 30 s of a minute.
        let away = seconds / 4..seconds / 4 + seconds / 2;
        verifiers.push((100, scope.spawn(move || storm.verify(100, away))));
        // The control: caches far too long, which must fail.
        let careless = scope.spawn(|| storm.verify(500, 0..0));

        let mut killed = Instant::now();
        eventually(Duration::from_secs(seconds), || {
            if killed_every.is_some_and(|every| killed.elapsed() >= every) {
                server.kill();
                server = home.serve();
                *storm.address.lock().unwrap() = server.address;
                killed = Instant::now();
            }
            storm.good.is_poisoned().then_some(())
        });
        // A loaded machine turns keys less often: the storm goes on until they have taken their turns.
        eventually(Duration::from_secs(seconds * 5), || {
            let is_enough = storm.is_control_refused.load(Ordering::Relaxed) && turns(&home) >= expected;
            (storm.good.is_poisoned() || is_enough).then_some(())
        });
        storm.is_over.store(true, Ordering::Relaxed);
        issuers.into_iter().for_each(|issuer| issuer.join().unwrap());
        for (keeps, verifier) in verifiers {
            let refusals = verifier.join().unwrap();
            let first = &refusals[..refusals.len().min(3)];
            assert!(
                refusals.is_empty(),
                "keeping {keeps}%: {} such as {first:?}",
                refusals.len()
            );
        }
        assert!(
            !careless.join().unwrap().is_empty(),
            "no verifier could have been refused"
        );
    });

    let listed = home.run(&["keys", "list"]);
    let count = |state: &str| {
        let of = |line: &&str| line.split_whitespace().nth(2) == Some(state);
        listed.stdout.lines().filter(of).count()
    };
    let issued = storm.issued.load(Ordering::Relaxed);
    println!("{issued} tokens in {seconds} s\n{}", listed.stdout);
    assert_eq!(count("signing"), 1, "{listed:?}");
    let turns = turns(&home);
    assert!(
        turns >= expected,
        "only {turns} keys took turns: {}",
        listed.stdout
    );
    assert!(!server.stderr().contains("ERROR"), "{}", server.stderr());
}

#[test]
fn rotation_every_second_under_load_refuses_no_token() {
    storm(None);
}

#[test]
fn kills_between_the_steps_of_rotations_refuse_no_token() {
    storm(Some(KILLED_EVERY));
}

/// The private key is lost, not leaked: the server continues with a successor, and no token is revoked.
#[test]
fn a_lost_private_half_is_replaced_by_a_rotation() {
    let home = Home::new();
    every_second(&home);
    let server = home.serve();
    let mut client = server.administrator();
    let made = client
        .post("/api/v1/tokens", json!({"name": "n", "organization": "default"}))
        .json();
    let token = made["token"].as_str().unwrap().to_owned();
    drop(server);
    for (path, _) in home.files() {
        if path.extension().is_some_and(|extension| extension == "pem") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let refused = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("jeton keys rotate"), "{refused:?}");

    assert_eq!(home.run(&["keys", "rotate"]).code, Some(0));
    let server = home.serve();
    let mut client = server.client();
    // Signed tokens stay valid; issuing fails, and the server reports that it is not ready.
    assert_eq!(client.current(&token), 200);
    let unready = client.get("/readyz");
    assert_eq!(unready.status, 503, "{unready:?}");
    eventually(SOON, || (client.get("/readyz").status == 200).then_some(())).unwrap();
    let session = client.login(EMAIL, PASSWORD).unwrap();
    let mut administrator = server.client().with_token(&session);
    let body = json!({"name": "n", "organization": "default"});
    assert_eq!(administrator.post("/api/v1/tokens", body).status, 201);
    assert_eq!(client.current(&token), 200);
}
