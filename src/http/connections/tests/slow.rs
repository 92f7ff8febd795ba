//! Slow clients.

use super::*;

#[tokio::test]
async fn a_silent_connection() {
    assert!(
        closes_on(
            Limits {
                header_time: SOON,
                ..Limits::default()
            },
            ""
        )
        .await
    );
    assert!(
        !closes_on(
            Limits {
                idle_time: SOON,
                ..Limits::default()
            },
            ""
        )
        .await
    );
}

#[tokio::test]
async fn half_a_header() {
    let half = "GET / HTTP/1.1\r\nHost: he";
    assert!(
        closes_on(
            Limits {
                header_time: SOON,
                ..Limits::default()
            },
            half
        )
        .await
    );
    assert!(
        !closes_on(
            Limits {
                idle_time: SOON,
                ..Limits::default()
            },
            half
        )
        .await
    );
}

#[tokio::test]
async fn half_a_second_header() {
    let half = format!("{GET}GET / HT");
    for (header_time, closed) in [(SOON, true), (Duration::from_secs(10), false)] {
        let server = start(Limits {
            header_time,
            ..Limits::default()
        })
        .await;
        let mut client = server.saying(GET).await;
        answered(&mut client, "hello").await;
        client.write_all(&half.as_bytes()[GET.len()..]).await.unwrap();
        assert_eq!(is_closed(&mut client).await, closed);
    }
}

#[tokio::test]
async fn an_idle_connection() {
    assert!(
        closes_on(
            Limits {
                idle_time: SOON,
                ..Limits::default()
            },
            GET
        )
        .await
    );
    assert!(
        !closes_on(
            Limits {
                header_time: SOON,
                ..Limits::default()
            },
            GET
        )
        .await
    );
}

#[tokio::test]
async fn a_dripping_body() {
    for (body_time, closed) in [(LATER / 2, true), (Duration::from_secs(30), false)] {
        let server = start(Limits {
            body_time,
            ..Limits::default()
        })
        .await;
        let mut client = server
            .saying("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n")
            .await;
        let (mut read, mut write) = client.split();
        let drip = async {
            loop {
                sleep(LATER / 20).await;
                if write.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mut answer = Vec::new();
        let ended = tokio::select! {
            () = drip => unreachable!(),
            ended = timeout(LATER, read.read_to_end(&mut answer)) => ended.is_ok(),
        };
        assert_eq!(ended, closed);
        assert_eq!(answer, b"", "half a body has no answer");
    }
}

/// Returns how much of a large response a client receives that waits before it reads.
async fn read_after_a_rest(stall_time: Duration) -> usize {
    let server = start(Limits {
        stall_time,
        ..Limits::default()
    })
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut client = socket.connect(server.address).await.unwrap();
    client
        .write_all(b"GET /large HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    sleep(LATER).await;
    let mut answer = Vec::new();
    // The error is the reset that ends a cut response.
    let _ = timeout(Duration::from_secs(20), client.read_to_end(&mut answer))
        .await
        .unwrap();
    answer.len()
}

#[tokio::test]
async fn a_client_that_does_not_read() {
    assert!(read_after_a_rest(SOON).await < LARGE);
}

#[tokio::test]
async fn a_client_that_reads_late() {
    assert!(read_after_a_rest(Duration::from_secs(30)).await > LARGE);
}
