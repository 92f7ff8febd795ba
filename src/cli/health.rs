//! `jeton health`: asks the server of this configuration whether it is ready, for containers without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Failure, log, output};
use crate::config::{Flags, Issuer, Log, LogFormat, LogRequests, Served};
use crate::tls;

/// Less than the five seconds that the check of the container image may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// The largest answer that is read.
const MAXIMUM_BYTES: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The address that the server listens on [env: JETON_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Why there was no answer.
type Broken = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
struct Health {
    status: String,
}

pub(super) fn run(arguments: Arguments, flags: Flags) -> Result<(), Failure> {
    let flags = Flags {
        listen: arguments.listen,
        ..flags
    };
    // The server is asked, and not the file: a mistake in the file does not make a running server sick.
    let served = Served::load(flags, &|name| std::env::var_os(name))?;
    log::start(&Log {
        filter: "warn".to_owned(),
        format: LogFormat::Text,
        requests: LogRequests::None,
    });
    let address = reachable(served.listen);
    let url = Issuer::of_address(address, served.tls.is_some());
    // Inside of the runtime, which has the timer.
    let asked = super::runtime()?.block_on(async { timeout(PATIENCE, ask(&served, address)).await });
    let asked = asked.unwrap_or_else(|_| Err("it takes longer than four seconds".into()));
    let (status, text) = asked.map_err(|source| Failure::NoAnswer {
        url: url.to_string(),
        source,
    })?;
    match status {
        StatusCode::OK => output::print("ready"),
        status => Err(Failure::NotReady {
            status: status.as_u16(),
            reason: text,
        }),
    }
}

/// Returns an address under which this machine reaches a server that listens on an address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Returns the status and the reason of `/readyz`, over TLS if it is configured. If that fails, the other protocol is
/// tried: the server may run with an older configuration.
async fn ask(served: &Served, address: SocketAddr) -> Result<(StatusCode, String), Broken> {
    let configured = match &served.tls {
        Some(files) => ask_over_tls(Some(files), address).await,
        None => ask_over_tcp(address).await,
    };
    let Err(error) = configured else { return configured };
    let other = match &served.tls {
        Some(_) => ask_over_tcp(address).await,
        None => ask_over_tls(None, address).await,
    };
    let answer = other.map_err(|_| error)?;
    let protocol = if served.tls.is_some() { "plain HTTP" } else { "TLS" };
    tracing::warn!("the server speaks {protocol}, and the configuration says otherwise: restart it");
    Ok(answer)
}

async fn ask_over_tcp(address: SocketAddr) -> Result<(StatusCode, String), Broken> {
    ask_over(TcpStream::connect(address).await?, address).await
}

async fn ask_over_tls(
    files: Option<&tls::Files>,
    address: SocketAddr,
) -> Result<(StatusCode, String), Broken> {
    let stream = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::new(tls::client_of_itself()?));
    let stream = connector.connect(address.ip().into(), stream).await?;
    let presented = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if let Some(files) = files
        && presented != tls::first_certificate(&files.certificate).as_ref()
    {
        tracing::warn!(
            file = %files.certificate.display(),
            "the server presents another certificate than that in the file: it has not taken it over yet, or its log says why it cannot"
        );
    }
    ask_over(stream, address).await
}

async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
) -> Result<(StatusCode, String), Broken> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its error reaches the request.
    tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAXIMUM_BYTES).collect().await?.to_bytes();
    let health: Option<Health> = serde_json::from_slice(&body).ok();
    let reason = health.map_or_else(|| "it gives no reason".to_owned(), |health| health.status);
    Ok((head.status, reason))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_server_for_all_interfaces_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
