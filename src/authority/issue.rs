//! Issuing a token.

use serde_json::Value;

use crate::authority::claims::claims;
use crate::authority::policy::{self, Rank};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, FieldFault, Result};
use crate::clock::Timestamp;
use crate::directory::{Organization, OrganizationReference, TeamReference};
use crate::keys::{SignedToken, SigningError};
use crate::store::{Judged, RecordOrder, RecordOutcome};
use crate::token::{Lifetime, ManagementScope, NewToken, Owner, OwnerKind, Record, Scope, TokenKind};

/// What keeps a token within the length that verifiers accept, beside the bounds of its scopes and
/// projects: whatever is recorded can also be signed.
const LONGEST_AUDIENCE: usize = 2048;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Issue {
    /// A name for people.
    pub name: String,
    /// A longer text for people.
    pub description: Option<String>,
    /// Where the token is good; `None` is the caller's only organization.
    pub organization: Option<OrganizationReference>,
    /// What kind of thing it acts for.
    pub owner: OwnerKind,
    /// Which team, where it is one.
    pub team: Option<TeamReference>,
    /// The scopes, by name.
    pub scopes: Option<Vec<String>>,
    /// Or a named bundle of them.
    pub preset: Option<String>,
    /// The projects it is restricted to.
    pub projects: Option<Vec<i64>>,
    /// The services it is meant for.
    pub audience: Option<Vec<String>>,
    /// When it ends.
    pub expiry: Expiry,
}

/// When a token is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing was said: the default, shortened to what is allowed.
    Default,
    /// After a time; the field that said so.
    In(&'static str, Lifetime),
    /// At an instant.
    At(Timestamp),
}

/// A token, for the one time that it is shown, and its record.
#[derive(Debug)]
pub struct Issued {
    /// The secret.
    pub token: SignedToken,
    /// Everything else.
    pub record: Record,
}

impl Authority {
    /// Issues a token: it is on disk before it is signed, and signed with the key of its record.
    pub async fn issue(&self, caller: &Caller, issue: &Issue) -> Result<Issued> {
        self.judged(move || {
            Box::pin(async move {
                let now = self.clock.now();
                let view = self.view();
                let place = self.place(&view, caller, issue).await?;
                policy::issue(&place.rank, caller, &place.owner)?;
                let token = self.new_token(caller, issue, &place, now).await?;
                self.record_and_sign(RecordOrder {
                    token,
                    judged_at: view.generation(),
                    most_active: place
                        .organization
                        .and_then(|found| found.policy.max_active_tokens_per_owner),
                })
                .await
            })
        })
        .await
    }

    /// Records a token and signs it. Where a cut-off covers everything issued in this second, waits
    /// for the next one and has it judged again: verifiers would take it for one of those cut off.
    pub(super) async fn record_and_sign(&self, order: RecordOrder) -> Result<Judged<Issued>> {
        let limit = order.most_active.unwrap_or_default();
        match self.store.record(order).await? {
            RecordOutcome::Recorded(recorded) => {
                let record = recorded.into_record();
                let claims = claims(&record, &self.settings);
                let token = match self.keys.sign(&record.token.kid, record.token.kind, &claims) {
                    // Withdrawn since. The record is cut off with all that the key signed, and the
                    // caller gets a token of its successor.
                    Err(SigningError::KeyGone(_)) => return Ok(Judged::Stale),
                    signed => signed?,
                };
                let Record {
                    id, token: issued, ..
                } = &record;
                tracing::debug!(token = %id, kind = ?issued.kind, by = issued.created_by.name, "a token was issued");
                Ok(Judged::Done(Issued {
                    token: token.prefixed(&record.token.prefix),
                    record,
                }))
            }
            RecordOutcome::LimitReached => Err(Error::LimitReached { limit }),
            RecordOutcome::CutOff { issued_through } => {
                self.wait_until_after(issued_through).await?;
                Ok(Judged::Stale)
            }
            RecordOutcome::Stale => Ok(Judged::Stale),
        }
    }

    async fn wait_until_after(&self, second: i64) -> Result<()> {
        let wait = second.saturating_add(1).saturating_mul(1000) - self.clock.now().millis();
        // A cut-off never lies ahead, so a longer wait means that the clock was set back.
        if wait > 2_000 {
            return Err(Error::Busy);
        }
        tokio::time::sleep(std::time::Duration::from_millis(wait.max(0).unsigned_abs())).await;
        Ok(())
    }

    /// Where the token will be good, and what it acts for.
    async fn place(&self, view: &View<'_>, caller: &Caller, issue: &Issue) -> Result<Place> {
        if issue.owner == OwnerKind::Deployment {
            let rank = policy::rank_everywhere(caller);
            return Ok(Place {
                organization: None,
                rank,
                owner: Owner::Deployment,
            });
        }
        let reference = match &issue.organization {
            Some(reference) => reference.clone(),
            None => self.only_organization(caller).await?,
        };
        let (organization, rank) = view.visible(caller, &reference).await?;
        let owner = match (issue.owner, &issue.team) {
            (OwnerKind::Team, Some(team)) => {
                let team = view.team(organization.id, team).await?;
                Owner::Team {
                    team: team.id.clone(),
                    organization: organization.id,
                }
            }
            (OwnerKind::Organization, _) => Owner::Organization(organization.id),
            (OwnerKind::User, _) => match caller.user() {
                Some(user) => Owner::User {
                    user: user.clone(),
                    organization: Some(organization.id),
                },
                // A team's or an organization's token is nobody, and can make nobody's token.
                None => return Err(Error::Forbidden),
            },
            (OwnerKind::Team | OwnerKind::Deployment, _) => return Err(Error::Absent),
        };
        Ok(Place {
            organization: Some(organization),
            rank,
            owner,
        })
    }

    /// The organization that is meant where none is named: the token's own, or the person's only one.
    pub(super) async fn only_organization(&self, caller: &Caller) -> Result<OrganizationReference> {
        if let Some(own) = caller.owner().organization() {
            return Ok(own.into());
        }
        let user = caller.user().ok_or(Error::OrganizationNeeded)?;
        match self.store.memberships(user.clone()).await?.as_slice() {
            [only] => Ok(only.organization.into()),
            _ => Err(Error::OrganizationNeeded),
        }
    }

    async fn new_token(
        &self,
        caller: &Caller,
        issue: &Issue,
        place: &Place,
        now: Timestamp,
    ) -> Result<NewToken> {
        let mut faults = Vec::new();
        let scopes = self.scopes(caller, issue, place, &mut faults);
        let projects = self.projects_within(caller, issue, place, &mut faults).await?;
        let audience = self.audience(issue, &scopes, &mut faults);
        let expires_at = self.expires_at(caller, issue, place, now, &mut faults);
        if audience.iter().map(String::len).sum::<usize>() > LONGEST_AUDIENCE {
            let message = format!("all audiences together have at most {LONGEST_AUDIENCE} bytes");
            faults.push(FieldFault::new("audience", audience.clone(), message));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        Ok(NewToken {
            jti: self.entropy.uuid_v7(now),
            kind: TokenKind::Api,
            name: issue.name.clone(),
            description: issue.description.clone(),
            owner: place.owner.clone(),
            scopes,
            preset: issue.preset.clone(),
            projects,
            audience,
            prefix: self.settings.prefix.clone(),
            kid: self.keys.signing_kid()?,
            created_at: now,
            created_by: caller.actor(),
            expires_at,
        })
    }

    fn scopes(
        &self,
        caller: &Caller,
        issue: &Issue,
        place: &Place,
        faults: &mut Vec<FieldFault>,
    ) -> Vec<Scope> {
        let catalogue = &self.settings.catalogue;
        let wanted: Vec<Scope> = match (&issue.scopes, &issue.preset) {
            (Some(_), Some(preset)) => {
                faults.push(FieldFault::new(
                    "preset",
                    preset.clone(),
                    "give scopes or a preset, not both",
                ));
                return Vec::new();
            }
            (None, Some(name)) => match catalogue.preset(name) {
                Some(preset) => preset.scopes().to_vec(),
                None => {
                    faults.push(FieldFault::new("preset", name.clone(), "there is no such preset"));
                    return Vec::new();
                }
            },
            (Some(names), None) => known_scopes(catalogue.scopes(), names, faults),
            (None, None) => {
                let grantable = |scope: &&Scope| caller.may_grant(scope.as_str());
                catalogue
                    .grantable_by_default()
                    .filter(grantable)
                    .cloned()
                    .collect()
            }
        };
        for (index, scope) in wanted.iter().enumerate() {
            if let Some(message) = ungrantable(scope, caller, place) {
                faults.push(FieldFault::element("scopes", index, scope.as_str(), message));
            }
        }
        // In the catalogue's order, each once, so that equal rights make equal tokens.
        catalogue
            .scopes()
            .iter()
            .filter(|scope| wanted.contains(scope))
            .cloned()
            .collect()
    }

    async fn projects_within(
        &self,
        caller: &Caller,
        issue: &Issue,
        place: &Place,
        faults: &mut Vec<FieldFault>,
    ) -> Result<Option<Vec<u32>>> {
        let own = caller.record().token.projects.clone();
        let Some(wanted) = &issue.projects else {
            return Ok(own);
        };
        let Some(organization) = &place.organization else {
            faults.push(FieldFault::new(
                "projects",
                wanted.clone(),
                "a token of the deployment has no projects",
            ));
            return Ok(None);
        };
        if wanted.is_empty() {
            let message = "name at least one project, or leave the field out for all of them";
            faults.push(FieldFault::new("projects", Value::Array(Vec::new()), message));
            return Ok(None);
        }
        let numbers = wanted.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        let mut existing = self.store.existing_projects(organization.id, numbers).await?;
        existing.retain(|id| own.as_ref().is_none_or(|own| own.contains(id)));
        for (index, id) in wanted.iter().enumerate() {
            if !existing.iter().any(|known| i64::from(*known) == *id) {
                faults.push(FieldFault::element(
                    "projects",
                    index,
                    *id,
                    "there is no such project",
                ));
            }
        }
        Ok(Some(existing))
    }

    fn audience(&self, issue: &Issue, scopes: &[Scope], faults: &mut Vec<FieldFault>) -> Vec<String> {
        let mut audience = issue.audience.clone().unwrap_or_default();
        let reserved = self.settings.session_audience();
        for (index, one) in audience.iter().enumerate() {
            if *one == reserved {
                faults.push(FieldFault::element(
                    "audience",
                    index,
                    one.clone(),
                    "this audience is that of sessions",
                ));
            }
        }
        if audience.is_empty() {
            audience.push(self.settings.default_audience.clone());
        }
        // A management scope is for the authority itself, which accepts only what names it.
        let for_us = scopes.iter().any(|scope| scope.management().is_some());
        if for_us && !audience.contains(&self.settings.issuer) {
            audience.push(self.settings.issuer.clone());
        }
        let mut seen = Vec::new();
        audience.retain(|one| {
            !seen.contains(one) && {
                seen.push(one.clone());
                true
            }
        });
        audience
    }

    fn expires_at(
        &self,
        caller: &Caller,
        issue: &Issue,
        place: &Place,
        now: Timestamp,
        faults: &mut Vec<FieldFault>,
    ) -> Option<Timestamp> {
        let longest = place
            .organization
            .as_ref()
            .and_then(|found| found.policy.max_lifetime);
        let by_policy = longest.map(|seconds| now.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
        // A session bounds what may be done, not for how long; an API token bounds both.
        let by_caller = match caller.record().token.kind {
            TokenKind::Session => None,
            TokenKind::Api => caller.record().token.expires_at,
        };
        let after = |lifetime| match lifetime {
            Lifetime::Never => None,
            Lifetime::Limited(span) => {
                Some(now.plus_seconds(i64::try_from(span.seconds()).unwrap_or(i64::MAX)))
            }
        };
        let (field, wanted) = match issue.expiry {
            Expiry::Default => {
                let default = after(self.settings.default_lifetime);
                return [default, by_policy, by_caller].into_iter().flatten().min();
            }
            Expiry::In(field, lifetime) => (field, after(lifetime)),
            Expiry::At(instant) => ("expires_at", Some(instant)),
        };
        let input = wanted.map_or(Value::from("never"), |end| end.to_string().into());
        let beyond =
            |limit: Option<Timestamp>| limit.is_some_and(|limit| wanted.is_none_or(|end| end > limit));
        if wanted.is_some_and(|end| end.seconds() <= now.seconds()) {
            faults.push(FieldFault::new(field, input, "this instant has passed"));
        } else if beyond(by_policy) {
            let message = format!(
                "the organization's tokens live at most {} seconds",
                longest.unwrap_or_default()
            );
            faults.push(FieldFault::new(field, input, message));
        } else if beyond(by_caller) {
            faults.push(FieldFault::new(
                field,
                input,
                "a token cannot make one that outlives it",
            ));
        }
        wanted
    }
}

/// Where a token will be good, and what it acts for.
struct Place {
    organization: Option<std::sync::Arc<Organization>>,
    rank: Rank,
    owner: Owner,
}

fn known_scopes(catalogue: &[Scope], names: &[String], faults: &mut Vec<FieldFault>) -> Vec<Scope> {
    let mut known = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match catalogue.iter().find(|scope| scope.as_str() == name) {
            Some(scope) => known.push(scope.clone()),
            None => faults.push(FieldFault::element(
                "scopes",
                index,
                name.clone(),
                "there is no such scope",
            )),
        }
    }
    known
}

fn ungrantable(scope: &Scope, caller: &Caller, place: &Place) -> Option<&'static str> {
    let deployment_only = scope
        .management()
        .is_some_and(ManagementScope::is_deployment_only);
    if !caller.may_grant(scope.as_str()) {
        Some("a token cannot grant a scope that it does not hold")
    } else if deployment_only && place.owner != Owner::Deployment {
        Some("only a token of the deployment can hold this scope")
    } else {
        None
    }
}
