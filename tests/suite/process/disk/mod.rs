//! Disk faults under a server: a full disk, a failing sync, and a process killed between two syncs.

mod broken;
mod every_sync;
mod full;
mod killed;

use std::fs;
use std::path::Path;
use std::process::Command;

use axum::http::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Answer, Client};
use super::home::{Home, Server};

/// A fault that the preloaded library injects.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// Writes fail with `ENOSPC`.
    Full,
    /// One sync fails, as the kernel reports it.
    Broken,
    /// Syncs hang until the plan is removed.
    Stuck,
    /// The process is killed just before a sync.
    KilledBefore,
    /// The process is killed just after a sync.
    KilledAfter,
}

/// The files of a database, by the end of their name.
const DATABASE: &str = "db";
pub(super) const WAL: &str = "db-wal";
const JOURNAL: &str = "log";

/// A library that makes calls of a process fail, and its plans.
pub(super) struct Disk(TempDir);

impl Disk {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/process/disk/failing.c");
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([folder.path().join("failing.so"), source])
            .status()
            .unwrap();
        assert!(compiled.success(), "{compiled}");
        Self(folder)
    }

    /// Starts a server on this disk.
    pub(super) fn serve(&self, home: &Home) -> Server {
        home.start(self.under(home.serve_command()))
    }

    /// Runs a command on this disk.
    pub(super) fn under(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", self.0.path().join("failing.so"))
            .env("FAILING_DISK", self.0.path());
        command
    }

    /// Plans a fault for the next call on files with this name ending.
    pub(super) fn plan(&self, fault: Fault, end: &str) {
        self.plan_nth(fault, end, 1);
    }

    /// Plans a fault for the n-th call.
    fn plan_nth(&self, fault: Fault, end: &str, first: usize) {
        let plan = self.0.path().join(name(fault, end));
        // Atomically: the library may read it at any time.
        let whole = plan.with_extension("new");
        fs::write(&whole, first.to_string()).unwrap();
        fs::rename(whole, plan).unwrap();
    }

    /// Returns how many calls a plan has applied to so far.
    pub(super) fn calls(&self, fault: Fault, end: &str) -> usize {
        let calls = fs::read_to_string(self.0.path().join(name(fault, end))).unwrap();
        calls.matches('.').count()
    }

    /// Removes a plan and returns how many calls it applied to.
    pub(super) fn heal(&self, fault: Fault, end: &str) -> usize {
        let calls = self.calls(fault, end);
        fs::remove_file(self.0.path().join(name(fault, end))).unwrap();
        calls
    }
}

fn name(fault: Fault, end: &str) -> String {
    let fault = match fault {
        Fault::Full => "full",
        Fault::Broken => "broken",
        Fault::Stuck => "stuck",
        Fault::KilledBefore => "killed-before",
        Fault::KilledAfter => "killed-after",
    };
    format!("{fault}.{end}")
}

/// A token and its secret.
#[derive(Debug, Clone)]
struct Token {
    id: String,
    secret: String,
}

impl Token {
    fn of(answer: Answer) -> Self {
        let made = answer.expect(StatusCode::CREATED).json();
        Self {
            id: made["token_info"]["id"].as_str().unwrap().to_owned(),
            secret: made["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Creates `N` tokens.
    fn several<const N: usize>(client: &mut Client) -> [Self; N] {
        std::array::from_fn(|number| Self::of(issue(client, &format!("token {number}"))))
    }

    fn revoke(&self, client: &mut Client) -> Answer {
        let path = format!("/api/v1/tokens/{}/revoke", self.id);
        client.post(&path, json!({"reason": "leaked"}))
    }
}

fn issue(client: &mut Client, name: &str) -> Answer {
    client.post("/api/v1/tokens", json!({"name": name, "organization": "default"}))
}

/// Returns whether the authority accepts a token; the response must be the same for every check.
#[track_caller]
fn assert_active(client: &mut Client, token: &Token, is_active: bool) {
    let (status, code) = if is_active {
        ("active", 200)
    } else {
        ("revoked", 401)
    };
    assert_eq!(client.current(&token.secret), code, "{token:?}");
    let shown = client.get(&format!("/api/v1/tokens/{}", token.id));
    assert_eq!(shown.expect(StatusCode::OK).json()["status"], status, "{token:?}");
}

/// Requires the documented error of a failed request.
#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let body = answer.json();
    let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["code", "detail"], "{answer:?}");
    assert_eq!(body["code"], "unavailable", "{answer:?}");
}

/// Returns the database's epoch, which only a restore changes.
fn epoch(home: &Home) -> Vec<u8> {
    let database = Connection::open(home.path("jeton.db")).unwrap();
    database
        .query_row("SELECT epoch FROM meta", (), |row| row.get(0))
        .unwrap()
}

/// Loses the database, restores it from `backup.db` and returns the first line of the report.
fn restored(home: &Home) -> String {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("jeton.db{end}")));
    }
    let restored = home.run(&["restore", "backup.db"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    restored.stdout.lines().next().unwrap().to_owned()
}

fn back_up(home: &Home) {
    let made = home.run(&["backup", "backup.db"]);
    assert_eq!(made.code, Some(0), "{made:?}");
}

/// Returns the names of all recorded tokens.
fn names(client: &mut Client) -> Vec<String> {
    let list = client.get("/api/v1/tokens?organization=default&include_revoked=true&limit=1000");
    let list = list.expect(StatusCode::OK).json();
    let name = |info: &Value| info["name"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(name).collect()
}
