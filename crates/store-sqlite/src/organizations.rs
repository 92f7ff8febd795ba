//! Organizations and who belongs to them.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::SqliteStore;
use crate::bulk;
use crate::failure::{Failure, is_taken};
use crate::members;
use crate::people;
use crate::values::{Columns, Parameter, get, params};
use crate::writer::{Batch, Undo};
use jeton_core::directory::{
    Belonging, Email, Membership, Organization, OrganizationId, OrganizationReference, Role, TeamId, UserId,
};
use jeton_core::token::Reach;
use jeton_store::{
    BulkOrder, BulkRevocation, Created, Generation, Judged, MemberChange, NewOrganization,
    OrganizationChanges, Organizations, OrganizationsOf, Removal, Result, Slice, Standing,
};

#[async_trait]
impl Organizations for SqliteStore {
    async fn create_organization(
        &self,
        new: NewOrganization,
        judged_at: Generation,
    ) -> Result<Judged<Created<Organization>>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| create(batch, new))
            .await
    }

    async fn organization(&self, reference: OrganizationReference) -> Result<Option<Organization>> {
        self.readers
            .look_up(move |connection| {
                let found = match &reference {
                    OrganizationReference::Id(id) => live(connection, id)?,
                    OrganizationReference::Name(name) => one(connection, "canonical_name = ?1", name)?,
                };
                Ok(found.map(|(_, organization)| organization))
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

    async fn change_organization(
        &self,
        id: OrganizationId,
        changes: OrganizationChanges,
        ending: Option<BulkOrder>,
        judged_at: Generation,
    ) -> Result<Judged<Created<(Organization, Option<BulkRevocation>)>>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                change(batch, id, changes, ending)
            })
            .await
    }

    async fn remove_organization(
        &self,
        id: OrganizationId,
        removal: Removal,
        judged_at: Generation,
    ) -> Result<Judged<()>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                remove(batch, id, &removal)
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

    async fn put_member(
        &self,
        id: OrganizationId,
        email: Email,
        role: Role,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                members::put(batch, id, &email, role)
            })
            .await
    }

    async fn add_members(
        &self,
        id: OrganizationId,
        teams: Vec<TeamId>,
        people: Vec<Email>,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                members::add(batch, id, &teams, &people)
            })
            .await
    }

    async fn remove_member(
        &self,
        id: OrganizationId,
        email: Email,
        removal: Removal,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                members::remove(batch, id, &email, &removal)
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

/// The number and the live organization with this id.
pub(super) fn live(
    connection: &Connection,
    id: &OrganizationId,
) -> std::result::Result<Option<(i64, Organization)>, Failure> {
    one(connection, "public_id = ?1", id)
}

fn one(
    connection: &Connection,
    condition: &str,
    value: &dyn Parameter,
) -> std::result::Result<Option<(i64, Organization)>, Failure> {
    let query = format!("SELECT id, {COLUMNS} FROM organizations WHERE {condition} AND deleted_at IS NULL");
    Ok(connection
        .prepare_cached(&query)?
        .query_row(params![value], |row| {
            Ok((get(row, 0)?, organization(&mut Columns::from(row, 1))?))
        })
        .optional()?)
}

pub(super) fn insert(batch: &Batch<'_>, organization: &Organization) -> std::result::Result<i64, Failure> {
    Ok(batch
        .connection
        .prepare_cached(
            "INSERT INTO organizations (public_id, name, canonical_name, email, notification_url, policy,
                created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .insert(params![
            organization.id,
            organization.name,
            organization.name.canonical(),
            organization.email,
            organization.notification_url,
            organization.policy,
            organization.created_at,
        ])?)
}

fn create(
    batch: &mut Batch<'_>,
    new: NewOrganization,
) -> std::result::Result<Created<Organization>, Failure> {
    let creator = match &new.creator {
        Some(creator) => match people::number(batch.connection, creator)? {
            Some(user) => Some(user),
            None => return Ok(Created::Absent),
        },
        None => None,
    };
    let number = match insert(batch, &new.organization) {
        Err(Failure::Sqlite(error)) if is_taken(&error) => return Ok(Created::NameTaken),
        number => number?,
    };
    if let Some(user) = creator {
        members::set_role(batch.connection, number, user, Role::Admin)?;
    }
    batch.directory_changed();
    Ok(Created::Created(new.organization))
}

fn change(
    batch: &mut Batch<'_>,
    id: OrganizationId,
    changes: OrganizationChanges,
    ending: Option<BulkOrder>,
) -> std::result::Result<Created<(Organization, Option<BulkRevocation>)>, Failure> {
    let Some((number, organization)) = live(batch.connection, &id)? else {
        return Ok(Created::Absent);
    };
    let organization = changes.apply(organization);
    let changed = batch
        .connection
        .prepare_cached(
            "UPDATE organizations SET name = ?2, canonical_name = ?3, email = ?4, notification_url = ?5,
                policy = ?6
             WHERE id = ?1",
        )?
        .execute(params![
            number,
            organization.name,
            organization.name.canonical(),
            organization.email,
            organization.notification_url,
            organization.policy,
        ]);
    match changed {
        Err(error) if is_taken(&error) => return Ok(Created::NameTaken),
        changed => changed?,
    };
    batch.directory_changed();
    let ending = ending.map(|order| bulk::take_down(batch, order)).transpose()?;
    Ok(Created::Created((organization, ending)))
}

fn remove(batch: &mut Batch<'_>, id: OrganizationId, removal: &Removal) -> std::result::Result<(), Failure> {
    let Some((number, _)) = live(batch.connection, &id)? else {
        return Ok(());
    };
    for statement in [
        "UPDATE organizations SET deleted_at = ?2 WHERE id = ?1",
        "DELETE FROM team_memberships
         WHERE ?2 > 0 AND team IN (SELECT id FROM teams WHERE organization = ?1)",
        "UPDATE teams SET deleted_at = ?2 WHERE organization = ?1 AND deleted_at IS NULL",
        "DELETE FROM memberships WHERE ?2 > 0 AND organization = ?1",
        "DELETE FROM invitations WHERE ?2 > 0 AND organization = ?1",
        "DELETE FROM projects WHERE ?2 > 0 AND organization = ?1",
    ] {
        batch
            .connection
            .prepare_cached(statement)?
            .execute(params![number, removal.at])?;
    }
    let reach = Reach {
        organization: Some(id),
        ..Reach::default()
    };
    batch.end_all(reach, &removal.by, removal.at)?;
    batch.directory_changed();
    Ok(())
}
