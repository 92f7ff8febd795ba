//! Revokes tokens: `DELETE …/tokens/{token_id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use crate::authority::Error;
use crate::http::caller::{Caller, TokensWrite};
use crate::http::input::{Fault, Form, Input, Scalar, Value};
use crate::http::{App, Failure};
use jeton_core::directory::OrganizationReference;
use jeton_core::token::{Status, TokenId, TokenReference};

/// A token.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct TokenPath {
    /// The organization's machine name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The token's number.
    #[form(example = 1)]
    token_id: TokenNumber,
}

/// A token number; `None` for a text that is not one, which matches no token.
#[derive(Debug)]
struct TokenNumber(Option<TokenId>);

impl Scalar for TokenNumber {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text().ok_or(Fault::StringType)?;
        Ok(Self(match text.parse() {
            Ok(TokenReference::Id(id)) => Some(id),
            Ok(TokenReference::Jti(_)) | Err(_) => None,
        }))
    }

    fn schema() -> Schema {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
        number.format(Some(format)).minimum(Some(1)).into()
    }
}

/// Confirmation of the revocation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Deleted)]
pub(super) struct Deleted {
    #[schema(example = "Token revoked successfully")]
    message: &'static str,
}

/// Revoke a token
///
/// Revokes the token permanently. The revocation is durable before the response is sent, and the
/// authority refuses the token from then on. Tokens that are not in the list are not found, so revoking
/// a token again returns 404.
#[utoipa::path(delete, path = "/api/v2/organizations/{organization}/tokens/{token_id}", tag = "tokens", operation_id = "tokens_delete",
    params(TokenPath),
    responses((status = OK, description = "The token is revoked", body = Deleted)))]
pub(super) async fn delete(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Json<Deleted>, Failure> {
    let id = path.token_id.0.ok_or(Error::Absent)?;
    let reference = TokenReference::Id(id);
    let record = app
        .authority
        .token_of(&caller, &path.organization, reference)
        .await?;
    if app.authority.status(&record) != Status::Active {
        return Err(Error::Absent.into());
    }
    app.authority.delete_tokens(&caller, vec![record]).await?;
    Ok(Json(Deleted {
        message: "Token revoked successfully",
    }))
}
