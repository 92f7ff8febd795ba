//! What all pages share: who looks at them, what surrounds their content, and what is shown when they fail.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::api::{Api, At, Native, Refusal, at, encoded};
use super::session::{self, Cookie};
use super::words::Moment;
use crate::http::App;
use jeton_core::clock::Timestamp;

/// Somebody who looks at a page, signed in or not.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    /// The API, with the session if there is one.
    pub(super) api: Api,
    /// The path from the page to `/console/`, such as `../../`.
    pub(super) root: String,
    /// The address of the page, from `/console/`.
    pub(super) here: String,
    /// The colours.
    pub(super) theme: &'static str,
    /// An idempotency key for the form of the page.
    pub(super) key: String,
    /// The instant of the request.
    pub(super) now: Timestamp,
    /// The person, if somebody is signed in and was asked for.
    signed_in: Option<Box<Me>>,
    has_session: bool,
    is_get: bool,
    cookie: Cookie,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    guest: Guest,
    /// The person.
    pub(super) me: Me,
}

/// The answer of `GET /me`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Me {
    pub(super) user: User,
    pub(super) organizations: Vec<Membership>,
    /// What the person may grant.
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) site_admin: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Membership {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) role: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// What surrounds the content of a page.
#[derive(Debug, Clone)]
pub(super) struct Shell {
    pub(super) root: String,
    pub(super) here: String,
    pub(super) theme: &'static str,
    pub(super) me: Option<Me>,
    /// The organization that the page is about.
    pub(super) organization: Option<Place>,
    /// The entry of the navigation that the page belongs to.
    pub(super) section: &'static str,
}

/// An organization in addresses and headings.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: String,
    /// The beginning of addresses of its pages.
    pub(super) path: String,
    /// Whether the person administers it.
    pub(super) is_admin: bool,
    /// Whether the person may make tokens in it: viewers may not.
    pub(super) may_make: bool,
}

/// Why a page cannot be shown.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody is signed in.
    SignIn {
        root: String,
        /// The page to return to.
        next: String,
        cookie: Cookie,
    },
    /// The API refuses it.
    Refused(Box<(Guest, Refusal)>),
    /// The body is not that of a form.
    BadForm,
}

impl Guest {
    fn of(parts: &Parts, app: &Arc<App>) -> Option<Self> {
        let native = parts.extensions.get::<Native>()?.clone();
        let cookie = Cookie::of(app);
        let session = cookie.session(&parts.headers);
        let mut api = Api::of(parts, native);
        if let Some(session) = session {
            api = api.with_session(session);
        }
        let path = parts.uri.path();
        let below = path.trim_start_matches("/console").trim_start_matches('/');
        let mut here = below.to_owned();
        if let Some(query) = parts.uri.query() {
            here.push('?');
            here.push_str(query);
        }
        // `/console` itself is one level above `/console/`.
        let root = match path == "/console" {
            true => "console/".to_owned(),
            false => "../".repeat(below.matches('/').count()),
        };
        Some(Self {
            api,
            root: if root.is_empty() { "./".to_owned() } else { root },
            here,
            theme: theme(&parts.headers),
            key: app.authority.fresh_id().to_string(),
            now: app.authority.now(),
            signed_in: None,
            has_session: session.is_some(),
            is_get: parts.method == Method::GET,
            cookie,
        })
    }

    /// Returns what surrounds a page.
    pub(super) fn shell(&self, section: &'static str) -> Shell {
        Shell {
            root: self.root.clone(),
            here: self.here.clone(),
            theme: self.theme,
            me: self.signed_in.as_deref().cloned(),
            organization: None,
            section,
        }
    }

    /// Returns an instant as a page shows it.
    pub(super) fn moment(&self, instant: Timestamp) -> Moment {
        Moment::new(instant, self.now)
    }

    /// Returns the page that says why the API refuses a call.
    pub(super) fn refused(&self, refusal: Refusal) -> Trouble {
        if refusal.status == StatusCode::UNAUTHORIZED {
            return self.sign_in();
        }
        Trouble::Refused(Box::new((self.clone(), refusal)))
    }

    fn sign_in(&self) -> Trouble {
        Trouble::SignIn {
            root: self.root.clone(),
            next: if self.is_get {
                self.here.clone()
            } else {
                String::new()
            },
            cookie: self.cookie,
        }
    }

    /// Reads something for a page.
    pub(super) async fn get<T: DeserializeOwned>(&self, at: At) -> Result<T, Trouble> {
        self.api.get(at).await.map_err(|refusal| self.refused(refusal))
    }

    /// Changes something whose refusal the page does not expect.
    pub(super) async fn change(
        &self,
        method: Method,
        at: At,
        body: &impl Serialize,
    ) -> Result<Bytes, Trouble> {
        let done = self.api.carry_out(method, at, body, None).await;
        done.map_err(|refusal| self.refused(refusal))
    }

    /// Changes something, or shows what a change would do, and reads the answer.
    pub(super) async fn change_for<T: DeserializeOwned>(
        &self,
        method: Method,
        at: At,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        let done = self.api.send(method, at, body, None).await;
        done.map_err(|refusal| self.refused(refusal))
    }

    /// Returns a redirect to a page, after a change.
    pub(super) fn go_to(&self, page: &str) -> Response {
        see_other(&format!("{}{page}", self.root))
    }
}

impl std::ops::Deref for Visit {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}

impl Visit {
    /// Returns what surrounds a page about an organization.
    pub(super) fn shell_of(&self, section: &'static str, organization: &str) -> Shell {
        Shell {
            organization: Some(self.place(organization)),
            ..self.shell(section)
        }
    }

    /// Returns the name of an organization.
    pub(super) async fn organization_name(&self, id: &str) -> Result<String, Trouble> {
        if let Some(known) = self.me.organizations.iter().find(|one| one.id == id) {
            return Ok(known.name.clone());
        }
        let named: Named = self.get(at(&["organizations", id])).await?;
        Ok(named.name)
    }

    /// Returns an organization for addresses and headings.
    pub(super) fn place(&self, organization: &str) -> Place {
        let memberships = &self.me.organizations;
        let mine = memberships.iter().find(|one| one.name == organization);
        let role = mine.map_or("", |one| &one.role);
        let is_admin = self.me.user.site_admin || role == "admin";
        Place {
            may_make: is_admin || role == "member",
            name: organization.to_owned(),
            path: format!("o/{}", encoded(organization)),
            is_admin,
        }
    }
}

impl FromRequestParts<Arc<App>> for Guest {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Trouble> {
        Self::of(parts, app).ok_or(Trouble::BadForm)
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Trouble> {
        let mut guest = Guest::of(parts, app).ok_or(Trouble::BadForm)?;
        if !guest.has_session {
            return Err(guest.sign_in());
        }
        let me: Me = guest.get(at(&["me"])).await?;
        guest.signed_in = Some(Box::new(me.clone()));
        Ok(Self { guest, me })
    }
}

fn theme(headers: &HeaderMap) -> &'static str {
    match session::value(headers, "jeton-theme") {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "system",
    }
}

/// Returns a page.
pub(super) fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

/// Returns a page with a status.
pub(super) fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the console cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Returns a redirect that is followed by GET.
pub(super) fn see_other(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    shell: Shell,
    title: &'static str,
    detail: String,
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn { root, next, cookie } => {
                let next = if next.is_empty() {
                    String::new()
                } else {
                    format!("?next={}", encoded(&next))
                };
                let mut response = see_other(&format!("{root}login{next}"));
                if let Some(removed) = cookie.remove() {
                    response.headers_mut().insert(header::SET_COOKIE, removed);
                }
                response
            }
            Self::Refused(refused) => {
                let (guest, refusal) = *refused;
                let title = match refusal.status {
                    StatusCode::NOT_FOUND => "Not found",
                    StatusCode::FORBIDDEN => "Not allowed",
                    StatusCode::TOO_MANY_REQUESTS => "Too many requests",
                    StatusCode::SERVICE_UNAVAILABLE => "Not available now",
                    _ => "This did not work",
                };
                let said = refusal
                    .fields
                    .iter()
                    .map(|(field, message)| format!("{field}: {message}"));
                let detail = std::iter::once(refusal.detail.clone())
                    .chain(said)
                    .collect::<Vec<_>>()
                    .join(" ");
                let page = TroublePage {
                    shell: guest.shell(""),
                    title,
                    detail,
                };
                page_with(refusal.status, &page)
            }
            Self::BadForm => (
                StatusCode::BAD_REQUEST,
                "The form cannot be read. Go back, and send it again.",
            )
                .into_response(),
        }
    }
}
