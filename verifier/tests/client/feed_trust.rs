//! A feed that is not to be trusted (T8): the follower starts again or refuses, and never carries on.

use std::time::Duration;

use jeton_verifier::event::{Ends, Entry};
use jeton_verifier::feed::Item;
use jeton_verifier::{Rejection, Source, Verifier};
use uuid::Uuid;

use crate::authority::{Authority, Fault, Key};
use crate::{builder, eventually, ready, verdict_becomes};

const BOUND: Duration = Duration::from_secs(3);
const STREAM: &str = "/api/v1/revocations/stream";

/// Returns an authority with three revoked tokens, a verifier that follows it, and a good token.
async fn following() -> (Authority, Verifier, Vec<String>, String) {
    let authority = Authority::start().await;
    let revoked: Vec<String> = (0..3).map(|_| authority.token()).collect();
    for token in &revoked {
        authority.revoke(token);
    }
    let verifier = ready(builder(&authority).max_staleness(BOUND)).await;
    let good = authority.token();
    assert!(verifier.verify(&good).is_ok());
    for token in &revoked {
        assert_eq!(verifier.verify(token).map(drop), Err(Rejection::Revoked));
    }
    (authority, verifier, revoked, good)
}

fn restarts(verifier: &Verifier) -> u64 {
    verifier.status().restarts
}

#[tokio::test]
async fn a_pruned_position_starts_again() {
    let (authority, verifier, _, good) = following().await;
    authority.stop().await;
    authority.revoke(&good);
    authority.data().pruned = 4;
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
    assert_eq!(restarts(&verifier), 1);
}

#[tokio::test]
async fn another_epoch_starts_again() {
    let (authority, verifier, revoked, good) = following().await;
    let old_snapshot = authority.data().sign_snapshot(3);
    authority.stop().await;
    {
        let mut data = authority.data();
        data.epoch = Uuid::from_u128(2);
        data.entries.clear();
    }
    let cursor = authority.revoke(&good);
    authority.start_again().await;
    tokio::time::timeout(crate::PATIENCE, verifier.wait_for(cursor))
        .await
        .unwrap();
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
    // The restored database does not know these revocations: reconciling them is the authority's matter.
    verdict_becomes(&verifier, &revoked[0], Ok(())).await;
    assert_eq!(verifier.status().position.unwrap().epoch, Uuid::from_u128(2));

    // A snapshot of the epoch that ended is signed, and yet not believed.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    {
        let mut data = authority.data();
        data.snapshot = Some(old_snapshot);
        data.pruned = 9;
    }
    authority.stop().await;
    authority.start_again().await;
    verdict_becomes(&verifier, &revoked[0], Err(Rejection::RevocationUnknown)).await;
    assert_eq!(verifier.verify(&good).map(drop), Err(Rejection::Revoked));
}

#[tokio::test]
async fn a_feed_that_lost_events_is_refused_until_it_has_them_again() {
    let (authority, verifier, revoked, good) = following().await;
    authority.stop().await;
    let lost = authority.data().entries.pop().unwrap();
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    assert_eq!(verifier.verify(&revoked[2]).map(drop), Err(Rejection::Revoked));
    authority.data().entries.push(lost);
    verdict_becomes(&verifier, &good, Ok(())).await;
    assert_eq!(verifier.verify(&revoked[2]).map(drop), Err(Rejection::Revoked));
}

#[tokio::test]
async fn another_history_of_the_same_epoch_is_refused() {
    let (authority, verifier, revoked, good) = following().await;
    authority.stop().await;
    authority.data().entries.pop();
    let other = authority.token();
    authority.revoke(&other);
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    assert_eq!(verifier.verify(&revoked[2]).map(drop), Err(Rejection::Revoked));
}

#[tokio::test]
async fn repeated_items_are_refused() {
    let (authority, verifier, _, good) = following().await;
    let old: Vec<Item> = authority.data().entries.iter().map(Item::from).collect();
    authority.data().items = Some(old);
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    authority.data().items = None;
    verdict_becomes(&verifier, &good, Ok(())).await;
    assert_eq!(restarts(&verifier), 0);
}

/// Sends these instead of the two next items, and an old snapshot to who starts again.
async fn instead_of_two(
    change: impl Fn(&[u8; 32], Vec<Entry>) -> Vec<Entry>,
) -> (Authority, Verifier, [String; 2], String) {
    let (authority, verifier, _, good) = following().await;
    authority.stop().await;
    let revoked = [authority.token(), authority.token()];
    for token in &revoked {
        authority.revoke(token);
    }
    {
        let mut data = authority.data();
        let next = data.entries.split_off(3);
        let sent = change(&data.last().hash, next.clone());
        data.entries.extend(next);
        data.items = Some(sent.iter().map(Item::from).collect());
        data.snapshot_at = Some(3);
    }
    authority.start_again().await;
    (authority, verifier, revoked, good)
}

async fn is_refused_and_recovers(
    authority: Authority,
    verifier: Verifier,
    revoked: [String; 2],
    good: String,
) {
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    eventually("a start from a snapshot", || restarts(&verifier) > 0).await;
    authority.data().items = None;
    verdict_becomes(&verifier, &good, Ok(())).await;
    for token in &revoked {
        assert_eq!(verifier.verify(token).map(drop), Err(Rejection::Revoked));
    }
}

#[tokio::test]
async fn a_removed_event_is_noticed() {
    let (authority, verifier, revoked, good) = instead_of_two(|_, next| vec![next[1].clone()]).await;
    is_refused_and_recovers(authority, verifier, revoked, good).await;
}

#[tokio::test]
async fn a_removed_last_event_is_noticed() {
    let (authority, verifier, revoked, good) = instead_of_two(|_, next| vec![next[0].clone()]).await;
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    authority.data().items = None;
    // A new connection continues where the last one ended.
    verdict_becomes(&verifier, &revoked[1], Err(Rejection::Revoked)).await;
    verdict_becomes(&verifier, &good, Ok(())).await;
}

#[tokio::test]
async fn an_altered_event_is_noticed() {
    let altered = |_: &[u8; 32], mut next: Vec<Entry>| {
        next[0].event.effective_at += 1;
        next
    };
    let (authority, verifier, revoked, good) = instead_of_two(altered).await;
    is_refused_and_recovers(authority, verifier, revoked, good).await;
}

/// An attacker in between can compute hashes, but not sign the head.
#[tokio::test]
async fn an_altered_event_with_new_hashes_is_noticed_and_undone() {
    let altered = |before: &[u8; 32], next: Vec<Entry>| {
        let mut first = next[0].event.clone();
        if let Ends::Token(token) = &mut first.ends {
            token.index = 4;
        }
        let first = Entry::after(before, first);
        let second = Entry::after(&first.hash, next[1].event.clone());
        vec![first, second]
    };
    let (authority, verifier, revoked, good) = instead_of_two(altered).await;
    is_refused_and_recovers(authority, verifier, revoked, good).await;
}

#[tokio::test]
async fn an_old_head_makes_nothing_fresh() {
    let (authority, verifier, _, good) = following().await;
    let old = authority.data().sign_last();
    authority.data().head = Some(old);
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    assert!(verifier.status().staleness.unwrap() > BOUND);
    authority.data().head = None;
    verdict_becomes(&verifier, &good, Ok(())).await;
}

#[tokio::test]
async fn a_late_feed_is_as_old_as_it_says() {
    let authority = Authority::start().await;
    authority.data().delay = 60;
    let verifier = builder(&authority).max_staleness(BOUND).build().unwrap();
    eventually("a head", || verifier.status().staleness.is_some()).await;
    assert!(verifier.status().staleness.unwrap() >= Duration::from_secs(60));
    assert!(!verifier.status().is_ready);
    let good = authority.token();
    assert_eq!(
        verifier.verify(&good).map(drop),
        Err(Rejection::RevocationUnknown)
    );
    authority.data().delay = 0;
    verdict_becomes(&verifier, &good, Ok(())).await;
}

#[tokio::test]
async fn a_head_and_a_snapshot_of_another_signer_are_refused() {
    let (authority, verifier, _, good) = following().await;
    let forged = {
        let mut data = authority.data();
        let key = std::mem::replace(&mut data.key, Key::new());
        let (head, snapshot) = (data.sign_last(), data.sign_snapshot(0));
        data.key = key;
        (head, snapshot)
    };
    authority.data().head = Some(forged.0);
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    authority.data().head = None;
    verdict_becomes(&verifier, &good, Ok(())).await;

    authority.data().snapshot = Some(forged.1);
    let other = builder(&authority).build().unwrap();
    eventually("a refused snapshot", || other.status().fetch_errors > 0).await;
    assert_eq!(other.status().position, None);
    authority.data().snapshot = None;
    verdict_becomes(&other, &good, Ok(())).await;
}

#[tokio::test]
async fn pages_are_judged_as_the_stream_is() {
    let (authority, verifier, _, good) = following().await;
    authority.fault("/api/v1/revocations/stream", Fault::Refuse(503, "busy"));
    authority.stop().await;
    let revoked = [authority.token(), authority.token()];
    for token in &revoked {
        authority.revoke(token);
    }
    let removed = Item::from(&authority.data().entries[4]);
    authority.data().items = Some(vec![removed]);
    authority.data().snapshot_at = Some(3);
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    authority.data().items = None;
    verdict_becomes(&verifier, &good, Ok(())).await;
    assert_eq!(verifier.status().source, Source::Pages);
    for token in &revoked {
        assert_eq!(verifier.verify(token).map(drop), Err(Rejection::Revoked));
    }
}

#[tokio::test]
async fn an_old_head_after_status_lists_undoes_nothing() {
    let (authority, verifier, _, good) = following().await;
    drop(verifier);
    // Status lists are read each five seconds.
    let verifier = ready(builder(&authority).max_staleness(Duration::from_secs(20))).await;
    let old = authority.data().sign_last();
    authority.stop().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    authority.fault(STREAM, Fault::Refuse(403, "insufficient_scope"));
    authority.revoke(&good);
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
    assert_eq!(verifier.status().source, Source::StatusLists);

    {
        let mut data = authority.data();
        data.head = Some(old);
        data.items = Some(Vec::new());
    }
    let hits = authority.hits(STREAM);
    authority.mend();
    eventually("the stream again", || authority.hits(STREAM) > hits).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(verifier.verify(&good).map(drop), Err(Rejection::Revoked));

    let other = authority.token();
    authority.revoke(&other);
    {
        let mut data = authority.data();
        data.head = None;
        data.items = None;
    }
    authority.stop().await;
    authority.start_again().await;
    verdict_becomes(&verifier, &other, Err(Rejection::Revoked)).await;
    assert_eq!(verifier.verify(&good).map(drop), Err(Rejection::Revoked));
}

/// Returns forged items after the last event of the authority, with good hashes. Each revokes the token with its number.
fn forged(authority: &Authority, count: u64) -> Vec<Item> {
    let data = authority.data();
    let (mut last, template) = (data.last(), data.entries[0].event.clone());
    let entries = (0..count).map(|number| {
        let mut event = template.clone();
        event.sequence = last.sequence + 1;
        if let Ends::Token(token) = &mut event.ends {
            token.index = number as u32;
        }
        let entry = Entry::after(&last.hash, event);
        last = entry.position();
        Item::from(&entry)
    });
    entries.collect()
}

#[tokio::test]
async fn more_forged_items_than_real_ones_are_undone_once_the_mirror_is_honest() {
    let (authority, verifier, revoked, good) = following().await;
    let forged = forged(&authority, 50);
    authority.stop().await;
    authority.data().items = Some(forged);
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;

    authority.stop().await;
    authority.data().items = None;
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Ok(())).await;
    for token in &revoked {
        assert_eq!(verifier.verify(token).map(drop), Err(Rejection::Revoked));
    }
    authority.revoke(&good);
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
}

#[tokio::test]
async fn whoever_stole_a_withdrawn_key_can_sign_nothing_with_it() {
    let authority = Authority::start().await;
    let successor = Key::new();
    authority.data().keys.push(std::sync::Arc::clone(&successor));
    let verifier = ready(builder(&authority).max_staleness(BOUND)).await;
    // The key set is an old copy: only the feed tells.
    let mut later = authority.claims();
    later.issued_at += 20;
    let later = authority.sign(&later);
    assert!(verifier.verify(&later).is_ok());
    let withdrawn = std::mem::replace(&mut authority.data().key, successor);
    let cursor = authority.cut_off_key(&withdrawn);
    verifier.wait_for(cursor).await;
    assert_eq!(verifier.verify(&later).map(drop), Err(Rejection::Revoked));
    let good = authority.token();
    verdict_becomes(&verifier, &good, Ok(())).await;

    let successor = std::mem::replace(&mut authority.data().key, withdrawn);
    verdict_becomes(&verifier, &good, Err(Rejection::RevocationUnknown)).await;
    authority.data().pruned = 9;
    let hits = || authority.hits("/api/v1/revocations/snapshot");
    let before = hits();
    authority.stop().await;
    authority.start_again().await;
    eventually("a snapshot", || hits() > before).await;
    authority.data().readers = vec!["somebody-else".to_owned()];
    let lists = || authority.hits("/status-lists/1");
    eventually("status lists", || lists() > 1).await;
    assert_eq!(
        verifier.verify(&good).map(drop),
        Err(Rejection::RevocationUnknown)
    );
    {
        let mut data = authority.data();
        data.key = successor;
        data.pruned = 0;
        data.readers = vec!["reader".to_owned()];
    }
    verdict_becomes(&verifier, &good, Ok(())).await;
    assert_eq!(verifier.verify(&later).map(drop), Err(Rejection::Revoked));
}

#[tokio::test]
async fn a_refusal_of_the_own_token_has_the_key_set_fetched() {
    let (authority, verifier, _, _) = following().await;
    let before = authority.hits("/.well-known/jwks.json");
    authority.data().readers = vec!["somebody-else".to_owned()];
    authority.stop().await;
    authority.start_again().await;
    eventually("the key set", || {
        authority.hits("/.well-known/jwks.json") > before
    })
    .await;
    drop(verifier);
}
