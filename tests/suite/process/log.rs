//! The server's log: who changed what, and nothing that did not happen.

use axum::http::StatusCode;
use serde_json::json;

use super::home::{Home, SOON, eventually};

#[test]
fn changes_by_administrators_are_logged_once_committed() {
    let home = Home::new();
    let server = home.serve();
    let mut client = server.administrator();
    let person = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    client
        .post("/api/v1/users", person.clone())
        .expect(StatusCode::CREATED);
    let again = client
        .post("/api/v1/users", person)
        .expect(StatusCode::CONFLICT)
        .json();
    assert_eq!(again["detail"], "This e-mail address belongs to another user.");
    let role = Some(json!({"role": "viewer"}).to_string());
    let path = "/api/v1/organizations/default/members/ada@example.com";
    let given = client.ask("PUT", path, role).unwrap();
    given.expect(StatusCode::NO_CONTENT);
    let order = json!({"name": "ci", "organization": "default"});
    let made = client
        .post("/api/v1/tokens", order)
        .expect(StatusCode::CREATED)
        .json();
    let path = format!("/api/v1/tokens/{}", made["token_info"]["id"].as_str().unwrap());
    client
        .post(&format!("{path}/revoke"), json!({}))
        .expect(StatusCode::CREATED);
    client
        .post(&format!("{path}/rotate"), json!({}))
        .expect(StatusCode::CONFLICT);
    let policy = json!({"policy": {"max_lifetime": "30d", "allowed_scopes": ["projects:read"]}}).to_string();
    let changed = client
        .ask("PATCH", "/api/v1/organizations/default", Some(policy))
        .unwrap();
    changed.expect(StatusCode::OK);
    let said = eventually(SOON, || {
        let said = server.stderr();
        said.contains("organization updated").then_some(said)
    })
    .unwrap();
    let about = |what: &str| {
        said.lines()
            .filter(|line| line.contains(what))
            .collect::<Vec<_>>()
    };
    for what in ["user created", "organization role set"] {
        let [line] = about(what)[..] else {
            panic!("{what}: {said}");
        };
        assert!(line.contains("INFO"), "{line}");
        assert!(line.contains("by=\"admin@example.org\""), "{line}");
        assert!(line.contains("person=ada@example.com"), "{line}");
    }
    let [line] = about("organization updated")[..] else {
        panic!("{said}");
    };
    assert!(
        line.contains("policy=max_lifetime=30d allowed_scopes=projects:read"),
        "{line}"
    );
    // No line shows how a value is written in Rust.
    for debug in ["Some(", "None", " { "] {
        assert_eq!(about(debug).len(), 0, "{said}");
    }
    assert_eq!(about("token revoked").len(), 1, "{said}");
    assert_eq!(about("rotated").len(), 0, "{said}");
    assert!(!said.contains("battery"), "{said}");
}
