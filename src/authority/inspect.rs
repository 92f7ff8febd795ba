//! Inspection: tells somebody who may see a token why it is accepted or refused.

use uuid::Uuid;

use crate::authority::active::{Condition, Examined};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Inactive, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, Role};
use jeton_core::token::{Owner, Record, RevocationNote, Scope, Status, TokenKind};
use jeton_store::rules::tokens::{Liveness, liveness};
use jeton_store::{Presented, Standing};
use jeton_verifier::{Claims, Rejection, TokenType, strip_prefix};

/// An inspection request.
#[derive(Debug)]
pub struct Inspect {
    /// The token.
    pub subject: Subject,
    /// The audience that the token must have, if it is meant for a service.
    pub audience: Option<String>,
    /// The scopes that the token must have.
    pub scopes: Vec<Scope>,
}

/// The token to inspect.
pub enum Subject {
    /// A token as it was presented, or any other text.
    Text(String),
    /// The token with this `jti`.
    Jti(Uuid),
}

impl std::fmt::Debug for Subject {
    /// Does not write the text, which may be a live token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::Jti(jti) => f.debug_tuple("Jti").field(jti).finish(),
        }
    }
}

/// Why a token is accepted or refused.
#[derive(Debug)]
pub struct Inspection {
    /// `active`, or the reason of the first required check that did not pass.
    pub verdict: &'static str,
    /// The checks that could be made, in their order.
    pub checks: Vec<Check>,
    /// The record and its status; `None` if the text names none, and for a session.
    pub record: Option<(Record, Status)>,
}

/// One check of an inspection.
#[derive(Debug)]
pub struct Check {
    /// Its name, which never changes.
    pub name: &'static str,
    /// Whether the token passed.
    pub passed: bool,
    /// Whether a token that does not pass is refused. Other checks only inform.
    pub required: bool,
    /// What was found.
    pub detail: String,
}

impl Check {
    fn informs(name: &'static str, passed: bool, detail: String) -> Self {
        Self {
            name,
            passed,
            required: false,
            detail,
        }
    }
}

impl Condition {
    /// Returns its name among the checks of an inspection.
    const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Header => "header",
            Self::Key => "key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Type => "type",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "session",
            Self::Expiry => "expiry",
            Self::Record => "record",
            Self::Owner => "owner",
            Self::Revocation => "revocation",
            Self::CutOff => "cut_off",
        }
    }
}

impl Authority {
    /// Explains a token to a caller who may see it: who manages it, or holds it. Its own token needs no permission.
    ///
    /// A token with an invalid signature is explained by the record with its `jti`, if the caller may see that.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] if the text is a well-formed token and the caller may not see the record with its `jti`, or
    /// there is none: forged, foreign and unknown tokens are not told apart, by the time that the answer takes either.
    pub async fn inspect(&self, caller: &Caller, inspect: &Inspect) -> Result<Inspection> {
        self.active.check_index()?;
        let (text, jti) = match &inspect.subject {
            Subject::Text(text) => (
                Some(&**text),
                Claims::unverified(text).ok().map(|claims| claims.jti),
            ),
            Subject::Jti(jti) => (None, Some(*jti)),
        };
        let is_own = match text {
            Some(text) => strip_prefix(text) == caller.token().text(),
            None => jti == Some(caller.token().jti()),
        };
        if !is_own {
            policy::inspect_others(caller)?;
        }
        // The index knows what the record says.
        self.follow().await?;
        let (view, now) = (self.view(), self.clock.now());
        let stored = match jti {
            Some(jti) => {
                let stored = self.store.presented(jti).await?;
                let stored = self.shown(&view, caller, stored, is_own).await?;
                Some(stored.ok_or(Error::Absent)?)
            }
            // What is no token names none: this says nothing about any.
            None => None,
        };
        let examined = self.active.examine(text, stored.as_ref(), now);
        let mut verdict = examined.verdict.map_or_else(Inactive::name, |()| "active");
        let mut checks = Vec::new();
        for (condition, outcome) in &examined.conditions {
            checks.push(Check {
                name: condition.name(),
                passed: outcome.is_ok(),
                required: true,
                detail: self
                    .detail(*condition, *outcome, &examined, stored.as_ref(), now)
                    .await?,
            });
        }
        let Some(stored) = stored else {
            return Ok(Inspection {
                verdict,
                checks,
                record: None,
            });
        };
        for (check, refusal) in demanded(inspect, &stored.record) {
            if verdict == "active" && !check.passed {
                verdict = refusal.name();
            }
            checks.push(check);
        }
        checks.extend(self.circumstances(&view, &stored, now).await?);
        let mut record = stored.record;
        self.note_cut_offs(std::slice::from_mut(&mut record)).await?;
        let is_listed = record.token.kind == TokenKind::Api;
        let status = self.status(&record);
        Ok(Inspection {
            verdict,
            checks,
            record: is_listed.then_some((record, status)),
        })
    }

    /// Returns a record if the caller may see it. Without a record the same work is done, so that the time of the
    /// answer does not tell whether there is one.
    async fn shown(
        &self,
        view: &View<'_>,
        caller: &Caller,
        stored: Option<Presented>,
        is_own: bool,
    ) -> Result<Option<Presented>> {
        let nobody = Owner::Organization(OrganizationId(Uuid::nil()));
        let owner = stored
            .as_ref()
            .map_or(&nobody, |stored| &stored.record.token.owner);
        let manages = match self.manages(view, caller, owner).await {
            Ok(()) => true,
            Err(Error::Absent) => false,
            Err(error) => return Err(error),
        };
        Ok(stored.filter(|stored| {
            // A session is shown to nobody but its holder.
            is_own || manages && stored.record.token.kind == TokenKind::Api
        }))
    }

    /// Returns what was found by a check of the predicate.
    async fn detail(
        &self,
        condition: Condition,
        outcome: std::result::Result<(), Inactive>,
        examined: &Examined,
        stored: Option<&Presented>,
        now: Timestamp,
    ) -> Result<String> {
        let record = stored.map(|stored| &stored.record);
        let (header, claims) = (examined.header.as_ref(), examined.claims.as_ref());
        let passed = outcome.is_ok();
        let reason = outcome
            .err()
            .map_or_else(String::new, |inactive| inactive.to_string());
        Ok(match condition {
            Condition::Form | Condition::Claims if passed => "well-formed".to_owned(),
            Condition::Header => match header {
                Some(header) => format!(
                    "alg {}, kid {}, typ {}",
                    header.algorithm, header.kid, header.token_type
                ),
                None => reason,
            },
            Condition::Key => {
                let kid = header.map(|header| header.kid.as_str());
                let kid = kid.or(record.map(|record| &*record.token.kid)).unwrap_or_default();
                match passed {
                    true => format!("the key {kid} is published"),
                    false => format!(
                        "no published key has the id {kid}: another authority signed the token, or the key is no longer \
                         in use"
                    ),
                }
            }
            Condition::Algorithm if passed => "the algorithm is the key's".to_owned(),
            Condition::Signature => match passed {
                true => "valid".to_owned(),
                false => "invalid: the token is forged or damaged, and the checks of the record are those of the token \
                          whose jti it has"
                    .to_owned(),
            },
            Condition::Type => match header.map(|header| header.token_type) {
                Some(TokenType::Access) => "an API token".to_owned(),
                Some(TokenType::Session) => "a session".to_owned(),
                Some(other) => format!("the type {other} is no credential"),
                None => reason,
            },
            Condition::Issuer => {
                let issuer = claims.map_or("", |claims| &claims.issuer);
                match passed {
                    true => issuer.to_owned(),
                    false => format!("the issuer is {issuer}, and this is {}", self.issuer),
                }
            }
            Condition::Audience if passed => "a session of this authority".to_owned(),
            Condition::Expiry => {
                // Of the token as presented: a forged one may claim another expiry than the record.
                let claimed = claims.map(|claims| claims.expires_at);
                let end = match claimed {
                    Some(seconds) if seconds == jeton_verifier::NEVER => None,
                    Some(seconds) => Timestamp::from_seconds(seconds),
                    None => record.and_then(|record| record.token.expires_at),
                };
                match (end, passed) {
                    (None, _) => "never expires".to_owned(),
                    (Some(end), true) => format!("expires at {end}"),
                    (Some(end), false) => format!("expired at {end}"),
                }
            }
            Condition::Record => match (record, passed) {
                (Some(record), true) => format!("the record of token {}", record.id),
                (Some(record), false) => {
                    format!("token {} has this jti, and not these claims, key and type", record.id)
                }
                (None, _) => reason,
            },
            Condition::Owner => stored.map_or(reason, owner_state),
            Condition::Revocation => revocation_state(record, passed),
            Condition::CutOff => match record {
                Some(record) if !passed => self.cut_off_state(record, now).await?,
                _ => "no cut-off covers it".to_owned(),
            },
            Condition::Form | Condition::Algorithm | Condition::Claims | Condition::Audience => reason,
        })
    }

    /// Returns which cut-off ended a token, when, by whom and why.
    async fn cut_off_state(&self, record: &Record, now: Timestamp) -> Result<String> {
        let reach = self.index.cut_off_of(record, now);
        let reach = reach.map_or_else(String::new, |cut_off| format!(" of {}", cut_off.reach));
        let notes = self.store.cut_off_notes(vec![record.id], now).await?;
        let note = notes.into_iter().next().map(|(_, note)| note);
        Ok(format!(
            "ended by the cut-off{reach}{}",
            note.map_or_else(String::new, |note| format!(" {}", told(&note)))
        ))
    }

    /// Returns the checks that only inform: what the token may do, and until when.
    async fn circumstances(&self, view: &View<'_>, stored: &Presented, now: Timestamp) -> Result<Vec<Check>> {
        let record = &stored.record;
        let token = &record.token;
        let mut checks = Vec::new();
        let scheduled = self.index.scheduled(record.list_index).filter(|at| *at > now);
        if let Some(at) = scheduled {
            checks.push(Check::informs("schedule", false, format!("revoked from {at} on")));
        }
        if token.kind == TokenKind::Session {
            return Ok(checks);
        }
        let is_for_us = token.audience.contains(&self.issuer);
        let audience = token.audience.join(" ");
        checks.push(Check::informs(
            "api",
            is_for_us,
            match is_for_us {
                true => "its audience includes this API".to_owned(),
                false => format!("this API refuses it with wrong_audience: its audience is {audience}"),
            },
        ));
        if let Some(projects) = &token.projects {
            let numbers: Vec<String> = projects.iter().map(u32::to_string).collect();
            checks.push(Check::informs(
                "projects",
                !projects.is_empty(),
                match projects.is_empty() {
                    true => "access to no project: all of its projects were deleted".to_owned(),
                    false => format!("restricted to the projects {}", numbers.join(" ")),
                },
            ));
        }
        let (may_act, role) = self.role(view, stored).await?;
        let breaches = self.breaches(view, record).await?;
        let detail = match breaches.is_empty() {
            true => role,
            false => format!(
                "{role}; it breaks the policy and could not be created now: {}",
                breaches.join(", ")
            ),
        };
        checks.push(Check::informs("policy", may_act && breaches.is_empty(), detail));
        Ok(checks)
    }

    /// Returns what the owner of a token may do now, and whether that is anything.
    async fn role(&self, view: &View<'_>, stored: &Presented) -> Result<(bool, String)> {
        if liveness(stored) != Liveness::Live {
            return Ok((false, "its owner may do nothing".to_owned()));
        }
        let is_site = stored.person.as_ref().is_some_and(|person| person.site_admin);
        Ok(match &stored.record.token.owner {
            Owner::Deployment => (true, "acts for the deployment".to_owned()),
            Owner::Organization(_) => (true, "acts as an admin of its organization".to_owned()),
            Owner::Team { .. } => (true, "acts for its team".to_owned()),
            Owner::User { .. } if is_site => (true, "acts as a site administrator".to_owned()),
            Owner::User {
                organization: None, ..
            } => (
                true,
                "acts in each organization of its user by the user's role there".to_owned(),
            ),
            Owner::User {
                user,
                organization: Some(organization),
            } => {
                let standing = view.standing(user, *organization).await?;
                let Standing { role, teams } = &*standing;
                let administered = teams.iter().filter(|(_, role)| *role == Role::Admin).count();
                match role {
                    None => (false, "its user has no role in its organization".to_owned()),
                    Some(Role::Admin) => (true, "acts as an admin of its organization".to_owned()),
                    Some(Role::Viewer) => (
                        true,
                        "acts as a viewer of its organization, who only reads".to_owned(),
                    ),
                    Some(Role::Member) => (
                        true,
                        format!(
                            "acts as a member of its organization and an admin of {administered} of its teams"
                        ),
                    ),
                }
            }
        })
    }

    /// Returns how a token breaks the policies that apply to it now.
    async fn breaches(&self, view: &View<'_>, record: &Record) -> Result<Vec<String>> {
        let token = &record.token;
        let bounds = self.bounds(view, &token.owner).await?;
        let mut breaches = Vec::new();
        let is_too_long = |most: u64| {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let latest = token.created_at.plus_seconds(most);
            token.expires_at.is_none_or(|end| end > latest)
        };
        if bounds.max_lifetime().is_some_and(is_too_long) {
            breaches.push("its lifetime".to_owned());
        }
        let scopes = token.scopes.iter().filter(|scope| !bounds.allow_scope(scope));
        breaches.extend(scopes.map(|scope| format!("the scope {scope}")));
        let preset = token.preset.iter().filter(|preset| !bounds.allow_preset(preset));
        breaches.extend(preset.map(|preset| format!("the preset {preset}")));
        Ok(breaches)
    }
}

/// Returns the checks of what a request demands, each with the reason of a refusal.
fn demanded<'a>(inspect: &'a Inspect, record: &'a Record) -> impl Iterator<Item = (Check, Rejection)> + 'a {
    let token = &record.token;
    let audience = inspect.audience.as_ref().map(|wanted| {
        let passed = token.kind == TokenKind::Api && token.audience.contains(wanted);
        let check = Check {
            name: "audience",
            passed,
            required: true,
            detail: match passed {
                true => format!("its audience includes {wanted}"),
                false => format!("its audience is {}, not {wanted}", token.audience.join(" ")),
            },
        };
        (check, Rejection::WrongAudience)
    });
    let scopes = (!inspect.scopes.is_empty()).then(|| {
        let lacking: Vec<&str> = inspect
            .scopes
            .iter()
            .filter(|scope| !token.scopes.contains(scope))
            .map(Scope::as_str)
            .collect();
        let check = Check {
            name: "scope",
            passed: lacking.is_empty(),
            required: true,
            detail: match lacking.is_empty() {
                true => "it has all of these scopes".to_owned(),
                false => format!("it lacks {}", lacking.join(" ")),
            },
        };
        (check, Rejection::InsufficientScope)
    });
    audience.into_iter().chain(scopes)
}

/// Returns when, by whom and why.
fn told(note: &RevocationNote) -> String {
    let reason = note.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("at {} by {}{reason}", note.revoked_at, note.revoked_by)
}

fn revocation_state(record: Option<&Record>, passed: bool) -> String {
    match (record.and_then(|record| record.revocation.as_ref()), passed) {
        (Some(note), true) => format!("not yet: from {} on, revoked {}", note.effective_at, told(note)),
        (None, true) => "not revoked".to_owned(),
        (Some(note), false) => format!("revoked {}; in effect since {}", told(note), note.effective_at),
        (None, false) => "revoked".to_owned(),
    }
}

fn owner_state(stored: &Presented) -> String {
    let person = stored.person.as_ref();
    let organization = stored.record.token.owner.organization();
    if stored.is_owner_removed {
        return "its organization, team or user was deleted".to_owned();
    }
    match person {
        Some(person) => match person.disabled_at {
            Some(at) => format!("its user {} has been disabled since {at}", person.email),
            None if organization.is_some() && !stored.is_member && !person.site_admin => {
                format!("its user {} no longer belongs to its organization", person.email)
            }
            None => format!("its user {} is enabled", person.email),
        },
        None => "exists".to_owned(),
    }
}
