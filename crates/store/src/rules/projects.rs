//! Rules for projects.

use crate::{Cause, Effect, Guard, Order};
use jeton_core::directory::{Name, OrganizationId, Project};

/// Creates a project.
pub fn create(cause: Cause, organization: OrganizationId, name: Name) -> Order {
    Order::new(cause)
        .guard(Guard::ProjectNameFree(organization, name.clone()))
        .effect(Effect::CreateProject(organization, name))
}

/// Removes a project. Tokens restricted to it stay restricted and no longer grant access to any project.
pub fn remove(cause: Cause, project: Project) -> Order {
    Order::new(cause).effect(Effect::RemoveProject(project))
}
