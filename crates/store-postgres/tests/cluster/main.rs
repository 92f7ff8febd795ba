//! What is acknowledged survives the primary: rounds of kills under load, with a synchronous standby, and with an
//! asynchronous one as the control.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jeton_core::token::{TokenId, TokenReference};
use jeton_store::rules::tokens::{Leaves, revoke};
use jeton_store::suite::Backend;
use jeton_store::suite::clerk::{RecordOrder, RecordOutcome};
use jeton_store::suite::world::{Seeded, World, at, reserve_and_record, token};
use jeton_store::{Cause, Change, Continuation, Generation, Observer, SharedStore, Store};
use jeton_store_postgres::PostgresStore;
use jeton_store_postgres::cluster::{Cluster, Replication};
use jeton_verifier::event::Position;
use tokio::runtime::Handle;

/// How many clients issue and revoke at once.
const CLIENTS: usize = 8;

/// How many rounds there are: `EFFORT=all` kills the primary twenty times.
fn rounds() -> usize {
    match std::env::var("EFFORT").as_deref() {
        Ok("all") => 20,
        Ok("many") => 5,
        _ => 1,
    }
}

/// A primary and its standby.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    database: String,
    runtime: Handle,
}

#[derive(Clone)]
struct OfPair(Arc<Pair>);

impl Backend for OfPair {
    fn create() -> Self {
        panic!("made by the test")
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        let pair = &self.0;
        let settings = pair.primary.settings(&pair.database, &[&pair.standby]).unwrap();
        let opening = PostgresStore::open(&settings, Arc::new(Seeded), observer);
        let store = std::thread::scope(|scope| {
            let opened = scope.spawn(|| pair.runtime.block_on(opening));
            opened.join().unwrap()
        });
        Arc::new(store.unwrap())
    }
}

/// What clients were told.
#[derive(Default)]
struct Acknowledged {
    issued: HashSet<TokenId>,
    revoked: HashSet<TokenId>,
}

/// Returns the order of a token, decided from the directory as [`World::new`] leaves it.
fn issue(world: &World) -> RecordOrder {
    RecordOrder {
        token: token(world.owner(), 1),
        versions: Generation(3),
        limits: Vec::new(),
        unique_name: false,
        rotation: None,
    }
}

/// Issues and revokes until it is told to stop, and returns what was acknowledged.
async fn work(world: Arc<World>, is_over: Arc<AtomicBool>) -> Acknowledged {
    let mut done = Acknowledged::default();
    while !is_over.load(Ordering::Acquire) {
        let Ok(RecordOutcome::Recorded(recorded)) = reserve_and_record(&world.store, issue(&world)).await
        else {
            continue;
        };
        let id = recorded.into_record().id;
        done.issued.insert(id);
        let order = revoke(Cause::operator(at(2)), id, at(2), Leaves::Nothing).unwrap();
        if let Ok(Ok(_)) = world.store.commit(order).await {
            done.revoked.insert(id);
        }
    }
    done
}

/// Kills the primary under load and promotes the standby. Returns how many tokens and revocations were acknowledged and
/// how many of them are lost, and how long it took until a token was issued again.
async fn round(replication: Replication) -> (usize, usize, Duration) {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby(replication).await.unwrap();
    let pair = OfPair(Arc::new(Pair {
        database: primary.create_database().await.unwrap(),
        primary,
        standby,
        runtime: Handle::current(),
    }));
    let world = Arc::new(World::new(pair.clone()).await);
    if replication == Replication::Asynchronous {
        pair.0.standby.pause().await.unwrap();
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(work(Arc::clone(&world), Arc::clone(&is_over))))
        .collect();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    pair.0.primary.kill().unwrap();
    let killed = Instant::now();
    pair.0.standby.promote().await.unwrap();
    // What an asynchronous standby has lost, with its status lists, a server does not survive: it must start again.
    let again = loop {
        if replication == Replication::Asynchronous {
            break killed.elapsed();
        }
        if let Ok(RecordOutcome::Recorded(_)) = reserve_and_record(&world.store, issue(&world)).await {
            break killed.elapsed();
        }
        assert!(
            killed.elapsed() < Duration::from_secs(60),
            "nothing is issued any more"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    is_over.store(true, Ordering::Release);
    let (mut acknowledged, mut lost) = (0, 0);
    for client in clients {
        let done = client.await.unwrap();
        acknowledged += done.issued.len() + done.revoked.len();
        for id in &done.issued {
            let record = world.store.token(TokenReference::Id(*id)).await.unwrap();
            lost += usize::from(record.is_none());
            if done.revoked.contains(id) {
                lost += usize::from(!record.is_some_and(|record| record.is_revoked(at(3))));
            }
        }
    }
    if replication == Replication::Synchronous {
        is_chained(&*world.store, &world).await;
    }
    (acknowledged, lost, again)
}

/// The feed is contiguous, and each event has the hash of the one before.
async fn is_chained(store: &dyn Store, world: &World) {
    let snapshot = store.snapshot().await.unwrap();
    let mut position = world.beginning;
    position.epoch = snapshot.position.epoch;
    loop {
        let changes = match store.changes_after(position, Generation(0)).await.unwrap() {
            Continuation::Changes(changes) => changes,
            other => panic!("{other:?}"),
        };
        for entry in changes.events.iter().filter_map(Change::entry) {
            assert_eq!(entry.event.sequence, position.sequence + 1);
            assert_eq!(entry.event.hash(&position.hash), entry.hash);
            position = entry.position();
        }
        if !changes.has_more {
            break;
        }
    }
    assert_eq!(position, store.snapshot().await.unwrap().position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills a primary several times: `make cluster` runs it"]
async fn nothing_acknowledged_is_lost_with_the_primary() {
    let mut times = Vec::new();
    for number in 0..rounds() {
        let (acknowledged, lost, again) = round(Replication::Synchronous).await;
        println!("round {number}: {acknowledged} acknowledged, {lost} lost, issuing again after {again:?}");
        assert_eq!(lost, 0);
        assert!(acknowledged > 20, "the load was too low to lose anything");
        times.push(again);
    }
    times.sort();
    println!("issuing again, median: {:?}", times[times.len() / 2]);
}

/// The control: without the wait for the standby the same load loses what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the control of the test above: `make cluster` runs it"]
async fn an_asynchronous_standby_loses_what_was_acknowledged() {
    let (acknowledged, lost, _) = round(Replication::Asynchronous).await;
    println!("{acknowledged} acknowledged, {lost} lost");
    assert!(lost > 0, "the test above would not notice a loss");
}

/// A former primary lacks what came after it, and its standby has left it: what it lacks is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_its_standby_proves_no_loss() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby(Replication::Synchronous).await.unwrap();
    let pair = OfPair(Arc::new(Pair {
        database: primary.create_database().await.unwrap(),
        primary,
        standby,
        runtime: Handle::current(),
    }));
    let world = World::new(pair.clone()).await;
    let nodes = world.store.nodes().unwrap();
    let followed = world.store.snapshot().await.unwrap().position;
    assert!(!nodes.prove_loss(followed, Generation(0)).await.unwrap());
    pair.0.standby.pause().await.unwrap();
    let later = Position {
        sequence: followed.sequence + 1,
        ..followed
    };
    assert!(nodes.prove_loss(later, Generation(0)).await.is_err());
    let known = world.store.changes_after(followed, Generation(0)).await.unwrap();
    assert!(matches!(known, Continuation::Changes(_)), "{known:?}");
    let alone = "ALTER SYSTEM RESET synchronous_standby_names";
    pair.0.primary.sql("postgres", alone).await.unwrap();
    pair.0
        .primary
        .sql("postgres", "SELECT pg_reload_conf()")
        .await
        .unwrap();
    assert!(nodes.prove_loss(later, Generation(0)).await.unwrap());
    let known = world.store.changes_after(followed, Generation(0)).await.unwrap();
    assert_eq!(known, Continuation::Forked, "no server goes on");
}
