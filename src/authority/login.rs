//! Login and logout: sessions from an e-mail address and a password.

use std::net::IpAddr;

use crate::authority::issue::Issued;
use crate::authority::password::{Password, PasswordHash, Verdict};
use crate::authority::throttle::{Instants, Outcome};
use crate::authority::{Authority, Caller, Error, Result};
use crate::keys::SignedToken;
use jeton_core::clock::Timestamp;
use jeton_core::directory::Email;
use jeton_core::token::{Actor, NewToken, Owner, TokenKind};
use jeton_store::rules::tokens::Demands;
use jeton_store::{Cause, Credentials, Origin};

/// How many lines about failed attempts are written each second: an attempt needs no token, and clients must not be
/// able to fill the disk.
pub(super) const LOGGED_FAILURES: u32 = 1;

/// A new session.
#[derive(Debug)]
pub struct Session {
    /// The session's token.
    pub token: SignedToken,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// The result of checking a password.
struct Checked {
    /// Whether an account has the address.
    is_known: bool,
    /// Its credentials, if the password is right and the user is not disabled.
    right: Option<Credentials>,
}

impl Authority {
    /// Deletes counters of failed logins that are not needed any more. The server calls it periodically.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn prune_login_counts(&self) -> Result<()> {
        Ok(self.throttle.prune(self.clock.now()).await?)
    }

    /// Creates a session from an e-mail address and a password.
    ///
    /// An unknown user, a disabled one and a wrong password give the same error in the same time, so that
    /// a client cannot find out who has an account. Failures delay further attempts in each case.
    pub async fn login(&self, email: &str, password: Password, origin: &Origin) -> Result<Session> {
        // Requests without an address share one counter.
        let address = origin.address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let session = match self.try_password(email, password, address).await {
            Ok(Some(credentials)) => self.open_session(&credentials, origin).await,
            Ok(None) => Err(Error::BadLogin),
            Err(error) => Err(error),
        };
        self.metrics.logged_in(&session);
        session
    }

    /// Returns the user's credentials if the password is right. Every check of a password must come
    /// through here: one that is not throttled could be used to guess.
    pub(super) async fn try_password(
        &self,
        email: &str,
        password: Password,
        address: IpAddr,
    ) -> Result<Option<Credentials>> {
        let known: Option<Email> = email.parse().ok();
        let account = known.as_ref().map_or(email, Email::as_str);
        let at = Instants {
            uptime: self.clock.uptime(),
            now: self.clock.now(),
        };
        let attempt = self
            .throttle
            .attempt(account, address, at)
            .await?
            .map_err(|throttled| {
                // Without the account, since it was not looked up.
                self.count_failed_login(address, None);
                Error::LockedOut {
                    retry_after: throttled.retry_after,
                }
            })?;
        let checked = self.check_password(known.clone(), password).await;
        match &checked {
            Ok(Checked { right: Some(_), .. }) => attempt.end(Outcome::Success).await?,
            Ok(Checked {
                right: None,
                is_known,
            }) => {
                self.log_failure(address);
                self.count_failed_login(address, known.as_ref().filter(|_| *is_known));
                attempt.end(Outcome::Failure).await?;
            }
            // The answer is the error of the check, whatever becomes of the attempt.
            Err(_) => _ = attempt.end(Outcome::None).await,
        }
        checked.map(|checked| checked.right)
    }

    /// Logs a failed attempt without the account: users sometimes type their password into the field of the address.
    fn log_failure(&self, address: IpAddr) {
        if let Some(left_out) = self.login_failures.admit() {
            let left_out = (left_out > 0).then_some(left_out);
            tracing::info!(%address, left_out, "login failed");
        }
    }

    /// Returns the credentials of a user who is not disabled and whose password this is.
    async fn check_password(&self, email: Option<Email>, password: Password) -> Result<Checked> {
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
        // Checked after hashing: otherwise the response time would reveal that the user is disabled.
        Ok(Checked {
            is_known: credentials.is_some(),
            right: credentials.filter(|known| right && known.person.disabled_at.is_none()),
        })
    }

    pub(super) async fn open_session(&self, checked: &Credentials, origin: &Origin) -> Result<Session> {
        let person = &checked.person;
        let Issued { token, record } = self
            .attempt(move |view| {
                Box::pin(async move {
                    let now = self.clock.now();
                    // The user may have been deleted, disabled or given another password since the check. A
                    // new password ends existing sessions; this one would start after it and survive.
                    let current = view.credentials(&person.email).await?;
                    let is_unchanged = |current: &Credentials| {
                        current.person.id == person.id
                            && current.person.disabled_at.is_none()
                            && current.password_hash == checked.password_hash
                    };
                    if !current.as_ref().is_some_and(is_unchanged) {
                        return Err(Error::BadLogin);
                    }
                    self.allow_session(&person.id, now).await?;
                    let lifetime =
                        i64::try_from(self.settings().session_lifetime.seconds()).unwrap_or(i64::MAX);
                    let token = NewToken {
                        jti: self.entropy.uuid_v7(now),
                        kind: TokenKind::Session,
                        name: "session".to_owned(),
                        description: None,
                        owner: Owner::User {
                            user: person.id.clone(),
                            organization: None,
                        },
                        slot: None,
                        scopes: Vec::new(),
                        preset: None,
                        projects: None,
                        audience: vec![super::session_audience(&self.issuer)],
                        prefix: String::new(),
                        kid: self.keys.signing_kid()?,
                        created_at: now,
                        created_by: Actor {
                            name: person.email.to_string(),
                            user: Some(person.id.clone()),
                        },
                        created_by_token: None,
                        expires_at: Some(now.plus_seconds(lifetime)),
                    };
                    let cause = Cause {
                        at: now,
                        by: token.created_by.clone(),
                        token: None,
                        origin: origin.clone(),
                        reason: None,
                        idempotency: None,
                    };
                    self.sign_and_record(&view, cause, token, Demands::none()).await
                })
            })
            .await?;
        let expires_at = record.token.expires_at.unwrap_or(Timestamp::LAST);
        Ok(Session { token, expires_at })
    }

    /// Ends the session of the request.
    pub async fn logout(&self, caller: &Caller) -> Result<()> {
        self.end_own(caller, Some("logout".to_owned())).await.map(drop)
    }
}
