//! Long reads, shared fairly: each purpose has permits of its own, so that neither a revocation nor the readiness waits
//! for requests. A tenant holds at most one permit of a kind: whatever its members ask, the permits of others stay free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{OrganizationsOf, Result, StoreError};
use jeton_core::directory::{Email, OrganizationId, UserId};
use jeton_core::token::{Filter, Owner, Visibility};

/// How long a long read waits for a permit.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many lists of one tenant run or wait. Further ones are refused at once: while they wait, their connections are
/// taken. Facts for a write have no such bound: a burst of revocations is carried out.
pub const MOST_WAITING: usize = 32;

/// What a long read is for.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Learning what was revoked, and which keys there are.
    Following,
    /// The feed, for those who follow it from outside.
    Publishing,
    /// Readiness, deletion, and orders in the background.
    Upkeep,
    /// The facts for a revocation.
    Revoking(Tenant),
    /// The facts for another write.
    Writing(Tenant),
    /// A list that somebody asked for. It has a budget.
    Listing(Tenant),
}

impl Purpose {
    /// The number of purposes.
    pub const COUNT: usize = 6;

    /// Returns whether a read that takes too long is refused.
    pub fn has_budget(&self) -> bool {
        matches!(self, Self::Listing(_))
    }
}

/// Whose rows are read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tenant {
    /// An organization's.
    Organization(OrganizationId),
    /// A person's, in all their organizations.
    Person(UserId),
    /// An address's invitations.
    Address(Email),
    /// Those of the whole deployment.
    Deployment,
}

impl From<&Owner> for Tenant {
    fn from(owner: &Owner) -> Self {
        match (owner.organization(), owner.user()) {
            (Some(organization), _) => Self::Organization(organization),
            (None, Some(user)) => Self::Person(user.clone()),
            (None, None) => Self::Deployment,
        }
    }
}

impl From<&Filter> for Tenant {
    fn from(filter: &Filter) -> Self {
        match (&filter.organization, &filter.visibility) {
            (Some(organization), _) => Self::Organization(*organization),
            (None, Visibility::Own { user: Some(user), .. }) => Self::Person(user.clone()),
            (None, Visibility::Own { .. } | Visibility::Everything) => Self::Deployment,
        }
    }
}

impl From<&OrganizationsOf> for Tenant {
    fn from(of: &OrganizationsOf) -> Self {
        match of {
            OrganizationsOf::Everybody => Self::Deployment,
            OrganizationsOf::Person(user) => Self::Person(user.clone()),
            OrganizationsOf::Only(organization) => Self::Organization(*organization),
        }
    }
}

/// The permits of all purposes.
#[derive(Debug)]
pub struct LongReads {
    following: Permits,
    publishing: Permits,
    revoking: Permits,
    writing: Permits,
    upkeep: Permits,
    listing: Permits,
}

impl LongReads {
    /// Allows a number of reads of each purpose at once.
    pub fn new(of_each: usize) -> Self {
        Self {
            following: Permits::new(of_each),
            publishing: Permits::new(of_each),
            revoking: Permits::new(of_each),
            writing: Permits::new(of_each),
            upkeep: Permits::new(of_each),
            listing: Permits::new(of_each),
        }
    }

    /// Returns the right to one read, which may wait for others of its purpose and of its tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] if the wait is too long.
    pub async fn acquire(&self, purpose: Purpose) -> Result<LongRead> {
        let most_waiting = if purpose.has_budget() {
            MOST_WAITING
        } else {
            usize::MAX
        };
        let (permits, tenant) = match purpose {
            Purpose::Following => (&self.following, None),
            Purpose::Publishing => (&self.publishing, None),
            Purpose::Upkeep => (&self.upkeep, None),
            Purpose::Revoking(tenant) => (&self.revoking, Some(tenant)),
            Purpose::Writing(tenant) => (&self.writing, Some(tenant)),
            Purpose::Listing(tenant) => (&self.listing, Some(tenant)),
        };
        permits.acquire(tenant, most_waiting).await
    }
}

/// The permits of a purpose.
#[derive(Debug)]
struct Permits {
    all: Arc<Semaphore>,
    /// The share of each tenant that reads now: one permit.
    shares: Mutex<HashMap<Tenant, Weak<Semaphore>>>,
}

/// The right to one long read.
#[derive(Debug)]
pub struct LongRead {
    _of_all: OwnedSemaphorePermit,
    _of_share: Option<OwnedSemaphorePermit>,
}

impl Permits {
    fn new(most: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(most)),
            shares: Mutex::default(),
        }
    }

    async fn acquire(&self, tenant: Option<Tenant>, most_waiting: usize) -> Result<LongRead> {
        let share = tenant.map(|tenant| self.share(tenant));
        // Each waiting read holds a reference.
        if share
            .as_ref()
            .is_some_and(|share| Arc::strong_count(share) > most_waiting)
        {
            return Err(StoreError::Busy);
        }
        let permit = async {
            let of_share = match share {
                Some(share) => Some(share.acquire_owned().await?),
                None => None,
            };
            Ok::<_, tokio::sync::AcquireError>(LongRead {
                _of_all: Arc::clone(&self.all).acquire_owned().await?,
                _of_share: of_share,
            })
        };
        match timeout(PATIENCE, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }

    fn share(&self, tenant: Tenant) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&tenant).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(1));
        shares.insert(tenant, Arc::downgrade(&share));
        share
    }
}
