//! The revocation feed of a server that is killed again and again: every reader gets every revocation once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jeton_verifier::event::{BEFORE_ALL, Ends, Entry};
use jeton_verifier::feed::{Item, Page};
use serde_json::{Value, json};

use super::client::Client;
use super::home::{Home, SOON, Server, eventually};

const REVOKERS: usize = 8;
const EACH: usize = 40;
const KILLS: usize = 6;

/// Sends a request until it is answered, across restarts at the same address.
fn ask(address: SocketAddr, token: &str, method: &str, path: &str) -> Value {
    let answered = eventually(SOON * 2, || {
        let mut client = Client::new(address).with_token(token);
        let body = (method == "POST").then(|| "{}".to_owned());
        let answer = client.ask(method, path, body).ok()?;
        // Revoking is the same however often it is repeated; a server that starts is not ready at once.
        (answer.status < 300).then(|| answer.json())
    });
    answered.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Reads the feed in pages of this size until it has a number of events.
fn read(address: SocketAddr, token: &str, limit: usize, events: usize) -> Vec<Item> {
    let (mut items, mut after) = (Vec::new(), String::new());
    while items.len() < events {
        let page = ask(
            address,
            token,
            "GET",
            &format!("/api/v1/revocations?limit={limit}{after}"),
        );
        let page: Page = serde_json::from_value(page).unwrap();
        assert!(page.items.len() <= limit);
        assert!(
            page.items.len() < limit || page.head.is_none(),
            "a full page never changes"
        );
        items.extend(page.items);
        after = format!("&after={}", page.next_cursor);
    }
    items
}

/// Revokers and readers go on while the process is killed. In the end, all readers have the same events: those of all
/// acknowledged revocations, once, without a gap, and chained.
#[test]
fn readers_of_a_killed_server_get_every_revocation_once() {
    let home = Home::new();
    let server = home.serve();
    let address = server.address;
    let mut administrator = server.administrator();
    let session = administrator
        .login(super::home::EMAIL, super::home::PASSWORD)
        .unwrap();
    let order = json!({"name": "reads", "owner": "deployment", "scopes": ["revocations:read"]});
    let reader = administrator.post("/api/v1/tokens", order).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let order = json!({"name": "n", "organization": "default", "owner": "organization"});
    let mut issue = || administrator.post("/api/v1/tokens", order.clone()).json();
    let ids: Vec<String> = (0..REVOKERS * EACH)
        .map(|_| issue()["token_info"]["id"].as_str().unwrap().to_owned())
        .collect();
    let server = Mutex::new(Some(server));
    let is_over = AtomicBool::new(false);
    let read_by_all = thread::scope(|scope| {
        let readers = [1, 7, 500].map(|limit| {
            let reader = &reader;
            scope.spawn(move || read(address, reader, limit, REVOKERS * EACH))
        });
        let revokers: Vec<_> = ids
            .chunks(EACH)
            .map(|ids| {
                let session = &session;
                scope.spawn(move || {
                    for id in ids {
                        let path = format!("/api/v1/tokens/{id}/revoke");
                        let revoked = ask(address, session, "POST", &path);
                        assert!(revoked["revocation_cursor"].is_string());
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            for _ in 0..KILLS {
                thread::park_timeout(Duration::from_millis(250));
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let mut server = server.lock().unwrap();
                server.as_mut().unwrap().kill();
                *server = None;
                *server = Some(start_again(&home, address));
            }
        });
        for revoker in revokers {
            revoker.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().unwrap())
    });
    let [ones, sevens, all] = read_by_all;
    assert_eq!(ones, all);
    assert_eq!(sevens, all);
    let mut hash = BEFORE_ALL;
    let mut revoked = BTreeSet::new();
    for (number, item) in (1..).zip(&all) {
        let entry = Entry::from(item.clone());
        assert_eq!(
            (entry.event.sequence, entry.event.hash(&hash)),
            (number, entry.hash)
        );
        hash = entry.hash;
        let Ends::Token(token) = entry.event.ends else {
            panic!("{item:?}");
        };
        assert!(revoked.insert(token.id.to_string()), "twice: {item:?}");
    }
    assert_eq!(revoked, ids.into_iter().collect());
}

fn start_again(home: &Home, address: SocketAddr) -> Server {
    let mut command = home.command(["serve", "--listen", &address.to_string()]);
    command.env("RUST_LOG", "warn");
    home.start(command)
}

/// What a command writes beside the server is in the feed within a quarter of a second, and a little for the machine.
#[test]
fn a_revocation_by_another_process_reaches_the_feed() {
    let home = Home::new();
    let server = home.serve();
    let mut administrator = server.administrator();
    let order = json!({"name": "reads", "owner": "deployment", "scopes": ["revocations:read"]});
    let reader = administrator.post("/api/v1/tokens", order).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let keys = administrator.get("/.well-known/jwks.json").json();
    let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
    // The reader's token is signed by the key that is withdrawn: the administrator's session reads on, no longer than it.
    let begun = Instant::now();
    let withdrawn = home.run(&["keys", "revoke", &kid]);
    assert_eq!(withdrawn.code, Some(0), "{withdrawn:?}");
    let took = begun.elapsed();
    let ended = eventually(Duration::from_secs(5), || {
        let mut client = Client::new(server.address).with_token(&reader);
        let answer = client.ask("GET", "/api/v1/revocations/head", None).unwrap();
        (answer.status == 401).then(|| begun.elapsed())
    });
    let ended = ended.unwrap_or_else(|| panic!("the server has not learned that its key was withdrawn"));
    assert!(ended < took + Duration::from_secs(2), "{ended:?}");
    let reader = server.administrator().post(
        "/api/v1/tokens",
        json!({"name": "reads", "owner": "deployment", "scopes": ["revocations:read"]}),
    );
    let reader = reader.json()["token"].as_str().unwrap().to_owned();
    let page = ask(server.address, &reader, "GET", "/api/v1/revocations");
    assert_eq!(page["items"][0]["kind"], "cut_off");
    assert_eq!(page["items"][0]["kid"], kid);
}
