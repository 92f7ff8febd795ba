//! Effects: each as the contract says it, and failing before it has changed anything.

use std::collections::hash_map::Entry as Place;
use std::sync::Arc;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, Project, Role, TeamId, UserId};
use jeton_core::token::{
    Actor, CutOff, Lineage, Owner, Reach, Record, Revocation, RevocationNote, TokenId, TokenKind,
};
use jeton_verifier::event::{Ends, Event};

use super::data::{Account, Data, Entry, Kept};
use super::{Batch, failed};
use crate::{
    BulkId, BulkOrder, BulkRevocation, Cause, Change, Description, Effect, Existing, Generation, NewPerson,
    NewRecord, Realm, Result, ends,
};

/// [`Committed`](crate::Committed) before the commit, when nothing is proved yet.
#[derive(Default)]
pub(super) struct Done {
    pub(super) sequence: u64,
    pub(super) record: Option<Box<Record>>,
    pub(super) project: Option<u32>,
    pub(super) bulk: Option<BulkRevocation>,
}

impl Batch<'_> {
    pub(super) fn apply(&mut self, effect: Effect, cause: &Cause, done: &mut Done) -> Result<()> {
        let data = &mut *self.data;
        match effect {
            Effect::Record(new) => done.record = Some(self.record(*new)?),
            Effect::Describe(token, Description { name, description }) => {
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
            }
            Effect::CutOff(cut_off) => self.cut_off(cut_off, &cause.by, cause.at)?,
            Effect::RevokeMany(order) => done.bulk = Some(self.take_down(*order)?),
            Effect::CreateOrganization(new) => {
                data.organizations.insert(new.id, Kept::new(new));
            }
            Effect::ChangeOrganization(changed) => {
                let kept = data.organizations.get_mut(&changed.id);
                let known = &mut kept.ok_or_else(|| failed("unknown organization"))?.value;
                let created_at = known.created_at;
                *known = changed;
                known.created_at = created_at;
            }
            Effect::RemoveOrganization(id) => data.remove_organization(id)?,
            Effect::SetRole(organization, user, role, existing) => {
                data.must_know_organization(Some(organization))?;
                data.must_know_person(Some(&user))?;
                set(data.memberships.entry((organization, user)), role, existing);
            }
            Effect::RemoveMember(organization, user) => {
                data.memberships.remove(&(organization, user.clone()));
                let teams = &data.teams;
                data.team_memberships.retain(|(team, member), _| {
                    *member != user
                        || teams
                            .get(team)
                            .is_some_and(|team| team.value.organization != organization)
                });
            }
            Effect::Invite(organization, team, email, role, existing) => {
                data.must_know_organization(Some(organization))?;
                data.must_know_team(team.as_ref())?;
                let place = data.invitations.entry((organization, team, email));
                set(place, role, existing);
            }
            Effect::Uninvite(organization, team, email) => {
                data.invitations.retain(|(of, to, invited), _| {
                    *of != organization || *invited != email || team.is_some() && *to != team
                });
            }
            Effect::CreateTeam(team) => {
                data.must_know_organization(Some(team.organization))?;
                data.teams.insert(team.id.clone(), Kept::new(team));
            }
            Effect::ChangeTeam(changed) => {
                let kept = data.teams.get_mut(&changed.id);
                kept.ok_or_else(|| failed("unknown team"))?.value.name = changed.name;
            }
            Effect::RemoveTeam(_, id) => {
                let kept = data.teams.get_mut(&id);
                kept.ok_or_else(|| failed("unknown team"))?.is_removed = true;
                data.team_memberships.retain(|(team, _), _| *team != id);
                data.invitations
                    .retain(|(_, team, _), _| team.as_ref() != Some(&id));
            }
            Effect::SetTeamRole(_, team, user, role, existing) => {
                data.must_know_team(Some(&team))?;
                data.must_know_person(Some(&user))?;
                set(data.team_memberships.entry((team, user)), role, existing);
            }
            Effect::RemoveTeamMember(_, team, user) => {
                data.team_memberships.remove(&(team, user));
            }
            Effect::CreateProject(organization, name) => {
                data.must_know_organization(Some(organization))?;
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
            Effect::RemoveProject(organization, id) => {
                data.projects
                    .retain(|_, project| project.id != id || project.organization != organization);
            }
            Effect::CreatePerson(new) => data.create_person(new),
            Effect::ChangePerson(changed, password_hash) => {
                let kept = data.people.get_mut(&changed.id);
                let account = &mut kept.ok_or_else(|| failed("unknown person"))?.value;
                let known = account.person.clone();
                account.person = changed;
                (account.person.email, account.person.created_at) = (known.email, known.created_at);
                account.password_hash = password_hash.unwrap_or_else(|| account.password_hash.clone());
            }
            Effect::RemovePerson(id) => {
                let kept = data.people.get_mut(&id);
                let kept = kept.ok_or_else(|| failed("unknown person"))?;
                kept.is_removed = true;
                kept.value.password_hash.clear();
                data.memberships.retain(|(_, user), _| *user != id);
                data.team_memberships.retain(|(_, user), _| *user != id);
            }
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
                Realm::Keys => Some(&mut data.keys_generation),
                Realm::Organization(id) => data.organizations.get_mut(id).map(|kept| &mut kept.generation),
                Realm::Person(id) => data.people.get_mut(id).map(|kept| &mut kept.generation),
            };
            if let Some(version) = version {
                *version = generation;
            }
        }
        self.changes.push(Change::Directory { realms, generation });
    }

    fn record(&mut self, new: NewRecord) -> Result<Box<Record>> {
        let NewRecord {
            token,
            place,
            rotated_from,
        } = new;
        let data = &mut *self.data;
        data.must_know_owner(&token.owner)?;
        data.must_know_person(token.created_by.user.as_ref())?;
        storable(&[Some(&token.name), token.description.as_deref()])?;
        let is_second = data.token_with(token.jti).is_some()
            || token
                .slot
                .as_ref()
                .is_some_and(|slot| data.in_slot(&token.owner, slot).is_some())
            || rotated_from
                .and_then(|former| data.token(former))
                .is_some_and(|former| former.lineage.replaced_by.is_some());
        if is_second {
            return Err(failed(
                "a second token of one jti, in one slot, or after one token",
            ));
        }
        let until = token.expires_at.unwrap_or(Timestamp::LAST);
        let key = data.signing_key().filter(|key| *key.key.kid == *token.kid);
        let key = key.ok_or_else(|| failed("a token is recorded with a key that does not sign"))?;
        key.needed_until = key.needed_until.max(until);
        data.newest_token += 1;
        let id = TokenId(data.newest_token);
        if let Some(former) = rotated_from.and_then(|former| data.token_mut(former)) {
            former.lineage.replaced_by = Some(id);
        }
        let record = Record {
            id,
            token,
            place: place.place(),
            last_used_at: None,
            last_used_from: None,
            revocation: None,
            lineage: Lineage {
                rotated_from,
                replaced_by: None,
            },
            refusals: None,
        };
        data.tokens.insert(id, Arc::new(record.clone()));
        place.record();
        Ok(Box::new(record))
    }

    pub(super) fn revoke(&mut self, token: TokenId, revocation: Revocation) -> Result<()> {
        self.data.must_know_person(revocation.revoked_by.user.as_ref())?;
        storable(&[revocation.reason.as_deref()])?;
        let sequence = self.data.feed.sequence + 1;
        let epoch = self.data.epoch;
        let record = self
            .data
            .token_mut(token)
            .ok_or_else(|| failed("unknown token"))?;
        let stands = record.revocation.as_ref();
        if revocation.effective_at < revocation.revoked_at
            || stands.is_some_and(|stands| stands.effective_at < revocation.effective_at)
        {
            return Err(failed(
                "a revocation is neither postponed nor obeyed before it is ordered",
            ));
        }
        let (recorded_at, effective_at) = (revocation.revoked_at, revocation.effective_at);
        let event = Event {
            epoch,
            sequence,
            recorded_at: recorded_at.millis(),
            effective_at: effective_at.millis(),
            ends: Ends::Token {
                jti: record.token.jti,
                id: record.id.0,
                status_list: record.place.list,
                index: record.place.index,
                expires_at: record.token.expires_at.map(Timestamp::millis),
            },
        };
        let change = Change::Revoked {
            token,
            place: record.place,
            effective_at,
            sequence,
        };
        record.revocation = Some(RevocationNote::from(revocation));
        self.publish(event, recorded_at, change);
        Ok(())
    }

    pub(super) fn cut_off(&mut self, cut_off: CutOff, by: &Actor, at: Timestamp) -> Result<()> {
        let data = &mut *self.data;
        let Reach {
            organization,
            team,
            user,
            ..
        } = &cut_off.reach;
        data.must_know_organization(*organization)?;
        data.must_know_team(team.as_ref())?;
        data.must_know_person(user.as_ref())?;
        data.must_know_person(by.user.as_ref())?;
        let sequence = data.feed.sequence + 1;
        let event = Event {
            epoch: data.epoch,
            sequence,
            recorded_at: at.millis(),
            effective_at: cut_off.effective_at.millis(),
            ends: ends(&cut_off),
        };
        data.feed.cut_offs.insert(sequence, cut_off.clone());
        self.publish(event, at, Change::CutOff { cut_off, sequence });
        Ok(())
    }

    fn publish(&mut self, event: Event, recorded_at: Timestamp, change: Change) {
        let feed = &mut self.data.feed;
        feed.hash = event.hash(&feed.hash);
        feed.sequence = event.sequence;
        let entry = Entry {
            event,
            hash: feed.hash,
            recorded_at,
            change: change.clone(),
        };
        feed.events.insert(feed.sequence, Arc::new(entry));
        self.changes.push(change);
    }

    fn take_down(&mut self, order: BulkOrder) -> Result<BulkRevocation> {
        let data = &mut *self.data;
        data.must_know_person(order.ordered_by.user.as_ref())?;
        let id = data.bulk.last_key_value().map_or(1, |(last, _)| last + 1);
        let bulk = BulkRevocation {
            id: BulkId(id),
            order,
            revoked: 0,
            through: data.tokens.last_key_value().map_or(TokenId(0), |(last, _)| *last),
            position: TokenId(0),
            finished_at: None,
        };
        data.bulk.insert(id, bulk.clone());
        Ok(bulk)
    }
}

impl Data {
    fn remove_organization(&mut self, id: OrganizationId) -> Result<()> {
        let kept = self.organizations.get_mut(&id);
        kept.ok_or_else(|| failed("unknown organization"))?.is_removed = true;
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

    fn create_person(&mut self, new: NewPerson) {
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
        for ((organization, team, _), role) in self.invitations.extract_if(|(.., to), _| *to == email) {
            match team {
                Some(team) => self.team_memberships.insert((team, id.clone()), role),
                None => self.memberships.insert((organization, id.clone()), role),
            };
        }
    }

    fn must_know_owner(&self, owner: &Owner) -> Result<()> {
        self.must_know_organization(owner.organization())?;
        self.must_know_team(owner.team())?;
        self.must_know_person(owner.user())
    }

    fn must_know_organization(&self, id: Option<OrganizationId>) -> Result<()> {
        known(id.is_none_or(|id| self.organizations.contains_key(&id)))
    }

    fn must_know_team(&self, id: Option<&TeamId>) -> Result<()> {
        known(id.is_none_or(|id| self.teams.contains_key(id)))
    }

    fn must_know_person(&self, id: Option<&UserId>) -> Result<()> {
        known(id.is_none_or(|id| self.people.contains_key(id)))
    }
}

fn known(is_known: bool) -> Result<()> {
    match is_known {
        true => Ok(()),
        false => Err(failed("an effect names what does not exist")),
    }
}

fn storable(texts: &[Option<&str>]) -> Result<()> {
    match texts.iter().flatten().any(|text| text.contains('\0')) {
        false => Ok(()),
        true => Err(failed("a text holds U+0000")),
    }
}

fn set<K>(place: Place<'_, K, Role>, role: Role, existing: Existing) {
    match existing {
        Existing::Stays => {
            place.or_insert(role);
        }
        Existing::Replaced => {
            place.insert_entry(role);
        }
    }
}
