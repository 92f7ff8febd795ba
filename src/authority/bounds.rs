//! What organizations allow the tokens that are good in them.

use std::sync::Arc;

use crate::authority::view::View;
use crate::authority::{Authority, Result};
use crate::directory::{Organization, UserId};
use crate::store::{Limit, OrganizationsOf, slices};
use crate::token::{Lifetime, Owner, Scope, Span};

/// The policies of all organizations in which a token is to be good. The strictest decides, so that a
/// token that is good in several is a way around none.
#[derive(Debug, Default)]
pub(super) struct Bounds(Vec<Arc<Organization>>);

impl Authority {
    /// What bounds the tokens of an owner: its organization, or all of the person's. A site
    /// administrator's own, too: what they may do elsewhere, no policy gave them.
    pub(super) async fn bounds(&self, view: &View<'_>, owner: &Owner) -> Result<Bounds> {
        Ok(Bounds(match (owner.organization(), owner.user()) {
            (Some(id), _) => view.organization(&id.into()).await?.into_iter().collect(),
            (None, Some(user)) => self.organizations_of(user).await?,
            (None, None) => Vec::new(),
        }))
    }

    async fn organizations_of(&self, user: &UserId) -> Result<Vec<Arc<Organization>>> {
        let of = OrganizationsOf::Person(user.clone());
        let part = |slice| self.store.organizations(of.clone(), slice);
        let all = slices(part, |one: &Organization| one.name.canonical()).await?;
        Ok(all.into_iter().map(Arc::new).collect())
    }
}

impl Bounds {
    /// The longest life, in seconds.
    pub(super) fn max_lifetime(&self) -> Option<u64> {
        self.0.iter().filter_map(|one| one.policy.max_lifetime).min()
    }

    /// The life of a token that is given none, where the deployment's is `otherwise`.
    pub(super) fn default_lifetime(&self, otherwise: Lifetime) -> Lifetime {
        let own = |organization: &Arc<Organization>| {
            let seconds = organization.policy.default_lifetime;
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
        self.0.iter().map(own).reduce(shorter).unwrap_or(otherwise)
    }

    /// Whether a token may have this scope.
    pub(super) fn allow_scope(&self, scope: &Scope) -> bool {
        self.0.iter().all(|one| one.policy.allows_scope(scope))
    }

    /// Whether a token may be made from this preset.
    pub(super) fn allow_preset(&self, preset: &str) -> bool {
        self.0.iter().all(|one| one.policy.allows_preset(preset))
    }

    /// The presets of tokens that are given neither scopes nor preset, each once.
    pub(super) fn default_presets(&self) -> Vec<&str> {
        let mut presets: Vec<&str> = Vec::new();
        for preset in self
            .0
            .iter()
            .filter_map(|one| one.policy.default_preset.as_deref())
        {
            if !presets.contains(&preset) {
                presets.push(preset);
            }
        }
        presets
    }

    /// How many active tokens the owner may have.
    pub(super) fn limits(&self) -> Vec<Limit> {
        let limit = |one: &Arc<Organization>| {
            let most = one.policy.max_active_tokens_per_owner?;
            Some(Limit {
                organization: one.id,
                most,
            })
        };
        self.0.iter().filter_map(limit).collect()
    }
}
