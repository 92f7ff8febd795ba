//! Bulk revocation: revokes every matching token exactly once, in portions and across a crash.

use std::sync::Arc;

use crate::rules::bulk;
use crate::suite::clerk::{Clerk, RecordOutcome};
use crate::{BulkId, BulkOrder, BulkRevocation, Change, Guard, LastToken, Order, Realm};
use jeton_core::clock::Timestamp;
use jeton_core::directory::Policy;
use jeton_core::token::filter::{Breach, Remit};
use jeton_core::token::{
    Filter, NewToken, Owner, Record, Status, StatusAt, TokenId, TokenReference, Visibility, WantedStatus,
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
        descendants: None,
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

/// A portion is carried out by the first of two, also if it revokes nothing: the second has read what was passed since.
pub(crate) async fn a_portion_is_carried_out_once(world: World) {
    for _ in 0..3 {
        let token = world.record(token(world.owner(), 0)).await.id;
        world.revoke(token, revocation(1, 0)).await;
    }
    let filter = Filter {
        status: None,
        ..of_organization(&world, 10)
    };
    let ordered = world.order_many(order(filter, 10)).await;
    let portion = async || {
        world
            .store
            .bulk_portion(ordered.id, 1, at(12))
            .await
            .unwrap()
            .unwrap()
    };
    let [first, second] = [portion().await, portion().await];
    assert_eq!(first.bulk.finished_at, None);
    let commit = async |portion| {
        let (order, _) = bulk::advance(portion, at(12));
        world.store.commit(order).await.unwrap().is_ok()
    };
    assert!(commit(first).await);
    assert!(!commit(second).await);
    assert!(commit(portion().await).await);
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
    assert_eq!(refused(second).await, Guard::BulkAt(ordered.id, 0));
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

/// Returns an order to revoke what a token has made.
fn descendants_of(token: TokenId, remit: Remit, second: i64) -> BulkOrder {
    BulkOrder {
        descendants: Some(remit),
        ..order(
            Filter {
                only: Some(token),
                ..Filter::of(Visibility::Everything)
            },
            second,
        )
    }
}

/// Records a token that another token has created.
async fn made_by(world: &World, maker: TokenId, owner: Owner, second: i64) -> Record {
    let new = NewToken {
        created_by_token: Some(maker),
        ..token(owner, second)
    };
    world.record(new).await
}

/// Rotates a token by another one, or by a session.
async fn rotated_by(world: &World, maker: Option<TokenId>, former: &Record, when: (i64, i64)) -> Record {
    let former = Record {
        token: NewToken {
            created_by_token: maker,
            ..former.token.clone()
        },
        ..former.clone()
    };
    recorded(rotate(world, &former, when, None).await)
}

/// Carries out an order to its end, and returns how many portions that took.
async fn finish(world: &World, id: BulkId, second: i64) -> (BulkRevocation, u64) {
    loop {
        let bulk = carry_on(world, id, second).await;
        if bulk.finished_at.is_some() {
            return (bulk.clone(), bulk.progress.portions);
        }
    }
}

/// All that a token has made is revoked, at any depth, whatever the tokens between are, and nothing else; across a crash
/// after each portion.
pub(crate) async fn what_a_token_has_made_ends_with_it(world: World) {
    const DEPTH: usize = 50;
    let elsewhere = Owner::Organization(world.organization("other").await);
    let root = world.record(token(world.owner(), 0)).await;
    let unrelated = world.record(token(world.owner(), 0)).await;
    let mut line = vec![root.clone()];
    for _ in 0..DEPTH {
        let maker = line.last().unwrap().id;
        line.push(made_by(&world, maker, world.owner(), 1).await);
    }
    // The record of an ended token leads on to what it has made.
    let deepest = line.last().unwrap().id;
    let short = NewToken {
        created_by_token: Some(deepest),
        expires_at: Some(at(5)),
        ..token(world.owner(), 1)
    };
    let expired = world.record(short).await;
    let of_expired = made_by(&world, expired.id, world.owner(), 2).await;
    let revoked = made_by(&world, root.id, world.owner(), 2).await;
    let of_revoked = made_by(&world, revoked.id, world.owner(), 2).await;
    world.revoke(revoked.id, revocation(3, 0)).await;
    // Successors, by any caller: in a grace period, and after it.
    let graced = made_by(&world, root.id, world.owner(), 2).await;
    let successor = rotated_by(&world, None, &graced, (3, 1_000)).await;
    let of_successor = made_by(&world, successor.id, world.owner(), 4).await;
    let foreign = made_by(&world, root.id, elsewhere.clone(), 4).await;
    let of_foreign = made_by(&world, foreign.id, world.owner(), 4).await;
    let of_unrelated = made_by(&world, unrelated.id, world.owner(), 4).await;

    let remit = Remit::Within(vec![(Some(world.organization), Visibility::Everything)]);
    let alone = descendants_of(root.id, remit.clone(), 10).filter;
    let count = world
        .store
        .count_descendants(alone, remit.clone(), at(10))
        .await
        .unwrap();
    // The root, the line, and six more; the expired and the revoked one are not active.
    assert_eq!((count.within, count.beyond), (1 + DEPTH as u64 + 6, 1));
    world.revoke(root.id, revocation(10, 0)).await;
    let ordered = world.order_many(descendants_of(root.id, remit, 10)).await;
    let mut world = world;
    let mut bulk = ordered.clone();
    let mut portions = 0;
    while bulk.finished_at.is_none() {
        bulk = carry_on(&world, ordered.id, 12).await;
        portions += 1;
        assert_eq!(bulk.progress.portions, portions);
        world = world.reopen();
    }
    assert_eq!((bulk.revoked, bulk.left), (DEPTH as u64 + 6, 1));
    for ended in line.iter().chain([
        &of_expired,
        &of_revoked,
        &graced,
        &successor,
        &of_successor,
        &of_foreign,
    ]) {
        assert!(read(&world, ended.id).await.is_revoked(at(12)), "{}", ended.id);
    }
    for alive in [&expired, &foreign, &unrelated, &of_unrelated] {
        assert_eq!(effective(&read(&world, alive.id).await), None, "{}", alive.id);
    }
    assert_eq!(
        effective(&read(&world, revoked.id).await),
        Some(3),
        "the first counts"
    );
    // Ordered again, it finds what had been left.
    let again = world
        .order_many(descendants_of(root.id, Remit::Everything, 20))
        .await;
    let (bulk, _) = finish(&world, again.id, 21).await;
    assert_eq!((bulk.revoked, bulk.left), (1, 0));
    assert!(read(&world, foreign.id).await.is_revoked(at(21)));
}

/// Matching tokens and what they have made, ten thousand, in bounded portions.
pub(crate) async fn ten_thousand_descendants_end_in_portions(world: World) {
    const MAKERS: usize = 100;
    const EACH: usize = 99;
    let world = Arc::new(world);
    let root = world.record(token(world.owner(), 0)).await.id;
    let mut makers = Vec::new();
    for _ in 0..MAKERS {
        makers.push(made_by(&world, root, world.owner(), 1).await.id);
    }
    for maker in makers {
        let made: Vec<_> = (0..EACH)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { made_by(&world, maker, world.owner(), 2).await.id })
            })
            .collect();
        for made in made {
            made.await.unwrap();
        }
    }
    let all = (MAKERS + MAKERS * EACH) as u64;
    let wanted = descendants_of(root, Remit::Everything, 10);
    let count = world
        .store
        .count_descendants(wanted.filter.clone(), Remit::Everything, at(10))
        .await
        .unwrap();
    assert_eq!((count.within, count.beyond), (all + 1, 0));
    let ordered = world.order_many(wanted).await;
    assert_eq!(
        carry_on(&world, ordered.id, 11).await.revoked,
        1,
        "the root first"
    );
    let read = world
        .store
        .bulk_portion(ordered.id, 30, at(11))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (read.tokens.len(), read.is_last),
        (30, false),
        "a portion is bounded"
    );
    let carriers: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { finish(&world, ordered.id, 12).await })
        })
        .collect();
    for carrier in carriers {
        carrier.await.unwrap();
    }
    let bulk = world.store.bulk_revocation(ordered.id).await.unwrap().unwrap();
    // The root matches the filter, and is revoked with the rest.
    assert_eq!((bulk.revoked, bulk.left), (all + 1, 0));
    let position = world.store.snapshot().await.unwrap().position;
    assert_eq!(position.sequence, all + 1, "each is revoked once");
}

/// What a descendant makes while the order is carried out is found, and so are successors of a rotation meanwhile.
pub(crate) async fn what_is_made_while_an_order_runs_ends_too(world: World) {
    let root = world.record(token(world.owner(), 0)).await;
    let child = made_by(&world, root.id, world.owner(), 1).await;
    let other = made_by(&world, root.id, world.owner(), 1).await;
    let ordered = world
        .order_many(descendants_of(root.id, Remit::Everything, 10))
        .await;
    assert_eq!(
        carry_on(&world, ordered.id, 11).await.revoked,
        1,
        "the root first"
    );
    let late = made_by(&world, child.id, world.owner(), 11).await;
    let rotated = rotated_by(&world, Some(other.id), &other, (11, 1_000)).await;
    let made = made_by(&world, rotated.id, world.owner(), 11).await;
    let (bulk, _) = finish(&world, ordered.id, 12).await;
    for ended in [&root, &child, &other, &late, &rotated, &made] {
        assert!(read(&world, ended.id).await.is_revoked(at(12)), "{}", ended.id);
    }
    assert_eq!((bulk.revoked, bulk.left), (6, 0));
}

/// A token that was created by one descendant and rotated from another is one: the way through it is gone once, although
/// the ways to it multiply with each generation.
pub(crate) async fn a_descendant_in_two_ways_is_one(world: World) {
    const GENERATIONS: usize = 60;
    let root = world.record(token(world.owner(), 0)).await;
    let mut line = vec![root.clone(), made_by(&world, root.id, world.owner(), 1).await];
    for generation in 0..GENERATIONS {
        let [.., former, maker] = line.as_slice() else {
            panic!("there are two")
        };
        let second = 2 + generation as i64;
        line.push(rotated_by(&world, Some(maker.id), former, (second, 100_000)).await);
    }
    let ordered = world
        .order_many(descendants_of(root.id, Remit::Everything, 1_000))
        .await;
    let (bulk, portions) = finish(&world, ordered.id, 1_001).await;
    // Each rotation ends at once the token that was in its grace period before.
    assert_eq!(bulk.left, 0);
    assert!(portions <= 2 * line.len() as u64, "{portions}");
    for token in &line {
        assert!(read(&world, token.id).await.is_revoked(at(1_001)), "{}", token.id);
    }
}

/// A portion that ends among the children of one token, after it has added children of an earlier one, loses none: the
/// next portion begins with those that were added. Whatever the size of a portion.
pub(crate) async fn a_portion_that_ends_among_children_loses_none(world: World) {
    const MANY: usize = 10;
    for limit in 1..=MANY as u32 + 2 {
        let root = world.record(token(world.owner(), 0)).await.id;
        let first = made_by(&world, root, world.owner(), 1).await.id;
        let of_first = made_by(&world, first, world.owner(), 2).await.id;
        let deepest = made_by(&world, of_first, world.owner(), 3).await.id;
        let second = made_by(&world, root, world.owner(), 4).await.id;
        let mut all = vec![root, first, of_first, deepest, second];
        for _ in 0..MANY {
            all.push(made_by(&world, second, world.owner(), 5).await.id);
        }
        let ordered = world
            .order_many(descendants_of(root, Remit::Everything, 10))
            .await;
        let bulk = loop {
            let portion = world.store.bulk_portion(ordered.id, limit, at(11)).await.unwrap();
            let (order, bulk) = bulk::advance(portion.unwrap(), at(11));
            assert!(world.store.commit(order).await.unwrap().is_ok());
            if bulk.finished_at.is_some() {
                break bulk;
            }
        };
        assert_eq!(
            (bulk.revoked, bulk.left),
            (all.len() as u64, 0),
            "{limit} in a portion"
        );
        for ended in all {
            assert!(read(&world, ended).await.is_revoked(at(11)), "{ended}");
        }
    }
}

/// If the organization keeps the last token, a last descendant stays and is counted.
pub(crate) async fn a_descendant_that_is_the_last_one_stays(world: World) {
    let root = world.record(token(world.owner(), 0)).await;
    let ada = world.member("ada").await;
    let only = made_by(&world, root.id, world.owner_user(&ada), 1).await;
    let more = made_by(&world, root.id, world.owner(), 1).await;
    super::policies::keep(&world, true).await;
    let wanted = BulkOrder {
        last_token: LastToken::MayGo,
        ..descendants_of(root.id, Remit::Everything, 10)
    };
    let kept = BulkOrder {
        last_token: LastToken::Stays,
        ..wanted.clone()
    };
    let ordered = world.order_many(kept).await;
    let (bulk, _) = finish(&world, ordered.id, 11).await;
    // Of the organization's two tokens one stays as well.
    assert_eq!((bulk.revoked, bulk.left), (1, 2));
    assert_eq!(effective(&read(&world, only.id).await), None);
    let ordered = world.order_many(wanted).await;
    let (bulk, _) = finish(&world, ordered.id, 12).await;
    assert_eq!((bulk.revoked, bulk.left), (2, 0));
    for ended in [&root, &only, &more] {
        assert!(read(&world, ended.id).await.is_revoked(at(12)), "{}", ended.id);
    }
}
