//! `jeton move`: moves the deployment to another database. No token is issued again.

use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;
use jeton_core::clock::Clock;
use jeton_core::entropy::Entropy;
use jeton_store::{StoredSettings, moving};
use jeton_verifier::KeyId;

use super::keys::{PrivateKeys, check_key_encryption_key};
use super::{Failure, output};
use crate::backend;
use crate::config::{Config, Database, Flags, changes};
use crate::system::{SystemClock, SystemEntropy};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The database to move to: a file that does not exist, or the URL of an empty PostgreSQL database. Its password is
    /// better in the file that JETON_DATABASE_PASSWORD_FILE names: every user of the machine can read arguments
    #[arg(long, value_name = "FILE|URL")]
    to: OsString,
}

pub(super) fn run(Arguments { to }: Arguments, flags: Flags) -> Result<(), Failure> {
    let config = super::prepare_with_stored(Flags {
        move_to: Some(to),
        ..flags
    })?;
    super::existing(&config)?;
    match &config.move_to {
        Some(target) => super::runtime()?.block_on(carry_out(target, &config)),
        None => Ok(()),
    }
}

async fn carry_out(target: &Database, config: &Config) -> Result<(), Failure> {
    let settings = changes::stored(config)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let (from, to) = (config.database.name(), target.name());
    let _locks = (backend::lock(&config.database)?, backend::lock(target)?);
    let mut source = match backend::leave(config, &entropy).await {
        Err(error) if error.moved_to() == Some(&to) => {
            let held = backend::held(target, config, &entropy).await?;
            // An earlier call was interrupted after the last step that can fail.
            held.ok_or(error)?.release().await?;
            return report(&from, target, &settings);
        }
        source => source?,
    };
    check_key_encryption_key(config, target)?;
    let origin = source.facts().await?.origin;
    let before = PrivateKeys::of(&config.database, config)?.of_deployment(origin);
    let after = PrivateKeys::of(target, config)?.of_deployment(origin);
    let mut private_keys = Vec::new();
    for (kid, sealed) in source.keys().await? {
        let pem = before.pem(&kid.parse::<KeyId>()?, sealed.as_deref())?;
        private_keys.extend(pem);
    }
    let mut copy = backend::enter(target, config, &entropy).await?;
    let progress = output::Progress::new("moving");
    let copied = moving::copy(&mut *source, &mut *copy, |done, of| progress.set(done, of)).await;
    drop(progress);
    let rows = copied.map_err(|source| Failure::Move {
        from: from.clone(),
        source,
    })?;
    for pem in &private_keys {
        let key = after.store(pem)?;
        if let Some(sealed) = key.sealed {
            copy.seal(&key.kid, &sealed).await?;
        }
    }
    if let Database::Postgres(_) = target {
        moving::keep_settings(&mut *copy, &settings, SystemClock.now()).await?;
    }
    // Until the source is marked, the copy is not served; from then on, the source is not.
    copy.hold(&from).await?;
    source.leave(&to).await?;
    copy.release().await?;
    output::print(&format!(
        "{rows} rows and {} private keys are copied and compared",
        private_keys.len()
    ))?;
    report(&from, target, &settings)
}

/// Says what the configuration must have from now on. Settings that servers share are in a PostgreSQL database, and in
/// the configuration beside a database file.
fn report(from: &str, target: &Database, settings: &StoredSettings) -> Result<(), Failure> {
    let mut said = format!(
        "the deployment has moved from {from} to {}: set `database` in the configuration",
        target.name()
    );
    if !settings.is_empty() {
        let (what, lines): (_, Vec<_>) = match target {
            Database::Postgres(_) => (
                ", and remove these settings, which are in the database now:",
                settings.keys().cloned().collect(),
            ),
            Database::File(_) => (
                ", and these settings, which were in the former database:",
                settings
                    .iter()
                    .filter(|(name, _)| !name.starts_with("postgresql."))
                    .map(|(name, value)| format!("{name} = {value}"))
                    .collect(),
            ),
        };
        said.extend([what, "\n", &lines.join("\n")]);
    }
    output::print(&said)
}
