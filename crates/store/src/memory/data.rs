//! The data of the store in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::RecordedTime;
use jeton_core::directory::{
    Consent, Email, Organization, OrganizationId, Person, Project, Role, Team, TeamId, UserId,
};
use jeton_core::token::{CutOff, Owner, Record, ReportingAudience, RevocationNote, TokenId, TokenKind};
use jeton_verifier::event::{Entry, Position};
use uuid::Uuid;

use super::audit::AuditLog;
use super::statistics::History;
use crate::rules::limits::{Countable, Succession, counts};
use crate::rules::status_lists::LifetimeClass;
use crate::{
    BulkRevocation, Change, DoneRequest, Generation, Idempotency, KeyRow, KeyState, OwnerCount, SigningKeys,
    Versioned,
};

#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    pub(super) epoch: Uuid,
    pub(super) issuer: Option<String>,
    pub(super) edit: Generation,
    pub(super) time: RecordedTime,
    pub(super) organizations: HashMap<OrganizationId, Kept<Organization>>,
    pub(super) teams: HashMap<TeamId, Kept<Team>>,
    pub(super) people: HashMap<UserId, Kept<Account>>,
    pub(super) memberships: HashMap<(OrganizationId, UserId), Role>,
    pub(super) team_memberships: HashMap<(TeamId, UserId), Role>,
    pub(super) invitations: HashMap<(OrganizationId, Option<TeamId>, Email), Offered>,
    /// The names that organizations gave up, in canonical form: who and when, for the last time.
    pub(super) former_names: HashMap<String, FormerName>,
    pub(super) projects: BTreeMap<u32, Project>,
    pub(super) newest_project: u32,
    pub(super) keys: Versioned<SigningKeys>,
    pub(super) lists: BTreeMap<u32, StatusList>,
    pub(super) tokens: BTreeMap<TokenId, Arc<Record>>,
    pub(super) newest_token: i64,
    pub(super) counts: HashMap<Owner, OwnerCount>,
    pub(super) feed: Feed,
    /// Each bulk revocation with the last token that was recorded before it.
    pub(super) bulk: BTreeMap<i64, (BulkRevocation, TokenId)>,
    /// The tokens that unfinished bulk revocations with descendants have processed, and whether their children are too.
    pub(super) bulk_members: BTreeMap<(i64, TokenId), bool>,
    pub(super) reporting: BTreeMap<String, ReportingAudience>,
    /// The idempotency keys by number, ascending in the order of commits.
    pub(super) idempotency_keys: BTreeMap<u64, (Idempotency, DoneRequest)>,
    pub(super) audit: AuditLog,
    pub(super) history: History,
}

/// A thing that stays after its removal, for references to it.
#[derive(Debug, Clone)]
pub(super) struct Kept<T> {
    pub(super) value: T,
    pub(super) generation: Generation,
    pub(super) is_removed: bool,
}

/// A name that an organization gave up.
#[derive(Debug, Clone)]
pub(super) struct FormerName {
    pub(super) of: OrganizationId,
    pub(super) at: Timestamp,
    pub(super) by: Option<UserId>,
}

/// A role that is offered to an address.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    pub(super) role: Role,
    pub(super) consent: Consent,
    pub(super) by: String,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) person: Person,
    pub(super) password_hash: String,
}

#[derive(Debug, Clone)]
pub(super) struct StatusList {
    pub(super) class: LifetimeClass,
    pub(super) opened_at: Timestamp,
    pub(super) used: u32,
    pub(super) is_retired: bool,
}

/// The feed. Hashes begin with [`BEFORE_ALL`](jeton_verifier::event::BEFORE_ALL), which is the default.
#[derive(Debug, Clone, Default)]
pub(super) struct Feed {
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
    pub(super) pruned_through: u64,
    pub(super) pruned_hash: [u8; 32],
    pub(super) events: BTreeMap<u64, Published>,
    /// All cut-offs, also those whose events are pruned.
    pub(super) cut_offs: BTreeMap<u64, (CutOff, RevocationNote)>,
}

/// An event of the feed.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) entry: Arc<Entry>,
    pub(super) change: Change,
    pub(super) by: String,
    pub(super) reason: Option<String>,
}

impl<T> Kept<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value,
            generation: Generation(0),
            is_removed: false,
        }
    }

    pub(super) fn live(&self) -> Option<&T> {
        (!self.is_removed).then_some(&self.value)
    }

    pub(super) fn versioned<V>(&self, value: V) -> Option<Versioned<V>> {
        (!self.is_removed).then_some(Versioned {
            value,
            generation: self.generation,
        })
    }
}

impl Feed {
    /// Returns the hash of an event that is kept, of the last pruned one, or before the first.
    pub(super) fn hash_of(&self, sequence: u64) -> Option<[u8; 32]> {
        if sequence == self.pruned_through {
            return Some(self.pruned_hash);
        }
        self.events.get(&sequence).map(|event| event.entry.hash)
    }

    /// Returns whether the kept events follow each other without a gap, and all hashes are correct.
    pub(super) fn is_whole(&self) -> bool {
        let (mut sequence, mut hash) = (self.pruned_through, self.pruned_hash);
        for (number, Published { entry, .. }) in &self.events {
            if *number != sequence + 1 || entry.event.hash(&hash) != entry.hash {
                return false;
            }
            (sequence, hash) = (*number, entry.hash);
        }
        (sequence, hash) == (self.sequence, self.hash)
    }
}

impl Data {
    pub(super) fn new(epoch: Uuid) -> Self {
        Self {
            epoch,
            edit: Generation(1),
            keys: Versioned {
                value: SigningKeys::default(),
                generation: Generation(1),
            },
            ..Self::default()
        }
    }

    /// Returns the position of the feed's last event.
    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.feed.sequence,
            hash: self.feed.hash,
        }
    }

    pub(super) fn token(&self, id: TokenId) -> Option<&Record> {
        self.tokens.get(&id).map(Arc::as_ref)
    }

    pub(super) fn token_mut(&mut self, id: TokenId) -> Option<&mut Record> {
        self.tokens.get_mut(&id).map(Arc::make_mut)
    }

    pub(super) fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.tokens.values().map(Arc::as_ref)
    }

    /// Returns the sessions of a person that have not ended.
    pub(super) fn open_sessions(&self, user: &UserId, now: Timestamp) -> impl Iterator<Item = &Record> {
        self.records().filter(move |record| {
            record.token.kind == TokenKind::Session
                && record.token.owner.user() == Some(user)
                && !record.is_expired(now)
                && !record.is_revoked(now)
                && !self.is_cut_off(record, Some(now))
        })
    }

    pub(super) fn token_with(&self, jti: Uuid) -> Option<&Record> {
        self.records().find(|record| record.token.jti == jti)
    }

    pub(super) fn of_owner<'a, 'o>(
        &'a self,
        owner: &'o Owner,
    ) -> impl Iterator<Item = &'a Record> + use<'a, 'o> {
        self.records().filter(|record| record.token.owner == *owner)
    }

    pub(super) fn in_slot(&self, owner: &Owner, slot: &jeton_core::token::Slot) -> Option<&Record> {
        self.of_owner(owner)
            .find(|record| record.token.slot.as_ref() == Some(slot) && record.revocation.is_none())
    }

    /// Returns whether a cut-off that takes effect by an instant, or ever, covers the token.
    pub(super) fn is_cut_off(&self, record: &Record, by: Option<Timestamp>) -> bool {
        let by = by.unwrap_or(Timestamp::LAST);
        self.feed
            .cut_offs
            .values()
            .any(|(cut_off, _)| cut_off.ends(record, by))
    }

    /// Implements [`Tokens::is_standing`](crate::Tokens::is_standing).
    pub(super) fn is_standing(&self, record: &Record, now: Timestamp) -> bool {
        record.token.kind == TokenKind::Api
            && record.revocation.is_none()
            && !record.is_expired(now)
            && !self.is_cut_off(record, None)
    }

    /// Returns a token and its neighbours by rotation, with the facts that a limit depends on.
    pub(super) fn succession(&self, record: &Record) -> Succession {
        let countable = |record: &Record| Countable {
            expires_at: record.token.expires_at,
            effective_at: record.revocation.as_ref().map(|stands| stands.effective_at),
            is_cut_off: self.is_cut_off(record, None),
        };
        let neighbour = |id: Option<TokenId>| id.and_then(|id| self.token(id)).map(countable);
        Succession {
            predecessor: neighbour(record.lineage.rotated_from),
            token: countable(record),
            successor: neighbour(record.lineage.replaced_by),
        }
    }

    /// Returns whether a limit counts the token.
    pub(super) fn is_counted(&self, record: &Record, now: Timestamp) -> bool {
        let Succession { token, successor, .. } = self.succession(record);
        record.token.kind == TokenKind::Api && counts(&token, successor.as_ref(), now)
    }

    /// Returns the key with this id, if it signs.
    pub(super) fn signing_key(&mut self, kid: &str) -> Option<&mut KeyRow> {
        let mut rows = self.keys.value.rows.iter_mut();
        rows.find(|row| row.key.kid == kid && row.state == KeyState::Signing)
    }

    pub(super) fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organizations.get(&id).and_then(Kept::live)
    }

    pub(super) fn person(&self, id: &UserId) -> Option<&Person> {
        Some(&self.people.get(id)?.live()?.person)
    }

    pub(super) fn live_people(&self) -> impl Iterator<Item = &Person> {
        self.people.keys().filter_map(|id| self.person(id))
    }

    pub(super) fn live_teams(&self) -> impl Iterator<Item = &Team> {
        self.teams.keys().filter_map(|id| self.team(id))
    }

    /// Returns a live team of a live organization.
    pub(super) fn team(&self, id: &TeamId) -> Option<&Team> {
        let team = self.teams.get(id).and_then(Kept::live)?;
        self.organization(team.organization).map(|_| team)
    }

    /// Returns whether a person belongs to the organization of a token of theirs.
    pub(super) fn belongs(&self, user: &UserId, organization: Option<OrganizationId>) -> bool {
        organization.is_none_or(|organization| self.is_member(organization, user))
            || self
                .people
                .get(user)
                .is_some_and(|kept| kept.value.person.site_admin)
    }

    pub(super) fn is_member(&self, organization: OrganizationId, user: &UserId) -> bool {
        self.memberships.contains_key(&(organization, user.clone()))
    }
}
