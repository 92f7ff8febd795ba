//! `jeton init` in a script, without a terminal. tests/python/test_init.py has one.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::home::{EMAIL, Finished, Home, PASSWORD, SOON, eventually, finish};

const ISSUER: &str = "https://tokens.example.com";

fn init(home: &Home, further: &[&str]) -> Finished {
    let mut command = home.command(["init", "--listen", "127.0.0.1:0"]);
    command.args(further);
    finish(command, &format!("{PASSWORD}\n"))
}

#[track_caller]
fn refuse(home: &Home, finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word:?} is not in {finished:?}");
    }
    assert_eq!(home.files(), [], "{finished:?}");
}

#[test]
fn a_deployment_is_made_from_flags_and_needs_nothing_but_a_start() {
    let home = Home::new();
    let flags = [
        "--issuer",
        ISSUER,
        "--email",
        EMAIL,
        "--folder",
        "data \"1\"",
        "--password-stdin",
    ];
    let done = init(&home, &flags);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stderr, "");
    assert!(
        done.stdout.contains("start the server: jeton serve\n"),
        "{done:?}"
    );
    let file = fs::read_to_string(home.path("jeton.toml")).unwrap();
    for (path, mode) in [
        ("jeton.toml", 0o600),
        ("data \"1\"", 0o700),
        ("data \"1\"/jeton.db", 0o600),
        ("data \"1\"/keys", 0o700),
    ] {
        let found = fs::metadata(home.path(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    assert!(!file.contains(PASSWORD));

    let mut server = home.start(home.command(["serve"]));
    let metadata = server.client().get("/.well-known/oauth-authorization-server");
    assert_eq!(metadata.json()["issuer"], ISSUER);
    server.administrator();
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));

    // The issuer is pinned, and nothing is overwritten.
    let other = finish(home.command(["serve", "--issuer", "https://other.example"]), "");
    assert!(other.stderr.contains("differs from the issuer"), "{other:?}");
    let again = init(&home, &flags);
    assert!(again.stderr.contains("jeton.toml exists already"), "{again:?}");
    let again = init(&home, &[&flags[..], &["--config", "other.toml"]].concat());
    assert!(again.stderr.contains("jeton.db exists already"), "{again:?}");
    assert_eq!(fs::read_to_string(home.path("jeton.toml")).unwrap(), file);
    assert!(!home.path("other.toml").exists());
}

#[test]
fn a_password_that_nobody_gives_is_generated_and_printed_once() {
    let home = Home::new();
    let done = init(&home, &["--issuer", ISSUER, "--email", EMAIL]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let (_, rest) = done.stdout.split_once("password, shown only once: ").unwrap();
    let password = rest.lines().next().unwrap();
    let server = home.start(home.command(["serve"]));
    server.client().login(EMAIL, password).unwrap();
    assert!(!server.stdout().contains("password"), "{}", server.stdout());
}

#[test]
fn what_is_missing_or_wrong_is_named_before_anything_is_made() {
    let home = Home::new();
    refuse(
        &home,
        &init(&home, &["--email", EMAIL]),
        &["--issuer", "terminal"],
    );
    refuse(
        &home,
        &init(&home, &["--issuer", ISSUER]),
        &["--email", "terminal"],
    );
    let wrong = init(&home, &["--issuer", "x", "--listen", "y"]);
    assert_eq!(wrong.code, Some(2), "a flag given twice");
    let wrong = finish(home.command(["init", "--issuer", "x", "--listen", "y"]), "");
    refuse(&home, &wrong, &["`--issuer` must be", "`--listen` must be"]);
    let wrong = init(&home, &["--issuer", "nope", "--email", "x", "--password-stdin"]);
    refuse(&home, &wrong, &["`--issuer` must be", "`--email` is"]);
    let valid = ["--issuer", ISSUER, "--email", EMAIL];
    let below_home = init(&home, &[&valid[..], &["--folder", "~/data"]].concat());
    refuse(&home, &below_home, &["`--folder` must not begin with ~"]);
    refuse(
        &home,
        &init(&home, &["--issuer", ISSUER, "--email", "x"]),
        &["e-mail address"],
    );
    refuse(
        &home,
        &init(&home, &[&valid[..], &["--user", "nobody-of-this-name"]].concat()),
        &["--user", "nobody-of-this-name"],
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = home.command(["init", "--listen", &address]);
    command.args(valid);
    refuse(&home, &finish(command, ""), &["cannot listen on", &address]);
    let short = finish(
        home.command(["init", "--issuer", ISSUER, "--email", EMAIL, "--password-stdin"]),
        "short\n",
    );
    refuse(&home, &short, &["at least 8 characters"]);
}

#[test]
fn a_generated_password_that_cannot_be_printed_is_named_with_its_remedy() {
    let home = Home::new();
    let mut command = home.command(["init", "--issuer", ISSUER, "--email", EMAIL]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let done = command.stdin(Stdio::null()).stdout(full).output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{stderr}");
    let remedy = format!("`jeton user set-password {EMAIL} --password-stdin`");
    assert!(stderr.contains(&remedy), "{stderr}");
    assert!(home.path("jeton.toml").exists());

    let remedy = home.command(["user", "set-password", EMAIL, "--password-stdin"]);
    assert_eq!(finish(remedy, PASSWORD).code, Some(0));
    let server = home.start(home.command(["serve", "--listen", "127.0.0.1:0"]));
    server.client().login(EMAIL, PASSWORD).unwrap();
}

#[test]
fn a_folder_that_holds_files_is_no_folder_of_new_keys() {
    let home = Home::new();
    fs::create_dir(home.path("keys")).unwrap();
    fs::write(home.path("keys/foreign"), "").unwrap();
    let refused = init(&home, &["--issuer", ISSUER, "--email", EMAIL]);
    assert!(refused.stderr.contains("keys is not empty"), "{refused:?}");
    assert_eq!(home.files().len(), 1);
}

/// Only root can give files away; other users skip this.
#[test]
fn a_user_is_given_what_the_call_has_created_and_nothing_else() {
    const NOBODY: u32 = 65534;
    if !geteuid().is_root() {
        return;
    }
    let home = Home::new();
    let flags = [
        "--issuer", ISSUER, "--email", EMAIL, "--user", "nobody", "--folder", "data",
    ];
    fs::create_dir(home.path("data")).unwrap();
    let foreign = home.path("data/jeton.db.of-root");
    fs::write(&foreign, "").unwrap();
    // What a call that failed has left.
    fs::write(home.path("data/jeton.db.lock"), "").unwrap();
    let refused = init(&home, &flags);
    assert!(
        refused.stderr.contains("data belongs to another user"),
        "{refused:?}"
    );

    chown(home.path("data"), Some(NOBODY), None).unwrap();
    let done = init(&home, &flags);
    assert_eq!(done.code, Some(0), "{done:?}");
    let file = home.path("jeton.toml");
    let start = format!(
        "start the server: sudo -u nobody jeton --config {} serve\n",
        file.display()
    );
    assert!(done.stdout.contains(&start), "{done:?}");
    for (path, _) in home.files() {
        let is_of_root = path == foreign || path == file;
        let expected = if is_of_root { 0 } else { NOBODY };
        assert_eq!(fs::metadata(&path).unwrap().uid(), expected, "{path:?}");
    }
    assert_eq!(fs::metadata(home.path("data/keys")).unwrap().uid(), NOBODY);
}

#[test]
fn keys_of_a_deployment_with_a_key_encryption_key_are_sealed_from_the_start() {
    let home = Home::new();
    fs::write(home.path("kek"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    fs::set_permissions(home.path("kek"), fs::Permissions::from_mode(0o600)).unwrap();
    let flags = [
        "--issuer",
        ISSUER,
        "--email",
        EMAIL,
        "--key-encryption-key",
        "kek",
    ];
    let done = init(&home, &flags);
    assert_eq!(done.code, Some(0), "{done:?}");
    let listed = home.run(&["keys", "list"]);
    assert!(listed.stdout.contains(" sealed"), "{listed:?}");
    drop(home.start(home.command(["serve"])));
}

/// Sends a signal to `jeton init` as soon as it creates files.
fn interrupted(home: &Home, signal: Signal) -> ExitStatus {
    let mut command = home.command(["init", "--issuer", ISSUER, "--email", EMAIL]);
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = || home.files().into_iter().next().map(drop);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let seen = eventually(SOON, begun);
    kill_process(pid, signal).unwrap();
    let ended = child.wait().unwrap();
    seen.unwrap();
    ended
}

#[test]
fn a_killed_call_leaves_no_configuration_that_a_server_would_start_with() {
    let home = Home::new();
    let ended = interrupted(&home, Signal::KILL);
    assert_eq!(ended.signal(), Some(9), "it had ended before");
    assert!(!home.path("jeton.toml").exists());
    let again = finish(home.command(["init", "--issuer", ISSUER, "--email", EMAIL]), "");
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(
        again
            .stderr
            .contains("jeton.toml.unfinished exists: another `jeton init` runs, or one was interrupted"),
        "{again:?}"
    );
}

#[test]
fn an_interrupt_does_not_stop_a_call_that_has_begun_to_create() {
    let home = Home::new();
    let ended = interrupted(&home, Signal::INT);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let text = fs::read_to_string(home.path("jeton.toml")).unwrap();
    assert!(text.contains(ISSUER));
    assert!(!home.path("jeton.toml.unfinished").exists());
}
