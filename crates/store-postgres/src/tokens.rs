//! Tokens: look-ups, lists, counts, and recording.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::PostgresStore;
use crate::active::{self, OwnerNumbers};
use crate::counts;
use crate::cut_offs::{self, uncut};
use crate::failure::Failure;
use crate::list;
use crate::list_indexes::NextStretch;
use crate::people;
use crate::records::{self, by_id, by_jti};
use crate::revocable::Revocable;
use crate::usage::reporting_audiences;
use crate::values::{Bound, Columns, bounds, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::UserId;
use jeton_core::token::{
    Filter, Lineage, ListIndex, Listing, NewToken, Owner, Page, Record, ReportingAudience, Revocation,
    RevocationNote, Scope, Slot, TokenId, TokenKind, TokenReference,
};
use jeton_store::reads::{Purpose, Tenant};
use jeton_store::{
    Cause, CountFacts, Description, Generation, KnownToken, NameUse, NewRecord, OpenSession, Presented,
    Realm, Recount, ReservedIndex, Result, Summary, SummaryInstants, Tally, Tokens, Versions,
};

#[async_trait]
impl Tokens for PostgresStore {
    async fn reserve(&self, token: &NewToken) -> Result<ReservedIndex> {
        let next = |class, now| self.writer.run(NextStretch { class, now });
        self.list_indexes.reserve(token, next).await
    }

    async fn presented(&self, jti: Uuid) -> Result<Option<Presented>> {
        let row = self
            .connections
            .read()
            .await?
            .optional(&PRESENTED, params![jti])
            .await?;
        Ok(row.as_ref().map(presented).transpose()?)
    }

    async fn token(&self, reference: TokenReference) -> Result<Option<Record>> {
        let connection = self.connections.read().await?;
        Ok(match reference {
            TokenReference::Id(id) => by_id(&connection, id).await?,
            TokenReference::Jti(jti) => by_jti(&connection, jti).await?,
        })
    }

    async fn reporting_audiences(&self, audiences: Vec<String>) -> Result<Vec<ReportingAudience>> {
        let connection = self.connections.read().await?;
        Ok(reporting_audiences(&connection, audiences.iter()).await?)
    }

    async fn tokens(&self, filter: Filter, page: Page) -> Result<Listing> {
        let mut connection = self
            .connections
            .long(Purpose::Listing(Tenant::from(&filter)))
            .await?;
        let listing = list::page(&connection, &filter, &page).await?;
        connection.end().await?;
        Ok(listing)
    }

    async fn count_matching(&self, filter: Filter) -> Result<u64> {
        let mut connection = self
            .connections
            .long(Purpose::Revoking(Tenant::from(&filter)))
            .await?;
        let count = list::Selection::new(&filter).count(&connection).await?;
        connection.end().await?;
        Ok(count)
    }

    async fn summary(&self, filter: Filter, at: SummaryInstants) -> Result<Summary> {
        let mut connection = self
            .connections
            .long(Purpose::Listing(Tenant::from(&filter)))
            .await?;
        let summary = list::Selection::new(&filter).summary(&connection, &at).await?;
        connection.end().await?;
        Ok(summary)
    }

    async fn token_in_slot(&self, owner: Owner, slot: Slot) -> Result<Option<Record>> {
        let connection = self.connections.read().await?;
        let params = params![slot, owner.organization(), owner.team(), owner.user()];
        let held = connection.optional(IN_SLOT_OF, params).await?;
        Ok(match held {
            Some(row) => by_id(&connection, TokenId(get(&row, 0)?)).await?,
            None => None,
        })
    }

    async fn cut_off_notes(
        &self,
        tokens: Vec<TokenId>,
        now: Timestamp,
    ) -> Result<Vec<(TokenId, RevocationNote)>> {
        let connection = self.connections.read().await?;
        Ok(cut_offs::notes(&connection, &tokens, now).await?)
    }

    async fn is_standing(&self, token: TokenId, now: Timestamp) -> Result<bool> {
        let connection = self.connections.read().await?;
        Ok(active::is_standing(&connection, token, now).await?)
    }

    async fn other_active(&self, owner: Owner, token: TokenId, now: Timestamp) -> Result<Option<TokenId>> {
        let mut connection = self
            .connections
            .long(Purpose::Revoking(Tenant::from(&owner)))
            .await?;
        let other = active::other_active(&connection, &owner, token, now).await?;
        connection.end().await?;
        Ok(other)
    }

    async fn name_use(&self, owner: Owner, name: String, now: Timestamp) -> Result<NameUse> {
        let mut connection = self
            .connections
            .long(Purpose::Writing(Tenant::from(&owner)))
            .await?;
        let name_use = active::name_use(&connection, &owner, &name, now).await?;
        connection.end().await?;
        Ok(name_use)
    }

    async fn owner_count(&self, owner: Owner) -> Result<CountFacts> {
        let mut connection = self.connections.read_at_once().await?;
        let facts = counts::facts(&connection, &owner).await?;
        connection.end().await?;
        Ok(facts)
    }

    async fn count_tokens(&self, owner: Owner, now: Timestamp) -> Result<Recount> {
        let mut connection = self
            .connections
            .long(Purpose::Writing(Tenant::from(&owner)))
            .await?;
        let recount = counts::recount(&connection, &owner, now).await?;
        connection.end().await?;
        Ok(recount)
    }

    async fn count_sessions(&self, user: UserId, now: Timestamp) -> Result<u64> {
        let purpose = Purpose::Writing(Tenant::Person(user.clone()));
        let mut connection = self.connections.long(purpose).await?;
        let query = format!("SELECT count(*) FROM tokens WHERE {}", *IS_OPEN_SESSION);
        let count = get(&connection.row(&query, params![user, now]).await?, 0)?;
        connection.end().await?;
        Ok(count)
    }

    async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<OpenSession>> {
        let purpose = Purpose::Listing(Tenant::Person(user.clone()));
        let mut connection = self.connections.long(purpose).await?;
        let query = format!(
            "SELECT tokens.id, tokens.jti, tokens.created_at, tokens.expires_at, token_use.last_used_at,
                token_use.last_used_from, tokens.surface, tokens.address
             FROM tokens LEFT JOIN token_use ON token_use.token = tokens.id
             WHERE {} ORDER BY tokens.id DESC",
            *IS_OPEN_SESSION
        );
        let rows = connection.rows(&query, params![user, now]).await?;
        connection.end().await?;
        let sessions = rows.iter().map(session);
        Ok(sessions.collect::<std::result::Result<_, Failure>>()?)
    }

    async fn tally(&self, after: Option<TokenId>, now: Timestamp) -> Result<Tally> {
        let mut connection = self.connections.long(Purpose::Upkeep).await?;
        let after = after.map_or(0, |after| after.0);
        let row = connection.row(&TALLY, params![after, now]).await?;
        connection.end().await?;
        Ok(tally(&row)?)
    }

    async fn known_tokens(&self, jtis: Vec<Uuid>) -> Result<Vec<KnownToken>> {
        let connection = self.connections.read().await?;
        let jtis = Bound::array(jtis);
        let query = "SELECT jti, id, created_at FROM tokens WHERE jti = ANY($1) AND NOT session";
        let rows = connection.rows(query, params![jtis]).await?;
        let known = rows.iter().map(|row| {
            Ok(KnownToken {
                jti: get(row, 0)?,
                id: TokenId(get(row, 1)?),
                created_at: get(row, 2)?,
            })
        });
        Ok(known.collect::<std::result::Result<_, Failure>>()?)
    }
}

/// Selects the token in a slot of an owner, by public ids.
const IN_SLOT_OF: &str = "SELECT id FROM tokens WHERE slot IS NOT NULL AND effective_at IS NULL AND slot = $1
     AND coalesce(organization, 0) = coalesce((SELECT id FROM organizations WHERE public_id = $2), 0)
     AND coalesce(team, 0) = coalesce((SELECT id FROM teams WHERE public_id = $3), 0)
     AND coalesce(person, 0) = coalesce((SELECT id FROM users WHERE public_id = $4), 0)";

/// A condition on `tokens`: a session of the person `$1` that has not ended at the instant `$2`.
static IS_OPEN_SESSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "tokens.session AND tokens.person = (SELECT id FROM users WHERE public_id = $1)
            AND (tokens.expires_at IS NULL OR tokens.expires_at / 1000 > $2::bigint / 1000)
            AND (tokens.effective_at IS NULL OR tokens.effective_at > $2) AND {}",
        uncut("$2::bigint")
    )
});

fn session(row: &Row) -> std::result::Result<OpenSession, Failure> {
    let columns = &mut Columns::of(row);
    Ok(OpenSession {
        id: TokenId(columns.take()?),
        jti: columns.take()?,
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

/// The number of tokens in a portion of [`Tokens::tally`]: a few milliseconds.
const TALLIED: u32 = 1_000;

static TALLY: LazyLock<String> = LazyLock::new(|| {
    // In whole seconds, as in `exp`.
    format!(
        "SELECT count(*), max(id),
             count(*) FILTER (WHERE NOT session AND NOT is_revoked AND NOT is_expired),
             count(*) FILTER (WHERE NOT session AND NOT is_revoked AND is_expired),
             count(*) FILTER (WHERE NOT session AND is_revoked),
             count(*) FILTER (WHERE session AND NOT is_revoked AND NOT is_expired),
             count(*) FILTER (WHERE {ending} <= $2::bigint + 86400000),
             count(*) FILTER (WHERE {ending} <= $2::bigint + 7 * 86400000),
             count(*) FILTER (WHERE {ending} <= $2::bigint + 30 * 86400000::bigint)
         FROM (SELECT id, session, expires_at, effective_at,
                 (expires_at / 1000 <= $2::bigint / 1000) IS TRUE AS is_expired,
                 NOT ((effective_at IS NULL OR effective_at > $2) AND {uncut}) AS is_revoked
             FROM tokens WHERE id > $1 ORDER BY id LIMIT {TALLIED}) AS portion",
        ending = "NOT session AND NOT is_revoked AND NOT is_expired AND effective_at IS NULL AND expires_at",
        uncut = uncut("$2::bigint"),
    )
});

fn tally(row: &Row) -> std::result::Result<Tally, Failure> {
    let columns = &mut Columns::of(row);
    let counted: u32 = columns.take()?;
    let last: Option<i64> = columns.take()?;
    Ok(Tally {
        next: last.filter(|_| counted == TALLIED).map(TokenId),
        active: columns.take()?,
        expired: columns.take()?,
        revoked: columns.take()?,
        sessions: columns.take()?,
        ending_in_a_day: columns.take()?,
        ending_in_a_week: columns.take()?,
        ending_in_a_month: columns.take()?,
    })
}

impl Batch<'_> {
    /// Records a token.
    pub(super) async fn record(
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
        let owner = self.owner(&token.owner).await?;
        let key = self.needed_key(&token.kid, token.expires_at).await?;
        let created_by_user = self.actor_number(&token.created_by).await?;
        let row = columns(
            &token,
            list_index,
            rotated_from,
            cause,
            owner,
            created_by_user,
            key,
        );
        let rows = self.connection.rows(&INSERT, &arrays(vec![row])).await?;
        reserved.record();
        if is_counted && let Some(count) = counts::by_owner(self.connection, owner).await? {
            self.set_count(owner, &count.recorded(&token)).await?;
        }
        let id = numbers(&rows)?.get(&token.jti).copied();
        let id = id.ok_or(Failure::Impossible("a recorded token has no number"))?;
        Ok(Box::new(recorded(id, token, list_index, rotated_from)))
    }

    pub(super) async fn describe(
        &self,
        token: TokenId,
        description: Description,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "UPDATE tokens SET name = coalesce($2, name),
                    description = CASE WHEN $3 THEN $4 ELSE description END
                 WHERE id = $1 AND NOT session",
                params![
                    token.0,
                    description.name,
                    description.description.is_some(),
                    description.description.flatten(),
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn revoke_token(
        &mut self,
        token: TokenId,
        effective_at: Timestamp,
        reason: Option<String>,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let found = Revocable::by_id(self.connection, token).await?;
        let token = found.ok_or(Failure::Unknown("a token"))?;
        let revocation = Revocation {
            revoked_at: cause.at,
            effective_at,
            revoked_by: cause.by.clone(),
            reason,
        };
        self.revoke(&token, &revocation, cause).await
    }
}

/// Returns the record of a token that was recorded just now.
pub(super) fn recorded(
    id: TokenId,
    token: NewToken,
    list_index: ListIndex,
    rotated_from: Option<TokenId>,
) -> Record {
    Record {
        id,
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
    }
}

/// The columns of a token about to be recorded, with their types.
pub(super) const NEW: [(&str, &str); 26] = [
    ("jti", "uuid"),
    ("session", "boolean"),
    ("name", "text"),
    ("description", "text"),
    ("organization", "bigint"),
    ("team", "bigint"),
    ("person", "bigint"),
    ("scopes", "text"),
    ("preset", "text"),
    ("projects", "text"),
    ("audience", "text"),
    ("prefix", "text"),
    ("key", "bigint"),
    ("status_list", "bigint"),
    ("status_index", "bigint"),
    ("created_at", "bigint"),
    ("created_by", "text"),
    ("created_by_user", "bigint"),
    ("created_by_token", "bigint"),
    ("expires_at", "bigint"),
    ("slot", "text"),
    ("rotated_from", "bigint"),
    ("surface", "bigint"),
    ("address", "bytea"),
    ("request_id", "text"),
    ("on_behalf_of", "text"),
];

/// Records tokens by an array for each column: one statement for any number of them.
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names = NEW.map(|(name, _)| name).join(", ");
    let arrays = NEW
        .iter()
        .zip(1..)
        .map(|((_, of), number)| format!("${number}::{of}[]"));
    let arrays = arrays.collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO tokens ({names}) SELECT {names} FROM unnest({arrays}) AS new ({names}) RETURNING jti, id"
    )
});

/// Returns the values of [`NEW`].
pub(super) fn columns(
    token: &NewToken,
    list_index: ListIndex,
    rotated_from: Option<TokenId>,
    cause: &Cause,
    owner: OwnerNumbers,
    created_by_user: Option<i64>,
    key: i64,
) -> [Bound; NEW.len()] {
    let origin = &cause.origin;
    bounds![
        token.jti,
        token.kind == TokenKind::Session,
        token.name,
        token.description,
        owner.organization,
        owner.team,
        owner.user,
        spaced(&token.scopes),
        token.preset,
        token.projects.as_deref().map(json),
        json(&token.audience),
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
        origin.surface,
        origin.address,
        origin.request_id,
        origin.on_behalf_of,
    ]
}

/// Returns the parameters of [`INSERT`].
pub(super) fn arrays(rows: Vec<[Bound; NEW.len()]>) -> [Bound; NEW.len()] {
    let mut arrays = [const { Vec::new() }; NEW.len()];
    for row in rows {
        for (array, value) in arrays.iter_mut().zip(row) {
            array.push(value);
        }
    }
    arrays.map(Bound::Array)
}

/// Returns the numbers of the tokens that [`INSERT`] has recorded.
pub(super) fn numbers(rows: &[Row]) -> std::result::Result<HashMap<Uuid, TokenId>, Failure> {
    rows.iter()
        .map(|row| Ok((get(row, 0)?, TokenId(get(row, 1)?))))
        .collect()
}

fn spaced(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}

/// Returns numbers or texts as JSON.
fn json<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::Value::from_iter(values.iter().map(|value| serde_json::json!(value))).to_string()
}

static PRESENTED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, {}, {OWNER}, organizations.generation, users.generation FROM {} WHERE tokens.jti = $1",
        records::COLUMNS,
        people::COLUMNS,
        records::FROM
    )
});

/// The columns for a token's owner in [`Presented`].
const OWNER: &str = "organizations.deleted_at IS NOT NULL OR teams.deleted_at IS NOT NULL \
         OR users.deleted_at IS NOT NULL, \
     EXISTS (SELECT 1 FROM memberships WHERE memberships.organization = tokens.organization \
         AND memberships.person = tokens.person)";

fn presented(row: &Row) -> std::result::Result<Presented, Failure> {
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
