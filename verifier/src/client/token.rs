//! The verifier's own token.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::{Claims, MAX_TOKEN_BYTES};

/// The token that the verifier presents to the authority.
pub(super) enum OwnToken {
    None,
    Text(Zeroizing<String>),
    File(PathBuf),
}

impl OwnToken {
    /// Returns the token; one in a file is read again.
    pub(super) async fn read(&self) -> io::Result<Option<Zeroizing<String>>> {
        match self {
            Self::None => Ok(None),
            Self::Text(text) => Ok(Some(text.clone())),
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.map_err(io::Error::other)?.map(Some)
            }
        }
    }
}

fn read_file(path: &std::path::Path) -> io::Result<Zeroizing<String>> {
    use std::io::Read;

    // With room for all of it: a buffer that grows would leave copies behind.
    let limit = MAX_TOKEN_BYTES + 2;
    let mut text = Zeroizing::new(String::with_capacity(limit));
    std::fs::File::open(path)?
        .take(limit as u64)
        .read_to_string(&mut text)?;
    let length = text.trim_end().len();
    text.truncate(length);
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(text)
}

/// Returns when a token expires, in seconds since the Unix epoch; 0 if it is not a token of jeton. It is not verified:
/// the authority will do so.
pub(super) fn expiry(token: &str) -> i64 {
    Claims::unverified(token).map_or(0, |claims| claims.expires_at)
}
