//! The first site administrator of a deployment: `/setup`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::NewAccount;
use crate::authority::password::NewPassword;
use crate::http::caller::Anyone;
use crate::http::input::{Form, Input};
use crate::http::origin::RequestOrigin;
use crate::http::routes::routes;
use crate::http::v1::login::SessionInfo;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::directory::{Email, Name};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show, set_up))
}

/// Whether the deployment is set up.
#[derive(Debug, Serialize, ToSchema)]
struct SetupState {
    /// Whether this server waits for the first site administrator.
    needed: bool,
}

/// The first site administrator.
#[derive(Form)]
#[form(body, name = "SetUp", echo = Nothing, unknown = Forbidden)]
struct SetUpForm {
    /// The code that the start of the server printed.
    #[form(length(min = 1, max = 64), example = "h7Kq2mXw9RtZ")]
    code: String,
    /// The administrator's e-mail address.
    #[form(example = "admin@example.com")]
    email: Email,
    /// The administrator's password, 8 to 128 characters, and not one of the most common ones.
    #[form(example = "correct horse battery staple")]
    password: NewPassword,
    /// The name of the first organization, whose admin they become.
    #[form(example = "default")]
    organization: Name,
}

/// Show whether the deployment waits for its first administrator
///
/// A server that starts without any site administrator prints a code for `POST /api/v1/setup`.
#[utoipa::path(get, path = "/api/v1/setup", tag = "session", security(()), operation_id = "show_setup",
    responses((status = OK, description = "Whether it waits", body = SetupState)))]
async fn show(_: Anyone, State(app): State<Arc<App>>, _: Input) -> Result<Json<SetupState>, Failure> {
    Ok(Json(SetupState {
        needed: app.authority.awaits_setup().await?,
    }))
}

/// Create the first administrator
///
/// Creates the first site administrator and the first organization, and logs in. Needs the code that the server printed
/// when it started without a site administrator; it is valid once, for 30 minutes, at that server.
#[utoipa::path(post, path = "/api/v1/setup", tag = "session", security(()), operation_id = "set_up", request_body = SetUpForm,
    responses((status = OK, description = "The session", body = SessionInfo),
              (status = FORBIDDEN, description = "The code is wrong or too old", body = Problem, example = json!("wrong_setup_code")),
              (status = CONFLICT, description = "The deployment is set up", body = Problem, example = json!("already_set_up")),
              (status = SERVICE_UNAVAILABLE, description = "Nothing was created", body = Problem, example = json!(["busy", "clock_behind", "clock_differs", "unavailable"]))))]
async fn set_up(
    _: Anyone,
    State(app): State<Arc<App>>,
    origin: RequestOrigin,
    Input { body, .. }: Input<(), (), SetUpForm>,
) -> Result<Json<SessionInfo>, Failure> {
    let SetUpForm {
        code,
        email,
        password,
        organization,
    } = body;
    let administrator = NewAccount::site_administrator(email, password);
    let session = app
        .authority
        .set_up(&code, administrator, organization, &origin.0)
        .await?;
    Ok(Json(session.into()))
}
