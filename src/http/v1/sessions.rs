//! The sessions of the caller: `/sessions`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::Error;
use crate::http::caller::{Caller, LoggedIn};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::routes::routes;
use crate::http::v1::audit::surface_word;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_store::OpenSession;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(end))
}

/// The session.
#[derive(Debug, Form)]
#[form(path)]
struct SessionPath {
    /// The number of the session.
    #[form(example = "1041")]
    session: String,
}

impl SessionPath {
    /// Returns the number. A text that is none is answered like an unknown session.
    fn id(&self) -> Result<TokenId, Error> {
        self.session.parse().map(TokenId).map_err(|_| Error::Absent)
    }
}

/// A session that has not ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenSession)]
struct SessionInfo {
    /// The number of the session, as a string: `actor_token` in the audit.
    #[schema(example = "1041")]
    id: String,
    /// When you logged in.
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
    /// When the session expires.
    #[schema(value_type = domain_types::Instant)]
    expires_at: Timestamp,
    /// When it was last used, to about ten seconds; `null`: not since the login, as far as that is recorded.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    last_used_at: Option<Timestamp>,
    /// The client's address of that use, if addresses are recorded (`record_addresses`).
    #[schema(required = true, value_type = Option<String>, example = "192.0.2.1")]
    last_used_from: Option<IpAddr>,
    /// The interface of the login, as in the audit; `null`: not recorded.
    #[schema(required = true, example = "native")]
    surface: Option<&'static str>,
    /// The client's address at the login; `null`: not recorded.
    #[schema(required = true, value_type = Option<String>, example = "192.0.2.1")]
    address: Option<IpAddr>,
    /// Whether it is the session of this request.
    current: bool,
}

impl SessionInfo {
    fn of(session: OpenSession, current: TokenId) -> Self {
        let OpenSession {
            id,
            jti: _,
            created_at,
            expires_at,
            last_used_at,
            last_used_from,
            surface,
            address,
        } = session;
        Self {
            id: id.to_string(),
            created_at,
            expires_at: expires_at.unwrap_or(Timestamp::LAST),
            last_used_at,
            last_used_from,
            surface: surface.map(surface_word),
            address,
            current: id == current,
        }
    }
}

/// The sessions of the caller.
#[derive(Debug, Serialize, ToSchema)]
struct OpenSessions {
    /// The sessions, the newest first.
    items: Vec<SessionInfo>,
}

/// List your sessions
///
/// Returns where you are logged in: all of your sessions that have neither expired nor been ended. Needs a session.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", operation_id = "list_sessions",
    responses((status = OK, description = "The sessions", body = OpenSessions)))]
async fn list(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    _: Input,
) -> Result<Json<OpenSessions>, Failure> {
    let (sessions, current) = (app.authority.sessions(&caller).await?, caller.token().id());
    let items = sessions.into_iter().map(|one| SessionInfo::of(one, current));
    Ok(Json(OpenSessions {
        items: items.collect(),
    }))
}

/// End one of your sessions
///
/// Revokes a session of yours, such as that of a lost device. The authority refuses it from the response on. To end all,
/// set a new password. Needs a session.
#[utoipa::path(delete, path = "/api/v1/sessions/{session}", tag = "session", operation_id = "end_session",
    params(SessionPath),
    responses((status = NO_CONTENT, description = "The session has ended")))]
async fn end(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<SessionPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority.end_session(&caller, path.id()?).await?;
    Ok(no_content())
}
