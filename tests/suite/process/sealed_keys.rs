//! Private keys that are sealed by a key-encryption key, as an operator seals them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton::keys::{KeyEncryptionKey, SigningKey};
use jeton_verifier::Algorithm;
use rustix::process::Signal;
use serde_json::json;

use super::home::{Finished, Home, SOON, Server, eventually, finish};

const FILE: &str = "JETON_KEY_ENCRYPTION_KEY_FILE";
const SEALED: &str = "-----BEGIN JETON SEALED PRIVATE KEY-----";
const PLAIN: &str = "-----BEGIN PRIVATE KEY-----";

/// Writes a key-encryption key.
fn key_encryption_key(home: &Home, name: &str, byte: u8) -> String {
    let text = STANDARD.encode([byte; 32]);
    fs::write(home.path(name), format!("{text}\n")).unwrap();
    fs::set_permissions(home.path(name), Permissions::from_mode(0o600)).unwrap();
    text
}

/// Returns the name of a key-encryption key.
fn id(byte: u8) -> String {
    let text = STANDARD.encode([byte; 32]);
    KeyEncryptionKey::of_text(text.as_bytes())
        .unwrap()
        .id()
        .to_string()
}

/// Returns the id of the signing key.
fn signing_kid(home: &Home) -> String {
    let listed = home.run(&["keys", "list"]);
    let line = succeed(&listed).lines().find(|line| line.contains(" signing "));
    line.unwrap().split(' ').next().unwrap().to_owned()
}

fn with_key(mut command: Command, name: &str) -> Command {
    command.env(FILE, name);
    command
}

fn run(home: &Home, arguments: &[&str], name: &str) -> Finished {
    finish(with_key(home.command(arguments), name), "")
}

#[track_caller]
fn succeed(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    &finished.stdout
}

#[track_caller]
fn refuse(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word:?} is not in {finished:?}");
    }
}

fn stop(mut server: Server) {
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
}

fn keys(home: &Home) -> Vec<(PathBuf, String)> {
    let names = fs::read_dir(home.path("keys")).unwrap();
    let mut paths: Vec<PathBuf> = names.map(|entry| entry.unwrap().path()).collect();
    // An unfinished file may be renamed at any time.
    paths.retain(|path| path.extension().is_some_and(|end| end == "pem"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Returns how many private keys are sealed and how many are plain.
fn count(home: &Home) -> (usize, usize) {
    let keys = keys(home);
    let of = |label| keys.iter().filter(|(_, text)| text.starts_with(label)).count();
    (of(SEALED), of(PLAIN))
}

#[test]
fn sealed_keys_serve_with_their_key_encryption_key_and_with_no_other() {
    let home = Home::new();
    let server = home.serve();
    let token = server
        .administrator()
        .post(
            "/api/v1/tokens",
            json!({"name": "one", "organization": "default"}),
        )
        .expect(StatusCode::CREATED)
        .json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let secret = key_encryption_key(&home, "one.key", 1);
    let plain = keys(&home).remove(0).1;

    // Beside the running server, which has its keys in memory.
    assert_eq!(
        succeed(&run(&home, &["keys", "seal"], "one.key")),
        format!(
            "sealed: 1 private keys; sealed before: 0; key-encryption key: {}\n",
            id(1)
        )
    );
    let listed = run(&home, &["keys", "list"], "one.key");
    let by_one = format!(" sealed by {}", id(1));
    assert!(succeed(&listed).contains(&by_one), "{listed:?}");
    server
        .client()
        .with_token(&token)
        .get("/api/v1/tokens/current")
        .expect(StatusCode::OK);
    stop(server);

    // No file holds a plain key: neither its PEM nor its bytes.
    let private = pem::parse(&plain).unwrap().into_contents();
    let body = plain.lines().nth(1).unwrap();
    for (path, bytes) in home.files() {
        for part in [PLAIN.as_bytes(), body.as_bytes(), &private] {
            let is_there = bytes.windows(part.len()).any(|window| window == part);
            assert!(!is_there, "{}", path.display());
        }
    }
    assert!(
        plain.as_bytes().windows(body.len()).any(|w| w == body.as_bytes()),
        "the control"
    );

    // Without the key, with another one, and with an altered file.
    refuse(
        &finish(home.serve_command(), ""),
        &[
            ".pem is sealed by the key-encryption key ",
            FILE,
            "--key-encryption-key",
            "key_encryption_key_file",
        ],
    );
    key_encryption_key(&home, "two.key", 2);
    refuse(
        &finish(with_key(home.serve_command(), "two.key"), ""),
        &["and the configured one is ", "jeton keys seal --previous"],
    );
    let (path, sealed) = keys(&home).remove(0);
    let middle = sealed.len() / 2;
    let mut altered = sealed.clone();
    let other = if altered.remove(middle) == 'A' { 'B' } else { 'A' };
    altered.insert(middle, other);
    fs::write(&path, altered).unwrap();
    let refused = finish(with_key(home.serve_command(), "one.key"), "");
    refuse(&refused, &["cannot be unsealed", "altered"]);
    fs::write(&path, sealed).unwrap();

    // With it, the token is alive, and new keys are sealed. Commands that sign nothing need no key.
    let mut command = with_key(home.serve_command(), "one.key");
    command.env("JETON_LOG", "trace");
    let server = home.start(command);
    server
        .client()
        .with_token(&token)
        .get("/api/v1/tokens/current")
        .expect(StatusCode::OK);
    refuse(
        &home.run(&["keys", "rotate"]),
        &["nothing was changed", "would not be sealed", FILE],
    );
    let rotated = run(&home, &["keys", "rotate"], "one.key");
    let kid = succeed(&rotated).split(' ').next().unwrap().to_owned();
    assert_eq!(count(&home), (2, 0));
    succeed(&home.run(&["keys", "list"]));
    succeed(&home.run(&["keys", "revoke", &kid]));
    let made = finish(
        home.command(["user", "create", "ada@example.org", "--password-stdin"]),
        "another good password\n",
    );
    succeed(&made);
    let said = [
        server.stdout(),
        server.stderr(),
        rotated.stdout,
        rotated.stderr,
        listed.stdout,
    ]
    .concat();
    for hidden in [&*secret, body] {
        assert!(!said.contains(hidden));
    }
    assert!(said.contains("serving"), "the control: there is a log");
    stop(server);

    // A rotation of the key-encryption key, and the way back.
    let previous = ["keys", "seal", "--previous", "one.key"];
    refuse(&run(&home, &previous, "one.key"), &["--previous", "the new one"]);
    assert_eq!(
        succeed(&run(&home, &previous, "two.key")),
        format!(
            "sealed: 2 private keys; sealed before: 0; key-encryption key: {}\n",
            id(2)
        )
    );
    // Whichever key is configured, if any: the old one is destroyed by this list.
    for listed in [
        home.run(&["keys", "list"]),
        run(&home, &["keys", "list"], "one.key"),
    ] {
        let text = succeed(&listed);
        assert!(text.contains(&format!(" sealed by {}", id(2))), "{text}");
        assert!(!text.contains(&id(1)), "{text}");
    }
    stop(home.start(with_key(home.serve_command(), "two.key")));
    refuse(&home.run(&["keys", "unseal"]), &["is sealed by", FILE]);
    succeed(&run(&home, &["keys", "unseal"], "two.key"));
    assert_eq!(count(&home), (0, 2));
    stop(home.serve());
    refuse(
        &home.run(&["keys", "seal"]),
        &["no key-encryption key is configured", FILE],
    );
}

#[test]
fn a_start_with_a_key_encryption_key_warns_of_plain_keys() {
    let home = Home::new();
    stop(home.serve());
    key_encryption_key(&home, "one.key", 1);
    let server = home.start(with_key(home.serve_command(), "one.key"));
    assert!(
        server.stderr().contains("run `jeton keys seal`"),
        "{}",
        server.stderr()
    );
    succeed(&run(&home, &["keys", "seal"], "one.key"));
    stop(server);
    let server = home.start(with_key(home.serve_command(), "one.key"));
    assert!(
        !server.stderr().contains("jeton keys seal"),
        "{}",
        server.stderr()
    );
    stop(server);

    // The first start of a deployment that has the key writes no plain one.
    let home = Home::new();
    key_encryption_key(&home, "one.key", 1);
    home.configure("[keys]\nkey_encryption_key_file = \"one.key\"\n");
    stop(home.serve());
    assert_eq!(count(&home), (1, 0));
}

#[test]
fn a_key_encryption_key_that_is_none_is_a_mistake_of_the_configuration() {
    let home = Home::new();
    let secret = key_encryption_key(&home, "one.key", 1);
    let refused = |name: &str, words: &[&str]| {
        let refused = finish(with_key(home.serve_command(), name), "");
        refuse(&refused, words);
        assert!(refused.stderr.contains(FILE), "{refused:?}");
        assert!(!refused.stderr.contains(&secret[..8]), "{refused:?}");
    };
    refused("missing.key", &["cannot be read"]);
    refused(".", &["must name a regular file"]);
    for text in [
        String::new(),
        secret.repeat(2),
        secret[1..].to_owned(),
        format!("{secret}\n\n"),
    ] {
        fs::write(home.path("one.key"), text).unwrap();
        refused("one.key", &["32 random bytes in base64", "openssl rand"]);
    }
    fs::write(home.path("one.key"), &secret).unwrap();
    for mode in [0o644, 0o660, 0o604] {
        fs::set_permissions(home.path("one.key"), Permissions::from_mode(mode)).unwrap();
        refused(
            "one.key",
            &[
                "readable by other users",
                "chmod o=,g-wx",
                "jeton keys seal --previous",
            ],
        );
    }
    assert_eq!(home.files().len(), 1, "nothing was created");
    // As systemd hands over a credential.
    fs::set_permissions(home.path("one.key"), Permissions::from_mode(0o440)).unwrap();
    stop(home.start(with_key(home.serve_command(), "one.key")));
}

#[test]
fn without_the_key_encryption_key_all_commands_work_that_create_no_key() {
    let home = Home::new();
    key_encryption_key(&home, "one.key", 1);
    let server = home.start(with_key(home.serve_command(), "one.key"));
    assert_eq!(count(&home), (1, 0));
    let file = fs::read(home.path("one.key")).unwrap();
    fs::remove_file(home.path("one.key")).unwrap();

    for (index, name) in ["one.key", ""].into_iter().enumerate() {
        let run = |arguments: &[&str]| run(&home, arguments, name);
        succeed(&run(&["backup", &format!("backup{index}.db")]));
        let listed = run(&["keys", "list"]);
        assert!(succeed(&listed).contains(&id(1)), "{listed:?}");
        refuse(&run(&["keys", "rotate"]), &["nothing was changed", FILE]);
        refuse(&run(&["keys", "unseal"]), &[FILE]);
        refuse(&run(&["keys", "seal"]), &[FILE]);

        // The signing key is withdrawn, although no successor can be created here.
        let client = server.administrator();
        let session = client.token().to_owned();
        let kid = signing_kid(&home);
        let revoked = run(&["keys", "revoke", &kid]);
        let text = succeed(&revoked);
        assert!(text.contains(&format!("{kid} is withdrawn")), "{text}");
        assert!(text.contains("no key signs now"), "{text}");
        assert!(revoked.stderr.contains(FILE), "the cause: {revoked:?}");
        eventually(SOON, || (server.client().current(&session) == 401).then_some(())).unwrap();
        // The running server has read the key-encryption key, and creates the successor.
        eventually(SOON, || {
            (server.client().get("/readyz").status == 200).then_some(())
        })
        .unwrap();
        assert_ne!(signing_kid(&home), kid);
        server.administrator();
    }
    assert_eq!(count(&home), (3, 0));

    // Without a server, no key signs until the next start or rotation.
    stop(server);
    for (name, problem) in [("one.key", FILE), ("", "is sealed by")] {
        refuse(&finish(with_key(home.serve_command(), name), ""), &[problem]);
    }
    succeed(&home.run(&["keys", "revoke", &signing_kid(&home)]));
    let listed = home.run(&["keys", "list"]);
    assert!(!succeed(&listed).contains(" signing "), "{listed:?}");
    fs::write(home.path("one.key"), file).unwrap();
    fs::set_permissions(home.path("one.key"), Permissions::from_mode(0o600)).unwrap();
    let server = home.start(with_key(home.serve_command(), "one.key"));
    server.administrator();
    stop(server);
    assert_eq!(count(&home), (4, 0));
}

#[test]
fn a_running_server_names_the_key_encryption_key_that_it_lacks() {
    let home = Home::new();
    key_encryption_key(&home, "one.key", 1);
    key_encryption_key(&home, "two.key", 2);
    let server = home.start(with_key(home.serve_command(), "one.key"));
    succeed(&run(&home, &["keys", "seal", "--previous", "one.key"], "two.key"));
    let rotated = run(&home, &["keys", "rotate"], "two.key");
    let kid = succeed(&rotated).split(' ').next().unwrap();
    let said = eventually(SOON, || {
        let said = server.stderr();
        said.contains("restart the server with that key-encryption key")
            .then_some(said)
    });
    let said = said.unwrap();
    let errors: Vec<_> = said.lines().filter(|line| line.contains(kid)).collect();
    let [error] = &errors[..] else { panic!("{said}") };
    assert!(error.contains(&id(2)) && !error.contains("missing"), "{error}");
    stop(server);
    stop(home.start(with_key(home.serve_command(), "two.key")));
}

#[test]
fn a_secret_in_place_of_its_file_is_not_printed() {
    let home = Home::new();
    let secret = key_encryption_key(&home, "one.key", 1);
    let hexadecimal = "5e".repeat(32);
    let words = &["must be the path of a file, not the key"];
    let unshown = &["not shown"];
    let refused = |command: Command, secret: &str, words: &[&str]| {
        let refused = finish(command, "");
        refuse(&refused, words);
        assert!(!refused.stderr.contains(&secret[..8]), "{refused:?}");
    };
    refused(with_key(home.serve_command(), &secret), &secret, words);
    refused(
        with_key(home.serve_command(), &hexadecimal),
        &hexadecimal,
        unshown,
    );
    let mut with_password = home.serve_command();
    with_password
        .env_remove("JETON_ADMIN_PASSWORD")
        .env("JETON_ADMIN_PASSWORD_FILE", "correct horse battery");
    refused(with_password, "correct horse battery", unshown);
    let flag = home.command(["keys", "list", "--key-encryption-key", &secret]);
    refused(flag, &secret, words);
    // The control: a path is shown.
    let path = home.path("missing.key");
    let path = path.to_str().unwrap();
    let shown = finish(with_key(home.serve_command(), path), "");
    refuse(&shown, &[path]);
    assert_eq!(home.files().len(), 1, "nothing was created");
    // And of the previous key.
    stop(home.start(with_key(home.serve_command(), "one.key")));
    let previous = home.command(["keys", "seal", "--previous", &secret]);
    refused(with_key(previous, "one.key"), &secret, words);
    // The check of the configuration reads the file.
    let check = home.command(["serve", "--check-config"]);
    refuse(
        &finish(with_key(check, "missing.key"), ""),
        &[FILE, "cannot be read"],
    );
}

/// Kills `jeton keys seal` between two files.
#[test]
fn a_seal_that_is_killed_leaves_a_readable_folder() {
    const KEYS: usize = 300;
    let home = Home::new();
    stop(home.serve());
    key_encryption_key(&home, "one.key", 1);
    for _ in 1..KEYS {
        let (key, pem) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let path = home.path(&format!("keys/{}.pem", key.kid()));
        fs::write(&path, pem.as_bytes()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    let interrupted = (0..5).any(|_| {
        let mut seal = with_key(home.command(["keys", "seal"]), "one.key");
        let mut seal = seal.stdout(Stdio::null()).spawn().unwrap();
        eventually(SOON, || {
            let is_over = seal.try_wait().unwrap().is_some();
            (is_over || count(&home).0 > 10).then_some(())
        });
        let _ = seal.kill();
        seal.wait().unwrap();
        let (sealed, plain) = count(&home);
        assert_eq!(sealed + plain, KEYS, "a file is neither");
        if plain == 0 {
            succeed(&run(&home, &["keys", "unseal"], "one.key"));
        }
        plain > 0
    });
    assert!(interrupted, "no seal could be killed in time");
    stop(home.start(with_key(home.serve_command(), "one.key")));
    succeed(&run(&home, &["keys", "seal"], "one.key"));
    assert_eq!(count(&home), (KEYS, 0));
    let names = fs::read_dir(home.path("keys")).unwrap();
    let left = names.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_none_or(|end| end != "pem")
    });
    assert_eq!(left.count(), 0, "an unfinished file was left behind");
    stop(home.start(with_key(home.serve_command(), "one.key")));
}
