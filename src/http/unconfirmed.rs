//! A caller whose request has not arrived as a whole.

use std::sync::Arc;

use crate::authority::{Active, Result};
use crate::http::App;

/// A caller who was authenticated by the head of a request, whose body is not read yet. Sending it can take long, and
/// the caller may be revoked or disabled meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Unconfirmed {
    app: Arc<App>,
    active: Active,
}

impl Unconfirmed {
    pub(super) fn new(app: Arc<App>, active: Active) -> Self {
        Self { app, active }
    }

    /// Refuses a caller who is no longer active.
    pub(super) async fn confirm(&self) -> Result<()> {
        self.app.authority.confirm(&self.active).await
    }
}
