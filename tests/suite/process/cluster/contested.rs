//! A hundred requests at once at two servers, of which a number is carried out.

use std::sync::Barrier;
use std::thread;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::client::{Answer, Client};
use super::super::home::Server;
use super::super::two_nodes::{id, text};
use super::Database;

const CLIENTS: usize = 100;

/// Sends requests from many connections at once, at two servers in turn, and returns how many had each status.
fn at_once(
    servers: &[Server; 2],
    session: &str,
    request: impl Fn(&mut Client, usize) -> Answer + Sync,
) -> Vec<(u16, usize)> {
    let start = Barrier::new(CLIENTS);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (start, request) = (&start, &request);
                let mut client = servers[number % 2].client().with_token(session);
                scope.spawn(move || {
                    client.get("/healthz").expect(StatusCode::OK);
                    start.wait();
                    request(&mut client, number)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let mut counts: Vec<(u16, usize)> = Vec::new();
    for answer in answers {
        match counts.iter_mut().find(|(status, _)| *status == answer.status) {
            Some((_, count)) => *count += 1,
            None => counts.push((answer.status, 1)),
        }
    }
    counts.sort_unstable();
    counts
}

fn policy(client: &mut Client, policy: Value) {
    let body = json!({"policy": policy}).to_string();
    let path = "/api/v1/organizations/default";
    client
        .ask("PATCH", path, Some(body))
        .unwrap()
        .expect(StatusCode::OK);
}

fn create(client: &mut Client) -> Answer {
    let body = json!({"name": "n", "organization": "default", "owner": "organization"});
    client.post("/api/v1/tokens", body)
}

/// Control: without the limit, the policy and the same description, all of them are carried out. It could pass wrongly if
/// the requests came one after the other: they are sent at once on open connections to two servers.
#[test]
fn of_a_hundred_requests_at_two_servers_no_more_are_carried_out_than_may_be() {
    let database = Database::new();
    let servers = [(); 2].map(|()| database.machine(&[database.host()], &[]).serve());
    let mut admin = servers[0].administrator();
    let session = admin.token().to_owned();

    let created = at_once(&servers, &session, |client, _| create(client));
    assert_eq!(created, [(201, CLIENTS)], "without a limit");
    let limit = CLIENTS + 10;
    policy(&mut admin, json!({"max_active_tokens_per_owner": limit}));
    let created = at_once(&servers, &session, |client, _| create(client));
    assert_eq!(created, [(201, 10), (409, CLIENTS - 10)], "up to a limit");
    policy(&mut admin, json!({"max_active_tokens_per_owner": null}));

    let path = "/api/v1/organizations/default/teams";
    let team = admin
        .post(path, json!({"name": "named"}))
        .expect(StatusCode::CREATED);
    let path = format!("/api/v2/teams/{}/authentication-tokens", text(&team.json(), "id"));
    let named = |client: &mut Client, description: &str| {
        let attributes = json!({"description": description});
        let body = json!({"data": {"type": "authentication-tokens", "attributes": attributes}});
        let body = Some(body.to_string());
        client
            .send("POST", &path, body, "application/vnd.api+json")
            .unwrap()
    };
    let created = at_once(&servers, &session, |client, number| {
        named(client, &format!("n{number}"))
    });
    assert_eq!(created, [(201, CLIENTS)], "with names of their own");
    let created = at_once(&servers, &session, |client, _| named(client, "one"));
    assert_eq!(created, [(201, 1), (422, CLIENTS - 1)], "with one name");

    for (keeps, expected) in [
        (false, vec![(201, CLIENTS)]),
        (true, vec![(201, CLIENTS - 1), (409, 1)]),
    ] {
        let name = format!("keeps-{keeps}");
        let body = json!({"name": name, "policy": {"keep_last_token": keeps}});
        admin
            .post("/api/v1/organizations", body)
            .expect(StatusCode::CREATED);
        let body = json!({"name": "n", "organization": name, "owner": "organization", "scopes": []});
        let ids: Vec<String> = (0..CLIENTS)
            .map(|_| id(&admin.post("/api/v1/tokens", body.clone()).json()))
            .collect();
        let revoked = at_once(&servers, &session, |client, number| {
            client.post(&format!("/api/v1/tokens/{}/revoke", ids[number]), json!({}))
        });
        assert_eq!(revoked, expected, "keeping the last token: {keeps}");
    }
}
