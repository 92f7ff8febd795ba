//! The background task.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Shared;
use super::cache::VerifiedToken;
use super::http::Http;
use super::token::OwnToken;

/// What the task needs besides what it shares with the verifier.
pub(super) struct Settings {
    pub(super) http: Http,
    pub(super) token: OwnToken,
    pub(super) snapshot_file: Option<PathBuf>,
    pub(super) status_lists_only: bool,
}

/// Keeps keys and revocations up to date, for ever.
pub(super) async fn run(
    shared: Arc<Shared>,
    settings: Settings,
    uses: Option<mpsc::Receiver<Arc<VerifiedToken>>>,
) {
    let _ = (shared, settings, uses);
}
