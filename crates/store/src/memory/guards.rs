//! Guards, compared as the contract defines them.

use jeton_core::directory::Organization;
use jeton_core::token::{NewToken, TokenKind};

use super::data::{Data, Kept};
use crate::{Generation, Guard, Realm};

impl Data {
    /// Returns whether a guard holds. `recorded` is the token that the order records, if it records one.
    pub(super) fn holds(&self, guard: &Guard, recorded: Option<&NewToken>) -> bool {
        match guard {
            Guard::Unchanged(realm, generation) => self.generation(realm) == Some(*generation),
            Guard::Signs(kid) => self.keys.value.signing().is_some_and(|row| row.key.kid == *kid),
            Guard::AfterCutOffs => recorded.is_none_or(|token| {
                !self.feed.cut_offs.values().any(|(cut_off, _)| {
                    token.created_at.seconds() <= cut_off.issued_through && cut_off.reach.covers(token)
                })
            }),
            Guard::UnderLimit { owners, most, ended } => {
                let active = owners
                    .iter()
                    .map(|owner| self.counts.get(owner)?.active.map(u64::from));
                let active: Option<u64> = active.sum();
                active.is_some_and(|active| active < u64::from(*most) + u64::from(*ended))
            }
            Guard::CountUnmoved(owner, version) => {
                self.counts.get(owner).map(|count| count.version) == *version
            }
            Guard::NameUnusedSince { owner, name, newest } => !self.of_owner(owner).any(|record| {
                record.token.kind == TokenKind::Api && record.token.name == *name && Some(record.id) > *newest
            }),
            Guard::SlotHolds { owner, slot, token } => {
                self.in_slot(owner, slot).map(|record| record.id) == *token
            }
            Guard::Standing(token, at) => self
                .token(*token)
                .is_some_and(|record| self.is_standing(record, *at) && record.lineage.replaced_by.is_none()),
            Guard::NotEndedBy(token, at) => self.token(*token).is_some_and(|record| !record.is_revoked(*at)),
            Guard::Active(token, at) => self.token(*token).is_some_and(|record| {
                let at = self.time.latest.max(*at);
                !record.is_revoked(at) && !record.is_expired(at) && !self.is_cut_off(record, Some(at))
            }),
            Guard::BulkAt(id, portions) => self
                .bulk
                .get(&id.0)
                .is_some_and(|(bulk, _)| bulk.progress.portions == *portions && bulk.finished_at.is_none()),
            Guard::AnotherAdmin(organization, than) => self.memberships.iter().any(|((of, user), role)| {
                of == organization
                    && user != than
                    && *role == jeton_core::directory::Role::Admin
                    && self
                        .person(user)
                        .is_some_and(|person| person.disabled_at.is_none())
            }),
            Guard::AnotherSiteAdministrator(than) => self
                .live_people()
                .any(|person| person.site_admin && person.id != *than && person.disabled_at.is_none()),
            Guard::NoSiteAdministrator => !self.live_people().any(|person| person.site_admin),
            Guard::OrganizationNameFree(name, id, since) => {
                let name = name.canonical();
                let has_it = |other: &Organization| other.name.canonical() == name && other.id != *id;
                let is_reserved = self
                    .former_names
                    .get(&name)
                    .is_some_and(|former| former.of != *id && former.at > *since);
                !is_reserved && !self.organizations.values().filter_map(Kept::live).any(has_it)
            }
            Guard::TeamNameFree(organization, name, id) => !self.teams.values().any(|kept| {
                kept.live().is_some_and(|other| {
                    other.organization == *organization
                        && other.name.canonical() == name.canonical()
                        && other.id != *id
                })
            }),
            Guard::ProjectNameFree(organization, name) => !self.projects.values().any(|project| {
                project.organization == *organization && project.name.canonical() == name.canonical()
            }),
            Guard::EmailFree(email) => !self.live_people().any(|person| person.email == *email),
            Guard::NotDone(key) => self.done(key).is_none(),
        }
    }

    fn generation(&self, realm: &Realm) -> Option<Generation> {
        let (is_removed, generation) = match realm {
            Realm::Keys => (false, self.keys.generation),
            Realm::Organization(id) => {
                let kept = self.organizations.get(id)?;
                (kept.is_removed, kept.generation)
            }
            Realm::Person(id) => {
                let kept = self.people.get(id)?;
                (kept.is_removed, kept.generation)
            }
        };
        (!is_removed).then_some(generation)
    }
}
