//! The operations, one file for each: what a caller may do, and what a token contains.
//!
//! An operation reads the clock once, takes a [`view`] of the directory, checks [`policy`], and passes one
//! order to the store. The order contains the generations of the view: the store refuses it if the
//! directory has changed since.

mod active;
mod audit;
mod audit_log;
mod authorize_request;
mod bounds;
mod caller;
mod claims;
mod concurrency;
mod cut_off;
mod describe;
mod error;
mod expiry;
mod feed;
mod grant;
mod idempotency;
mod inspect;
mod introspect;
mod invitations;
mod issue;
mod keys;
mod lease;
mod limits;
mod list;
mod login;
mod members;
mod metrics;
mod operator;
mod organization_policy;
mod organizations;
mod owner;
pub mod password;
mod people;
pub mod policy;
mod presented_token;
mod preview;
mod projects;
mod quotas;
mod readiness;
mod refusals;
mod retention;
mod retry;
mod revoke;
mod revoke_many;
mod rotate;
mod sessions;
mod setup;
mod statistics;
mod status_lists;
mod summary;
mod tally;
mod teams;
pub mod throttle;
mod token_cache;
mod usage;
mod view;

use std::sync::Arc;

pub use active::{Active, ActiveTokens, Inactive, Presented};
pub use audit::AuditMetrics;
pub use audit_log::{AuditQuery, LostLine};
pub use authorize_request::Demand;
pub use caller::Caller;
pub use cut_off::{CutOffOrder, CutOffRecord};
pub use error::{Error, FieldFault, Result};
pub use expiry::Expiry;
pub use feed::{LostPlace, Propagation};
pub use idempotency::{AlreadyDone, RequestKey};
pub use inspect::{Check, Inspect, Inspection, Subject};
pub use issue::{Issue, Issued, WhichOrganization};
pub use keys::{KeyRetired, KeyRevoked, KeyStateFault, ListedKey, RevokedKey};
pub use lease::{NodeList, Server};
pub use list::{Wanted, WantedEnd};
pub use login::Session;
pub use members::{RoleGiven, Whom};
pub use organization_policy::{ChangeOrganization, ChangedOrganization, ExistingTokens, PolicyChanges};
pub use organizations::{ItsTeams, Me, OrganizationChanges, OrganizationRemoved};
pub use people::{NewAccount, PersonPatch};
pub use presented_token::PresentedToken;
pub use preview::{Change, Preview, TokenGroup};
pub use quotas::{Counted, Quotas};
pub use readiness::{ReadyFor, Unready};
pub use retention::RetentionScan;
pub use revoke::{RevokeWithDescendants, Revoked};
pub use revoke_many::{Descendants, RevokeMany, RevokedMany, Run, Unreported};
pub use rotate::Rotate;
pub use statistics::{DayRange, TokenStatistics};
pub use summary::OrganizationSummary;

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::keys::KeyRing;
use crate::log_limit::LogLimit;
use crate::revocation::Index;
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::DeploymentClock;
use jeton_core::directory::Consent;
use jeton_core::entropy::Entropy;
use jeton_core::token::{Catalogue, Lifetime, Span};
use jeton_store::{Generation, Origin, SharedStore};

use self::audit::AuditState;
use self::concurrency::ConcurrencyLimit;
use self::feed::Feed;
use self::lease::LeaseState;
use self::limits::Recounts;
use self::metrics::Metrics;
use self::password::PasswordHasher;
use self::quotas::Allowances;
use self::revoke_many::Pauses;
use self::setup::SetupCode;
use self::status_lists::StatusLists;
use self::summary::Summaries;
use self::throttle::Throttle;
use self::view::Views;

/// The settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `iss` of every token.
    pub issuer: String,
    /// The maximum number of cached tokens.
    pub cached_tokens: usize,
    /// The settings that may change while the process runs.
    pub adjustable: Adjustable,
}

/// The settings that may change while the process runs ([`Authority::adjust`]).
#[derive(Debug, Clone)]
pub struct Adjustable {
    /// The `aud` of a token without a requested audience.
    pub default_audience: String,
    /// The prefix before the JWT in responses; may be empty.
    pub prefix: String,
    /// The lifetime of a token without a requested one.
    pub default_lifetime: Lifetime,
    /// Whether the address of the last use of a token is recorded.
    pub record_addresses: bool,
    /// The lifetime of a session.
    pub session_lifetime: Span,
    /// How long the record of a token is kept after its end, and an event in the feed.
    pub retention: Span,
    /// How long lines of the audit are kept.
    pub audit_retention: Span,
    /// How much one owner, organization or person may keep.
    pub quotas: Quotas,
    /// The scopes and presets.
    pub catalogue: Catalogue,
    /// Whether people must accept roles in organizations that they do not belong to.
    pub consent: Consent,
}

/// Returns the audience of sessions of an issuer, which no API token can have.
fn session_audience(issuer: &str) -> String {
    format!("{issuer}/session")
}

/// The most tokens that one order of the server's own work changes: the writes of others wait for its commit, about
/// ten milliseconds.
const PORTION: u32 = 250;

/// How many tokens sent to the revocation endpoint, which needs no credential, are verified at once. A
/// signature takes tens of microseconds of CPU.
const VERIFICATIONS: usize = 2;
/// How many such tokens wait.
const VERIFICATIONS_WAITING: usize = 64;

/// How many requests for the list of keys, or for another key, wait for the one that is carried out.
const KEY_REQUESTS_WAITING: usize = 8;

/// The token authority: all operations, for every API and the command line.
pub struct Authority {
    store: SharedStore,
    keys: Arc<KeyRing>,
    index: Arc<Index>,
    clock: Arc<DeploymentClock>,
    entropy: Arc<dyn Entropy>,
    issuer: String,
    adjustable: ArcSwap<Adjustable>,
    active: ActiveTokens,
    status_lists: Arc<StatusLists>,
    views: Views,
    passwords: PasswordHasher,
    setup: SetupCode,
    throttle: Throttle,
    /// Limits the lines about failed logins.
    login_failures: LogLimit,
    pauses: Pauses,
    /// Limits the verification of tokens sent to the revocation endpoint.
    verifications: ConcurrencyLimit,
    /// Limits lists of keys with their live tokens: each reads every token.
    key_lists: ConcurrencyLimit,
    /// Limits the creation of keys by request.
    key_rotations: ConcurrencyLimit,
    feed: Arc<Feed>,
    recounts: Recounts,
    summaries: Summaries,
    allowances: Allowances,
    audit: AuditState,
    lease: LeaseState,
    metrics: Metrics,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("issuer", &self.issuer)
            .field("adjustable", &self.adjustable)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Returns an authority over these parts. The index must be the observer of the store.
    pub fn new(
        store: SharedStore,
        keys: Arc<KeyRing>,
        index: Arc<Index>,
        clock: Arc<DeploymentClock>,
        entropy: Arc<dyn Entropy>,
        passwords: PasswordHasher,
        settings: Settings,
    ) -> Self {
        let metrics = Metrics::default();
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
                metrics.clone(),
            )),
            feed: Arc::new(Feed::new(
                Arc::clone(&keys),
                Arc::clone(&index),
                Arc::clone(&clock),
                &settings.issuer,
            )),
            views: Views::default(),
            setup: SetupCode::default(),
            throttle: Throttle::new(&store),
            login_failures: LogLimit::new(login::LOGGED_FAILURES),
            pauses: Pauses::default(),
            verifications: ConcurrencyLimit::new(VERIFICATIONS, VERIFICATIONS_WAITING),
            key_lists: ConcurrencyLimit::new(1, KEY_REQUESTS_WAITING),
            key_rotations: ConcurrencyLimit::new(1, KEY_REQUESTS_WAITING),
            recounts: Recounts::default(),
            summaries: Summaries::default(),
            allowances: Allowances::default(),
            audit: AuditState::new(),
            lease: LeaseState::default(),
            metrics,
            store,
            keys,
            index,
            clock,
            entropy,
            issuer: settings.issuer,
            adjustable: ArcSwap::from_pointee(settings.adjustable),
            passwords,
        }
    }

    /// Returns the caller who holds a token.
    ///
    /// # Errors
    ///
    /// [`Error::BadCredential`] if the token is not active.
    pub async fn authenticate(&self, token: &str, presented: Presented, origin: Origin) -> Result<Caller> {
        let active = self.find(token, presented).await?.map_err(Error::BadCredential)?;
        Ok(Caller::new(active, origin))
    }

    /// Returns the token if it is active, or why it is not.
    async fn find(&self, token: &str, presented: Presented) -> Result<std::result::Result<Active, Inactive>> {
        let found = self.active.find(token, presented, self.clock.now()).await?;
        Ok(found.inspect_err(|reason| self.metrics.refused(*reason)))
    }

    /// Returns a new random UUID.
    pub fn fresh_id(&self) -> Uuid {
        self.entropy.uuid_v4()
    }

    /// Returns the current instant, as operations see it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the issuer of all tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the current settings. An operation that needs several of them asks once.
    pub fn settings(&self) -> Arc<Adjustable> {
        self.adjustable.load_full()
    }

    /// Returns the version of the settings in the store, if they are there, as far as this server knows.
    pub fn settings_generation(&self) -> Generation {
        self.index.realms().keys()
    }

    /// Replaces the settings: operations that begin from now on follow the new ones.
    pub fn adjust(&self, adjustable: Adjustable) {
        self.adjustable.store(Arc::new(adjustable));
        // They were given out under the former quota.
        self.allowances.forget();
    }

    /// Returns the key ring.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }
}
