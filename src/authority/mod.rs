//! What is allowed, and what a token contains. One file a verb.
//!
//! An operation reads the clock once, takes a [`view`] of the directory, asks [`policy`], and hands
//! the store one whole order that carries the view's generation: the store carries it out only in
//! the directory in which it was judged.

mod active;
mod authorize_request;
mod bounds;
mod caller;
mod claims;
mod concurrency;
mod cut_off;
mod describe;
mod error;
mod expiry;
mod grant;
mod house;
mod introspect;
mod issue;
mod keys;
mod list;
mod login;
mod members;
mod operator;
mod organization_policy;
mod organizations;
mod owner;
pub mod password;
mod people;
pub mod policy;
mod presented_token;
mod projects;
mod refusals;
mod retry;
mod revoke;
mod revoke_many;
mod rotate;
mod status_lists;
mod teams;
pub mod throttle;
mod token_cache;
mod usage;
mod view;

use std::sync::Arc;

pub use active::{Active, ActiveTokens, Inactive, Presented};
pub use authorize_request::Demand;
pub use caller::Caller;
pub use cut_off::{CutOffOrder, CutOffRecord};
pub use error::{Error, FieldFault, Result};
pub use expiry::Expiry;
pub use house::Walk;
pub use issue::{Issue, Issued, WhichOrganization};
pub use keys::{KeyRetired, ListedKey};
pub use list::{Wanted, WantedEnd};
pub use login::Session;
pub use members::{RoleGiven, Whom};
pub use organization_policy::{ChangeOrganization, ChangedOrganization, ExistingTokens};
pub use organizations::{ItsTeams, Me, OrganizationChanges, OrganizationRemoved};
pub use people::{NewAccount, PersonPatch};
pub use presented_token::PresentedToken;
pub use revoke::Revoked;
pub use revoke_many::{RevokeMany, RevokedMany, Run, Unreported};
pub use rotate::Rotate;
pub use usage::SeenTokens;

use uuid::Uuid;

use crate::keys::KeyRing;
use crate::revocation::Index;
use jeton_core::clock::Clock;
use jeton_core::entropy::Entropy;
use jeton_core::token::{Catalogue, Lifetime, Span};
use jeton_store::{Origin, SharedStore};

use self::concurrency::ConcurrencyLimit;
use self::password::PasswordHasher;
use self::revoke_many::Turn;
use self::status_lists::StatusLists;
use self::throttle::Throttle;
use self::view::Views;

/// What never changes while the process runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `iss` of every token.
    pub issuer: String,
    /// The `aud` of a token that is given none.
    pub default_audience: String,
    /// What stands before a JWT when it is handed out; empty is nothing.
    pub prefix: String,
    /// The life of a token that is given none.
    pub default_lifetime: Lifetime,
    /// Whether it is kept from which address a token was last used.
    pub record_addresses: bool,
    /// The life of a session.
    pub session_lifetime: Span,
    /// How long the record of a token is kept after it has ended, and an event of the feed.
    pub retention: Span,
    /// How many verified tokens are cached.
    pub cached_tokens: usize,
    /// The scopes and presets that exist.
    pub catalogue: Catalogue,
}

impl Settings {
    /// The audience of sessions, which no API token can have.
    pub fn session_audience(&self) -> String {
        format!("{}/session", self.issuer)
    }
}

/// How many tokens that strangers present are verified at once, and how many wait for it. A signature
/// costs a processor tens of microseconds, whoever sends it.
const VERIFICATIONS: usize = 2;
const VERIFICATIONS_WAITING: usize = 64;

/// The token authority: every operation there is, whoever speaks to it in whichever form.
pub struct Authority {
    store: SharedStore,
    keys: Arc<KeyRing>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
    active: ActiveTokens,
    status_lists: Arc<StatusLists>,
    views: Views,
    passwords: PasswordHasher,
    throttle: Throttle,
    turn: Turn,
    /// For tokens that are presented by nobody in particular.
    verifications: ConcurrencyLimit,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Puts the parts together. The index must be the observer of the store.
    pub fn new(
        store: SharedStore,
        keys: Arc<KeyRing>,
        index: Arc<Index>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        passwords: PasswordHasher,
        settings: Settings,
    ) -> Self {
        Self {
            active: ActiveTokens::new(
                Arc::clone(&store),
                Arc::clone(&keys),
                Arc::clone(&index),
                &settings,
            ),
            status_lists: Arc::new(StatusLists::new(
                Arc::clone(&store),
                Arc::clone(&keys),
                Arc::clone(&index),
                Arc::clone(&clock),
                settings.issuer.clone(),
            )),
            views: Views::default(),
            throttle: Throttle::default(),
            turn: Turn::default(),
            verifications: ConcurrencyLimit::new(VERIFICATIONS, VERIFICATIONS_WAITING),
            store,
            keys,
            index,
            clock,
            entropy,
            settings,
            passwords,
        }
    }

    /// The caller who holds a token, if it is active.
    pub async fn authenticate(&self, token: &str, presented: Presented, origin: Origin) -> Result<Caller> {
        let active = self.find(token, presented).await?.map_err(Error::BadCredential)?;
        Ok(Caller::new(active, origin))
    }

    /// The token if it is active, or why it is not.
    async fn find(&self, token: &str, presented: Presented) -> Result<std::result::Result<Active, Inactive>> {
        if !self.index.is_ready() {
            return Err(Error::Busy);
        }
        Ok(self.active.find(token, presented, self.clock.now()).await?)
    }

    /// An identifier that nothing else has.
    pub fn fresh_id(&self) -> Uuid {
        self.entropy.uuid_v4()
    }

    /// What never changes.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The keys in use.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Why it cannot serve at this moment, or `None` if it can: the store, the keys and the index.
    pub async fn unready(&self) -> Option<&'static str> {
        if !self.index.is_ready() {
            return Some("the revocation index is not complete");
        }
        if self.keys.signing_kid().is_err() {
            return Some("the private key of the signing key is missing");
        }
        self.store
            .ready()
            .await
            .err()
            .map(|_| "the database does not accept writes")
    }
}
