//! Whose tokens a request is about.

use crate::authority::{Authority, Caller, Result, policy};
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::Owner;

impl Authority {
    /// An organization as a whole, or one of its teams, for those who may make tokens for it.
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
                team: view.team(organization.id, team).await?.id.clone(),
                organization: organization.id,
            },
            None => Owner::Organization(organization.id),
        };
        policy::issue(&rank, caller, &owner)?;
        Ok(owner)
    }
}
