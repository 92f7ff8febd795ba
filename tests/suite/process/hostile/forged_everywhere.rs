//! Every forgery on every path that takes a token.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use jeton::keys::{KeyFolder, SigningKey};
use jeton_guard::answer::Guard;
use jeton_guard::config::{Config, Flags};
use jeton_guard::serve::{Bound, Limits, serve};
use jeton_verifier::{Unverified, Verifier, strip_prefix};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::super::client::Client;
use super::super::home::{Home, SOON, Server, eventually};
use super::effort::{Effort, chance};
use super::forgeries::{Forgery, Maker, Original};
use super::wire::{Peer, Reply, exchange};

/// How a request carries the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Bearer,
    BasicUsername,
    BasicPassword,
    /// The field `token` of a form, sent by another caller.
    Form,
}

/// A path that takes a token.
struct TokenPath {
    name: &'static str,
    peer: Peer,
    request_line: &'static str,
    headers: String,
    carrier: Carrier,
    /// What a response to a good token contains, beside the status 200.
    shows: &'static str,
}

impl TokenPath {
    /// Sends the token; `None` if its bytes would not be a part of the header.
    fn present(&self, token: &[u8]) -> Option<Reply> {
        let mut head = format!(
            "{} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{}",
            self.request_line, self.headers
        )
        .into_bytes();
        let mut body = Vec::new();
        match self.carrier {
            Carrier::Bearer => {
                let is_part = !token.is_empty()
                    && !token.iter().any(|byte| b"\r\n\0\x7f".contains(byte))
                    && !token.starts_with(b" ")
                    && !token.ends_with(b" ");
                if !is_part {
                    return None;
                }
                head.extend([b"Authorization: Bearer ", token, b"\r\n"].concat());
            }
            Carrier::BasicUsername | Carrier::BasicPassword => {
                // Decoded as OAuth has it, so that a `%` is not what it was.
                if token.is_empty() || token.contains(&b':') || token.contains(&b'%') {
                    return None;
                }
                let pair = match self.carrier {
                    Carrier::BasicUsername => [token, b":"].concat(),
                    _ => [b"anybody:", token].concat(),
                };
                head.extend(format!("Authorization: Basic {}\r\n", STANDARD.encode(pair)).into_bytes());
            }
            Carrier::Form => {
                body = format!("token={}", percent_encode(token, NON_ALPHANUMERIC)).into_bytes();
                head.extend(
                    format!(
                        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                        body.len()
                    )
                    .into_bytes(),
                );
            }
        }
        head.extend(b"\r\n");
        Some(exchange(&self.peer, &[head, body].concat()))
    }

    fn accepts(&self, reply: &Reply) -> bool {
        reply.status == 200 && String::from_utf8_lossy(&reply.body).contains(self.shows)
    }
}

/// What a client can tell two responses apart by.
fn visible(reply: &Reply) -> (u16, String, String) {
    (
        reply.status,
        reply.header("www-authenticate").to_owned(),
        String::from_utf8_lossy(&reply.body).into_owned(),
    )
}

/// An authority, a guard and a verifier, and a token that all of them accept.
struct Stage {
    home: Home,
    server: Server,
    runtime: Runtime,
    verifier: Verifier,
    guard: Peer,
    token: String,
    /// The caller that introspects.
    service: String,
}

impl Stage {
    fn set() -> Self {
        let home = Home::new();
        let server = home.serve();
        let issuer = format!("http://{}", server.address);
        let mut admin = server.administrator();
        let mut issue = |name: &str| {
            let scopes = [
                "tokens:read",
                "tokens:write",
                "tokens:introspect",
                "organizations:read",
                "organizations:write",
                "audit:read",
                "revocations:read",
                "usage:write",
            ];
            let order = json!({"name": name, "owner": "deployment", "scopes": scopes});
            let made = admin.post("/api/v1/tokens", order);
            assert_eq!(made.status, 201, "{made:?}");
            made.json()["token"].as_str().unwrap().to_owned()
        };
        let (token, service, own) = (issue("attacked"), issue("service"), issue("follower"));
        std::fs::write(home.path("follower"), &own).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let verifier = {
            let _inside = runtime.enter();
            Verifier::builder(&issuer, &issuer)
                .token_file(home.path("follower"))
                .max_staleness(Duration::from_secs(600))
                .build()
                .unwrap()
        };
        runtime.block_on(async { timeout(SOON, verifier.ready()).await.unwrap() });
        let guard = guard(&runtime, &issuer, home.folder());
        Self {
            home,
            server,
            runtime,
            verifier,
            guard,
            token,
            service,
        }
    }

    fn paths(&self) -> Vec<TokenPath> {
        let authority = Peer::Tcp(self.server.address);
        let path = |name, request_line, headers: &str, carrier, shows| TokenPath {
            name,
            peer: authority.clone(),
            request_line,
            headers: headers.to_owned(),
            carrier,
            shows,
        };
        let service = format!("Authorization: Bearer {}\r\n", self.service);
        let json = "Accept: application/json\r\n";
        let terraform = "Accept: application/vnd.api+json\r\n";
        vec![
            path(
                "native",
                "GET /api/v1/tokens/current",
                json,
                Carrier::Bearer,
                "attacked",
            ),
            path(
                "native, as username",
                "GET /api/v1/tokens/current",
                json,
                Carrier::BasicUsername,
                "attacked",
            ),
            path(
                "native, as password",
                "GET /api/v1/tokens/current",
                json,
                Carrier::BasicPassword,
                "attacked",
            ),
            path("me", "GET /api/v1/me", json, Carrier::Bearer, "attacked"),
            path(
                "feed",
                "GET /api/v1/revocations?limit=1",
                json,
                Carrier::Bearer,
                "",
            ),
            path(
                "stream",
                "GET /api/v1/revocations/stream",
                "Accept: text/event-stream\r\n",
                Carrier::Bearer,
                "",
            ),
            path(
                "cave",
                "GET /organizations/default",
                json,
                Carrier::Bearer,
                "default",
            ),
            path(
                "terraform",
                "GET /api/v2/account/details",
                terraform,
                Carrier::Bearer,
                "api-deployment",
            ),
            path("quant", "GET /api/v2/organizations", json, Carrier::Bearer, ""),
            path(
                "forward-auth",
                "GET /oauth/authorize-request",
                "",
                Carrier::Bearer,
                "",
            ),
            path(
                "forward-auth, as password",
                "GET /oauth/authorize-request",
                "",
                Carrier::BasicPassword,
                "",
            ),
            path(
                "introspection",
                "POST /oauth/introspect",
                &service,
                Carrier::Form,
                r#""active":true"#,
            ),
            TokenPath {
                peer: self.guard.clone(),
                ..path("guard", "GET /check/all", "", Carrier::Bearer, "")
            },
            TokenPath {
                peer: Peer::Unix(self.home.path("guard.socket")),
                ..path(
                    "guard's introspection",
                    "POST /introspect",
                    "",
                    Carrier::Form,
                    r#""active":true"#,
                )
            },
        ]
    }

    /// Returns the private key of a token.
    fn key_of(&self, token: &str) -> SigningKey {
        key_of(&self.home, token)
    }
}

fn key_of(home: &Home, token: &str) -> SigningKey {
    let kid = Unverified::parse(token).unwrap().header().kid.clone();
    // The key is not sealed, and so belongs to any deployment.
    let keys = KeyFolder::open(home.path("keys"), None)
        .unwrap()
        .of_deployment(uuid::Uuid::nil());
    keys.load(&kid).unwrap().unwrap()
}

/// Starts a guard with one rule, and returns where it answers checks.
fn guard(runtime: &Runtime, issuer: &str, folder: &Path) -> Peer {
    let text = format!(
        "issuer = '{issuer}'\naudience = '{issuer}'\ntoken_file = '{0}/follower'\nmax_staleness = '600s'\n\
         listen = ['127.0.0.1:0', '{0}/guard.socket']\n[rules.all]\n",
        folder.display(),
    );
    let file = folder.join("guard.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&Flags::parse_from(["jeton-guard", file.to_str().unwrap()])).unwrap();
    let guard = runtime.block_on(async {
        let mut sockets = Vec::new();
        for listen in &config.listen {
            sockets.push(Bound::new(listen).await.unwrap());
        }
        let address = sockets[0]
            .address()
            .strip_prefix("http://")
            .unwrap()
            .parse()
            .unwrap();
        let guard = Arc::new(Guard::new(config).unwrap());
        tokio::spawn(serve(guard, sockets, Limits::default(), std::future::pending()));
        Peer::Tcp(address)
    });
    let is_ready =
        || (exchange(&guard, b"GET /readyz HTTP/1.1\r\nHost: here\r\n\r\n").status == 200).then_some(());
    eventually(SOON, is_ready).unwrap();
    guard
}

/// Returns what is wrong with the answers to forgeries on a path. `refusal` is the answer to a text that is no token.
fn findings(path: &TokenPath, forgery: &Forgery, refusal: &Reply) -> Option<String> {
    let reply = path.present(&forgery.text)?;
    let Forgery { what, maker, .. } = forgery;
    let is_guard = path.name.starts_with("guard");
    if let Maker::Thief { offline: true } = maker
        && is_guard
    {
        // Nothing that the guard knows tells it from a good token.
        return (!path.accepts(&reply)).then(|| {
            format!(
                "{what} is refused by {}: the table of forgeries is wrong",
                path.name
            )
        });
    }
    if path.accepts(&reply) {
        return Some(format!("{what} is accepted by {}", path.name));
    }
    // What the header cannot carry is another fault of the request.
    let is_readable = forgery.text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_readable && matches!(reply.status, 400 | 401 | 422) {
        return None;
    }
    // So is a body beyond the limit, whatever it says.
    if forgery.text.len() > 4_096 && reply.status == 413 {
        return None;
    }
    let is_same = match maker {
        Maker::Anybody | Maker::ThiefMalformed => visible(&reply) == visible(refusal),
        // The holder of a text with a valid signature may learn why it is refused.
        Maker::Thief { .. } | Maker::Authority => reply.status == refusal.status,
    };
    (!is_same).then(|| {
        format!(
            "{what} is answered by {} with {:?} and not {:?}",
            path.name,
            visible(&reply),
            visible(refusal)
        )
    })
}

/// Control: the untouched token is accepted on each path before and after, and each path refuses a text that is no
/// token. A forgery that is accepted is found: the last part presents another good token as one.
///
/// It could pass wrongly if the forgeries were no longer what their names say, as after a change of the claims:
/// their number is checked, and each `Thief` that a guard cannot know must be accepted there.
#[test]
#[ignore = "make ci-extra"]
fn no_forgery_is_accepted_anywhere_and_all_are_answered_alike() {
    let stage = Stage::set();
    let other = Home::new();
    let foreign = other.serve();
    let foreign_session = foreign.administrator().token().to_owned();
    let foreign_key = key_of(&other, &foreign_session);
    let key = stage.key_of(&stage.token);
    let original = Original {
        token: &stage.token,
        key: &key,
        foreign: &foreign_key,
    };
    let mut forgeries = original.forgeries();
    assert!(forgeries.len() > 600, "only {}", forgeries.len());
    let bare = strip_prefix(&stage.token).as_bytes();
    assert!(forgeries.iter().all(|forgery| forgery.text != bare));
    forgeries = Effort::of_environment().sample(&mut chance("forgeries"), forgeries, 400, usize::MAX);
    forgeries.extend(stage.statements());
    forgeries.push(Forgery::new(
        "a session of another deployment".to_owned(),
        Maker::Anybody,
        foreign_session,
    ));

    let paths = stage.paths();
    let mut refusals = BTreeMap::new();
    let mut found = Vec::new();
    for path in &paths {
        let reply = path.present(stage.token.as_bytes()).unwrap();
        assert!(
            path.accepts(&reply),
            "{} refuses a good token: {reply:?}",
            path.name
        );
        let refusal = path.present(b"x").unwrap();
        assert!(
            !path.accepts(&refusal),
            "{} accepts a text: {refusal:?}",
            path.name
        );
        refusals.insert(path.name, refusal);
    }
    assert!(stage.verifier.verify(&stage.token).is_ok());
    for forgery in &forgeries {
        for path in &paths {
            found.extend(findings(path, forgery, &refusals[path.name]));
        }
        if let Ok(text) = std::str::from_utf8(&forgery.text) {
            let verdict = stage.verifier.verify(text);
            if verdict.is_ok() != (forgery.maker == Maker::Thief { offline: true }) {
                found.push(format!("{}: the verifier says {verdict:?}", forgery.what));
            }
        }
    }
    found.extend(stage.inspections(&forgeries));
    found.extend(stage.revocations(&forgeries));
    assert!(
        found.is_empty(),
        "{} findings:\n{}",
        found.len(),
        found.join("\n")
    );
    for path in &paths {
        let reply = path.present(stage.token.as_bytes()).unwrap();
        assert!(
            path.accepts(&reply),
            "{} refuses the good token at last: {reply:?}",
            path.name
        );
    }

    // The control of the check itself.
    let good = Forgery::new("a good token".to_owned(), Maker::Anybody, stage.token.clone());
    for path in &paths {
        let finding = findings(path, &good, &refusals[path.name]);
        assert_eq!(
            finding,
            Some(format!("a good token is accepted by {}", path.name))
        );
    }
    drop(stage.runtime);
}

impl Stage {
    /// Returns what the authority signs that is no access token.
    fn statements(&self) -> Vec<Forgery> {
        let mut admin = self.server.administrator();
        let list = admin.get("/status-lists/1");
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        let mut all = vec![Forgery::new(
            "a status list".to_owned(),
            Maker::Authority,
            text(&list.body),
        )];
        for (what, path) in [
            ("a head of the feed", "/api/v1/revocations/head"),
            ("a snapshot", "/api/v1/revocations/snapshot"),
        ] {
            let answer = admin.get(path);
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            let body = text(&answer.body);
            let statement = body
                .split('"')
                .find(|part| part.matches('.').count() == 2 && part.starts_with("eyJ"));
            let statement = statement.unwrap_or(&body).to_owned();
            all.push(Forgery::new(what.to_owned(), Maker::Authority, statement));
        }
        all
    }

    /// Has every forgery inspected, by one who may see the token and by a stranger: no forgery is active, and a stranger
    /// cannot tell a forgery from the token. The control: who may see the token is told that it is active.
    fn inspections(&self, forgeries: &[Forgery]) -> Vec<String> {
        const STRANGER: &str = "stranger@example.org";
        let account = json!({"email": STRANGER, "password": "a password of no meaning"});
        let made = self.server.administrator().post("/api/v1/users", account);
        assert_eq!(made.status, 201, "{made:?}");
        let mut stranger = self.server.client();
        let session = stranger.login(STRANGER, "a password of no meaning").unwrap();
        let mut stranger = stranger.with_token(&session);
        let mut inspector = self.server.client().with_token(&self.service);
        let inspect = |client: &mut Client, text: &str| {
            let answer = client.post("/api/v1/tokens/inspect", json!({"token": text}));
            let verdict = match answer.status {
                200 => answer.json()["verdict"].as_str().unwrap().to_owned(),
                _ => String::new(),
            };
            (answer, verdict)
        };
        assert_eq!(inspect(&mut inspector, &self.token).1, "active", "the control");
        let (secret, _) = inspect(&mut stranger, &self.token);
        assert_eq!(secret.status, 404, "{secret:?}");
        let mut found = Vec::new();
        for Forgery { what, text, .. } in forgeries {
            let Ok(text) = std::str::from_utf8(text) else {
                continue;
            };
            // Whitespace around a token is dropped, and an empty text is no token.
            if text.trim_ascii() == self.token || text.is_empty() {
                continue;
            }
            let (answer, verdict) = inspect(&mut inspector, text);
            if verdict == "active" || answer.status >= 500 {
                found.push(format!("{what} is inspected: {answer:?}"));
            }
            let (answer, verdict) = inspect(&mut stranger, text);
            let is_same = (answer.status, &answer.body) == (secret.status, &secret.body);
            // What the key set tells anybody: the checks of a text in which no token can be found.
            let is_of_text = answer.status == 200 && verdict != "active" && {
                let body = answer.json();
                let checks = body["checks"].as_array().unwrap();
                let about_records = ["record", "owner", "revocation", "cut_off", "schedule", "policy"];
                body["token_info"].is_null()
                    && !checks
                        .iter()
                        .any(|check| about_records.iter().any(|name| check["name"] == *name))
            };
            if !is_same && !is_of_text && answer.status != 422 && answer.status != 413 {
                found.push(format!("{what} is inspected by a stranger: {answer:?}"));
            }
        }
        found
    }

    /// Presents every forgery for revocation: all are answered alike, and the token lives on. The control: the token
    /// itself is revoked so.
    fn revocations(&self, forgeries: &[Forgery]) -> Vec<String> {
        let path = TokenPath {
            name: "revocation",
            peer: Peer::Tcp(self.server.address),
            request_line: "POST /oauth/revoke",
            headers: String::new(),
            carrier: Carrier::Form,
            shows: "",
        };
        let refusal = path.present(b"x").unwrap();
        let mut found = Vec::new();
        for Forgery { what, text, .. } in forgeries {
            let reply = path.present(text).unwrap();
            if visible(&reply) != visible(&refusal) && reply.status != 400 {
                found.push(format!(
                    "{what} is revoked with {:?} and not {:?}",
                    visible(&reply),
                    visible(&refusal)
                ));
            }
        }
        let mut client = self.server.administrator();
        if client.current(&self.token) != 200 {
            found.push("a forgery has revoked the token".to_owned());
        }
        let order = json!({"name": "ended", "organization": "default"});
        let ended = client.post("/api/v1/tokens", order).json()["token"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(client.current(&ended), 200);
        let reply = path.present(ended.as_bytes()).unwrap();
        assert_eq!(
            (visible(&reply), client.current(&ended)),
            (visible(&refusal), 401),
            "the control"
        );
        found
    }
}
