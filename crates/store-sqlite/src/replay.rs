//! Replaying the revocations of the journal.

use jeton_journal::{Entry, LOST, Order, REPLAYED, Replayed};
use rusqlite::OptionalExtension;
use uuid::Uuid;

use crate::cut_offs;
use crate::ended::Who;
use crate::failure::Failure;
use crate::feed::OrderedFrom;
use crate::leap;
use crate::revocable::Revocable;
use crate::values::{Bytes, Parameter, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, UserId};
use jeton_core::token::{Actor, CutOff, ListIndex, Reach, Revocation};
use jeton_store::rules::audit;
use jeton_store::{Cause, KeyState, Realm};

/// A replay into the open transaction.
pub(super) struct Replay<'a, 'b> {
    batch: &'a mut Batch<'b>,
    known: Vec<CutOff>,
    replayed: Replayed,
}

impl<'a, 'b> Replay<'a, 'b> {
    pub(super) fn new(batch: &'a mut Batch<'b>) -> Result<Self, Failure> {
        Ok(Self {
            known: cut_offs::all(batch.connection)?
                .into_iter()
                .map(|(_, cut_off)| cut_off)
                .collect(),
            batch,
            replayed: Replayed::default(),
        })
    }

    pub(super) fn into_replayed(self) -> Replayed {
        self.replayed
    }

    /// Carries out an entry, unless something at least as strict is in effect already.
    pub(super) fn entry(&mut self, entry: &Entry) -> Result<(), Failure> {
        match entry {
            Entry::Token {
                jti,
                list,
                index,
                expires_at,
                order,
                ..
            } => self.token(*jti, (*list, *index), *expires_at, order),
            Entry::CutOff { order, .. } => match entry.cut_off()? {
                Some(cut_off) => self.cut_off(cut_off, order),
                None => Ok(()),
            },
            // The numbers of a restored database begin beyond all of these.
            Entry::Started { .. } | Entry::Indexes { .. } | Entry::Stopped { .. } | Entry::Moved { .. } => {
                Ok(())
            }
            Entry::ClockAccepted { recorded_at } => {
                leap::lower(self.batch, *recorded_at)?;
                self.known = cut_offs::all(self.batch.connection)?
                    .into_iter()
                    .map(|(_, cut_off)| cut_off)
                    .collect();
                Ok(())
            }
            Entry::Withdrawn {
                kid,
                algorithm,
                public_jwk,
                created_at,
                recorded_at,
            } => {
                let before: Option<KeyState> = self
                    .batch
                    .connection
                    .prepare_cached("SELECT state FROM keys WHERE kid = ?1")?
                    .query_row(params![kid], |row| get(row, 0))
                    .optional()?;
                let withdrawn = self
                    .batch
                    .connection
                    .prepare_cached(
                        "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
                         VALUES (?1, ?2, ?3, 'withdrawn', ?4, ?5, ?4)
                         ON CONFLICT (kid) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at
                         WHERE state <> 'withdrawn'",
                    )?
                    .execute(params![kid, algorithm, public_jwk, created_at, recorded_at])?;
                if withdrawn > 0 {
                    let change = audit::key_changed(kid, before, KeyState::Withdrawn);
                    let cause = Cause::operator(*recorded_at).because(Some(REPLAYED.to_owned()));
                    self.batch.note_action(&change, &cause)?;
                    self.replayed.keys += 1;
                    self.batch.changed(vec![Realm::Keys])?;
                }
                Ok(())
            }
        }
    }

    fn token(
        &mut self,
        jti: Uuid,
        (list, index): (u32, u32),
        expires_at: Option<Timestamp>,
        order: &Order,
    ) -> Result<(), Failure> {
        let Some(token) = Revocable::by_jti(self.batch.connection, jti)? else {
            return self.lost((jti, ListIndex { list, index }), expires_at, order.effective_at);
        };
        let stands = token.revocation.as_ref();
        if stands.is_some_and(|revocation| revocation.effective_at <= order.effective_at) {
            return Ok(());
        }
        let revocation = Revocation {
            revoked_at: order.recorded_at,
            effective_at: order.effective_at,
            revoked_by: self.actor(order)?,
            reason: order.reason.clone(),
        };
        self.batch.revoke(&token, &revocation, OrderedFrom::default())?;
        self.replayed.tokens += 1;
        Ok(())
    }

    /// Revokes a token without a record.
    fn lost(
        &mut self,
        (jti, list_index): (Uuid, ListIndex),
        expires_at: Option<Timestamp>,
        effective_at: Timestamp,
    ) -> Result<(), Failure> {
        let connection = self.batch.connection;
        let before = connection
            .prepare_cached("SELECT effective_at FROM lost_tokens WHERE jti = ?1")?
            .query_row(params![Bytes(jti)], |row| get::<Timestamp>(row, 0))
            .optional()?;
        if before.is_some_and(|before| before <= effective_at) {
            return Ok(());
        }
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO lost_tokens (jti, status_list, status_index, effective_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![Bytes(jti), list_index.list, list_index.index, effective_at, expires_at])?;
        let who = Who::Lost(jti);
        if let Some(before) = before {
            self.batch.memory.toggle_ended(who, before, list_index);
        }
        self.batch.memory.toggle_ended(who, effective_at, list_index);
        self.replayed.tokens += 1;
        Ok(())
    }

    fn cut_off(&mut self, cut_off: CutOff, order: &Order) -> Result<(), Failure> {
        if self.known.contains(&cut_off) {
            return Ok(());
        }
        self.remember_removed(&cut_off.reach, order.recorded_at)?;
        let by = self.actor(order)?;
        self.batch.cut_off(
            cut_off.clone(),
            &by,
            order.reason.as_deref(),
            order.recorded_at,
            OrderedFrom::default(),
        )?;
        if let Some(user) = &cut_off.reach.user
            && let Some(email) = self.address(user)?
        {
            self.replayed.addresses.insert(user.to_string(), email);
        }
        self.known.push(cut_off.clone());
        self.replayed.cut_offs.push(cut_off);
        Ok(())
    }

    fn address(&self, user: &UserId) -> Result<Option<Email>, Failure> {
        Ok(self
            .batch
            .connection
            .prepare_cached("SELECT email FROM users WHERE public_id = ?1")?
            .query_row(params![user], |row| get(row, 0))
            .optional()?)
    }

    /// Returns the actor of an entry; includes the person only if the copy knows them.
    fn actor(&self, order: &Order) -> Result<Actor, Failure> {
        let user = order.user()?;
        let known = match &user {
            Some(user) => self.exists("SELECT 1 FROM users WHERE public_id = ?1", user)?,
            None => false,
        };
        Ok(Actor {
            name: order.by.clone(),
            user: user.filter(|_| known),
        })
    }

    /// Records things that a cut-off names as removed, if the copy lacks them: they may have been created after
    /// it, and other verifiers know their ids.
    fn remember_removed(&mut self, reach: &Reach, at: Timestamp) -> Result<(), Failure> {
        let connection = self.batch.connection;
        if let Some(organization) = &reach.organization
            && !self.exists("SELECT 1 FROM organizations WHERE public_id = ?1", organization)?
        {
            connection.execute(
                "INSERT INTO organizations (public_id, name, canonical_name, policy, created_at, deleted_at)
                 VALUES (?1, ?2, ?2, '{}', ?3, ?3)",
                params![organization, LOST, at],
            )?;
        }
        if let Some(team) = &reach.team
            && !self.exists("SELECT 1 FROM teams WHERE public_id = ?1", team)?
        {
            connection.execute(
                "INSERT INTO teams (public_id, organization, name, canonical_name, created_at, deleted_at)
                 SELECT ?1, coalesce((SELECT id FROM organizations WHERE public_id = ?4), min(id)), ?2, ?2, ?3, ?3
                 FROM organizations",
                params![team, LOST, at, reach.organization],
            )?;
        }
        if let Some(user) = &reach.user
            && !self.exists("SELECT 1 FROM users WHERE public_id = ?1", user)?
        {
            connection.execute(
                "INSERT INTO users (public_id, email, password_hash, site_admin, created_at, deleted_at)
                 VALUES (?1, 'lost@example.invalid', '', 0, ?2, ?2)",
                params![user, at],
            )?;
        }
        Ok(())
    }

    fn exists(&self, query: &str, id: &dyn Parameter) -> Result<bool, Failure> {
        let found = self
            .batch
            .connection
            .query_row(query, params![id], |_| Ok(()))
            .optional()?;
        Ok(found.is_some())
    }
}
