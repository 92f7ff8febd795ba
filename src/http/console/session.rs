//! The cookie of the console: a session of the API, which only requests below `/console` carry out.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::http::App;

/// How long a session without a request lives, in seconds. The session itself ends later.
const IDLE: u32 = 30 * 60;

/// The cookie of a deployment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookie {
    is_secure: bool,
}

impl Cookie {
    pub(super) fn of(app: &App) -> Self {
        Self {
            is_secure: app.authority.issuer().starts_with("https:"),
        }
    }

    /// The prefix promises that no other host and no plain connection has set it (RFC 6265bis, section 4.1.3.2).
    fn name(self) -> &'static str {
        match self.is_secure {
            true => "__Host-jeton",
            false => "jeton",
        }
    }

    /// Returns the session of a request.
    pub(super) fn session(self, headers: &HeaderMap) -> Option<&str> {
        value(headers, self.name()).filter(|value| !value.is_empty())
    }

    /// Returns the header that stores a session, or keeps it for longer.
    pub(super) fn keep(self, session: &str) -> Option<HeaderValue> {
        self.header(session, IDLE)
    }

    /// Returns the header that removes the session.
    pub(super) fn remove(self) -> Option<HeaderValue> {
        self.header("", 0)
    }

    fn header(self, session: &str, seconds: u32) -> Option<HeaderValue> {
        let (name, secure) = (self.name(), if self.is_secure { "; Secure" } else { "" });
        // Lax, so that a link from elsewhere finds the person signed in. Only GET requests carry it then, which change
        // nothing.
        let text = format!("{name}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Returns the value of a cookie.
pub(super) fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let texts = headers.get_all(header::COOKIE).into_iter();
    let pairs = texts
        .filter_map(|text| text.to_str().ok())
        .flat_map(|text| text.split(';'));
    let mut found = pairs.filter_map(|pair| pair.trim().split_once('='));
    found.find(|(given, _)| *given == name).map(|(_, value)| value)
}
