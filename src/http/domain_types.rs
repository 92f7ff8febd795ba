//! Parsing and schemas of the domain types in requests and responses.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::input::{Choice, Fault, Field, Location, Scalar, Value, Violation, string};
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::{
    Contact, Email, MemberStatus, Name, NotificationUrl, OrganizationReference, Role, TeamReference,
};
use jeton_core::text::{Line, Prose};
use jeton_core::token::{
    Direction, Grace, Lifetime, OwnerKind, Scope, Slot, SortBy, Span, Status, TokenReference,
};
use jeton_store::{AuditPosition, Durability, HistoryCheck, PersonReference};
use jeton_verifier::feed::Cursor;

/// Implements [`Scalar`] for a type parsed from text, with its error message and OpenAPI schema.
macro_rules! text_scalar {
    ($($noun:ty: $schema:expr;)*) => {$(
        impl Scalar for $noun {
            fn read(value: &Value<'_>) -> Result<Self, Fault> {
                let text = value.text().ok_or(Fault::StringType)?;
                text.parse().map_err(|error: <$noun as std::str::FromStr>::Err| Fault::Value { error: error.to_string() })
            }

            fn schema() -> Schema {
                $schema.into()
            }
        }
    )*};
}

text_scalar! {
    OrganizationReference: string();
    TeamReference: string();
    PersonReference: string();
    Span: string().pattern(Some("^[1-9][0-9]*[smhdwy]$"));
    Lifetime: string().pattern(Some("^([1-9][0-9]*[smhdwy]|never)$"));
    Grace: string().pattern(Some("^(0s|[1-9][0-9]*[smhdwy])$"));
    Slot: bounded(1, 64).pattern(Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"));
    Scope: string().pattern(Some("^[a-z0-9_-]+:[a-z0-9_-]+$"));
    Name: bounded(1, 90).pattern(Some("^[A-Za-z0-9][A-Za-z0-9._*-]{0,89}$"));
    Cursor: cursor();
    AuditPosition: bounded(1, 25).pattern(Some("^[0-9]{1,16}(-[0-9a-fA-F]{8})?$"));
    TokenReference: string();
    Line: string();
    Prose: string();
    Email: address();
    Contact: address();
    NotificationUrl: string().max_length(Some(2048));
}

fn bounded(min: usize, max: usize) -> ObjectBuilder {
    string().min_length(Some(min)).max_length(Some(max))
}

/// Returns the schema of a cursor of the revocation feed: 56 bytes in base64url.
fn cursor() -> ObjectBuilder {
    let format = SchemaFormat::Custom(CURSOR.to_owned());
    bounded(75, 75)
        .pattern(Some("^[A-Za-z0-9_-]{74}[AEIMQUYcgkosw048]$"))
        .format(Some(format))
}

/// The format of a cursor of the revocation feed in the OpenAPI documents.
pub(super) const CURSOR: &str = "revocation-cursor";

fn address() -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Email);
    string().max_length(Some(254)).format(Some(format))
}

impl Choice for MemberStatus {
    const WORDS: &'static [(&'static str, Self)] = &[("active", Self::Active), ("invited", Self::Invited)];

    const NAME: Option<&'static str> = Some("MemberStatus");
    const DESCRIPTION: Option<&'static str> = Some("Whether the role of a member holds.");
}

impl Choice for Role {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("admin", Self::Admin),
        ("member", Self::Member),
        ("viewer", Self::Viewer),
    ];

    const NAME: Option<&'static str> = Some("Role");
    const DESCRIPTION: Option<&'static str> = Some("The role of a user in an organization or a team.");
}

impl Choice for OwnerKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("user", Self::User),
        ("team", Self::Team),
        ("organization", Self::Organization),
        ("deployment", Self::Deployment),
    ];

    const NAME: Option<&'static str> = Some("Owner");
    const DESCRIPTION: Option<&'static str> = Some("The kind of owner that a token acts for.");
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

    const NAME: Option<&'static str> = Some("TokenStatus");
    const DESCRIPTION: Option<&'static str> = Some("The status of a token.");
}

impl Choice for Durability {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("local", Self::Local),
        ("synchronous", Self::Synchronous),
        ("asynchronous", Self::Asynchronous),
    ];

    const NAME: Option<&'static str> = Some("Durability");
    const DESCRIPTION: Option<&'static str> = Some(
        "Where the database has what is acknowledged: on one machine (`local`), on a second one before the answer \
         (`synchronous`), or there some time after it (`asynchronous`), so that a failover may lose it.",
    );
}

impl Choice for HistoryCheck {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("timeline_position_and_hash", Self::Timeline),
        ("position_and_hash", Self::Position),
    ];

    const NAME: Option<&'static str> = Some("HistoryCheck");
    const DESCRIPTION: Option<&'static str> = Some(
        "How a server notices that the database has lost history: by the position and the hash of the last event that it \
         knows and by the timeline of PostgreSQL (`timeline_position_and_hash`), or, where the service refuses functions of \
         timelines, by position and hash alone (`position_and_hash`).",
    );
}

/// One text or a list of texts, like `aud` in a token.
#[derive(Debug)]
pub(super) struct OneOrMany(pub(super) Vec<String>);

impl Field for OneOrMany {
    fn take(value: &Value<'_>, at: &Location) -> Result<Self, Vec<Violation>> {
        match value.text() {
            Some(text) => Ok(Self(vec![text.to_owned()])),
            None => Vec::take(value, at).map(Self),
        }
    }

    fn schema() -> Schema {
        let one = || string().min_length(Some(1));
        let several = ArrayBuilder::new().items(one()).max_items(Some(20));
        OneOfBuilder::new().item(several).item(one()).into()
    }
}

/// The schema of an instant in a response: `#[schema(value_type = domain_types::Instant)]`.
#[derive(Debug)]
pub(super) struct Instant;

impl PartialSchema for Instant {
    fn schema() -> RefOr<Schema> {
        let instant = <Timestamp as Scalar>::schema();
        match instant {
            Schema::Object(mut instant) => {
                let description = "An instant in UTC (RFC 3339), with milliseconds";
                instant.description = Some(description.to_owned());
                instant.examples = vec!["2026-01-02T03:04:05.678Z".into()];
                Schema::Object(instant).into()
            }
            other => other.into(),
        }
    }
}

impl ToSchema for Instant {
    fn name() -> Cow<'static, str> {
        "Timestamp".into()
    }
}

/// The schema of a day in a response: `#[schema(value_type = domain_types::Date)]`.
#[derive(Debug)]
pub(super) struct Date;

impl PartialSchema for Date {
    fn schema() -> RefOr<Schema> {
        let date = <Day as Scalar>::schema();
        match date {
            Schema::Object(mut date) => {
                date.description = Some("A day in UTC".to_owned());
                date.examples = vec!["2026-01-02".into()];
                Schema::Object(date).into()
            }
            other => other.into(),
        }
    }
}

impl ToSchema for Date {
    fn name() -> Cow<'static, str> {
        "Date".into()
    }
}

/// A choice in a response, written as the word that requests use.
#[derive(Debug)]
pub(super) struct Word<T>(pub(super) T);

/// A member's role, in a response.
pub(super) type RoleWord = Word<Role>;

/// Whether a member's role holds, in a response.
pub(super) type MemberStatusWord = Word<MemberStatus>;

/// The kind of owner of a token, in a response.
pub(super) type OwnerWord = Word<OwnerKind>;

/// The status of a token, in a response.
pub(super) type StatusWord = Word<Status>;

/// Where the database has what is acknowledged, in a response.
pub(super) type DurabilityWord = Word<Durability>;

/// How lost history is noticed, in a response.
pub(super) type HistoryCheckWord = Word<HistoryCheck>;

impl<T: Choice> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.word().serialize(serializer)
    }
}

impl<T: Choice> PartialSchema for Word<T> {
    fn schema() -> RefOr<Schema> {
        <T as Scalar>::schema().into()
    }
}

impl<T: Choice> ToSchema for Word<T> {
    fn name() -> Cow<'static, str> {
        // A response refers to the schema by its name.
        const { <T as Choice>::NAME.expect("a choice in a response needs a NAME") }.into()
    }
}
