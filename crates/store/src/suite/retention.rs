//! Retention: expired records are deleted, and nothing that may still be requested.

use crate::rules::retention;
use crate::suite::clerk::Clerk;
use crate::suite::clerk::RevokeOutcome;
use crate::{Cause, Change, Changes, Continuation, Deleted, FeedPage};
use jeton_core::token::{CutOff, NewToken, Reach, Record, TokenKind, TokenReference};
use jeton_verifier::event::Position;

use super::world::{World, actor, at, revocation, token};

const DAY: i64 = 86_400;

/// Deletes in one scan over all records.
pub async fn round(world: &World, ended_by: i64) -> usize {
    let (mut records, mut after) = (0, None);
    loop {
        let purged = world
            .store
            .purge(after, at(ended_by), at(ended_by))
            .await
            .unwrap();
        records += purged.records;
        match purged.next {
            Some(next) => after = Some(next),
            None => return records,
        }
    }
}

/// Returns a token that expires after this number of seconds.
pub fn ending(world: &World, seconds: i64, life: Option<i64>) -> NewToken {
    NewToken {
        expires_at: life.map(|life| at(seconds + life)),
        ..token(world.owner(), seconds)
    }
}

async fn is_known(world: &World, record: &Record) -> bool {
    let presented = world.store.presented(record.token.jti).await.unwrap();
    presented.is_some()
}

async fn revoke(world: &World, record: &Record, seconds: i64) {
    let outcome = world.revoke(record.id, revocation(seconds, 0)).await;
    assert!(matches!(outcome, RevokeOutcome::Revoked(_)));
}

/// Expired records are deleted, including sessions. A revoked one stays until it has expired, and one without
/// expiry for ever.
pub(crate) async fn only_what_has_expired_is_purged(world: World) {
    let session = NewToken {
        kind: TokenKind::Session,
        ..ending(&world, 0, Some(50))
    };
    let expired = [
        world.record(ending(&world, 0, Some(50))).await,
        world.record(ending(&world, 0, Some(50))).await,
        world.record(session).await,
    ];
    let kept = [
        world.record(ending(&world, 0, Some(51))).await,
        world.record(ending(&world, 0, Some(DAY))).await,
        world.record(ending(&world, 0, None)).await,
        world.record(ending(&world, 0, None)).await,
    ];
    for record in [&expired[0], &kept[1], &kept[2]] {
        revoke(&world, record, 10).await;
    }
    assert_eq!(round(&world, 49).await, 0);
    assert_eq!(round(&world, 50).await, 3);
    assert_eq!(round(&world, 50).await, 0);
    let world = world.reopen();
    for record in &expired {
        assert!(!is_known(&world, record).await);
        let read = world.store.token(TokenReference::Id(record.id)).await.unwrap();
        assert_eq!(read, None);
        assert_eq!(
            world.revoke(record.id, revocation(60, 0)).await,
            RevokeOutcome::Unknown
        );
    }
    for record in &kept {
        assert!(is_known(&world, record).await);
    }
    let snapshot = world.store.snapshot().await.unwrap();
    let mut revoked: Vec<_> = snapshot
        .revoked
        .iter()
        .map(|(list_index, _)| *list_index)
        .collect();
    revoked.sort_by_key(|list_index| (list_index.list, list_index.index));
    let mut expected = [kept[1].list_index, kept[2].list_index];
    expected.sort_by_key(|list_index| (list_index.list, list_index.index));
    assert_eq!(revoked, expected);
    // Neither the id nor the status list index of a deleted record is reused.
    let next = world.record(ending(&world, 61, Some(50))).await;
    assert!(next.id > kept[3].id);
    assert!(expired.iter().all(|record| record.list_index != next.list_index));
}

/// A step reads a bounded number of records, and the steps of a scan read all.
pub(crate) async fn a_round_goes_over_every_record(world: World) {
    const TOKENS: usize = 1_300;
    for number in 0..TOKENS {
        let life = if number % 2 == 0 { 10 } else { DAY };
        world.record(ending(&world, 0, Some(life))).await;
    }
    let first = world.store.purge(None, at(10), at(10)).await.unwrap();
    assert!(first.records < TOKENS / 2, "one step did everything");
    assert!(first.next.is_some());
    assert_eq!(first.records + round(&world, 10).await, TOKENS / 2);
}

/// Old events are pruned in order. Their revocations stay in effect, later events keep their numbers and chain,
/// and a client at an earlier position is told that it was pruned.
pub(crate) async fn the_feed_is_pruned_from_its_beginning(world: World) {
    let endless = world.record(ending(&world, 0, None)).await;
    let short = world.record(ending(&world, 0, Some(50))).await;
    let late = world.record(ending(&world, 0, Some(DAY))).await;
    revoke(&world, &endless, 10).await;
    let first = world.changes().await.reached;
    revoke(&world, &short, 20).await;
    let second = world.changes().await.reached;
    revoke(&world, &late, 500).await;
    round(&world, 100).await;
    for pruned in [world.beginning, first] {
        assert_eq!(world.after(pruned).await, Continuation::Pruned);
        let page = world.store.events_after(pruned, 10).await.unwrap();
        assert_eq!(page, FeedPage::Pruned);
        assert_eq!(world.store.event(pruned).await.unwrap(), None);
    }
    let Continuation::Changes(changes) = world.after(second).await else {
        panic!("all that follows is kept");
    };
    assert!(
        matches!(&changes.events[..], [Change::Revoked { entry, token, .. }]
            if *token == late.id && entry.event.sequence == 3),
        "{changes:?}"
    );
    let forged = Position {
        hash: first.hash,
        ..second
    };
    assert_eq!(
        world.after(forged).await,
        Continuation::Forked,
        "its hash is kept"
    );
    // Opening verifies the hash chain.
    let world = world.reopen();
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.position, changes.reached);
    assert_eq!(snapshot.revoked.len(), 2);
    assert!(snapshot.revoked.contains(&(endless.list_index, at(10))));
    round(&world, 1_000).await;
    let world = world.reopen();
    assert_eq!(world.after(second).await, Continuation::Pruned);
    let next = world.record(ending(&world, 1_001, Some(DAY))).await;
    revoke(&world, &next, 1_002).await;
    let changes = world.after(changes.reached).await;
    let Continuation::Changes(Changes { events, .. }) = changes else {
        panic!("{changes:?}");
    };
    assert!(matches!(&events[..], [Change::Revoked { entry, .. }] if entry.event.sequence == 4));
    drop(world.reopen());
}

/// A cut-off stays as long as a record that it covers, even if its event is pruned; a cut-off of a key stays
/// for good.
pub(crate) async fn a_cut_off_stays_while_it_covers_a_record(world: World) {
    let covered = world.record(ending(&world, 0, Some(1_000))).await;
    let later = world.record(ending(&world, 100, Some(DAY))).await;
    let user = world.member("ada").await;
    let cut = |reach| CutOff {
        reach,
        issued_through: at(10).seconds(),
        effective_at: at(10),
    };
    let reaches = [
        Reach {
            user: Some(user),
            ..Reach::default()
        },
        Reach {
            kid: Some("stolen".to_owned()),
            ..Reach::default()
        },
    ];
    for reach in reaches.clone() {
        let cut = world.store.cut_off(cut(reach), actor("operator"), None, at(10));
        cut.await.unwrap();
    }
    let reaches_known = async |world: &World| {
        let snapshot = world.store.snapshot().await.unwrap();
        let reaches: Vec<_> = snapshot
            .cut_offs
            .into_iter()
            .map(|(_, cut_off)| cut_off.reach)
            .collect();
        reaches
    };
    // The event is pruned, and the record still exists.
    round(&world, 500).await;
    round(&world, 500).await;
    assert_eq!(world.after(world.beginning).await, Continuation::Pruned);
    let changes = world.changes().await;
    assert_eq!((changes.reached.sequence, changes.events), (2, Vec::new()));
    let world = world.reopen();
    assert!(is_known(&world, &covered).await);
    assert_eq!(reaches_known(&world).await, reaches);
    // The record is deleted, and the cut-off in the next scan.
    round(&world, 1_000).await;
    round(&world, 1_000).await;
    assert!(!is_known(&world, &covered).await);
    assert!(is_known(&world, &later).await);
    assert_eq!(reaches_known(&world).await, reaches[1..]);
    drop(world.reopen());
}

/// A list is deleted once its last token has ended, and its number is not reused.
pub(crate) async fn a_list_retires_with_its_last_token(world: World) {
    let first = world.record(ending(&world, 0, Some(DAY))).await;
    // The list accepts tokens for a week, and each lives a day at most.
    let last = world.record(ending(&world, 7 * DAY - 1, Some(DAY))).await;
    let endless = world.record(ending(&world, 0, None)).await;
    assert_eq!(first.list_index.list, last.list_index.list);
    let lists = async |world: &World| world.store.snapshot().await.unwrap().lists;
    round(&world, 8 * DAY - 1).await;
    assert_eq!(
        lists(&world).await,
        [first.list_index.list, endless.list_index.list]
    );
    round(&world, 8 * DAY + 1).await;
    assert_eq!(lists(&world).await, [endless.list_index.list]);
    assert!(world.seen.all().contains(&Change::Retired(first.list_index.list)));
    let retired = |world: &World| {
        let seen = world.seen.all();
        seen.iter()
            .filter(|change| matches!(change, Change::Retired(_)))
            .count()
    };
    round(&world, 9 * DAY).await;
    assert_eq!(retired(&world), 1);
    let world = world.reopen();
    round(&world, 100_000 * DAY).await;
    assert_eq!(lists(&world).await, [endless.list_index.list]);
    let next = world.record(ending(&world, 8 * DAY + 2, Some(DAY))).await;
    assert!(next.list_index.list > endless.list_index.list);
}

/// A clock that is set back, also across a restart, restores no list.
pub(crate) async fn a_retired_list_takes_no_token(world: World) {
    const DAY: i64 = 86_400;
    let early = ending(&world, 1, Some(60));
    let list = world.record(early.clone()).await.list_index.list;
    round(&world, 60 * DAY).await;
    let taken = async |store: &crate::SharedStore| store.reserve(&early).await.unwrap().list_index().list;
    assert!(taken(&world.store).await > list);
    assert!(taken(&world.beside()).await > list);
}

/// Two processes that have read the same portion delete it once, and neither fails.
pub(crate) async fn two_purge_the_same_portion(world: World) {
    let ended = world.record(ending(&world, 0, Some(50))).await;
    let kept = world.record(ending(&world, 0, None)).await;
    revoke(&world, &ended, 10).await;
    let first = world.changes().await.reached;
    let late = world.record(ending(&world, 60 * DAY, None)).await;
    revoke(&world, &late, 60 * DAY).await;
    while world.store.seal().await.unwrap().has_more {}
    let purge = async || {
        let aged = world.store.aged(None).await.unwrap();
        retention::purge(
            Cause::server(at(60 * DAY)),
            aged,
            at(60 * DAY - 1),
            Deleted::default(),
        )
    };
    let (one, other) = (purge().await, purge().await);
    assert_eq!((one.1.records, one.1.events), (1, 1));
    for (order, _) in [one, other] {
        assert!(world.store.commit(order.unwrap()).await.unwrap().is_ok());
    }
    let seen = world.seen.all();
    let retired = seen.iter().filter(|change| matches!(change, Change::Retired(_)));
    assert_eq!(retired.count(), 1);
    assert_eq!(world.after(world.beginning).await, Continuation::Pruned);
    let Continuation::Changes(changes) = world.after(first).await else {
        panic!("what follows is kept");
    };
    assert_eq!(changes.events.len(), 1);
    assert!(!is_known(&world, &ended).await && is_known(&world, &kept).await);
    drop(world.reopen());
}
