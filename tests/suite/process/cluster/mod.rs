//! Several servers on PostgreSQL, and what can go wrong between them: servers that are cut off from the database, a primary
//! that hangs and comes back, answers that are lost, and many clients at two servers at once.
//!
//! Each test says what its negative control is. Those that take long are run by `make cluster`.

mod contested;
mod cut_off;
mod failover;
mod feed;
mod history;
mod lost_answer;
mod proxy;
mod rotation;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_store_postgres::Host;
use jeton_store_postgres::cluster::{Cluster, Replication, Row};
use tokio::runtime::Runtime;

use super::home::Home;
use super::two_nodes::{succeeded, write_secret};
use proxy::Proxy;

/// Ends what other threads do until then, also when the test fails: a scope waits for them.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A PostgreSQL server with an empty database.
struct Database {
    cluster: Cluster,
    name: String,
    runtime: Runtime,
}

impl Database {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let cluster = Cluster::start().unwrap();
        Self {
            name: runtime.block_on(cluster.create_database()).unwrap(),
            cluster,
            runtime,
        }
    }

    /// Starts a standby that commits wait for from now on.
    fn standby(&self) -> Self {
        let standby = self.cluster.standby(Replication::Synchronous);
        Self {
            cluster: self.runtime.block_on(standby).unwrap(),
            name: self.name.clone(),
            runtime: Runtime::new().unwrap(),
        }
    }

    fn promote(&self) {
        self.runtime.block_on(self.cluster.promote()).unwrap();
    }

    fn sql(&self, statements: &str) -> Vec<Row> {
        let done = self.runtime.block_on(self.cluster.sql(&self.name, statements));
        done.unwrap().0
    }

    fn folder(&self) -> PathBuf {
        match self.cluster.config(&self.name).get_hosts() {
            [Host::Unix(folder)] => folder.clone(),
            hosts => panic!("{hosts:?}"),
        }
    }

    /// Returns the host of a database URL.
    fn host(&self) -> String {
        self.folder().to_str().unwrap().replace('/', "%2F")
    }

    fn proxy(&self) -> Proxy {
        Proxy::before(self.folder().join(".s.PGSQL.5432"))
    }

    /// Returns a machine whose server reaches the database by these hosts. Changes settings that all servers share.
    fn machine(&self, hosts: &[String], settings: &[(&str, &str)]) -> Home {
        let home = Home::new();
        write_secret(&home, "seal", &STANDARD.encode([7; 32]));
        home.configure(&format!(
            "issuer = 'https://auth.example.org'\n\
             database = 'postgres://jeton@{}/{}?target_session_attrs=read-write&sslmode=disable'\n\
             keys.key_encryption_key_file = 'seal'\n",
            hosts.join(","),
            self.name,
        ));
        for (name, value) in settings {
            succeeded(home.run(&["settings", "set", name, value]));
        }
        home
    }
}
