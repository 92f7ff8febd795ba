//! Issuing a token.

use serde_json::Value;

use crate::authority::bounds::Bounds;
use crate::authority::claims::claims;
use crate::authority::expiry::{Expiry, expires_at};
use crate::authority::grant::{Granted, RequestedScopes};
use crate::authority::policy::{self, Rank};
use crate::authority::retry::{Judged, refusal};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, FieldFault, Result};
use crate::keys::{SignedToken, SigningError};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::{
    Lifetime, NewToken, Owner, OwnerKind, Record, Scope, Slot, TokenKind, TokenReference,
};
use jeton_store::rules::tokens::{self, Demands, Former, Naming, Replaces};
use jeton_store::{Cause, Guard, Refused};

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
    /// Where the token is good.
    pub organization: WhichOrganization,
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
    /// What is asked of its name, beside what the request demands of it.
    pub naming: Naming,
    /// The place among its owner's tokens that it takes alone; what was there ends.
    pub slot: Option<Slot>,
}

/// The organization, or organizations, in which a token is good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WhichOrganization {
    /// The caller's own, where they have only one.
    #[default]
    Only,
    /// This one.
    Named(OrganizationReference),
    /// All of the person's for whom it acts, at the time of use. Only a person makes such a token, for
    /// themselves, with a session or with another such token. The policies of all organizations that
    /// they belong to when it is made bound it, the strictest each time.
    All,
}

impl From<Option<OrganizationReference>> for WhichOrganization {
    fn from(named: Option<OrganizationReference>) -> Self {
        named.map_or(Self::Only, Self::Named)
    }
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
    /// Issues a token: it is signed with the key of its record, which is on disk before anybody has it.
    pub async fn issue(&self, caller: &Caller, issue: &Issue) -> Result<Issued> {
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let now = self.clock.now();
                let place = self.place(&view, caller, issue).await?;
                policy::issue(&place.rank, caller, &place.owner)?;
                let token = self.new_token(caller, issue, &place, now).await?;
                let replaces = match &token.slot {
                    Some(slot) => Replaces::InSlot(self.in_slot(&token.owner, slot, now).await?),
                    None => Replaces::Nothing,
                };
                let demands = Demands {
                    limits: place.bounds.limits(),
                    naming: issue.naming,
                    replaces,
                };
                self.sign_and_record(&view, caller.cause(now), token, demands)
                    .await
            })
        })
        .await
    }

    /// Signs a token and records it, and hands it out once its record is on disk. Signed first, since a
    /// key that cannot sign must not leave a record that ended another token in favour of this one.
    ///
    /// Where a cut-off covers everything issued in this second, waits for the next one and has it judged
    /// again: verifiers would take it for one of those cut off.
    pub(super) async fn sign_and_record(
        &self,
        view: &View<'_>,
        cause: Cause,
        token: NewToken,
        demands: Demands,
    ) -> Result<Judged<Issued>> {
        let place = self.store.reserve(&token).await?;
        let claims = claims(&token, place.place(), &self.settings.issuer);
        let sealed = match self.keys.sign(&token.kid, token.kind, &claims) {
            Err(SigningError::KeyGone(_)) => return Ok(Judged::Stale),
            sealed => sealed?,
        };
        let covered = self.index.cut_off_through(&token);
        let kind = token.owner.kind();
        let is_rotation = matches!(demands.replaces, Replaces::Rotated(..));
        let order = tokens::record(cause.clone(), token, place, demands).judged_at(view.judged_at());
        let recorded = match self.store.commit(order).await? {
            Ok(committed) => committed.recorded.ok_or(Error::Busy)?,
            Err(Refused(Guard::UnderLimit { owners, most, ended })) => {
                let may_have = u64::from(most) + u64::from(ended);
                return match self.recount(view, cause, &owners).await? {
                    Judged::Done(active) if active >= may_have => Err(Error::LimitReached {
                        owner: kind,
                        limit: most,
                    }),
                    Judged::Done(_) | Judged::Recounted => Ok(Judged::Recounted),
                    Judged::Stale => Ok(Judged::Stale),
                };
            }
            // The token in the slot has ended meanwhile.
            Err(Refused(Guard::Standing(..))) if !is_rotation => return Ok(Judged::Stale),
            Err(Refused(Guard::AfterCutOffs)) => {
                self.wait_until_after(covered).await?;
                return Ok(Judged::Stale);
            }
            Err(Refused(guard)) => return refusal(guard).map_or(Ok(Judged::Stale), Err),
        };
        let (token, record) = sealed.release(recorded);
        let Record {
            id, token: issued, ..
        } = &record;
        tracing::debug!(token = %id, session = issued.kind == TokenKind::Session, by = issued.created_by.name, "token created");
        Ok(Judged::Done(Issued {
            token: token.prefixed(&record.token.prefix),
            record,
        }))
    }

    /// What a slot holds, and what that took the place of.
    async fn in_slot(&self, owner: &Owner, slot: &Slot, now: Timestamp) -> Result<Option<Former>> {
        match self.store.token_in_slot(owner.clone(), slot.clone()).await? {
            Some(record) => Ok(Some(self.former(record, now).await?)),
            None => Ok(None),
        }
    }

    /// A token that is to be replaced, and what ends with it.
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

    /// Waits until tokens are issued in a second that no cut-off covers. One that this process has not heard
    /// of is of the present second.
    async fn wait_until_after(&self, covered: Option<i64>) -> Result<()> {
        let now = self.clock.now();
        let second = covered.unwrap_or_else(|| now.seconds());
        let wait = second.saturating_add(1).saturating_mul(1000) - now.millis();
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
            return self.place_everywhere(view, caller, Owner::Deployment).await;
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
                    return self.place_everywhere(view, caller, owner).await;
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
                // A team's or an organization's token is nobody, and can make nobody's token.
                None => return Err(Error::Forbidden),
            },
            (OwnerKind::Team | OwnerKind::Deployment, _) => return Err(Error::Absent),
        };
        Ok(Place {
            bounds: self.bounds(view, &owner).await?,
            rank,
            owner,
        })
    }

    /// The place of a token that is confined to no organization.
    async fn place_everywhere(&self, view: &View<'_>, caller: &Caller, owner: Owner) -> Result<Place> {
        Ok(Place {
            bounds: self.bounds(view, &owner).await?,
            rank: view.rank_of(caller, &owner).await?,
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
        let requested = RequestedScopes {
            scopes: issue.scopes.as_deref(),
            preset: issue.preset.as_deref(),
        };
        let Granted { scopes, preset } =
            self.granted(caller, requested, &place.owner, &place.bounds, &mut faults);
        let projects = self.projects_within(caller, issue, place, &mut faults).await?;
        let audience = self.audience(issue, &scopes, &mut faults);
        let otherwise = match issue.expiry {
            Expiry::Open => Lifetime::Never,
            Expiry::Default | Expiry::In(..) | Expiry::At(_) => self.settings.default_lifetime,
        };
        let default = place.bounds.default_lifetime(otherwise);
        let expires_at = expires_at(caller, issue.expiry, default, &place.bounds, now, &mut faults);
        if audience.iter().map(String::len).sum::<usize>() > LONGEST_AUDIENCE {
            let message = format!("all audiences together must have at most {LONGEST_AUDIENCE} bytes");
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
            slot: issue.slot.clone(),
            scopes,
            preset,
            projects,
            audience,
            prefix: self.settings.prefix.clone(),
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
        place: &Place,
        faults: &mut Vec<FieldFault>,
    ) -> Result<Option<Vec<u32>>> {
        let own = caller.token().projects().map(<[u32]>::to_vec);
        let Some(wanted) = &issue.projects else {
            return Ok(own);
        };
        let Some(organization) = place.owner.organization() else {
            faults.push(FieldFault::new(
                "projects",
                wanted.clone(),
                "`projects` needs a token of one organization; this token would be valid in several",
            ));
            return Ok(None);
        };
        if wanted.is_empty() {
            let message = "`projects` must name at least one project; omit it for all projects";
            faults.push(FieldFault::new("projects", Value::Array(Vec::new()), message));
            return Ok(None);
        }
        let numbers = wanted.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        let mut existing = self.store.existing_projects(organization, numbers).await?;
        existing.retain(|id| own.as_ref().is_none_or(|own| own.contains(id)));
        for (index, id) in wanted.iter().enumerate() {
            if !existing.iter().any(|known| i64::from(*known) == *id) {
                faults.push(FieldFault::element(
                    "projects",
                    index,
                    *id,
                    "no such project in the organization, or the token of the request has no access to it",
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
                    "this audience is reserved for sessions",
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
}

/// Where a token will be good, and what it acts for.
pub(super) struct Place {
    pub(super) bounds: Bounds,
    rank: Rank,
    pub(super) owner: Owner,
}
