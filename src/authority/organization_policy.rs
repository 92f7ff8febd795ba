//! Changes to an organization's policy, and the active tokens that violate the new one.

use crate::authority::{Authority, Caller, Error, FieldFault, OrganizationChanges, Result, Run, policy};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Organization, OrganizationId, OrganizationReference, Policy};
use jeton_core::token::filter::Breach;
use jeton_core::token::{
    Actor, CountTotal, Direction, Filter, Grace, Listing, Page, Sort, Start, Status, StatusAt, Visibility,
    WantedStatus,
};
use jeton_store::rules::organizations;
use jeton_store::{BulkOrder, BulkRevocation, LastToken};

/// A requested change of an organization.
#[derive(Debug, Clone)]
pub struct ChangeOrganization {
    /// The new values.
    pub changes: OrganizationChanges,
    /// What happens to active tokens that violate a new policy.
    pub existing: ExistingTokens,
    /// Whether to carry it out or only to show its effect.
    pub run: Run,
}

/// What happens to active tokens that violate a new policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingTokens {
    /// They stay active.
    Keep,
    /// They are revoked after this grace period.
    EndAfter(Grace),
}

/// The result of a change, or of its dry run.
#[derive(Debug)]
pub struct ChangedOrganization {
    /// The organization after the change.
    pub organization: Organization,
    /// The newest active tokens that violate the new policy, if one was given, and their total number.
    /// Tokens created during the change are not counted here, but are revoked like the others.
    pub breaking: Option<Listing>,
    /// The bulk revocation of these tokens, if they are revoked.
    pub revocation: Option<BulkRevocation>,
}

/// The maximum number of violating tokens in the response.
const SHOWN: u32 = 100;

impl ChangeOrganization {
    /// Returns the order that revokes the tokens that violate the new policy, if the change asks for it.
    pub(super) fn ending(
        &self,
        organization: OrganizationId,
        matched: u64,
        ordered_by: Actor,
        now: Timestamp,
    ) -> Option<BulkOrder> {
        let (Some(policy), ExistingTokens::EndAfter(grace)) = (&self.changes.policy, self.existing) else {
            return None;
        };
        let grace = i64::try_from(grace.seconds()).unwrap_or(i64::MAX);
        Some(BulkOrder {
            filter: breaking(organization, policy, now),
            matched,
            ordered_at: now,
            ordered_by,
            reason: Some("violates the organization's policy".to_owned()),
            effective_at: (grace > 0).then(|| now.plus_seconds(grace)),
            // The policy that keeps the last token does not apply: the caller asked to revoke all of these.
            last_token: LastToken::MayGo,
        })
    }
}

impl Authority {
    /// Changes a part of an organization's policy. `amend` is given the policy as it is at the write. Tokens
    /// that violate the new policy stay active.
    pub async fn amend_policy(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        amend: impl Fn(Policy) -> Policy + Send + Sync,
    ) -> Result<Organization> {
        let amend = &amend;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let (organization, rank) = view.visible(&caller, reference).await?;
                policy::govern_organization(&rank, &caller)?;
                let before = organization.value.clone();
                let changed = Organization {
                    policy: amend(before.policy.clone()),
                    ..before.clone()
                };
                self.check_policy(&changed.policy)?;
                let cause = caller.cause(self.clock.now());
                let order =
                    organizations::change(cause, &before, changed.clone(), None, self.clock.settled());
                Ok(self.commit(&view, order).await?.map(|_| changed))
            })
        })
        .await
    }

    /// Returns the newest active tokens that violate a policy, and their total number.
    pub(super) async fn breaking(&self, organization: OrganizationId, policy: &Policy) -> Result<Listing> {
        let page = Page {
            sort: Sort::default(),
            start: Start::Beginning,
            direction: Direction::Next,
            limit: SHOWN,
            count: CountTotal::Yes,
        };
        let filter = breaking(organization, policy, self.clock.now());
        Ok(self.store.tokens(filter, page).await?)
    }

    /// Checks that a policy names existing scopes and presets and does not contradict itself.
    pub(super) fn check_policy(&self, policy: &Policy) -> Result<()> {
        let catalogue = &self.settings.catalogue;
        let mut faults = Vec::new();
        for (index, scope) in policy.allowed_scopes.iter().flatten().enumerate() {
            if !catalogue.contains(scope) {
                let message = "unknown scope; `GET /api/v1/scopes` lists all scopes";
                let field = "policy.allowed_scopes";
                faults.push(FieldFault::element(field, index, scope.as_str(), message));
            }
        }
        for (index, preset) in policy.allowed_presets.iter().flatten().enumerate() {
            if catalogue.preset(preset).is_none() {
                let message = "unknown preset; `GET /api/v1/scopes` lists all presets";
                let field = "policy.allowed_presets";
                faults.push(FieldFault::element(field, index, preset.clone(), message));
            }
        }
        if let Some(preset) = &policy.default_preset {
            let message = match catalogue.preset(preset) {
                None => Some("unknown preset; `GET /api/v1/scopes` lists all presets"),
                Some(_) if !policy.allows_preset(preset) => {
                    Some("`default_preset` must be one of `allowed_presets`")
                }
                Some(_) => None,
            };
            let fault = |message| FieldFault::new("policy.default_preset", preset.clone(), message);
            faults.extend(message.map(fault));
        }
        if let (Some(default), Some(longest)) = (policy.default_lifetime, policy.max_lifetime)
            && default > longest
        {
            let message = format!("`default_lifetime` must be at most `max_lifetime`, {longest} seconds");
            faults.push(FieldFault::new("policy.default_lifetime", default, message));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(faults))
        }
    }
}

/// Returns the filter for active tokens of an organization that violate a policy.
fn breaking(organization: OrganizationId, policy: &Policy, now: Timestamp) -> Filter {
    Filter {
        organization: Some(organization),
        status: Some(StatusAt {
            wanted: WantedStatus::Only(Status::Active),
            at: now,
        }),
        breaks: Some(Box::new(Breach {
            policy: policy.clone(),
            at: now,
        })),
        ..Filter::of(Visibility::Everything)
    }
}
