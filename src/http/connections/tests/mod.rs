//! Tests every limit with a client that exceeds it, and with the same client under a higher limit.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod counted;
mod crowd;
mod requests;
mod slow;
mod stop;
mod tls;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::routing::{get, post};
use ipnet::IpNet;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::testing;

/// A limit for a test to exceed.
const SOON: Duration = Duration::from_millis(40);
/// When everything limited to [`SOON`] has happened, and nothing under a default limit has.
const LATER: Duration = Duration::from_millis(400);

/// Makes two tests of each function: without TLS and over it.
macro_rules! over_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn plain() {
                super::$name(Over::Plain).await;
            }

            #[tokio::test]
            async fn tls() {
                super::$name(Over::Tls).await;
            }
        }
    )*};
}
use over_both;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Plain,
    Tls,
}

struct Server {
    over: Over,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
    /// The handler of `/wait` notifies `entered` and waits for `release`.
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    entered: Notify,
    release: Notify,
}

async fn start(limits: Limits) -> Server {
    start_trusting(limits, Vec::new()).await
}

async fn start_trusting(limits: Limits, trusted_proxies: Vec<IpNet>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    start_listener(Over::Plain, Listener::bound(listener), limits, trusted_proxies)
}

impl Over {
    async fn start(self, limits: Limits) -> Server {
        let listener = Listener::bound(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let tls = (self == Self::Tls).then(testing::tls);
        start_listener(self, listener.with_tls(tls), limits, Vec::new())
    }

    /// Returns whether the server closes on a client that sends `said` and then stalls.
    async fn closes_on(self, limits: Limits, said: &str) -> bool {
        let server = self.start(limits).await;
        is_closed(&mut server.saying(said).await).await
    }
}

fn start_listener(over: Over, listener: Listener, limits: Limits, trusted_proxies: Vec<IpNet>) -> Server {
    let gate = Arc::new(Gate::default());
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/ignore", post(|| async { "refused" }))
        .route("/large", get(|| async { Body::from(vec![b'x'; LARGE]) }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/wait", get(wait))
        .with_state(Arc::clone(&gate));
    let address = listener.socket.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(serve(
        listener,
        router,
        Arc::new(ArcSwap::from_pointee(Adjustable {
            limits,
            trusted_proxies,
            ..Adjustable::default()
        })),
        Streams::new(0),
        async {
            let _ = stopped.await;
        },
    ));
    Server {
        over,
        address,
        stop,
        ended,
        gate,
    }
}

const LARGE: usize = 8 * 1024 * 1024;

async fn wait(State(gate): State<Arc<Gate>>) -> &'static str {
    gate.entered.notify_one();
    gate.release.notified().await;
    "waited"
}

/// A client's end of a connection.
enum Client {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Client {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut (dyn Both + Unpin)> {
        let stream: &mut (dyn Both + Unpin) = match self.get_mut() {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        };
        Pin::new(stream)
    }
}

trait Both: AsyncRead + AsyncWrite {}
impl<S: AsyncRead + AsyncWrite> Both for S {}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Server {
    async fn client(&self) -> Client {
        self.client_over(TcpStream::connect(self.address).await.unwrap())
            .await
    }

    async fn client_over(&self, stream: TcpStream) -> Client {
        match self.over {
            Over::Plain => Client::Plain(stream),
            Over::Tls => {
                let stream = shake_hands(testing::client(), stream).await;
                Client::Tls(Box::new(stream.unwrap()))
            }
        }
    }

    async fn saying(&self, request: &str) -> Client {
        let mut client = self.client().await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        client
    }

    /// Connects from an address of this machine, 127.0.0.x.
    async fn saying_from(&self, host: u8, request: &str) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        let mut client = self
            .client_over(socket.connect(self.address).await.unwrap())
            .await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        client
    }

    /// Returns everything received until the server closes the connection.
    async fn answer(&self, request: &str) -> String {
        till_closed(self.saying(request).await).await
    }
}

/// Connects as a client that asks for the name in the certificate.
async fn shake_hands(config: ClientConfig, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = testing::NAME.try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const LAST_GET: &str = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

async fn till_closed(mut client: Client) -> String {
    let mut answer = Vec::new();
    timeout(Duration::from_secs(5), client.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

/// Waits until the server closes the connection without a response. A connection that it gives up ends without TLS'
/// `close_notify`.
async fn closed_unanswered(mut client: Client) {
    let ended = timeout(Duration::from_secs(5), client.read(&mut [0]))
        .await
        .unwrap();
    match ended {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
    }
}

/// Reads one response with a known body and leaves the connection open.
async fn answered(client: &mut Client, body: &str) -> String {
    let mut answer = String::new();
    while !answer.ends_with(body) {
        let mut buffer = [0; 1024];
        let count = timeout(Duration::from_secs(5), client.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(count, 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    answer
}

/// Returns whether the server has closed the connection by [`LATER`].
async fn is_closed(client: &mut Client) -> bool {
    let mut rest = Vec::new();
    timeout(LATER, client.read_to_end(&mut rest)).await.is_ok()
}
