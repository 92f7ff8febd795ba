//! Publishes the status lists.
//!
//! A list that is fetched after a revocation was answered includes it. A request that finds the cached list
//! older than the index waits for a new rendering, which serves all waiting requests. Lists are rendered only
//! on request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jeton_verifier::StatusListClaims;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::authority::claims::{status_list_uri, status_lists_uri};
use crate::authority::metrics::Metrics;
use crate::authority::retry::write;
use crate::authority::{Authority, Error, Result};
use crate::keys::KeyRing;
use crate::revocation::{Index, LIFE, List, Published, SignedText, Validity};
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::DeploymentClock;
use jeton_store::rules::keys;
use jeton_store::{Cause, SharedStore};

/// The longest wait until the bits of all cut-offs are set.
const PATIENCE: Duration = Duration::from_secs(10);

/// Renders status lists and sets the bits of tokens that cut-offs cover.
pub(super) struct StatusLists {
    store: SharedStore,
    keys: Arc<KeyRing>,
    index: Arc<Index>,
    clock: Arc<DeploymentClock>,
    issuer: String,
    metrics: Metrics,
    /// A key recorded as needed in the JWKS, and until when.
    kept: ArcSwapOption<(Arc<str>, Timestamp)>,
    /// Held by the task that sets bits of cut-offs.
    filling: Mutex<()>,
}

impl StatusLists {
    pub(super) fn new(
        store: SharedStore,
        keys: Arc<KeyRing>,
        index: Arc<Index>,
        clock: Arc<DeploymentClock>,
        issuer: String,
        metrics: Metrics,
    ) -> Self {
        Self {
            store,
            keys,
            index,
            clock,
            issuer,
            metrics,
            kept: ArcSwapOption::empty(),
            filling: Mutex::new(()),
        }
    }

    async fn list(self: &Arc<Self>, id: u32) -> Result<Arc<Published>> {
        self.check_index()?;
        let list = match self.index.list(id) {
            Some(list) => list,
            // This process or another may have opened the list a moment ago.
            None => {
                self.know().await?;
                self.index.list(id).ok_or(Error::Absent)?
            }
        };
        timeout(PATIENCE, self.fill()).await.map_err(|_| Error::Busy)??;
        let changes = self.index.changes();
        if let Some(published) = self.current(&list, changes) {
            return Ok(published);
        }
        let rendering = list.publication().lock_rendering().await;
        if let Some(published) = self.current(&list, changes) {
            return Ok(published);
        }
        let kid = self.signing_key().await?;
        let lists = Arc::clone(self);
        let rendered = tokio::task::spawn_blocking(move || {
            // Held until the rendering ends even if the client disconnects, so that no two run at once.
            let _rendering = rendering;
            lists.render(&list, &kid)
        });
        rendered.await.map_err(|error| Error::Unavailable(error.into()))?
    }

    /// Fails unless the index knows all revocations.
    fn check_index(&self) -> Result<()> {
        match self.index.is_ready() {
            true => Ok(()),
            false => Err(Error::Busy),
        }
    }

    /// Returns the cached list, if it is current.
    fn current(&self, list: &List, changes: u64) -> Option<Arc<Published>> {
        let signs = self.keys.signing_kid().ok()?;
        let now = self.clock.shown();
        list.publication().current().filter(|published| {
            // Verifiers reject a list signed by a withdrawn key.
            published.changes >= changes && published.text.kid == signs && published.validity.is_good(now)
        })
    }

    /// Returns the signing key, once the store has recorded that a list signed now needs it in the JWKS.
    async fn signing_key(&self) -> Result<Arc<str>> {
        for _ in 0..2 {
            let kid = self.keys.signing_kid()?;
            let now = self.clock.now();
            let kept = self.kept.load_full();
            let is_kept = |kept: &(Arc<str>, Timestamp)| kept.0 == kid && kept.1 >= now.plus_seconds(LIFE);
            if kept.as_deref().is_some_and(is_kept) {
                return Ok(kid);
            }
            // For twice as long, so that the store is not written for every list.
            let until = now.plus_seconds(2 * LIFE);
            let order = keys::need(Cause::server(now), &kid, until);
            if write(&*self.store, &self.clock, order).await?.is_ok() {
                self.kept.store(Some(Arc::new((Arc::clone(&kid), until))));
                return Ok(kid);
            }
            // The key has retired, which this process did not know yet.
            let generation = self.index.realms().keys();
            self.keys.catch_up(&*self.store, generation, now).await?;
        }
        Err(Error::Busy)
    }

    fn render(&self, list: &List, kid: &str) -> Result<Arc<Published>> {
        let begun = Instant::now();
        // Both are read before the bits, which may then hold more than they say but never less.
        let changes = self.index.changes();
        let feed = self.index.position().ok_or(Error::Busy)?;
        // Verifiers compare the times of a list with their own clocks, which this one may be behind or ahead of.
        let (now, shown) = (self.clock.now(), self.clock.shown());
        let bits = list.bits(now);
        let validity = Validity::new(shown, bits.next);
        let all = status_lists_uri(&self.issuer);
        let claims = StatusListClaims {
            issuer: Some(all.clone()),
            audience: Some(all),
            uri: status_list_uri(&self.issuer, list.id()),
            issued_at: shown.seconds(),
            expires_at: validity.expires_at,
            ttl: validity.ttl,
            feed,
            list: bits
                .compress()
                .map_err(|error| Error::Unavailable(error.into()))?,
        };
        let text = self.keys.sign_statement(kid, &claims)?;
        let published = Arc::new(Published {
            text: SignedText::new(text, kid.into()),
            validity,
            changes,
        });
        list.publication().publish(Arc::clone(&published));
        self.metrics.rendered(begun.elapsed());
        Ok(published)
    }

    /// Sets the bits of all cut-offs known now, in portions that block nothing else. A cancelled call keeps the
    /// bits it has set.
    async fn fill(&self) -> Result<()> {
        let Some(through) = self.index.last_unfilled() else {
            return Ok(());
        };
        let _filling = self.filling.lock().await;
        let now = self.clock.now();
        while let Some(unfilled) = self.index.unfilled(through) {
            let covered = self.store.covered(unfilled.cut_off, unfilled.after, now).await?;
            self.index.fill(&unfilled, &covered, now);
        }
        Ok(())
    }

    /// Updates the index with the store's lists and returns their numbers.
    async fn know(&self) -> Result<Vec<u32>> {
        // In this order: a list known before that the store does not return has retired.
        let known = self.index.known_lists();
        let existing = self.store.status_lists().await?;
        self.index.know(&known, &existing);
        Ok(existing)
    }
}

impl Authority {
    /// Returns a status list as it is sent; [`Error::Absent`] if there is none with this number.
    pub async fn status_list(&self, id: u32) -> Result<Arc<Published>> {
        self.status_lists.list(id).await
    }

    /// Returns the addresses of all status lists.
    pub async fn status_lists(&self) -> Result<Vec<String>> {
        // A database that others have left behind may lack the newest lists.
        self.status_lists.check_index()?;
        let lists = self.status_lists.know().await?;
        let uri = |id: &u32| status_list_uri(&self.issuer, *id);
        Ok(lists.iter().map(uri).collect())
    }

    /// Prepares the status lists for requests: updates which exist, and sets the bits of scheduled revocations
    /// that are due and of cut-offs.
    pub async fn tend_status_lists(&self) -> Result<()> {
        self.status_lists.know().await?;
        self.index.mature(self.clock.now());
        self.status_lists.fill().await
    }
}
