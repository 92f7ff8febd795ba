//! The users and organizations of the deployment that tests start from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use jeton::authority::NewAccount;
use jeton::authority::password::Password;
use jeton_core::clock::{Clock, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::database::Database;
use crate::harness::{Actor, TestApp};

/// An organization with an admin, a member, a team whose admin is a third user, and a project.
///
/// No name is part of another, so that a leak is found by searching for it.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) team: &'static str,
    pub(crate) project: &'static str,
}

/// The organization that most tests are about.
pub(crate) const NORTH: Tenant = Tenant {
    name: "northwind",
    team: "polar-crew",
    project: "icebreaker",
};

/// The organization that must learn nothing of it.
pub(crate) const SOUTH: Tenant = Tenant {
    name: "southgate",
    team: "desert-crew",
    project: "oasis",
};

impl Tenant {
    /// Returns the e-mail address of the admin, member or lead.
    pub(crate) fn email(&self, role: &str) -> String {
        email(role, self.name)
    }

    /// Returns the organization's id.
    pub(crate) fn id(&self) -> &'static str {
        World::once().id(self.name)
    }

    /// Returns the team's id.
    pub(crate) fn team_id(&self) -> &'static str {
        World::once().id(self.team)
    }

    /// Returns the project's number.
    pub(crate) fn project_id(&self) -> u32 {
        World::once().id(self.project).parse().unwrap()
    }
}

pub(crate) fn email(role: &str, organization: &str) -> String {
    format!("{role}@{organization}.example")
}

/// Returns the password of a user, different for each.
pub(crate) fn password(email: &str) -> String {
    format!("password of {email}")
}

/// A closed database with its keys, the sessions of all users, and the ids of all resources.
pub(crate) struct World {
    folder: TempDir,
    database: Database,
    opened_at: Timestamp,
    sessions: BTreeMap<String, String>,
    ids: BTreeMap<&'static str, String>,
}

impl World {
    /// When the first of them was created: early on 2 January 2026.
    pub(crate) const BEGINS: Timestamp = match Timestamp::from_millis(1_767_323_045_678) {
        Some(begins) => begins,
        None => Timestamp::LAST,
    };

    /// Returns the only world of this process.
    pub(crate) fn once() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| {
            // A runtime of its own, since the test's runs the test.
            let thread = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(Self::make())
            });
            thread.join().unwrap()
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the instant at which tests begin, well after the world's creation.
    pub(crate) fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// Returns a user's session.
    pub(crate) fn session(&self, email: &str) -> Actor {
        Actor::holding(self.sessions.get(email).unwrap())
    }

    fn id(&'static self, name: &str) -> &'static str {
        self.ids.get(name).unwrap()
    }

    async fn make() -> Self {
        let mut app = TestApp::empty().await;
        let root = "admin@example.com".to_owned();
        let account = NewAccount::site_administrator(
            root.parse().unwrap(),
            Password::new(password(&root)).try_into().unwrap(),
        );
        app.found(account).await;
        let mut world = Self {
            folder: TempDir::new().unwrap(),
            database: Database::File,
            opened_at: Self::BEGINS,
            sessions: BTreeMap::new(),
            ids: BTreeMap::new(),
        };
        world.enter(&app, &root).await;
        let site = Actor::holding(world.sessions.get(&root).unwrap());
        for tenant in [&NORTH, &SOUTH] {
            world.settle(&app, &site, tenant).await;
        }
        app.clock.advance(60);
        world.opened_at = app.clock.now();
        let folder;
        (folder, world.database) = app.close();
        super::copy(folder.path(), world.folder.path());
        world
    }

    async fn settle(&mut self, app: &TestApp, site: &Actor, tenant: &Tenant) {
        for role in ["admin", "member", "lead"] {
            let email = tenant.email(role);
            let account = json!({"email": email, "password": password(&email)});
            app.post(site, "/users", account).await.is(201);
            self.enter(app, &email).await;
        }
        let admin = Actor::holding(self.sessions.get(&tenant.email("admin")).unwrap());
        let made = app
            .post(&admin, "/organizations", json!({"name": tenant.name}))
            .await
            .is(201);
        self.ids.insert(tenant.name, made.text_at("/id"));
        let home = format!("/organizations/{}", tenant.name);
        for role in ["member", "lead"] {
            let path = format!("{home}/members/{}", tenant.email(role));
            app.put(site, &path, json!({"role": "member"})).await.is(204);
        }
        let made = app
            .post(&admin, &format!("{home}/teams"), json!({"name": tenant.team}))
            .await
            .is(201);
        self.ids.insert(tenant.team, made.text_at("/id"));
        let path = format!("{home}/teams/{}/members/{}", tenant.team, tenant.email("lead"));
        app.put(&admin, &path, json!({"role": "admin"})).await.is(204);
        let made = app
            .post(
                &admin,
                &format!("{home}/projects"),
                json!({"name": tenant.project}),
            )
            .await
            .is(201);
        self.ids.insert(tenant.project, made.json()["id"].to_string());
    }

    async fn enter(&mut self, app: &TestApp, email: &str) {
        let session = app.log_in(email, &password(email)).await.is(200);
        self.sessions.insert(email.to_owned(), session.text_at("/token"));
    }
}

impl TestApp {
    /// Creates the first administrator, which only an operator can do.
    async fn found(&mut self, account: NewAccount) {
        self.stop();
        let authority = self.authority().await;
        assert!(
            authority
                .found(account, "default".parse().unwrap())
                .await
                .unwrap()
        );
        drop(authority);
        self.start().await;
    }

    fn close(self) -> (TempDir, Database) {
        let Self {
            folder,
            database,
            app,
            router,
            ..
        } = self;
        drop((app, router));
        database.close();
        (folder, database)
    }
}
