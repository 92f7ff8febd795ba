//! How the nouns are written in requests.

use crate::http::input::{Choice, Fault, Field, Location, Scalar, Value, Violation};
use jeton_core::directory::{
    Contact, Email, Name, NotificationUrl, OrganizationReference, Role, TeamReference,
};
use jeton_core::token::{
    Direction, Grace, Lifetime, ManagementScope, OwnerKind, Scope, Slot, SortBy, Span, Status,
};
use jeton_store::PersonReference;

/// Reads a noun from its text; a text that cannot be one is told why.
macro_rules! text_scalar {
    ($($noun:ty = $stand_in:expr;)*) => {$(
        impl Scalar for $noun {
            fn read(value: &Value<'_>) -> Result<Self, Fault> {
                let text = value.text().ok_or(Fault::StringType)?;
                text.parse().map_err(|error: <$noun as std::str::FromStr>::Err| Fault::Value { error: error.to_string() })
            }

            fn stand_in() -> Self {
                $stand_in
            }
        }
    )*};
}

text_scalar! {
    OrganizationReference = Self::Name(String::new());
    TeamReference = Self::Name(String::new());
    PersonReference = Self::Email(Email::stand_in());
    Lifetime = Self::Limited(Span::YEAR);
    Grace = Self::DAY;
    Slot = Slot::stand_in();
    Scope = Self::from(ManagementScope::TokensRead);
    Name = Name::stand_in();
    Email = Email::stand_in();
    Contact = Contact::stand_in();
    NotificationUrl = NotificationUrl::stand_in();
}

impl Choice for Role {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("admin", Self::Admin),
        ("member", Self::Member),
        ("viewer", Self::Viewer),
    ];
}

impl Choice for OwnerKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("user", Self::User),
        ("team", Self::Team),
        ("organization", Self::Organization),
        ("deployment", Self::Deployment),
    ];
}

impl Choice for Direction {
    const WORDS: &'static [(&'static str, Self)] = &[("next", Self::Next), ("prev", Self::Previous)];
}

impl Choice for SortBy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("created_at", Self::CreatedAt),
        ("expires_at", Self::ExpiresAt),
        ("last_used_at", Self::LastUsedAt),
        ("name", Self::Name),
        ("team", Self::Team),
        ("created_by", Self::CreatedBy),
    ];
}

impl Choice for Status {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("active", Self::Active),
        ("expired", Self::Expired),
        ("revoked", Self::Revoked),
    ];
}

/// One text, or a list of them, as `aud` can be written in a token.
#[derive(Debug)]
pub(super) struct OneOrMany(pub(super) Vec<String>);

impl Field for OneOrMany {
    fn take(value: &Value<'_>, at: &Location) -> Result<Self, Vec<Violation>> {
        match value.text() {
            Some(text) => Ok(Self(vec![text.to_owned()])),
            None => Vec::take(value, at).map(Self),
        }
    }

    fn stand_in() -> Self {
        Self(Vec::new())
    }

    fn nearest(_: &Value<'_>) -> Option<Self> {
        None
    }
}
