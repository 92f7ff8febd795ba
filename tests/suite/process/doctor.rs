//! `jeton doctor`: a healthy deployment, and one fault for each check.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::backups::{DAILY, another, create};
use super::home::{Finished, Home, Server};
use super::metrics::ANY_PORT;
use super::restore::{issue, revoke, stop};

/// Runs it and returns its findings: the level and what was found, by check.
fn examined(home: &Home, arguments: &[&str]) -> (Finished, BTreeMap<String, (String, String)>) {
    let finished = home.run(&[&["doctor", "--json"], arguments].concat());
    let mut findings = BTreeMap::new();
    for line in finished.stdout.lines() {
        let finding: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        // The worst of several counts.
        let found = (text("level"), text("found"));
        let known: &mut (String, String) = findings.entry(text("check")).or_insert_with(|| found.clone());
        if found.0 == "fail" {
            *known = found;
        }
        assert_eq!(finding["advice"].is_null(), text("level") == "ok", "{finding}");
    }
    (finished, findings)
}

/// Requires that this check fails with a text, and returns all findings.
#[track_caller]
fn fails(home: &Home, arguments: &[&str], check: &str, with: &str) -> BTreeMap<String, (String, String)> {
    let (finished, findings) = examined(home, arguments);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let (level, found) = findings.get(check).unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(
        level == "fail" && found.contains(with),
        "{level} {check}: {found}"
    );
    findings
}

fn db(home: &Home) -> rusqlite::Connection {
    rusqlite::Connection::open(home.path("jeton.db")).unwrap()
}

/// Changes rows that no program may change.
fn tamper(home: &Home, statements: &str) {
    let connection = db(home);
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map((), |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for trigger in triggers {
        connection
            .execute_batch(&format!("DROP TRIGGER {trigger}"))
            .unwrap();
    }
    connection.execute_batch(statements).unwrap();
}

/// Returns whether a line says that a backup must be restored.
fn advises_to_restore(home: &Home) -> bool {
    home.run(&["doctor", "--offline"])
        .stdout
        .contains("jeton restore")
}

/// A deployment with a token, three revoked tokens and a backup, and its server.
fn deployment() -> (Home, Server) {
    let home = Home::new();
    create(&home);
    home.configure(&format!("{ANY_PORT}{DAILY}"));
    let server = home.serve();
    let mut client = server.administrator();
    issue(&mut client, "live");
    for name in ["one", "two", "three"] {
        let (id, _) = issue(&mut client, name);
        revoke(&mut client, &id);
    }
    another(&home, &server, &[]);
    (home, server)
}

#[test]
fn a_healthy_deployment_is_in_order_and_stays_as_it_is() {
    let (home, server) = deployment();
    let names = |home: &Home| -> Vec<PathBuf> { home.files().into_iter().map(|(path, _)| path).collect() };
    let before = names(&home);
    for _ in 0..2 {
        let (finished, findings) = examined(&home, &[]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        // How much room there is depends on the machine of the test, not on the deployment.
        let wrong: Vec<_> = findings
            .iter()
            .filter(|(name, (level, _))| level != "ok" && *name != "free")
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let checks: Vec<&str> = findings.keys().map(String::as_str).collect();
        assert_eq!(
            checks.join(" "),
            "audit authorization backups clock commits feed file file_system forwarded free https journal journal_in_force jwks keys \
             modes reachable revoked status_lists sync wal"
        );
    }
    assert_eq!(names(&home), before, "nothing is left");
    // The server's locks are intact: it writes, and nobody has taken its WAL away.
    let mut client = server.administrator();
    let (id, secret) = issue(&mut client, "after");
    revoke(&mut client, &id);
    assert_eq!(client.current(&secret), 401);
    let text = home.run(&["doctor"]);
    assert!(
        text.stdout
            .lines()
            .all(|line| line.starts_with("ok    ") || line.contains("free")),
        "{text:?}"
    );
    stop(server);
    // Without a server the files are as they were, byte for byte.
    let before = home.files();
    let (finished, findings) = examined(&home, &["--offline"]);
    assert_eq!(finished.code, Some(0), "{findings:#?}");
    let wal =
        |path: &PathBuf| path.to_str().unwrap().ends_with("-wal") || path.to_str().unwrap().ends_with("-shm");
    let after: Vec<_> = home.files().into_iter().filter(|(path, _)| !wal(path)).collect();
    assert_eq!(after.len(), before.iter().filter(|(path, _)| !wal(path)).count());
    for ((path, now), (_, then)) in after.iter().zip(before.iter().filter(|(path, _)| !wal(path))) {
        assert!(now == then, "{} has changed", path.display());
    }
    fails(&home, &[], "reachable", "");
}

#[test]
fn each_fault_of_the_files_is_found() {
    let (home, server) = deployment();
    stop(server);
    let original = fs::read(home.path("jeton.db")).unwrap();
    let restore = || {
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(home.path(&format!("jeton.db{end}")));
        }
        fs::write(home.path("jeton.db"), &original).unwrap();
    };
    let offline = &["--offline"];

    tamper(
        &home,
        "UPDATE revocations SET recorded_at = recorded_at + 1 WHERE sequence = 2",
    );
    fails(
        &home,
        offline,
        "feed",
        "event 2 of the revocation feed has been altered",
    );
    restore();
    tamper(&home, "DELETE FROM revocations WHERE sequence = 2");
    fails(
        &home,
        offline,
        "feed",
        "event 2 of the revocation feed is missing",
    );
    restore();
    tamper(&home, "UPDATE audit SET actor = 'nobody' WHERE sequence = 2");
    fails(&home, offline, "audit", "line 2: ");
    restore();
    tamper(&home, "UPDATE actions SET after = '{}' WHERE id = 1");
    fails(&home, offline, "audit", "row 1 of actions was altered");
    restore();
    let revived =
        "UPDATE tokens SET revoked_at = NULL, effective_at = NULL, revoked_by = NULL WHERE name = 'two'";
    tamper(&home, revived);
    let findings = fails(&home, offline, "revoked", "the records of revoked tokens");
    assert_eq!(findings["journal_in_force"].0, "fail", "{findings:#?}");
    restore();
    tamper(&home, "UPDATE meta SET latest_at = latest_at + 7200000");
    fails(&home, offline, "clock", "seconds behind the latest record");
    restore();
    // The rows of an index are not those of its table.
    tamper(
        &home,
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'WHERE effective_at IS NOT NULL', 'WHERE effective_at IS NULL')
         WHERE name = 'tokens_revoked'",
    );
    fails(&home, offline, "file", "tokens_revoked");
    restore();
    let mut bytes = original.clone();
    for byte in &mut bytes[..512] {
        *byte = 0;
    }
    fs::write(home.path("jeton.db"), bytes).unwrap();
    fails(&home, offline, "database", "");
    assert!(advises_to_restore(&home), "the file is overwritten");
    restore();

    fs::set_permissions(home.path("jeton.db"), fs::Permissions::from_mode(0o644)).unwrap();
    fails(&home, offline, "modes", "readable by other users");
    assert!(!advises_to_restore(&home));
    fs::set_permissions(home.path("jeton.db"), fs::Permissions::from_mode(0o600)).unwrap();
    restore();
    tamper(&home, "PRAGMA user_version = 99");
    fails(&home, offline, "database", "newer version of jeton");
    assert!(!advises_to_restore(&home));
    restore();
    // What a first start leaves that was killed.
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("jeton.db{end}")));
    }
    fs::write(home.path("jeton.db"), "").unwrap();
    fails(&home, offline, "database", "");
    assert!(!advises_to_restore(&home));
    // SQLite has created files beside it with the same mode.
    restore();

    // The audit lags behind, and a commit of a start is lost.
    tamper(
        &home,
        "INSERT INTO actions (at, action, actor) VALUES (1000, 'x', 'nobody')",
    );
    let (_, findings) = examined(&home, offline);
    let (level, found) = &findings["audit"];
    assert!(
        level == "warn" && found.contains("1 records have no line") && found.contains("1970-01-01"),
        "{level} {found}"
    );
    restore();
    tamper(&home, "UPDATE meta SET starts = starts - 1");
    fails(&home, offline, "commits", "the database lacks the start 1");
    restore();
    let journal = home.path("jeton.db.revocations");
    fs::rename(&journal, home.path("elsewhere")).unwrap();
    let findings = fails(&home, offline, "journal", "is missing");
    assert!(!findings.contains_key("journal_in_force") && !findings.contains_key("commits"));
    let advised = home.run(&["doctor", "--offline"]).stdout;
    assert!(advised.contains("jeton journal begin"), "{advised}");
    fs::create_dir(&journal).unwrap();
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o700)).unwrap();
    fails(&home, offline, "journal", "is missing");
    fs::remove_dir(&journal).unwrap();
    fs::rename(home.path("elsewhere"), &journal).unwrap();

    let mut segments: Vec<_> = fs::read_dir(home.path("jeton.db.revocations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    let segment = segments.pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle] ^= 1;
    fs::write(&segment, torn).unwrap();
    fails(&home, offline, "journal", "");
    fs::write(&segment, whole).unwrap();

    let mut keys = fs::read_dir(home.path("keys")).unwrap();
    let key = keys
        .find_map(|entry| {
            Some(entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "pem"))
        })
        .unwrap();
    let pem = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    fails(&home, offline, "keys", "is missing, and it is signing");
    fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fails(&home, offline, "keys", "");
    fs::write(&key, pem).unwrap();

    let backup = super::backups::files(&home)
        .into_iter()
        .find(|name| name.ends_with(".db"))
        .unwrap();
    fs::remove_file(home.path("backups").join(backup)).unwrap();
    fails(&home, offline, "backups", "there is none");
    home.configure(ANY_PORT);
    let (finished, findings) = examined(&home, offline);
    assert_eq!(
        (finished.code, &*findings["backups"].0),
        (Some(0), "warn"),
        "{findings:#?}"
    );
}

#[test]
fn what_is_kept_elsewhere_is_examined() {
    let (home, server) = deployment();
    stop(server);
    let offline = &["--offline"];
    let with = |more: &str| _ = home.configure(&format!("{ANY_PORT}{DAILY}{more}"));

    with("[audit]\ncheckpoints = \"checkpoints\"\n");
    let (_, findings) = examined(&home, offline);
    assert_eq!(findings["audit"].0, "warn", "{findings:#?}");
    fs::write(
        home.path("checkpoints"),
        "another origin\n3\n\n\u{2014} key AAAA\n",
    )
    .unwrap();
    fails(&home, offline, "audit", "checkpoint 1 of checkpoints");
    with("[audit]\ncheckpoints = \"https://logs.example.org/path\"\n");
    let (_, findings) = examined(&home, offline);
    let (level, found) = &findings["audit"];
    assert!(
        level == "ok" && found.contains("those that logs.example.org keeps are not compared"),
        "{level} {found}"
    );

    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(other.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let copy = other.path().join("copy");
    with(&format!("[journal]\ncopy = {copy:?}\n"));
    fails(&home, offline, "journal_copy", "does not exist");
    fs::create_dir(&copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();
    let findings = fails(&home, offline, "journal_copy", "bytes of the journal");
    assert!(
        findings["file_system"].0 == "fail" && findings["file_system"].1.contains("in memory"),
        "{findings:#?}"
    );
    let on_same_disk = home.path("copy");
    fs::create_dir(&on_same_disk).unwrap();
    for (copy, level) in [(copy, "ok"), (on_same_disk, "warn")] {
        for segment in fs::read_dir(home.path("jeton.db.revocations")).unwrap() {
            let segment = segment.unwrap();
            fs::copy(segment.path(), copy.join(segment.file_name())).unwrap();
        }
        with(&format!("[journal]\ncopy = {copy:?}\n"));
        let (_, findings) = examined(&home, offline);
        assert_eq!(findings["journal_copy"].0, level, "{findings:#?}");
    }
}

/// What answers in place of the server: a proxy, a cache, or another server.
struct Stranger {
    address: SocketAddr,
    answers: Arc<std::sync::Mutex<BTreeMap<String, (u16, String)>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(std::sync::Mutex::new(BTreeMap::<String, (u16, String)>::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (known, stops) = (Arc::clone(&answers), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stops.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let Some(Ok(first)) = lines.next() else { continue };
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let (status, body) = known
                    .lock()
                    .unwrap()
                    .get(&path)
                    .cloned()
                    .unwrap_or((404, String::new()));
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        Self {
            address,
            answers,
            ended,
            thread: Some(thread),
        }
    }

    fn answer(&self, path: &str, status: u16, body: impl Into<String>) {
        let answer = (status, body.into());
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn text(answer: super::client::Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[test]
fn each_fault_between_the_clients_and_the_server_is_found() {
    let home = Home::new();
    home.configure(ANY_PORT);
    let stranger = Stranger::new();
    let issuer = format!("http://{}", stranger.address);
    let mut command = home.serve_command();
    command.env("JETON_ISSUER", &issuer);
    let server = home.start(command);
    let mut client = server.administrator();
    let jwks = text(client.get("/.well-known/jwks.json"));
    let (id, _) = issue(&mut client, "revoked");
    let list = text(client.get("/status-lists/2"));
    revoke(&mut client, &id);

    const METADATA: &str = "/.well-known/oauth-authorization-server";
    fails(&home, &[], "reachable", "404");
    stranger.answer(
        METADATA,
        200,
        json!({"issuer": "https://other.example"}).to_string(),
    );
    fails(&home, &[], "reachable", "https://other.example");
    stranger.answer(METADATA, 200, json!({"issuer": issuer}).to_string());
    fails(&home, &[], "jwks", "404");
    stranger.answer("/.well-known/jwks.json", 200, json!({"keys": []}).to_string());
    fails(&home, &[], "jwks", "the published key set lacks");
    stranger.answer("/.well-known/jwks.json", 200, &*jwks);
    let missing = json!({"detail": "x", "code": "not_authenticated"}).to_string();
    stranger.answer("/api/v1/me", 401, missing);
    fails(&home, &[], "authorization", "does not arrive");
    let invalid = json!({"detail": "x", "code": "invalid_token"}).to_string();
    stranger.answer("/api/v1/me", 401, invalid);
    let (finished, findings) = examined(&home, &[]);
    assert_eq!(finished.code, Some(0), "{findings:#?}");

    // A cache that serves the list from before the revocation.
    stop(server);
    tamper(
        &home,
        "UPDATE tokens SET revoked_at = revoked_at - 3600000, effective_at = effective_at - 3600000
         WHERE effective_at IS NOT NULL",
    );
    fails(&home, &[], "status_lists", "404");
    stranger.answer("/status-lists/2", 200, list);
    fails(&home, &[], "status_lists", "lacks 1 tokens");

    home.configure(&format!("issuer = \"http://other.example\"\n{ANY_PORT}"));
    fails(&home, &[], "issuer", "http://other.example");
}
