//! The origin of a request for the audit record: API, address and request id.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;
use jeton_core::directory::Email;
use jeton_store::{Origin, Surface};

use crate::http::App;
use crate::http::address::ClientAddress;
use crate::http::api::Api;
use crate::http::requests::RequestContext;

/// The origin of a request.
#[derive(Debug, Clone)]
pub(super) struct RequestOrigin(pub(super) Origin);

impl RequestOrigin {
    pub(super) fn of_request(parts: &Parts, trusted: &[IpNet]) -> Self {
        let context = parts.extensions.get::<Arc<RequestContext>>();
        Self(Origin {
            surface: match context.map(|context| context.api) {
                None | Some(Api::Native) => Surface::Native,
                Some(Api::OAuth) => Surface::OAuth,
                Some(Api::Cave) => Surface::Cave,
                Some(Api::Terraform) => Surface::Terraform,
                Some(Api::Quant) => Surface::Quant,
                Some(Api::Console) => Surface::Console,
            },
            address: Some(ClientAddress::of_request(parts, trusted).0),
            request_id: context.map(|context| context.id().to_owned()),
            on_behalf_of: on_behalf_of(&parts.headers),
        })
    }

    /// Returns the client's address.
    pub(super) fn address(&self) -> IpAddr {
        self.0.address.unwrap_or(IpAddr::from([0, 0, 0, 0]))
    }
}

/// The header by which clients of DayZero name the person for whom they act. It is recorded as their words, and believed
/// by nothing.
const USER_EMAIL: &str = "x-user-email";

fn on_behalf_of(headers: &HeaderMap) -> Option<String> {
    let email: Email = headers.get(USER_EMAIL)?.to_str().ok()?.trim().parse().ok()?;
    Some(email.to_string())
}

impl FromRequestParts<Arc<App>> for RequestOrigin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::of_request(parts, &app.adjustable.load().trusted_proxies))
    }
}
