//! The feed: every revocation in commit order, chained by hashes.

use std::sync::Arc;

use jeton_verifier::event::{Ends, Entry, Event, RevokedToken};

use crate::ended::Who;
use crate::failure::Failure;
use crate::revocable::Revocable;
use crate::values::{Bytes, Parameter, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, CutOff, Revocation, TokenId, TokenKind};
use jeton_store::{Cause, Change, Generation, Origin, Realm};

/// With which token and from where an event was ordered; nothing where that is not known, as after a restore.
#[derive(Default)]
pub(super) struct OrderedFrom<'a> {
    token: Option<TokenId>,
    origin: Option<&'a Origin>,
}

impl<'a> From<&'a Cause> for OrderedFrom<'a> {
    fn from(cause: &'a Cause) -> Self {
        Self {
            token: cause.token,
            origin: Some(&cause.origin),
        }
    }
}

impl OrderedFrom<'_> {
    fn address(&self) -> Option<std::net::IpAddr> {
        self.origin.and_then(|origin| origin.address)
    }

    fn request_id(&self) -> Option<&str> {
        self.origin.and_then(|origin| origin.request_id.as_deref())
    }

    fn on_behalf_of(&self) -> Option<&str> {
        self.origin.and_then(|origin| origin.on_behalf_of.as_deref())
    }
}

impl Batch<'_> {
    /// Adds the revocation of a token; a trigger copies it to the token's row. Updates the count of the token's
    /// owner.
    pub(super) fn revoke(
        &mut self,
        token: &Revocable,
        order: &Revocation,
        from: OrderedFrom<'_>,
    ) -> Result<(), Failure> {
        if let Some((owner, count)) = self.count_without(token.id, order)? {
            self.set_count(owner, &count)?;
        }
        let entry = self.next_entry(
            order.revoked_at,
            order.effective_at,
            Ends::Token(RevokedToken {
                jti: token.jti,
                id: token.id.0,
                status_list: token.list_index.list,
                index: token.list_index.index,
                expires_at: token.expires_at.map(Timestamp::millis),
            }),
        );
        let actor_user = self.actor_number(&order.revoked_by)?;
        self.connection
            .prepare_cached(
                "INSERT INTO revocations (sequence, epoch, kind, recorded_at, effective_at, actor, actor_user,
                    reason, token, jti, status_list, status_index, expires_at, hash, actor_token, surface, address,
                    request_id, on_behalf_of, effective_before)
                 VALUES (?1, ?2, 'token', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                    ?19)",
            )?
            .execute(params![
                entry.event.sequence,
                Bytes(entry.event.epoch),
                order.revoked_at,
                order.effective_at,
                order.revoked_by.name,
                actor_user,
                order.reason,
                token.id.0,
                Bytes(token.jti),
                token.list_index.list,
                token.list_index.index,
                token.expires_at,
                entry.hash,
                from.token.map(|token| token.0),
                from.origin.map(|origin| origin.surface),
                from.address(),
                from.request_id(),
                from.on_behalf_of(),
                token.revocation.as_ref().map(|before| before.effective_at),
            ])?;
        self.memory.head.sequence = entry.event.sequence;
        self.memory.head.hash = entry.hash;
        let who = Who::Recorded(token.id);
        if let Some(before) = &token.revocation {
            self.memory
                .toggle_ended(who, before.effective_at, token.list_index);
        }
        self.memory
            .toggle_ended(who, order.effective_at, token.list_index);
        self.changes.push(Change::Revoked {
            token: token.id,
            list_index: token.list_index,
            effective_at: order.effective_at,
            entry,
        });
        Ok(())
    }

    /// Adds a cut-off.
    pub(super) fn cut_off(
        &mut self,
        cut_off: CutOff,
        by: &Actor,
        reason: Option<&str>,
        now: Timestamp,
        from: OrderedFrom<'_>,
    ) -> Result<(), Failure> {
        let entry = self.next_entry(now, cut_off.effective_at, jeton_store::ends(&cut_off));
        let reach = &cut_off.reach;
        let numbers = &mut self.memory.numbers;
        let organization = reach
            .organization
            .map(|organization| numbers.organization(self.connection, organization))
            .transpose()?;
        let team = reach
            .team
            .as_ref()
            .map(|team| numbers.team(self.connection, team))
            .transpose()?;
        let user = reach
            .user
            .as_ref()
            .map(|user| numbers.user(self.connection, user))
            .transpose()?;
        let actor_user = self.actor_number(by)?;
        self.connection
            .prepare_cached(
                "INSERT INTO revocations (sequence, epoch, kind, recorded_at, effective_at, actor, actor_user,
                    reason, organization, team, user, project, kid, session, issued_through_seconds, hash, actor_token,
                    surface, address, request_id, on_behalf_of)
                 VALUES (?1, ?2, 'cut_off', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                    ?19, ?20)",
            )?
            .execute(params![
                entry.event.sequence,
                Bytes(entry.event.epoch),
                now,
                cut_off.effective_at,
                by.name,
                actor_user,
                reason,
                organization,
                team,
                user,
                reach.project,
                reach.kid,
                reach.kind.map(|kind| kind == TokenKind::Session),
                cut_off.issued_through,
                entry.hash,
                from.token.map(|token| token.0),
                from.origin.map(|origin| origin.surface),
                from.address(),
                from.request_id(),
                from.on_behalf_of(),
            ])?;
        let head = &mut self.memory.head;
        head.sequence = entry.event.sequence;
        head.hash = entry.hash;
        head.cut_through = head.cut_through.max(cut_off.last_issue());
        self.changes.push(Change::CutOff { cut_off, entry });
        Ok(())
    }

    /// Gives realms a new version, in the database and for observers.
    pub(super) fn changed(&mut self, realms: Vec<Realm>) -> Result<(), Failure> {
        if realms.is_empty() {
            return Ok(());
        }
        self.memory.head.edits += 1;
        let generation = Generation(self.memory.head.edits);
        for realm in &realms {
            let (statement, id): (_, &dyn Parameter) = match realm {
                Realm::Keys => {
                    self.memory.numbers.forget_keys();
                    self.memory.head.keys = generation;
                    continue;
                }
                Realm::Organization(id) => (
                    "UPDATE organizations SET generation = ?2 WHERE public_id = ?1",
                    id,
                ),
                Realm::Person(id) => ("UPDATE users SET generation = ?2 WHERE public_id = ?1", id),
            };
            self.connection
                .prepare_cached(statement)?
                .execute(params![id, generation.0])?;
        }
        // Read again on demand: a removed realm has no version.
        for realm in &realms {
            self.memory.generations.remove(realm);
        }
        self.changes.push(Change::Directory { realms, generation });
        Ok(())
    }

    /// Returns the row number of an actor, if the actor is a person known here.
    pub(super) fn actor_number(&mut self, actor: &Actor) -> Result<Option<i64>, Failure> {
        actor
            .user
            .as_ref()
            .map(|user| self.memory.numbers.user(self.connection, user))
            .transpose()
    }

    fn next_entry(&mut self, recorded_at: Timestamp, effective_at: Timestamp, ends: Ends) -> Arc<Entry> {
        self.memory.reach(recorded_at);
        let event = Event {
            epoch: self.memory.epoch,
            sequence: self.memory.head.sequence + 1,
            recorded_at: recorded_at.millis(),
            effective_at: effective_at.millis(),
            ends,
        };
        Arc::new(Entry::after(&self.memory.head.hash, event))
    }
}
