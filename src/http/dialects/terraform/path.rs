//! Path parameters.

use crate::authority::{Authority, Caller, Error};
use crate::http::input::Form;
use jeton_core::directory::{OrganizationReference, TeamId, TeamReference, UserId};
use jeton_core::token::TokenReference;

/// An organization.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct OrganizationPath {
    /// The name of the organization.
    #[form(example = "default")]
    pub(super) organization: OrganizationReference,
}

/// A team.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct TeamPath {
    /// The id of the team.
    #[form(example = "team-Hn5Lq9BcX1dF7gJk")]
    team_id: String,
}

impl TeamPath {
    /// Parses the id. An invalid id is answered like an unknown team; so below.
    pub(super) fn id(&self) -> Result<TeamId, Error> {
        self.team_id.parse().map_err(|_| Error::Absent)
    }

    /// Returns references to the team and to its organization, which the path does not contain.
    pub(super) async fn references(
        &self,
        authority: &Authority,
        caller: &Caller,
    ) -> Result<(OrganizationReference, TeamReference), Error> {
        let team = authority.team_with_id(caller, &self.id()?).await?;
        Ok((team.organization.into(), TeamReference::Id(team.id)))
    }
}

/// A user.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct UserPath {
    /// The id of the user.
    #[form(example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    user_id: String,
}

impl UserPath {
    pub(super) fn id(&self) -> Result<UserId, Error> {
        self.user_id.parse().map_err(|_| Error::Absent)
    }
}

/// A token.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct TokenPath {
    /// The id of the token, or its number alone.
    #[form(example = "at-1")]
    token_id: String,
}

impl TokenPath {
    pub(super) fn reference(&self) -> Result<TokenReference, Error> {
        token_reference(&self.token_id)
    }
}

/// Parses the id of a token: `at-` and its number, or the number alone.
pub(super) fn token_reference(id: &str) -> Result<TokenReference, Error> {
    let number = id.strip_prefix("at-").unwrap_or(id);
    number.parse().map_err(|_| Error::Absent)
}
