//! Commands next to a running server.

use std::time::Duration;

use axum::http::StatusCode;
use jeton::http::Document;
use serde_json::{Value, json};

use super::client::Client;
use super::home::{EMAIL, Home, PASSWORD, Server, eventually, finish};

/// The time in which a running server notices changes by another process, with a margin for a busy
/// machine.
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
    // A password reset revokes only that user's sessions.
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
fn failures_are_reported_in_one_sentence() {
    let home = Home::new();
    drop(home.serve());
    for (arguments, input, sentence) in [
        (
            &["user", "create", EMAIL, "--password-stdin"][..],
            "long enough\n",
            "error: the e-mail address admin@example.org belongs to another user\n",
        ),
        (
            &["user", "create", "b@example.org", "--password-stdin"],
            "short\n",
            "error: a password must have at least 8 characters\n",
        ),
        (
            &["user", "create", "b@example.org", "--password-stdin"],
            "Password1\n",
            "error: a password must not be one of the 3000 most common ones\n",
        ),
        (
            &["user", "create", "b@example.org"],
            "",
            "error: no password: give it with --password-stdin or in the variable JETON_PASSWORD\n",
        ),
        (
            &["user", "create", "no address", "--password-stdin"],
            "long enough\n",
            "error: ",
        ),
        (
            &["user", "set-password", "nobody@example.org", "--password-stdin"],
            "long enough\n",
            "error: no user has the e-mail address nobody@example.org\n",
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

/// Returns the columns of `keys list`, by key.
fn listed(home: &Home) -> Vec<Vec<String>> {
    let listed = home.run(&["keys", "list"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let mut lines = listed.stdout.lines();
    let head = lines.next().unwrap();
    for column in ["KID", "ALGORITHM", "STATE", "AGE", "LIVE TOKENS"] {
        assert!(head.contains(column), "{head}");
    }
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    lines.map(columns).collect()
}

fn mint(client: &mut Client) -> String {
    let body = json!({"name": "n", "organization": "default"});
    let made = client.post("/api/v1/tokens", body).expect(StatusCode::CREATED);
    made.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_rotation_is_published_by_the_running_server_and_does_not_sign_yet() {
    let home = Home::new();
    let server = home.serve();
    let before = published(&server);
    assert_eq!(before.len(), 1);

    let rotated = home.run(&["keys", "rotate"]);
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    let (kid, signs_from) = rotated.stdout.trim().split_once(" signs from ").unwrap();
    assert!(home.path("keys").join(format!("{kid}.pem")).is_file());
    let seen = eventually(NOTICED, || {
        let now = published(&server);
        now.contains(&kid.to_owned()).then_some(now)
    })
    .unwrap();
    assert_eq!(seen, [before[0].clone(), kid.to_owned()]);
    let token = mint(&mut server.administrator());
    assert_eq!(signed_by(&token), before[0]);

    let rows = listed(&home);
    // The administrator's session and the token.
    assert_eq!((rows[0][2].as_str(), rows[0][4].as_str()), ("signing", "2"));
    assert_eq!((rows[1][2].as_str(), rows[1][4].as_str()), ("published", "0"));
    assert_eq!(rows[1].last().unwrap(), signs_from);

    // The state is durable until it is changed.
    drop(server);
    let server = home.serve();
    assert_eq!(published(&server), seen);
    let refused = home.run(&["keys", "retire", &before[0]]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("jeton keys rotate"), "{refused:?}");
    assert_eq!(home.run(&["keys", "retire", kid]).code, Some(0));
    eventually(NOTICED, || (published(&server) == before).then_some(())).unwrap();
}

#[test]
fn a_key_that_is_revoked_ends_what_it_signed_in_the_running_server() {
    let home = Home::new();
    let server = home.serve();
    let leaked = published(&server).remove(0);
    let token = mint(&mut server.administrator());
    let mut client = server.client();
    assert_eq!(client.current(&token), 200);

    let revoked = home.run(&["keys", "revoke", &leaked, "--reason", "the backup was public"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    // Within a second of the command's end, with a margin for a busy machine.
    eventually(NOTICED, || (client.current(&token) == 401).then_some(())).unwrap();
    let left = eventually(NOTICED, || {
        let now = published(&server);
        (!now.contains(&leaked)).then_some(now)
    })
    .unwrap();
    let fresh = mint(&mut server.administrator());
    assert_eq!([signed_by(&fresh)], *left);
    drop(server);
    let server = home.serve();
    assert_eq!(server.client().current(&token), 401);
    assert_eq!(server.client().current(&fresh), 200);
    let rows = listed(&home);
    assert_eq!((rows[0][2].as_str(), rows[0][4].as_str()), ("withdrawn", "0"));

    for arguments in [
        &["keys", "revoke", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"][..],
        &["keys", "retire", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"],
        &["keys", "revoke", "-no-kid"],
    ] {
        let refused = home.run(arguments);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    }
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
fn the_document_of_every_api_is_printed() {
    for (name, document) in [
        ("native", Document::Native),
        ("cave", Document::Cave),
        ("terraform", Document::Terraform),
        ("dayzero", Document::DayZero),
        ("quant", Document::Quant),
    ] {
        let printed = Home::new().run(&["openapi", name]);
        assert_eq!(printed.code, Some(0));
        let generated = jeton::http::document(document).to_pretty_json().unwrap();
        assert!(printed.stdout.trim_end() == generated, "{name}");
    }
}

#[test]
fn the_completions_of_each_shell_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = Home::new().run(&["completions", shell]);
        assert_eq!(printed.code, Some(0));
        assert!(printed.stdout.contains("rotate"), "{shell}");
    }
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
