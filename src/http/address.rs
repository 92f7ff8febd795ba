//! The client address of a request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;

use crate::http::App;

/// The client's IP address as far as it can be trusted.
///
/// `X-Forwarded-For` is trusted only from configured proxies and read from its end: entries before the
/// first untrusted address were written by the client, who could send a new address with every login
/// attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Returns whether an address is that of a trusted proxy.
pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(&address.to_canonical()))
}

impl ClientAddress {
    /// Follows the chain of trusted proxies back to the first untrusted address.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        if !is_trusted(trusted, peer) {
            return Self(peer.to_canonical());
        }
        let values = headers.get_all("x-forwarded-for").iter();
        let entries: Vec<&[u8]> = values
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        let mut nearest = peer;
        // An entry that cannot be read ends the chain: the client may have written what is before it.
        for entry in entries.into_iter().rev() {
            let Some(address) = std::str::from_utf8(entry).ok().and_then(forwarded) else {
                break;
            };
            nearest = address;
            if !is_trusted(trusted, address) {
                break;
            }
        }
        Self(nearest.to_canonical())
    }
}

/// Returns the address of an entry of `X-Forwarded-For`. Gateways write the port too, IPv6 addresses in brackets,
/// and some of them quotation marks.
fn forwarded(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim().trim_matches('"');
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(entry).parse().ok();
    address.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))
}

impl ClientAddress {
    /// Returns the client address of a request.
    pub(super) fn of_request(parts: &Parts, trusted: &[IpNet]) -> Self {
        // Without a socket there is no peer address; such requests share one.
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(address)| address.ip());
        Self::of(peer, &parts.headers, trusted)
    }
}

impl FromRequestParts<Arc<App>> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::of_request(parts, &app.adjustable.load().trusted_proxies))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use axum::http::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_configured_proxies_are_trusted_about_their_peer() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str, forwarded: &str, trusted: &[IpNet]| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            ClientAddress::of(peer.parse().unwrap(), &headers, trusted)
                .0
                .to_string()
        };
        assert_eq!(of("192.0.2.1", "198.51.100.7", &[]), "192.0.2.1");
        assert_eq!(of("192.0.2.1", "198.51.100.7", &proxies), "192.0.2.1");
        assert_eq!(of("10.1.1.1", "198.51.100.7", &proxies), "198.51.100.7");
        assert_eq!(of("10.1.1.1", "6.6.6.6, 198.51.100.7", &proxies), "198.51.100.7");
        assert_eq!(
            of("10.1.1.1", "6.6.6.6, 198.51.100.7, 10.2.2.2", &proxies),
            "198.51.100.7"
        );
        assert_eq!(of("::ffff:10.1.1.1", "198.51.100.7", &proxies), "198.51.100.7");
        for (entry, address) in [
            ("203.0.113.5:4711", "203.0.113.5"),
            ("2001:db8::5", "2001:db8::5"),
            ("[2001:db8::5]", "2001:db8::5"),
            ("[2001:db8::5]:4711", "2001:db8::5"),
            ("\"203.0.113.5\"", "203.0.113.5"),
            ("\"[2001:db8::5]:4711\"", "2001:db8::5"),
            ("6.6.6.6, 203.0.113.5:4711, 10.2.2.2:80", "203.0.113.5"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
        ] {
            assert_eq!(of("10.1.1.1", entry, &proxies), address, "{entry}");
        }
        for entry in [
            "nonsense",
            "unknown",
            "_hidden",
            "203.0.113.5:port",
            "203.0.113.5:",
            "[203.0.113.5",
            "203.0.113.5:4711:4711",
            "for=203.0.113.5",
            "",
        ] {
            assert_eq!(of("10.1.1.1", entry, &proxies), "10.1.1.1", "{entry}");
        }

        // An entry that is no text ends the chain, in whichever line it is.
        let mut headers = HeaderMap::new();
        for line in [&b"6.6.6.6"[..], b"\xff, 10.2.2.2"] {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        }
        let address = ClientAddress::of("10.1.1.1".parse().unwrap(), &headers, &proxies);
        assert_eq!(address.0.to_string(), "10.2.2.2");
        headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.5"));
        let address = ClientAddress::of("10.1.1.1".parse().unwrap(), &headers, &proxies);
        assert_eq!(address.0.to_string(), "203.0.113.5");
    }

    proptest! {
        /// Whatever a client writes in front, in the same header or in earlier ones, the entry of the proxy counts.
        #[test]
        fn what_a_client_writes_in_front_of_its_proxys_entry_changes_nothing(
            earlier in vec("[0-9a-fA-F:.,; \"\\[\\]xé\t]{0,60}", 0..4),
            same in "[0-9a-fA-F:., \"\\[\\]x]{0,60}",
        ) {
            let proxies = ["10.0.0.0/8".parse().unwrap()];
            let peer: IpAddr = "10.1.1.1".parse().unwrap();
            let mut headers = HeaderMap::new();
            for value in &earlier {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            headers.append("x-forwarded-for", format!("{same},198.51.100.7, 10.2.2.2").parse().unwrap());
            let expected = ClientAddress("198.51.100.7".parse().unwrap());
            prop_assert_eq!(ClientAddress::of(peer, &headers, &proxies), expected);
            // Without a trusted peer the header is not read.
            let stranger: IpAddr = "192.0.2.1".parse().unwrap();
            prop_assert_eq!(ClientAddress::of(stranger, &headers, &proxies), ClientAddress(stranger));
        }
    }
}
