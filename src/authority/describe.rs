//! Changing what people read about a token.

use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::token::{Record, Status, TokenReference};
use jeton_store::{Description, Judged};

impl Authority {
    /// Changes name and description of a token that the caller manages.
    pub async fn describe(
        &self,
        caller: &Caller,
        reference: TokenReference,
        description: &Description,
    ) -> Result<Record> {
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let judged_at = view.generation();
                let record = self.token(&caller, reference).await?;
                match self
                    .store
                    .describe(record.id, description.clone(), judged_at)
                    .await?
                {
                    Judged::Done(Some(record)) => Ok(Judged::Done(record)),
                    Judged::Done(None) => Err(Error::Absent),
                    Judged::Stale => Ok(Judged::Stale),
                }
            })
        })
        .await
    }

    /// Whether a token is good at this moment, as lists show it.
    pub fn status(&self, record: &Record) -> Status {
        let now = self.clock.now();
        if record.is_revoked(now) || self.index.is_cut_off(record, now) {
            Status::Revoked
        } else if record.is_expired(now) {
            Status::Expired
        } else {
            Status::Active
        }
    }
}
