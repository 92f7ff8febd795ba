//! Requests as bytes, for what no HTTP client sends.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longer than any response takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The status of a response that did not come in time.
pub(super) const NONE: u16 = 1;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// 0 if the connection ended without a response, and [`NONE`] if it did not end either.
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// Returns a header; empty if it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.next().map_or("", |(_, value)| value)
    }
}

/// Sends one request on a connection of its own. A stream of events is not read.
pub(super) fn exchange(peer: &Peer, request: &[u8]) -> Reply {
    match peer {
        Peer::Tcp(address) => {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            talk(stream, request)
        }
        Peer::Unix(path) => {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            talk(stream, request)
        }
    }
}

fn talk(mut stream: impl Read + Write, request: &[u8]) -> Reply {
    // A server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    read(&mut stream)
}

/// Reads one response.
pub(super) fn read(stream: &mut impl Read) -> Reply {
    let mut reply = Reply {
        status: 0,
        head: String::new(),
        body: Vec::new(),
    };
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match more(stream, &mut bytes) {
            More::Some => {}
            More::End => return reply,
            More::Late => {
                return Reply {
                    status: NONE,
                    ..reply
                };
            }
        }
    };
    reply.head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    reply.status = reply
        .head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    if let Ok(length) = reply.header("content-length").parse::<usize>() {
        while body.len() < length && matches!(more(stream, &mut body), More::Some) {}
    }
    reply.body = body;
    reply
}

enum More {
    Some,
    End,
    Late,
}

/// Reads what there is.
fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> More {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return More::End,
            Ok(length) => {
                bytes.extend_from_slice(&buffer[..length]);
                return More::Some;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return More::Late,
            Err(_) => return More::End,
        }
    }
}
