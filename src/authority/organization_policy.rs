//! Changing an organization's policy, and what becomes of the tokens that break the new one.

use crate::authority::{Authority, Caller, Error, FieldFault, Result, Run};
use crate::clock::Timestamp;
use crate::directory::{Organization, OrganizationId, Policy};
use crate::store::{BulkOrder, BulkRevocation, LastToken, OrganizationChanges};
use crate::token::filter::Breach;
use crate::token::{
    CountTotal, Direction, Filter, Grace, Listing, Page, Sort, Start, Status, StatusAt, Visibility,
    WantedStatus,
};

/// How an organization is to be changed.
#[derive(Debug, Clone)]
pub struct ChangeOrganization {
    /// What becomes different.
    pub changes: OrganizationChanges,
    /// What becomes of active tokens that break a new policy.
    pub existing: ExistingTokens,
    /// Whether it is meant.
    pub run: Run,
}

/// What becomes of active tokens that break a new policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingTokens {
    /// They live on.
    Keep,
    /// They are revoked, with effect after this time.
    EndAfter(Grace),
}

/// An organization that was changed, or would be.
#[derive(Debug)]
pub struct ChangedOrganization {
    /// As it is now, or would be.
    pub organization: Organization,
    /// The active tokens that break its new policy, where a policy was given.
    pub breaking: Option<BreakingTokens>,
}

/// Active tokens that break a policy.
#[derive(Debug)]
pub struct BreakingTokens {
    /// The newest of them, and how many they are.
    pub tokens: Listing,
    /// What ends them, if anything does.
    pub revocation: Option<Box<BulkRevocation>>,
}

/// So many breaking tokens are shown.
const SHOWN: u32 = 100;

impl Authority {
    /// What the policy of a changed organization means for its tokens, and carries that out.
    pub(super) async fn settle(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        policy: &Policy,
        order: &ChangeOrganization,
    ) -> Result<BreakingTokens> {
        let now = self.clock.now();
        let filter = breaking(organization, policy, now);
        let page = Page {
            sort: Sort::default(),
            start: Start::Beginning,
            direction: Direction::Next,
            limit: SHOWN,
            count: CountTotal::Yes,
        };
        let tokens = self.store.tokens(filter.clone(), page).await?;
        let revocation = match (order.run, order.existing) {
            (Run::Dry, _) | (Run::Earnest, ExistingTokens::Keep) => None,
            (Run::Earnest, ExistingTokens::EndAfter(grace)) => {
                let grace = i64::try_from(grace.seconds()).unwrap_or(i64::MAX);
                let matched = tokens.total.unwrap_or_default();
                let order = &BulkOrder {
                    filter,
                    ordered_at: now,
                    ordered_by: caller.actor(),
                    reason: Some("breaks the organization's policy".to_owned()),
                    effective_at: (grace > 0).then(|| now.plus_seconds(grace)),
                    // Whoever chose this has been shown what goes.
                    last_token: LastToken::MayGo,
                };
                let bulk = self
                    .judged(move |view| {
                        let ordered = self.store.revoke_many(order.clone(), matched, view.generation());
                        Box::pin(async move { Ok(ordered.await?) })
                    })
                    .await?;
                self.begin(&bulk);
                Some(Box::new(bulk))
            }
        };
        Ok(BreakingTokens { tokens, revocation })
    }

    /// Refuses a policy that names what does not exist, or contradicts itself.
    pub(super) fn check_policy(&self, policy: &Policy) -> Result<()> {
        let catalogue = &self.settings.catalogue;
        let mut faults = Vec::new();
        for (index, scope) in policy.allowed_scopes.iter().flatten().enumerate() {
            if !catalogue.contains(scope) {
                let message = "there is no such scope";
                let field = "policy.allowed_scopes";
                faults.push(FieldFault::element(field, index, scope.as_str(), message));
            }
        }
        for (index, preset) in policy.allowed_presets.iter().flatten().enumerate() {
            if catalogue.preset(preset).is_none() {
                let message = "there is no such preset";
                let field = "policy.allowed_presets";
                faults.push(FieldFault::element(field, index, preset.clone(), message));
            }
        }
        if let Some(preset) = &policy.default_preset {
            let message = match catalogue.preset(preset) {
                None => Some("there is no such preset"),
                Some(_) if !policy.allows_preset(preset) => Some("this preset is not among the allowed ones"),
                Some(_) => None,
            };
            let fault = |message| FieldFault::new("policy.default_preset", preset.clone(), message);
            faults.extend(message.map(fault));
        }
        if let (Some(default), Some(longest)) = (policy.default_lifetime, policy.max_lifetime)
            && default > longest
        {
            let message = format!("the policy's tokens live at most {longest} seconds");
            faults.push(FieldFault::new("policy.default_lifetime", default, message));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(faults))
        }
    }
}

/// The active tokens of an organization that break a policy.
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
