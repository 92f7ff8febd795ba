//! Updating the name and description of a token, and the status that lists show.

use crate::authority::retry::Attempt;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::token::{Record, Status, TokenReference};
use jeton_store::Description;
use jeton_store::rules::tokens;

impl Authority {
    /// Updates the name and description of a token that the caller manages.
    pub async fn describe(
        &self,
        caller: &Caller,
        reference: TokenReference,
        description: &Description,
    ) -> Result<Record> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let record = self.managed(&view, &caller, reference).await?;
                let cause = caller.cause(self.clock.now());
                let order = tokens::describe(cause, &record, description.clone());
                match self.commit(&view, order).await? {
                    Attempt::Done(_) => {
                        let described = self.store.token(reference).await?;
                        described.map(Attempt::Done).ok_or(Error::Absent)
                    }
                    Attempt::Stale => Ok(Attempt::Stale),
                    Attempt::Again => Ok(Attempt::Again),
                }
            })
        })
        .await
    }

    /// Returns the status of a token now: active, revoked or expired.
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
