//! Findings about the private keys: each key of the database that signs has its file, which is whole and is its key.

use super::Finding;
use crate::backend::BackupError;
use crate::causes::error_chain;
use crate::config::Config;
use crate::keys::{KeyDirectory, Stored};
use jeton_store::KeyState;
use uuid::Uuid;

/// Compares the keys of the database with the folder. `origin` is the id of the deployment.
pub(super) fn findings(config: &Config, keys: &[(String, KeyState)], origin: Uuid) -> Vec<Finding> {
    let folder = &config.keys.folder;
    // Opening would create it.
    if !folder.is_dir() {
        return vec![Finding::fail(
            "keys",
            format!("the folder {} does not exist", folder.display()),
            RESTORE,
        )];
    }
    let directory = match super::super::keys::folder(config) {
        Ok(folder) => folder.of_deployment(origin),
        Err(error) => {
            return vec![Finding::fail(
                "keys",
                error_chain(&error),
                "make the folder and the key-encryption key readable to the user of the server alone",
            )];
        }
    };
    let mut findings: Vec<Finding> = keys
        .iter()
        .filter_map(|(kid, state)| key(&directory, kid, *state))
        .collect();
    findings.extend(others(&directory, keys));
    if findings.is_empty() {
        findings.push(Finding::ok("keys", "every key that signs has its file"));
    }
    findings
}

/// Returns the finding of keys that cannot be read from the database.
pub(super) fn unreadable(error: &BackupError) -> Finding {
    Finding::fail("keys", error_chain(error), super::database::advice(error))
}

const RESTORE: &str = "restore the folder of the keys, or publish another key with `jeton keys rotate`";

/// Checks the file of one key; `None` if it is as it should be.
fn key(directory: &KeyDirectory, kid: &str, state: KeyState) -> Option<Finding> {
    let signs = matches!(state, KeyState::Signing | KeyState::Published);
    if !signs {
        return None;
    }
    let id = match kid.parse() {
        Ok(id) => id,
        Err(error) => return Some(Finding::fail("keys", format!("{kid}: {error}"), RESTORE)),
    };
    let stored = directory.folder().stored(&id);
    match directory.load(&id) {
        Ok(Some(_)) if directory.folder().seals() && matches!(stored, Ok(Some(Stored::Plain(_)))) => {
            Some(Finding::warn(
                "keys",
                format!("the private key of {kid} is plain, and a key-encryption key is configured"),
                "run `jeton keys seal`",
            ))
        }
        Ok(Some(_)) => None,
        Ok(None) => Some(Finding::fail(
            "keys",
            format!(
                "the private key of {kid} is missing, and it is {}",
                state.as_str()
            ),
            RESTORE,
        )),
        Err(error) => Some(Finding::fail("keys", error_chain(&error), RESTORE)),
    }
}

/// Names the files of keys that this database does not know.
fn others(directory: &KeyDirectory, keys: &[(String, KeyState)]) -> Option<Finding> {
    let kids = match directory.folder().kids() {
        Ok(kids) => kids,
        Err(error) => return Some(Finding::fail("keys", error_chain(&error), RESTORE)),
    };
    let is_known = |kid: &str| keys.iter().any(|(known, _)| known == kid);
    let unknown: Vec<String> = kids
        .iter()
        .filter(|kid| !is_known(kid.as_str()))
        .map(ToString::to_string)
        .collect();
    (!unknown.is_empty()).then(|| {
        Finding::warn(
            "keys",
            format!("{} has private keys of no key of this database: {}", directory.path().display(), unknown.join(" ")),
            "delete them unless another deployment needs them: with a leaked one nobody can sign for this one, but nobody \
             misses it either",
        )
    })
}
