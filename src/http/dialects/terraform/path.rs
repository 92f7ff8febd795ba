//! What paths name.

use crate::authority::{Authority, Caller, Error};
use crate::http::input::Form;
use jeton_core::directory::{OrganizationReference, TeamId, TeamReference, UserId};
use jeton_core::token::TokenReference;

/// Which organization.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct OrganizationPath {
    /// Its name.
    #[form(example = "default")]
    pub(super) organization: OrganizationReference,
}

/// Which team.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct TeamPath {
    /// Its id.
    #[form(example = "team-Hn5Lq9BcX1dF7gJk")]
    team_id: String,
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
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct UserPath {
    /// Their id.
    #[form(example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    user_id: String,
}

impl UserPath {
    pub(super) fn id(&self) -> Result<UserId, Error> {
        self.user_id.parse().map_err(|_| Error::Absent)
    }
}

/// Which token.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct TokenPath {
    /// Its number.
    #[form(example = "1")]
    token_id: String,
}

impl TokenPath {
    pub(super) fn reference(&self) -> Result<TokenReference, Error> {
        self.token_id.parse().map_err(|_| Error::Absent)
    }
}
