//! Key rotation, as holders of tokens and verifiers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::authority::{KeyRetired, KeyRevoked};
use jeton::keys::{Due, Rotation};
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::token::{Span, TokenId, TokenReference};
use jeton_store::{Generation, KeyRow, KeyState};
use jeton_verifier::{Algorithm, KeyId};
use serde_json::{Value, json};

use crate::harness::{
    Actor, Answer, Fault, Kind, MANAGEMENT, Minted, NORTH, Plan, StatusListEntry, TestApp, password,
};

const JWKS: &str = "/.well-known/jwks.json";

/// Returns the header of a token.
fn header(token: &str) -> Value {
    let part = token.trim_start_matches("jtn_").split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn kid(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}

fn kids(jwks: &Answer) -> Vec<String> {
    let json = jwks.json();
    let keys = json["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn max_age(jwks: &Answer) -> i64 {
    let (_, seconds) = jwks.header("cache-control").split_once("max-age=").unwrap();
    seconds.parse().unwrap()
}

async fn published(app: &TestApp) -> Vec<String> {
    kids(&app.get(&app.anyone(), JWKS).await.is(200))
}

async fn row(app: &TestApp, kid: &str) -> KeyRow {
    let listed = app.operator().operator_lists_keys().await.unwrap();
    listed.into_iter().find(|key| key.row.key.kid == kid).unwrap().row
}

/// Runs the background task of a server, which runs four times a second.
async fn run_key_maintenance(app: &TestApp) {
    app.operator().catch_up().await.unwrap();
    app.operator().tend_keys().await.unwrap();
}

async fn mint(app: &TestApp, actor: &Actor, expires_in: &str) -> Minted {
    let order = json!({"organization": NORTH.name, "owner": "organization", "scopes": MANAGEMENT,
        "expires_in": expires_in});
    app.mint(actor, order).await
}

async fn is_good(app: &TestApp, token: &Minted) -> bool {
    match app.get(&token.holder, "/tokens/current").await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

async fn revoke(app: &TestApp, kid: &str) -> KeyRevoked {
    let kid: KeyId = kid.parse().unwrap();
    let reason = Some("leaked".to_owned());
    app.operator().operator_revokes_key(&kid, reason).await.unwrap()
}

#[tokio::test]
async fn a_successor_signs_once_every_copy_has_it_and_the_old_key_leaves_after_its_last_token() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let first = published(&app).await.remove(0);
    let old = mint(&app, &admin, "20h").await;
    let jwks = app.get(&app.anyone(), JWKS).await.is(200);
    assert_eq!(max_age(&jwks), 300);

    let second = app.operator().operator_rotates_key().await.unwrap().key.kid;
    assert_eq!(published(&app).await, [first.clone(), second.clone()]);
    assert_ne!(
        app.get(&app.anyone(), JWKS).await.header("etag"),
        jwks.header("etag")
    );
    app.clock.advance(300);
    run_key_maintenance(&app).await;
    assert_eq!(kid(&mint(&app, &admin, "1h").await.secret), first);
    app.clock.advance(1);
    run_key_maintenance(&app).await;
    let young = mint(&app, &admin, "2h").await;
    assert_eq!(kid(&young.secret), second);
    assert!(is_good(&app, &old).await && is_good(&app, &young).await);
    assert_eq!(row(&app, &first).await.state, KeyState::Retired);

    // Until the last token has expired, plus the allowed clock skew.
    app.clock.advance(20 * 3600 - 301 - 1);
    run_key_maintenance(&app).await;
    assert!(is_good(&app, &old).await);
    app.clock.advance(1 + 60);
    run_key_maintenance(&app).await;
    assert!(!is_good(&app, &old).await);
    assert_eq!(published(&app).await, [first.clone(), second.clone()]);
    app.clock.advance(60 + 301);
    run_key_maintenance(&app).await;
    assert_eq!(published(&app).await, [second]);
    assert_eq!(row(&app, &first).await.state, KeyState::Gone);
}

#[tokio::test]
async fn a_token_that_never_ends_keeps_its_key() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let first = published(&app).await.remove(0);
    let endless = mint(&app, &admin, "never").await;
    app.operator().operator_rotates_key().await.unwrap();
    app.clock.advance(301);
    run_key_maintenance(&app).await;
    app.clock.advance(50 * 365 * 86_400);
    run_key_maintenance(&app).await;
    assert!(published(&app).await.contains(&first));
    assert!(is_good(&app, &endless).await);
}

#[tokio::test]
async fn a_leaked_key_is_worth_nothing_from_the_answer_on() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let first = published(&app).await.remove(0);
    let stolen = mint(&app, &admin, "never").await;
    app.get(&admin, "/me").await.is(200);
    let waiting = app.operator().operator_rotates_key().await.unwrap().key.kid;

    assert_eq!(revoke(&app, &first).await, KeyRevoked::Revoked);
    // The session too: the key signed it.
    app.get(&admin, "/me").await.fails(401, "invalid_token");
    assert!(!is_good(&app, &stolen).await);
    let left = published(&app).await;
    assert!(!left.contains(&first) && left.contains(&waiting), "{left:?}");
    // A successor signs at once: a new key, not one whose file was next to the leaked one.
    let email = NORTH.email("admin");
    let session = app.log_in(&email, &password(&email)).await.is(200);
    let session = Actor::holding(&session.text_at("/token"));
    let fresh = mint(&app, &session, "1h").await;
    let successor = kid(&fresh.secret);
    assert!(left.contains(&successor) && ![&first, &waiting].contains(&&successor));
    app.restart().await;
    assert!(!is_good(&app, &stolen).await);
    assert!(is_good(&app, &fresh).await);
    assert_eq!(published(&app).await.len(), 2);

    // The list shows the same, and a second revocation succeeds.
    let path = format!("/tokens/{}", stolen.id);
    assert_eq!(
        app.get(&session, &path).await.is(200).text_at("/status"),
        "revoked"
    );
    assert_eq!(revoke(&app, &first).await, KeyRevoked::AlreadyRevoked);
    assert_eq!(revoke(&app, &waiting).await, KeyRevoked::Revoked);
    assert_eq!(published(&app).await, [successor]);
    let listed = app.operator().operator_lists_keys().await.unwrap();
    let live: Vec<_> = listed.iter().map(|key| key.live_tokens.unwrap()).collect();
    assert_eq!(live, [0, 0, 2]);
}

#[tokio::test]
async fn another_algorithm_is_a_rotation() {
    let mut app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let mut tokens = vec![mint(&app, &admin, "1d").await];
    for algorithm in [Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Es256] {
        app.rotation.algorithm = algorithm;
        app.restart().await;
        run_key_maintenance(&app).await;
        let before = published(&app).await.len();
        let waits = mint(&app, &admin, "1d").await;
        assert_ne!(header(&waits.secret)["alg"], algorithm.name());
        app.clock.advance(301);
        run_key_maintenance(&app).await;
        tokens.push(mint(&app, &admin, "1d").await);
        assert_eq!(header(&tokens.last().unwrap().secret)["alg"], algorithm.name());
        // One run suffices.
        run_key_maintenance(&app).await;
        assert_eq!(published(&app).await.len(), before);
        for token in &tokens {
            assert!(is_good(&app, token).await);
        }
    }
}

/// Of servers with former and with changed settings, each would replace the keys of the other.
#[tokio::test]
async fn a_successor_is_published_only_by_settings_as_new_as_the_keys() {
    let mut app = TestApp::new().await;
    app.rotation.algorithm = Algorithm::EdDsa;
    app.rotation.stored = Some(Generation(0));
    app.restart().await;
    run_key_maintenance(&app).await;
    assert_eq!(published(&app).await.len(), 1);
    let keys = app.operator().keys();
    keys.rotate_by(Algorithm::EdDsa, None, Some(keys.generation()));
    run_key_maintenance(&app).await;
    assert_eq!(published(&app).await.len(), 2);
}

#[tokio::test]
async fn a_key_taken_out_of_the_succession_never_signs() {
    let app = TestApp::new().await;
    let first: KeyId = published(&app).await.remove(0).parse().unwrap();
    let second: KeyId = app
        .operator()
        .operator_rotates_key()
        .await
        .unwrap()
        .key
        .kid
        .parse()
        .unwrap();
    let retire = async |kid: &KeyId| app.operator().operator_retires_key(kid).await.unwrap();
    assert_eq!(retire(&first).await, KeyRetired::Signs);
    assert_eq!(retire(&second).await, KeyRetired::Retired);
    assert_eq!(retire(&second).await, KeyRetired::Retired);
    let unknown = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".parse().unwrap();
    assert_eq!(retire(&unknown).await, KeyRetired::Unknown);
    app.clock.advance(301);
    run_key_maintenance(&app).await;
    assert_eq!(published(&app).await, [first.to_string()]);
    let token = mint(&app, &app.admin_of(&NORTH), "1h").await;
    assert_eq!(kid(&token.secret), first.as_str());
}

/// A copy cached while the lifetime of the JWKS was long is still in use after a restart with a shorter
/// one.
#[tokio::test]
async fn a_shorter_max_age_does_not_forget_the_longer_one() {
    let mut app = TestApp::new().await;
    let first = published(&app).await.remove(0);
    app.clock.advance(10);
    app.rotation.max_age = 5;
    app.restart().await;
    assert_eq!(max_age(&app.get(&app.anyone(), JWKS).await), 5);
    app.operator().operator_rotates_key().await.unwrap();
    let signs = async |app: &TestApp| kid(&mint(app, &app.admin_of(&NORTH), "1h").await.secret);
    app.clock.advance(299);
    run_key_maintenance(&app).await;
    assert_eq!(signs(&app).await, first);
    app.clock.advance(2);
    run_key_maintenance(&app).await;
    assert_ne!(signs(&app).await, first);
    // Then the shorter one applies.
    let second = signs(&app).await;
    app.operator().operator_rotates_key().await.unwrap();
    app.clock.advance(6);
    run_key_maintenance(&app).await;
    assert_ne!(signs(&app).await, second);
}

/// A key that a process notices late does not sign before this process has served it for the lifetime
/// of the JWKS, whatever the row says.
#[tokio::test]
async fn a_server_that_was_late_to_notice_a_key_waits_for_its_own_copies() {
    let app = TestApp::new().await;
    let first = published(&app).await.remove(0);
    // Another process publishes it, and this one does not read changes for an hour.
    let beside = app.authority().await;
    beside.operator_rotates_key().await.unwrap();
    app.clock.advance(3600);
    assert_eq!(published(&app).await, std::slice::from_ref(&first));
    run_key_maintenance(&app).await;
    assert_eq!(published(&app).await.len(), 2);
    let signs = async || kid(&mint(&app, &app.admin_of(&NORTH), "1h").await.secret);
    assert_eq!(signs().await, first);
    app.clock.advance(300);
    run_key_maintenance(&app).await;
    assert_eq!(signs().await, first);
    app.clock.advance(1);
    run_key_maintenance(&app).await;
    assert_ne!(signs().await, first);
}

/// A token recorded before its key retired is valid. If the key is withdrawn after the signature and
/// before the commit, the token is signed again with the current key.
#[tokio::test]
async fn a_token_is_recorded_only_while_its_key_signs() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let admin = app.admin_of(&NORTH);
    let first = published(&app).await.remove(0);
    let recorded = async {
        plan.arm(Fault::Held, Some(Kind::Write), 0);
        mint(&app, &admin, "1h").await
    };
    let rotation = async {
        plan.under_way.notified().await;
        app.operator().operator_rotates_key().await.unwrap();
        app.clock.advance(301);
        run_key_maintenance(&app).await;
        plan.release.notify_one();
    };
    let (token, ()) = tokio::join!(recorded, rotation);
    assert_eq!(kid(&token.secret), first);
    assert!(is_good(&app, &token).await);
    let second = mint(&app, &admin, "1h").await;
    let leaked = kid(&second.secret);
    assert_ne!(leaked, first);

    let signed = async {
        plan.arm(Fault::Delayed, Some(Kind::Write), 0);
        mint(&app, &admin, "1h").await
    };
    let emergency = async {
        plan.under_way.notified().await;
        assert_eq!(revoke(&app, &leaked).await, KeyRevoked::Revoked);
        plan.release.notify_one();
    };
    let (token, ()) = tokio::join!(signed, emergency);
    assert_ne!(kid(&token.secret), leaked);
    assert!(is_good(&app, &token).await && !is_good(&app, &second).await);
}

/// A key withdrawn before a rotation is committed revokes no token in favour of one that it signed. If
/// withdrawn afterwards, the successor is revoked with everything else that it signed.
#[tokio::test]
async fn a_withdrawn_key_leaves_no_rotation_half_done() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let admin = app.admin_of(&NORTH);
    let former = mint(&app, &admin, "1h").await;
    app.operator().operator_rotates_key().await.unwrap();
    app.clock.advance(301);
    run_key_maintenance(&app).await;
    let leaked = kid(&mint(&app, &admin, "1h").await.secret);
    let path = format!("/tokens/{}/rotate", former.id);
    let rotated = async {
        plan.arm(Fault::Delayed, Some(Kind::Write), 0);
        app.post(&admin, &path, json!({"grace_period": "1h"}))
            .await
            .is(201)
    };
    let emergency = async {
        plan.under_way.notified().await;
        assert_eq!(revoke(&app, &leaked).await, KeyRevoked::Revoked);
        plan.release.notify_one();
    };
    let (rotated, ()) = tokio::join!(rotated, emergency);
    let successor = rotated.text_at("/token");
    assert_ne!(kid(&successor), leaked);
    let holder = Actor::holding(&successor);
    app.get(&holder, "/tokens/current").await.is(200);
    assert!(is_good(&app, &former).await);
    let record = app
        .get(&admin, &format!("/tokens/{}", former.id))
        .await
        .is(200)
        .json();
    assert_eq!(record["replaced_by"], rotated.json()["token_info"]["id"]);
}

/// If the new key of an emergency cannot be read, for example because another user's command created
/// it, the leaked key leaves the JWKS all the same, and issuing fails.
#[tokio::test]
async fn a_withdrawn_key_leaves_even_if_the_next_cannot_be_read() {
    let app = TestApp::new().await;
    let leaked = published(&app).await.remove(0);
    let beside = app.authority().await;
    let kid = leaked.parse().unwrap();
    let revoked = beside.operator_revokes_key(&kid, None).await.unwrap();
    assert_eq!(revoked, KeyRevoked::Revoked);
    for file in std::fs::read_dir(app.key_folder()).unwrap() {
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(file.unwrap().path(), open).unwrap();
    }
    run_key_maintenance(&app).await;
    assert!(!published(&app).await.contains(&leaked));
    app.get(&app.anyone(), "/readyz").await.is(503);
}

/// Issuing during a key change succeeds, with a published key.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn issuing_goes_on_while_keys_change_hands() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let used = std::sync::Mutex::new(BTreeSet::new());
    let rotate = async {
        for round in 0..30 {
            app.operator().operator_rotates_key().await.unwrap();
            app.clock.advance(301);
            if round % 10 == 9 {
                // An emergency in between. The session was signed by the first key, which is spared.
                let kid = kid(&mint(&app, &admin, "1h").await.secret);
                assert_eq!(revoke(&app, &kid).await, KeyRevoked::Revoked);
            }
            run_key_maintenance(&app).await;
        }
    };
    let issue = async || {
        for _ in 0..60 {
            let order = json!({"name": "n", "organization": NORTH.name, "owner": "organization"});
            let made = app.request_token(&admin, order).await.is(201);
            used.lock().unwrap().insert(kid(&made.text_at("/token")));
        }
    };
    tokio::join!(rotate, issue(), issue(), issue(), issue());
    assert!(used.lock().unwrap().len() > 3, "too few keys to say anything");
}

/// A verifier that caches the JWKS for a given time.
struct Verifier {
    /// The caching time, in percent of the allowed one.
    keeps: i64,
    /// The seconds in which it makes no request and receives no token.
    away: std::ops::Range<i64>,
    fetched_at: Option<Timestamp>,
    max_age: i64,
    kids: Vec<String>,
    refusals: usize,
}

impl Verifier {
    fn keeping(keeps: i64, away: std::ops::Range<i64>) -> Self {
        Self {
            keeps,
            away,
            fetched_at: None,
            max_age: 0,
            kids: Vec::new(),
            refusals: 0,
        }
    }

    async fn look(&mut self, app: &TestApp, second: i64, live: &[Live]) {
        if self.away.contains(&second) {
            return;
        }
        let now = app.clock.now();
        let age = self.fetched_at.map(|at| now.millis() - at.millis());
        // To the last millisecond.
        if age.is_none_or(|age| age > self.max_age * 10 * self.keeps) {
            let jwks = app.get(&app.anyone(), JWKS).await.is(200);
            self.max_age = max_age(&jwks);
            self.kids = kids(&jwks);
            self.fetched_at = Some(now);
        }
        self.refusals += live
            .iter()
            .filter(|token| !self.kids.contains(&token.kid))
            .count();
    }
}

struct Live {
    kid: String,
    ends_at: Timestamp,
}

/// Rotation every second, with short-lived tokens and verifiers with different caching.
struct Storm {
    app: TestApp,
    begun: Timestamp,
    ticks: i64,
    admin: Actor,
    live: Vec<Live>,
    verifiers: Vec<Verifier>,
    /// When a key was first in the JWKS.
    seen: BTreeMap<String, Timestamp>,
    used: BTreeSet<String>,
}

impl Storm {
    async fn new(mut app: TestApp) -> Self {
        app.rotation = Rotation {
            algorithm: Algorithm::Es256,
            max_age: 1,
            every: Span::from_seconds(1),
            stored: None,
        };
        app.restart().await;
        // Copies that may be cached for five minutes have expired then.
        app.clock.advance(301);
        let mut verifiers: Vec<_> = (0..4)
            .map(|number| Verifier::keeping(100 - number * 20, 0..0))
            .collect();
        verifiers.extend([
            Verifier::keeping(100, 0..0),
            Verifier::keeping(100, 0..0),
            Verifier::keeping(100, 15..45),
            // The control: caches four times as long as allowed, which must fail.
            Verifier::keeping(400, 0..0),
        ]);
        Self {
            admin: app.admin_of(&NORTH),
            begun: app.clock.now(),
            app,
            ticks: 0,
            live: Vec::new(),
            verifiers,
            seen: BTreeMap::new(),
            used: BTreeSet::new(),
        }
    }

    fn second(&self) -> i64 {
        (self.app.clock.now().millis() - self.begun.millis()) / 1000
    }

    /// Advances the time: issues a token, and all verifiers verify all active ones.
    async fn tick(&mut self) {
        let now = self.app.clock.now();
        for kid in published(&self.app).await {
            self.seen.entry(kid).or_insert(now);
        }
        let life = [1, 2, 3, 5, 8][usize::try_from(self.ticks % 5).unwrap()];
        let token = mint(&self.app, &self.admin, &format!("{life}s")).await;
        let kid = kid(&token.secret);
        let published_for = now.millis() - self.seen[&kid].millis();
        assert!(
            self.used.contains(&kid) || self.used.is_empty() || published_for >= 1_000,
            "signs after {published_for} ms in the JWKS"
        );
        self.used.insert(kid.clone());
        self.live.push(Live {
            kid,
            ends_at: now.plus_seconds(life),
        });
        self.live.retain(|token| token.ends_at.seconds() > now.seconds());
        let second = self.second();
        for verifier in &mut self.verifiers {
            verifier.look(&self.app, second, &self.live).await;
        }
        self.ticks += 1;
        self.app.clock.advance_millis(100 + self.ticks * 37 % 150);
    }

    #[track_caller]
    fn judge(&self, rotations: usize) {
        let refusals: Vec<_> = self.verifiers.iter().map(|verifier| verifier.refusals).collect();
        let (careless, careful) = refusals.split_last().unwrap();
        assert!(careful.iter().all(|refusals| *refusals == 0), "{refusals:?}");
        assert!(*careless > 0, "no verifier could have been refused");
        assert!(
            self.used.len() >= rotations,
            "only {} keys signed",
            self.used.len()
        );
    }
}

#[tokio::test]
async fn rotation_every_second_refuses_no_token() {
    let mut storm = Storm::new(TestApp::new().await).await;
    while storm.second() < 150 {
        run_key_maintenance(&storm.app).await;
        storm.tick().await;
    }
    storm.judge(120);
    let states = storm.app.operator().operator_lists_keys().await.unwrap();
    let gone = states
        .iter()
        .filter(|key| key.row.state == KeyState::Gone)
        .count();
    assert!(gone > 20, "{gone} keys have left");
    assert!(published(&storm.app).await.len() < 130);
}

/// Every step of a rotation fails, before and after its commit, and the process ends in it.
#[tokio::test]
async fn a_crash_in_any_step_of_a_rotation_refuses_no_token() {
    let plan = Arc::new(Plan::default());
    let mut storm = Storm::new(TestApp::over(plan.follow()).await).await;
    let faults = [Fault::Lost, Fault::Unheard, Fault::Fails, Fault::FailsAfterwards];
    let mut injected: BTreeMap<String, usize> = BTreeMap::new();
    let mut quiet_until = 0;
    while storm.second() < 400 && (injected.len() < 3 || injected.values().any(|count| *count < faults.len()))
    {
        storm.app.operator().catch_up().await.unwrap();
        let now = storm.app.clock.now();
        let step = match storm.app.operator().keys().due(now, now) {
            Some((Due::Publish, _)) => Some("Publish".to_owned()),
            Some((Due::Advance { step, .. }, _)) => Some(format!("{step:?}")),
            None => None,
        };
        let next = step
            .as_ref()
            .and_then(|step| faults.get(injected.get(step).copied().unwrap_or(0)));
        if let (Some(step), Some(fault), true) = (step, next, storm.second() >= quiet_until) {
            plan.arm(*fault, Some(Kind::Write), 0);
            let crashed = tokio::select! {
                tended = storm.app.operator().tend_keys() => {
                    assert!(tended.is_err(), "{step} went well with {fault:?}");
                    false
                }
                () = plan.under_way.notified() => true,
            };
            assert!(!plan.disarm());
            if crashed {
                storm.app.restart().await;
            }
            *injected.entry(step).or_default() += 1;
            // A process that has just started waits for its own cached copies to expire.
            quiet_until = storm.second() + 4;
        } else {
            run_key_maintenance(&storm.app).await;
        }
        storm.tick().await;
    }
    assert!(
        injected.values().all(|count| *count == faults.len()) && injected.len() == 3,
        "{injected:?}"
    );
    storm.judge(30);
    let states = storm.app.operator().operator_lists_keys().await.unwrap();
    let signing = states.iter().filter(|key| key.row.state == KeyState::Signing);
    assert_eq!(signing.count(), 1);
}

/// The signing key signs a list, which stays verifiable until it expires, also after that key has
/// retired. Lists signed by a withdrawn key are not served any more.
#[tokio::test]
async fn a_status_list_is_signed_with_a_key_that_is_published_while_it_is_good() {
    let app = TestApp::new().await;
    let token = mint(&app, &app.admin_of(&NORTH), "1h").await;
    let place = StatusListEntry::of(&token.secret);
    // All tokens and sessions of the first key have expired: only the list still needs it.
    app.clock.advance(13 * 3600);
    let first = published(&app).await.remove(0);
    let second = app.operator().operator_rotates_key().await.unwrap().key.kid;
    app.clock.advance(300);
    let last_of_first = app.get(&app.anyone(), place.path()).await.is(200);
    assert_eq!(kid(&last_of_first.text), first);
    app.clock.advance(1);
    run_key_maintenance(&app).await;
    let list = app.get(&app.anyone(), place.path()).await.is(200);
    assert_eq!(kid(&list.text), second);

    let end = app.read_list(&last_of_first, &place.uri, None).await.expires_at;
    app.clock.advance(end - app.clock.now_seconds() - 1);
    run_key_maintenance(&app).await;
    app.read_list(&last_of_first, &place.uri, None).await;
    assert!(published(&app).await.contains(&first));

    revoke(&app, &second).await;
    let list = app.get(&app.anyone(), place.path()).await.is(200);
    assert_ne!(kid(&list.text), second);
    app.read_list(&list, &place.uri, None).await;
    assert!(published(&app).await.contains(&kid(&list.text)));
}

/// A key withdrawn between reservation and signature consumes no status list index.
#[tokio::test]
async fn a_token_that_cannot_be_signed_uses_no_index_up() {
    let plan = Arc::new(Plan::default());
    let follow = plan.follow();
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&kept);
    let app = TestApp::over(move |store| {
        *keep.lock().unwrap() = Some(Arc::clone(&store));
        follow(store)
    })
    .await;
    let store = kept.lock().unwrap().clone().unwrap();
    let like = app.organization_token(&NORTH, &MANAGEMENT).await;
    let reference = TokenReference::Id(TokenId(like.id.parse().unwrap()));
    let like = store.token(reference).await.unwrap().unwrap().token;
    let next = async || store.reserve(&like).await.unwrap().list_index();
    let before = next().await;
    plan.arm(Fault::Delayed, Some(Kind::Reservation), 0);
    let admin = app.admin_of(&NORTH);
    let order = json!({"name": "one", "organization": NORTH.name, "owner": "organization"});
    let withdraw = async {
        plan.under_way.notified().await;
        let listed = app.operator().operator_lists_keys().await.unwrap();
        let kid = listed.first().unwrap().row.key.kid.parse().unwrap();
        let outcome = app.operator().operator_revokes_key(&kid, None).await.unwrap();
        assert_eq!(outcome, KeyRevoked::Revoked);
        plan.release.notify_one();
    };
    let (answer, ()) = tokio::join!(app.post(&admin, "/tokens", order), withdraw);
    // The session was signed with the same key.
    answer.fails(401, "invalid_token");
    assert_eq!(next().await, before);
}

/// Returns the keys as the API lists them.
async fn keys_of(app: &TestApp, actor: &Actor) -> Vec<Value> {
    let listed = app.get(actor, "/keys").await.is(200);
    listed.json()["items"].as_array().unwrap().clone()
}

/// Returns kid, state, live tokens and next step of each key.
fn shown(keys: &[Value]) -> Vec<(&str, &str, Option<u64>, Option<&str>)> {
    keys.iter()
        .map(|key| {
            (
                key["kid"].as_str().unwrap(),
                key["state"].as_str().unwrap(),
                key["live_tokens"].as_u64(),
                key["next_step"]["step"].as_str(),
            )
        })
        .collect()
}

async fn signs_in_again(app: &TestApp) -> Actor {
    let email = "admin@example.com";
    let session = app.log_in(email, &password(email)).await.is(200);
    Actor::holding(&session.text_at("/token"))
}

#[tokio::test]
async fn a_site_administrator_rotates_and_retires_keys() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let first = published(&app).await.remove(0);
    let before = keys_of(&app, &site).await;
    let live = before[0]["live_tokens"].as_u64();
    assert!(live > Some(0), "the sessions of the users");
    assert_eq!(shown(&before), [(&*first, "signing", live, None)]);
    mint(&app, &app.admin_of(&NORTH), "1h").await;
    let live = live.map(|count| count + 1);

    let rotated = app
        .post(&site, "/keys/rotate", json!({"reason": "yearly"}))
        .await
        .is(201);
    let second = rotated.text_at("/kid");
    assert_eq!(rotated.text_at("/state"), "published");
    assert_eq!(rotated.text_at("/algorithm"), "ES256");
    let signs_from: Timestamp = rotated.text_at("/signs_from").parse().unwrap();
    assert_eq!(signs_from, app.clock.now().plus_seconds(301));
    assert_eq!(
        rotated.json()["next_step"],
        json!({"step": "sign", "at": rotated.text_at("/signs_from")})
    );
    run_key_maintenance(&app).await;
    assert_eq!(published(&app).await, [first.clone(), second.clone()]);
    let both = keys_of(&app, &site).await;
    assert_eq!(
        shown(&both),
        [
            (&*first, "signing", live, Some("retire")),
            (&*second, "published", Some(0), Some("sign"))
        ]
    );
    assert_eq!(both[1], rotated.json());
    // One waits at a time, so that a client that repeats its request does not fill the key set.
    app.post(&site, "/keys/rotate", json!({}))
        .await
        .fails(409, "key_state");
    assert_eq!(published(&app).await.len(), 2);

    // The rotation is taken back.
    let retire = async |kid: &str| {
        let path = format!("/keys/{kid}/retire");
        app.post(&site, &path, json!({"reason": "too early"})).await
    };
    retire(&first).await.fails(409, "key_state");
    for _ in 0..2 {
        let retired = retire(&second).await.is(200);
        let state = (retired.text_at("/state"), retired.text_at("/next_step/step"));
        assert_eq!(state, ("retired".to_owned(), "leave".to_owned()));
        assert_eq!(retired.json()["live_tokens"], Value::Null);
    }
    run_key_maintenance(&app).await;
    assert_eq!(published(&app).await, std::slice::from_ref(&first));
    // Another one signs when its time has come.
    let third = app.post(&site, "/keys/rotate", json!({})).await.is(201);
    run_key_maintenance(&app).await;
    app.clock.advance(301);
    run_key_maintenance(&app).await;
    let after = keys_of(&app, &site).await;
    assert_eq!(
        shown(&after),
        [
            (&*first, "retired", live, Some("leave")),
            (&*second, "gone", Some(0), None),
            (&*third.text_at("/kid"), "signing", Some(0), None)
        ]
    );

    for unknown in ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "nonsense"] {
        retire(unknown).await.fails(404, "not_found");
        let path = format!("/keys/{unknown}/revoke");
        app.post(&site, &path, json!({})).await.fails(404, "not_found");
    }
    app.post(&site, "/keys/rotate", json!({"kid": "x"}))
        .await
        .blames(&["extra_forbidden at body.kid"]);

    while app.operator().seal_audit().await.unwrap() {}
    let mut told = Vec::new();
    for line in app.get(&site, "/audit?limit=1000").await.is(200).json()["items"]
        .as_array()
        .unwrap()
    {
        if line["action"].as_str().unwrap().starts_with("key.") && line["surface"] == "native" {
            let [action, actor] = ["action", "actor"].map(|field| line[field].as_str().unwrap());
            told.push(format!("{action} by {actor}: {}", line["reason"]));
        }
    }
    told.reverse();
    assert_eq!(
        told,
        [
            "key.publish by admin@example.com: \"yearly\"",
            "key.update by admin@example.com: \"too early\"",
            "key.publish by admin@example.com: null"
        ]
    );
}

#[tokio::test]
async fn a_site_administrator_revokes_the_signing_key() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    let first = published(&app).await.remove(0);
    let stolen = mint(&app, &app.admin_of(&NORTH), "never").await;
    let waiting = app.post(&site, "/keys/rotate", json!({})).await.is(201);
    let path = format!("/keys/{first}/revoke");
    let revoked = app.post(&site, &path, json!({"reason": "leaked"})).await.is(201);
    assert_eq!(revoked.text_at("/key/state"), "withdrawn");
    assert_eq!(revoked.json()["key"]["live_tokens"], 0);
    // The caller's session was signed with it.
    app.get(&site, "/me").await.fails(401, "invalid_token");
    assert!(!is_good(&app, &stolen).await);
    let site = signs_in_again(&app).await;
    let successor = kid(site.token());
    assert_eq!(revoked.text_at("/signing_key"), successor);
    assert_ne!(successor, waiting.text_at("/kid"), "it may have leaked too");
    let listed = keys_of(&app, &site).await;
    assert_eq!(
        shown(&listed),
        [
            (&*first, "withdrawn", Some(0), None),
            (&*waiting.text_at("/kid"), "published", Some(0), Some("sign")),
            (&*successor, "signing", Some(1), Some("retire"))
        ]
    );
    assert_eq!(listed[0], revoked.json()["key"]);
    // Again, which changes nothing.
    let again = app.post(&site, &path, json!({})).await.is(201);
    assert_eq!(again.json()["key"], revoked.json()["key"]);
    assert_eq!(again.text_at("/signing_key"), successor);

    // The feed says who and why.
    let event = format!("/revocations/{}", revoked.text_at("/revocation_cursor"));
    let event = app.get(&site, &event).await.is(200);
    assert_eq!(event.text_at("/reason"), "leaked");
    assert_eq!(event.text_at("/revoked_by"), "admin@example.com");
}

/// A list reads every token: one is made at a time, so that callers do not take what readiness needs.
#[tokio::test]
async fn of_many_requests_for_the_list_of_keys_few_wait_and_the_rest_are_refused() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let site = app.site_admin();
    app.get(&site, "/keys").await.is(200);
    plan.arm(Fault::Delayed, Some(Kind::Read), 0);
    let ask = async || app.get(&site, "/keys").await.status;
    let many = async {
        plan.under_way.notified().await;
        let (eight, ninth) = tokio::join!(futures_util::future::join_all((0..8).map(|_| ask())), async {
            tokio::task::yield_now().await;
            let refused = app.get(&site, "/keys").await.fails(503, "busy");
            plan.release.notify_one();
            refused
        });
        (eight, ninth.status)
    };
    let (first, (eight, ninth)) = tokio::join!(ask(), many);
    assert_eq!((first, eight, ninth), (200, vec![200; 8], 503));
}
