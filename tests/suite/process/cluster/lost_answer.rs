//! A commit whose answer is lost between the server and PostgreSQL: the client is told that the outcome is unknown, and
//! finds it out.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::client::Client;
use super::super::home::Server;
use super::super::two_nodes::{id, issue, text, waits_for};
use super::Database;
use super::proxy::{Cut, Proxy};

fn order(name: &str) -> Value {
    json!({"name": name, "owner": "deployment", "scopes": ["revocations:read"]})
}

/// Returns how many tokens have a name.
fn named(client: &mut Client, name: &str) -> usize {
    let listed = client.get(&format!("/api/v1/tokens?q={name}"));
    listed.expect(StatusCode::OK).json()["items"]
        .as_array()
        .unwrap()
        .len()
}

/// Sends a request whose commit is cut.
#[track_caller]
fn unknown(proxy: &Proxy, cut: Cut, mark: &str, mut request: impl FnMut() -> (u16, Value)) {
    proxy.cut(cut, mark);
    let (status, body) = request();
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")), "{body}");
    proxy.has_cut();
}

fn with_key(server: &Server, session: &str, key: &str) -> Client {
    let client = server.client().with_token(session);
    client.with_header("idempotency-key", key)
}

/// Control: a commit that is cut before it reaches PostgreSQL is undone, and the same retry is carried out. It could pass
/// wrongly if the answer of another transaction were cut: the text that marks it is in this one alone.
#[test]
fn a_commit_whose_answer_is_lost_is_503_and_its_retry_says_what_became_of_it() {
    let database = Database::new();
    let proxy = database.proxy();
    let server = database.machine(&[proxy.host()], &[]).serve();
    let mut admin = server.administrator();
    let session = admin.token().to_owned();
    for (cut, is_committed) in [(Cut::AfterCommit, true), (Cut::BeforeCommit, false)] {
        let suffix = format!("{}", u8::from(is_committed));
        let post = |client: &mut Client, name: &str| {
            let answer = client.post("/api/v1/tokens", order(name));
            (answer.status, answer.json())
        };
        // Alone, in the statement that is shared by all tokens that wait.
        let name = format!("batched-{suffix}");
        unknown(&proxy, cut, &name, || post(&mut admin, &name));
        assert_eq!(named(&mut admin, &name), usize::from(is_committed));
        // With a key, by the writer.
        let name = format!("keyed-{suffix}");
        let mut keyed = with_key(&server, &session, &name);
        unknown(&proxy, cut, &name, || post(&mut keyed, &name));
        assert_eq!(named(&mut admin, &name), usize::from(is_committed));
        let (status, body) = post(&mut keyed, &name);
        match is_committed {
            true => {
                assert_eq!((status, &body["code"]), (409, &json!("already_done")), "{body}");
                assert_eq!(body["done"]["token_info"]["name"], name);
            }
            false => assert_eq!(status, 201, "{body}"),
        }
        assert_eq!(named(&mut admin, &name), 1);
        // A revocation holds at once, or not at all, and can be repeated.
        let issued = issue(&mut admin);
        let path = format!("/api/v1/tokens/{}/revoke", id(&issued));
        let reason = format!("revoked-{suffix}");
        unknown(&proxy, cut, &reason, || {
            let answer = admin.post(&path, json!({"reason": reason}));
            (answer.status, answer.json())
        });
        let expected = if is_committed { 401 } else { 200 };
        waits_for(&expected, || admin.checked(&text(&issued, "token")));
        let again = admin
            .post(&path, json!({"reason": "again"}))
            .expect(StatusCode::CREATED);
        let kept = if is_committed { reason.as_str() } else { "again" };
        assert_eq!(again.json()["revocation_reason"], kept);
        assert_eq!(admin.checked(&text(&issued, "token")), 401);
    }
}
