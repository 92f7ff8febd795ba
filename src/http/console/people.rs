//! People: all users of the deployment, for site administrators.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Refusal, at, encoded};
use super::form::Form;
use super::members::Items;
use super::page::{Shell, Trouble, Visit, page_with};
use super::words::{Moment, counted};
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/people", get(show).post(create))
        .route("/console/people/{email}", get(show_one).post(change))
        .route("/console/people/{email}/delete", post(delete))
}

#[derive(Deserialize)]
struct Person {
    email: String,
    first_name: Option<String>,
    last_name: Option<String>,
    site_admin: bool,
    disabled_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl Person {
    fn name(&self) -> String {
        [&self.first_name, &self.last_name]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

struct Row {
    person: Person,
    name: String,
    path: String,
    made: Moment,
}

#[derive(Template)]
#[template(path = "people.html")]
struct People {
    shell: Shell,
    rows: Vec<Row>,
    next: Option<String>,
    form: Form,
    refusal: Refusal,
}

/// What a change would end.
#[derive(Deserialize)]
pub(super) struct Preview {
    pub(super) tokens: Group,
    pub(super) left: Group,
    sessions: Option<u64>,
}

/// Some tokens.
#[derive(Deserialize)]
pub(super) struct Group {
    count: Option<u64>,
    used_last_24h: Option<u64>,
}

impl Preview {
    /// Returns how many sessions would end, in words; empty if there are none.
    pub(super) fn sessions_in_words(&self) -> String {
        match self.sessions {
            None | Some(0) => String::new(),
            Some(sessions) => counted(sessions, "session"),
        }
    }
}

impl Group {
    /// Returns whether there are any, as far as is known.
    pub(super) fn has_some(&self) -> bool {
        self.count != Some(0)
    }

    /// Returns how many there are, in words.
    pub(super) fn words(&self) -> String {
        let count = self
            .count
            .map_or_else(|| "very many tokens".to_owned(), |count| counted(count, "token"));
        match self.used_last_24h {
            None | Some(0) => count,
            Some(used) => format!("{count} ({used} used within a day)"),
        }
    }
}

#[derive(Template)]
#[template(path = "person.html")]
struct OnePerson {
    shell: Shell,
    row: Row,
    preview: Option<Preview>,
    is_self: bool,
    refusal: Refusal,
}

async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Trouble> {
    let form = Form::parse(query.as_deref().unwrap_or_default());
    list(&visit, form, Refusal::default()).await
}

async fn list(visit: &Visit, form: Form, refusal: Refusal) -> Result<Response, Trouble> {
    let people = at(&["users"])
        .with("limit", "100")
        .with("cursor", form.get("cursor"));
    let people: Items<Person> = visit.get(people).await?;
    let page = People {
        shell: visit.shell("people"),
        rows: people
            .items
            .into_iter()
            .map(|person| row(visit, person))
            .collect(),
        next: people
            .next_cursor
            .map(|cursor| Form::default().query(&[("cursor", &cursor)])),
        form,
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
}

fn row(visit: &Visit, person: Person) -> Row {
    Row {
        name: person.name(),
        path: format!("people/{}", encoded(&person.email)),
        made: visit.moment(person.created_at),
        person,
    }
}

async fn create(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let mut body = form.texts(&["email", "first_name", "last_name"]);
    body.insert("password".to_owned(), form.get("password").into());
    body.insert("site_admin".to_owned(), form.has("site_admin").into());
    match visit
        .api
        .carry_out(Method::POST, at(&["users"]), &body, None)
        .await
    {
        Ok(_) => Ok(visit.go_to(&format!("people/{}", encoded(form.get("email").trim())))),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => {
            let refusal = refusal.of_field("name_taken", "email", "Somebody has this address already.");
            list(&visit, form.without("password"), refusal).await
        }
    }
}

async fn show_one(visit: Visit, Path(email): Path<String>) -> Result<Response, Trouble> {
    one(&visit, &email, Refusal::default()).await
}

async fn one(visit: &Visit, email: &str, refusal: Refusal) -> Result<Response, Trouble> {
    let person: Person = visit.get(at(&["users", email])).await?;
    let trial = at(&["users", email]).with("dry_run", "true");
    let preview = visit
        .api
        .send::<Preview>(Method::DELETE, trial, &json!({}), None)
        .await;
    let page = OnePerson {
        shell: visit.shell("people"),
        is_self: visit.me.user.email == person.email,
        row: row(visit, person),
        // The page is worth more than the numbers.
        preview: preview.ok(),
        refusal,
    };
    Ok(page_with(page.refusal.status, &page))
}

async fn change(visit: Visit, Path(email): Path<String>, form: Form) -> Result<Response, Trouble> {
    let body: Value = match form.get("change") {
        "disable" => json!({"disabled": true}),
        "enable" => json!({"disabled": false}),
        "site_admin" => json!({"site_admin": form.has("site_admin")}),
        _ => json!({"password": form.get("password")}),
    };
    match visit
        .api
        .carry_out(Method::PATCH, at(&["users", &email]), &body, None)
        .await
    {
        Ok(_) => Ok(visit.go_to(&format!("people/{}", encoded(&email)))),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => one(&visit, &email, refusal).await,
    }
}

async fn delete(visit: Visit, Path(email): Path<String>) -> Result<Response, Trouble> {
    match visit
        .api
        .carry_out(Method::DELETE, at(&["users", &email]), &json!({}), None)
        .await
    {
        Ok(_) => Ok(visit.go_to("people")),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => one(&visit, &email, refusal).await,
    }
}
