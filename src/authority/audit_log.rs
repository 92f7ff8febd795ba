//! Reading the audit: what each caller may see of it.

use crate::authority::policy::{self, Rank};
use crate::authority::{Active, Authority, Caller, Error, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, OrganizationReference};
use jeton_core::token::{Owner, TokenId, TokenReference};
use jeton_store::{
    AuditEntry, AuditFilter, AuditHead, AuditListing, AuditOrder, AuditPage, AuditPosition, AuditSince,
    Origin,
};

/// The lines of the audit that a caller asks for: those that match each field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Lines that concern this organization. `None`: all lines for a site administrator, for other callers those of
    /// their only organization.
    pub organization: Option<OrganizationReference>,
    /// Lines that concern this token.
    pub token: Option<TokenReference>,
    /// The rest of the filter. Its organization and token are not read.
    pub rest: AuditFilter,
}

/// Why the audit cannot be followed from a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LostLine {
    /// Lines after it are no longer kept.
    #[error("lines after this one are no longer kept")]
    Pruned,
    /// The audit has no such line: it is of a history that was lost or replaced.
    #[error("the audit has no such line: it has not come so far, or its history was replaced")]
    Ahead,
}

impl Authority {
    /// Returns a page of the lines that a caller asks for and may see.
    ///
    /// # Errors
    ///
    /// As [`Authority::audited`], and [`Error::TooCostly`] if too many lines were read without a match.
    pub async fn audit(&self, caller: &Caller, query: &AuditQuery, page: AuditPage) -> Result<AuditListing> {
        let token = match query.token {
            None => None,
            Some(TokenReference::Id(id)) => Some(id),
            // An unknown token has no lines, as one that the caller may not see.
            Some(jti) => Some(self.store.token(jti).await?.map_or(NO_TOKEN, |record| record.id)),
        };
        let filter = AuditFilter {
            organization: self.audited(caller, query.organization.as_ref()).await?,
            token,
            ..query.rest.clone()
        };
        Ok(self.store.audit_entries(filter, page).await?)
    }

    /// Returns a further page for a caller who has received one: their token and their role are checked again.
    ///
    /// # Errors
    ///
    /// As [`Authority::audit`], and [`Error::BadCredential`] if the token has ended.
    pub async fn audit_further(
        &self,
        caller: &Caller,
        query: &AuditQuery,
        page: AuditPage,
    ) -> Result<AuditListing> {
        let found = self.active.again(caller.active(), self.clock.now()).await?;
        let caller = caller.renewed(found.map_err(Error::BadCredential)?);
        self.audit(&caller, query, page).await
    }

    /// Returns lines that concern the organization whose token the caller has, of an instant or later (default: of the
    /// last 14 days), the newest first, and the number of all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] unless the caller is a token of an organization, and [`Error::TooCostly`] if too many lines
    /// were read.
    pub async fn audit_trail(
        &self,
        caller: &Caller,
        since: Option<Timestamp>,
        skip: u64,
        limit: u32,
    ) -> Result<(Vec<AuditEntry>, u64)> {
        let Owner::Organization(organization) = caller.owner() else {
            return Err(Error::Forbidden);
        };
        let filter = AuditFilter {
            organization: self.audited(caller, Some(&(*organization).into())).await?,
            after: Some(since.unwrap_or_else(|| self.clock.now().plus_seconds(-TRAIL_SECONDS))),
            ..AuditFilter::default()
        };
        let total = self.store.audit_count(filter.clone()).await?;
        let page = AuditPage {
            order: AuditOrder::NewestFirst,
            after: None,
            skip,
            limit,
        };
        let listing = match skip < total {
            true => self.store.audit_entries(filter, page).await?,
            false => AuditListing::default(),
        };
        Ok((listing.entries, total))
    }

    /// Returns the lines after a position that concern an organization, or all, oldest first and at most `most`, and the
    /// line up to which there are no others.
    ///
    /// # Errors
    ///
    /// [`Error::LostLine`] if the audit cannot be followed from there.
    pub async fn audit_after(
        &self,
        organization: Option<OrganizationId>,
        after: AuditPosition,
        most: u32,
    ) -> Result<(Vec<AuditEntry>, AuditHead)> {
        match self.store.audit_after(organization, after, most).await? {
            AuditSince::Entries { entries, through } => Ok((entries, through)),
            AuditSince::Pruned => Err(Error::LostLine(LostLine::Pruned)),
            AuditSince::Ahead => Err(Error::LostLine(LostLine::Ahead)),
        }
    }

    /// Returns the last line, as the store has it.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn audit_end(&self) -> Result<AuditHead> {
        Ok(self.store.audit_status().await?.head)
    }

    /// Refuses a caller who may no longer see these lines: their token has ended, or their role.
    ///
    /// # Errors
    ///
    /// [`Error::BadCredential`], [`Error::Absent`] or [`Error::Forbidden`].
    pub async fn still_audits(&self, active: &Active, organization: Option<OrganizationId>) -> Result<()> {
        let found = self.active.again(active, self.clock.now()).await?;
        let caller = Caller::new(found.map_err(Error::BadCredential)?, Origin::default());
        match organization {
            Some(organization) => self.audited(&caller, Some(&organization.into())).await.map(drop),
            None => policy::govern_deployment(&policy::rank_everywhere(&caller)),
        }
    }

    /// Returns the organization whose lines a caller sees; `None` is all lines.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] and [`Error::Forbidden`] unless the caller
    /// administers the organization; [`Error::OrganizationNeeded`] if none is named
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
        if let OrganizationReference::Id(id) = reference
            && policy::rank_everywhere(caller) == Rank::Site
        {
            // It may have been removed: its lines are kept.
            return Ok(Some(id));
        }
        let (organization, rank) = self.view().visible(caller, &reference).await?;
        policy::manage_organization(&rank)?;
        Ok(Some(organization.value.id))
    }
}

/// The length of an organization's trail, in seconds.
const TRAIL_SECONDS: i64 = 14 * 86_400;

/// The number of no token.
const NO_TOKEN: TokenId = TokenId(0);
