//! Commands beside a running server.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::home::{EMAIL, Home, PASSWORD, Server, eventually, finish};

/// By when a running server has noticed what another process wrote, and some more for a busy machine.
const NOTICED: Duration = Duration::from_secs(3);

#[test]
fn a_person_made_beside_a_server_can_log_in_and_a_new_password_ends_their_sessions() {
    let home = Home::new();
    let server = home.serve();
    let create = home.command(["user", "create", "Ada@example.org", "--password-stdin"]);
    let made = finish(create, "the first password\n");
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stdout.starts_with("user-"), "{made:?}");

    let mut client = server.client();
    let login = eventually(NOTICED, || {
        client.login("ada@example.org", "the first password").ok()
    });
    let session = login.unwrap();
    let mut ada = server.client().with_token(&session);
    let me = ada.get("/api/v1/me").expect(StatusCode::OK).json();
    assert_eq!(me["user"]["id"], made.stdout.trim());
    assert_eq!(me["user"]["site_admin"], false);
    // Whose token ends is decided by whose password it was.
    let mut administrator = server.administrator();

    let mut set = home.command(["user", "set-password", "ada@EXAMPLE.org"]);
    set.env("JETON_PASSWORD", "the second password");
    let set = finish(set, "");
    assert_eq!(set.code, Some(0), "{set:?}");
    assert!(eventually(NOTICED, || (ada.get("/api/v1/me").status == 401).then_some(())).is_some());
    assert_eq!(
        client
            .login("ada@example.org", "the first password")
            .unwrap_err()
            .status,
        401
    );
    client.login("ada@example.org", "the second password").unwrap();
    administrator.get("/api/v1/me").expect(StatusCode::OK);
}

#[test]
fn a_site_administrator_can_be_made_from_the_command_line() {
    let home = Home::new();
    let server = home.serve();
    let create = home.command([
        "user",
        "create",
        "root@example.org",
        "--site-admin",
        "--password-stdin",
    ]);
    assert_eq!(finish(create, "the first password\n").code, Some(0));
    let mut client = server.client();
    let session = eventually(NOTICED, || {
        client.login("root@example.org", "the first password").ok()
    })
    .unwrap();
    server
        .client()
        .with_token(&session)
        .get("/api/v1/users")
        .expect(StatusCode::OK);
}

#[test]
fn what_cannot_be_done_is_said_in_one_sentence() {
    let home = Home::new();
    drop(home.serve());
    for (arguments, input, sentence) in [
        (
            &["user", "create", EMAIL, "--password-stdin"][..],
            "long enough\n",
            "error: ",
        ),
        (
            &["user", "create", "b@example.org", "--password-stdin"],
            "short\n",
            "error: a password has at least 8 characters\n",
        ),
        (
            &["user", "create", "b@example.org"],
            "",
            "error: give the password with --password-stdin or in the variable JETON_PASSWORD\n",
        ),
        (
            &["user", "create", "no address", "--password-stdin"],
            "long enough\n",
            "error: ",
        ),
        (
            &["user", "set-password", "nobody@example.org", "--password-stdin"],
            "long enough\n",
            "error: ",
        ),
    ] {
        let refused = finish(home.command(arguments), input);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {refused:?}");
        assert_eq!(refused.stdout, "");
        assert!(refused.stderr.starts_with(sentence), "{arguments:?}: {refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    }
    let server = home.serve();
    server.client().login(EMAIL, PASSWORD).unwrap();
}

fn published(server: &Server) -> Vec<String> {
    let keys = server
        .client()
        .get("/.well-known/jwks.json")
        .expect(StatusCode::OK)
        .json();
    let keys = keys["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_generated_key_is_published_by_the_running_server_and_does_not_sign_yet() {
    let home = Home::new();
    let server = home.serve();
    let before = published(&server);
    assert_eq!(before.len(), 1);

    let generated = home.run(&["keys", "generate"]);
    assert_eq!(generated.code, Some(0), "{generated:?}");
    let kid = generated.stdout.trim().to_owned();
    assert!(home.path("keys").join(format!("{kid}.pem")).is_file());
    let seen = eventually(NOTICED, || {
        let now = published(&server);
        now.contains(&kid).then_some(now)
    })
    .unwrap();
    assert!(seen.contains(&before[0]) && seen.len() == 2, "{seen:?}");

    let body = json!({"name": "n", "organization": "default"});
    let made = server
        .administrator()
        .post("/api/v1/tokens", body)
        .expect(StatusCode::CREATED)
        .json();
    assert_eq!(signed_by(made["token"].as_str().unwrap()), before[0]);

    let listed = home.run(&["keys", "list"]);
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{listed:?}");
    let line = |kid: &str| {
        lines
            .iter()
            .find(|line| line.starts_with(kid))
            .unwrap()
            .split_whitespace()
            .nth(2)
            .unwrap()
    };
    assert_eq!(line(&before[0]), "signing");
    assert_eq!(line(&kid), "published");

    // And it stays so.
    drop(server);
    let server = home.serve();
    let mut again = published(&server);
    let mut seen = seen;
    again.sort();
    seen.sort();
    assert_eq!(again, seen);
}

fn signed_by(token: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[test]
fn the_document_is_the_file_in_the_repository() {
    let printed = Home::new().run(&["openapi"]);
    assert_eq!(printed.code, Some(0));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    assert!(
        printed.stdout == std::fs::read_to_string(file).unwrap(),
        "run `make openapi`"
    );
}

#[test]
fn a_mistaken_command_line_is_explained_and_changes_nothing() {
    let home = Home::new();
    for arguments in [
        &[][..],
        &["sreve"],
        &["serve", "--port", "1"],
        &["user", "create", "a@example.org", "--password", "x"],
    ] {
        let refused = home.run(arguments);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(!refused.stderr.is_empty());
        assert_eq!(home.files(), []);
    }
    let help = home.run(&["serve", "--help"]);
    assert_eq!(help.code, Some(0));
    for word in [
        "--listen",
        "--database",
        "--keys",
        "--issuer",
        "--config",
        "JETON_LISTEN",
        "JETON_ADMIN_EMAIL",
    ] {
        assert!(help.stdout.contains(word), "{word}");
    }
}
