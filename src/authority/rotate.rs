//! Rotates a token: records a successor with the same rights and ends the predecessor after a grace period.

use crate::authority::bounds::Bounds;
use crate::authority::expiry::{Expiry, expires_at};
use crate::authority::retry::Attempt;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Issued, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Grace, Lifetime, NewToken, Record, Scope, Span, TokenReference};
use jeton_store::rules::tokens::{Demands, Naming, Replaces};

/// The options of a rotation.
#[derive(Debug, Clone, Copy)]
pub struct Rotate {
    /// The grace period: how long the predecessor stays active, within its own lifetime.
    pub grace: Grace,
    /// The expiry of the successor; by default it gets the predecessor's lifetime.
    pub expiry: Expiry,
}

impl Authority {
    /// Rotates a token that the caller manages and could have created.
    pub async fn rotate(&self, caller: &Caller, reference: TokenReference, rotate: Rotate) -> Result<Issued> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let record = self.managed(&view, caller, reference).await?;
                self.succeed(&view, caller, &record, rotate).await
            })
        })
        .await
    }

    /// Rotates the caller's own token. This needs no scope: the successor has no more rights and does not
    /// outlive the token.
    pub async fn rotate_own(&self, caller: &Caller, rotate: Rotate) -> Result<Issued> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let record = self.own_record(caller).await?;
                self.succeed(&view, caller, &record, rotate).await
            })
        })
        .await
    }

    async fn succeed(
        &self,
        view: &View<'_>,
        caller: &Caller,
        record: &Record,
        rotate: Rotate,
    ) -> Result<Attempt<Issued>> {
        let now = self.clock.now();
        let owner = &record.token.owner;
        let rank = view.rank_of(caller, owner).await?;
        policy::issue(&rank, caller, owner)?;
        let bounds = self.bounds(view, owner).await?;
        let token = self.successor(caller, record, rotate.expiry, &bounds, now)?;
        let grace = i64::try_from(rotate.grace.seconds()).unwrap_or(i64::MAX);
        let end = now.plus_seconds(grace);
        let effective_at = record
            .token
            .expires_at
            .map_or(end, |expires_at| end.min(expires_at));
        let former = self.former(record.clone(), now).await?;
        let demands = Demands {
            limits: bounds.limits(),
            naming: Naming::Free,
            replaces: Replaces::Rotated(former, effective_at.max(now)),
        };
        let rotated = self
            .sign_and_record(view, caller.cause(now), token, demands)
            .await?;
        if let Attempt::Done(issued) = &rotated {
            let (successor, by) = (issued.record.id, caller.actor().name);
            tracing::info!(token = %record.id, %successor, by, %effective_at, "token rotated");
        }
        Ok(rotated)
    }

    /// Returns the successor. It does not inherit scopes that were deleted or are no longer allowed, nor the
    /// name of a preset that is no longer allowed.
    fn successor(
        &self,
        caller: &Caller,
        record: &Record,
        expiry: Expiry,
        bounds: &Bounds,
        now: Timestamp,
    ) -> Result<NewToken> {
        let former = &record.token;
        let catalogue = &self.settings().catalogue;
        let scopes: Vec<Scope> = former
            .scopes
            .iter()
            .filter(|scope| catalogue.contains(scope) && bounds.allow_scope(scope))
            .cloned()
            .collect();
        super::policy::hand_on(caller, &scopes, former.projects.as_deref())?;
        let mut faults = Vec::new();
        let expires_at = expires_at(caller, expiry, lifetime(former), bounds, now, &mut faults);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        Ok(NewToken {
            jti: self.entropy.uuid_v7(now),
            scopes,
            preset: former.preset.clone().filter(|preset| bounds.allow_preset(preset)),
            prefix: self.settings().prefix.clone(),
            kid: self.keys.signing_kid()?,
            created_at: now,
            created_by: caller.actor(),
            created_by_token: caller.api_token(),
            expires_at,
            ..former.clone()
        })
    }
}

/// Returns the lifetime that a token was created with.
fn lifetime(token: &NewToken) -> Lifetime {
    let seconds = |end: Timestamp| u64::try_from(end.seconds() - token.created_at.seconds());
    match token.expires_at.map(seconds) {
        None => Lifetime::Never,
        Some(seconds) => {
            Lifetime::Limited(seconds.ok().and_then(Span::from_seconds).unwrap_or(Span::MAXIMUM))
        }
    }
}
