//! Tokens, and their indexes in the status lists.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::directory::UserId;
use jeton_core::token::{
    End, Filter, ListIndex, Listing, NewToken, Owner, Page, Record, ReportingAudience, RevocationNote, Slot,
    Status, StatusAt, TokenId, TokenKind, TokenReference, WantedStatus,
};
use std::ops::Bound;
use std::sync::Arc;
use uuid::Uuid;

use super::data::{Data, StatusList};
use super::{MemoryStore, failed, list, locked};
use crate::rules::status_lists::{LIST_SIZE, LifetimeClass};
use crate::{
    CountFacts, KnownToken, NameUse, OpenSession, Presented, Realm, Recount, ReservedIndex, Result,
    ReturnedIndexes, Summary, SummaryInstants, Tally, Tokens, Versions,
};

/// The number of tokens in a portion of [`Tokens::tally`].
const PORTION: usize = 500;

#[async_trait]
impl Tokens for MemoryStore {
    /// Reserves a returned index first, otherwise the next of the newest list. The order is not hidden, since
    /// this backend serves no public.
    async fn reserve(&self, token: &NewToken) -> Result<ReservedIndex> {
        let list_index = self.list_index(LifetimeClass::of(token), token.created_at)?;
        let returns_to: Arc<dyn ReturnedIndexes> = Arc::<super::Shared>::clone(&self.shared);
        Ok(ReservedIndex::new(list_index, returns_to))
    }

    async fn presented(&self, jti: Uuid) -> Result<Option<Presented>> {
        let data = self.data();
        Ok(data.token_with(jti).map(|record| data.presented(record)))
    }

    async fn token(&self, reference: TokenReference) -> Result<Option<Record>> {
        let data = self.data();
        let record = match reference {
            TokenReference::Id(id) => data.token(id),
            TokenReference::Jti(jti) => data.token_with(jti),
        };
        Ok(record
            .filter(|record| record.token.kind == TokenKind::Api)
            .cloned())
    }

    async fn reporting_audiences(&self, audiences: Vec<String>) -> Result<Vec<ReportingAudience>> {
        Ok(list::reporting_audiences(&self.data(), audiences.iter()))
    }

    async fn tokens(&self, filter: Filter, page: Page) -> Result<Listing> {
        Ok(list::page(&self.data(), &filter, &page))
    }

    async fn count_matching(&self, filter: Filter) -> Result<u64> {
        Ok(self.data().matching(&filter).count() as u64)
    }

    async fn summary(&self, filter: Filter, at: SummaryInstants) -> Result<Summary> {
        let data = self.data();
        let count = |status, ends: &[End], unused_since| {
            let filter = Filter {
                status: Some(StatusAt {
                    wanted: WantedStatus::Only(status),
                    at: at.now,
                }),
                ends: filter.ends.iter().chain(ends).copied().collect(),
                unused_since,
                ..filter.clone()
            };
            data.matching(&filter).count() as u64
        };
        let soon = End::before(at.expires_before);
        Ok(Summary {
            active: count(Status::Active, &[], None),
            expired: count(Status::Expired, &[], None),
            revoked: count(Status::Revoked, &[], None),
            expiring: count(Status::Active, &[soon], None),
            unused: count(Status::Active, &[], Some(at.unused_since)),
        })
    }

    async fn token_in_slot(&self, owner: Owner, slot: Slot) -> Result<Option<Record>> {
        Ok(self.data().in_slot(&owner, &slot).cloned())
    }

    async fn cut_off_notes(
        &self,
        tokens: Vec<TokenId>,
        now: Timestamp,
    ) -> Result<Vec<(TokenId, RevocationNote)>> {
        let data = self.data();
        let note = |token: TokenId| {
            let record = data.token(token)?;
            let covering = data
                .feed
                .cut_offs
                .values()
                .filter(|(cut_off, _)| cut_off.ends(record, now));
            let (_, note) = covering.min_by_key(|(cut_off, _)| cut_off.effective_at)?;
            Some((token, note.clone()))
        };
        Ok(tokens.into_iter().filter_map(note).collect())
    }

    async fn is_standing(&self, token: TokenId, now: Timestamp) -> Result<bool> {
        let data = self.data();
        Ok(data
            .token(token)
            .is_some_and(|record| data.is_standing(record, now)))
    }

    async fn other_active(&self, owner: Owner, token: TokenId, now: Timestamp) -> Result<Option<TokenId>> {
        let data = self.data();
        let others = data.of_owner(&owner).filter(|other| other.id != token);
        let active = others.filter(|other| data.is_standing(other, now));
        Ok(active.map(|other| other.id).max())
    }

    async fn name_use(&self, owner: Owner, name: String, now: Timestamp) -> Result<NameUse> {
        let data = self.data();
        let named = data.of_owner(&owner).filter(|record| record.token.name == name);
        let bearers = named.filter(|record| data.is_standing(record, now));
        Ok(NameUse {
            bearers: bearers.map(|record| record.id).take(3).collect(),
            newest: data.records().map(|record| record.id).max(),
        })
    }

    async fn owner_count(&self, owner: Owner) -> Result<CountFacts> {
        let data = self.data();
        let last_cut_off = data.feed.cut_offs.last_key_value();
        Ok(CountFacts {
            count: data.counts.get(&owner).copied(),
            last_cut_off: last_cut_off.map_or(0, |(sequence, _)| *sequence),
        })
    }

    async fn count_tokens(&self, owner: Owner, now: Timestamp) -> Result<Recount> {
        let data = self.data();
        let counted = data
            .of_owner(&owner)
            .filter(|record| data.is_counted(record, now));
        let ends = counted.map(|record| data.succession(record).token.end());
        let (active, first_end) = ends.fold((0, Timestamp::LAST), |(active, first), end| {
            (active + 1, first.min(end))
        });
        Ok(Recount {
            version: data.counts.get(&owner).map(|count| count.version),
            active,
            first_end,
            sequence: data.feed.sequence,
        })
    }

    async fn count_sessions(&self, user: UserId, now: Timestamp) -> Result<u64> {
        Ok(self.data().open_sessions(&user, now).count() as u64)
    }

    async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<OpenSession>> {
        let data = self.data();
        let mut sessions: Vec<_> = data
            .open_sessions(&user, now)
            .map(|record| {
                let origin = data.audit.origin_of_token(record.id);
                OpenSession {
                    id: record.id,
                    jti: record.token.jti,
                    created_at: record.token.created_at,
                    expires_at: record.token.expires_at,
                    last_used_at: record.last_used_at,
                    last_used_from: record.last_used_from,
                    surface: origin.map(|origin| origin.surface),
                    address: origin.and_then(|origin| origin.address),
                }
            })
            .collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.id));
        Ok(sessions)
    }

    async fn tally(&self, after: Option<TokenId>, now: Timestamp) -> Result<Tally> {
        let data = self.data();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let portion = data.tokens.range((after, Bound::Unbounded)).take(PORTION);
        let (mut tally, mut counted) = (Tally::default(), 0);
        for (id, record) in portion {
            counted += 1;
            tally.next = Some(*id);
            let is_revoked = record.is_revoked(now) || data.is_cut_off(record, Some(now));
            match (record.token.kind, is_revoked, record.is_expired(now)) {
                (TokenKind::Session, false, false) => tally.sessions += 1,
                (TokenKind::Session, ..) => {}
                (TokenKind::Api, true, _) => tally.revoked += 1,
                (TokenKind::Api, false, true) => tally.expired += 1,
                (TokenKind::Api, false, false) => {
                    tally.active += 1;
                    let is_within = |days: i64| {
                        let end = record.token.expires_at.filter(|_| record.revocation.is_none());
                        u64::from(end.is_some_and(|end| end <= now.plus_seconds(days * 86_400)))
                    };
                    tally.ending_in_a_day += is_within(1);
                    tally.ending_in_a_week += is_within(7);
                    tally.ending_in_a_month += is_within(30);
                }
            }
        }
        tally.next = tally.next.filter(|_| counted == PORTION);
        Ok(tally)
    }

    async fn known_tokens(&self, jtis: Vec<Uuid>) -> Result<Vec<KnownToken>> {
        let data = self.data();
        let records = jtis.into_iter().filter_map(|jti| data.token_with(jti));
        let api_tokens = records.filter(|record| record.token.kind == TokenKind::Api);
        let known = api_tokens.map(|record| KnownToken {
            jti: record.token.jti,
            id: record.id,
            created_at: record.token.created_at,
        });
        Ok(known.collect())
    }
}

impl MemoryStore {
    fn list_index(&self, class: LifetimeClass, now: Timestamp) -> Result<ListIndex> {
        let mut data = self.data();
        let newest = data
            .lists
            .iter_mut()
            .rfind(|(_, list)| list.class == class && !list.is_retired)
            .filter(|(_, list)| class.is_open(list.opened_at, now));
        if let Some((id, list)) = newest {
            let returned = locked(&self.shared.returned).get_mut(id).and_then(Vec::pop);
            if let Some(index) = returned {
                return Ok(ListIndex { list: *id, index });
            }
            if list.used < LIST_SIZE {
                list.used += 1;
                return Ok(ListIndex {
                    list: *id,
                    index: list.used - 1,
                });
            }
        }
        let last = data.lists.last_key_value().map_or(0, |(id, _)| *id);
        let id = last
            .checked_add(1)
            .ok_or_else(|| failed("all status lists are used up"))?;
        let list = StatusList {
            class,
            opened_at: now,
            used: 1,
            is_retired: false,
        };
        data.lists.insert(id, list);
        Ok(ListIndex { list: id, index: 0 })
    }
}

impl Data {
    fn presented(&self, record: &Record) -> Presented {
        let owner = &record.token.owner;
        let account = owner.user().and_then(|user| self.people.get(user));
        let organization = owner.organization().and_then(|id| self.organizations.get(&id));
        let team = owner.team().and_then(|id| self.teams.get(id));
        let realms = [
            owner
                .organization()
                .map(Realm::Organization)
                .zip(organization.map(|kept| kept.generation)),
            owner
                .user()
                .cloned()
                .map(Realm::Person)
                .zip(account.map(|kept| kept.generation)),
        ];
        Presented {
            record: record.clone(),
            person: account.map(|kept| kept.value.person.clone()),
            is_owner_removed: organization.is_some_and(|kept| kept.is_removed)
                || team.is_some_and(|kept| kept.is_removed)
                || account.is_some_and(|kept| kept.is_removed),
            is_member: (owner.organization().zip(owner.user()))
                .is_some_and(|(organization, user)| self.is_member(organization, user)),
            generations: Versions(realms.into_iter().flatten().collect()),
        }
    }
}
