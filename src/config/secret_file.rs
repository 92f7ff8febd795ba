//! Reads secrets from files: a password, a key-encryption key, a credential of systemd.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use jeton_core::file_mode::Secret;
use zeroize::Zeroizing;

use crate::keys::{KeyEncryptionKey, UnusableKeyEncryptionKey};
use crate::regular_file::RegularFile;

/// Reads a regular file that other users cannot read; `None` if it has more than `longest` bytes. The error continues a
/// sentence that begins with the setting.
pub(super) fn read(
    path: &Path,
    longest: usize,
    secret: Secret,
) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let unreadable = |error| format!("names a file that cannot be read: {}: {error}", path.display());
    let unknown = |error: io::Error| match is_path(path) || error.kind() == ErrorKind::PermissionDenied {
        true => unreadable(error),
        false => format!(
            "names a file that cannot be read: {error} (its value is not shown, since it may be the secret itself)"
        ),
    };
    let file = RegularFile::open(path).map_err(unknown)?;
    let file = file.ok_or_else(|| format!("must name a regular file (it is {})", path.display()))?;
    secret
        .check_file(path, file.mode())
        .map_err(|error| format!("is refused: {error}"))?;
    file.read(longest).map_err(unreadable)
}

/// Returns whether a value that names no file is a path for certain: absolute, and not right below the root. Otherwise
/// somebody may have set the secret in place of the path.
fn is_path(value: &Path) -> bool {
    value.is_absolute() && value.components().count() > 2
}

/// The file of the key-encryption key. It is read by those who need the key: a file that is lost keeps nobody from
/// revoking a key.
#[derive(Debug)]
pub struct KeyEncryptionKeyFile {
    pub path: PathBuf,
    /// The setting that names the file, as an error begins with it.
    setting: String,
}

impl KeyEncryptionKeyFile {
    pub(crate) fn new(path: PathBuf, setting: impl Into<String>) -> Self {
        let setting = setting.into();
        Self { path, setting }
    }

    /// Reads the key.
    pub fn read(&self) -> Result<KeyEncryptionKey, UnusableKeyEncryptionKey> {
        let Self { path, setting } = self;
        let refused = |problem: &dyn Display| UnusableKeyEncryptionKey(format!("{setting} {problem}"));
        let path = not_a_key(path.clone().into()).map_err(|problem| refused(&problem))?;
        let text = read(&path, KeyEncryptionKey::MAXIMUM_TEXT, Secret::KeyEncryptionKey);
        let text = text.map_err(|problem| refused(&problem))?;
        let text: &[u8] = text.as_ref().map_or(&[], |text| text);
        KeyEncryptionKey::of_text(text).map_err(|error| {
            let path = path.display();
            refused(&format_args!("names the file {path}, which {error}"))
        })
    }
}

/// Returns the path of a key-encryption key's file.
///
/// # Errors
/// If it is the key.
pub(super) fn not_a_key(value: OsString) -> Result<PathBuf, &'static str> {
    match KeyEncryptionKey::of_text(value.as_encoded_bytes()) {
        Ok(_) => Err("must be the path of a file, not the key"),
        Err(_) => Ok(value.into()),
    }
}
