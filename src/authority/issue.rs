//! Issues a token: evaluates the request, signs the token and records it.

use std::time::Duration;

use crate::authority::bounds::Bounds;
use crate::authority::claims::claims;
use crate::authority::expiry::{Expiry, expires_at};
use crate::authority::grant::{Granted, RequestedScopes};
use crate::authority::policy::{self, Rank};
use crate::authority::retry::{Attempt, refusal};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, FieldFault, Result};
use crate::keys::{SignedToken, SigningError};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::text::{Line, Prose};
use jeton_core::token::{
    Lifetime, NewToken, Owner, OwnerKind, Record, Scope, Slot, TokenKind, TokenReference,
};
use jeton_store::rules::tokens::{self, Demands, Former, NameTaken, Naming, Replaces};
use jeton_store::{Cause, Guard, Refused};

/// The longest audience, in bytes. With the bounds of scopes and projects it keeps a token within the length
/// that verifiers accept.
const LONGEST_AUDIENCE: usize = 2048;

/// The longest name and description of a token, in characters, whichever API it comes through.
const LONGEST_NAME: usize = 255;
const LONGEST_DESCRIPTION: usize = 2_000;

/// The longest wait for the second after a cut-off.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A request for a token.
#[derive(Debug, Clone)]
pub struct Issue {
    /// The name.
    pub name: Line,
    /// The description.
    pub description: Option<Prose>,
    /// The organizations in which the token is valid.
    pub organization: WhichOrganization,
    /// The kind of owner.
    pub owner: OwnerKind,
    /// The team, if the owner is one.
    pub team: Option<TeamReference>,
    /// The names of the scopes.
    pub scopes: Option<Vec<String>>,
    /// A preset, instead of scopes.
    pub preset: Option<String>,
    /// The projects to which it is restricted.
    pub projects: Option<Vec<i64>>,
    /// The audiences.
    pub audience: Option<Vec<String>>,
    /// When it ends.
    pub expiry: Expiry,
    /// Whether no other active token of the owner may have the name.
    pub unique_name: bool,
    /// The slot of the owner to issue into; the token in it is revoked.
    pub slot: Option<Slot>,
}

/// The organizations in which a token is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WhichOrganization {
    /// The caller's only organization.
    #[default]
    Only,
    /// This organization.
    Named(OrganizationReference),
    /// All organizations of the user, as of each use. Only a user may create such a token, for themselves, with
    /// a session or another such token. The policies of all organizations the user belongs to at its creation
    /// apply.
    All,
}

impl From<Option<OrganizationReference>> for WhichOrganization {
    fn from(named: Option<OrganizationReference>) -> Self {
        named.map_or(Self::Only, Self::Named)
    }
}

/// A new token, which is shown once, and its record.
#[derive(Debug)]
pub struct Issued {
    /// The secret.
    pub token: SignedToken,
    /// The record.
    pub record: Record,
}

impl Authority {
    /// Issues a token. Its record, which names the signing key, is durable before the token is returned.
    pub async fn issue(&self, caller: &Caller, issue: &Issue) -> Result<Issued> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let now = self.clock.now();
                let target = self.target(&view, caller, issue).await?;
                policy::issue(&target.rank, caller, &target.owner)?;
                self.allow_token(&target.owner, now).await?;
                let token = self.new_token(caller, issue, &target, now).await?;
                let replaces = match &token.slot {
                    Some(slot) => Replaces::InSlot(self.in_slot(&token.owner, slot, now).await?),
                    None => Replaces::Nothing,
                };
                let naming = if issue.unique_name {
                    let (owner, name) = (token.owner.clone(), token.name.clone());
                    Naming::Unique(self.store.name_use(owner, name, now).await?)
                } else {
                    Naming::Free
                };
                let demands = Demands {
                    limits: target.bounds.limits(),
                    naming,
                    replaces,
                };
                self.sign_and_record(&view, caller.cause(now), token, demands)
                    .await
            })
        })
        .await
    }

    /// Signs a token, records it, and returns it once the record is durable. It signs first: a key that cannot
    /// sign must not leave a record that already revoked the token it replaces.
    ///
    /// If a cut-off covers the current second, waits for the next one and has the request evaluated again:
    /// verifiers would take the token for revoked.
    pub(super) async fn sign_and_record(
        &self,
        view: &View<'_>,
        cause: Cause,
        token: NewToken,
        demands: Demands,
    ) -> Result<Attempt<Issued>> {
        self.check_clock()?;
        let list_index = self.store.reserve(&token).await?;
        let claims = claims(&token, list_index.list_index(), &self.issuer);
        let sealed = match self.keys.sign(&token.kid, token.kind, &claims) {
            Err(SigningError::KeyGone(_)) => return Ok(Attempt::Stale),
            sealed => sealed?,
        };
        let covered = self.index.cut_off_through(&token);
        let kind = token.owner.kind();
        let is_rotation = matches!(demands.replaces, Replaces::Rotated(..));
        let order = tokens::record(cause.clone(), token, list_index, demands)
            .map_err(|NameTaken(_)| Error::NameTaken)?;
        // All other effects revoke what the token replaces.
        let replaced = order.effects.len().saturating_sub(1) as u64;
        let recorded = match self.write(view.guard(order)).await? {
            Ok(committed) => committed.recorded.ok_or(Error::Busy)?,
            Err(Refused(Guard::UnderLimit { owners, most, ended })) => {
                let may_have = u64::from(most) + u64::from(ended);
                return match self.recount(view, cause, &owners).await? {
                    Attempt::Done(active) if active >= may_have => Err(Error::LimitReached {
                        owner: kind,
                        limit: most,
                    }),
                    Attempt::Done(_) | Attempt::Again => Ok(Attempt::Again),
                    Attempt::Stale => Ok(Attempt::Stale),
                };
            }
            Err(Refused(Guard::NameUnusedSince { .. })) => return Ok(Attempt::Again),
            // The token in the slot has ended since it was read.
            Err(Refused(Guard::Standing(..))) if !is_rotation => return Ok(Attempt::Stale),
            Err(Refused(Guard::AfterCutOffs)) => {
                self.wait_until_after(covered).await?;
                return Ok(Attempt::Stale);
            }
            Err(Refused(guard)) => return refusal(guard).map_or(Ok(Attempt::Stale), Err),
        };
        let (token, record) = sealed.release(recorded);
        self.metrics.issued(record.token.kind, kind);
        if replaced > 0 {
            let counter = if is_rotation {
                &self.metrics.by_rotation
            } else {
                &self.metrics.by_slot
            };
            counter.inc_by(replaced);
        }
        let Record {
            id, token: issued, ..
        } = &record;
        tracing::debug!(token = %id, session = issued.kind == TokenKind::Session, by = issued.created_by.name, "token created");
        Ok(Attempt::Done(Issued {
            token: token.prefixed(&record.token.prefix),
            record,
        }))
    }

    /// Returns the token in a slot and its predecessor.
    async fn in_slot(&self, owner: &Owner, slot: &Slot, now: Timestamp) -> Result<Option<Former>> {
        match self.store.token_in_slot(owner.clone(), slot.clone()).await? {
            Some(record) => Ok(Some(self.former(record, now).await?)),
            None => Ok(None),
        }
    }

    /// Returns a token to replace, with its own predecessor, which is revoked too.
    pub(super) async fn former(&self, record: Record, now: Timestamp) -> Result<Former> {
        Ok(Former {
            before: match record.lineage.rotated_from {
                Some(before) => self.store.token(TokenReference::Id(before)).await?,
                None => None,
            },
            counts: self.store.is_standing(record.id, now).await?,
            record,
        })
    }

    /// Waits for the second after a cut-off. A cut-off unknown to this process is taken to cover the current
    /// second.
    async fn wait_until_after(&self, covered: Option<i64>) -> Result<()> {
        let now = self.clock.now();
        let second = covered.unwrap_or_else(|| now.seconds());
        let wait = second.saturating_add(1).saturating_mul(1000) - now.millis();
        let wait = Duration::from_millis(wait.max(0).unsigned_abs());
        // A cut-off covers no future seconds: a longer wait means that its order had another clock.
        if wait > LONGEST_WAIT {
            return Err(Error::ClockBehind(wait));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Returns the owner and the organizations of the new token.
    async fn target(&self, view: &View<'_>, caller: &Caller, issue: &Issue) -> Result<Target> {
        if issue.owner == OwnerKind::Deployment {
            return self.target_everywhere(view, caller, Owner::Deployment).await;
        }
        let reference = match &issue.organization {
            WhichOrganization::Named(reference) => reference.clone(),
            WhichOrganization::Only => self.only_organization(caller).await?,
            WhichOrganization::All => match (issue.owner, caller.user()) {
                (OwnerKind::User, Some(user)) => {
                    let owner = Owner::User {
                        user: user.clone(),
                        organization: None,
                    };
                    return self.target_everywhere(view, caller, owner).await;
                }
                (OwnerKind::User, None) => return Err(Error::Forbidden),
                _ => return Err(Error::OrganizationNeeded),
            },
        };
        let (organization, rank) = view.visible(caller, &reference).await?;
        let organization = organization.value.id;
        let owner = match (issue.owner, &issue.team) {
            (OwnerKind::Team, Some(team)) => {
                let team = view.team(organization, team).await?;
                Owner::Team {
                    team: team.id.clone(),
                    organization,
                }
            }
            (OwnerKind::Organization, _) => Owner::Organization(organization),
            (OwnerKind::User, _) => match caller.user() {
                Some(user) => Owner::User {
                    user: user.clone(),
                    organization: Some(organization),
                },
                // A token of a team or an organization acts for no user, so it cannot create a user's token.
                None => return Err(Error::Forbidden),
            },
            (OwnerKind::Team | OwnerKind::Deployment, _) => return Err(Error::Absent),
        };
        Ok(Target {
            bounds: self.bounds(view, &owner).await?,
            rank,
            owner,
        })
    }

    /// Returns the [`Target`] of a token that is not confined to an organization.
    async fn target_everywhere(&self, view: &View<'_>, caller: &Caller, owner: Owner) -> Result<Target> {
        Ok(Target {
            bounds: self.bounds(view, &owner).await?,
            rank: view.rank_of(caller, &owner).await?,
            owner,
        })
    }

    /// Returns the organization to use if the request names none: the token's own, or the user's only one.
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
        target: &Target,
        now: Timestamp,
    ) -> Result<NewToken> {
        let mut faults = Vec::new();
        let description = issue.description.as_ref().map_or("", AsRef::as_ref);
        for (field, text, most) in [
            ("name", issue.name.as_ref(), LONGEST_NAME),
            ("description", description, LONGEST_DESCRIPTION),
        ] {
            if text.chars().count() > most {
                let message = format!("`{field}` must have at most {most} characters");
                faults.push(FieldFault::new(field, message));
            }
        }
        let requested = RequestedScopes {
            scopes: issue.scopes.as_deref(),
            preset: issue.preset.as_deref(),
        };
        let Granted { scopes, preset } =
            self.granted(caller, requested, &target.owner, &target.bounds, &mut faults);
        let projects = self.projects_within(caller, issue, target, &mut faults).await?;
        let audience = self.audience(caller, issue, &scopes, &mut faults);
        let otherwise = match issue.expiry {
            Expiry::Open => Lifetime::Never,
            Expiry::Default | Expiry::In(..) | Expiry::At(_) => self.settings().default_lifetime,
        };
        let default = target.bounds.default_lifetime(otherwise);
        let expires_at = expires_at(caller, issue.expiry, default, &target.bounds, now, &mut faults);
        if audience.iter().map(String::len).sum::<usize>() > LONGEST_AUDIENCE {
            let message = format!("all audiences together must have at most {LONGEST_AUDIENCE} bytes");
            faults.push(FieldFault::new("audience", message));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        Ok(NewToken {
            jti: self.entropy.uuid_v7(now),
            kind: TokenKind::Api,
            name: issue.name.clone().into(),
            description: issue.description.clone().map(Into::into),
            owner: target.owner.clone(),
            slot: issue.slot.clone(),
            scopes,
            preset,
            projects,
            audience,
            prefix: self.settings().prefix.clone(),
            kid: self.keys.signing_kid()?,
            created_at: now,
            created_by: caller.actor(),
            created_by_token: caller.api_token(),
            expires_at,
        })
    }

    async fn projects_within(
        &self,
        caller: &Caller,
        issue: &Issue,
        target: &Target,
        faults: &mut Vec<FieldFault>,
    ) -> Result<Option<Vec<u32>>> {
        let own = caller.token().projects().map(<[u32]>::to_vec);
        let Some(wanted) = &issue.projects else {
            return Ok(own);
        };
        let Some(organization) = target.owner.organization() else {
            faults.push(FieldFault::new(
                "projects",
                "`projects` needs a token of one organization; this token would be valid in several",
            ));
            return Ok(None);
        };
        if wanted.is_empty() {
            let message = "`projects` must name at least one project; omit it for all projects";
            faults.push(FieldFault::new("projects", message));
            return Ok(None);
        }
        let numbers = wanted.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        let existing = self.store.existing_projects(organization, numbers).await?;
        let mut existing: Vec<u32> = existing.iter().map(|project| project.id).collect();
        existing.retain(|id| own.as_ref().is_none_or(|own| own.contains(id)));
        for (index, id) in wanted.iter().enumerate() {
            if !existing.iter().any(|known| i64::from(*known) == *id) {
                faults.push(FieldFault::element(
                    "projects",
                    index,
                    "no such project in the organization, or the token of the request has no access to it",
                ));
            }
        }
        Ok(Some(existing))
    }

    /// Returns the audience. A token gives no other audience than its own.
    fn audience(
        &self,
        caller: &Caller,
        issue: &Issue,
        scopes: &[Scope],
        faults: &mut Vec<FieldFault>,
    ) -> Vec<String> {
        let mut audience = issue.audience.clone().unwrap_or_default();
        let reserved = super::session_audience(&self.issuer);
        for (index, one) in audience.iter().enumerate() {
            if *one == reserved {
                faults.push(FieldFault::element(
                    "audience",
                    index,
                    "this audience is reserved for sessions",
                ));
            }
        }
        for (index, one) in audience.iter().enumerate() {
            if *one != reserved && !caller.is_for(one) {
                let message = "the token of the request is not for this audience";
                faults.push(FieldFault::element("audience", index, message));
            }
        }
        if audience.is_empty() {
            let default = &self.settings().default_audience;
            if caller.is_for(default) {
                audience.push(default.clone());
            } else {
                audience.extend_from_slice(caller.token().audience());
            }
        }
        // The authority accepts a management scope only in a token that has the issuer as its audience.
        let for_us = scopes.iter().any(|scope| scope.management().is_some());
        if for_us && !audience.contains(&self.issuer) {
            audience.push(self.issuer.clone());
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
}

/// The owner of a new token and the organizations in which it is valid.
pub(super) struct Target {
    pub(super) bounds: Bounds,
    rank: Rank,
    pub(super) owner: Owner,
}
