//! Signing keys: when a key may sign, and when it may be dropped from the JWKS.

use crate::KeyState::{self, Gone, Published, Retired, Signing, Withdrawn};
use crate::KeyStep::{Leave, Retire, Sign};
use crate::rules::keys as rules;
use crate::rules::keys::NotWithdrawn;
use crate::suite::clerk::{Clerk, RecordOutcome};
use crate::{Cause, Change, KeyRow, KeyStep, NewKey, SigningKeys, Versioned};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, NewToken, Reach, Record};

use super::world::{World, at, new_key, reserve_and_record, revocation, token};

async fn row(world: &World, kid: &str) -> KeyRow {
    let keys = world.store.keys().await.unwrap().value;
    keys.row(kid).unwrap().clone()
}

async fn states(world: &World) -> Vec<(String, KeyState)> {
    let keys = world.store.keys().await.unwrap().value;
    keys.rows
        .into_iter()
        .map(|row| (row.key.kid, row.state))
        .collect()
}

async fn advance(world: &World, kid: &str, step: KeyStep, seconds: i64) -> bool {
    world.store.advance_key(kid, step, at(seconds)).await.unwrap()
}

async fn revoke(
    world: &World,
    kid: &str,
    successor: Option<NewKey>,
    seconds: i64,
) -> Result<(), NotWithdrawn> {
    let withdrawn = world.store.withdraw_key(kid, successor, at(seconds));
    withdrawn.await.unwrap()
}

fn signed_with(world: &World, kid: &str, seconds: i64, life: Option<i64>) -> NewToken {
    NewToken {
        kid: kid.into(),
        expires_at: life.map(|life| at(seconds + life)),
        ..token(world.owner(), seconds)
    }
}

/// Returns when a key may sign that is published at the second 0 without a promise.
async fn noticed(world: &World) -> i64 {
    world.store.keys().await.unwrap().value.noticed_within
}

/// Only the first key signs at once, and it does so again after a restart.
pub(crate) async fn the_first_key_signs_at_once(world: World) {
    let first = row(&world, "first").await;
    assert_eq!(first.state, Signing);
    assert_eq!((first.created_at, first.signs_from), (at(0), at(0)));
    let generation = world.generation().await;
    let second = world.publish_key("second", 5).await;
    assert_eq!(second.state, Published);
    assert_ne!(
        world.generation().await,
        generation,
        "nobody would notice the key"
    );
    let world = world.reopen();
    assert_eq!(row(&world, "second").await, second);
    assert_eq!(row(&world, "first").await, first);
}

/// A key signs only when no copy of the JWKS without it can still be cached: neither one fetched just before it
/// was published, nor one fetched while copies could be cached for longer.
pub(crate) async fn a_key_waits_for_every_copy(world: World) {
    let noticed = noticed(&world).await;
    // No cache lifetime was promised yet: only the time until all servers notice it counts.
    assert_eq!(world.publish_key("unserved", 0).await.signs_from, at(noticed));
    world.store.promise_jwks(600, at(10)).await.unwrap();
    let long = world.publish_key("long", 20).await;
    assert_eq!(long.signs_from, at(20 + 600 + noticed));
    world.store.promise_jwks(60, at(100)).await.unwrap();
    // A copy may be cached from the last moment of the old promise.
    let soon = world.publish_key("soon", 110).await;
    assert_eq!(soon.signs_from, at(100 + 600 + noticed));
    let later = world.publish_key("later", 650).await;
    assert_eq!(later.signs_from, at(650 + 60 + noticed));
    // The same promise after a restart changes nothing, nor does a second reduction bring the first forward.
    world.store.promise_jwks(60, at(400)).await.unwrap();
    world.store.promise_jwks(10, at(500)).await.unwrap();
    assert_eq!(
        world.publish_key("third", 510).await.signs_from,
        at(700 + noticed)
    );
    let world = world.reopen();
    assert_eq!(
        world.publish_key("fourth", 520).await.signs_from,
        at(700 + noticed)
    );

    assert!(!advance(&world, "long", Sign, 619 + noticed).await);
    assert_eq!(row(&world, "long").await, long);
    assert_eq!(row(&world, "first").await.state, Signing);
    assert!(advance(&world, "long", Sign, 620 + noticed).await);
    let long = row(&world, "long").await;
    assert_eq!((long.state, long.changed_at), (Signing, at(620 + noticed)));
    let first = row(&world, "first").await;
    assert_eq!((first.state, first.changed_at), (Retired, at(620 + noticed)));
}

/// A key leaves when the last token that it signed has ended, and not before.
pub(crate) async fn a_key_stays_while_something_needs_it(world: World) {
    world.record(signed_with(&world, "first", 0, Some(1_000))).await;
    world.record(signed_with(&world, "first", 5, Some(10))).await;
    world.publish_key("second", 10).await;
    assert!(!advance(&world, "first", Leave, 900_000).await, "it signs");
    assert!(advance(&world, "second", Sign, 20).await);
    let needed_until = row(&world, "first").await.needed_until;
    assert!((at(1_000)..=at(1_060)).contains(&needed_until), "{needed_until}");
    for early in [21, 999, needed_until.seconds() - at(0).seconds() - 1] {
        assert!(!advance(&world, "first", Leave, early).await, "{early}");
    }
    let world = world.reopen();
    assert!(advance(&world, "first", Leave, 1_060).await);
    assert_eq!(row(&world, "first").await.state, Gone);
    // A key that signed nothing leaves at once; one with a token without expiry never does.
    world.publish_key("idle", 1_100).await;
    assert!(
        !advance(&world, "idle", Leave, 900_000).await,
        "it is yet to sign"
    );
    assert!(advance(&world, "idle", Retire, 1_101).await);
    assert!(advance(&world, "idle", Leave, 1_101).await);
    world.record(signed_with(&world, "second", 1_200, None)).await;
    world.publish_key("third", 1_200).await;
    assert!(advance(&world, "third", Sign, 1_300).await);
    assert_eq!(row(&world, "second").await.needed_until, Timestamp::LAST);
    assert!(
        !world
            .store
            .advance_key("second", Leave, Timestamp::from_seconds(253_402_300_798).unwrap())
            .await
            .unwrap()
    );
}

/// Tokens, sessions and other needs recorded by any process keep a key.
pub(crate) async fn what_a_key_signs_keeps_it(world: World) {
    assert_eq!(row(&world, "first").await.needed_until, Timestamp::EPOCH);
    let beside = world.beside();
    let mut last = Timestamp::EPOCH;
    for life in [100, 50, 30_000, 20_000] {
        let order = crate::suite::clerk::RecordOrder {
            token: signed_with(&world, "first", 0, Some(life)),
            versions: world.generation().await,
            limits: Vec::new(),
            unique_name: false,
            rotation: None,
        };
        let store = if life % 1_000 == 0 { &beside } else { &world.store };
        assert!(matches!(
            reserve_and_record(store, order).await.unwrap(),
            RecordOutcome::Recorded(_)
        ));
        let needed_until = row(&world, "first").await.needed_until;
        assert!(needed_until >= at(life) && needed_until >= last);
        last = needed_until;
    }
    // An earlier instant changes nothing, a later one does.
    assert!(world.store.need_key("first", at(7)).await.unwrap());
    assert_eq!(row(&world, "first").await.needed_until, last);
    assert!(world.store.need_key("first", at(86_400)).await.unwrap());
    assert_eq!(row(&world, "first").await.needed_until, at(86_400));
    world.record(signed_with(&world, "first", 0, Some(60_000))).await;
    assert_eq!(row(&world, "first").await.needed_until, at(86_400));
    // Only the signing key can be needed for longer.
    world.publish_key("second", 0).await;
    for kid in ["second", "no such key"] {
        assert!(!world.store.need_key(kid, at(1_000)).await.unwrap(), "{kid}");
    }
    assert!(advance(&world, "second", Sign, noticed(&world).await).await);
    assert!(!world.store.need_key("first", at(900_000)).await.unwrap());
    assert_eq!(row(&world, "first").await.needed_until, at(86_400));
}

/// A token is recorded only with the current signing key; otherwise it is evaluated again.
pub(crate) async fn only_the_key_that_signs_is_recorded(world: World) {
    world.publish_key("second", 0).await;
    let stale = async |kid: &str| {
        let outcome = world.order(signed_with(&world, kid, 10, Some(9)), None).await;
        match outcome {
            RecordOutcome::Stale => true,
            RecordOutcome::Recorded(_) => false,
            other => panic!("{other:?}"),
        }
    };
    assert!(!stale("first").await && stale("second").await && stale("third").await);
    assert!(advance(&world, "second", Sign, 10).await);
    assert!(stale("first").await && !stale("second").await);
    let revoked = revoke(&world, "second", Some(new_key("third")), 11).await;
    assert_eq!(revoked, Ok(()));
    assert!(stale("second").await && !stale("third").await);
    assert!(row(&world, "first").await.needed_until < at(86_400));
}

/// Withdrawing a key revokes everything it signed, in the same instant and for good.
pub(crate) async fn a_withdrawn_key_ends_what_it_signed(world: World) {
    let before = world.record(signed_with(&world, "first", 10, Some(1_000))).await;
    world.publish_key("second", 10).await;
    assert_eq!(
        revoke(&world, "first", None, 20).await,
        Err(NotWithdrawn::SuccessorNeeded)
    );
    assert_eq!(row(&world, "first").await.state, Signing);
    assert!(
        world
            .seen
            .all()
            .iter()
            .all(|change| !matches!(change, Change::CutOff { .. }))
    );
    assert_eq!(
        revoke(&world, "no such key", None, 20).await,
        Err(NotWithdrawn::Unknown)
    );

    let revoked = revoke(&world, "first", Some(new_key("third")), 20).await;
    assert_eq!(revoked, Ok(()));
    let expected = [("first", Withdrawn), ("second", Published), ("third", Signing)]
        .map(|(kid, state)| (kid.to_owned(), state));
    assert_eq!(states(&world).await, expected);
    assert_eq!(row(&world, "third").await.signs_from, at(20));
    let cut_off = CutOff {
        reach: Reach {
            kid: Some("first".to_owned()),
            ..Reach::default()
        },
        // Whenever they were issued: a thief of the key can forge that.
        issued_through: CutOff::WHENEVER,
        effective_at: at(20),
    };
    let changes = world.events().await;
    let [
        told @ Change::CutOff {
            cut_off: ordered,
            entry,
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    assert_eq!((ordered, entry.event.sequence), (&cut_off, 1));
    // Observers are told before the answer, together with the change of keys.
    assert!(world.seen.all().contains(told));
    assert!(cut_off.ends(&before, at(20)));
    let after: Record = world.record(signed_with(&world, "third", 20, Some(9))).await;
    assert!(!cut_off.ends(&after, at(20)));

    // Withdrawing again changes nothing. A key that does not sign needs no successor and gets none.
    let again = revoke(&world, "first", Some(new_key("fourth")), 30).await;
    assert_eq!(again, Err(NotWithdrawn::AlreadyWithdrawn));
    assert_eq!(
        revoke(&world, "second", Some(new_key("fourth")), 40).await,
        Ok(())
    );
    let world = world.reopen();
    let expected = [("first", Withdrawn), ("second", Withdrawn), ("third", Signing)]
        .map(|(kid, state)| (kid.to_owned(), state));
    assert_eq!(states(&world).await, expected);
    for (kid, step) in [
        ("first", Sign),
        ("second", Sign),
        ("first", Leave),
        ("second", Retire),
    ] {
        assert!(!advance(&world, kid, step, 900_000).await, "{kid} {step:?}");
    }
    assert_eq!(world.store.snapshot().await.unwrap().cut_offs.len(), 2);
}

/// A step that is not due, or is repeated, has no effect.
pub(crate) async fn steps_that_are_not_due_do_nothing(world: World) {
    world.publish_key("second", 0).await;
    let generation = world.generation().await;
    for (kid, step) in [
        ("first", Sign),
        ("first", Retire),
        ("first", Leave),
        ("second", Leave),
        ("third", Sign),
        ("third", Retire),
    ] {
        assert!(!advance(&world, kid, step, 900_000).await, "{kid} {step:?}");
    }
    assert_eq!(world.generation().await, generation);
    let beside = world.beside();
    let noticed = at(noticed(&world).await);
    let steps = [&world.store, &beside].map(|store| store.advance_key("second", Sign, noticed));
    let [mine, other] = steps;
    let (mine, other) = tokio::join!(mine, other);
    assert_ne!(mine.unwrap(), other.unwrap(), "both, or neither, took the step");
    assert!(!advance(&world, "second", Retire, 10).await, "it signs");
    let signing = |(_, state): &&(String, KeyState)| *state == Signing;
    assert_eq!(states(&world).await.iter().filter(signing).count(), 1);
}

/// Expired, revoked and cut-off tokens are not counted.
pub(crate) async fn live_tokens_are_counted(world: World) {
    assert_eq!(world.store.live_tokens(at(0)).await.unwrap(), []);
    for life in [Some(10), Some(1_000), Some(1_000), Some(1_000), None] {
        world.record(signed_with(&world, "first", 0, life)).await;
    }
    world.publish_key("second", 0).await;
    assert!(advance(&world, "second", Sign, noticed(&world).await).await);
    let other = world.record(signed_with(&world, "second", 2, Some(1_000))).await;
    let count = async |seconds| world.store.live_tokens(at(seconds)).await.unwrap();
    let of = |first, second| [("first".to_owned(), first), ("second".to_owned(), second)].to_vec();
    assert_eq!(count(2).await, of(5, 1));
    assert_eq!(count(10).await, of(4, 1));
    world.revoke(other.id, revocation(11, 100)).await;
    assert_eq!(count(110).await, of(4, 1));
    assert_eq!(count(111).await, of(4, 1)[..1]);
    assert_eq!(count(1_000).await, of(1, 0)[..1]);
    assert_eq!(revoke(&world, "first", None, 200).await, Ok(()));
    assert_eq!(count(200).await, []);
}

/// An order is refused if a key was published or advanced, or a promise made, since the keys were read.
pub(crate) async fn a_change_of_keys_refuses_earlier_decisions(world: World) {
    let cause = || Cause::server(at(10));
    let publish = |keys: &Versioned<SigningKeys>, kid| rules::publish(cause(), keys, new_key(kid)).0;
    let commit = async |order| world.store.commit(order).await.unwrap().is_ok();
    let before = world.store.keys().await.unwrap();
    world.publish_key("second", 0).await;
    assert!(!commit(publish(&before, "third")).await, "two successors");
    let published = world.store.keys().await.unwrap();
    let sign = || rules::advance(cause(), &published, "second", Sign).unwrap();
    let (one, other) = (sign(), sign());
    // A copy may be cached for longer than the key would wait.
    world.store.promise_jwks(600, at(1)).await.unwrap();
    let promised = world.store.keys().await.unwrap();
    assert!(promised.generation > published.generation);
    assert!(!commit(publish(&published, "third")).await && !commit(one).await);
    assert!(advance(&world, "second", Sign, 10).await);
    assert!(!commit(other).await);
    let withdraw = rules::withdraw(cause(), &promised, "second", rules::Successor::Undecided);
    assert!(!commit(withdraw.unwrap()).await, "it signs by now");
    assert_eq!(world.store.keys().await.unwrap().value.rows.len(), 2);
}
