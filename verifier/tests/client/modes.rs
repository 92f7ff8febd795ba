//! What happens when something fails (T11, T12): the table in the documentation of the module `client`.

use std::time::Duration;

use jeton_verifier::{Rejection, Requirements};
use tokio::time::sleep;

use crate::authority::{Authority, Fault, Key};
use crate::{builder, eventually, ready, verdict_becomes};

const BOUND: Duration = Duration::from_secs(3);
const JWKS: &str = "/.well-known/jwks.json";

/// Cuts the connections and lets the authority do this; `None`: it is down.
async fn refuses_and_recovers(fault: Option<Fault>) {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority).max_staleness(BOUND)).await;
    let (good, revoked) = (authority.token(), authority.token());
    let cursor = authority.revoke(&revoked);
    verifier.wait_for(cursor).await;
    let open = Requirements::new().scope("projects:read").accept_if_unknown();
    assert!(verifier.verify_for(&open, &good).is_ok());
    assert_eq!(verifier.status().accepted_if_unknown, 0);

    authority.stop().await;
    if let Some(fault) = &fault {
        authority.fault("*", fault.clone());
        authority.start_again().await;
    }
    assert!(verifier.verify(&good).is_ok(), "before the bound");
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    assert!(!verifier.status().is_ready);
    assert!(verifier.status().problem.unwrap().contains("3 s"));

    assert!(verifier.verify_for(&open, &good).is_ok());
    assert_eq!(verifier.status().accepted_if_unknown, 1);
    assert_eq!(
        verifier.verify_for(&open, &revoked).map(drop),
        Err(Rejection::Revoked)
    );
    let other_scope = Requirements::new().scope("projects:write").accept_if_unknown();
    let verdict = verifier.verify_for(&other_scope, &good).map(drop);
    assert_eq!(verdict, Err(Rejection::InsufficientScope));

    let missed = authority.token();
    authority.revoke(&missed);
    authority.mend();
    if fault.is_none() {
        authority.start_again().await;
    }
    verdict_becomes(&verifier, &good, Ok(())).await;
    assert_eq!(verifier.verify(&missed).map(drop), Err(Rejection::Revoked));
}

#[tokio::test]
async fn an_authority_that_is_down() {
    refuses_and_recovers(None).await;
}

#[tokio::test]
async fn an_authority_that_is_slow() {
    refuses_and_recovers(Some(Fault::Slow)).await;
}

#[tokio::test]
async fn an_authority_that_fails() {
    refuses_and_recovers(Some(Fault::Refuse(500, "unavailable"))).await;
}

#[tokio::test]
async fn an_authority_that_is_garbled() {
    for text in ["garbage", "data: garbage\n\n", "event: head\ndata: {}\n\n"] {
        refuses_and_recovers(Some(Fault::Text(text.to_owned()))).await;
    }
}

/// Returns a token with a header of this key, and a signature that nobody checks.
fn token_of(authority: &Authority, key: &Key) -> String {
    key.token(jeton_verifier::TokenType::Access, &authority.claims())
}

#[tokio::test]
async fn a_key_set_that_fails_replaces_no_good_one() {
    let faults = [
        Fault::Slow,
        Fault::Refuse(500, "unavailable"),
        Fault::Text("garbage".to_owned()),
        Fault::Text(r#"{"keys":[]}"#.to_owned()),
        Fault::Text(r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","x":"","y":""}]}"#.to_owned()),
    ];
    for fault in faults {
        let authority = Authority::start().await;
        let verifier = ready(builder(&authority)).await;
        let good = authority.token();
        authority.fault(JWKS, fault.clone());
        let unknown = token_of(&authority, &Key::new());
        assert_eq!(verifier.verify(&unknown).map(drop), Err(Rejection::UnknownKey));
        eventually("a second fetch", || authority.hits(JWKS) > 1).await;
        sleep(Duration::from_millis(200)).await;
        assert!(verifier.verify(&good).is_ok(), "{fault:?}");

        // Withdrawn, and yet published: the feed decides.
        let key = std::sync::Arc::clone(&authority.data().key);
        let cursor = authority.cut_off_key(&key);
        verifier.wait_for(cursor).await;
        assert_eq!(
            verifier.verify(&good).map(drop),
            Err(Rejection::Revoked),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_key_set_is_used_for_a_day_after_it_was_confirmed() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority).max_staleness(Duration::from_secs(23 * 3600))).await;
    let mut claims = authority.claims();
    claims.expires_at += 72 * 3600;
    let good = authority.sign(&claims);
    authority.fault(JWKS, Fault::Refuse(500, "unavailable"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(23 * 3600)).await;
    tokio::time::resume();
    // The head is fresh again.
    verdict_becomes(&verifier, &good, Ok(())).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    tokio::time::resume();
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    assert!(verifier.status().problem.unwrap().contains("key set"));
    let open = Requirements::new().accept_if_unknown();
    assert!(verifier.verify_for(&open, &good).is_ok());
    authority.mend();
    verdict_becomes(&verifier, &good, Ok(())).await;
}

#[tokio::test]
async fn without_a_key_set_nothing_is_accepted() {
    let authority = Authority::start().await;
    authority.fault(JWKS, Fault::Text(r#"{"keys":[]}"#.to_owned()));
    let verifier = builder(&authority).build().unwrap();
    eventually("a fetch", || authority.hits(JWKS) > 0).await;
    let good = authority.token();
    let open = Requirements::new().accept_if_unknown();
    let verdict = verifier.verify_for(&open, &good).map(drop);
    assert_eq!(verdict, Err(Rejection::RevocationUnknown));
    authority.mend();
    verdict_becomes(&verifier, &good, Ok(())).await;
}

#[tokio::test]
async fn a_withdrawn_key_verifies_nothing() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let good = authority.token();
    assert!(verifier.verify(&good).is_ok());
    let successor = Key::new();
    let withdrawn = {
        let mut data = authority.data();
        data.keys = vec![std::sync::Arc::clone(&successor)];
        std::mem::replace(&mut data.key, successor)
    };
    let cursor = authority.cut_off_key(&withdrawn);
    verifier.wait_for(cursor).await;
    let verdict = verifier.verify(&good).map(drop);
    assert!(
        matches!(verdict, Err(Rejection::Revoked | Rejection::UnknownKey)),
        "{verdict:?}"
    );
    // The event has the key set fetched.
    verdict_becomes(&verifier, &good, Err(Rejection::UnknownKey)).await;
    verdict_becomes(&verifier, &authority.token(), Ok(())).await;
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cause_one_fetch() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let good = authority.token();
    let (one, signature) = good.rsplit_once('.').unwrap();
    let (_, claims) = one.split_once('.').unwrap();
    let before = authority.hits(JWKS);
    for number in 0..10_000_u64 {
        let mut thumbprint = [7; 32];
        thumbprint[..8].copy_from_slice(&number.to_be_bytes());
        let kid = base64(&thumbprint);
        let header = base64(format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"at+jwt"}}"#).as_bytes());
        let token = format!("{header}.{claims}.{signature}");
        assert_eq!(verifier.verify(&token).map(drop), Err(Rejection::UnknownKey));
        if number % 100 == 0 {
            tokio::task::yield_now().await;
            assert!(verifier.verify(&good).is_ok());
        }
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(authority.hits(JWKS), before + 1);
    assert_eq!(verifier.status().rejected["unknown_key"], 10_000);

    // And another one after half a minute, not before.
    let advance = |seconds| async move {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        sleep(Duration::from_millis(300)).await;
    };
    advance(20).await;
    assert_eq!(authority.hits(JWKS), before + 1);
    advance(10).await;
    assert_eq!(authority.hits(JWKS), before + 2);
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;

    ::base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let key = Key::new();
    authority.data().keys.push(std::sync::Arc::clone(&key));
    let token = token_of(&authority, &key);
    assert_eq!(verifier.verify(&token).map(drop), Err(Rejection::UnknownKey));
    verdict_becomes(&verifier, &token, Ok(())).await;
}

/// The monotonic clock goes on, and that of the system does not: it was set back.
#[tokio::test]
async fn an_expired_token_stays_expired_when_the_clock_is_set_back() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority).leeway(Duration::ZERO)).await;
    let mut claims = authority.claims();
    claims.expires_at = claims.issued_at + 60;
    let token = authority.sign(&claims);
    assert!(verifier.verify(&token).is_ok());
    authority.stop().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(120)).await;
    tokio::time::resume();
    assert_eq!(verifier.verify(&token).map(drop), Err(Rejection::Expired));
    authority.start_again().await;
    eventually("a connection", || verifier.status().reconnects > 0).await;
    assert_eq!(verifier.verify(&token).map(drop), Err(Rejection::Expired));
}

#[tokio::test]
async fn a_step_of_the_authoritys_clock_ahead_and_back_ends_with_it() {
    let authority = Authority::start().await;
    authority.data().delay = -3600;
    let verifier = ready(builder(&authority).max_staleness(BOUND)).await;
    let mut claims = authority.claims();
    claims.expires_at += 7200;
    let (good, early) = (authority.sign(&claims), authority.token());
    assert!(verifier.verify(&good).is_ok());
    claims.expires_at -= 7200 + 1800;
    let early_too = authority.sign(&claims);
    assert_eq!(verifier.verify(&early_too).map(drop), Err(Rejection::Expired));
    authority.data().delay = 0;
    verdict_becomes(&verifier, &early_too, Ok(())).await;
    sleep(BOUND + Duration::from_secs(1)).await;
    for token in [&good, &early, &early_too] {
        assert!(verifier.verify(token).is_ok());
    }
    authority.revoke(&good);
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
}
