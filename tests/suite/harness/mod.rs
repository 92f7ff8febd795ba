//! The complete authority in one process, without a socket: requests go directly to its router.
//!
//! Password hashing is slow on purpose, so the users of [`World`] are created and logged in once, and
//! every test starts from a copy of their database. From then on everything uses the public API;
//! helpers that access the database directly have `db` in their name.

mod actor;
mod answer;
mod chance;
mod database;
mod documented;
mod faulty;
mod followers;
mod leases;
mod lists;
mod world;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::middleware::from_fn;
use jeton::authority::password::PasswordHasher;
use jeton::authority::{self, Authority, KeyRetired, Quotas, Settings};
use jeton::http::{self, App, Streams, router};
use jeton::keys::{KeyFolder, KeyRing, Rotation};
use jeton::revocation::Index;
use jeton_core::clock::Clock;
use jeton_core::deployment_clock::DeploymentClock;
use jeton_core::directory::Consent;
use jeton_core::entropy::Entropy;
use jeton_core::token::{Catalogue, Lifetime, Span};
use jeton_store::SharedStore;
use jeton_store_sqlite::{AcceptedClock, Missing, accept_clock, backup, restore};
use jeton_verifier::Algorithm;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use database::Database;

pub(crate) use actor::{Actor, MANAGEMENT, Minted};
pub(crate) use answer::Answer;
pub(crate) use chance::{FakeClock, Seeded};
pub(crate) use database::needs_a_file;
pub(crate) use documented::SchemaAt;
pub(crate) use faulty::{Fault, Kind, Plan, SECRET_CAUSE};
pub(crate) use followers::is_revoked;
pub(crate) use leases::Leases;
pub(crate) use lists::StatusListEntry;
pub(crate) use world::{NORTH, SOUTH, Tenant, World, password};

/// The issuer of all tokens.
pub(crate) const ISSUER: &str = "https://jeton.example.org";

/// A server without a socket.
pub(crate) struct TestApp {
    folder: TempDir,
    database: Database,
    /// A copy of the database that nobody uses, for further copies.
    copied: Mutex<Option<Database>>,
    /// Whether something may have been written since then.
    is_used: AtomicBool,
    /// The server's clock.
    pub(crate) clock: Arc<FakeClock>,
    entropy: Arc<Seeded>,
    issuer: String,
    /// The rotation policy from the next start on.
    pub(crate) rotation: Rotation,
    /// The quotas from the next start on.
    pub(crate) quotas: Quotas,
    /// Whether people must accept roles, from the next start on.
    pub(crate) consent: Consent,
    wrap: Wrap,
    app: Option<Arc<App>>,
    router: Option<Router>,
}

/// A wrapper around the authority's store.
type Wrap = Box<dyn Fn(SharedStore) -> SharedStore + Send + Sync>;

impl TestApp {
    /// Starts a server with the users of [`World`].
    pub(crate) async fn new() -> Self {
        Self::over(|store| store).await
    }

    /// Starts the same server with a wrapper around its store.
    pub(crate) async fn over(wrap: impl Fn(SharedStore) -> SharedStore + Send + Sync + 'static) -> Self {
        let world = World::once();
        let folder = TempDir::new().unwrap();
        copy(world.folder(), folder.path());
        let clock = Arc::new(FakeClock::at(world.opened_at()));
        let database = world.database().copy();
        Self::open(folder, database, clock, Seeded::new(2), Box::new(wrap)).await
    }

    /// Starts a server with the users of [`World`] where roles need no consent, as clients of other systems expect.
    pub(crate) async fn waiving_consent() -> Self {
        let mut app = Self::new().await;
        app.consent = Consent::Waived;
        app.restart().await;
        app
    }

    /// Starts a server with an empty database.
    pub(crate) async fn empty() -> Self {
        let clock = Arc::new(FakeClock::at(World::BEGINS));
        Self::open(
            TempDir::new().unwrap(),
            Database::new(),
            clock,
            Seeded::new(1),
            Box::new(|store| store),
        )
        .await
    }

    /// Starts a server with an empty database and another issuer.
    pub(crate) async fn of_issuer(issuer: &str) -> Self {
        let mut app = Self::empty().await;
        app.issuer = issuer.to_owned();
        app.restart().await;
        app
    }

    /// Starts another server with a copy of the current state.
    pub(crate) async fn twin(&self) -> Self {
        self.twin_over(|store| store).await
    }

    /// Starts a copy with a wrapper around its store.
    pub(crate) async fn twin_over(
        &self,
        wrap: impl Fn(SharedStore) -> SharedStore + Send + Sync + 'static,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        copy(self.folder.path(), folder.path());
        let clock = Arc::new(FakeClock::at(self.clock.now()));
        let database = self.copy_database();
        Self::open(folder, database, clock, Seeded::new(3), Box::new(wrap)).await
    }

    fn copy_database(&self) -> Database {
        let mut copied = self.copied.lock().unwrap();
        if self.is_used.swap(false, Ordering::SeqCst) || copied.is_none() {
            *copied = Some(self.database.copy_used());
        }
        copied.as_ref().unwrap().copy()
    }

    async fn open(
        folder: TempDir,
        database: Database,
        clock: Arc<FakeClock>,
        entropy: Seeded,
        wrap: Wrap,
    ) -> Self {
        let mut app = Self {
            folder,
            database,
            copied: Mutex::new(None),
            is_used: AtomicBool::new(true),
            clock,
            entropy: Arc::new(entropy),
            issuer: ISSUER.to_owned(),
            quotas: Quotas::STANDARD,
            rotation: Rotation {
                algorithm: Algorithm::Es256,
                max_age: 300,
                every: None,
                stored: None,
            },
            consent: Consent::Required,
            wrap,
            app: None,
            router: None,
        };
        app.start().await;
        app
    }

    async fn start(&mut self) {
        let authority = self.authority().await;
        let app = Arc::new(App::new(authority, http::Adjustable::default(), Streams::new(64)));
        // As the server's background tasks do at once.
        app.authority.catch_up().await.unwrap();
        self.router = Some(router(Arc::clone(&app)).layer(from_fn(documented::check)));
        self.app = Some(app);
    }

    /// Stops the server and drops all memory.
    fn stop(&mut self) {
        self.router = None;
        self.app = None;
    }

    /// Restarts the server, with empty caches.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.start().await;
    }

    /// Creates the authority like the command `serve`.
    pub(crate) async fn authority(&self) -> Authority {
        let clock = Arc::new(DeploymentClock::new(Arc::clone(&self.clock) as _));
        let entropy = Arc::clone(&self.entropy) as Arc<dyn Entropy>;
        let index = Arc::new(Index::new(Arc::clone(&clock)));
        let observer = Arc::clone(&index) as _;
        let store = self
            .database
            .open(self.folder.path(), Arc::clone(&entropy), observer);
        let store = store.await;
        index.rebuild(store.snapshot().await.unwrap());
        let folder = KeyFolder::open(self.key_folder(), None).unwrap();
        let directory = folder.of_deployment(store.origin().await.unwrap());
        let keys = KeyRing::open(&*store, directory, self.rotation, clock.now());
        let keys = Arc::new(keys.await.unwrap());
        keys.promise(&*store, clock.now()).await.unwrap();
        let settings = Settings {
            issuer: self.issuer.clone(),
            cached_tokens: 200_000,
            adjustable: authority::Adjustable {
                default_audience: ISSUER.to_owned(),
                prefix: "jtn_".to_owned(),
                default_lifetime: Lifetime::Limited(Span::YEAR),
                record_addresses: true,
                session_lifetime: Span::HALF_A_DAY,
                retention: Span::MONTH,
                audit_retention: Span::FOUR_HUNDRED_DAYS,
                quotas: self.quotas,
                catalogue: Catalogue::standard(),
                consent: self.consent,
            },
        };
        let passwords = PasswordHasher::new(Arc::clone(&entropy)).unwrap();
        let store = (self.wrap)(store);
        Authority::new(store, keys, index, clock, entropy, passwords, settings)
    }

    /// Runs `jeton clock accept` while the server is stopped.
    pub(crate) async fn accept_clock(&mut self) -> Option<AcceptedClock> {
        self.stop();
        let database = self.folder.path().join("jeton.db");
        let accepted = accept_clock(&database, self.clock.now(), &*self.entropy).unwrap();
        self.start().await;
        accepted
    }

    /// Backs up the database.
    pub(crate) fn back_up(&self) -> PathBuf {
        let (database, file) = (
            self.folder.path().join("jeton.db"),
            self.folder.path().join("backup"),
        );
        backup(&database, &file, self.clock.now(), |_| ControlFlow::Continue(())).unwrap();
        file
    }

    /// Restores a backup while the server is stopped.
    pub(crate) async fn restore(&mut self, file: &Path) {
        self.stop();
        let database = self.folder.path().join("jeton.db");
        for end in ["", "-wal", "-shm"] {
            let mut path = database.as_os_str().to_owned();
            path.push(end);
            let _ = fs::remove_file(path);
        }
        restore(file, &database, Missing::Refuse, None, &*self.entropy, |_| {}).unwrap();
        self.start().await;
    }

    /// Returns the directory of the private keys.
    pub(crate) fn key_folder(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// Changes the database directly, in SQL that all kinds of databases understand, and returns the number of changed
    /// rows.
    pub(crate) fn db_change(&self, statement: &str) -> u64 {
        self.db_change_in(statement, statement)
    }

    /// Changes the database directly, in SQL of its own kind.
    pub(crate) fn db_change_in(&self, sqlite: &str, postgres: &str) -> u64 {
        self.is_used.store(true, Ordering::SeqCst);
        self.database.sql(self.folder.path(), sqlite, postgres).1
    }

    /// Reads the database directly, each column as a text.
    pub(crate) fn db_rows(&self, query: &str) -> Vec<Vec<Option<String>>> {
        self.db_rows_in(query, query)
    }

    /// Reads the database directly, in SQL of its own kind.
    pub(crate) fn db_rows_in(&self, sqlite: &str, postgres: &str) -> Vec<Vec<Option<String>>> {
        self.database.sql(self.folder.path(), sqlite, postgres).0
    }

    /// Returns what a query for one number returns.
    pub(crate) fn db_count(&self, query: &str) -> u64 {
        self.db_count_in(query, query)
    }

    /// Returns what a query for one number returns, in SQL of its own kind.
    pub(crate) fn db_count_in(&self, sqlite: &str, postgres: &str) -> u64 {
        let rows = self.db_rows_in(sqlite, postgres);
        let number = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        number.unwrap()
    }

    /// Returns the router.
    pub(crate) fn router(&self) -> Router {
        self.is_used.store(true, Ordering::SeqCst);
        self.router.clone().unwrap()
    }

    /// Runs the background task that records token use.
    pub(crate) async fn write_usage(&self) {
        self.operator().write_usage().await.unwrap();
    }

    /// Ends all streams, as a server that stops does.
    pub(crate) fn stop_streams(&self) {
        self.app.as_ref().unwrap().stop();
    }

    /// Returns the operations that no request can trigger.
    pub(crate) fn operator(&self) -> &Authority {
        self.is_used.store(true, Ordering::SeqCst);
        &self.app.as_ref().unwrap().authority
    }

    /// Returns the id of a key that is retired and has signed nothing.
    pub(crate) async fn needless_key(&self) -> String {
        let kid = self.operator().operator_rotates_key().await.unwrap().key.kid;
        let retired = self.operator().operator_retires_key(&kid.parse().unwrap()).await;
        assert_eq!(retired.unwrap(), KeyRetired::Retired);
        kid
    }

    /// Returns what a scrape of the metrics returns.
    pub(crate) async fn metrics(&self) -> String {
        let registry = jeton::metrics::registry(self.app.as_ref().unwrap(), self.clock.now());
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let scraped = jeton::metrics::router(registry).oneshot(request).await;
        Answer::read(scraped.unwrap()).await.is(200).text
    }

    /// Sends a request unchanged.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.router().oneshot(request).await.unwrap()).await
    }

    /// Sends a request with a JSON body.
    pub(crate) async fn call(
        &self,
        actor: &Actor,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.send(request(actor, method, path, body)).await
    }

    pub(crate) async fn get(&self, actor: &Actor, path: &str) -> Answer {
        self.call(actor, Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, actor: &Actor, path: &str, body: Value) -> Answer {
        self.call(actor, Method::POST, path, Some(body)).await
    }

    /// Sends a form.
    pub(crate) async fn form(&self, actor: &Actor, path: &str, fields: &str) -> Answer {
        self.send(form(actor, path, fields)).await
    }

    pub(crate) async fn patch(&self, actor: &Actor, path: &str, body: Value) -> Answer {
        self.call(actor, Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn put(&self, actor: &Actor, path: &str, body: Value) -> Answer {
        self.call(actor, Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, actor: &Actor, path: &str) -> Answer {
        self.call(actor, Method::DELETE, path, None).await
    }
}

/// Returns a request with a JSON body, by default below `/api/v1`.
pub(crate) fn request(actor: &Actor, method: Method, path: &str, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(address(path));
    if let Some(credential) = actor.authorization() {
        request = request.header("authorization", credential);
    }
    match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    }
    .unwrap()
}

/// Returns a request with a form.
pub(crate) fn form(actor: &Actor, path: &str, form: &str) -> Request<Body> {
    let mut request =
        Request::post(address(path)).header("content-type", "application/x-www-form-urlencoded");
    if let Some(credential) = actor.authorization() {
        request = request.header("authorization", credential);
    }
    request.body(Body::from(form.to_owned())).unwrap()
}

fn address(path: &str) -> String {
    let below_root = [
        "/api/",
        "/healthz",
        "/readyz",
        "/.well-known",
        "/oauth/",
        "/openapi",
        "/docs",
        "/status-lists",
    ];
    if below_root.iter().any(|root| path.starts_with(root)) {
        path.to_owned()
    } else {
        format!("/api/v1{path}")
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
