//! Revoking one token.

use crate::authority::{Authority, Caller, Error, Presented, Result, policy};
use jeton_core::directory::OrganizationReference;
use jeton_core::token::{
    Actor, Owner, OwnerKind, Record, Revocation, RevocationNote, TokenId, TokenReference,
};
use jeton_store::{LastToken, RevokeOrder, RevokeOutcome};

/// A token that is revoked, whether by this order or an earlier one.
#[derive(Debug)]
pub struct Revoked {
    /// Its record, as it was before.
    pub record: Record,
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
        let owner = record.token.owner.kind();
        let note = self
            .end(record.id, owner, caller.actor(), reason, last_token)
            .await?;
        Ok(Revoked { record, note })
    }

    /// Revokes the token that the caller holds, which no role can forbid.
    pub async fn revoke_own(&self, caller: &Caller, reason: Option<String>) -> Result<Revoked> {
        let record = self.own_record(caller).await?;
        let note = self.end_own(caller, reason).await?;
        Ok(Revoked { record, note })
    }

    /// The record of the token that the caller holds, as it is now.
    pub async fn own_record(&self, caller: &Caller) -> Result<Record> {
        let presented = self.store.presented(caller.token().jti()).await?;
        Ok(presented.ok_or(Error::Absent)?.record)
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
        let token = holder.token();
        let revoked = match caller.filter(|caller| caller.token().id() != token.id()) {
            Some(caller) => {
                let (owner, actor) = (token.owner().kind(), caller.actor());
                self.end(token.id(), owner, actor, Some(reason), LastToken::MayGo)
                    .await
            }
            None => self.end_own(&holder, Some(reason)).await,
        };
        match revoked {
            Ok(_) | Err(Error::Absent) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A token that the caller manages.
    pub async fn token(&self, caller: &Caller, reference: TokenReference) -> Result<Record> {
        let record = self.store.token(reference).await?.ok_or(Error::Absent)?;
        self.manages(caller, &record.token.owner).await?;
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

    /// Refuses a caller who could not manage the tokens of an owner.
    pub(super) async fn manages(&self, caller: &Caller, owner: &Owner) -> Result<()> {
        let rank = match owner.organization() {
            Some(organization) => self.view().rank(caller, organization).await?,
            None => policy::rank_everywhere(caller),
        };
        policy::manage_token(&rank, caller, owner)
    }

    /// Ends the token that the caller holds.
    pub(super) async fn end_own(&self, caller: &Caller, reason: Option<String>) -> Result<RevocationNote> {
        let actor = Actor {
            name: "holder".to_owned(),
            user: caller.user().cloned(),
        };
        let token = caller.token();
        self.end(token.id(), token.owner().kind(), actor, reason, LastToken::MayGo)
            .await
    }

    async fn end(
        &self,
        token: TokenId,
        owner: OwnerKind,
        actor: Actor,
        reason: Option<String>,
        last_token: LastToken,
    ) -> Result<RevocationNote> {
        let now = self.clock.now();
        let revocation = Revocation {
            revoked_at: now,
            effective_at: now,
            revoked_by: actor,
            reason,
        };
        let order = RevokeOrder {
            token,
            revocation,
            last_token,
        };
        match self.store.revoke(order).await? {
            RevokeOutcome::Revoked(note) => {
                tracing::info!(%token, by = note.revoked_by, "a token was revoked");
                Ok(note)
            }
            RevokeOutcome::AlreadyRevoked(note) => Ok(note),
            RevokeOutcome::Last => Err(Error::LastToken { owner }),
            RevokeOutcome::Unknown => Err(Error::Absent),
        }
    }
}
