//! What only connections over TLS have: the handshake, its deadline, and another certificate for later connections.

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::*;

async fn start_tls(limits: Limits) -> Server {
    Over::Tls.start(limits).await
}

impl Server {
    /// Sends bytes without TLS.
    async fn saying_plainly(&self, bytes: &[u8]) -> Client {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Client::Plain(stream)
    }
}

#[tokio::test]
async fn both_versions_speak_http_1_1_only() {
    let server = start_tls(Limits::default()).await;
    for (version, name) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut config = testing::client_of(&[version]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(server.address).await.unwrap();
        let stream = shake_hands(config, stream).await.unwrap();
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(name));
        assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut client = Client::Tls(Box::new(stream));
        client.write_all(LAST_GET.as_bytes()).await.unwrap();
        assert!(till_closed(client).await.ends_with("hello"));
    }
    let mut config = testing::client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let error = shake_hands(config, stream).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

/// The start of a handshake as of a real client: the header of a record, and a part of its content.
const HALF_A_HANDSHAKE: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";

#[tokio::test]
async fn a_handshake_has_the_time_of_the_headers_and_no_more() {
    for said in [&b""[..], HALF_A_HANDSHAKE] {
        for (limits, closed) in [
            (
                Limits {
                    header_time: SOON,
                    ..Limits::default()
                },
                true,
            ),
            (
                Limits {
                    idle_time: SOON,
                    ..Limits::default()
                },
                false,
            ),
        ] {
            let server = start_tls(limits).await;
            let mut client = server.saying_plainly(said).await;
            assert_eq!(is_closed(&mut client).await, closed, "{said:?}");
        }
    }
}

/// Bytes extend nothing: a client that sends one now and then would hold the connection.
#[tokio::test]
async fn a_dripping_handshake_is_cut() {
    let server = start_tls(Limits {
        header_time: LATER / 2,
        ..Limits::default()
    })
    .await;
    let mut client = server.saying_plainly(HALF_A_HANDSHAKE).await;
    let begun = Instant::now();
    while client.write_all(b"x").await.is_ok() && begun.elapsed() < 4 * LATER {
        sleep(LATER / 20).await;
    }
    assert!(begun.elapsed() < 2 * LATER, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn plain_http_is_closed() {
    let server = start_tls(Limits::default()).await;
    let mut client = server.saying_plainly(GET.as_bytes()).await;
    let mut answer = Vec::new();
    // The error is a reset: the request stays unread.
    let ended = timeout(LATER, client.read_to_end(&mut answer)).await;
    assert!(ended.is_ok());
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn an_unfinished_handshake_makes_room() {
    let server = start_tls(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let mut silent = server.saying_plainly(HALF_A_HANDSHAKE).await;
    assert!(server.answer(LAST_GET).await.ends_with("hello"));
    assert!(is_closed(&mut silent).await);
}

#[tokio::test]
async fn a_stop_waits_for_a_handshake_in_progress_and_not_for_a_silent_client() {
    let server = start_tls(Limits {
        drain_time: 10 * LATER,
        ..Limits::default()
    })
    .await;
    let mut silent = server.saying_plainly(b"").await;
    let mut connected = server.client().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let stopped = Instant::now();
    server.stop.send(()).unwrap();
    let mut late = Client::Tls(Box::new(shake_hands(testing::client(), stream).await.unwrap()));
    late.write_all(GET.as_bytes()).await.unwrap();
    assert!(till_closed(late).await.ends_with("hello"));
    for client in [&mut silent, &mut connected] {
        assert_eq!(client.read(&mut [0]).await.unwrap_or_default(), 0);
    }
    assert_eq!(server.ended.await.unwrap(), Drained::Complete);
    assert!(stopped.elapsed() < 5 * LATER, "{:?}", stopped.elapsed());
}

#[tokio::test]
async fn another_certificate_is_for_new_connections() {
    let files = testing::Files::new();
    let tls = files.open();
    let listener = Listener::bound(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let server = start_listener(
        Over::Tls,
        listener.with_tls(Some(tls.clone())),
        Limits::default(),
        Vec::new(),
    );
    let presented = async |server: &Server| {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let stream = shake_hands(crate::tls::client_of_itself().unwrap(), stream)
            .await
            .unwrap();
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        (Client::Tls(Box::new(stream)), certificate)
    };
    let (mut kept, first) = presented(&server).await;
    assert_eq!(first, files.certificate());
    assert!(!tls.has_changed());

    files.replace();
    assert!(tls.has_changed());
    tls.reload(testing::now()).unwrap();
    assert!(!tls.has_changed());

    let (_, second) = presented(&server).await;
    assert_ne!(second, first);
    assert_eq!(second, files.certificate());
    kept.write_all(LAST_GET.as_bytes()).await.unwrap();
    assert!(till_closed(kept).await.ends_with("hello"));
}
