//! Tokens: recorded, looked up, described, revoked.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::SqliteStore;
use crate::cut_offs::issued_through;
use crate::failure::Failure;
use crate::limits::{self, OwnerNumbers};
use crate::list;
use crate::people;
use crate::records::{self, by_id, by_jti};
use crate::replacements::Replaced;
use crate::revocable::Revocable;
use crate::values::{Bytes, Columns, get, params};
use crate::writer::{Batch, Undo};
use jeton_core::token::{
    Filter, Lineage, Listing, NewToken, Page, Record, Refusals, Scope, TokenId, TokenKind, TokenReference,
};
use jeton_store::{
    Description, Generation, Judged, LastToken, Limit, Liveness, Naming, Presented, RecordOrder,
    RecordOutcome, Recorded, ReservedPlace, Result, RevokeOrder, RevokeOutcome, Tokens,
};

#[async_trait]
impl Tokens for SqliteStore {
    async fn reserve(&self, token: &NewToken) -> Result<ReservedPlace> {
        self.places.reserve(token, &self.writer).await
    }

    async fn record(&self, order: RecordOrder, place: ReservedPlace) -> Result<RecordOutcome> {
        // What takes the place of another is more than one statement.
        let undo = match (&order.rotation, &order.token.slot) {
            (None, None) => Undo::Statement,
            _ => Undo::Savepoint,
        };
        let inserted = self
            .writer
            .run(undo, move |batch| insert(batch, order, place))
            .await?;
        Ok(match inserted {
            Inserted::Row(record) => RecordOutcome::Recorded(Recorded::after_commit(record)),
            Inserted::Stale => RecordOutcome::Stale,
            Inserted::LimitReached { most } => RecordOutcome::LimitReached { most },
            Inserted::NameTaken => RecordOutcome::NameTaken,
            Inserted::NotActive => RecordOutcome::NotActive,
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
                    .query_row(params![Bytes(jti)], presented)
                    .optional()?)
            })
            .await
    }

    async fn token(&self, reference: TokenReference) -> Result<Option<Record>> {
        self.readers
            .look_up(move |connection| match reference {
                TokenReference::Id(id) => by_id(connection, id),
                TokenReference::Jti(jti) => by_jti(connection, jti),
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
                batch
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
                by_id(batch.connection, id)
            })
            .await
    }

    async fn revoke(&self, order: RevokeOrder) -> Result<RevokeOutcome> {
        self.writer
            .run(Undo::Statement, move |batch| revoke(batch, order))
            .await
    }

    async fn note_refusals(&self, refused: Vec<(TokenId, Refusals)>) -> Result<()> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let mut update = batch.connection.prepare_cached(
                    "UPDATE tokens SET refusals = refusals + ?2,
                        last_refused_at = max(coalesce(last_refused_at, 0), ?3)
                     WHERE id = ?1",
                )?;
                for (id, Refusals { count, last_at }) in refused {
                    update.execute(params![id.0, count, last_at])?;
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
    LimitReached { most: u32 },
    NameTaken,
    NotActive,
    CutOff { issued_through: i64 },
}

/// The hottest write: one statement, and no other unless a cut-off or a limit is near, its name must
/// be its own, or its key must be kept longer than before.
fn insert(
    batch: &mut Batch<'_>,
    order: RecordOrder,
    reserved: ReservedPlace,
) -> std::result::Result<Inserted, Failure> {
    let place = reserved.place();
    let RecordOrder {
        token,
        judged_at,
        limits,
        naming,
        rotation,
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
    // Its number is filled in once it has one.
    let mut record = Record {
        id: TokenId(0),
        place,
        token,
        last_used_at: None,
        last_used_from: None,
        revocation: None,
        lineage: Lineage {
            rotated_from: rotation.as_ref().map(|rotation| rotation.token),
            replaced_by: None,
        },
        refusals: None,
    };
    if record.token.created_at.seconds() <= head.cut_through
        && let Some(issued_through) = issued_through(batch.connection, &record)?
    {
        return Ok(Inserted::CutOff { issued_through });
    }
    let token = &record.token;
    let Some(replaced) = Replaced::by(batch.connection, token, owner, rotation)? else {
        return Ok(Inserted::NotActive);
    };
    for Limit { organization, most } in limits {
        let organization = batch
            .memory
            .numbers
            .organization(batch.connection, organization)?;
        let counted = owner.counted_in(organization);
        let room = most.saturating_add(replaced.counted);
        let counts = &mut batch.memory.counts;
        if token.kind == TokenKind::Api
            && !counts.has_room(batch.connection, &counted, room, head.sequence, token.created_at)?
        {
            return Ok(Inserted::LimitReached { most });
        }
    }
    if naming == Naming::Unique && is_name_taken(batch.connection, owner, token, &replaced)? {
        return Ok(Inserted::NameTaken);
    }
    // From here on nothing stands against it.
    for (former, revocation) in &replaced.ends {
        batch.revoke(former, revocation)?;
    }
    let id = batch
        .connection
        .prepare_cached(
            "INSERT INTO tokens (jti, session, name, description, organization, team, user, scopes, preset,
                projects, audience, prefix, key, status_list, status_index, created_at, created_by,
                created_by_user, expires_at, slot, rotated_from)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                ?20, ?21)",
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
            place.list,
            place.index,
            token.created_at,
            token.created_by.name,
            created_by_user,
            token.expires_at,
            token.slot,
            record.lineage.rotated_from.map(|former| former.0),
        ])?;
    reserved.record();
    if token.kind == TokenKind::Api {
        batch.memory.counts.add(owner, token.expires_at);
    }
    record.id = TokenId(id);
    Ok(Inserted::Row(Box::new(record)))
}

/// Whether an active token of the owner that stays has the name.
fn is_name_taken(
    connection: &Connection,
    owner: OwnerNumbers,
    token: &NewToken,
    replaced: &Replaced,
) -> std::result::Result<bool, Failure> {
    if token.name.is_empty() {
        return Ok(false);
    }
    let mut query = connection.prepare_cached(&limits::named(owner))?;
    let mut bearers = query.query(params![
        owner.organization,
        owner.team,
        owner.user,
        token.created_at,
        limits::EVER,
        token.name
    ])?;
    while let Some(row) = bearers.next()? {
        let bearer = TokenId(get(row, 0)?);
        if !replaced.ends.iter().any(|(former, _)| former.id == bearer) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn spaced(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}

pub(super) fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Carries out one order, as part of a batch.
pub(super) fn revoke(
    batch: &mut Batch<'_>,
    order: RevokeOrder,
) -> std::result::Result<RevokeOutcome, Failure> {
    let RevokeOrder {
        token,
        revocation: order,
        last_token,
    } = order;
    let Some(mut token) = Revocable::by_id(batch.connection, token)? else {
        return Ok(RevokeOutcome::Unknown);
    };
    if let Some(earlier) = token
        .revocation
        .take_if(|earlier| earlier.effective_at <= order.effective_at)
    {
        return Ok(RevokeOutcome::AlreadyRevoked(earlier));
    }
    if last_token == LastToken::Stays && limits::is_kept(batch.connection, token.id, order.revoked_at)? {
        return Ok(RevokeOutcome::Last);
    }
    batch.revoke(&token, &order)?;
    Ok(RevokeOutcome::Revoked(order.into()))
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
