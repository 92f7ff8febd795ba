//! Starts that are refused: with one sentence, and without changing any file.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::http::StatusCode;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::json;

use super::home::{EMAIL, Finished, Home, PASSWORD, SOON, Server, eventually, finish};

/// Returns a directory in which a server has run and stopped.
fn used() -> Home {
    let home = Home::new();
    stop(home.serve());
    home
}

fn stop(mut server: Server) {
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
}

/// Returns every file except those without data: the lock, and SQLite's WAL index.
fn content(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = home.files();
    files.retain(|(path, _)| {
        let name = path.to_str().unwrap();
        !name.ends_with(".lock") && !name.ends_with("-shm")
    });
    files
}

fn serve(home: &Home, further: &[&str]) -> Finished {
    let mut command = home.serve_command();
    command.args(further);
    finish(command, "")
}

/// Starts a server that must refuse: one line on standard error with each of these words, an empty
/// standard output, and unchanged files.
#[track_caller]
fn assert_refused(home: &Home, further: &[&str], words: &[&str]) {
    let before = content(home);
    let refused = serve(home, further);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.stdout, "");
    assert!(refused.stderr.starts_with("error: "), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    for word in words {
        assert!(refused.stderr.contains(word), "{word:?} is not in {refused:?}");
    }
    let after = content(home);
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after), "{refused:?}");
    assert!(before == after, "a file has changed: {refused:?}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn key_file(home: &Home) -> PathBuf {
    let files = home.files().into_iter().map(|(path, _)| path);
    let keys: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "pem"))
        .collect();
    assert_eq!(keys.len(), 1);
    keys[0].clone()
}

/// Only `serve` begins a deployment: a command in the wrong folder must not.
#[test]
fn no_other_command_begins_a_deployment() {
    let home = Home::new();
    for arguments in [
        &["keys", "list"][..],
        &["keys", "rotate"],
        &["keys", "revoke", "no-such-key"],
        &["user", "create", "ada@example.com", "--password-stdin"],
        &["user", "set-password", "ada@example.com", "--password-stdin"],
        &["backup", "copy.db"],
        &["journal", "begin"],
        &["journal", "check"],
        &["clock", "accept"],
    ] {
        let refused = finish(home.command(arguments), "a password of mine\n");
        assert_eq!(refused.code, Some(1), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains("jeton.db"), "{arguments:?}: {refused:?}");
        assert_eq!(home.files(), [], "{arguments:?}");
    }
}

#[test]
fn a_folder_that_was_used_can_be_used_again() {
    let home = used();
    stop(home.serve());
}

#[test]
fn a_second_server_on_one_database() {
    let home = Home::new();
    let server = home.serve();
    let refused = serve(&home, &[]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(
        refused.stderr,
        "error: another server is running on the database jeton.db\n"
    );
    server.administrator().get("/api/v1/me").expect(StatusCode::OK);
    // However the first one ends.
    drop(server);
    stop(home.serve());
}

#[test]
fn a_key_folder_that_others_can_change() {
    let home = used();
    for mode in [0o720, 0o702, 0o777] {
        set_mode(&home.path("keys"), mode);
        assert_refused(&home, &[], &["keys can be changed by other users", "chmod"]);
    }
    set_mode(&home.path("keys"), 0o700);
    stop(home.serve());
}

#[test]
fn a_key_that_others_can_read() {
    let home = used();
    let key = key_file(&home);
    let name = key.file_name().unwrap().to_str().unwrap().to_owned();
    for mode in [0o640, 0o604] {
        set_mode(&key, mode);
        assert_refused(&home, &[], &[&name, "readable by other users", "chmod 600"]);
    }
    set_mode(&key, 0o600);
    stop(home.serve());
}

/// Every command refuses them in the words it has for keys.
#[test]
fn a_database_that_others_can_read_or_replace() {
    let home = used();
    assert_eq!(home.run(&["backup", "backup.db"]).code, Some(0));
    // A server that is killed leaves its WAL.
    let mut server = home.serve();
    server.administrator().get("/api/v1/me").expect(StatusCode::OK);
    server.kill();
    let mut files = home.files().into_iter().map(|(path, _)| path);
    let segment = files
        .find(|path| path.extension().is_some_and(|end| end == "log"))
        .unwrap();
    let readable: &[&str] = &["is readable by other users", "chmod 600"];
    let writable: &[&str] = &["can be changed by other users", "chmod go-w"];
    let commands = [
        &["keys", "list"][..],
        &["user", "set-password", EMAIL, "--password-stdin"],
        &["backup", "another.db"],
        &["journal", "begin"],
        &["journal", "check"],
        &["clock", "accept"],
    ];
    for (path, bad, good, words) in [
        (home.path("jeton.db"), 0o640, 0o600, readable),
        (home.path("jeton.db"), 0o604, 0o600, readable),
        (home.path("jeton.db-wal"), 0o620, 0o600, readable),
        (home.path("jeton.db-shm"), 0o606, 0o600, readable),
        (segment.clone(), 0o644, 0o600, readable),
        (home.path("jeton.db.revocations"), 0o722, 0o700, writable),
        (home.folder().to_owned(), 0o707, 0o770, writable),
    ] {
        set_mode(&path, bad);
        for arguments in commands {
            let refused = finish(home.command(arguments), "a password of mine\n");
            assert_eq!(
                refused.code,
                Some(1),
                "{path:?} {bad:o} {arguments:?}: {refused:?}"
            );
            for word in words {
                assert!(
                    refused.stderr.contains(word),
                    "{path:?} {arguments:?}: {refused:?}"
                );
            }
        }
        assert_refused(&home, &[], words);
        set_mode(&path, good);
    }
    assert!(!home.path("another.db").exists());
    // The folder of a group, as with a umask of 002.
    assert_eq!(home.run(&["keys", "list"]).code, Some(0));

    // A backup, and where one is written.
    fs::create_dir(home.path("open")).unwrap();
    set_mode(&home.path("open"), 0o777);
    let refused = home.run(&["backup", "open/backup.db"]);
    assert!(
        refused.stderr.contains("open can be changed by other users"),
        "{refused:?}"
    );
    set_mode(&home.path("backup.db"), 0o640);
    let restored = [
        "restore",
        "--database",
        "restored.db",
        "backup.db",
        "--cut-off-missing",
    ];
    let refused = home.run(&restored);
    assert!(
        refused.stderr.contains("backup.db is readable by other users"),
        "{refused:?}"
    );
    set_mode(&home.path("backup.db"), 0o600);
    assert_eq!(home.run(&restored).code, Some(0));
    stop(home.serve());
}

/// Whatever the umask is.
#[test]
fn every_file_of_a_deployment_belongs_to_its_owner_alone() {
    let home = Home::new();
    let serve = home.serve_command();
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 0 && exec \"$@\"", "sh"])
        .arg(serve.get_program())
        .args(serve.get_args());
    command.current_dir(home.folder());
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut server = home.start(command);
    let mut admin = server.administrator();
    let made = admin.post("/api/v1/tokens", json!({"name": "n", "organization": "default"}));
    let id = made.expect(StatusCode::CREATED).json()["token_info"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    admin
        .post(&format!("/api/v1/tokens/{id}/revoke"), json!({}))
        .expect(StatusCode::CREATED);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let names: Vec<_> = home.files().into_iter().map(|(path, _)| path).collect();
    for name in ["jeton.db", "jeton.db-wal", "jeton.db-shm"] {
        assert!(names.contains(&home.path(name)), "{name}: {names:?}");
    }
    assert!(names.len() >= 6, "{names:?}");
    for path in names {
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
    for folder in ["keys", "jeton.db.revocations"] {
        assert_eq!(mode(&home.path(folder)), 0o700, "{folder}");
    }
    server.kill();
}

#[test]
fn damaged_missing_and_stray_keys_refuse_the_start() {
    let home = used();
    let key = key_file(&home);
    let name = key.file_name().unwrap().to_str().unwrap().to_owned();
    let good = fs::read(&key).unwrap();
    let truncated = good[..good.len() / 2].to_vec();
    for bad in [
        Vec::new(),
        truncated,
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec(),
    ] {
        fs::write(&key, bad).unwrap();
        assert_refused(&home, &[], &[&name, "does not contain a usable key"]);
    }
    fs::remove_file(&key).unwrap();
    assert_refused(&home, &[], &[&name, "missing"]);
    fs::write(&key, &good).unwrap();
    set_mode(&key, 0o600);
    fs::write(home.path("keys/mine.pem"), &good).unwrap();
    assert_refused(&home, &[], &["keys/mine.pem is not named after a key"]);
    fs::remove_file(home.path("keys/mine.pem")).unwrap();
    stop(home.serve());
}

#[test]
fn a_file_in_the_place_of_the_key_folder() {
    let home = Home::new();
    fs::write(home.path("keys"), "no folder").unwrap();
    let refused = serve(&home, &[]);
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (Some(1), "error: keys is not a folder\n")
    );
    assert_eq!(fs::read_to_string(home.path("keys")).unwrap(), "no folder");
}

#[test]
fn a_database_that_is_none_or_of_another_program() {
    let home = used();
    fs::write(
        home.path("notes.txt"),
        "Things to do today, which are more than sixteen bytes.\n",
    )
    .unwrap();
    assert_refused(
        &home,
        &["--database", "notes.txt"],
        &["notes.txt is not an SQLite database"],
    );

    let other = Connection::open(home.path("other.db")).unwrap();
    other
        .execute_batch("CREATE TABLE recipe (name TEXT); INSERT INTO recipe VALUES ('bread')")
        .unwrap();
    drop(other);
    assert_refused(
        &home,
        &["--database", "other.db"],
        &["other.db is the SQLite database of another program"],
    );

    let marked = Connection::open(home.path("marked.db")).unwrap();
    marked.pragma_update(None, "application_id", 42).unwrap();
    drop(marked);
    assert_refused(
        &home,
        &["--database", "marked.db"],
        &["marked.db is the SQLite database of another program"],
    );
}

#[test]
fn a_database_of_a_later_version() {
    let home = used();
    let database = Connection::open(home.path("jeton.db")).unwrap();
    let version: i64 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    database.pragma_update(None, "user_version", version + 1).unwrap();
    drop(database);
    assert_refused(&home, &[], &["jeton.db was written by a newer version of jeton"]);
}

#[test]
fn a_missing_folder_or_file() {
    let home = Home::new();
    assert_refused(
        &home,
        &["--database", "missing/jeton.db"],
        &["missing/jeton.db", "does not exist"],
    );
    assert_refused(
        &home,
        &["--config", "missing.toml"],
        &["missing.toml", "cannot be read"],
    );
}

#[test]
fn a_folder_is_no_database() {
    let home = used();
    fs::create_dir(home.path("folder")).unwrap();
    assert_refused(
        &home,
        &["--database", "folder"],
        &["the database folder cannot be opened"],
    );
}

#[test]
fn every_mistake_of_a_configuration_is_said_at_once_with_its_place() {
    let home = Home::new();
    home.configure(
        "issuer = \"not a url\"\nlisten_on = \"127.0.0.1:1\"\n\n[keys]\nalgorithm = \"HS256\"\n\n[limits]\nmax_connections = 0\nidle_timeout = 5\n",
    );
    let expected = [
        (
            "`issuer` in `jeton.toml` (line 1)",
            "must be an http or https URL",
        ),
        ("`listen_on` in `jeton.toml` (line 2)", "is not a setting"),
        ("`keys.algorithm` in `jeton.toml` (line 5)", "HS256"),
        (
            "`limits.max_connections` in `jeton.toml` (line 8)",
            "must be a number from 1",
        ),
        (
            "`limits.idle_timeout` in `jeton.toml` (line 9)",
            "must be a string",
        ),
    ];
    for further in [&[][..], &["--check-config"]] {
        let mut command = home.serve_command();
        command.args(further).env("JETON_ADMIN_PASSWORD", "short");
        let refused = finish(command, "");
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(refused.stdout, "");
        assert!(!refused.stderr.contains("short"), "{refused:?}");
        let lines: Vec<&str> = refused.stderr.lines().collect();
        let (first, others) = lines.split_first().unwrap();
        assert!(
            first.contains("`JETON_ADMIN_PASSWORD` is refused: a password must have at least 8 characters"),
            "{first}"
        );
        assert_eq!(others.len(), expected.len(), "{refused:?}");
        for (line, (place, problem)) in others.iter().zip(expected) {
            assert!(
                line.starts_with("error: ") && line.contains(place) && line.contains(problem),
                "{line}"
            );
        }
        assert_eq!(content(&home).len(), 1, "a refused start has made a file");
    }
}

/// Starts the first server of a directory with the password in a file of this mode.
fn with_password_file(home: &Home, text: &str, mode: u32) -> Command {
    fs::write(home.path("secret"), text).unwrap();
    set_mode(&home.path("secret"), mode);
    let mut command = home.serve_command();
    command
        .env_remove("JETON_ADMIN_PASSWORD")
        .env("JETON_ADMIN_PASSWORD_FILE", "secret");
    command
}

#[test]
fn the_first_password_is_read_from_a_file() {
    // 0440 is the mode of a systemd credential.
    for (text, mode) in [
        (PASSWORD.to_owned(), 0o600),
        (format!("{PASSWORD}\n"), 0o400),
        (format!("{PASSWORD}\r\n"), 0o440),
    ] {
        let home = Home::new();
        let server = home.start(with_password_file(&home, &text, mode));
        server.administrator().get("/api/v1/me").expect(StatusCode::OK);
        let welcome = eventually(SOON, || {
            let text = server.stdout();
            text.contains("curl").then_some(text)
        });
        let welcome = welcome.unwrap();
        assert!(welcome.contains("password: the content of secret\n"), "{welcome}");
        assert!(welcome.contains("\"$(tr -d '\\r' < 'secret' | sed "), "{welcome}");
        assert!(!welcome.contains(PASSWORD), "{welcome}");
        stop(server);
    }
}

#[test]
fn a_start_that_cannot_print_the_code_ends_and_the_next_one_prints_another() {
    let home = Home::new();
    let without_password = || {
        let mut command = home.serve_command();
        command.env_remove("JETON_ADMIN_PASSWORD");
        command
    };
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = without_password();
    command.stdin(Stdio::null()).stdout(full);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let server = home.start(without_password());
    let welcome = eventually(SOON, || {
        let text = server.stdout();
        text.contains("curl").then_some(text)
    });
    let welcome = welcome.unwrap();
    let address = server.address;
    assert!(
        welcome.contains(&format!(
            "set up the first administrator at http://{address}/console/setup within 30 minutes\nthe code, for one use: "
        )),
        "{welcome}"
    );
    assert!(!welcome.contains("first administrator:"), "{welcome}");
    stop(server);
    // The settings have a password now.
    let server = home.serve();
    server.administrator().get("/api/v1/me").expect(StatusCode::OK);
    stop(server);
}

#[test]
fn a_password_file_that_is_not_to_be_trusted_refuses_the_start() {
    let home = Home::new();
    for (text, mode, problem) in [
        (
            PASSWORD,
            0o604,
            "is refused: secret is readable by other users (mode 0604): run `chmod o=,g-wx secret`",
        ),
        (PASSWORD, 0o460, "is refused: secret is readable by other users"),
        (
            "short\n",
            0o600,
            "is refused: a password must have at least 8 characters",
        ),
        (
            "Password1\n",
            0o600,
            "is refused: a password must not be one of the 3000 most common ones",
        ),
        (
            &"x".repeat(1000),
            0o600,
            "is refused: a password must have at most 128 characters",
        ),
    ] {
        let refused = finish(with_password_file(&home, text, mode), "");
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let sentence = format!("the variable `JETON_ADMIN_PASSWORD_FILE` {problem}");
        assert!(refused.stderr.contains(&sentence), "{refused:?}");
        assert!(!refused.stderr.contains(text), "{refused:?}");
    }
    let mut both = with_password_file(&home, PASSWORD, 0o600);
    both.env("JETON_ADMIN_PASSWORD", PASSWORD);
    let refused = finish(both, "");
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (
            Some(1),
            "error: the variable `JETON_ADMIN_PASSWORD_FILE` must not be set together with `JETON_ADMIN_PASSWORD`\n"
        )
    );
    let mut missing = with_password_file(&home, PASSWORD, 0o600);
    let path = home.path("keys-of-nobody").display().to_string();
    missing.env("JETON_ADMIN_PASSWORD_FILE", &path);
    let refused = finish(missing, "");
    assert!(
        refused
            .stderr
            .contains(&format!("names a file that cannot be read: {path}")),
        "{refused:?}"
    );
    assert!(!home.path("jeton.db").exists());
}

/// A core file would hold the private keys. The control dumps its core.
#[test]
fn a_server_leaves_no_core() {
    let home = Home::new();
    let serve = home.serve_command();
    let unlimited = |program: &OsStr, arguments: Vec<&OsStr>| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"])
            .arg(program)
            .args(arguments);
        command.current_dir(home.folder());
        command
    };
    let mut control = unlimited("sh".as_ref(), vec!["-c".as_ref(), "kill -ABRT $$".as_ref()]);
    assert!(
        control.status().unwrap().core_dumped(),
        "this machine allows no cores"
    );

    let mut command = unlimited(serve.get_program(), serve.get_args().collect());
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut server = home.start(command);
    server.signal(Signal::ABORT);
    let ended = server.ended(SOON).unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
}

#[test]
fn a_valid_configuration_is_checked_without_starting() {
    let home = Home::new();
    home.configure("[keys]\nalgorithm = \"EdDSA\"\n");
    let checked = serve(&home, &["--check-config"]);
    assert_eq!(
        (checked.code, checked.stdout.as_str()),
        (Some(0), "the configuration is valid\n")
    );
    assert_eq!(content(&home).len(), 1);
}

#[test]
fn another_issuer_than_the_first_one() {
    let home = Home::new();
    let server = home.serve();
    let first = format!("http://{}", server.address);
    let body = json!({"name": "n", "organization": "default"});
    let made = server
        .administrator()
        .post("/api/v1/tokens", body)
        .expect(StatusCode::CREATED)
        .json();
    let token = made["token"].as_str().unwrap().to_owned();
    stop(server);
    assert_refused(
        &home,
        &["--issuer", "https://tokens.example.com"],
        &[
            "https://tokens.example.com",
            &format!("--issuer {first}"),
            "jeton.db",
        ],
    );

    // The issuer of the first start stays the default on another address; active tokens stay valid.
    let occupied = std::net::TcpListener::bind(first.trim_start_matches("http://"));
    let server = home.serve();
    assert_ne!(format!("http://{}", server.address), first);
    let is_warned = |server: &Server| {
        let said = || Some(server.stderr()).filter(|said| said.contains("serving"));
        let said = eventually(SOON, said).unwrap();
        said.contains("is another URL than the one listened on")
    };
    assert!(is_warned(&server));
    assert_eq!(server.client().current(&token), 200);
    let mut administrator = server.administrator();
    let body = json!({"name": "m", "organization": "default"});
    let made = administrator
        .post("/api/v1/tokens", body)
        .expect(StatusCode::CREATED)
        .json();
    assert_eq!(made["token_info"]["audience"], json!([first]));
    stop(server);
    drop(occupied);

    let mut command = home.serve_command();
    command.args(["--issuer", &first]);
    let server = home.start(command);
    // Who names the issuer knows it.
    assert!(!is_warned(&server));
    stop(server);
}

#[test]
fn an_address_that_is_taken() {
    let home = used();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let before = content(&home);
    let refused = finish(home.command(["serve", "--listen", &address]), "");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.starts_with(&format!(
            "error: cannot listen on {address}: choose another address with --listen: "
        )),
        "{refused:?}"
    );
    assert!(before == content(&home));
}

#[test]
fn created_files_are_private_to_their_owner() {
    let home = Home::new();
    let server = home.serve();
    server.administrator();
    for (path, _) in home.files() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    assert_eq!(
        fs::metadata(home.path("keys")).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

/// The issuer of the first start stays, so that it must be one that clients can reach.
#[test]
fn an_address_for_all_interfaces_is_no_issuer() {
    let home = Home::new();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let refused = home.run(&["serve", "--listen", address]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("set --issuer"), "{refused:?}");
    }
    assert_eq!(home.files(), []);
    let issuer = [
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--issuer",
        "https://tokens.example.org",
    ];
    drop(home.start(home.command(issuer)));
    // Stored, it is not needed again.
    drop(home.start(home.command(["serve", "--listen", "0.0.0.0:0"])));
}
