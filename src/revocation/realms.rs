//! The known generations of the directory's realms, which show whether cached data is stale.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use jeton_store::{Generation, Realm};

/// The number of slots that realms share. A collision costs one read of the store.
const SLOTS: usize = 16_384;

/// The last known edit of each realm.
#[derive(Debug)]
pub struct Realms {
    /// The edit up to which all changes are applied.
    latest: AtomicU64,
    keys: AtomicU64,
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Default for Realms {
    fn default() -> Self {
        Self {
            latest: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::default(),
        }
    }
}

impl Realms {
    /// Returns the edit up to which all changes are applied. Load it before a read of the store, whose result
    /// is then at least as new.
    pub fn as_of(&self) -> Generation {
        Generation(self.latest.load(Ordering::Acquire))
    }

    /// Returns the generation of the keys.
    pub fn keys(&self) -> Generation {
        Generation(self.keys.load(Ordering::Acquire))
    }

    /// Returns whether a realm is unchanged since data was read after [`Realms::as_of`].
    pub fn is_current(&self, realm: &Realm, as_of: Generation) -> bool {
        self.slot(realm)
            .is_none_or(|slot| slot.load(Ordering::Acquire) <= as_of.0)
    }

    /// Applies a change of the keys.
    pub(super) fn keys_changed(&self, generation: Generation) {
        self.keys.fetch_max(generation.0, Ordering::AcqRel);
    }

    /// Applies a change, from an observed commit or from a generation that was read. Data of the realm that was
    /// read before is stale.
    pub fn changed(&self, realm: &Realm, generation: Generation) {
        if *realm == Realm::Keys {
            self.keys_changed(generation);
        }
        if let Some(slot) = self.slot(realm) {
            slot.fetch_max(generation.0, Ordering::AcqRel);
        }
    }

    /// Moves to the next edit, but never over one that was not applied: another process may have written
    /// between two edits of this one, and its changes are read from here.
    pub(super) fn next(&self, edit: Generation) {
        let before = edit.0.saturating_sub(1);
        // A failure means that there is a gap, or that the edit was applied before.
        let _ = self
            .latest
            .compare_exchange(before, edit.0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Records that all changes up to an edit are applied. Called after applying them: a concurrent load of
    /// [`Realms::as_of`] then causes a needless read of the store, never a missing one.
    pub(super) fn reached(&self, edit: Generation) {
        self.latest.fetch_max(edit.0, Ordering::AcqRel);
    }

    fn slot(&self, realm: &Realm) -> Option<&AtomicU64> {
        let hash = usize::try_from(self.hasher.hash_one(realm) % SLOTS as u64).unwrap_or_default();
        self.slots.get(hash)
    }
}

#[cfg(test)]
mod tests {
    use jeton_core::directory::OrganizationId;
    use uuid::Uuid;

    use super::*;

    fn organization(number: u128) -> Realm {
        Realm::Organization(OrganizationId(Uuid::from_u128(number)))
    }

    #[test]
    fn a_change_concerns_its_realm_and_what_was_read_before_it() {
        let realms = Realms::default();
        realms.changed(&organization(1), Generation(5));
        realms.reached(Generation(5));
        assert!(!realms.is_current(&organization(1), Generation(4)));
        assert!(realms.is_current(&organization(1), Generation(5)));
        let others = (2..1_000).filter(|number| realms.is_current(&organization(*number), Generation(4)));
        assert!(others.count() > 990, "few share a slot");
        assert_eq!((realms.as_of(), realms.keys()), (Generation(5), Generation(0)));
        realms.changed(&Realm::Keys, Generation(6));
        assert_eq!(realms.keys(), Generation(6));
    }
}
