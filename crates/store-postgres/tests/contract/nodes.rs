//! What only several servers on one database can break.

use std::sync::Arc;
use std::time::Duration;

use jeton_core::token::{CutOff, Filter, Reach, Refusals, TokenId, TokenReference, Use, Visibility};
use jeton_store::rules::settings as rules;
use jeton_store::suite::Backend;
use jeton_store::suite::clerk::Clerk;
use jeton_store::suite::world::{
    Seeded, Seen, World, actor, at, entropy, reserve_and_record, revocation, token,
};
use jeton_store::{
    BulkOrder, Cause, Durability, LastToken, LoginCount, LoginKey, Node, SharedStore, Versioned,
};
use jeton_store_postgres::{OpenError, PostgresStore, settings};
use tokio::time::timeout;

use crate::{CLUSTER, Postgres, wait};

/// How long something is seen to wait.
const A_WHILE: Duration = Duration::from_millis(300);

/// The writers' lock, shared: as a lane of issues has it.
const ISSUING: &str = "BEGIN; SELECT pg_advisory_xact_lock_shared(4779010, 1)";

/// Copies a token into another one, as a server does that has not committed yet.
const ISSUED: &str =
    "INSERT INTO tokens (jti, session, name, organization, scopes, audience, prefix, key, status_list,
        status_index, created_at, created_by)
     SELECT gen_random_uuid(), session, name, organization, scopes, audience, prefix, key, status_list,
        status_index + 1, created_at, created_by FROM tokens RETURNING id";

fn everything(world: &World) -> BulkOrder {
    BulkOrder {
        filter: Filter {
            organization: Some(world.organization),
            ..Filter::of(Visibility::Everything)
        },
        matched: 0,
        ordered_at: at(10),
        ordered_by: actor("admin@example.org"),
        reason: None,
        effective_at: None,
        last_token: LastToken::MayGo,
        descendants: None,
    }
}

async fn is_revoked(store: &SharedStore, token: i64) -> bool {
    let record = store.token(TokenReference::Id(TokenId(token))).await.unwrap();
    record.unwrap().is_revoked(at(1_000))
}

/// A token with a lower number than the last one is committed after the order: it would be in no portion.
#[tokio::test]
async fn a_bulk_revocation_waits_for_tokens_that_are_being_issued() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let first = world.record(token(world.owner(), 1)).await.id;
    let raw = backend.raw().await;
    raw.batch_execute(ISSUING).await.unwrap();
    let late: i64 = raw.query_one(ISSUED, &[]).await.unwrap().get(0);
    let second = world.record(token(world.owner(), 1)).await.id;
    assert!(second.0 > late, "the other one is committed first");
    let mut ordering = std::pin::pin!(world.order_many(everything(&world)));
    assert!(
        timeout(A_WHILE, ordering.as_mut()).await.is_err(),
        "it did not wait"
    );
    raw.batch_execute("COMMIT").await.unwrap();
    let ordered = ordering.await;
    let mut bulk = world
        .store
        .continue_bulk_revocation(ordered.id, at(11))
        .await
        .unwrap()
        .unwrap();
    while bulk.finished_at.is_none() {
        bulk = world
            .store
            .continue_bulk_revocation(ordered.id, at(11))
            .await
            .unwrap()
            .unwrap();
    }
    for token in [first.0, late, second.0] {
        assert!(is_revoked(&world.store, token).await, "{token}");
    }
}

/// A line of the audit that is committed late would never get one.
#[tokio::test]
async fn the_audit_misses_no_token_that_is_being_issued() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    world.record(token(world.owner(), 1)).await;
    let raw = backend.raw().await;
    raw.batch_execute(ISSUING).await.unwrap();
    let late: i64 = raw.query_one(ISSUED, &[]).await.unwrap().get(0);
    world.record(token(world.owner(), 1)).await;
    let mut sealing = std::pin::pin!(async { while world.store.seal().await.unwrap().has_more {} });
    assert!(
        timeout(A_WHILE, sealing.as_mut()).await.is_err(),
        "it did not wait"
    );
    raw.batch_execute("COMMIT").await.unwrap();
    sealing.await;
    let lines = "SELECT count(*) FROM audit WHERE source = 0 AND number = $1";
    let lines: i64 = raw.query_one(lines, &[&late]).await.unwrap().get(0);
    assert_eq!(lines, 1);
}

/// Each record gets one line, in one chain.
#[tokio::test]
async fn servers_seal_one_after_the_other() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let [one, two] = world.processes();
    for _ in 0..40 {
        world.record(token(world.owner(), 1)).await;
        let (by_one, by_two) = tokio::join!(one.seal(), two.seal());
        assert!(by_one.unwrap().lines + by_two.unwrap().lines >= 1);
    }
    let raw = backend.raw().await;
    let lines = "SELECT count(*) = max(sequence) AND count(DISTINCT (source, number)) = count(*)
            AND count(*) FILTER (WHERE source = 0) = (SELECT count(*) FROM tokens) FROM audit";
    assert!(raw.query_one(lines, &[]).await.unwrap().get::<_, bool>(0));
}

/// Lines are written beside orders, which do not wait for them.
#[tokio::test]
async fn orders_do_not_wait_for_a_server_that_seals() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let raw = backend.raw().await;
    raw.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(4779010, 2)")
        .await
        .unwrap();
    let issued = world.record(token(world.owner(), 1)).await;
    world.revoke(issued.id, revocation(1, 5)).await;
    let mut sealing = std::pin::pin!(world.store.seal());
    assert!(
        timeout(A_WHILE, sealing.as_mut()).await.is_err(),
        "it did not wait"
    );
    // It has left the writers' lock.
    let issued = world.record(token(world.owner(), 1)).await;
    world.revoke(issued.id, revocation(1, 5)).await;
    raw.batch_execute("COMMIT").await.unwrap();
    assert!(sealing.await.unwrap().lines >= 2);
}

/// A list with a lower number than a known one would be taken for a retired one.
#[tokio::test]
async fn lists_are_opened_in_the_order_of_their_numbers() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let stores = world.processes();
    let mut opening = Vec::new();
    for (number, days) in [1, 20, 200, 2_000].into_iter().enumerate() {
        for store in &stores {
            let mut token = token(world.owner(), 1);
            token.expires_at = Some(at(1 + days * 86_400));
            let order = world.plain_order(token).await;
            let store = store.clone();
            opening.push((
                number,
                tokio::spawn(async move { reserve_and_record(&store, order).await }),
            ));
        }
    }
    for (_, opened) in opening {
        opened.await.unwrap().unwrap();
    }
    assert_eq!(world.store.status_lists().await.unwrap(), [1, 2, 3, 4]);
    // A stretch of another server is not given again.
    let raw = backend.raw().await;
    let twice = "SELECT count(*) FROM (SELECT 1 FROM tokens GROUP BY status_list, status_index HAVING count(*) > 1) AS t";
    let twice: i64 = raw.query_one(twice, &[]).await.unwrap().get(0);
    assert_eq!(twice, 0);
}

/// A server whose clock is ahead has issued what the cut-off by another one means and does not cover.
#[tokio::test]
async fn a_cut_off_ends_tokens_of_a_faster_clock() {
    let world = World::new(Postgres::create()).await;
    let [one, other] = world.processes();
    let elsewhere = world.organization("other").await;
    let mut issued = Vec::new();
    for (owner, second) in [
        (world.owner(), 9),
        (world.owner(), 10),
        (world.owner(), 12),
        (jeton_core::token::Owner::Organization(elsewhere), 12),
    ] {
        let order = world.plain_order(token(owner, second)).await;
        let jeton_store::suite::clerk::RecordOutcome::Recorded(record) =
            reserve_and_record(&other, order).await.unwrap()
        else {
            panic!("not recorded")
        };
        issued.push(record.into_record().id.0);
    }
    let reach = Reach {
        organization: Some(world.organization),
        ..Reach::default()
    };
    let cut_off = |issued_through, second| CutOff {
        reach: reach.clone(),
        issued_through,
        effective_at: at(second),
    };
    // One that names an earlier instant means no later token.
    cut(&one, cut_off(at(9).seconds(), 10), 10).await;
    assert!(!is_revoked(&one, issued[1]).await);
    assert!(!is_revoked(&one, issued[2]).await);
    cut(&one, cut_off(at(10).seconds(), 10), 10).await;
    assert!(is_revoked(&one, issued[2]).await, "issued two seconds later");
    assert!(!is_revoked(&one, issued[3]).await, "of another organization");
}

async fn cut(store: &SharedStore, cut_off: CutOff, second: i64) {
    let order = jeton_store::Order::new(jeton_store::Cause {
        by: actor("admin@example.org"),
        ..jeton_store::Cause::operator(at(second))
    });
    let order = order.effect(jeton_store::Effect::CutOff(cut_off));
    store.commit(order).await.unwrap().unwrap();
}

/// Two servers that write the use of the same tokens in opposite orders.
#[tokio::test]
async fn uses_from_two_servers_wait_for_each_other_and_do_not_fail() {
    let world = World::new(Postgres::create()).await;
    let mut tokens = Vec::new();
    for _ in 0..50 {
        tokens.push(world.record(token(world.owner(), 1)).await.id);
    }
    let mut noting = Vec::new();
    for (number, store) in world.processes().into_iter().cycle().take(40).enumerate() {
        let mut tokens = tokens.clone();
        if number % 2 == 1 {
            tokens.reverse();
        }
        noting.push(tokio::spawn(async move {
            let second = 10 + i64::try_from(number).unwrap();
            let used = |token: &TokenId| Use {
                token: *token,
                at: at(second),
                from: None,
            };
            store.note_use(tokens.iter().map(used).collect()).await.unwrap();
            let refused = |token: &TokenId| {
                (
                    *token,
                    Refusals {
                        count: 1,
                        last_at: at(second),
                    },
                )
            };
            store
                .note_refusals(tokens.iter().map(refused).collect())
                .await
                .unwrap();
        }));
    }
    for noted in noting {
        noted.await.unwrap();
    }
    for token in tokens {
        let record = world
            .store
            .token(TokenReference::Id(token))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(record.last_used_at, Some(at(49)));
        assert_eq!(
            record.refusals,
            Some(Refusals {
                count: 40,
                last_at: at(49)
            })
        );
    }
}

/// Each server is shown with its position; a commit on one is noticed by the other long before it would look.
#[tokio::test]
async fn servers_see_each_other() {
    let world = World::new(Postgres::create()).await;
    let [one, other] = world.processes();
    let position = world.beginning;
    let named = |name: &str| Node {
        id: entropy().uuid_v4(),
        name: name.to_owned(),
        version: "1".to_owned(),
        position,
    };
    let (a, b) = (named("a"), named("b"));
    for (store, node) in [(&one, &a), (&other, &b), (&one, &a)] {
        let renewal = store.nodes().unwrap().renew(node).await.unwrap();
        assert_eq!(renewal.durability, Durability::Local);
    }
    let nodes = one.nodes().unwrap().nodes(at(0)).await.unwrap();
    let shown: Vec<_> = nodes.iter().map(|state| state.node.clone()).collect();
    assert_eq!(shown, [a, b]);
    assert_eq!(
        one.nodes()
            .unwrap()
            .nodes(nodes[0].renewed_at.plus_seconds(60))
            .await
            .unwrap(),
        []
    );
}

/// Two operators who change settings at once: what one has checked together with the others must not stand beside another
/// change of them.
#[tokio::test]
async fn settings_are_changed_one_after_the_other() {
    let backend = Postgres::empty();
    let (config, tls) = backend.connection();
    let read = async || settings(&config, tls.clone()).await.unwrap();
    assert_eq!(read().await, Versioned::default(), "there are no tables yet");
    let world = World::new(backend).await;
    let [one, other] = world.processes();
    let before = read().await;
    let set = |name: &str, value: Option<&str>, before| {
        rules::set(Cause::operator(at(1)), before, name, value.map(str::to_owned))
    };
    let order = set("keys.jwks_max_age", Some("'1h'"), &before).unwrap();
    one.commit(order).await.unwrap().unwrap();
    let outdated = set("keys.rotate_every", Some("'10m'"), &before).unwrap();
    assert!(other.commit(outdated).await.unwrap().is_err());
    let after = read().await;
    assert_eq!(
        after.value,
        [("keys.jwks_max_age".to_owned(), "'1h'".to_owned())].into()
    );
    assert!(
        set("keys.jwks_max_age", Some("'1h'"), &after).is_none(),
        "no change"
    );
    let reset = set("keys.jwks_max_age", None, &after).unwrap();
    other.commit(reset).await.unwrap().unwrap();
    let reset = read().await;
    assert!(reset.value.is_empty() && reset.generation > after.generation);
}

/// Counts one more failure of each key, which also each other caller does at once.
async fn count_failure(store: &SharedStore, keys: &[LoginKey], at_second: i64) {
    let counts = store.login_counts().unwrap();
    let change = &mut |counts: &mut [LoginCount]| {
        for count in counts {
            count.failures += 1;
            count.failed_at = at(at_second);
        }
    };
    counts.change_login_counts(keys, change).await.unwrap();
}

async fn counted(store: &SharedStore, keys: &[LoginKey]) -> Vec<LoginCount> {
    let mut read = Vec::new();
    let change = &mut |counts: &mut [LoginCount]| read = counts.to_vec();
    let counts = store.login_counts().unwrap();
    counts.change_login_counts(keys, change).await.unwrap();
    read
}

#[tokio::test]
async fn no_failed_login_is_lost_among_those_at_other_servers() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let keys: [LoginKey; 3] = [[3; 32], [1; 32], [2; 32]];
    let stores = world.processes();
    let mut counting = Vec::new();
    for number in 0..40_usize {
        let store = stores[number % 2].clone();
        let mut keys = keys;
        // In another order than others name them.
        keys.rotate_left(number % 3);
        counting.push(tokio::spawn(async move { count_failure(&store, &keys, 5).await }));
    }
    for done in counting {
        done.await.unwrap();
    }
    let count = LoginCount {
        failures: 40,
        failed_at: at(5),
        ..LoginCount::ZERO
    };
    assert_eq!(counted(&world.store, &keys).await, [count; 3]);
    assert_eq!(
        counted(&world.store, &[[9; 32], [1; 32]]).await,
        [LoginCount::ZERO, count]
    );
    let rows = backend
        .raw()
        .await
        .query_one("SELECT count(*) FROM login_failures", &[])
        .await;
    assert_eq!(
        rows.unwrap().get::<_, i64>(0),
        3,
        "what is only read takes no room"
    );
}

#[tokio::test]
async fn old_counters_of_logins_are_deleted_and_the_oldest_beyond_a_number() {
    let world = World::new(Postgres::create()).await;
    let counts = world.store.login_counts().unwrap();
    let key = |number: u8| [number; 32];
    for number in 0..10 {
        count_failure(&world.store, &[key(number)], number.into()).await;
    }
    // A flood of failures does not displace a login that succeeded.
    let succeeded = &mut |counts: &mut [LoginCount]| counts[0].succeeded_at = Some(at(0));
    counts.change_login_counts(&[key(3)], succeeded).await.unwrap();
    let kept = async || {
        let all: Vec<_> = (0..10).map(key).collect();
        let counted = counted(&world.store, &all).await;
        let numbers = (0..10)
            .zip(counted)
            .filter(|(_, count)| *count != LoginCount::ZERO);
        numbers.map(|(number, _)| number).collect::<Vec<u8>>()
    };
    counts.prune_login_counts(at(2), 100).await.unwrap();
    assert_eq!(kept().await, [2, 3, 4, 5, 6, 7, 8, 9]);
    counts.prune_login_counts(at(2), 4).await.unwrap();
    assert_eq!(kept().await, [3, 6, 7, 8, 9]);
}

/// The next version adds a column, and a later one removes what this one needs.
#[tokio::test]
async fn a_server_serves_beside_the_next_version_until_a_later_one_excludes_it() {
    let backend = Postgres::create();
    let world = World::new(backend.clone()).await;
    let node = Node {
        id: entropy().uuid_v4(),
        name: "auth1".to_owned(),
        version: "1".to_owned(),
        position: world.beginning,
    };
    let raw = backend.raw().await;
    let later = "ALTER TABLE tokens ADD COLUMN later text; UPDATE jeton_schema SET version = version + 1";
    raw.batch_execute(later).await.unwrap();
    let beside = world.beside();
    let issued = world.record(token(world.owner(), 1)).await.id;
    for store in [&world.store, &beside] {
        assert!(!is_revoked(store, issued.0).await);
        store.nodes().unwrap().renew(&node).await.unwrap();
    }
    raw.batch_execute("UPDATE jeton_schema SET version = version + 1, served_from = version + 1")
        .await
        .unwrap();
    let renewed = world.store.nodes().unwrap().renew(&node).await;
    assert!(renewed.is_err(), "it no longer serves");
    let settings = CLUSTER.settings(&backend.database.name, &[]).unwrap();
    let opened = PostgresStore::open(&settings, Arc::new(Seeded), Arc::new(Seen::default()));
    assert!(matches!(wait(opened), Err(OpenError::Newer { found: 3 })));
}
