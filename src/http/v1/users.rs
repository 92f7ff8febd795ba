//! `/users`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::authority::password::{NewPassword, Password, PasswordPolicyError};
use crate::authority::{NewAccount, PersonPatch};
use crate::http::address::ClientAddress;
use crate::http::caller::{Caller, LoggedIn};
use crate::http::input::{Fault, Fields, Form, Input, Refused, Request, Scalar, Value, string};
use crate::http::nouns;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, Person};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
}

/// Which person.
#[derive(Debug, Form)]
#[form(path)]
struct UserPath {
    /// Their address.
    #[form(example = "ada@example.com")]
    email: Email,
}

/// A new person.
#[derive(Form)]
#[form(body, name = "CreateUser", echo = Nothing, unknown = Forbidden)]
pub(crate) struct CreateForm {
    /// Their address, unique whatever its case.
    #[form(example = "ada@example.com")]
    email: Email,
    /// 8 to 128 characters.
    #[form(example = "correct horse battery staple")]
    password: NewPassword,
    #[form(length(max = 255), example = "Ada")]
    first_name: Option<String>,
    #[form(length(max = 255), example = "Byron")]
    last_name: Option<String>,
    #[form(length(max = 255), example = "ada")]
    username: Option<String>,
    /// Whether they may do everything.
    #[form(default = false)]
    site_admin: bool,
}

impl Request for NewAccount {
    type Form = CreateForm;

    fn parse(form: CreateForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        let CreateForm {
            email,
            password,
            first_name,
            last_name,
            username,
            site_admin,
        } = form;
        Ok(Self {
            email,
            password,
            first_name,
            last_name,
            username,
            site_admin,
        })
    }
}

/// Changes to a person. What is absent stays as it is.
#[derive(Form)]
#[form(body, name = "ChangeUser", echo = Nothing, unknown = Forbidden, example = json!({"first_name": "Ada", "last_name": "Byron"}))]
pub(crate) struct ChangeForm {
    /// A new password: 8 to 128 characters. Ends the person's sessions.
    #[form(example = "correct horse battery staple")]
    password: Option<NewPassword>,
    /// The present password, which goes with a new one for yourself.
    #[form(example = "the present one")]
    current_password: Option<String>,
    #[form(length(max = 255))]
    first_name: Option<Option<String>>,
    #[form(length(max = 255))]
    last_name: Option<Option<String>>,
    #[form(length(max = 255))]
    username: Option<Option<String>>,
    /// Whether they may do everything.
    #[form(given)]
    site_admin: Option<bool>,
    /// `true` shuts them out and ends their sessions and tokens, for good.
    #[form(given)]
    disabled: Option<bool>,
}

impl Request for PersonPatch {
    type Form = ChangeForm;

    fn parse(form: ChangeForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        let ChangeForm {
            password,
            current_password,
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
        } = form;
        Ok(Self {
            password,
            current_password: current_password.map(Password::new),
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
        })
    }
}

impl Scalar for NewPassword {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = String::read(value)?;
        let password = Password::new(text).try_into();
        password.map_err(|unfit: PasswordPolicyError| Fault::Value {
            error: unfit.to_string(),
        })
    }

    fn schema() -> Schema {
        let text = string().min_length(Some(Self::MINIMUM));
        text.max_length(Some(Password::MAXIMUM)).into()
    }
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserInfo {
    /// Never changes; a person who is made again gets another.
    #[schema(example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    id: String,
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(required = true)]
    first_name: Option<String>,
    #[schema(required = true)]
    last_name: Option<String>,
    #[schema(required = true)]
    username: Option<String>,
    site_admin: bool,
    /// Since when they are shut out.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
    disabled_at: Option<Timestamp>,
    #[schema(value_type = nouns::Instant)]
    created_at: Timestamp,
}

impl From<Person> for UserInfo {
    fn from(person: Person) -> Self {
        let Person {
            id,
            email,
            first_name,
            last_name,
            username,
            site_admin,
            disabled_at,
            created_at,
        } = person;
        Self {
            id: id.to_string(),
            email: email.to_string(),
            first_name,
            last_name,
            username,
            site_admin,
            disabled_at,
            created_at,
        }
    }
}

/// Make a person
///
/// For site administrators. Roles that organizations gave to the address before hold from now on.
#[utoipa::path(post, path = "/api/v1/users", tag = "people", operation_id = "create_user", request_body = CreateForm,
    responses((status = CREATED, description = "The person", body = UserInfo,
                  headers(("Location" = String, description = "Their address in this API"))),
              (status = CONFLICT, description = "The address belongs to another", body = Problem)))]
async fn create(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), NewAccount>,
) -> Result<impl IntoResponse, Failure> {
    let made = app.authority.create_person(&caller, body).await?;
    let path: String = url::form_urlencoded::byte_serialize(made.email.as_str().as_bytes()).collect();
    let location = [(header::LOCATION, format!("/api/v1/users/{path}"))];
    Ok((StatusCode::CREATED, location, Json(UserInfo::from(made))))
}

/// List people
///
/// For site administrators.
#[utoipa::path(get, path = "/api/v1/users", tag = "people", operation_id = "list_users", params(SliceForm),
    responses((status = OK, description = "A part of the list, in the order of addresses", body = Items<UserInfo>)))]
async fn list(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), Slice>,
) -> Result<Json<Items<UserInfo>>, Failure> {
    let found = app.authority.people(&caller, query.clone()).await?;
    Ok(Json(Items::of(
        &query,
        found,
        |person| person.email.to_string(),
        UserInfo::from,
    )))
}

/// Show a person
///
/// For site administrators, and for the person.
#[utoipa::path(get, path = "/api/v1/users/{email}", tag = "people", operation_id = "get_user", params(UserPath),
    responses((status = OK, description = "The person", body = UserInfo)))]
async fn show(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<UserPath>,
) -> Result<Json<UserInfo>, Failure> {
    Ok(Json(app.authority.person(&caller, &path.email).await?.into()))
}

/// Change a person
///
/// For site administrators. Everybody may change their own password, and nothing else, giving the
/// present one; that ends their sessions, this one included. A wrong one counts like a failed login.
#[utoipa::path(patch, path = "/api/v1/users/{email}", tag = "people", operation_id = "change_user",
    params(UserPath), request_body = ChangeForm,
    responses((status = OK, description = "The person as they are now", body = UserInfo),
              (status = CONFLICT, description = "No site administrator would be left", body = Problem)))]
async fn change(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    Input { path, body, .. }: Input<UserPath, (), PersonPatch>,
) -> Result<Json<UserInfo>, Failure> {
    Ok(Json(
        app.authority
            .change_person(&caller, address, &path.email, body)
            .await?
            .into(),
    ))
}

/// Remove a person
///
/// For site administrators. From the answer on their sessions and tokens are refused, for good.
#[utoipa::path(delete, path = "/api/v1/users/{email}", tag = "people", operation_id = "delete_user", params(UserPath),
    responses((status = NO_CONTENT, description = "They are gone"),
              (status = CONFLICT, description = "No site administrator would be left", body = Problem)))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<UserPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority.remove_person(&caller, &path.email).await?;
    Ok(no_content())
}
