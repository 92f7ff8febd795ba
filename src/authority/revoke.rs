//! Revoking one token.

use uuid::Uuid;

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Presented, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationReference;
use jeton_core::token::{Actor, Owner, Record, RevocationNote, Status, TokenId, TokenReference};
use jeton_store::rules::tokens;
use jeton_store::{Cause, Guard, LastToken, Origin, Refused};

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
        let cause = caller.cause(self.clock.now()).because(reason);
        let owner = &record.token.owner;
        let note = self
            .end(record.id, record.token.jti, owner, cause, last_token)
            .await?;
        Ok(Revoked { record, note })
    }

    /// Deletes tokens that the caller manages, as found by [`Authority::token`] or in a list: revokes them in
    /// one step. Of several orders at once that delete the same token, one succeeds. Several tokens of one
    /// owner whose organization keeps the last one are revoked one after another.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] if one of them is revoked already, or another order revokes it first;
    /// [`Error::LastToken`] if one is the last of its owner and is kept.
    pub async fn delete_tokens(&self, caller: &Caller, mut records: Vec<Record>) -> Result<()> {
        records.sort_by_key(|record| record.id);
        records.dedup_by_key(|record| record.id);
        let (view, cause) = (self.view(), caller.cause(self.clock.now()));
        let mut steps: Vec<Vec<(TokenId, LastToken)>> = Vec::new();
        let mut kept: Vec<&Owner> = Vec::new();
        for record in &records {
            let owner = &record.token.owner;
            self.manages(&view, caller, owner).await?;
            if self.status(record) == Status::Revoked {
                return Err(Error::Absent);
            }
            let (step, last_token) = if self.is_kept(record.id, owner, cause.at).await? {
                // Guards are compared before the effects of their own order: they would not see that two
                // tokens of one owner end together.
                let earlier = kept.iter().filter(|one| **one == owner).count();
                kept.push(owner);
                (earlier, LastToken::Stays)
            } else {
                (0, LastToken::MayGo)
            };
            if step >= steps.len() {
                steps.resize_with(step + 1, Vec::new);
            }
            if let Some(tokens) = steps.get_mut(step) {
                tokens.push((record.id, last_token));
            }
        }
        for ended in steps {
            let order = tokens::revoke_all(cause.clone(), &ended);
            self.store.commit(order).await?.map_err(|Refused(guard)| {
                let last = records
                    .iter()
                    .find(|record| matches!(guard, Guard::NotLast(token, _) if token == record.id));
                last.map_or(Error::Absent, |record| Error::LastToken {
                    owner: record.token.owner.kind(),
                })
            })?;
            for (token, _) in ended {
                tracing::info!(%token, by = cause.by.name, "a token was revoked");
            }
        }
        Ok(())
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
    pub async fn revoke_presented(
        &self,
        token: &str,
        caller: Option<&Caller>,
        origin: Origin,
        reason: String,
    ) -> Result<()> {
        let permit = self.verifications.acquire().await.ok_or(Error::Busy)?;
        let found = self.find(token, Presented::ToEnd).await?;
        drop(permit);
        let Ok(active) = found else { return Ok(()) };
        let holder = Caller::new(active, origin);
        let token = holder.token();
        let revoked = match caller.filter(|caller| caller.token().id() != token.id()) {
            Some(caller) => {
                let cause = caller.cause(self.clock.now()).because(Some(reason));
                self.end(token.id(), token.jti(), token.owner(), cause, LastToken::MayGo)
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
        self.managed(&self.view(), caller, reference).await
    }

    /// The same, where an order rests on it.
    pub(super) async fn managed(
        &self,
        view: &View<'_>,
        caller: &Caller,
        reference: TokenReference,
    ) -> Result<Record> {
        let record = self.store.token(reference).await?.ok_or(Error::Absent)?;
        self.manages(view, caller, &record.token.owner).await?;
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
        if record.token.owner.organization() == Some(organization.value.id) {
            Ok(record)
        } else {
            Err(Error::Absent)
        }
    }

    /// Refuses a caller who could not manage the tokens of an owner.
    pub(super) async fn manages(&self, view: &View<'_>, caller: &Caller, owner: &Owner) -> Result<()> {
        let rank = match owner.organization() {
            Some(organization) => view.rank(caller, organization).await?,
            None => policy::rank_everywhere(caller),
        };
        policy::manage_token(&rank, caller, owner)
    }

    /// Ends the token that the caller holds.
    pub(super) async fn end_own(&self, caller: &Caller, reason: Option<String>) -> Result<RevocationNote> {
        let cause = Cause {
            by: Actor {
                name: "holder".to_owned(),
                user: caller.user().cloned(),
            },
            reason,
            ..caller.cause(self.clock.now())
        };
        let token = caller.token();
        self.end(token.id(), token.jti(), token.owner(), cause, LastToken::MayGo)
            .await
    }

    /// Revokes a token. That somebody may not do so any more, since a moment ago, does not stop it: ending a
    /// token is never wrong.
    async fn end(
        &self,
        token: TokenId,
        jti: Uuid,
        owner: &Owner,
        cause: Cause,
        last_token: LastToken,
    ) -> Result<RevocationNote> {
        let note = RevocationNote {
            revoked_at: cause.at,
            effective_at: cause.at,
            revoked_by: cause.by.name.clone(),
            reason: cause.reason.clone(),
        };
        let last_token = match last_token {
            LastToken::Stays if self.is_kept(token, owner, cause.at).await? => LastToken::Stays,
            LastToken::Stays | LastToken::MayGo => LastToken::MayGo,
        };
        let order = tokens::revoke(cause, token, note.effective_at, last_token);
        match self.store.commit(order).await? {
            Ok(_) => {
                tracing::info!(%token, by = note.revoked_by, "token revoked");
                Ok(note)
            }
            Err(Refused(Guard::NotLast(..))) => Err(Error::LastToken { owner: owner.kind() }),
            // It has been revoked, or its record was purged since it was found.
            Err(Refused(_)) => {
                let stands = self.store.presented(jti).await?;
                let note = stands.and_then(|presented| presented.record.revocation);
                note.ok_or(Error::Absent)
            }
        }
    }

    /// Whether a token counts among those of which its organization keeps the last.
    async fn is_kept(&self, token: TokenId, owner: &Owner, now: Timestamp) -> Result<bool> {
        let Some(organization) = owner.organization() else {
            return Ok(false);
        };
        let organization = self.view().organization(&organization.into()).await?;
        let keeps = organization.is_some_and(|organization| organization.value.policy.keep_last_token);
        Ok(keeps && self.store.is_standing(token, now).await?)
    }
}
