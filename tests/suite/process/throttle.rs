//! Password guessing over HTTP.

use axum::http::StatusCode;
use serde_json::json;

use super::client::{Answer, Client};
use super::home::{EMAIL, Home, PASSWORD, SOON, eventually};

const FREE_FAILURES: usize = 5;

/// Guesses until the delay is long enough for the rest of the test, and returns the response to the
/// locked-out client.
fn locked_out(mut client: Client, spellings: &[&str]) -> Box<Answer> {
    for spelling in spellings.iter().cycle().take(FREE_FAILURES) {
        let answer = client.login(spelling, "a wrong guess").unwrap_err();
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.json()["code"], "login_failed");
    }
    eventually(SOON, || {
        long_wait(client.login(spellings[0], "a wrong guess").unwrap_err())
    })
    .unwrap()
}

fn long_wait(answer: Box<Answer>) -> Option<Box<Answer>> {
    (answer.status == 429 && answer.header("retry-after") != "1").then_some(answer)
}

#[track_caller]
fn assert_throttled(answer: &Answer) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.json()["code"], "login_throttled");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
}

#[test]
fn guesses_are_delayed_until_the_wait_ends() {
    let server = Home::new().serve();
    assert_throttled(&locked_out(server.client(), &[EMAIL]));
    // The right password is delayed as well, or it could be told apart; but not for long.
    let mut client = server.client();
    assert_throttled(&client.login(EMAIL, PASSWORD).unwrap_err());
    assert!(eventually(SOON, || client.login(EMAIL, PASSWORD).ok()).is_some());
}

#[test]
fn an_unknown_account_is_answered_as_a_known_one() {
    let server = Home::new().serve();
    assert_throttled(&locked_out(server.client(), &["nobody@example.org"]));
}

#[test]
fn other_spellings_are_the_same_account() {
    let server = Home::new().serve();
    let spellings = [
        EMAIL,
        "Admin@Example.ORG",
        "ADMIN@EXAMPLE.ORG",
        "admin@EXAMPLE.org",
    ];
    assert_throttled(&locked_out(server.client(), &spellings));
    // Spaces do not make a different account with its own count.
    let mut client = server.client();
    for spelling in [" admin@example.org", "admin@example.org ", "\tadmin@example.org"] {
        let answer = client.login(spelling, PASSWORD);
        assert!(answer.is_err(), "{spelling:?} was let in beside the lock");
    }
}

#[test]
fn a_forged_address_does_not_help() {
    let server = Home::new().serve();
    let (mut number, mut judged) = (0, 0);
    let waiting = eventually(SOON, || {
        number += 1;
        let mut client = server
            .client()
            .with_header("x-forwarded-for", format!("192.0.2.{number}"));
        let answer = client.login(EMAIL, "a wrong guess").unwrap_err();
        judged += usize::from(answer.status == 401);
        long_wait(answer)
    });
    assert_throttled(&waiting.unwrap());
    // The account's own limit of fifty would have stopped many addresses too.
    assert!(judged < 20, "let {judged} guesses through");
}

#[test]
fn behind_a_configured_proxy_each_client_counts_for_itself_and_the_owner_gets_in() {
    let home = Home::new();
    home.configure("trusted_proxies = [\"127.0.0.0/8\"]\n");
    let server = home.serve();
    let from = |address: &str| server.client().with_header("x-forwarded-for", address.to_owned());
    from("198.51.100.7").login(EMAIL, PASSWORD).unwrap();
    assert_throttled(&locked_out(from("192.0.2.1"), &[EMAIL]));
    // An entry that the client wrote before the proxy's is not trusted.
    assert_throttled(
        &from("203.0.113.5, 192.0.2.1")
            .login(EMAIL, "a wrong guess")
            .unwrap_err(),
    );
    // Guesses from very many networks lock the account for other networks, and not for its owner.
    let mut network = 0;
    let locked = eventually(SOON, || {
        network += 1;
        let address = format!("2001:db8:0:{network:x}::1");
        long_wait(from(&address).login(EMAIL, "a wrong guess").unwrap_err())
    });
    assert!(locked.is_some() && network > 40, "after {network} networks");
    assert_throttled(&from("192.0.2.200").login(EMAIL, PASSWORD).unwrap_err());
    let session = from("198.51.100.7").login(EMAIL, PASSWORD).unwrap();
    let answer = from("198.51.100.7")
        .with_token(&session)
        .post("/api/v1/tokens", json!({"name": "n", "organization": "default"}));
    answer.expect(StatusCode::CREATED);
}

#[test]
fn a_restart_forgives() {
    let home = Home::new();
    let mut server = home.serve();
    assert_throttled(&locked_out(server.client(), &[EMAIL]));
    server.kill();
    server = home.serve();
    assert!(server.client().login(EMAIL, PASSWORD).is_ok());
}
