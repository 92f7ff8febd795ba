//! Guards: conditions compared in the transaction of an order.

use std::sync::LazyLock;

use rusqlite::OptionalExtension;

use crate::active::{self, OwnerNumbers};
use crate::counts::by_owner;
use crate::cut_offs::{issued_through, uncut};
use crate::failure::Failure;
use crate::tokens::IN_SLOT;
use crate::values::{get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::UserId;
use jeton_core::token::{NewToken, Owner, TokenId};
use jeton_store::{Generation, Guard, Realm};

/// Selects whether no cut-off in effect covers a token.
pub(super) static UNCUT: LazyLock<String> = LazyLock::new(|| {
    let uncut = uncut("?2");
    format!("SELECT EXISTS (SELECT 1 FROM tokens WHERE id = ?1 AND {uncut})")
});

impl Batch<'_> {
    /// Returns whether a guard holds. `recorded` is the token that the order records, if it records one.
    pub(super) fn holds(&mut self, guard: &Guard, recorded: Option<&NewToken>) -> Result<bool, Failure> {
        match guard {
            Guard::Unchanged(realm, generation) => Ok(self.generation(realm)? == Some(*generation)),
            Guard::Signs(kid) => {
                let numbers = &mut self.memory.numbers;
                Ok(numbers.signing_key(self.connection, kid)?.is_some())
            }
            Guard::AfterCutOffs => self.is_after_cut_offs(recorded),
            Guard::UnderLimit { owners, most, ended } => {
                let mut active = 0;
                for owner in owners {
                    let owner = self.owner(owner)?;
                    match by_owner(self.connection, owner)?.and_then(|count| count.active) {
                        Some(counted) => active += u64::from(counted),
                        None => return Ok(false),
                    }
                }
                Ok(active < u64::from(*most) + u64::from(*ended))
            }
            Guard::CountUnmoved(owner, version) => {
                let owner = self.owner(owner)?;
                Ok(by_owner(self.connection, owner)?.map(|count| count.version) == *version)
            }
            Guard::NameUnusedSince { owner, name, newest } => {
                let owner = self.owner(owner)?;
                let newest = newest.map(|token| token.0);
                Ok(!self
                    .connection
                    .prepare_cached(&active::named_since(owner))?
                    .query_row(
                        params![owner.organization, owner.team, owner.user, newest, name],
                        |row| get::<bool>(row, 0),
                    )?)
            }
            Guard::SlotHolds { owner, slot, token } => {
                let owner = self.owner(owner)?;
                let held = self
                    .connection
                    .prepare_cached(IN_SLOT)?
                    .query_row(params![slot, owner.organization, owner.team, owner.user], |row| {
                        get(row, 0).map(TokenId)
                    })
                    .optional()?;
                Ok(held == *token)
            }
            Guard::Standing(token, at) => {
                Ok(active::is_standing(self.connection, *token, *at)? && !self.has_successor(*token)?)
            }
            Guard::NotEndedBy(token, at) => Ok(self
                .connection
                .prepare_cached("SELECT effective_at IS NULL OR effective_at > ?2 FROM tokens WHERE id = ?1")?
                .query_row(params![token.0, at], |row| get(row, 0))
                .optional()?
                .unwrap_or(false)),
            Guard::Active(token, at) => self.is_active(*token, *at),
            Guard::BulkAt(id, portions) => Ok(self
                .connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM bulk_revocations
                     WHERE id = ?1 AND portions = ?2 AND finished_at IS NULL)",
                )?
                .query_row(params![id.0, portions], |row| get(row, 0))?),
            Guard::AnotherAdmin(organization, than) => {
                let organization = self.memory.numbers.organization(self.connection, *organization)?;
                let than = self.memory.numbers.user(self.connection, than)?;
                Ok(self
                    .connection
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM memberships JOIN users ON users.id = memberships.user
                         WHERE organization = ?1 AND user <> ?2 AND role = 'admin' AND disabled_at IS NULL)",
                    )?
                    .query_row(params![organization, than], |row| get(row, 0))?)
            }
            Guard::AnotherSiteAdministrator(than) => self.has_site_administrator(Some(than)),
            Guard::NoSiteAdministrator => Ok(!self.has_site_administrator(None)?),
            Guard::OrganizationNameFree(name, id, since) => Ok(!self
                .connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM organizations
                         WHERE canonical_name = ?1 AND deleted_at IS NULL AND public_id <> ?2)
                     OR EXISTS (SELECT 1 FROM former_names JOIN organizations ON organizations.id = organization
                         WHERE former_names.canonical_name = ?1 AND given_up_at > ?3 AND public_id <> ?2)",
                )?
                .query_row(params![name.canonical(), id, since], |row| {
                    get::<bool>(row, 0)
                })?),
            Guard::TeamNameFree(organization, name, id) => {
                let organization = self.memory.numbers.organization(self.connection, *organization)?;
                Ok(!self
                    .connection
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM teams WHERE organization = ?1
                         AND canonical_name = ?2 AND deleted_at IS NULL AND public_id <> ?3)",
                    )?
                    .query_row(params![organization, name.canonical(), id], |row| {
                        get::<bool>(row, 0)
                    })?)
            }
            Guard::ProjectNameFree(organization, name) => {
                let organization = self.memory.numbers.organization(self.connection, *organization)?;
                Ok(!self
                    .connection
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM projects WHERE organization = ?1 AND canonical_name = ?2)",
                    )?
                    .query_row(params![organization, name.canonical()], |row| get::<bool>(row, 0))?)
            }
            Guard::NotDone(key) => self.is_not_done(key),
            Guard::EmailFree(email) => Ok(!self
                .connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM users WHERE email = ?1 AND deleted_at IS NULL)",
                )?
                .query_row(params![email], |row| get::<bool>(row, 0))?),
        }
    }

    /// Returns the version of a realm; `None` if it does not exist or was removed.
    fn generation(&mut self, realm: &Realm) -> Result<Option<Generation>, Failure> {
        let (query, id): (_, &dyn crate::values::Parameter) = match realm {
            Realm::Keys => return Ok(Some(self.memory.head.keys)),
            Realm::Organization(id) => (
                "SELECT generation FROM organizations WHERE public_id = ?1 AND deleted_at IS NULL",
                id,
            ),
            Realm::Person(id) => (
                "SELECT generation FROM users WHERE public_id = ?1 AND deleted_at IS NULL",
                id,
            ),
        };
        if let Some(known) = self.memory.generations.get(realm) {
            return Ok(Some(known));
        }
        let read = self
            .connection
            .prepare_cached(query)?
            .query_row(params![id], |row| get(row, 0))
            .optional()?
            .map(Generation);
        if let Some(generation) = read {
            self.memory.generations.set(realm.clone(), generation);
        }
        Ok(read)
    }

    /// Returns the row numbers of a token's owner.
    pub(super) fn owner(&mut self, owner: &Owner) -> Result<OwnerNumbers, Failure> {
        let (numbers, connection) = (&mut self.memory.numbers, self.connection);
        Ok(OwnerNumbers {
            organization: owner
                .organization()
                .map(|organization| numbers.organization(connection, organization))
                .transpose()?,
            team: owner
                .team()
                .map(|team| numbers.team(connection, team))
                .transpose()?,
            user: owner
                .user()
                .map(|user| numbers.user(connection, user))
                .transpose()?,
        })
    }

    /// Returns whether no cut-off covers the token. Cut-offs past the token's second are read one by one;
    /// usually there is none.
    fn is_after_cut_offs(&self, recorded: Option<&NewToken>) -> Result<bool, Failure> {
        match recorded {
            Some(token) if token.created_at.seconds() <= self.memory.head.cut_through => {
                Ok(issued_through(self.connection, token)?.is_none())
            }
            Some(_) | None => Ok(true),
        }
    }

    /// Returns whether a credential is active, as of the latest instant of an order: a revocation may have been
    /// committed since the order was decided. Cut-offs past the second of its issue are read one by one; usually
    /// there is none.
    fn is_active(&self, token: TokenId, at: Timestamp) -> Result<bool, Failure> {
        let at = at.max(self.memory.head.latest);
        let issued_at: Option<Timestamp> = self
            .connection
            .prepare_cached(
                "SELECT created_at FROM tokens WHERE id = ?1 AND (effective_at IS NULL OR effective_at > ?2)
                 AND (expires_at IS NULL OR expires_at / 1000 > ?2 / 1000)",
            )?
            .query_row(params![token.0, at], |row| get(row, 0))
            .optional()?;
        match issued_at {
            Some(issued_at) if issued_at.seconds() <= self.memory.head.cut_through => Ok(self
                .connection
                .prepare_cached(&UNCUT)?
                .query_row(params![token.0, at], |row| get(row, 0))?),
            found => Ok(found.is_some()),
        }
    }

    fn has_successor(&self, token: TokenId) -> Result<bool, Failure> {
        Ok(self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM tokens WHERE rotated_from = ?1)")?
            .query_row(params![token.0], |row| get(row, 0))?)
    }

    fn has_site_administrator(&mut self, but: Option<&UserId>) -> Result<bool, Failure> {
        let but = but
            .map(|user| self.memory.numbers.user(self.connection, user))
            .transpose()?;
        // A disabled administrator counts too: a deployment must not be founded twice.
        Ok(self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM users WHERE site_admin = 1 AND deleted_at IS NULL
                 AND (?1 IS NULL OR disabled_at IS NULL AND id <> ?1))",
            )?
            .query_row(params![but], |row| get(row, 0))?)
    }
}
