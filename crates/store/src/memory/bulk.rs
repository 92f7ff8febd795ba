//! Bulk revocations, a portion at a time.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::token::filter::Remit;
use jeton_core::token::{Filter, Owner, Record, Status, StatusAt, TokenId, WantedStatus};

use super::MemoryStore;
use super::data::Data;
use crate::{
    BulkId, BulkPortion, BulkRevocation, BulkRevocations, BulkToken, Covers, Keeper, LastToken, Realm,
    Result, Versions, WithDescendants,
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
        let limit = limit as usize;
        let Some((bulk, through)) = data.bulk.get(&id.0) else {
            return Ok(None);
        };
        let mut portion = BulkPortion {
            next: bulk.progress,
            bulk: bulk.clone(),
            tokens: Vec::new(),
            is_last: true,
            expanded: Vec::new(),
            forgotten: Vec::new(),
            keepers: Vec::new(),
            versions: Versions::default(),
        };
        if bulk.finished_at.is_some() {
            return Ok(Some(portion));
        }
        let records = if bulk.order.descendants.is_none() || bulk.progress.position < *through {
            data.add_matches(&mut portion, *through, limit, now)
        } else {
            data.add_descendants(&mut portion, limit, now)
        };
        let mut owners = BTreeMap::<String, (&Owner, Keeper)>::new();
        for record in records {
            let owner = &record.token.owner;
            let id = owner.organization();
            let organization = id.and_then(|id| data.organizations.get(&id));
            let Some((id, organization)) = id.zip(organization.filter(|kept| !kept.is_removed)) else {
                continue;
            };
            if bulk.order.last_token == LastToken::Stays {
                let version = (Realm::Organization(id), organization.generation);
                portion.versions.0.push(version);
                if organization.value.policy.keep_last_token && data.is_standing(record, now) {
                    let keeper = owners.entry(format!("{owner:?}"));
                    let (_, keeper) = keeper.or_insert((owner, Keeper::default()));
                    keeper.active.push(record.id);
                }
            }
        }
        portion.versions.0.dedup();
        for (owner, keeper) in owners.values_mut() {
            let mut others = data.of_owner(owner).filter(|other| data.is_standing(other, now));
            let other = others.find(|other| !keeper.active.contains(&other.id));
            keeper.other = other.map(|other| other.id);
        }
        portion.keepers = owners.into_values().map(|(_, keeper)| keeper).collect();
        Ok(Some(portion))
    }

    async fn count_descendants(
        &self,
        filter: Filter,
        remit: Remit,
        now: Timestamp,
    ) -> Result<WithDescendants> {
        let data = self.data();
        let mut count = WithDescendants::default();
        let mut found: BTreeSet<TokenId> = data.matching(&filter).map(|record| record.id).collect();
        let mut ahead: Vec<TokenId> = found.iter().copied().collect();
        let children = data.children();
        while let Some(token) = ahead.pop() {
            let children = children.get(&token).into_iter().flatten();
            ahead.extend(
                children
                    .map(|child| child.id)
                    .filter(|child| found.insert(*child)),
            );
        }
        for record in found.iter().filter_map(|id| data.token(*id)) {
            match remit.includes(&record.token.owner) {
                _ if !data.is_active(record, now) => {}
                true => count.within += 1,
                false => count.beyond += 1,
            }
        }
        Ok(count)
    }
}

fn bulk_token(record: &Record, covered: Covers) -> BulkToken {
    BulkToken {
        id: record.id,
        effective_at: record.revocation.as_ref().map(|note| note.effective_at),
        covered,
    }
}

impl Data {
    /// Adds the next matches to a portion, each with its successors unless all descendants follow later.
    fn add_matches(
        &self,
        portion: &mut BulkPortion,
        through: TokenId,
        limit: usize,
        now: Timestamp,
    ) -> Vec<&Record> {
        let has_descendants = portion.bulk.order.descendants.is_some();
        let matching: Vec<&Record> = self
            .portion(&portion.bulk, through, limit)
            .into_iter()
            .filter_map(|id| self.token(id))
            .collect();
        let is_last = matching.len() < limit;
        portion.is_last = is_last && !has_descendants;
        portion.next.position = match matching.last() {
            _ if is_last => through.max(portion.next.position),
            Some(last) => last.id,
            None => portion.next.position,
        };
        let mut records = Vec::new();
        for token in matching {
            records.push(token);
            portion.tokens.push(bulk_token(token, Covers::Match));
            if !has_descendants {
                for successor in self.successors(token, through, now) {
                    records.push(successor);
                    portion.tokens.push(bulk_token(successor, Covers::Successor));
                }
            }
        }
        records
    }

    /// Adds the next children of the tokens whose children are not all processed to a portion.
    fn add_descendants(&self, portion: &mut BulkPortion, limit: usize, now: Timestamp) -> Vec<&Record> {
        let id = portion.bulk.id.0;
        let of_order = self.bulk_members.range((id, TokenId(0))..(id + 1, TokenId(0)));
        let parents = of_order.clone().filter(|(_, is_expanded)| !**is_expanded);
        let parents: Vec<TokenId> = parents.map(|((_, token), _)| *token).take(limit).collect();
        portion.is_last = parents.is_empty();
        if parents.is_empty() {
            portion.forgotten = of_order.map(|((_, token), _)| *token).collect();
        }
        let mut records = Vec::new();
        let mut processed = BTreeSet::new();
        let children = self.children();
        let (mut room, mut after) = (limit, portion.next.child);
        for parent in parents {
            let children = children.get(&parent).into_iter().flatten();
            let children = children.filter(|child| child.id > after);
            let children: Vec<&Record> = children.copied().take(room).collect();
            let is_complete = children.len() < room;
            // Only the first parent may be left in part: members added by this portion can come before a later one.
            if !is_complete && !portion.expanded.is_empty() {
                break;
            }
            room -= children.len();
            portion.next.child = match children.last() {
                Some(last) if !is_complete => last.id,
                _ => TokenId(0),
            };
            for child in children {
                if processed.insert(child.id) && !self.bulk_members.contains_key(&(id, child.id)) {
                    let covered = Covers::Descendant {
                        owner: child.token.owner.clone(),
                        is_active: self.is_active(child, now),
                    };
                    portion.tokens.push(bulk_token(child, covered));
                    records.push(child);
                }
            }
            if !is_complete {
                break;
            }
            portion.expanded.push(parent);
            after = TokenId(0);
        }
        records
    }

    /// Returns the tokens that each token has created or was rotated into, in the order of their ids.
    fn children(&self) -> BTreeMap<TokenId, Vec<&Record>> {
        let mut children = BTreeMap::<TokenId, Vec<&Record>>::new();
        for record in self.records() {
            let parents = [record.token.created_by_token, record.lineage.rotated_from];
            for parent in parents.into_iter().flatten().collect::<BTreeSet<_>>() {
                children.entry(parent).or_default().push(record);
            }
        }
        children
    }

    fn is_active(&self, record: &Record, now: Timestamp) -> bool {
        let wanted = WantedStatus::Only(Status::Active);
        self.is_in(record, Some(StatusAt { wanted, at: now }))
    }

    /// Returns the next tokens of a bulk revocation. A token with a later successor was active when it began.
    fn portion(&self, bulk: &BulkRevocation, through: TokenId, limit: usize) -> Vec<TokenId> {
        let filter = &bulk.order.filter;
        let ahead = self.matching_in_any_status(filter);
        let ahead = ahead.filter(|record| bulk.progress.position < record.id && record.id <= through);
        let meant = ahead
            .filter(|record| record.lineage.replaced_by > Some(through) || self.is_in(record, filter.status));
        meant.map(|record| record.id).take(limit).collect()
    }

    /// Returns the successors of a token since a bulk revocation that are not revoked yet.
    fn successors(&self, token: &Record, through: TokenId, now: Timestamp) -> impl Iterator<Item = &Record> {
        let next = |record: &&Record| record.lineage.replaced_by.and_then(|id| self.token(id));
        let first = next(&token).filter(|first| first.id > through);
        std::iter::successors(first, next).filter(move |record| !record.is_revoked(now))
    }
}
