//! The limits of connections, and the stop.

use std::time::Duration;

use jeton_guard::config::Listen;
use jeton_guard::serve::{Bound, Limits};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::harness::{Running, ask, is_closed, mode, read_answer};

fn hasty() -> Limits {
    Limits {
        patience: Duration::from_millis(300),
        drain_time: Duration::from_millis(500),
        connections: 2,
        ..Limits::default()
    }
}

#[tokio::test]
async fn one_connection_takes_many_requests() {
    let guard = Running::blind("[rules.a]\n").await;
    let mut stream = guard.tcp().await;
    for _ in 0..3 {
        ask(&mut stream, "GET", "/healthz", &[], "").await.is(200);
        // A body that a rule ignores is not taken for the next request.
        ask(
            &mut stream,
            "POST",
            "/check/a",
            &[],
            "GET /healthz HTTP/1.1\r\n\r\n",
        )
        .await
        .is(401);
    }
}

#[tokio::test]
async fn a_request_has_one_host() {
    let guard = Running::blind("[rules.a]\n").await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "host: a\r\nhost: a\r\n", 400),
        ("1.1", "host: a\r\nHost: b\r\n", 400),
        ("1.1", "host: a\r\n", 401),
        // nginx asks by HTTP/1.0, in which the header is optional.
        ("1.0", "", 401),
        ("1.0", "host: a\r\nhost: b\r\n", 400),
    ] {
        let mut stream = guard.tcp().await;
        let request = format!("GET /check/a HTTP/{version}\r\n{hosts}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream, false).await.unwrap();
        assert_eq!(answer.status, status, "{request}");
    }
}

#[tokio::test]
async fn long_headers_are_refused() {
    let guard = Running::blind("[rules.a]\n").await;
    let header = "x".repeat(17_000);
    guard.ask("GET", "/check/a", &[("cookie", &header)]).await.is(431);
    guard
        .ask("GET", "/check/a", &[("cookie", &header[..15_000])])
        .await
        .is(401);
}

#[tokio::test]
async fn silent_and_slow_clients_are_dropped_and_make_room() {
    let guard = Running::with("[rules.a]\n", hasty()).await;
    let (mut silent, mut half) = (guard.tcp().await, guard.unix().await);
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost:").await.unwrap();
    // A third client waits until one of the two is gone.
    let mut third = guard.tcp().await;
    third
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(is_closed(&mut silent, Duration::from_secs(10)).await);
    assert!(is_closed(&mut half, Duration::from_secs(10)).await);
    assert_eq!(read_answer(&mut third, false).await.unwrap().status, 200);
}

#[tokio::test]
async fn with_room_for_one_connection_an_idle_socket_starves_no_other() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let guard = Running::with("[rules.a]\n", limits).await;
    let turns = async {
        // Each twice, while the other socket is idle.
        for _ in 0..2 {
            ask(&mut guard.tcp().await, "GET", "/healthz", &[], "")
                .await
                .is(200);
        }
        for _ in 0..2 {
            ask(&mut guard.unix().await, "GET", "/healthz", &[], "")
                .await
                .is(200);
        }
    };
    timeout(Duration::from_secs(10), turns).await.unwrap();
}

#[tokio::test]
async fn a_stop_closes_what_is_idle_and_cuts_what_never_ends() {
    let guard = Running::with(
        "[rules.a]\n",
        Limits {
            drain_time: Duration::from_millis(500),
            ..Limits::default()
        },
    )
    .await;
    let mut idle = guard.tcp().await;
    ask(&mut idle, "GET", "/healthz", &[], "").await.is(200);
    let socket = guard.socket.clone();
    assert!(socket.exists());
    let (mut half, address) = (guard.tcp().await, guard.address.clone());
    half.write_all(b"GET /").await.unwrap();
    let folder = guard.folder.path().to_owned();
    let took = guard.stop().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(is_closed(&mut idle, Duration::from_secs(5)).await);
    assert!(is_closed(&mut half, Duration::from_secs(5)).await);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(!socket.exists(), "{}", folder.display());
}

#[tokio::test]
async fn a_unix_socket_is_for_user_and_group_and_a_left_over_one_is_replaced() {
    let guard = Running::blind("[rules.a]\n").await;
    assert_eq!(mode(&guard.socket), 0o660);
    // Somebody listens there.
    let taken = Bound::new(&Listen::Unix(guard.socket.clone())).await.unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    ask(&mut guard.unix().await, "GET", "/healthz", &[], "")
        .await
        .is(200);

    let left = guard.folder.path().join("left");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(left.exists());
    Bound::new(&Listen::Unix(left)).await.unwrap();

    let file = guard.folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    Bound::new(&Listen::Unix(file.clone())).await.unwrap_err();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
}
