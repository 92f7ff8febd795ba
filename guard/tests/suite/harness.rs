//! A running guard, and a client of bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use jeton_guard::answer::Guard;
use jeton_guard::config::{Config, Flags};
use jeton_guard::serve::{Bound, Limits, serve};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::authority::Authority;

/// The token with which services introspect over TCP.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A token of nobody, in shape.
pub(crate) const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6Ik56YkxzWGg4dURDY2QtNk1Od1hGNFdfN25vV1hGWkFmSGt4WnNSR0M5WHMiLCJ0eXAiOiJhdCtqd3QifQ.c2VjcmV0.AA";

/// Starts an authority that takes [`TOKEN`] as the guard's own.
pub(crate) async fn running_authority() -> Authority {
    let authority = Authority::start().await;
    authority.data().readers = vec![TOKEN.to_owned()];
    authority
}

/// A guard that serves until it is dropped.
pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) socket: PathBuf,
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Running {
    /// Starts a guard whose authority cannot be reached.
    pub(crate) async fn blind(more: &str) -> Self {
        Self::with(more, Limits::default()).await
    }

    /// Starts a guard whose authority cannot be reached, with limits.
    pub(crate) async fn with(more: &str, limits: Limits) -> Self {
        Self::start("http://127.0.0.1:1", TOKEN, more, limits, |_| {}).await
    }

    /// Starts a guard, and waits until it is ready.
    pub(crate) async fn of(authority: &Authority, more: &str, change: impl FnOnce(&mut Config)) -> Self {
        let (issuer, token) = (authority.issuer(), authority.own_token());
        let guard = Self::start(&issuer, &token, more, Limits::default(), change).await;
        guard.eventually("/readyz", 200).await;
        guard
    }

    /// `more` are settings and rules.
    async fn start(
        issuer: &str,
        token: &str,
        more: &str,
        limits: Limits,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        std::fs::write(folder.path().join("token"), token).unwrap();
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let file = folder.path().join("guard.toml");
        let text = format!(
            "issuer = '{issuer}'\naudience = 'https://api.example.com'\ntoken_file = '{0}/token'\n\
             max_staleness = '10s'\nlisten = ['127.0.0.1:0', '{0}/socket']\n{more}",
            folder.path().display(),
        );
        std::fs::write(&file, text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
        let mut config = Config::load(&Flags::parse_from(["jeton-guard", file.to_str().unwrap()])).unwrap();
        change(&mut config);
        let mut sockets = Vec::new();
        for listen in &config.listen {
            sockets.push(Bound::new(listen).await.unwrap());
        }
        let address = sockets[0].address().strip_prefix("http://").unwrap().to_owned();
        let guard = Arc::new(Guard::new(config).unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(guard, sockets, limits, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            socket,
            folder,
            stop: Some(stop),
            served,
        }
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    pub(crate) async fn unix(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// Asks over TCP.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(&mut self.tcp().await, method, path, headers, "").await
    }

    /// Waits until a path is answered so.
    pub(crate) async fn eventually(&self, path: &str, status: u16) -> Answer {
        for _ in 0..1000 {
            let answer = self.ask("GET", path, &[]).await;
            if answer.status == status {
                return answer;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.ask("GET", path, &[]).await.is(status)
    }

    /// Waits until a rule refuses a token.
    pub(crate) async fn eventually_refuses(&self, rule: &str, token: &str) {
        for _ in 0..1000 {
            if self.check(rule, token).await.status == 401 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.check(rule, token).await.is(401);
    }

    /// Introspects a token by the Unix socket.
    pub(crate) async fn introspect(&self, token: &str) -> Answer {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let question = format!("token={token}");
        ask(&mut self.unix().await, "POST", "/introspect", &form, &question).await
    }

    /// Asks a rule about a token.
    pub(crate) async fn check(&self, rule: &str, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.ask("GET", &format!("/check/{rule}"), &[("authorization", &bearer)])
            .await
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(mut self) -> Duration {
        let began = std::time::Instant::now();
        drop(self.stop.take());
        timeout(Duration::from_secs(20), &mut self.served)
            .await
            .unwrap()
            .unwrap();
        began.elapsed()
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Returns the values of a header, joined.
    pub(crate) fn header(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value).collect::<Vec<_>>().join("|")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// Sends a request and reads its response.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: guard\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("\r\n{body}"));
    // A server may answer and close before it has read everything.
    let _ = stream.write_all(request.as_bytes()).await;
    read_answer(stream, method == "HEAD").await.unwrap()
}

/// Reads a response; `None` if the connection ends first.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin), is_head: bool) -> Option<Answer> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8(bytes.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let answer = Answer {
                status: head.split(' ').nth(1)?.parse().ok()?,
                head: head.to_owned(),
                body: body.to_owned(),
            };
            let length: usize = answer.header("content-length").parse().unwrap_or(0);
            if is_head || body.len() == length {
                return Some(answer);
            }
        }
        match timeout(Duration::from_secs(20), stream.read_buf(&mut bytes))
            .await
            .unwrap()
        {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Returns whether the server closes a connection within a time, without a word.
pub(crate) async fn is_closed(stream: &mut (impl AsyncRead + Unpin), within: Duration) -> bool {
    let mut byte = [0];
    matches!(timeout(within, stream.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
