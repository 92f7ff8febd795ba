//! Organizations, and the rights of a caller in them.

use crate::authority::policy::{self, Rank};
use crate::authority::retry::Attempt;
use crate::authority::view::View;
use crate::authority::{
    Authority, Caller, ChangeOrganization, ChangedOrganization, PolicyChanges, Result, Run,
};
use jeton_core::directory::{
    Membership, Name, Organization, OrganizationId, OrganizationReference, Person, Policy,
};
use jeton_core::token::{Record, Scope, TokenKind};
use jeton_store::rules::organizations;
use jeton_store::{BulkRevocation, Found, Order, OrganizationsOf, Search, Slice};

/// New values for an organization; `None` keeps the current one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrganizationChanges {
    /// A new name.
    pub name: Option<Name>,
    /// A new e-mail address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
    /// A new notification URL; `Some(None)` removes it.
    pub notification_url: Option<Option<String>>,
    /// Changes to the policy.
    pub policy: Option<PolicyChanges>,
}

impl OrganizationChanges {
    /// Returns an organization with these changes, except that of the policy.
    fn apply(self, organization: Organization) -> Organization {
        Organization {
            name: self.name.unwrap_or(organization.name),
            email: self.email.unwrap_or(organization.email),
            notification_url: self.notification_url.unwrap_or(organization.notification_url),
            ..organization
        }
    }
}

/// The caller: token, user, memberships and scopes.
#[derive(Debug)]
pub struct Me {
    /// The record of the API token of the request; `None` for a session.
    pub token: Option<Record>,
    /// The user, if the token acts for one.
    pub person: Option<Person>,
    /// The memberships of that user.
    pub memberships: Vec<Membership>,
    /// The scopes of the token; for a session, the scopes that its user can grant to any token.
    pub scopes: Vec<Scope>,
}

/// What happens to the teams of an organization that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItsTeams {
    /// They are deleted too.
    GoToo,
    /// An organization with teams is not deleted.
    MustBeGone,
}

/// The outcome of deleting an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrganizationRemoved {
    /// The organization is deleted.
    Removed,
    /// The organization has teams, and was not deleted.
    HasTeams,
}

impl Authority {
    /// Returns who the caller is and what they may do.
    pub async fn me(&self, caller: &Caller) -> Result<Me> {
        let memberships = match caller.user() {
            Some(user) => self.store.memberships(user.clone()).await?,
            None => Vec::new(),
        };
        let confined = caller.owner().organization();
        let token = match caller.token().kind() {
            TokenKind::Api => Some(self.own_record(caller).await?),
            TokenKind::Session => None,
        };
        let settings = self.settings();
        let grantable = settings.catalogue.scopes().iter();
        Ok(Me {
            scopes: match &token {
                Some(record) => record.token.scopes.clone(),
                None => grantable
                    .filter(|scope| policy::may_ever_grant(caller, scope))
                    .cloned()
                    .collect(),
            },
            token,
            person: caller.person().map(|person| Person::clone(person)),
            memberships: memberships
                .into_iter()
                .filter(|membership| confined.is_none_or(|own| own == membership.organization))
                .collect(),
        })
    }

    /// Creates an organization, of which the caller becomes admin.
    pub async fn create_organization(
        &self,
        caller: &Caller,
        name: &Name,
        changes: &OrganizationChanges,
    ) -> Result<Organization> {
        let policy = &self.changed_policy(changes.policy.as_ref(), Policy::default())?;
        let id = OrganizationId(self.entropy.uuid_v4());
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                policy::create_organization(&caller)?;
                self.allow_organization(&caller).await?;
                let now = self.clock.now();
                let new = Organization {
                    id,
                    name: name.clone(),
                    email: changes.email.clone().flatten(),
                    notification_url: changes.notification_url.clone().flatten(),
                    policy: policy.clone(),
                    created_at: now,
                };
                let order = organizations::create(
                    caller.cause(now),
                    new.clone(),
                    caller.user().cloned(),
                    self.clock.settled(),
                );
                Ok(self.commit(&view, order).await?.map(|_| new))
            })
        })
        .await
        .inspect(|made| tracing::info!(by = caller.actor().name, organization = %made.id, name = %made.name, "organization created"))
    }

    /// Returns the organizations that the caller may see.
    pub async fn organizations(&self, caller: &Caller, slice: Slice) -> Result<Vec<Organization>> {
        match organizations_of(caller) {
            Some(of) => Ok(self.store.organizations(of, slice).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Returns a page of the organizations that the caller may see.
    pub async fn find_organizations(&self, caller: &Caller, search: Search) -> Result<Found<Organization>> {
        match organizations_of(caller) {
            Some(of) => Ok(self.store.find_organizations(of, search).await?),
            None => Ok(Found {
                items: Vec::new(),
                total: 0,
            }),
        }
    }

    /// Returns an organization.
    pub async fn organization(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
    ) -> Result<Organization> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        Ok(organization.value.clone())
    }

    /// Returns the rank of the caller in an organization, for responses that list permissions.
    pub async fn rank(&self, caller: &Caller, organization: OrganizationId) -> Result<Rank> {
        self.view().rank(caller, organization).await
    }

    /// Updates an organization. A change of the policy needs a session; the new policy and the order that
    /// revokes the tokens that violate it are written in one transaction.
    pub async fn change_organization(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        order: &ChangeOrganization,
    ) -> Result<ChangedOrganization> {
        let (before, changed) = self.changed(caller, &self.view(), reference, order).await?;
        let breaking = match &order.changes.policy {
            Some(_) => Some(self.breaking(before.id, &changed.policy).await?),
            None => None,
        };
        if order.run == Run::Dry {
            return Ok(ChangedOrganization {
                organization: changed,
                breaking,
                revocation: None,
            });
        }
        let matched = breaking
            .as_ref()
            .and_then(|tokens| tokens.total)
            .unwrap_or_default();
        // Counting can take long, so `change` checks the caller again.
        let (organization, revocation) = self.change(caller, before.id, order, matched).await?;
        let policy = order
            .changes
            .policy
            .as_ref()
            .map(|_| tracing::field::display(&organization.policy));
        tracing::info!(by = caller.actor().name, organization = %organization.id, name = %organization.name, policy, "organization updated");
        if let Some(bulk) = &revocation {
            self.begin(bulk);
        }
        Ok(ChangedOrganization {
            organization,
            breaking,
            revocation,
        })
    }

    async fn change(
        &self,
        caller: &Caller,
        id: OrganizationId,
        order: &ChangeOrganization,
        matched: u64,
    ) -> Result<(Organization, Option<BulkRevocation>)> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let now = self.clock.now();
                let (before, changed) = self.changed(&caller, &view, &id.into(), order).await?;
                if changed.name.canonical() != before.name.canonical() {
                    self.allow_renaming(&caller).await?;
                }
                let ending = order.ending(&changed, matched, caller.actor(), now);
                let order = organizations::change(
                    caller.cause(now),
                    &before,
                    changed.clone(),
                    ending,
                    self.clock.settled(),
                );
                Ok(self
                    .commit(&view, order)
                    .await?
                    .map(|committed| (changed, committed.bulk)))
            })
        })
        .await
    }

    /// Returns the organization before and after a change, if the caller may make it.
    async fn changed(
        &self,
        caller: &Caller,
        view: &View<'_>,
        reference: &OrganizationReference,
        order: &ChangeOrganization,
    ) -> Result<(Organization, Organization)> {
        let (organization, rank) = view.visible(caller, reference).await?;
        match &order.changes.policy {
            Some(_) => policy::govern_organization(&rank, caller)?,
            None => policy::manage_organization(&rank)?,
        }
        let before = organization.value.clone();
        let policy = self.changed_policy(order.changes.policy.as_ref(), before.policy.clone())?;
        let changed = Organization {
            policy,
            ..order.changes.clone().apply(before.clone())
        };
        Ok((before, changed))
    }

    /// Deletes an organization with its teams, projects and memberships; revokes its tokens.
    pub async fn remove_organization(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        its_teams: ItsTeams,
    ) -> Result<OrganizationRemoved> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let order = self.removal_of_organization(&view, caller, reference).await?;
                let any = Slice {
                    after: None,
                    limit: 1,
                };
                let (organization, _) = view.visible(caller, reference).await?;
                if its_teams == ItsTeams::MustBeGone
                    && !self.store.teams(organization.value.id, any).await?.is_empty()
                {
                    return Ok(Attempt::Done(OrganizationRemoved::HasTeams));
                }
                let removed = self.commit(&view, order).await?;
                Ok(removed.map(|_| OrganizationRemoved::Removed))
            })
        })
        .await
        .inspect(|removed| {
            if *removed == OrganizationRemoved::Removed {
                tracing::info!(by = caller.actor().name, organization = %reference, "organization deleted");
            }
        })
    }

    /// Returns the order of [`Authority::remove_organization`].
    pub(super) async fn removal_of_organization(
        &self,
        view: &View<'_>,
        caller: &Caller,
        reference: &OrganizationReference,
    ) -> Result<Order> {
        let (organization, rank) = view.visible(caller, reference).await?;
        policy::govern_organization(&rank, caller)?;
        let cause = caller.cause(self.clock.now());
        Ok(organizations::remove(cause, organization.value.clone()))
    }
}

/// Returns which organizations the caller may see; `None` if there are none.
pub(super) fn organizations_of(caller: &Caller) -> Option<OrganizationsOf> {
    match (
        caller.owner().organization(),
        policy::rank_everywhere(caller),
        caller.user(),
    ) {
        (Some(own), _, _) => Some(OrganizationsOf::Only(own)),
        (None, Rank::Site, _) => Some(OrganizationsOf::Everybody),
        (None, _, Some(user)) => Some(OrganizationsOf::Person(user.clone())),
        (None, _, None) => None,
    }
}
