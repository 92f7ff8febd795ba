//! Which parts of the directory have changed, so that what was read of them is read again.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use jeton_store::{Generation, Realm};

/// Realms share this many slots. A collision only costs a read of the store.
const SLOTS: usize = 16_384;

/// The last edit of each realm, as far as this process knows.
#[derive(Debug)]
pub struct Realms {
    /// The last edit of any realm that was taken over.
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
    /// The last edit that was taken over. Loaded before the store is read: what is read then is at least as
    /// new.
    pub fn as_of(&self) -> Generation {
        Generation(self.latest.load(Ordering::Acquire))
    }

    /// The version of the keys.
    pub fn keys(&self) -> Generation {
        Generation(self.keys.load(Ordering::Acquire))
    }

    /// Whether nothing has changed in a realm since the store was read after [`Realms::as_of`].
    pub fn is_current(&self, realm: &Realm, as_of: Generation) -> bool {
        self.slot(realm)
            .is_none_or(|slot| slot.load(Ordering::Acquire) <= as_of.0)
    }

    /// Takes over a change of the keys.
    pub(super) fn keys_changed(&self, generation: Generation) {
        self.keys.fetch_max(generation.0, Ordering::AcqRel);
    }

    /// Takes over a change: of a commit that was observed, or of a version that was read. What was read
    /// before it of the same realm is older.
    pub fn changed(&self, realm: &Realm, generation: Generation) {
        if *realm == Realm::Keys {
            self.keys_changed(generation);
        }
        if let Some(slot) = self.slot(realm) {
            slot.fetch_max(generation.0, Ordering::AcqRel);
        }
    }

    /// The next edit was taken over. Never moves over one that was not: another process may have written
    /// between two of this one's, and what it changed is asked for from here.
    pub(super) fn next(&self, edit: Generation) {
        let before = edit.0.saturating_sub(1);
        // Where it fails there is a gap, or it was there before.
        let _ = self
            .latest
            .compare_exchange(before, edit.0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Everything up to an edit was taken over. Called after the changes were: whoever loads
    /// [`Realms::as_of`] in between reads the store again for nothing, and never too little.
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
