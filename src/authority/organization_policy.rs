//! Changes to an organization's policy, and the active tokens that violate the new one.

use crate::authority::{Authority, Caller, Error, FieldFault, OrganizationChanges, Result, Run, policy};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Organization, OrganizationId, OrganizationReference, Policy};
use jeton_core::token::filter::Breach;
use jeton_core::token::{
    Actor, CountTotal, Direction, Filter, Grace, Listing, Page, Scope, Sort, Span, Start, Status, StatusAt,
    Visibility, WantedStatus,
};
use jeton_store::rules::organizations;
use jeton_store::{BulkOrder, BulkRevocation, LastToken};

/// Changes to a policy, as in a JSON merge patch (RFC 7396): `None` keeps a limit, `Some(None)` removes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChanges {
    /// The maximum lifetime.
    pub max_lifetime: Option<Option<Span>>,
    /// The default lifetime.
    pub default_lifetime: Option<Option<Span>>,
    /// The maximum number of active tokens of one owner.
    pub max_active_tokens_per_owner: Option<Option<u32>>,
    /// Whether an owner's last active token is kept.
    pub keep_last_token: Option<bool>,
    /// The scopes that a token may have.
    pub allowed_scopes: Option<Option<Vec<Scope>>>,
    /// The presets that a token may use.
    pub allowed_presets: Option<Option<Vec<String>>>,
    /// The default preset.
    pub default_preset: Option<Option<String>>,
}

impl PolicyChanges {
    fn apply(self, policy: Policy) -> Policy {
        let seconds = |span: Option<Span>| span.map(Span::seconds);
        Policy {
            max_lifetime: self.max_lifetime.map_or(policy.max_lifetime, seconds),
            default_lifetime: self.default_lifetime.map_or(policy.default_lifetime, seconds),
            max_active_tokens_per_owner: self
                .max_active_tokens_per_owner
                .unwrap_or(policy.max_active_tokens_per_owner),
            keep_last_token: self.keep_last_token.unwrap_or(policy.keep_last_token),
            allowed_scopes: self.allowed_scopes.unwrap_or(policy.allowed_scopes),
            allowed_presets: self.allowed_presets.unwrap_or(policy.allowed_presets),
            default_preset: self.default_preset.unwrap_or(policy.default_preset),
        }
    }
}

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
    /// Returns the order that revokes the tokens that violate the policy of the changed organization, if the change
    /// asks for it.
    pub(super) fn ending(
        &self,
        changed: &Organization,
        matched: u64,
        ordered_by: Actor,
        now: Timestamp,
    ) -> Option<BulkOrder> {
        let (Some(_), ExistingTokens::EndAfter(grace)) = (&self.changes.policy, self.existing) else {
            return None;
        };
        let grace = i64::try_from(grace.seconds()).unwrap_or(i64::MAX);
        Some(BulkOrder {
            filter: breaking(changed.id, &changed.policy, now),
            matched,
            ordered_at: now,
            ordered_by,
            reason: Some("violates the organization's policy".to_owned()),
            effective_at: (grace > 0).then(|| now.plus_seconds(grace)),
            // The policy that keeps the last token does not apply: the caller asked to revoke all of these.
            last_token: LastToken::MayGo,
            descendants: None,
        })
    }
}

impl Authority {
    /// Changes an organization's policy. `amend` is given the policy as it is at the write. Tokens that violate
    /// the new policy stay active.
    pub async fn amend_policy(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        amend: impl Fn(&Policy) -> PolicyChanges + Send + Sync,
    ) -> Result<Organization> {
        let amend = &amend;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let (organization, rank) = view.visible(&caller, reference).await?;
                policy::govern_organization(&rank, &caller)?;
                let before = organization.value.clone();
                let changes = amend(&before.policy);
                let changed = Organization {
                    policy: self.changed_policy(Some(&changes), before.policy.clone())?,
                    ..before.clone()
                };
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

    /// Returns a policy with changes, if they name existing scopes and presets and the result does not
    /// contradict itself. Only fields that are changed are blamed.
    pub(super) fn changed_policy(&self, changes: Option<&PolicyChanges>, before: Policy) -> Result<Policy> {
        let Some(changes) = changes else {
            return Ok(before);
        };
        let policy = changes.clone().apply(before);
        let catalogue = &self.settings().catalogue;
        let mut faults = Vec::new();
        for (index, scope) in changes.allowed_scopes.iter().flatten().flatten().enumerate() {
            if !catalogue.contains(scope) {
                let message = "unknown scope; `GET /api/v1/scopes` lists all scopes";
                faults.push(FieldFault::element("policy.allowed_scopes", index, message));
            }
        }
        for (index, preset) in changes.allowed_presets.iter().flatten().flatten().enumerate() {
            if catalogue.preset(preset).is_none() {
                faults.push(FieldFault::element(
                    "policy.allowed_presets",
                    index,
                    UNKNOWN_PRESET,
                ));
            }
        }
        if let Some(Some(preset)) = &changes.default_preset
            && catalogue.preset(preset).is_none()
        {
            faults.push(FieldFault::new("policy.default_preset", UNKNOWN_PRESET));
        } else if let Some(preset) = &policy.default_preset
            && !policy.allows_preset(preset)
        {
            let message =
                format!("`default_preset` ({preset}) must be one of `allowed_presets`: change both");
            match (&changes.default_preset, &changes.allowed_presets) {
                (Some(_), _) => faults.push(FieldFault::new("policy.default_preset", message)),
                (None, Some(_)) => faults.push(FieldFault::new("policy.allowed_presets", message)),
                (None, None) => {}
            }
        }
        if let (Some(default), Some(longest)) = (policy.default_lifetime, policy.max_lifetime)
            && default > longest
        {
            let message = format!(
                "`default_lifetime` ({}) must be at most `max_lifetime` ({}): change both",
                Span::words(default),
                Span::words(longest)
            );
            match (changes.default_lifetime, changes.max_lifetime) {
                (Some(_), _) => faults.push(FieldFault::new("policy.default_lifetime", message)),
                (None, Some(_)) => faults.push(FieldFault::new("policy.max_lifetime", message)),
                (None, None) => {}
            }
        }
        if faults.is_empty() {
            Ok(policy)
        } else {
            Err(Error::Invalid(faults))
        }
    }
}

const UNKNOWN_PRESET: &str = "unknown preset; `GET /api/v1/scopes` lists all presets";

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
