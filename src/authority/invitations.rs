//! The caller's own memberships: invitations to accept or decline, and organizations to leave. All need a session.

use std::sync::Arc;

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::directory::{Invitation, OrganizationId, OrganizationReference, Person};
use jeton_store::rules::members::{self, Addressee};
use jeton_store::{Order, Slice};

impl Authority {
    /// Returns the invitations of the caller.
    pub async fn invitations(&self, caller: &Caller, slice: Slice) -> Result<Vec<Invitation>> {
        let email = logged_in(caller)?.email.clone();
        Ok(self.store.invitations(email, slice).await?)
    }

    /// Makes the caller a member of an organization and of its teams, as they are invited. The order relies on the
    /// generation of the organization: an invitation that has been changed or withdrawn is not accepted as it was.
    pub async fn accept_invitation(&self, caller: &Caller, reference: &OrganizationReference) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let person = logged_in(&caller)?;
                let id = inviting(&view, person, reference).await?;
                self.allow_organization(&caller).await?;
                let order = members::accept(caller.cause(self.clock.now()), id, person.id.clone());
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(
            |()| tracing::info!(by = caller.actor().name, organization = %reference, "invitation accepted"),
        )
    }

    /// Deletes the caller's invitations to an organization and its teams.
    pub async fn decline_invitation(&self, caller: &Caller, reference: &OrganizationReference) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let person = logged_in(&caller)?;
                let id = inviting(&view, person, reference).await?;
                let order = members::decline(caller.cause(self.clock.now()), id, person.email.clone());
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(
            |()| tracing::info!(by = caller.actor().name, organization = %reference, "invitation declined"),
        )
    }

    /// Removes the caller from an organization and its teams; revokes their tokens of the organization.
    pub async fn leave_organization(&self, caller: &Caller, reference: &OrganizationReference) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let order = self.leaving(&view, &caller, reference).await?;
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(
            |()| tracing::info!(by = caller.actor().name, organization = %reference, "organization left"),
        )
    }

    /// Returns the order of [`Authority::leave_organization`].
    pub(super) async fn leaving(
        &self,
        view: &View<'_>,
        caller: &Caller,
        reference: &OrganizationReference,
    ) -> Result<Order> {
        let user = logged_in(caller)?.id.clone();
        let organization = view.organization(reference).await?.ok_or(Error::Absent)?;
        let id = organization.value.id;
        let role = view.standing(&user, id).await?.role.ok_or(Error::Absent)?;
        let cause = caller.cause(self.clock.now());
        Ok(members::remove(cause, id, &Addressee::Member { user, role }))
    }
}

/// Returns the organization of this reference if it has invited the person.
async fn inviting(
    view: &View<'_>,
    person: &Person,
    reference: &OrganizationReference,
) -> Result<OrganizationId> {
    let organization = view.organization(reference).await?.ok_or(Error::Absent)?;
    let id = organization.value.id;
    view.invited(&person.email, id).await?.ok_or(Error::Absent)?;
    Ok(id)
}

/// Returns the user of the caller's session.
fn logged_in(caller: &Caller) -> Result<&Arc<Person>> {
    caller.logged_in().ok_or(Error::SessionNeeded)
}
