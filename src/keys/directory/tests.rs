//! Tests of the folder and of the keys in it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_core::file_mode::Exposed;
use jeton_verifier::Algorithm;
use tempfile::TempDir;

use super::*;
use crate::keys::folder::unfinished_name;
use crate::keys::seal::{KeyEncryptionKeyId, SealError};

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
        assert!(text.contains(&path.display().to_string()) && text.contains("JETON_KEY_ENCRYPTION_KEY_FILE"));
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
