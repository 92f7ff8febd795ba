//! The APIs of other systems: a module per dialect, and here the requirements common to all.

mod bad_input;
mod cave;
mod consent;
mod deletes;
mod faults;
mod long_lists;
mod names;
mod quant;
mod quotas;
mod terraform;

use axum::body::Body;
use axum::http::{Method, Request};
use jeton::http::Document;
use serde_json::{Value, json};

use crate::api::dialects::bad_input::Row;
use crate::harness::{Actor, Answer, NORTH, TestApp, password};

/// All dialects.
const SURFACES: [&Surface; 3] = [&cave::SURFACE, &terraform::SURFACE, &quant::SURFACE];

/// A dialect and the behaviour required of it.
pub(super) struct Surface {
    document: Document,
    /// The media type of requests and responses.
    media_type: &'static str,
    /// Whether an error has this dialect's format.
    is_own_form: fn(&Answer) -> bool,
    /// A path below the dialect's that does not exist.
    nowhere: &'static str,
    refusals: Refusals,
    rows: &'static [Row],
}

/// The statuses of failures that are the same for all operations.
pub(super) struct Refusals {
    no_credential: u16,
    /// For a text that is not a token, an expired and a revoked token.
    bad_credential: u16,
    /// For an unknown id, or an id of another organization.
    absent: u16,
    no_method: u16,
    /// For a body that is not JSON.
    malformed: u16,
    /// For JSON that is not an object.
    no_object: u16,
    /// For a body of another media type.
    media_type: u16,
    /// For a field that is missing, of the wrong type, or too long.
    invalid: u16,
}

impl Surface {
    /// Returns a request as this dialect's clients send it. The path is used unchanged.
    pub(super) fn request(
        &self,
        actor: &Actor,
        method: Method,
        path: &str,
        body: impl Into<Body>,
    ) -> Request<Body> {
        let mut request = Request::builder().uri(path).header("accept", self.media_type);
        if method != Method::GET {
            request = request.header("content-type", self.media_type);
        }
        if let Some(credential) = actor.authorization() {
            request = request.header("authorization", credential);
        }
        request.method(method).body(body.into()).unwrap()
    }

    pub(super) async fn get(&self, app: &TestApp, actor: &Actor, path: &str) -> Answer {
        let request = self.request(actor, Method::GET, path, Body::empty());
        app.send(request).await
    }

    pub(super) async fn post(&self, app: &TestApp, actor: &Actor, path: &str, body: Value) -> Answer {
        let request = self.request(actor, Method::POST, path, body.to_string());
        app.send(request).await
    }

    pub(super) async fn patch(&self, app: &TestApp, actor: &Actor, path: &str, body: Value) -> Answer {
        let request = self.request(actor, Method::PATCH, path, body.to_string());
        app.send(request).await
    }

    pub(super) async fn delete(&self, app: &TestApp, actor: &Actor, path: &str) -> Answer {
        let request = self.request(actor, Method::DELETE, path, Body::empty());
        app.send(request).await
    }

    /// Returns whether an error has the format of this dialect and of no other.
    fn says(&self, answer: &Answer) -> bool {
        let others = SURFACES.iter().filter(|other| other.document != self.document);
        (self.is_own_form)(answer)
            && !is_native_form(answer)
            && !others.into_iter().any(|other| (other.is_own_form)(answer))
    }
}

/// Returns whether an error has the format of the native API or of OAuth.
fn is_native_form(answer: &Answer) -> bool {
    serde_json::from_str::<Value>(&answer.text)
        .is_ok_and(|body| !body["detail"].is_null() || body["error"].is_string())
}

#[tokio::test]
async fn one_session_works_on_every_surface() {
    let app = TestApp::new().await;
    let email = NORTH.email("admin");
    let session = app.log_in(&email, &password(&email)).await.is(200);
    let session = Actor::holding(&session.text_at("/token"));
    let sessions = SURFACES.iter().filter_map(|surface| {
        let path = surface.rows.iter().find_map(Row::readable_by_members)?;
        Some((surface, path))
    });
    let sessions: Vec<_> = sessions.collect();
    app.get(&session, "/me").await.is(200);
    for (surface, path) in &sessions {
        surface.get(&app, &session, path).await.is(200);
    }
    app.post(&session, "/logout", json!({})).await.is(204);
    for (surface, path) in &sessions {
        let refused = surface.get(&app, &session, path).await;
        assert_eq!(refused.status, surface.refusals.bad_credential, "{path}");
    }
}

#[test]
fn no_error_is_in_two_forms() {
    let answer = |media_type: &str, text: &str| {
        let mut headers = axum::http::HeaderMap::new();
        if !media_type.is_empty() {
            headers.insert("content-type", media_type.parse().unwrap());
        }
        let text = text.to_owned();
        Answer {
            status: 404,
            headers,
            text,
        }
    };
    let json = "application/json";
    let forms = [
        ("", "", Some(Document::Cave)),
        (
            "text/plain; charset=utf-8",
            "Too many tokens for team.",
            Some(Document::Cave),
        ),
        (
            "application/vnd.api+json",
            r#"{"errors":[{"status":"404","title":"not found"}]}"#,
            Some(Document::Terraform),
        ),
        (
            json,
            r#"{"message":"not found","error":true}"#,
            Some(Document::Quant),
        ),
        (json, r#"{"detail":"not found","code":"not_found"}"#, None),
        (
            json,
            r#"{"error":"invalid_request","error_description":"x"}"#,
            None,
        ),
        (json, r#"{"errors":[{"status":"404","title":"not found"}]}"#, None),
        ("application/vnd.api+json", r#"{"errors":[{"status":404}]}"#, None),
        (json, r#"{"message":"not found"}"#, None),
        ("text/html", "<h1>not found</h1>", None),
    ];
    for (media_type, text, document) in forms {
        let answer = answer(media_type, text);
        for surface in SURFACES {
            assert_eq!(
                surface.says(&answer),
                document == Some(surface.document),
                "{text} as {:?}",
                surface.document
            );
        }
    }
}
