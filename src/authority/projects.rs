//! Projects of an organization, to which tokens can be restricted.

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::directory::{Name, OrganizationReference, Project};
use jeton_store::rules::projects;
use jeton_store::{Order, Slice};

impl Authority {
    /// Creates a project.
    pub async fn create_project(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        name: &Name,
    ) -> Result<Project> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                let (organization, now) = (organization.value.id, self.clock.now());
                self.allow_project(organization).await?;
                let order = projects::create(caller.cause(now), organization, name.clone());
                Ok(self.commit(&view, order).await?.map(|committed| Project {
                    id: committed.project.unwrap_or_default(),
                    name: name.clone(),
                    organization,
                    created_at: now,
                }))
            })
        })
        .await
        .inspect(|project| tracing::info!(by = caller.actor().name, organization = %reference, project = project.id, name = %project.name, "project created"))
    }

    /// Returns the projects of an organization.
    pub async fn projects(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        slice: Slice,
    ) -> Result<Vec<Project>> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        Ok(self.store.projects(organization.value.id, slice).await?)
    }

    /// Deletes a project. Tokens restricted to it stay restricted: they become valid for no other project.
    pub async fn remove_project(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        id: u32,
    ) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let order = self
                    .removal_of_project(&view, &caller, reference, id)
                    .await?;
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| tracing::info!(by = caller.actor().name, organization = %reference, project = id, "project deleted"))
    }

    /// Returns the order of [`Authority::remove_project`].
    pub(super) async fn removal_of_project(
        &self,
        view: &View<'_>,
        caller: &Caller,
        reference: &OrganizationReference,
        id: u32,
    ) -> Result<Order> {
        let (organization, rank) = view.visible(caller, reference).await?;
        policy::manage_organization(&rank)?;
        let organization = organization.value.id;
        let found = self.store.existing_projects(organization, vec![id]).await?;
        let project = found.into_iter().next().ok_or(Error::Absent)?;
        Ok(projects::remove(caller.cause(self.clock.now()), project))
    }
}
