//! `jeton move`, as an operator uses it: to PostgreSQL and back, with everything that a deployment has.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton_store::moving::TABLES;
use jeton_store_postgres::cluster::Cluster;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::client::Client;
use super::home::{Finished, Home, PASSWORD, SOON, Server, eventually};
use super::restore::stop;
use super::two_nodes::write_secret;

/// A machine with a database file, and a PostgreSQL server with an empty database.
struct Scene {
    home: Home,
    cluster: Cluster,
    runtime: Runtime,
    database: String,
    url: String,
}

/// A setting of every configuration file here.
const ISSUER: &str = "issuer = 'https://auth.example.org'\n";

/// Those beside a database file. With PostgreSQL the second one is in the database.
const COMMON: &str = "issuer = 'https://auth.example.org'\nkeys.jwks_max_age = '1s'\n";

/// What `jeton settings show` prints of it.
const SHARED: &str = "keys.jwks_max_age = \"1s\"";

/// Settings of a key-encryption key.
const SEALED: &str = "keys.key_encryption_key_file = 'seal'\n";

impl Scene {
    fn set() -> Self {
        let cluster = Cluster::start().unwrap();
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(cluster.create_database()).unwrap();
        let home = Home::new();
        write_secret(&home, "seal", &STANDARD.encode([7; 32]));
        home.configure(COMMON);
        Self {
            url: cluster.url(&database, &[]),
            home,
            cluster,
            runtime,
            database,
        }
    }

    fn sql(&self, statements: &str) -> Vec<Vec<Option<String>>> {
        let done = self.cluster.sql(&self.database, statements);
        self.runtime.block_on(done).unwrap().0
    }

    /// Returns the first column of the only row.
    fn value(&self, query: &str) -> String {
        self.sql(query)[0][0].clone().unwrap()
    }

    fn on_postgres(&self) -> &Self {
        let text = format!("{ISSUER}{SEALED}database = '{}'\n", self.url);
        self.home.configure(&text);
        self
    }

    fn to_postgres(&self) -> Finished {
        self.home
            .run(&["--key-encryption-key", "seal", "move", "--to", &self.url])
    }
}

#[track_caller]
fn succeeded(finished: Finished) -> String {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[track_caller]
fn refused(finished: &Finished, reason: &str) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains(reason), "{finished:?}");
}

/// The tokens of a deployment, and what else clients have seen of it.
#[derive(Default)]
struct Seen {
    live: Vec<String>,
    sessions: Vec<String>,
    refused: Vec<String>,
    /// A token that is live, and its id.
    next: (String, String),
    keys: BTreeSet<String>,
    feed: Value,
    audit: Vec<Value>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// Issues a token, and returns its id and its text.
fn issue(client: &mut Client, body: Value) -> (String, String) {
    let made = client
        .post("/api/v1/tokens", body)
        .expect(StatusCode::CREATED)
        .json();
    (text(&made["token_info"]["id"]), text(&made["token"]))
}

fn of(name: &str) -> Value {
    json!({"name": name, "organization": "acme", "owner": "organization"})
}

fn put(client: &mut Client, path: &str, body: &Value) {
    let answer = client.ask("PUT", path, Some(body.to_string())).unwrap();
    assert!(answer.status < 300, "{path}: {answer:?}");
}

/// Returns the id in a token.
fn jti(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    text(&payload["jti"])
}

/// Makes rows in every table, by what clients and operators do.
fn fill(home: &Home) -> Seen {
    let server = home.serve();
    let mut admin = server.administrator();
    let mut seen = Seen::default();
    let policy = json!({"max_active_tokens_per_owner": 50});
    let organization = json!({"name": "acme-before", "policy": policy});
    admin
        .post("/api/v1/organizations", organization)
        .expect(StatusCode::CREATED);
    let renamed = json!({"name": "acme"}).to_string();
    let renaming = admin.ask("PATCH", "/api/v1/organizations/acme-before", Some(renamed));
    renaming.unwrap().expect(StatusCode::OK);
    for name in ["ada", "eve"] {
        let user = json!({"email": format!("{name}@example.org"), "password": PASSWORD});
        admin.post("/api/v1/users", user).expect(StatusCode::CREATED);
    }
    let member = json!({"role": "member"});
    // Nobody has the second address yet.
    for name in ["ada", "invited"] {
        put(
            &mut admin,
            &format!("/api/v1/organizations/acme/members/{name}@example.org"),
            &member,
        );
    }
    let session = server.client().login("ada@example.org", PASSWORD).unwrap();
    let mut ada = server.client().with_token(&session);
    let team = json!({"name": "core"});
    admin
        .post("/api/v1/organizations/acme/teams", team)
        .expect(StatusCode::CREATED);
    put(
        &mut admin,
        "/api/v1/organizations/acme/teams/core/members/ada@example.org",
        &member,
    );
    let project = json!({"name": "site"});
    admin
        .post("/api/v1/organizations/acme/projects", project)
        .expect(StatusCode::CREATED);

    // By the first key.
    let old = issue(&mut admin, of("old")).1;
    let report = json!({"name": "reporter", "owner": "deployment",
        "scopes": ["usage:write", "revocations:read", "tokens:introspect"]});
    let reporter = issue(&mut admin, report).1;
    let mut in_team = of("team");
    (in_team["owner"], in_team["team"]) = (json!("team"), json!("core"));
    let in_team = issue(&mut admin, in_team).1;
    let mut slot = of("slot");
    slot["slot"] = json!("ci");
    let replaced = issue(&mut admin, slot.clone()).1;
    let slot = issue(&mut admin, slot).1;
    let own = json!({"name": "own", "organization": "acme", "owner": "user"});
    let own = issue(&mut ada, own).1;
    let (rotated_id, rotated) = issue(&mut admin, of("rotated"));
    let rotate = format!("/api/v1/tokens/{rotated_id}/rotate");
    let grace = json!({"grace_period": "1h"});
    let successor = admin.post(&rotate, grace).expect(StatusCode::CREATED).json();
    let (revoked_id, revoked) = issue(&mut admin, of("revoked"));
    let revoke = format!("/api/v1/tokens/{revoked_id}/revoke");
    let reason = json!({"reason": "a leak"});
    admin.post(&revoke, reason).expect(StatusCode::CREATED);
    assert_eq!(
        server.client().current(&revoked),
        401,
        "a refusal that is counted"
    );
    let doomed: Vec<_> = (0..4).map(|_| issue(&mut admin, of("doomed")).1).collect();
    let many = json!({"organization": "acme", "q": "doomed"});
    let many = admin.post("/api/v1/tokens/revoke", many).json();
    let progress = format!("/api/v1/tokens/revoke/{}", text(&many["id"]));
    let done = eventually(SOON, || {
        admin.get(&progress).json()["finished_at"]
            .is_string()
            .then_some(())
    });
    assert!(done.is_some());
    let eve = server.client().login("eve@example.org", PASSWORD).unwrap();
    let cut_off = json!({"user": "eve@example.org", "reason": "lost"});
    admin
        .post("/api/v1/revocations", cut_off)
        .expect(StatusCode::CREATED);
    let mut once = server.client().with_token(admin.token());
    once = once.with_header("idempotency-key", "once-1");
    let once = issue(&mut once, of("once")).1;
    let used = json!({"audience": "https://api.example",
        "uses": [{"jti": jti(&old), "at": "2026-01-01T00:00:00Z"}]});
    let mut reporting = server.client().with_token(&reporter);
    let answer = reporting.post("/api/v1/usage", used);
    assert!(answer.status < 300, "{answer:?}");

    // By another key.
    succeeded(home.run(&["keys", "rotate"]));
    let has_rotated = || {
        let listed = succeeded(home.run(&["keys", "list"]));
        listed.contains(" retired ").then_some(())
    };
    assert!(eventually(SOON, has_rotated).is_some());
    seen.next = issue(&mut admin, of("next"));
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    let counts = "SELECT (SELECT count(*) FROM audit_checkpoints) > 0 AND audit_tokens > 0 FROM meta";
    let is_sealed = || raw.query_row(counts, (), |row| row.get::<_, bool>(0)).unwrap();
    assert!(eventually(SOON, || is_sealed().then_some(())).is_some());

    seen.live = vec![
        old,
        reporter,
        in_team,
        slot,
        own,
        rotated,
        text(&successor["token"]),
        once,
        seen.next.1.clone(),
    ];
    seen.sessions = vec![session, admin.token().to_owned()];
    seen.refused = vec![replaced, revoked, eve];
    seen.refused.extend(doomed);
    look(&server, &mut seen);
    drop(raw);
    stop(server);
    // What only accidents make.
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    raw.execute_batch(
        "INSERT INTO lost_tokens VALUES (randomblob(16), 1, 77777, 1700000000000, NULL);
         UPDATE meta SET ended = NULL;
         INSERT INTO bulk_members SELECT max(id), 1, 1 FROM bulk_revocations",
    )
    .unwrap();
    seen
}

/// Notes what clients see.
fn look(server: &Server, seen: &mut Seen) {
    let mut admin = server.administrator();
    seen.keys = keys(&mut admin);
    seen.feed = admin.get("/api/v1/revocations?limit=1000").json();
    seen.audit = audit(&mut admin);
}

fn keys(client: &mut Client) -> BTreeSet<String> {
    let keys = client.get("/.well-known/jwks.json").json();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| text(&key["kid"])).collect()
}

fn audit(client: &mut Client) -> Vec<Value> {
    let exported = client.get("/api/v1/audit/export").expect(StatusCode::OK);
    let lines = String::from_utf8(exported.body.to_vec()).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Compares a server with what was seen of another database, revokes a token, issues one, and notes that.
#[track_caller]
fn goes_on(server: &Server, seen: &mut Seen) {
    let mut client = server.client();
    for (number, token) in seen.live.iter().enumerate() {
        assert_eq!(client.current(token), 200, "live token {number}");
    }
    for (number, token) in seen.refused.iter().enumerate() {
        assert_eq!(client.current(token), 401, "refused token {number}");
    }
    for session in &seen.sessions {
        client = client.with_token(session);
        client.get("/api/v1/me").expect(StatusCode::OK);
    }
    let mut admin = server.administrator();
    let now = keys(&mut admin);
    assert!(now.is_superset(&seen.keys), "{now:?} {:?}", seen.keys);
    let feed = admin.get("/api/v1/revocations?limit=1000").json();
    assert_eq!(feed["items"], seen.feed["items"]);
    assert!(feed["items"].as_array().unwrap().len() > 5, "{feed}");
    let lines = audit(&mut admin);
    assert!(seen.audit.len() > 20, "{lines:?}");
    assert_eq!(lines[..seen.audit.len()], seen.audit[..]);
    let (id, token) = std::mem::take(&mut seen.next);
    let path = format!("/api/v1/tokens/{id}/revoke");
    admin.post(&path, json!({})).expect(StatusCode::CREATED);
    assert_eq!(admin.current(&token), 401);
    seen.live.retain(|live| *live != token);
    seen.refused.push(token);
    seen.next = issue(&mut admin, of("next"));
    assert_eq!(admin.current(&seen.next.1), 200);
    seen.live.push(seen.next.1.clone());
    seen.sessions.push(admin.token().to_owned());
    look(server, seen);
}

/// No index of a status list was given twice, and the last token has the highest number.
const PLACES: &str = "SELECT count(*) - count(DISTINCT status_list * 10000000 + status_index) FROM tokens";

#[test]
fn a_deployment_moves_to_postgresql_and_back_and_no_token_is_issued_again() {
    let scene = Scene::set();
    let home = &scene.home;
    let mut seen = fill(home);
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    let mut rows = Vec::new();
    for table in TABLES {
        let from = match table.name {
            "token_use" => "tokens WHERE refusals > 0 OR last_used_at > 0",
            name => name,
        };
        let query = format!("SELECT count(*) FROM {from}");
        let count: i64 = raw.query_row(&query, (), |row| row.get(0)).unwrap();
        assert!(count > 0, "{} has no row: this test moves none", table.name);
        rows.push(count);
    }
    let used: String = raw
        .query_row(
            "SELECT group_concat(id || ':' || used || ':' || hex(permutation_key)) FROM status_lists",
            (),
            |row| row.get(0),
        )
        .unwrap();
    let last: i64 = raw
        .query_row("SELECT max(id) FROM tokens", (), |row| row.get(0))
        .unwrap();
    drop(raw);
    assert_eq!(
        succeeded(home.run(&["backup", "backup.db"])),
        "backup.db\n",
        "as a schedule makes them"
    );

    let moved = succeeded(scene.to_postgres());
    assert!(
        moved.contains("2 private keys are copied and compared"),
        "{moved}"
    );
    for (table, count) in TABLES.iter().zip(&rows) {
        let query = format!("SELECT count(*) FROM {}", table.name);
        assert_eq!(scene.value(&query), count.to_string(), "{}", table.name);
    }
    let moved_used =
        "SELECT string_agg(id || ':' || used || ':' || upper(encode(permutation_key, 'hex')), ','
        ORDER BY id) FROM status_lists";
    assert_eq!(scene.value(moved_used), used);

    assert!(
        moved.ends_with("remove these settings, which are in the database now:\nkeys.jwks_max_age\n"),
        "{moved}"
    );

    // The source is left for good, and so is each copy of it.
    let left = "has moved to postgres://";
    refused(&home.try_serve().err().unwrap(), left);
    refused(&scene.to_postgres(), left);
    refused(&home.run(&["keys", "rotate"]), left);
    fs::rename(home.path("jeton.db"), home.path("left.db")).unwrap();
    refused(&home.run(&["restore", "backup.db"]), left);
    fs::copy(home.path("backup.db"), home.path("jeton.db")).unwrap();
    refused(&home.try_serve().err().unwrap(), left);
    fs::remove_file(home.path("jeton.db")).unwrap();

    scene.on_postgres();
    let settings = succeeded(home.run(&["settings", "show"]));
    assert!(settings.lines().any(|line| line == SHARED), "{settings}");
    let server = home.serve();
    goes_on(&server, &mut seen);
    assert_eq!(scene.value(PLACES), "0");
    assert_eq!(
        scene.value(&format!(
            "SELECT bool_and(id > {last}) FROM tokens WHERE name = 'next' AND effective_at IS NULL"
        )),
        "t"
    );
    refused(
        &home.run(&["move", "--to", "back.db"]),
        "is running on the database",
    );
    stop(server);
    scene.sql("UPDATE nodes SET renewed_at = 0; UPDATE meta SET history_lost = true");

    let back = ["--keys", "back", "move", "--to", "back.db"];
    refused(&home.run(&back), "jeton reconcile");
    scene.sql("UPDATE meta SET history_lost = false");
    let moved = succeeded(home.run(&back));
    assert!(
        moved.contains("2 private keys are copied and compared"),
        "{moved}"
    );
    assert!(moved.contains("which were in the former database:\n"), "{moved}");
    assert!(moved.lines().any(|line| line == SHARED), "{moved}");
    refused(&home.try_serve().err().unwrap(), "has moved to /");
    refused(
        &home.run(&["--keys", "back", "move", "--to", "other.db"]),
        "has moved to /",
    );
    home.configure(&format!(
        "{COMMON}{SEALED}database = 'back.db'\nkeys.folder = 'back'\n"
    ));
    let server = home.serve();
    goes_on(&server, &mut seen);
    stop(server);
    assert_eq!(
        succeeded(home.run(&["journal", "check"])),
        "the journal is whole\n"
    );
    let audited = succeeded(home.run(&["audit", "verify"]));
    assert!(audited.contains("the audit is whole"), "{audited}");
    let raw = Connection::open(home.path("back.db")).unwrap();
    let places: i64 = raw.query_row(PLACES, (), |row| row.get(0)).unwrap();
    assert_eq!(places, 0);
}

#[test]
fn a_move_that_fails_leaves_both_databases_as_they_were() {
    let scene = Scene::set();
    let home = &scene.home;
    let server = home.serve();
    let mut admin = server.administrator();
    let body = json!({"name": "ci", "owner": "deployment", "scopes": ["revocations:read"]});
    let token = issue(&mut admin, body).1;
    refused(&scene.to_postgres(), "another server is running");
    stop(server);
    let goes_on = || {
        let server = home.serve();
        assert_eq!(server.client().current(&token), 200);
        stop(server);
    };
    refused(
        &home.run(&["move", "--to", &scene.url]),
        "create a key-encryption key",
    );
    // Half way: a text that PostgreSQL cannot store, in one of the last tables.
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    raw.execute_batch("INSERT INTO reporting_audiences VALUES ('a' || char(0), 1, 1)")
        .unwrap();
    refused(&scene.to_postgres(), "the move was given up, and /");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(scene.value(tables), "0");
    raw.execute_batch("DELETE FROM reporting_audiences").unwrap();
    goes_on();
    scene.sql("CREATE TABLE other (one int)");
    refused(&scene.to_postgres(), "tables of another program");
    scene.sql("DROP TABLE other");
    goes_on();
    // The other direction: a head that was altered.
    drop(raw);
    succeeded(scene.to_postgres());
    scene.on_postgres();
    scene.sql("UPDATE meta SET audit_hash = decode(repeat('11', 32), 'hex')");
    let back = ["--keys", "back", "move", "--to", "back.db"];
    refused(&home.run(&back), "the audit is broken after line");
    for name in ["back.db", "back.db.moving", "back.db.revocations"] {
        assert!(!home.path(name).exists(), "{name}");
    }
    assert_eq!(
        scene.value("SELECT count(*) FROM meta WHERE moved_to IS NULL"),
        "1"
    );
    fs::write(home.path("back.db"), "").unwrap();
    refused(&home.run(&back), "already exists and is not overwritten");
}

#[test]
fn a_move_that_was_interrupted_at_its_end_is_finished_by_the_same_command() {
    let scene = Scene::set();
    let home = &scene.home;
    let server = home.serve();
    let body = json!({"name": "ci", "owner": "deployment", "scopes": ["revocations:read"]});
    let token = issue(&mut server.administrator(), body).1;
    stop(server);
    succeeded(scene.to_postgres());
    // As if it had ended before the copy was released.
    scene.sql("UPDATE meta SET arrives_from = 'jeton.db'");
    scene.on_postgres();
    refused(&home.try_serve().err().unwrap(), "was not finished");
    // And as if the source were marked in its journal alone.
    let raw = Connection::open(home.path("jeton.db")).unwrap();
    raw.execute_batch("DROP TRIGGER moved_database_stays; UPDATE meta SET moved_to = NULL")
        .unwrap();
    drop(raw);
    home.configure(COMMON);
    refused(&home.try_serve().err().unwrap(), "has moved to postgres://");
    assert!(succeeded(scene.to_postgres()).contains("has moved from"));
    refused(&scene.to_postgres(), "has moved to postgres://");
    scene.on_postgres();
    let server = home.serve();
    assert_eq!(server.client().current(&token), 200);
    stop(server);
    scene.sql("UPDATE nodes SET renewed_at = 0");
    let back = ["--keys", "back", "move", "--to", "back.db"];
    succeeded(home.run(&back));
    fs::rename(home.path("back.db"), home.path("back.db.moving")).unwrap();
    fs::remove_dir_all(home.path("back.db.revocations")).unwrap();
    assert!(succeeded(home.run(&back)).contains("has moved from"));
    home.configure(&format!(
        "{COMMON}{SEALED}database = 'back.db'\nkeys.folder = 'back'\n"
    ));
    let server = home.serve();
    assert_eq!(server.client().current(&token), 200);
}

#[test]
fn nothing_writes_to_a_database_that_moves_or_has_moved() {
    let scene = Scene::set();
    let home = &scene.home;
    stop(home.serve());
    succeeded(scene.to_postgres());
    scene.on_postgres();
    let settings = scene.cluster.settings(&scene.database, &[]).unwrap();
    let moving = jeton_store_postgres::MovingDatabase::source(&settings);
    let moving = scene.runtime.block_on(moving).unwrap();
    let changing = "SET lock_timeout = '200ms'; UPDATE users SET email = 'x'";
    let changed = scene.cluster.sql(&scene.database, changing);
    let error = scene.runtime.block_on(changed).unwrap_err();
    assert!(format!("{error:?}").contains("lock timeout"), "{error:?}");
    drop(moving);
    // A server that was opened before the move was begun, and has read everything.
    let server = home.serve();
    let mut admin = server.administrator();
    let token = admin.token().to_owned();
    scene.sql("UPDATE meta SET moved_to = 'elsewhere'");
    let body = json!({"name": "ci", "owner": "deployment", "scopes": ["revocations:read"]});
    let issued = admin.post("/api/v1/tokens", body);
    assert_eq!(issued.status, 503, "{issued:?}");
    let fenced = eventually(SOON, || (admin.current(&token) == 503).then_some(()));
    assert!(fenced.is_some(), "its lease ends");

    // A file: the move holds the lock of all writers.
    let two = Home::new();
    two.configure(COMMON);
    stop(two.serve());
    let entropy = std::sync::Arc::new(jeton::system::SystemEntropy);
    let moving = jeton_store_sqlite::MovingFile::source(&two.path("jeton.db"), None, entropy).unwrap();
    let raw = Connection::open(two.path("jeton.db")).unwrap();
    raw.busy_timeout(Duration::from_millis(200)).unwrap();
    let error = raw.execute_batch("UPDATE users SET email = 'x'").unwrap_err();
    assert!(error.to_string().contains("locked"), "{error}");
    drop(moving);
    raw.execute_batch("UPDATE meta SET moved_to = 'elsewhere'")
        .unwrap();
    raw.execute_batch("UPDATE meta SET edits = edits + 1")
        .unwrap_err();
}

/// Columns that belong to one backend, and are not moved.
const OWN: [(&str, &str); 10] = [
    ("meta", "backed_up_at"),
    ("meta", "ended"),
    ("meta", "moved_to"),
    ("meta", "arrives_from"),
    ("meta", "lists_through"),
    ("meta", "history_lost"),
    ("meta", "made_up_through"),
    ("keys", "sealed"),
    ("jeton_schema", "version"),
    ("jeton_schema", "served_from"),
];

#[test]
fn every_column_of_both_schemas_is_moved_or_named_as_one_of_a_backend() {
    let scene = Scene::set();
    stop(scene.home.serve());
    succeeded(scene.to_postgres());
    let declared: BTreeSet<(String, String)> = TABLES
        .iter()
        .flat_map(|table| {
            let columns = table.columns.iter();
            columns.map(|column| (table.name.to_owned(), column.name.to_owned()))
        })
        .collect();
    let is_own = |(table, column): &(String, String)| {
        // Leases, counters of failed logins, what servers' journals are compared with, and settings, which a file of the
        // configuration has otherwise.
        ["nodes", "login_failures", "settings", "reconciled_events"].contains(&table.as_str())
            || OWN.contains(&(table.as_str(), column.as_str()))
    };
    let of_postgres: BTreeSet<_> = scene
        .sql("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
        .into_iter()
        .map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap()))
        .filter(|column| !is_own(column))
        .collect();
    assert_eq!(of_postgres, declared);
    let raw = Connection::open(scene.home.path("jeton.db")).unwrap();
    let mut query = raw
        .prepare(
            "SELECT tables.name, columns.name FROM sqlite_schema AS tables
             JOIN pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'",
        )
        .unwrap();
    let of_sqlite: BTreeSet<(String, String)> = query
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .filter(|column| !is_own(column))
        .collect();
    // The use of a token is in its row, and a person is a user.
    let declared: BTreeSet<_> = declared
        .into_iter()
        .filter(|(table, column)| table != "token_use" || column != "token")
        .map(|(table, column)| {
            let table = if table == "token_use" {
                "tokens".to_owned()
            } else {
                table
            };
            let column = if column == "person" {
                "user".to_owned()
            } else {
                column
            };
            (table, column)
        })
        .collect();
    assert_eq!(of_sqlite, declared);
}
