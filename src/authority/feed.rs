//! The revocation feed, for those who follow it: its events, its signed head, and where a revocation is in it.
//!
//! The feed belongs to the deployment, since it tells of all tenants.

use std::sync::{Arc, Mutex, PoisonError};

use jeton_verifier::event::Position;
use jeton_verifier::feed::{Cursor, Head, HeadClaims, feed_url};
use tokio::sync::watch;

use crate::authority::{Authority, Caller, Error, Result, policy};
use crate::revocation::{Heard, Told};
use jeton_core::clock::Timestamp;
use jeton_store::FeedPage;

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

/// The last signed head: one serves all followers until an event is added, or for a second.
#[derive(Debug, Default)]
pub(super) struct LastHead(Mutex<Option<(Timestamp, Arc<Head>)>>);

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
            FeedPage::Events(entries) => Ok(entries.into_iter().map(Told::new).collect()),
            FeedPage::Pruned => Err(Error::LostPlace(LostPlace::Pruned)),
            FeedPage::Ahead => Err(Error::LostPlace(LostPlace::Ahead)),
            FeedPage::Forked => Err(Error::LostPlace(LostPlace::OtherEpoch)),
        }
    }

    /// Returns the signed head of the feed: the last event, and the instant at which it was the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] until the index is complete, and errors of signing.
    pub fn feed_head(&self) -> Result<Arc<Head>> {
        let (position, at) = self.index.head().ok_or(Error::Busy)?;
        let mut last = self.last_head.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((signed_at, head)) = &*last
            && head.cursor.0 == position
            && signed_at.seconds() == at.seconds()
        {
            return Ok(Arc::clone(head));
        }
        let url = feed_url(&self.settings.issuer);
        let claims = HeadClaims {
            issuer: url.clone(),
            audience: url,
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
}
