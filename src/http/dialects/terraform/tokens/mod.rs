//! Tokens of teams, organizations and users, a file per path.

mod by_id;
mod of_organization;
mod of_team;
mod of_user;
mod owner;
mod resource;
mod slot;
mod team_tokens;

use std::sync::Arc;

use crate::http::routes::routes;
use axum::http::{StatusCode, Uri};
use utoipa_axum::router::OpenApiRouter;

use crate::authority::{Authority, Caller, Error, Expiry, Issue, Wanted};
use crate::http::dialects::terraform::data::Data;
use crate::http::dialects::terraform::document::{Document, JsonApi, ListDocument};
use crate::http::dialects::terraform::page::PageForm;
use crate::http::dialects::terraform::render;
use crate::http::dialects::terraform::tokens::resource::TokenResource;
use crate::http::input::{Fault, Form, InputError, Location, Violation, Violations};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::text::Line;
use jeton_core::token::{CountTotal, Direction, Page, Sort, Start};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(of_team::show, of_team::replace, of_team::remove))
        .routes(routes!(of_team::create))
        .routes(routes!(
            of_organization::show,
            of_organization::replace,
            of_organization::remove
        ))
        .routes(routes!(of_user::list, of_user::create))
        .routes(routes!(by_id::show, by_id::remove))
        .routes(routes!(team_tokens::list, team_tokens::remove))
}

/// A token to create.
type NewToken = Data<NewTokenAttributes>;

/// The attributes of a token to create. All may be absent or `null`.
#[derive(Debug, Form)]
#[form(body, name = "CreateTokenAttributes",
    example = json!({"description": "deploys the web shop", "expired-at": null}))]
struct NewTokenAttributes {
    /// The description. Ignored for a token of which the owner has only one.
    #[form(length(max = 255), example = "deploys the web shop")]
    description: Option<Line>,
    /// When the token expires: an instant in the future, in UTC unless it names a zone. Default: the
    /// lifetime of the organization's policy, else never.
    #[form(name = "expired-at", example = json!(null))]
    expired_at: Option<Timestamp>,
}

impl NewTokenAttributes {
    fn expiry(&self) -> Expiry {
        self.expired_at.map_or(Expiry::Open, Expiry::At)
    }
}

/// Returns one page of the tokens that the caller may see.
async fn page(
    authority: &Authority,
    caller: &Caller,
    wanted: &Wanted,
    sort: Sort,
    page: PageForm,
    uri: &Uri,
) -> Result<ListDocument<TokenResource>, Error> {
    let part = Page {
        sort,
        start: Start::Offset(page.offset()),
        direction: Direction::Next,
        limit: page.size(),
        count: CountTotal::Yes,
    };
    let listing = authority.list(caller, wanted, part).await?;
    let shown = listing.items.iter().map(TokenResource::of).collect();
    let base = authority.issuer();
    Ok(ListDocument::of(
        shown,
        page,
        listing.total.unwrap_or_default(),
        base,
        uri,
    ))
}

/// Creates a token and returns it with its secret, which no later response shows.
async fn create_token(
    authority: &Authority,
    caller: &Caller,
    order: &Issue,
) -> Result<(StatusCode, JsonApi<Document<TokenResource>>), Failure> {
    let issued = authority.issue(caller, order).await.map_err(creation_failure)?;
    Ok((StatusCode::CREATED, JsonApi(issued.into())))
}

/// Converts the error of creating a token, with its location in the document.
fn creation_failure(error: Error) -> Failure {
    let attributes = Location::root("body").field("data").field("attributes");
    let detail = match error {
        Error::NameTaken => vec![render::not_unique(&attributes, "description")],
        Error::Invalid(faults) => {
            let violations = faults.into_iter().map(|fault| {
                let name = match fault.field {
                    "expires_at" => "expired-at",
                    other => other,
                };
                let error = fault.message;
                Violation::new(Fault::Value { error }, attributes.field(name), &())
            });
            violations.collect()
        }
        other => return other.into(),
    };
    InputError::Invalid(Violations { detail }).into()
}
