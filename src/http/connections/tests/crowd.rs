//! More connections than the limit allows.

use super::*;

#[tokio::test]
async fn a_connection_above_the_limit_closes_an_idle_one() {
    let server = start(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let mut busy = server.saying("GET /wait HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.gate.entered.notified().await;
    let mut resting = server.saying(GET).await;
    answered(&mut resting, "hello").await;

    let third = server.saying(LAST_GET).await;
    assert!(
        timeout(SOON, third.readable()).await.is_err(),
        "served beyond the limit"
    );
    assert!(till_closed(third).await.ends_with("hello"));
    assert!(is_closed(&mut resting).await);
    server.gate.release.notify_one();
    answered(&mut busy, "waited").await;
}

#[tokio::test]
async fn idle_connections_stay_open_below_the_limit() {
    let server = start(Limits {
        connections: 3,
        ..Limits::default()
    })
    .await;
    let mut resting = server.saying(GET).await;
    answered(&mut resting, "hello").await;
    assert!(server.answer(LAST_GET).await.ends_with("hello"));
    sleep(LATER).await;
    resting.write_all(GET.as_bytes()).await.unwrap();
    answered(&mut resting, "hello").await;
}

/// Runs the test program again, since a descriptor limit applies to a whole process.
#[test]
fn without_descriptors_it_waits_and_does_not_spin() {
    const INNER: &str = "JETON_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(INNER).is_some() {
        return few_descriptors();
    }
    let name = "http::connections::tests::crowd::without_descriptors_it_waits_and_does_not_spin";
    let status = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 200 && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INNER, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::main(flavor = "current_thread")]
async fn few_descriptors() {
    // Both ends of a connection use a descriptor, so the descriptors run out first.
    let server = start(Limits {
        connections: 1000,
        ..Limits::default()
    })
    .await;
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(server.address).await {
        clients.push(client);
    }
    sleep(SOON).await;
    let before = cpu_time();
    sleep(LATER).await;
    let spent = cpu_time() - before;
    assert!(
        spent < LATER / 4,
        "{spent:?} of processor time while nothing could be accepted"
    );
    clients.clear();
    sleep(LATER).await;
    assert!(server.answer(LAST_GET).await.ends_with("hello"));
}

/// Returns the CPU time of this thread, which runs everything.
fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

#[test]
fn the_soft_descriptor_limit_is_raised_up_to_the_hard_one() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (current, maximum) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    assert_eq!(raise_descriptor_limit(1), current, "never lowered");
    let more = current.saturating_add(1);
    assert_eq!(raise_descriptor_limit(more), more.min(maximum));
}
