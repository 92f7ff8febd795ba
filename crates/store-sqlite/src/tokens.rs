//! Tokens: recording, looking up, describing and revoking them.

use std::sync::LazyLock;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::SqliteStore;
use crate::active;
use crate::counts;
use crate::cut_offs::{self, uncut};
use crate::failure::Failure;
use crate::feed::OrderedFrom;
use crate::list;
use crate::list_indexes;
use crate::people;
use crate::readers::{Purpose, Tenant};
use crate::records::{self, by_id, by_jti};
use crate::revocable::Revocable;
use crate::usage::reporting_audiences;
use crate::values::{Bytes, Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::UserId;
use jeton_core::token::{
    Filter, Lineage, Listing, NewToken, Owner, Page, Record, ReportingAudience, Revocation, RevocationNote,
    Scope, Slot, TokenId, TokenKind, TokenReference,
};
use jeton_store::{
    Cause, CountFacts, Description, Generation, KnownToken, NameUse, NewRecord, OpenSession, Presented,
    Realm, Recount, ReservedIndex, Result, Summary, SummaryInstants, Tally, Tokens, Versions,
};

#[async_trait]
impl Tokens for SqliteStore {
    async fn reserve(&self, token: &NewToken) -> Result<ReservedIndex> {
        let next = |class, now| list_indexes::next(&self.writer, class, now);
        self.list_indexes.reserve(token, next).await
    }

    async fn presented(&self, jti: Uuid) -> Result<Option<Presented>> {
        self.readers
            .look_up(move |connection| {
                let query = format!(
                    "SELECT {}, {}, {OWNER}, organizations.generation, users.generation FROM {} WHERE tokens.jti = ?1",
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

    async fn reporting_audiences(&self, audiences: Vec<String>) -> Result<Vec<ReportingAudience>> {
        self.readers
            .look_up(move |connection| reporting_audiences(connection, audiences.iter()))
            .await
    }

    async fn tokens(&self, filter: Filter, page: Page) -> Result<Listing> {
        self.readers
            .read(Purpose::Listing(Tenant::from(&filter)), move |connection| {
                list::page(connection, &filter, &page)
            })
            .await
    }

    async fn count_matching(&self, filter: Filter) -> Result<u64> {
        self.readers
            .read(Purpose::Revoking(Tenant::from(&filter)), move |connection| {
                let transaction = connection.unchecked_transaction()?;
                list::Selection::new(&transaction, &filter)?.count(&transaction)
            })
            .await
    }

    async fn summary(&self, filter: Filter, at: SummaryInstants) -> Result<Summary> {
        self.readers
            .read(Purpose::Listing(Tenant::from(&filter)), move |connection| {
                let transaction = connection.unchecked_transaction()?;
                list::Selection::new(&transaction, &filter)?.summary(&transaction, &at)
            })
            .await
    }

    async fn token_in_slot(&self, owner: Owner, slot: Slot) -> Result<Option<Record>> {
        self.readers
            .look_up(move |connection| {
                let held = connection
                    .prepare_cached(&IN_SLOT_OF)?
                    .query_row(
                        params![slot, owner.organization(), owner.team(), owner.user()],
                        |row| get(row, 0).map(TokenId),
                    )
                    .optional()?;
                match held {
                    Some(token) => by_id(connection, token),
                    None => Ok(None),
                }
            })
            .await
    }

    async fn cut_off_notes(
        &self,
        tokens: Vec<TokenId>,
        now: Timestamp,
    ) -> Result<Vec<(TokenId, RevocationNote)>> {
        self.readers
            .look_up(move |connection| cut_offs::notes(connection, &tokens, now))
            .await
    }

    async fn is_standing(&self, token: TokenId, now: Timestamp) -> Result<bool> {
        self.readers
            .look_up(move |connection| active::is_standing(connection, token, now))
            .await
    }

    async fn other_active(&self, owner: Owner, token: TokenId, now: Timestamp) -> Result<Option<TokenId>> {
        // A long read: an owner may have many tokens that have ended.
        self.readers
            .read(Purpose::Revoking(Tenant::from(&owner)), move |connection| {
                active::other_active(connection, &owner, token, now)
            })
            .await
    }

    async fn name_use(&self, owner: Owner, name: String, now: Timestamp) -> Result<NameUse> {
        self.readers
            .read(Purpose::Writing(Tenant::from(&owner)), move |connection| {
                active::name_use(connection, &owner, &name, now)
            })
            .await
    }

    async fn owner_count(&self, owner: Owner) -> Result<CountFacts> {
        self.readers
            .look_up(move |connection| counts::facts(connection, &owner))
            .await
    }

    async fn count_tokens(&self, owner: Owner, now: Timestamp) -> Result<Recount> {
        self.readers
            .read(Purpose::Writing(Tenant::from(&owner)), move |connection| {
                counts::recount(connection, &owner, now)
            })
            .await
    }

    async fn count_sessions(&self, user: UserId, now: Timestamp) -> Result<u64> {
        self.readers
            .read(
                Purpose::Writing(Tenant::Person(user.clone())),
                move |connection| {
                    Ok(connection
                        .prepare_cached(&COUNT_SESSIONS)?
                        .query_row(params![user, now], |row| get(row, 0))?)
                },
            )
            .await
    }

    async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<OpenSession>> {
        self.readers
            .read(
                Purpose::Listing(Tenant::Person(user.clone())),
                move |connection| {
                    let mut query = connection.prepare_cached(&SESSIONS)?;
                    let sessions = query.query_map(params![user, now], session)?;
                    Ok(sessions.collect::<rusqlite::Result<_>>()?)
                },
            )
            .await
    }

    async fn tally(&self, after: Option<TokenId>, now: Timestamp) -> Result<Tally> {
        self.readers
            .read(Purpose::Upkeep, move |connection| tally(connection, after, now))
            .await
    }

    async fn known_tokens(&self, jtis: Vec<Uuid>) -> Result<Vec<KnownToken>> {
        self.readers
            .read(Purpose::Writing(Tenant::Deployment), move |connection| {
                let mut query = connection
                    .prepare_cached("SELECT id, created_at FROM tokens WHERE jti = ?1 AND session = 0")?;
                let mut known = Vec::new();
                for jti in jtis {
                    let found = query.query_row(params![Bytes(jti)], |row| {
                        Ok(KnownToken {
                            jti,
                            id: TokenId(get(row, 0)?),
                            created_at: get(row, 1)?,
                        })
                    });
                    known.extend(found.optional()?);
                }
                Ok(known)
            })
            .await
    }
}

/// The queries for the number of a person's sessions that have not ended, and for these sessions.
pub(super) static COUNT_SESSIONS: LazyLock<String> = LazyLock::new(|| open_sessions("count(*)"));
pub(super) static SESSIONS: LazyLock<String> = LazyLock::new(|| {
    let columns = "id, jti, created_at, expires_at, last_used_at, last_used_from, surface, address";
    format!("{} ORDER BY id DESC", open_sessions(columns))
});

fn open_sessions(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM tokens INDEXED BY sessions_by_user
         WHERE session = 1 AND user = (SELECT id FROM users WHERE public_id = ?1)
            AND (expires_at IS NULL OR expires_at / 1000 > ?2 / 1000)
            AND (tokens.effective_at IS NULL OR tokens.effective_at > ?2) AND {}",
        uncut("?2")
    )
}

/// Reads the columns of [`SESSIONS`].
fn session(row: &Row<'_>) -> rusqlite::Result<OpenSession> {
    let columns = &mut Columns::of(row);
    Ok(OpenSession {
        id: TokenId(columns.take()?),
        jti: columns.take::<Bytes>()?.0,
        created_at: columns.take()?,
        expires_at: columns.take()?,
        last_used_at: columns.take()?,
        last_used_from: columns
            .take::<Option<String>>()?
            .and_then(|address| address.parse().ok()),
        surface: columns.take()?,
        address: columns.take()?,
    })
}

/// Selects the token in a slot of an owner. A token in its grace period has left its slot.
pub(super) const IN_SLOT: &str = "SELECT id FROM tokens INDEXED BY one_token_a_slot
     WHERE slot IS NOT NULL AND effective_at IS NULL AND slot = ?1 AND coalesce(organization, 0) = coalesce(?2, 0)
         AND coalesce(team, 0) = coalesce(?3, 0) AND coalesce(user, 0) = coalesce(?4, 0)";

/// [`IN_SLOT`] by public ids.
static IN_SLOT_OF: LazyLock<String> = LazyLock::new(|| {
    IN_SLOT
        .replace("?2", "(SELECT id FROM organizations WHERE public_id = ?2)")
        .replace("?3", "(SELECT id FROM teams WHERE public_id = ?3)")
        .replace("?4", "(SELECT id FROM users WHERE public_id = ?4)")
});

/// The number of tokens in a portion of [`Tokens::tally`]: a few milliseconds.
const TALLIED: u32 = 1_000;

fn tally(
    connection: &Connection,
    after: Option<TokenId>,
    now: Timestamp,
) -> std::result::Result<Tally, Failure> {
    // In whole seconds, as in `exp`.
    let query = format!(
        "SELECT count(*), max(id),
             count(*) FILTER (WHERE NOT session AND NOT is_revoked AND NOT is_expired),
             count(*) FILTER (WHERE NOT session AND NOT is_revoked AND is_expired),
             count(*) FILTER (WHERE NOT session AND is_revoked),
             count(*) FILTER (WHERE session AND NOT is_revoked AND NOT is_expired),
             count(*) FILTER (WHERE {ending} <= ?2 + 86400000),
             count(*) FILTER (WHERE {ending} <= ?2 + 7 * 86400000),
             count(*) FILTER (WHERE {ending} <= ?2 + 30 * 86400000)
         FROM (SELECT id, session, expires_at, effective_at,
                 (expires_at / 1000 <= ?2 / 1000) IS TRUE AS is_expired,
                 NOT ((effective_at IS NULL OR effective_at > ?2) AND {uncut}) AS is_revoked
             FROM tokens WHERE id > ?1 ORDER BY id LIMIT {TALLIED})",
        ending = "NOT session AND NOT is_revoked AND NOT is_expired AND effective_at IS NULL AND expires_at",
        uncut = uncut("?2"),
    );
    let after = after.map_or(0, |after| after.0);
    Ok(connection
        .prepare_cached(&query)?
        .query_row(params![after, now], |row| {
            let counted: u32 = get(row, 0)?;
            let last: Option<i64> = get(row, 1)?;
            Ok(Tally {
                next: last.filter(|_| counted == TALLIED).map(TokenId),
                active: get(row, 2)?,
                expired: get(row, 3)?,
                revoked: get(row, 4)?,
                sessions: get(row, 5)?,
                ending_in_a_day: get(row, 6)?,
                ending_in_a_week: get(row, 7)?,
                ending_in_a_month: get(row, 8)?,
            })
        })?)
}

impl Batch<'_> {
    /// Records a token. The most frequent write: one statement, and more only if its key must be kept longer
    /// than before or the token counts.
    pub(super) fn record(
        &mut self,
        new: NewRecord,
        cause: &Cause,
    ) -> std::result::Result<Box<Record>, Failure> {
        let NewRecord {
            token,
            list_index: reserved,
            rotated_from,
            is_counted,
        } = new;
        let list_index = reserved.list_index();
        let owner = self.owner(&token.owner)?;
        let key = self
            .memory
            .numbers
            .needed_key(self.connection, &token.kid, token.expires_at)?;
        let created_by_user = self.actor_number(&token.created_by)?;
        let id = self
            .connection
            .prepare_cached(
                "INSERT INTO tokens (jti, session, name, description, organization, team, user, scopes, preset,
                    projects, audience, prefix, key, status_list, status_index, created_at, created_by,
                    created_by_user, created_by_token, expires_at, slot, rotated_from, surface, address, request_id,
                    on_behalf_of)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                    ?20, ?21, ?22, ?23, ?24, ?25, ?26)",
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
                list_index.list,
                list_index.index,
                token.created_at,
                token.created_by.name,
                created_by_user,
                token.created_by_token.map(|maker| maker.0),
                token.expires_at,
                token.slot,
                rotated_from.map(|former| former.0),
                cause.origin.surface,
                cause.origin.address,
                cause.origin.request_id,
                cause.origin.on_behalf_of,
            ])?;
        reserved.record();
        if is_counted && let Some(count) = counts::by_owner(self.connection, owner)? {
            self.set_count(owner, &count.recorded(&token))?;
        }
        Ok(Box::new(Record {
            id: TokenId(id),
            list_index,
            token,
            last_used_at: None,
            last_used_from: None,
            revocation: None,
            lineage: Lineage {
                rotated_from,
                replaced_by: None,
            },
            refusals: None,
        }))
    }

    pub(super) fn describe(
        &self,
        token: TokenId,
        description: Description,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached(
                "UPDATE tokens SET name = coalesce(?2, name),
                    description = CASE ?3 WHEN 1 THEN ?4 ELSE description END
                 WHERE id = ?1 AND session = 0",
            )?
            .execute(params![
                token.0,
                description.name,
                description.description.is_some(),
                description.description.flatten(),
            ])?;
        Ok(())
    }

    pub(super) fn revoke_token(
        &mut self,
        token: TokenId,
        effective_at: Timestamp,
        reason: Option<String>,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let token = Revocable::by_id(self.connection, token)?.ok_or(Failure::Unknown("a token"))?;
        let revocation = Revocation {
            revoked_at: cause.at,
            effective_at,
            revoked_by: cause.by.clone(),
            reason,
        };
        self.revoke(&token, &revocation, OrderedFrom::from(cause))
    }
}

fn spaced(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}

pub(super) fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The columns for a token's owner in [`Presented`].
const OWNER: &str = "organizations.deleted_at IS NOT NULL OR teams.deleted_at IS NOT NULL \
         OR users.deleted_at IS NOT NULL, \
     EXISTS (SELECT 1 FROM memberships WHERE memberships.organization = tokens.organization \
         AND memberships.user = tokens.user)";

fn presented(row: &Row<'_>) -> rusqlite::Result<Presented> {
    let record = records::record(row)?;
    let person = people::person_if_any(&mut Columns::from(row, records::COUNT))?;
    let columns = &mut Columns::from(row, records::COUNT + people::COUNT);
    let (is_owner_removed, is_member) = (columns.take()?, columns.take()?);
    let organization: Option<u64> = columns.take()?;
    let user: Option<u64> = columns.take()?;
    let owner = &record.token.owner;
    let realms = [
        owner.organization().map(Realm::Organization).zip(organization),
        owner.user().cloned().map(Realm::Person).zip(user),
    ];
    let generations = realms
        .into_iter()
        .flatten()
        .map(|(realm, generation)| (realm, Generation(generation)));
    Ok(Presented {
        generations: Versions(generations.collect()),
        record,
        person,
        is_owner_removed,
        is_member,
    })
}
