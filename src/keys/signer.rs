//! A loaded private key, and the tokens it signs.

use std::sync::Arc;

use jeton_verifier::{Claims, Header, KeyId, Statement, TokenType, Unsignable};
use zeroize::Zeroizing;

use crate::keys::note::{self, NoteKey};
use crate::keys::{DirectoryError, KeyError, KeyStore, SigningKey};
use jeton_core::token::{Record, TokenKind};
use jeton_store::{KeyRow, Recorded, SignedHead};

/// A signed token: the secret itself, shown once and stored nowhere.
///
/// It has no `Display` and no `Clone`, its `Debug` hides the text, and only [`SignedToken::expose`]
/// returns it.
pub struct SignedToken(Zeroizing<String>);

impl SignedToken {
    /// Returns the token, for the response to the client that requested it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Adds the prefix by which secret scanners recognise a token.
    pub(crate) fn prefixed(self, prefix: &str) -> Self {
        if prefix.is_empty() {
            self
        } else {
            Self(Zeroizing::new(format!("{prefix}{}", *self.0)))
        }
    }
}

/// A signed token whose record is not committed yet, and which has been shown to no client.
#[must_use]
#[derive(Debug)]
pub struct SealedToken(SignedToken);

impl SealedToken {
    /// Returns the token after its record was committed.
    pub(crate) fn release(self, recorded: Recorded) -> (SignedToken, Record) {
        (self.0, recorded.into_record())
    }
}

impl std::fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedToken(..)")
    }
}

/// The reason why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The private key of the signing key is missing.
    #[error("no signing key is available")]
    NoKey,
    /// The key was retired or withdrawn after it was chosen.
    #[error("the key `{0}` is no longer a signing key")]
    KeyGone(String),
    /// The claims cannot be signed.
    #[error(transparent)]
    Claims(#[from] Unsignable),
    /// The signature failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key cannot sign notes.
    #[error("the key cannot sign checkpoints")]
    Note,
}

/// A key with its private key loaded.
pub(super) struct Signer {
    kid: Arc<str>,
    key: SigningKey,
    /// The encoded header, the same for all of a key's tokens of one type.
    api_header: String,
    session_header: String,
    list_header: String,
    head_header: String,
    snapshot_header: String,
}

impl Signer {
    /// Loads the key of a row, or returns `None` if its private key is missing.
    pub(super) fn load(row: &KeyRow, kid: &KeyId, keys: &KeyStore) -> Result<Option<Self>, DirectoryError> {
        let Some(key) = keys.load(row, kid)? else {
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
            head_header: header(TokenType::FeedHead),
            snapshot_header: header(TokenType::Snapshot),
            key,
        }))
    }

    fn header(&self, token_type: TokenType) -> &str {
        match token_type {
            TokenType::Access => &self.api_header,
            TokenType::Session => &self.session_header,
            TokenType::StatusList => &self.list_header,
            TokenType::FeedHead => &self.head_header,
            TokenType::Snapshot => &self.snapshot_header,
        }
    }

    pub(super) fn kid(&self) -> &Arc<str> {
        &self.kid
    }

    pub(super) fn sign(&self, kind: TokenKind, claims: &Claims) -> Result<SealedToken, SigningError> {
        let header = self.header(match kind {
            TokenKind::Api => TokenType::Access,
            TokenKind::Session => TokenType::Session,
        });
        let message = jeton_verifier::signing_input(header, claims)?;
        let signature = self.key.sign(message.as_bytes())?;
        let token = Zeroizing::new(jeton_verifier::assemble(message, &signature));
        Ok(SealedToken(SignedToken(token)))
    }

    /// Signs a checkpoint of the audit.
    pub(super) fn sign_note(&self, origin: &str, signed: &SignedHead) -> Result<String, SigningError> {
        let jwk = serde_json::to_string(self.key.public_jwk()).map_err(|_| SigningError::Note)?;
        let key = NoteKey::from_jwk(&jwk).ok_or(SigningError::Note)?;
        let text = note::text(origin, signed);
        let signature = self.key.sign(text.as_bytes())?;
        key.signed(origin, &text, &signature).ok_or(SigningError::Note)
    }

    pub(super) fn sign_statement<S: Statement>(&self, claims: &S) -> Result<String, SigningError> {
        let header = self.header(S::TYPE);
        let message = jeton_verifier::statement_signing_input(header, claims)?;
        let signature = self.key.sign(message.as_bytes())?;
        Ok(jeton_verifier::assemble(message, &signature))
    }
}
