//! `DELETE …/tokens/{token_id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::authority::Error;
use crate::http::caller::{Caller, TokensWrite};
use crate::http::input::{Fields, Form, Input};
use crate::http::{App, Failure};
use jeton_core::directory::OrganizationReference;
use jeton_core::token::{Status, TokenReference};
use jeton_store::LastToken;

/// Which token.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TokenPath {
    /// The machine name of its organization, or its id.
    #[param(value_type = String, example = "default")]
    organization: OrganizationReference,
    /// Its number.
    #[param(value_type = i64, minimum = 1, example = 1)]
    token_id: String,
}

impl Form for TokenPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.required("organization"),
            token_id: fields.required("token_id"),
        }
    }
}

/// That it was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Deleted)]
pub(super) struct Deleted {
    #[schema(example = "Token revoked successfully")]
    message: &'static str,
}

/// Revoke a token
///
/// From the answer on the authority refuses it, and the answer means that this is on disk. What is not
/// in the list is not found, so that doing it again is 404. Nothing undoes it.
#[utoipa::path(delete, path = "/api/v2/organizations/{organization}/tokens/{token_id}", tag = "tokens", operation_id = "tokens_delete",
    params(TokenPath),
    responses((status = OK, description = "It is revoked", body = Deleted)))]
pub(super) async fn delete(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Json<Deleted>, Failure> {
    let Ok(reference @ TokenReference::Id(id)) = path.token_id.parse() else {
        return Err(Error::Absent.into());
    };
    let record = app
        .authority
        .token_of(&caller, &path.organization, reference)
        .await?;
    if app.authority.status(&record) != Status::Active {
        return Err(Error::Absent.into());
    }
    app.authority
        .revoke(&caller, TokenReference::Id(id), None, LastToken::Stays)
        .await?;
    Ok(Json(Deleted {
        message: "Token revoked successfully",
    }))
}
