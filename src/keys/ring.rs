//! The keys in use: the signing key, the verifying keys and the JWKS.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jeton_verifier::{Algorithm, Claims, KeyId, NotAPublicKey, PublicKey, Statement};
use tokio::sync::Mutex;

use crate::causes::error_chain;
use crate::keys::metrics::Facts;
use crate::keys::signer::Signer;
use crate::keys::{
    DatabaseKeyError, DirectoryError, Due, Jwks, KeyError, KeyStore, PlannedStep, Rotation, SealedToken,
    SigningError, SigningKey,
};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Span, TokenKind};
use jeton_store::rules::keys as rules;
use jeton_store::{
    Cause, Generation, KeyRow, KeyState, Keys, NewKey, SignedHead, SigningKeys, Store, StoreError, Versioned,
};

/// How long a retired key still signs, in seconds: a status list may have been prepared with it just
/// before.
const SIGNS_AFTER_RETIREMENT: i64 = 60;

/// The reason why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The key directory or a file in it.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A new key could not be created.
    #[error("cannot create a signing key")]
    Generate(#[from] KeyError),
    /// The thread that created a key was stopped.
    #[error("the creation of a signing key was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    /// A key in the database is invalid.
    #[error("cannot read the key `{kid}` in the database")]
    Row {
        /// The key id.
        kid: String,
        /// The cause.
        #[source]
        source: NotAPublicKey,
    },
    /// The private key of the signing key is missing.
    #[error(
        "the private key of the signing key is missing: restore {0}, or publish another key with `jeton keys \
         rotate` and start again"
    )]
    Missing(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys in use, replaced as a whole when the keys in the store change.
pub struct KeyRing {
    private_keys: Arc<KeyStore>,
    rotation: ArcSwap<Rotation>,
    /// Whether this process signs: the private keys are loaded.
    signs: bool,
    current: ArcSwap<Keyring>,
    /// Serializes replacement.
    replacing: Mutex<()>,
}

struct Keyring {
    /// The keys as the store had them.
    keys: Arc<Versioned<SigningKeys>>,
    /// The key that signs; `None` if its private key is missing.
    signing: Option<Arc<str>>,
    signers: Vec<Arc<Signer>>,
    published: HashMap<KeyId, Published>,
    jwks: Jwks,
}

/// A published key.
#[derive(Clone)]
struct Published {
    key: Arc<PublicKey>,
    /// When this process first served the key in its JWKS.
    since: Timestamp,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("signing", &self.current.load().signing)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Loads the keys, and creates one if none signs, as at the first start.
    pub async fn open(
        store: &dyn Store,
        private_keys: impl Into<KeyStore>,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<Self, RingError> {
        Self::read(store, private_keys.into(), rotation, true, now).await
    }

    /// Loads the public keys alone, for a process that signs nothing: it needs no key-encryption key and no signing key,
    /// and a damaged private key does not stop it from being revoked.
    pub async fn open_public(
        store: &dyn Store,
        private_keys: impl Into<KeyStore>,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<Self, RingError> {
        Self::read(store, private_keys.into(), rotation, false, now).await
    }

    async fn read(
        store: &dyn Store,
        private_keys: KeyStore,
        rotation: Rotation,
        signs: bool,
        now: Timestamp,
    ) -> Result<Self, RingError> {
        let private_keys = Arc::new(private_keys);
        let keys = loop {
            let keys = store.keys().await?;
            // Without a key-encryption key, perhaps, no key can be created: only a server needs one.
            if !signs || keys.value.signing().is_some() {
                break keys;
            }
            let new = make(&private_keys, rotation).await?;
            let (order, _) = rules::publish(Cause::server(now), &keys, new);
            // If it is refused, another process has published one.
            let _ = store.commit(order).await?;
        };
        let current = Keyring::read(keys, signs.then_some(&private_keys), None, now)?;
        Ok(Self {
            private_keys,
            rotation: ArcSwap::from_pointee(rotation),
            signs,
            current: ArcSwap::from_pointee(current),
            replacing: Mutex::default(),
        })
    }

    /// Changes the algorithm of new keys, and the age at which a key's successor is published. How long the JWKS may be
    /// cached stays: it was promised. `stored` is the version of these settings if they are in the store.
    pub fn rotate_by(&self, algorithm: Algorithm, every: Option<Span>, stored: Option<Generation>) {
        let rotation = Rotation {
            algorithm,
            every,
            stored,
            ..self.rotation()
        };
        self.rotation.store(Arc::new(rotation));
    }

    fn rotation(&self) -> Rotation {
        **self.rotation.load()
    }

    /// Promises for how long copies of the JWKS may be cached, for this server and all others: they serve it with what was
    /// promised last. A server calls this before it serves the JWKS.
    pub async fn promise(&self, store: &dyn Store, now: Timestamp) -> Result<(), RingError> {
        loop {
            let keys = store.keys().await?;
            let Some(order) = rules::promise(Cause::server(now), &keys, self.rotation().max_age) else {
                return self.catch_up(store, keys.generation, now).await;
            };
            // If it is refused, another process has changed the keys. Then it is compared again.
            let _ = store.commit(order).await?;
        }
    }

    /// Replaces the keys by those of the store if these are newer. On an error the current keys stay in use.
    pub async fn catch_up(
        &self,
        store: &dyn Keys,
        generation: Generation,
        now: Timestamp,
    ) -> Result<(), RingError> {
        if self.generation() >= generation {
            return Ok(());
        }
        let _replacing = self.replacing.lock().await;
        let before = self.current.load_full();
        if before.keys.generation >= generation {
            return Ok(());
        }
        let keys = store.keys().await?;
        let private_keys = self.signs.then_some(&*self.private_keys);
        let after = Keyring::read(keys, private_keys, Some(&before), now)?;
        self.current.store(Arc::new(after));
        Ok(())
    }

    /// Creates a key and syncs its private key to disk first, so that no database row refers to a key
    /// lost in a crash.
    pub async fn make(&self) -> Result<NewKey, RingError> {
        make(&self.private_keys, self.rotation()).await
    }

    /// Returns the next rotation step that is due, and the keys for which it is. A key is removed by the settled
    /// time. A successor is published only by settings that are as new as the keys: servers with former and with changed
    /// ones would each replace the keys of the others.
    pub fn due(&self, now: Timestamp, settled: Timestamp) -> Option<(Due, Arc<Versioned<SigningKeys>>)> {
        let current = self.current.load();
        let rotation = self.rotation();
        let due = rotation.due(&current.keys.value.rows, now, settled, |row| {
            current.is_distributed(row, rotation, now)
        });
        let is_settled = rotation
            .stored
            .is_none_or(|stored| stored >= current.keys.generation);
        // Without a key that signs nothing is issued.
        let may_publish = is_settled || current.keys.value.signing().is_none();
        let due = due.filter(|due| may_publish || *due != Due::Publish);
        Some((due?, Arc::clone(&current.keys)))
    }

    /// Returns the next regular step of a key, and the instant from which it is due; `None` if none follows without a
    /// request.
    pub fn plan(&self, keys: &SigningKeys, row: &KeyRow) -> Option<(PlannedStep, Timestamp)> {
        self.rotation().plan(keys, row)
    }

    /// Passes the facts for metrics to a function.
    pub(super) fn facts<T>(&self, work: impl FnOnce(Facts<'_>) -> T) -> T {
        let current = self.current.load();
        let rows = &current.keys.value.rows;
        let rotation = self.rotation();
        work(Facts {
            rows,
            missing: current.rows_without_signer().count(),
            due: rotation.next_step(rows, |row| current.distributed_at(row, rotation)),
        })
    }

    /// Logs each missing private key, and fails if no key can sign now or soon.
    pub fn ensure_signers(&self) -> Result<(), RingError> {
        let current = self.current.load();
        if let (true, Some(row)) = (current.signers.is_empty(), current.rows_without_signer().next()) {
            return Err(RingError::Missing(self.private_keys.place(&row.key.kid)));
        }
        current.rows_without_signer().for_each(log_missing_key);
        Ok(())
    }

    /// Returns the generation of the current keys.
    pub fn generation(&self) -> Generation {
        self.current.load().keys.generation
    }

    /// Returns the id of the current signing key.
    pub fn signing_kid(&self) -> Result<Arc<str>, SigningError> {
        self.current.load().signing.clone().ok_or(SigningError::NoKey)
    }

    /// Returns the public key of a published key.
    pub fn verifying(&self, kid: &KeyId) -> Option<Arc<PublicKey>> {
        let current = self.current.load();
        current.published.get(kid).map(|found| Arc::clone(&found.key))
    }

    /// Returns whether a key is published.
    pub fn publishes(&self, kid: &KeyId) -> bool {
        self.current.load().published.contains_key(kid)
    }

    /// Returns the JWKS.
    pub fn jwks(&self) -> Jwks {
        self.current.load().jwks.clone()
    }

    /// Signs claims with the key recorded for them, and fails if that key no longer signs.
    pub(crate) fn sign(
        &self,
        kid: &str,
        kind: TokenKind,
        claims: &Claims,
    ) -> Result<SealedToken, SigningError> {
        self.signing(kid, |signer| signer.sign(kind, claims))
    }

    /// Signs a statement with a signing key, and fails if that key no longer signs.
    pub(crate) fn sign_statement<S: Statement>(&self, kid: &str, claims: &S) -> Result<String, SigningError> {
        self.signing(kid, |signer| signer.sign_statement(claims))
    }

    /// Signs a checkpoint of the audit with the current signing key, and returns the key's id.
    pub(crate) fn sign_note(
        &self,
        origin: &str,
        signed: &SignedHead,
    ) -> Result<(Arc<str>, String), SigningError> {
        let kid = self.signing_kid()?;
        let note = self.signing(&kid, |signer| signer.sign_note(origin, signed))?;
        Ok((kid, note))
    }

    fn signing<T>(
        &self,
        kid: &str,
        sign: impl FnOnce(&Signer) -> Result<T, SigningError>,
    ) -> Result<T, SigningError> {
        let current = self.current.load();
        let signer = current.signers.iter().find(|signer| **signer.kid() == *kid);
        sign(signer.ok_or_else(|| SigningError::KeyGone(kid.to_owned()))?)
    }
}

impl Keyring {
    fn read(
        keys: Versioned<SigningKeys>,
        private_keys: Option<&KeyStore>,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, RingError> {
        let published_rows = || keys.value.rows.iter().filter(|row| row.state.is_published());
        let mut signers = Vec::new();
        let mut published = HashMap::new();
        let mut signing = None;
        for row in published_rows() {
            let (kid, key) = publish(row, before, now)?;
            if let Some(private_keys) = private_keys
                && let Some(signer) = signer(row, &kid, private_keys, before, now)?
            {
                if row.state == KeyState::Signing {
                    signing = Some(Arc::clone(signer.kid()));
                }
                signers.push(signer);
            }
            published.insert(kid, key);
        }
        // The signing key comes first, since every token looks it up.
        signers.sort_by_key(|signer| signing.as_ref() != Some(signer.kid()));
        let jwks = Jwks::of(published_rows(), keys.value.promise.max_age);
        Ok(Self {
            keys: Arc::new(keys),
            signing,
            signers,
            published,
            jwks,
        })
    }

    /// Returns the keys that sign now or soon but whose private key is missing.
    fn rows_without_signer(&self) -> impl Iterator<Item = &KeyRow> {
        let can_sign = |row: &KeyRow| self.signers.iter().any(|signer| **signer.kid() == row.key.kid);
        let rows = self.keys.value.rows.iter();
        rows.filter(move |row| row.state <= KeyState::Signing && !can_sign(row))
    }

    /// Returns when every cached copy of this process's JWKS contains the key.
    fn distributed_at(&self, row: &KeyRow, rotation: Rotation) -> Option<Timestamp> {
        let published = row
            .key
            .kid
            .parse()
            .ok()
            .and_then(|kid| self.published.get(&kid))?;
        Some(published.since.plus_seconds(rotation.distribution_time()))
    }

    /// Returns whether every cached copy of this process's JWKS contains the key and its private key is
    /// loaded.
    fn is_distributed(&self, row: &KeyRow, rotation: Rotation, now: Timestamp) -> bool {
        self.distributed_at(row, rotation).is_some_and(|at| at <= now)
            && self.signers.iter().any(|signer| **signer.kid() == row.key.kid)
    }
}

fn log_missing_key(row: &KeyRow) {
    let (kid, state) = (&row.key.kid, row.state.as_str());
    tracing::error!(kid, state, "the private key is missing: the key cannot sign");
}

/// Logs why a running server cannot use a private key.
fn log_unusable_key(row: &KeyRow, error: &DirectoryError) {
    let (kid, state) = (&row.key.kid, row.state.as_str());
    match error {
        DirectoryError::NoKeyEncryptionKey { needed, .. }
        | DirectoryError::OtherKeyEncryptionKey { needed, .. }
        | DirectoryError::InDatabase(DatabaseKeyError::OtherKeyEncryptionKey { needed, .. }) => {
            tracing::error!(
                kid,
                state,
                "the private key is sealed by the key-encryption key {needed}, which this server has not read, and cannot \
             sign: restart the server with that key-encryption key"
            )
        }
        _ => {
            let error = error_chain(error);
            tracing::error!(
                kid,
                state,
                error,
                "the private key cannot be used: the key cannot sign"
            );
        }
    }
}

/// Parses the public key of a row, or reuses the parsed one.
fn publish(row: &KeyRow, before: Option<&Keyring>, now: Timestamp) -> Result<(KeyId, Published), RingError> {
    let known = row
        .key
        .kid
        .parse()
        .ok()
        .and_then(|kid| before?.published.get_key_value(&kid));
    if let Some((kid, published)) = known {
        return Ok((kid.clone(), published.clone()));
    }
    let key = PublicKey::from_json(&row.key.public_jwk).map_err(|source| RingError::Row {
        kid: row.key.kid.clone(),
        source,
    })?;
    let published = Published {
        key: Arc::new(key),
        since: now,
    };
    Ok((published.key.kid().clone(), published))
}

/// Returns the private key for a row that signs or will sign; also for a key that retired a moment ago,
/// to finish signatures begun before.
fn signer(
    row: &KeyRow,
    kid: &KeyId,
    private_keys: &KeyStore,
    before: Option<&Keyring>,
    now: Timestamp,
) -> Result<Option<Arc<Signer>>, RingError> {
    let known = before.and_then(|before| {
        let mut signers = before.signers.iter();
        signers.find(|signer| **signer.kid() == *kid.as_str()).cloned()
    });
    Ok(match row.state {
        KeyState::Published | KeyState::Signing if known.is_none() => {
            match (Signer::load(row, kid, private_keys), before) {
                // A running server continues without the key. If it waited for the file (for example one
                // that another user created), it would keep publishing a key that was revoked meanwhile.
                (Err(error), Some(_)) => {
                    log_unusable_key(row, &error);
                    None
                }
                (Ok(None), Some(before)) => {
                    if before.keys.value.row(kid.as_str()).is_none() {
                        log_missing_key(row);
                    }
                    None
                }
                (loaded, _) => loaded?.map(Arc::new),
            }
        }
        KeyState::Published | KeyState::Signing => known,
        KeyState::Retired => known.filter(|_| now < row.changed_at.plus_seconds(SIGNS_AFTER_RETIREMENT)),
        KeyState::Gone | KeyState::Withdrawn => None,
    })
}

async fn make(private_keys: &Arc<KeyStore>, rotation: Rotation) -> Result<NewKey, RingError> {
    let private_keys = Arc::clone(private_keys);
    // Generating an RSA key takes up to a second, and syncing blocks.
    let made = tokio::task::spawn_blocking(move || {
        let (_, pem) = SigningKey::generate(rotation.algorithm)?;
        Ok(private_keys.store(&pem)?)
    });
    made.await?
}
