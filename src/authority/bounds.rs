//! The bounds that organization policies set on a new token: scopes, presets, lifetime and number.

use std::sync::Arc;

use crate::authority::view::View;
use crate::authority::{Authority, Result};
use jeton_core::directory::{Organization, Policy, UserId};
use jeton_core::token::{Lifetime, Owner, Scope, Span};
use jeton_store::rules::tokens::Limit;
use jeton_store::{OrganizationsOf, Versioned, slices};

/// The policies of all organizations in which a token is valid. The strictest value applies, so that a token
/// for several organizations evades no policy.
#[derive(Debug, Default)]
pub(super) struct Bounds(Vec<Arc<Versioned<Organization>>>);

impl Authority {
    /// Returns the policies that bound an owner's tokens: those of its organization or of all the user's
    /// organizations. A site administrator's token is bound by their own organizations only.
    pub(super) async fn bounds(&self, view: &View<'_>, owner: &Owner) -> Result<Bounds> {
        Ok(Bounds(match (owner.organization(), owner.user()) {
            (Some(id), _) => view.organization(&id.into()).await?.into_iter().collect(),
            (None, Some(user)) => self.organizations_of(view, user).await?,
            (None, None) => Vec::new(),
        }))
    }

    async fn organizations_of(
        &self,
        view: &View<'_>,
        user: &UserId,
    ) -> Result<Vec<Arc<Versioned<Organization>>>> {
        let of = OrganizationsOf::Person(user.clone());
        let part = |slice| self.store.organizations(of.clone(), slice);
        let all = slices(part, |one: &Organization| one.name.canonical()).await?;
        let mut known = Vec::new();
        // Read one by one, so that the view records each organization's generation.
        for organization in all {
            known.extend(view.organization(&organization.id.into()).await?);
        }
        Ok(known)
    }
}

impl Bounds {
    fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().map(|one| &one.value.policy)
    }

    /// Returns the longest lifetime, in seconds.
    pub(super) fn max_lifetime(&self) -> Option<u64> {
        self.policies().filter_map(|policy| policy.max_lifetime).min()
    }

    /// Returns the lifetime of a token whose request sets none; `otherwise` is the deployment's default.
    pub(super) fn default_lifetime(&self, otherwise: Lifetime) -> Lifetime {
        let own = |policy: &Policy| {
            let seconds = policy.default_lifetime;
            seconds
                .and_then(Span::from_seconds)
                .map_or(otherwise, Lifetime::Limited)
        };
        let shorter = |one, other| match (one, other) {
            (Lifetime::Never, other) => other,
            (Lifetime::Limited(one), Lifetime::Limited(other)) if other.seconds() < one.seconds() => {
                Lifetime::Limited(other)
            }
            (one, _) => one,
        };
        self.policies().map(own).reduce(shorter).unwrap_or(otherwise)
    }

    /// Returns whether a token may have this scope.
    pub(super) fn allow_scope(&self, scope: &Scope) -> bool {
        self.policies().all(|policy| policy.allows_scope(scope))
    }

    /// Returns whether a token may be created from this preset.
    pub(super) fn allow_preset(&self, preset: &str) -> bool {
        self.policies().all(|policy| policy.allows_preset(preset))
    }

    /// Returns the distinct presets of a token that is requested with neither scopes nor preset.
    pub(super) fn default_presets(&self) -> Vec<&str> {
        let mut presets: Vec<&str> = Vec::new();
        for preset in self
            .policies()
            .filter_map(|policy| policy.default_preset.as_deref())
        {
            if !presets.contains(&preset) {
                presets.push(preset);
            }
        }
        presets
    }

    /// Returns each organization's limit of active tokens of the owner.
    pub(super) fn limits(&self) -> Vec<Limit> {
        let limit = |one: &Arc<Versioned<Organization>>| {
            let most = one.value.policy.max_active_tokens_per_owner?;
            Some(Limit {
                organization: one.value.id,
                most,
            })
        };
        self.0.iter().filter_map(limit).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use uuid::Uuid;

    use super::*;
    use jeton_core::clock::Timestamp;
    use jeton_core::directory::OrganizationId;

    fn bounds(policies: Vec<Policy>) -> Bounds {
        let organization = |(number, policy): (u128, Policy)| {
            let value = Organization {
                id: OrganizationId(Uuid::from_u128(number)),
                name: format!("n{number}").parse().unwrap(),
                email: None,
                notification_url: None,
                policy,
                created_at: Timestamp::EPOCH,
            };
            Arc::new(Versioned {
                value,
                generation: jeton_store::Generation(1),
            })
        };
        Bounds((1..).zip(policies).map(organization).collect())
    }

    fn seconds(seconds: u64) -> Lifetime {
        Lifetime::Limited(Span::from_seconds(seconds).unwrap())
    }

    #[test]
    fn nothing_bounds_what_is_in_no_organization() {
        let none = bounds(Vec::new());
        assert_eq!(none.max_lifetime(), None);
        assert_eq!(none.default_lifetime(seconds(100)), seconds(100));
        assert!(none.allow_preset("any") && none.allow_scope(&"a:b".parse().unwrap()));
        assert_eq!((none.default_presets(), none.limits()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn the_strictest_of_several_decides() {
        let of = |life: Option<u64>, default: Option<u64>, preset: &str, most: Option<u32>| Policy {
            max_lifetime: life,
            default_lifetime: default,
            default_preset: Some(preset.to_owned()),
            max_active_tokens_per_owner: most,
            ..Policy::default()
        };
        let several = bounds(vec![
            of(Some(900), Some(600), "one", Some(9)),
            Policy::default(),
            of(Some(800), Some(700), "two", Some(2)),
            of(None, None, "one", None),
        ]);
        assert_eq!(several.max_lifetime(), Some(800));
        // An organization without a default uses the deployment's.
        for (otherwise, expected) in [
            (Lifetime::Never, seconds(600)),
            (seconds(650), seconds(600)),
            (seconds(100), seconds(100)),
        ] {
            assert_eq!(several.default_lifetime(otherwise), expected, "{otherwise:?}");
        }
        assert_eq!(several.default_presets(), ["one", "two"]);
        let limits: Vec<(u128, u32)> = several
            .limits()
            .iter()
            .map(|limit| (limit.organization.0.as_u128(), limit.most))
            .collect();
        assert_eq!(limits, [(1, 9), (3, 2)], "each in its own organization");
    }
}
