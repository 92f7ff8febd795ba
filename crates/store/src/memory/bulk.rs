//! Bulk revocations, a portion at a time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Owner, Record, TokenId};

use super::MemoryStore;
use super::data::Data;
use crate::{
    BulkId, BulkPortion, BulkRevocation, BulkRevocations, BulkToken, Keeper, LastToken, Realm, Result,
    Versions,
};

#[async_trait]
impl BulkRevocations for MemoryStore {
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>> {
        Ok(self.data().bulk.get(&id.0).map(|(bulk, _)| bulk.clone()))
    }

    async fn unfinished_bulk_revocations(&self) -> Result<Vec<BulkId>> {
        let data = self.data();
        let unfinished = data.bulk.values().filter(|(bulk, _)| bulk.finished_at.is_none());
        Ok(unfinished.map(|(bulk, _)| bulk.id).collect())
    }

    async fn bulk_portion(&self, id: BulkId, limit: u32, now: Timestamp) -> Result<Option<BulkPortion>> {
        let data = self.data();
        let Some((bulk, through)) = data.bulk.get(&id.0) else {
            return Ok(None);
        };
        let matching = match bulk.finished_at {
            None => data.portion(bulk, *through, limit as usize),
            Some(_) => Vec::new(),
        };
        let is_last = matching.len() < limit as usize;
        let (mut tokens, mut owners) = (Vec::new(), BTreeMap::<String, (&Owner, Keeper)>::new());
        let mut versions = Versions::default();
        for token in matching {
            let line = std::iter::once(token).chain(data.successors(token, *through, now));
            for (place, record) in line.enumerate() {
                tokens.push(BulkToken {
                    id: record.id,
                    effective_at: record.revocation.as_ref().map(|note| note.effective_at),
                    is_successor: place > 0,
                });
                let owner = &record.token.owner;
                let id = owner.organization();
                let organization = id.and_then(|id| data.organizations.get(&id));
                let Some((id, organization)) = id.zip(organization.filter(|kept| !kept.is_removed)) else {
                    continue;
                };
                if bulk.order.last_token == LastToken::Stays {
                    versions
                        .0
                        .push((Realm::Organization(id), organization.generation));
                    if organization.value.policy.keep_last_token && data.is_standing(record, now) {
                        let keeper = owners.entry(format!("{owner:?}"));
                        let (_, keeper) = keeper.or_insert((owner, Keeper::default()));
                        keeper.active.push(record.id);
                    }
                }
            }
        }
        versions.0.dedup();
        for (owner, keeper) in owners.values_mut() {
            let mut others = data.of_owner(owner).filter(|other| data.is_standing(other, now));
            let other = others.find(|other| !keeper.active.contains(&other.id));
            keeper.other = other.map(|other| other.id);
        }
        Ok(Some(BulkPortion {
            bulk: bulk.clone(),
            tokens,
            is_last,
            keepers: owners.into_values().map(|(_, keeper)| keeper).collect(),
            versions,
        }))
    }
}

impl Data {
    /// Returns the next tokens of a bulk revocation. A token with a later successor was active when it began.
    fn portion<'a>(&'a self, bulk: &'a BulkRevocation, through: TokenId, limit: usize) -> Vec<&'a Record> {
        let filter = &bulk.order.filter;
        let ahead = self.matching_in_any_status(filter);
        let ahead = ahead.filter(|record| bulk.position < record.id && record.id <= through);
        let meant = ahead
            .filter(|record| record.lineage.replaced_by > Some(through) || self.is_in(record, filter.status));
        meant.take(limit).collect()
    }

    /// Returns the successors of a token since a bulk revocation that are not revoked yet.
    fn successors(&self, token: &Record, through: TokenId, now: Timestamp) -> impl Iterator<Item = &Record> {
        let next = |record: &&Record| record.lineage.replaced_by.and_then(|id| self.token(id));
        let first = next(&token).filter(|first| first.id > through);
        std::iter::successors(first, next).filter(move |record| !record.is_revoked(now))
    }
}
