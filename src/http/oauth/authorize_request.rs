//! What a reverse proxy asks for each request to a service that verifies nothing itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use utoipa::openapi::Schema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::authority::{Demand, Error, PresentedToken};
use crate::http::caller::{ApiToken, Caller};
use crate::http::input::{Fault, Fields, Form, Input, Refused, Request, Scalar, Value, string};
use crate::http::{App, Failure};
use jeton_core::token::Scope;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(authorize_request, authorize_request_head))
}

/// What the service demands.
#[derive(Debug, Form)]
// A misspelt or repeated demand must not become one that everybody meets.
#[form(query, repeated = Refused, unknown = Forbidden)]
pub(crate) struct DemandForm {
    /// The scopes that the token must have, all of them, with a space between two.
    #[form(example = "projects:read content:write")]
    scope: Option<Scopes>,
    /// Whom the token must be meant for; the configured default audience otherwise.
    #[form(length(min = 1))]
    audience: Option<String>,
}

impl Request for Demand {
    type Form = DemandForm;

    fn parse(form: DemandForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self {
            audience: form.audience,
            scopes: form.scope.map_or_else(Vec::new, |Scopes(scopes)| scopes),
        })
    }
}

/// Scopes as they stand in a request: at least one, with one space between two.
#[derive(Debug)]
struct Scopes(Vec<Scope>);

impl Scalar for Scopes {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text().ok_or(Fault::StringType)?;
        let scopes: Result<_, _> = text.split(' ').map(str::parse).collect();
        scopes.map(Self).map_err(|error| Fault::Value {
            error: format!("each {error}"),
        })
    }

    fn schema() -> Schema {
        string().into()
    }
}

/// Stands where a token has no such thing. A header that is empty or absent could be one that the
/// client sent, which a proxy would pass on.
const NONE: HeaderValue = HeaderValue::from_static("-");

/// Stands where a token is restricted to projects and none is left: the opposite of [`NONE`].
const NO_PROJECT: &str = "none";

const SUBJECT: HeaderName = HeaderName::from_static("x-jeton-subject");
const ORGANIZATION: HeaderName = HeaderName::from_static("x-jeton-organization");
const TEAM: HeaderName = HeaderName::from_static("x-jeton-team");
const SCOPES: HeaderName = HeaderName::from_static("x-jeton-scopes");
const PROJECTS: HeaderName = HeaderName::from_static("x-jeton-projects");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-jeton-token-id");

/// What the service is told about the token.
type About = [(HeaderName, HeaderValue); 6];

/// Authorize a request
///
/// For the sub-request of a reverse proxy (`auth_request` of nginx, `forward_auth` of Caddy,
/// ForwardAuth of Traefik): it carries the `Authorization` header of the request that is to be let
/// through. The answer has the proxy's client let through or not, and says whom the token acts for
/// and what it reaches in headers that are always there. The proxy has to remove headers of these names that its client
/// sends. A session is no token here.
#[utoipa::path(get, path = "/oauth/authorize-request", tag = "verification", operation_id = "authorize_request",
    params(DemandForm),
    responses((status = OK, description = "The token is what the service demands", headers(
        ("X-Jeton-Subject" = String, description = "The id of what the token acts for"),
        ("X-Jeton-Organization" = String, description = "The id of its organization, or `-`"),
        ("X-Jeton-Team" = String, description = "The id of its team, or `-`"),
        ("X-Jeton-Scopes" = String, description = "Its scopes with a space between two, or `-`"),
        ("X-Jeton-Projects" = String, description = "The numbers of the only projects that it reaches, with a space between two; `-` if it is not restricted to projects, `none` if it reaches no project"),
        ("X-Jeton-Token-Id" = String, description = "The number of its record")))))]
async fn authorize_request(
    caller: Caller<ApiToken>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), Demand>,
) -> Result<About, Failure> {
    app.authority.authorize_request(&caller, &query)?;
    Ok(about(caller.token())?)
}

/// Authorize a request, asked with HEAD
///
/// The same as with GET, for a proxy that passes on the method of its client.
#[utoipa::path(head, path = "/oauth/authorize-request", tag = "verification", operation_id = "authorize_request_head",
    params(DemandForm),
    responses((status = OK, description = "The token is what the service demands", headers(
        ("X-Jeton-Subject" = String, description = "The id of what the token acts for"),
        ("X-Jeton-Organization" = String, description = "The id of its organization, or `-`"),
        ("X-Jeton-Team" = String, description = "The id of its team, or `-`"),
        ("X-Jeton-Scopes" = String, description = "Its scopes with a space between two, or `-`"),
        ("X-Jeton-Projects" = String, description = "The numbers of the only projects that it reaches, with a space between two; `-` if it is not restricted to projects, `none` if it reaches no project"),
        ("X-Jeton-Token-Id" = String, description = "The number of its record")))))]
async fn authorize_request_head(
    caller: Caller<ApiToken>,
    app: State<Arc<App>>,
    input: Input<(), Demand>,
) -> Result<About, Failure> {
    authorize_request(caller, app, input).await
}

fn about(token: &PresentedToken) -> Result<About, Error> {
    let owner = token.owner();
    let scopes = (!token.scopes().is_empty()).then(|| token.scopes().join(" "));
    let projects = token.projects().map(|projects| match projects {
        [] => NO_PROJECT.to_owned(),
        some => some.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
    });
    let organization = owner.organization().map(|organization| organization.to_string());
    Ok([
        (SUBJECT, value(Some(token.subject().to_owned()))?),
        (ORGANIZATION, value(organization)?),
        (TEAM, value(owner.team().map(ToString::to_string))?),
        (SCOPES, value(scopes)?),
        (PROJECTS, value(projects)?),
        (TOKEN_ID, value(Some(token.id().to_string()))?),
    ])
}

fn value(text: Option<String>) -> Result<HeaderValue, Error> {
    // Ids and scopes have no character that a header has not. Were there one, nobody is let through.
    text.map_or(Ok(NONE), HeaderValue::try_from)
        .map_err(|error| Error::Unavailable(Box::new(error)))
}
