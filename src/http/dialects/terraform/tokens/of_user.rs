//! A user's own tokens: `/users/{user_id}/authentication-tokens`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use crate::authority::{self, Error, Wanted};
use crate::http::caller::{Caller, Once, TokensRead, TokensWrite};
use crate::http::dialects::terraform::data::Data;
use crate::http::dialects::terraform::document::{Document, JsonApi, ListDocument};
use crate::http::dialects::terraform::page::{PageForm, PageIfAny};
use crate::http::dialects::terraform::path::UserPath;
use crate::http::dialects::terraform::tokens::owner::Owner;
use crate::http::dialects::terraform::tokens::resource::TokenResource;
use crate::http::dialects::terraform::tokens::{NewToken, NewTokenAttributes, create_token, page};
use crate::http::input::{Input, JSON_API};
use crate::http::{App, Failure, all_pages, streamed};
use jeton_core::directory::UserId;
use jeton_core::token::{Order, Sort, SortBy, WantedStatus};

/// The same order as in the complete list.
const OLDEST_FIRST: Sort = Sort {
    by: SortBy::CreatedAt,
    order: Order::Ascending,
};

/// List tokens of a user
///
/// Lists your own tokens; for other users the list is empty. Without page parameters the list is
/// complete.
#[utoipa::path(get, path = "/api/v2/users/{user_id}/authentication-tokens", tag = "user tokens",
    operation_id = "list_user_tokens", params(UserPath, PageIfAny),
    responses((status = OK, description = "A page of the list, or the complete list", body = ListDocument<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn list(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Input { path, query, .. }: Input<UserPath, PageIfAny>,
) -> Result<Response, Failure> {
    let is_own = path.id().ok().as_ref() == Some(calling_user(&caller)?);
    let wanted = Wanted {
        status: Some(WantedStatus::Unrevoked),
        ..Owner::Caller.wanted()
    };
    if let (true, Some(asked)) = (is_own, query.page()) {
        let list = page(&app.authority, &caller, &wanted, OLDEST_FIRST, asked, &uri).await?;
        return Ok(JsonApi(list).into_response());
    }
    if !is_own {
        let page = query.page().unwrap_or(PageForm::complete(0));
        let base = app.authority.issuer();
        let list = ListDocument::<TokenResource>::of(Vec::new(), page, 0, base, &uri);
        return Ok(JsonApi(list).into_response());
    }
    let caller = authority::Caller::clone(&caller);
    let response = streamed::respond(JSON_API, |mut out| async move {
        out.raw("{\"data\":[");
        let tokens = all_pages::Tokens::new(&app.authority, &caller, wanted);
        let count = tokens.write(&mut out, TokenResource::of).await?;
        let (links, meta) = PageForm::complete(count).of(count, app.authority.issuer(), &uri);
        out.raw("],\"links\":");
        out.value(&links)?;
        out.raw(",\"meta\":");
        out.value(&meta)?;
        out.raw("}");
        Ok(out)
    });
    Ok(response.await?)
}

/// Create a token of a user
///
/// The token is valid in every organization that you belong to, for as long as you do.
#[utoipa::path(post, path = "/api/v2/users/{user_id}/authentication-tokens", tag = "user tokens",
    operation_id = "create_user_token", params(UserPath),
    request_body(content = Option<NewToken>, content_type = "application/vnd.api+json"),
    responses((status = CREATED, description = "The token with its secret, shown only once", body = Document<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn create(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<UserPath, (), Data<NewTokenAttributes>>,
) -> Result<impl IntoResponse, Failure> {
    // Users create only their own tokens.
    if *calling_user(&caller)? != path.id()? {
        return Err(Error::Absent.into());
    }
    let order = Owner::Caller.issue(&body.data.attributes);
    create_token(&app.authority, &caller, &order).await
}

/// Returns the user that the caller acts for. Tokens of teams and organizations have no such user.
fn calling_user<P>(caller: &Caller<P>) -> Result<&UserId, Error> {
    caller.user().ok_or(Error::Absent)
}
