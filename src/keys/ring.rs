//! The keys in use: one that signs, those that verify, and the JWKS.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::{
    Algorithm, Claims, Header, KeyId, NotAPublicKey, PublicKey, StatusListClaims, TokenType, Unsignable,
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::keys::{DirectoryError, KeyDirectory, KeyError, SigningKey};
use crate::store::{Generation, Judged, KeyRow, KeyState, Keys, StoreError};
use crate::token::TokenKind;

/// How many seconds anybody may keep the JWKS. A key is published for at least as long before it signs.
pub const JWKS_MAX_AGE: u32 = 300;

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

impl std::fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedToken(..)")
    }
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The folder or a file in it.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A new key could not be made.
    #[error("a signing key could not be made")]
    Generate(#[from] KeyError),
    /// The database's row of a key.
    #[error("the database has a key `{kid}` that cannot be read")]
    Row {
        /// Which key.
        kid: String,
        /// What is wrong with it.
        #[source]
        source: NotAPublicKey,
    },
    /// The private half of the key that should sign is not there.
    #[error("the private half of the signing key is missing: expected {0}")]
    Missing(std::path::PathBuf),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token was recorded and not signed. The record does no harm: nobody has the token.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The key has been withdrawn since the token was recorded.
    #[error("the key `{0}` no longer signs")]
    KeyGone(String),
    /// What it should say cannot be signed.
    #[error(transparent)]
    Claims(#[from] Unsignable),
    /// The signature failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The published public keys, ready to be sent.
#[derive(Debug, Clone)]
pub struct Jwks {
    /// The JSON document.
    pub body: axum::body::Bytes,
    /// A strong validator of it, in quotes.
    pub etag: String,
}

/// The keys in use. Replaced whole when the store's keys have changed.
pub struct KeyRing(ArcSwap<Keyring>);

struct Keyring {
    generation: Generation,
    signer: Signer,
    verifying: HashMap<KeyId, Arc<PublicKey>>,
    jwks: Jwks,
}

struct Signer {
    kid: Arc<str>,
    key: SigningKey,
    /// The encoded headers, which are the same for all of a key's tokens of one type.
    api_header: String,
    session_header: String,
    list_header: String,
}

/// A signed status list.
pub(crate) struct SignedStatusList {
    /// The compact JWS.
    pub(crate) text: String,
    /// The key that signed it.
    pub(crate) kid: Arc<str>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("signing", &self.0.load().signer.kid)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the keys; the very first start makes one, which signs at once since nobody can have
    /// cached a JWKS without it.
    pub async fn open(
        store: &dyn Keys,
        directory: &KeyDirectory,
        algorithm: Algorithm,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Self, RingError> {
        let mut rows = store.keys().await?;
        if rows.is_empty() {
            add_key(store, directory, algorithm, KeyState::Signing, generation, now).await?;
            rows = store.keys().await?;
        }
        Ok(Self(ArcSwap::from_pointee(Keyring::read(
            &rows, directory, generation,
        )?)))
    }

    /// Takes over the keys as the store has them now. On an error everything stays as it was.
    pub async fn reload(
        &self,
        store: &dyn Keys,
        directory: &KeyDirectory,
        generation: Generation,
    ) -> Result<(), RingError> {
        let rows = store.keys().await?;
        self.0
            .store(Arc::new(Keyring::read(&rows, directory, generation)?));
        Ok(())
    }

    /// The directory's version that the keys are of.
    pub fn generation(&self) -> Generation {
        self.0.load().generation
    }

    /// The key that signs from now on.
    pub fn signing_kid(&self) -> Arc<str> {
        Arc::clone(&self.0.load().signer.kid)
    }

    /// A published key.
    pub fn verifying(&self, kid: &KeyId) -> Option<Arc<PublicKey>> {
        self.0.load().verifying.get(kid).cloned()
    }

    /// Whether a key is published.
    pub fn publishes(&self, kid: &KeyId) -> bool {
        self.0.load().verifying.contains_key(kid)
    }

    /// The published keys.
    pub fn jwks(&self) -> Jwks {
        self.0.load().jwks.clone()
    }

    /// Signs claims with the key that was recorded for them, or not at all.
    pub(crate) fn sign(
        &self,
        kid: &str,
        kind: TokenKind,
        claims: &Claims,
    ) -> Result<SignedToken, SigningError> {
        let keyring = self.0.load();
        let signer = &keyring.signer;
        if *signer.kid != *kid {
            return Err(SigningError::KeyGone(kid.to_owned()));
        }
        let header = match kind {
            TokenKind::Api => &signer.api_header,
            TokenKind::Session => &signer.session_header,
        };
        let message = jeton_verifier::signing_input(header, claims)?;
        let signature = signer.key.sign(message.as_bytes())?;
        Ok(SignedToken(Zeroizing::new(jeton_verifier::assemble(
            message, &signature,
        ))))
    }

    /// Signs a status list with the key that signs now.
    pub(crate) fn sign_status_list(
        &self,
        claims: &StatusListClaims,
    ) -> Result<SignedStatusList, SigningError> {
        let keyring = self.0.load();
        let signer = &keyring.signer;
        let message = jeton_verifier::status_list_signing_input(&signer.list_header, claims)?;
        let signature = signer.key.sign(message.as_bytes())?;
        Ok(SignedStatusList {
            text: jeton_verifier::assemble(message, &signature),
            kid: Arc::clone(&signer.kid),
        })
    }
}

impl Keyring {
    fn read(rows: &[KeyRow], directory: &KeyDirectory, generation: Generation) -> Result<Self, RingError> {
        let published = || rows.iter().filter(|row| row.state < KeyState::Withdrawn);
        let mut verifying = HashMap::new();
        for row in published() {
            let key = PublicKey::from_json(&row.public_jwk).map_err(|source| RingError::Row {
                kid: row.kid.clone(),
                source,
            })?;
            verifying.insert(key.kid().clone(), Arc::new(key));
        }
        let signing = rows
            .iter()
            .find(|row| row.state == KeyState::Signing)
            .map(|row| row.kid.as_str());
        let signer = Signer::load(signing.unwrap_or_default(), directory)?;
        Ok(Self {
            generation,
            signer,
            verifying,
            jwks: Jwks::of(published()),
        })
    }
}

impl Signer {
    fn load(kid: &str, directory: &KeyDirectory) -> Result<Self, RingError> {
        let missing = || RingError::Missing(directory.path().join(format!("{kid}.pem")));
        let id: KeyId = kid.parse().map_err(|_| missing())?;
        let key = directory.load(&id)?.ok_or_else(missing)?;
        let header = |token_type| {
            Header {
                algorithm: key.algorithm(),
                kid: key.kid().clone(),
                token_type,
            }
            .encode()
        };
        Ok(Self {
            kid: kid.into(),
            api_header: header(TokenType::Access),
            session_header: header(TokenType::Session),
            list_header: header(TokenType::StatusList),
            key,
        })
    }
}

impl Jwks {
    fn of<'a>(rows: impl Iterator<Item = &'a KeyRow>) -> Self {
        #[derive(serde::Serialize)]
        struct Document<'a> {
            keys: Vec<&'a RawValue>,
        }
        let keys = rows
            .filter_map(|row| serde_json::from_str(&row.public_jwk).ok())
            .collect();
        let body = serde_json::to_vec(&Document { keys }).unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, &body);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash.as_ref()));
        Self {
            body: body.into(),
            etag,
        }
    }
}

/// Makes a key: the private half on disk first, so that no row can ask for a key that a crash ate.
pub async fn add_key(
    store: &dyn Keys,
    directory: &KeyDirectory,
    algorithm: Algorithm,
    state: KeyState,
    judged_at: Generation,
    now: Timestamp,
) -> Result<KeyRow, RingError> {
    let (_, pem) = SigningKey::generate(algorithm)?;
    let key = directory.store(&pem)?;
    let row = KeyRow {
        kid: key.kid().to_string(),
        algorithm,
        public_jwk: serde_json::to_string(key.public_jwk()).unwrap_or_default(),
        state,
        created_at: now,
        changed_at: now,
    };
    match store.put_key(row.clone(), judged_at).await? {
        Judged::Done(()) => Ok(row),
        Judged::Stale => Err(StoreError::Busy.into()),
    }
}
