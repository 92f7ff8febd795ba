//! Projects.

use crate::authority::organizations::created;
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::directory::{Name, OrganizationReference, Project};
use jeton_store::{Judged, Slice};

impl Authority {
    /// Makes a project.
    pub async fn create_project(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        name: &Name,
    ) -> Result<Project> {
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                let now = self.clock.now();
                created(
                    self.store
                        .create_project(organization.id, name.clone(), now, view.generation())
                        .await?,
                )
            })
        })
        .await
        .inspect(|project| tracing::info!(by = caller.actor().name, organization = ?reference, project = project.id, name = %project.name, "a project was made"))
    }

    /// An organization's projects.
    pub async fn projects(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        slice: Slice,
    ) -> Result<Vec<Project>> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        Ok(self.store.projects(organization.id, slice).await?)
    }

    /// Removes a project. Tokens restricted to it stay restricted to it, and so to nothing.
    pub async fn remove_project(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        id: u32,
    ) -> Result<()> {
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                match self
                    .store
                    .remove_project(organization.id, id, view.generation())
                    .await?
                {
                    Judged::Done(true) => Ok(Judged::Done(())),
                    Judged::Done(false) => Err(Error::Absent),
                    Judged::Stale => Ok(Judged::Stale),
                }
            })
        })
        .await
        .inspect(|()| tracing::info!(by = caller.actor().name, organization = ?reference, project = id, "a project was removed"))
    }
}
