#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use crate::values::{get, params};
use std::sync::{Mutex, mpsc as channel};

use prometheus_client::registry::Registry;
use tempfile::TempDir;

use jeton_store::{Generation, Realm};

use super::*;
use crate::chance::SystemEntropy;
use crate::open;

/// Records every call.
#[derive(Default)]
struct Seen(Mutex<Vec<Vec<Change>>>);

impl Observer for Seen {
    fn committed(&self, commit: Commit<'_>) {
        self.0.lock().unwrap().push(commit.changes.to_vec());
    }
}

struct Fixture {
    folder: TempDir,
    seen: Arc<Seen>,
    writer: Writer,
    metrics: Metrics,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
        connection
            .execute_batch("CREATE TABLE noted (value INTEGER PRIMARY KEY, organization INTEGER REFERENCES organizations)")
            .unwrap();
        connection
            .busy_timeout(std::time::Duration::from_millis(50))
            .unwrap();
        let memory = Memory::read(&connection).unwrap();
        let folder_of_journal = folder.path().join("jeton.db.revocations");
        let journal = journal::opened(folder_of_journal, memory.origin, &connection).unwrap();
        let metrics = Metrics::new(&journal.metrics);
        let seen = Arc::new(Seen::default());
        let writer = Writer::start(
            connection,
            open::checkpointer(&folder.path().join("jeton.db")).unwrap(),
            memory,
            journal,
            Arc::new(SystemEntropy),
            Arc::<Seen>::clone(&seen),
            metrics.clone(),
        )
        .unwrap();
        Self {
            folder,
            seen,
            writer,
            metrics,
        }
    }

    /// Returns the value of a metric.
    fn metric(&self, name: &str) -> f64 {
        let mut registry = Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
            .parse()
            .unwrap()
    }

    /// Returns the rows in the file, as another process reads them.
    fn noted(&self) -> Vec<i64> {
        let connection = Connection::open(self.folder.path().join("jeton.db")).unwrap();
        let mut query = connection
            .prepare("SELECT value FROM noted ORDER BY value")
            .unwrap();
        let values = query.query_map((), |row| get(row, 0)).unwrap();
        values.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// Holds the writer inside a batch until the sender sends or is dropped.
    async fn hold(&self) -> channel::Sender<()> {
        let (release, released) = channel::channel();
        let (started, start) = tokio::sync::oneshot::channel();
        let hold = self.writer.run(Undo::Statement, move |_| {
            let _ = started.send(());
            let _ = released.recv();
            Ok(())
        });
        poll_once(hold);
        start.await.unwrap();
        release
    }
}

/// Polls a future once and drops it: a write that it has begun still happens.
fn poll_once(future: impl Future) {
    let mut future = Box::pin(future);
    let waker = std::task::Waker::noop();
    assert!(
        future
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker))
            .is_pending()
    );
}

fn note(batch: &mut Batch<'_>, value: i64) -> std::result::Result<i64, Failure> {
    batch
        .connection
        .prepare_cached("INSERT INTO noted (value) VALUES (?1)")?
        .execute(params![value])?;
    batch.changed(vec![Realm::Keys])?;
    Ok(value)
}

#[tokio::test]
async fn what_fails_halfway_or_panics_is_undone_alone() {
    let fixture = Fixture::new();
    let release = fixture.hold().await;
    let writer = &fixture.writer;
    let (one, twice, half, panicking, four, ()) = tokio::join!(
        writer.run(Undo::Statement, |batch| note(batch, 1)),
        writer.run(Undo::Statement, |batch| note(batch, 1)),
        writer.run(Undo::Savepoint, |batch| {
            note(batch, 2)?;
            note(batch, 1)
        }),
        writer.run(Undo::Savepoint, |batch| -> std::result::Result<(), Failure> {
            note(batch, 3)?;
            panic!("as the test wants it")
        }),
        writer.run(Undo::Savepoint, |batch| note(batch, 4)),
        async { drop(release) },
    );
    assert_eq!((one.unwrap(), four.unwrap()), (1, 4));
    for failed in [twice.map(drop), half.map(drop), panicking] {
        assert!(matches!(failed, Err(StoreError::Failed(_))));
    }
    assert_eq!(fixture.noted(), [1, 4]);
    let seen = fixture.seen.0.lock().unwrap().clone();
    let expected = [2, 3].map(|edit| Change::Directory {
        realms: vec![Realm::Keys],
        generation: Generation(edit),
    });
    assert_eq!(
        seen,
        [expected.to_vec()],
        "one batch, one call, and only what is committed"
    );
}

#[tokio::test]
async fn a_failed_commit_fails_everybody_and_leaves_nothing() {
    let fixture = Fixture::new();
    let release = fixture.hold().await;
    let writer = &fixture.writer;
    let (one, breaking, ()) = tokio::join!(
        writer.run(Undo::Statement, |batch| note(batch, 1)),
        writer.run(Undo::Savepoint, |batch| {
            // A dangling reference that is checked only at the commit.
            batch.connection.execute_batch(
                "PRAGMA defer_foreign_keys = ON; INSERT INTO noted (value, organization) VALUES (2, 99)",
            )?;
            Ok(())
        }),
        async { drop(release) },
    );
    assert!(matches!(one, Err(StoreError::Failed(_))));
    assert!(matches!(breaking, Err(StoreError::Failed(_))));
    assert_eq!(fixture.noted(), Vec::<i64>::new());
    assert_eq!(fixture.seen.0.lock().unwrap().len(), 0);
    let next = writer.run(Undo::Statement, |batch| {
        note(batch, 3)?;
        Ok(batch.memory.head.keys)
    });
    assert_eq!(next.await.unwrap(), Generation(2), "the memory was read again");
    assert_eq!(fixture.noted(), [3]);
}

#[tokio::test]
async fn a_statement_that_undoes_the_transaction_fails_the_batch() {
    let fixture = Fixture::new();
    let release = fixture.hold().await;
    let writer = &fixture.writer;
    let (one, breaking, after, ()) = tokio::join!(
        writer.run(Undo::Statement, |batch| note(batch, 1)),
        writer.run(Undo::Savepoint, |batch| {
            batch.execute("INSERT OR ROLLBACK INTO noted (value) VALUES (1)")
        }),
        writer.run(Undo::Statement, |batch| note(batch, 2)),
        async { drop(release) },
    );
    assert!(one.is_err() && breaking.is_err() && after.is_err());
    assert_eq!(fixture.noted(), Vec::<i64>::new());
    assert_eq!(
        writer.run(Undo::Statement, |batch| note(batch, 3)).await.unwrap(),
        3
    );
}

#[tokio::test]
async fn a_failing_disk_ends_the_writer() {
    let fixture = Fixture::new();
    let writer = &fixture.writer;
    let failed = writer.run(Undo::Statement, |_| -> std::result::Result<(), Failure> {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        Err(rusqlite::Error::SqliteFailure(code, None).into())
    });
    assert!(failed.await.is_err());
    writer.died().await;
    let after = writer.run(Undo::Statement, |batch| note(batch, 1)).await;
    assert!(matches!(after, Err(StoreError::Failed(_))));
    assert_eq!(fixture.noted(), Vec::<i64>::new());
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once() {
    let fixture = Fixture::new();
    let release = fixture.hold().await;
    let writer = &fixture.writer;
    for value in 1..QUEUE {
        poll_once(writer.run(Undo::Statement, move |batch| note(batch, value as i64)));
    }
    let (last, refused) = tokio::join!(writer.run(Undo::Statement, |batch| note(batch, 0)), async {
        let refused = writer.run(Undo::Statement, |batch| note(batch, -1)).await;
        drop(release);
        refused
    });
    assert!(matches!(refused, Err(StoreError::Busy)));
    assert_eq!(
        fixture.metric("jeton_store_refused_total{reason=\"queue_full\"}"),
        1.0
    );
    assert_eq!(last.unwrap(), 0);
    assert_eq!(fixture.noted(), (0..QUEUE as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn waiting_jobs_are_counted() {
    let fixture = Fixture::new();
    let waiting = fixture.writer.waiting().unwrap();
    assert_eq!(waiting.of(), (0, QUEUE));
    let release = fixture.hold().await;
    for value in 1..=3 {
        poll_once(
            fixture
                .writer
                .run(Undo::Statement, move |batch| note(batch, value)),
        );
    }
    assert_eq!(waiting.of(), (3, QUEUE));
    drop(release);
    drop(fixture);
    assert_eq!(waiting.of(), (0, QUEUE), "the writer has ended");
}

#[tokio::test]
async fn a_batch_is_measured_once_if_it_has_changed_anything() {
    let fixture = Fixture::new();
    let writer = &fixture.writer;
    writer.run(Undo::Statement, |_| Ok(())).await.unwrap();
    let batches = || fixture.metric("jeton_store_batch_size_count");
    assert_eq!(batches(), 0.0, "a readiness probe");
    let release = fixture.hold().await;
    let (one, two, three, ()) = tokio::join!(
        writer.run(Undo::Statement, |batch| note(batch, 1)),
        writer.run(Undo::Statement, |batch| note(batch, 2)),
        writer.run(Undo::Statement, |batch| note(batch, 3)),
        async { drop(release) },
    );
    assert_eq!((one.unwrap(), two.unwrap(), three.unwrap()), (1, 2, 3));
    assert_eq!(
        (batches(), fixture.metric("jeton_store_batch_size_sum")),
        (1.0, 3.0)
    );
    assert_eq!(fixture.metric("jeton_store_commit_duration_seconds_count"), 1.0);
    assert_eq!(fixture.metric("jeton_store_commit_failures_total"), 0.0);
    let full = writer.run(Undo::Statement, |batch| -> std::result::Result<(), Failure> {
        batch.connection.execute_batch("ROLLBACK")?;
        Err(Failure::Impossible("the disk is full"))
    });
    assert!(full.await.is_err());
    assert_eq!(batches(), 1.0);
    assert_eq!(fixture.metric("jeton_store_commit_failures_total"), 1.0);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_is_counted() {
    let fixture = Fixture::new();
    let note = || {
        fixture.writer.run(Undo::Statement, |batch| {
            batch.notes.push(Entry::Stopped { tokens: 0 });
            Ok(())
        })
    };
    let journal = fixture.folder.path().join("jeton.db.revocations");
    std::fs::write(&journal, "a file is in the way of the folder").unwrap();
    assert!(note().await.is_err());
    assert_eq!(fixture.metric("jeton_journal_failures_total"), 1.0);
    assert_eq!(fixture.metric("jeton_journal_appends_total"), 0.0);
    std::fs::remove_file(&journal).unwrap();
    note().await.unwrap();
    assert_eq!(fixture.metric("jeton_journal_failures_total"), 1.0);
    assert_eq!(fixture.metric("jeton_journal_appends_total"), 1.0);
}

#[tokio::test]
async fn what_was_accepted_is_written_before_the_file_is_closed() {
    let fixture = Fixture::new();
    let release = fixture.hold().await;
    poll_once(fixture.writer.run(Undo::Statement, |batch| note(batch, 1)));
    drop(release);
    let Fixture { folder, writer, .. } = fixture;
    drop(writer);
    let connection = Connection::open(folder.path().join("jeton.db")).unwrap();
    let count: i64 = connection
        .query_row("SELECT count(*) FROM noted", (), |row| get(row, 0))
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn another_process_that_writes_for_long_makes_it_busy_and_no_more() {
    let fixture = Fixture::new();
    let other = Connection::open(fixture.folder.path().join("jeton.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waited = fixture.writer.run(Undo::Statement, |batch| note(batch, 1)).await;
    assert!(matches!(waited, Err(StoreError::Busy)));
    other.execute_batch("ROLLBACK").unwrap();
    fixture
        .writer
        .run(Undo::Statement, |batch| note(batch, 2))
        .await
        .unwrap();
    assert_eq!(fixture.noted(), [2]);
}

/// However busy the writer is, the WAL does not grow without bound.
#[tokio::test]
async fn the_wal_begins_anew_while_there_is_always_more_to_write() {
    const PAGE: u64 = 4096;
    let fixture = Arc::new(Fixture::new());
    let size = |end: &str| std::fs::metadata(fixture.folder.path().join(end)).unwrap().len();
    let many = (0..4).map(|_| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            for _ in 0..500 {
                let large = fixture.writer.run(Undo::Statement, |batch| {
                    batch
                        .connection
                        .execute("INSERT INTO large (content) VALUES (zeroblob(25 * 4096))", ())?;
                    Ok(())
                });
                large.await.unwrap();
            }
        })
    });
    let create = |batch: &mut Batch<'_>| {
        Ok(batch
            .connection
            .execute("CREATE TABLE large (content BLOB)", ())?)
    };
    fixture.writer.run(Undo::Statement, create).await.unwrap();
    for task in many.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(
        size("jeton.db-wal") < 12_000 * PAGE,
        "{}",
        size("jeton.db-wal") / PAGE
    );
    assert!(size("jeton.db") > 38_000 * PAGE, "{}", size("jeton.db") / PAGE);
}
