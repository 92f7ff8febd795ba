//! Unique token names within an owner, checked together with the write.

use crate::suite::clerk::Clerk;
use crate::{Cause, Guard, Order, SharedStore};
use std::sync::Arc;

use crate::suite::clerk::{RecordOrder, RecordOutcome, Rotation};
use jeton_core::token::{CutOff, NewToken, Owner, Reach, Record, TokenKind};

use super::world::{World, actor, at, entropy, reserve_and_record, revocation, token};

fn named(name: &str, owner: Owner, seconds: i64) -> NewToken {
    NewToken {
        name: name.to_owned(),
        ..token(owner, seconds)
    }
}

/// Returns the record, or `None` if the name is taken.
async fn unique(world: &World, token: NewToken) -> Option<Record> {
    unique_in(&world.store, world, token).await
}

/// Does likewise in one of two processes.
async fn unique_in(store: &SharedStore, world: &World, token: NewToken) -> Option<Record> {
    let order = RecordOrder {
        unique_name: true,
        ..world.plain_order(token).await
    };
    match reserve_and_record(store, order).await.unwrap() {
        RecordOutcome::Recorded(recorded) => Some(recorded.into_record()),
        RecordOutcome::NameTaken => None,
        outcome => panic!("{outcome:?}"),
    }
}

/// Names are unique only on request, within one owner, and compared exactly.
pub(crate) async fn a_name_is_unique_where_that_is_asked(world: World) {
    let ada = world.member("ada").await;
    let bob = world.member("bob").await;
    let team = world.team(world.organization, "web").await;
    let other = world.organization("other").await;
    let user = |user: &jeton_core::directory::UserId, organization| Owner::User {
        user: user.clone(),
        organization,
    };
    let owners = [
        world.owner(),
        Owner::Organization(other),
        Owner::Team {
            team,
            organization: world.organization,
        },
        user(&ada, Some(world.organization)),
        user(&ada, Some(other)),
        user(&ada, None),
        user(&bob, None),
        Owner::Deployment,
    ];
    for owner in owners {
        assert!(unique(&world, named("ci", owner.clone(), 1)).await.is_some());
        assert!(unique(&world, named("ci", owner.clone(), 2)).await.is_none());
        assert!(unique(&world, named("CI", owner.clone(), 2)).await.is_some());
        // A request without the condition may reuse a name.
        world.record(named("ci", owner.clone(), 2)).await;
        assert!(unique(&world, named("ci", owner.clone(), 2)).await.is_none());
        // The empty name is never taken.
        for _ in 0..2 {
            assert!(unique(&world, named("", owner.clone(), 2)).await.is_some());
        }
    }
    let world = world.reopen();
    let refused = named("ci", world.owner(), 3);
    assert!(unique(&world, refused.clone()).await.is_none());
    assert_eq!(world.store.presented(refused.jti).await.unwrap(), None);
}

/// A token that does not count towards a limit does not occupy its name.
pub(crate) async fn a_name_is_free_once_its_token_has_ended(world: World) {
    let owner = world.owner();
    let first = unique(&world, named("ci", owner.clone(), 0)).await.unwrap();
    let session = NewToken {
        kind: TokenKind::Session,
        ..named("night", owner.clone(), 0)
    };
    world.record(session).await;
    assert!(unique(&world, named("night", owner.clone(), 1)).await.is_some());
    // Revoked, even with a grace period.
    assert!(unique(&world, named("ci", owner.clone(), 1)).await.is_none());
    world.revoke(first.id, revocation(2, 3_600)).await;
    let mut short = named("ci", owner.clone(), 3);
    short.expires_at = Some(at(10));
    assert!(unique(&world, short).await.is_some());
    // Expired.
    assert!(unique(&world, named("ci", owner.clone(), 9)).await.is_none());
    assert!(unique(&world, named("ci", owner.clone(), 10)).await.is_some());
    // Cut off.
    assert!(unique(&world, named("ci", owner.clone(), 11)).await.is_none());
    let cut_off = CutOff {
        reach: Reach {
            organization: Some(world.organization),
            ..Reach::default()
        },
        issued_through: at(11).seconds(),
        effective_at: at(11),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(11));
    cut.await.unwrap();
    assert!(unique(&world, named("ci", owner.clone(), 12)).await.is_some());
    assert!(unique(&world, named("ci", owner, 12)).await.is_none());
}

/// A token can take over the name of the token it replaces, and of no other.
pub(crate) async fn a_name_is_handed_on(world: World) {
    let owner = world.owner();
    let in_slot = |name: &str, seconds| NewToken {
        slot: Some("only".parse().unwrap()),
        ..named(name, owner.clone(), seconds)
    };
    let first = unique(&world, in_slot("ci", 1)).await.unwrap();
    let second = unique(&world, in_slot("ci", 2)).await.unwrap();
    unique(&world, named("other", owner.clone(), 2)).await.unwrap();
    assert!(unique(&world, in_slot("other", 3)).await.is_none());
    let stays = world.store.presented(second.token.jti).await.unwrap().unwrap();
    assert_eq!(stays.record.revocation, None, "nothing is half done");
    let gone = world.store.presented(first.token.jti).await.unwrap().unwrap();
    assert!(gone.record.is_revoked(at(2)));
    let order = RecordOrder {
        unique_name: true,
        rotation: Some(Rotation {
            token: second.id,
            revocation: revocation(4, 60),
        }),
        ..world
            .plain_order(NewToken {
                jti: entropy().uuid_v7(at(4)),
                created_at: at(4),
                ..second.token
            })
            .await
    };
    let rotated = reserve_and_record(&world.store, order).await.unwrap();
    assert!(matches!(rotated, RecordOutcome::Recorded(_)), "{rotated:?}");
}

/// Of a hundred concurrent requests to two processes for a name, one gets it.
pub(crate) async fn one_of_a_hundred_gets_a_name(world: World) {
    let processes = world.processes();
    let world = Arc::new(world);
    let orders: Vec<_> = (0..100)
        .map(|number| {
            let (world, store) = (Arc::clone(&world), Arc::clone(&processes[number % 2]));
            tokio::spawn(async move {
                let token = named("ci", world.owner(), 1);
                unique_in(&store, &world, token).await.is_some()
            })
        })
        .collect();
    let mut recorded = 0;
    for order in orders {
        recorded += usize::from(order.await.unwrap());
    }
    assert_eq!(recorded, 1);
}

/// A name that was free when it was read is not given to a second token.
pub(crate) async fn a_name_that_was_taken_meanwhile_is_refused(world: World) {
    let commit = async |newest| {
        let order = Order::new(Cause::operator(at(2))).guard(Guard::NameUnusedSince {
            owner: world.owner(),
            name: "deploy".to_owned(),
            newest,
        });
        world.store.commit(order).await.unwrap()
    };
    let read = async || {
        let name_use = world.store.name_use(world.owner(), "deploy".to_owned(), at(2));
        name_use.await.unwrap().newest
    };
    let newest = read().await;
    // Neither another name, nor a session that happens to have this one.
    world.record(named("other", world.owner(), 1)).await;
    let mut session = named("deploy", world.owner_user(&world.admin), 1);
    session.kind = TokenKind::Session;
    world.record(session).await;
    assert!(commit(newest).await.is_ok());
    world.record(named("deploy", world.owner(), 1)).await;
    assert!(commit(newest).await.is_err());
    let newest = read().await;
    assert!(commit(newest).await.is_ok());
}
