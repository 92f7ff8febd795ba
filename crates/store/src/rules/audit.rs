//! Rules for the audit: which effects leave an action, how records are named, and the order of their lines.

use std::collections::BTreeMap;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{Consent, Organization, OrganizationId, Person, Role, TeamId, UserId};
use jeton_core::network::Network;
use jeton_core::token::{CutOff, TokenId, TokenKind};
use serde_json::{Map, Value, json};

use crate::{BulkId, BulkOrder, Effect, Existing, KeyRow, KeyState, LastToken, NewPerson, Purge};

/// What an effect leaves in the audit, in the transaction of its order. The cause is that of the order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Action {
    /// The action, such as `team.create`: a noun and a verb.
    pub action: &'static str,
    /// The organization that it concerns.
    pub organization: Option<OrganizationId>,
    /// The token that it concerns.
    pub token: Option<TokenId>,
    /// The thing that was changed. A backend sets it to the number that it has given, if there is one.
    pub target: Option<String>,
    /// The former values, as a JSON object.
    pub before: Option<String>,
    /// The new values, as a JSON object.
    pub after: Option<String>,
    /// The reason, if it is not that of the order's cause.
    pub reason: Option<String>,
}

/// Attempts that failed, counted instead of recorded one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// What was attempted.
    pub attempt: Attempted,
    /// How often.
    pub count: u64,
    /// The network of the client, as limits by address count it; `None` in the sum of those beyond the bound.
    pub network: Option<Network>,
    /// The address of the account of failed logins, or the name of the caller who was refused; `None` in the sum.
    pub who: Option<String>,
    /// The organization of the caller's token, if it has one.
    pub organization: Option<OrganizationId>,
    /// The operations of refused requests, by method and path, with how often each was refused.
    pub operations: BTreeMap<String, u64>,
}

/// What was attempted and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attempted {
    /// A login.
    Login,
    /// A request that an administrator, or a token with a scope of the authority, was not allowed to make.
    Request,
}

/// The longest JSON object of former or new values, in bytes. A longer one is replaced by its length.
const LONGEST: usize = 4_096;

/// The action of a deployment that was restored from a backup.
pub const RESTORED: &str = "deployment.restore";

/// The action of a clock that was accepted after it was ahead.
pub const CLOCK_ACCEPTED: &str = "clock.accept";

/// The action of lines that were deleted.
const PRUNED: &str = "audit.prune";

/// The action of a cut-off.
pub const CUT_OFF: &str = "token.cut_off";

/// The actions whose targets are numbers that the backend gives.
const PROJECT_CREATED: &str = "project.create";
const MANY_REVOKED: &str = "token.revoke_many";

/// Returns the action of a token's record.
pub fn issued(kind: TokenKind, is_successor: bool) -> &'static str {
    match (kind, is_successor) {
        (TokenKind::Session, _) => "session.create",
        (TokenKind::Api, true) => "token.rotate",
        (TokenKind::Api, false) => "token.issue",
    }
}

/// Returns the action of a token's revocation. Counts as that of an API token if its record is gone.
pub fn revoked(kind: Option<TokenKind>) -> &'static str {
    match kind {
        Some(TokenKind::Session) => "session.revoke",
        Some(TokenKind::Api) | None => "token.revoke",
    }
}

/// Returns what an effect leaves in the audit beside the records that it makes; `None` if it leaves nothing, or if its
/// record is in the audit itself: that of a token, and an event of the feed.
pub fn action(effect: &Effect) -> Option<Action> {
    Some(match effect {
        // Their records are in the audit.
        Effect::Record(_) | Effect::Revoke(..) | Effect::CutOff(_) => return None,
        // What the server counts, and how far its own work has come.
        Effect::SetCount(..)
        | Effect::DeleteCounts(_)
        | Effect::AdvanceBulk(_)
        | Effect::NoteUse(_)
        | Effect::NoteReports(_)
        | Effect::NoteRefusals(_)
        | Effect::NeedKey(..)
        | Effect::SettleTime(_) => return None,
        Effect::Describe(described) => {
            let values = |name: &Option<String>, description: &Option<Option<String>>| {
                let mut values = Map::new();
                if let Some(name) = name {
                    values.insert("name".to_owned(), json!(name));
                }
                if let Some(description) = description {
                    values.insert("description".to_owned(), json!(description));
                }
                Value::Object(values)
            };
            let (before, after) = (&described.before, &described.after);
            Action {
                organization: described.organization,
                token: Some(described.token),
                target: Some(described.token.to_string()),
                ..Action::default()
            }
            .changed(
                "token.update",
                values(&before.name, &before.description),
                values(&after.name, &after.description),
            )
        }
        Effect::RevokeMany(order) => revoke_many(order),
        Effect::CreateOrganization(new) => {
            Action::of(new.id, new.id).created("organization.create", organization(new))
        }
        Effect::ChangeOrganization(edit) => {
            let (before, after) = (organization(&edit.before), organization(&edit.after));
            let mut action =
                Action::of(edit.after.id, edit.after.id).changed("organization.update", before, after);
            // Such a URL may contain a secret.
            if edit.before.notification_url != edit.after.notification_url {
                action.add("notification_url", json!("changed"));
            }
            action
        }
        Effect::RemoveOrganization(removed) => Action {
            before: Some(written(&organization(removed))),
            ..Action::of(removed.id, removed.id).named("organization.delete")
        },
        Effect::SetRole(id, user, role, existing, before) => {
            let before = before.map(|role| json!({ "role": role.as_str() }));
            let mut action =
                Action::of(*id, user).created("member.set_role", json!({ "role": role.as_str() }));
            action.before = before.map(|before| written(&before));
            action.stays(*existing);
            action
        }
        Effect::RemoveMember(id, user, role) => member_removed(*id, user, *role),
        Effect::Invite(id, team, email, role, consent, existing) => {
            let mut action = Action::of(*id, email).created(
                "invitation.create",
                json!({
                    "role": role.as_str(),
                    "team": team.as_ref().map(TeamId::as_str),
                    "asks": *consent == Consent::Required,
                }),
            );
            action.stays(*existing);
            action
        }
        Effect::Uninvite(id, team, email) => Action {
            before: team
                .as_ref()
                .map(|team| written(&json!({ "team": team.as_str() }))),
            ..Action::of(*id, email).named("invitation.delete")
        },
        Effect::AcceptInvitations(id, user) => Action::of(*id, user).named("invitation.accept"),
        Effect::CreateTeam(team) => Action::of(team.organization, &team.id)
            .created("team.create", json!({ "name": team.name.as_str() })),
        Effect::ChangeTeam(edit) => Action::of(edit.after.organization, &edit.after.id).changed(
            "team.update",
            json!({ "name": edit.before.name.as_str() }),
            json!({ "name": edit.after.name.as_str() }),
        ),
        Effect::RemoveTeam(team) => Action {
            before: Some(written(&json!({ "name": team.name.as_str() }))),
            ..Action::of(team.organization, &team.id).named("team.delete")
        },
        Effect::SetTeamRole(id, team, user, role, existing) => {
            let after = json!({ "team": team.as_str(), "role": role.as_str() });
            let mut action = Action::of(*id, user).created("team_member.set_role", after);
            action.stays(*existing);
            action
        }
        Effect::RemoveTeamMember(id, team, user, role) => Action {
            before: Some(written(&json!({ "team": team.as_str(), "role": role.as_str() }))),
            ..Action::of(*id, user).named("team_member.remove")
        },
        Effect::CreateProject(id, name) => Action {
            organization: Some(*id),
            ..Action::default()
        }
        .created(PROJECT_CREATED, json!({ "name": name.as_str() })),
        Effect::RemoveProject(project) => Action {
            before: Some(written(&json!({ "name": project.name.as_str() }))),
            ..Action::of(project.organization, project.id).named("project.delete")
        },
        Effect::CreatePerson(NewPerson { person: new, .. }) => {
            Action::about(&new.id).created("user.create", person(new))
        }
        Effect::ChangePerson(edit, password_hash) => {
            let (before, after) = (person(&edit.before), person(&edit.after));
            let mut action = Action::about(&edit.after.id).changed("user.update", before, after);
            if password_hash.is_some() {
                action.add("password", json!("changed"));
            }
            action
        }
        Effect::RemovePerson(removed) => Action {
            before: Some(written(&person(removed))),
            ..Action::about(&removed.id).named("user.delete")
        },
        Effect::Purge(purge) => return purged(purge),
        Effect::PublishKey(row) => {
            let KeyRow { key, state, .. } = &**row;
            let after = json!({ "algorithm": key.algorithm.to_string(), "state": state.as_str() });
            Action::about(&key.kid).created("key.publish", after)
        }
        Effect::SetKeyState(kid, edit) => key_changed(kid, Some(edit.before), edit.after),
        Effect::PromiseJwks(edit) => Action::default().changed(
            "key.promise",
            json!({ "max_age": edit.before.max_age }),
            json!({ "max_age": edit.after.max_age }),
        ),
        Effect::SetSetting(name, edit) => Action::about(name).changed(
            "setting.update",
            json!({ "value": edit.before }),
            json!({ "value": edit.after }),
        ),
        Effect::NoteFailures(failures) => failed(failures),
    })
}

/// Returns the action of a key whose state has changed.
pub fn key_changed(kid: &str, before: Option<KeyState>, after: KeyState) -> Action {
    let state = |state: KeyState| json!({ "state": state.as_str() });
    Action {
        before: before.map(|before| written(&state(before))),
        ..Action::about(kid).created("key.update", state(after))
    }
}

/// Returns the action of a membership that was removed, or ended with the person.
pub fn member_removed(organization: OrganizationId, user: &UserId, role: Role) -> Action {
    Action {
        before: Some(written(&json!({ "role": role.as_str() }))),
        ..Action::of(organization, user).named("member.remove")
    }
}

/// Returns the action of an invitation without consent that became a membership when the person was created.
pub fn invitation_applied(organization: OrganizationId, user: &UserId, role: Role) -> Action {
    Action::of(organization, user).created("invitation.accept", json!({ "role": role.as_str() }))
}

/// Returns the action of a scan that has deleted lines made by an instant, through this one.
pub fn pruned(through: u64, made_by: Timestamp) -> Action {
    let after = json!({ "through": through, "made_by": made_by.to_string() });
    Action::default().created(PRUNED, after)
}

/// Returns the values of a token's record: its name as it is now, and what it was issued with.
pub fn issue_values<'a>(
    name: &str,
    scopes: impl Iterator<Item = &'a str>,
    expires_at: Option<Timestamp>,
) -> String {
    written(&json!({
        "name": name,
        "scopes": scopes.collect::<Vec<_>>(),
        "expires_at": expires_at.map(|at| at.to_string()),
    }))
}

/// Returns the values of a token's revocation.
pub fn revocation_values(effective_at: Timestamp) -> String {
    written(&json!({ "effective_at": effective_at.to_string() }))
}

/// Returns the values of a cut-off.
pub fn cut_off_values(cut_off: &CutOff) -> String {
    let reach = &cut_off.reach;
    written(&json!({
        "effective_at": cut_off.effective_at.to_string(),
        "issued_through": cut_off.last_issue(),
        "organization": reach.organization.map(|organization| organization.to_string()),
        "team": reach.team,
        "user": reach.user,
        "project": reach.project,
        "kid": reach.kid,
        "sessions": reach.kind.map(|kind| kind == TokenKind::Session),
    }))
}

/// Returns the records of a portion in the order of their lines: by their instants, and those of a kind by their
/// numbers. Each list is in the order of its numbers and holds at most `most`.
pub fn in_order<T>(sources: [Vec<T>; 3], most: usize, at: impl Fn(&T) -> Timestamp) -> Vec<T> {
    let mut sources = sources.map(|records| records.into_iter().peekable());
    let mut ordered = Vec::new();
    while ordered.len() < most {
        let next = sources
            .iter_mut()
            .filter_map(|records| records.peek().map(&at).map(|at| (at, records)))
            .min_by_key(|(at, _)| *at)
            .and_then(|(_, records)| records.next());
        match next {
            Some(record) => ordered.push(record),
            None => break,
        }
    }
    ordered
}

impl Action {
    /// Returns the action with the number that the backend gave to what it created.
    #[must_use]
    pub fn numbered(mut self, project: Option<u32>, bulk: Option<BulkId>) -> Self {
        let number = match self.action {
            PROJECT_CREATED => project.map(|number| number.to_string()),
            MANY_REVOKED => bulk.map(|id| id.0.to_string()),
            _ => None,
        };
        self.target = self.target.or(number);
        self
    }

    fn of(organization: OrganizationId, target: impl ToString) -> Self {
        Self {
            organization: Some(organization),
            ..Self::about(target)
        }
    }

    fn about(target: impl ToString) -> Self {
        Self {
            target: Some(target.to_string()),
            ..Self::default()
        }
    }

    fn named(self, action: &'static str) -> Self {
        Self { action, ..self }
    }

    fn created(self, action: &'static str, after: Value) -> Self {
        Self {
            after: Some(written(&after)),
            ..self.named(action)
        }
    }

    /// Records the fields that differ.
    fn changed(self, action: &'static str, before: Value, after: Value) -> Self {
        let (Value::Object(mut before), Value::Object(mut after)) = (before, after) else {
            return self.named(action);
        };
        before.retain(|name, value| after.get(name).is_some_and(|after| after != value));
        after.retain(|name, _| before.contains_key(name));
        Self {
            before: Some(written(&Value::Object(before))),
            after: Some(written(&Value::Object(after))),
            ..self.named(action)
        }
    }

    fn add(&mut self, name: &str, value: Value) {
        let after = self.after.as_deref().unwrap_or("{}");
        if let Ok(Value::Object(mut after)) = serde_json::from_str(after) {
            after.insert(name.to_owned(), value);
            self.after = Some(written(&Value::Object(after)));
        }
    }

    fn stays(&mut self, existing: Existing) {
        if existing == Existing::Stays {
            self.add("keeps_existing", json!(true));
        }
    }
}

fn written(value: &Value) -> String {
    let text = value.to_string();
    match text.len() <= LONGEST {
        true => text,
        false => json!({ "omitted_bytes": text.len() }).to_string(),
    }
}

fn organization(organization: &Organization) -> Value {
    json!({
        "name": organization.name.as_str(),
        "email": organization.email,
        "policy": organization.policy,
    })
}

fn person(person: &Person) -> Value {
    json!({
        "email": person.email.as_str(),
        "first_name": person.first_name,
        "last_name": person.last_name,
        "username": person.username,
        "site_admin": person.site_admin,
        "disabled": person.disabled_at.is_some(),
    })
}

fn revoke_many(order: &BulkOrder) -> Action {
    let after = json!({
        "filter": order.filter,
        "matched": order.matched,
        "effective_at": order.effective_at.map(|at| at.to_string()),
        "last_token_may_go": order.last_token == LastToken::MayGo,
        "descendants": order.descendants.is_some(),
    });
    Action {
        organization: order.filter.organization,
        reason: order.reason.clone(),
        ..Action::default()
    }
    .created(MANY_REVOKED, after)
}

/// One action for each scan that has deleted something.
fn purged(purge: &Purge) -> Option<Action> {
    let deleted = purge.deleted;
    let is_recorded = purge.ends_scan && (deleted.records > 0 || deleted.events > 0);
    let after = json!({ "tokens": deleted.records, "events": deleted.events });
    is_recorded.then(|| Action::default().created("retention.purge", after))
}

fn failed(failures: &Failures) -> Action {
    let action = match failures.attempt {
        Attempted::Login => "login.failed",
        Attempted::Request => "request.refused",
    };
    let mut values = json!({
        "count": failures.count,
        "network": failures.network.map(|network| network.to_string()),
    });
    if let Value::Object(values) = &mut values
        && !failures.operations.is_empty()
    {
        values.insert("operations".to_owned(), json!(failures.operations));
    }
    Action {
        organization: failures.organization,
        target: failures.who.clone(),
        ..Action::default()
    }
    .created(action, values)
}

/// All names of actions, in the order of the documentation.
pub const ACTIONS: [&str; 36] = [
    "token.issue",
    "token.rotate",
    "token.update",
    "token.revoke",
    MANY_REVOKED,
    CUT_OFF,
    "session.create",
    "session.revoke",
    "organization.create",
    "organization.update",
    "organization.delete",
    "member.set_role",
    "member.remove",
    "invitation.create",
    "invitation.accept",
    "invitation.delete",
    "team.create",
    "team.update",
    "team.delete",
    "team_member.set_role",
    "team_member.remove",
    PROJECT_CREATED,
    "project.delete",
    "user.create",
    "user.update",
    "user.delete",
    "key.publish",
    "key.update",
    "key.promise",
    "setting.update",
    "retention.purge",
    PRUNED,
    RESTORED,
    CLOCK_ACCEPTED,
    "login.failed",
    "request.refused",
];
