//! Reading the records that may be old enough to be deleted.

use std::ops::Bound;

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

use super::{Batch, MemoryStore};
use crate::{Aged, Change, OpenedList, Purge, Result, Retention};

/// The number of records, and of events, in a portion.
const PORTION: usize = 500;

#[async_trait]
impl Retention for MemoryStore {
    async fn aged(&self, after: Option<TokenId>) -> Result<Aged> {
        let data = self.data();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let later = data.tokens.range((after, Bound::Unbounded)).take(PORTION);
        let records: Vec<_> = later.map(|(id, record)| (*id, record.token.expires_at)).collect();
        let events = data.feed.events.iter().take(PORTION);
        let aged = Aged {
            next: records
                .last()
                .filter(|_| records.len() == PORTION)
                .map(|(id, _)| *id),
            events: events
                .filter_map(|(sequence, event)| {
                    Some((*sequence, Timestamp::from_millis(event.entry.event.recorded_at)?))
                })
                .collect(),
            records,
            sealed: data.audit.sealed,
            ..Aged::default()
        };
        if aged.next.is_some() {
            return Ok(aged);
        }
        let cut_offs = data.feed.cut_offs.range(..=data.feed.pruned_through);
        let lists = data.lists.iter().filter(|(_, list)| !list.is_retired);
        Ok(Aged {
            cut_offs: cut_offs
                .map(|(sequence, (cut_off, _))| (*sequence, cut_off.clone()))
                .collect(),
            oldest_record: data.records().map(|record| record.token.created_at).min(),
            lists: lists
                .map(|(id, list)| OpenedList {
                    id: *id,
                    class: list.class,
                    opened_at: list.opened_at,
                })
                .collect(),
            ..aged
        })
    }
}

impl Batch<'_> {
    pub(super) fn purge(&mut self, purge: Purge) {
        let data = &mut *self.data;
        for id in purge.records {
            data.audit.forget_token(id);
            let record = data.tokens.remove(&id);
            let former = record.and_then(|record| record.lineage.rotated_from);
            if let Some(former) = former.and_then(|former| data.token_mut(former)) {
                former.lineage.replaced_by = None;
            }
        }
        let feed = &mut data.feed;
        while let Some(oldest) = feed.events.first_entry()
            && Some(*oldest.key()) <= purge.events_through
        {
            (feed.pruned_through, feed.pruned_hash) = (*oldest.key(), oldest.get().entry.hash);
            data.audit.forget_event(*oldest.key());
            oldest.remove();
        }
        for sequence in purge.cut_offs {
            feed.cut_offs.remove(&sequence);
        }
        for id in purge.lists {
            if let Some(list) = data.lists.get_mut(&id).filter(|list| !list.is_retired) {
                list.is_retired = true;
                self.changes.push(Change::Retired(id));
            }
        }
    }
}
