//! Revoking: one statement for all revocations that wait.

use std::collections::HashMap;

use uuid::Uuid;

use crate::facts::Facts;
use crate::failure::Failure;
use crate::orders::{Done, Outcome};
use crate::revocable::Revocable;
use crate::values::{Bound, Columns, bounds, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, TokenId};
use jeton_store::{Change, Effect, Guard, Order, Refused};

/// Returns the revocation that an order is, if it is no more than that: its guards are about the caller, the directory and
/// the token itself.
fn revocation(order: &Order) -> Option<(TokenId, Timestamp, Option<&String>)> {
    let [Effect::Revoke(token, effective_at, reason)] = order.effects.as_slice() else {
        return None;
    };
    let is_plain = |guard: &Guard| {
        matches!(
            guard,
            Guard::Unchanged(..) | Guard::Active(..) | Guard::NotEndedBy(..)
        )
    };
    (order.cause.idempotency.is_none() && order.guards.iter().all(is_plain)).then_some((
        *token,
        *effective_at,
        reason.as_ref(),
    ))
}

/// Returns whether an order is for [`Batch::revoke_all`].
pub(super) fn is_revocation(order: &Order) -> bool {
    revocation(order).is_some()
}

/// A token that may be revoked.
struct Token {
    token: Revocable,
    effective_at: Option<Timestamp>,
    is_counted: bool,
}

/// Selects tokens, and whether their owners have counts.
const TOKENS: &str = "SELECT tokens.id, jti, status_list, status_index, expires_at, effective_at,
        EXISTS (SELECT 1 FROM owner_counts AS counts WHERE counts.organization = coalesce(tokens.organization, 0)
            AND counts.team = coalesce(tokens.team, 0) AND counts.person = coalesce(tokens.person, 0))
     FROM tokens WHERE id = ANY($1)";

/// The number of columns of an event.
const COLUMNS: usize = 19;

/// Adds events. In their order: a trigger compares each with the one before.
const INSERT: &str = "INSERT INTO revocations (kind, sequence, epoch, recorded_at, effective_at, actor, actor_user, reason,
        token, jti, status_list, status_index, expires_at, hash, actor_token, surface, address, request_id, on_behalf_of,
        effective_before)
     SELECT 'token', new.* FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[],
        $7::text[], $8::bigint[], $9::uuid[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bytea[], $14::bigint[],
        $15::bigint[], $16::bytea[], $17::text[], $18::text[], $19::bigint[]) AS new (sequence)
     ORDER BY new.sequence";

impl Batch<'_> {
    /// Carries out orders that are revocations and nothing else.
    pub(super) async fn revoke_all(&mut self, orders: &[&Order]) -> Result<Vec<Outcome>, Failure> {
        let connection = self.connection;
        let facts = Facts::read(connection, orders.iter().copied()).await?;
        let revocations: Vec<_> = orders.iter().filter_map(|order| revocation(order)).collect();
        let mut tokens = self
            .tokens_to_revoke(revocations.iter().map(|(token, ..)| *token))
            .await?;
        let mut rows = [const { Vec::new() }; COLUMNS];
        let mut outcomes = Vec::with_capacity(orders.len());
        for (order, (id, effective_at, reason)) in orders.iter().zip(revocations) {
            let mut broken = facts.broken(connection, order, None).await?;
            let token = tokens.get_mut(&id);
            let ended = |guard: &&Guard| match guard {
                Guard::NotEndedBy(_, at) => token
                    .as_ref()
                    .is_none_or(|token| token.effective_at.is_some_and(|ends| ends <= *at)),
                _ => false,
            };
            broken = broken.or_else(|| order.guards.iter().find(ended).cloned());
            if let Some(guard) = broken {
                outcomes.push(Err(Refused(guard)));
                continue;
            }
            let token = token.ok_or(Failure::Unknown("a token"))?;
            let before = token.effective_at.replace(effective_at);
            let cause = &order.cause;
            self.memory.reach(cause.at);
            if token.is_counted {
                // Its count changes with it: after those before it, one by one.
                self.add_events(&mut rows).await?;
                self.revoke_token(id, effective_at, reason.cloned(), cause)
                    .await?;
            } else {
                let entry = self.next_entry(cause.at, effective_at, token.token.ends());
                let actor_user = self.actor_number(&cause.by).await?;
                let revoked = &token.token;
                let columns: [Bound; COLUMNS] = bounds![
                    entry.event.sequence,
                    entry.event.epoch,
                    cause.at,
                    effective_at,
                    cause.by.name,
                    actor_user,
                    reason,
                    id,
                    revoked.jti,
                    revoked.list_index.list,
                    revoked.list_index.index,
                    revoked.expires_at,
                    entry.hash,
                    cause.token,
                    cause.origin.surface,
                    cause.origin.address,
                    cause.origin.request_id,
                    cause.origin.on_behalf_of,
                    before,
                ];
                for (array, value) in rows.iter_mut().zip(columns) {
                    array.push(value);
                }
                self.memory.head.sequence = entry.event.sequence;
                self.memory.head.hash = entry.hash;
                self.changes.push(Change::Revoked {
                    token: id,
                    list_index: revoked.list_index,
                    effective_at,
                    entry,
                });
            }
            outcomes.push(Ok(Done::at(self.memory.position())));
        }
        self.add_events(&mut rows).await?;
        Ok(outcomes)
    }

    async fn tokens_to_revoke(
        &self,
        ids: impl Iterator<Item = TokenId>,
    ) -> Result<HashMap<TokenId, Token>, Failure> {
        let rows = self.connection.rows(TOKENS, params![Bound::array(ids)]).await?;
        rows.iter()
            .map(|row| {
                let columns = &mut Columns::of(row);
                let id = TokenId(columns.take()?);
                let token = Revocable {
                    id,
                    jti: columns.take::<Uuid>()?,
                    list_index: ListIndex {
                        list: columns.take()?,
                        index: columns.take()?,
                    },
                    expires_at: columns.take()?,
                };
                let token = Token {
                    token,
                    effective_at: columns.take()?,
                    is_counted: columns.take()?,
                };
                Ok((id, token))
            })
            .collect()
    }

    /// Adds the events that wait.
    async fn add_events(&self, rows: &mut [Vec<Bound>; COLUMNS]) -> Result<(), Failure> {
        let rows = std::mem::replace(rows, [const { Vec::new() }; COLUMNS]);
        if rows.first().is_some_and(|sequences| !sequences.is_empty()) {
            self.connection.execute(INSERT, &rows.map(Bound::Array)).await?;
        }
        Ok(())
    }
}
