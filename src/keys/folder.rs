//! The folder of private keys: one `<kid>.pem` each, protected from reads and changes by other users.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jeton_core::file_mode::{Exposed, Secret, SecretFolder};
use jeton_verifier::KeyId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::directory::KeyDirectory;
use super::material::{KeyError, SigningKey};
use super::seal::{self, KeyEncryptionKey, KeyEncryptionKeyId, SealError, Sealed};
use super::store::DatabaseKeyError;

const EXTENSION: &str = ".pem";

/// The extension of a file that is being written. A crash leaves it behind; it is never read as a key.
const UNFINISHED: &str = ".unfinished";

/// Where the file of the key-encryption key is named, for error messages.
pub(super) const SETTINGS: &str =
    "--key-encryption-key, JETON_KEY_ENCRYPTION_KEY_FILE or `key_encryption_key_file` in `[keys]`";

/// The maximum size of a key file, more than the longest key needs. Larger files are not read into
/// memory.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A directory that only its owner can change, with key files that only their owner can read. It can be opened before
/// the database: [`KeyFolder::of_deployment`] gives the [`KeyDirectory`].
#[derive(Debug)]
pub struct KeyFolder {
    pub(super) path: PathBuf,
    key_encryption_key: Option<Result<KeyEncryptionKey, UnusableKeyEncryptionKey>>,
}

/// A key-encryption key that is configured and cannot be read. The text begins with the setting, and never contains the
/// key.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct UnusableKeyEncryptionKey(pub String);

/// How a private key is stored.
#[derive(Debug)]
pub enum Stored {
    /// As PKCS#8 in PEM.
    Plain(Zeroizing<String>),
    /// Sealed by a key-encryption key.
    Sealed(Sealed),
}

/// The reason why the directory or a file in it cannot be used. The text names the path and, if one
/// exists, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Other users could read a key or replace one.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The path exists and is not a directory.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A symbolic link, pipe or directory: the permissions that were checked must be those of the file
    /// that is read.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file ends in `.pem` and is not named after a key.
    #[error("{} is not named after a key (<kid>.pem): move it out of the folder", path.display())]
    NotAKeyName {
        /// The file.
        path: PathBuf,
    },
    /// The file contains a key other than its name says.
    #[error("{} contains a different key, {kid}: rename it to {kid}.pem", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The key in it.
        kid: KeyId,
    },
    /// The file does not contain a usable key.
    #[error("{} does not contain a usable key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A text to be stored is not a key.
    #[error("cannot store a text that is not a key")]
    NotStorable(#[source] KeyError),
    /// The file is sealed, and no key-encryption key is configured.
    #[error(
        "{} is sealed by the key-encryption key {needed}: name the file of that key with {SETTINGS}",
        path.display()
    )]
    NoKeyEncryptionKey {
        /// The file.
        path: PathBuf,
        /// The key-encryption key that sealed it.
        needed: KeyEncryptionKeyId,
    },
    /// The file is sealed by another key-encryption key.
    #[error(
        "{} is sealed by the key-encryption key {needed}, and the configured one is {given}: configure the file of \
         that key, or run `jeton keys seal --previous FILE` with it",
        path.display()
    )]
    OtherKeyEncryptionKey {
        /// The file.
        path: PathBuf,
        /// The key-encryption key that sealed it.
        needed: KeyEncryptionKeyId,
        /// The configured one.
        given: KeyEncryptionKeyId,
    },
    /// The sealed file cannot be opened.
    #[error("{} cannot be unsealed", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SealError,
    },
    /// A private key in the database.
    #[error(transparent)]
    InDatabase(#[from] DatabaseKeyError),
    /// The configured key-encryption key cannot be read.
    #[error(transparent)]
    UnusableKeyEncryptionKey(#[from] UnusableKeyEncryptionKey),
    /// A new key would be plain beside sealed ones.
    #[error(
        "{} has sealed keys, and a new one would not be sealed: name the file of their key-encryption key with \
         {SETTINGS}",
        path.display()
    )]
    WouldBePlain {
        /// The directory.
        path: PathBuf,
    },
    /// There is nothing to seal with.
    #[error("no key-encryption key is configured: name its file with {SETTINGS}")]
    NothingToSealWith,
    /// A new key could not be sealed.
    #[error("the new key cannot be sealed")]
    NotSealable(#[source] SealError),
    /// The operating system refused an operation.
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// The operation, as a participle.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl KeyFolder {
    /// Opens the directory, creates it (for its owner alone) if it is missing, and checks its
    /// permissions and those of every key file. A key-encryption key that cannot be read is an error where it is needed:
    /// to revoke a key, it is not.
    pub fn open(
        path: impl Into<PathBuf>,
        key_encryption_key: Option<Result<KeyEncryptionKey, UnusableKeyEncryptionKey>>,
    ) -> Result<Self, DirectoryError> {
        let path = path.into();
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create(&path)?;
                fs::metadata(&path)
            }
            outcome => outcome,
        }
        .map_err(io_error("opened", &path))?;
        if !metadata.is_dir() {
            return Err(DirectoryError::NotAFolder { path });
        }
        SecretFolder::Keys.check(&path, metadata.mode())?;
        let folder = Self {
            path,
            key_encryption_key,
        };
        for kid in folder.kids()? {
            let path = folder.file(&kid);
            let metadata = fs::symlink_metadata(&path).map_err(io_error("examined", &path))?;
            check_file(&path, &metadata)?;
        }
        Ok(folder)
    }

    /// Returns the directory of a deployment.
    pub fn of_deployment(self, origin: Uuid) -> KeyDirectory {
        KeyDirectory::new(self, origin)
    }

    /// Returns the ids of all keys, sorted. Files that do not end in `.pem` are ignored.
    pub fn kids(&self) -> Result<Vec<KeyId>, DirectoryError> {
        let mut kids = Vec::new();
        for name in self.names()? {
            let Some(stem) = name.as_encoded_bytes().strip_suffix(EXTENSION.as_bytes()) else {
                continue;
            };
            let kid = std::str::from_utf8(stem).ok().and_then(|stem| stem.parse().ok());
            kids.push(kid.ok_or_else(|| DirectoryError::NotAKeyName {
                path: self.path.join(&name),
            })?);
        }
        kids.sort_unstable();
        Ok(kids)
    }

    /// Reads the file of a key, or returns `None` if it does not exist. A sealed key stays sealed.
    pub fn stored(&self, kid: &KeyId) -> Result<Option<Stored>, DirectoryError> {
        let path = self.file(kid);
        let Some(text) = read(&path)? else {
            return Ok(None);
        };
        if !seal::is_sealed(&text) {
            return Ok(Some(Stored::Plain(text)));
        }
        match Sealed::parse(&text) {
            Ok(sealed) => Ok(Some(Stored::Sealed(sealed))),
            Err(source) => Err(DirectoryError::Sealed { path, source }),
        }
    }

    /// Reads every key as far as that is possible without its deployment, so that a start is refused before it opens
    /// the database. Returns how many are plain.
    pub fn check(&self) -> Result<usize, DirectoryError> {
        self.sealing()?;
        let mut plain = 0;
        for kid in self.kids()? {
            match self.stored(&kid)? {
                Some(Stored::Plain(pem)) => {
                    self.key(&kid, &pem)?;
                    plain += 1;
                }
                Some(Stored::Sealed(sealed)) => {
                    self.key_encryption_key(&kid, &sealed, None)?;
                }
                None => {}
            }
        }
        Ok(plain)
    }

    /// Returns whether new keys are sealed.
    pub fn seals(&self) -> bool {
        self.key_encryption_key.is_some()
    }

    /// Returns the configured key-encryption key, if any.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sealing(&self) -> Result<Option<&KeyEncryptionKey>, UnusableKeyEncryptionKey> {
        match &self.key_encryption_key {
            Some(Ok(key)) => Ok(Some(key)),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(None),
        }
    }

    /// Returns all files that are not named after a key, such as copies of keys: no seal concerns them.
    pub fn other_files(&self) -> Result<Vec<PathBuf>, DirectoryError> {
        let names = self.names()?.into_iter();
        let is_other = |name: &OsString| !name.as_encoded_bytes().ends_with(EXTENSION.as_bytes());
        Ok(names.filter(is_other).map(|name| self.path.join(name)).collect())
    }

    /// Parses a private key and compares it with its name.
    pub(super) fn key(&self, kid: &KeyId, pem: &str) -> Result<SigningKey, DirectoryError> {
        let path = self.file(kid);
        let key = SigningKey::from_pem(pem).map_err(|source| DirectoryError::Key {
            path: path.clone(),
            source,
        })?;
        if key.kid() != kid {
            return Err(DirectoryError::Misnamed {
                path,
                kid: key.kid().clone(),
            });
        }
        Ok(key)
    }

    /// Returns the configured or the previous key-encryption key, whichever sealed the file.
    pub(super) fn key_encryption_key<'a>(
        &'a self,
        kid: &KeyId,
        sealed: &Sealed,
        previous: Option<&'a KeyEncryptionKey>,
    ) -> Result<&'a KeyEncryptionKey, DirectoryError> {
        let (path, needed) = (self.file(kid), sealed.sealed_by());
        let configured = self.sealing()?;
        let mut known = [configured, previous].into_iter().flatten();
        match (known.find(|known| known.id() == needed), configured) {
            (Some(found), _) => Ok(found),
            (None, Some(configured)) => Err(DirectoryError::OtherKeyEncryptionKey {
                path,
                needed,
                given: configured.id(),
            }),
            (None, None) => Err(DirectoryError::NoKeyEncryptionKey { path, needed }),
        }
    }

    /// Returns whether a key is sealed, also one that is damaged.
    pub(super) fn has_sealed(&self) -> Result<bool, DirectoryError> {
        let is_sealed = |kid: &KeyId| {
            let stored = self.stored(kid);
            matches!(
                stored,
                Ok(Some(Stored::Sealed(_))) | Err(DirectoryError::Sealed { .. })
            )
        };
        Ok(self.kids()?.iter().any(is_sealed))
    }

    fn names(&self) -> Result<Vec<OsString>, DirectoryError> {
        let entries = fs::read_dir(&self.path).map_err(io_error("listed", &self.path))?;
        entries
            .map(|entry| Ok(entry.map_err(io_error("listed", &self.path))?.file_name()))
            .collect()
    }

    pub(super) fn file(&self, kid: &KeyId) -> PathBuf {
        self.path.join(format!("{kid}{EXTENSION}"))
    }

    /// Locks the directory for changes by other processes, until the returned file is dropped.
    pub(super) fn lock(&self) -> Result<File, DirectoryError> {
        let folder = File::open(&self.path).map_err(io_error("opened", &self.path))?;
        folder.lock().map_err(io_error("locked", &self.path))?;
        Ok(folder)
    }

    /// Writes the file of a key, in place of the former one if there is one. On return it survives a power failure; on
    /// an error no partial file has its name. The caller holds the lock.
    pub(super) fn write(&self, kid: &KeyId, text: &str) -> Result<(), DirectoryError> {
        let unfinished = self.path.join(unfinished_name(kid));
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_error("removed", &unfinished)(error));
            }
            _ => {}
        }
        write_new(&unfinished, text).map_err(io_error("written", &unfinished))?;
        fs::rename(&unfinished, self.file(kid)).map_err(io_error("renamed", &unfinished))?;
        sync(&self.path)
    }

    /// Removes what crashes left behind: it may be a plain key. The caller holds the lock.
    pub(super) fn remove_unfinished(&self) -> Result<(), DirectoryError> {
        for name in self.names()? {
            if is_unfinished(&name) {
                let path = self.path.join(name);
                fs::remove_file(&path).map_err(io_error("removed", &path))?;
            }
        }
        sync(&self.path)
    }
}

/// Returns the name of a key's file while it is written.
pub(super) fn unfinished_name(kid: &KeyId) -> String {
    format!(".{kid}{UNFINISHED}")
}

/// Returns whether [`unfinished_name`] gives this name to a key.
fn is_unfinished(name: &OsStr) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_prefix('.'));
    let stem = stem.and_then(|name| name.strip_suffix(UNFINISHED));
    stem.is_some_and(|kid| kid.parse::<KeyId>().is_ok())
}

fn create(path: &Path) -> Result<(), DirectoryError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("created", path))?;
    match path.parent() {
        Some(parent) if parent != Path::new("") => sync(parent),
        _ => sync(Path::new(".")),
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, DirectoryError> {
    let named = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        outcome => outcome.map_err(io_error("examined", path))?,
    };
    check_file(path, &named)?;
    let file = File::open(path).map_err(io_error("opened", path))?;
    // Compares the opened file with the examined one: a link may have replaced it in between.
    let opened = file.metadata().map_err(io_error("examined", path))?;
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(DirectoryError::NotAFile {
            path: path.to_owned(),
        });
    }
    // A buffer that grows would leave copies of the key in freed memory.
    let room = usize::try_from(opened.len().min(MAX_FILE_BYTES)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(room + 1));
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(io_error("read", path))?;
    Ok(Some(text))
}

fn check_file(path: &Path, metadata: &Metadata) -> Result<(), DirectoryError> {
    if !metadata.is_file() {
        return Err(DirectoryError::NotAFile {
            path: path.to_owned(),
        });
    }
    Ok(Secret::Key.check_file(path, metadata.mode())?)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Syncs the directory: a new file name survives a power failure only after that.
fn sync(folder: &Path) -> Result<(), DirectoryError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("synced", folder))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    move |source| DirectoryError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
