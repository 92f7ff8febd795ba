//! Tests every limit with a client that exceeds it, and with the same client under a higher limit.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod crowd;
mod requests;
mod slow;
mod stop;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::routing::{get, post};
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;

/// A limit for a test to exceed.
const SOON: Duration = Duration::from_millis(40);
/// When everything limited to [`SOON`] has happened, and nothing under a default limit has.
const LATER: Duration = Duration::from_millis(400);

struct Server {
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
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

impl Server {
    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn saying(&self, request: &str) -> TcpStream {
        let mut client = self.client().await;
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// Connects from an address of this machine, 127.0.0.x.
    async fn saying_from(&self, host: u8, request: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        let mut client = socket.connect(self.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// Returns everything received until the server closes the connection.
    async fn answer(&self, request: &str) -> String {
        till_closed(self.saying(request).await).await
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const LAST_GET: &str = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

async fn till_closed(mut client: TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(Duration::from_secs(5), client.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads one response with a known body and leaves the connection open.
async fn answered(client: &mut TcpStream, body: &str) -> String {
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
async fn is_closed(client: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(LATER, client.read_to_end(&mut rest)).await.is_ok()
}

/// Returns whether the server closes on a client that sends `said` and then stalls.
async fn closes_on(limits: Limits, said: &str) -> bool {
    let server = start(limits).await;
    is_closed(&mut server.saying(said).await).await
}
