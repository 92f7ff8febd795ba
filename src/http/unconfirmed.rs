//! A caller whose request has not arrived as a whole.

use std::sync::Arc;

use crate::authority::{Active, RequestKey, Result};
use crate::http::App;

/// A caller who was authenticated by the head of a request, whose body is not read yet. Sending it can take long, and
/// the caller may be revoked or disabled meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Unconfirmed {
    app: Arc<App>,
    active: Active,
    key: Option<RequestKey>,
}

impl Unconfirmed {
    pub(super) fn new(app: Arc<App>, active: Active, key: Option<RequestKey>) -> Self {
        Self { app, active, key }
    }

    /// Refuses a caller who is no longer active, and a request that was carried out already. `body` is the whole one.
    pub(super) async fn confirm(&self, body: &str) -> Result<()> {
        let key = self.key.as_ref().inspect(|key| key.add_body(body));
        self.app.authority.confirm(&self.active, key).await
    }
}
