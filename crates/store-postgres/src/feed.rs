//! The feed: every revocation in commit order, chained by hashes.

use std::sync::Arc;

use jeton_verifier::event::{Ends, Entry, Event};

use crate::cut_offs::issued_later;
use crate::failure::Failure;
use crate::revocable::Revocable;
use crate::values::params;
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, CutOff, Revocation, TokenKind};
use jeton_store::{Cause, Change, Generation, Realm};

impl Batch<'_> {
    /// Adds the revocation of a token; a trigger copies it to the token's row. Updates the count of the token's
    /// owner.
    pub(super) async fn revoke(
        &mut self,
        token: &Revocable,
        order: &Revocation,
        cause: &Cause,
    ) -> Result<(), Failure> {
        if let Some((owner, count)) = self.count_without(token.id, order).await? {
            self.set_count(owner, &count).await?;
        }
        let entry = self.next_entry(order.revoked_at, order.effective_at, token.ends());
        let actor_user = self.actor_number(&order.revoked_by).await?;
        self.connection
            .execute(
                "INSERT INTO revocations (sequence, epoch, kind, recorded_at, effective_at, actor, actor_user,
                    reason, token, jti, status_list, status_index, expires_at, hash, actor_token, surface, address,
                    request_id, on_behalf_of, effective_before)
                 VALUES ($1, $2, 'token', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                    (SELECT tokens.effective_at FROM tokens WHERE tokens.id = $8))",
                params![
                    entry.event.sequence,
                    entry.event.epoch,
                    order.revoked_at,
                    order.effective_at,
                    order.revoked_by.name,
                    actor_user,
                    order.reason,
                    token.id.0,
                    token.jti,
                    token.list_index.list,
                    token.list_index.index,
                    token.expires_at,
                    entry.hash,
                    cause.token.map(|token| token.0),
                    cause.origin.surface,
                    cause.origin.address,
                    cause.origin.request_id,
                    cause.origin.on_behalf_of,
                ],
            )
            .await?;
        self.memory.head.sequence = entry.event.sequence;
        self.memory.head.hash = entry.hash;
        self.changes.push(Change::Revoked {
            token: token.id,
            list_index: token.list_index,
            effective_at: order.effective_at,
            entry,
        });
        Ok(())
    }

    /// Adds a cut-off, and revokes what it means to cover and cannot, where the clock of another server is ahead.
    pub(super) async fn cut_off(&mut self, cut_off: CutOff, cause: &Cause) -> Result<(), Failure> {
        self.add_cut_off(cut_off.clone(), cause).await?;
        if cut_off.issued_through >= cause.at.seconds() {
            let sequence = self.memory.head.sequence;
            for token in issued_later(self.connection, sequence, &cut_off).await? {
                self.revoke_token(token, cut_off.effective_at, cause.reason.clone(), cause)
                    .await?;
            }
        }
        Ok(())
    }

    /// Adds a cut-off.
    pub(super) async fn add_cut_off(&mut self, cut_off: CutOff, cause: &Cause) -> Result<(), Failure> {
        let entry = self.next_entry(cause.at, cut_off.effective_at, jeton_store::ends(&cut_off));
        let reach = &cut_off.reach;
        let (connection, numbers) = (self.connection, &mut self.memory.numbers);
        let organization = match reach.organization {
            Some(organization) => Some(numbers.organization(connection, organization).await?),
            None => None,
        };
        let team = match &reach.team {
            Some(team) => Some(numbers.team(connection, team).await?),
            None => None,
        };
        let user = match &reach.user {
            Some(user) => Some(numbers.user(connection, user).await?),
            None => None,
        };
        let actor_user = self.actor_number(&cause.by).await?;
        self.connection
            .execute(
                "INSERT INTO revocations (sequence, epoch, kind, recorded_at, effective_at, actor, actor_user,
                    reason, organization, team, person, project, kid, session, issued_through_seconds, hash,
                    actor_token, surface, address, request_id, on_behalf_of)
                 VALUES ($1, $2, 'cut_off', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                    $19, $20)",
                params![
                    entry.event.sequence,
                    entry.event.epoch,
                    cause.at,
                    cut_off.effective_at,
                    cause.by.name,
                    actor_user,
                    cause.reason,
                    organization,
                    team,
                    user,
                    reach.project,
                    reach.kid,
                    reach.kind.map(|kind| kind == TokenKind::Session),
                    cut_off.issued_through,
                    entry.hash,
                    cause.token.map(|token| token.0),
                    cause.origin.surface,
                    cause.origin.address,
                    cause.origin.request_id,
                    cause.origin.on_behalf_of,
                ],
            )
            .await?;
        let head = &mut self.memory.head;
        head.sequence = entry.event.sequence;
        head.hash = entry.hash;
        head.cut_through = head.cut_through.max(cut_off.last_issue());
        self.changes.push(Change::CutOff { cut_off, entry });
        Ok(())
    }

    /// Gives realms a new version, in the database and for observers.
    pub(super) async fn changed(&mut self, realms: Vec<Realm>) -> Result<(), Failure> {
        if realms.is_empty() {
            return Ok(());
        }
        self.memory.head.edits += 1;
        let generation = Generation(self.memory.head.edits);
        for realm in &realms {
            let (statement, params) = match realm {
                Realm::Keys => {
                    self.memory.head.keys = generation;
                    continue;
                }
                Realm::Organization(id) => (
                    "UPDATE organizations SET generation = $2 WHERE public_id = $1",
                    params![id, generation.0].to_vec(),
                ),
                Realm::Person(id) => (
                    "UPDATE users SET generation = $2 WHERE public_id = $1",
                    params![id, generation.0].to_vec(),
                ),
            };
            self.connection.execute(statement, &params).await?;
        }
        self.changes.push(Change::Directory { realms, generation });
        Ok(())
    }

    /// Returns the row number of an actor, if the actor is a person known here.
    pub(super) async fn actor_number(&mut self, actor: &Actor) -> Result<Option<i64>, Failure> {
        self.memory.numbers.actor(self.connection, actor).await
    }

    pub(super) fn next_entry(
        &mut self,
        recorded_at: Timestamp,
        effective_at: Timestamp,
        ends: Ends,
    ) -> Arc<Entry> {
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
