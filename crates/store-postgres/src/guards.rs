//! Guards: conditions compared in the transaction of an order.

use crate::active::{self, OwnerNumbers};
use crate::counts::by_owner;
use crate::cut_offs::issued_through;
use crate::failure::Failure;
use crate::values::{Bound, get, params};
use crate::writer::Batch;
use jeton_core::directory::UserId;
use jeton_core::token::{NewToken, Owner, TokenId};
use jeton_store::{Generation, Guard, Realm};

/// Selects the token in a slot of an owner. A token in its grace period has left its slot.
const IN_SLOT: &str = "SELECT id FROM tokens WHERE slot IS NOT NULL AND effective_at IS NULL AND slot = $1
     AND coalesce(organization, 0) = coalesce($2::bigint, 0) AND coalesce(team, 0) = coalesce($3::bigint, 0)
     AND coalesce(person, 0) = coalesce($4::bigint, 0)";

impl Batch<'_> {
    /// Returns whether a guard holds. `recorded` is the token that the order records, if it records one.
    pub(super) async fn holds(
        &mut self,
        guard: &Guard,
        recorded: Option<&NewToken>,
    ) -> Result<bool, Failure> {
        match guard {
            Guard::Unchanged(realm, generation) => Ok(self.generation(realm).await? == Some(*generation)),
            Guard::Signs(kid) => Ok(self.signing_key(kid).await?.is_some()),
            Guard::AfterCutOffs => self.is_after_cut_offs(recorded).await,
            Guard::UnderLimit { owners, most, ended } => {
                let mut active = 0;
                for owner in owners {
                    let owner = self.owner(owner).await?;
                    match by_owner(self.connection, owner)
                        .await?
                        .and_then(|count| count.active)
                    {
                        Some(counted) => active += u64::from(counted),
                        None => return Ok(false),
                    }
                }
                Ok(active < u64::from(*most) + u64::from(*ended))
            }
            Guard::CountUnmoved(owner, version) => {
                let owner = self.owner(owner).await?;
                let count = by_owner(self.connection, owner).await?;
                Ok(count.map(|count| count.version) == *version)
            }
            Guard::NameUnusedSince { owner, name, newest } => {
                let owner = self.owner(owner).await?;
                let newest = newest.map(|token| token.0);
                let query = active::named_since(owner);
                let params = params![owner.organization, owner.team, owner.user, newest, name];
                Ok(!self.is(&query, params).await?)
            }
            Guard::SlotHolds { owner, slot, token } => {
                let owner = self.owner(owner).await?;
                let params = params![slot, owner.organization, owner.team, owner.user];
                let row = self.connection.optional(IN_SLOT, params).await?;
                let held = row.map(|row| get(&row, 0).map(TokenId)).transpose()?;
                Ok(held == *token)
            }
            Guard::Standing(token, at) => Ok(active::is_standing(self.connection, *token, *at).await?
                && !self
                    .is(
                        "SELECT EXISTS (SELECT 1 FROM tokens WHERE rotated_from = $1)",
                        params![token.0],
                    )
                    .await?),
            Guard::NotEndedBy(token, at) => {
                let query = "SELECT EXISTS (SELECT 1 FROM tokens
                     WHERE id = $1 AND (effective_at IS NULL OR effective_at > $2))";
                self.is(query, params![token.0, at]).await
            }
            // A revocation may have been committed since the order was decided.
            Guard::Active(token, at) => {
                active::is_active(self.connection, *token, (*at).max(self.memory.head.latest)).await
            }
            Guard::BulkAt(id, portions) => {
                let query = "SELECT EXISTS (SELECT 1 FROM bulk_revocations
                     WHERE id = $1 AND portions = $2 AND finished_at IS NULL)";
                self.is(query, params![id.0, portions]).await
            }
            Guard::AnotherAdmin(organization, than) => {
                let (connection, numbers) = (self.connection, &mut self.memory.numbers);
                let organization = numbers.organization(connection, *organization).await?;
                let than = numbers.user(connection, than).await?;
                let query =
                    "SELECT EXISTS (SELECT 1 FROM memberships JOIN users ON users.id = memberships.person
                     WHERE organization = $1 AND person <> $2 AND role = 'admin' AND disabled_at IS NULL)";
                self.is(query, params![organization, than]).await
            }
            Guard::AnotherSiteAdministrator(than) => self.has_site_administrator(Some(than)).await,
            Guard::NoSiteAdministrator => Ok(!self.has_site_administrator(None).await?),
            Guard::OrganizationNameFree(name, id, since) => {
                let query = "SELECT EXISTS (SELECT 1 FROM organizations
                         WHERE canonical_name = $1 AND deleted_at IS NULL AND public_id <> $2)
                     OR EXISTS (SELECT 1 FROM former_names JOIN organizations ON organizations.id = organization
                         WHERE former_names.canonical_name = $1 AND given_up_at > $3 AND public_id <> $2)";
                Ok(!self.is(query, params![name.canonical(), id, since]).await?)
            }
            Guard::TeamNameFree(organization, name, id) => {
                let (connection, numbers) = (self.connection, &mut self.memory.numbers);
                let organization = numbers.organization(connection, *organization).await?;
                let query = "SELECT EXISTS (SELECT 1 FROM teams WHERE organization = $1
                     AND canonical_name = $2 AND deleted_at IS NULL AND public_id <> $3)";
                Ok(!self
                    .is(query, params![organization, name.canonical(), id])
                    .await?)
            }
            Guard::ProjectNameFree(organization, name) => {
                let (connection, numbers) = (self.connection, &mut self.memory.numbers);
                let organization = numbers.organization(connection, *organization).await?;
                let query =
                    "SELECT EXISTS (SELECT 1 FROM projects WHERE organization = $1 AND canonical_name = $2)";
                Ok(!self.is(query, params![organization, name.canonical()]).await?)
            }
            Guard::NotDone(key) => self.is_not_done(key).await,
            Guard::EmailFree(email) => {
                let query = "SELECT EXISTS (SELECT 1 FROM users WHERE email = $1 AND deleted_at IS NULL)";
                Ok(!self.is(query, params![email]).await?)
            }
        }
    }

    /// Returns the answer of a query that is true or false.
    async fn is(&self, query: &str, params: &[Bound]) -> Result<bool, Failure> {
        get(&self.connection.row(query, params).await?, 0)
    }

    /// Returns the version of a realm; `None` if it does not exist or was removed.
    async fn generation(&mut self, realm: &Realm) -> Result<Option<Generation>, Failure> {
        let row = match realm {
            Realm::Keys => return Ok(Some(self.memory.head.keys)),
            Realm::Organization(id) => {
                let query =
                    "SELECT generation FROM organizations WHERE public_id = $1 AND deleted_at IS NULL";
                self.connection.optional(query, params![id]).await?
            }
            Realm::Person(id) => {
                let query = "SELECT generation FROM users WHERE public_id = $1 AND deleted_at IS NULL";
                self.connection.optional(query, params![id]).await?
            }
        };
        row.map(|row| get(&row, 0).map(Generation)).transpose()
    }

    /// Returns the row numbers of a token's owner.
    pub(super) async fn owner(&mut self, owner: &Owner) -> Result<OwnerNumbers, Failure> {
        self.memory.numbers.owner(self.connection, owner).await
    }

    /// Returns whether no cut-off covers the token. Cut-offs past the token's second are read one by one;
    /// usually there is none.
    async fn is_after_cut_offs(&self, recorded: Option<&NewToken>) -> Result<bool, Failure> {
        match recorded {
            Some(token) if token.created_at.seconds() <= self.memory.head.cut_through => {
                Ok(issued_through(self.connection, token).await?.is_none())
            }
            Some(_) | None => Ok(true),
        }
    }

    async fn has_site_administrator(&mut self, but: Option<&UserId>) -> Result<bool, Failure> {
        let but = match but {
            Some(user) => Some(self.memory.numbers.user(self.connection, user).await?),
            None => None,
        };
        // A disabled administrator counts too: a deployment must not be founded twice.
        let query = "SELECT EXISTS (SELECT 1 FROM users WHERE site_admin AND deleted_at IS NULL
             AND ($1::bigint IS NULL OR disabled_at IS NULL AND id <> $1))";
        self.is(query, params![but]).await
    }
}
