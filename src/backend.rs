//! The storage backend. Apart, so that no other module of the program names SQLite.

use std::path::Path;
use std::sync::Arc;

use jeton_core::entropy::Entropy;
use jeton_store::SharedStore;
use jeton_store_sqlite::SqliteStore;
pub use jeton_store_sqlite::{
    AcceptedClock, AuditExamined, AuditReader, BackupError, DatabaseCheck, DatabaseExamined, DatabasePart,
    DrillError, DrillFolder, Examined, JournalCopy, JournalCopyError, KeyOfCheckpoint, LockError, Missing,
    OpenError, Progress, Replayed, ServeLock, accept_clock, backed_up_at, backup, begin_journal,
    check_journal, check_private, examine, install_journal, is_remains, issuer, restore, sync_folder,
    uninstall_journal,
};

use crate::revocation::Index;

/// Opens the store, or creates it if it does not exist. The store passes every commit to the index.
pub fn open(
    database: &Path,
    entropy: &Arc<dyn Entropy>,
    index: &Arc<Index>,
) -> Result<SharedStore, OpenError> {
    let store = SqliteStore::open(database, Arc::clone(entropy), Arc::clone(index) as _)?;
    Ok(Arc::new(store))
}
