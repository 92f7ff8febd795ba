//! Single requests to an authority, for tools that check a deployment.

use hyper::body::Bytes;

use super::BuildError;
use super::http::{Ask, FetchError, Http, base_url};

/// Sends single requests to one authority, with the bounds that a verifier has: ten seconds, no redirects, only to the
/// authority's own origin.
pub struct Probe {
    http: Http,
    issuer: String,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Why a document could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The authority, or what answers in its place, answered with another status than 200.
    #[error("the answer is {status} {code}")]
    Refused {
        /// The status.
        status: u16,
        /// The error code in the body; empty if there is none.
        code: String,
    },
    /// There was no answer, or it was cut off or too long.
    #[error("{0}")]
    Unreachable(String),
}

impl Probe {
    /// Returns a probe of the authority with this issuer.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the issuer is no URL, or the system's certificates cannot be read.
    pub fn new(issuer: &str) -> Result<Self, BuildError> {
        let url = base_url(issuer)?;
        Ok(Self {
            http: Http::new(issuer, issuer, &url).map_err(BuildError::Certificates)?,
            issuer: issuer.to_owned(),
        })
    }

    /// Fetches the document at a path below the issuer, of at most `limit` bytes. A token is sent as `Bearer`.
    ///
    /// # Errors
    ///
    /// [`ProbeError`]
    pub async fn get(&self, path: &str, token: Option<&str>, limit: usize) -> Result<Bytes, ProbeError> {
        let url = format!("{}{path}", self.issuer);
        let ask = Ask {
            token,
            ..Ask::document(&url, limit)
        };
        match self.http.get(ask).await {
            Ok(answer) => Ok(answer.body),
            Err(FetchError::Status { status, code, .. }) => Err(ProbeError::Refused {
                status: status.as_u16(),
                code,
            }),
            Err(error) => Err(ProbeError::Unreachable(error.to_string())),
        }
    }
}
