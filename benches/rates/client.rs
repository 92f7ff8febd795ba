//! An HTTP client: one persistent HTTP/1.1 connection.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{Method, Request, header};
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

/// As the expected status: any.
pub(crate) const ANY: u16 = 0;

/// A request except its path. A response with a status other than `expected` is an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) caller: Caller,
    pub(crate) body: Body,
    pub(crate) expected: u16,
}

/// The credential of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Caller {
    Nobody,
    Bearer(String),
    /// The tokens of a file in turn.
    InTurn,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Body {
    Empty,
    Json(String),
    JsonApi(String),
    /// A form with `token`: the tokens of a file in turn.
    AboutInTurn,
    /// A form with this `token`.
    About(String),
}

impl Ask {
    pub(crate) fn get(token: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            caller: Caller::Bearer(token.to_owned()),
            body: Body::Empty,
            expected: 200,
        }
    }

    /// Returns a `GET` without a credential.
    pub(crate) fn get_as_nobody() -> Self {
        Self {
            caller: Caller::Nobody,
            ..Self::get("")
        }
    }

    pub(crate) fn post(token: &str, body: Body) -> Self {
        Self {
            method: "POST".to_owned(),
            body,
            expected: 201,
            ..Self::get(token)
        }
    }

    /// Returns an introspection request (RFC 7662).
    pub(crate) fn introspect(caller: &str, body: Body) -> Self {
        Self {
            expected: 200,
            ..Self::post(caller, body)
        }
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // A connection error also reaches the caller that waits for the response.
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Sends a request and returns the body of the response. `in_turn` is the token for the `InTurn`
    /// parts of the request.
    pub(crate) async fn ask(&mut self, path: &str, ask: &Ask, in_turn: &str) -> Outcome<Bytes> {
        let mut request = Request::builder()
            .method(Method::from_bytes(ask.method.as_bytes())?)
            .uri(path)
            .header(header::HOST, self.address.to_string());
        let token = match &ask.caller {
            Caller::Nobody => None,
            Caller::Bearer(token) => Some(token.as_str()),
            Caller::InTurn => Some(in_turn),
        };
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let form = "application/x-www-form-urlencoded";
        let (media_type, body) = match &ask.body {
            Body::Empty => (None, String::new()),
            Body::Json(text) => (Some("application/json"), text.clone()),
            Body::JsonApi(text) => (Some("application/vnd.api+json"), text.clone()),
            Body::AboutInTurn => (Some(form), format!("token={in_turn}")),
            Body::About(token) => (Some(form), format!("token={token}")),
        };
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::from(body))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if ask.expected != ANY && status.as_u16() != ask.expected {
            let start = String::from_utf8_lossy(body.get(..300).unwrap_or(&body)).into_owned();
            return Err(format!("{} {path}: {status}, not {}: {start}", ask.method, ask.expected).into());
        }
        Ok(body)
    }
}
