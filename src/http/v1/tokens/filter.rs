//! Which tokens are meant: the filters of the list.

use crate::authority::{Wanted, WantedEnd};
use crate::http::input::Form;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::{OwnerKind, Scope, Status, WantedStatus};
use jeton_store::PersonReference;

/// Which tokens: those that match all that is given.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct FilterForm {
    /// Of this organization, by name or id. Otherwise the header `x-business-id` says it, otherwise it
    /// is your only one; with several, your own tokens. Site administrators see all organizations.
    pub(super) organization: Option<OrganizationReference>,
    /// Of this team, by name or id.
    team: Option<TeamReference>,
    /// Of this person, by address or id.
    user: Option<PersonReference>,
    /// Of this kind of owner. `user` is your own tokens.
    owner: Option<OwnerKind>,
    /// With this in their name, description or team's name, whatever its case.
    #[form(length(max = 255))]
    q: Option<String>,
    /// In this status at this moment; it decides about revoked ones too.
    status: Option<Status>,
    /// Whether revoked tokens are meant too, where no status is given.
    #[form(default = false)]
    include_revoked: bool,
    /// With this scope among theirs.
    #[form(example = "content:write")]
    scope: Option<Scope>,
    /// Whose scopes came from this preset.
    #[form(length(max = 64))]
    preset: Option<String>,
    /// That end by themselves before this instant.
    expires_before: Option<Timestamp>,
    /// Not seen since this instant and made before it. What verifiers see and do not report counts for
    /// nothing: `reporting_audiences` says which report.
    unused_since: Option<Timestamp>,
    /// Only those that were never seen.
    #[form(default = false)]
    never_used: bool,
    /// Made by whoever stands under this name in `created_by`, whatever its case; with a person's address
    /// also what that person's own tokens have made.
    #[form(length(max = 255))]
    created_by: Option<String>,
}

impl FilterForm {
    pub(super) fn wanted(self) -> Wanted {
        Wanted {
            organization: self.organization,
            teams: None,
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
