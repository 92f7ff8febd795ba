//! Organizations and who belongs to them.

use async_trait::async_trait;
use rusqlite::OptionalExtension;

use crate::SqliteStore;
use crate::failure::Failure;
use crate::members;
use crate::values::{Columns, Parameter, Sought, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Belonging, Membership, Organization, OrganizationId, OrganizationReference, UserId,
};
use jeton_store::{Generation, Organizations, OrganizationsOf, Result, Slice, Standing, Versioned};

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
            .read(move |connection| {
                let (condition, whose): (_, Box<dyn Parameter>) = match of {
                    OrganizationsOf::Everybody => ("?3 IS NULL", Box::new(None::<i64>)),
                    OrganizationsOf::Only(id) => ("organizations.public_id = ?3", Box::new(id)),
                    OrganizationsOf::Person(user) => (
                        "organizations.id IN (SELECT organization FROM memberships
                         WHERE user = (SELECT id FROM users WHERE public_id = ?3))",
                        Box::new(user),
                    ),
                };
                let query = format!(
                    "SELECT {COLUMNS} FROM organizations
                     WHERE deleted_at IS NULL AND canonical_name > ?1 AND {condition}
                     ORDER BY canonical_name LIMIT ?2"
                );
                let mut query = connection.prepare_cached(&query)?;
                let found = query.query_map(
                    params![slice.after.unwrap_or_default(), slice.limit, whose],
                    |row| organization(&mut Columns::of(row)),
                )?;
                Ok(found.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn members(&self, id: OrganizationId, slice: Slice) -> Result<Vec<Belonging>> {
        self.readers
            .read(move |connection| {
                members::list(
                    connection,
                    members::Lists {
                        members: "memberships
                            WHERE organization = (SELECT id FROM organizations WHERE public_id = ?1)",
                        // Team 0 is the organization itself.
                        invitations: "team = 0
                            AND organization = (SELECT id FROM organizations WHERE public_id = ?1)",
                    },
                    &id,
                    slice,
                )
            })
            .await
    }

    async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Standing> {
        self.readers
            .look_up(move |connection| members::standing(connection, &user, organization))
            .await
    }

    async fn memberships(&self, user: UserId) -> Result<Vec<Membership>> {
        self.readers
            .read(move |connection| {
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

const COLUMNS: &str = "organizations.public_id, organizations.name, organizations.email, \
     organizations.notification_url, organizations.policy, organizations.created_at";

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
        &self,
        organization: &Organization,
    ) -> std::result::Result<(), Failure> {
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
        at: Timestamp,
    ) -> std::result::Result<(), Failure> {
        let number = self.memory.numbers.organization(self.connection, id)?;
        for statement in [
            "UPDATE organizations SET deleted_at = ?2 WHERE id = ?1",
            "DELETE FROM team_memberships
             WHERE ?2 > 0 AND team IN (SELECT id FROM teams WHERE organization = ?1)",
            "UPDATE teams SET deleted_at = ?2 WHERE organization = ?1 AND deleted_at IS NULL",
            "DELETE FROM memberships WHERE ?2 > 0 AND organization = ?1",
            "DELETE FROM invitations WHERE ?2 > 0 AND organization = ?1",
            "DELETE FROM projects WHERE ?2 > 0 AND organization = ?1",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute(params![number, at])?;
        }
        Ok(())
    }
}
