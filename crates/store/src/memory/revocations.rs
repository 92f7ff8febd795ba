//! Revocations and identity: the state that a process rebuilds at its start.

use std::sync::Arc;

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_verifier::event::{Entry, Position};
use uuid::Uuid;

use super::MemoryStore;
use super::data::Data;
use crate::{
    Change, Changes, Continuation, Covered, ExplainedEvent, FeedPage, Generation, Realm, Result, Revocations,
    Snapshot,
};

/// How many events are returned at once.
const EVENTS: usize = 10_000;

/// The number of tokens in a portion of those that a cut-off covers.
const PORTION: usize = 1_000;

impl Data {
    fn status_lists(&self) -> Vec<u32> {
        let lists = self.lists.iter().filter(|(_, list)| !list.is_retired);
        lists.map(|(id, _)| *id).collect()
    }

    fn realms_changed_after(&self, edit: Generation) -> Vec<(Realm, Generation)> {
        let keys = [(Realm::Keys, self.keys.generation)];
        let organizations = self.organizations.iter();
        let organizations = organizations.map(|(id, kept)| (Realm::Organization(*id), kept.generation));
        let people = self.people.iter();
        let people = people.map(|(id, kept)| (Realm::Person(id.clone()), kept.generation));
        keys.into_iter()
            .chain(organizations)
            .chain(people)
            .filter(|(_, generation)| *generation > edit)
            .collect()
    }
}

#[async_trait]
impl Revocations for MemoryStore {
    async fn snapshot(&self) -> Result<Snapshot> {
        let data = self.data();
        let revoked = data.tokens.values().filter_map(|record| {
            let revocation = record.revocation.as_ref()?;
            Some((record.list_index, revocation.effective_at))
        });
        Ok(Snapshot {
            position: data.position(),
            edit: data.edit,
            keys: data.keys.generation,
            time: data.time,
            lists: data.status_lists(),
            revoked: revoked.collect(),
            cut_offs: data
                .feed
                .cut_offs
                .iter()
                .map(|(sequence, (cut_off, _))| (*sequence, cut_off.clone()))
                .collect(),
        })
    }

    async fn changes_after(&self, position: Position, edit: Generation) -> Result<Continuation> {
        let data = self.data();
        if position.epoch != data.epoch || edit > data.edit {
            return Ok(Continuation::Forked);
        }
        if position.sequence < data.feed.pruned_through {
            return Ok(Continuation::Pruned);
        }
        if data.feed.hash_of(position.sequence) != Some(position.hash) {
            return Ok(Continuation::Forked);
        }
        let later = data.feed.events.range(position.sequence + 1..);
        let events: Vec<_> = later
            .take(EVENTS)
            .map(|(_, event)| event.change.clone())
            .collect();
        let last = events.last().and_then(Change::entry);
        Ok(Continuation::Changes(Changes {
            edit: data.edit,
            latest: data.time.latest,
            realms: data.realms_changed_after(edit),
            reached: last.map_or(position, |last| last.position()),
            has_more: events.len() == EVENTS,
            events,
        }))
    }

    async fn events_after(&self, position: Position, most: u32) -> Result<FeedPage> {
        let data = self.data();
        let feed = &data.feed;
        if position.epoch != data.epoch {
            return Ok(FeedPage::Forked);
        }
        if position.sequence > feed.sequence {
            return Ok(FeedPage::Ahead);
        }
        if position.sequence < feed.pruned_through {
            return Ok(FeedPage::Pruned);
        }
        if feed.hash_of(position.sequence) != Some(position.hash) {
            return Ok(FeedPage::Forked);
        }
        let later = feed.events.range(position.sequence + 1..).take(most as usize);
        let entries = later.map(|(_, event)| Arc::clone(&event.entry));
        Ok(FeedPage::of(entries.collect(), data.epoch))
    }

    async fn event(&self, position: Position) -> Result<Option<ExplainedEvent>> {
        let data = self.data();
        let event = data.feed.events.get(&position.sequence);
        let event = event.filter(|event| event.entry.position() == position);
        Ok(event.map(|event| ExplainedEvent {
            entry: Entry::clone(&event.entry),
            revoked_by: event.by.clone(),
            reason: event.reason.clone(),
        }))
    }

    async fn status_lists(&self) -> Result<Vec<u32>> {
        Ok(self.data().status_lists())
    }

    async fn covered(&self, cut_off: u64, after: TokenId, now: Timestamp) -> Result<Covered> {
        let data = self.data();
        let Some((cut_off, _)) = data.feed.cut_offs.get(&cut_off) else {
            return Ok(Covered {
                list_indexes: Vec::new(),
                last: None,
            });
        };
        let later = data.tokens.iter().filter(|(id, _)| **id > after);
        let covered = later.filter(|(_, record)| {
            cut_off.ends(record.as_ref(), cut_off.effective_at) && !record.is_expired(now)
        });
        let portion: Vec<_> = covered.take(PORTION).collect();
        Ok(Covered {
            last: portion
                .last()
                .filter(|_| portion.len() == PORTION)
                .map(|(id, _)| **id),
            list_indexes: portion.into_iter().map(|(_, record)| record.list_index).collect(),
        })
    }

    /// The first epoch: memory is never restored.
    async fn origin(&self) -> Result<Uuid> {
        Ok(self.data().epoch)
    }

    async fn pin_issuer(&self, issuer: Option<&str>) -> Result<Option<String>> {
        self.write(|batch| {
            let pinned = &mut batch.data.issuer;
            *pinned = pinned.take().or_else(|| issuer.map(str::to_owned));
            Ok(pinned.clone())
        })
        .await
    }

    async fn ready(&self) -> Result<()> {
        Ok(())
    }
}
