//! The published public keys (JWKS).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

use jeton_store::KeyRow;

/// The JWKS as it is served.
#[derive(Debug, Clone)]
pub struct Jwks {
    /// The JSON document.
    pub body: bytes::Bytes,
    /// The strong `ETag` of the document, in quotes.
    pub etag: String,
    /// How long clients may cache it, in seconds.
    pub max_age: u32,
}

impl Jwks {
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a KeyRow>, max_age: u32) -> Self {
        #[derive(serde::Serialize)]
        struct Document<'a> {
            keys: Vec<&'a RawValue>,
        }
        let keys = rows
            .filter_map(|row| serde_json::from_str(&row.key.public_jwk).ok())
            .collect();
        let body = serde_json::to_vec(&Document { keys }).unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, &body);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash.as_ref()));
        Self {
            body: body.into(),
            etag,
            max_age,
        }
    }
}
