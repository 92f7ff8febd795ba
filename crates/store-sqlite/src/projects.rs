//! Projects: their rows and numbers.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row};

use crate::SqliteStore;
use crate::failure::Failure;
use crate::readers::{Purpose, Tenant};
use crate::values::{get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Name, OrganizationId, Project};
use jeton_store::{Projects, Result, Slice};

#[async_trait]
impl Projects for SqliteStore {
    async fn projects(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Project>> {
        self.readers
            .read(
                Purpose::Listing(Tenant::Organization(organization)),
                move |connection| {
                    let mut query = connection.prepare_cached(
                        "SELECT projects.id, projects.name, projects.created_at FROM projects
                     WHERE organization = (SELECT id FROM organizations WHERE public_id = ?1)
                     AND canonical_name > ?2
                     ORDER BY canonical_name LIMIT ?3",
                    )?;
                    let found = query.query_map(
                        params![organization, slice.after.unwrap_or_default(), slice.limit],
                        |row| project(row, organization),
                    )?;
                    Ok(found.collect::<rusqlite::Result<_>>()?)
                },
            )
            .await
    }

    async fn existing_projects(
        &self,
        organization: OrganizationId,
        mut ids: Vec<u32>,
    ) -> Result<Vec<Project>> {
        self.readers
            .look_up(move |connection| {
                ids.sort_unstable();
                ids.dedup();
                let mut query = connection.prepare_cached(
                    "SELECT id, name, created_at FROM projects
                     WHERE id = ?1 AND organization = (SELECT id FROM organizations WHERE public_id = ?2)",
                )?;
                let mut existing = Vec::new();
                for id in ids {
                    existing.extend(
                        query
                            .query_row(params![id, organization], |row| project(row, organization))
                            .optional()?,
                    );
                }
                Ok(existing)
            })
            .await
    }

    async fn newest_project(&self) -> Result<u32> {
        self.readers
            .look_up(move |connection| {
                Ok(connection
                    .prepare_cached(
                        "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'projects'), 0)",
                    )?
                    .query_row((), |row| get(row, 0))?)
            })
            .await
    }
}

fn project(row: &Row<'_>, organization: OrganizationId) -> rusqlite::Result<Project> {
    Ok(Project {
        id: get(row, 0)?,
        name: get(row, 1)?,
        organization,
        created_at: get(row, 2)?,
    })
}

impl Batch<'_> {
    pub(super) fn create_project(
        &mut self,
        organization: OrganizationId,
        name: &Name,
        now: Timestamp,
    ) -> std::result::Result<u32, Failure> {
        let organization = self.memory.numbers.organization(self.connection, organization)?;
        let id = self
            .connection
            .prepare_cached(
                "INSERT INTO projects (organization, name, canonical_name, created_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .insert(params![organization, name, name.canonical(), now])?;
        u32::try_from(id).map_err(|_| Failure::Impossible("all project numbers are used up"))
    }

    pub(super) fn remove_project(&mut self, project: u32) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached("DELETE FROM projects WHERE id = ?1")?
            .execute(params![project])?;
        Ok(())
    }
}
