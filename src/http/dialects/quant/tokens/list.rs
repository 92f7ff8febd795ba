//! `GET …/tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Wanted;
use crate::http::caller::{Caller, TokensRead};
use crate::http::dialects::quant::organizations::OrganizationPath;
use crate::http::input::Input;
use crate::http::nouns;
use crate::http::{App, Failure, whole};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Record, Status, WantedStatus};

/// A token in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedToken)]
pub(super) struct Listed {
    /// Its number.
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "My CI token")]
    name: String,
    /// When the authority, or a verifier that reports, last saw it.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    last_used: Option<Timestamp>,
    #[schema(value_type = nouns::Instant)]
    created_at: Timestamp,
}

impl Listed {
    fn of(record: &Record) -> Self {
        Self {
            id: record.id.0,
            name: record.token.name.clone(),
            last_used: record.last_used_at,
            created_at: record.token.created_at,
        }
    }
}

/// List an organization's tokens
///
/// All that are good at this moment and that you may see, the oldest first: for an admin those of the
/// organization, of its teams and of its people, however they were made.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/tokens", tag = "tokens", operation_id = "tokens_list",
    params(OrganizationPath),
    responses((status = OK, description = "All of them", body = Vec<Listed>)))]
pub(super) async fn list(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Json<Vec<Listed>>, Failure> {
    let wanted = Wanted {
        organization: Some(path.organization),
        // Nothing in an item could say that a token has ended.
        status: Some(WantedStatus::Only(Status::Active)),
        ..Wanted::default()
    };
    let found = whole::tokens(&app.authority, &caller, &wanted).await?;
    Ok(Json(found.iter().map(Listed::of).collect()))
}
