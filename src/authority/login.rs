//! Logging in and out.

use std::net::IpAddr;

use crate::authority::issue::Issued;
use crate::authority::password::{Password, PasswordHash, Verdict};
use crate::authority::{Authority, Caller, Error, Result};
use crate::clock::Timestamp;
use crate::directory::Email;
use crate::keys::SignedToken;
use crate::store::{Naming, RecordOrder};
use crate::token::{Actor, NewToken, Owner, TokenKind};

/// What logging in gives.
#[derive(Debug)]
pub struct Session {
    /// The session's token.
    pub token: SignedToken,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Authority {
    /// Gives a session to whoever knows the password of an account.
    ///
    /// An unknown account, a disabled one and a wrong password take the same time and give the same
    /// answer. Failures slow down further attempts, whether the account exists or not.
    pub async fn login(&self, email: &str, password: Password, address: IpAddr) -> Result<Session> {
        match self.try_password(email, password, address).await? {
            Some((owner, actor)) => self.open_session(owner, actor).await,
            None => Err(Error::BadLogin),
        }
    }

    /// Who it is, if the password is right. Wherever a password is tried is one of the attempts that are
    /// slowed down, or guessing would go on where it is not counted.
    pub(super) async fn try_password(
        &self,
        email: &str,
        password: Password,
        address: IpAddr,
    ) -> Result<Option<(Owner, Actor)>> {
        let known: Option<Email> = email.parse().ok();
        let account = known.as_ref().map_or(email, Email::as_str);
        let attempt = self
            .throttle
            .attempt(account, address, self.clock.now())
            .map_err(|throttled| Error::LockedOut {
                retry_after: throttled.retry_after,
            })?;
        let checked = self.check_password(known, password).await;
        match &checked {
            Ok(Some(_)) => attempt.succeeded(),
            // Not for whom: a hurried person types a password where the address belongs.
            Ok(None) => tracing::info!(%address, "a login failed"),
            Err(_) => attempt.abandoned(),
        }
        checked
    }

    async fn check_password(
        &self,
        email: Option<Email>,
        password: Password,
    ) -> Result<Option<(Owner, Actor)>> {
        let credentials = match email {
            Some(email) => self.store.credentials(email).await?,
            None => None,
        };
        let hash = match &credentials {
            Some(known) => Some(
                known
                    .password_hash
                    .parse::<PasswordHash>()
                    .map_err(|error| Error::Unavailable(Box::new(error)))?,
            ),
            None => None,
        };
        let right = self.passwords.verify(password, hash).await? == Verdict::Right;
        // Whether the person is shut out is looked at only now, or the time of the answer would tell.
        Ok(credentials
            .filter(|known| right && known.person.disabled_at.is_none())
            .map(|known| {
                let actor = Actor {
                    name: known.person.email.to_string(),
                    user: Some(known.person.id.clone()),
                };
                (
                    Owner::User {
                        user: known.person.id,
                        organization: None,
                    },
                    actor,
                )
            }))
    }

    async fn open_session(&self, owner: Owner, actor: Actor) -> Result<Session> {
        let (owner, actor) = (&owner, &actor);
        let Issued { token, record } = self
            .judged(move || {
                Box::pin(async move {
                    let now = self.clock.now();
                    let view = self.view();
                    let user = owner.user().ok_or(Error::BadLogin)?;
                    // Removed or shut out since the password was checked?
                    let person = self.store.person(user.clone().into()).await?;
                    if person.is_none_or(|person| person.disabled_at.is_some()) {
                        return Err(Error::BadLogin);
                    }
                    let lifetime =
                        i64::try_from(self.settings.session_lifetime.seconds()).unwrap_or(i64::MAX);
                    self.record_and_sign(RecordOrder {
                        token: NewToken {
                            jti: self.entropy.uuid_v7(now),
                            kind: TokenKind::Session,
                            name: "session".to_owned(),
                            description: None,
                            owner: owner.clone(),
                            slot: None,
                            scopes: Vec::new(),
                            preset: None,
                            projects: None,
                            audience: vec![self.settings.session_audience()],
                            prefix: String::new(),
                            kid: self.keys.signing_kid()?,
                            created_at: now,
                            created_by: actor.clone(),
                            expires_at: Some(now.plus_seconds(lifetime)),
                        },
                        judged_at: view.generation(),
                        limits: Vec::new(),
                        naming: Naming::Free,
                        rotation: None,
                    })
                    .await
                })
            })
            .await?;
        let expires_at = record.token.expires_at.unwrap_or(Timestamp::LAST);
        Ok(Session { token, expires_at })
    }

    /// Ends the session that the caller came with.
    pub async fn logout(&self, caller: &Caller) -> Result<()> {
        self.revoke_own(caller, Some("logout".to_owned())).await.map(drop)
    }
}
