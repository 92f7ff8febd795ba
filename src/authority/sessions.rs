//! The sessions of the caller: where they are logged in, and the end of one.

use crate::authority::revoke::Ending;
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::directory::UserId;
use jeton_core::token::TokenId;
use jeton_store::{LastToken, OpenSession};

impl Authority {
    /// Returns the caller's sessions that have not ended, the newest first. Their number is bounded by a quota.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNeeded`] for an API token.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<OpenSession>> {
        let user = user(caller)?;
        Ok(self.store.sessions(user.clone(), self.clock.now()).await?)
    }

    /// Ends a session of the caller.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] if the caller has no such session, or it has ended.
    pub async fn end_session(&self, caller: &Caller, id: TokenId) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let user = user(&caller)?;
                let now = self.clock.now();
                let sessions = self.store.sessions(user.clone(), now).await?;
                let session = sessions.iter().find(|session| session.id == id);
                let reason = match id == caller.token().id() {
                    true => "logout",
                    false => "logout by another session",
                };
                let ending = Ending {
                    token: id,
                    jti: session.ok_or(Error::Absent)?.jti,
                    owner: caller.owner(),
                    last_token: LastToken::MayGo,
                    descendants: None,
                };
                let cause = caller.cause(now).because(Some(reason.to_owned()));
                Ok(self.end(Some(&view), ending, cause).await?.map(drop))
            })
        })
        .await
    }
}

fn user(caller: &Caller) -> Result<&UserId> {
    policy::logged_in(caller)?;
    caller.user().ok_or(Error::SessionNeeded)
}
