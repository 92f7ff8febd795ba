//! The process is killed at, or fails at, each sync in turn: everything acknowledged before is durable.

use super::super::client::{Answer, Client};
use super::super::home::{EMAIL, Home, PASSWORD, SOON};
use super::{Disk, Fault, JOURNAL, Token, WAL, assert_active, assert_unavailable, epoch};

/// What a client knows of a token whose creation was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Active,
    Revoked,
    /// The revocation was refused or not answered.
    Unknown,
}

/// More syncs of a file than the script makes.
const MOST: usize = 20;

/// More writes of a file than the script makes.
const MOST_WRITES: usize = 400;

#[test]
fn acknowledged_orders_survive_a_fault_at_any_sync() {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let session = server.client().login(EMAIL, PASSWORD).unwrap();
    let epoch_before = epoch(&home);
    let mut tokens = Vec::new();
    for fault in [Fault::Broken, Fault::KilledBefore, Fault::KilledAfter] {
        for (end, least) in [(WAL, 5), (JOURNAL, 2)] {
            let mut struck = 0;
            for nth in 1..MOST {
                disk.plan_nth(fault, end, nth);
                let outcome = script(&mut server.client().with_token(&session), &mut tokens);
                if disk.heal(fault, end) < nth {
                    assert_eq!(outcome, Ok(()));
                    server.kill();
                } else {
                    struck = nth;
                    assert_eq!(
                        server.ended(SOON).and_then(|status| status.code()),
                        exit_code(fault)
                    );
                }
                server = disk.serve(&home);
                read_back(&mut server.client().with_token(&session), &mut tokens);
                if struck < nth {
                    break;
                }
            }
            assert!((least..MOST - 1).contains(&struck), "{fault:?} {end}: {struck}");
        }
    }
    assert_eq!(epoch(&home), epoch_before, "it was taken for an older copy");
}

/// The disk is full from each write on in turn, and has room again: nothing else is refused, and no restart is needed.
#[test]
fn acknowledged_orders_survive_a_disk_that_is_full_from_any_write_on() {
    let home = Home::new();
    let disk = Disk::new();
    let mut server = disk.serve(&home);
    let session = server.client().login(EMAIL, PASSWORD).unwrap();
    let epoch_before = epoch(&home);
    let mut tokens = Vec::new();
    for (end, least) in [(WAL, 10), (JOURNAL, 2)] {
        let mut client = server.client().with_token(&session);
        let mut struck = 0;
        for nth in 1..MOST_WRITES {
            disk.plan_nth(Fault::Full, end, nth);
            let outcome = script(&mut client, &mut tokens);
            let calls = disk.heal(Fault::Full, end);
            read_back(&mut client, &mut tokens);
            if calls < nth {
                assert_eq!(outcome, Ok(()));
                break;
            }
            assert_eq!(outcome, Err(Struck), "{end}: write {nth}, of {calls}");
            struck = nth;
        }
        assert!((least..MOST_WRITES - 1).contains(&struck), "{end}: {struck}");
        server.kill();
        server = disk.serve(&home);
        read_back(&mut server.client().with_token(&session), &mut tokens);
    }
    assert_eq!(epoch(&home), epoch_before, "it was taken for an older copy");
}

fn exit_code(fault: Fault) -> Option<i32> {
    match fault {
        Fault::Broken => Some(1),
        // Ended by a signal.
        Fault::Full | Fault::Stuck | Fault::KilledBefore | Fault::KilledAfter => None,
    }
}

/// An order was refused or not answered.
#[derive(Debug, PartialEq, Eq)]
struct Struck;

/// Issues and revokes tokens until an order is not acknowledged.
fn script(client: &mut Client, tokens: &mut Vec<(Token, Known)>) -> Result<(), Struck> {
    for _ in 0..2 {
        for _ in 0..2 {
            let order = r#"{"name": "one of many", "organization": "default"}"#;
            let issued = acknowledged(client, "/api/v1/tokens", order)?;
            tokens.push((Token::of(issued), Known::Active));
        }
        let (token, known) = tokens.last_mut().unwrap();
        *known = Known::Unknown;
        acknowledged(client, &format!("/api/v1/tokens/{}/revoke", token.id), "{}")?;
        *known = Known::Revoked;
    }
    Ok(())
}

fn acknowledged(client: &mut Client, path: &str, order: &str) -> Result<Answer, Struck> {
    match client.ask("POST", path, Some(order.to_owned())) {
        Ok(answer) if answer.status == 201 => Ok(answer),
        Ok(answer) => {
            assert_unavailable(&answer);
            Err(Struck)
        }
        Err(_) => Err(Struck),
    }
}

/// Checks every token against what is known, and records unknown outcomes.
fn read_back(client: &mut Client, tokens: &mut [(Token, Known)]) {
    for (token, known) in tokens {
        if *known == Known::Unknown {
            *known = match client.current(&token.secret) {
                200 => Known::Active,
                _ => Known::Revoked,
            };
        }
        assert_active(client, token, *known == Known::Active);
    }
}
