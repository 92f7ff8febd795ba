//! A test fixture: a store with an administrator, an organization and a signing key.

use crate::suite::clerk::Clerk;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use super::at;
use crate::rules::tokens::Limit;
use crate::suite::clerk::{
    Attempt, Created, MemberChange, NewOrganization, NewTeam, RecordOrder, RecordOutcome, Removal,
    RevokeOrder, RevokeOutcome,
};
use crate::{
    BulkOrder, BulkRevocation, Change, Changes, Commit, Continuation, Generation, KeyRow, LastToken, NewKey,
    NewPerson, Observer, Result, SharedStore,
};
use jeton_core::directory::{
    Email, Organization, OrganizationId, Person, Policy, Role, Team, TeamId, UserId,
};
use jeton_core::entropy::Entropy;
use jeton_core::token::{
    Actor, CountTotal, Direction, NewToken, Owner, Page, Record, Revocation, Sort, Start, TokenId, TokenKind,
};
use jeton_verifier::Algorithm;
use jeton_verifier::event::Position;

/// A backend under test, whose store can be opened again.
pub trait Backend: Send + Sync + 'static {
    /// Returns a new, empty backend.
    fn create() -> Self
    where
        Self: Sized;

    /// Opens the store.
    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore;
}

/// A store under test with an administrator, one organization and a signing key.
pub struct World {
    backend: Box<dyn Backend>,
    /// The store under test.
    pub store: SharedStore,
    /// The changes that the observer was told.
    pub seen: Arc<Seen>,
    /// The first organization.
    pub organization: OrganizationId,
    /// The administrator.
    pub admin: UserId,
    /// The position before the first event.
    pub beginning: Position,
    /// The position up to which [`World::changes`] has read.
    followed: Mutex<Position>,
    /// The position from which [`World::generation`] reads.
    versions: Mutex<Position>,
}

/// The changes that an observer was told.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Vec<Change>>);

impl Seen {
    pub fn all(&self) -> Vec<Change> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Seen {
    fn committed(&self, commit: Commit<'_>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(commit.changes);
    }
}

/// Random bytes that are the same in every run and different in every draw.
#[derive(Debug)]
pub struct Seeded;

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        static DRAWN: AtomicU64 = AtomicU64::new(1);
        for chunk in bytes.chunks_mut(8) {
            let mut value = DRAWN
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^= value >> 31;
            let value = value.to_le_bytes();
            chunk.copy_from_slice(value.get(..chunk.len()).unwrap());
        }
    }
}

pub fn entropy() -> &'static dyn Entropy {
    &Seeded
}

pub fn email(name: &str) -> Email {
    format!("{name}@example.org").parse().unwrap()
}

pub fn actor(name: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        user: None,
    }
}

pub fn removal(seconds: i64) -> Removal {
    Removal {
        at: at(seconds),
        by: actor("operator"),
    }
}

pub fn person(name: &str) -> NewPerson {
    NewPerson {
        person: Person {
            id: UserId::random(entropy()),
            email: email(name),
            first_name: None,
            last_name: None,
            username: None,
            site_admin: false,
            disabled_at: None,
            created_at: at(0),
        },
        password_hash: format!("hash of {name}"),
    }
}

pub fn organization(name: &str) -> Organization {
    Organization {
        id: OrganizationId(entropy().uuid_v4()),
        name: name.parse().unwrap(),
        email: None,
        notification_url: None,
        policy: Policy::default(),
        created_at: at(0),
    }
}

/// Returns an API token of an owner, issued at a second, which expires after a year.
pub fn token(owner: Owner, seconds: i64) -> NewToken {
    NewToken {
        jti: entropy().uuid_v7(at(seconds)),
        kind: TokenKind::Api,
        name: "deploy".to_owned(),
        description: Some("for the pipeline".to_owned()),
        owner,
        slot: None,
        scopes: ["projects:read", "content:write"]
            .map(|scope| scope.parse().unwrap())
            .to_vec(),
        preset: Some("content_management".to_owned()),
        projects: None,
        audience: vec!["https://api.example.org".to_owned()],
        prefix: "jtn_".to_owned(),
        kid: "first".into(),
        created_at: at(seconds),
        created_by: actor("admin@example.org"),
        created_by_token: None,
        expires_at: Some(at(seconds + 365 * 86_400)),
    }
}

/// Returns a revocation ordered at a second that takes effect after a grace period.
pub fn revocation(seconds: i64, grace: i64) -> Revocation {
    Revocation {
        revoked_at: at(seconds),
        effective_at: at(seconds + grace),
        revoked_by: actor("admin@example.org"),
        reason: Some("leaked".to_owned()),
    }
}

pub fn new_key(kid: &str) -> NewKey {
    NewKey {
        kid: kid.to_owned(),
        algorithm: Algorithm::Es256,
        public_jwk: "{}".to_owned(),
        sealed: None,
    }
}

pub fn done<T>(attempt: Attempt<T>) -> T {
    match attempt {
        Attempt::Done(value) => value,
        Attempt::Stale => panic!("decided from another directory"),
    }
}

pub fn created<T: std::fmt::Debug>(outcome: Attempt<Created<T>>) -> T {
    match done(outcome) {
        Created::Made(value) => value,
        other => panic!("not created: {other:?}"),
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub async fn new(backend: impl Backend) -> Self {
        let mut admin = person("admin");
        admin.person.site_admin = true;
        Self::founded(backend, admin, organization("default")).await
    }

    /// Returns a world with this administrator and this organization.
    pub async fn founded(backend: impl Backend, admin: NewPerson, organization: Organization) -> Self {
        let seen = Arc::new(Seen::default());
        let store = backend.open(Arc::<Seen>::clone(&seen));
        let beginning = store.snapshot().await.unwrap().position;
        let world = Self {
            backend: Box::new(backend),
            store,
            seen,
            organization: organization.id,
            admin: admin.person.id.clone(),
            beginning,
            followed: Mutex::new(beginning),
            versions: Mutex::new(beginning),
        };
        let new = NewOrganization {
            organization,
            creator: None,
        };
        assert!(world.store.found(admin, new).await.unwrap());
        world.publish_key("first", 0).await;
        world
    }

    /// Closes the store and opens it again.
    pub fn reopen(self) -> Self {
        self.reopen_after(|| ())
    }

    /// Closes the store, calls `act`, and opens it again.
    pub fn reopen_after(self, act: impl FnOnce()) -> Self {
        let Self {
            backend,
            store,
            organization,
            admin,
            beginning,
            followed,
            versions,
            ..
        } = self;
        assert_eq!(Arc::strong_count(&store), 1, "somebody still holds the store");
        drop(store);
        act();
        let seen = Arc::new(Seen::default());
        let store = backend.open(Arc::<Seen>::clone(&seen));
        Self {
            backend,
            store,
            seen,
            organization,
            admin,
            beginning,
            followed,
            versions,
        }
    }

    /// Opens the same store a second time, as another process would.
    pub fn beside(&self) -> SharedStore {
        self.backend.open(Arc::new(Seen::default()))
    }

    /// Returns the same store as two processes open it.
    pub fn processes(&self) -> [SharedStore; 2] {
        [Arc::clone(&self.store), self.beside()]
    }

    pub async fn generation(&self) -> Generation {
        self.follow(&self.versions, true).await.edit
    }

    /// Returns the next portion of the feed, with all generations. If the feed was pruned beyond the position,
    /// continues after a snapshot.
    pub async fn changes(&self) -> Changes {
        self.follow(&self.followed, false).await
    }

    async fn follow(&self, position: &Mutex<Position>, may_fork: bool) -> Changes {
        let current = || position.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let after = *current();
            match self.store.changes_after(after, Generation(0)).await.unwrap() {
                Continuation::Changes(changes) => {
                    *current() = changes.reached;
                    return changes;
                }
                Continuation::Forked if !may_fork => panic!("{after:?} is no position of this store"),
                Continuation::Pruned | Continuation::Forked => {
                    let position = self.store.snapshot().await.unwrap().position;
                    *current() = position;
                }
            }
        }
    }

    /// Returns all events of the feed, none of which may be pruned.
    pub async fn events(&self) -> Vec<Change> {
        match self.after(self.beginning).await {
            Continuation::Changes(changes) => changes.events,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the changes after a position, with all generations.
    pub async fn after(&self, position: Position) -> Continuation {
        self.store.changes_after(position, Generation(0)).await.unwrap()
    }

    /// Records a bulk revocation order, with the number of tokens that match now.
    pub async fn order_many(&self, order: BulkOrder) -> BulkRevocation {
        let page = Page {
            sort: Sort::default(),
            start: Start::Beginning,
            direction: Direction::Next,
            limit: 1,
            count: CountTotal::Yes,
        };
        let matching = self.store.tokens(order.filter.clone(), page).await.unwrap();
        let order = BulkOrder {
            matched: matching.total.unwrap(),
            ..order
        };
        let generation = self.generation().await;
        let ordered = self.store.revoke_many(order, generation);
        match ordered.await.unwrap() {
            Attempt::Done(bulk) => bulk,
            Attempt::Stale => panic!("nothing has changed"),
        }
    }

    pub async fn publish_key(&self, kid: &str, seconds: i64) -> KeyRow {
        self.store.publish_key(new_key(kid), at(seconds)).await.unwrap()
    }

    pub async fn person(&self, name: &str) -> UserId {
        let generation = self.generation().await;
        created(self.store.create_person(person(name), generation).await.unwrap()).id
    }

    /// Creates a user who is a member of the first organization.
    pub async fn member(&self, name: &str) -> UserId {
        let user = self.person(name).await;
        let change = self.put_member(name, Role::Member).await;
        assert_eq!(change, MemberChange::Done);
        user
    }

    pub async fn put_member(&self, name: &str, role: Role) -> MemberChange {
        let generation = self.generation().await;
        let put = self
            .store
            .put_member(self.organization, email(name), role, generation);
        done(put.await.unwrap())
    }

    pub async fn organization(&self, name: &str) -> OrganizationId {
        let new = NewOrganization {
            organization: organization(name),
            creator: Some(self.admin.clone()),
        };
        let generation = self.generation().await;
        created(self.store.create_organization(new, generation).await.unwrap()).id
    }

    pub async fn team(&self, organization: OrganizationId, name: &str) -> TeamId {
        let team = Team {
            id: TeamId::random(entropy()),
            name: name.parse().unwrap(),
            organization,
            created_at: at(0),
        };
        let generation = self.generation().await;
        created(
            self.store
                .create_team(NewTeam { team }, generation)
                .await
                .unwrap(),
        )
        .id
    }

    /// Returns the first organization as an owner.
    pub fn owner(&self) -> Owner {
        Owner::Organization(self.organization)
    }

    /// Returns a user as an owner in the first organization.
    pub fn owner_user(&self, user: &UserId) -> Owner {
        Owner::User {
            user: user.clone(),
            organization: Some(self.organization),
        }
    }

    /// Returns an order to record a token, without conditions.
    pub async fn plain_order(&self, token: NewToken) -> RecordOrder {
        RecordOrder {
            token,
            versions: self.generation().await,
            limits: Vec::new(),
            unique_name: false,
            rotation: None,
        }
    }

    /// Returns a limit for an owner in its organization.
    pub fn limit(owner: &Owner, most: u32) -> Limit {
        let organization = owner.organization().unwrap();
        Limit { organization, most }
    }

    pub async fn order(&self, token: NewToken, most: Option<u32>) -> RecordOutcome {
        let limits = most.map(|most| Self::limit(&token.owner, most));
        let order = RecordOrder {
            limits: limits.into_iter().collect(),
            ..self.plain_order(token).await
        };
        reserve_and_record(&self.store, order).await.unwrap()
    }

    /// Records a token without conditions.
    pub async fn record(&self, token: NewToken) -> Record {
        match self.order(token, None).await {
            RecordOutcome::Recorded(recorded) => recorded.into_record(),
            other => panic!("not recorded: {other:?}"),
        }
    }

    pub async fn revoke(&self, id: TokenId, order: Revocation) -> RevokeOutcome {
        let order = RevokeOrder {
            token: id,
            revocation: order,
            last_token: LastToken::MayGo,
        };
        self.store.revoke(order).await.unwrap()
    }
}

/// Waits until a background task has produced a value.
pub async fn eventually<T>(there: impl AsyncFn() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = there().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap()
}

/// Reserves a status list index for a token and records it there.
pub async fn reserve_and_record(store: &SharedStore, order: RecordOrder) -> Result<RecordOutcome> {
    loop {
        let index = store.reserve(&order.token).await?;
        match store.record(order.clone(), index).await? {
            // Another request was faster.
            RecordOutcome::SlotTaken | RecordOutcome::Recounted => {}
            outcome => return Ok(outcome),
        }
    }
}
