//! Revokes single tokens: by their managers, by their holders, or as presented by anybody.

use uuid::Uuid;

use crate::authority::policy::Rank;
use crate::authority::retry::Attempt;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Presented, PresentedToken, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationReference;
use jeton_core::token::filter::Remit;
use jeton_core::token::{
    Actor, Filter, Owner, Record, ReportingAudience, RevocationNote, Status, TokenId, TokenReference,
    Visibility,
};
use jeton_store::rules::tokens::{self, IsLast, Leaves};
use jeton_store::{
    BulkOrder, BulkRevocation, Cause, Effect, Guard, LastToken, Order, Origin, Refused, WithDescendants,
};

/// A revocation of a token with all that it has made.
#[derive(Debug, Clone)]
pub struct RevokeWithDescendants {
    /// The token.
    pub token: TokenReference,
    /// The caller's reason.
    pub reason: Option<String>,
    /// Whether the last token of an owner is revoked if the organization keeps it.
    pub last_token: LastToken,
}

/// A revoked token, whether this request revoked it or an earlier one.
#[derive(Debug)]
pub struct Revoked {
    /// The record, as it was before the request.
    pub record: Record,
    /// The revocation that counts: the first.
    pub note: RevocationNote,
}

impl Authority {
    /// Revokes a token that the caller manages. Revoking it again succeeds and changes nothing.
    pub async fn revoke(
        &self,
        caller: &Caller,
        reference: TokenReference,
        reason: Option<String>,
        last_token: LastToken,
    ) -> Result<Revoked> {
        let (reference, reason) = (&reference, &reason);
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let record = self.managed(&view, &caller, *reference).await?;
                let cause = caller.cause(self.clock.now()).because(reason.clone());
                let ended = self
                    .end(Some(&view), Ending::of(&record, last_token), cause)
                    .await?;
                Ok(ended.map(|(note, _)| Revoked { record, note }))
            })
        })
        .await
    }

    /// Revokes a token that the caller manages, and orders the revocation of its descendants in the same commit: of the
    /// tokens that it has created or was rotated into, of those that these have, and so on. It is revoked first, so that
    /// no further ones come up. Descendants that the caller may not revoke stay.
    pub async fn revoke_with_descendants(
        &self,
        caller: &Caller,
        revoke: &RevokeWithDescendants,
    ) -> Result<(Revoked, BulkRevocation)> {
        let (revoked, bulk) = self
            .attempt_for(caller, move |caller, view| {
                Box::pin(async move {
                    let record = self.managed(&view, &caller, revoke.token).await?;
                    let cause = caller.cause(self.clock.now()).because(revoke.reason.clone());
                    let descendants = BulkOrder {
                        filter: alone(&record),
                        // Descendants are not counted first: a leaked token must not stay active meanwhile.
                        matched: 0,
                        ordered_at: cause.at,
                        ordered_by: caller.actor(),
                        reason: revoke.reason.clone(),
                        effective_at: None,
                        last_token: revoke.last_token,
                        descendants: Some(self.remit(&view, &caller).await?),
                    };
                    let ending = Ending {
                        descendants: Some(descendants),
                        ..Ending::of(&record, revoke.last_token)
                    };
                    let ended = self.end(Some(&view), ending, cause).await?;
                    Ok(ended.map(|(note, bulk)| (Revoked { record, note }, bulk)))
                })
            })
            .await?;
        let bulk = bulk.ok_or(Error::Busy)?;
        self.begin(&bulk);
        Ok((revoked, bulk))
    }

    /// Counts the active tokens that [`Authority::revoke_with_descendants`] would revoke, the token itself included, and
    /// those that it would leave. Like a list, it has a budget.
    pub async fn count_with_descendants(
        &self,
        caller: &Caller,
        token: TokenReference,
    ) -> Result<WithDescendants> {
        let view = self.view();
        let record = self.managed(&view, caller, token).await?;
        let remit = self.remit(&view, caller).await?;
        let count = self
            .store
            .count_descendants(alone(&record), remit, self.clock.now());
        Ok(count.await?)
    }

    /// Counts the token itself if it is active.
    pub async fn count_alone(&self, caller: &Caller, token: TokenReference) -> Result<WithDescendants> {
        let record = self.managed(&self.view(), caller, token).await?;
        Ok(WithDescendants {
            within: u64::from(self.status(&record) == Status::Active),
            beyond: 0,
        })
    }

    /// Returns the tokens that a caller may revoke, in all of their organizations.
    pub(super) async fn remit(&self, view: &View<'_>, caller: &Caller) -> Result<Remit> {
        let everywhere = policy::rank_everywhere(caller);
        if everywhere == Rank::Site {
            return Ok(Remit::Everything);
        }
        let own = caller.owner().organization();
        let mut parts = Vec::new();
        let organizations = match (own, caller.user()) {
            (Some(organization), _) => vec![organization],
            (None, Some(user)) => {
                parts.push((None, policy::visible_tokens(&everywhere, caller)));
                let memberships = self.store.memberships(user.clone()).await?;
                memberships
                    .iter()
                    .map(|membership| membership.organization)
                    .collect()
            }
            (None, None) => Vec::new(),
        };
        for organization in organizations {
            // Read, so that the view records its generation.
            if view.organization(&organization.into()).await?.is_some() {
                let rank = view.rank(caller, organization).await?;
                parts.push((Some(organization), policy::visible_tokens(&rank, caller)));
            }
        }
        Ok(Remit::Within(parts))
    }

    /// Deletes tokens that the caller manages, as found by [`Authority::token`] or in a list: revokes them in
    /// one commit. Of concurrent requests to delete the same token, one succeeds. If an owner's last token is
    /// kept, the owner's tokens are revoked one after another.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] if a token is revoked already, or another request revokes it first;
    /// [`Error::LastToken`] if it is the last of its owner and is kept.
    pub async fn delete_tokens(&self, caller: &Caller, mut records: Vec<Record>) -> Result<()> {
        records.sort_by_key(|record| record.id);
        records.dedup_by_key(|record| record.id);
        let records = &records;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move { self.delete(&view, &caller, records).await })
        })
        .await
    }

    async fn delete(&self, view: &View<'_>, caller: &Caller, records: &[Record]) -> Result<Attempt<()>> {
        let cause = caller.cause(self.clock.now());
        let mut steps: Vec<Vec<&Record>> = Vec::new();
        let mut kept: Vec<&Owner> = Vec::new();
        for record in records {
            let owner = &record.token.owner;
            self.manages(view, caller, owner).await?;
            if self.status(record) == Status::Revoked {
                return Err(Error::Absent);
            }
            let step = if self.leaves(record.id, owner, cause.at).await? == Leaves::Nothing {
                0
            } else {
                // The store compares guards before it applies the effects of the same order, so they would miss
                // that two tokens of one owner end together.
                let earlier = kept.iter().filter(|one| **one == owner).count();
                kept.push(owner);
                earlier
            };
            if step >= steps.len() {
                steps.resize_with(step + 1, Vec::new);
            }
            if let Some(tokens) = steps.get_mut(step) {
                tokens.push(record);
            }
        }
        // The first order confirms the caller. A later one must not be refused: the first cannot be undone.
        let mut confirms = Some(view);
        for step in steps {
            if let Attempt::Stale | Attempt::Again = self.end_all(confirms.take(), &cause, &step).await? {
                return Ok(Attempt::Stale);
            }
        }
        Ok(Attempt::Done(()))
    }

    /// Revokes tokens in one order, which holds at most one active token of each owner whose last is kept.
    async fn end_all(
        &self,
        view: Option<&View<'_>>,
        cause: &Cause,
        records: &[&Record],
    ) -> Result<Attempt<()>> {
        loop {
            let mut ended = Vec::new();
            for record in records {
                ended.push((
                    record.id,
                    self.leaves(record.id, &record.token.owner, cause.at).await?,
                ));
            }
            let order = tokens::revoke_all(cause.clone(), &ended).map_err(|IsLast(token)| {
                let last = records.iter().find(|record| record.id == token);
                last.map_or(Error::Absent, |record| Error::LastToken {
                    owner: record.token.owner.kind(),
                })
            })?;
            match self.write(guarded(view, order)).await? {
                Ok(_) => {
                    self.metrics.by_request.inc_by(ended.len() as u64);
                    for (token, _) in ended {
                        tracing::info!(%token, by = cause.by.name, "token revoked");
                    }
                    return Ok(Attempt::Done(()));
                }
                Err(Refused(Guard::Standing(..))) => {}
                Err(Refused(Guard::NotEndedBy(..))) => return Err(Error::Absent),
                Err(Refused(_)) => return Ok(Attempt::Stale),
            }
        }
    }

    /// Revokes the caller's own token, which needs no permission.
    pub async fn revoke_own(&self, caller: &Caller, reason: Option<String>) -> Result<Revoked> {
        let record = self.own_record(caller).await?;
        let note = self.end_own(caller, reason).await?;
        Ok(Revoked { record, note })
    }

    /// Returns the current record of the caller's own token.
    pub async fn own_record(&self, caller: &Caller) -> Result<Record> {
        let presented = self.store.presented(caller.token().jti()).await?;
        Ok(presented.ok_or(Error::Absent)?.record)
    }

    /// Revokes a presented token. Presenting it is the only permission needed, so that the finder of a leaked
    /// token can revoke it. `caller`, if known by another token, is recorded as the revoker. A token that is
    /// not active is no error.
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
                self.end_held(token, cause).await
            }
            None => self.end_own(&holder, Some(reason)).await,
        };
        match revoked {
            Ok(_) | Err(Error::Absent) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns a token that the caller manages.
    pub async fn token(&self, caller: &Caller, reference: TokenReference) -> Result<Record> {
        let mut record = self.managed(&self.view(), caller, reference).await?;
        self.note_cut_offs(std::slice::from_mut(&mut record)).await?;
        Ok(record)
    }

    /// Returns those audiences of a token whose verifiers have reported use.
    pub async fn reporting_audiences(&self, record: &Record) -> Result<Vec<ReportingAudience>> {
        let audiences = record.token.audience.clone();
        Ok(self.store.reporting_audiences(audiences).await?)
    }

    /// Returns a token that the caller manages, for an order that relies on the view.
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

    /// Returns a token that the caller manages, or [`Error::Absent`] if it is not of this organization.
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

    /// Refuses a caller who may not manage the tokens of an owner.
    pub(super) async fn manages(&self, view: &View<'_>, caller: &Caller, owner: &Owner) -> Result<()> {
        let rank = match owner.organization() {
            Some(organization) => view.rank(caller, organization).await?,
            None => policy::rank_everywhere(caller),
        };
        policy::manage_token(&rank, caller, owner)
    }

    /// Revokes the caller's own token.
    pub(super) async fn end_own(&self, caller: &Caller, reason: Option<String>) -> Result<RevocationNote> {
        let cause = Cause {
            by: Actor {
                name: "holder".to_owned(),
                user: caller.user().cloned(),
            },
            reason,
            ..caller.cause(self.clock.now())
        };
        self.end_held(caller.token(), cause).await
    }

    /// Revokes a token that was presented: its holder may revoke it.
    async fn end_held(&self, token: &PresentedToken, cause: Cause) -> Result<RevocationNote> {
        let ending = Ending {
            token: token.id(),
            jti: token.jti(),
            owner: token.owner(),
            last_token: LastToken::MayGo,
            descendants: None,
        };
        match self.end(None, ending, cause).await? {
            Attempt::Done((note, _)) => Ok(note),
            // Only the guards of a view can be stale.
            Attempt::Stale | Attempt::Again => Err(Error::Busy),
        }
    }

    /// Revokes a token, and orders the revocation of its descendants in the same commit.
    pub(super) async fn end(
        &self,
        view: Option<&View<'_>>,
        ending: Ending<'_>,
        cause: Cause,
    ) -> Result<Attempt<(RevocationNote, Option<BulkRevocation>)>> {
        let Ending {
            token,
            jti,
            owner,
            last_token,
            descendants,
        } = ending;
        let note = RevocationNote {
            revoked_at: cause.at,
            effective_at: cause.at,
            revoked_by: cause.by.name.clone(),
            reason: cause.reason.clone(),
        };
        // Each further round means that another active token of the owner has ended meanwhile.
        loop {
            let leaves = match last_token {
                LastToken::Stays => self.leaves(token, owner, cause.at).await?,
                LastToken::MayGo => Leaves::Nothing,
            };
            let order = tokens::revoke(cause.clone(), token, note.effective_at, leaves)
                .map_err(|IsLast(_)| Error::LastToken { owner: owner.kind() })?;
            let order = and_descendants(order, &descendants);
            match self.write(guarded(view, order)).await? {
                Ok(committed) => {
                    // Only a token that was presented is revoked without a view.
                    let counter = match view {
                        Some(_) => &self.metrics.by_request,
                        None => &self.metrics.by_presenting,
                    };
                    counter.inc();
                    tracing::info!(%token, by = note.revoked_by, "token revoked");
                    return Ok(Attempt::Done((note, committed.bulk)));
                }
                Err(Refused(Guard::Standing(..))) => {}
                // The token is revoked already, or its record was deleted since it was read.
                Err(Refused(Guard::NotEndedBy(..))) => {
                    let stands = self.store.presented(jti).await?;
                    let note = stands.and_then(|presented| presented.record.revocation);
                    let note = note.ok_or(Error::Absent)?;
                    if descendants.is_none() {
                        return Ok(Attempt::Done((note, None)));
                    }
                    // What it made before may be active.
                    let order = and_descendants(Order::new(cause.clone()), &descendants);
                    return Ok(match self.write(guarded(view, order)).await? {
                        Ok(committed) => Attempt::Done((note, committed.bulk)),
                        Err(Refused(_)) => Attempt::Stale,
                    });
                }
                Err(Refused(_)) => return Ok(Attempt::Stale),
            }
        }
    }

    /// Returns which active token a revocation leaves to the owner, if the organization keeps the last one.
    async fn leaves(&self, token: TokenId, owner: &Owner, now: Timestamp) -> Result<Leaves> {
        let Some(organization) = owner.organization() else {
            return Ok(Leaves::Nothing);
        };
        let organization = self.view().organization(&organization.into()).await?;
        if !organization.is_some_and(|organization| organization.value.policy.keep_last_token) {
            return Ok(Leaves::Nothing);
        }
        // In this order: a token that is still active now was also active while there was no other one.
        let other = self.store.other_active(owner.clone(), token, now).await?;
        Ok(match other {
            None if !self.store.is_standing(token, now).await? => Leaves::Nothing,
            other => Leaves::Another(other),
        })
    }
}

/// A token to revoke.
pub(super) struct Ending<'a> {
    pub(super) token: TokenId,
    pub(super) jti: Uuid,
    pub(super) owner: &'a Owner,
    pub(super) last_token: LastToken,
    /// The order to revoke its descendants.
    pub(super) descendants: Option<BulkOrder>,
}

impl<'a> Ending<'a> {
    /// Returns the token of a record, without its descendants.
    fn of(record: &'a Record, last_token: LastToken) -> Self {
        Self {
            token: record.id,
            jti: record.token.jti,
            owner: &record.token.owner,
            last_token,
            descendants: None,
        }
    }
}

/// Returns the filter for one token, whatever its status.
fn alone(record: &Record) -> Filter {
    Filter {
        only: Some(record.id),
        organization: record.token.owner.organization(),
        ..Filter::of(Visibility::Everything)
    }
}

/// Adds the order to revoke descendants, if there is one.
fn and_descendants(order: Order, descendants: &Option<BulkOrder>) -> Order {
    match descendants {
        Some(descendants) => order.effect(Effect::RevokeMany(Box::new(descendants.clone()))),
        None => order,
    }
}

/// Adds the guards of a view, if the order has a caller to confirm.
fn guarded(view: Option<&View<'_>>, order: Order) -> Order {
    match view {
        Some(view) => view.guard(order),
        None => order,
    }
}
