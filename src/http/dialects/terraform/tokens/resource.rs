//! What is shown of a token.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Issued;
use crate::http::dialects::terraform::document::{Document, Identifier, ToOne};
use crate::http::dialects::terraform::tokens::slot::Kind;
use crate::http::nouns;
use jeton_core::clock::Timestamp;
use jeton_core::token::Record;

/// A token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct TokenResource {
    /// Its number, as text.
    #[schema(example = "1")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "authentication-tokens")]
    kind: &'static str,
    attributes: TokenAttributes,
    relationships: TokenRelationships,
}

/// What is said of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct TokenAttributes {
    #[schema(value_type = nouns::Instant)]
    created_at: Timestamp,
    /// When the authority, or a verifier that reports, last saw it.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    last_used_at: Option<Timestamp>,
    /// What it is for; `null` where it has the one place of its kind.
    #[schema(required = true)]
    description: Option<String>,
    /// The secret, in the answer that made it and never again.
    #[schema(required = true)]
    token: Option<String>,
    /// When it ends, or ended, by itself; `null` is never.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    expired_at: Option<Timestamp>,
}

/// What it belongs to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct TokenRelationships {
    /// The team that it acts for, where it acts for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<ToOne>,
    /// The person who made it; none where a token did that acts for no person.
    created_by: ToOne,
}

impl TokenResource {
    pub(super) fn of(record: &Record) -> Self {
        Self::with(record, None)
    }

    fn with(record: &Record, secret: Option<String>) -> Self {
        let token = &record.token;
        let creator = token.created_by.user.as_ref();
        Self {
            id: record.id.to_string(),
            kind: "authentication-tokens",
            attributes: TokenAttributes {
                created_at: token.created_at,
                last_used_at: record.last_used_at,
                description: match Kind::of(token) {
                    Some(_) => None,
                    None => Some(token.name.clone()),
                },
                token: secret,
                expired_at: token.expires_at,
            },
            relationships: TokenRelationships {
                team: token.owner.team().map(|team| ToOne::with("teams", team)),
                created_by: ToOne {
                    data: creator.map(|user| Identifier::of("users", user)),
                },
            },
        }
    }
}

impl From<Issued> for Document<TokenResource> {
    /// The one time that the secret is shown.
    fn from(issued: Issued) -> Self {
        Self {
            data: TokenResource::with(&issued.record, Some(issued.token.expose().to_owned())),
        }
    }
}

impl From<&Record> for Document<TokenResource> {
    fn from(record: &Record) -> Self {
        Self {
            data: TokenResource::of(record),
        }
    }
}
