//! Projects.

use crate::{Cause, Effect, Guard, Order};
use jeton_core::directory::{Name, OrganizationId};

/// Makes a project.
pub fn create(cause: Cause, organization: OrganizationId, name: Name) -> Order {
    Order::new(cause)
        .guard(Guard::ProjectNameFree(organization, name.clone()))
        .effect(Effect::CreateProject(organization, name))
}

/// Removes a project. A token that is restricted to it stays restricted, and so to nothing.
pub fn remove(cause: Cause, organization: OrganizationId, project: u32) -> Order {
    Order::new(cause).effect(Effect::RemoveProject(organization, project))
}
