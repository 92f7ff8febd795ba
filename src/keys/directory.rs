//! The private keys of a deployment, in their folder: read, stored, and sealed where there is a key-encryption key.

use std::path::Path;

use jeton_verifier::KeyId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::folder::{DirectoryError, KeyFolder, Stored};
use super::material::SigningKey;
use super::seal::{self, Binding, KeyEncryptionKey};

/// The key directory of a deployment: reads and writes private keys.
#[derive(Debug)]
pub struct KeyDirectory {
    folder: KeyFolder,
    /// The id of the deployment, which sealed keys are bound to.
    origin: Uuid,
}

/// The outcome of [`KeyDirectory::seal_all`] and [`KeyDirectory::unseal_all`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// How many files were rewritten.
    pub changed: usize,
    /// How many files were as requested already.
    pub unchanged: usize,
}

impl KeyDirectory {
    pub(super) fn new(folder: KeyFolder, origin: Uuid) -> Self {
        Self { folder, origin }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Returns the folder, without the deployment.
    pub fn folder(&self) -> &KeyFolder {
        &self.folder
    }

    /// Loads every key, so that a damaged one is reported now instead of on the day it is needed.
    pub fn load_all(&self) -> Result<(), DirectoryError> {
        for kid in self.folder.kids()? {
            self.load(&kid)?;
        }
        Ok(())
    }

    /// Loads a key, or returns `None` if its file does not exist.
    pub fn load(&self, kid: &KeyId) -> Result<Option<SigningKey>, DirectoryError> {
        Ok(self.opened(kid)?.map(|(key, _)| key))
    }

    /// Returns a key and its PEM, or `None` if its file does not exist.
    pub(super) fn opened(
        &self,
        kid: &KeyId,
    ) -> Result<Option<(SigningKey, Zeroizing<String>)>, DirectoryError> {
        let Some(stored) = self.folder.stored(kid)? else {
            return Ok(None);
        };
        let pem = self.open(kid, stored, None)?;
        Ok(Some((self.folder.key(kid, &pem)?, pem)))
    }

    /// Stores a key from its PEM under its key id, sealed if there is a key-encryption key. On return the key survives
    /// a power failure; on an error no partial key file exists. Storing a key twice is harmless.
    ///
    /// # Errors
    /// Also if there is no key-encryption key, and the directory has sealed keys.
    pub fn store(&self, pem: &str) -> Result<SigningKey, DirectoryError> {
        let key = SigningKey::from_pem(pem).map_err(DirectoryError::NotStorable)?;
        let _lock = self.folder.lock()?;
        let sealed = match self.folder.sealing()? {
            Some(sealing) => Some(self.seal(&key, pem, sealing)?),
            None if self.folder.has_sealed()? => {
                return Err(DirectoryError::WouldBePlain {
                    path: self.folder.path.clone(),
                });
            }
            None => None,
        };
        self.folder.write(key.kid(), sealed.as_deref().unwrap_or(pem))?;
        Ok(key)
    }

    /// Seals every key that is plain, or sealed by the previous key-encryption key. If one key cannot be read, nothing
    /// is changed. After a crash some are sealed and all can be read; the next call seals the others.
    ///
    /// # Errors
    /// Also if there is no key-encryption key.
    pub fn seal_all(&self, previous: Option<&KeyEncryptionKey>) -> Result<Rewritten, DirectoryError> {
        let sealing = self.folder.sealing()?.ok_or(DirectoryError::NothingToSealWith)?;
        let is_done =
            |stored: &Stored| matches!(stored, Stored::Sealed(sealed) if sealed.sealed_by() == sealing.id());
        self.rewrite_all(previous, is_done, |key, pem| {
            Ok(Zeroizing::new(self.seal(key, pem, sealing)?))
        })
    }

    /// Writes every sealed key as a plain one. If one key cannot be read, nothing is changed.
    pub fn unseal_all(&self) -> Result<Rewritten, DirectoryError> {
        let is_done = |stored: &Stored| matches!(stored, Stored::Plain(_));
        self.rewrite_all(None, is_done, |_, pem| Ok(Zeroizing::new(pem.to_owned())))
    }

    fn rewrite_all(
        &self,
        previous: Option<&KeyEncryptionKey>,
        is_done: impl Fn(&Stored) -> bool,
        text: impl Fn(&SigningKey, &str) -> Result<Zeroizing<String>, DirectoryError>,
    ) -> Result<Rewritten, DirectoryError> {
        let _lock = self.folder.lock()?;
        self.folder.remove_unfinished()?;
        let mut unchanged = 0;
        let mut texts = Vec::new();
        for kid in self.folder.kids()? {
            let Some(stored) = self.folder.stored(&kid)? else {
                continue;
            };
            let is_done = is_done(&stored);
            let pem = self.open(&kid, stored, previous)?;
            let key = self.folder.key(&kid, &pem)?;
            match is_done {
                true => unchanged += 1,
                false => texts.push((text(&key, &pem)?, kid)),
            }
        }
        for (text, kid) in &texts {
            self.folder.write(kid, text)?;
        }
        Ok(Rewritten {
            changed: texts.len(),
            unchanged,
        })
    }

    /// Returns the PEM of a stored key.
    fn open(
        &self,
        kid: &KeyId,
        stored: Stored,
        previous: Option<&KeyEncryptionKey>,
    ) -> Result<Zeroizing<String>, DirectoryError> {
        match stored {
            Stored::Plain(pem) => Ok(pem),
            Stored::Sealed(sealed) => {
                let key = self.folder.key_encryption_key(kid, &sealed, previous)?;
                let pem = sealed.open(self.binding(kid), key);
                pem.map_err(|source| DirectoryError::Sealed {
                    path: self.folder.file(kid),
                    source,
                })
            }
        }
    }

    fn seal(
        &self,
        key: &SigningKey,
        pem: &str,
        sealing: &KeyEncryptionKey,
    ) -> Result<String, DirectoryError> {
        let sealed = seal::seal(pem, key.algorithm(), self.binding(key.kid()), sealing);
        sealed.map_err(DirectoryError::NotSealable)
    }

    fn binding<'a>(&self, kid: &'a KeyId) -> Binding<'a> {
        Binding {
            origin: self.origin,
            kid,
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
