//! Bulk revocation: revokes every matching token exactly once, in portions and across a crash.

use std::sync::Arc;

use crate::rules::bulk;
use crate::suite::clerk::{Clerk, RecordOutcome};
use crate::{BulkId, BulkOrder, BulkRevocation, Change, Guard, LastToken, Order, Realm};
use jeton_core::clock::Timestamp;
use jeton_core::directory::Policy;
use jeton_core::token::filter::Breach;
use jeton_core::token::{
    Filter, NewToken, Record, Status, StatusAt, TokenId, TokenReference, Visibility, WantedStatus,
};

use super::replacement::{effective, read, recorded, rotate};
use super::world::{World, actor, at, revocation, token};

/// Returns a filter for the first organization's active tokens at a second.
fn of_organization(world: &World, second: i64) -> Filter {
    Filter {
        organization: Some(world.organization),
        status: Some(StatusAt {
            wanted: WantedStatus::Only(Status::Active),
            at: at(second),
        }),
        ..Filter::of(Visibility::Everything)
    }
}

fn order(filter: Filter, second: i64) -> BulkOrder {
    BulkOrder {
        filter,
        matched: 0,
        ordered_at: at(second),
        ordered_by: actor("admin@example.org"),
        reason: Some("offboarding".to_owned()),
        effective_at: None,
        last_token: LastToken::Stays,
    }
}

async fn issue(world: &Arc<World>, tokens: usize) -> Vec<TokenId> {
    let orders: Vec<_> = (0..tokens)
        .map(|_| {
            let world = Arc::clone(world);
            tokio::spawn(async move { world.record(token(world.owner(), 0)).await.id })
        })
        .collect();
    let mut issued = Vec::new();
    for order in orders {
        issued.push(order.await.unwrap());
    }
    issued.sort();
    issued
}

async fn carry_on(world: &World, id: BulkId, second: i64) -> BulkRevocation {
    let bulk = world
        .store
        .continue_bulk_revocation(id, at(second))
        .await
        .unwrap();
    bulk.unwrap()
}

/// An order continues after a restart and other writes, and revokes only the tokens that matched it.
pub(crate) async fn many_are_revoked_in_portions_across_a_crash(world: World) {
    const MANY: usize = 1_200;
    let world = Arc::new(world);
    let tokens = issue(&world, MANY).await;
    let other = world.organization("other").await;
    let elsewhere = world
        .record(token(jeton_core::token::Owner::Organization(other), 0))
        .await;
    let (spared, gone) = (tokens[3], tokens[900]);
    world.revoke(tokens[5], revocation(1, 1_000)).await;
    world.revoke(tokens[4], revocation(1, 0)).await;
    let filter = Filter {
        except: Some(spared),
        ..of_organization(&world, 10)
    };
    let ordered = world.order_many(order(filter, 10)).await;
    assert_eq!((ordered.order.matched, ordered.revoked), (MANY as u64 - 2, 0));
    assert_eq!(world.events().await.len(), 2, "none yet");
    let later = world.record(token(world.owner(), 11)).await;

    let portion = carry_on(&world, ordered.id, 12).await;
    assert!(
        portion.revoked > 0 && portion.revoked <= 1_000,
        "a portion is bounded"
    );
    assert_eq!(portion.finished_at, None);
    // Another request may revoke a matching token between two portions.
    world.revoke(gone, revocation(13, 0)).await;
    let world = Arc::into_inner(world).unwrap().reopen();
    assert_eq!(
        world.store.unfinished_bulk_revocations().await.unwrap(),
        [ordered.id]
    );
    let read = world.store.bulk_revocation(ordered.id).await.unwrap();
    assert_eq!(read, Some(portion.clone()));
    let mut bulk = portion;
    while bulk.finished_at.is_none() {
        bulk = carry_on(&world, ordered.id, 14).await;
    }
    assert_eq!(bulk.revoked, MANY as u64 - 3, "one was revoked by another");
    assert_eq!(bulk.finished_at, Some(at(14)));
    assert_eq!(bulk.order, ordered.order);
    assert_eq!(world.store.unfinished_bulk_revocations().await.unwrap(), []);
    assert_eq!(
        carry_on(&world, ordered.id, 15).await,
        bulk,
        "what is done stays done"
    );

    let read = async |id| world.store.token(TokenReference::Id(id)).await.unwrap().unwrap();
    for alive in [spared, later.id, elsewhere.id] {
        assert_eq!(read(alive).await.revocation, None, "{alive}");
    }
    for id in tokens.iter().filter(|id| **id != spared) {
        assert!(read(*id).await.is_revoked(at(14)), "{id}");
    }
    let note = read(tokens[7]).await.revocation.unwrap();
    assert_eq!(
        (note.revoked_by.as_str(), note.reason.as_deref()),
        ("admin@example.org", Some("offboarding"))
    );
    let events = world.events().await;
    let numbers: Vec<_> = events
        .iter()
        .map(|change| match change {
            Change::Revoked { entry, .. } => entry.event.sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, (1..=MANY as u64).collect::<Vec<_>>(), "each is an event");
    assert_eq!(world.store.bulk_revocation(BulkId(99)).await.unwrap(), None);
    assert_eq!(
        world
            .store
            .continue_bulk_revocation(BulkId(99), at(1))
            .await
            .unwrap(),
        None
    );
}

/// Several tasks that carry out the same order revoke each token once.
pub(crate) async fn two_carry_out_one_order(world: World) {
    const MANY: usize = 700;
    let world = Arc::new(world);
    issue(&world, MANY).await;
    let filter = of_organization(&world, 10);
    let ordered = world.order_many(order(filter, 10)).await;
    let carriers: Vec<_> = (0..4)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { while carry_on(&world, ordered.id, 12).await.finished_at.is_none() {} })
        })
        .collect();
    for carrier in carriers {
        carrier.await.unwrap();
    }
    let bulk = world.store.bulk_revocation(ordered.id).await.unwrap().unwrap();
    assert_eq!((bulk.order.matched, bulk.revoked), (MANY as u64, MANY as u64));
    assert_eq!(world.events().await.len(), MANY);
}

/// Rotating a token before the order reaches it saves neither the token nor its successors: with or without a
/// grace period, repeatedly, or with an earlier clock. Afterwards it cannot be rotated.
pub(crate) async fn rotating_is_no_way_to_outrun_an_order(world: World) {
    let issue = async || world.record(token(world.owner(), 0)).await;
    let (plain, graced, chained, late) = (issue().await, issue().await, issue().await, issue().await);
    // A token rotated before the order matches it, and so does its successor.
    let before = issue().await;
    let before = [
        before.clone(),
        recorded(rotate(&world, &before, (5, 1_000), None).await),
    ];
    let spared = issue().await;
    let filter = Filter {
        except: Some(spared.id),
        ..of_organization(&world, 10)
    };
    let ordered = world.order_many(order(filter, 10)).await;
    assert_eq!(ordered.order.matched, 6);

    let again = async |former: &Record, when| recorded(rotate(&world, former, when, None).await);
    let mut line = vec![again(&plain, (11, 0)).await, again(&graced, (11, 1_000)).await];
    line.push(again(&chained, (11, 1_000)).await);
    for second in 12..14 {
        let last = line.last().unwrap().clone();
        line.push(again(&last, (second, 1_000)).await);
    }
    // Evaluated before the order, recorded after it.
    line.push(again(&late, (9, 0)).await);
    let successor_of_spared = again(&spared, (11, 1_000)).await;
    let new = world.record(token(world.owner(), 12)).await;

    let bulk = carry_on(&world, ordered.id, 20).await;
    assert_eq!(bulk.finished_at, Some(at(20)));
    for former in [&plain, &graced, &chained, &late]
        .into_iter()
        .chain(&before)
        .chain(&line)
    {
        assert!(read(&world, former.id).await.is_revoked(at(20)), "{}", former.id);
    }
    for alive in [&successor_of_spared, &new] {
        assert_eq!(effective(&read(&world, alive.id).await), None);
    }
    // Both of `before`; `graced` and its successor; one of each other line, and of the longest also the one in
    // its grace period.
    assert_eq!(bulk.revoked, 2 + 2 + 1 + 1 + 2);
    for former in [&plain, &line[4]] {
        let outcome = rotate(&world, former, (21, 1_000), None).await;
        assert!(matches!(outcome, RecordOutcome::NotActive), "{outcome:?}");
    }
}

/// A successor that keeps to the policy is not revoked with its predecessor that breaks it.
pub(crate) async fn a_successor_that_keeps_to_the_policy_stays(world: World) {
    let breaking = world.record(token(world.owner(), 0)).await;
    let policy = Policy {
        max_lifetime: Some(100),
        ..Policy::default()
    };
    let filter = Filter {
        breaks: Some(Box::new(Breach { policy, at: at(10) })),
        ..of_organization(&world, 10)
    };
    let ordered = world.order_many(order(filter, 10)).await;
    let short = Record {
        token: NewToken {
            expires_at: Some(at(100)),
            ..breaking.token.clone()
        },
        ..breaking.clone()
    };
    let successor = recorded(rotate(&world, &short, (11, 1_000), None).await);
    assert_eq!(carry_on(&world, ordered.id, 12).await.revoked, 1);
    assert_eq!(effective(&read(&world, breaking.id).await), Some(12));
    assert_eq!(effective(&read(&world, successor.id).await), None);
}

/// If the organization keeps the last token, a last successor stays active and its predecessor is revoked.
pub(crate) async fn a_successor_that_is_the_last_one_stays(world: World) {
    super::policies::keep(&world, true).await;
    let former = world.record(token(world.owner(), 0)).await;
    let other = world.record(token(world.owner(), 0)).await;
    let filter = of_organization(&world, 10);
    let ordered = world.order_many(order(filter, 10)).await;
    let successor = recorded(rotate(&world, &former, (11, 1_000), None).await);
    let bulk = carry_on(&world, ordered.id, 12).await;
    assert_eq!(effective(&read(&world, former.id).await), Some(12));
    let left = [
        effective(&read(&world, successor.id).await),
        effective(&read(&world, other.id).await),
    ];
    assert_eq!(left.iter().filter(|end| end.is_none()).count(), 1, "{left:?}");
    assert_eq!((bulk.order.matched, bulk.revoked), (2, 2));
}

/// A portion's order is refused after any relevant change since the read: a rotation, a revocation, the end of
/// the owner's remaining token, a new policy, or the same portion carried out.
pub(crate) async fn a_portion_that_has_changed_is_refused(world: World) {
    super::policies::keep(&world, true).await;
    let issue = async || world.record(token(world.owner(), 0)).await;
    let (rotated, revoked, survivor) = (issue().await, issue().await, issue().await);
    let (left, last) = (issue().await, issue().await);
    let filter = Filter {
        except: Some(survivor.id),
        ..of_organization(&world, 10)
    };
    let ordered = world.order_many(order(filter, 10)).await;
    let read = async || {
        let portion = world.store.bulk_portion(ordered.id, 500, at(12)).await.unwrap();
        bulk::advance(portion.unwrap(), at(12))
    };
    let refused = async |order: Order| world.store.commit(order).await.unwrap().unwrap_err().0;

    let (stale, _) = read().await;
    recorded(rotate(&world, &rotated, (11, 1_000), None).await);
    assert_eq!(
        refused(stale).await,
        Guard::NotEndedBy(rotated.id, Timestamp::LAST)
    );
    let (stale, _) = read().await;
    world.revoke(revoked.id, revocation(11, 0)).await;
    assert_eq!(
        refused(stale).await,
        Guard::NotEndedBy(revoked.id, Timestamp::LAST)
    );
    let (stale, _) = read().await;
    world.revoke(survivor.id, revocation(11, 0)).await;
    assert_eq!(refused(stale).await, Guard::Standing(survivor.id, at(12)));
    let (stale, _) = read().await;
    super::policies::keep(&world, true).await;
    let guard = refused(stale).await;
    assert!(
        matches!(guard, Guard::Unchanged(Realm::Organization(_), _)),
        "{guard:?}"
    );

    let ((first, bulk), (second, _)) = (read().await, read().await);
    assert!(world.store.commit(first).await.unwrap().is_ok());
    assert_eq!(refused(second).await, Guard::BulkAt(ordered.id, TokenId(0)));
    assert_eq!(
        world.store.bulk_revocation(ordered.id).await.unwrap(),
        Some(bulk.clone())
    );
    // The rotated token and its successor, and one of the two remaining ones.
    assert_eq!((bulk.revoked, bulk.finished_at), (3, Some(at(12))));
    let ends = async |id| {
        let record = world.store.token(TokenReference::Id(id)).await.unwrap().unwrap();
        effective(&record)
    };
    assert_eq!(ends(rotated.id).await, Some(12));
    assert_eq!([ends(left.id).await, ends(last.id).await], [Some(12), None]);
}
