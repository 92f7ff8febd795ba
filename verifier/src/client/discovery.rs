//! Where the authority's documents are, by its metadata (RFC 8414).

use serde::Deserialize;

use super::http::{Ask, FetchError};
use super::task::Context;

/// The URLs of the authority.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    pub(super) jwks_uri: String,
    pub(super) revocation_feed_uri: Option<String>,
    pub(super) revocation_stream_uri: Option<String>,
    pub(super) revocation_snapshot_uri: Option<String>,
    pub(super) status_list_aggregation_endpoint: Option<String>,
}

/// The reason why keys or endpoints are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the metadata is unreadable: {0}")]
    Unreadable(serde_json::Error),
    #[error("the metadata is of the issuer `{0}`")]
    OtherIssuer(String),
}

/// Fetches the metadata.
pub(super) async fn discover(context: &Context) -> Result<Endpoints, DiscoveryError> {
    let issuer = &context.shared.issuer;
    let url = format!("{issuer}/.well-known/oauth-authorization-server");
    let answer = context.settings.http.get(Ask::document(&url, 64 * 1024)).await?;
    let endpoints: Endpoints = serde_json::from_slice(&answer.body).map_err(DiscoveryError::Unreadable)?;
    if endpoints.issuer != *issuer {
        return Err(DiscoveryError::OtherIssuer(endpoints.issuer));
    }
    Ok(endpoints)
}
