//! The metadata of a token in responses.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::domain_types::{self, OwnerWord, StatusWord, Word};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Record, Status};

/// The metadata of a token.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::v1) struct TokenInfo {
    /// The number of the token, as a string.
    #[schema(example = "2")]
    id: String,
    /// The `jti` claim.
    jti: Uuid,
    /// The display name.
    #[schema(example = "ci")]
    name: String,
    /// The description.
    #[schema(required = true)]
    description: Option<String>,
    /// The first characters of the token, for display.
    #[schema(example = "eyJhbGciOi...")]
    token_prefix: String,
    /// The last eight characters of `jti`, which tell tokens apart.
    #[schema(example = "9d3f0b2a")]
    token_hint: String,
    /// Always `api`.
    #[schema(example = "api")]
    token_type: &'static str,
    /// The id of the organization in which the token is valid; `null`: all organizations of its owner.
    #[schema(required = true)]
    organization: Option<Uuid>,
    /// The kind of owner that the token acts for.
    #[schema(value_type = OwnerWord)]
    owner: OwnerWord,
    /// The team's id, if the token acts for a team.
    #[schema(required = true, example = "team-Hn5Lq9BcX1dF7gJk")]
    team: Option<String>,
    /// The user's id, if the token acts for a user.
    #[schema(required = true, example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    user: Option<String>,
    /// The granted scopes.
    #[schema(example = json!(["projects:read", "content:write"]))]
    scopes: Vec<String>,
    /// The preset that the scopes came from; `null`: none.
    #[schema(required = true, example = "content_management")]
    preset: Option<String>,
    /// The numbers of the projects that the token is restricted to; `null`: not restricted.
    #[schema(required = true)]
    projects: Option<Vec<u32>>,
    /// The services that accept the token (the `aud` claim).
    #[schema(example = json!(["http://127.0.0.1:8080"]))]
    audience: Vec<String>,
    /// The status at the time of the response.
    status: StatusWord,
    /// When the token was created.
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
    /// Who created the token: an e-mail address, or `token` and a number.
    #[schema(example = "admin@example.com")]
    created_by: String,
    /// The slot of the owner that the token is in; a slot holds one token at a time.
    #[schema(required = true)]
    slot: Option<String>,
    /// The number of the token that this one replaced.
    #[schema(required = true)]
    rotated_from: Option<String>,
    /// The number of the token that replaced this one.
    #[schema(required = true)]
    replaced_by: Option<String>,
    /// The last use that the authority saw or a verifier reported; `null`: never.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    last_used_at: Option<Timestamp>,
    /// The client address of the last use. `null` if a verifier reported it or addresses are not recorded.
    #[schema(required = true, value_type = Option<String>, example = "192.0.2.1")]
    last_used_from: Option<IpAddr>,
    /// When the token expires; `null`: never.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    expires_at: Option<Timestamp>,
    /// When the token was revoked; `null`: it is not revoked.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    revoked_at: Option<Timestamp>,
    /// When the revocation takes effect: later than `revoked_at` if the token has a grace period.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    revocation_effective_at: Option<Timestamp>,
    /// Who revoked the token: an e-mail address, `token` and a number, or `holder`.
    #[schema(required = true)]
    revoked_by: Option<String>,
    /// The reason given for the revocation.
    #[schema(required = true)]
    revocation_reason: Option<String>,
    /// How often the token was presented after its revocation took effect. Updated with a short delay.
    refused_count: u64,
    /// When the token was last presented after its revocation took effect.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
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
            token_hint: token.hint(),
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
