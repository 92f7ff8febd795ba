//! Accepting the clock after it was ahead, while no server runs.

use std::path::Path;

use jeton_journal::Entry;

use crate::failure::Failure;
use crate::journal::{batch as revocations, withdrawn};
use crate::leap::lower;
use crate::memory::Memory;
use crate::open::{self, OpenError};
use crate::reconcile;
use crate::values::{Bytes, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::entropy::Entropy;

/// The result of accepting a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedClock {
    /// The latest recorded instant before.
    pub was: Timestamp,
    /// The tokens and sessions that were issued after the accepted instant, and are revoked.
    pub revoked: usize,
}

/// Lowers the latest recorded instant to this one, in a new epoch, since followers know later instants. Returns
/// `None` if there is nothing to lower.
///
/// Tokens that were issued later are revoked, keys that were published later are retired, and revocations and
/// cut-offs that were ordered later are in force as if they were ordered now.
///
/// The caller must hold the [`ServeLock`](crate::ServeLock) of the database.
pub fn accept_clock(
    database: &Path,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Option<AcceptedClock>, OpenError> {
    let database = &open::resolved(database)?;
    let connection = open::writer(database, entropy)?;
    let (memory, mut journal) = reconcile::served(database, &connection, entropy)?;
    if memory.head.latest <= now {
        return Ok(None);
    }
    let mut work = || -> Result<AcceptedClock, Failure> {
        let transaction = connection.unchecked_transaction()?;
        let mut memory = Memory::read(&transaction)?;
        let (was, before) = (memory.head.latest, memory.position());
        memory.epoch = entropy.uuid_v4();
        transaction.execute("UPDATE meta SET epoch = ?1", params![Bytes(memory.epoch)])?;
        let mut changes = Vec::new();
        let mut batch = Batch::new(&transaction, &mut memory, entropy, &mut changes);
        let revoked = lower(&mut batch, now)?;
        let entry = Entry::ClockAccepted { recorded_at: now };
        let mut revocations = revocations(&transaction, &memory)?;
        revocations.entries.insert(0, entry);
        journal.begin_anew(Some(before), vec![revocations], withdrawn(&transaction)?)?;
        memory.write(&transaction)?;
        transaction.commit()?;
        journal.committed();
        Ok(AcceptedClock { was, revoked })
    };
    work().map(Some).map_err(|failure| OpenError::Failed {
        path: database.to_owned(),
        source: Box::new(failure),
    })
}
