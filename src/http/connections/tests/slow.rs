//! Slow clients.

use super::*;

over_both!(
    a_silent_connection,
    half_a_header,
    half_a_second_header,
    an_idle_connection,
    a_dripping_body,
    a_client_that_does_not_read,
    a_client_that_reads_late,
);

async fn a_silent_connection(over: Over) {
    assert!(
        over.closes_on(
            Limits {
                header_time: SOON,
                ..Limits::default()
            },
            ""
        )
        .await
    );
    assert!(
        !over
            .closes_on(
                Limits {
                    idle_time: SOON,
                    ..Limits::default()
                },
                ""
            )
            .await
    );
}

async fn half_a_header(over: Over) {
    let half = "GET / HTTP/1.1\r\nHost: he";
    assert!(
        over.closes_on(
            Limits {
                header_time: SOON,
                ..Limits::default()
            },
            half
        )
        .await
    );
    assert!(
        !over
            .closes_on(
                Limits {
                    idle_time: SOON,
                    ..Limits::default()
                },
                half
            )
            .await
    );
}

async fn half_a_second_header(over: Over) {
    let half = format!("{GET}GET / HT");
    for (header_time, closed) in [(SOON, true), (Duration::from_secs(10), false)] {
        let server = over
            .start(Limits {
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

async fn an_idle_connection(over: Over) {
    assert!(
        over.closes_on(
            Limits {
                idle_time: SOON,
                ..Limits::default()
            },
            GET
        )
        .await
    );
    assert!(
        !over
            .closes_on(
                Limits {
                    header_time: SOON,
                    ..Limits::default()
                },
                GET
            )
            .await
    );
}

async fn a_dripping_body(over: Over) {
    for (body_time, closed) in [(LATER / 2, true), (Duration::from_secs(30), false)] {
        let server = over
            .start(Limits {
                body_time,
                ..Limits::default()
            })
            .await;
        let client = server
            .saying("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n")
            .await;
        let (mut read, mut write) = tokio::io::split(client);
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
async fn read_after_a_rest(over: Over, stall_time: Duration) -> usize {
    let server = over
        .start(Limits {
            stall_time,
            ..Limits::default()
        })
        .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut client = server
        .client_over(socket.connect(server.address).await.unwrap())
        .await;
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

async fn a_client_that_does_not_read(over: Over) {
    assert!(read_after_a_rest(over, SOON).await < LARGE);
}

async fn a_client_that_reads_late(over: Over) {
    assert!(read_after_a_rest(over, Duration::from_secs(30)).await > LARGE);
}
