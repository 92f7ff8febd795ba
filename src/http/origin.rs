//! The origin of a request for the audit record: API, address and request id.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;
use jeton_store::{Origin, Surface};

use crate::http::App;
use crate::http::address::ClientAddress;
use crate::http::api::Api;

/// The origin of a request.
#[derive(Debug, Clone)]
pub(super) struct RequestOrigin(pub(super) Origin);

/// The maximum length of a request id; longer ones are ignored.
const LONGEST_ID: usize = 128;

impl RequestOrigin {
    pub(super) fn of_request(parts: &Parts, trusted: &[IpNet]) -> Self {
        Self(Origin {
            surface: match parts.extensions.get::<Api>() {
                None | Some(Api::Native) => Surface::Native,
                Some(Api::OAuth) => Surface::OAuth,
                Some(Api::Cave) => Surface::Cave,
                Some(Api::Terraform) => Surface::Terraform,
                Some(Api::Quant) => Surface::Quant,
            },
            address: Some(ClientAddress::of_request(parts, trusted).0),
            request_id: request_id(&parts.headers),
        })
    }

    /// Returns the client's address.
    pub(super) fn address(&self) -> IpAddr {
        self.0.address.unwrap_or(IpAddr::from([0, 0, 0, 0]))
    }
}

/// Returns `X-Request-Id` as set by the client or a proxy; `None` if it is too long or not plain text.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let given = headers.get("x-request-id")?.to_str().ok()?;
    let is_plain =
        (1..=LONGEST_ID).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| given.to_owned())
}

impl FromRequestParts<Arc<App>> for RequestOrigin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::of_request(parts, &app.adjustable.load().trusted_proxies))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_over_if_it_is_plain_and_short() {
        let id = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(
                "x-request-id",
                axum::http::HeaderValue::from_bytes(value).unwrap(),
            );
            request_id(&headers)
        };
        assert_eq!(id(b"3f2a-91"), Some("3f2a-91".to_owned()));
        assert_eq!(id(&[b'a'; 128]), Some("a".repeat(128)));
        for refused in [&b""[..], &[b'a'; 129], b"two words", b"\xc3\xa4"] {
            assert_eq!(id(refused), None, "{refused:?}");
        }
    }
}
