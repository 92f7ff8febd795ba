//! A proxy between a server and PostgreSQL: forwards, stalls, drops, and cuts a connection at a commit.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::super::home::{SOON, eventually};

/// What the proxy does with the bytes of all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    Forwarded,
    /// Connections stay open and are accepted, and no byte passes in either direction until the traffic is forwarded
    /// again: as a host that hangs, or a network that loses packets.
    Stalled,
    /// Connections are closed, and new ones too.
    Dropped,
}

/// When the proxy closes a connection that commits a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Instead of forwarding `COMMIT`: PostgreSQL undoes the transaction.
    BeforeCommit,
    /// When PostgreSQL answers `COMMIT`, instead of forwarding the answer.
    AfterCommit,
}

#[derive(Debug, Clone)]
struct Rules {
    traffic: Traffic,
    /// Text in a transaction whose commit is cut, once.
    cut: Option<(Cut, Vec<u8>)>,
}

pub(super) struct Proxy {
    address: SocketAddr,
    rules: Arc<watch::Sender<Rules>>,
    _runtime: Runtime,
}

impl Proxy {
    /// Starts a proxy before a socket of PostgreSQL.
    pub(super) fn before(socket: PathBuf) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(watch::Sender::new(Rules {
            traffic: Traffic::Forwarded,
            cut: None,
        }));
        runtime.spawn(accept(listener, socket, Arc::clone(&rules)));
        Self {
            address,
            rules,
            _runtime: runtime,
        }
    }

    /// Returns the host of a database URL.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn set(&self, traffic: Traffic) {
        self.rules.send_modify(|rules| rules.traffic = traffic);
    }

    /// Cuts the connection that commits the next transaction with this text in a parameter.
    pub(super) fn cut(&self, cut: Cut, text: &str) {
        self.rules
            .send_modify(|rules| rules.cut = Some((cut, text.as_bytes().to_vec())));
    }

    /// Waits until the connection was cut.
    #[track_caller]
    pub(super) fn has_cut(&self) {
        let is_cut = || self.rules.borrow().cut.is_none().then_some(());
        assert!(eventually(SOON, is_cut).is_some(), "no transaction had the text");
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, rules: Arc<watch::Sender<Rules>>) {
    while let Ok((client, _)) = listener.accept().await {
        let link = Link {
            rules: Arc::clone(&rules),
            is_cut: AtomicBool::new(false),
        };
        let socket = socket.clone();
        tokio::spawn(async move {
            tokio::select! {
                // Whichever side ends, both are closed.
                _ = link.carry(client, socket) => {}
                () = link.until(Traffic::Dropped) => {}
            }
        });
    }
}

/// One connection.
struct Link {
    rules: Arc<watch::Sender<Rules>>,
    /// Whether the next answer of PostgreSQL is that of the commit, which the client does not get.
    is_cut: AtomicBool,
}

impl Link {
    async fn until(&self, traffic: Traffic) {
        let mut rules = self.rules.subscribe();
        // The sender outlives the connection.
        let _ = rules.wait_for(|rules| rules.traffic == traffic).await;
    }

    async fn carry(&self, client: TcpStream, socket: PathBuf) -> io::Result<()> {
        client.set_nodelay(true)?;
        self.until(Traffic::Forwarded).await;
        let server = UnixStream::connect(socket).await?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            ended = self.requests(from_client, to_server) => ended,
            ended = self.answers(from_server, to_client) => ended,
        }
    }

    async fn requests(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut part = vec![0; 1 << 16];
        let mut has_text = false;
        loop {
            let length = from.read(&mut part).await?;
            self.until(Traffic::Forwarded).await;
            let part = &part[..length];
            if part.is_empty() {
                return Ok(());
            }
            let cut = self.rules.borrow().cut.clone();
            if let Some((cut, text)) = cut {
                has_text |= contains(part, &text);
                if has_text && contains(part, b"COMMIT\0") {
                    match cut {
                        Cut::BeforeCommit => return self.end(),
                        Cut::AfterCommit => self.is_cut.store(true, Ordering::SeqCst),
                    }
                }
            }
            to.write_all(part).await?;
        }
    }

    async fn answers(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut part = vec![0; 1 << 16];
        loop {
            let length = from.read(&mut part).await?;
            if self.is_cut.load(Ordering::SeqCst) {
                return self.end();
            }
            self.until(Traffic::Forwarded).await;
            if length == 0 {
                return Ok(());
            }
            to.write_all(&part[..length]).await?;
        }
    }

    /// Notes that the connection was cut, and ends it.
    fn end(&self) -> io::Result<()> {
        self.rules.send_modify(|rules| rules.cut = None);
        Ok(())
    }
}

fn contains(part: &[u8], text: &[u8]) -> bool {
    part.windows(text.len()).any(|window| window == text)
}
