//! No secret of a run appears where it does not belong.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::home::{EMAIL, Home, PASSWORD, SOON, Server, eventually, finish};

/// The secrets, each with a name that may be printed.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn password(&mut self, name: &str, text: &str) {
        self.0.push((name.to_owned(), text.as_bytes().to_vec()));
    }

    /// Adds a token, whole and in the parts and encodings in which it could leak.
    fn token(&mut self, name: &str, token: &str) {
        let signature = token.rsplit('.').next().unwrap();
        let payload = token.split('.').nth(1).unwrap_or(token);
        for (part, text) in [
            ("", token.to_owned()),
            (" (its signature)", signature.to_owned()),
            (" (its payload)", payload.to_owned()),
            (" (as Basic)", STANDARD.encode(format!("{token}:"))),
        ] {
            self.0.push((format!("{name}{part}"), text.into_bytes()));
        }
    }

    /// Returns `secret in place` for every secret found.
    fn found_in<'a>(&self, places: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
        let mut found = Vec::new();
        for (place, bytes) in places {
            for (name, secret) in &self.0 {
                assert!(secret.len() >= 8, "{name} would be found by chance");
                if contains(bytes, secret) {
                    found.push(format!("{name} in {place}"));
                }
            }
        }
        found
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let first = part[0];
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(part) {
            return true;
        }
        from += at + 1;
    }
    false
}

/// Sends valid and invalid requests. Returns the bodies of responses that may contain no secret.
fn live(server: &Server, secrets: &mut Secrets) -> Vec<(String, Vec<u8>)> {
    let mut bodies = Vec::new();
    let mut keep = |what: &str, answer: &super::client::Answer| {
        bodies.push((format!("the answer to {what}"), answer.body.to_vec()));
        bodies.push((
            format!("the headers of the answer to {what}"),
            format!("{:?}", answer.headers).into_bytes(),
        ));
    };
    let mut anyone = server.client();
    secrets.password("the administrator's password", PASSWORD);
    let session = anyone.login(EMAIL, PASSWORD).unwrap();
    secrets.token("the session", &session);
    let mut admin = server.client().with_token(&session);

    // Passwords in another user's field, in the wrong field, and in every malformed body.
    let wrong = [
        (
            "a wrong password",
            "POST",
            "/api/v1/login",
            json!({"email": EMAIL, "password": "wrong-guess-secret"}).to_string(),
            401,
        ),
        (
            "a password as e-mail",
            "POST",
            "/api/v1/login",
            json!({"email": ["misplaced-secret"], "password": "x"}).to_string(),
            422,
        ),
        (
            "a misspelt field",
            "POST",
            "/api/v1/login",
            json!({"email": EMAIL, "pasword": "misspelt-field-secret"}).to_string(),
            422,
        ),
        (
            "a password alone",
            "POST",
            "/api/v1/login",
            "\"bare-text-secret\"".to_owned(),
            422,
        ),
        (
            "half a body",
            "POST",
            "/api/v1/login",
            "{\"password\": \"broken-json-secret\", ".to_owned(),
            422,
        ),
        (
            "a person without address",
            "POST",
            "/api/v1/users",
            json!({"password": "no-address-secret"}).to_string(),
            422,
        ),
        (
            "a list of passwords",
            "POST",
            "/api/v1/users",
            json!({"email": "a@example.org", "password": ["listed-secret"]}).to_string(),
            422,
        ),
        (
            "a short password",
            "POST",
            "/api/v1/users",
            json!({"email": "a@example.org", "password": "sh0rt!!"}).to_string(),
            422,
        ),
        (
            "a change that is none",
            "PATCH",
            "/api/v1/users/admin@example.org",
            json!({"password": {"new": "nested-secret"}}).to_string(),
            422,
        ),
        (
            "a wrong present password",
            "PATCH",
            "/api/v1/users/admin@example.org",
            json!({"password": "never-set-secret", "current_password": "wrong-present-secret"}).to_string(),
            403,
        ),
    ];
    for (what, method, path, body, status) in wrong {
        let answer = admin.ask(method, path, Some(body)).unwrap();
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        keep(what, &answer);
    }
    for secret in [
        "wrong-guess-secret",
        "misplaced-secret",
        "misspelt-field-secret",
        "bare-text-secret",
        "broken-json-secret",
        "no-address-secret",
        "listed-secret",
        "nested-secret",
        "never-set-secret",
        "wrong-present-secret",
    ] {
        secrets.password(secret, secret);
    }

    let new = "another person's password";
    secrets.password("a new person's password", new);
    let made = admin.post(
        "/api/v1/users",
        json!({"email": "ada@example.org", "password": new}),
    );
    keep("a new person", &made.expect(StatusCode::CREATED));

    for (what, body) in [
        ("a token", json!({"name": "one", "organization": "default"})),
        (
            "an organization's token",
            json!({"name": "two", "organization": "default", "owner": "organization", "scopes": ["tokens:read"]}),
        ),
        (
            "a token that is revoked",
            json!({"name": "three", "organization": "default"}),
        ),
    ] {
        let made = admin
            .post("/api/v1/tokens", body)
            .expect(StatusCode::CREATED)
            .json();
        let token = made["token"].as_str().unwrap();
        secrets.token(what, token);
        let id = made["token_info"]["id"].as_str().unwrap();
        let mut holder = server.client().with_token(token);
        keep("the current token", &holder.get("/api/v1/tokens/current"));
        keep(
            "a request beyond its scopes",
            &holder.post("/api/v1/tokens", json!({"name": "four"})),
        );
        keep("one token", &admin.get(&format!("/api/v1/tokens/{id}")));
        // As Basic, and with a changed last letter.
        let basic = format!("Basic {}", STANDARD.encode(format!("{token}:")));
        keep(
            "Basic",
            &server
                .client()
                .with_header("authorization", basic)
                .get("/api/v1/tokens/current"),
        );
        let mut forged = token.to_owned();
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'Q' } else { 'A' });
        keep(
            "a forged token",
            &server.client().with_token(&forged).get("/api/v1/tokens/current"),
        );
        secrets.token("a forged token", &forged);
        keep(
            "a token in an address",
            &admin.get(&format!("/api/v1/tokens/{}", &token[token.len() - 40..])),
        );
        if what.ends_with("revoked") {
            let path = format!("/api/v1/tokens/{id}/revoke");
            keep(
                "a revocation",
                &admin.post(&path, json!({})).expect(StatusCode::CREATED),
            );
            keep("a revoked token", &holder.get("/api/v1/tokens/current"));
        }
    }
    keep(
        "a token that is none",
        &server.client().with_token("garbage-credential").get("/api/v1/me"),
    );
    secrets.password("a token that is none", "garbage-credential");
    // Everything so far is in the audit: a user who was created, tokens, and their revocations.
    eventually(SOON, || {
        let all = admin.get("/api/v1/audit?limit=1000").expect(StatusCode::OK).body;
        let has = |action: &str| contains(&all, action.as_bytes());
        ["user.create", "token.issue", "token.revoke"]
            .iter()
            .all(|action| has(action))
            .then_some(())
    })
    .unwrap();
    for path in [
        "/api/v1/tokens?include_revoked=true",
        "/api/v1/me",
        "/api/v1/users",
        "/api/v1/organizations",
        "/api/v1/audit?limit=1000",
        "/api/v1/audit/export",
        "/healthz",
        "/readyz",
        "/.well-known/jwks.json",
    ] {
        keep(path, &admin.get(path).expect(StatusCode::OK));
    }
    let logout = admin.ask("POST", "/api/v1/logout", None).unwrap();
    assert_eq!(logout.status, 204);
    keep("a session that has ended", &admin.get("/api/v1/me"));
    bodies
}

/// Returns the output of a process and every file of its directory, names included.
fn places(home: &Home, server: &Server) -> Vec<(String, Vec<u8>)> {
    let mut places = vec![
        ("standard output".to_owned(), server.stdout().into_bytes()),
        ("standard error".to_owned(), server.stderr().into_bytes()),
    ];
    for (path, bytes) in home.files() {
        let path: PathBuf = path;
        places.push((
            format!("the name of {}", path.display()),
            path.as_os_str().as_encoded_bytes().to_vec(),
        ));
        places.push((path.display().to_string(), bytes));
    }
    places
}

fn borrowed(places: &[(String, Vec<u8>)]) -> impl Iterator<Item = (&str, &[u8])> {
    places
        .iter()
        .map(|(place, bytes)| (place.as_str(), bytes.as_slice()))
}

#[test]
fn no_secret_of_a_run_is_in_a_log_an_answer_or_a_file() {
    no_secret_leaks("text");
}

#[test]
fn no_secret_of_a_run_is_in_a_log_in_json() {
    no_secret_leaks("json");
}

/// Runs a server that logs all requests.
fn no_secret_leaks(format: &str) {
    let home = Home::new();
    home.configure(&format!("[log]\nformat = \"{format}\"\nrequests = \"all\"\n"));
    let mut command = home.serve_command();
    command.env("JETON_LOG", "trace");
    let mut server = home.start(command);
    let mut secrets = Secrets::default();
    let bodies = live(&server, &mut secrets);

    // The input of the command line.
    let set = "a password from standard input";
    secrets.password("a password from standard input", set);
    let set_password = home.command(["user", "set-password", "ada@example.org", "--password-stdin"]);
    let done = finish(set_password, &format!("{set}\n"));
    assert_eq!(done.code, Some(0), "{done:?}");
    let refused = finish(
        home.command(["user", "create", "not an address", "--password-stdin"]),
        &format!("{set}\n"),
    );
    assert_eq!(refused.code, Some(1));
    let said = [done.stdout, done.stderr, refused.stdout, refused.stderr].concat();

    // The log mentions a request that breaks off.
    let broken = "GET /healthz HTTP/1.1\r\nAuthorization: Bearer broken-off-secret\r\nHost";
    secrets.password("the token of a request that broke off", "broken-off-secret");
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(broken.as_bytes()).unwrap();
    drop(stream);
    eventually(SOON, || {
        server.stderr().contains("a connection broke").then_some(())
    })
    .unwrap();

    let running = places(&home, &server);
    server.kill();
    let killed = places(&home, &server);
    for places in [&bodies, &running, &killed] {
        assert_eq!(secrets.found_in(borrowed(places)), Vec::<String>::new());
    }
    assert_eq!(
        secrets.found_in([("a command's output", said.as_bytes())]),
        Vec::<String>::new()
    );

    // The check covers what was written: the log was at its most verbose, and the names of tokens are
    // in the database or its journal.
    assert!(
        running
            .iter()
            .any(|(place, bytes)| place == "standard error" && contains(bytes, b"DEBUG"))
    );
    assert!(
        running
            .iter()
            .any(|(place, bytes)| place == "standard error" && contains(bytes, b"create_token"))
    );
    assert!(
        running
            .iter()
            .any(|(_, bytes)| contains(bytes, b"ada@example.org"))
    );
    for name in ["jeton.db", "jeton.db-wal"] {
        assert!(running.iter().any(|(place, _)| place.ends_with(name)), "{name}");
    }
    // The control: a planted secret is found.
    let mut planted = Secrets::default();
    planted.password("planted", "ada@example.org");
    assert!(!planted.found_in(borrowed(&running)).is_empty());
    for (name, secret) in &secrets.0 {
        let log = [b"before ", secret.as_slice(), b" after"].concat();
        assert!(
            !secrets.found_in([("a log", log.as_slice())]).is_empty(),
            "{name}"
        );
    }
}

/// The code of a first start is on standard output, in the lines of that start, and nowhere else.
#[test]
fn the_code_of_a_first_start_is_shown_once_and_stored_nowhere() {
    let home = Home::new();
    let mut command = home.command(["serve", "--listen", "127.0.0.1:0"]);
    command.env("JETON_LOG", "trace");
    let mut server = home.start(command);
    let code = setup_code(&server);
    let mut secrets = Secrets::default();
    secrets.password("the code", &code);
    secrets.password("the password", PASSWORD);
    let body = json!({"code": code, "email": EMAIL, "password": PASSWORD, "organization": "acme"});
    let answer = server.client().post("/api/v1/setup", body).expect(StatusCode::OK);
    let session = answer.json()["token"].as_str().unwrap().to_owned();
    secrets.token("the session", &session);
    server.kill();
    let places: Vec<_> = places(&home, &server)
        .into_iter()
        .filter(|(place, _)| place != "standard output")
        .collect();
    assert_eq!(secrets.found_in(borrowed(&places)), Vec::<String>::new());
    assert!(!contains(server.stdout().as_bytes(), session.as_bytes()));

    let mut again = home.command(["serve", "--listen", "127.0.0.1:0"]);
    again.env("JETON_LOG", "trace");
    let mut server = home.start(again);
    assert_eq!(server.client().get("/readyz").status, 200);
    server.kill();
    assert!(!server.stdout().contains(&code));
    assert!(!server.stdout().contains("code"));
}

/// Returns the code that a first start has printed.
fn setup_code(server: &Server) -> String {
    let code = eventually(SOON, || {
        let text = server.stdout();
        // Complete lines only, the last one included.
        let (_, rest) = text.split_once("the code, for one use: ")?;
        text.contains("curl")
            .then(|| rest.lines().next().unwrap().to_owned())
    });
    code.unwrap()
}
