//! What a request leaves in the audit: its origin, and refusals that are counted.

use axum::http::Method;
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
    for (query, id) in [
        ("FROM tokens ORDER BY id DESC", "first"),
        ("FROM revocations ORDER BY sequence DESC", "second"),
        ("FROM actions ORDER BY id DESC", "third"),
    ] {
        let query = format!("SELECT surface, length(address), request_id, on_behalf_of {query} LIMIT 1");
        let expected = ["1", "4", id, "ada@example.org"].map(|text| Some(text.to_owned()));
        assert_eq!(app.db_rows(&query), [expected], "{query}");
    }
    // What is no address is not recorded.
    let body = json!({"name": "cd", "organization": NORTH.name});
    let mut request = request(&admin, Method::POST, "/tokens", Some(body));
    request
        .headers_mut()
        .insert("x-user-email", "my secret password".parse().unwrap());
    app.send(request).await.is(201);
    let said = app.db_rows("SELECT on_behalf_of FROM tokens ORDER BY id DESC LIMIT 1");
    assert_eq!(said, [[None]]);
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
    let query =
        "SELECT target, {count}, {operations} FROM actions WHERE action = 'request.refused' ORDER BY 2";
    let refused = app.db_rows_in(
        &query
            .replace("{count}", "json_extract(after, '$.count')")
            .replace("{operations}", "json_extract(after, '$.operations')"),
        &query
            .replace("{count}", "after::jsonb ->> 'count'")
            .replace("{operations}", "after::json ->> 'operations'"),
    );
    let path = "/api/v1/organizations/{organization}";
    let row = |target: String, count: &str, operation: String| {
        let operations = json!({ operation: count.parse::<u64>().unwrap() });
        [target, count.to_owned(), operations.to_string()].map(Some)
    };
    let expected = [
        row(format!("token {}", managing.id), "1", format!("GET {path}")),
        row(NORTH.email("member"), "3", format!("PATCH {path}")),
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
    let query = "SELECT sum({count}) FROM actions WHERE action = 'login.failed'";
    let counted = app.db_count_in(
        &query.replace("{count}", "json_extract(after, '$.count')"),
        &query.replace("{count}", "(after::jsonb ->> 'count')::bigint"),
    );
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
    let update = format!(
        "UPDATE audit SET hash = {{hash}} WHERE sequence = {}",
        signed.sequence
    );
    let sqlite = update.replace("{hash}", "randomblob(32)");
    let postgres = update.replace("{hash}", "decode(repeat('5a', 32), 'hex')");
    let changed = app.db_change_in(
        &format!("DROP TRIGGER audit_is_not_rewritten; {sqlite}"),
        &format!("ALTER TABLE audit DISABLE TRIGGER USER; {postgres}"),
    );
    assert_eq!(changed, 1);
    let refused = seal("third").await.unwrap_err();
    assert!(matches!(refused, Error::LostLine(LostLine::Ahead)), "{refused}");
}
