//! The status lists as everybody may have them.
//!
//! A list that is fetched after a revocation was answered shows it. So whoever finds the one at hand
//! older than the index waits for one that is rendered after they came; one rendering serves all
//! who wait. Nothing is rendered that nobody asks for.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jeton_verifier::StatusListClaims;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::authority::claims::status_list_uri;
use crate::authority::{Authority, Error, Result};
use crate::keys::KeyRing;
use crate::revocation::{Index, LIFE, List, Published, Validity};
use jeton_core::clock::{Clock, Timestamp};
use jeton_store::rules::keys;
use jeton_store::{Cause, SharedStore};

/// How long somebody waits until the bits behind a cut-off are set.
const PATIENCE: Duration = Duration::from_secs(10);

/// Renders status lists and sets the bits behind cut-offs.
pub(super) struct StatusLists {
    store: SharedStore,
    keys: Arc<KeyRing>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    issuer: String,
    /// The key that is known to stay in the JWKS, and until when.
    kept: ArcSwapOption<(Arc<str>, Timestamp)>,
    /// Held by whoever sets bits behind cut-offs.
    filling: Mutex<()>,
}

impl StatusLists {
    pub(super) fn new(
        store: SharedStore,
        keys: Arc<KeyRing>,
        index: Arc<Index>,
        clock: Arc<dyn Clock>,
        issuer: String,
    ) -> Self {
        Self {
            store,
            keys,
            index,
            clock,
            issuer,
            kept: ArcSwapOption::empty(),
            filling: Mutex::new(()),
        }
    }

    async fn list(self: &Arc<Self>, id: u32) -> Result<Arc<Published>> {
        if !self.index.is_ready() {
            return Err(Error::Busy);
        }
        let list = match self.index.list(id) {
            Some(list) => list,
            // It may have been opened a moment ago, by this process or another.
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
        let turn = list.publication().turn().await;
        if let Some(published) = self.current(&list, changes) {
            return Ok(published);
        }
        let kid = self.signing_key().await?;
        let lists = Arc::clone(self);
        let rendered = tokio::task::spawn_blocking(move || {
            // Kept to the end even if whoever asked goes away, so that no two are rendered at once.
            let _turn = turn;
            lists.render(&list, &kid)
        });
        rendered.await.map_err(|error| Error::Unavailable(error.into()))?
    }

    /// What was rendered last, if it will do.
    fn current(&self, list: &List, changes: u64) -> Option<Arc<Published>> {
        let signs = self.keys.signing_kid().ok()?;
        let now = self.clock.now();
        list.publication().current().filter(|published| {
            // A list signed by a key that was withdrawn is good for nobody.
            published.changes >= changes && published.kid == signs && published.validity.is_good(now)
        })
    }

    /// The key that signs, which stays in the JWKS for as long as a list is good that it signs now.
    async fn signing_key(&self) -> Result<Arc<str>> {
        for _ in 0..2 {
            let kid = self.keys.signing_kid()?;
            let now = self.clock.now();
            let kept = self.kept.load_full();
            let is_kept = |kept: &(Arc<str>, Timestamp)| kept.0 == kid && kept.1 >= now.plus_seconds(LIFE);
            if kept.as_deref().is_some_and(is_kept) {
                return Ok(kid);
            }
            // For twice as long, so that it need not be written for every list.
            let until = now.plus_seconds(2 * LIFE);
            let order = keys::need(Cause::server(now), &kid, until);
            if self.store.commit(order).await?.is_ok() {
                self.kept.store(Some(Arc::new((Arc::clone(&kid), until))));
                return Ok(kid);
            }
            // It has retired, and this process has not heard of it.
            let generation = self.index.realms().keys();
            self.keys.catch_up(&*self.store, generation, now).await?;
        }
        Err(Error::Busy)
    }

    fn render(&self, list: &List, kid: &str) -> Result<Arc<Published>> {
        // Both are read before the bits, which may already hold more and never less.
        let changes = self.index.changes();
        let feed = self.index.position().ok_or(Error::Busy)?;
        let now = self.clock.now();
        let bits = list.bits(now);
        let validity = Validity::new(now, bits.next);
        let claims = StatusListClaims {
            uri: status_list_uri(&self.issuer, list.id()),
            issued_at: now.seconds(),
            expires_at: validity.expires_at,
            ttl: validity.ttl,
            feed,
            list: bits
                .compress()
                .map_err(|error| Error::Unavailable(error.into()))?,
        };
        let text = self.keys.sign_status_list(kid, &claims)?;
        let published = Arc::new(Published::new(text, kid.into(), validity, changes));
        list.publication().publish(Arc::clone(&published));
        Ok(published)
    }

    /// Sets the bits behind all cut-offs that are known now, in steps that hold nobody up. One who
    /// gives up leaves what is done.
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

    /// Takes over which lists exist, and returns their numbers.
    async fn know(&self) -> Result<Vec<u32>> {
        // In this order: of those that are known before, a missing one has retired.
        let known = self.index.known_lists();
        let existing = self.store.status_lists().await?;
        self.index.know(&known, &existing);
        Ok(existing)
    }
}

impl Authority {
    /// A status list as it is sent; [`Error::Absent`] if there is none of this number.
    pub async fn status_list(&self, id: u32) -> Result<Arc<Published>> {
        self.status_lists.list(id).await
    }

    /// The addresses of all status lists.
    pub async fn status_lists(&self) -> Result<Vec<String>> {
        let lists = self.status_lists.know().await?;
        let uri = |id: &u32| status_list_uri(&self.settings.issuer, *id);
        Ok(lists.iter().map(uri).collect())
    }

    /// Does for the status lists what can be done before anybody asks: takes over which exist, and sets
    /// the bits of what has fallen due and of what cut-offs cover.
    pub async fn tend_status_lists(&self) -> Result<()> {
        self.status_lists.know().await?;
        self.index.mature(self.clock.now());
        self.status_lists.fill().await
    }
}
