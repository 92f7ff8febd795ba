//! What paths name.

use utoipa::IntoParams;
use validator::Validate;

use crate::authority::{Authority, Caller, Error};
use crate::http::input::{Fields, Form};
use jeton_core::directory::{OrganizationReference, TeamId, TeamReference, UserId};
use jeton_core::token::TokenReference;

/// Which organization.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OrganizationPath {
    /// Its name.
    #[param(value_type = String, example = "default")]
    pub(super) organization: OrganizationReference,
}

impl Form for OrganizationPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.required("organization"),
        }
    }
}

/// Which team.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TeamPath {
    /// Its id.
    #[param(example = "team-Hn5Lq9BcX1dF7gJk")]
    team_id: String,
}

impl Form for TeamPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            team_id: fields.required("team_id"),
        }
    }
}

impl TeamPath {
    /// A text that can be no team's id is as absent as an id that no team has; so below.
    pub(super) fn id(&self) -> Result<TeamId, Error> {
        self.team_id.parse().map_err(|_| Error::Absent)
    }

    /// The team and its organization, which the path leaves out, as operations ask for them.
    pub(super) async fn references(
        &self,
        authority: &Authority,
        caller: &Caller,
    ) -> Result<(OrganizationReference, TeamReference), Error> {
        let team = authority.team_with_id(caller, &self.id()?).await?;
        Ok((team.organization.into(), TeamReference::Id(team.id)))
    }
}

/// Which person.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct UserPath {
    /// Their id.
    #[param(example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    user_id: String,
}

impl Form for UserPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            user_id: fields.required("user_id"),
        }
    }
}

impl UserPath {
    pub(super) fn id(&self) -> Result<UserId, Error> {
        self.user_id.parse().map_err(|_| Error::Absent)
    }
}

/// Which token.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TokenPath {
    /// Its number.
    #[param(example = "1")]
    token_id: String,
}

impl Form for TokenPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            token_id: fields.required("token_id"),
        }
    }
}

impl TokenPath {
    pub(super) fn reference(&self) -> Result<TokenReference, Error> {
        self.token_id.parse().map_err(|_| Error::Absent)
    }
}
