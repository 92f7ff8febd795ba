//! Replaying the revocations of a journal.

use jeton_journal::{Entry, LOST, Order, REPLAYED, Replayed};
use uuid::Uuid;

use crate::cut_offs;
use crate::failure::Failure;
use crate::revocable::Revocable;
use crate::values::{Parameter, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
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
    pub(super) async fn new(batch: &'a mut Batch<'b>) -> Result<Self, Failure> {
        let known = cut_offs::all(batch.connection).await?;
        Ok(Self {
            batch,
            known: known.into_iter().map(|(_, cut_off)| cut_off).collect(),
            replayed: Replayed::default(),
        })
    }

    pub(super) fn into_replayed(self) -> Replayed {
        self.replayed
    }

    /// Carries out an entry, unless something at least as strict is in effect already.
    pub(super) async fn entry(&mut self, entry: &Entry) -> Result<(), Failure> {
        match entry {
            Entry::Token {
                jti,
                list,
                index,
                expires_at,
                order,
                ..
            } => {
                let list_index = ListIndex {
                    list: *list,
                    index: *index,
                };
                self.token(*jti, list_index, *expires_at, order).await
            }
            Entry::CutOff { order, .. } => match entry.cut_off()? {
                Some(cut_off) => self.cut_off(cut_off, order).await,
                None => Ok(()),
            },
            Entry::Withdrawn {
                kid,
                algorithm,
                public_jwk,
                created_at,
                recorded_at,
            } => {
                let query = "SELECT state FROM keys WHERE kid = $1";
                let before = self.batch.connection.optional(query, params![kid]).await?;
                let before: Option<KeyState> = before.map(|row| get(&row, 0)).transpose()?;
                let withdrawn = self
                    .batch
                    .connection
                    .execute(
                        "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
                         VALUES ($1, $2, $3, 'withdrawn', $4, $5, $4)
                         ON CONFLICT (kid) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at
                         WHERE keys.state <> 'withdrawn'",
                        params![kid, algorithm, public_jwk, created_at, recorded_at],
                    )
                    .await?;
                if withdrawn > 0 {
                    let change = audit::key_changed(kid, before, KeyState::Withdrawn);
                    let cause = Cause::operator(*recorded_at).because(Some(REPLAYED.to_owned()));
                    self.batch.note_action(&change, &cause).await?;
                    self.replayed.keys += 1;
                    self.batch.changed(vec![Realm::Keys]).await?;
                }
                Ok(())
            }
            // The numbers of a new epoch begin beyond all that was given out, and the clock is accepted for a database file
            // only.
            Entry::Started { .. }
            | Entry::Indexes { .. }
            | Entry::Stopped { .. }
            | Entry::Moved { .. }
            | Entry::ClockAccepted { .. } => Ok(()),
        }
    }

    async fn token(
        &mut self,
        jti: Uuid,
        list_index: ListIndex,
        expires_at: Option<Timestamp>,
        order: &Order,
    ) -> Result<(), Failure> {
        let Some((token, ends)) = Revocable::by_jti(self.batch.connection, jti).await? else {
            return self.lost(jti, list_index, expires_at, order.effective_at).await;
        };
        if ends.is_some_and(|ends| ends <= order.effective_at) {
            return Ok(());
        }
        let cause = self.cause(order).await?;
        let revocation = Revocation {
            revoked_at: order.recorded_at,
            effective_at: order.effective_at,
            revoked_by: cause.by.clone(),
            reason: order.reason.clone(),
        };
        self.batch.revoke(&token, &revocation, &cause).await?;
        self.replayed.tokens += 1;
        Ok(())
    }

    /// Revokes a token without a record.
    async fn lost(
        &mut self,
        jti: Uuid,
        list_index: ListIndex,
        expires_at: Option<Timestamp>,
        effective_at: Timestamp,
    ) -> Result<(), Failure> {
        let added = self
            .batch
            .connection
            .execute(
                "INSERT INTO lost_tokens (jti, status_list, status_index, effective_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (jti) DO UPDATE SET effective_at = excluded.effective_at
                 WHERE lost_tokens.effective_at > excluded.effective_at",
                params![jti, list_index.list, list_index.index, effective_at, expires_at],
            )
            .await?;
        self.replayed.tokens += usize::try_from(added).unwrap_or_default();
        Ok(())
    }

    async fn cut_off(&mut self, cut_off: CutOff, order: &Order) -> Result<(), Failure> {
        if self.known.contains(&cut_off) {
            return Ok(());
        }
        if let Some(user) = &cut_off.reach.user {
            let query = "SELECT email FROM users WHERE public_id = $1 AND deleted_at IS NULL";
            if let Some(row) = self.batch.connection.optional(query, params![user]).await? {
                self.replayed.addresses.insert(user.to_string(), get(&row, 0)?);
            }
        }
        self.remember_removed(&cut_off.reach, order.recorded_at).await?;
        let cause = self.cause(order).await?;
        // Tokens of a faster clock that it has ended have entries of their own.
        self.batch.add_cut_off(cut_off.clone(), &cause).await?;
        self.known.push(cut_off.clone());
        self.replayed.cut_offs.push(cut_off);
        Ok(())
    }

    /// Returns the cause of an entry; includes the person only if the database knows them.
    async fn cause(&self, order: &Order) -> Result<Cause, Failure> {
        let user = order.user()?;
        let known = match &user {
            Some(user) => {
                self.exists("SELECT 1 FROM users WHERE public_id = $1", user)
                    .await?
            }
            None => false,
        };
        Ok(Cause {
            by: Actor {
                name: order.by.clone(),
                user: user.filter(|_| known),
            },
            ..Cause::operator(order.recorded_at).because(order.reason.clone())
        })
    }

    /// Records things that a cut-off names as removed, if the database lacks them: they may have been created in the
    /// history that is lost, and other verifiers know their ids.
    async fn remember_removed(&mut self, reach: &Reach, at: Timestamp) -> Result<(), Failure> {
        let connection = self.batch.connection;
        if let Some(organization) = &reach.organization
            && !self
                .exists("SELECT 1 FROM organizations WHERE public_id = $1", organization)
                .await?
        {
            connection
                .execute(
                    "INSERT INTO organizations (public_id, name, canonical_name, policy, created_at, deleted_at)
                     VALUES ($1, $2, $2, '{}', $3, $3)",
                    params![organization, LOST, at],
                )
                .await?;
        }
        if let Some(team) = &reach.team
            && !self
                .exists("SELECT 1 FROM teams WHERE public_id = $1", team)
                .await?
        {
            connection
                .execute(
                    "INSERT INTO teams (public_id, organization, name, canonical_name, created_at, deleted_at)
                     SELECT $1, coalesce((SELECT id FROM organizations WHERE public_id = $4), min(id)), $2, $2, $3, $3
                     FROM organizations",
                    params![team, LOST, at, reach.organization],
                )
                .await?;
        }
        if let Some(user) = &reach.user
            && !self
                .exists("SELECT 1 FROM users WHERE public_id = $1", user)
                .await?
        {
            connection
                .execute(
                    "INSERT INTO users (public_id, email, password_hash, site_admin, created_at, deleted_at)
                     VALUES ($1, 'lost@example.invalid', '', false, $2, $2)",
                    params![user, at],
                )
                .await?;
        }
        Ok(())
    }

    async fn exists(&self, query: &str, id: &(dyn Parameter + Sync)) -> Result<bool, Failure> {
        let found = self.batch.connection.optional(query, &[id.bound()]).await?;
        Ok(found.is_some())
    }
}
