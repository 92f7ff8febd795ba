//! Users: `/users`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::password::{NewPassword, Password, PasswordPolicyError};
use crate::authority::{Change, NewAccount, PersonPatch};
use crate::http::address::ClientAddress;
use crate::http::caller::{Caller, LoggedIn, Once};
use crate::http::domain_types;
use crate::http::input::{Fault, Fields, Form, Input, Refused, Request, Scalar, Value, string};
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::preview::{self, DryRunForm, PreviewInfo};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, Person};
use jeton_core::text::Line;
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
}

/// The user.
#[derive(Debug, Form)]
#[form(path)]
struct UserPath {
    /// The user's e-mail address.
    #[form(example = "ada@example.com")]
    email: Email,
}

/// A user to create.
#[derive(Form)]
#[form(body, name = "CreateUser", echo = Nothing, unknown = Forbidden)]
pub(crate) struct CreateForm {
    /// The e-mail address. Unique, ignoring case.
    #[form(example = "ada@example.com")]
    email: Email,
    /// The password, 8 to 128 characters, and not one of the most common ones.
    #[form(example = "correct horse battery staple")]
    password: NewPassword,
    /// The first name, at most 255 characters.
    #[form(length(max = 255), example = "Ada")]
    first_name: Option<Line>,
    /// The last name, at most 255 characters.
    #[form(length(max = 255), example = "Byron")]
    last_name: Option<Line>,
    /// A display name, at most 255 characters. It need not be unique.
    #[form(length(max = 255), example = "ada")]
    username: Option<Line>,
    /// Whether the user is a site administrator, who may do everything.
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

/// Changes to a user. An absent field stays unchanged.
#[derive(Form)]
#[form(body, name = "ChangeUser", echo = Nothing, unknown = Forbidden, example = json!({"first_name": "Ada", "last_name": "Byron"}))]
pub(crate) struct ChangeForm {
    /// The new password, 8 to 128 characters, and not one of the most common ones. Setting it revokes the user's sessions.
    #[form(example = "correct horse battery staple")]
    password: Option<NewPassword>,
    /// The current password. Required to change your own `password`.
    #[form(example = "the present one")]
    current_password: Option<Password>,
    /// The first name; `null` removes it.
    #[form(length(max = 255))]
    first_name: Option<Option<Line>>,
    /// The last name; `null` removes it.
    #[form(length(max = 255))]
    last_name: Option<Option<Line>>,
    /// The display name; `null` removes it.
    #[form(length(max = 255))]
    username: Option<Option<Line>>,
    /// Whether the user is a site administrator, who may do everything.
    #[form(given)]
    site_admin: Option<bool>,
    /// Whether the user is disabled. `true` revokes the user's sessions and tokens permanently; `false` lets the user
    /// log in again.
    #[form(given)]
    disabled: Option<bool>,
    /// Whether to change nothing and only return the user as it would be, and what would be revoked. The current password is not
    /// checked then.
    #[form(default = false)]
    dry_run: bool,
}

/// A change of a user, or its dry run.
struct ChangeUser {
    patch: PersonPatch,
    is_dry_run: bool,
}

impl Request for ChangeUser {
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
            dry_run,
        } = form;
        let patch = PersonPatch {
            password,
            current_password,
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
        };
        Ok(Self {
            patch,
            is_dry_run: dry_run,
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

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserInfo {
    /// The id. It never changes; a user who is deleted and created again gets another id.
    #[schema(example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    id: String,
    /// The e-mail address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The first name.
    #[schema(required = true)]
    first_name: Option<String>,
    /// The last name.
    #[schema(required = true)]
    last_name: Option<String>,
    /// The display name.
    #[schema(required = true)]
    username: Option<String>,
    /// Whether the user is a site administrator.
    site_admin: bool,
    /// When the user was disabled; `null`: the user is not disabled.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    disabled_at: Option<Timestamp>,
    /// When the user was created.
    #[schema(value_type = domain_types::Instant)]
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

/// The updated user; with `dry_run`, the user as it would be.
#[derive(Debug, Serialize, ToSchema)]
struct ChangedUser {
    #[serde(flatten)]
    user: UserInfo,
    /// With `dry_run`, what the change would revoke; otherwise `null`.
    #[schema(required = true)]
    would_revoke: Option<PreviewInfo>,
}

/// Create a user
///
/// Only for site administrators. Organizations may have invited the e-mail address before: the roles that a site
/// administrator gave apply from now on, and the user is asked to accept the others.
#[utoipa::path(post, path = "/api/v1/users", tag = "people", operation_id = "create_user", request_body = CreateForm,
    responses((status = CREATED, description = "The user", body = UserInfo,
                  headers(("Location" = String, description = "The URL of the user"))),
              (status = CONFLICT, description = "Another user has this e-mail address", body = Problem, example = json!("address_taken")),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn create(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), NewAccount>,
) -> Result<impl IntoResponse, Failure> {
    let made = app.authority.create_person(&caller, body).await?;
    let path: String = url::form_urlencoded::byte_serialize(made.email.as_str().as_bytes()).collect();
    let location = [(header::LOCATION, format!("/api/v1/users/{path}"))];
    Ok((StatusCode::CREATED, location, Json(UserInfo::from(made))))
}

/// List users
///
/// Only for site administrators.
#[utoipa::path(get, path = "/api/v1/users", tag = "people", operation_id = "list_users", params(SliceForm),
    responses((status = OK, description = "A page of users, sorted by e-mail address", body = Items<UserInfo>),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
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

/// Get a user
///
/// Only for site administrators and for the user.
#[utoipa::path(get, path = "/api/v1/users/{email}", tag = "people", operation_id = "get_user", params(UserPath),
    responses((status = OK, description = "The user", body = UserInfo),
              (status = FORBIDDEN, description = "Only site administrators and the user may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn show(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<UserPath>,
) -> Result<Json<UserInfo>, Failure> {
    Ok(Json(app.authority.person(&caller, &path.email).await?.into()))
}

/// Update a user
///
/// Site administrators may change every field. Other users may change only their own `password` and must give
/// `current_password`; a wrong one counts as a failed login. A new password revokes all sessions of the user,
/// including the session of this request.
///
/// With `dry_run`, nothing is changed, and the response says which tokens would be revoked: disabling a user revokes
/// them all.
#[utoipa::path(patch, path = "/api/v1/users/{email}", tag = "people", operation_id = "change_user",
    params(UserPath), request_body = ChangeForm,
    responses((status = OK, description = "The updated user", body = ChangedUser),
              (status = CONFLICT, description = "The user is the last site administrator who can log in", body = Problem, example = json!("last_site_administrator")),
              (status = FORBIDDEN, description = "Only site administrators and the user may do this, with a session", body = Problem, example = json!(["forbidden", "wrong_password"]))))]
async fn change(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    Input { path, body, .. }: Input<UserPath, (), ChangeUser>,
) -> Result<Json<ChangedUser>, Failure> {
    let ChangeUser { patch, is_dry_run } = body;
    let authority = &app.authority;
    let (user, would_revoke) = if is_dry_run {
        let (user, preview) = authority.preview_of_person(&caller, &path.email, patch).await?;
        (user, Some(preview.into()))
    } else {
        let changed = authority.change_person(&caller, address, &path.email, patch);
        (changed.await?, None)
    };
    Ok(Json(ChangedUser {
        user: user.into(),
        would_revoke,
    }))
}

/// Delete a user
///
/// Only for site administrators. Revokes the user's sessions and tokens permanently.
///
/// With `dry_run`, nothing is changed, and the response says which tokens would be revoked.
#[utoipa::path(delete, path = "/api/v1/users/{email}", tag = "people", operation_id = "delete_user", params(UserPath, DryRunForm),
    responses((status = OK, description = "What would be revoked, with `dry_run`", body = PreviewInfo),
              (status = NO_CONTENT, description = "The user is deleted"),
              (status = CONFLICT, description = "The user is the last site administrator who can log in", body = Problem, example = json!("last_site_administrator")),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<UserPath, DryRunForm>,
) -> Result<Response, Failure> {
    if query.dry_run {
        return preview::answer(&app, &caller, Change::RemovePerson(&path.email)).await;
    }
    app.authority.remove_person(&caller, &path.email).await?;
    Ok(no_content().into_response())
}
