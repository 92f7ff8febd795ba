//! What every command needs: the store, the keys and the revocation index, opened in order.

use std::sync::Arc;

use super::keys::PrivateKeys;
use crate::authority::password::PasswordHasher;
use crate::authority::{Adjustable, Authority, Settings};
use crate::backend;
use crate::cli::Failure;
use crate::config::{Config, Prefix};
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
        let unopened = PrivateKeys::of(&config.database, config)?;
        if signs {
            unopened.check()?;
        }
        let index = Arc::new(Index::new(Arc::clone(&clock)));
        let store = backend::open(config, &entropy, &index, signs).await?;
        index.rebuild(store.snapshot().await?);
        let private_keys = unopened.of_deployment(store.origin().await?);
        let rotation = Rotation {
            algorithm: config.keys.algorithm,
            max_age: config.keys.jwks_max_age,
            every: config.keys.rotate_every,
            stored: config.stored,
        };
        let keys = if signs {
            private_keys.load_all()?;
            KeyRing::open(&*store, private_keys, rotation, clock.now()).await?
        } else {
            KeyRing::open_public(&*store, private_keys, rotation, clock.now()).await?
        };
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
            cached_tokens: config.tokens.cached,
            adjustable: adjustable(config, &issuer),
            issuer,
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

/// Returns the settings of an authority that a reload may change.
pub(super) fn adjustable(config: &Config, issuer: &str) -> Adjustable {
    let tokens = &config.tokens;
    let prefix = tokens.prefix.as_ref().map(Prefix::as_str);
    Adjustable {
        default_audience: tokens
            .default_audience
            .clone()
            .unwrap_or_else(|| issuer.to_owned()),
        prefix: prefix.unwrap_or_default().to_owned(),
        default_lifetime: tokens.default_lifetime,
        record_addresses: tokens.record_addresses,
        session_lifetime: config.session_lifetime,
        retention: tokens.retention,
        audit_retention: config.audit.retention,
        quotas: config.quotas,
        catalogue: config.catalogue.clone(),
        consent: config.consent,
    }
}
