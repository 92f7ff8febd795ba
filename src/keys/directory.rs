//! The directory of private keys: one `<kid>.pem` each, protected from reads and changes by other
//! users.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jeton_core::file_mode::{Exposed, Secret};
use jeton_verifier::KeyId;
use zeroize::Zeroizing;

use super::material::{KeyError, SigningKey};

const EXTENSION: &str = ".pem";

/// The maximum size of a key file, more than the longest key needs. Larger files are not read into
/// memory.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A directory that only its owner can change, with key files that only their owner can read.
#[derive(Debug)]
pub struct KeyDirectory {
    path: PathBuf,
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

impl KeyDirectory {
    /// Opens the directory, creates it (for its owner alone) if it is missing, and checks its
    /// permissions and those of every key file.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
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
        let directory = Self { path };
        for kid in directory.kids()? {
            let path = directory.file(&kid);
            let metadata = fs::symlink_metadata(&path).map_err(io_error("examined", &path))?;
            check_file(&path, &metadata)?;
        }
        Ok(directory)
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the ids of all keys, sorted. Files that do not end in `.pem` are ignored.
    pub fn kids(&self) -> Result<Vec<KeyId>, DirectoryError> {
        let mut kids = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io_error("listed", &self.path))? {
            let name = entry.map_err(io_error("listed", &self.path))?.file_name();
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

    /// Loads a key, or returns `None` if its file does not exist.
    pub fn load(&self, kid: &KeyId) -> Result<Option<SigningKey>, DirectoryError> {
        let path = self.file(kid);
        let Some(text) = read(&path)? else {
            return Ok(None);
        };
        let key = SigningKey::from_pem(&text).map_err(|source| DirectoryError::Key {
            path: path.clone(),
            source,
        })?;
        if key.kid() != kid {
            return Err(DirectoryError::Misnamed {
                path,
                kid: key.kid().clone(),
            });
        }
        Ok(Some(key))
    }

    /// Stores a key from its PEM under its key id. On return the key survives a power failure; on an
    /// error no partial key file exists. Storing a key twice is harmless.
    pub fn store(&self, pem: &str) -> Result<SigningKey, DirectoryError> {
        let key = SigningKey::from_pem(pem).map_err(DirectoryError::NotStorable)?;
        let path = self.file(key.kid());
        // A different extension, so that the remains of a crash are never read as a key.
        let unfinished = self.path.join(format!(".{}.unfinished", key.kid()));
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_error("removed", &unfinished)(error));
            }
            _ => {}
        }
        write_new(&unfinished, pem).map_err(io_error("written", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(io_error("renamed", &unfinished))?;
        sync(&self.path)?;
        Ok(key)
    }

    fn file(&self, kid: &KeyId) -> PathBuf {
        self.path.join(format!("{kid}{EXTENSION}"))
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
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use jeton_verifier::Algorithm;
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, KeyDirectory) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = KeyDirectory::open(temporary.path().join("keys")).unwrap();
        (temporary, directory)
    }

    fn stored(directory: &KeyDirectory) -> (KeyId, PathBuf) {
        let (key, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        directory.store(&pem).unwrap();
        (key.kid().clone(), directory.file(key.kid()))
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
        let directory = KeyDirectory::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(directory.kids().unwrap(), []);
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

        let directory = KeyDirectory::open(temporary.path().join("keys")).unwrap();
        assert_eq!(directory.kids().unwrap(), kids);
        for kid in &kids {
            assert_eq!(mode(&directory.file(kid)), 0o600);
            assert_eq!(directory.load(kid).unwrap().unwrap().kid(), kid);
        }
        // Three keys and the README, and no unfinished file.
        assert_eq!(fs::read_dir(&directory.path).unwrap().count(), 4);
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
            set_mode(&directory.path, bad);
            let error = KeyDirectory::open(&directory.path).unwrap_err();
            assert!(
                matches!(error, DirectoryError::Exposed(Exposed::Writable { mode, .. }) if mode == bad),
                "{error}"
            );
            let path = directory.path.display();
            assert_eq!(
                error.to_string(),
                format!("{path} can be changed by other users (mode {bad:04o}): run `chmod go-w {path}`")
            );
        }
        for good in [0o700, 0o755] {
            set_mode(&directory.path, good);
            KeyDirectory::open(&directory.path).unwrap();
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_temporary, directory) = folder();
        let (kid, path) = stored(&directory);
        for bad in [0o640, 0o604, 0o620, 0o644, 0o601] {
            set_mode(&path, bad);
            for error in [
                KeyDirectory::open(&directory.path).unwrap_err(),
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
            KeyDirectory::open(&directory.path).unwrap();
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

        fs::rename(&other_path, directory.path.join("backup.pem")).unwrap();
        assert!(matches!(
            directory.kids(),
            Err(DirectoryError::NotAKeyName { .. })
        ));
        assert!(matches!(
            KeyDirectory::open(&directory.path),
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
            KeyDirectory::open(&directory.path),
            Err(DirectoryError::NotAFile { .. })
        ));

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(
            directory.load(&kid),
            Err(DirectoryError::NotAFile { .. })
        ));
        assert!(matches!(
            KeyDirectory::open(&elsewhere),
            Err(DirectoryError::NotAFolder { .. })
        ));
    }

    #[test]
    fn storing_over_a_link_replaces_the_link_and_not_its_target() {
        let (temporary, directory) = folder();
        let (key, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let target = temporary.path().join("target");
        fs::write(&target, "untouched").unwrap();
        symlink(&target, directory.file(key.kid())).unwrap();
        symlink(&target, directory.path.join(format!(".{}.unfinished", key.kid()))).unwrap();
        directory.store(&pem).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
        directory.load(key.kid()).unwrap().unwrap();
    }

    #[test]
    fn unfinished_key_files_of_a_crash_are_ignored() {
        let (_temporary, directory) = folder();
        let (key, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        fs::write(
            directory.path.join(format!(".{}.unfinished", key.kid())),
            "half a k",
        )
        .unwrap();
        assert_eq!(KeyDirectory::open(&directory.path).unwrap().kids().unwrap(), []);
        directory.store(&pem).unwrap();
        assert_eq!(directory.kids().unwrap(), std::slice::from_ref(key.kid()));
    }

    #[test]
    fn a_text_that_is_no_key_is_not_stored() {
        let (_temporary, directory) = folder();
        assert!(matches!(
            directory.store("no key"),
            Err(DirectoryError::NotStorable(_))
        ));
        assert_eq!(fs::read_dir(&directory.path).unwrap().count(), 0);
    }
}
