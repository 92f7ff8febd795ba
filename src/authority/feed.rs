//! The revocation feed, for those who follow it: its events, its signed head, and the snapshot to start from.
//!
//! The feed belongs to the deployment, since it tells of all tenants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jeton_verifier::event::{Ends, Position};
use jeton_verifier::feed::{Cursor, CutOffSnapshot, Head, HeadClaims, SnapshotClaims, feed_url};
use tokio::sync::watch;

use crate::authority::{Active, Authority, Caller, Error, Result, policy};
use crate::keys::KeyRing;
use crate::revocation::{Heard, Index, SignedText, Told};
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::DeploymentClock;
use jeton_store::{ExplainedEvent, FeedPage, Origin, ends};

/// Why a position is no place to continue from. The follower starts again from a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LostPlace {
    /// The events after it are no longer kept.
    #[error("the events after the cursor are no longer kept")]
    Pruned,
    /// The feed has not come so far: what the follower knows is of a history that was lost.
    #[error("the cursor is ahead of the feed")]
    Ahead,
    /// It is a position of another history, such as before a restore.
    #[error("the cursor is of another epoch")]
    OtherEpoch,
}

/// What the answer to a revocation says about those who must learn of it.
#[derive(Debug, Clone, Copy)]
pub struct Propagation {
    /// A position in the feed that includes it.
    pub position: Position,
    /// From when on every server refuses what it ends; `None` if there is one server, which does so at once.
    pub refused_everywhere_by: Option<Timestamp>,
}

/// How long a snapshot is served while events are added: followers read the rest from the feed.
const SNAPSHOT_LIFE: Duration = Duration::from_secs(10);

/// Signs heads and snapshots, and keeps the last of each.
pub(super) struct Feed {
    keys: Arc<KeyRing>,
    index: Arc<Index>,
    clock: Arc<DeploymentClock>,
    url: String,
    /// One head serves all followers until an event is added, or for a second.
    head: Mutex<Option<(Timestamp, Arc<Head>)>>,
    snapshot: ArcSwapOption<Snapshot>,
    /// Held by the task that makes a snapshot.
    making: Arc<tokio::sync::Mutex<()>>,
}

/// A signed snapshot.
#[derive(Debug)]
pub struct Snapshot {
    /// The text.
    pub text: SignedText,
    position: Position,
    /// When it was made, by the uptime.
    made_at: Duration,
}

impl Feed {
    pub(super) fn new(
        keys: Arc<KeyRing>,
        index: Arc<Index>,
        clock: Arc<DeploymentClock>,
        issuer: &str,
    ) -> Self {
        Self {
            keys,
            index,
            clock,
            url: feed_url(issuer),
            head: Mutex::default(),
            snapshot: ArcSwapOption::default(),
            making: Arc::default(),
        }
    }

    fn head(&self) -> Result<Arc<Head>> {
        let (position, at) = self.index.head().ok_or(Error::Busy)?;
        let mut last = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((signed_at, head)) = &*last
            && head.cursor.0 == position
            && signed_at.seconds() == at.seconds()
        {
            return Ok(Arc::clone(head));
        }
        let claims = HeadClaims {
            issuer: self.url.clone(),
            audience: self.url.clone(),
            issued_at: at.seconds(),
            position,
        };
        let kid = self.keys.signing_kid()?;
        let head = Arc::new(Head {
            cursor: Cursor(position),
            head: self.keys.sign_statement(&kid, &claims)?,
        });
        *last = Some((at, Arc::clone(&head)));
        Ok(head)
    }

    async fn snapshot(self: &Arc<Self>) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.current_snapshot() {
            return Ok(snapshot);
        }
        let making = Arc::clone(&self.making).lock_owned().await;
        if let Some(snapshot) = self.current_snapshot() {
            return Ok(snapshot);
        }
        let feed = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || {
            // Held until the end even if the client disconnects, so that no two are made at once.
            let _making = making;
            feed.make_snapshot()
        });
        made.await.map_err(|error| Error::Unavailable(error.into()))?
    }

    fn current_snapshot(&self) -> Option<Arc<Snapshot>> {
        let signs = self.keys.signing_kid().ok()?;
        self.snapshot.load_full().filter(|snapshot| {
            let is_recent = || self.clock.uptime().saturating_sub(snapshot.made_at) < SNAPSHOT_LIFE;
            snapshot.text.kid == signs && (Some(snapshot.position) == self.index.reached() || is_recent())
        })
    }

    fn make_snapshot(&self) -> Result<Arc<Snapshot>> {
        let made_at = self.clock.uptime();
        let (_, at) = self.index.head().ok_or(Error::Busy)?;
        let known = self.index.snapshot().ok_or(Error::Busy)?;
        let lists = known.lists.iter().map(|list| list.snapshot());
        let lists = lists
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::Unavailable(error.into()))?;
        // After the revocations: none of them was recorded later.
        let taken_at = self.clock.now();
        let cut_offs = known.cut_offs.iter().filter_map(|cut_off| match ends(cut_off) {
            Ends::CutOff(tokens) => Some(CutOffSnapshot {
                effective_at: cut_off.effective_at.millis(),
                tokens,
            }),
            Ends::Token(_) => None,
        });
        let claims = SnapshotClaims {
            issuer: self.url.clone(),
            audience: self.url.clone(),
            issued_at: at.seconds(),
            taken_at: taken_at.millis(),
            position: known.position,
            status_lists: lists,
            cut_offs: cut_offs.collect(),
        };
        let kid = self.keys.signing_kid()?;
        let made = Arc::new(Snapshot {
            text: SignedText::new(self.keys.sign_statement(&kid, &claims)?, kid),
            position: known.position,
            made_at,
        });
        self.snapshot.store(Some(Arc::clone(&made)));
        Ok(made)
    }
}

impl Authority {
    /// Allows following the feed: tokens of the deployment, and sessions of site administrators.
    ///
    /// # Errors
    ///
    /// [`Error::DeploymentTokenNeeded`] for other callers.
    pub fn may_follow(&self, caller: &Caller) -> Result<()> {
        policy::follow_feed(caller)
    }

    /// Returns the position after the last event of the feed.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] until the index is complete.
    pub fn feed_position(&self) -> Result<Position> {
        self.index.reached().ok_or(Error::Busy)
    }

    /// Returns a position in the feed that includes everything that this process has revoked.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] until the index is complete, and errors of the store.
    pub async fn revocation_position(&self) -> Result<Position> {
        if self.index.is_behind_itself() {
            self.follow().await?;
        }
        self.feed_position()
    }

    /// Returns where the revocations of this process are in the feed, and when they hold everywhere: for the answer to
    /// one that is committed.
    ///
    /// # Errors
    ///
    /// As [`Authority::revocation_position`].
    pub async fn propagation(&self) -> Result<Propagation> {
        Ok(Propagation {
            position: self.revocation_position().await?,
            refused_everywhere_by: self.refused_everywhere_by(),
        })
    }

    /// Returns whether a caller may still follow the feed: their token is active, and their rights are the same.
    ///
    /// # Errors
    ///
    /// As [`Authority::may_follow`], and [`Error::BadCredential`] if the token is no longer active.
    pub async fn still_follows(&self, active: &Active) -> Result<()> {
        let found = self.active.again(active, self.clock.now()).await?;
        let active = found.map_err(Error::BadCredential)?;
        policy::follow_feed(&Caller::new(active, Origin::default()))
    }

    /// Returns a receiver of the position of the last event, which changes with every event.
    pub fn feed_news(&self) -> watch::Receiver<Position> {
        self.index.news()
    }

    /// Returns the events after a position, at most `most` and fewer only if there are no more.
    ///
    /// # Errors
    ///
    /// [`Error::LostPlace`] if the feed cannot be continued from there.
    pub async fn events_after(&self, position: Position, most: u32) -> Result<Vec<Arc<Told>>> {
        let heard = self
            .index
            .heard(position, usize::try_from(most).unwrap_or(usize::MAX));
        if let Heard::Events(events) = heard {
            return Ok(events);
        }
        match self.store.events_after(position, most).await? {
            FeedPage::Events(entries) => {
                Ok(entries.into_iter().map(|entry| Told::new(entry, None)).collect())
            }
            FeedPage::Pruned => Err(Error::LostPlace(LostPlace::Pruned)),
            FeedPage::Ahead => Err(Error::LostPlace(LostPlace::Ahead)),
            FeedPage::Forked => Err(Error::LostPlace(LostPlace::OtherEpoch)),
        }
    }

    /// Returns the event at a position, with its author and reason, for administrators.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for others, and [`Error::Absent`] if there is no such event any more; the position is
    /// `None` for a text that names none.
    pub async fn feed_event(&self, caller: &Caller, position: Option<Position>) -> Result<ExplainedEvent> {
        policy::explain_events(caller)?;
        let position = position.ok_or(Error::Absent)?;
        self.store.event(position).await?.ok_or(Error::Absent)
    }

    /// Returns the signed head of the feed: the last event, and the instant at which it was the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] until the index is complete, and errors of signing.
    pub fn feed_head(&self) -> Result<Arc<Head>> {
        self.feed.head()
    }

    /// Returns a signed snapshot of all revocations in force, made not long ago.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] until the index is complete, and errors of signing.
    pub async fn feed_snapshot(&self) -> Result<Arc<Snapshot>> {
        self.feed.snapshot().await
    }
}
