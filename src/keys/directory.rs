//! The directory of private keys: one `<kid>.pem` each, protected from reads and changes by other
//! users, and sealed where there is a key-encryption key.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jeton_core::file_mode::{Exposed, Secret};
use jeton_verifier::KeyId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::material::{KeyError, SigningKey};
use super::seal::{self, Binding, KeyEncryptionKey, KeyEncryptionKeyId, SealError, Sealed};

const EXTENSION: &str = ".pem";

/// The extension of a file that is being written. A crash leaves it behind; it is never read as a key.
const UNFINISHED: &str = ".unfinished";

/// Where the file of the key-encryption key is named, for error messages.
const SETTINGS: &str =
    "--key-encryption-key, JETON_KEY_ENCRYPTION_KEY_FILE or `key_encryption_key_file` in `[keys]`";

/// The maximum size of a key file, more than the longest key needs. Larger files are not read into
/// memory.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A directory that only its owner can change, with key files that only their owner can read. It can be opened before
/// the database: [`KeyFolder::of_deployment`] gives the [`KeyDirectory`].
#[derive(Debug)]
pub struct KeyFolder {
    path: PathBuf,
    key_encryption_key: Option<Result<KeyEncryptionKey, UnusableKeyEncryptionKey>>,
}

/// A key-encryption key that is configured and cannot be read. The text begins with the setting, and never contains the
/// key.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct UnusableKeyEncryptionKey(pub String);

/// The key directory of a deployment: reads and writes private keys.
#[derive(Debug)]
pub struct KeyDirectory {
    folder: KeyFolder,
    /// The id of the deployment, which sealed keys are bound to.
    origin: Uuid,
}

/// How a private key is stored.
#[derive(Debug)]
pub enum Stored {
    /// As PKCS#8 in PEM.
    Plain(Zeroizing<String>),
    /// Sealed by a key-encryption key.
    Sealed(Sealed),
}

/// The outcome of [`KeyDirectory::seal_all`] and [`KeyDirectory::unseal_all`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// How many files were written anew.
    pub changed: usize,
    /// How many files were as requested already.
    pub unchanged: usize,
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
        Secret::Key.check_folder(&path, metadata.mode())?;
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
        KeyDirectory { folder: self, origin }
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
    fn key(&self, kid: &KeyId, pem: &str) -> Result<SigningKey, DirectoryError> {
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
    fn key_encryption_key<'a>(
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
    fn has_sealed(&self) -> Result<bool, DirectoryError> {
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

    fn file(&self, kid: &KeyId) -> PathBuf {
        self.path.join(format!("{kid}{EXTENSION}"))
    }

    /// Locks the directory for changes by other processes, until the returned file is dropped.
    fn lock(&self) -> Result<File, DirectoryError> {
        let folder = File::open(&self.path).map_err(io_error("opened", &self.path))?;
        folder.lock().map_err(io_error("locked", &self.path))?;
        Ok(folder)
    }

    /// Writes the file of a key, in place of the former one if there is one. On return it survives a power failure; on
    /// an error no partial file has its name. The caller holds the lock.
    fn write(&self, kid: &KeyId, text: &str) -> Result<(), DirectoryError> {
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
    fn remove_unfinished(&self) -> Result<(), DirectoryError> {
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
fn unfinished_name(kid: &KeyId) -> String {
    format!(".{kid}{UNFINISHED}")
}

/// Returns whether [`unfinished_name`] gives this name to a key.
fn is_unfinished(name: &OsStr) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_prefix('.'));
    let stem = stem.and_then(|name| name.strip_suffix(UNFINISHED));
    stem.is_some_and(|kid| kid.parse::<KeyId>().is_ok())
}

impl KeyDirectory {
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
        let Some(stored) = self.folder.stored(kid)? else {
            return Ok(None);
        };
        let pem = self.open(kid, stored, None)?;
        self.folder.key(kid, &pem).map(Some)
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

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use jeton_verifier::Algorithm;
    use tempfile::TempDir;

    use super::*;

    fn open(path: impl Into<PathBuf>) -> Result<KeyDirectory, DirectoryError> {
        sealing(path, None)
    }

    fn sealing(path: impl Into<PathBuf>, key: Option<u8>) -> Result<KeyDirectory, DirectoryError> {
        let key = key.map(|byte| Ok(key_encryption_key(byte)));
        Ok(KeyFolder::open(path, key)?.of_deployment(Uuid::from_bytes([7; 16])))
    }

    fn key_encryption_key(byte: u8) -> KeyEncryptionKey {
        KeyEncryptionKey::of_text(STANDARD.encode([byte; 32]).as_bytes()).unwrap()
    }

    fn folder() -> (TempDir, KeyDirectory) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = open(temporary.path().join("keys")).unwrap();
        (temporary, directory)
    }

    fn stored(directory: &KeyDirectory) -> (KeyId, PathBuf) {
        let (key, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        directory.store(&pem).unwrap();
        (key.kid().clone(), directory.folder.file(key.kid()))
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_missing_folder_is_made_for_its_owner_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/keys");
        let directory = open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(directory.folder.kids().unwrap(), []);
    }

    #[test]
    fn stored_keys_survive_reopening() {
        let (temporary, directory) = folder();
        let mut kids: Vec<KeyId> = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256]
            .into_iter()
            .map(|algorithm| {
                let (_, pem) = SigningKey::generate(algorithm).unwrap();
                directory.store(&pem).unwrap();
                directory.store(&pem).unwrap().kid().clone()
            })
            .collect();
        kids.sort();
        fs::write(temporary.path().join("keys/README.md"), "about this folder").unwrap();

        let directory = open(temporary.path().join("keys")).unwrap();
        assert_eq!(directory.folder.kids().unwrap(), kids);
        for kid in &kids {
            assert_eq!(mode(&directory.folder.file(kid)), 0o600);
            assert_eq!(directory.load(kid).unwrap().unwrap().kid(), kid);
        }
        // Three keys and the README, and no unfinished file.
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    }

    #[test]
    fn an_absent_key_is_none() {
        let (_temporary, directory) = folder();
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert!(directory.load(key.kid()).unwrap().is_none());
    }

    #[test]
    fn a_folder_that_others_can_change_is_refused() {
        let (_temporary, directory) = folder();
        for bad in [0o770, 0o702, 0o777, 0o1777] {
            set_mode(directory.path(), bad);
            let error = open(directory.path()).unwrap_err();
            assert!(
                matches!(error, DirectoryError::Exposed(Exposed::Writable { mode, .. }) if mode == bad),
                "{error}"
            );
            let path = directory.path().display();
            assert_eq!(
                error.to_string(),
                format!("{path} can be changed by other users (mode {bad:04o}): run `chmod go-w {path}`")
            );
        }
        for good in [0o700, 0o755] {
            set_mode(directory.path(), good);
            open(directory.path()).unwrap();
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_temporary, directory) = folder();
        let (kid, path) = stored(&directory);
        for bad in [0o640, 0o604, 0o620, 0o644, 0o601] {
            set_mode(&path, bad);
            for error in [
                open(directory.path()).unwrap_err(),
                directory.load(&kid).unwrap_err(),
            ] {
                assert!(
                    matches!(error, DirectoryError::Exposed(Exposed::Readable { mode, .. }) if mode == bad),
                    "{error}"
                );
                assert!(
                    error
                        .to_string()
                        .contains(&format!("`chmod 600 {}`", path.display()))
                );
            }
        }
        for good in [0o600, 0o400] {
            set_mode(&path, good);
            open(directory.path()).unwrap();
            directory.load(&kid).unwrap().unwrap();
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let (_temporary, directory) = folder();
        let (kid, path) = stored(&directory);
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let error = directory.load(&kid).unwrap_err();
        assert!(matches!(error, DirectoryError::Key { .. }));
        assert!(error.to_string().starts_with(&path.display().to_string()));

        fs::write(&path, [0xff; 10]).unwrap();
        assert!(matches!(
            directory.load(&kid),
            Err(DirectoryError::Io { action: "read", .. })
        ));
    }

    #[test]
    fn a_key_under_another_name_is_refused() {
        let (_temporary, directory) = folder();
        let (kid, path) = stored(&directory);
        let (other, other_path) = stored(&directory);
        fs::rename(&path, &other_path).unwrap();
        let error = directory.load(&other).unwrap_err();
        assert!(matches!(error, DirectoryError::Misnamed { kid: found, .. } if found == kid));

        fs::rename(&other_path, directory.path().join("backup.pem")).unwrap();
        assert!(matches!(
            directory.folder.kids(),
            Err(DirectoryError::NotAKeyName { .. })
        ));
        assert!(matches!(
            open(directory.path()),
            Err(DirectoryError::NotAKeyName { .. })
        ));
    }

    #[test]
    fn links_and_folders_are_no_keys() {
        let (temporary, directory) = folder();
        let (kid, path) = stored(&directory);
        let elsewhere = temporary.path().join("elsewhere.pem");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(matches!(
            directory.load(&kid),
            Err(DirectoryError::NotAFile { .. })
        ));
        assert!(matches!(
            open(directory.path()),
            Err(DirectoryError::NotAFile { .. })
        ));

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(
            directory.load(&kid),
            Err(DirectoryError::NotAFile { .. })
        ));
        assert!(matches!(open(&elsewhere), Err(DirectoryError::NotAFolder { .. })));
    }

    #[test]
    fn storing_over_a_link_replaces_the_link_and_not_its_target() {
        let (temporary, directory) = folder();
        let (key, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let target = temporary.path().join("target");
        fs::write(&target, "untouched").unwrap();
        symlink(&target, directory.folder.file(key.kid())).unwrap();
        symlink(
            &target,
            directory.path().join(format!(".{}.unfinished", key.kid())),
        )
        .unwrap();
        directory.store(&pem).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
        directory.load(key.kid()).unwrap().unwrap();
    }

    #[test]
    fn unfinished_key_files_of_a_crash_are_ignored() {
        let (_temporary, directory) = folder();
        let (key, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        fs::write(
            directory.path().join(format!(".{}.unfinished", key.kid())),
            "half a k",
        )
        .unwrap();
        assert_eq!(open(directory.path()).unwrap().folder.kids().unwrap(), []);
        directory.store(&pem).unwrap();
        assert_eq!(directory.folder.kids().unwrap(), std::slice::from_ref(key.kid()));
    }

    #[test]
    fn a_text_that_is_no_key_is_not_stored() {
        let (_temporary, directory) = folder();
        assert!(matches!(
            directory.store("no key"),
            Err(DirectoryError::NotStorable(_))
        ));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    /// Returns which key-encryption keys seal the files; `None` for a plain one.
    fn sealed_by(directory: &KeyDirectory) -> Vec<Option<KeyEncryptionKeyId>> {
        let kids = directory.folder.kids().unwrap();
        let stored = kids
            .iter()
            .map(|kid| directory.folder.stored(kid).unwrap().unwrap());
        stored
            .map(|stored| match stored {
                Stored::Plain(_) => None,
                Stored::Sealed(sealed) => Some(sealed.sealed_by()),
            })
            .collect()
    }

    fn rewritten(changed: usize, unchanged: usize) -> Rewritten {
        Rewritten { changed, unchanged }
    }

    #[test]
    fn a_directory_with_a_key_encryption_key_stores_sealed_keys() {
        let (_temporary, plain) = folder();
        let (old, _) = stored(&plain);
        let sealing_directory = sealing(plain.path(), Some(1)).unwrap();
        assert_eq!(
            sealing_directory.folder.check().unwrap(),
            1,
            "a plain key is still read"
        );
        let (new, path) = stored(&sealing_directory);
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .starts_with("-----BEGIN JETON SEALED")
        );
        assert_eq!(mode(&path), 0o600);
        for kid in [&old, &new] {
            assert_eq!(sealing_directory.load(kid).unwrap().unwrap().kid(), kid);
        }

        // Without the key, a sealed file is an error that names the setting, and no plain key is stored beside it.
        let plain = open(plain.path()).unwrap();
        for error in [plain.load(&new).unwrap_err(), plain.folder.check().unwrap_err()] {
            let text = error.to_string();
            assert!(
                matches!(error, DirectoryError::NoKeyEncryptionKey { .. }),
                "{text}"
            );
            assert!(
                text.contains(&path.display().to_string()) && text.contains("JETON_KEY_ENCRYPTION_KEY_FILE")
            );
        }
        let (_, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert!(matches!(
            plain.store(&pem),
            Err(DirectoryError::WouldBePlain { .. })
        ));

        let other = sealing(plain.path(), Some(2)).unwrap();
        for error in [other.load(&new).unwrap_err(), other.folder.check().unwrap_err()] {
            assert!(
                matches!(error, DirectoryError::OtherKeyEncryptionKey { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn all_keys_are_sealed_rotated_and_unsealed() {
        let (_temporary, plain) = folder();
        let pems: Vec<_> = (0..3).map(|_| fs::read(stored(&plain).1).unwrap()).collect();
        let left_behind = plain
            .path()
            .join(unfinished_name(&plain.folder.kids().unwrap()[0]));
        fs::write(&left_behind, &pems[0]).unwrap();
        let notes = ["notes.unfinished", ".notes.unfinished"].map(|name| plain.path().join(name));
        notes
            .iter()
            .for_each(|path| fs::write(path, "not of jeton").unwrap());
        let one = sealing(plain.path(), Some(1)).unwrap();
        let two = sealing(plain.path(), Some(2)).unwrap();
        let id = |byte| Some(key_encryption_key(byte).id());

        assert_eq!(one.seal_all(None).unwrap(), rewritten(3, 0));
        assert_eq!(one.seal_all(None).unwrap(), rewritten(0, 3));
        assert_eq!(sealed_by(&one), [id(1); 3]);
        assert!(!left_behind.exists(), "a crash may have left a plain key");
        let mut others = one.folder.other_files().unwrap();
        others.sort_by_key(|path| std::cmp::Reverse(path.file_name().unwrap().to_owned()));
        assert_eq!(others, notes, "the files of others stay");
        for entry in fs::read_dir(one.path()).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(!text.contains("BEGIN PRIVATE KEY"), "{text}");
        }

        // A rotation of the key-encryption key, after one that was interrupted.
        let kid = one.folder.kids().unwrap().remove(1);
        let first = fs::read(one.folder.file(&kid)).unwrap();
        let previous = key_encryption_key(1);
        assert!(matches!(
            two.seal_all(None),
            Err(DirectoryError::OtherKeyEncryptionKey { .. })
        ));
        assert_eq!(sealed_by(&one), [id(1); 3], "nothing was changed");
        assert_eq!(two.seal_all(Some(&previous)).unwrap(), rewritten(3, 0));
        fs::write(two.folder.file(&kid), &first).unwrap();
        assert_eq!(two.seal_all(Some(&previous)).unwrap(), rewritten(1, 2));
        assert_eq!(sealed_by(&two), [id(2); 3]);
        assert!(matches!(
            plain.seal_all(None),
            Err(DirectoryError::NothingToSealWith)
        ));

        assert_eq!(two.unseal_all().unwrap(), rewritten(3, 0));
        assert_eq!(sealed_by(&two), [None; 3]);
        let mut after: Vec<_> = plain
            .folder
            .kids()
            .unwrap()
            .iter()
            .map(|kid| fs::read(plain.folder.file(kid)).unwrap())
            .collect();
        let mut before = pems;
        before.sort();
        after.sort();
        assert_eq!(before, after);
    }

    #[test]
    fn a_key_that_cannot_be_read_stops_a_seal_before_it_changes_anything() {
        let (_temporary, plain) = folder();
        let (kid, path) = stored(&plain);
        stored(&plain);
        let one = sealing(plain.path(), Some(1)).unwrap();
        let good = fs::read(&path).unwrap();
        fs::write(&path, "no key").unwrap();
        assert!(matches!(one.seal_all(None), Err(DirectoryError::Key { .. })));
        fs::write(&path, &good).unwrap();
        assert_eq!(sealed_by(&one), [None; 2]);
        one.seal_all(None).unwrap();

        // The file of another key, and that of another deployment.
        let other = one
            .folder
            .kids()
            .unwrap()
            .into_iter()
            .find(|other| *other != kid)
            .unwrap();
        fs::copy(one.folder.file(&other), &path).unwrap();
        let error = one.load(&kid).unwrap_err();
        assert!(
            matches!(
                error,
                DirectoryError::Sealed {
                    source: SealError::Altered,
                    ..
                }
            ),
            "{error}"
        );
        let moved = KeyFolder::open(one.path(), Some(Ok(key_encryption_key(1)))).unwrap();
        let moved = moved.of_deployment(Uuid::from_bytes([8; 16]));
        assert!(matches!(moved.load(&other), Err(DirectoryError::Sealed { .. })));
        assert!(one.load(&other).unwrap().is_some(), "the control");
    }
}
