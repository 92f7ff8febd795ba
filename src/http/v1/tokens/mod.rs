//! Tokens: `/tokens`, a file per operation.

mod create;
mod current;
mod filter;
mod info;
mod inspect;
mod list;
mod revoke;
mod revoke_many;
mod rotate;
mod show;

use std::sync::Arc;

use crate::http::routes::routes;
use utoipa_axum::router::OpenApiRouter;

pub(super) use info::TokenInfo;

use crate::authority::Error;
use crate::http::App;
use crate::http::input::Form;
use jeton_core::directory::OrganizationReference;
use jeton_core::token::TokenReference;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(current::show))
        .routes(routes!(current::revoke))
        .routes(routes!(current::rotate))
        .routes(routes!(inspect::inspect))
        .routes(routes!(revoke_many::revoke))
        .routes(routes!(revoke_many::show))
        .routes(routes!(show::show, show::describe))
        .routes(routes!(revoke::revoke))
        .routes(routes!(rotate::rotate))
}

/// The token.
#[derive(Debug, Form)]
#[form(path)]
struct TokenPath {
    /// The token's number or its `jti`.
    #[form(example = "2")]
    id: String,
}

impl TokenPath {
    /// Returns the token reference. An invalid reference is answered like an unknown token.
    fn reference(&self) -> Result<TokenReference, Error> {
        self.id.parse().map_err(|_| Error::Absent)
    }
}

/// The header by which DayZero's clients name the organization. Their bodies may contain fields that
/// DayZero does not document.
const BUSINESS: &str = "x-business-id";

/// The organization, as a header.
#[derive(Debug, Form)]
#[form(header)]
struct BusinessHeader {
    /// The organization's name or id. Used if the request does not name an `organization`.
    x_business_id: Option<OrganizationReference>,
}
