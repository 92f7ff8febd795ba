//! Conditions that are checked together with the write: limits and cut-offs.

use crate::suite::clerk::Clerk;
use std::sync::Arc;

use crate::rules::limits;
use crate::rules::tokens::Limit;
use crate::suite::clerk::{RecordOrder, RecordOutcome};
use crate::{Cause, Guard, KeyStep};
use jeton_core::token::{CutOff, NewToken, Owner, Reach, Record, TokenKind};

use super::replacement::{recorded, rotate};
use super::world::{World, actor, at, removal, reserve_and_record, revocation, token};

async fn has_room(world: &World, token: NewToken, most: u32) -> bool {
    match world.order(token, Some(most)).await {
        RecordOutcome::Recorded(_) => true,
        RecordOutcome::LimitReached { .. } => false,
        other => panic!("{other:?}"),
    }
}

/// A hundred concurrent requests to two processes create exactly as many tokens as the owner may have.
pub(crate) async fn a_hundred_issuers_leave_no_more_than_allowed(world: World) {
    let generation = world.generation().await;
    let processes = world.processes();
    let world = Arc::new(world);
    let orders: Vec<_> = (0..100)
        .map(|number| {
            let (world, store) = (Arc::clone(&world), Arc::clone(&processes[number % 2]));
            tokio::spawn(async move {
                let order = RecordOrder {
                    token: token(world.owner(), 1),
                    versions: generation,
                    limits: vec![World::limit(&world.owner(), 7)],
                    unique_name: false,
                    rotation: None,
                };
                reserve_and_record(&store, order).await.unwrap()
            })
        })
        .collect();
    let mut recorded = 0;
    for order in orders {
        match order.await.unwrap() {
            RecordOutcome::Recorded(_) => recorded += 1,
            RecordOutcome::LimitReached { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(recorded, 7);
}

/// Only active API tokens of the same owner count.
pub(crate) async fn only_active_tokens_count(world: World) {
    let user = world.member("ada").await;
    let team = world.team(world.organization, "web").await;
    let of_team = Owner::Team {
        team,
        organization: world.organization,
    };
    let of_user = world.owner_user(&user);
    let elsewhere = Owner::User {
        user: user.clone(),
        organization: Some(world.organization("other").await),
    };
    // Another owner's tokens and sessions do not count.
    for owner in [world.owner(), of_team.clone(), elsewhere.clone()] {
        world.record(token(owner, 0)).await;
    }
    let mut session = token(of_user.clone(), 0);
    session.kind = TokenKind::Session;
    world.record(session).await;

    let first = world.record(token(of_user.clone(), 0)).await;
    assert!(has_room(&world, token(of_user.clone(), 1), 2).await);
    assert!(!has_room(&world, token(of_user.clone(), 1), 2).await);
    // A token in its grace period no longer counts.
    world.revoke(first.id, revocation(2, 3_600)).await;
    let mut short = token(of_user.clone(), 3);
    short.expires_at = Some(at(10));
    assert!(has_room(&world, short, 2).await);
    assert!(!has_room(&world, token(of_user.clone(), 9), 2).await);
    // An expired token no longer counts, without any write.
    assert!(has_room(&world, token(of_user.clone(), 10), 2).await);
    assert!(!has_room(&world, token(of_user.clone(), 10), 2).await);
    assert!(has_room(&world, token(of_user.clone(), 10), 3).await);
    // A token that is cut off no longer counts.
    let cut_off = CutOff {
        reach: Reach {
            user: Some(user.clone()),
            ..Reach::default()
        },
        issued_through: at(10).seconds(),
        effective_at: at(11),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(11));
    cut.await.unwrap();
    for expected in [true, true, true, false] {
        assert_eq!(has_room(&world, token(of_user.clone(), 11), 3).await, expected);
    }
    for owner in [world.owner(), of_team, elsewhere] {
        let is_cut = owner.user().is_some();
        assert!(has_room(&world, token(owner.clone(), 12), 2).await);
        assert_eq!(has_room(&world, token(owner, 12), 2).await, is_cut);
    }
    let world = world.reopen();
    assert!(!has_room(&world, token(of_user.clone(), 12), 3).await);
    // Limits do not apply to sessions.
    let mut session = token(of_user, 12);
    session.kind = TokenKind::Session;
    assert!(has_room(&world, session, 3).await);
}

/// Rotation never exceeds the limit: a token in its grace period counts again once its successor has ended,
/// however it ended and whether or not it was recounted.
pub(crate) async fn a_grace_gives_room_only_while_the_successor_lives(world: World) {
    let first = world.record(token(world.owner(), 0)).await;
    let second = recorded(rotate(&world, &first, (1, 1_000), Some(1)).await);
    // The successor counts; once it is revoked, its predecessor counts again.
    assert!(!has_room(&world, token(world.owner(), 2), 1).await);
    world.revoke(second.id, revocation(3, 0)).await;
    assert!(!has_room(&world, token(world.owner(), 3), 1).await);
    let world = world.reopen();
    assert!(!has_room(&world, token(world.owner(), 3), 1).await);
    assert!(!has_room(&world, token(world.owner(), 1_000), 1).await);
    // After its grace period it no longer counts, without any write.
    let third = recorded(world.order(token(world.owner(), 1_001), Some(1)).await);

    // A short-lived successor frees nothing either, and expires by itself.
    let short = Record {
        token: NewToken {
            expires_at: Some(at(1_010)),
            ..third.token.clone()
        },
        ..third
    };
    recorded(rotate(&world, &short, (1_002, 100), Some(1)).await);
    for second in [1_009, 1_010, 1_101] {
        assert!(
            !has_room(&world, token(world.owner(), second), 1).await,
            "{second}"
        );
    }
    let fourth = recorded(world.order(token(world.owner(), 1_102), Some(1)).await);

    // Nor does one with a scheduled revocation: it does not count, but its predecessor does.
    let fifth = recorded(rotate(&world, &fourth, (1_103, 1_000), Some(1)).await);
    world.revoke(fifth.id, revocation(1_104, 10)).await;
    for second in [1_105, 1_114, 2_000] {
        assert!(
            !has_room(&world, token(world.owner(), second), 1).await,
            "{second}"
        );
    }
    // Once the predecessor is revoked, neither counts.
    world.revoke(fourth.id, revocation(2_000, 0)).await;
    assert!(has_room(&world, token(world.owner(), 2_000), 1).await);
}

/// A token in its grace period counts again if only its successor's key is cut off.
pub(crate) async fn a_successor_that_is_cut_off_alone_gives_no_room(world: World) {
    let first = world.record(token(world.owner(), 0)).await;
    let key = world.publish_key("second", 0).await;
    let now = key.signs_from.seconds() - at(0).seconds();
    let signs = world.store.advance_key("second", KeyStep::Sign, at(now));
    assert!(signs.await.unwrap());
    let by_second = |token| NewToken {
        kid: "second".into(),
        ..token
    };
    let former = Record {
        token: by_second(first.token.clone()),
        ..first
    };
    recorded(rotate(&world, &former, (now, 1_000), Some(1)).await);
    let cut_off = CutOff {
        reach: Reach {
            kid: Some("second".to_owned()),
            ..Reach::default()
        },
        issued_through: at(now).seconds(),
        effective_at: at(now + 1),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(now + 1));
    cut.await.unwrap();
    let issued = |seconds| by_second(token(world.owner(), seconds));
    assert!(!has_room(&world, issued(now + 1), 1).await);
    assert!(!has_room(&world, issued(now + 999), 1).await);
    assert!(has_room(&world, issued(now + 1_000), 1).await);
}

/// A recount notices a token that is recorded meanwhile without a limit.
pub(crate) async fn a_count_notices_what_is_issued_without_a_limit(world: World) {
    let owner = Owner::User {
        user: world.admin.clone(),
        organization: None,
    };
    let cause = || Cause::operator(at(1));
    let begun = world.store.commit(limits::begin(cause(), owner.clone()));
    assert!(begun.await.unwrap().is_ok());
    let counted = world.store.count_tokens(owner.clone(), at(1)).await.unwrap();
    let issued = world.record(token(owner.clone(), 1)).await;
    for revoked in [false, true] {
        if revoked {
            world.revoke(issued.id, revocation(1, 0)).await;
        }
        let order = limits::recounted(cause(), owner.clone(), &counted);
        let late = world.store.commit(order).await.unwrap();
        let expected = Guard::CountUnmoved(owner.clone(), counted.version);
        assert_eq!(late.unwrap_err().0, expected);
    }
    let counted = world.store.count_tokens(owner.clone(), at(1)).await.unwrap();
    assert_eq!((counted.version, counted.active), (Some(3), 0));
}

/// A token for all organizations of a user counts in each of them.
pub(crate) async fn what_is_good_everywhere_counts_everywhere(world: World) {
    let user = world.member("ada").await;
    let other = world.organization("other").await;
    let of = |organization| Owner::User {
        user: user.clone(),
        organization,
    };
    let (here, there, everywhere) = (of(Some(world.organization)), of(Some(other)), of(None));
    let limits = |here, there| {
        vec![
            Limit {
                organization: world.organization,
                most: here,
            },
            Limit {
                organization: other,
                most: there,
            },
        ]
    };
    let outcome = async |here: u32, there: u32| {
        let order = RecordOrder {
            limits: limits(here, there),
            ..world.plain_order(token(everywhere.clone(), 1)).await
        };
        match reserve_and_record(&world.store, order).await.unwrap() {
            RecordOutcome::Recorded(recorded) => Ok(recorded.into_record()),
            RecordOutcome::LimitReached { most } => Err(most),
            outcome => panic!("{outcome:?}"),
        }
    };
    let first = outcome(1, 2).await.unwrap();
    assert!(!has_room(&world, token(here.clone(), 1), 1).await);
    assert!(has_room(&world, token(here.clone(), 1), 2).await);
    assert!(!has_room(&world, token(here.clone(), 1), 2).await);
    assert!(has_room(&world, token(there.clone(), 1), 3).await);
    // One here, one there, one everywhere: two count in each.
    assert_eq!(outcome(2, 9).await, Err(2));
    assert_eq!(outcome(9, 1).await, Err(1));
    outcome(3, 3).await.unwrap();
    assert_eq!(outcome(3, 9).await, Err(3));
    assert!(!has_room(&world, token(there.clone(), 1), 3).await);
    world.revoke(first.id, revocation(2, 0)).await;
    assert!(has_room(&world, token(there, 2), 3).await);
    assert!(has_room(&world, token(here, 2), 3).await);
    // Tokens of a team and of the organization count separately.
    assert!(has_room(&world, token(world.owner(), 2), 1).await);
}

/// A cut-off at a second covers all tokens issued in it: issuing must wait for the next second.
pub(crate) async fn issuing_within_a_cut_off_waits(world: World) {
    let ada = world.member("ada").await;
    let team = world.team(world.organization, "web").await;
    let other = world.organization("other").await;
    let session = |owner: Owner, seconds| NewToken {
        kind: TokenKind::Session,
        ..token(owner, seconds)
    };
    let restricted = |seconds| NewToken {
        projects: Some(vec![3, 4]),
        ..token(world.owner(), seconds)
    };
    let of_team = Owner::Team {
        team: team.clone(),
        organization: world.organization,
    };
    let of_ada = world.owner_user(&ada);
    let ada_everywhere = Owner::User {
        user: ada.clone(),
        organization: None,
    };
    // Each reach with a token that it covers and one that it does not.
    let reaches: Vec<(Reach, NewToken, NewToken)> = vec![
        (
            Reach {
                organization: Some(world.organization),
                ..Reach::default()
            },
            token(world.owner(), 100),
            token(Owner::Organization(other), 100),
        ),
        (
            Reach {
                organization: Some(world.organization),
                team: Some(team),
                ..Reach::default()
            },
            token(of_team.clone(), 200),
            token(world.owner(), 200),
        ),
        (
            Reach {
                user: Some(ada.clone()),
                ..Reach::default()
            },
            token(ada_everywhere.clone(), 300),
            token(of_team, 300),
        ),
        (
            Reach {
                user: Some(ada.clone()),
                kind: Some(TokenKind::Session),
                ..Reach::default()
            },
            session(ada_everywhere.clone(), 400),
            token(ada_everywhere.clone(), 400),
        ),
        (
            Reach {
                organization: Some(world.organization),
                user: Some(ada),
                ..Reach::default()
            },
            token(of_ada, 500),
            token(ada_everywhere, 500),
        ),
        (
            Reach {
                project: Some(4),
                ..Reach::default()
            },
            restricted(600),
            token(world.owner(), 600),
        ),
        (
            Reach {
                kid: Some("first".to_owned()),
                kind: Some(TokenKind::Api),
                ..Reach::default()
            },
            token(Owner::Deployment, 700),
            session(Owner::Deployment, 700),
        ),
    ];
    for (reach, covered, free) in reaches {
        let now = covered.created_at;
        let cut_off = CutOff {
            reach,
            issued_through: now.seconds(),
            effective_at: now,
        };
        let cut = world.store.cut_off(cut_off.clone(), actor("operator"), None, now);
        cut.await.unwrap();
        match world.order(covered.clone(), None).await {
            RecordOutcome::CutOff => {}
            outcome => panic!("{outcome:?} within {cut_off:?}"),
        }
        assert_eq!(world.store.presented(covered.jti).await.unwrap(), None);
        let free = world.record(free).await;
        assert!(!cut_off.ends(&free, now));
        let next = NewToken {
            created_at: now.plus_seconds(1),
            ..covered
        };
        let next = world.record(next).await;
        assert!(!cut_off.ends(&next, now.plus_seconds(1)));
    }
}

/// The rule holds after a restart, and for the cut-offs that a deletion leaves.
pub(crate) async fn a_cut_off_is_remembered(world: World) {
    world.member("ada").await;
    let generation = world.generation().await;
    let removed = world.store.remove_member(
        world.organization,
        super::world::email("ada"),
        removal(5),
        generation,
    );
    removed.await.unwrap();
    let world = world.reopen();
    assert_eq!(
        world.put_member("ada", jeton_core::directory::Role::Member).await,
        crate::suite::clerk::MemberChange::Done
    );
    let ada = crate::PersonReference::Email(super::world::email("ada"));
    let ada = world.store.person(ada).await.unwrap().unwrap().value;
    let refused = world.order(token(world.owner_user(&ada.id), 5), None).await;
    assert!(matches!(refused, RecordOutcome::CutOff), "{refused:?}");
    world.record(token(world.owner_user(&ada.id), 6)).await;
}
