//! Revoking one token.

use std::sync::Arc;

use crate::authority::{Authority, Caller, Error, Presented, Result, policy};
use jeton_core::directory::OrganizationReference;
use jeton_core::token::{Actor, Record, Revocation, RevocationNote, TokenReference};
use jeton_store::{LastToken, RevokeOrder, RevokeOutcome};

/// A token that is revoked, whether by this order or an earlier one.
#[derive(Debug)]
pub struct Revoked {
    /// Its record, as it was before.
    pub record: Arc<Record>,
    /// The revocation that counts: the first.
    pub note: RevocationNote,
}

impl Authority {
    /// Revokes a token that the caller manages. Revoking again changes nothing and succeeds.
    pub async fn revoke(
        &self,
        caller: &Caller,
        reference: TokenReference,
        reason: Option<String>,
        last_token: LastToken,
    ) -> Result<Revoked> {
        let record = self.token(caller, reference).await?;
        self.revoke_record(Arc::new(record), caller.actor(), reason, last_token)
            .await
    }

    /// Revokes the token that the caller holds, which no role can forbid.
    pub async fn revoke_own(&self, caller: &Caller, reason: Option<String>) -> Result<Revoked> {
        let actor = Actor {
            name: "holder".to_owned(),
            user: caller.user().cloned(),
        };
        self.revoke_record(Arc::clone(caller.record()), actor, reason, LastToken::MayGo)
            .await
    }

    /// Revokes the token that somebody presents: to have it is all the right that this takes, so that
    /// whoever finds a leaked one can end it. In a caller's name where one is known who holds another
    /// token. What is not active needs no ending, and is no error.
    pub async fn revoke_presented(&self, token: &str, caller: Option<&Caller>, reason: String) -> Result<()> {
        let turn = self.verifications.take().await.ok_or(Error::Busy)?;
        let found = self.find(token, Presented::ToEnd).await?;
        drop(turn);
        let Ok(active) = found else { return Ok(()) };
        let holder = Caller::new(active);
        let other = caller.filter(|caller| caller.record().id != holder.record().id);
        let revoked = match other {
            Some(caller) => {
                let record = Arc::clone(holder.record());
                self.revoke_record(record, caller.actor(), Some(reason), LastToken::MayGo)
                    .await
            }
            None => self.revoke_own(&holder, Some(reason)).await,
        };
        match revoked {
            Ok(_) | Err(Error::Absent) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A token that the caller manages.
    pub async fn token(&self, caller: &Caller, reference: TokenReference) -> Result<Record> {
        let record = self.store.token(reference).await?.ok_or(Error::Absent)?;
        self.manages(caller, &record).await?;
        Ok(record)
    }

    /// The same in one organization: what is not of it does not exist there.
    pub async fn token_of(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        reference: TokenReference,
    ) -> Result<Record> {
        let (organization, _) = self.view().visible(caller, organization).await?;
        let record = self.token(caller, reference).await?;
        if record.token.owner.organization() == Some(organization.id) {
            Ok(record)
        } else {
            Err(Error::Absent)
        }
    }

    pub(super) async fn manages(&self, caller: &Caller, record: &Record) -> Result<()> {
        let owner = &record.token.owner;
        let rank = match owner.organization() {
            Some(organization) => self.view().rank(caller, organization).await?,
            None => policy::rank_everywhere(caller),
        };
        policy::manage_token(&rank, caller, owner)
    }

    async fn revoke_record(
        &self,
        record: Arc<Record>,
        actor: Actor,
        reason: Option<String>,
        last_token: LastToken,
    ) -> Result<Revoked> {
        let now = self.clock.now();
        let revocation = Revocation {
            revoked_at: now,
            effective_at: now,
            revoked_by: actor,
            reason,
        };
        let order = RevokeOrder {
            token: record.id,
            revocation,
            last_token,
        };
        match self.store.revoke(order).await? {
            RevokeOutcome::Revoked(note) => {
                tracing::info!(token = %record.id, by = note.revoked_by, "a token was revoked");
                Ok(Revoked { record, note })
            }
            RevokeOutcome::AlreadyRevoked(note) => Ok(Revoked { record, note }),
            RevokeOutcome::Last => Err(Error::LastToken {
                owner: record.token.owner.kind(),
            }),
            RevokeOutcome::Unknown => Err(Error::Absent),
        }
    }
}
