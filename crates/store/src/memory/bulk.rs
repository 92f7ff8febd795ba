//! Revoking many tokens, a portion at a time.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Record, TokenId};

use super::MemoryStore;
use super::data::Data;
use crate::rules::bulk;
use crate::{BulkId, BulkRevocation, BulkRevocations, Result};

/// How many tokens are looked at in one go.
const PORTION: usize = 500;

#[async_trait]
impl BulkRevocations for MemoryStore {
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>> {
        Ok(self.data().bulk.get(&id.0).cloned())
    }

    async fn unfinished_bulk_revocations(&self) -> Result<Vec<BulkId>> {
        let data = self.data();
        let unfinished = data.bulk.values().filter(|bulk| bulk.finished_at.is_none());
        Ok(unfinished.map(|bulk| bulk.id).collect())
    }

    async fn continue_bulk_revocation(&self, id: BulkId, now: Timestamp) -> Result<Option<BulkRevocation>> {
        self.write(|batch| {
            let Some(mut order) = batch.data.bulk.get(&id.0).cloned() else {
                return Ok(None);
            };
            if order.finished_at.is_some() {
                return Ok(Some(order));
            }
            let portion = batch.data.portion(&order);
            let is_last = portion.len() < PORTION;
            order.position = match portion.last() {
                Some(last) if !is_last => *last,
                _ => order.through,
            };
            order.finished_at = is_last.then_some(now);
            for token in portion {
                let successors = match bulk::follows_successors(&order.order) {
                    true => batch.data.successors(token, order.through, now),
                    false => Vec::new(),
                };
                for token in std::iter::once(token).chain(successors) {
                    let Some(record) = batch.data.token(token) else {
                        continue;
                    };
                    let is_kept = || Ok(batch.data.is_kept(record, now));
                    let stands = record.revocation.as_ref();
                    if let Some(revocation) = bulk::revocation(&order.order, stands, is_kept, now)? {
                        batch.revoke(token, revocation)?;
                        order.revoked += 1;
                    }
                }
            }
            batch.data.bulk.insert(id.0, order.clone());
            Ok(Some(order))
        })
        .await
    }
}

impl Data {
    /// The next tokens that an order is about. Who has a successor that came after it was active then.
    fn portion(&self, bulk: &BulkRevocation) -> Vec<TokenId> {
        let filter = &bulk.order.filter;
        let ahead = self.matching_in_any_status(filter);
        let ahead = ahead.filter(|record| bulk.position < record.id && record.id <= bulk.through);
        let meant = ahead.filter(|record| {
            record.lineage.replaced_by > Some(bulk.through) || self.is_in(record, filter.status)
        });
        meant.map(|record| record.id).take(PORTION).collect()
    }

    /// What lives of the line of tokens that took over from one since an order.
    fn successors(&self, token: TokenId, through: TokenId, now: Timestamp) -> Vec<TokenId> {
        let next = |record: &&Record| record.lineage.replaced_by.and_then(|id| self.token(id));
        let first = self.token(token).as_ref().and_then(next);
        let line = std::iter::successors(first.filter(|first| first.id > through), next);
        line.filter(|record| !record.is_revoked(now))
            .map(|record| record.id)
            .collect()
    }

    /// Whether a token is its owner's last active one, in an organization that keeps those.
    fn is_kept(&self, record: &Record, now: Timestamp) -> bool {
        let organization = record.token.owner.organization();
        let keeps = organization
            .and_then(|id| self.organizations.get(&id))
            .is_some_and(|kept| kept.value.policy.keep_last_token);
        keeps && self.is_standing(record, now) && self.other_active(record.id, now).is_none()
    }
}
