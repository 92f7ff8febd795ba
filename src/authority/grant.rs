//! Which scopes a new token gets.

use crate::authority::issue::{Issue, Place};
use crate::authority::{Authority, Caller, FieldFault};
use crate::directory::Policy;
use crate::token::{ManagementScope, Owner, Scope};

/// The scopes of a new token, and the preset that they are.
pub(super) struct Granted {
    pub(super) scopes: Vec<Scope>,
    pub(super) preset: Option<String>,
}

impl Authority {
    /// What was asked for, where all of it may be granted. Where nothing was asked for, what may be
    /// granted of the organization's default preset, or of everything that is not for the authority.
    pub(super) fn granted(
        &self,
        caller: &Caller,
        issue: &Issue,
        place: &Place,
        faults: &mut Vec<FieldFault>,
    ) -> Granted {
        let policy = place.organization.as_ref().map(|found| &found.policy);
        let default = policy.and_then(|policy| policy.default_preset.as_ref());
        let may_have = |scope: &Scope| refusal(scope, caller, place, policy).is_none();
        let (mut scopes, mut preset) = match (&issue.scopes, &issue.preset) {
            (Some(names), None) => (self.known_scopes(names, faults), None),
            (None, Some(name)) => (self.scopes_of(name, policy, faults), Some(name.clone())),
            (None, None) => (self.default_scopes(default, policy, faults), default.cloned()),
            // Both, as long as they say the same.
            (Some(names), Some(name)) => {
                let scopes = self.scopes_of(name, policy, faults);
                let is_named = |scope: &Scope| names.iter().any(|name| name == scope.as_str());
                let is_known = |name: &String| scopes.iter().any(|scope| scope.as_str() == name);
                if faults.is_empty() && !(scopes.iter().all(is_named) && names.iter().all(is_known)) {
                    let message = "the scopes are not those of the preset; give one of the two";
                    faults.push(FieldFault::new("scopes", names.clone(), message));
                }
                (scopes, Some(name.clone()))
            }
        };
        if issue.scopes.is_none() && issue.preset.is_none() {
            let whole = scopes.len();
            scopes.retain(may_have);
            // A part of a preset is not the preset.
            preset = preset.filter(|_| scopes.len() == whole);
        }
        for (index, scope) in scopes.iter().enumerate() {
            if let Some(message) = refusal(scope, caller, place, policy) {
                faults.push(FieldFault::element("scopes", index, scope.as_str(), message));
            }
        }
        // In the catalogue's order, each once, so that equal rights make equal tokens.
        let catalogue = self.settings.catalogue.scopes().iter();
        Granted {
            scopes: catalogue
                .filter(|scope| scopes.contains(scope))
                .cloned()
                .collect(),
            preset,
        }
    }

    fn default_scopes(
        &self,
        preset: Option<&String>,
        policy: Option<&Policy>,
        faults: &mut Vec<FieldFault>,
    ) -> Vec<Scope> {
        match preset {
            Some(name) => self.scopes_of(name, policy, faults),
            None => self.settings.catalogue.grantable_by_default().cloned().collect(),
        }
    }

    fn known_scopes(&self, names: &[String], faults: &mut Vec<FieldFault>) -> Vec<Scope> {
        let catalogue = self.settings.catalogue.scopes();
        let mut known = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match catalogue.iter().find(|scope| scope.as_str() == name) {
                Some(scope) => known.push(scope.clone()),
                None => {
                    let message = "there is no such scope";
                    faults.push(FieldFault::element("scopes", index, name.clone(), message));
                }
            }
        }
        known
    }

    fn scopes_of(&self, preset: &str, policy: Option<&Policy>, faults: &mut Vec<FieldFault>) -> Vec<Scope> {
        let message = match self.settings.catalogue.preset(preset) {
            None => "there is no such preset",
            Some(_) if policy.is_some_and(|policy| !policy.allows_preset(preset)) => {
                "the organization does not allow this preset"
            }
            Some(found) => return found.scopes().to_vec(),
        };
        faults.push(FieldFault::new("preset", preset, message));
        Vec::new()
    }
}

/// Why a scope cannot be granted.
fn refusal(scope: &Scope, caller: &Caller, place: &Place, policy: Option<&Policy>) -> Option<&'static str> {
    let deployment_only = scope
        .management()
        .is_some_and(ManagementScope::is_deployment_only);
    if !caller.may_grant(scope.as_str()) {
        Some("a token cannot grant a scope that it does not hold")
    } else if deployment_only && place.owner != Owner::Deployment {
        Some("only a token of the deployment can hold this scope")
    } else if policy.is_some_and(|policy| !policy.allows_scope(scope)) {
        Some("the organization does not allow this scope")
    } else {
        None
    }
}
