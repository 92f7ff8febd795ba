//! The revocation feed of two servers, of which one is killed again and again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jeton_verifier::event::{BEFORE_ALL, Ends, Entry};
use jeton_verifier::feed::{Item, Page};
use serde_json::{Value, json};

use super::super::client::Client;
use super::super::home::{Home, SOON, Server, eventually};
use super::super::two_nodes::{id, issue, text};
use super::{Database, Until};

const REVOKERS: usize = 16;

/// How many tokens each revokes, and how often a server is killed.
fn size() -> (usize, usize) {
    match std::env::var("EFFORT").as_deref() {
        Ok("all") => (200, 12),
        _ => (40, 4),
    }
}

/// Sends a request until it is answered, across restarts at the same address.
fn ask(address: SocketAddr, token: &str, method: &str, path: &str) -> Value {
    let answered = eventually(SOON * 2, || {
        let mut client = Client::new(address).with_token(token);
        let body = (method == "POST").then(|| "{}".to_owned());
        let answer = client.ask(method, path, body).ok()?;
        (answer.status < 300).then(|| answer.json())
    });
    answered.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Reads the whole feed.
fn read(address: SocketAddr, token: &str) -> Vec<Item> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/revocations?limit=100{after}");
        let page: Page = serde_json::from_value(ask(address, token, "GET", &path)).unwrap();
        after = format!("&after={}", page.next_cursor);
        let is_last = page.items.len() < 100;
        items.extend(page.items);
        if is_last {
            return items;
        }
    }
}

/// Returns the ids of the tokens that a feed revokes, if its events are numbered without a gap, and each has the hash of
/// the one before, and no token is revoked twice.
fn chained(items: &[Item]) -> Result<BTreeSet<String>, String> {
    let mut hash = BEFORE_ALL;
    let mut revoked = BTreeSet::new();
    for (number, item) in (1..).zip(items) {
        let entry = Entry::from(item.clone());
        if entry.event.sequence != number || entry.event.hash(&hash) != entry.hash {
            return Err(format!("event {number} does not follow the one before: {item:?}"));
        }
        hash = entry.hash;
        let Ends::Token(token) = entry.event.ends else {
            return Err(format!("{item:?}"));
        };
        if !revoked.insert(token.id.to_string()) {
            return Err(format!("twice: {item:?}"));
        }
    }
    Ok(revoked)
}

fn start_again(home: &Home, address: SocketAddr) -> Server {
    home.start(home.command(["serve", "--listen", &address.to_string()]))
}

/// Control: without one of its events, or with two exchanged, the same feed is refused. It could pass wrongly if the server
/// were killed when nothing waits: sixteen clients wait for it all the time.
#[test]
#[ignore = "make cluster"]
fn the_feed_of_two_servers_has_every_revocation_once_and_is_chained() {
    let database = Database::new();
    let kept = database.machine(&[database.host()], &[]).serve();
    let home = database.machine(&[database.host()], &[]);
    let killed = home.serve();
    let addresses = [kept.address, killed.address];
    let mut admin = kept.administrator();
    let session = admin.token().to_owned();
    let body = json!({"name": "reads", "owner": "deployment", "scopes": ["revocations:read"]});
    let reader = text(&admin.post("/api/v1/tokens", body).json(), "token");
    let (each, kills) = size();
    let ids: Vec<String> = (0..REVOKERS * each).map(|_| id(&issue(&mut admin))).collect();
    let (is_over, killed) = (AtomicBool::new(false), Mutex::new(Some(killed)));
    thread::scope(|scope| {
        let _until = Until(&is_over);
        let revokers: Vec<_> = ids
            .chunks(each)
            .enumerate()
            .map(|(number, ids)| {
                let session = &session;
                scope.spawn(move || {
                    for id in ids {
                        let path = format!("/api/v1/tokens/{id}/revoke");
                        let revoked = ask(addresses[number % 2], session, "POST", &path);
                        assert!(revoked["revocation_cursor"].is_string());
                    }
                })
            })
            .collect();
        let killing = scope.spawn(|| {
            let mut count = 0;
            while count < kills && !is_over.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(250));
                let mut killed = killed.lock().unwrap();
                killed.as_mut().unwrap().kill();
                *killed = None;
                *killed = Some(start_again(&home, addresses[1]));
                count += 1;
            }
            count
        });
        for revoker in revokers {
            revoker.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        let count = killing.join().unwrap();
        println!("{} revocations, {count} kills", ids.len());
        assert!(count > 1, "all was revoked before the second kill");
    });
    let feeds = addresses.map(|address| read(address, &reader));
    assert_eq!(feeds[0], feeds[1]);
    let [mut feed, _] = feeds;
    assert_eq!(chained(&feed).unwrap(), ids.into_iter().collect());
    feed.swap(10, 11);
    chained(&feed).unwrap_err();
    feed.swap(10, 11);
    feed.remove(10);
    chained(&feed).unwrap_err();
}
