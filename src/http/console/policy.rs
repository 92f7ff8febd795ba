//! The policy of an organization, with a preview of the tokens that it breaks.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Refusal, at};
use super::create::{Catalogue, Preset, Scope};
use super::form::Form;
use super::page::{Shell, Trouble, Visit, page_with};
use super::tokens::{Names, Row, Token};
use super::words::counted;
use crate::http::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/o/{organization}/policy", get(show).post(change))
}

#[derive(Deserialize)]
struct Organization {
    policy: Map<String, Value>,
}

/// What the API answers to a change.
#[derive(Deserialize)]
struct Changed {
    breaking_tokens: Breaking,
}

#[derive(Deserialize)]
struct Breaking {
    items: Vec<Token>,
    total: u64,
}

#[derive(Template)]
#[template(path = "policy.html")]
struct PolicyPage {
    shell: Shell,
    path: String,
    form: Form,
    refusal: Refusal,
    scopes: Vec<Scope>,
    presets: Vec<Preset>,
    /// How many active tokens break it, in words, and some of them.
    breaking: Option<(String, Vec<Row>)>,
    is_saved: bool,
}

/// The fields that are texts or numbers.
const TEXTS: [&str; 4] = [
    "max_lifetime",
    "default_lifetime",
    "default_preset",
    "max_active_tokens_per_owner",
];

async fn show(visit: Visit, Path(organization): Path<String>) -> Result<Response, Trouble> {
    let form = current(&visit, &organization).await?;
    answer(&visit, &organization, form, Refusal::default(), None, false).await
}

/// Returns the form with the policy as it is.
async fn current(visit: &Visit, organization: &str) -> Result<Form, Trouble> {
    let Organization { policy } = visit.get(at(&["organizations", organization])).await?;
    let mut form = Form::default();
    for (name, value) in policy {
        match (name.as_str(), value) {
            (_, Value::String(text)) => form.push(&name, text),
            (_, Value::Number(number)) => form.push(&name, number.to_string()),
            (_, Value::Bool(true)) => form.push(&name, "true"),
            ("allowed_scopes" | "allowed_presets", Value::Array(values)) => {
                form.push(&format!("limits_{name}"), "true");
                for value in values.iter().filter_map(Value::as_str) {
                    form.push(&name, value);
                }
            }
            _ => {}
        }
    }
    Ok(form)
}

/// Returns the policy that a form means: what is empty is not limited.
fn policy(form: &Form) -> Value {
    let mut policy = Map::new();
    for name in TEXTS {
        let value = match form.get(name).trim() {
            "" => Value::Null,
            text if name == "max_active_tokens_per_owner" => {
                text.parse::<u64>().map_or(text.into(), Value::from)
            }
            text => text.into(),
        };
        policy.insert(name.to_owned(), value);
    }
    for name in ["allowed_scopes", "allowed_presets"] {
        let value = match form.has(&format!("limits_{name}")) {
            true => form.all(name).collect::<Vec<_>>().into(),
            false => Value::Null,
        };
        policy.insert(name.to_owned(), value);
    }
    policy.insert("keep_last_token".to_owned(), form.has("keep_last_token").into());
    policy.into()
}

async fn change(visit: Visit, Path(organization): Path<String>, form: Form) -> Result<Response, Trouble> {
    let is_saved = form.is("step", "save");
    let mut body = json!({"policy": policy(&form), "dry_run": !is_saved});
    if let (true, Some(body)) = (is_saved, body.as_object_mut()) {
        body.extend(form.texts(&["existing_tokens"]));
        if form.is("existing_tokens", "end_early") {
            body.extend(form.texts(&["grace_period"]));
        }
    }
    let path = at(&["organizations", &organization]);
    match visit.api.send::<Changed>(Method::PATCH, path, &body, None).await {
        Ok(changed) => {
            let names = Names::of(&visit, &organization).await?;
            let total = changed.breaking_tokens.total;
            let rows = changed.breaking_tokens.items.into_iter().take(20);
            let rows = rows.map(|token| Row::new(token, &visit, &names, &[])).collect();
            let breaking = Some((counted(total, "active token"), rows));
            answer(
                &visit,
                &organization,
                form,
                Refusal::default(),
                breaking,
                is_saved,
            )
            .await
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => answer(&visit, &organization, form, refusal, None, false).await,
    }
}

async fn answer(
    visit: &Visit,
    organization: &str,
    form: Form,
    refusal: Refusal,
    breaking: Option<(String, Vec<Row>)>,
    is_saved: bool,
) -> Result<Response, Trouble> {
    let mut catalogue: Catalogue = visit.get(at(&["scopes"])).await?;
    catalogue.scopes.sort_by_key(|scope| scope.management);
    let page = PolicyPage {
        shell: visit.shell_of("policy", organization),
        path: format!("{}/policy", visit.place(organization).path),
        form,
        refusal,
        scopes: catalogue.scopes,
        presets: catalogue.presets,
        breaking,
        is_saved,
    };
    Ok(page_with(page.refusal.status, &page))
}
