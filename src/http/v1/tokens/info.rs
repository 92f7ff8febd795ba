//! What is shown of a token.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::nouns::{self, OwnerWord, StatusWord, Word};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Record, Status};

/// Everything about a token but the secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::v1) struct TokenInfo {
    /// Its number, as text.
    #[schema(example = "2")]
    id: String,
    /// The `jti` claim.
    jti: Uuid,
    #[schema(example = "ci")]
    name: String,
    #[schema(required = true)]
    description: Option<String>,
    /// The first characters of the token, for display.
    #[schema(example = "eyJhbGciOi...")]
    token_prefix: String,
    #[schema(example = "api")]
    token_type: &'static str,
    /// The id of the organization it is good in; `null` is all that its owner has.
    #[schema(required = true)]
    organization: Option<Uuid>,
    /// What kind of thing it acts for.
    #[schema(value_type = OwnerWord)]
    owner: OwnerWord,
    /// The team's id, where it acts for a team.
    #[schema(required = true, example = "team-Hn5Lq9BcX1dF7gJk")]
    team: Option<String>,
    /// The person's id, where it acts for a person.
    #[schema(required = true, example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    user: Option<String>,
    #[schema(example = json!(["projects:read", "content:write"]))]
    scopes: Vec<String>,
    /// The preset the scopes came from.
    #[schema(required = true, example = "content_management")]
    preset: Option<String>,
    /// The projects it is restricted to; `null` is unrestricted.
    #[schema(required = true)]
    projects: Option<Vec<u32>>,
    /// The services it is meant for.
    #[schema(example = json!(["http://127.0.0.1:8080"]))]
    audience: Vec<String>,
    status: StatusWord,
    #[schema(value_type = nouns::Instant)]
    created_at: Timestamp,
    /// Who made it: an address, or `token` and a number.
    #[schema(example = "admin@example.com")]
    created_by: String,
    /// The place among its owner's tokens that it takes alone.
    #[schema(required = true)]
    slot: Option<String>,
    /// The number of the token that it took over from.
    #[schema(required = true)]
    rotated_from: Option<String>,
    /// The number of the token that took over from it.
    #[schema(required = true)]
    replaced_by: Option<String>,
    /// When the authority, or a verifier that reports, last saw it.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    last_used_at: Option<Timestamp>,
    /// From which address that was. `null` where a verifier reported it or addresses are not kept.
    #[schema(required = true, value_type = Option<String>, example = "192.0.2.1")]
    last_used_from: Option<IpAddr>,
    /// When it ends by itself; `null` is never.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    revoked_at: Option<Timestamp>,
    /// From when on it is refused: after `revoked_at` while it is in its grace.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    revocation_effective_at: Option<Timestamp>,
    /// Who revoked it: an address, `token` and a number, or `holder`.
    #[schema(required = true)]
    revoked_by: Option<String>,
    #[schema(required = true)]
    revocation_reason: Option<String>,
    /// How often it was presented after it had been revoked: by somebody who was not told, or who
    /// should not have it. Written down a moment later.
    refused_count: u64,
    /// When that was last.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    last_refused_at: Option<Timestamp>,
}

impl TokenInfo {
    pub(in crate::http::v1) fn of(record: &Record, status: Status) -> Self {
        let token = &record.token;
        let revocation = record.revocation.as_ref();
        Self {
            id: record.id.to_string(),
            jti: token.jti,
            name: token.name.clone(),
            description: token.description.clone(),
            token_prefix: token.beginning(),
            token_type: "api",
            organization: token.owner.organization().map(|organization| organization.0),
            owner: Word(token.owner.kind()),
            team: token.owner.team().map(ToString::to_string),
            user: token.owner.user().map(ToString::to_string),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            preset: token.preset.clone(),
            projects: token.projects.clone(),
            audience: token.audience.clone(),
            status: Word(status),
            created_at: token.created_at,
            created_by: token.created_by.name.clone(),
            slot: token.slot.as_ref().map(ToString::to_string),
            rotated_from: record.lineage.rotated_from.map(|from| from.to_string()),
            replaced_by: record.lineage.replaced_by.map(|by| by.to_string()),
            last_used_at: record.last_used_at,
            last_used_from: record.last_used_from,
            expires_at: token.expires_at,
            revoked_at: revocation.map(|revocation| revocation.revoked_at),
            revocation_effective_at: revocation.map(|revocation| revocation.effective_at),
            revoked_by: revocation.map(|revocation| revocation.revoked_by.clone()),
            revocation_reason: revocation.and_then(|revocation| revocation.reason.clone()),
            refused_count: record.refusals.map_or(0, |refusals| refusals.count),
            last_refused_at: record.refusals.map(|refusals| refusals.last_at),
        }
    }
}
