use uuid::Uuid;

use crate::{Claims, Rejection};

/// The requirements of a route, beyond those of every token.
///
/// ```
/// # use jeton_verifier::Requirements;
/// let reading = Requirements::new().scope("projects:read").project(7);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    scopes: Vec<String>,
    projects: Vec<u32>,
    organization: Option<Uuid>,
    team: Option<String>,
    audience: Option<String>,
    accepts_if_unknown: bool,
}

impl Requirements {
    /// Returns requirements that every valid token meets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires a scope, compared character by character. May be called again for further scopes, all of which are
    /// required.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Requires access to a project: the token is restricted to projects among which it is, or to none. May be called
    /// again for further projects.
    ///
    /// Numbers of projects say nothing without the organization: a token that is not restricted has access to the
    /// projects of its organization only. Call [`Requirements::organization`] too, or compare `organization` of the
    /// claims with that of the project.
    #[must_use]
    pub fn project(mut self, project: u32) -> Self {
        self.projects.push(project);
        self
    }

    /// Requires the token to be of an organization.
    #[must_use]
    pub fn organization(mut self, organization: Uuid) -> Self {
        self.organization = Some(organization);
        self
    }

    /// Requires the token to be of a team.
    #[must_use]
    pub fn team(mut self, team: impl Into<String>) -> Self {
        self.team = Some(team.into());
        self
    }

    /// Requires an audience besides that of the verifier, or one of
    /// [`Builder::further_audience`](crate::Builder::further_audience).
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Accepts a token although what is known about revocations is older than the bound (fail open). The default is
    /// to refuse it. A token that is known to be revoked is refused in any case. Accepted ones are counted apart.
    #[must_use]
    pub fn accept_if_unknown(mut self) -> Self {
        self.accepts_if_unknown = true;
        self
    }

    /// Returns the required scopes.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    pub(super) fn accepts_if_unknown(&self) -> bool {
        self.accepts_if_unknown
    }

    pub(super) fn judge(&self, claims: &Claims) -> Result<(), Rejection> {
        let audience = self.audience.as_ref();
        if audience.is_some_and(|audience| !claims.audience.contains(audience)) {
            return Err(Rejection::WrongAudience);
        }
        if self.organization.is_some() && claims.organization != self.organization {
            return Err(Rejection::WrongOrganization);
        }
        if self.team.is_some() && claims.team != self.team {
            return Err(Rejection::WrongTeam);
        }
        if let Some(projects) = &claims.projects
            && !self.projects.iter().all(|project| projects.contains(project))
        {
            return Err(Rejection::WrongProject);
        }
        let granted = claims.scope.as_deref().unwrap_or_default();
        if !self.scopes.iter().all(|scope| granted.contains(scope)) {
            return Err(Rejection::InsufficientScope);
        }
        Ok(())
    }
}
