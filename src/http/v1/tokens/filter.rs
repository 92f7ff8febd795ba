//! Which tokens are meant: the filters of the list.

use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::authority::{Wanted, WantedEnd};
use crate::http::input::Fields;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::{OwnerKind, Scope, Status, WantedStatus};
use jeton_store::PersonReference;

/// Which tokens: those that match all that is given.
#[derive(Debug, Validate, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(super) struct FilterForm {
    /// Of this organization, by name or id. Otherwise the header `x-business-id` says it, otherwise it
    /// is your only one; with several, your own tokens. Site administrators see all organizations.
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub(super) organization: Option<OrganizationReference>,
    /// Of this team, by name or id.
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    team: Option<TeamReference>,
    /// Of this person, by address or id.
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    user: Option<PersonReference>,
    /// Of this kind of owner. `user` is your own tokens.
    #[param(value_type = Option<OwnerParameter>, inline)]
    #[schema(value_type = Option<OwnerParameter>, inline)]
    owner: Option<OwnerKind>,
    /// With this in their name, description or team's name, whatever its case.
    #[validate(length(max = 255))]
    #[param(max_length = 255)]
    #[schema(max_length = 255)]
    q: Option<String>,
    /// In this status at this moment; it decides about revoked ones too.
    #[param(value_type = Option<StatusParameter>, inline)]
    #[schema(value_type = Option<StatusParameter>, inline)]
    status: Option<Status>,
    /// Whether revoked tokens are meant too, where no status is given.
    #[param(required = false, default = false)]
    #[schema(required = false, default = false)]
    include_revoked: bool,
    /// With this scope among theirs.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9_-]+:[a-z0-9_-]+$", example = "content:write")]
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9_-]+:[a-z0-9_-]+$", example = "content:write")]
    scope: Option<Scope>,
    /// Whose scopes came from this preset.
    #[validate(length(max = 64))]
    #[param(max_length = 64)]
    #[schema(max_length = 64)]
    preset: Option<String>,
    /// That end by themselves before this instant.
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_before: Option<Timestamp>,
    /// Not seen since this instant and made before it. What verifiers see and do not report counts for
    /// nothing: `reporting_audiences` says which report.
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    unused_since: Option<Timestamp>,
    /// Only those that were never seen.
    #[param(required = false, default = false)]
    #[schema(required = false, default = false)]
    never_used: bool,
    /// Made by whoever stands under this name in `created_by`, whatever its case; with a person's address
    /// also what that person's own tokens have made.
    #[validate(length(max = 255))]
    #[param(max_length = 255)]
    #[schema(max_length = 255)]
    created_by: Option<String>,
}

/// A kind of owner.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands in the document only")]
enum OwnerParameter {
    User,
    Team,
    Organization,
    Deployment,
}

/// A status.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands in the document only")]
enum StatusParameter {
    Active,
    Expired,
    Revoked,
}

impl FilterForm {
    pub(super) fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.optional("organization"),
            team: fields.optional("team"),
            user: fields.optional("user"),
            owner: fields.optional("owner"),
            q: fields.optional("q"),
            status: fields.optional("status"),
            include_revoked: fields.or("include_revoked", false),
            scope: fields.optional("scope"),
            preset: fields.optional("preset"),
            expires_before: fields.optional("expires_before"),
            unused_since: fields.optional("unused_since"),
            never_used: fields.or("never_used", false),
            created_by: fields.optional("created_by"),
        }
    }

    pub(super) fn wanted(self) -> Wanted {
        Wanted {
            organization: self.organization,
            team: self.team,
            user: self.user,
            owner: self.owner,
            text: self.q.filter(|text| !text.is_empty()),
            team_name: None,
            slot: None,
            status: match (self.status, self.include_revoked) {
                (Some(status), _) => Some(WantedStatus::Only(status)),
                (None, true) => None,
                (None, false) => Some(WantedStatus::Unrevoked),
            },
            scope: self.scope,
            preset: self.preset,
            ends: self.expires_before.map(WantedEnd::Before).into_iter().collect(),
            unused_since: self.unused_since,
            never_used: self.never_used,
            created_by: self.created_by,
        }
    }
}
