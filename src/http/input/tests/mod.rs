//! Responses are compared with those of FastAPI 0.165 with pydantic 2.14 for an equal model.

mod bytes;
mod contract;
mod document;
mod lax;
mod together;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode};
use axum::routing::post;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use super::*;
use jeton_core::clock::Timestamp;

/// A token to be made.
#[derive(Debug, Form)]
#[expect(dead_code, reason = "read through Debug")]
#[form(body, name = "CreateToken")]
struct CreateTokenForm {
    #[form(length(min = 1, max = 255))]
    name: String,
    description: Option<String>,
    #[form(range(min = 1, max = 365))]
    expires_in_days: Option<i64>,
    expires_at: Option<Timestamp>,
    #[form(length(min = 1, max = 2))]
    scopes: Option<Vec<String>>,
    #[form(length(min = 1))]
    projects: Option<Vec<i64>>,
    owner: Option<uuid::Uuid>,
    #[form(nested)]
    policy: Option<Policy>,
}

/// A [`CreateTokenForm`] with the rules across fields checked.
#[derive(Debug)]
struct CreateToken {
    form: CreateTokenForm,
}

#[derive(Debug, Form)]
#[form(body)]
#[expect(dead_code, reason = "read through Debug")]
struct Policy {
    #[form(range(min = 1))]
    max_lifetime: i64,
}

#[derive(Debug, Form)]
#[expect(dead_code, reason = "read through Debug")]
#[form(query)]
struct ListTokens {
    #[form(default = false)]
    include_revoked: bool,
    #[form(default = 50, range(min = 1, max = 1000))]
    limit: i64,
    #[form(default = Direction::Next)]
    direction: Direction,
    #[form(default = Vec::new())]
    owners: Vec<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Next,
    Prev,
}

#[derive(Debug, Form)]
#[form(path)]
struct TokenPath {
    id: i64,
}

#[derive(Debug, Form)]
#[form(header)]
struct Business {
    #[form(range(min = 1))]
    x_business: Option<i64>,
}

#[derive(Debug, Form)]
#[form(body, presence = Optional)]
struct Revoke {
    reason: Option<String>,
}

#[derive(Debug, Form)]
#[form(body, unknown = Forbidden)]
struct BulkRevoke {
    organization: String,
    team: Option<String>,
}

#[derive(Debug, Form)]
#[form(body)]
struct Plain {
    password: String,
}

#[derive(Debug, Form)]
#[form(body, echo = Nothing)]
struct Secret {
    password: String,
}

#[derive(Debug, Form)]
#[form(body)]
struct UpdateToken {
    #[form(given)]
    name: Option<String>,
    #[form(length(max = 3))]
    description: Option<Option<String>>,
}

impl Request for CreateToken {
    type Form = CreateTokenForm;

    fn parse(form: CreateTokenForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        if form.expires_in_days.is_some() && form.expires_at.is_some() {
            return Err(fields.refuse("expires_at", "give at most one of expires_in_days and expires_at"));
        }
        if let Some(index) = form
            .scopes
            .iter()
            .flatten()
            .position(|scope| !scope.contains(':'))
        {
            return Err(fields.refuse_element("scopes", index, "no such scope"));
        }
        Ok(Self { form })
    }
}

impl Choice for Direction {
    const WORDS: &'static [(&'static str, Self)] = &[("next", Self::Next), ("prev", Self::Prev)];
}

async fn create(Input { body, .. }: Input<(), (), CreateToken>) -> String {
    format!("{:?}", body.form)
}

async fn everything(input: Input<TokenPath, ListTokens, CreateToken, Business>) -> String {
    let Input {
        path, query, headers, ..
    } = input;
    format!("{} {query:?} {:?}", path.id, headers.x_business)
}

async fn revoke(Input { body, .. }: Input<(), (), Revoke>) -> String {
    format!("{:?}", body.reason)
}

async fn bulk(Input { body, .. }: Input<(), (), BulkRevoke>) -> String {
    format!("{} {:?}", body.organization, body.team)
}

async fn update(Input { body, .. }: Input<(), (), UpdateToken>) -> String {
    format!("{:?} {:?}", body.name, body.description)
}

async fn plain(Input { body, .. }: Input<(), (), Plain>) -> String {
    body.password
}

async fn secret(Input { body, .. }: Input<(), (), Secret>) -> String {
    body.password
}

async fn nothing(_: Input) -> &'static str {
    "nothing"
}

async fn answer(request: HttpRequest<Body>) -> (StatusCode, String) {
    let router: Router = Router::new()
        .route("/tokens", post(create))
        .route("/tokens/{id}", post(everything))
        .route("/revoke", post(revoke).delete(revoke))
        .route("/bulk", post(bulk))
        .route("/update", post(update))
        .route("/plain", post(plain))
        .route("/secret", post(secret))
        .route("/nothing", post(nothing).get(nothing));
    let router = crate::http::rendered_by(router, crate::http::v1::render);
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn send(path: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = HttpRequest::post(path)
        .header("content-type", "application/json; charset=utf-8")
        .header("authorization", "Bearer x")
        .body(body.into());
    answer(request.unwrap()).await
}

/// Returns the violations of a body, as sent.
async fn wrong(body: &str) -> Json {
    let (status, text) = send("/tokens", body.to_owned()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {text}");
    let answer: Json = serde_json::from_str(&text).unwrap();
    answer.get("detail").unwrap().clone()
}

async fn accepted(path: &str, body: &str) -> String {
    let (status, text) = send(path, body.to_owned()).await;
    assert_eq!(status, StatusCode::OK, "{path} {body}: {text}");
    text
}

/// Returns the violation of one field next to a valid name.
async fn wrong_field(field: &str, value: &str) -> (String, Json) {
    let detail = wrong(&format!(r#"{{"name":"n","{field}":{value}}}"#)).await;
    let [violation] = detail.as_array().unwrap().as_slice() else {
        panic!("{field} {value}: {detail}")
    };
    (violation["type"].as_str().unwrap().to_owned(), violation.clone())
}
