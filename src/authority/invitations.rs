//! Invitations: those of the caller, to accept or decline, and those of an organization, to withdraw; and organizations
//! to leave. All but a list need a session.

use std::sync::Arc;

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::directory::{
    Email, Invitation, OrganizationId, OrganizationReference, Person, SentInvitation,
};
use jeton_store::rules::members::{self, Addressee};
use jeton_store::{Order, Slice};

impl Authority {
    /// Returns the invitations of the caller.
    pub async fn invitations(&self, caller: &Caller, slice: Slice) -> Result<Vec<Invitation>> {
        let email = logged_in(caller)?.email.clone();
        Ok(self.store.invitations(email, slice).await?)
    }

    /// Returns the invitations of an organization.
    pub async fn sent_invitations(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        slice: Slice,
    ) -> Result<Vec<SentInvitation>> {
        let (organization, rank) = self.view().visible(caller, reference).await?;
        policy::manage_organization(&rank)?;
        Ok(self.store.sent_invitations(organization.value.id, slice).await?)
    }

    /// Deletes the invitations of an address to an organization and its teams. Somebody who has accepted them is
    /// [`Error::Absent`], and stays a member: the order relies on the generation of the organization.
    pub async fn withdraw_invitation(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        email: &Email,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let (organization, rank) = view.visible(&caller, reference).await?;
                policy::manage_organization(&rank)?;
                let id = organization.value.id;
                let who = view.addressee(id, &email.clone().into()).await?;
                let who = who.filter(is_invited).ok_or(Error::Absent)?;
                let order = members::remove(caller.cause(self.clock.now()), id, &who);
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| {
            let by = caller.actor().name;
            tracing::info!(by, organization = %reference, person = %email, "invitation withdrawn");
        })
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

fn is_invited(who: &Addressee) -> bool {
    match who {
        Addressee::Member { .. } => false,
        Addressee::Outsider(outsider) => outsider.invited.is_some(),
    }
}

/// Returns the user of the caller's session.
fn logged_in(caller: &Caller) -> Result<&Arc<Person>> {
    caller.logged_in().ok_or(Error::SessionNeeded)
}
