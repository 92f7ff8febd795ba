//! Lists tokens: `GET …/tokens`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{self, Wanted};
use crate::http::caller::{Caller, TokensRead};
use crate::http::dialects::quant::organizations::OrganizationPath;
use crate::http::domain_types;
use crate::http::input::Input;
use crate::http::{App, Failure, all_pages, streamed};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Record, Status, WantedStatus};

/// A token in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedToken)]
pub(super) struct Listed {
    /// The token's number.
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "My CI token")]
    name: String,
    /// The last use that the authority saw or a verifier reported; `null`: never.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    last_used: Option<Timestamp>,
    #[schema(value_type = domain_types::Instant)]
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

/// List tokens
///
/// Lists the active tokens that you may see, oldest first. An admin sees those of the organization, its
/// teams and its members, created through any API.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/tokens", tag = "tokens", operation_id = "tokens_list",
    params(OrganizationPath),
    responses((status = OK, description = "The tokens", body = Vec<Listed>)))]
pub(super) async fn list(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Failure> {
    let wanted = Wanted {
        organization: Some(path.organization),
        // An item has no field for the status, so ended tokens are left out.
        status: Some(WantedStatus::Only(Status::Active)),
        ..Wanted::default()
    };
    let caller = authority::Caller::clone(&caller);
    let response = streamed::respond("application/json", |mut out| async move {
        out.raw("[");
        let tokens = all_pages::Tokens::new(&app.authority, &caller, wanted);
        tokens.write(&mut out, Listed::of).await?;
        out.raw("]");
        Ok(out)
    });
    Ok(response.await?)
}
