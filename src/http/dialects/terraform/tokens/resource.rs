//! Token resources in responses.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Issued;
use crate::http::dialects::terraform::document::{Document, Identifier, ToOne};
use crate::http::dialects::terraform::tokens::slot::Kind;
use crate::http::domain_types;
use jeton_core::clock::Timestamp;
use jeton_core::token::Record;

/// A token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct TokenResource {
    /// `at-` and the number of the token. Terraform's provider takes anything else for the id of a team.
    #[schema(example = "at-1")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "authentication-tokens")]
    kind: &'static str,
    attributes: TokenAttributes,
    relationships: TokenRelationships,
}

/// The attributes of a token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct TokenAttributes {
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
    /// The last use that the authority saw or a verifier reported; `null`: never.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    last_used_at: Option<Timestamp>,
    /// The description; `null` for a token of which the owner has only one.
    #[schema(required = true)]
    description: Option<String>,
    /// The secret, only in the response that creates the token, else `null`.
    #[schema(required = true)]
    token: Option<String>,
    /// When the token expires; `null`: never.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    expired_at: Option<Timestamp>,
}

/// The relationships of a token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct TokenRelationships {
    /// The team that the token acts for, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<ToOne>,
    /// The user who created the token; `null` if a token that acts for no user created it.
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
            id: format!("at-{}", record.id),
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
    /// Converts a new token with its secret, for the only response that shows it.
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
