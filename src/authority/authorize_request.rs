//! Forward-auth: checks the token of a request for a service that does not verify tokens itself.

use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::token::Scope;

/// The audience and scopes that a service requires of the token of a request.
#[derive(Debug, Default)]
pub struct Demand {
    /// The required audience; `None` is the default audience.
    pub audience: Option<String>,
    /// The required scopes, all of them.
    pub scopes: Vec<Scope>,
}

impl Authority {
    /// Checks that the token of a caller has the audience and the scopes that a service requires.
    ///
    /// # Errors
    ///
    /// [`Error::WrongAudience`] or [`Error::ScopeNeeded`].
    pub fn authorize_request(&self, caller: &Caller, demand: &Demand) -> Result<()> {
        let outcome = self.meets(caller, demand);
        self.metrics.authorized(&outcome);
        outcome
    }

    fn meets(&self, caller: &Caller, demand: &Demand) -> Result<()> {
        let settings = self.settings();
        let audience = demand.audience.as_ref().unwrap_or(&settings.default_audience);
        if !caller.is_for(audience) {
            return Err(Error::WrongAudience);
        }
        if demand.scopes.iter().all(|scope| caller.may_grant(scope.as_str())) {
            return Ok(());
        }
        let names: Vec<&str> = demand.scopes.iter().map(Scope::as_str).collect();
        Err(Error::ScopeNeeded(names.join(" ").into()))
    }
}
