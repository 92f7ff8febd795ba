//! Lists of tokens, of an organization or of all: search, filters and order are in the address.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::api::{At, at};
use super::form::Form;
use super::page::{Guest, Shell, Trouble, Visit, page};
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/o/{organization}/tokens", get(of_organization))
        .route("/console/tokens", get(all))
}

/// The parameters of the list that a page has fields for; the others are those of pages and order.
pub(super) const FILTERS: [&str; 16] = [
    "q",
    "status",
    "team",
    "user",
    "owner",
    "scope",
    "preset",
    "expires_before",
    "expires_after",
    "created_before",
    "created_after",
    "unused_since",
    "never_used",
    "created_by",
    "include_revoked",
    "organization",
];

/// How many tokens are on a page.
const PAGE: &str = "50";

/// A token as the API shows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) jti: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) owner: String,
    pub(super) organization: Option<String>,
    pub(super) team: Option<String>,
    pub(super) user: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) preset: Option<String>,
    pub(super) projects: Option<Vec<i64>>,
    pub(super) audience: Vec<String>,
    pub(super) token_prefix: String,
    pub(super) token_hint: String,
    pub(super) created_at: Timestamp,
    pub(super) created_by: String,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) last_used_at: Option<Timestamp>,
    pub(super) last_used_from: Option<String>,
    pub(super) last_refused_at: Option<Timestamp>,
    pub(super) refused_count: u64,
    pub(super) replaced_by: Option<String>,
    pub(super) rotated_from: Option<String>,
    pub(super) revoked_at: Option<Timestamp>,
    pub(super) revoked_by: Option<String>,
    pub(super) revocation_effective_at: Option<Timestamp>,
    pub(super) revocation_reason: Option<String>,
    pub(super) slot: Option<String>,
    pub(super) status: String,
    /// In a list, the list has them.
    #[serde(default)]
    reporting_audiences: Vec<Reporting>,
}

/// The status of a token in words.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) word: &'static str,
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) meaning: String,
}

/// A week, in seconds: a token that ends within it is shown as one that ends soon.
const SOON: i64 = 7 * 24 * 60 * 60;

impl Token {
    /// Returns the status in words, and what it means.
    pub(super) fn state(&self, guest: &Guest) -> Status {
        let utc =
            |instant: Option<Timestamp>| instant.map_or(String::new(), |instant| guest.moment(instant).utc);
        match self.status.as_str() {
            "revoked" => Status {
                word: "revoked",
                class: "bad",
                sign: "✕",
                meaning: format!("Refused everywhere since {}", utc(self.revocation_effective_at)),
            },
            "expired" => Status {
                word: "expired",
                class: "over",
                sign: "○",
                meaning: format!("Ended by itself at {}", utc(self.expires_at)),
            },
            _ if self.revoked_at.is_some() => Status {
                word: "ending",
                class: "soon",
                sign: "◔",
                meaning: format!("Revoked with effect at {}", utc(self.revocation_effective_at)),
            },
            _ if self.ends_within(SOON, guest.now) => Status {
                word: "ends soon",
                class: "soon",
                sign: "◔",
                meaning: format!("Accepted until {}", utc(self.expires_at)),
            },
            _ => Status {
                word: "active",
                class: "good",
                sign: "●",
                meaning: "Accepted by the services of its audience".to_owned(),
            },
        }
    }

    fn ends_within(&self, seconds: i64, now: Timestamp) -> bool {
        self.expires_at
            .is_some_and(|end| end.seconds() - now.seconds() < seconds)
    }

    /// Returns the name by which records call the token as the actor of an operation.
    pub(super) fn actor(&self) -> String {
        format!("token {}", self.id)
    }

    /// Returns whether the token can still be used, revoked or rotated.
    pub(super) fn is_active(&self) -> bool {
        self.status == "active"
    }

    /// Returns when the token ends, or has ended.
    pub(super) fn end(&self) -> Option<Timestamp> {
        [self.expires_at, self.revocation_effective_at]
            .into_iter()
            .flatten()
            .min()
    }
}

/// A page of the list.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    pub(super) items: Vec<Token>,
    pub(super) next_cursor: Option<String>,
    pub(super) prev_cursor: Option<String>,
    pub(super) reporting_audiences: Vec<Reporting>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Reporting {
    audience: String,
}

impl Listing {
    pub(super) fn rows(self, guest: &Guest, names: &Names) -> Vec<Row> {
        let rows = self.items.into_iter();
        rows.map(|token| Row::new(token, guest, names, &self.reporting_audiences))
            .collect()
    }
}

/// A row of the list.
pub(super) struct Row {
    pub(super) token: Token,
    pub(super) status: Status,
    pub(super) owner: String,
    pub(super) ends: Option<Moment>,
    pub(super) used: Used,
    pub(super) made: Moment,
}

/// The last use of a token.
pub(super) enum Used {
    At(Moment),
    Never,
    /// The verifiers of its audience do not report use.
    Unknown,
}

impl Row {
    pub(super) fn new(token: Token, guest: &Guest, names: &Names, reporting: &[Reporting]) -> Self {
        let reporting = || reporting.iter().chain(&token.reporting_audiences);
        let reports = |audience: &String| reporting().any(|one| one.audience == *audience);
        Self {
            status: token.state(guest),
            owner: names.owner(&token),
            ends: token.end().map(|end| guest.moment(end)),
            used: match token.last_used_at {
                Some(used) => Used::At(guest.moment(used)),
                None if token.audience.iter().all(reports) => Used::Never,
                None => Used::Unknown,
            },
            made: guest.moment(token.created_at),
            token,
        }
    }

    /// Returns the first scopes, and how many more there are.
    pub(super) fn scopes(&self) -> (String, usize) {
        let shown: Vec<&str> = self.token.scopes.iter().take(2).map(String::as_str).collect();
        (shown.join(", "), self.token.scopes.len() - shown.len())
    }
}

/// The names of teams and people of an organization, by their ids.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) teams: Vec<Team>,
    people: HashMap<String, String>,
    /// Empty on a page about one organization, which need not name it.
    organizations: HashMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Team {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Organization {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Member {
    id: Option<String>,
    email: String,
}

impl Names {
    /// Reads the names of an organization: a thousand of each, and of others the id is shown.
    pub(super) async fn of(visit: &Visit, organization: &str) -> Result<Self, Trouble> {
        let list = |kind| at(&["organizations", organization, kind]).with("limit", "1000");
        let (teams, members) = tokio::try_join!(
            visit.get::<Items<Team>>(list("teams")),
            visit.get::<Items<Member>>(list("members"))
        )?;
        let people = members
            .items
            .into_iter()
            .filter_map(|member| Some((member.id?, member.email)));
        Ok(Self {
            teams: teams.items,
            people: people.collect(),
            organizations: HashMap::new(),
        })
    }

    /// Reads the names of the deployment: a thousand organizations and a thousand people.
    async fn everywhere(visit: &Visit) -> Result<Self, Trouble> {
        let list = |kind| at(&[kind]).with("limit", "1000");
        let organizations: Items<Organization> = visit.get(list("organizations")).await?;
        let organizations = organizations.items.into_iter().map(|one| (one.id, one.name));
        // Only site administrators see all people; others see their own organizations alone.
        let people = visit.api.get::<Items<Member>>(list("users")).await;
        let people = people.map_or_else(|_| Vec::new(), |people| people.items);
        Ok(Self {
            teams: Vec::new(),
            people: people
                .into_iter()
                .filter_map(|person| Some((person.id?, person.email)))
                .collect(),
            organizations: organizations.collect(),
        })
    }

    /// Reads the names of the teams that own some of these tokens.
    async fn add_teams(&mut self, visit: &Visit, tokens: &[Token]) {
        let teams = tokens.iter();
        let teams: BTreeSet<_> = teams
            .filter_map(|token| token.organization.as_ref().zip(token.team.as_ref()))
            .collect();
        for (organization, team) in teams {
            let path = at(&["organizations", organization, "teams", team]);
            // The tokens of a deleted team are still listed.
            self.teams.extend(visit.api.get::<Team>(path).await);
        }
    }

    /// Returns the owner of a token in words.
    pub(super) fn owner(&self, token: &Token) -> String {
        let organization = token.organization.as_ref();
        let organization = organization.and_then(|id| self.organizations.get(id));
        let within = |owner: String| match organization {
            Some(name) => format!("{owner} in {name}"),
            None => owner,
        };
        match (&token.team, &token.user) {
            (Some(team), _) => within(match self.teams.iter().find(|one| one.id == *team) {
                Some(team) => format!("team {}", team.name),
                None => "a team".to_owned(),
            }),
            (_, Some(user)) => within(self.people.get(user).unwrap_or(user).clone()),
            _ => match (organization, &token.organization) {
                (Some(name), _) => name.clone(),
                (None, Some(_)) => "the organization".to_owned(),
                (None, None) => "the deployment".to_owned(),
            },
        }
    }
}

/// A link to a list with certain filters.
struct View {
    name: &'static str,
    query: String,
    is_current: bool,
}

/// A head of a column: the link sorts by it.
struct Column {
    name: &'static str,
    query: String,
    /// For `aria-sort`.
    order: &'static str,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    shell: Shell,
    form: Form,
    names: Names,
    views: Vec<View>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    newer: Option<String>,
    older: Option<String>,
    /// Whether any filter is set.
    is_filtered: bool,
    path: String,
}

async fn of_organization(
    visit: Visit,
    Path(organization): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let names = Names::of(&visit, &organization).await?;
    let shell = visit.shell_of("tokens", &organization);
    list(&visit, shell, Some(&organization), names, query).await
}

async fn all(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Trouble> {
    let names = Names::everywhere(&visit).await?;
    list(&visit, visit.shell("all-tokens"), None, names, query).await
}

async fn list(
    visit: &Visit,
    shell: Shell,
    organization: Option<&str>,
    mut names: Names,
    query: Option<String>,
) -> Result<Response, Trouble> {
    let form = Form::parse(query.as_deref().unwrap_or_default());
    let mut listing: Listing = visit
        .get(filtered(&form, organization).with("limit", PAGE))
        .await?;
    if organization.is_none() {
        names.add_teams(visit, &listing.items).await;
    }
    let is_filtered = FILTERS.iter().any(|filter| form.has(filter));
    let page_link = |cursor: Option<String>, direction| {
        cursor.map(|cursor| form.query(&[("cursor", &cursor), ("direction", direction)]))
    };
    let path = shell
        .organization
        .as_ref()
        .map_or(String::new(), |place| format!("{}/", place.path))
        + "tokens";
    let page_of_list = Tokens {
        views: views(&form, visit),
        columns: columns(&form),
        newer: page_link(listing.prev_cursor.take(), "prev"),
        older: page_link(listing.next_cursor.take(), "next"),
        rows: listing.rows(visit, &names),
        shell,
        form,
        names,
        is_filtered,
        path,
    };
    Ok(page(&page_of_list))
}

/// Returns the list of the API that has the filters of a form.
pub(super) fn filtered(form: &Form, organization: Option<&str>) -> At {
    let rest = ["sort_by", "descending", "cursor", "direction"];
    let names = FILTERS
        .iter()
        .chain(&rest)
        .filter(|name| **name != "organization");
    let list = at(&["tokens"]).with("organization", organization.unwrap_or_default());
    names.fold(list, |list, name| list.with(name, form.get(name)))
}

fn views(form: &Form, guest: &Guest) -> Vec<View> {
    let day = |days: i64| guest.now.plus_seconds(days * 24 * 60 * 60).to_string();
    let (week, quarter) = (day(7), day(-90));
    let views: [(&str, &[(&str, &str)]); 6] = [
        ("Active", &[("status", "active")]),
        (
            "Ends soon",
            &[
                ("status", "active"),
                ("expires_before", &week),
                ("sort_by", "expires_at"),
                ("descending", "false"),
            ],
        ),
        (
            "Not used for 90 days",
            &[
                ("status", "active"),
                ("unused_since", &quarter),
                ("sort_by", "last_used_at"),
                ("descending", "false"),
            ],
        ),
        ("Never used", &[("status", "active"), ("never_used", "true")]),
        ("Revoked", &[("status", "revoked")]),
        ("All", &[("include_revoked", "true")]),
    ];
    let view = |(name, filters): (&'static str, &[(&str, &str)])| View {
        name,
        query: Form::default().query(filters),
        // Instants of an earlier page are older.
        is_current: filters
            .iter()
            .all(|(filter, value)| form.is(filter, value) || value.contains('T') && form.has(filter)),
    };
    views.into_iter().map(view).collect()
}

fn columns(form: &Form) -> Vec<Column> {
    let now = match form.get("sort_by") {
        "" => "created_at",
        by => by,
    };
    let is_descending = form.get("descending") != "false";
    let columns = [
        ("Name", "name", "false"),
        ("Made", "created_at", "true"),
        ("Ends", "expires_at", "false"),
        ("Last used", "last_used_at", "true"),
    ];
    let column = |(name, by, first): (&'static str, &'static str, &str)| {
        let is_now = by == now;
        let descending = match (is_now, is_descending) {
            (true, true) => "false",
            (true, false) => "true",
            (false, _) => first,
        };
        Column {
            name,
            query: form.query(&[
                ("sort_by", by),
                ("descending", descending),
                ("cursor", ""),
                ("direction", ""),
            ]),
            order: match (is_now, is_descending) {
                (true, true) => "descending",
                (true, false) => "ascending",
                (false, _) => "none",
            },
        }
    };
    columns.map(column).into()
}
