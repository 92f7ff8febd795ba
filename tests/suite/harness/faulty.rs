//! A store with injected faults.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::{
    Belonging, Email, Invitation, Invited, MemberStatus, Membership, Organization, OrganizationId,
    OrganizationReference, Person, Project, SentInvitation, Team, TeamId, TeamReference, UserId,
};
use jeton_core::token::filter::Remit;
use jeton_core::token::{
    Filter, Listing, NewToken, Owner, Page, Record, ReportingAudience, RevocationNote, Slot, TokenId,
    TokenReference,
};
use jeton_store::WithDescendants;
use jeton_store::{
    Aged, Audit, AuditFilter, AuditListing, AuditPage, AuditPosition, AuditSince, AuditStatus, BulkId,
    BulkPortion, BulkRevocation, BulkRevocations, Checkpoint, Committed, Continuation, CountFacts, Covered,
    Credentials, DayCounts, ExplainedEvent, FeedPage, Found, Generation, Holdings, Idempotency,
    IdempotencyKeys, Keys, KnownToken, LoginCounts, Medium, NameUse, Nodes, OpenSession, Order,
    OrganizationSize, Organizations, OrganizationsOf, People, PersonReference, Presented, Projects,
    PrunedLines, RecordedKeys, Recount, Refused, ReservedIndex, Result, Retention, Revocations, Sealed,
    SealedKeys, Search, SharedStore, SigningKeys, Slice, Snapshot, Standing, Statistics, StoreError, Summary,
    SummaryInstants, Tally, Teams, Tokens, Versioned, Writes,
};
use jeton_verifier::event::Position;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::harness::Leases;

/// The cause of an injected failure, which no response may contain.
pub(crate) const SECRET_CAUSE: &str = "disk /dev/sdq is on fire";

/// Whether a call changes state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// Takes from the process's reserve, and writes only if that is used up.
    Reservation,
}

/// The fault of the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails and is not carried out.
    Fails,
    /// The call fails as overloaded and is not carried out.
    Busy,
    /// The call is carried out and fails all the same.
    FailsAfterwards,
    /// The call reaches the store, and its caller gets no reply.
    Unheard,
    /// The call does not reach the store, and its caller gets no reply.
    Lost,
    /// The call is refused for the number of rows that it would read.
    TooCostly,
    /// The call is carried out, and its caller gets the reply when the test releases it.
    Held,
    /// The call is carried out when the test releases it.
    Delayed,
}

/// Which call of a store is faulty, and how.
#[derive(Default)]
pub(crate) struct Plan {
    next: Mutex<Option<Planned>>,
    /// The number of reads of the store.
    reads: AtomicUsize,
    /// Notified when an unheard, lost or held call is in progress.
    pub(crate) under_way: Notify,
    /// Releases the caller of a held call.
    pub(crate) release: Notify,
    /// What the store says of other servers, if it is one for several.
    pub(crate) leases: Option<Leases>,
}

struct Planned {
    fault: Fault,
    only: Option<Kind>,
    calls_before: usize,
}

impl Plan {
    /// Returns a plan without faults for a store of several servers.
    pub(crate) fn of_several_servers() -> Self {
        Self {
            leases: Some(Leases::default()),
            ..Self::default()
        }
    }

    /// Makes the call after `calls_before` others faulty; if `only` is given, only calls of that kind
    /// count.
    pub(crate) fn arm(&self, fault: Fault, only: Option<Kind>, calls_before: usize) {
        *self.next.lock().unwrap() = Some(Planned {
            fault,
            only,
            calls_before,
        });
    }

    /// Removes the fault and returns whether it was still pending.
    pub(crate) fn disarm(&self) -> bool {
        self.next.lock().unwrap().take().is_some()
    }

    /// Wraps a store so that its calls follow this plan.
    pub(crate) fn follow(self: &Arc<Self>) -> impl Fn(SharedStore) -> SharedStore + use<> {
        let plan = Arc::clone(self);
        move |store| {
            let plan = Arc::clone(&plan);
            Arc::new(Faulty { store, plan })
        }
    }

    /// Returns the number of reads of the store.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn meets(&self, kind: Kind) -> Option<Fault> {
        if kind == Kind::Read {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        let mut next = self.next.lock().unwrap();
        let planned = next
            .as_mut()
            .filter(|planned| planned.only.is_none_or(|only| only == kind))?;
        if planned.calls_before > 0 {
            planned.calls_before -= 1;
            return None;
        }
        next.take().map(|planned| planned.fault)
    }
}

struct Faulty {
    store: SharedStore,
    plan: Arc<Plan>,
}

impl Faulty {
    async fn call<T>(&self, kind: Kind, call: impl Future<Output = Result<T>>) -> Result<T> {
        let failure = || StoreError::Failed(SECRET_CAUSE.into());
        match self.plan.meets(kind) {
            None => call.await,
            Some(Fault::Fails) => Err(failure()),
            Some(Fault::Busy) => Err(StoreError::Busy),
            Some(Fault::TooCostly) => Err(StoreError::TooCostly),
            Some(Fault::FailsAfterwards) => {
                call.await?;
                Err(failure())
            }
            Some(Fault::Unheard) => {
                let mut call = pin!(call);
                std::future::poll_fn(|context| {
                    let _ = call.as_mut().poll(context);
                    Poll::Ready(())
                })
                .await;
                self.plan.under_way.notify_one();
                std::future::pending().await
            }
            Some(Fault::Lost) => {
                self.plan.under_way.notify_one();
                std::future::pending().await
            }
            Some(Fault::Delayed) => {
                self.plan.under_way.notify_one();
                self.plan.release.notified().await;
                call.await
            }
            Some(Fault::Held) => {
                let outcome = call.await;
                self.plan.under_way.notify_one();
                self.plan.release.notified().await;
                outcome
            }
        }
    }
}

#[async_trait]
impl Medium for Faulty {
    async fn settle(&self) -> Result<()> {
        self.store.settle().await
    }

    async fn started(&self) -> Result<()> {
        self.store.started().await
    }

    async fn stopped(&self) -> Result<()> {
        self.store.stopped().await
    }

    async fn changed_elsewhere(&self) {
        self.store.changed_elsewhere().await;
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        match &self.plan.leases {
            Some(leases) => Some(leases),
            None => self.store.nodes(),
        }
    }

    fn login_counts(&self) -> Option<&dyn LoginCounts> {
        self.store.login_counts()
    }

    fn sealed_keys(&self) -> Option<&dyn SealedKeys> {
        self.store.sealed_keys()
    }

    async fn died(&self) {
        self.store.died().await;
    }

    async fn responds(&self) -> bool {
        self.store.responds().await
    }

    fn has_died(&self) -> bool {
        self.store.has_died()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.store.register_metrics(registry);
    }
}

macro_rules! faulty {
    ($($contract:ident { $($kind:ident $call:ident($($name:ident: $of:ty),*) -> $gives:ty;)* })*) => {$(
        #[async_trait]
        impl $contract for Faulty {
            $(async fn $call(&self, $($name: $of),*) -> Result<$gives> {
                self.call(Kind::$kind, self.store.$call($($name),*)).await
            })*
        }
    )*};
}

faulty! {
    Writes {
        Write commit(order: Order) -> std::result::Result<Committed, Refused>;
    }
    Tokens {
        Read token_in_slot(owner: Owner, slot: Slot) -> Option<Record>;
        Read reporting_audiences(audiences: Vec<String>) -> Vec<ReportingAudience>;
        Read cut_off_notes(tokens: Vec<TokenId>, now: Timestamp) -> Vec<(TokenId, RevocationNote)>;
        Read is_standing(token: TokenId, now: Timestamp) -> bool;
        Read other_active(owner: Owner, token: TokenId, now: Timestamp) -> Option<TokenId>;
        Read owner_count(owner: Owner) -> CountFacts;
        Read count_tokens(owner: Owner, now: Timestamp) -> Recount;
        Read tally(after: Option<TokenId>, now: Timestamp) -> Tally;
        Reservation reserve(token: &NewToken) -> ReservedIndex;
        Read presented(jti: Uuid) -> Option<Presented>;
        Read token(reference: TokenReference) -> Option<Record>;
        Read tokens(filter: Filter, page: Page) -> Listing;
        Read count_matching(filter: Filter) -> u64;
        Read summary(filter: Filter, at: SummaryInstants) -> Summary;
        Read name_use(owner: Owner, name: String, now: Timestamp) -> NameUse;
        Read count_sessions(user: UserId, now: Timestamp) -> u64;
        Read sessions(user: UserId, now: Timestamp) -> Vec<OpenSession>;
        Read known_tokens(jtis: Vec<Uuid>) -> Vec<KnownToken>;
    }
    BulkRevocations {
        Read bulk_revocation(id: BulkId) -> Option<BulkRevocation>;
        Read unfinished_bulk_revocations() -> Vec<BulkId>;
        Read bulk_portion(id: BulkId, limit: u32, now: Timestamp) -> Option<BulkPortion>;
        Read count_descendants(filter: Filter, remit: Remit, now: Timestamp) -> WithDescendants;
    }
    Organizations {
        Read organization(reference: OrganizationReference) -> Option<Versioned<Organization>>;
        Read organizations(of: OrganizationsOf, slice: Slice) -> Vec<Organization>;
        Read find_organizations(of: OrganizationsOf, search: Search) -> Found<Organization>;
        Read find_members(id: OrganizationId, status: Option<MemberStatus>, search: Search) -> Found<Belonging>;
        Read members(id: OrganizationId, slice: Slice) -> Vec<Belonging>;
        Read holdings(user: UserId, since: Timestamp) -> Holdings;
        Read size(id: OrganizationId) -> OrganizationSize;
        Read invited(email: Email, organization: OrganizationId) -> Option<Invited>;
        Read invitations(email: Email, slice: Slice) -> Vec<Invitation>;
        Read sent_invitations(id: OrganizationId, slice: Slice) -> Vec<SentInvitation>;
        Read standing(user: UserId, organization: OrganizationId) -> Standing;
        Read memberships(user: UserId) -> Vec<Membership>;
    }
    Teams {
        Read team(organization: OrganizationId, reference: TeamReference) -> Option<Team>;
        Read team_with_id(id: TeamId) -> Option<Team>;
        Read teams(organization: OrganizationId, slice: Slice) -> Vec<Team>;
        Read find_teams(organization: OrganizationId, search: Search) -> Found<Team>;
        Read team_members(organization: OrganizationId, id: TeamId, slice: Slice) -> Vec<Belonging>;
    }
    Projects {
        Read projects(organization: OrganizationId, slice: Slice) -> Vec<Project>;
        Read newest_project() -> u32;
        Read existing_projects(organization: OrganizationId, ids: Vec<u32>) -> Vec<Project>;
    }
    People {
        Read person(reference: PersonReference) -> Option<Versioned<Person>>;
        Read credentials(email: Email) -> Option<Credentials>;
        Read people(slice: Slice) -> Vec<Person>;
        Read find_people(text: String, of: OrganizationsOf, slice: Slice) -> Vec<Person>;
    }
    Revocations {
        Read snapshot() -> Snapshot;
        Read changes_after(position: Position, edit: Generation) -> Continuation;
        Read events_after(position: Position, most: u32) -> FeedPage;
        Read event(position: Position) -> Option<ExplainedEvent>;
        Read status_lists() -> Vec<u32>;
        Read covered(cut_off: u64, after: TokenId, now: Timestamp) -> Covered;
        Read origin() -> Uuid;
        Write pin_issuer(issuer: Option<&str>) -> Option<String>;
        Read ready() -> ();
    }
    Keys {
        Read keys() -> Versioned<SigningKeys>;
        Read live_tokens(now: Timestamp) -> Vec<(String, u64)>;
    }
    Retention {
        Read aged(after: Option<TokenId>) -> Aged;
    }
    IdempotencyKeys {
        Read idempotency_key(key: Idempotency) -> RecordedKeys;
    }
    Audit {
        Read audit_status() -> AuditStatus;
        Write seal() -> Sealed;
        Read audit_entries(filter: AuditFilter, page: AuditPage) -> AuditListing;
        Read audit_count(filter: AuditFilter) -> u64;
        Read audit_after(organization: Option<OrganizationId>, after: AuditPosition, most: u32) -> AuditSince;
        Read last_checkpoint() -> Option<Checkpoint>;
        Write keep_checkpoint(checkpoint: Checkpoint) -> ();
        Write prune_audit(made_by: Timestamp, now: Timestamp) -> PrunedLines;
    }
    Statistics {
        Read statistics(organization: Option<OrganizationId>, from: Day, through: Day) -> Vec<DayCounts>;
    }
}
