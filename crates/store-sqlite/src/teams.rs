//! Teams and their members.

use std::sync::LazyLock;

use async_trait::async_trait;
use rusqlite::OptionalExtension;

use crate::SqliteStore;
use crate::failure::Failure;
use crate::list::number;
use crate::members;
use crate::readers::{Purpose, Tenant};
use crate::search::{Part, Searched};
use crate::values::{Columns, Parameter, Sought, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Belonging, OrganizationId, Team, TeamId, TeamReference};
use jeton_store::{Found, Result, Search, Slice, Teams};

#[async_trait]
impl Teams for SqliteStore {
    async fn team(&self, organization: OrganizationId, reference: TeamReference) -> Result<Option<Team>> {
        self.readers
            .look_up(move |connection| {
                let (condition, value): (_, &dyn Parameter) = match &reference {
                    TeamReference::Id(id) => ("teams.public_id = ?2", id),
                    TeamReference::Name(name) => ("teams.canonical_name = ?2", &Sought(name)),
                };
                let query = format!("{} AND organizations.public_id = ?1 AND {condition}", *SELECT);
                Ok(connection
                    .prepare_cached(&query)?
                    .query_row(params![organization, value], |row| team(&mut Columns::of(row)))
                    .optional()?)
            })
            .await
    }

    async fn team_with_id(&self, id: TeamId) -> Result<Option<Team>> {
        self.readers
            .look_up(move |connection| {
                Ok(connection
                    .prepare_cached(&format!("{} AND teams.public_id = ?1", *SELECT))?
                    .query_row(params![id], |row| team(&mut Columns::of(row)))
                    .optional()?)
            })
            .await
    }

    async fn teams(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Team>> {
        self.readers
            .read(
                Purpose::Listing(Tenant::Organization(organization)),
                move |connection| {
                    let query = format!(
                        "{} AND organizations.public_id = ?1 AND teams.canonical_name > ?2
                     ORDER BY teams.canonical_name LIMIT ?3",
                        *SELECT
                    );
                    let mut query = connection.prepare_cached(&query)?;
                    let found = query.query_map(
                        params![organization, slice.after.unwrap_or_default(), slice.limit],
                        |row| team(&mut Columns::of(row)),
                    )?;
                    Ok(found.collect::<rusqlite::Result<_>>()?)
                },
            )
            .await
    }

    async fn find_teams(&self, organization: OrganizationId, search: Search) -> Result<Found<Team>> {
        self.readers
            .read(
                Purpose::Listing(Tenant::Organization(organization)),
                move |connection| {
                    let organization = number(connection, "organizations", &organization)?;
                    searched(organization).find(connection, &search, team)
                },
            )
            .await
    }

    async fn team_members(
        &self,
        organization: OrganizationId,
        id: TeamId,
        slice: Slice,
    ) -> Result<Vec<Belonging>> {
        self.readers
            .read(
                Purpose::Listing(Tenant::Organization(organization)),
                move |connection| members::list(connection, &members::OF_TEAM, &id, slice),
            )
            .await
    }
}

const COLUMNS: &str = "teams.public_id, teams.name, organizations.public_id, teams.created_at";

/// Selects live teams of live organizations.
static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS} FROM teams JOIN organizations ON organizations.id = teams.organization
         WHERE teams.deleted_at IS NULL AND organizations.deleted_at IS NULL"
    )
});

/// Returns the search over an organization's live teams.
pub(super) fn searched(organization: i64) -> Searched {
    let teams = Part {
        columns: COLUMNS.to_owned(),
        rows: "FROM teams INDEXED BY teams_by_name CROSS JOIN organizations ON organizations.id = teams.organization
             WHERE teams.organization = ?1
             AND teams.deleted_at IS NULL AND organizations.deleted_at IS NULL",
        key: "teams.canonical_name",
        also: None,
    };
    Searched {
        parts: vec![teams],
        of: Some(organization),
    }
}

/// Reads [`COLUMNS`].
fn team(columns: &mut Columns<'_>) -> rusqlite::Result<Team> {
    Ok(Team {
        id: columns.take()?,
        name: columns.take()?,
        organization: columns.take()?,
        created_at: columns.take()?,
    })
}

impl Batch<'_> {
    pub(super) fn create_team(&mut self, team: &Team) -> std::result::Result<(), Failure> {
        let organization = self
            .memory
            .numbers
            .organization(self.connection, team.organization)?;
        self.connection
            .prepare_cached(
                "INSERT INTO teams (public_id, organization, name, canonical_name, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                team.id,
                organization,
                team.name,
                team.name.canonical(),
                team.created_at
            ])?;
        Ok(())
    }

    pub(super) fn change_team(&self, team: &Team) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached("UPDATE teams SET name = ?2, canonical_name = ?3 WHERE public_id = ?1")?
            .execute(params![team.id, team.name, team.name.canonical()])?;
        Ok(())
    }

    pub(super) fn remove_team(&mut self, id: &TeamId, at: Timestamp) -> std::result::Result<(), Failure> {
        let number = self.memory.numbers.team(self.connection, id)?;
        for statement in [
            "UPDATE teams SET deleted_at = ?2 WHERE id = ?1",
            "DELETE FROM team_memberships WHERE ?2 > 0 AND team = ?1",
            "DELETE FROM invitations WHERE ?2 > 0 AND team = ?1",
            "DELETE FROM owner_counts WHERE ?2 > 0 AND team = ?1 AND user = 0
             AND organization = (SELECT organization FROM teams WHERE id = ?1)",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute(params![number, at])?;
        }
        Ok(())
    }
}
