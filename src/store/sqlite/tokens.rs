//! Tokens: recorded, looked up, described, revoked.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::cut_offs::issued_through;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::limits::OwnerNumbers;
use crate::store::sqlite::list;
use crate::store::sqlite::people;
use crate::store::sqlite::records::{self, Kinds, by_id, by_jti};
use crate::store::sqlite::values::{Bytes, Columns};
use crate::store::sqlite::writer::{Batch, Undo};
use crate::store::{
    Change, Description, Generation, Judged, Liveness, Presented, RecordOrder, RecordOutcome, Recorded,
    Result, RevokeOutcome, Tokens,
};
use crate::token::record::RevocationNote;
use crate::token::{
    Filter, Listing, Page, Place, Record, Revocation, Scope, TokenId, TokenKind, TokenReference,
};

#[async_trait]
impl Tokens for SqliteStore {
    async fn record(&self, order: RecordOrder) -> Result<RecordOutcome> {
        let inserted = self
            .writer
            .run(Undo::Statement, move |batch| insert(batch, order))
            .await?;
        Ok(match inserted {
            Inserted::Row(record) => RecordOutcome::Recorded(Recorded::after_commit(record)),
            Inserted::Stale => RecordOutcome::Stale,
            Inserted::LimitReached => RecordOutcome::LimitReached,
            Inserted::CutOff { issued_through } => RecordOutcome::CutOff { issued_through },
        })
    }

    async fn presented(&self, jti: Uuid) -> Result<Option<Presented>> {
        self.readers
            .look_up(move |connection| {
                let query = format!(
                    "SELECT {}, {}, {LIVES} FROM {} WHERE tokens.jti = ?1",
                    records::COLUMNS,
                    people::COLUMNS,
                    records::FROM
                );
                Ok(connection
                    .prepare_cached(&query)?
                    .query_row([Bytes(jti)], presented)
                    .optional()?)
            })
            .await
    }

    async fn token(&self, reference: TokenReference) -> Result<Option<Record>> {
        self.readers
            .look_up(move |connection| match reference {
                TokenReference::Id(id) => by_id(connection, id, Kinds::Api),
                TokenReference::Jti(jti) => by_jti(connection, jti, Kinds::Api),
            })
            .await
    }

    async fn tokens(&self, filter: Filter, page: Page) -> Result<Listing> {
        self.readers
            .read(move |connection| list::page(connection, &filter, &page))
            .await
    }

    async fn describe(
        &self,
        id: TokenId,
        description: Description,
        judged_at: Generation,
    ) -> Result<Judged<Option<Record>>> {
        self.writer
            .judged(judged_at, Undo::Statement, move |batch| {
                let changed = batch
                    .connection
                    .prepare_cached(
                        "UPDATE tokens SET name = coalesce(?2, name),
                            description = CASE ?3 WHEN 1 THEN ?4 ELSE description END
                         WHERE id = ?1 AND session = 0",
                    )?
                    .execute(params![
                        id.0,
                        description.name,
                        description.description.is_some(),
                        description.description.flatten(),
                    ])?;
                if changed > 0 {
                    batch.changes.push(Change::Described(id));
                }
                by_id(batch.connection, id, Kinds::Api)
            })
            .await
    }

    async fn revoke(&self, id: TokenId, revocation: Revocation) -> Result<RevokeOutcome> {
        self.writer
            .run(Undo::Statement, move |batch| revoke(batch, id, revocation))
            .await
    }

    async fn note_use(&self, seen: Vec<(TokenId, Timestamp)>) -> Result<()> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let mut update = batch.connection.prepare_cached(
                    "UPDATE tokens SET last_used_at = ?2
                     WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
                )?;
                for (id, at) in seen {
                    update.execute(params![id.0, at])?;
                }
                Ok(())
            })
            .await
    }
}

/// [`RecordOutcome`] before the commit, when nothing is proved yet.
enum Inserted {
    Row(Box<Record>),
    Stale,
    LimitReached,
    CutOff { issued_through: i64 },
}

/// The hottest write: one statement, and no other unless a cut-off or a limit is near, or its key
/// must be kept longer than before.
fn insert(batch: &mut Batch<'_>, order: RecordOrder) -> std::result::Result<Inserted, Failure> {
    let RecordOrder {
        token,
        judged_at,
        most_active,
    } = order;
    let head = batch.memory.head;
    if head.generation != judged_at {
        return Ok(Inserted::Stale);
    }
    let numbers = &mut batch.memory.numbers;
    let owner = OwnerNumbers {
        organization: token
            .owner
            .organization()
            .map(|organization| numbers.organization(batch.connection, organization))
            .transpose()?,
        team: token
            .owner
            .team()
            .map(|team| numbers.team(batch.connection, team))
            .transpose()?,
        user: token
            .owner
            .user()
            .map(|user| numbers.user(batch.connection, user))
            .transpose()?,
    };
    let Some(key) = numbers.signing_key(batch.connection, &token.kid, token.expires_at)? else {
        return Ok(Inserted::Stale);
    };
    let created_by_user = batch.actor_number(&token.created_by)?;
    // Number and place are filled in once nothing stands against the token.
    let mut record = Record {
        id: TokenId(0),
        place: Place { list: 0, index: 0 },
        token,
        last_used_at: None,
        revocation: None,
    };
    if record.token.created_at.seconds() <= head.cut_through
        && let Some(issued_through) = issued_through(batch.connection, &record)?
    {
        return Ok(Inserted::CutOff { issued_through });
    }
    let token = &record.token;
    let counts = &mut batch.memory.counts;
    if token.kind == TokenKind::Api
        && let Some(most) = most_active
        && !counts.has_room(batch.connection, owner, most, head.sequence, token.created_at)?
    {
        return Ok(Inserted::LimitReached);
    }
    record.place = batch.memory.lists.place(batch.connection, batch.entropy, token)?;
    let id = batch
        .connection
        .prepare_cached(
            "INSERT INTO tokens (jti, session, name, description, organization, team, user, scopes, preset,
                projects, audience, prefix, key, status_list, status_index, created_at, created_by,
                created_by_user, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .insert(params![
            Bytes(token.jti),
            token.kind == TokenKind::Session,
            token.name,
            token.description,
            owner.organization,
            owner.team,
            owner.user,
            spaced(&token.scopes),
            token.preset,
            token.projects.as_ref().map(json).transpose()?,
            json(&token.audience)?,
            token.prefix,
            key,
            record.place.list,
            record.place.index,
            token.created_at,
            token.created_by.name,
            created_by_user,
            token.expires_at,
        ])?;
    if token.kind == TokenKind::Api {
        counts.add(owner, token.expires_at);
    }
    record.id = TokenId(id);
    Ok(Inserted::Row(Box::new(record)))
}

fn spaced(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn revoke(
    batch: &mut Batch<'_>,
    id: TokenId,
    order: Revocation,
) -> std::result::Result<RevokeOutcome, Failure> {
    let Some(mut record) = by_id(batch.connection, id, Kinds::All)? else {
        return Ok(RevokeOutcome::Unknown);
    };
    if let Some(earlier) = &record.revocation
        && earlier.effective_at <= order.effective_at
    {
        return Ok(RevokeOutcome::AlreadyRevoked(record));
    }
    batch.revoke(&record, &order)?;
    record.revocation = Some(RevocationNote {
        revoked_at: order.revoked_at,
        effective_at: order.effective_at,
        revoked_by: order.revoked_by.name,
        reason: order.reason,
    });
    Ok(RevokeOutcome::Revoked(record))
}

/// Whether everything that a token rests on still lives. A site administrator belongs everywhere.
const LIVES: &str = "organizations.deleted_at IS NULL AND teams.deleted_at IS NULL \
     AND users.deleted_at IS NULL AND users.disabled_at IS NULL \
     AND (tokens.user IS NULL OR tokens.organization IS NULL OR users.site_admin = 1 \
         OR EXISTS (SELECT 1 FROM memberships WHERE memberships.organization = tokens.organization \
             AND memberships.user = tokens.user))";

fn presented(row: &Row<'_>) -> rusqlite::Result<Presented> {
    let record = records::record(row)?;
    let person = people::person_if_any(&mut Columns::from(row, records::COUNT))?;
    let columns = &mut Columns::from(row, records::COUNT + people::COUNT);
    let liveness = if columns.take()? {
        Liveness::Live
    } else {
        Liveness::Gone
    };
    Ok(Presented {
        record,
        person,
        liveness,
    })
}
