//! Effects, applied as the contract defines them. An effect that fails does so before it changes anything.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{Consent, Email, Organization, OrganizationId, Person, Project, Team, UserId};
use jeton_core::token::{
    CutOff, Lineage, Owner, Record, Refusals, ReportingAudience, Revocation, RevocationNote, TokenId,
    TokenKind, Use,
};
use jeton_verifier::event::{Ends, Entry, Event, Position, RevokedToken};

use super::data::{Account, Data, FormerName, Kept, Offered, Published};
use super::{Batch, failed};
use crate::rules::audit;
use crate::{
    BulkId, BulkOrder, BulkProgress, BulkRevocation, Cause, Change, Described, Description, Edit, Effect,
    Existing, Generation, NewPerson, NewRecord, Realm, Result, ends,
};

/// The results of an order before its commit; [`Committed`](crate::Committed) is made of them after it.
#[derive(Default)]
pub(super) struct Done {
    pub(super) position: Option<Position>,
    pub(super) record: Option<Box<Record>>,
    pub(super) project: Option<u32>,
    pub(super) bulk: Option<BulkRevocation>,
}

impl Batch<'_> {
    pub(super) fn apply(&mut self, effect: Effect, cause: &Cause, done: &mut Done) -> Result<()> {
        let data = &mut *self.data;
        match effect {
            Effect::Record(new) => done.record = Some(self.record(*new, cause)?),
            Effect::Describe(described) => {
                let Described { token, after, .. } = *described;
                let Description { name, description } = after;
                storable(&[name.as_deref(), description.as_ref().and_then(Option::as_deref)])?;
                if let Some(record) = data.token_mut(token)
                    && record.token.kind == TokenKind::Api
                {
                    let token = &mut record.token;
                    token.name = name.unwrap_or_else(|| token.name.clone());
                    token.description = description.unwrap_or_else(|| token.description.clone());
                }
            }
            Effect::Revoke(token, effective_at, reason) => {
                let revocation = Revocation {
                    revoked_at: cause.at,
                    effective_at,
                    revoked_by: cause.by.clone(),
                    reason,
                };
                self.revoke(token, revocation)?;
                self.data.audit.note_event(self.data.feed.sequence, cause);
            }
            Effect::CutOff(cut_off) => {
                self.cut_off(cut_off, cause)?;
                self.data.audit.note_event(self.data.feed.sequence, cause);
            }
            Effect::RevokeMany(order) => done.bulk = Some(self.take_down(*order)?),
            Effect::SetCount(owner, count) => {
                data.counts.insert(owner, count);
            }
            Effect::DeleteCounts(id) => data.delete_counts(|owner| owner.organization() == Some(id)),
            Effect::AdvanceBulk(advance) => {
                let id = advance.bulk.id.0;
                let (known, _) = known(data.bulk.get_mut(&id))?;
                *known = advance.bulk;
                for parent in advance.parents {
                    data.bulk_members.entry((id, parent)).or_insert(false);
                }
                for expanded in advance.expanded {
                    data.bulk_members.insert((id, expanded), true);
                }
                for forgotten in advance.forgotten {
                    data.bulk_members.remove(&(id, forgotten));
                }
            }
            Effect::CreateOrganization(new) => {
                data.organizations.insert(new.id, Kept::new(new));
            }
            Effect::ChangeOrganization(edit) => {
                let changed = edit.after;
                let former = &mut known(data.organizations.get_mut(&changed.id))?.value;
                let changed = Organization {
                    created_at: former.created_at,
                    ..changed
                };
                let (id, name) = (changed.id, former.name.canonical());
                if name != changed.name.canonical() {
                    let former = FormerName {
                        of: id,
                        at: cause.at,
                        by: cause.by.user.clone(),
                    };
                    data.former_names.insert(name, former);
                }
                *former = changed;
            }
            Effect::RemoveOrganization(removed) => data.remove_organization(removed.id, cause)?,
            Effect::SetRole(organization, user, role, existing, _) => {
                set(data.memberships.entry((organization, user)), role, existing);
            }
            Effect::RemoveMember(organization, user, _) => {
                data.memberships.remove(&(organization, user.clone()));
                let teams = &data.teams;
                data.team_memberships.retain(|(team, member), _| {
                    *member != user
                        || teams
                            .get(team)
                            .is_some_and(|team| team.value.organization != organization)
                });
            }
            Effect::Invite(organization, team, email, role, consent, existing) => {
                let offered = Offered {
                    role,
                    consent,
                    by: cause.by.name.clone(),
                    at: cause.at,
                };
                set(
                    data.invitations.entry((organization, team, email)),
                    offered,
                    existing,
                );
            }
            Effect::Uninvite(organization, team, email) => {
                data.invitations.retain(|(of, to, invited), _| {
                    *of != organization || *invited != email || team.is_some() && *to != team
                });
            }
            Effect::AcceptInvitations(organization, user) => {
                let email = known(data.person(&user))?.email.clone();
                data.join(&user, |of, to| of == organization && *to == email);
            }
            Effect::CreateTeam(team) => {
                data.teams.insert(team.id.clone(), Kept::new(team));
            }
            Effect::ChangeTeam(edit) => {
                let changed = edit.after;
                known(data.teams.get_mut(&changed.id))?.value.name = changed.name;
            }
            Effect::RemoveTeam(Team { id, .. }) => {
                known(data.teams.get_mut(&id))?.is_removed = true;
                data.delete_counts(|owner| owner.team() == Some(&id));
                data.team_memberships.retain(|(team, _), _| *team != id);
                data.invitations
                    .retain(|(_, team, _), _| team.as_ref() != Some(&id));
            }
            Effect::SetTeamRole(_, team, user, role, existing) => {
                set(data.team_memberships.entry((team, user)), role, existing);
            }
            Effect::RemoveTeamMember(_, team, user, _) => {
                data.team_memberships.remove(&(team, user));
            }
            Effect::CreateProject(organization, name) => {
                data.newest_project += 1;
                let project = Project {
                    id: data.newest_project,
                    name,
                    organization,
                    created_at: cause.at,
                };
                done.project = Some(project.id);
                data.projects.insert(project.id, project);
            }
            Effect::RemoveProject(project) => {
                data.projects.remove(&project.id);
            }
            Effect::CreatePerson(new) => data.create_person(new, cause),
            Effect::ChangePerson(edit, password_hash) => {
                let changed = edit.after;
                let account = &mut known(data.people.get_mut(&changed.id))?.value;
                let Person {
                    email, created_at, ..
                } = account.person.clone();
                account.person = Person {
                    email,
                    created_at,
                    ..changed
                };
                account.password_hash = password_hash.unwrap_or_else(|| account.password_hash.clone());
            }
            Effect::RemovePerson(person) => {
                let id = person.id;
                let kept = known(data.people.get_mut(&id))?;
                kept.is_removed = true;
                kept.value.password_hash.clear();
                let email = kept.value.person.email.clone();
                data.invitations.retain(|(.., to), _| *to != email);
                data.delete_counts(|owner| owner.user() == Some(&id));
                let ended = data.memberships.extract_if(|(_, user), _| *user == id);
                for ((organization, user), role) in ended {
                    let removed = audit::member_removed(organization, &user, role);
                    data.audit.note(removed, cause);
                }
                data.team_memberships.retain(|(_, user), _| *user != id);
            }
            Effect::NoteUse(uses) => {
                for Use { token, at, from } in uses {
                    if let Some(record) = data.token_mut(token)
                        && record.last_used_at < Some(at)
                    {
                        (record.last_used_at, record.last_used_from) = (Some(at), from);
                    }
                }
            }
            Effect::NoteReports(audiences) => {
                for audience in audiences {
                    let first = ReportingAudience {
                        audience: audience.clone(),
                        first_reported_at: cause.at,
                        last_reported_at: cause.at,
                    };
                    let reporting = data.reporting.entry(audience).or_insert(first);
                    reporting.last_reported_at = reporting.last_reported_at.max(cause.at);
                }
            }
            Effect::NoteRefusals(refused) => {
                for (token, Refusals { count, last_at }) in refused {
                    if let Some(record) = data.tokens.get(&token).cloned() {
                        data.history.note_refusals(&record.token, count, last_at);
                    }
                    if let Some(record) = data.token_mut(token) {
                        let none = Refusals { count: 0, last_at };
                        let known = record.refusals.get_or_insert(none);
                        known.count += count;
                        known.last_at = known.last_at.max(last_at);
                    }
                }
            }
            Effect::Purge(purge) => self.purge(*purge),
            Effect::PublishKey(row) if data.keys.value.row(&row.key.kid).is_some() => {
                return Err(failed("a key is published once"));
            }
            Effect::PublishKey(row) => data.keys.value.rows.push(*row),
            Effect::SetKeyState(kid, Edit { after: state, .. }) => {
                for row in &mut data.keys.value.rows {
                    if row.key.kid == kid {
                        (row.state, row.changed_at) = (state, cause.at);
                    }
                }
            }
            Effect::NeedKey(kid, until) => data.need_key(&kid, until)?,
            Effect::PromiseJwks(edit) => data.keys.value.promise = edit.after,
            Effect::SettleTime(instant) => data.time.settled = data.time.settled.max(instant),
            Effect::SetSetting(..) | Effect::NoteFailures(_) => {}
        }
        Ok(())
    }

    /// Gives realms a new version.
    pub(super) fn changed(&mut self, changed: Vec<Realm>) {
        let mut realms: Vec<Realm> = Vec::new();
        for realm in changed {
            if !realms.contains(&realm) {
                realms.push(realm);
            }
        }
        if realms.is_empty() {
            return;
        }
        let data = &mut *self.data;
        let generation = Generation(data.edit.0 + 1);
        data.edit = generation;
        for realm in &realms {
            let version = match realm {
                Realm::Keys => Some(&mut data.keys.generation),
                Realm::Organization(id) => data.organizations.get_mut(id).map(|kept| &mut kept.generation),
                Realm::Person(id) => data.people.get_mut(id).map(|kept| &mut kept.generation),
            };
            if let Some(version) = version {
                *version = generation;
            }
        }
        self.changes.push(Change::Directory { realms, generation });
    }

    fn record(&mut self, new: NewRecord, cause: &Cause) -> Result<Box<Record>> {
        let NewRecord {
            token,
            list_index,
            rotated_from,
            is_counted,
        } = new;
        let data = &mut *self.data;
        let owner = &token.owner;
        data.must_know(token.created_by.user.as_ref())?;
        storable(&[Some(&token.name), token.description.as_deref()])?;
        let former = rotated_from.and_then(|former| data.token(former));
        let held = token.slot.as_ref().and_then(|slot| data.in_slot(owner, slot));
        let is_second = former.is_some_and(|former| former.lineage.replaced_by.is_some());
        if is_second || held.is_some() || data.token_with(token.jti).is_some() {
            return Err(failed(
                "a second token of one jti, in one slot, or after one token",
            ));
        }
        let until = token.expires_at.unwrap_or(Timestamp::LAST);
        data.need_key(&token.kid, until)?;
        if is_counted && let Some(count) = data.counts.get_mut(owner) {
            *count = count.recorded(&token);
        }
        data.newest_token += 1;
        let id = TokenId(data.newest_token);
        if let Some(former) = rotated_from.and_then(|former| data.token_mut(former)) {
            former.lineage.replaced_by = Some(id);
        }
        let lineage = Lineage {
            rotated_from,
            replaced_by: None,
        };
        let record = Record {
            id,
            token,
            list_index: list_index.list_index(),
            last_used_at: None,
            last_used_from: None,
            revocation: None,
            lineage,
            refusals: None,
        };
        data.tokens.insert(id, Arc::new(record.clone()));
        data.audit.note_token(id, cause);
        data.history.note_token(id, &record.token);
        list_index.record();
        Ok(Box::new(record))
    }

    pub(super) fn revoke(&mut self, token: TokenId, revocation: Revocation) -> Result<()> {
        let by = revocation.revoked_by.user.as_ref();
        self.data.must_know(by)?;
        storable(&[revocation.reason.as_deref()])?;
        let (recorded_at, effective_at) = (revocation.revoked_at, revocation.effective_at);
        let record = known(self.data.token_mut(token))?;
        let stands = record.revocation.as_ref();
        if effective_at < recorded_at || stands.is_some_and(|stands| stands.effective_at < effective_at) {
            return Err(failed(
                "a revocation is neither postponed nor obeyed before it is ordered",
            ));
        }
        let list_index = record.list_index;
        let ends = Ends::Token(RevokedToken {
            jti: record.token.jti,
            id: token.0,
            status_list: list_index.list,
            index: list_index.index,
            expires_at: record.token.expires_at.map(Timestamp::millis),
        });
        let is_api = record.token.kind == TokenKind::Api;
        let owner = record.token.owner.clone();
        let before = self.data.token(token).map(|record| self.data.succession(record));
        if let Some(before) = before.filter(|_| is_api)
            && let Some(count) = self.data.counts.get_mut(&owner)
        {
            *count = count.revoked(&before, effective_at, recorded_at);
        }
        let record = known(self.data.token_mut(token))?;
        let note = RevocationNote::from(revocation);
        let because = (note.revoked_by.clone(), note.reason.clone());
        record.revocation = Some(note);
        self.data.history.note_revocation(token, effective_at);
        self.publish(recorded_at, effective_at, ends, because, |entry| {
            Change::Revoked {
                token,
                list_index,
                effective_at,
                entry,
            }
        });
        Ok(())
    }

    pub(super) fn cut_off(&mut self, cut_off: CutOff, cause: &Cause) -> Result<()> {
        self.data.must_know(cause.by.user.as_ref())?;
        let (ends, effective_at) = (ends(&cut_off), cut_off.effective_at);
        let feed = &mut self.data.feed;
        let note = RevocationNote {
            revoked_at: cause.at,
            effective_at,
            revoked_by: cause.by.name.clone(),
            reason: cause.reason.clone(),
        };
        feed.cut_offs.insert(feed.sequence + 1, (cut_off.clone(), note));
        self.data.history.note_cut_off(&cut_off);
        let because = (cause.by.name.clone(), cause.reason.clone());
        self.publish(cause.at, effective_at, ends, because, |entry| Change::CutOff {
            cut_off,
            entry,
        });
        Ok(())
    }

    fn publish(
        &mut self,
        recorded_at: Timestamp,
        effective_at: Timestamp,
        ends: Ends,
        (by, reason): (String, Option<String>),
        change: impl FnOnce(Arc<Entry>) -> Change,
    ) {
        let feed = &mut self.data.feed;
        feed.sequence += 1;
        let event = Event {
            epoch: self.data.epoch,
            sequence: feed.sequence,
            recorded_at: recorded_at.millis(),
            effective_at: effective_at.millis(),
            ends,
        };
        let entry = Arc::new(Entry::after(&feed.hash, event));
        feed.hash = entry.hash;
        let change = change(Arc::clone(&entry));
        self.changes.push(change.clone());
        let published = Published {
            entry,
            change,
            by,
            reason,
        };
        feed.events.insert(feed.sequence, published);
    }

    fn take_down(&mut self, order: BulkOrder) -> Result<BulkRevocation> {
        let data = &mut *self.data;
        data.must_know(order.ordered_by.user.as_ref())?;
        let id = data.bulk.last_key_value().map_or(1, |(last, _)| last + 1);
        let bulk = BulkRevocation {
            id: BulkId(id),
            order,
            revoked: 0,
            left: 0,
            progress: BulkProgress::default(),
            finished_at: None,
        };
        data.bulk.insert(id, (bulk.clone(), TokenId(data.newest_token)));
        Ok(bulk)
    }
}

impl Data {
    fn remove_organization(&mut self, id: OrganizationId, cause: &Cause) -> Result<()> {
        let kept = known(self.organizations.get_mut(&id))?;
        kept.is_removed = true;
        let former = FormerName {
            of: id,
            at: cause.at,
            by: cause.by.user.clone(),
        };
        self.former_names.insert(kept.value.name.canonical(), former);
        self.delete_counts(|owner| owner.organization() == Some(id));
        for team in self.teams.values_mut() {
            team.is_removed |= team.value.organization == id;
        }
        let teams = &self.teams;
        self.team_memberships
            .retain(|(team, _), _| teams.get(team).is_some_and(|team| team.value.organization != id));
        self.memberships
            .retain(|(organization, _), _| *organization != id);
        self.invitations
            .retain(|(organization, ..), _| *organization != id);
        self.projects.retain(|_, project| project.organization != id);
        Ok(())
    }

    fn delete_counts(&mut self, of: impl Fn(&Owner) -> bool) {
        self.counts.retain(|owner, _| !of(owner));
    }

    fn create_person(&mut self, new: NewPerson, cause: &Cause) {
        let NewPerson {
            person,
            password_hash,
        } = new;
        let (id, email) = (person.id.clone(), person.email.clone());
        let account = Account {
            person,
            password_hash,
        };
        self.people.insert(id.clone(), Kept::new(account));
        let waived = self
            .invitations
            .iter()
            .filter_map(|((organization, team, to), offered)| {
                let applies = team.is_none() && *to == email && offered.consent == Consent::Waived;
                applies.then_some((*organization, offered.role))
            });
        let waived: HashMap<_, _> = waived.collect();
        self.join(&id, |of, to| *to == email && waived.contains_key(&of));
        for (organization, role) in waived {
            let applied = audit::invitation_applied(organization, &id, role);
            self.audit.note(applied, cause);
        }
    }

    /// Turns invitations into memberships of a person. Existing roles stay.
    fn join(&mut self, user: &UserId, of: impl Fn(OrganizationId, &Email) -> bool) {
        let accepted = self
            .invitations
            .extract_if(|(organization, _, to), _| of(*organization, to));
        for ((organization, team, _), Offered { role, .. }) in accepted {
            match team {
                Some(team) => self.team_memberships.entry((team, user.clone())).or_insert(role),
                None => self
                    .memberships
                    .entry((organization, user.clone()))
                    .or_insert(role),
            };
        }
    }

    fn need_key(&mut self, kid: &str, until: Timestamp) -> Result<()> {
        let key = self.signing_key(kid);
        let key = key.ok_or_else(|| failed("only the key that signs is needed for longer"))?;
        key.needed_until = key.needed_until.max(until);
        Ok(())
    }

    /// Fails if the actor is a person who was never created.
    fn must_know(&self, user: Option<&UserId>) -> Result<()> {
        known(user.is_none_or(|id| self.people.contains_key(id)).then_some(()))
    }
}

fn known<T>(found: Option<T>) -> Result<T> {
    found.ok_or_else(|| failed("an effect names what does not exist"))
}

fn storable(texts: &[Option<&str>]) -> Result<()> {
    match texts.iter().flatten().any(|text| text.contains('\0')) {
        false => Ok(()),
        true => Err(failed("a text holds U+0000")),
    }
}

fn set<K, V>(entry: MapEntry<'_, K, V>, value: V, existing: Existing) {
    match existing {
        Existing::Stays => {
            entry.or_insert(value);
        }
        Existing::Replaced => {
            entry.insert_entry(value);
        }
    }
}
