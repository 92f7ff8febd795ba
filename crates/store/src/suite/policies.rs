//! Policies that affect existing tokens: breaches, and keeping the last token.

use crate::suite::clerk::Clerk;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::suite::clerk::{Attempt, Created, RevokeOrder, RevokeOutcome};
use crate::{BulkOrder, BulkRevocation, Generation, LastToken};
use jeton_core::directory::{Organization, OrganizationId, Policy, UserId};
use jeton_core::token::filter::Breach;
use jeton_core::token::{
    Actor, CountTotal, Direction, Filter, NewToken, Owner, Page, Record, Sort, Start, Status, StatusAt,
    TokenId, TokenReference, Visibility, WantedStatus,
};

use super::world::{World, actor, at, created, done, entropy, revocation, token};

fn active(now: i64) -> Option<StatusAt> {
    Some(StatusAt {
        wanted: WantedStatus::Only(Status::Active),
        at: at(now),
    })
}

async fn found(world: &World, policy: Policy, now: i64) -> Vec<TokenId> {
    let filter = Filter {
        organization: Some(world.organization),
        status: active(now),
        breaks: Some(Box::new(Breach { policy, at: at(now) })),
        ..Filter::of(Visibility::Everything)
    };
    let page = Page {
        sort: Sort::default(),
        start: Start::Beginning,
        direction: Direction::Next,
        limit: 1_000,
        count: CountTotal::Yes,
    };
    let listing = world.store.tokens(filter.clone(), page).await.unwrap();
    let count = listing.items.len() as u64;
    assert_eq!(listing.total, Some(count));
    assert_eq!(world.store.count_matching(filter).await.unwrap(), count);
    listing.items.iter().map(|record| record.id).collect()
}

/// Each rule finds the tokens that break it, and all rules together find the tokens that break any.
pub(crate) async fn what_breaks_a_policy_is_found(world: World) {
    let (ada, team) = (
        world.member("ada").await,
        world.team(world.organization, "web").await,
    );
    let other = world.organization("other").await;
    let owners = [
        world.owner(),
        world.owner_user(&ada),
        Owner::Team {
            team,
            organization: world.organization,
        },
        Owner::Organization(other),
    ];
    let mut records: Vec<Record> = Vec::new();
    for number in 0..32_i64 {
        let owner = owners[usize::try_from(number % 4).unwrap()].clone();
        let mut new = NewToken {
            expires_at: (number % 3 != 0).then(|| at(number + 100 * (1 + number % 5))),
            preset: (number % 2 == 0).then(|| ["small", "large"][usize::from(number % 3 == 0)].to_owned()),
            ..token(owner, number)
        };
        new.scopes = ["a:read", "a:read-all", "b:read"][..usize::try_from(number % 4).unwrap()]
            .iter()
            .map(|scope| scope.parse().unwrap())
            .collect();
        records.insert(0, world.record(new).await);
    }
    // Two have ended in different ways, and one ends soon.
    for (place, grace) in [(3, 0), (8, 0), (13, 1_000)] {
        let id = records[place].id;
        world.revoke(id, revocation(40, grace)).await;
    }
    for record in &mut records {
        let read = world.store.token(TokenReference::Id(record.id)).await.unwrap();
        *record = read.unwrap();
    }
    let now = at(110);
    let is_ours = |record: &&Record| {
        let ours = record.token.owner.organization() == Some(world.organization);
        ours && !record.is_revoked(now) && !record.is_expired(now)
    };
    let newer = |record: &Record| {
        let rivals = records.iter().filter(is_ours).filter(|rival| {
            rival.token.owner == record.token.owner && rival.id > record.id && rival.revocation.is_none()
        });
        rivals.count()
    };
    type Rule<'a> = Box<dyn Fn(&Record) -> bool + 'a>;
    let scopes: Vec<jeton_core::token::Scope> = vec!["a:read".parse().unwrap(), "b:read".parse().unwrap()];
    let rules: Vec<(Policy, Rule<'_>)> = vec![
        (
            Policy {
                max_lifetime: Some(300),
                ..Policy::default()
            },
            Box::new(|record| {
                let created = record.token.created_at.seconds();
                let end = record.token.expires_at;
                end.is_none_or(|end| end.seconds() - created > 300)
            }),
        ),
        (
            Policy {
                allowed_scopes: Some(scopes.clone()),
                ..Policy::default()
            },
            Box::new(|record| record.token.scopes.iter().any(|scope| !scopes.contains(scope))),
        ),
        (
            Policy {
                allowed_presets: Some(vec!["small".to_owned()]),
                ..Policy::default()
            },
            Box::new(|record| record.token.preset.as_deref() == Some("large")),
        ),
        (
            Policy {
                max_active_tokens_per_owner: Some(2),
                ..Policy::default()
            },
            Box::new(|record| record.revocation.is_none() && newer(record) >= 2),
        ),
        (
            Policy {
                allowed_scopes: Some(Vec::new()),
                ..Policy::default()
            },
            Box::new(|record| !record.token.scopes.is_empty()),
        ),
        (Policy::default(), Box::new(|_| false)),
    ];
    let expected = |breaks: &dyn Fn(&Record) -> bool| -> Vec<TokenId> {
        let breaking = records.iter().filter(is_ours).filter(|record| breaks(record));
        breaking.map(|record| record.id).collect()
    };
    let mut lengths = BTreeSet::new();
    for (policy, rule) in &rules {
        let expected = expected(&|record| rule(record));
        lengths.insert(expected.len());
        assert_eq!(found(&world, policy.clone(), 110).await, expected, "{policy:?}");
    }
    assert!(lengths.len() > 3, "{lengths:?}");
    let all = Policy {
        max_lifetime: Some(300),
        allowed_scopes: Some(scopes.clone()),
        allowed_presets: Some(vec!["small".to_owned()]),
        max_active_tokens_per_owner: Some(2),
        default_lifetime: Some(60),
        default_preset: Some("small".to_owned()),
        keep_last_token: true,
    };
    let any = expected(&|record| rules[..4].iter().any(|(_, rule)| rule(record)));
    assert_eq!(found(&world, all, 110).await, any);
}

pub(super) async fn keep(world: &World, keep_last_token: bool) {
    let changes = move |organization: &mut Organization| {
        organization.policy = Policy {
            keep_last_token,
            ..Policy::default()
        };
    };
    let generation = world.generation().await;
    let store = &world.store;
    created(
        store
            .change_organization(world.organization, changes, None, generation)
            .await
            .unwrap(),
    );
}

fn ordinary(token: TokenId, seconds: i64) -> RevokeOrder {
    RevokeOrder {
        token,
        revocation: revocation(seconds, 0),
        last_token: LastToken::Stays,
    }
}

/// An ordinary revocation spares an owner's last active token if the organization keeps it.
pub(crate) async fn the_last_token_of_an_owner_stays(world: World) {
    let ada = world.member("ada").await;
    let first = world.record(token(world.owner(), 0)).await.id;
    let second = world.record(token(world.owner(), 1)).await.id;
    let short = NewToken {
        expires_at: Some(at(10)),
        ..token(world.owner_user(&ada), 1)
    };
    let hers = world.record(short).await.id;
    keep(&world, true).await;
    let revoke = async |id, seconds| world.store.revoke(ordinary(id, seconds)).await.unwrap();
    assert_eq!(revoke(hers, 5).await, RevokeOutcome::Last);
    assert!(matches!(revoke(second, 5).await, RevokeOutcome::Revoked(_)));
    for _ in 0..2 {
        assert_eq!(revoke(first, 6).await, RevokeOutcome::Last);
    }
    // Revoking a revoked token is answered as usual, and an expired token is never the last one.
    assert!(matches!(
        revoke(second, 7).await,
        RevokeOutcome::AlreadyRevoked(_)
    ));
    assert!(matches!(revoke(hers, 10).await, RevokeOutcome::Revoked(_)));
    // A token in its grace period counts neither as another token nor as the last one.
    let third = world.record(token(world.owner(), 8)).await.id;
    world.revoke(third, revocation(9, 1_000)).await;
    assert_eq!(revoke(first, 10).await, RevokeOutcome::Last);
    assert!(matches!(revoke(third, 10).await, RevokeOutcome::Revoked(_)));
    let forced = RevokeOrder {
        last_token: LastToken::MayGo,
        ..ordinary(first, 11)
    };
    assert!(matches!(
        world.store.revoke(forced).await.unwrap(),
        RevokeOutcome::Revoked(_)
    ));
    // Without the policy the last token can be revoked; the deployment has no such policy.
    let last = world.record(token(world.owner(), 12)).await.id;
    keep(&world, false).await;
    assert!(matches!(revoke(last, 13).await, RevokeOutcome::Revoked(_)));
    keep(&world, true).await;
    let deployment = world.record(token(Owner::Deployment, 12)).await.id;
    assert!(matches!(revoke(deployment, 13).await, RevokeOutcome::Revoked(_)));
}

/// Many concurrent revocations of an owner's tokens leave one.
pub(crate) async fn a_hundred_at_once_leave_the_last(world: World) {
    let mut ids = Vec::new();
    for second in 0..20 {
        ids.push(world.record(token(world.owner(), second)).await.id);
    }
    keep(&world, true).await;
    let processes = world.processes();
    let orders: Vec<_> = (0..100)
        .map(|number| {
            let (store, id) = (
                Arc::clone(&processes[number / ids.len() % 2]),
                ids[number % ids.len()],
            );
            tokio::spawn(async move { store.revoke(ordinary(id, 30)).await.unwrap() })
        })
        .collect();
    let mut revoked = 0;
    for order in orders {
        revoked += usize::from(matches!(order.await.unwrap(), RevokeOutcome::Revoked(_)));
    }
    assert_eq!(revoked, ids.len() - 1);
}

async fn carry_out(world: &World, order: BulkOrder) -> BulkRevocation {
    let ordered = world.order_many(order).await;
    let mut bulk = ordered.clone();
    while bulk.finished_at.is_none() {
        let next = world.store.continue_bulk_revocation(bulk.id, at(50));
        bulk = next.await.unwrap().unwrap();
        let read = world.store.bulk_revocation(bulk.id).await.unwrap();
        assert_eq!(read.as_ref(), Some(&bulk));
    }
    assert_eq!(bulk.order, ordered.order);
    bulk
}

/// A bulk revocation can be scheduled, and spares each owner's last token unless told otherwise.
pub(crate) async fn many_end_at_an_instant_that_lies_ahead(world: World) {
    let ada = world.member("ada").await;
    for second in 0..6 {
        world.record(token(world.owner(), second)).await;
        world.record(token(world.owner_user(&ada), second)).await;
    }
    keep(&world, true).await;
    let order = |last_token, effective_at| BulkOrder {
        filter: Filter {
            organization: Some(world.organization),
            status: active(40),
            ..Filter::of(Visibility::Everything)
        },
        matched: 0,
        ordered_at: at(40),
        ordered_by: actor("admin@example.org"),
        reason: None,
        effective_at,
        last_token,
        descendants: None,
    };
    let ahead = carry_out(&world, order(LastToken::Stays, Some(at(1_000)))).await;
    assert_eq!((ahead.order.matched, ahead.revoked), (12, 10));
    let effective = async || {
        let mut found = BTreeSet::new();
        for id in 1..=12 {
            let read = world.store.token(TokenReference::Id(TokenId(id))).await;
            let revocation = read.unwrap().unwrap().revocation;
            found.insert(revocation.map(|note| note.effective_at));
        }
        found
    };
    assert_eq!(effective().await, BTreeSet::from([None, Some(at(1_000))]));
    // Later orders bring it forward; an instant in the past means now.
    let all = carry_out(&world, order(LastToken::MayGo, Some(at(45)))).await;
    assert_eq!((all.order.matched, all.revoked), (12, 12));
    assert_eq!(effective().await, BTreeSet::from([Some(at(50))]));
}

/// A new policy and the order that revokes the tokens breaking it are recorded together or not at all.
pub(crate) async fn a_policy_and_what_ends_its_breakers_are_one(world: World) {
    let breaking = world.record(token(world.owner(), 0)).await.id;
    world.organization("taken").await;
    let policy = Policy {
        max_lifetime: Some(100),
        ..Policy::default()
    };
    let changes = |name: &str| {
        let (name, policy) = (name.parse().unwrap(), policy.clone());
        move |organization: &mut Organization| {
            organization.name = name;
            organization.policy = policy;
        }
    };
    let ending = |ordered_by| BulkOrder {
        filter: Filter {
            organization: Some(world.organization),
            status: active(10),
            breaks: Some(Box::new(Breach {
                policy: policy.clone(),
                at: at(10),
            })),
            ..Filter::of(Visibility::Everything)
        },
        matched: 1,
        ordered_at: at(10),
        ordered_by,
        reason: None,
        effective_at: None,
        last_token: LastToken::MayGo,
        descendants: None,
    };
    let stranger = Actor {
        name: "stranger".to_owned(),
        user: Some(UserId::random(entropy())),
    };
    let generation = world.generation().await;
    let change = async |id, name, ordered_by, generation| {
        let ending = Some(ending(ordered_by));
        let changed = world
            .store
            .change_organization(id, changes(name), ending, generation);
        changed.await
    };
    let (own, admin) = (world.organization, || actor("admin@example.org"));
    let stale = change(own, "new", admin(), Generation(0)).await;
    assert_eq!(stale.unwrap(), Attempt::Stale);
    let taken = change(own, "taken", admin(), generation).await;
    assert_eq!(done(taken.unwrap()), Created::NameTaken);
    let absent = change(OrganizationId(entropy().uuid_v4()), "new", admin(), generation).await;
    assert_eq!(done(absent.unwrap()), Created::Absent);
    // The order is refused if the organization has changed already.
    assert!(change(own, "new", stranger, generation).await.is_err());
    let shown = async || world.store.organization(own.into()).await.unwrap().unwrap().value;
    let unchanged = shown().await;
    assert_eq!(
        (unchanged.name.as_str(), unchanged.policy),
        ("default", Policy::default())
    );
    assert_eq!(world.store.unfinished_bulk_revocations().await.unwrap(), []);
    assert_eq!(world.generation().await, generation);

    let (changed, ordered) = created(change(own, "new", admin(), generation).await.unwrap());
    let ordered = ordered.unwrap();
    assert_eq!((&changed.policy, changed.name.as_str()), (&policy, "new"));
    assert_eq!(ordered.order, ending(admin()));
    assert_eq!(shown().await, changed);
    assert!(world.generation().await > generation);
    let world = world.reopen();
    assert_eq!(
        world.store.unfinished_bulk_revocations().await.unwrap(),
        [ordered.id]
    );
    let carried_out = world.store.continue_bulk_revocation(ordered.id, at(12)).await;
    assert_eq!(carried_out.unwrap().unwrap().revoked, 1);
    let read = world.store.token(TokenReference::Id(breaking)).await.unwrap();
    assert!(read.unwrap().is_revoked(at(12)));
}
