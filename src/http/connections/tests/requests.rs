//! Requests that are accepted, and malformed ones that are refused.

use super::*;

over_both!(
    long_headers,
    an_early_answer_waits_for_a_client_that_still_sends,
    doubtful_framing,
    a_length_beside_chunks_ends_the_connection,
    the_client_s_address,
    a_panic_ends_its_connection_only,
);

async fn long_headers(over: Over) {
    let server = over.start(Limits::default()).await;
    let of = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nPadding: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let limit = Limits::default().header_bytes;
    assert!(server.answer(&of(limit)).await.starts_with("HTTP/1.1 200 "));
    assert!(server.answer(&of(limit + 1)).await.starts_with("HTTP/1.1 431 "));
}

/// The client reads only after it has written everything, which fails after a reset.
async fn an_early_answer_waits_for_a_client_that_still_sends(over: Over) {
    let server = over.start(Limits::default()).await;
    let part = "x".repeat(50_000);
    for (start, answer) in [
        ("GET / HTTP/1.1\r\nHost: here\r\nPadding: ", "HTTP/1.1 431 "),
        (
            "POST /ignore HTTP/1.1\r\nHost: here\r\nContent-Length: 200000\r\n\r\n",
            "HTTP/1.1 200 ",
        ),
    ] {
        let mut client = server.saying(start).await;
        for _ in 0..4 {
            client.write_all(part.as_bytes()).await.unwrap();
            sleep(SOON).await;
        }
        assert!(till_closed(client).await.starts_with(answer));
    }
}

async fn doubtful_framing(over: Over) {
    let server = over.start(Limits::default()).await;
    let start = "POST /echo HTTP/1.1\r\nHost: here\r\n";
    let refused = [
        (
            "two lengths",
            format!("{start}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ),
        (
            "two lengths in one",
            format!("{start}Content-Length: 3, 4\r\n\r\nabcd"),
        ),
        ("a signed length", format!("{start}Content-Length: +3\r\n\r\nabc")),
        (
            "chunked is not last",
            format!("{start}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        ),
        (
            "another coding",
            format!("{start}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "two codings",
            format!("{start}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked twice",
            format!("{start}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked twice in one",
            format!("{start}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked and identity",
            format!("{start}Transfer-Encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a coding that is not quite chunked",
            format!("{start}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ),
        ("a folded header", format!("{start}Padding: a\r\n b\r\n\r\n")),
        (
            "a space before the colon",
            format!("{start}Content-Length : 3\r\n\r\nabc"),
        ),
        (
            "chunks in HTTP/1.0",
            "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        ("two hosts", format!("{start}Host: there\r\n\r\n")),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into()),
    ];
    for (what, request) in refused {
        let answer = server.answer(&request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{what}: {answer}"
        );
    }
    let taken = server
        .answer(&format!(
            "{start}Connection: close\r\nContent-Length: 3\r\n\r\nabc"
        ))
        .await;
    assert!(
        taken.starts_with("HTTP/1.1 200 ") && taken.ends_with("abc"),
        "{taken}"
    );
}

/// RFC 9112, section 6.1: the chunks delimit the body.
async fn a_length_beside_chunks_ends_the_connection(over: Over) {
    let server = over.start(Limits::default()).await;
    for lengths in [
        "Content-Length: 40\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let request =
            format!("POST /echo HTTP/1.1\r\nHost: here\r\n{lengths}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{LAST_GET}");
        let answer = server.answer(&request).await;
        assert!(answer.ends_with("abc"), "{answer}");
    }
}

async fn the_client_s_address(over: Over) {
    let server = over.start(Limits::default()).await;
    let mut client = server.saying("GET /peer HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let peer = client.tcp().local_addr().unwrap().to_string();
    answered(&mut client, &peer).await;
}

async fn a_panic_ends_its_connection_only(over: Over) {
    let server = over.start(Limits::default()).await;
    let mut bystander = server.saying(GET).await;
    answered(&mut bystander, "hello").await;
    closed_unanswered(server.saying("GET /panic HTTP/1.1\r\nHost: here\r\n\r\n").await).await;
    bystander.write_all(GET.as_bytes()).await.unwrap();
    answered(&mut bystander, "hello").await;
}
