//! Telling a service what a token is that it was handed.

use crate::authority::{Active, Authority, Caller, Error, Presented, Result};
use jeton_core::token::TokenKind;

impl Authority {
    /// The token if it is active, for a caller who could manage it: a token of an organization asks
    /// about that organization's, one of the deployment about all. `None` is for everything else
    /// alike, or strangers could find out by asking whose a token is. A session is for the authority
    /// itself and never active for anybody else.
    pub async fn introspect(&self, caller: &Caller, token: &str) -> Result<Option<Active>> {
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
