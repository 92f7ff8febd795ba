//! Replacing tokens: one successor, one token a slot, and no partial writes.

use crate::suite::clerk::Clerk;
use std::sync::Arc;

use crate::suite::clerk::{RecordOrder, RecordOutcome, RevokeOutcome, Rotation};
use jeton_core::token::{
    Lineage, NewToken, Owner, Record, Refusals, RevocationNote, TokenId, TokenKind, TokenReference,
};

use super::world::{World, at, entropy, reserve_and_record, revocation, token};

pub(super) async fn read(world: &World, id: TokenId) -> Record {
    let read = world.store.token(TokenReference::Id(id)).await.unwrap();
    read.unwrap()
}

/// Rotates a token at a second, with a grace period.
pub(super) async fn rotate(
    world: &World,
    former: &Record,
    (second, grace): (i64, i64),
    most: Option<u32>,
) -> RecordOutcome {
    let order = RecordOrder {
        token: NewToken {
            jti: entropy().uuid_v7(at(second)),
            created_at: at(second),
            ..former.token.clone()
        },
        versions: world.generation().await,
        limits: most
            .map(|most| World::limit(&former.token.owner, most))
            .into_iter()
            .collect(),
        unique_name: false,
        rotation: Some(Rotation {
            token: former.id,
            revocation: revocation(second, grace),
        }),
    };
    reserve_and_record(&world.store, order).await.unwrap()
}

pub(super) fn recorded(outcome: RecordOutcome) -> Record {
    match outcome {
        RecordOutcome::Recorded(recorded) => recorded.into_record(),
        other => panic!("not recorded: {other:?}"),
    }
}

fn in_slot(owner: Owner, slot: &str, seconds: i64) -> NewToken {
    NewToken {
        slot: Some(slot.parse().unwrap()),
        ..token(owner, seconds)
    }
}

pub(super) fn effective(record: &Record) -> Option<i64> {
    let note = record.revocation.as_ref();
    note.map(|note: &RevocationNote| note.effective_at.seconds() - at(0).seconds())
}

/// A successor and the end of its predecessor are recorded together, with the lineage in both records.
pub(crate) async fn a_successor_and_an_end_are_one(world: World) {
    let first = world.record(token(world.owner(), 0)).await;
    let second = recorded(rotate(&world, &first, (10, 100), None).await);
    assert_eq!(second.lineage.rotated_from, Some(first.id));
    let world = world.reopen();
    let former = read(&world, first.id).await;
    assert_eq!(effective(&former), Some(110));
    assert!(!former.is_revoked(at(109)));
    let expected = Lineage {
        rotated_from: None,
        replaced_by: Some(second.id),
    };
    assert_eq!(former.lineage, expected);
    assert_eq!(read(&world, second.id).await, second);
    // Revoking a leaked token in its grace period brings its end forward; the successor stays active.
    let brought = world.revoke(first.id, revocation(20, 0)).await;
    assert!(matches!(brought, RevokeOutcome::Revoked(_)));
    assert_eq!(effective(&read(&world, first.id).await), Some(20));
    assert_eq!(effective(&read(&world, second.id).await), None);
}

/// A token that is not active cannot be rotated, and nothing is written.
pub(crate) async fn only_active_tokens_are_rotated(world: World) {
    let ada = world.member("ada").await;
    let revoked = world.record(token(world.owner(), 0)).await;
    world.revoke(revoked.id, revocation(1, 0)).await;
    let ending = world.record(token(world.owner(), 0)).await;
    world.revoke(ending.id, revocation(1, 1_000)).await;
    let expired = world
        .record(NewToken {
            expires_at: Some(at(5)),
            ..token(world.owner(), 0)
        })
        .await;
    let cut = world.record(token(world.owner_user(&ada), 0)).await;
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_member(
            world.organization,
            super::world::email("ada"),
            super::world::removal(2),
            generation,
        )
        .await;
    removed.unwrap();
    let session = world
        .record(NewToken {
            kind: TokenKind::Session,
            ..token(world.owner(), 0)
        })
        .await;
    let before = world.after(world.beginning).await;
    for former in [&revoked, &ending, &expired, &cut, &session] {
        let outcome = rotate(&world, former, (10, 0), None).await;
        assert!(matches!(outcome, RecordOutcome::NotActive), "{outcome:?}");
    }
    assert_eq!(world.after(world.beginning).await, before);
    let next = world.record(token(world.owner(), 20)).await;
    assert_eq!(next.id.0, session.id.0 + 1, "nothing was recorded in between");
}

/// A hundred concurrent rotations and some revocations of a token: at most one successor, and the token ends at
/// the earliest requested instant.
pub(crate) async fn one_of_a_hundred_rotates(world: World) {
    let world = Arc::new(world);
    for round in 0..5 {
        let former = world.record(token(world.owner(), round)).await;
        let orders: Vec<_> = (0..100)
            .map(|number| {
                let (world, former) = (Arc::clone(&world), former.clone());
                tokio::spawn(async move {
                    if number == 50 {
                        world.revoke(former.id, revocation(round + 1, 0)).await;
                        return None;
                    }
                    match rotate(&world, &former, (round + 1, 60), None).await {
                        RecordOutcome::Recorded(recorded) => Some(recorded.into_record().id),
                        RecordOutcome::NotActive => None,
                        other => panic!("{other:?}"),
                    }
                })
            })
            .collect();
        let mut successors = Vec::new();
        for order in orders {
            successors.extend(order.await.unwrap());
        }
        let former = read(&world, former.id).await;
        assert!(successors.len() <= 1, "{successors:?}");
        assert_eq!(former.lineage.replaced_by, successors.first().copied());
        assert_eq!(effective(&former), Some(round + 1));
    }
}

/// At most two tokens of a lineage are active: otherwise rotation would evade the limit.
pub(crate) async fn rotating_again_ends_the_grace_before(world: World) {
    let first = world.record(token(world.owner(), 0)).await;
    let second = recorded(rotate(&world, &first, (10, 1_000), Some(1)).await);
    let third = recorded(rotate(&world, &second, (20, 1_000), Some(1)).await);
    assert_eq!(effective(&read(&world, first.id).await), Some(20));
    assert_eq!(effective(&read(&world, second.id).await), Some(1_020));
    assert_eq!(effective(&read(&world, third.id).await), None);
    // A token in its grace period does not count, its successor does.
    let more = world.order(token(world.owner(), 30), Some(1)).await;
    assert!(matches!(more, RecordOutcome::LimitReached { .. }), "{more:?}");
    recorded(world.order(token(world.owner(), 30), Some(2)).await);
    let full = rotate(&world, &third, (40, 0), Some(1)).await;
    assert!(matches!(full, RecordOutcome::LimitReached { .. }), "{full:?}");
    assert_eq!(effective(&read(&world, third.id).await), None, "nothing ended");
    recorded(rotate(&world, &third, (40, 0), Some(2)).await);
}

/// A slot holds one token of its owner, however many requests issue into it.
pub(crate) async fn a_slot_holds_one_token(world: World) {
    let ada = world.member("ada").await;
    let team = world.team(world.organization, "web").await;
    let owners = [
        world.owner(),
        world.owner_user(&ada),
        Owner::Team {
            team,
            organization: world.organization,
        },
        Owner::User {
            user: ada,
            organization: None,
        },
        Owner::Deployment,
    ];
    let mut others = Vec::new();
    for owner in &owners {
        others.push(world.record(token(owner.clone(), 0)).await.id);
        others.push(world.record(in_slot(owner.clone(), "other", 0)).await.id);
    }
    let world = Arc::new(world);
    let orders: Vec<_> = owners
        .iter()
        .flat_map(|owner| (0..100).map(|_| owner.clone()))
        .map(|owner| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.record(in_slot(owner, "ci", 1)).await })
        })
        .collect();
    let mut issued = Vec::new();
    for order in orders {
        issued.push(order.await.unwrap().id);
    }
    let mut live = Vec::new();
    for id in issued {
        let record = read(&world, id).await;
        match effective(&record) {
            None => live.push(record.token.owner),
            Some(second) => assert_eq!(second, 1),
        }
    }
    assert_eq!(live.len(), owners.len(), "{live:?}");
    assert!(owners.iter().all(|owner| live.contains(owner)), "{live:?}");
    for other in others {
        assert_eq!(effective(&read(&world, other).await), None);
    }
    assert_eq!(
        world.events().await.len(),
        owners.len() * 99,
        "each an event of its own"
    );
}

/// A token that is to end has left its slot. The reason of one whose slot is taken names the slot.
pub(crate) async fn a_slot_holds_no_token_that_is_to_end(world: World) {
    let former = world.record(in_slot(world.owner(), "ci", 0)).await;
    world.revoke(former.id, revocation(10, 1_000)).await;
    let next = recorded(world.order(in_slot(world.owner(), "ci", 20), None).await);
    assert_eq!(effective(&read(&world, former.id).await), Some(1_010));
    recorded(world.order(in_slot(world.owner(), "ci", 30), None).await);
    let ended = read(&world, next.id).await.revocation.unwrap();
    assert_eq!(
        (ended.effective_at, ended.reason.as_deref()),
        (at(30), Some("replaced in the slot ci"))
    );
}

/// Issuing into a slot revokes its token and that one's predecessor in its grace period, and counts neither. A
/// refused request revokes nothing.
pub(crate) async fn a_slot_is_taken_over_whole_or_not_at_all(world: World) {
    let first = world.record(in_slot(world.owner(), "ci", 0)).await;
    let second = recorded(rotate(&world, &first, (10, 1_000), None).await);
    assert_eq!(second.token.slot, first.token.slot, "rotating stays in the slot");
    let third = recorded(world.order(in_slot(world.owner(), "ci", 20), Some(1)).await);
    for former in [&first, &second] {
        assert_eq!(effective(&read(&world, former.id).await), Some(20));
    }
    let other = recorded(world.order(token(world.owner(), 30), Some(2)).await);
    let full = world.order(in_slot(world.owner(), "new", 30), Some(2)).await;
    assert!(matches!(full, RecordOutcome::LimitReached { .. }), "{full:?}");
    let stale = RecordOrder {
        token: in_slot(world.owner(), "ci", 30),
        versions: crate::Generation(0),
        limits: Vec::new(),
        unique_name: false,
        rotation: None,
    };
    let stale = reserve_and_record(&world.store, stale).await.unwrap();
    assert!(matches!(stale, RecordOutcome::Stale), "{stale:?}");
    for alive in [&third, &other] {
        assert_eq!(effective(&read(&world, alive.id).await), None);
    }
    // An expired token in a slot does not free room twice.
    let short = NewToken {
        expires_at: Some(at(45)),
        ..in_slot(world.owner(), "short", 40)
    };
    recorded(world.order(short, Some(3)).await);
    recorded(world.order(token(world.owner(), 50), Some(3)).await);
    let full = world.order(in_slot(world.owner(), "short", 60), Some(3)).await;
    assert!(matches!(full, RecordOutcome::LimitReached { .. }), "{full:?}");
}

/// Counts of refusals add up, and the latest instant is kept.
pub(crate) async fn refusals_add_up(world: World) {
    let record = world.record(token(world.owner(), 0)).await;
    assert_eq!(record.refusals, None);
    for (count, second) in [(3, 10), (2, 5)] {
        let refused = Refusals {
            count,
            last_at: at(second),
        };
        let noted = vec![(record.id, refused), (TokenId(9_999), refused)];
        world.store.note_refusals(noted).await.unwrap();
    }
    let world = world.reopen();
    let expected = Refusals {
        count: 5,
        last_at: at(10),
    };
    assert_eq!(read(&world, record.id).await.refusals, Some(expected));
}
