//! Quotas: how much one owner, organization or person may keep, so that none fills the store of all.
//!
//! What belongs to an organization is counted at the version of the organization that the order is guarded by, so
//! that its quotas are exact. Tokens and sessions are counted before the order: requests of one moment may exceed
//! the quota by their number.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::authority::idempotency::KEYS_PER_CALLER;
use crate::authority::policy::{self, Rank};
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::token::Owner;
use jeton_store::Holdings;
use jeton_store::rules::members::Addressee;
use jeton_store::rules::organizations::NAME_RESERVED;

/// The quotas of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Active tokens of one owner: a user in one organization, a team, or an organization.
    pub tokens_per_owner: u32,
    /// Organizations that one person belongs to, when they create one.
    pub organizations_per_person: u32,
    /// Teams of one organization.
    pub teams: u32,
    /// Projects of one organization.
    pub projects: u32,
    /// Members of one organization, with the invited ones.
    pub members: u32,
    /// Active sessions of one person.
    pub sessions: u32,
}

impl Quotas {
    /// The quotas without a configuration.
    pub const STANDARD: Self = Self {
        tokens_per_owner: 100_000,
        organizations_per_person: 100,
        teams: 1_000,
        projects: 1_000,
        members: 10_000,
        sessions: 100,
    };

    fn of(&self, what: Counted) -> u32 {
        match what {
            Counted::Tokens => self.tokens_per_owner,
            Counted::Organizations => self.organizations_per_person,
            Counted::Teams => self.teams,
            Counted::Projects => self.projects,
            Counted::Members => self.members,
            Counted::Sessions => self.sessions,
            Counted::IdempotencyKeys => KEYS_PER_CALLER,
        }
    }
}

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Active tokens of an owner.
    Tokens,
    /// Organizations of a person.
    Organizations,
    /// Teams of an organization.
    Teams,
    /// Projects of an organization.
    Projects,
    /// Members of an organization.
    Members,
    /// Active sessions of a person.
    Sessions,
    /// Recorded idempotency keys of a caller.
    IdempotencyKeys,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "active tokens of one owner",
            Self::Organizations => "organizations of one user",
            Self::Teams => "teams of one organization",
            Self::Projects => "projects of one organization",
            Self::Members => "members of one organization",
            Self::Sessions => "sessions of one user",
            Self::IdempotencyKeys => "idempotency keys of one caller in a day",
        })
    }
}

/// How many tokens an owner may still get before their tokens are counted again.
#[derive(Debug, Default)]
pub(super) struct Allowances(Mutex<HashMap<Owner, Allowance>>);

#[derive(Debug, Clone, Default)]
struct Allowance {
    left: u32,
    /// How often it was given or taken back. A count that began before does not give.
    given: u64,
    /// Held while the owner's tokens are counted: of many requests that find nothing left, one counts at a time.
    count: Arc<tokio::sync::Mutex<()>>,
}

/// The most owners with an allowance. Beyond it all are forgotten, and counted when they next get a token.
const ALLOWED_AT_ONCE: usize = 10_000;

impl Allowances {
    /// Uses up one token of the allowance; returns the allowance if nothing is left of it.
    fn take(&self, owner: &Owner) -> std::result::Result<(), Allowance> {
        let mut allowances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match allowances.get_mut(owner) {
            Some(allowance) if allowance.left > 0 => {
                allowance.left -= 1;
                Ok(())
            }
            Some(allowance) => Err(allowance.clone()),
            None => {
                if allowances.len() >= ALLOWED_AT_ONCE {
                    allowances.clear();
                }
                Err(allowances.entry(owner.clone()).or_default().clone())
            }
        }
    }

    /// Takes all allowances back: every owner's tokens are counted again.
    pub(super) fn forget(&self) {
        let mut allowances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        allowances.values_mut().for_each(|allowance| {
            allowance.left = 0;
            allowance.given += 1;
        });
    }

    /// Gives an allowance, unless one was given or taken back since the count began.
    fn give(&self, owner: &Owner, left: u32, given: u64) {
        let mut allowances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(allowance) = allowances.get_mut(owner)
            && allowance.given == given
        {
            allowance.left = left;
            allowance.given += 1;
        }
    }
}

impl Authority {
    /// Refuses a token beyond its owner's quota. Counting reads all tokens of the owner, so that each count allows
    /// half of what is left, and a hundredth of the quota near its end.
    pub(super) async fn allow_token(&self, owner: &Owner, now: Timestamp) -> Result<()> {
        if *owner == Owner::Deployment {
            return Ok(());
        }
        while let Err(used_up) = self.allowances.take(owner) {
            let _counting = used_up.count.lock().await;
            let Err(used_up) = self.allowances.take(owner) else {
                return Ok(());
            };
            let active = self.store.count_tokens(owner.clone(), now).await?.active;
            self.allow(Counted::Tokens, active.into())?;
            let most = self.settings().quotas.tokens_per_owner;
            let left = most.saturating_sub(active);
            let allowed = (left / 2).max(most / 100).max(1).min(left);
            self.allowances.give(owner, allowed, used_up.given);
        }
        Ok(())
    }

    /// Refuses a session beyond its person's quota.
    pub(super) async fn allow_session(&self, user: &UserId, now: Timestamp) -> Result<()> {
        let sessions = self.store.count_sessions(user.clone(), now).await?;
        self.allow(Counted::Sessions, sessions)
    }

    /// Refuses an organization beyond its person's quota, whether they create it or accept an invitation. A name that
    /// they gave up is reserved, so that they may give up no more names than they may have organizations.
    pub(super) async fn allow_organization(&self, caller: &Caller) -> Result<()> {
        let holdings = self.holdings(caller).await?;
        self.allow(
            Counted::Organizations,
            holdings.organizations.max(holdings.given_up),
        )
    }

    /// Refuses another name for an organization to a person who has given up too many.
    pub(super) async fn allow_renaming(&self, caller: &Caller) -> Result<()> {
        self.allow(Counted::Organizations, self.holdings(caller).await?.given_up)
    }

    /// Returns what a person has; nothing for site administrators, who may have any number.
    async fn holdings(&self, caller: &Caller) -> Result<Holdings> {
        match caller.user() {
            Some(user) if policy::rank_everywhere(caller) != Rank::Site => {
                let since = self.clock.settled().plus_seconds(-NAME_RESERVED);
                Ok(self.store.holdings(user.clone(), since).await?)
            }
            Some(_) | None => Ok(Holdings::default()),
        }
    }

    /// Refuses another team beyond its organization's quota.
    pub(super) async fn allow_team(&self, organization: OrganizationId) -> Result<()> {
        self.allow(Counted::Teams, self.store.size(organization).await?.teams)
    }

    /// Refuses another project beyond its organization's quota.
    pub(super) async fn allow_project(&self, organization: OrganizationId) -> Result<()> {
        self.allow(Counted::Projects, self.store.size(organization).await?.projects)
    }

    /// Refuses members beyond their organization's quota. Members and invited addresses are counted already.
    pub(super) async fn allow_members(&self, organization: OrganizationId, to: &[Addressee]) -> Result<()> {
        let is_new =
            |to: &&Addressee| matches!(to, Addressee::Outsider(outsider) if outsider.invited.is_none());
        match to.iter().filter(is_new).count() as u64 {
            0 => Ok(()),
            new => {
                let members = self.store.size(organization).await?.members;
                self.allow(Counted::Members, members + new - 1)
            }
        }
    }

    /// Refuses one more than these.
    fn allow(&self, what: Counted, has: u64) -> Result<()> {
        let most = self.settings().quotas.of(what);
        match has < most.into() {
            true => Ok(()),
            false => Err(Error::QuotaReached { what, most }),
        }
    }
}
