//! What a change would revoke, without making it.
//!
//! The order of the change is built as to be committed, with the same permission checks, and its cut-off is counted
//! instead: a preview cannot be of anything else than the change.

use crate::authority::people::order_to_change;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, CutOffOrder, Error, PersonPatch, Result, Wanted};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, OrganizationReference, Person, TeamReference};
use jeton_core::token::{CutOff, Filter, Reach, Status, TokenKind, WantedStatus};
use jeton_store::{Effect, Order, PersonReference};

/// A change that revokes tokens.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// [`Authority::remove_member`].
    RemoveMember(&'a OrganizationReference, &'a Email),
    /// [`Authority::leave_organization`].
    Leave(&'a OrganizationReference),
    /// [`Authority::remove_team`].
    RemoveTeam(&'a OrganizationReference, &'a TeamReference),
    /// [`Authority::remove_project`].
    RemoveProject(&'a OrganizationReference, u32),
    /// [`Authority::remove_organization`].
    RemoveOrganization(&'a OrganizationReference),
    /// [`Authority::remove_person`].
    RemovePerson(&'a Email),
    /// [`Authority::cut_off`].
    CutOff(&'a CutOffOrder),
}

/// What a change would revoke, as far as the caller may see the tokens.
#[derive(Debug, Default)]
pub struct Preview {
    /// The active API tokens that would be revoked.
    pub tokens: TokenGroup,
    /// Active API tokens that would stay, although they are of the person or the project in question: those that the
    /// person has created for other owners, or those that are restricted to the project.
    pub left: TokenGroup,
    /// The number of sessions that would end; `None` if only some of a person's sessions, or those of a key, would: they
    /// are not counted.
    pub sessions: Option<u64>,
}

/// A number of tokens. Each count is `None` if it would exceed the budget of a list.
#[derive(Debug)]
pub struct TokenGroup {
    /// How many there are.
    pub count: Option<u64>,
    /// How many of them were used within a day, as far as the authority knows.
    pub used_last_day: Option<u64>,
    /// The filter that lists them; `None` if there can be none.
    pub wanted: Option<Wanted>,
}

impl Default for TokenGroup {
    fn default() -> Self {
        Self {
            count: Some(0),
            used_last_day: Some(0),
            wanted: None,
        }
    }
}

impl Authority {
    /// Returns what a change would revoke. The caller must be allowed to make the change. Every count is of its own
    /// instant.
    pub async fn preview(&self, caller: &Caller, change: Change<'_>) -> Result<Preview> {
        let view = &self.view();
        let now = self.clock.now();
        let order = match change {
            Change::RemoveMember(organization, email) => {
                self.removal_of_member(view, caller, organization, email).await?
            }
            Change::Leave(organization) => self.leaving(view, caller, organization).await?,
            Change::RemoveTeam(organization, team) => {
                self.removal_of_team(view, caller, organization, team).await?
            }
            Change::RemoveProject(organization, id) => {
                self.removal_of_project(view, caller, organization, id).await?
            }
            Change::RemoveOrganization(organization) => {
                self.removal_of_organization(view, caller, organization).await?
            }
            Change::RemovePerson(email) => self.removal_of_person(view, caller, email).await?,
            Change::CutOff(order) => {
                let cut_off = self.cut_off_of(view, caller, order, now).await?;
                Order::new(caller.cause(now)).effect(Effect::CutOff(cut_off))
            }
        };
        self.count_effects(view, caller, &order, now).await
    }

    /// Returns a user as [`Authority::change_person`] would leave them, and what it would revoke. Does not check a current
    /// password: an attempt to guess it would go uncounted.
    pub async fn preview_of_person(
        &self,
        caller: &Caller,
        email: &Email,
        patch: PersonPatch,
    ) -> Result<(Person, Preview)> {
        patch.allowed(caller, email)?;
        let view = &self.view();
        let now = self.clock.now();
        // Any hash: the order is not committed.
        let hash = patch.password.is_some().then(String::new);
        let changes = patch.with_hash(hash);
        let (order, changed) = order_to_change(view, caller.cause(now), email, &changes).await?;
        let preview = self.count_effects(view, caller, &order, now).await?;
        Ok((changed, preview))
    }

    async fn count_effects(
        &self,
        view: &View<'_>,
        caller: &Caller,
        order: &Order,
        now: Timestamp,
    ) -> Result<Preview> {
        let mut preview = Preview {
            sessions: Some(0),
            ..Preview::default()
        };
        for effect in &order.effects {
            match effect {
                Effect::CutOff(cut_off) => {
                    let reach = &cut_off.reach;
                    if reach.kind != Some(TokenKind::Session) {
                        preview.tokens = self.group(view, caller, covered(cut_off, now), now).await?;
                        if let Some(user) = &reach.user {
                            let person = view.person(&user.clone().into()).await?.ok_or(Error::Absent)?;
                            let made = made_for_others(reach, &person);
                            preview.left = self.group(view, caller, made, now).await?;
                        }
                    }
                    preview.sessions = self.sessions_in(cut_off, now).await?;
                }
                Effect::RemoveProject(project) => {
                    let restricted = Wanted {
                        organization: Some(project.organization.into()),
                        project: Some(project.id),
                        ..active()
                    };
                    preview.left = self.group(view, caller, restricted, now).await?;
                }
                _ => {}
            }
        }
        Ok(preview)
    }

    async fn group(
        &self,
        view: &View<'_>,
        caller: &Caller,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<TokenGroup> {
        let filter = self.filter(view, caller, &wanted, now).await?;
        let used = Filter {
            used_since: Some(now.plus_seconds(-DAY)),
            ..filter.clone()
        };
        let count = self.count_if_few(filter).await?;
        Ok(TokenGroup {
            count,
            used_last_day: match count {
                None | Some(0) => count,
                Some(_) => self.count_if_few(used).await?,
            },
            wanted: Some(wanted),
        })
    }

    /// Returns the number of matching tokens, unless counting them exceeds the budget of a list.
    async fn count_if_few(&self, filter: Filter) -> Result<Option<u64>> {
        match self.count(filter).await {
            Ok(count) => Ok(Some(count)),
            Err(Error::TooCostly) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn sessions_in(&self, cut_off: &CutOff, now: Timestamp) -> Result<Option<u64>> {
        let reach = &cut_off.reach;
        // No session belongs to an organization.
        if reach.kind == Some(TokenKind::Api) || reach.organization.is_some() {
            return Ok(Some(0));
        }
        match &reach.user {
            Some(user) if reach.kid.is_none() && created_before(cut_off, now).is_none() => {
                Ok(Some(self.store.count_sessions(user.clone(), now).await?))
            }
            _ => Ok(None),
        }
    }
}

/// In seconds.
const DAY: i64 = 86_400;

fn active() -> Wanted {
    Wanted {
        status: Some(WantedStatus::Only(Status::Active)),
        ..Wanted::default()
    }
}

/// Returns the API tokens that a cut-off would revoke.
fn covered(cut_off: &CutOff, now: Timestamp) -> Wanted {
    let Reach {
        organization,
        team,
        user,
        project,
        kid,
        kind: _,
    } = cut_off.reach.clone();
    Wanted {
        organization: organization.map(Into::into),
        team: team.map(TeamReference::Id),
        user: user.map(PersonReference::Id),
        project,
        kid,
        created_before: created_before(cut_off, now),
        ..active()
    }
}

/// Returns the instant before which a cut-off covers tokens; `None` if it covers all there are.
fn created_before(cut_off: &CutOff, now: Timestamp) -> Option<Timestamp> {
    let seconds = cut_off.issued_through.saturating_add(1);
    (seconds <= now.seconds())
        .then(|| Timestamp::from_seconds(seconds))
        .flatten()
}

/// Returns the tokens that a person has created for other owners, in the organization of the change.
fn made_for_others(reach: &Reach, person: &Person) -> Wanted {
    Wanted {
        organization: reach.organization.map(Into::into),
        created_by: Some(person.email.to_string()),
        for_others: true,
        ..active()
    }
}
