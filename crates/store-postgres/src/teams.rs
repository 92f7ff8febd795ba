//! Teams and their members.

use async_trait::async_trait;

use crate::PostgresStore;
use crate::failure::Failure;
use crate::members;
use crate::search::{Part, Searched};
use crate::values::{Columns, Parameter, Sought, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Belonging, OrganizationId, Team, TeamId, TeamReference};
use jeton_store::reads::Tenant;
use jeton_store::{Found, Result, Search, Slice, Teams};

#[async_trait]
impl Teams for PostgresStore {
    async fn team(&self, organization: OrganizationId, reference: TeamReference) -> Result<Option<Team>> {
        let (column, value) = match &reference {
            TeamReference::Id(id) => ("public_id", id.bound()),
            TeamReference::Name(name) => ("canonical_name", Sought(name).bound()),
        };
        let query =
            format!("SELECT {COLUMNS} {ROWS} AND organizations.public_id = $1 AND teams.{column} = $2");
        let connection = self.connections.read().await?;
        let row = connection.optional(&query, params![organization, value]).await?;
        Ok(row.map(|row| team(&mut Columns::of(&row))).transpose()?)
    }

    async fn team_with_id(&self, id: TeamId) -> Result<Option<Team>> {
        let query = format!("SELECT {COLUMNS} {ROWS} AND teams.public_id = $1");
        let connection = self.connections.read().await?;
        let row = connection.optional(&query, params![id]).await?;
        Ok(row.map(|row| team(&mut Columns::of(&row))).transpose()?)
    }

    async fn teams(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Team>> {
        searched(organization)
            .slice(
                &self.connections,
                Tenant::Organization(organization),
                &slice,
                team,
            )
            .await
    }

    async fn find_teams(&self, organization: OrganizationId, search: Search) -> Result<Found<Team>> {
        searched(organization)
            .find(
                &self.connections,
                Tenant::Organization(organization),
                &search,
                team,
            )
            .await
    }

    async fn team_members(
        &self,
        organization: OrganizationId,
        id: TeamId,
        slice: Slice,
    ) -> Result<Vec<Belonging>> {
        let listed = members::searched(&members::OF_TEAM, id.bound(), None, None);
        listed
            .slice(
                &self.connections,
                Tenant::Organization(organization),
                &slice,
                members::belonging,
            )
            .await
    }
}

const COLUMNS: &str = "teams.public_id, teams.name, organizations.public_id, teams.created_at";

/// Live teams of live organizations.
const ROWS: &str = "FROM teams JOIN organizations ON organizations.id = teams.organization
     WHERE teams.deleted_at IS NULL AND organizations.deleted_at IS NULL";

/// Returns the search over an organization's live teams.
fn searched(organization: OrganizationId) -> Searched {
    let teams = Part {
        columns: COLUMNS.to_owned(),
        // An index has the teams of one row of organizations in the order of their names.
        rows: format!("{ROWS} AND teams.organization = (SELECT id FROM organizations WHERE public_id = $1)"),
        key: "teams.canonical_name",
        also: None,
    };
    Searched {
        parts: vec![teams],
        of: Some(organization.bound()),
    }
}

/// Reads [`COLUMNS`].
fn team(columns: &mut Columns<'_>) -> std::result::Result<Team, Failure> {
    Ok(Team {
        id: columns.take()?,
        name: columns.take()?,
        organization: columns.take()?,
        created_at: columns.take()?,
    })
}

impl Batch<'_> {
    pub(super) async fn create_team(&mut self, team: &Team) -> std::result::Result<(), Failure> {
        let organization = self
            .memory
            .numbers
            .organization(self.connection, team.organization)
            .await?;
        self.connection
            .execute(
                "INSERT INTO teams (public_id, organization, name, canonical_name, created_at)
                 VALUES ($1, $2, $3, $4, $5)",
                params![
                    team.id,
                    organization,
                    team.name,
                    team.name.canonical(),
                    team.created_at
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn change_team(&self, team: &Team) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "UPDATE teams SET name = $2, canonical_name = $3 WHERE public_id = $1",
                params![team.id, team.name, team.name.canonical()],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn remove_team(
        &mut self,
        id: &TeamId,
        at: Timestamp,
    ) -> std::result::Result<(), Failure> {
        let number = self.memory.numbers.team(self.connection, id).await?;
        self.connection
            .execute(
                "WITH parted AS (
                     DELETE FROM team_memberships WHERE team = $1
                 ), uninvited AS (
                     DELETE FROM invitations
                     WHERE organization = (SELECT organization FROM teams WHERE id = $1) AND team = $1
                 ), uncounted AS (
                     DELETE FROM owner_counts
                     WHERE organization = (SELECT organization FROM teams WHERE id = $1) AND team = $1
                     AND person = 0
                 )
                 UPDATE teams SET deleted_at = $2 WHERE id = $1",
                params![number, at],
            )
            .await?;
        Ok(())
    }
}
