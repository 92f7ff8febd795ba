//! The filters of the list of tokens, also for bulk revocations.

use crate::authority::{Wanted, WantedEnd};
use crate::http::input::{Fault, Form, Scalar, Value, string};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, OrganizationReference, TeamReference};
use jeton_core::token::{OwnerKind, Scope, Status, WantedStatus};
use jeton_store::PersonReference;
use utoipa::openapi::Schema;

/// Filters: a token must match all that are given.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct FilterForm {
    /// Only tokens of this organization, by name or id. Default: the header `x-business-id`, else your only
    /// organization; if you belong to several, only your own tokens match. For site administrators the default
    /// is all organizations.
    pub(super) organization: Option<OrganizationReference>,
    /// Only tokens of this team, by name or id.
    team: Option<TeamReference>,
    /// Only tokens of this user, by e-mail address or id.
    user: Option<PersonReference>,
    /// Only tokens of this kind of owner. `user` means your own tokens.
    owner: Option<OwnerKind>,
    /// Only tokens whose name, description or team name contains this text, ignoring the case of ASCII letters.
    #[form(length(max = 255))]
    q: Option<String>,
    /// Only tokens that now have this status. With it, `include_revoked` is ignored.
    status: Option<Status>,
    /// Whether revoked tokens match too if `status` is absent.
    #[form(default = false)]
    include_revoked: bool,
    /// Only tokens that have this scope.
    #[form(example = "content:write")]
    scope: Option<Scope>,
    /// Only tokens whose scopes came from this preset.
    #[form(length(max = 64))]
    preset: Option<String>,
    /// Only tokens that expire before this instant.
    expires_before: Option<Timestamp>,
    /// Only tokens that expire at this instant or later. Tokens that never expire do not match.
    expires_after: Option<Timestamp>,
    /// Only tokens that were created before this instant.
    created_before: Option<Timestamp>,
    /// Only tokens that were created at this instant or later.
    created_after: Option<Timestamp>,
    /// Only tokens that are restricted to this project, by its number, deleted or not.
    #[form(range(min = 1, max = 2_147_483_647))]
    project: Option<i64>,
    /// Only tokens that the key with this `kid` signed.
    #[form(length(max = 100))]
    key: Option<String>,
    /// Only tokens that were used at this instant or later, as far as `unused_since` can tell.
    used_since: Option<Timestamp>,
    /// Only tokens that were created before this instant and not used since. Use that a verifier does not report
    /// is not known here; `reporting_audiences` lists the audiences whose verifiers report.
    unused_since: Option<Timestamp>,
    /// Only tokens that were never used, as far as `unused_since` can tell.
    #[form(default = false)]
    never_used: bool,
    /// Only tokens with this `created_by`, ignoring the case of ASCII letters. A user's e-mail address also matches tokens that this
    /// user's own tokens created. In a query, write `+` as `%2B`.
    created_by: Option<Creator>,
    /// Only tokens that do not belong to the user who created them, such as a team's. With `created_by`: the tokens
    /// that stay valid when this user leaves.
    #[form(default = false)]
    for_others: bool,
}

/// A name in `created_by`: an e-mail address, or what has no `@`.
#[derive(Debug)]
struct Creator(String);

impl Scalar for Creator {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        const MOST: u64 = 255;
        let text = value.text().ok_or(Fault::StringType)?;
        if text.chars().count() as u64 > MOST {
            return Err(Fault::StringTooLong { max_length: MOST });
        }
        // An address that nobody can have would match nothing, as if its user had no tokens.
        match text.contains('@').then(|| text.parse::<Email>()) {
            None => Ok(Self(text.to_owned())),
            Some(Ok(address)) => Ok(Self(address.to_string())),
            Some(Err(error)) => Err(Fault::Value {
                error: format!("{error}; in a query, and only there, write `+` as `%2B`"),
            }),
        }
    }

    fn schema() -> Schema {
        string().max_length(Some(255)).into()
    }
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
            ends: match (self.expires_after, self.expires_before) {
                (None, None) => Vec::new(),
                (from, until) => vec![WantedEnd::Between(from.unwrap_or(Timestamp::EPOCH), until)],
            },
            created_after: self.created_after,
            created_before: self.created_before,
            project: self.project.and_then(|project| project.try_into().ok()),
            kid: self.key,
            used_since: self.used_since,
            for_others: self.for_others,
            unused_since: self.unused_since,
            never_used: self.never_used,
            created_by: self.created_by.map(|Creator(name)| name),
        }
    }
}
