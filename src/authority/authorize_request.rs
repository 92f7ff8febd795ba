//! Deciding for a service that verifies nothing whether a request may go on to it.

use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::token::Scope;

/// What a service demands of the token of a request.
#[derive(Debug, Default)]
pub struct Demand {
    /// Whom the token must be meant for; `None` is the default audience.
    pub audience: Option<String>,
    /// What it must be able to do, all of it.
    pub scopes: Vec<Scope>,
}

impl Authority {
    /// Refuses a caller whose token is not what a service demands.
    pub fn authorize_request(&self, caller: &Caller, demand: &Demand) -> Result<()> {
        let audience = demand
            .audience
            .as_ref()
            .unwrap_or(&self.settings.default_audience);
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
