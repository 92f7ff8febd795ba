//! Revoking many tokens by a filter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::authority::{Authority, Caller, Error, Result, Wanted, policy};
use crate::clock::Clock;
use crate::store::{BulkId, BulkOrder, BulkRevocation, LastToken, SharedStore};
use crate::token::filter::CountTotal;
use crate::token::{Direction, Filter, Page, Sort, Start, Status, TokenKind, WantedStatus};

/// How long is waited before an order that could not be carried on is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Which tokens are to be revoked.
#[derive(Debug, Clone)]
pub struct RevokeMany {
    /// Which ones, of those that the caller manages. Only active ones ever match.
    pub wanted: Wanted,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Whether disuse counts where it may not have been noticed.
    pub unreported: Unreported,
    /// What becomes of the last token of an owner where the organization keeps that.
    pub last_token: LastToken,
    /// Whether it is meant.
    pub run: Run,
}

/// What is done with tokens that count as unused, and whose use nobody may have reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreported {
    /// They are left alone.
    LeftOut,
    /// They are taken for unused.
    Included,
}

/// Whether something is done or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Only counted.
    Dry,
    /// Done.
    Earnest,
}

/// What became of it.
#[derive(Debug)]
pub enum RevokedMany {
    /// So many match, and none was revoked.
    WouldRevoke(u64),
    /// It is ordered, and carried out from now on whatever happens to whoever ordered it.
    Ordered(Box<BulkRevocation>),
}

/// Held by the one who carries out orders.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<Mutex<()>>);

impl Authority {
    /// Revokes all tokens that match, but never a session and never the one that the caller holds.
    pub async fn revoke_many(&self, caller: &Caller, order: &RevokeMany) -> Result<RevokedMany> {
        let matched = self.count(self.matching(caller, order).await?).await?;
        if order.run == Run::Dry {
            return Ok(RevokedMany::WouldRevoke(matched));
        }
        // Counting took its time: who was shut out meanwhile orders nothing.
        let bulk = self
            .judged_for(caller, move |caller, view| {
                Box::pin(async move {
                    let order = BulkOrder {
                        filter: self.matching(&caller, order).await?,
                        matched,
                        ordered_at: self.clock.now(),
                        ordered_by: caller.actor(),
                        reason: order.reason.clone(),
                        effective_at: None,
                        last_token: order.last_token,
                    };
                    Ok(self.store.revoke_many(order, view.generation()).await?)
                })
            })
            .await?;
        self.begin(&bulk);
        Ok(RevokedMany::Ordered(Box::new(bulk)))
    }

    /// Which tokens an order is about, of those that are active now.
    async fn matching(&self, caller: &Caller, order: &RevokeMany) -> Result<Filter> {
        let now = self.clock.now();
        let mut wanted = order.wanted.clone();
        wanted.status = Some(WantedStatus::Only(Status::Active));
        let mut filter = self.filter(caller, &wanted, now).await?;
        filter.except = match caller.record().token.kind {
            TokenKind::Api => Some(caller.record().id),
            TokenKind::Session => None,
        };
        let is_about_use = filter.never_used || filter.unused_since.is_some();
        if is_about_use && order.unreported == Unreported::LeftOut {
            filter.reporting_at = Some(now);
        }
        Ok(filter)
    }

    /// Begins to carry out an order that was taken down.
    pub(super) fn begin(&self, bulk: &BulkRevocation) {
        let by = &bulk.order.ordered_by.name;
        tracing::info!(
            bulk = bulk.id.0,
            by,
            matched = bulk.order.matched,
            "many tokens are being revoked"
        );
        self.carry_on();
    }

    /// How far an order is carried out, for whoever gave it and for the admins of its organization.
    pub async fn bulk_revocation(&self, caller: &Caller, id: BulkId) -> Result<BulkRevocation> {
        let bulk = self.store.bulk_revocation(id).await?.ok_or(Error::Absent)?;
        // What is said to be done is refused from the answer on.
        self.follow().await?;
        if bulk.order.ordered_by == caller.actor() {
            return Ok(bulk);
        }
        let rank = match bulk.order.filter.organization {
            Some(organization) => self.view().rank(caller, organization).await?,
            None => policy::rank_everywhere(caller),
        };
        match policy::manage_organization(&rank) {
            Ok(()) => Ok(bulk),
            Err(_) => Err(Error::Absent),
        }
    }

    /// Carries out all orders that wait or were interrupted, in the background.
    pub fn carry_on(&self) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        tokio::spawn(carry_out(store, clock, self.turn.clone()));
    }

    async fn count(&self, filter: Filter) -> Result<u64> {
        let page = Page {
            sort: Sort::default(),
            start: Start::Beginning,
            direction: Direction::Next,
            limit: 1,
            count: CountTotal::Yes,
        };
        Ok(self.store.tokens(filter, page).await?.total.unwrap_or_default())
    }
}

/// Carries out orders until none is left. Nothing is lost where it ends early: the store knows how far
/// each order is.
async fn carry_out(store: SharedStore, clock: Arc<dyn Clock>, turn: Turn) {
    // One after another; who comes second finds what is left.
    let _turn = turn.0.lock().await;
    loop {
        match portion(&store, &*clock).await {
            Ok(Left::Nothing) => return,
            Ok(Left::More) => {}
            Err(error) => {
                tracing::error!(%error, "a revocation of many tokens could not be carried on");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether orders are left.
enum Left {
    Nothing,
    More,
}

/// Carries out one portion of each order that is under way, so that a large one holds up no other.
async fn portion(store: &SharedStore, clock: &dyn Clock) -> Result<Left> {
    let unfinished = store.unfinished_bulk_revocations().await?;
    if unfinished.is_empty() {
        return Ok(Left::Nothing);
    }
    let mut failure = None;
    for id in unfinished {
        match store.continue_bulk_revocation(id, clock.now()).await {
            Ok(Some(bulk)) if bulk.finished_at.is_some() => {
                let (bulk, revoked) = (id.0, bulk.revoked);
                tracing::info!(bulk, revoked, "many tokens were revoked");
            }
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        None => Ok(Left::More),
        Some(error) => Err(error.into()),
    }
}
