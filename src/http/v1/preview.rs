//! What a change would revoke: `dry_run` of deletions, of revocations and of a change of a user.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::authority::{Caller, Change, Preview, TokenGroup, Wanted};
use crate::http::input::Form;
use crate::http::{App, Failure};
use jeton_core::token::WantedStatus;

/// Whether a deletion is only previewed.
#[derive(Debug, Form)]
// A misspelt `dry_run` must not delete anything.
#[form(query, unknown = Forbidden)]
pub(super) struct DryRunForm {
    /// Whether to delete nothing and only return what would be revoked.
    #[form(default = false)]
    pub(super) dry_run: bool,
}

/// What a change would revoke. The numbers are counted one after another, and include the tokens that you may manage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevocationPreview)]
pub(super) struct PreviewInfo {
    /// The active API tokens that would be revoked.
    tokens: TokenGroupInfo,
    /// Related active API tokens that would stay valid: those that the user has created for other owners, in the
    /// organization of the change, or those that are restricted to the project, which they lose.
    left: TokenGroupInfo,
    /// The number of sessions that would end. `null`: not counted, since only some of a user's sessions (`issued_before`)
    /// or the sessions of a key would end.
    #[schema(required = true, example = 1)]
    sessions: Option<u64>,
}

/// A number of tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenGroup)]
struct TokenGroupInfo {
    /// The number of tokens; `null`: there are too many to count in a few seconds.
    #[schema(required = true, example = 7)]
    count: Option<u64>,
    /// The number of those that were used in the last 24 hours, as far as verifiers report use; `null`: as for `count`.
    #[schema(required = true, example = 2)]
    used_last_24h: Option<u64>,
    /// The path and query that list them; `null` if there can be none.
    #[schema(
        required = true,
        example = "/api/v1/tokens?status=active&user=user-Tw4Ev8Ny2Ka6Mo3P"
    )]
    list: Option<String>,
}

impl From<Preview> for PreviewInfo {
    fn from(preview: Preview) -> Self {
        let Preview {
            tokens,
            left,
            sessions,
        } = preview;
        Self {
            tokens: tokens.into(),
            left: left.into(),
            sessions,
        }
    }
}

impl From<TokenGroup> for TokenGroupInfo {
    fn from(group: TokenGroup) -> Self {
        Self {
            count: group.count,
            used_last_24h: group.used_last_day,
            list: group.wanted.as_ref().map(list_of),
        }
    }
}

/// Answers a dry run.
pub(super) async fn answer(app: &App, caller: &Caller, change: Change<'_>) -> Result<Response, Failure> {
    let preview = app.authority.preview(caller, change).await?;
    Ok(Json(PreviewInfo::from(preview)).into_response())
}

/// Returns the address of the list of these tokens, which a preview can name: other filters are not in it.
fn list_of(wanted: &Wanted) -> String {
    let path = "/api/v1/tokens?".to_owned();
    let start = path.len();
    let mut query = form_urlencoded::Serializer::for_suffix(path, start);
    if let Some(WantedStatus::Only(status)) = wanted.status {
        query.append_pair("status", status.as_str());
    }
    let texts = [
        (
            "organization",
            wanted.organization.as_ref().map(ToString::to_string),
        ),
        ("team", wanted.team.as_ref().map(ToString::to_string)),
        ("user", wanted.user.as_ref().map(ToString::to_string)),
        ("project", wanted.project.map(|project| project.to_string())),
        ("key", wanted.kid.clone()),
        (
            "created_before",
            wanted.created_before.map(|instant| instant.to_string()),
        ),
        ("created_by", wanted.created_by.clone()),
        ("for_others", wanted.for_others.then(|| true.to_string())),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
}
