//! A synchronous client with one persistent connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// A server that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Client {
    address: SocketAddr,
    token: Option<String>,
    /// Additional headers of every request.
    headers: Vec<(&'static str, String)>,
    /// The certificate of the server, if it speaks TLS.
    tls: Option<Arc<ClientConfig>>,
    connection: Option<SendRequest<Full<Bytes>>>,
    runtime: Runtime,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Box<HeaderMap>,
    pub(super) body: Bytes,
}

/// The reason why no complete response arrived.
#[derive(Debug)]
pub(super) enum Broken {
    /// The request was not sent, since there was no connection.
    Unsent,
    /// The request was sent, and its outcome is unknown.
    Unanswered(String),
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            token: None,
            headers: Vec::new(),
            tls: None,
            connection: None,
            // With a background thread, so that the end of an idle connection is noticed.
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    pub(super) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(super) fn with_tls(mut self, tls: Arc<ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// Sends a form.
    pub(super) fn form(&mut self, path: &str, form: &str) -> Answer {
        self.send(
            "POST",
            path,
            Some(form.to_owned()),
            "application/x-www-form-urlencoded",
        )
        .unwrap()
    }

    /// Returns the token of a new session, or the error response.
    pub(super) fn login(&mut self, email: &str, password: &str) -> Result<String, Box<Answer>> {
        let credentials = serde_json::json!({"email": email, "password": password});
        let answer = self.post("/api/v1/login", credentials);
        if answer.status == 200 {
            Ok(answer.json()["token"].as_str().unwrap().to_owned())
        } else {
            Err(Box::new(answer))
        }
    }

    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, None).unwrap()
    }

    pub(super) fn post(&mut self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body.to_string())).unwrap()
    }

    /// Returns the status that the authority returns to the holder of a token: 200 or 401.
    pub(super) fn current(&mut self, token: &str) -> u16 {
        self.try_current(token).unwrap()
    }

    /// As [`Client::current`], of a server that may have ended.
    pub(super) fn try_current(&mut self, token: &str) -> Result<u16, Broken> {
        let own = self.token.replace(token.to_owned());
        let answer = self.ask("GET", "/api/v1/tokens/current", None);
        self.token = own;
        answer.map(|answer| answer.status)
    }

    /// Returns what forward-auth answers for a token, which the server knows by heart once it has seen it: 200 or 401.
    pub(super) fn checked(&mut self, token: &str) -> u16 {
        let own = self.token.replace(token.to_owned());
        let answer = self.ask("GET", "/oauth/authorize-request", None);
        self.token = own;
        answer.unwrap().status
    }

    /// Sends one request over the open connection or a new one.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: Option<String>) -> Result<Answer, Broken> {
        self.send(method, path, body, "application/json")
    }

    pub(super) fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<String>,
        content_type: &str,
    ) -> Result<Answer, Broken> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::from(body.unwrap_or_default())).unwrap();
        let Self {
            runtime,
            connection,
            address,
            tls,
            ..
        } = self;
        runtime.block_on(async {
            let answer = tokio::time::timeout(PATIENCE, send(connection, *address, tls.as_ref(), request));
            answer
                .await
                .unwrap_or_else(|_| Err(Broken::Unanswered("no answer in time".to_owned())))
        })
    }
}

async fn send(
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Broken> {
    let kept = match connection.take() {
        Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
        None => None,
    };
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(address, tls).await?,
    };
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| Broken::Unanswered(format!("{error:?}")))?;
    let (parts, body) = answer.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|error| Broken::Unanswered(format!("{error:?}")))?
        .to_bytes();
    *connection = Some(sender);
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: Box::new(parts.headers),
        body,
    })
}

async fn connect(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<SendRequest<Full<Bytes>>, Broken> {
    let stream = TcpStream::connect(address).await.map_err(|_| Broken::Unsent)?;
    stream.set_nodelay(true).map_err(|_| Broken::Unsent)?;
    let Some(tls) = tls else {
        return speak(stream).await;
    };
    let name = ServerName::from(address.ip());
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    speak(stream.map_err(|_| Broken::Unsent)?).await
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, Broken> {
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Broken::Unsent)?;
    // Its error reaches the caller that waits for the response.
    tokio::spawn(connection);
    Ok(sender)
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns a header; empty if it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(super) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status.as_u16(), "{self:?}");
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
