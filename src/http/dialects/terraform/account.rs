//! The caller: `/account/details` and `/account/update`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::Error;
use crate::http::caller::{Authenticated, Caller, LoggedIn};
use crate::http::dialects::terraform::data::Data;
use crate::http::dialects::terraform::document::{Document, Identifier, JsonApi};
use crate::http::dialects::terraform::user::UserResource;
use crate::http::input::{Fault, Form, Input, InputError, Location, Violation, Violations};
use crate::http::{App, Failure};
use jeton_core::directory::Email;
use jeton_core::token::Owner;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(change))
}

/// Changes to your account.
type ChangedAccount = Data<AccountAttributes>;

/// The attributes of your account, neither of which can be changed: both are your e-mail address. Other attributes
/// are ignored.
#[derive(Debug, Form)]
#[form(body, name = "ChangedAccountAttributes")]
struct AccountAttributes {
    /// Your username, which is your e-mail address.
    #[form(example = "ada@example.com")]
    username: Option<Email>,
    /// Your e-mail address.
    #[form(example = "ada@example.com")]
    email: Option<Email>,
}

/// Get the caller
///
/// Returns the user that the token acts for. For a token of a team or an organization, it is a service
/// account, and `authenticated-resource` identifies the team or organization.
#[utoipa::path(get, path = "/api/v2/account/details", tag = "start", operation_id = "show_account",
    responses((status = OK, description = "The caller", body = Document<UserResource>,
                  content_type = "application/vnd.api+json")))]
async fn show(
    caller: Caller<Authenticated>,
    State(app): State<Arc<App>>,
) -> Result<JsonApi<Document<UserResource>>, Failure> {
    let data = match (caller.owner(), caller.person()) {
        (Owner::Team { team, .. }, _) => {
            let suffix = team.as_str().trim_start_matches("team-");
            let resource = Identifier::of("teams", team);
            UserResource::service(suffix, format!("api-team_{suffix}"), Some(resource))
        }
        (Owner::Organization(id), _) => {
            let organization = app.authority.organization(&caller, &(*id).into()).await?;
            let digits = id.0.simple().to_string();
            let suffix = digits.get(..16).unwrap_or_default();
            let resource = Identifier::of("organizations", &organization.name);
            UserResource::service(suffix, format!("api-org-{}", organization.name), Some(resource))
        }
        (_, Some(person)) => UserResource::caller(&caller, person),
        (Owner::User { .. } | Owner::Deployment, None) => {
            UserResource::service("deployment000000", "api-deployment".to_owned(), None)
        }
    };
    Ok(JsonApi(Document { data }))
}

/// Update your account
///
/// Returns your account if `username` and `email` are as they are, and 422 otherwise: your e-mail address
/// identifies you and cannot be changed. Needs a session.
#[utoipa::path(patch, path = "/api/v2/account/update", tag = "start", operation_id = "change_account",
    request_body(content = Option<ChangedAccount>, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": "users", "attributes": {}}})),
    responses((status = OK, description = "Your account", body = Document<UserResource>,
                  content_type = "application/vnd.api+json")))]
async fn change(
    caller: Caller<LoggedIn>,
    Input { body, .. }: Input<(), (), ChangedAccount>,
) -> Result<JsonApi<Document<UserResource>>, Failure> {
    let person = caller.logged_in().ok_or(Error::SessionNeeded)?;
    let AccountAttributes { username, email } = body.data.attributes;
    let attributes = Location::root("body").field("data").field("attributes");
    let sent = [("username", username), ("email", email)];
    let changed = sent.into_iter().filter_map(|(name, sent)| {
        let sent = sent.filter(|sent| *sent != person.email)?;
        let error =
            "your e-mail address identifies you and cannot be changed: send it as it is, or leave it out";
        let fault = Fault::Value {
            error: error.to_owned(),
        };
        Some(Violation::new(fault, attributes.field(name), sent.as_str()))
    });
    let detail: Vec<Violation> = changed.collect();
    if !detail.is_empty() {
        return Err(InputError::Invalid(Violations { detail }).into());
    }
    let data = UserResource::caller(&caller, person);
    Ok(JsonApi(Document { data }))
}
