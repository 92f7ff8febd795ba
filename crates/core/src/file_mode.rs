//! Which permission bits the files that hold secrets, and their folders, may have.

use std::path::{Path, PathBuf};

/// A file or a folder that other users could read or change. The text names the path and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exposed {
    /// Another user could read a secret.
    #[error(
        "{} is readable by other users (mode {mode:04o}): run `chmod {} {}`, and {} if others may have read it",
        path.display(), secret.safe_mode(), path.display(), secret.remedy()
    )]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The secret in it.
        secret: Secret,
    },
    /// Another user could replace the files of a folder.
    #[error(
        "{} can be changed by other users (mode {mode:04o}): run `chmod go-w {}`",
        path.display(), path.display()
    )]
    Writable {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// The secret that a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// A private key, with which others could sign tokens.
    Key,
    /// The database, its WAL, its journal or a backup: hashes of passwords, users, tokens and revocations.
    Database,
    /// A password in plain text.
    Password,
    /// The key that seals private keys.
    KeyEncryptionKey,
    /// The private key of a TLS certificate.
    TlsKey,
}

impl Secret {
    /// Returns the permission bits that its file must not have.
    fn forbidden(self) -> u32 {
        match self {
            Self::Key | Self::Database => 0o077,
            // The service manager gives a credential to one user by an ACL, whose mask stands in place of the
            // group's bits: systemd's have the mode 0440.
            // Debian gives TLS keys to the services of a group, ssl-cert, with the mode 0640.
            Self::Password | Self::KeyEncryptionKey | Self::TlsKey => 0o037,
        }
    }

    /// Returns the argument of `chmod` that takes these bits away.
    fn safe_mode(self) -> &'static str {
        match self {
            Self::Key | Self::Database => "600",
            // The file of a group stays readable by the group.
            Self::Password | Self::KeyEncryptionKey | Self::TlsKey => "o=,g-wx",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Key => "replace the key",
            Self::Database => "have the users change their passwords",
            Self::Password => "change the password",
            Self::KeyEncryptionKey => "replace it with `jeton keys seal --previous`",
            Self::TlsKey => "replace the certificate and its key",
        }
    }

    /// Refuses a file that other users can read or write, by the mode of its metadata.
    ///
    /// # Errors
    ///
    /// [`Exposed::Readable`]
    pub fn check_file(self, path: &Path, mode: u32) -> Result<(), Exposed> {
        let mode = mode & 0o7777;
        if mode & self.forbidden() == 0 {
            return Ok(());
        }
        Err(Exposed::Readable {
            path: path.to_owned(),
            mode,
            secret: self,
        })
    }
}

/// A folder in which nobody else may replace a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFolder {
    /// The folder of the private keys. It holds nothing else.
    Keys,
    /// A folder with a database, its journal or backups. A group may share it, as with a umask of 002.
    Database,
}

impl SecretFolder {
    /// Refuses a folder that other users can change, by the mode of its metadata.
    ///
    /// # Errors
    ///
    /// [`Exposed::Writable`]
    pub fn check(self, path: &Path, mode: u32) -> Result<(), Exposed> {
        let mode = mode & 0o7777;
        let forbidden = match self {
            Self::Keys => 0o022,
            Self::Database => 0o002,
        };
        if mode & forbidden == 0 {
            return Ok(());
        }
        Err(Exposed::Writable {
            path: path.to_owned(),
            mode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_reads_and_only_a_credential_or_a_tls_key_may_have_a_group() {
        let path = Path::new("file");
        for (secret, mode, is_fine) in [
            (Secret::Key, 0o100_600, true),
            (Secret::Key, 0o100_400, true),
            (Secret::Key, 0o100_640, false),
            (Secret::Database, 0o100_600, true),
            (Secret::Database, 0o100_604, false),
            (Secret::Database, 0o100_620, false),
            (Secret::Database, 0o100_602, false),
            (Secret::Password, 0o100_400, true),
            (Secret::Password, 0o100_440, true),
            (Secret::Password, 0o100_460, false),
            (Secret::Password, 0o100_444, false),
            (Secret::KeyEncryptionKey, 0o100_600, true),
            (Secret::KeyEncryptionKey, 0o100_440, true),
            (Secret::KeyEncryptionKey, 0o100_460, false),
            (Secret::KeyEncryptionKey, 0o100_404, false),
            (Secret::TlsKey, 0o100_640, true),
            (Secret::TlsKey, 0o100_644, false),
            (Secret::TlsKey, 0o100_620, false),
        ] {
            assert_eq!(
                secret.check_file(path, mode).is_ok(),
                is_fine,
                "{secret:?} {mode:o}"
            );
        }
    }

    #[test]
    fn others_may_see_a_folder_and_not_change_it() {
        let path = Path::new("folder");
        for (mode, keys, database) in [
            (0o040_700, true, true),
            (0o040_755, true, true),
            (0o040_775, false, true),
            (0o040_757, false, false),
            (0o041_777, false, false),
        ] {
            let is_fine = |folder: SecretFolder| folder.check(path, mode).is_ok();
            let fine = (is_fine(SecretFolder::Keys), is_fine(SecretFolder::Database));
            assert_eq!(fine, (keys, database), "{mode:o}");
        }
    }
}
