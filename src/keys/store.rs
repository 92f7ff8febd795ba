//! Where the private keys of a deployment are: in a folder, or sealed in the database.

use jeton_store::{KeyRow, NewKey};
use jeton_verifier::KeyId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::directory::KeyDirectory;
use super::folder::{DirectoryError, SETTINGS, UnusableKeyEncryptionKey};
use super::material::{KeyError, SigningKey};
use super::seal::{self, Binding, KeyEncryptionKey, KeyEncryptionKeyId, SealError, Sealed};

/// The private keys of a deployment.
#[derive(Debug)]
pub enum KeyStore {
    /// Each in a file.
    Folder(KeyDirectory),
    /// Each in the row of its key.
    Database(DatabaseKeys),
}

/// Private keys in the rows of a database, all of them sealed.
#[derive(Debug)]
pub struct DatabaseKeys {
    key_encryption_key: Option<Result<KeyEncryptionKey, UnusableKeyEncryptionKey>>,
    /// The id of the deployment, which sealed keys are bound to.
    origin: Uuid,
}

/// The reason why a private key in the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseKeyError {
    /// The key is sealed by another key-encryption key than the configured one.
    #[error(
        "the private key of {kid} in the database is sealed by the key-encryption key {needed}: name the file of that \
         key with {SETTINGS}"
    )]
    OtherKeyEncryptionKey {
        /// The key.
        kid: KeyId,
        /// The key-encryption key that sealed it.
        needed: KeyEncryptionKeyId,
    },
    /// The sealed text cannot be opened.
    #[error("the private key of {kid} in the database cannot be unsealed")]
    Sealed {
        /// The key.
        kid: KeyId,
        /// What is wrong with the text.
        #[source]
        source: SealError,
    },
    /// The row holds no usable key.
    #[error("the database has no usable private key of {kid}")]
    Key {
        /// The key.
        kid: KeyId,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// The row holds the private key of another key.
    #[error("the database has the private key of {found} in place of that of {kid}")]
    Misplaced {
        /// The key of the row.
        kid: KeyId,
        /// The key in the row.
        found: KeyId,
    },
}

impl From<KeyDirectory> for KeyStore {
    fn from(directory: KeyDirectory) -> Self {
        Self::Folder(directory)
    }
}

impl KeyStore {
    /// Loads the private key of a row; `None` if it is missing.
    pub(super) fn load(&self, row: &KeyRow, kid: &KeyId) -> Result<Option<SigningKey>, DirectoryError> {
        match self {
            Self::Folder(directory) => directory.load(kid),
            Self::Database(keys) => keys.load(row, kid),
        }
    }

    /// Loads every key of a folder, so that a damaged one is reported now instead of on the day it is needed. The ring
    /// loads those of a database.
    pub fn load_all(&self) -> Result<(), DirectoryError> {
        match self {
            Self::Folder(directory) => directory.load_all(),
            Self::Database(_) => Ok(()),
        }
    }

    /// Returns the PEM of a private key, which may be sealed in the row of its key; `None` if it is missing.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be unsealed, or is another key.
    pub fn pem(
        &self,
        kid: &KeyId,
        sealed: Option<&str>,
    ) -> Result<Option<Zeroizing<String>>, DirectoryError> {
        let opened = match self {
            Self::Folder(directory) => directory.opened(kid)?,
            Self::Database(keys) => keys.opened(kid, sealed)?,
        };
        Ok(opened.map(|(_, pem)| pem))
    }

    /// Returns a new key with its private half: on disk, or sealed in what is returned.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be sealed or written.
    pub fn store(&self, pem: &str) -> Result<NewKey, DirectoryError> {
        let (key, sealed) = match self {
            Self::Folder(directory) => (directory.store(pem)?, None),
            Self::Database(keys) => {
                let key = SigningKey::from_pem(pem).map_err(DirectoryError::NotStorable)?;
                let sealed = keys.seal(&key, pem)?;
                (key, Some(sealed))
            }
        };
        Ok(NewKey {
            kid: key.kid().to_string(),
            algorithm: key.algorithm(),
            public_jwk: serde_json::to_string(key.public_jwk()).unwrap_or_default(),
            sealed,
        })
    }

    /// Returns the place of a private key, for error messages.
    pub(super) fn place(&self, kid: &str) -> String {
        match self {
            Self::Folder(directory) => directory.path().join(format!("{kid}.pem")).display().to_string(),
            Self::Database(_) => format!("`sealed` in the row of {kid} in the database"),
        }
    }
}

impl DatabaseKeys {
    /// Returns the private keys of a deployment. A key-encryption key that cannot be read is an error where it is
    /// needed.
    pub fn new(
        key_encryption_key: Option<Result<KeyEncryptionKey, UnusableKeyEncryptionKey>>,
        origin: Uuid,
    ) -> Self {
        Self {
            key_encryption_key,
            origin,
        }
    }

    /// Returns the key-encryption key.
    ///
    /// # Errors
    ///
    /// Fails if none is configured, or it cannot be read.
    pub fn sealing(&self) -> Result<&KeyEncryptionKey, DirectoryError> {
        match &self.key_encryption_key {
            Some(Ok(key)) => Ok(key),
            Some(Err(error)) => Err(error.clone().into()),
            None => Err(DirectoryError::NothingToSealWith),
        }
    }

    /// Returns the private key of a row, sealed by the configured key-encryption key; `None` if it is so already, or
    /// missing.
    ///
    /// # Errors
    ///
    /// Fails if it is sealed by neither the configured nor the previous key-encryption key, or damaged.
    pub fn resealed(
        &self,
        row: &KeyRow,
        kid: &KeyId,
        previous: Option<&KeyEncryptionKey>,
    ) -> Result<Option<String>, DirectoryError> {
        let Some(sealed) = sealed(row.key.sealed.as_deref(), kid)? else {
            return Ok(None);
        };
        let sealing = self.sealing()?;
        let known = [Some(sealing), previous].into_iter().flatten();
        let (key, pem) = self.open(kid, &sealed, known)?;
        match sealed.sealed_by() == sealing.id() {
            true => Ok(None),
            false => self.seal(&key, &pem).map(Some),
        }
    }

    /// Returns the name of the key-encryption key that has sealed the private key of a row; `None` if the private key is
    /// missing.
    ///
    /// # Errors
    ///
    /// Fails if the text is damaged.
    pub fn sealed_by(&self, row: &KeyRow, kid: &KeyId) -> Result<Option<KeyEncryptionKeyId>, DirectoryError> {
        Ok(sealed(row.key.sealed.as_deref(), kid)?.map(|sealed| sealed.sealed_by()))
    }

    fn load(&self, row: &KeyRow, kid: &KeyId) -> Result<Option<SigningKey>, DirectoryError> {
        let opened = self.opened(kid, row.key.sealed.as_deref())?;
        Ok(opened.map(|(key, _)| key))
    }

    /// Returns a private key and its PEM; `None` if it is missing.
    fn opened(
        &self,
        kid: &KeyId,
        text: Option<&str>,
    ) -> Result<Option<(SigningKey, Zeroizing<String>)>, DirectoryError> {
        let Some(sealed) = sealed(text, kid)? else {
            return Ok(None);
        };
        Ok(Some(self.open(kid, &sealed, std::iter::once(self.sealing()?))?))
    }

    fn open<'a>(
        &self,
        kid: &KeyId,
        sealed: &Sealed,
        mut known: impl Iterator<Item = &'a KeyEncryptionKey>,
    ) -> Result<(SigningKey, Zeroizing<String>), DatabaseKeyError> {
        let needed = sealed.sealed_by();
        let opening = known.find(|known| known.id() == needed);
        let opening = opening.ok_or_else(|| DatabaseKeyError::OtherKeyEncryptionKey {
            kid: kid.clone(),
            needed,
        })?;
        let pem = sealed.open(self.binding(kid), opening);
        let pem = pem.map_err(|source| DatabaseKeyError::Sealed {
            kid: kid.clone(),
            source,
        })?;
        let key = SigningKey::from_pem(&pem).map_err(|source| DatabaseKeyError::Key {
            kid: kid.clone(),
            source,
        })?;
        match key.kid() == kid {
            true => Ok((key, pem)),
            false => Err(DatabaseKeyError::Misplaced {
                kid: kid.clone(),
                found: key.kid().clone(),
            }),
        }
    }

    fn seal(&self, key: &SigningKey, pem: &str) -> Result<String, DirectoryError> {
        let sealed = seal::seal(pem, key.algorithm(), self.binding(key.kid()), self.sealing()?);
        sealed.map_err(DirectoryError::NotSealable)
    }

    fn binding<'a>(&self, kid: &'a KeyId) -> Binding<'a> {
        Binding {
            origin: self.origin,
            kid,
        }
    }
}

/// Parses the private key in the row of a key.
fn sealed(text: Option<&str>, kid: &KeyId) -> Result<Option<Sealed>, DatabaseKeyError> {
    let sealed = text.map(Sealed::parse).transpose();
    sealed.map_err(|source| DatabaseKeyError::Sealed {
        kid: kid.clone(),
        source,
    })
}
