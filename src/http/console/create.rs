//! Creating a token, and the only page that shows its secret.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{Refusal, at};
use super::form::Form;
use super::page::{Guest, Shell, Trouble, Visit, page, page_with};
use super::tokens::{Names, Team, Token};
use super::words::{Moment, counted};
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/o/{organization}/tokens/new", get(show).post(create))
}

/// The lifetimes that the form offers, in days.
const LIFETIMES: [i64; 5] = [7, 30, 60, 90, 365];

/// The lifetime that is chosen first, if the policy of the organization names none.
const FIRST: &str = "90d";

/// A scope, as the API lists it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) management: bool,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Preset {
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Catalogue {
    pub(super) scopes: Vec<Scope>,
    pub(super) presets: Vec<Preset>,
}

/// The scopes of one resource.
struct Group {
    resource: String,
    scopes: Vec<Scope>,
}

#[derive(Debug, Deserialize)]
struct Organization {
    policy: Policy,
}

#[derive(Debug, Clone, Deserialize)]
struct Policy {
    max_lifetime: Option<String>,
    default_lifetime: Option<String>,
    allowed_scopes: Option<Vec<String>>,
    allowed_presets: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Project {
    pub(super) id: i64,
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
}

/// A lifetime that the form offers.
struct Choice {
    value: String,
    words: String,
    /// When a token of this lifetime would end.
    ends: Option<Moment>,
}

#[derive(Template)]
#[template(path = "create.html")]
struct Create {
    shell: Shell,
    path: String,
    form: Form,
    refusal: Refusal,
    /// The token that this form repeats.
    like: Option<String>,
    teams: Vec<Team>,
    projects: Vec<Project>,
    presets: Vec<Preset>,
    groups: Vec<Group>,
    /// How many scopes the person may not grant here.
    withheld: String,
    lifetimes: Vec<Choice>,
    may_never_end: bool,
    max_lifetime: Option<String>,
}

#[derive(Template)]
#[template(path = "created.html")]
pub(super) struct Created {
    pub(super) shell: Shell,
    pub(super) token: Token,
    pub(super) secret: String,
    pub(super) ends: Option<Moment>,
    /// Where the token came from, if it replaces another.
    pub(super) replaces: Option<Token>,
    pub(super) old_ends: Option<Moment>,
    pub(super) issuer: String,
}

#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) token: String,
    pub(super) token_info: Token,
}

async fn show(
    visit: Visit,
    Path(organization): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let query = Form::parse(query.as_deref().unwrap_or_default());
    let (form, like) = match query.get("from") {
        "" => (Form::default().or("choice", "preset"), None),
        id => {
            let token: Token = visit.get(at(&["tokens", id])).await?;
            (repeated(&token), Some(token.name))
        }
    };
    let form = form.or("key", visit.key.clone());
    Ok(page(
        &form_page(&visit, &organization, form, Refusal::default(), like).await?,
    ))
}

/// Returns the form with the settings of a token.
fn repeated(token: &Token) -> Form {
    let mut form = Form::default();
    form.push("name", &*token.name);
    form.push("description", token.description.clone().unwrap_or_default());
    form.push(
        "owner",
        match &token.team {
            Some(team) => format!("team:{team}"),
            None => token.owner.clone(),
        },
    );
    match &token.preset {
        Some(preset) => {
            form.push("choice", "preset");
            form.push("preset", &**preset);
        }
        None => form.push("choice", "scopes"),
    }
    for scope in &token.scopes {
        form.push("scope", &**scope);
    }
    for project in token.projects.iter().flatten() {
        form.push("project", project.to_string());
    }
    form.push("audience", token.audience.join("\n"));
    if let Some(end) = token.expires_at {
        let days = (end.seconds() - token.created_at.seconds()) / (24 * 60 * 60);
        if LIFETIMES.contains(&days) {
            form.push("expires", format!("{days}d"));
        }
    }
    form
}

async fn form_page(
    visit: &Visit,
    organization: &str,
    form: Form,
    refusal: Refusal,
    like: Option<String>,
) -> Result<Create, Trouble> {
    let (catalogue, Organization { policy }, names, projects) = tokio::try_join!(
        visit.get::<Catalogue>(at(&["scopes"])),
        visit.get::<Organization>(at(&["organizations", organization])),
        Names::of(visit, organization),
        visit.get::<Items<Project>>(at(&["organizations", organization, "projects"]).with("limit", "1000"))
    )?;
    let place = visit.place(organization);
    let allows = |allowed: &Option<Vec<String>>, name: &String| {
        allowed.as_ref().is_none_or(|allowed| allowed.contains(name))
    };
    let may_grant =
        |scope: &Scope| visit.me.scopes.contains(&scope.name) && allows(&policy.allowed_scopes, &scope.name);
    let all = catalogue.scopes.len();
    let mut groups: Vec<Group> = Vec::new();
    let mut granted = 0;
    for scope in catalogue.scopes.into_iter().filter(may_grant) {
        granted += 1;
        let resource = scope.name.split(':').next().unwrap_or_default().to_owned();
        match groups.iter_mut().find(|group| group.resource == resource) {
            Some(group) => group.scopes.push(scope),
            None => groups.push(Group {
                resource,
                scopes: vec![scope],
            }),
        }
    }
    // Those of services first: few tokens are for jeton itself.
    groups.sort_by_key(|group| group.scopes.iter().all(|scope| scope.management));
    let longest = policy.max_lifetime.as_deref().and_then(seconds);
    let is_allowed = |days: &i64| longest.is_none_or(|longest| days * 24 * 60 * 60 <= longest);
    let mut lifetimes: Vec<Choice> = LIFETIMES
        .into_iter()
        .filter(is_allowed)
        .map(|days| Choice {
            value: format!("{days}d"),
            words: counted(days, "day"),
            ends: Some(visit.moment(visit.now.plus_seconds(days * 24 * 60 * 60))),
        })
        .collect();
    if let (true, Some(longest)) = (lifetimes.is_empty(), &policy.max_lifetime) {
        lifetimes.push(Choice {
            value: longest.clone(),
            words: longest.clone(),
            ends: seconds(longest).map(|seconds| visit.moment(visit.now.plus_seconds(seconds))),
        });
    }
    let first = policy
        .default_lifetime
        .clone()
        .filter(|first| lifetimes.iter().any(|one| one.value == *first));
    let first = first.or_else(|| {
        lifetimes
            .iter()
            .map(|one| &one.value)
            .find(|one| *one == FIRST)
            .cloned()
    });
    let first = first.or_else(|| lifetimes.last().map(|one| one.value.clone()));
    Ok(Create {
        path: format!("{}/tokens/new", place.path),
        form: form.or("expires", first.unwrap_or_default()).or("owner", "user"),
        teams: names.teams,
        projects: projects.items,
        presets: catalogue
            .presets
            .into_iter()
            .filter(|preset| allows(&policy.allowed_presets, &preset.name))
            .collect(),
        groups,
        withheld: match all - granted {
            0 => String::new(),
            withheld => format!(
                "{} not shown: your role or the policy of the organization does not allow you to grant them.",
                counted(withheld, "scope")
            ),
        },
        lifetimes,
        may_never_end: policy.max_lifetime.is_none(),
        max_lifetime: policy.max_lifetime,
        shell: visit.shell_of("tokens", organization),
        refusal,
        like,
    })
}

/// Returns the seconds of a lifetime such as `30d`.
fn seconds(lifetime: &str) -> Option<i64> {
    let lifetime: jeton_core::token::Span = lifetime.parse().ok()?;
    i64::try_from(lifetime.seconds()).ok()
}

/// Returns the request that a form means.
fn request(form: &Form, organization: &str) -> Map<String, Value> {
    let mut body = form.texts(&["name", "description", "slot"]);
    let (owner, team) = match form.get("owner").split_once(':') {
        Some((owner, team)) => (owner, Some(team)),
        None => (form.get("owner"), None),
    };
    body.insert("owner".to_owned(), owner.into());
    if let Some(team) = team {
        body.insert("team".to_owned(), team.into());
    }
    if owner != "deployment" {
        body.insert("organization".to_owned(), organization.into());
    }
    match form.get("choice") {
        "scopes" => {
            let scopes: Vec<&str> = form.all("scope").collect();
            body.insert("scopes".to_owned(), scopes.into());
        }
        _ => body.extend(form.texts(&["preset"])),
    }
    let projects: Vec<i64> = form
        .all("project")
        .filter_map(|project| project.parse().ok())
        .collect();
    if !projects.is_empty() {
        body.insert("projects".to_owned(), projects.into());
    }
    let audience: Vec<&str> = form.get("audience").split_whitespace().collect();
    if !audience.is_empty() {
        body.insert("audience".to_owned(), audience.into());
    }
    match form.get("expires") {
        "at" => {
            // A browser sends local time without a zone; the form says that it is UTC.
            let at = form.get("expires_at");
            let seconds = if at.len() == 16 { ":00Z" } else { "Z" };
            body.insert("expires_at".to_owned(), format!("{at}{seconds}").into());
        }
        "" => {}
        lifetime => {
            body.insert("expires_in".to_owned(), lifetime.into());
        }
    }
    body
}

async fn create(
    visit: Visit,
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    Path(organization): Path<String>,
    form: Form,
) -> Result<Response, Trouble> {
    // The API makes a token without scopes. Who has come here to choose some has not meant that.
    if form.is("choice", "scopes") && !form.has("scope") {
        let refusal = Refusal::of_one("scopes", "Choose at least one.");
        let status = refusal.status;
        return Ok(page_with(
            status,
            &form_page(&visit, &organization, form, refusal, None).await?,
        ));
    }
    let body = request(&form, &organization);
    let key = form.get("key");
    match visit
        .api
        .send::<Answer>(Method::POST, at(&["tokens"]), &body, Some(key))
        .await
    {
        Ok(answer) => Ok(created(
            &visit,
            &app,
            visit.shell_of("tokens", &organization),
            answer,
            None,
        )),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(visit.refused(refusal)),
        Err(refusal) => {
            let status = refusal.status;
            Ok(page_with(
                status,
                &form_page(&visit, &organization, form, refusal, None).await?,
            ))
        }
    }
}

/// Returns the page that shows the secret of a new token: the only answer that has it.
pub(super) fn created(
    guest: &Guest,
    app: &App,
    shell: Shell,
    answer: Answer,
    replaces: Option<Token>,
) -> Response {
    let Answer {
        token: secret,
        token_info: token,
    } = answer;
    let moment = |instant: Option<Timestamp>| instant.map(|instant| guest.moment(instant));
    page(&Created {
        shell,
        ends: moment(token.expires_at),
        old_ends: moment(replaces.as_ref().and_then(Token::end)),
        issuer: app.authority.issuer().to_owned(),
        token,
        secret,
        replaces,
    })
}
