//! What every command needs: the store, the keys and the revocation index, opened in order.

use std::sync::Arc;

use crate::authority::password::PasswordHasher;
use crate::authority::{Authority, Settings};
use crate::backend;
use crate::cli::Failure;
use crate::config::Config;
use crate::keys::{KeyRing, Rotation};
use crate::revocation::Index;
use crate::system::SystemClock;
use crate::system::SystemEntropy;
use jeton_core::deployment_clock::DeploymentClock;
use jeton_core::entropy::Entropy;
use jeton_store::SharedStore;

/// An opened database with its keys.
pub(super) struct Deployment {
    pub(super) store: SharedStore,
    pub(super) keys: Arc<KeyRing>,
    pub(super) index: Arc<Index>,
    pub(super) clock: Arc<DeploymentClock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Deployment {
    /// Opens an existing deployment for a command, which signs nothing: private keys are not read.
    pub(super) async fn existing(config: &Config) -> Result<Self, Failure> {
        super::existing(config)?;
        Self::read(config, false).await
    }

    /// Opens the database and the keys for a server, and rebuilds the revocation index.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        Self::read(config, true).await
    }

    async fn read(config: &Config, signs: bool) -> Result<Self, Failure> {
        let clock = Arc::new(DeploymentClock::new(Arc::new(SystemClock)));
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let folder = super::keys::folder(config)?;
        let plain = if signs { folder.check()? } else { 0 };
        let seals = folder.seals();
        let index = Arc::new(Index::new(Arc::clone(&clock)));
        let store = backend::open(&config.database, &entropy, &index)?;
        index.rebuild(store.snapshot().await?);
        let directory = folder.of_deployment(store.origin().await?);
        let rotation = Rotation {
            algorithm: config.keys.algorithm,
            max_age: config.keys.jwks_max_age,
            every: config.keys.rotate_every,
        };
        let keys = if signs {
            directory.load_all()?;
            KeyRing::open(&*store, directory, rotation, clock.now()).await?
        } else {
            KeyRing::open_public(&*store, directory, rotation, clock.now()).await?
        };
        if plain > 0 && seals {
            tracing::warn!(
                plain,
                "private keys are not sealed, although there is a key-encryption key: run `jeton keys seal`"
            );
        }
        Ok(Self {
            store,
            keys: Arc::new(keys),
            index,
            clock,
            entropy,
        })
    }

    /// Creates the authority.
    pub(super) fn authority(&self, config: &Config, issuer: String) -> Result<Authority, Failure> {
        let settings = Settings {
            default_audience: config
                .tokens
                .default_audience
                .clone()
                .unwrap_or_else(|| issuer.clone()),
            issuer,
            prefix: config
                .tokens
                .prefix
                .as_ref()
                .map(|prefix| prefix.as_str().to_owned())
                .unwrap_or_default(),
            default_lifetime: config.tokens.default_lifetime,
            record_addresses: config.tokens.record_addresses,
            session_lifetime: config.session_lifetime,
            retention: config.tokens.retention,
            quotas: config.quotas,
            cached_tokens: config.tokens.cached,
            catalogue: config.catalogue.clone(),
            consent: config.consent,
        };
        Ok(Authority::new(
            Arc::clone(&self.store) as SharedStore,
            Arc::clone(&self.keys),
            Arc::clone(&self.index),
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
            PasswordHasher::new(Arc::clone(&self.entropy))?,
            settings,
        ))
    }
}
