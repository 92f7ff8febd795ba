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
        timeout(SOON, third.tcp().readable()).await.is_err(),
        "served beyond the limit"
    );
    assert!(till_closed(third).await.ends_with("hello"));
    assert!(is_closed(&mut resting).await);
    server.gate.release.notify_one();
    answered(&mut busy, "waited").await;
}

const POST: &str = "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\n";

/// Each of these phases has a limit of its own, which is much longer than the test.
#[tokio::test]
async fn the_connection_that_has_waited_longest_for_its_client_makes_room() {
    for (longest, rest, answer) in [
        ("", GET, "hello"),
        (POST, "hello", "hello"),
        ("GET / HTTP/1.1\r\nHo", "st: here\r\n\r\n", "hello"),
        (GET, GET, "hello"),
        ("GET /large HTTP/1.1\r\nHost: here\r\n\r\n", "", "xxx"),
    ] {
        let server = start(Limits {
            connections: 2,
            ..Limits::default()
        })
        .await;
        let mut longest_waiting = server.saying(longest).await;
        sleep(SOON).await;
        let mut second = server.saying(longest).await;
        assert!(server.answer(LAST_GET).await.ends_with("hello"), "{longest}");

        assert!(is_closed_or_reset(&mut longest_waiting).await, "{longest}");
        second.write_all(rest.as_bytes()).await.unwrap();
        answered(&mut second, answer).await;
    }
}

/// A handler that takes its time is not closed: the next step is the server's.
#[tokio::test]
async fn a_request_in_progress_makes_no_room() {
    let server = start(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let mut busy = server.saying("GET /wait HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.gate.entered.notified().await;
    let next = server.saying(LAST_GET).await;
    sleep(MINIMUM_WAIT + LATER).await;
    server.gate.release.notify_one();
    answered(&mut busy, "waited").await;
    assert!(till_closed(next).await.ends_with("hello"));
}

/// Fills a server of eight connections, an eighth of which is one, with one connection of a host and then seven of
/// another, and returns whether the first is closed by another connection.
async fn the_first_makes_room(trusted_proxies: Vec<IpNet>) -> bool {
    let server = start_trusting(
        Limits {
            connections: 8,
            ..Limits::default()
        },
        trusted_proxies,
    )
    .await;
    let mut alone = server.saying_from(2, POST).await;
    sleep(SOON).await;
    let mut many = Vec::new();
    for _ in 0..7 {
        many.push(server.saying_from(3, POST).await);
    }
    // All have waited long enough, however slowly they were opened.
    sleep(MINIMUM_WAIT).await;
    let new = server.saying_from(4, LAST_GET).await;
    assert!(till_closed(new).await.ends_with("hello"));
    let is_closed = is_closed_or_reset(&mut alone).await;
    if !is_closed {
        alone.write_all(b"hello").await.unwrap();
        answered(&mut alone, "hello").await;
    }
    is_closed
}

#[tokio::test]
async fn a_network_that_holds_more_than_its_share_makes_room_first() {
    assert!(!the_first_makes_room(Vec::new()).await);
}

#[tokio::test]
async fn a_trusted_proxy_may_hold_more_than_a_share() {
    let proxies = vec!["127.0.0.3/32".parse().unwrap()];
    assert!(the_first_makes_room(proxies).await);
}

/// Returns whether the server has closed the connection, also with a response or a request unread.
async fn is_closed_or_reset(client: &mut Client) -> bool {
    let mut buffer = vec![0; LARGE];
    let closed = timeout(LATER, async {
        while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    });
    closed.await.is_ok()
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

/// Requests without a pause, as of a client that repeats what takes the server a while, keep nobody out.
#[tokio::test]
async fn a_network_beyond_its_share_leaves_with_its_responses() {
    for (host, is_served) in [(3, true), (2, false)] {
        let server = start(Limits {
            connections: 2,
            ..Limits::default()
        })
        .await;
        // Two of one network are more than its share; one of each network is not.
        let mut busy = Vec::new();
        for from in [3, host] {
            busy.push(
                server
                    .saying_from(from, "GET /wait HTTP/1.1\r\nHost: here\r\n\r\n")
                    .await,
            );
            server.gate.entered.notified().await;
        }
        let new = server.saying_from(4, LAST_GET).await;
        sleep(SOON).await;
        server.gate.release.notify_one();
        let answer = timeout(LATER / 2, till_closed(new)).await;
        assert_eq!(answer.is_ok_and(|answer| answer.ends_with("hello")), is_served);
        server.gate.release.notify_one();
    }
}
