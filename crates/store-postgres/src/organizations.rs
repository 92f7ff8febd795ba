//! Organizations and their members.

use async_trait::async_trait;

use crate::PostgresStore;
use crate::failure::Failure;
use crate::invitations;
use crate::members;
use crate::search::{Part, Searched};
use crate::values::{Columns, Parameter, Sought, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Belonging, Email, Invitation, Invited, MemberStatus, Membership, Organization, OrganizationId,
    OrganizationReference, SentInvitation, UserId,
};
use jeton_store::reads::{Purpose, Tenant};
use jeton_store::{
    Cause, Found, Generation, Holdings, OrganizationSize, Organizations, OrganizationsOf, Result, Search,
    Slice, Standing, Versioned,
};

#[async_trait]
impl Organizations for PostgresStore {
    async fn organization(
        &self,
        reference: OrganizationReference,
    ) -> Result<Option<Versioned<Organization>>> {
        let (column, value) = match &reference {
            OrganizationReference::Id(id) => ("public_id", id.bound()),
            OrganizationReference::Name(name) => ("canonical_name", Sought(name).bound()),
        };
        let query = format!(
            "SELECT {COLUMNS}, organizations.generation FROM organizations
             WHERE {column} = $1 AND deleted_at IS NULL"
        );
        let connection = self.connections.read().await?;
        let Some(row) = connection.optional(&query, &[value]).await? else {
            return Ok(None);
        };
        let columns = &mut Columns::of(&row);
        Ok(Some(Versioned {
            value: organization(columns)?,
            generation: Generation(columns.take()?),
        }))
    }

    async fn organizations(&self, of: OrganizationsOf, slice: Slice) -> Result<Vec<Organization>> {
        searched(&of)
            .slice(&self.connections, Tenant::from(&of), &slice, organization)
            .await
    }

    async fn find_organizations(&self, of: OrganizationsOf, search: Search) -> Result<Found<Organization>> {
        searched(&of)
            .find(&self.connections, Tenant::from(&of), &search, organization)
            .await
    }

    async fn find_members(
        &self,
        id: OrganizationId,
        status: Option<MemberStatus>,
        search: Search,
    ) -> Result<Found<Belonging>> {
        let listed = members::searched(&members::OF_ORGANIZATION, id.bound(), status, Some(&search));
        listed
            .find(
                &self.connections,
                Tenant::Organization(id),
                &search,
                members::belonging,
            )
            .await
    }

    async fn members(&self, id: OrganizationId, slice: Slice) -> Result<Vec<Belonging>> {
        let listed = members::searched(&members::OF_ORGANIZATION, id.bound(), None, None);
        listed
            .slice(
                &self.connections,
                Tenant::Organization(id),
                &slice,
                members::belonging,
            )
            .await
    }

    async fn size(&self, id: OrganizationId) -> Result<OrganizationSize> {
        let connection = self.connections.read().await?;
        let row = connection
            .row(
                "SELECT (SELECT count(*) FROM teams WHERE organization = own.id AND deleted_at IS NULL),
                    (SELECT count(*) FROM projects WHERE organization = own.id),
                    (SELECT count(*) FROM memberships WHERE organization = own.id)
                        + (SELECT count(*) FROM invitations WHERE organization = own.id AND team = 0)
                 FROM organizations AS own WHERE public_id = $1",
                params![id],
            )
            .await?;
        let columns = &mut Columns::of(&row);
        Ok(OrganizationSize {
            teams: columns.take()?,
            projects: columns.take()?,
            members: columns.take()?,
        })
    }

    async fn holdings(&self, user: UserId, since: Timestamp) -> Result<Holdings> {
        let connection = self.connections.read().await?;
        let row = connection
            .row(
                "SELECT (SELECT count(*) FROM memberships WHERE person = own.id),
                    (SELECT count(*) FROM former_names WHERE given_up_by = own.id AND given_up_at > $2)
                 FROM users AS own WHERE public_id = $1",
                params![user, since],
            )
            .await?;
        let columns = &mut Columns::of(&row);
        Ok(Holdings {
            organizations: columns.take()?,
            given_up: columns.take()?,
        })
    }

    async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Standing> {
        let connection = self.connections.read().await?;
        Ok(members::standing(&connection, &user, organization).await?)
    }

    async fn invited(&self, email: Email, organization: OrganizationId) -> Result<Option<Invited>> {
        let connection = self.connections.read().await?;
        Ok(invitations::invited(&connection, &email, organization).await?)
    }

    async fn invitations(&self, email: Email, slice: Slice) -> Result<Vec<Invitation>> {
        let purpose = Purpose::Listing(Tenant::Address(email.clone()));
        let mut connection = self.connections.long(purpose).await?;
        let invitations = invitations::list(&connection, &email, &slice).await?;
        connection.end().await?;
        Ok(invitations)
    }

    async fn sent_invitations(&self, id: OrganizationId, slice: Slice) -> Result<Vec<SentInvitation>> {
        let purpose = Purpose::Listing(Tenant::Organization(id));
        let mut connection = self.connections.long(purpose).await?;
        let invitations = invitations::sent(&connection, id, &slice).await?;
        connection.end().await?;
        Ok(invitations)
    }

    async fn memberships(&self, user: UserId) -> Result<Vec<Membership>> {
        let connection = self.connections.read().await?;
        let rows = connection
            .rows(
                &format!(
                    "SELECT organizations.public_id, organizations.name, memberships.role {OF_PERSON}
                     ORDER BY organizations.canonical_name LIMIT 1000"
                ),
                params![user],
            )
            .await?;
        let memberships = rows.iter().map(|row| {
            let columns = &mut Columns::of(row);
            Ok(Membership {
                organization: columns.take()?,
                name: columns.take()?,
                role: columns.take()?,
            })
        });
        memberships.collect()
    }
}

const COLUMNS: &str = "organizations.public_id, organizations.name, organizations.email, \
     organizations.notification_url, organizations.policy, organizations.created_at";

/// The live organizations of a person, who has the public id `$1`.
const OF_PERSON: &str = "FROM memberships CROSS JOIN LATERAL
         (SELECT * FROM organizations WHERE id = memberships.organization OFFSET 0) AS organizations
     WHERE memberships.person = (SELECT id FROM users WHERE public_id = $1) AND organizations.deleted_at IS NULL";

/// Returns the search over the organizations of a person, or over one organization.
fn searched(of: &OrganizationsOf) -> Searched {
    let (rows, of) = match of {
        OrganizationsOf::Everybody => ("FROM organizations WHERE deleted_at IS NULL", None),
        OrganizationsOf::Only(id) => (
            "FROM organizations WHERE public_id = $1 AND deleted_at IS NULL",
            Some(id.bound()),
        ),
        OrganizationsOf::Person(user) => (OF_PERSON, Some(user.bound())),
    };
    let organizations = Part {
        columns: COLUMNS.to_owned(),
        rows: rows.to_owned(),
        key: "organizations.canonical_name",
        also: Some("lower(organizations.email)"),
    };
    Searched {
        parts: vec![organizations],
        of,
    }
}

fn organization(columns: &mut Columns<'_>) -> std::result::Result<Organization, Failure> {
    Ok(Organization {
        id: columns.take()?,
        name: columns.take()?,
        email: columns.take()?,
        notification_url: columns.take()?,
        policy: columns.take()?,
        created_at: columns.take()?,
    })
}

/// Returns the statement by which the organization `$1` gives up its name at an instant `$2` by a person `$3`, if a
/// condition holds. Of several that had the name, the last one is kept.
fn give_up_name(condition: &str) -> String {
    format!(
        "INSERT INTO former_names (canonical_name, organization, given_up_at, given_up_by)
         SELECT canonical_name, id, $2::bigint, $3::bigint FROM organizations WHERE public_id = $1 AND {condition}
         ON CONFLICT (canonical_name) DO UPDATE SET organization = excluded.organization,
            given_up_at = excluded.given_up_at, given_up_by = excluded.given_up_by"
    )
}

impl Batch<'_> {
    pub(super) async fn create_organization(
        &self,
        organization: &Organization,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "INSERT INTO organizations (public_id, name, canonical_name, email, notification_url, policy,
                    created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                params![
                    organization.id,
                    organization.name,
                    organization.name.canonical(),
                    organization.email,
                    organization.notification_url,
                    organization.policy,
                    organization.created_at,
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn change_organization(
        &mut self,
        organization: &Organization,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let by = self.actor_number(&cause.by).await?;
        let statement = format!(
            "WITH former AS ({})
             UPDATE organizations SET name = $4, canonical_name = $5, email = $6, notification_url = $7, policy = $8
             WHERE public_id = $1",
            give_up_name("canonical_name <> $5")
        );
        self.connection
            .execute(
                &statement,
                params![
                    organization.id,
                    cause.at,
                    by,
                    organization.name,
                    organization.name.canonical(),
                    organization.email,
                    organization.notification_url,
                    organization.policy,
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn remove_organization(
        &mut self,
        id: OrganizationId,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let by = self.actor_number(&cause.by).await?;
        let number = self.memory.numbers.organization(self.connection, id).await?;
        let statement = format!(
            "WITH former AS ({}), left_teams AS (
                 DELETE FROM team_memberships WHERE team IN (SELECT id FROM teams WHERE organization = $4)
             ), removed_teams AS (
                 UPDATE teams SET deleted_at = $2 WHERE organization = $4 AND deleted_at IS NULL
             ), left_organization AS (
                 DELETE FROM memberships WHERE organization = $4
             ), uninvited AS (
                 DELETE FROM invitations WHERE organization = $4
             ), removed_projects AS (
                 DELETE FROM projects WHERE organization = $4
             ), uncounted AS (
                 DELETE FROM owner_counts WHERE organization = $4
             )
             UPDATE organizations SET deleted_at = $2 WHERE id = $4",
            give_up_name("true")
        );
        self.connection
            .execute(&statement, params![id, cause.at, by, number])
            .await?;
        Ok(())
    }
}
