//! Idempotency keys: one order for each key, recorded with what it made.

use crate::rules::members::{self, Addressee};
use crate::rules::tokens::Demands;
use crate::rules::{keys, projects, teams, tokens};
use crate::suite::clerk::Clerk;
use crate::{
    BulkOrder, Cause, Committed, Effect, Existing, Guard, Idempotency, LastToken, Made, Order, Refused,
    SharedStore,
};
use jeton_core::directory::{Consent, Role, Team, TeamId};
use jeton_core::token::{CutOff, Filter, NewToken, Reach, TokenReference, Visibility};

use super::world::{World, actor, at, entropy, new_key, organization, person, token};

/// Returns a key of a caller for a request.
fn key(caller: u8, number: u8, request: u8) -> Idempotency {
    let mut key = [number; 32];
    key[0] = caller;
    Idempotency {
        caller: [caller; 16],
        key,
        request: [request; 32],
    }
}

fn cause(key: Idempotency, seconds: i64) -> Cause {
    Cause {
        idempotency: Some(key),
        ..Cause::operator(at(seconds))
    }
}

async fn commit(store: &SharedStore, order: Order) -> Result<Committed, Refused> {
    store.commit(order).await.unwrap()
}

async fn record(store: &SharedStore, cause: Cause, token: NewToken) -> Result<Committed, Refused> {
    let list_index = store.reserve(&token).await.unwrap();
    let order = tokens::record(cause, token, list_index, Demands::none()).unwrap();
    commit(store, order).await
}

async fn made(world: &World, key: Idempotency) -> Option<Option<Made>> {
    let recorded = world.store.idempotency_key(key).await.unwrap();
    recorded.done.map(|done| done.made)
}

/// Of many orders with one key, in two processes, one is carried out, and a restart forgets nothing. The same
/// order of another caller, and an order without a key, are others.
pub(crate) async fn one_of_twenty_with_a_key_is_carried_out(world: World) {
    let first = key(1, 1, 1);
    let mut orders = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = world.processes().into_iter().nth(number % 2).unwrap();
        let token = token(world.owner(), 1);
        orders.spawn(async move { record(&store, cause(first, 1), token).await });
    }
    let outcomes = orders.join_all().await;
    let (recorded, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((recorded.len(), refused.len()), (1, 19));
    for outcome in refused {
        assert_eq!(outcome.unwrap_err(), Refused(Guard::NotDone(first)));
    }
    let Committed { recorded, .. } = recorded.into_iter().next().unwrap().unwrap();
    let recorded = recorded.unwrap().into_record();
    let world = world.reopen();
    let known = world.store.idempotency_key(first).await.unwrap();
    assert_eq!(known.count, 1);
    let done = known.done.unwrap();
    assert_eq!((done.request, done.at), (first.request, at(1)));
    assert_eq!(done.made, Some(Made::Token(recorded.id)));
    // Whatever the request is.
    let again = record(&world.store, cause(key(1, 1, 2), 2), token(world.owner(), 2)).await;
    assert!(matches!(again, Err(Refused(Guard::NotDone(_)))));
    assert_eq!(made(&world, key(2, 1, 1)).await, None);
    for cause in [
        cause(key(2, 1, 1), 3),
        cause(key(1, 2, 1), 3),
        Cause::operator(at(3)),
    ] {
        record(&world.store, cause, token(world.owner(), 3))
            .await
            .unwrap();
    }
    let last = TokenReference::Id(jeton_core::token::TokenId(recorded.id.0 + 4));
    assert_eq!(world.store.token(last).await.unwrap(), None);
}

/// What an order made is recorded by its public id, for every caller.
pub(crate) async fn a_key_tells_what_its_order_made(world: World) {
    let id = world.organization;
    let team = Team {
        id: TeamId::random(entropy()),
        name: "runners".parse().unwrap(),
        organization: id,
        created_at: at(1),
    };
    let new_organization = organization("second");
    let new_person = person("ada");
    let bulk = BulkOrder {
        filter: Filter::of(Visibility::Everything),
        matched: 0,
        ordered_at: at(1),
        ordered_by: actor("operator"),
        reason: None,
        effective_at: None,
        last_token: LastToken::Stays,
        descendants: None,
    };
    let cut_off = CutOff {
        reach: Reach {
            organization: Some(id),
            ..Reach::default()
        },
        issued_through: at(0).seconds(),
        effective_at: at(1),
    };
    let (organization, person) = (new_organization.id, new_person.person.id.clone());
    let with = |number, effect| Order::new(cause(key(1, number, 1), 1)).effect(effect);
    let orders = [
        (
            with(1, Effect::CreateOrganization(new_organization)),
            Some(Made::Organization(organization)),
        ),
        (
            teams::create(cause(key(1, 2, 1), 1), team.clone()),
            Some(Made::Team(team.id)),
        ),
        (
            with(3, Effect::CreatePerson(new_person)),
            Some(Made::Person(person)),
        ),
        (
            with(
                4,
                Effect::SetRole(id, world.admin.clone(), Role::Admin, Existing::Replaced, None),
            ),
            None,
        ),
    ];
    for (number, (order, expected)) in (1..).zip(orders) {
        commit(&world.store, order).await.unwrap();
        assert_eq!(made(&world, key(1, number, 1)).await, Some(expected));
    }
    let order = projects::create(cause(key(1, 5, 1), 1), id, "site".parse().unwrap());
    let project = commit(&world.store, order).await.unwrap().project.unwrap();
    assert_eq!(
        made(&world, key(1, 5, 1)).await,
        Some(Some(Made::Project(project)))
    );
    let order = with(6, Effect::RevokeMany(Box::new(bulk)));
    let bulk = commit(&world.store, order).await.unwrap().bulk.unwrap();
    assert_eq!(
        made(&world, key(1, 6, 1)).await,
        Some(Some(Made::BulkRevocation(bulk.id)))
    );
    let position = commit(&world.store, with(7, Effect::CutOff(cut_off)))
        .await
        .unwrap();
    let sequence = position.position.unwrap().sequence;
    assert_eq!(
        made(&world, key(1, 7, 1)).await,
        Some(Some(Made::CutOff(sequence)))
    );
    let keys = world.store.keys().await.unwrap();
    let (order, row) = keys::publish(cause(key(1, 8, 1), 1), &keys, new_key("next"));
    commit(&world.store, order).await.unwrap();
    assert_eq!(
        made(&world, key(1, 8, 1)).await,
        Some(Some(Made::Key(row.key.kid)))
    );
    assert_eq!(world.store.idempotency_key(key(1, 9, 1)).await.unwrap().count, 8);
}

/// An order that is refused or fails records no key, so that a retry is carried out.
pub(crate) async fn a_refused_order_records_no_key(world: World) {
    let id = world.organization;
    let named = |seconds| projects::create(cause(key(1, 1, 1), seconds), id, "site".parse().unwrap());
    let other = projects::create(Cause::operator(at(1)), id, "site".parse().unwrap());
    let other = commit(&world.store, other).await.unwrap().project.unwrap();
    let refused = commit(&world.store, named(2)).await.unwrap_err();
    assert!(matches!(refused, Refused(Guard::ProjectNameFree(..))));
    assert_eq!(made(&world, key(1, 1, 1)).await, None);
    let unknown = organization("unknown");
    let failing = Order::new(cause(key(1, 1, 1), 2)).effect(Effect::RemoveOrganization(Box::new(unknown)));
    assert!(world.store.commit(failing).await.is_err());
    assert_eq!(made(&world, key(1, 1, 1)).await, None);
    let mut found = world.store.existing_projects(id, vec![other]).await.unwrap();
    let freed = projects::remove(Cause::operator(at(3)), found.remove(0));
    commit(&world.store, freed).await.unwrap();
    commit(&world.store, named(4)).await.unwrap();
    assert!(made(&world, key(1, 1, 1)).await.is_some());
}

/// An order without effects records no key: nothing was done, and a retry may find that there is something to do.
pub(crate) async fn an_order_that_changes_nothing_records_no_key(world: World) {
    let to = Addressee::Member {
        user: world.admin.clone(),
        role: Role::Admin,
    };
    let same = |seconds| {
        let cause = cause(key(1, 1, 1), seconds);
        members::put(cause, world.organization, &to, Role::Admin, Consent::Waived)
    };
    for seconds in 1..3 {
        commit(&world.store, same(seconds)).await.unwrap();
    }
    let recorded = world.store.idempotency_key(key(1, 1, 1)).await.unwrap();
    assert_eq!((recorded.done, recorded.count), (None, 0));
}

/// Keys are counted by caller, and the oldest are deleted once their time is over.
pub(crate) async fn old_keys_are_deleted_and_the_rest_counted(world: World) {
    const KEYS: u8 = 9;
    for number in 1..=KEYS {
        for caller in [1, 2] {
            let order = Order::new(cause(key(caller, number, 1), number.into()));
            let effect = Effect::DeleteCounts(world.organization);
            commit(&world.store, order.effect(effect)).await.unwrap();
        }
    }
    let count = async |caller| {
        let recorded = world.store.idempotency_key(key(caller, 0, 1)).await.unwrap();
        assert_eq!(recorded.done, None);
        recorded.count
    };
    assert_eq!(count(1).await, u64::from(KEYS));
    assert_eq!(count(3).await, 0);
    let purge = async |ended_by| {
        let purged = world.store.purge(None, at(ended_by), at(20)).await.unwrap();
        purged.idempotency_keys
    };
    assert_eq!(purge(0).await, 0);
    assert_eq!(purge(4).await, 8);
    assert_eq!(purge(4).await, 0);
    assert_eq!(made(&world, key(1, 4, 1)).await, None);
    assert!(made(&world, key(1, 5, 1)).await.is_some());
    assert_eq!((count(1).await, count(2).await), (5, 5));
    assert_eq!(purge(30).await, 10);
    assert_eq!(count(1).await, 0);
    // A deleted key can be used again.
    let order = Order::new(cause(key(1, 5, 2), 40)).effect(Effect::DeleteCounts(world.organization));
    commit(&world.store, order).await.unwrap();
    assert_eq!(count(1).await, 1);
}
