//! What a request leaves in the audit: its origin, and refusals that are counted.

use axum::http::Method;
use rusqlite::types::Value as Column;
use serde_json::json;

use jeton::authority::{Error, LostLine};

use crate::harness::{MANAGEMENT, NORTH, TestApp, request};

/// A token, its revocation and a change of a team say from where they were ordered.
#[tokio::test]
async fn each_record_has_the_origin_of_its_request() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let send = async |path: &str, body, id: &str| {
        let mut request = request(&admin, Method::POST, path, Some(body));
        let headers = request.headers_mut();
        headers.insert("x-request-id", id.parse().unwrap());
        headers.insert("x-user-email", " Ada@Example.org".parse().unwrap());
        app.send(request).await.is(201)
    };
    let body = json!({"name": "ci", "organization": NORTH.name});
    let made = send("/tokens", body, "first").await;
    let token = made.text_at("/token_info/id");
    send(
        &format!("/tokens/{token}/revoke"),
        json!({"reason": "a drill"}),
        "second",
    )
    .await;
    let teams = format!("/organizations/{}/teams", NORTH.name);
    send(&teams, json!({"name": "audited"}), "third").await;
    let db = app.db();
    for (query, id) in [
        ("FROM tokens ORDER BY id DESC", "first"),
        ("FROM revocations ORDER BY sequence DESC", "second"),
        ("FROM actions ORDER BY id DESC", "third"),
    ] {
        let query = format!("SELECT surface, length(address), request_id, on_behalf_of {query} LIMIT 1");
        let row = db.query_row(&query, (), |row| {
            Ok::<[Column; 4], _>([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        });
        let text = |text: &str| Column::Text(text.to_owned());
        let expected = [
            Column::Integer(1),
            Column::Integer(4),
            text(id),
            text("ada@example.org"),
        ];
        assert_eq!(row.unwrap(), expected, "{query}");
    }
    // What is no address is not recorded.
    let body = json!({"name": "cd", "organization": NORTH.name});
    let mut request = request(&admin, Method::POST, "/tokens", Some(body));
    request
        .headers_mut()
        .insert("x-user-email", "my secret password".parse().unwrap());
    app.send(request).await.is(201);
    let said: Option<String> = db
        .query_row(
            "SELECT on_behalf_of FROM tokens ORDER BY id DESC LIMIT 1",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(said, None);
}

/// Refusals of those who administer something are one action for each of them; those of other tokens are none.
#[tokio::test]
async fn what_administrators_were_refused_is_counted() {
    let app = TestApp::new().await;
    let session = app.member_of(&NORTH);
    let managing = app.organization_token(&NORTH, &["tokens:read"]).await;
    let plain = app.organization_token(&NORTH, &["projects:read"]).await;
    let organization = format!("/organizations/{}", NORTH.name);
    for _ in 0..3 {
        app.patch(&session, &organization, json!({"email": "x@example.org"}))
            .await
            .is(403);
    }
    app.get(&managing.holder, &organization).await.is(403);
    app.get(&plain.holder, &organization).await.is(403);
    assert!(MANAGEMENT.contains(&"tokens:read"), "the control");
    app.operator().write_failures().await.unwrap();
    let db = app.db();
    let mut query = db
        .prepare(
            "SELECT target, json_extract(after, '$.count'), json_extract(after, '$.operations') FROM actions
             WHERE action = 'request.refused' ORDER BY 2",
        )
        .unwrap();
    let refused: Vec<(String, i64, String)> = query
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let path = "/api/v1/organizations/{organization}";
    let expected = [
        (
            format!("token {}", managing.id),
            1,
            json!({ format!("GET {path}"): 1 }).to_string(),
        ),
        (
            NORTH.email("member"),
            3,
            json!({ format!("PATCH {path}"): 3 }).to_string(),
        ),
    ];
    assert_eq!(refused, expected);
}

/// Logins that are refused since too many have failed are counted too.
#[tokio::test]
async fn attempts_to_log_in_are_counted_when_they_are_refused_unread() {
    let app = TestApp::new().await;
    let email = NORTH.email("member");
    let mut attempts = 0;
    loop {
        attempts += 1;
        let refused = app.log_in(&email, "a wrong password").await;
        if refused.status == 429 {
            break;
        }
        refused.is(401);
        assert!(attempts < 100);
    }
    app.operator().write_failures().await.unwrap();
    let counted: i64 = app
        .db()
        .query_row(
            "SELECT sum(json_extract(after, '$.count')) FROM actions WHERE action = 'login.failed'",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(counted, attempts);
}

/// A server signs no end of a chain that lacks what it has signed.
#[tokio::test]
async fn a_history_that_was_replaced_while_the_server_runs_is_not_signed() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let seal = async |name: &str| {
        let body = json!({"name": name, "organization": NORTH.name});
        app.post(&admin, "/tokens", body).await.is(201);
        while app.operator().seal_audit().await.unwrap() {}
        app.operator().sign_checkpoint().await
    };
    seal("first").await.unwrap().unwrap();
    let signed = seal("second").await.unwrap().unwrap().head;
    let db = app.db();
    db.execute_batch("DROP TRIGGER audit_is_not_rewritten").unwrap();
    db.execute(
        "UPDATE audit SET hash = randomblob(32) WHERE sequence = ?1",
        [i64::try_from(signed.sequence).unwrap()],
    )
    .unwrap();
    let refused = seal("third").await.unwrap_err();
    assert!(matches!(refused, Error::LostLine(LostLine::Ahead)), "{refused}");
}
