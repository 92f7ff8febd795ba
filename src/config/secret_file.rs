//! Reads secrets from files: a password, a key-encryption key, a credential of systemd.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jeton_core::file_mode::Secret;
use zeroize::Zeroizing;

use crate::keys::KeyEncryptionKey;

/// Reads a regular file that other users cannot read; `None` if it has more than `longest` bytes. The error continues a
/// sentence that begins with the setting.
pub(super) fn read(
    path: &Path,
    longest: usize,
    secret: Secret,
) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let unreadable = |error| format!("names a file that cannot be read: {}: {error}", path.display());
    // A pipe would block the start.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("must name a regular file (it is {})", path.display()));
    }
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    secret
        .check_file(path, mode)
        .map_err(|error| format!("is refused: {error}"))?;
    // The buffer never grows, so no copy of the secret stays in freed memory.
    let room = longest + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    file.take(room as u64)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    Ok((text.len() < room).then_some(text))
}

/// Reads a key-encryption key. The error continues a sentence that begins with the setting.
pub(crate) fn key_encryption_key(path: &Path) -> Result<KeyEncryptionKey, String> {
    let refused = |error| format!("names the file {}, which {error}", path.display());
    let text = read(path, KeyEncryptionKey::MAXIMUM_TEXT, Secret::KeyEncryptionKey)?;
    KeyEncryptionKey::of_text(text.as_ref().map_or(&[], |text| text)).map_err(refused)
}
