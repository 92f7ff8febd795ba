//! Tokens: an answer is durable, and an order evaluated on stale data writes nothing.

use crate::suite::clerk::Clerk;
use std::sync::Arc;

use crate::rules::tokens::{self, Demands, Leaves, Liveness, liveness};
use crate::suite::clerk::{Attempt, RecordOrder, RecordOutcome};
use crate::{Cause, Change, Description, Generation, Guard, Order, ReservedIndex};
use jeton_core::directory::Role;
use jeton_core::token::{CutOff, NewToken, Owner, Reach, TokenId, TokenKind, TokenReference, Use};
use uuid::Uuid;

use super::world::{
    World, actor, at, done, email, eventually, removal, reserve_and_record, revocation, token,
};

/// Every field of a token is read back as it was recorded, also after a restart.
pub(crate) async fn what_was_recorded_is_read_back(world: World) {
    let team = world.team(world.organization, "web").await;
    let user = world.member("ada").await;
    let mut plain = token(world.owner(), 1);
    plain.description = None;
    plain.preset = None;
    plain.scopes = Vec::new();
    plain.projects = Some(Vec::new());
    plain.expires_at = None;
    plain.created_by.user = Some(user.clone());
    let mut restricted = token(
        Owner::Team {
            team,
            organization: world.organization,
        },
        2,
    );
    restricted.projects = Some(vec![1, 2_147_483_647]);
    restricted.audience = vec!["a".to_owned(), "b \"quoted\" ü".to_owned()];
    restricted.name = "control \u{1}, ü, \u{1f511}".to_owned();
    let of_all = Owner::User {
        user: user.clone(),
        organization: None,
    };
    let tokens = [
        plain,
        restricted,
        token(world.owner_user(&user), 3),
        token(of_all, 4),
        token(Owner::Deployment, 5),
    ];
    let mut recorded = Vec::new();
    for token in tokens {
        let record = world.record(token.clone()).await;
        assert_eq!(record.token, token);
        assert_eq!((record.last_used_at, &record.revocation), (None, &None));
        recorded.push(record);
    }
    let world = world.reopen();
    for record in recorded {
        for reference in [
            TokenReference::Id(record.id),
            TokenReference::Jti(record.token.jti),
        ] {
            assert_eq!(world.store.token(reference).await.unwrap(), Some(record.clone()));
        }
        let presented = world.store.presented(record.token.jti).await.unwrap().unwrap();
        assert_eq!(presented.record, record);
        assert_eq!(liveness(&presented), Liveness::Live);
        assert_eq!(
            presented.person.map(|person| person.id),
            record.token.owner.user().cloned()
        );
    }
    let unknown = TokenReference::Id(TokenId(4_000));
    assert_eq!(world.store.token(unknown).await.unwrap(), None);
    assert_eq!(world.store.presented(Uuid::from_u128(1)).await.unwrap(), None);
}

/// Token ids ascend in the order of issue, also across a restart, and no status list index is used twice.
pub(crate) async fn numbers_ascend_and_places_differ(mut world: World) {
    let mut numbers = Vec::new();
    let mut list_indexes = std::collections::HashSet::new();
    for round in 0..3 {
        for life in [Some(600), Some(40 * 86_400), Some(3_000 * 86_400), None] {
            for _ in 0..20 {
                let mut token = token(world.owner(), round);
                token.expires_at = life.map(|life| at(round + life));
                let record = world.record(token).await;
                numbers.push(record.id);
                assert!(
                    list_indexes.insert(record.list_index),
                    "{:?} was given twice",
                    record.list_index
                );
                assert!(record.list_index.index < 1 << 20);
            }
        }
        world = world.reopen();
    }
    assert!(numbers.is_sorted_by(|one, next| one < next));
    let lists: std::collections::HashSet<_> = list_indexes.iter().map(|list_index| list_index.list).collect();
    assert_eq!(
        lists.len(),
        4,
        "tokens of like lifetimes share a list, others do not"
    );
}

/// Concurrent reservations get distinct indexes, and a full list is followed by another.
pub(crate) async fn a_full_list_is_followed_by_another(world: World) {
    const SIZE: usize = 1 << 20;
    const ASKING: usize = 8;
    let ask = async || {
        let token = token(world.owner(), 1);
        let mut list_indexes = Vec::new();
        for _ in 0..SIZE / ASKING + 1 {
            // Kept, since the index of a dropped reservation may be reused.
            list_indexes.push(world.store.reserve(&token).await.unwrap());
            // Yields, so that some are left when more are reserved.
            tokio::task::yield_now().await;
        }
        list_indexes
    };
    let asked = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask());
    let list_indexes: Vec<ReservedIndex> = <[_; ASKING]>::from(asked).into_iter().flatten().collect();
    let mut given = std::collections::HashMap::new();
    for list_index in list_indexes.iter().map(ReservedIndex::list_index) {
        given
            .entry(list_index.list)
            .or_insert_with(std::collections::HashSet::new)
            .insert(list_index.index);
    }
    let sizes: Vec<_> = given.values().map(std::collections::HashSet::len).collect();
    assert_eq!(
        sizes.iter().sum::<usize>(),
        list_indexes.len(),
        "a place was given twice"
    );
    // Nearly all indexes of the first list are used.
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().any(|size| *size > SIZE - 5_000), "{sizes:?}");
}

/// Requests that are cancelled before the next stretch is reserved use no list up, however many there are.
pub(crate) async fn who_leaves_uses_no_places_up(world: World) {
    let ending = |second| NewToken {
        expires_at: Some(at(second)),
        ..token(world.owner(), 1)
    };
    let last = world.store.reserve(&ending(60)).await.unwrap().list_index().list;
    // The first tokens of their kind, for which no stretch is reserved yet.
    let lasting = ending(86_400 * 20);
    for _ in 0..300 {
        {
            let mut reserving = std::pin::pin!(world.store.reserve(&lasting));
            let waker = std::task::Waker::noop();
            let _ = reserving
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker));
        }
        // The runtime forces a task to wait if it takes too many locks in one poll.
        tokio::task::yield_now().await;
    }
    let first = world.store.reserve(&lasting).await.unwrap().list_index().list;
    assert_eq!(first, last + 1);
}

/// A list accepts new tokens for a limited time, or it could never retire.
pub(crate) async fn a_list_takes_tokens_for_a_while(world: World) {
    const DAY: i64 = 86_400;
    let list = async |second| {
        let mut token = token(world.owner(), second);
        token.expires_at = Some(at(second + 60));
        world.record(token).await.list_index.list
    };
    let first = list(0).await;
    assert_eq!(list(6 * DAY).await, first);
    assert!(list(8 * DAY).await > first);
}

/// Refused requests use no list up, however many there are.
pub(crate) async fn a_refused_token_uses_no_place_up(world: World) {
    let recorded = world.record(token(world.owner(), 1)).await.list_index;
    let mut list_indexes = std::collections::HashSet::new();
    for _ in 0..50 {
        let order = RecordOrder {
            limits: vec![World::limit(&world.owner(), 1)],
            ..world.plain_order(token(world.owner(), 1)).await
        };
        let list_index = world.store.reserve(&order.token).await.unwrap();
        list_indexes.insert(list_index.list_index());
        let refused = world.store.record(order, list_index).await.unwrap();
        assert!(
            matches!(refused, RecordOutcome::LimitReached { most: 1 }),
            "{refused:?}"
        );
    }
    assert_eq!(list_indexes.len(), 1);
    let next = world.record(token(world.owner(), 1)).await.list_index;
    assert!(list_indexes.contains(&next) && next != recorded);
}

/// The index of a reservation without a token is reused: after an error before recording, or after a request
/// that is cancelled before its order is accepted. A request cancelled later still gets its token, and the
/// index is not reused.
pub(crate) async fn an_unrecorded_reservation_is_given_again(world: World) {
    let reserve = async || world.store.reserve(&token(world.owner(), 1)).await.unwrap();
    let list_index = reserve().await.list_index();
    assert_eq!(reserve().await.list_index(), list_index, "dropped");

    let order = world.plain_order(token(world.owner(), 1)).await;
    drop(world.store.record(order, reserve().await));
    assert_eq!(
        reserve().await.list_index(),
        list_index,
        "cancelled before it was queued"
    );

    let panicking = world.store.reserve(&token(world.owner(), 1)).await.unwrap();
    let panicked = tokio::spawn(async move {
        let _held = panicking;
        panic!("as the test wants it");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(reserve().await.list_index(), list_index, "panicked");

    let cancelled = token(world.owner(), 1);
    let cause = Cause::operator(at(1));
    let order = tokens::record(cause, cancelled.clone(), reserve().await, Demands::none()).unwrap();
    {
        let mut committing = std::pin::pin!(world.store.commit(order));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(committing.as_mut().poll(&mut context).is_pending());
    }
    let recorded = eventually(async || world.store.presented(cancelled.jti).await.unwrap()).await;
    assert_eq!(recorded.record.list_index, list_index);
    let next = world.record(token(world.owner(), 1)).await;
    assert_ne!(next.list_index, list_index);
    assert_ne!(reserve().await.list_index(), list_index);
}

/// The credential of a caller is active until it expires, or a revocation or a cut-off takes effect.
pub(crate) async fn an_order_needs_an_active_credential(world: World) {
    let ada = world.member("ada").await;
    let holds = async |token: TokenId, second: i64| {
        let order = Order::new(Cause::operator(at(second))).guard(Guard::Active(token, at(second)));
        world.store.commit(order).await.unwrap().is_ok()
    };
    let everywhere = Owner::User {
        user: ada.clone(),
        organization: None,
    };
    let session = NewToken {
        kind: TokenKind::Session,
        ..token(everywhere, 1)
    };
    let short = NewToken {
        expires_at: Some(at(10)),
        ..token(world.owner(), 1)
    };
    let [session, api, short] = [
        world.record(session).await.id,
        world.record(token(world.owner(), 1)).await.id,
        world.record(short).await.id,
    ];
    for token in [session, api, short] {
        assert!(holds(token, 9).await);
    }
    assert!(!holds(short, 10).await);
    assert!(!holds(TokenId(4711), 9).await);
    world.revoke(api, revocation(20, 5)).await;
    assert!(holds(api, 24).await);
    assert!(!holds(api, 25).await);
    let cut_off = CutOff {
        reach: Reach {
            user: Some(ada),
            ..Reach::default()
        },
        issued_through: at(1).seconds(),
        effective_at: at(30),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(28));
    cut.await.unwrap();
    assert!(holds(session, 29).await);
    assert!(!holds(session, 30).await);
}

/// A caller may have lost a permission meanwhile: an order evaluated on an older directory writes nothing.
pub(crate) async fn a_stale_judgement_writes_nothing(world: World) {
    let before = world.generation().await;
    world.member("ada").await;
    let after = world.generation().await;
    assert!(before < after);
    let record = world.record(token(world.owner(), 1)).await;
    for stale in [before, Generation(0)] {
        let token = token(world.owner(), 1);
        let jti = token.jti;
        let order = RecordOrder {
            token,
            versions: stale,
            limits: Vec::new(),
            unique_name: false,
            rotation: None,
        };
        assert!(matches!(
            reserve_and_record(&world.store, order).await.unwrap(),
            RecordOutcome::Stale
        ));
        assert_eq!(world.store.presented(jti).await.unwrap(), None);
        let description = Description {
            name: Some("other".to_owned()),
            description: None,
        };
        let described = world.store.describe(record.id, description, stale).await.unwrap();
        assert_eq!(described, Attempt::Stale);
        let role = world
            .store
            .put_member(world.organization, email("ada"), Role::Admin, stale);
        assert_eq!(role.await.unwrap(), Attempt::Stale);
    }
    assert_eq!(
        world
            .store
            .token(TokenReference::Id(record.id))
            .await
            .unwrap()
            .unwrap()
            .token
            .name,
        "deploy"
    );
}

/// While a hundred tokens are requested the organization is disabled: no token is recorded afterwards.
pub(crate) async fn no_token_survives_its_parent(world: World) {
    let organization = world.organization("doomed").await;
    let world = Arc::new(world);
    let generation = world.generation().await;
    let issuers: Vec<_> = (0..100)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let order = RecordOrder {
                    token: token(Owner::Organization(organization), 1),
                    versions: generation,
                    limits: Vec::new(),
                    unique_name: false,
                    rotation: None,
                };
                reserve_and_record(&world.store, order).await.unwrap()
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let removed = world
        .store
        .remove_organization(organization, removal(1), generation)
        .await;
    assert_eq!(removed.unwrap(), Attempt::Done(()));
    let snapshot = world.store.snapshot().await.unwrap();
    for issuer in issuers {
        match issuer.await.unwrap() {
            RecordOutcome::Recorded(recorded) => {
                let record = recorded.into_record();
                assert!(
                    snapshot
                        .cut_offs
                        .iter()
                        .any(|(_, cut_off)| cut_off.ends(&record, at(2)))
                );
                let presented = world.store.presented(record.token.jti).await.unwrap().unwrap();
                assert_eq!(liveness(&presented), Liveness::Gone);
            }
            RecordOutcome::Stale => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Name and description change, and nothing else does.
pub(crate) async fn describing_changes_what_people_read(world: World) {
    let record = world.record(token(world.owner(), 1)).await;
    let generation = world.generation().await;
    let mut expected = record.clone();
    for (name, description) in [
        (Some("second"), None),
        (None, Some(Some("other"))),
        (None, Some(None)),
        (None, None),
    ] {
        let change = Description {
            name: name.map(str::to_owned),
            description: description.map(|text| text.map(str::to_owned)),
        };
        if let Some(name) = &change.name {
            expected.token.name.clone_from(name);
        }
        if let Some(description) = &change.description {
            expected.token.description.clone_from(description);
        }
        let described = world.store.describe(record.id, change, generation).await.unwrap();
        assert_eq!(done(described), Some(expected.clone()));
    }
    let unknown = world
        .store
        .describe(TokenId(999), Description::default(), generation)
        .await;
    assert_eq!(done(unknown.unwrap()), None);
}

/// A session is found by its token and can be revoked, but is in no list and has no address.
pub(crate) async fn a_session_is_nobodys_list(world: World) {
    let mut session = token(
        Owner::User {
            user: world.admin.clone(),
            organization: None,
        },
        1,
    );
    session.kind = TokenKind::Session;
    let record = world.record(session).await;
    for reference in [
        TokenReference::Id(record.id),
        TokenReference::Jti(record.token.jti),
    ] {
        assert_eq!(world.store.token(reference).await.unwrap(), None);
    }
    let generation = world.generation().await;
    let described = world
        .store
        .describe(record.id, Description::default(), generation)
        .await;
    assert_eq!(done(described.unwrap()), None);
    let presented = world.store.presented(record.token.jti).await.unwrap().unwrap();
    assert_eq!(presented.record, record);
    world.revoke(record.id, revocation(2, 0)).await;
    let presented = world.store.presented(record.token.jti).await.unwrap().unwrap();
    assert!(presented.record.is_revoked(at(2)));
}

/// The instant of last use only moves forward.
pub(crate) async fn last_use_never_moves_back(world: World) {
    let record = world.record(token(world.owner(), 1)).await;
    for (seen, expected) in [(5, 5), (3, 5), (8, 8)] {
        let of = |token| Use {
            token,
            at: at(seen),
            from: None,
        };
        let uses = vec![of(record.id), of(TokenId(999))];
        world.store.note_use(uses).await.unwrap();
        let read = world.store.token(TokenReference::Id(record.id)).await.unwrap();
        assert_eq!(read.unwrap().last_used_at, Some(at(expected)));
    }
}

/// A client that disconnects after its order was accepted changes nothing: the write happens and the observer
/// is told.
pub(crate) async fn a_caller_that_goes_away_takes_nothing_with_it(world: World) {
    let record = world.record(token(world.owner(), 1)).await;
    {
        let order = tokens::revoke(Cause::operator(at(2)), record.id, at(2), Leaves::Nothing).unwrap();
        // Polled once, the order is accepted. Then the client disconnects.
        let mut revoking = std::pin::pin!(world.store.commit(order));
        let waker = std::task::Waker::noop();
        let poll = revoking.as_mut().poll(&mut std::task::Context::from_waker(waker));
        assert!(poll.is_pending());
    }
    let is_told = |change: &Change| matches!(change, Change::Revoked { token, .. } if *token == record.id);
    eventually(async || world.seen.all().iter().any(is_told).then_some(())).await;
    let read = world.store.token(TokenReference::Id(record.id)).await.unwrap();
    assert!(read.unwrap().is_revoked(at(2)));
}

/// An order that fails does not affect the orders in the same commit.
pub(crate) async fn a_failing_order_harms_no_neighbour(world: World) {
    let world = Arc::new(world);
    let generation = world.generation().await;
    let orders: Vec<_> = (0..200)
        .map(|number| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut token = token(world.owner(), 1);
                if number % 3 == 0 {
                    // The store accepts no text with U+0000.
                    token.name = "a\0b".to_owned();
                }
                let jti = token.jti;
                let order = RecordOrder {
                    token,
                    versions: generation,
                    limits: Vec::new(),
                    unique_name: false,
                    rotation: None,
                };
                (number, jti, reserve_and_record(&world.store, order).await)
            })
        })
        .collect();
    for order in orders {
        let (number, jti, outcome) = order.await.unwrap();
        let stored = world.store.presented(jti).await.unwrap().is_some();
        assert_eq!(outcome.is_err(), number % 3 == 0);
        assert_eq!(stored, outcome.is_ok());
    }
    let twice = token(world.owner(), 1);
    world.record(twice.clone()).await;
    let order = RecordOrder {
        token: twice,
        versions: generation,
        limits: Vec::new(),
        unique_name: false,
        rotation: None,
    };
    assert!(
        reserve_and_record(&world.store, order).await.is_err(),
        "one jti, two tokens"
    );
}
