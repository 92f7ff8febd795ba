//! Reading the audit: what each caller may see of it.

use crate::authority::policy::{self, Rank};
use crate::authority::{Authority, Caller, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, OrganizationReference};
use jeton_core::token::{TokenId, TokenReference};
use jeton_store::{AuditFilter, AuditListing, AuditPage};

/// The lines of the audit that a caller asks for: those that match each field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Lines that concern this organization. `None`: all lines for a site administrator, for other callers those of
    /// their only organization.
    pub organization: Option<OrganizationReference>,
    /// Lines whose actor has this exact name, or is the user with this id.
    pub actor: Option<String>,
    /// Lines that concern this token.
    pub token: Option<TokenReference>,
    /// Lines with exactly this action.
    pub action: Option<String>,
    /// Lines of this instant or later.
    pub after: Option<Timestamp>,
    /// Lines before this instant.
    pub before: Option<Timestamp>,
    /// Lines that contain this text.
    pub text: Option<String>,
}

impl Authority {
    /// Returns a page of the lines that a caller asks for and may see.
    ///
    /// # Errors
    ///
    /// As [`Authority::audited`], and [`TooCostly`](crate::authority::Error::TooCostly) if too many lines were read without a match.
    pub async fn audit(&self, caller: &Caller, query: &AuditQuery, page: AuditPage) -> Result<AuditListing> {
        let token = match query.token {
            None => None,
            Some(TokenReference::Id(id)) => Some(id),
            // An unknown token has no lines, as one that the caller may not see.
            Some(jti) => Some(self.store.token(jti).await?.map_or(NO_TOKEN, |record| record.id)),
        };
        let filter = AuditFilter {
            organization: self.audited(caller, query.organization.as_ref()).await?,
            actor: query.actor.clone(),
            token,
            action: query.action.clone(),
            after: query.after,
            before: query.before,
            text: query.text.clone(),
        };
        Ok(self.store.audit_entries(filter, page).await?)
    }

    /// Returns the organization whose lines a caller sees; `None` is all lines.
    ///
    /// # Errors
    ///
    /// [`Absent`](crate::authority::Error::Absent) and [`Forbidden`](crate::authority::Error::Forbidden) unless the caller
    /// administers the organization; [`OrganizationNeeded`](crate::authority::Error::OrganizationNeeded) if none is named
    /// and the caller does not belong to exactly one.
    pub async fn audited(
        &self,
        caller: &Caller,
        named: Option<&OrganizationReference>,
    ) -> Result<Option<OrganizationId>> {
        let reference = match named {
            Some(named) => named.clone(),
            None if policy::rank_everywhere(caller) == Rank::Site => return Ok(None),
            None => self.only_organization(caller).await?,
        };
        let (organization, rank) = self.view().visible(caller, &reference).await?;
        policy::manage_organization(&rank)?;
        Ok(Some(organization.value.id))
    }
}

/// The number of no token.
const NO_TOKEN: TokenId = TokenId(0);
