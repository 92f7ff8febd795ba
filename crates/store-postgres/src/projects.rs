//! Projects: their rows and numbers.

use async_trait::async_trait;
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::failure::Failure;
use crate::search::after;
use crate::values::{Bound, Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Name, OrganizationId, Project};
use jeton_store::reads::{Purpose, Tenant};
use jeton_store::{Projects, Result, Slice};

#[async_trait]
impl Projects for PostgresStore {
    async fn projects(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Project>> {
        let purpose = Purpose::Listing(Tenant::Organization(organization));
        let rows = self
            .connections
            .long_rows(
                purpose,
                "SELECT id, name, created_at FROM projects
                 WHERE organization = (SELECT id FROM organizations WHERE public_id = $1) AND canonical_name > $2
                 ORDER BY canonical_name LIMIT $3",
                params![organization, after(&slice), slice.limit],
            )
            .await?;
        rows.iter().map(|row| project(row, organization)).collect()
    }

    async fn existing_projects(&self, organization: OrganizationId, ids: Vec<u32>) -> Result<Vec<Project>> {
        let connection = self.connections.read().await?;
        let rows = connection
            .rows(
                "SELECT id, name, created_at FROM projects
                 WHERE id = ANY($1) AND organization = (SELECT id FROM organizations WHERE public_id = $2)
                 ORDER BY id",
                params![Bound::array(ids), organization],
            )
            .await?;
        rows.iter().map(|row| project(row, organization)).collect()
    }

    async fn newest_project(&self) -> Result<u32> {
        let connection = self.connections.read().await?;
        // Orders that failed may have skipped numbers before it: those are never assigned either.
        let query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM projects_id_seq";
        Ok(get(&connection.row(query, &[]).await?, 0)?)
    }
}

fn project(row: &Row, organization: OrganizationId) -> Result<Project> {
    let columns = &mut Columns::of(row);
    Ok(Project {
        id: columns.take()?,
        name: columns.take()?,
        organization,
        created_at: columns.take()?,
    })
}

impl Batch<'_> {
    pub(super) async fn create_project(
        &mut self,
        organization: OrganizationId,
        name: &Name,
        now: Timestamp,
    ) -> std::result::Result<u32, Failure> {
        let organization = self
            .memory
            .numbers
            .organization(self.connection, organization)
            .await?;
        let row = self
            .connection
            .row(
                "INSERT INTO projects (organization, name, canonical_name, created_at) VALUES ($1, $2, $3, $4)
                 RETURNING id",
                params![organization, name, name.canonical(), now],
            )
            .await?;
        get(&row, 0)
    }

    pub(super) async fn remove_project(&mut self, project: u32) -> std::result::Result<(), Failure> {
        self.connection
            .execute("DELETE FROM projects WHERE id = $1", params![project])
            .await?;
        Ok(())
    }
}
