//! A private half at work, and what comes out of it.

use std::sync::Arc;

use jeton_verifier::{Claims, Header, KeyId, StatusListClaims, TokenType, Unsignable};
use zeroize::Zeroizing;

use crate::keys::{DirectoryError, KeyDirectory, KeyError, SigningKey};
use jeton_core::token::{Record, TokenKind};
use jeton_store::Recorded;

/// A signed token: the secret itself. It is shown once and kept nowhere.
///
/// No `Display`, no `Clone`, a silent `Debug`, and one way out.
pub struct SignedToken(Zeroizing<String>);

impl SignedToken {
    /// The token, for the answer to whoever asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// With a prefix in front, by which scanners recognise it.
    pub(crate) fn prefixed(self, prefix: &str) -> Self {
        if prefix.is_empty() {
            self
        } else {
            Self(Zeroizing::new(format!("{prefix}{}", *self.0)))
        }
    }
}

/// A signed token whose record is not on disk yet, and that nobody has.
#[must_use]
#[derive(Debug)]
pub struct SealedToken(SignedToken);

impl SealedToken {
    /// The token, now that it is recorded.
    pub(crate) fn release(self, recorded: Recorded) -> (SignedToken, Record) {
        (self.0, recorded.into_record())
    }
}

impl std::fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedToken(..)")
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The private half of the key that should sign is not here.
    #[error("no signing key is available")]
    NoKey,
    /// The key has retired or been withdrawn since it was chosen.
    #[error("the key `{0}` is no longer a signing key")]
    KeyGone(String),
    /// What it should say cannot be signed.
    #[error(transparent)]
    Claims(#[from] Unsignable),
    /// The signature failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// One key that can sign.
pub(super) struct Signer {
    kid: Arc<str>,
    key: SigningKey,
    /// The encoded headers, which are the same for all of a key's tokens of one type.
    api_header: String,
    session_header: String,
    list_header: String,
}

impl Signer {
    /// The key of this name, if its private half is in the folder.
    pub(super) fn load(kid: &KeyId, directory: &KeyDirectory) -> Result<Option<Self>, DirectoryError> {
        let Some(key) = directory.load(kid)? else {
            return Ok(None);
        };
        let header = |token_type| {
            Header {
                algorithm: key.algorithm(),
                kid: key.kid().clone(),
                token_type,
            }
            .encode()
        };
        Ok(Some(Self {
            kid: kid.as_str().into(),
            api_header: header(TokenType::Access),
            session_header: header(TokenType::Session),
            list_header: header(TokenType::StatusList),
            key,
        }))
    }

    pub(super) fn kid(&self) -> &Arc<str> {
        &self.kid
    }

    pub(super) fn sign(&self, kind: TokenKind, claims: &Claims) -> Result<SealedToken, SigningError> {
        let header = match kind {
            TokenKind::Api => &self.api_header,
            TokenKind::Session => &self.session_header,
        };
        let message = jeton_verifier::signing_input(header, claims)?;
        let signature = self.key.sign(message.as_bytes())?;
        let token = Zeroizing::new(jeton_verifier::assemble(message, &signature));
        Ok(SealedToken(SignedToken(token)))
    }

    pub(super) fn sign_status_list(&self, claims: &StatusListClaims) -> Result<String, SigningError> {
        let message = jeton_verifier::status_list_signing_input(&self.list_header, claims)?;
        let signature = self.key.sign(message.as_bytes())?;
        Ok(jeton_verifier::assemble(message, &signature))
    }
}
