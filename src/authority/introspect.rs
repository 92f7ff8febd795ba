//! Introspection: returns a presented token to a service if it is active.

use crate::authority::{Active, Authority, Caller, Error, Presented, Result};
use jeton_core::token::TokenKind;

impl Authority {
    /// Returns the token if it is active and the caller could manage it: an organization's token can
    /// introspect the tokens of that organization, a token of the deployment all tokens.
    ///
    /// Every other token is `None`, so that a caller cannot find out whose a token is. A session is
    /// `None` too: it is valid for the authority only.
    pub async fn introspect(&self, caller: &Caller, token: &str) -> Result<Option<Active>> {
        let active = self.active_for(caller, token).await?;
        self.metrics.introspected(active.as_ref());
        Ok(active)
    }

    async fn active_for(&self, caller: &Caller, token: &str) -> Result<Option<Active>> {
        let Ok(active) = self.find(token, Presented::ForUse(None)).await? else {
            return Ok(None);
        };
        if active.token().kind() != TokenKind::Api {
            return Ok(None);
        }
        match self.manages(&self.view(), caller, active.token().owner()).await {
            Ok(()) => Ok(Some(active)),
            Err(Error::Absent) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
