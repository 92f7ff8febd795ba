//! Bulk revocation: revokes all tokens that match a filter, in the background, a portion at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::authority::metrics::Metrics;
use crate::authority::retry::{ATTEMPTS, write};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, PORTION, Result, Wanted, policy};
use crate::causes::error_chain;
use jeton_core::deployment_clock::DeploymentClock;
use jeton_core::token::{CountTotal, Direction, Filter, Page, Sort, Start, Status, WantedStatus};
use jeton_store::rules::bulk;
use jeton_store::{
    BulkId, BulkOrder, BulkRevocation, Effect, LastToken, Order, SharedStore, WithDescendants,
};

/// A bulk revocation request.
#[derive(Debug, Clone)]
pub struct RevokeMany {
    /// The filter, within the tokens that the caller manages. Only active tokens match.
    pub wanted: Wanted,
    /// The caller's reason.
    pub reason: Option<String>,
    /// Whether tokens count as unused if their use may not have been reported.
    pub unreported: Unreported,
    /// Whether the last token of an owner is revoked if the organization keeps it.
    pub last_token: LastToken,
    /// Whether all that a matching token has made is revoked too.
    pub descendants: Descendants,
    /// Whether to revoke or only to count.
    pub run: Run,
}

/// The treatment of the tokens that a revoked token has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descendants {
    /// They stay.
    Stay,
    /// They are revoked, as far as the caller may revoke them, and so is what they have made.
    Revoked,
}

/// The treatment of tokens that count as unused but whose use may not have been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreported {
    /// They are not revoked.
    LeftOut,
    /// They are revoked like unused ones.
    Included,
}

/// Whether a bulk revocation is carried out or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Only counted.
    Dry,
    /// Carried out.
    Earnest,
}

/// The outcome of a bulk revocation request.
#[derive(Debug)]
pub enum RevokedMany {
    /// The number of tokens that would be revoked, and of those that would be left; none was revoked.
    WouldRevoke(WithDescendants),
    /// The order is recorded. It is carried out whatever happens to the client or the caller.
    Ordered(Box<BulkRevocation>),
}

/// The lock of the task that carries out orders, with the pauses of orders that failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Pauses(Arc<Mutex<BTreeMap<BulkId, Pause>>>);

/// The pause before an order that failed is tried again.
#[derive(Debug, Clone, Copy)]
struct Pause {
    length: Duration,
    /// By the uptime, which no clock that is set prolongs.
    until: Duration,
}

impl Pause {
    /// Returns a pause of one second, doubled after each failure up to a minute. A failure can be permanent: an
    /// order written by a later version cannot be read.
    fn after(last: Option<&Self>, uptime: Duration) -> Self {
        let longest = Duration::from_mins(1);
        let length = last.map_or(Duration::from_secs(1), |last| (last.length * 2).min(longest));
        Self {
            length,
            until: uptime + length,
        }
    }
}

impl Authority {
    /// Revokes all matching tokens except sessions and the caller's own token. With descendants, the caller's own token
    /// is revoked if it descends from a match: it can be what a leaked token has made.
    pub async fn revoke_many(&self, caller: &Caller, order: &RevokeMany) -> Result<RevokedMany> {
        let view = self.view();
        let matching = self.matching(&view, caller, order).await?;
        let count = match (order.descendants, order.run) {
            (Descendants::Revoked, Run::Dry) => {
                let remit = self.remit(&view, caller).await?;
                let now = self.clock.now();
                self.store.count_descendants(matching, remit, now).await?
            }
            (Descendants::Stay, Run::Dry) => WithDescendants {
                within: self.count(matching).await?,
                beyond: 0,
            },
            // Without descendants: counting them takes long, and every token stays active meanwhile.
            (_, Run::Earnest) => WithDescendants {
                within: self.store.count_matching(matching).await?,
                beyond: 0,
            },
        };
        if order.run == Run::Dry {
            return Ok(RevokedMany::WouldRevoke(count));
        }
        let matched = count.within;
        // Evaluated again after the count, which takes time: the caller may have lost the permission meanwhile.
        let bulk = self
            .attempt_for(caller, move |caller, view| {
                Box::pin(async move {
                    let order = BulkOrder {
                        filter: self.matching(&view, &caller, order).await?,
                        matched,
                        ordered_at: self.clock.now(),
                        ordered_by: caller.actor(),
                        reason: order.reason.clone(),
                        effective_at: None,
                        last_token: order.last_token,
                        descendants: match order.descendants {
                            Descendants::Stay => None,
                            Descendants::Revoked => Some(self.remit(&view, &caller).await?),
                        },
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

    /// Returns the filter for the active tokens that a request matches.
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

    /// Counts like a list, which has a budget.
    pub(super) async fn count(&self, filter: Filter) -> Result<u64> {
        let page = Page {
            sort: Sort::default(),
            start: Start::Beginning,
            direction: Direction::Next,
            limit: 1,
            count: CountTotal::Yes,
        };
        Ok(self.store.tokens(filter, page).await?.total.unwrap_or_default())
    }

    /// Starts to carry out a recorded order.
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

    /// Returns the progress of an order, to its caller and to admins of its organization.
    pub async fn bulk_revocation(&self, caller: &Caller, id: BulkId) -> Result<BulkRevocation> {
        let bulk = self.store.bulk_revocation(id).await?.ok_or(Error::Absent)?;
        // Tokens that the answer reports as revoked are refused from then on.
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

    /// Carries out all unfinished orders, except those that failed a moment ago.
    pub fn carry_on(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        carry_out(store, clock, self.pauses.clone(), self.metrics.clone())
    }
}

/// Carries out orders until none is due. The store records the progress of each, so ending early loses nothing.
async fn carry_out(
    store: SharedStore,
    clock: Arc<DeploymentClock>,
    pauses: Pauses,
    metrics: Metrics,
) -> Result<()> {
    // One task at a time; the next one finds the rest.
    let mut put_off = pauses.0.lock().await;
    loop {
        let mut due = store.unfinished_bulk_revocations().await?;
        let uptime = clock.uptime();
        let failing = due.iter().filter(|id| put_off.contains_key(id)).count();
        metrics.bulk_running.set((due.len() - failing) as i64);
        metrics.bulk_failing.set(failing as i64);
        due.retain(|id| put_off.get(id).is_none_or(|pause| pause.until <= uptime));
        if due.is_empty() {
            return Ok(());
        }
        // One portion of each order after the other, so that a large order does not delay the others.
        for id in due {
            match advance(&store, &clock, id).await {
                Ok(Advanced { bulk, revoked }) => {
                    metrics.by_bulk.inc_by(revoked);
                    put_off.remove(&id);
                    if let Some(bulk) = bulk.filter(|bulk| bulk.finished_at.is_some()) {
                        let (bulk, revoked, left) = (id.0, bulk.revoked, bulk.left);
                        tracing::info!(bulk, revoked, left, "bulk revocation finished");
                    }
                }
                Err(error) => {
                    let pause = Pause::after(put_off.get(&id), clock.uptime());
                    let (bulk, seconds) = (id.0, pause.length.as_secs());
                    put_off.insert(id, pause);
                    let error = error_chain(&error);
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

/// A portion that was carried out.
#[derive(Default)]
struct Advanced {
    /// The order and its progress; `None` if it does not exist.
    bulk: Option<BulkRevocation>,
    /// How many tokens the portion revoked.
    revoked: u64,
}

/// Carries out the next portion of an order and returns its progress. A refused portion is read again and
/// halved: a client that keeps rotating one of its tokens must not delay the others.
async fn advance(store: &SharedStore, clock: &DeploymentClock, id: BulkId) -> Result<Advanced> {
    let mut limit = PORTION;
    for _ in 0..ATTEMPTS {
        let now = clock.now();
        let Some(portion) = store.bulk_portion(id, limit, now).await? else {
            return Ok(Advanced::default());
        };
        let before = portion.bulk.revoked;
        if portion.bulk.finished_at.is_some() {
            return Ok(Advanced {
                bulk: Some(portion.bulk),
                revoked: 0,
            });
        }
        let (order, bulk) = bulk::advance(portion, now);
        if write(&**store, clock, order).await?.is_ok() {
            return Ok(Advanced {
                revoked: bulk.revoked.saturating_sub(before),
                bulk: Some(bulk),
            });
        }
        limit = (limit / 2).max(1);
    }
    Err(Error::Busy)
}
