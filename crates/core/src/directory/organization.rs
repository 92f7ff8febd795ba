//! Organizations, the tenants of a deployment, and their policies.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::directory::{Email, Name, NotAnEmail};
use crate::text;
use crate::token::{Scope, Span};

/// An organization's id, which renaming does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrganizationId(pub Uuid);

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reference to an organization in a request, by id or by name. The id is tried first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OrganizationReference {
    /// Its id.
    Id(OrganizationId),
    /// Its name in canonical form.
    Name(String),
}

impl fmt::Display for OrganizationReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl From<OrganizationId> for OrganizationReference {
    fn from(id: OrganizationId) -> Self {
        Self::Id(id)
    }
}

impl FromStr for OrganizationReference {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match Uuid::try_parse(text) {
            Ok(id) => Self::Id(OrganizationId(id)),
            Err(_) => Self::Name(Name::canonical_form(text)),
        })
    }
}

/// An organization's own limits. None by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The longest lifetime of a new token, in seconds. If set, tokens that never expire are refused.
    pub max_lifetime: Option<u64>,
    /// The lifetime in seconds of a token that requests none; `null` is the deployment's default.
    pub default_lifetime: Option<u64>,
    /// The most active tokens that one owner (a person, a team, the organization) may have.
    pub max_active_tokens_per_owner: Option<u32>,
    /// Whether an owner's last active token can only be revoked by its holder, or by force.
    pub keep_last_token: bool,
    /// The scopes that a token may have, requested or by a preset or default; `null` is all.
    pub allowed_scopes: Option<Vec<Scope>>,
    /// The presets that a token may use; `null` is all.
    pub allowed_presets: Option<Vec<String>>,
    /// The preset of a token that requests neither scopes nor preset; `null` is every scope except the
    /// authority's own. Scopes that cannot be granted are omitted.
    pub default_preset: Option<String>,
}

/// Writes the limits that are set, for logs: `max_lifetime=30d keep_last_token=true`.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.allowed_scopes.as_ref().map(|scopes| {
            let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
            names.join(",")
        });
        let limits = [
            ("max_lifetime", self.max_lifetime.map(Span::words)),
            ("default_lifetime", self.default_lifetime.map(Span::words)),
            (
                "max_active_tokens_per_owner",
                self.max_active_tokens_per_owner.map(|most| most.to_string()),
            ),
            (
                "keep_last_token",
                self.keep_last_token.then(|| self.keep_last_token.to_string()),
            ),
            ("allowed_scopes", scopes),
            (
                "allowed_presets",
                self.allowed_presets.as_ref().map(|presets| presets.join(",")),
            ),
            ("default_preset", self.default_preset.clone()),
        ];
        let set = limits
            .into_iter()
            .filter_map(|(name, limit)| Some(format!("{name}={}", limit?)));
        let set: Vec<String> = set.collect();
        f.write_str(if set.is_empty() { "no limits" } else { "" })?;
        f.write_str(&set.join(" "))
    }
}

impl Policy {
    /// Returns whether a token may have this scope.
    pub fn allows_scope(&self, scope: &Scope) -> bool {
        self.allowed_scopes
            .as_ref()
            .is_none_or(|allowed| allowed.contains(scope))
    }

    /// Returns whether a token may use this preset.
    pub fn allows_preset(&self, preset: &str) -> bool {
        self.allowed_presets
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|one| one == preset))
    }
}

/// An organization's contact e-mail address, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact(String);

/// The URL for notifications to an organization, as it was given: `http` or `https`, with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationUrl(String);

/// The error for a text that is neither a contact address nor a notification URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReachable {
    #[error(transparent)]
    Contact(#[from] NotAnEmail),
    #[error("must be an http or https URL with a host, of at most 2048 characters")]
    NotificationUrl,
}

/// The longest URL, in bytes.
const LONGEST_URL: usize = 2048;

impl FromStr for Contact {
    type Err = NotReachable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Not the canonical form of people's addresses: the organization reads back the address as it was
        // given.
        text.parse::<Email>()?;
        Ok(Self(text::composed(text.trim()).into_owned()))
    }
}

impl FromStr for NotificationUrl {
    type Err = NotReachable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printable = !text.contains(char::is_whitespace) && text::hidden(text).is_none();
        // The URL standard adds missing slashes, which would hide a typing error.
        let absolute = text
            .split_once("://")
            .is_some_and(|(_, rest)| !rest.starts_with(['/', '\\']));
        let url = Url::parse(text).map_err(|_| NotReachable::NotificationUrl)?;
        if printable
            && absolute
            && text.chars().count() <= LONGEST_URL
            && matches!(url.scheme(), "http" | "https")
            && url.has_host()
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotReachable::NotificationUrl)
        }
    }
}

impl From<Contact> for String {
    fn from(Contact(text): Contact) -> Self {
        text
    }
}

impl From<NotificationUrl> for String {
    fn from(NotificationUrl(text): NotificationUrl) -> Self {
        text
    }
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, unique among organizations.
    pub name: Name,
    /// The contact address.
    pub email: Option<String>,
    /// The URL for notifications.
    pub notification_url: Option<String>,
    /// Its own limits.
    pub policy: Policy,
    /// When it was created.
    pub created_at: Timestamp,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_somebody_has_an_address() {
        for good in [
            "http://example.com",
            "https://example.com:8443/n?x=y#z",
            "HTTPS://Example.com/a%20b",
            "http://127.0.0.1:9000/",
            "http://[::1]/",
            "https://b\u{fc}cher.example/",
        ] {
            assert_eq!(String::from(good.parse::<NotificationUrl>().unwrap()), good);
        }
        for bad in [
            "",
            "example.com",
            "//example.com",
            "http:example.com",
            "http:///example.com",
            "http://",
            "https://:80/",
            "javascript:alert(1)",
            "javascript://example.com/%0aalert(1)",
            "file:///etc/passwd",
            "ftp://example.com",
            "mailto:ops@example.com",
            "https://example.com/a b",
            " https://example.com",
            "https://exam\nple.com",
            "https://exam\u{200b}ple.com",
            "https://example.com/\u{202e}moc",
            &format!("https://example.com/{}", "x".repeat(2048)),
        ] {
            assert_eq!(
                bad.parse::<NotificationUrl>(),
                Err(NotReachable::NotificationUrl),
                "{bad}"
            );
        }
        let contact = |text: &str| text.parse::<Contact>().map(String::from);
        assert_eq!(
            contact("ops@bu\u{308}cher.example"),
            Ok("ops@b\u{fc}cher.example".to_owned())
        );
        assert_eq!(contact(" Ops@Example.com "), Ok("Ops@Example.com".to_owned()));
        for bad in [
            "",
            "ops",
            "ops@",
            "ops@example.com, dev@example.com",
            "Ops <ops@example.com>",
        ] {
            assert_eq!(contact(bad), Err(NotAnEmail::Malformed.into()), "{bad}");
        }
    }
}
