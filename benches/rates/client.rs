//! One HTTP/1.1 connection that stays open.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::Outcome;

pub(crate) struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// A request but for its path, and the only answer that is no failure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) token: Option<String>,
    pub(crate) body: Option<Body>,
    pub(crate) expected: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Body {
    Json(String),
    Form(String),
}

impl Body {
    fn media_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json",
            Self::Form(_) => "application/x-www-form-urlencoded",
        }
    }

    fn text(&self) -> &str {
        let (Self::Json(text) | Self::Form(text)) = self;
        text
    }
}

impl Ask {
    pub(crate) fn get(token: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            token: Some(token.to_owned()),
            body: None,
            expected: 200,
        }
    }

    pub(crate) fn post(token: &str, body: Option<&str>) -> Self {
        Self {
            method: "POST".to_owned(),
            token: Some(token.to_owned()),
            body: body.map(|body| Body::Json(body.to_owned())),
            expected: 201,
        }
    }

    /// A form that asks about a token.
    pub(crate) fn about(caller: &str, token: &str) -> Self {
        Self {
            method: "POST".to_owned(),
            token: Some(caller.to_owned()),
            body: Some(Body::Form(format!("token={token}"))),
            expected: 200,
        }
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its error reaches whoever waits for the answer.
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// The body of the answer; an error for any status but the expected one.
    pub(crate) async fn ask(&mut self, path: &str, ask: &Ask) -> Outcome<Bytes> {
        let mut request = Request::builder()
            .method(Method::from_bytes(ask.method.as_bytes())?)
            .uri(path)
            .header(header::HOST, self.address.to_string());
        if let Some(token) = &ask.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(body) = &ask.body {
            request = request.header(header::CONTENT_TYPE, body.media_type());
        }
        let body = ask.body.as_ref().map(Body::text).unwrap_or_default();
        let body = Full::from(body.to_owned());
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(body)?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::from_u16(ask.expected)? {
            let start = String::from_utf8_lossy(body.get(..300).unwrap_or(&body)).into_owned();
            return Err(format!("{} {path}: {status}, not {}: {start}", ask.method, ask.expected).into());
        }
        Ok(body)
    }
}
