//! Setting up a deployment that has no site administrator: who has the code of the server's start becomes the first one.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::authority::login::Session;
use crate::authority::{Authority, Error, NewAccount, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::Name;
use jeton_store::rules::organizations;
use jeton_store::{Cause, Origin};

/// How long a code is valid, in seconds.
const VALID: i64 = 30 * 60;

/// The letters and digits of a code: 71 random bits, which nobody guesses in half an hour, and few enough to be typed.
const LENGTH: usize = 12;

/// The code of this start of the server, until it is used.
#[derive(Default)]
pub(super) struct SetupCode(Mutex<Option<Pending>>);

/// A code that was not used.
#[derive(Clone, Copy)]
struct Pending {
    /// Its SHA-256 hash. Comparing hashes tells a client nothing about the code by the time that it takes.
    hash: [u8; 32],
    ends: Timestamp,
}

impl SetupCode {
    fn pending(&self) -> Option<Pending> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, pending: Option<Pending>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pending;
    }
}

impl Authority {
    /// Returns a code with which the first site administrator is created, for half an hour, by [`Self::set_up`]. `None` if
    /// there is a site administrator.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn begin_setup(&self) -> Result<Option<Zeroizing<String>>> {
        if !self.is_unfounded().await? {
            return Ok(None);
        }
        let code = Zeroizing::new(self.entropy.alphanumeric(LENGTH));
        self.setup.set(Some(Pending {
            hash: hash(&code),
            ends: self.clock.now().plus_seconds(VALID),
        }));
        Ok(Some(code))
    }

    /// Returns whether this server waits for its first site administrator. Asks the store only while it does: another
    /// process may have created one.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn awaits_setup(&self) -> Result<bool> {
        if self.setup.pending().is_none() {
            return Ok(false);
        }
        let waits = self.is_unfounded().await?;
        if !waits {
            self.setup.set(None);
        }
        Ok(waits)
    }

    async fn is_unfounded(&self) -> Result<bool> {
        let order = organizations::unfounded(Cause::operator(self.clock.now()));
        Ok(self.write(order).await?.is_ok())
    }

    /// Creates the first site administrator and an organization, whose admin they become, and logs them in.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSetupCode`] if the code is another one or older than half an hour, [`Error::AlreadySetUp`] if there is a
    /// site administrator.
    pub async fn set_up(
        &self,
        code: &str,
        administrator: NewAccount,
        organization: Name,
        origin: &Origin,
    ) -> Result<Session> {
        let Some(pending) = self.setup.pending() else {
            return Err(Error::AlreadySetUp);
        };
        let now = self.clock.now();
        if pending.hash != hash(code.trim()) || now >= pending.ends {
            return Err(Error::WrongSetupCode);
        }
        let email = administrator.email.clone();
        let cause = Cause {
            origin: origin.clone(),
            ..Cause::operator(now)
        };
        let founded = self.found_by(cause, administrator, organization).await?;
        self.setup.set(None);
        match self.store.credentials(email).await? {
            Some(credentials) if founded => self.open_session(&credentials, origin).await,
            _ => Err(Error::AlreadySetUp),
        }
    }
}

fn hash(code: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, code.as_bytes()).as_ref());
    hash
}
