//! Organizations and their members.

use async_trait::async_trait;
use rusqlite::OptionalExtension;

use crate::SqliteStore;
use crate::failure::Failure;
use crate::invitations;
use crate::list::number;
use crate::members;
use crate::readers::{Purpose, Tenant};
use crate::search::{Part, Searched};
use crate::values::{Columns, Parameter, Sought, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Belonging, Email, Invitation, Invited, MemberStatus, Membership, Organization, OrganizationId,
    OrganizationReference, SentInvitation, UserId,
};
use jeton_store::{
    Cause, Found, Generation, Holdings, OrganizationSize, Organizations, OrganizationsOf, Result, Search,
    Slice, Standing, Versioned,
};

#[async_trait]
impl Organizations for SqliteStore {
    async fn organization(
        &self,
        reference: OrganizationReference,
    ) -> Result<Option<Versioned<Organization>>> {
        self.readers
            .look_up(move |connection| {
                let (condition, value): (_, &dyn Parameter) = match &reference {
                    OrganizationReference::Id(id) => ("public_id = ?1", id),
                    OrganizationReference::Name(name) => ("canonical_name = ?1", &Sought(name)),
                };
                let query = format!(
                    "SELECT {COLUMNS}, organizations.generation FROM organizations
                     WHERE {condition} AND deleted_at IS NULL"
                );
                Ok(connection
                    .prepare_cached(&query)?
                    .query_row(params![value], |row| {
                        let columns = &mut Columns::of(row);
                        Ok(Versioned {
                            value: organization(columns)?,
                            generation: Generation(columns.take()?),
                        })
                    })
                    .optional()?)
            })
            .await
    }

    async fn organizations(&self, of: OrganizationsOf, slice: Slice) -> Result<Vec<Organization>> {
        self.readers
            .read(Purpose::Listing(Tenant::from(&of)), move |connection| {
                let whose: Box<dyn Parameter> = match &of {
                    OrganizationsOf::Everybody => Box::new(None::<i64>),
                    OrganizationsOf::Only(id) => Box::new(*id),
                    OrganizationsOf::Person(user) => Box::new(user.clone()),
                };
                let mut query = connection.prepare_cached(&slice_of(&of))?;
                let found = query.query_map(
                    params![slice.after.unwrap_or_default(), slice.limit, whose],
                    |row| organization(&mut Columns::of(row)),
                )?;
                Ok(found.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn find_organizations(&self, of: OrganizationsOf, search: Search) -> Result<Found<Organization>> {
        self.readers
            .read(Purpose::Listing(Tenant::from(&of)), move |connection| {
                let row = match &of {
                    OrganizationsOf::Everybody => None,
                    OrganizationsOf::Only(id) => Some(number(connection, "organizations", id)?),
                    OrganizationsOf::Person(user) => Some(number(connection, "users", user)?),
                };
                searched(&of, row).find(connection, &search, organization)
            })
            .await
    }

    async fn find_members(
        &self,
        id: OrganizationId,
        status: Option<MemberStatus>,
        search: Search,
    ) -> Result<Found<Belonging>> {
        self.readers
            .read(Purpose::Listing(Tenant::Organization(id)), move |connection| {
                let organization = number(connection, "organizations", &id)?;
                members::searched(organization, status, &search).find(connection, &search, members::belonging)
            })
            .await
    }

    async fn members(&self, id: OrganizationId, slice: Slice) -> Result<Vec<Belonging>> {
        self.readers
            .read(Purpose::Listing(Tenant::Organization(id)), move |connection| {
                members::list(connection, &members::OF_ORGANIZATION, &id, slice)
            })
            .await
    }

    async fn size(&self, id: OrganizationId) -> Result<OrganizationSize> {
        self.readers
            .read(Purpose::Writing(Tenant::Organization(id)), move |connection| {
                Ok(connection
                    .prepare_cached(
                        "SELECT (SELECT count(*) FROM teams WHERE organization = own.id AND deleted_at IS NULL),
                            (SELECT count(*) FROM projects WHERE organization = own.id),
                            (SELECT count(*) FROM memberships WHERE organization = own.id)
                                + (SELECT count(*) FROM invitations WHERE organization = own.id AND team = 0)
                         FROM organizations AS own WHERE public_id = ?1",
                    )?
                    .query_row(params![id], |row| {
                        let columns = &mut Columns::of(row);
                        Ok(OrganizationSize {
                            teams: columns.take()?,
                            projects: columns.take()?,
                            members: columns.take()?,
                        })
                    })?)
            })
            .await
    }

    async fn holdings(&self, user: UserId, since: Timestamp) -> Result<Holdings> {
        self.readers
            .look_up(move |connection| {
                Ok(connection
                    .prepare_cached(HOLDINGS)?
                    .query_row(params![user, since], |row| {
                        let columns = &mut Columns::of(row);
                        Ok(Holdings {
                            organizations: columns.take()?,
                            given_up: columns.take()?,
                        })
                    })?)
            })
            .await
    }

    async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Standing> {
        self.readers
            .look_up(move |connection| members::standing(connection, &user, organization))
            .await
    }

    async fn invited(&self, email: Email, organization: OrganizationId) -> Result<Option<Invited>> {
        self.readers
            .look_up(move |connection| invitations::invited(connection, &email, organization))
            .await
    }

    async fn invitations(&self, email: Email, slice: Slice) -> Result<Vec<Invitation>> {
        self.readers
            .read(
                Purpose::Listing(Tenant::Address(email.clone())),
                move |connection| invitations::list(connection, &email, slice),
            )
            .await
    }

    async fn sent_invitations(&self, id: OrganizationId, slice: Slice) -> Result<Vec<SentInvitation>> {
        self.readers
            .read(Purpose::Listing(Tenant::Organization(id)), move |connection| {
                invitations::sent(connection, id, slice)
            })
            .await
    }

    async fn memberships(&self, user: UserId) -> Result<Vec<Membership>> {
        self.readers
            .look_up(move |connection| {
                let mut query = connection.prepare_cached(
                    "SELECT organizations.public_id, organizations.name, memberships.role
                     FROM memberships JOIN organizations ON organizations.id = memberships.organization
                     WHERE memberships.user = (SELECT id FROM users WHERE public_id = ?1)
                     ORDER BY organizations.canonical_name LIMIT 1000",
                )?;
                let found = query.query_map(params![user], |row| {
                    Ok(Membership {
                        organization: get(row, 0)?,
                        name: get(row, 1)?,
                        role: get(row, 2)?,
                    })
                })?;
                Ok(found.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }
}

/// Counts the organizations of a person, and the names that they gave up.
const HOLDINGS: &str = "SELECT (SELECT count(*) FROM memberships WHERE user = own.id),
        (SELECT count(*) FROM former_names WHERE given_up_by = own.id AND given_up_at > ?2)
     FROM users AS own WHERE public_id = ?1";

const COLUMNS: &str = "organizations.public_id, organizations.name, organizations.email, \
     organizations.notification_url, organizations.policy, organizations.created_at";

/// Returns the query for a slice of organizations: `?1` is the name after which it begins, `?2` its limit, `?3`
/// the public id of the person or organization, if any. A person's organizations are found by memberships:
/// scanning all names would read those of everyone else.
pub(super) fn slice_of(of: &OrganizationsOf) -> String {
    let rows = match of {
        OrganizationsOf::Everybody => "organizations WHERE ?3 IS NULL",
        OrganizationsOf::Only(_) => "organizations WHERE organizations.public_id = ?3",
        OrganizationsOf::Person(_) => {
            "organizations NOT INDEXED WHERE organizations.id IN (SELECT organization FROM memberships
             WHERE user = (SELECT id FROM users WHERE public_id = ?3))"
        }
    };
    format!(
        "SELECT {COLUMNS} FROM {rows} AND deleted_at IS NULL AND canonical_name > ?1
         ORDER BY canonical_name LIMIT ?2"
    )
}

/// Returns the search over the organizations of a person, or one organization, whose row is given.
pub(super) fn searched(of: &OrganizationsOf, row: Option<i64>) -> Searched {
    let organizations = Part {
        columns: COLUMNS.to_owned(),
        rows: match of {
            OrganizationsOf::Everybody => {
                "FROM organizations INDEXED BY organizations_by_name WHERE deleted_at IS NULL"
            }
            OrganizationsOf::Only(_) => "FROM organizations WHERE id = ?1 AND deleted_at IS NULL",
            OrganizationsOf::Person(_) => {
                "FROM memberships CROSS JOIN organizations ON organizations.id = memberships.organization
                 WHERE memberships.user = ?1 AND organizations.deleted_at IS NULL"
            }
        },
        key: "organizations.canonical_name",
        also: Some("lower(organizations.email)"),
    };
    Searched {
        parts: vec![organizations],
        of: row,
    }
}

fn organization(columns: &mut Columns<'_>) -> rusqlite::Result<Organization> {
    Ok(Organization {
        id: columns.take()?,
        name: columns.take()?,
        email: columns.take()?,
        notification_url: columns.take()?,
        policy: columns.take()?,
        created_at: columns.take()?,
    })
}

impl Batch<'_> {
    pub(super) fn create_organization(
        &self,
        organization: &Organization,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT INTO organizations (public_id, name, canonical_name, email, notification_url, policy,
                    created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                organization.id,
                organization.name,
                organization.name.canonical(),
                organization.email,
                organization.notification_url,
                organization.policy,
                organization.created_at,
            ])?;
        Ok(())
    }

    pub(super) fn change_organization(
        &mut self,
        organization: &Organization,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let by = self.actor_number(&cause.by)?;
        self.connection
            .prepare_cached(
                "INSERT INTO former_names (canonical_name, organization, given_up_at, given_up_by)
                 SELECT canonical_name, id, ?3, ?4 FROM organizations
                 WHERE public_id = ?1 AND canonical_name <> ?2
                 ON CONFLICT DO UPDATE SET organization = excluded.organization,
                    given_up_at = excluded.given_up_at, given_up_by = excluded.given_up_by",
            )?
            .execute(params![
                organization.id,
                organization.name.canonical(),
                cause.at,
                by
            ])?;
        self.connection
            .prepare_cached(
                "UPDATE organizations SET name = ?2, canonical_name = ?3, email = ?4, notification_url = ?5,
                    policy = ?6
                 WHERE public_id = ?1",
            )?
            .execute(params![
                organization.id,
                organization.name,
                organization.name.canonical(),
                organization.email,
                organization.notification_url,
                organization.policy,
            ])?;
        Ok(())
    }

    pub(super) fn remove_organization(
        &mut self,
        id: OrganizationId,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let by = self.actor_number(&cause.by)?;
        let number = self.memory.numbers.organization(self.connection, id)?;
        self.connection
            .prepare_cached(
                "INSERT INTO former_names (canonical_name, organization, given_up_at, given_up_by)
                 SELECT canonical_name, id, ?2, ?3 FROM organizations WHERE id = ?1
                 ON CONFLICT DO UPDATE SET organization = excluded.organization,
                    given_up_at = excluded.given_up_at, given_up_by = excluded.given_up_by",
            )?
            .execute(params![number, cause.at, by])?;
        for statement in [
            "UPDATE organizations SET deleted_at = ?2 WHERE id = ?1",
            "DELETE FROM team_memberships
             WHERE ?2 > 0 AND team IN (SELECT id FROM teams WHERE organization = ?1)",
            "UPDATE teams SET deleted_at = ?2 WHERE organization = ?1 AND deleted_at IS NULL",
            "DELETE FROM memberships WHERE ?2 > 0 AND organization = ?1",
            "DELETE FROM invitations WHERE ?2 > 0 AND organization = ?1",
            "DELETE FROM projects WHERE ?2 > 0 AND organization = ?1",
            "DELETE FROM owner_counts WHERE ?2 > 0 AND organization = ?1",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute(params![number, cause.at])?;
        }
        Ok(())
    }
}
