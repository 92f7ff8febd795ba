//! Forgetting.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

use super::{Batch, MemoryStore};
use crate::rules::retention;
use crate::{Change, House, Purged, Result};

/// How many records, and how many events, a step looks at.
const STEP: usize = 500;

#[async_trait]
impl House for MemoryStore {
    async fn purge(&self, after: Option<TokenId>, ended_by: Timestamp, _: Timestamp) -> Result<Purged> {
        self.write(|batch| {
            let later = batch.data.tokens.iter();
            let later = later.filter(|(id, _)| after.is_none_or(|after| **id > after));
            let looked_at: Vec<_> = later.take(STEP).collect();
            let last = looked_at.last().map(|(id, _)| **id);
            let next = last.filter(|_| looked_at.len() == STEP);
            let ended = looked_at.iter().filter(|(_, record)| record.is_expired(ended_by));
            let ended: Vec<TokenId> = ended.map(|(id, _)| **id).collect();
            if next.is_none() {
                batch.drop_idle_cut_offs();
                batch.retire_lists(ended_by);
            }
            for id in &ended {
                batch.forget(*id);
            }
            Ok(Purged {
                records: ended.len(),
                events: batch.prune(ended_by),
                next,
            })
        })
        .await
    }
}

impl Batch<'_> {
    fn forget(&mut self, id: TokenId) {
        let record = self.data.tokens.remove(&id);
        let former = record.and_then(|record| record.lineage.rotated_from);
        if let Some(former) = former.and_then(|former| self.data.token_mut(former)) {
            former.lineage.replaced_by = None;
        }
    }

    /// Prunes the feed's oldest events up to the first that is too young.
    fn prune(&mut self, recorded_by: Timestamp) -> usize {
        let feed = &mut self.data.feed;
        let mut pruned = 0;
        while pruned < STEP
            && let Some(oldest) = feed.events.first_entry()
            && oldest.get().event.recorded_at <= recorded_by.millis()
        {
            (feed.pruned_through, feed.pruned_hash) = (*oldest.key(), oldest.get().hash);
            oldest.remove();
            pruned += 1;
        }
        pruned
    }

    fn drop_idle_cut_offs(&mut self) {
        let data = &mut *self.data;
        let oldest = data.tokens.values().map(|record| record.token.created_at).min();
        let pruned_through = data.feed.pruned_through;
        data.feed
            .cut_offs
            .retain(|sequence, cut_off| *sequence > pruned_through || !retention::is_idle(cut_off, oldest));
    }

    fn retire_lists(&mut self, ended_by: Timestamp) {
        for (id, list) in &mut self.data.lists {
            if !list.is_retired && list.class.has_ended(list.opened_at, ended_by) {
                list.is_retired = true;
                self.changes.push(Change::Retired(*id));
            }
        }
    }
}
