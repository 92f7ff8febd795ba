//! The scopes of a new token.

use crate::authority::bounds::Bounds;
use crate::authority::{Authority, Caller, FieldFault};
use jeton_core::token::{Catalogue, Owner, Scope};

/// The scopes that a request names: one by one, by a preset, or both.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestedScopes<'a> {
    pub(super) scopes: Option<&'a [String]>,
    pub(super) preset: Option<&'a str>,
}

/// The scopes of a new token, and the preset that they equal.
pub(super) struct Granted {
    pub(super) scopes: Vec<Scope>,
    pub(super) preset: Option<String>,
}

impl Authority {
    /// Returns the requested scopes, and adds a fault for each one that the caller may not grant.
    ///
    /// If the request names none, returns the scopes that the caller may grant out of the organization's
    /// default preset, or else out of all scopes that are not for the authority's own API.
    pub(super) fn granted(
        &self,
        caller: &Caller,
        requested: RequestedScopes<'_>,
        owner: &Owner,
        bounds: &Bounds,
        faults: &mut Vec<FieldFault>,
    ) -> Granted {
        let refusal = |scope: &Scope| refusal(scope, caller, owner, bounds);
        let catalogue = &self.settings().catalogue;
        let (mut scopes, mut preset) = match (requested.scopes, requested.preset) {
            (Some(names), None) => (known_scopes(catalogue, names, faults), None),
            (None, Some(name)) => (
                allowed_preset(catalogue, name, bounds, faults),
                Some(name.to_owned()),
            ),
            (None, None) => default_scopes(catalogue, bounds, faults),
            // QuantCDN's own sample sends both; they must name the same scopes.
            (Some(names), Some(name)) => {
                let scopes = allowed_preset(catalogue, name, bounds, faults);
                let is_named = |scope: &Scope| names.iter().any(|name| name == scope.as_str());
                let is_known = |name: &String| scopes.iter().any(|scope| scope.as_str() == name);
                if faults.is_empty() && !(scopes.iter().all(is_named) && names.iter().all(is_known)) {
                    let message = "the scopes differ from those of the preset; give one of the two fields";
                    faults.push(FieldFault::new("scopes", message));
                }
                (scopes, Some(name.to_owned()))
            }
        };
        if requested.scopes.is_none() && requested.preset.is_none() {
            let whole = scopes.len();
            scopes.retain(|scope| refusal(scope).is_none());
            // The record names a preset only if the token has all of its scopes.
            preset = preset.filter(|_| scopes.len() == whole);
        }
        for (index, scope) in scopes.iter().enumerate() {
            if let Some(message) = refusal(scope) {
                faults.push(match requested.scopes {
                    Some(_) => FieldFault::element("scopes", index, message),
                    None => FieldFault::new("preset", format!("{scope}: {message}")),
                });
            }
        }
        // In the catalogue's order, without duplicates, so that equal rights give equal claims.
        Granted {
            scopes: catalogue
                .scopes()
                .iter()
                .filter(|scope| scopes.contains(scope))
                .cloned()
                .collect(),
            preset,
        }
    }
}

/// Returns the scopes that all default presets have in common, and the preset if there is only one.
fn default_scopes(
    catalogue: &Catalogue,
    bounds: &Bounds,
    faults: &mut Vec<FieldFault>,
) -> (Vec<Scope>, Option<String>) {
    let presets = bounds.default_presets();
    let (first, others) = match presets.split_first() {
        Some((first, others)) => (*first, others),
        None => {
            let every = catalogue.grantable_by_default();
            return (every.cloned().collect(), None);
        }
    };
    let mut scopes = scopes_of(catalogue, first, faults);
    for other in others {
        let those = scopes_of(catalogue, other, faults);
        scopes.retain(|scope| those.contains(scope));
    }
    let is_one = others.is_empty() && bounds.allow_preset(first);
    (scopes, is_one.then(|| first.to_owned()))
}

fn known_scopes(catalogue: &Catalogue, names: &[String], faults: &mut Vec<FieldFault>) -> Vec<Scope> {
    let mut known = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match catalogue.scopes().iter().find(|scope| scope.as_str() == name) {
            Some(scope) => known.push(scope.clone()),
            None => {
                let message = "unknown scope; `GET /api/v1/scopes` lists all scopes";
                faults.push(FieldFault::element("scopes", index, message));
            }
        }
    }
    known
}

fn allowed_preset(
    catalogue: &Catalogue,
    preset: &str,
    bounds: &Bounds,
    faults: &mut Vec<FieldFault>,
) -> Vec<Scope> {
    if catalogue.preset(preset).is_some() && !bounds.allow_preset(preset) {
        let message = "the organization's policy does not allow this preset";
        faults.push(FieldFault::new("preset", message));
        return Vec::new();
    }
    scopes_of(catalogue, preset, faults)
}

fn scopes_of(catalogue: &Catalogue, preset: &str, faults: &mut Vec<FieldFault>) -> Vec<Scope> {
    match catalogue.preset(preset) {
        Some(found) => found.scopes().to_vec(),
        None => {
            faults.push(FieldFault::new(
                "preset",
                "unknown preset; `GET /api/v1/scopes` lists all presets",
            ));
            Vec::new()
        }
    }
}

/// Returns why a scope cannot be granted, or `None` if it can.
fn refusal(scope: &Scope, caller: &Caller, owner: &Owner, bounds: &Bounds) -> Option<&'static str> {
    if !caller.may_grant(scope.as_str()) {
        Some("the token of the request does not have this scope, so it cannot grant it")
    } else if scope.is_deployment_only() && *owner != Owner::Deployment {
        Some("this scope can be granted only to tokens of the deployment")
    } else if !bounds.allow_scope(scope) {
        Some("the organization's policy does not allow this scope")
    } else {
        None
    }
}
