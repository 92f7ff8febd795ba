//! Revoking many tokens by a filter.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::authority::retry::ATTEMPTS;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result, Wanted, policy};
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::token::filter::CountTotal;
use jeton_core::token::{Direction, Filter, Page, Sort, Start, Status, WantedStatus};
use jeton_store::rules::bulk;
use jeton_store::{BulkId, BulkOrder, BulkRevocation, Effect, LastToken, Order, SharedStore, StoreError};

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

/// Held by the one who carries out orders, with those that could not be carried on.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<Mutex<BTreeMap<BulkId, Pause>>>);

/// How long an order is left alone that could not be carried on.
#[derive(Debug, Clone, Copy)]
struct Pause {
    seconds: i64,
    until: Timestamp,
}

impl Pause {
    /// A second, and each time twice as long, up to a minute. What fails may fail for ever, as an order
    /// that cannot be read since a later version wrote it; and what could go on should not wait for long.
    fn after(last: Option<&Self>, now: Timestamp) -> Self {
        let seconds = last.map_or(1, |last| (last.seconds * 2).min(60));
        Self {
            seconds,
            until: now.plus_seconds(seconds),
        }
    }

    /// Whether it is over. One that would last for longer than it was meant to was made by a clock that has
    /// been set back since.
    fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now || self.until > now.plus_seconds(self.seconds)
    }
}

impl Authority {
    /// Revokes all tokens that match, but never a session and never the one that the caller holds.
    pub async fn revoke_many(&self, caller: &Caller, order: &RevokeMany) -> Result<RevokedMany> {
        let matching = self.matching(&self.view(), caller, order).await?;
        let matched = self.count(matching).await?;
        if order.run == Run::Dry {
            return Ok(RevokedMany::WouldRevoke(matched));
        }
        // Counting took its time: who was shut out meanwhile orders nothing.
        let bulk = self
            .judged_for(caller, move |caller, view| {
                Box::pin(async move {
                    let order = BulkOrder {
                        filter: self.matching(&view, &caller, order).await?,
                        matched,
                        ordered_at: self.clock.now(),
                        ordered_by: caller.actor(),
                        reason: order.reason.clone(),
                        effective_at: None,
                        last_token: order.last_token,
                    };
                    let effect = Effect::RevokeMany(Box::new(order));
                    let cause = caller.cause(self.clock.now());
                    let committed = self.commit(&view, Order::new(cause).effect(effect)).await?;
                    Ok(committed.map(|committed| committed.bulk))
                })
            })
            .await?
            .ok_or(Error::Busy)?;
        self.begin(&bulk);
        Ok(RevokedMany::Ordered(Box::new(bulk)))
    }

    /// Which tokens an order is about, of those that are active now.
    async fn matching(&self, view: &View<'_>, caller: &Caller, order: &RevokeMany) -> Result<Filter> {
        let now = self.clock.now();
        let mut wanted = order.wanted.clone();
        wanted.status = Some(WantedStatus::Only(Status::Active));
        let mut filter = self.filter(view, caller, &wanted, now).await?;
        filter.except = caller.api_token();
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
            "bulk revocation started"
        );
        tokio::spawn(self.carry_on());
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

    /// Carries out all orders that wait or were interrupted, but for those that failed a moment ago.
    pub fn carry_on(&self) -> impl Future<Output = ()> + Send + use<> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        carry_out(store, clock, self.turn.clone())
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

/// Carries out orders until none is left that is due. Nothing is lost where it ends early: the store knows
/// how far each order is.
async fn carry_out(store: SharedStore, clock: Arc<dyn Clock>, turn: Turn) {
    // One after another; who comes second finds what is left.
    let mut put_off = turn.0.lock().await;
    loop {
        let mut due = match store.unfinished_bulk_revocations().await {
            Ok(unfinished) => unfinished,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "cannot look up unfinished bulk revocations");
                return;
            }
        };
        let now = clock.now();
        due.retain(|id| put_off.get(id).is_none_or(|pause| pause.is_over(now)));
        if due.is_empty() {
            return;
        }
        // One portion of each, so that a large one holds up no other.
        for id in due {
            match advance(&store, &*clock, id).await {
                Ok(bulk) => {
                    put_off.remove(&id);
                    if let Some(bulk) = bulk.filter(|bulk| bulk.finished_at.is_some()) {
                        let (bulk, revoked) = (id.0, bulk.revoked);
                        tracing::info!(bulk, revoked, "bulk revocation finished");
                    }
                }
                Err(error) => {
                    let pause = Pause::after(put_off.get(&id), clock.now());
                    let (bulk, seconds) = (id.0, pause.seconds);
                    put_off.insert(id, pause);
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(
                        bulk,
                        seconds,
                        error,
                        "bulk revocation failed; it will be retried after `seconds`"
                    );
                }
            }
        }
    }
}

/// How many tokens are revoked in one order. A thousand take about 40 ms, and whoever writes meanwhile waits
/// for one portion at most.
const PORTION: u32 = 500;

/// Carries out the next portion of an order, and returns how far it is carried out then. A portion that is
/// refused is read again, and smaller: somebody who rotates a token of it all the time holds up no other.
async fn advance(
    store: &SharedStore,
    clock: &dyn Clock,
    id: BulkId,
) -> jeton_store::Result<Option<BulkRevocation>> {
    let mut limit = PORTION;
    for _ in 0..ATTEMPTS {
        let now = clock.now();
        let Some(portion) = store.bulk_portion(id, limit, now).await? else {
            return Ok(None);
        };
        if portion.bulk.finished_at.is_some() {
            return Ok(Some(portion.bulk));
        }
        let (order, bulk) = bulk::advance(portion, now);
        if store.commit(order).await?.is_ok() {
            return Ok(Some(bulk));
        }
        limit = (limit / 2).max(1);
    }
    Err(StoreError::Busy)
}
