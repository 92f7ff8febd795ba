//! The owner that a request names.

use crate::authority::{Authority, Caller, Result, policy};
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::Owner;

impl Authority {
    /// Returns an organization, or one of its teams, as an owner for which the caller may create tokens.
    pub async fn owner(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: Option<&TeamReference>,
    ) -> Result<Owner> {
        let view = self.view();
        let (organization, rank) = view.visible(caller, organization).await?;
        let owner = match team {
            Some(team) => Owner::Team {
                team: view.team(organization.value.id, team).await?.id.clone(),
                organization: organization.value.id,
            },
            None => Owner::Organization(organization.value.id),
        };
        policy::issue(&rank, caller, &owner)?;
        Ok(owner)
    }
}
