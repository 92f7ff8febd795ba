//! Reads secrets from files: a password, a key-encryption key, a credential of systemd.

use std::path::Path;

use jeton_core::file_mode::Secret;
use zeroize::Zeroizing;

use crate::keys::KeyEncryptionKey;
use crate::regular_file::RegularFile;

/// Reads a regular file that other users cannot read; `None` if it has more than `longest` bytes. The error continues a
/// sentence that begins with the setting.
pub(super) fn read(
    path: &Path,
    longest: usize,
    secret: Secret,
) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let unreadable = |error| format!("names a file that cannot be read: {}: {error}", path.display());
    let file = RegularFile::open(path).map_err(unreadable)?;
    let file = file.ok_or_else(|| format!("must name a regular file (it is {})", path.display()))?;
    secret
        .check_file(path, file.mode())
        .map_err(|error| format!("is refused: {error}"))?;
    file.read(longest).map_err(unreadable)
}

/// Reads a key-encryption key. The error continues a sentence that begins with the setting.
pub(crate) fn key_encryption_key(path: &Path) -> Result<KeyEncryptionKey, String> {
    let refused = |error| format!("names the file {}, which {error}", path.display());
    let text = read(path, KeyEncryptionKey::MAXIMUM_TEXT, Secret::KeyEncryptionKey)?;
    KeyEncryptionKey::of_text(text.as_ref().map_or(&[], |text| text)).map_err(refused)
}
