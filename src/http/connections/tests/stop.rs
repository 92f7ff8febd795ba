//! Shutdown.

use super::*;

over_both!(
    a_stop_answers_what_is_in_flight_and_closes_the_rest,
    a_stop_answers_a_request_that_comes_a_moment_later,
    a_stop_ends_in_time_with_stuck_clients,
    clients_that_do_not_go_on_are_left_behind_and_nothing_is_cut,
);

async fn a_stop_answers_what_is_in_flight_and_closes_the_rest(over: Over) {
    let server = over.start(Limits::default()).await;
    let mut idle = server.saying(GET).await;
    answered(&mut idle, "hello").await;
    let silent = server.client().await;
    let mut busy = server.saying("GET /wait HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.gate.entered.notified().await;

    server.stop.send(()).unwrap();
    closed_unanswered(idle).await;
    closed_unanswered(silent).await;
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "accepted after the stop"
    );
    assert!(!server.ended.is_finished());

    server.gate.release.notify_one();
    let answer = answered(&mut busy, "waited").await;
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(till_closed(busy).await, "");
    assert_eq!(server.ended.await.unwrap(), Drained::Complete);
}

/// A request that was on its way when the shutdown began: a server that closes idle connections at once
/// would cut it.
async fn a_stop_answers_a_request_that_comes_a_moment_later(over: Over) {
    let server = over.start(Limits::default()).await;
    let mut client = server.saying(GET).await;
    assert!(!answered(&mut client, "hello").await.contains("connection: close"));
    let mut fresh = server.client().await;
    server.stop.send(()).unwrap();
    tokio::task::yield_now().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    fresh.write_all(GET.as_bytes()).await.unwrap();
    assert!(till_closed(client).await.contains("connection: close\r\n"));
    assert!(till_closed(fresh).await.contains("connection: close\r\n"));
    assert_eq!(server.ended.await.unwrap(), Drained::Complete);
}

async fn a_stop_ends_in_time_with_stuck_clients(over: Over) {
    let server = over
        .start(Limits {
            drain_time: LATER,
            ..Limits::default()
        })
        .await;
    let _header = server.saying("GET / HT").await;
    let _body = server
        .saying("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nx")
        .await;
    let _unread = server.saying("GET /large HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let good = server.saying("GET /wait HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.gate.entered.notified().await;
    let _handler = server.saying("GET /wait HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.gate.entered.notified().await;

    let stopped = Instant::now();
    server.stop.send(()).unwrap();
    // The first waiter is released first; the second stays blocked.
    server.gate.release.notify_one();
    assert!(till_closed(good).await.ends_with("waited"));
    // Counts the request that the server did not finish, not the clients that stopped halfway.
    assert_eq!(server.ended.await.unwrap(), Drained::Cut(1));
    assert!(stopped.elapsed() < 2 * LATER, "{:?}", stopped.elapsed());
}

async fn clients_that_do_not_go_on_are_left_behind_and_nothing_is_cut(over: Over) {
    let server = over
        .start(Limits {
            drain_time: LATER,
            ..Limits::default()
        })
        .await;
    let _silent = server.client().await;
    let _header = server.saying("GET / HT").await;
    let _body = server
        .saying("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nx")
        .await;
    let _unread = server.saying("GET /large HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.stop.send(()).unwrap();
    assert_eq!(server.ended.await.unwrap(), Drained::Complete);
}
